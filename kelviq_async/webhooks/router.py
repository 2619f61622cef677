"""From a delivery to your handlers: verify, drop what is cached, claim, handle, commit."""

from __future__ import annotations

import enum
import inspect
import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any, Final, Protocol, TypeVar, overload

import anyio
import attrs

from ..errors import ConfigError
from ..stores import MemoryStore
from . import headers as stamps
from .events import Event
from .guard import Claim, ReplayGuard, Taken
from .signing import Secrets, checked_secrets
from .verify import MAX_BYTES, TOLERANCE, checked_max_bytes, checked_tolerance, verify

logger = logging.getLogger("kelviq_async")

E1 = TypeVar("E1", bound=Event[Any])
E2 = TypeVar("E2", bound=Event[Any])
E3 = TypeVar("E3", bound=Event[Any])
R = TypeVar("R")
H = TypeVar("H", bound=Callable[..., Any])

_ABOUT_ACCESS: Final = frozenset({"checkout", "customer", "invoice", "order", "refund", "subscription"})
"""First words of the types that can change what a customer may use."""
_GRACE: Final = 5.0
"""Seconds to settle a claim in, when the request around it was cancelled."""


class _Entitlements(Protocol):
    def invalidate(self, customer_id: str, /) -> Awaitable[object]: ...


class _Client(Protocol):
    """All that is asked of a client; this module knows none."""

    @property
    def entitlements(self) -> _Entitlements: ...


class Outcome(enum.Enum):
    """What became of a delivery."""

    HANDLED = "handled"
    """The handlers ran."""
    NO_HANDLER = "no handler"
    """It is genuine, and nobody asked for its type."""
    DUPLICATE = "duplicate"
    """It was handled before; nothing ran this time."""
    BUSY = "busy"
    """Somebody else is handling it right now; Kelviq should send it again later."""


@attrs.frozen
class HandleResult:
    """What became of a delivery, and how to answer it.

    Attributes:
        outcome: What became of it.
        event: The event.
        retry_after: Seconds after which to send it again, or None where that is not needed.
    """

    outcome: Outcome
    event: Event[Any]
    retry_after: float | None = None

    @property
    def status(self) -> int:
        """The HTTP status to answer with: 409 makes Kelviq send the event again, 200 does not."""
        return 409 if self.outcome is Outcome.BUSY else 200


class Router:
    """Hands each genuine event to the handlers that asked for it, once.

    Args:
        secrets: The endpoint's whole secret (``kq_whsec_…``), or several of which each is good.
        client: An open ``Kelviq``. What it has cached of a customer's entitlements is dropped before
            the handlers of an event about that customer's subscriptions, orders, checkouts,
            invoices or refunds run.
        guard: What keeps an event from being handled twice. Without one the router remembers in
            this process only: give one with a shared store where several processes serve webhooks.
        tolerance: Seconds that the time of signing may differ from now; None for any.
        max_bytes: Size that a body may have, in bytes.

    Raises:
        ConfigError: A secret, ``tolerance`` or ``max_bytes`` cannot be used.
    """

    def __init__(
        self,
        secrets: Secrets,
        *,
        client: _Client | None = None,
        guard: ReplayGuard | None = None,
        tolerance: float | None = TOLERANCE,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self._secrets = checked_secrets(secrets)
        self._client = client
        self._guard = ReplayGuard(MemoryStore()) if guard is None else guard
        self._tolerance = checked_tolerance(tolerance)
        self._max_bytes = checked_max_bytes(max_bytes)
        self._handlers: list[tuple[tuple[type[Event[Any]] | str, ...], Callable[[Any], object]]] = []

    # The last overload takes what the ones before it leave; they agree where they overlap.
    @overload
    def on(self, kind: type[E1], /) -> Callable[[Callable[[E1], R]], Callable[[E1], R]]: ...  # type: ignore[overload-overlap]
    @overload
    def on(  # type: ignore[overload-overlap]
        self, kind: type[E1], other: type[E2], /
    ) -> Callable[[Callable[[E1 | E2], R]], Callable[[E1 | E2], R]]: ...
    @overload
    def on(  # type: ignore[overload-overlap]
        self, kind: type[E1], other: type[E2], third: type[E3], /
    ) -> Callable[[Callable[[E1 | E2 | E3], R]], Callable[[E1 | E2 | E3], R]]: ...
    @overload
    def on(self, *kinds: type[Event[Any]] | str) -> Callable[[H], H]: ...
    def on(self, *kinds: Any) -> Callable[[Any], Any]:
        """Register a handler, as a decorator.

        Handlers are called in the order they were registered in, each with the event, and may be
        async or not; one that is not blocks the event loop while it runs.

        Args:
            kinds: Classes of events, where ``Event`` means all of them and ``UnknownEvent`` the
                types without a class; or types as text, such as ``"order.created"``.

        Raises:
            ConfigError: There is none, or one is neither a class of events nor a text; or what is
                decorated cannot be called as a handler.
        """
        for kind in kinds:
            if not isinstance(kind, str) and not (isinstance(kind, type) and issubclass(kind, Event)):
                raise ConfigError(
                    f"on() takes classes of events or types as text, not {type(kind).__name__}: "
                    "write @router.on(SubscriptionCreated)"
                )
        if not kinds:
            raise ConfigError("on() needs to know for which events; @router.on(Event) is for all")

        def register(handler: Any) -> Any:
            # Calling a generator function runs nothing of it, which nobody would notice.
            if (
                not callable(handler)
                or inspect.isasyncgenfunction(handler)
                or inspect.isgeneratorfunction(handler)
            ):
                raise ConfigError("a handler must be a function, async or not, without yield")
            self._handlers.append((kinds, handler))
            return handler

        return register

    async def handle(
        self, body: bytes, headers: Mapping[str, Any], *, now: datetime | None = None
    ) -> HandleResult:
        """Take a delivery: check it, and run its handlers unless that was done before.

        A handler's own exception passes through, and the event can be handled again. Let your
        framework answer 500: Kelviq sends it again, and then all its handlers run anew, also those
        that had succeeded.

        Args:
            body: The raw bytes of the request.
            headers: Its headers.
            now: An aware time to take for the present; for tests.

        Returns:
            What became of it; answer the request with its ``status``.

        Raises:
            WebhookRejected: It is not genuine, too old, or unreadable; see ``verify``.
            BodyNotBytes: ``body`` is not bytes.
        """
        event = verify(body, headers, self._secrets, self._tolerance, now=now, max_bytes=self._max_bytes)
        # Also for a duplicate: it costs a fetch at most, and heals what a failure left stale before.
        await self._invalidate(event)
        handlers = [handler for kinds, handler in self._handlers if _wanted(event, kinds)]
        if not handlers:
            # Not committed, so that a resend reaches a handler that is added later.
            return HandleResult(Outcome.NO_HANDLER, event)
        claim = await self._guard.claim(event.id or stamps.read(headers).id)
        if claim is Taken.DONE:
            return HandleResult(Outcome.DUPLICATE, event)
        if claim is Taken.HELD:
            return HandleResult(Outcome.BUSY, event, self._guard.lapse)
        try:
            for handler in handlers:
                answer = handler(event)
                if inspect.isawaitable(answer):
                    await answer
        except BaseException:
            await self._settle(self._guard.release, claim, event)
            raise
        await self._settle(self._guard.commit, claim, event)
        return HandleResult(Outcome.HANDLED, event)

    async def _invalidate(self, event: Event[Any]) -> None:
        customer_id = event.external_customer_id
        if self._client is None or not customer_id or event.type.partition(".")[0] not in _ABOUT_ACCESS:
            return
        try:
            await self._client.entitlements.invalidate(customer_id)
        except Exception as error:  # noqa: BLE001  a cache that lags ends by itself; a lost event does not
            logger.warning("entitlements not invalidated on %s: %s", event.type, type(error).__name__)

    async def _settle(self, end: Callable[[Claim], Awaitable[bool]], claim: Claim, event: Event[Any]) -> None:
        """Commit or release a claim, whatever happens to the request around it.

        A failure is logged and no more: after a commit that failed, answering 500 would make sure
        that the handlers run twice, and a claim that was not released lapses.
        """
        try:
            # Frameworks cancel a request whose sender hung up, and go on cancelling at every await.
            with anyio.fail_after(_GRACE, shield=True):
                settled = await end(claim)
        except Exception as error:  # noqa: BLE001  see above
            logger.warning(
                "webhook guard: %s of %s failed: %s", end.__name__, event.type, type(error).__name__
            )
            return
        if not settled:
            logger.warning(
                "webhook guard: a claim on %s lapsed while it was handled; make lapse longer", event.type
            )


def _wanted(event: Event[Any], kinds: tuple[type[Event[Any]] | str, ...]) -> bool:
    return any(event.type == kind if isinstance(kind, str) else isinstance(event, kind) for kind in kinds)
