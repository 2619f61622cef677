"""Media: where to upload pictures and files for products and plans."""

from __future__ import annotations

from typing import Any

from ..model import Model, field, model
from ..request import Namespace, Request, call, post


@model
class Upload(Model):
    """Leave to upload one file, for one hour. Whoever has it can upload.

    Attributes:
        url: Where to POST the file to, as a multipart form.
        fields: What the form must hold before its last field, ``file``.
        file_key: What products and plans know the uploaded file by.
    """

    url: str = field(secret=True)
    fields: dict[str, Any] = field(secret=True)
    file_key: str


@post("/media/")
class CreateUpload(Request[Upload]):
    """Ask for leave to upload a file of at most 5 GB. Kelviq API: POST /media/.

    Args:
        file_name: Name of the file.
        file_type: Its media type, such as ``"image/png"``.

    Raises:
        BadRequest: ``fields`` says which part was not accepted.
    """

    file_name: str
    file_type: str


class Media(Namespace):
    """Where to upload pictures and files."""

    create_upload = call(CreateUpload)
