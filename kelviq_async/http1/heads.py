"""Requests as one block of bytes: the head is put together once for each set of headers.

Only what is plain is prepared so. Everything else (bodies in pieces, headers that steer the
connection, characters that do not belong in a head) is left to who can deal with it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from ..transport import WireRequest

_METHODS: Final = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"})
_PORTS: Final = {"http": 80, "https": 443}
# These say how the connection or the body is to be treated.
_STEERING: Final = frozenset(
    {
        "accept-encoding",
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
# A name that needs IDNA, a zone or a trailing dot looks different in the head, in TLS and to the resolver.
_HOST: Final = re.compile(r"[0-9a-z_-]+(\.[0-9a-z_-]+)*|[0-9a-f:.]*:[0-9a-f:.]*")
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FORBIDDEN: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_REMEMBERED: Final = 64
_LARGEST: Final = 2**20
"""A larger body should leave bit by bit."""


class Origin(NamedTuple):
    """Where a connection goes."""

    host: str
    port: int
    tls: bool


class Heads:
    """Prepares requests."""

    def __init__(self) -> None:
        self._known: dict[tuple[object, ...], tuple[Origin, bytes] | None] = {}

    def prepared(self, request: WireRequest) -> tuple[Origin, bytes] | None:
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
            known = self._known[key] = _head(request.method, url[:start], request.headers)
        if known is None:
            return None
        origin, head = known
        line = b"%b %b HTTP/1.1\r\n" % (request.method.encode(), target.encode())
        if body is None:
            length = b"" if request.method == "GET" else b"Content-Length: 0\r\n"
            return origin, b"%b%b%b\r\n" % (line, head, length)
        return origin, b"%b%bContent-Length: %d\r\n\r\n%b" % (line, head, len(body), body)


def _head(method: str, origin: str, headers: Mapping[str, str]) -> tuple[Origin, bytes] | None:
    names = {name.lower() for name in headers}
    if method not in _METHODS or len(names) < len(headers) or names & _STEERING:
        return None
    if method in {"POST", "PUT", "PATCH"} and "content-type" not in names:
        return None
    place = _place(origin)
    if place is None:
        return None
    host = f"[{place.host}]" if ":" in place.host else place.host
    if place.port != _PORTS["https" if place.tls else "http"]:
        host = f"{host}:{place.port}"
    lines = []
    for name, value in {"Host": host, **headers, "Accept-Encoding": "gzip, deflate"}.items():
        if not _TOKEN.fullmatch(name) or _FORBIDDEN.search(value):
            return None
        lines.append(f"{name}: {value}\r\n")
    return place, "".join(lines).encode()


def _place(origin: str) -> Origin | None:
    try:
        parts = urlsplit(origin)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return None
    scheme = parts.scheme
    if scheme not in _PORTS or "@" in origin or "?" in origin or not _HOST.fullmatch(host) or port == 0:
        return None
    return Origin(host, port or _PORTS[scheme], scheme == "https")
