"""What a journal keeps: records as they were accepted, and the reports they are sent in."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final, NamedTuple

import attrs

from ..api.behaviours import UsageBehaviour


class State(StrEnum):
    """Where a record is; it is in exactly one of these at every moment."""

    PENDING = "pending"
    """Accepted, and not sent yet."""
    IN_FLIGHT = "in_flight"
    """On its way; durable before the first byte is sent."""
    DELIVERED = "delivered"
    """Kelviq has counted it."""
    REJECTED = "rejected"
    """Kelviq said no; the reason is kept."""
    UNRESOLVED = "unresolved"
    """Nobody knows whether Kelviq has counted it; somebody has to find out, see ``usage.settle``."""
    DISCARDED = "discarded"
    """Somebody decided that it is not to be sent."""


MOVES: Final[Mapping[State, frozenset[State]]] = {
    State.PENDING: frozenset({State.IN_FLIGHT}),
    State.IN_FLIGHT: frozenset({State.PENDING, State.DELIVERED, State.REJECTED, State.UNRESOLVED}),
    # a late answer to its first sender still delivers what was unresolved
    State.UNRESOLVED: frozenset({State.PENDING, State.DELIVERED, State.DISCARDED}),
    State.REJECTED: frozenset({State.PENDING, State.DELIVERED, State.DISCARDED}),
    State.DELIVERED: frozenset(),
    State.DISCARDED: frozenset(),
}
"""Which state may follow which. From pending, a record only leaves in a report."""


class Key(NamedTuple):
    """What a counter belongs to; order is kept within one key.

    Attributes:
        customer_id: Your own id of the customer.
        feature_id: Your short name of the feature.
        resource_id: Which of several things of the customer used it, or None.
    """

    customer_id: str
    feature_id: str
    resource_id: str | None = None


class Record(NamedTuple):
    """One call of ``record`` or ``set``, as it was accepted.

    Attributes:
        id: Made by who records, unlike any other.
        key: What it counts for.
        behaviour: DELTA or SET.
        value: Whole units.
        recorded_at: When, in seconds since 1970.
        reset_at: When the meter starts anew after that, likewise; None where nobody knows.
    """

    id: str
    key: Key
    behaviour: UsageBehaviour
    value: int
    recorded_at: float
    reset_at: float | None = None


@attrs.frozen
class Receipt:
    """Says that a record is in the journal, from where nothing loses it.

    Attributes:
        id: The record's id.
        customer_id: Your own id of the customer.
        feature_id: Your short name of the feature.
        behaviour: DELTA or SET.
        value: Whole units.
        recorded_at: When it was accepted.
    """

    id: str
    customer_id: str
    feature_id: str
    behaviour: UsageBehaviour
    value: int
    recorded_at: datetime


class Waiting(NamedTuple):
    """A pending record, and where in the journal it stands.

    Attributes:
        place: Grows from record to record.
        record: The record.
    """

    place: int
    record: Record


class Run(NamedTuple):
    """Records of one key, in a row, that may go in one report.

    Attributes:
        key: What they count for.
        behaviour: DELTA or SET; a SET is always alone.
        value: Their sum, or the SET's value.
        records: How many.
        first: Place of the first one.
        last: Place of the last one; every pending record of the key up to here is part of it.
        first_at: When the first was recorded, in seconds since 1970.
        last_at: When the last was recorded, likewise.
        reset_at: When the meter starts anew after them, likewise, or None.
    """

    key: Key
    behaviour: UsageBehaviour
    value: int
    records: int
    first: int
    last: int
    first_at: float
    last_at: float
    reset_at: float | None


@attrs.frozen
class Report:
    """Records of one customer and feature that travel as one, and share one fate.

    Attributes:
        id: Made when they were claimed; unlike any other.
        key: What they count for.
        behaviour: DELTA or SET.
        value: What Kelviq is told: their sum, or the SET's value.
        records: How many records it stands for.
        state: Where they are.
        first_at: When the first was recorded, in seconds since 1970.
        last_at: When the last was recorded, likewise.
        claimed_at: When they were made a report, likewise.
        ended_at: When the state was reached, likewise; None while in flight.
        reason: Why it is there: what Kelviq said, or why nobody knows.
        note: What was said when it was settled.
        late: Whether the meter started anew between recording and sending.
        reset_at: When the meter starts anew after the records, likewise, or None.
        owner: Who claimed it.
    """

    id: str
    key: Key
    behaviour: UsageBehaviour
    value: int
    records: int
    state: State
    first_at: float
    last_at: float
    claimed_at: float
    ended_at: float | None = None
    reason: str = ""
    note: str = ""
    late: bool = False
    reset_at: float | None = None
    owner: str = ""

    @classmethod
    def claimed(cls, id: str, run: Run, owner: str, now: float) -> Report:
        """A run that is put in flight.

        Args:
            id: Unlike any other.
            run: The records.
            owner: Who claims them.
            now: Seconds since 1970.
        """
        return cls(
            id=id,
            key=run.key,
            behaviour=run.behaviour,
            value=run.value,
            records=run.records,
            state=State.IN_FLIGHT,
            first_at=run.first_at,
            last_at=run.last_at,
            claimed_at=now,
            reset_at=run.reset_at,
            owner=owner,
        )

    @property
    def customer_id(self) -> str:
        """Your own id of the customer."""
        return self.key.customer_id

    @property
    def feature_id(self) -> str:
        """Your short name of the feature."""
        return self.key.feature_id

    @property
    def resource_id(self) -> str | None:
        """Which of several things of the customer used it."""
        return self.key.resource_id

    @property
    def recorded_at(self) -> datetime:
        """When the first of its records was accepted."""
        return datetime.fromtimestamp(self.first_at, UTC)

    @property
    def sent_at(self) -> datetime:
        """When it was made ready for sending."""
        return datetime.fromtimestamp(self.claimed_at, UTC)


@attrs.frozen(kw_only=True)
class Ledger:
    """How many records are where. ``accepted`` is the sum of the other six, at every moment.

    Attributes:
        accepted: All records that ever got a receipt from this journal.
        pending: Not sent yet.
        in_flight: On their way.
        delivered: Counted by Kelviq.
        rejected: Kelviq said no.
        unresolved: Nobody knows; see ``usage.unresolved``.
        discarded: Somebody decided that they are not to be sent.
        late: Of the delivered and unresolved ones, those whose meter started anew before they were sent.
        skipped: What of the journal could not be read and was left out, in the journal's own pieces. Of
            a file also what a process was killed while writing, if another has written over parts of it.
        oldest: When the oldest pending record was accepted, in seconds since 1970; None without one.
    """

    accepted: int = 0
    pending: int = 0
    in_flight: int = 0
    delivered: int = 0
    rejected: int = 0
    unresolved: int = 0
    discarded: int = 0
    late: int = 0
    skipped: int = 0
    oldest: float | None = None

    @property
    def balanced(self) -> bool:
        """Whether every accepted record is in exactly one state."""
        parts = self.pending + self.in_flight + self.delivered + self.rejected + self.unresolved
        return self.accepted == parts + self.discarded

    @property
    def oldest_pending(self) -> datetime | None:
        """When the oldest pending record was accepted."""
        return None if self.oldest is None else datetime.fromtimestamp(self.oldest, UTC)
