"""Requests as one block of bytes: the head is put together once for each set of headers.

Only what is plain is prepared so. Everything else (bodies in pieces, headers that steer the
connection, characters that do not belong in a head) is left to who can deal with it.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterable, Callable, Mapping
from typing import Any, Final, Protocol

Prepared = tuple[Any, bytes]
"""What says where to connect to, and the bytes to write there."""

_METHODS: Final = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"})
# These say how the connection or the body is to be treated.
_STEERING: Final = frozenset(
    {
        "connection",
        "content-encoding",
        "content-length",
        "cookie",
        "expect",
        "host",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_FORBIDDEN: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_REMEMBERED: Final = 64
_LARGEST: Final = 2**20
"""A larger body should leave bit by bit."""


class Request(Protocol):
    """What is looked at of a request."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | AsyncIterable[bytes] | None
    sink: Any


class Heads:
    """Prepares requests.

    Args:
        made: ``(method, url, headers)`` -> a request of the HTTP library, which knows its host, its
            port, and the headers that are added to ours.
    """

    def __init__(self, made: Callable[[str, str, Mapping[str, str]], Any]) -> None:
        self._made = made
        self._known: dict[tuple[Any, ...], Prepared | None] = {}

    def prepared(self, request: Request) -> Prepared | None:
        """Where a request goes and its bytes; None where it is not plain."""
        url, body = request.url, request.body
        start = url.find("/", 8)  # behind the two of "https://"
        target = url[start:]
        if (
            start < 0
            or request.sink is not None
            or not (body is None or (isinstance(body, bytes) and len(body) <= _LARGEST))
            or not (target.isascii() and target.isprintable())
            or " " in target
            or "#" in target
        ):
            return None
        key = (request.method, url[:start], *request.headers.items())
        try:
            known = self._known[key]
        except KeyError:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            known = self._known[key] = self._head(request.method, url[:start], request.headers)
        if known is None:
            return None
        template, head = known
        line = b"%b %b HTTP/1.1\r\n" % (request.method.encode(), target.encode())
        if body is None:
            length = b"" if request.method == "GET" else b"Content-Length: 0\r\n"
            return template, b"%b%b%b\r\n" % (line, head, length)
        return template, b"%b%bContent-Length: %d\r\n\r\n%b" % (line, head, len(body), body)

    def _head(self, method: str, origin: str, headers: Mapping[str, str]) -> Prepared | None:
        names = {name.lower() for name in headers}
        if method not in _METHODS or "@" in origin or names & _STEERING:
            return None
        if method in {"POST", "PUT", "PATCH"} and "content-type" not in names:
            return None
        template = self._made(method, f"{origin}/", headers)
        lines = []
        for name, value in template.headers.items():
            if name.lower() == "content-length":
                continue
            line = f"{name}: {value}"
            if _FORBIDDEN.search(line):
                return None
            lines.append(f"{line}\r\n")
        return template, "".join(lines).encode()
