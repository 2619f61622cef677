"""Which pending records go together in one report, and when it is time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ..api.behaviours import UsageBehaviour
from .policy import UsagePolicy
from .records import Key, Record, Run, Waiting


class Gathering:
    """Puts pending records together that may go in one report.

    DELTAs are added up until a SET follows, the meter starts anew between two of them, or a cap is
    reached; only then, or when the oldest is ``window`` old, it is time. A SET goes alone, at once.
    Shortly before the meter starts anew it is time as well: our own waiting must make nothing late.

    Args:
        policy: The window and the caps.
        ahead: Seconds by which Kelviq's time is ahead of ours.
    """

    def __init__(self, policy: UsagePolicy, ahead: float = 0.0) -> None:
        self._policy = policy
        self._ahead = ahead
        self._heads: dict[Key, _Head] = {}

    def take(self, waiting: Iterable[Waiting]) -> None:
        """Go on with further records, which are newer than those before."""
        for place, record in waiting:
            head = self._heads.get(record.key)
            if head is None:
                self._heads[record.key] = _Head(place, record, self._policy)
            elif not head.closed:
                head.take(place, record, self._policy, self._ahead)

    def due(self, now: float, *, hurry: bool = False) -> Iterator[tuple[Run | None, float]]:
        """What may be sent: of each key the run of records at its head, the one with the oldest record first.

        Args:
            now: Seconds since 1970.
            hurry: Whether all of it is to be sent now.

        Yields:
            The run, or None where its time has not come, and the moment at which it comes.
        """
        for head in self._heads.values():
            moment = head.due_at(self._policy, self._ahead)
            # a clock that was set back must not hold records for long
            due = hurry or head.closed or moment <= now or head.first_at > now + self._policy.window
            yield head.run() if due else None, moment

    def records(self, key: Key) -> list[Record]:
        """The records of a key's run."""
        return self._heads[key].taken


def runs(
    waiting: Iterable[Waiting], policy: UsagePolicy, now: float, *, hurry: bool = False
) -> tuple[list[Run], float | None]:
    """What may be sent of some pending records, in one go; see ``Gathering``.

    Returns:
        The runs whose time has come, and the moment at which the next one's will come, or None if there
        is none.
    """
    gathering = Gathering(policy)
    gathering.take(waiting)
    found = list(gathering.due(now, hurry=hurry))
    later = min((moment for run, moment in found if run is None), default=None)
    return [run for run, _ in found if run is not None], later


class _Head:
    """The run at the head of a key, while it grows."""

    __slots__ = (
        "behaviour",
        "closed",
        "first",
        "first_at",
        "key",
        "last",
        "last_at",
        "reset_at",
        "taken",
        "value",
    )

    def __init__(self, place: int, record: Record, policy: UsagePolicy) -> None:
        self.key = record.key
        self.behaviour = record.behaviour
        self.value = record.value
        self.taken = [record]
        self.first = self.last = place
        self.first_at = self.last_at = record.recorded_at
        self.reset_at = record.reset_at
        self.closed = record.behaviour != UsageBehaviour.DELTA or self._full(policy)

    def take(self, place: int, record: Record, policy: UsagePolicy, ahead: float) -> None:
        """Add a record, or close the run before it."""
        value = self.value + record.value
        if (
            record.behaviour != UsageBehaviour.DELTA
            or abs(value) > policy.max_units
            or not self._same_period(record, ahead)
        ):
            self.closed = True
            return
        self.value = value
        self.taken.append(record)
        self.last, self.last_at = place, record.recorded_at
        self.closed = self._full(policy)

    def _same_period(self, record: Record, ahead: float) -> bool:
        """Whether a record counts in the period of the run, as far as is known of either."""
        if self.reset_at is None:
            self.reset_at = record.reset_at
            return True
        if record.reset_at is None:
            # once a meter has started anew, its next reset is unknown until somebody asks: what was recorded
            # then is not late, and must not be held with what is
            return record.recorded_at + ahead < self.reset_at
        return record.reset_at == self.reset_at

    def _full(self, policy: UsagePolicy) -> bool:
        return len(self.taken) >= policy.max_records or abs(self.value) >= policy.max_units

    def due_at(self, policy: UsagePolicy, ahead: float) -> float:
        """When it is time, if nothing closes it before."""
        moment = self.first_at + policy.window
        if self.reset_at is None:
            return moment
        return min(moment, self.reset_at - ahead - min(policy.window, policy.timeout))

    def run(self) -> Run:
        """The run as it is now."""
        return Run(
            self.key,
            self.behaviour,
            self.value,
            len(self.taken),
            self.first,
            self.last,
            self.first_at,
            self.last_at,
            self.reset_at,
        )
