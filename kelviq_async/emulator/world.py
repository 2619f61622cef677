"""A Kelviq of one's own: state, clock and rules in one object that is also a transport.

In process a client sends to it directly (``Kelviq.local(world)``); ``serve`` puts the same object
behind a port. Either way a request takes the path of ``World.serve_once``.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterable, Mapping
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlsplit

from ..transport import WireAnswer, WireRequest
from . import paying, seeding, snapshot, storage
from .answering import PREFIX, Asked, Crash, Keyring, LoggedRequest, answered
from .checking import LARGEST_BODY
from .core import Core
from .deliveries import Webhooks
from .faults import Faults, Served
from .paying import Payment
from .state import DeliveryRow, UsageRow

__all__ = ["LARGEST_BODY", "PREFIX", "LoggedRequest", "World"]

KEPT_REQUESTS: Final = 10_000


class World(Core):
    """An emulated Kelviq: one organisation with its catalogue, customers, money and time.

    Args:
        now: The time its clock starts at; by default the machine's time. It stands still until
            ``clock`` is moved.
        server_key: Server API key it accepts.
        client_key: Client API key it accepts.
        partner_key: Partner key it accepts.
        strict: Whether requests that the documentation does not know fail with the reason: unknown
            or otherwise spelled names at any depth, a missing slash, the wrong host, two credentials.
        unknown_customer: What entitlements of an unknown customer answer: ``404`` or ``"empty"``.
        seed: Makes ids and chance repeatable.
        url: Address that links point to; set by ``serve``.

    Attributes:
        clock: The world's time, and what moves it.
        faults: Things that go wrong on purpose.
        webhooks: Who is told of events.
        requests: The last 10,000 requests, in order of arrival.
        crashes: Requests at which the emulator itself failed, answered with a 500; should be empty.
        state: All rows, to look at.
    """

    def __init__(
        self,
        *,
        now: datetime | None = None,
        server_key: str = "sk_test_emulator",
        client_key: str = "ck_test_emulator",
        partner_key: str = "pk_test_emulator",
        strict: bool = False,
        unknown_customer: int | str = 404,
        seed: int = 0,
        url: str = "http://localhost",
    ) -> None:
        self.server_key = server_key
        self.client_key = client_key
        self.partner_key = partner_key
        self.strict = strict
        self._keys = Keyring(server_key, client_key, partner_key)
        self.webhooks = Webhooks(self)
        super().__init__(now=now, seed=seed, url=url, unknown_customer=unknown_customer)

    def _begin(self) -> None:
        super()._begin()
        self.requests: deque[LoggedRequest] = deque(maxlen=KEPT_REQUESTS)
        self.crashes: list[Crash] = []
        self.faults = Faults(self)
        self._count = 0
        self.webhooks.refresh()

    def reset(self) -> None:
        """Forget everything but the keys and the clock: also faults, endpoints, and what was logged."""
        with self.lock:
            self._begin()

    def emit(self, event_type: str, subject: dict[str, Any], previous: dict[str, Any] | None = None) -> None:
        """See ``Core.emit``."""
        self.webhooks.emit(event_type, subject, previous)

    # What happened

    @property
    def deliveries(self) -> list[DeliveryRow]:
        """All deliveries of events, oldest first."""
        return list(self.state.deliveries.values())

    @property
    def usage_ledger(self) -> list[UsageRow]:
        """Every usage report and event that was taken, in order of arrival.

        ``counted`` is False for an event whose key came before: it arrived, and counts nothing.
        """
        return list(self.state.usage)

    # Keeping it

    def snapshot(self) -> dict[str, Any]:
        """Everything the world remembers as plain JSON data, with its time; see ``restore``.

        Signing secrets of endpoints are in it, the world's own keys are not; nor are faults, logged
        requests and crashes.
        """
        with self.lock:
            return snapshot.taken(self)

    def restore(self, data: Mapping[str, Any]) -> None:
        """Put a snapshot in place of all that the world remembers.

        Args:
            data: What ``snapshot`` gave, in this process or another.

        Raises:
            ValueError: It is damaged, or of another version; the world is as it was.
        """
        with self.lock:
            snapshot.put_back(self, data)
            self.webhooks.refresh()

    def seed_from(self, data: Mapping[str, Any]) -> None:
        """Fill the world with products, features, plans, customers and subscriptions.

        Args:
            data: Plain data, such as a JSON file's, see ``kelviq_async.emulator.seeding``.

        Raises:
            ValueError: Something in it cannot be; the message names the place, and nothing of it was
                done.
        """
        with self.lock:
            seeding.sown(self, data)

    # What a buyer does

    def pay(
        self,
        session_id: str,
        *,
        card: str = "4242 4242 4242 4242",
        authenticate: bool = True,
        name: str | None = None,
        email: str | None = None,
        billing_address: Mapping[str, Any] | None = None,
    ) -> Payment:
        """Pay a checkout session, as a buyer does on its page; see ``paying.pay``."""
        with self.lock:
            return paying.pay(
                self,
                session_id,
                card=card,
                authenticate=authenticate,
                name=name,
                email=email,
                billing_address=billing_address,
            )

    def cancel_checkout(self, session_id: str) -> Payment:
        """Leave a checkout session without paying; see ``paying.leave``."""
        with self.lock:
            return paying.leave(self, session_id)

    # The way of a request

    def handle(self, wire: WireRequest) -> WireAnswer:
        """Answer a request, whatever is in it and whatever faults are planned."""
        with self.lock:
            asked = Asked(wire)
            answer = self._answer(asked)
            self._log(asked, Served(answer))
            return answer

    async def serve_once(self, wire: WireRequest) -> Served:
        """Answer a request as faults have it; what is late comes late, but for a ``slow_body``.

        Args:
            wire: The request.

        Returns:
            The answer and what is to happen to it on its way, see ``Served``.
        """
        with self.lock:
            asked = Asked(wire)
            served = self.faults.served(asked, lambda: self._answer(asked))
            self._log(asked, served)
        if served.seconds and served.fault != "slow_body":
            await asyncio.sleep(served.seconds)
        return served

    async def send(self, request: WireRequest) -> WireAnswer:
        """Be a transport: answer a request, or fail as one does.

        Raises:
            NeverSent: A ``refuse`` fault.
            ConnectionLost: A ``drop_before`` or ``drop_after`` fault.
            UnreadableAnswer: A ``truncated`` fault.
        """
        request.sending = True
        wire = WireRequest(request.method, request.url, request.headers, await _collected(request.body))
        beside = "/_emulator/" in wire.url
        kept = storage.answer(self, wire, urlsplit(wire.url).path) if beside else None
        served = Served(kept) if kept is not None else await self.serve_once(wire)
        # As a network would, let others go first: time limits and cancelling work then, too.
        await asyncio.sleep(served.seconds if served.fault == "slow_body" else 0)
        if served.fault == "refuse":
            request.sending = False
        return await _handed_over(served.delivered(), request)

    async def close(self) -> None:
        """Nothing to give back; the world goes on."""

    def _answer(self, asked: Asked) -> WireAnswer:
        return answered(self, asked, self._keys, self.crashes, strict=self.strict)

    def _log(self, asked: Asked, served: Served) -> None:
        self._count += 1
        self.requests.append(
            LoggedRequest(
                self._count,
                self.clock.now(),
                asked.name,
                asked.wire.method,
                asked.path,
                asked.query,
                asked.body,
                None if served.answer is None else served.answer.status,
                asked.key.value if asked.key else None,
                served.fault,
            )
        )


async def _collected(body: bytes | AsyncIterable[bytes] | None) -> bytes | None:
    """A body in one piece."""
    return body if body is None or isinstance(body, bytes) else b"".join([piece async for piece in body])


async def _handed_over(answer: WireAnswer, request: WireRequest) -> WireAnswer:
    """The answer; the body of a good one goes where the request wants it, and nowhere after HEAD."""
    if request.method == "HEAD":
        return WireAnswer(answer.status, answer.headers, b"")
    if request.sink is None or not 200 <= answer.status < 300:
        return answer
    await request.sink(answer.body)
    return WireAnswer(answer.status, answer.headers, b"")
