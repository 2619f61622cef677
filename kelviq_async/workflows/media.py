"""Uploading a file: ask for a place, then put it there."""

from __future__ import annotations

import mimetypes
import os
import secrets
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Final

import anyio

from ..api import media as api
from ..api.media import CreateUpload, Upload
from ..checks import invalid
from ..errors import UnreadableAnswer, api_error
from ..transport import WireRequest

CHUNK: Final = 256 * 1024

Progress = Callable[[int, int], None]
"""``(bytes so far, bytes in all)``."""


class MediaUploads(api.Media):
    """Files for products and plans."""

    async def upload(
        self,
        content: bytes | str | os.PathLike[str],
        *,
        file_name: str | None = None,
        file_type: str | None = None,
        on_progress: Progress | None = None,
    ) -> str:
        """Upload a file, and get the key to attach it with.

        Kelviq names a place in its storage, and the file goes there directly, without any key of
        yours. Kelviq API: POST /media/, then a form post to the address it answers.

        Args:
            content: The bytes, or the path of a file.
            file_name: Name to store it under; by default that of the file.
            file_type: Media type; by default guessed from the name.
            on_progress: Called with the bytes sent so far and in all.

        Returns:
            The file key, for ``file_keys`` and ``image_keys``.

        Raises:
            InvalidRequest: Bytes without a name, or there is no such file.
            KelviqError: Kelviq or its storage could not be reached, or refused.
        """
        if isinstance(content, bytes):
            if not file_name:
                raise invalid("file_name", "is required for bytes")
            data = content
        else:
            path = Path(content)
            try:
                data = await anyio.Path(path).read_bytes()
            except OSError as error:
                raise invalid("content", f"cannot be read ({type(error).__name__})") from error
            file_name = file_name or path.name
        kind = file_type or mimetypes.guess_type(file_name)[0] or "application/octet-stream"
        place = await self._client.send(CreateUpload(file_name, kind))
        if not place.url or not place.file_key:
            raise UnreadableAnswer("the answer names no place to upload to")
        await self._post(place, file_name, kind, data, on_progress)
        key: str = place.file_key
        return key

    async def _post(
        self, place: Upload, file_name: str, kind: str, data: bytes, on_progress: Progress | None
    ) -> None:
        boundary = secrets.token_hex(16)
        fields = (place.fields or {}).items()
        head = b"".join(_part(boundary, name, str(value).encode()) for name, value in fields)
        head += (
            f"--{boundary}\r\n"
            f'Content-Disposition: form-data; name="file"; filename="{_quoted(file_name)}"\r\n'
            f"Content-Type: {_quoted(kind)}\r\n\r\n"
        ).encode()
        tail = f"\r\n--{boundary}--\r\n".encode()

        async def body() -> AsyncIterator[bytes]:
            yield head
            for start in range(0, len(data), CHUNK):
                yield data[start : start + CHUNK]
                if on_progress is not None:
                    on_progress(min(start + CHUNK, len(data)), len(data))
            yield tail

        answer = await self._client.carry(
            WireRequest(
                "POST",
                place.url,
                {
                    "Content-Type": f"multipart/form-data; boundary={boundary}",
                    "Content-Length": str(len(head) + len(data) + len(tail)),
                },
                body(),
            )
        )
        if not 200 <= answer.status < 300:
            raise api_error(answer.status, None)


def _part(boundary: str, name: str, value: bytes) -> bytes:
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="{_quoted(name)}"\r\n\r\n'
    return head.encode() + value + b"\r\n"


def _quoted(text: str) -> str:
    """A text that cannot end the quotes or the line it stands in."""
    return text.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
