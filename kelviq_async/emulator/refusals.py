"""How the emulator says no: statuses and bodies in the API's own shapes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


class Refusal(Exception):
    """An error answer.

    Attributes:
        status: HTTP status.
        body: JSON body.
        headers: Further headers.
    """

    def __init__(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        super().__init__(f"{status} {body}")
        self.status = status
        self.body = body
        self.headers = headers or {}


def detail(status: int, text: str) -> Refusal:
    """``{"detail": …}``, the shape of most errors."""
    return Refusal(status, {"detail": text})


def not_found(what: str = "") -> Refusal:
    """404."""
    return detail(404, f"{what} not found." if what else "Not found.")


def not_allowed(text: str, methods: Iterable[str]) -> Refusal:
    """405, with the methods that the address has in ``Allow``."""
    return Refusal(405, {"detail": text}, {"Allow": ", ".join(methods)})


def bad_field(name: str, text: str) -> Refusal:
    """400 about one field, by its name on the wire."""
    return Refusal(400, {name: [text]})
