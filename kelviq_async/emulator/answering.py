"""From a request as bytes to an answer as bytes: route, key, checks, handler, page."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit

import attrs

from .. import codec
from ..config import Key
from ..request import Operation, Page, Request
from ..transport import WireAnswer, WireRequest
from .checking import check_strictly, decoded, parsed
from .core import Core
from .refusals import Refusal, detail, not_allowed, not_found
from .registry import Listed, Reply, handler_of
from .routing import Match, match

PREFIX: Final = "/api/v1"
LARGEST_PAGE: Final = 100

_JSON: Final = {"Content-Type": "application/json"}
_NOWHERE: Final = SplitResult("", "", "", "", "")


@attrs.frozen
class LoggedRequest:
    """One request that reached the world. Headers are not kept, as keys are in them.

    Attributes:
        number: Counts from 1.
        at: When, on the world's clock.
        operation: Name of the operation, or None where there is none.
        method: HTTP method.
        path: Path as it came.
        query: Query parameters.
        body: Decoded body, or None.
        status: Status of the answer as the client saw it; None where the connection was dropped.
        key: Kind of the key it came with: ``server``, ``client``, ``partner``, or None.
        fault: Kind of the fault it met, or None.
    """

    number: int
    at: datetime
    operation: str | None
    method: str
    path: str
    query: Mapping[str, str]
    body: Any
    status: int | None = None
    key: str | None = None
    fault: str | None = None


@attrs.frozen
class Crash:
    """A request at which the emulator itself failed: a fault in its code, and answered with a 500.

    Attributes:
        operation: Name of the operation.
        reason: The traceback.
    """

    operation: str
    reason: str


class Keyring:
    """The keys of a world's organisation.

    Args:
        server: Server API key.
        client: Client API key.
        partner: Partner key.
    """

    def __init__(self, server: str, client: str, partner: str) -> None:
        self._bearers = {server: Key.SERVER, client: Key.CLIENT}
        self._partner = partner

    def kind(self, operation: Operation, headers: Mapping[str, str]) -> Key | None:
        """The kind of key an operation was asked with; None where it needs none.

        Raises:
            Refusal: 401 without a key, and for one of another kind or nobody's.
        """
        if not operation.keys:
            return None
        bearer = partner = ""
        for name, value in headers.items():
            lowered = name.lower()
            if lowered == "authorization":
                bearer = value
            elif lowered == "x-kelviq-partner-key":
                partner = value
        if operation.keys == (Key.PARTNER,):
            if partner != self._partner:
                raise detail(401, "Invalid or missing partner key.")
            return Key.PARTNER
        scheme, _, key = bearer.partition(" ")
        if scheme.lower() != "bearer" or not key:
            raise detail(401, "Authentication credentials were not provided.")
        kind = self._bearers.get(key.strip())
        if kind is None:
            raise detail(401, "Invalid API key.")
        if kind not in operation.keys:
            wanted = " or ".join(each.value for each in operation.keys)
            raise detail(401, f"This needs a {wanted} key, not a {kind.value} key.")
        return kind


class Asked:
    """A request on its way through the world.

    Attributes:
        wire: As it came.
        path: Its path.
        query: Its query parameters.
        found: What the path stands for, or None.
        operation: The operation, or None where there is none.
        body: Decoded body; None until it is known that anybody wants it.
        key: Kind of its key, once that was checked.
    """

    __slots__ = ("body", "found", "key", "operation", "path", "query", "wire")

    def __init__(self, wire: WireRequest) -> None:
        try:
            parts = urlsplit(wire.url)
        except ValueError:  # brackets that are no IPv6 address
            parts = _NOWHERE
        self.wire = wire
        self.path = parts.path
        self.query = dict(parse_qsl(parts.query, keep_blank_values=True)) if parts.query else {}
        self.found: Match | None = None
        if self.path.startswith(f"{PREFIX}/"):
            self.found = match(wire.method, self.path.removeprefix(PREFIX))
        self.operation = self.found.operation if self.found else None
        self.body: Any = None
        self.key: Key | None = None

    @property
    def name(self) -> str | None:
        """Name of the operation, or None where there is none."""
        return self.operation.name if self.operation else None


def answered(world: Core, asked: Asked, keys: Keyring, crashes: list[Crash], *, strict: bool) -> WireAnswer:
    """Answer a request, whatever is in it.

    Args:
        world: What it is asked of.
        asked: The request; ``body`` and ``key`` are filled in on the way.
        keys: The keys that are accepted.
        crashes: Where failures of the emulator itself are noted.
        strict: Whether to refuse what the documentation does not know.
    """
    try:
        status, answer, headers = _worked(world, asked, keys, strict=strict)
        content = b"" if answer is None or status == 204 else codec.encode(answer)
    except Refusal as refusal:
        status, headers, content = refusal.status, refusal.headers, codec.encode(refusal.body)
    except Exception:  # noqa: BLE001  whatever it is, the client gets an answer and the test gets to know
        crashes.append(Crash(asked.name or "", traceback.format_exc()))
        status, headers, content = 500, {}, codec.encode({"detail": "A server error occurred."})
    return WireAnswer(status, {**_JSON, **headers} if content else headers, content)


def _worked(world: Core, asked: Asked, keys: Keyring, *, strict: bool) -> tuple[int, Any, dict[str, str]]:
    if asked.found is None:
        raise not_found()
    operation = asked.operation
    if operation is None:
        raise not_allowed(f'Method "{asked.wire.method}" not allowed.', asked.found.allowed)
    asked.key = keys.kind(operation, asked.wire.headers)
    asked.body = decoded(asked.wire.body)
    if strict:
        check_strictly(operation, asked.found, asked.wire, asked.query, asked.body)
    handler = handler_of(operation.request)
    if handler is None:
        raise detail(501, f"The emulator does not handle {operation.name} yet.")
    request = parsed(operation, asked.found.path, asked.query, asked.body)
    result = handler.function(world, request)
    headers: dict[str, str] = {}
    status = handler.status
    if isinstance(result, Reply):
        status, result, headers = result
    if isinstance(result, Listed):
        result = _page(world, request, result, handler.page_size, asked)
    return status, codec.dump(result, nulls=True), headers


def _page(
    world: Core, request: Request[Any], listed: Listed[Any], default_size: int, asked: Asked
) -> Page[Any]:
    """The page that was asked for, with links to its neighbours."""
    size, number = getattr(request, "page_size", None), getattr(request, "page", None)
    size = min(LARGEST_PAGE, size) if size is not None and size > 0 else default_size
    number = 1 if number is None else number
    pages = max(1, -(-len(listed.rows) // size))
    if not 1 <= number <= pages:
        raise detail(404, "Invalid page.")
    first = (number - 1) * size

    def link(other: int) -> str:
        return f"{world.url}{asked.path}?{urlencode({**asked.query, 'page': str(other)})}"

    return Page(
        results=[listed.show(row) for row in listed.rows[first : first + size]],
        count=len(listed.rows),
        next=link(number + 1) if number < pages else None,
        previous=link(number - 1) if number > 1 else None,
    )
