"""Webhooks of a world: endpoints, events for them, attempts, retries, and resends.

Nothing here knows a network. Who has an HTTP client hands it in as ``world.webhooks.sender``, as
``serve`` does; a test takes events with ``world.webhooks.capture()`` and needs none.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from datetime import timedelta
from typing import Any, Final
from urllib.parse import urlsplit

import attrs

from .. import codec
from ..webhooks.events import EVENTS
from ..webhooks.signing import checked_secrets, signed_headers
from .core import Core
from .registry import due
from .state import AttemptRow, DeliveryRow, EndpointRow

RETRIES: Final = 3
PAUSE: Final = timedelta(seconds=60)
EVERY: Final = "*"

Sender = Callable[[str, dict[str, str], bytes], Awaitable[int]]
"""Posts ``(url, headers, body)`` and gives the status of the answer; raises where there is none."""

_CAPTURED: Final = "capture:"


@attrs.frozen
class Received:
    """A delivery as an endpoint in this process got it; good for ``webhooks.verify(body, headers, secret)``.

    Attributes:
        headers: Its headers.
        body: Its bytes.
    """

    headers: dict[str, str]
    body: bytes = attrs.field(repr=False)

    @property
    def event(self) -> dict[str, Any]:
        """The event as plain data."""
        event: dict[str, Any] = codec.decode(self.body)
        return event

    @property
    def type(self) -> str:
        """Type of the event."""
        return str(self.event["type"])


class Captured(list[Received]):
    """Deliveries to an endpoint in this process, as they come.

    Attributes:
        endpoint: The endpoint.
        answer: The status it answers with, or a function of the delivery that gives it; one that
            raises is an endpoint that cannot be reached.
    """

    def __init__(self, endpoint: EndpointRow, answer: int | Callable[[Received], int]) -> None:
        super().__init__()
        self.endpoint = endpoint
        self.answer = answer

    @property
    def secret(self) -> str:
        """The endpoint's signing secret."""
        return self.endpoint.secret

    @property
    def types(self) -> list[str]:
        """The types of the events, in order of arrival."""
        return [each.type for each in self]

    def _take(self, received: Received) -> int:
        self.append(received)
        return self.answer(received) if callable(self.answer) else self.answer


class Webhooks:
    """Who is told of events, and how that goes: ``world.webhooks``.

    The first attempt is due at once and up to three retries follow, 60 seconds apart on the world's
    clock; after that only ``resend`` helps. Each attempt is signed anew, with the machine's time and
    not the world's: receivers compare it with theirs, and turn away what looks old.

    Attributes:
        sender: Posts deliveries; without one they wait.
        wake: Called whenever a delivery has become due; may be called on any thread.
        time: Gives the unix time that deliveries are signed with.
    """

    def __init__(self, world: Core) -> None:
        self._world = world
        self._captured: dict[str, Captured] = {}
        self._due: dict[str, None] = {}
        self.sender: Sender | None = None
        self.wake: Callable[[], None] = lambda: None
        self.time: Callable[[], float] = time.time

    # Endpoints

    @property
    def endpoints(self) -> list[EndpointRow]:
        """Who is told."""
        return list(self._world.state.endpoints.values())

    def register(
        self, url: str, events: Iterable[str] | str = (EVERY,), secret: str | None = None
    ) -> EndpointRow:
        """Tell an address of events from now on; it is posted to once there is a ``sender``.

        Args:
            url: Where to post to.
            events: Types of events, ``"*"`` for all.
            secret: The signing secret; by default a new ``kq_whsec_…``.

        Returns:
            The endpoint with its ``secret``.

        Raises:
            ValueError: The address is none, a type is unknown, or the secret cannot be one.
        """
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("an endpoint's url must be an http(s) address")
        return self._add(url, events, secret)

    def capture(
        self,
        events: Iterable[str] | str = (EVERY,),
        secret: str | None = None,
        *,
        answer: int | Callable[[Received], int] = 200,
    ) -> Captured:
        """Collect deliveries in a list, the moment they are due.

        Args:
            events: Types of events, ``"*"`` for all.
            secret: The signing secret; by default a new one.
            answer: The status to answer with, or a function ``(received) -> status``.

        Raises:
            ValueError: As for ``register``.
        """
        row = self._add(_CAPTURED, events, secret)
        self._captured[row.id] = captured = Captured(row, answer)
        return captured

    def _add(self, url: str, events: Iterable[str] | str, secret: str | None) -> EndpointRow:
        if isinstance(events, dict | bytes) or not isinstance(events, Iterable):
            raise ValueError("events must be a list of types")  # noqa: TRY004  one exception for all of them
        wanted = [events] if isinstance(events, str) else list(events)
        unknown = [name for name in wanted if name != EVERY and name not in EVENTS]
        if unknown or not wanted:
            named = ", ".join(map(repr, unknown)) or "nothing"
            raise ValueError(f"there is no event {named}; there are {EVERY}, {', '.join(EVENTS)}")
        if secret is not None:
            checked_secrets([secret])
        with self._world.lock:
            secret = self._world.new_token("kq_whsec_", 32) if secret is None else secret
            row = EndpointRow(self._world.new_id(), url, secret, wanted, self._world.now())
            self._world.state.endpoints[row.id] = row
        return row

    def remove(self, id: str) -> None:
        """Tell an endpoint nothing more; what was on its way to it is not sent.

        Raises:
            ValueError: There is no such endpoint.
        """
        with self._world.lock:
            if self._world.state.endpoints.pop(id, None) is None:
                raise ValueError(f"there is no endpoint {id!r}")
            self._captured.pop(id, None)
            for row in self._world.state.deliveries.values():
                if row.endpoint_id == id:
                    row.next_attempt = None

    # Events and attempts

    def emit(self, event_type: str, subject: dict[str, Any], previous: dict[str, Any] | None = None) -> None:
        """Make an event and a delivery of it for each endpoint that wants to know, see ``Core.emit``."""
        world = self._world
        with world.lock:
            wanted = [row for row in world.state.endpoints.values() if {EVERY, event_type} & set(row.events)]
            if not wanted:
                return
            now = world.now()
            data = {"object": subject}
            if previous is not None:
                data["previous_attributes"] = previous
            event_id, created = world.new_id(), codec.dump(now.replace(microsecond=0))
            # Written down at once, as handlers go on changing what they gave.
            body = codec.encode({"id": event_id, "type": event_type, "created_at": created, "data": data})
            for endpoint in wanted:
                row = DeliveryRow(
                    world.new_id(),
                    endpoint.id,
                    event_id,
                    event_type,
                    codec.decode(body),
                    now,
                    next_attempt=now,
                )
                world.state.deliveries[row.id] = row
                self._now_due(row)

    def pending(self) -> list[DeliveryRow]:
        """Deliveries of which an attempt is still to come, at once or later."""
        return [row for row in self._world.state.deliveries.values() if row.next_attempt is not None]

    def due(self) -> list[DeliveryRow]:
        """Deliveries of which an attempt is to come at once, or under way; retries come later."""
        with self._world.lock:
            now = self._world.now()
            return [row for row in self.pending() if row.next_attempt is not None and row.next_attempt <= now]

    def resend(self, delivery_id: str) -> DeliveryRow:
        """Deliver something once more, whether it arrived or not; it is due at once.

        Raises:
            ValueError: There is no such delivery, or nobody to get it any more.
        """
        with self._world.lock:
            row = self._world.state.deliveries.get(delivery_id)
            if row is None:
                raise ValueError(f"there is no delivery {delivery_id!r}")
            if row.endpoint_id not in self._world.state.endpoints:
                raise ValueError("its endpoint was removed")
            row.next_attempt = self._world.now()
            self._now_due(row)
        return row

    async def deliver_due(self) -> int:
        """Attempt everything that is due, in order for each endpoint; endpoints do not wait for each other.

        Returns:
            How many attempts were made; 0 without a ``sender``.
        """
        count = 0
        while self.sender is not None:
            with self._world.lock:
                rows = [self._world.state.deliveries[id] for id in self._due]
                self._due.clear()
            lines: dict[str, list[DeliveryRow]] = {}
            for row in rows:
                lines.setdefault(row.endpoint_id, []).append(row)
            if not lines:
                break
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._deliver_all(line, self.sender)) for line in lines.values()]
            count += sum(task.result() for task in tasks)
        return count

    async def _deliver_all(self, rows: list[DeliveryRow], sender: Sender) -> int:
        count = 0
        for index, row in enumerate(rows):
            endpoint = self._world.state.endpoints.get(row.endpoint_id)
            if endpoint is None or row.next_attempt is None:
                continue
            headers, body = self._signed(row, endpoint)
            try:
                status: int | None = await sender(endpoint.url, headers, body)
            except asyncio.CancelledError:
                with self._world.lock:  # it may have arrived, but nobody knows: they get it again
                    self._due.update(dict.fromkeys(each.id for each in rows[index:]))
                raise
            except Exception:  # noqa: BLE001  whatever went wrong, nobody answered
                status = None
            self._attempted(row, status)
            count += 1
        return count

    def _now_due(self, row: DeliveryRow) -> None:
        captured = self._captured.get(row.endpoint_id)
        if captured is None:
            self._due[row.id] = None
            self.wake()
            return
        received = Received(*self._signed(row, captured.endpoint))
        try:
            status: int | None = captured._take(received)  # noqa: SLF001  both live here
        except Exception:  # noqa: BLE001  an endpoint that cannot be reached
            status = None
        self._attempted(row, status)

    def _signed(self, row: DeliveryRow, endpoint: EndpointRow) -> tuple[dict[str, str], bytes]:
        body = codec.encode(row.payload)
        signature = signed_headers(body, endpoint.secret, id=row.event_id, timestamp=self.time())
        return {"Content-Type": "application/json", **signature}, body

    def _attempted(self, row: DeliveryRow, status: int | None) -> None:
        world = self._world
        with world.lock:
            if world.state.deliveries.get(row.id) is not row:
                return  # the world was reset meanwhile
            now, success = world.now(), status is not None and 200 <= status < 300
            attempt = AttemptRow(world.new_id(), row.id, row.attempts, now, status, success)
            world.state.attempts.append(attempt)
            row.attempts += 1
            row.last_attempt, row.status_code, row.next_attempt = now, status, None
            row.delivered = row.delivered or success
            if not row.delivered and row.attempts <= RETRIES and row.endpoint_id in world.state.endpoints:
                row.next_attempt = now + PAUSE
                world.schedule(row.next_attempt, "delivery", row.id)

    # For the world

    def refresh(self) -> None:
        """Look through a state that took the place of another: what is due in it?"""
        world = self._world
        self._due = {
            row.id: None
            for row in world.state.deliveries.values()
            if row.next_attempt is not None and row.next_attempt <= world.now()
        }
        self._captured = {id: each for id, each in self._captured.items() if id in world.state.endpoints}
        if self._due:
            self.wake()

    def retry(self, delivery_id: str) -> None:
        """The time of a retry has come, unless somebody was faster."""
        row = self._world.state.deliveries.get(delivery_id)
        if row is not None and row.next_attempt is not None and row.next_attempt <= self._world.now():
            self._now_due(row)


@due("delivery")
def _retry(world: Any, delivery_id: str) -> None:
    world.webhooks.retry(delivery_id)
