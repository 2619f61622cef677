"""The storage beside Kelviq: where presigned uploads go, and plan files come from."""

from __future__ import annotations

import base64
import re
from typing import Final
from urllib.parse import unquote

from ..transport import WireAnswer, WireRequest
from .core import Core

UPLOAD: Final = "/_emulator/upload"
FILES: Final = "/_emulator/files/"
LARGEST_FORM: Final = 100 * 2**20

# Whatever somebody uploaded: a browser is not to run it.
_FILE: Final = {"Content-Type": "application/octet-stream", "X-Content-Type-Options": "nosniff"}
_BOUNDARY: Final = re.compile(r'boundary=(?:"([^"]+)"|([^\s;]+))')
_NAME: Final = re.compile(rb'form-data;(?:[^\r\n]*;)?\s*name=(?:"([^"\r\n]*)"|([^\s;"]+))', re.IGNORECASE)


def store(world: Core, key: str, content: bytes) -> None:
    """Keep a file under its key."""
    world.state.uploads[key] = base64.b64encode(content).decode()


def stored(world: Core, key: str) -> bytes | None:
    """A kept file, or None."""
    text = world.state.uploads.get(key)
    return None if text is None else base64.b64decode(text)


def answer(world: Core, wire: WireRequest, path: str) -> WireAnswer | None:
    """What the storage answers, or None where the path is not its own."""
    if path == UPLOAD and wire.method == "POST":
        return _uploaded(world, wire)
    if path.startswith(FILES) and wire.method == "GET":
        content = stored(world, unquote(path.removeprefix(FILES)))
        if content is None:
            return WireAnswer(404, {}, b"no such file")
        return WireAnswer(200, _FILE, content)
    return None


def _uploaded(world: Core, wire: WireRequest) -> WireAnswer:
    body = wire.body if isinstance(wire.body, bytes) else b""
    if len(body) > LARGEST_FORM:
        return WireAnswer(413, {}, b"the emulator keeps files in memory: none this large")
    kind = next((value for name, value in wire.headers.items() if name.lower() == "content-type"), "")
    parts = _parts(kind, body)
    key, content = parts.get("key"), parts.get("file")
    if not key or content is None:
        return WireAnswer(400, {}, b"the form needs a key and a file")
    store(world, key.decode(errors="replace"), content)
    return WireAnswer(204, {}, b"")


def _parts(kind: str, body: bytes) -> dict[str, bytes]:
    """The parts of a multipart form by name, byte by byte as they were sent."""
    boundary = _BOUNDARY.search(kind)
    if boundary is None:
        return {}
    found: dict[str, bytes] = {}
    delimiter = b"\r\n--" + (boundary[1] or boundary[2]).encode("latin-1", "replace")
    # Without the one that ends the form, the last part may have been cut off.
    for part in (b"\r\n" + body).split(delimiter)[1:-1]:
        head, _, content = part.partition(b"\r\n\r\n")
        name = _NAME.search(head)
        if name is not None:
            found.setdefault((name[1] if name[2] is None else name[2]).decode(errors="replace"), content)
    return found
