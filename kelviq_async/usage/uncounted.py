"""What this process has recorded and Kelviq has not counted yet.

An answer about entitlements shows what Kelviq had counted when it was asked. So each recorded unit is
taken off what an answer says remains, from the moment it is recorded until an answer comes that was asked
for after Kelviq took it, and is given back if Kelviq refuses it. Units held by a reservation likewise.

Numbers are kept by customer, feature and second, and not by record, so that an outage costs little memory.
That works because order is kept: what ends is always what came first.
"""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from itertools import takewhile
from typing import Final

from ..api.behaviours import UsageBehaviour
from .records import Key

REMEMBERED: Final = 900.0
"""Seconds for which what was counted is remembered, for answers that are older."""
RESETS: Final = 100_000
"""Meters whose next reset is remembered."""
TOGETHER: Final = 1.0
"""Seconds whose DELTAs are kept as one number."""
OVERDUE: Final = 10.0
"""Seconds after which to look whether another process has sent a record."""
STEP: Final = 50
"""Counters gone through at a time; then others have their turn on the event loop."""


class _Open:
    """A SET, or DELTAs of about one moment, that have not ended yet."""

    __slots__ = ("at", "last", "total", "value")

    def __init__(self, number: int, value: int, at: float, *, total: bool) -> None:
        self.last = number
        self.value = value
        self.at = at
        self.total = total


class _Counter:
    """What was recorded for one key."""

    __slots__ = ("counted", "held", "open", "through")

    def __init__(self, through: int) -> None:
        # oldest first
        self.open: deque[_Open] = deque()
        # what has ended: when, SET or not, units
        self.counted: deque[tuple[float, bool, int]] = deque()
        self.held = 0
        self.through = through
        """The newest record's number of those that have ended."""

    def add(self, number: int, value: int, now: float, *, total: bool) -> None:
        newest = self.open[-1] if self.open else None
        if total or newest is None or newest.total or now - newest.at > TOGETHER:
            self.open.append(_Open(number, value, now, total=total))
        else:
            newest.value += value
            newest.last = number

    def withdraw(self, value: int, *, total: bool) -> None:
        """Take the newest one of its kind off that could not be recorded after all."""
        for place in reversed(range(len(self.open))):
            entry = self.open[place]
            if entry.total == total and (not total or entry.value == value):
                if total:
                    del self.open[place]
                else:
                    entry.value -= value
                return

    def end(self, through: int, value: int, moment: float | None, *, total: bool) -> None:
        """Take off what came first; ``moment`` is when Kelviq may have counted it, None if never."""
        self.through = through
        if moment is not None:
            self.counted.append((moment, total, value))
        while self.open and self.open[0].last <= through:
            value -= self.open.popleft().value
        if self.open and not total and not self.open[0].total:
            self.open[0].value -= value

    def end_through(self, through: int, moment: float | None) -> None:
        """Take off all up to a number."""
        self.through = max(self.through, through)
        while self.open and self.open[0].last <= through:
            entry = self.open.popleft()
            if moment is not None:
                self.counted.append((moment, entry.total, entry.value))

    def off(self, used: int | None, since: float) -> int:
        """Units to take off an answer that was asked for at a moment; see ``Uncounted.of``."""
        units = 0
        still_open = [(entry.total, entry.value) for entry in list(self.open)]
        for total, value in self._counted_after(since) + still_open:
            if not total:
                units += value
            elif used is not None:  # a new total replaces what the answer says, and what came before it
                units = value - used
        return units + self.held

    def _counted_after(self, since: float) -> list[tuple[bool, int]]:
        found = list(takewhile(lambda each: each[0] > since, reversed(list(self.counted))))
        return [(total, value) for _, total, value in reversed(found)]

    def idle(self, before: float) -> bool:
        """Forget what every answer in use has seen; whether there is nothing left."""
        while self.counted and self.counted[0][0] < before:
            self.counted.popleft()
        return not (self.open or self.counted or self.held)


class Uncounted:
    """The books of one client; all changes come from its event loop.

    Args:
        clock: Monotonic seconds, the same clock on which answers have their age.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._counters: dict[tuple[str, str], dict[str | None, _Counter]] = {}
        self._resets: OrderedDict[tuple[str, str], float] = OrderedDict()
        self._swept = 0

    def add(self, key: Key, number: int, behaviour: UsageBehaviour, value: int) -> None:
        """A record is being accepted. ``number`` grows from record to record."""
        self._counter(key, number - 1).add(
            number, value, self._clock(), total=behaviour == UsageBehaviour.SET
        )

    def withdraw(self, key: Key, behaviour: UsageBehaviour, value: int) -> None:
        """A record could not be accepted after all."""
        self._counter(key).withdraw(value, total=behaviour == UsageBehaviour.SET)

    def end(self, key: Key, through: int, behaviour: UsageBehaviour, value: int, *, counted: bool) -> None:
        """Records have come to an end.

        Args:
            key: What they were for.
            through: The newest one's number; all open ones of the key up to it have ended.
            behaviour: DELTA or SET.
            value: Their sum, or the SET's value.
            counted: Whether Kelviq counts them, or may do so; False if it never will.
        """
        counter = self._found(key)
        if counter is not None:
            moment = self._clock() if counted else None
            counter.end(through, value, moment, total=behaviour == UsageBehaviour.SET)

    def end_through(self, key: Key, through: int, *, counted: bool) -> None:
        """All records of a key up to a number have come to an end, in another process's hands."""
        counter = self._found(key)
        if counter is not None:
            counter.end_through(through, self._clock() if counted else None)

    def is_open(self, key: Key, number: int) -> bool:
        """Whether a record has not ended yet."""
        counter = self._found(key)
        return counter is not None and number > counter.through

    def overdue(self, key: Key) -> int | None:
        """The number of a record to look for, as another process may have sent it; None without one."""
        counter = self._found(key)
        if counter is None or not counter.open or counter.open[0].at >= self._clock() - OVERDUE:
            return None
        return counter.open[0].last

    def of(self, customer_id: str, feature_id: str, used: int | None, since: float) -> int:
        """Units to take off what an answer says remains.

        Args:
            customer_id: Your own id of the customer.
            feature_id: Your short name of the feature.
            used: What the answer says is used; None if it does not.
            since: When it was asked for, on the clock.
        """
        counters = self._counters.get((customer_id, feature_id))
        if not counters:
            return 0
        # what a SET of one resource does to the sum of all, nobody knows
        return sum(
            counter.off(used if resource_id is None else None, since)
            for resource_id, counter in list(counters.items())
        )

    def hold(self, customer_id: str, feature_id: str, units: int) -> None:
        """Keep units for somebody; a negative number gives them back."""
        self._counter(Key(customer_id, feature_id)).held += units

    def learn_reset(self, customer_id: str, feature_id: str, moment: float) -> None:
        """An answer said when a meter starts anew, in seconds since 1970."""
        self._resets.pop((customer_id, feature_id), None)
        self._resets[customer_id, feature_id] = moment
        if len(self._resets) > RESETS:
            self._resets.popitem(last=False)

    def reset_of(self, customer_id: str, feature_id: str, now: float) -> float | None:
        """When a meter starts anew, if that is known and still to come."""
        moment = self._resets.get((customer_id, feature_id))
        return moment if moment is not None and moment > now else None

    def forget(self) -> None:
        """Begin anew, in a process that was forked."""
        self._counters.clear()

    def sweep(self) -> Iterator[list[Key]]:
        """Go through the counters in steps, and forget what every answer in use has seen.

        Who stops half way goes on there the next time.

        Yields:
            Of each step, the keys that have something overdue.
        """
        names = list(self._counters)
        begin = self._swept if self._swept < len(names) else 0
        names = names[begin:] + names[:begin]
        for start in range(0, len(names), STEP):
            self._swept = (begin + start + STEP) % len(names)
            before = self._clock() - REMEMBERED
            keys = [key for name in names[start : start + STEP] for key in self._tidied(name, before)]
            yield [key for key in keys if self.overdue(key) is not None]
        self._swept = begin

    def _tidied(self, name: tuple[str, str], before: float) -> list[Key]:
        counters = self._counters.get(name, {})
        for resource_id, counter in list(counters.items()):
            if counter.idle(before):
                del counters[resource_id]
        if not counters:
            self._counters.pop(name, None)
        return [Key(*name, resource_id) for resource_id in counters]

    def _found(self, key: Key) -> _Counter | None:
        return self._counters.get(key[:2], {}).get(key.resource_id)

    def _counter(self, key: Key, through: int = 0) -> _Counter:
        counters = self._counters.setdefault((key.customer_id, key.feature_id), {})
        counter = counters.get(key.resource_id)
        if counter is None:
            counter = counters[key.resource_id] = _Counter(through)
        return counter
