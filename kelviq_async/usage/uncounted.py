"""What this process has recorded and Kelviq has not counted yet.

An answer about entitlements shows what Kelviq had counted when it was asked. So each recorded unit is
taken off what an answer says remains, from the moment it is recorded until an answer comes that was asked
for after Kelviq took it, and is given back if Kelviq refuses it. Units held by a reservation likewise.

Sums are kept by customer, feature and second, and not by record, so that an outage costs little memory.
"""

from __future__ import annotations

import time
from bisect import bisect_left, bisect_right
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
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
    """A SET, or DELTAs of about one moment, that have not all ended yet."""

    __slots__ = ("at", "count", "ended", "first", "last", "total", "value")

    def __init__(self, number: int, value: int, at: float, *, total: bool) -> None:
        self.first = self.last = number
        self.count = 1
        self.value = value
        self.at = at
        self.total = total
        # which ones have ended, as soon as one has; mostly they end together
        self.ended: set[int] | None = None

    def add(self, number: int, value: int) -> None:
        self.last = number
        self.count += 1
        self.value += value

    def take(self, numbers: Sequence[int], values: Sequence[int]) -> int | None:
        """Take some off that lie within; the sum of those that were still there, None if none was."""
        if not self.count:
            return None
        if self.ended is None:
            if len(numbers) == self.count:
                self.count, units, self.value = 0, self.value, 0
                return units
            self.ended = set()
        if not self.ended.isdisjoint(numbers):
            left = [each for each in zip(numbers, values, strict=True) if each[0] not in self.ended]
            if not left:
                return None
            numbers, values = zip(*left, strict=True)
        self.ended.update(numbers)
        self.count -= len(numbers)
        units = sum(values)
        self.value -= units
        return units


class _Counter:
    """What was recorded for one key."""

    __slots__ = ("counted", "held", "open")

    def __init__(self) -> None:
        # oldest first
        self.open: deque[_Open] = deque()
        # what has ended: when, SET or not, units
        self.counted: deque[tuple[float, bool, int]] = deque()
        self.held = 0

    def add(self, number: int, value: int, now: float, *, total: bool) -> None:
        newest = self.open[-1] if self.open else None
        # one that has ended, and still stands behind an older one, stays ended
        if total or newest is None or newest.total or not newest.count or now - newest.at > TOGETHER:
            self.open.append(_Open(number, value, now, total=total))
        else:
            newest.add(number, value)

    def withdraw(self, number: int, value: int) -> None:
        """Take one off that could not be recorded after all."""
        self._take((number,), (value,))

    def end(
        self, numbers: Sequence[int], values: Sequence[int], moment: float | None, *, total: bool
    ) -> None:
        """Take off what has ended; ``moment`` is when Kelviq may have counted it, None if never."""
        units = self._take(numbers, values)
        if units is not None and moment is not None:
            self.counted.append((moment, total, units))

    def _take(self, numbers: Sequence[int], values: Sequence[int]) -> int | None:
        """Take some off; the sum of those that were still there, None if none was."""
        found: int | None = None
        for entry in self.open:
            start, end = bisect_left(numbers, entry.first), bisect_right(numbers, entry.last)
            units = entry.take(numbers[start:end], values[start:end]) if start < end else None
            if units is not None:
                found = units + (found or 0)
            if end == len(numbers):
                break
        while self.open and not self.open[0].count:
            self.open.popleft()
        return found

    def end_through(self, through: int, moment: float | None) -> None:
        """Take off all up to a number."""
        while self.open and self.open[0].last <= through:
            entry = self.open.popleft()
            if moment is not None and entry.count:
                self.counted.append((moment, entry.total, entry.value))

    def off(self, used: int | None, since: float) -> int:
        """Units to take off an answer that was asked for at a moment; see ``Uncounted.of``."""
        units = 0
        still_open = [(entry.total, entry.value) for entry in list(self.open) if entry.count]
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
        self._counter(key).add(number, value, self._clock(), total=behaviour == UsageBehaviour.SET)

    def withdraw(self, key: Key, number: int, value: int) -> None:
        """A record could not be accepted after all, as far as is known. If it has ended, it stays so."""
        self._counter(key).withdraw(number, value)

    def end(
        self,
        key: Key,
        numbers: Sequence[int],
        values: Sequence[int],
        behaviour: UsageBehaviour,
        *,
        counted: bool,
    ) -> None:
        """Records have come to an end. Those that had ended before are left alone.

        Args:
            key: What they were for.
            numbers: Their numbers, each larger than the one before.
            values: Their values.
            behaviour: DELTA or SET.
            counted: Whether Kelviq counts them, or may do so; False if it never will.
        """
        counter = self._found(key)
        if counter is not None:
            moment = self._clock() if counted else None
            counter.end(numbers, values, moment, total=behaviour == UsageBehaviour.SET)

    def end_through(self, key: Key, through: int, *, counted: bool) -> None:
        """All records of a key up to a number have come to an end, in another process's hands."""
        counter = self._found(key)
        if counter is not None:
            counter.end_through(through, self._clock() if counted else None)

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

    def _counter(self, key: Key) -> _Counter:
        counters = self._counters.setdefault((key.customer_id, key.feature_id), {})
        counter = counters.get(key.resource_id)
        if counter is None:
            counter = counters[key.resource_id] = _Counter()
        return counter
