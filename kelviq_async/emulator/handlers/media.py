"""Media: keys to upload files under, and what becomes of the files once something uses them."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable
from datetime import timedelta
from typing import Any, Final
from urllib.parse import quote

from ...api.media import CreateUpload, Upload
from ...model import UNSET
from ..core import Core
from ..refusals import bad_field, not_found
from ..registry import handles
from ..storage import FILES, UPLOAD, store

LONGEST_NAME: Final = 255
MOST_BYTES: Final = 5 * 2**30
_KEY: Final = re.compile(r"tmp/[^/]+/[^/]+")


@handles(CreateUpload)
def create_upload(world: Core, request: CreateUpload) -> Upload:
    """A form for one file; its policy says what the storage would hold the uploader to."""
    # Of a whole path the file's own name is what counts, as browsers of old sent it.
    name = request.file_name.replace("\\", "/").rsplit("/", 1)[-1].strip()
    if name in {"", ".", ".."} or len(name) > LONGEST_NAME or not name.isprintable():
        raise bad_field("fileName", "This is not the name of a file.")
    if not request.file_type.strip():
        raise bad_field("fileType", "This field may not be blank.")
    key = f"tmp/{world.new_id()}/{name}"
    conditions = [{"key": key}, {"Content-Type": request.file_type}, ["content-length-range", 0, MOST_BYTES]]
    expiration = (world.now() + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    policy = json.dumps({"expiration": expiration, "conditions": conditions}).encode()
    fields = {
        "Content-Type": request.file_type,
        "key": key,
        "AWSAccessKeyId": world.new_token("AKIA", 16).upper(),
        "policy": base64.b64encode(policy).decode(),
        "signature": world.new_token("", 28),
    }
    return Upload(url=f"{world.url}{UPLOAD}", fields=fields, file_key=key)


def uploaded(world: Core, keys: Iterable[str], name: str) -> list[str]:
    """Keys of uploads that nothing uses yet, or 400 on the field of that name.

    Outside of a strict world a key that looks like one will do, so that the documentation's own
    examples work; the file behind it is empty.
    """
    wanted = list(keys)
    for index, key in enumerate(wanted):
        known = key in world.state.uploads or not getattr(world, "strict", False)
        if not known or not _KEY.fullmatch(key) or key in wanted[:index]:
            raise bad_field(name, f'"{key}" is not the key of an upload.')
    return wanted


def keep(world: Core, folder: str, keys: Iterable[str], first: int) -> list[dict[str, Any]]:
    """Move uploads to where they stay and describe them, numbered on from ``first``."""
    files = []
    for ordering, key in enumerate(keys, first):
        if key not in world.state.uploads:
            store(world, key, b"")
        name = key.rsplit("/", 1)[-1]
        kept = f"media/{folder}/{world.new_id()}/{name}"
        world.state.uploads[kept] = world.state.uploads.pop(key)
        files.append({"id": world.new_id(), "name": name, "key": kept, "ordering": ordering, "enabled": True})
    return files


def address(world: Core, key: str) -> str:
    """Where a kept file can be fetched from."""
    return f"{world.url}{FILES}{quote(key)}"


def file_of(files: Iterable[dict[str, Any]], file_id: str, what: str) -> dict[str, Any]:
    """One of the files of a product or plan, or 404."""
    for file in files:
        if file["id"] == file_id:
            return file
    raise not_found(what)


def after_last(files: Iterable[dict[str, Any]]) -> int:
    """The position after all files that are there."""
    return max((file["ordering"] for file in files), default=-1) + 1


def change(file: dict[str, Any], request: Any, *names: str) -> None:
    """Take over what a request gives of these fields of a file."""
    for name in names:
        value = getattr(request, name)
        if value is not UNSET:
            file[name] = value
