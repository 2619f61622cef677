"""The namespace that records usage, and shows what became of it."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import Any

from ..api import usage as api
from ..api.behaviours import UsageBehaviour
from ..api.usage import EventReport, ReportEvent
from ..checks import identifier_problem, invalid, plain_text
from ..config import FOREVER
from ..errors import ConfigError
from ..model import UNSET, Unset
from .policy import LARGEST
from .recorder import Recorder
from .records import Key, Ledger, Receipt, Report, State
from .settling import Resolution, check_settling


class UsageRecords(api.Usage):
    """How much was used."""

    async def event(
        self,
        customer_id: str,
        event_name: str,
        idempotency_key: str | None = None,
        timestamp: datetime | None = None,
        *,
        properties: dict[str, Any] | None | Unset = UNSET,
    ) -> EventReport:
        """Report an event that Kelviq counts. Kelviq API: POST /report/event/ (provisional).

        Args:
            customer_id: Your own id of the customer.
            event_name: Name of the event.
            idempotency_key: One key for one logical event, by which Kelviq tells a repeated report
                from a new event; by default one is made, and kept for all attempts of this call.
            timestamp: When it happened; must be aware. By default now.
            properties: More about it; keys are yours.

        Returns:
            The event as Kelviq took it.

        Raises:
            KelviqError: It could not be reported; to report the same event again, use the same key,
                which the error's ``request`` holds.
        """
        request = ReportEvent(
            customer_id,
            event_name,
            secrets.token_hex(16) if idempotency_key is None else idempotency_key,
            datetime.now(UTC) if timestamp is None else timestamp,
            properties=properties,
        )
        answer: EventReport = await self._client.send(request)
        return answer

    async def record(
        self,
        customer_id: str,
        feature_id: str,
        delta: int = 1,
        *,
        resource_id: str | None = None,
        correction: bool = False,
    ) -> Receipt:
        """Record usage that comes on top; it is sent behind the scenes, added up with what is alike.

        Once this returns, the record is in the client's journal, and nothing loses it.

        Args:
            customer_id: Your own id of the customer.
            feature_id: Your short name of the feature.
            delta: Whole units.
            resource_id: Which of several things of the customer used it (provisional).
            correction: Whether zero and negative units are meant.

        Returns:
            A receipt with the record's id.

        Raises:
            InvalidRequest: An argument cannot be right; nothing was recorded.
            ConfigError: The client has no journal, or one that it cannot use.
            JournalError: The journal could not keep it; nothing was recorded.
            OutcomeUnknown: Nobody knows whether the journal has it.
        """
        key = _key(customer_id, feature_id, resource_id)
        value = _units("delta", delta)
        if not isinstance(correction, bool):
            raise invalid("correction", "must be True or False")
        if value <= 0 and not correction:
            raise invalid("delta", "must be at least 1; say correction=True where less is meant")
        return await self._recorded(key, UsageBehaviour.DELTA, value)

    async def set(
        self, customer_id: str, feature_id: str, value: int, *, resource_id: str | None = None
    ) -> Receipt:
        """Record a new total; it is sent behind the scenes, after what was recorded before it.

        Args:
            customer_id: Your own id of the customer.
            feature_id: Your short name of the feature.
            value: Whole units, at least 0.
            resource_id: Which of several things of the customer used it (provisional).

        Returns:
            A receipt with the record's id.

        Raises:
            InvalidRequest: An argument cannot be right; nothing was recorded.
            ConfigError: The client has no journal, or one that it cannot use.
            JournalError: The journal could not keep it; nothing was recorded.
            OutcomeUnknown: Nobody knows whether the journal has it.
        """
        key = _key(customer_id, feature_id, resource_id)
        total = _units("value", value)
        if total < 0:
            raise invalid("value", "must not be negative")
        return await self._recorded(key, UsageBehaviour.SET, total)

    async def ledger(self) -> Ledger:
        """How many records are where, over all processes that share the journal.

        Raises:
            ConfigError: The client has no journal.
            JournalError: It failed.
        """
        recorder = self._recorder()
        await recorder.ready()
        return await recorder.journal.ledger()

    async def unresolved(self, limit: int = 1000) -> list[Report]:
        """Reports whose fate nobody knows, the oldest first; see ``settle``.

        Args:
            limit: How many at most.

        Raises:
            ConfigError: The client has no journal.
            JournalError: It failed.
        """
        return await self._reports(State.UNRESOLVED, limit)

    async def rejected(self, limit: int = 1000) -> list[Report]:
        """Reports that Kelviq refused, the oldest first, each with its reason; see ``settle``.

        Args:
            limit: How many at most.

        Raises:
            ConfigError: The client has no journal.
            JournalError: It failed.
        """
        return await self._reports(State.REJECTED, limit)

    async def settle(self, id: str, resolution: Resolution, *, note: str = "") -> Report:
        """Say what is to become of a report that is unresolved or rejected, with all its records.

        Args:
            id: The report's id, or a receipt's: what was sent together shares one fate.
            resolution: ``"delivered"`` where Kelviq has counted it, ``"resend"`` where it has not,
                ``"discard"`` where it is not to be counted.
            note: Why, for whoever looks later.

        Returns:
            The report as it is now.

        Raises:
            InvalidRequest: There is no such report, it is in no state to be settled, or it is a total
                that a later one has replaced.
            ConfigError: The client has no journal.
            JournalError: It failed.
        """
        recorder = self._recorder()
        check_settling(id, resolution, note)
        return await recorder.settle(id, resolution, note)

    async def flush(self, deadline: float | None = 30.0) -> Ledger:
        """Send what is pending now, without waiting for more to add up.

        Args:
            deadline: Seconds to wait for it, at least 0; None for as long as it takes.

        Returns:
            The ledger when all that was pending has come to an end, or when time was up.

        Raises:
            InvalidRequest: The deadline cannot be right.
            Unauthorized: The key is refused; everything is kept.
            Forbidden: Likewise.
            ApiError: The address is wrong, as something else answers there; everything is kept.
            ClientClosed: The client was closed meanwhile; what is pending stays in the journal.
            ConfigError: The client has no journal.
            JournalError: It failed.
        """
        return await self._recorder().flush(_seconds(deadline))

    def _recorder(self) -> Recorder:
        recorder: Recorder | None = self._client.recorder
        if recorder is None:
            raise ConfigError(
                "recording usage needs a journal: Kelviq(journal=SqliteJournal(path)) for one machine, "
                "RedisJournal(url) for several, or MemoryJournal(), which forgets (all in kelviq_async.usage)"
            )
        return recorder

    async def _record_held(self, customer_id: str, feature_id: str, units: int) -> Receipt:
        """Record units that are held, which ends their hold."""
        key = _key(customer_id, feature_id, None)
        return await self._recorded(key, UsageBehaviour.DELTA, units, held=units)

    async def _recorded(self, key: Key, behaviour: UsageBehaviour, value: int, held: int = 0) -> Receipt:
        recorder = self._recorder()
        reset_at = recorder.uncounted.reset_of(key.customer_id, key.feature_id, recorder.period())
        return await recorder.record(key, behaviour, value, reset_at, held)

    async def _reports(self, state: State, limit: int) -> list[Report]:
        if type(limit) is not int or not 1 <= limit <= LARGEST:
            raise invalid("limit", f"must be a whole number from 1 to {LARGEST}")
        recorder = self._recorder()
        await recorder.ready()
        return [*await recorder.journal.reports(state, limit)]


def _key(customer_id: object, feature_id: object, resource_id: object) -> Key:
    for name, value in (("customer_id", customer_id), ("feature_id", feature_id)):
        problem = identifier_problem(value)
        if problem:
            raise invalid(name, problem)
    if resource_id is not None:
        problem = identifier_problem(resource_id)
        if problem:
            raise invalid("resource_id", problem)
    resource = None if resource_id is None else plain_text(resource_id)
    return Key(plain_text(customer_id), plain_text(feature_id), resource)


def _seconds(deadline: object) -> float | None:
    if deadline is None:
        return None
    if isinstance(deadline, int | float) and not isinstance(deadline, bool) and 0 <= deadline <= FOREVER:
        return float(deadline)
    raise invalid("deadline", f"must be a number of seconds from 0 to {FOREVER}, or None")


def _units(name: str, value: object) -> int:
    """Whole units, of any type that is a whole number, such as those of numpy.

    Raises:
        InvalidRequest: It is a bool, a fraction, no number, or too large to be told exactly.
    """
    if type(value) is not int:
        index = getattr(value, "__index__", None)
        if isinstance(value, bool) or index is None or type(value).__name__ in {"bool_", "bool"}:
            raise invalid(name, f"must be a whole number, not {type(value).__name__}")
        value = int(index())
    if abs(value) > LARGEST:
        raise invalid(name, f"must be between -{LARGEST} and {LARGEST}")
    return value
