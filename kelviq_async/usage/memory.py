"""A journal that forgets: for tests, and for usage that may be lost."""

from __future__ import annotations

import bisect
import heapq
import logging
import math
import os
import secrets
import time
from collections.abc import Collection, Sequence
from itertools import islice
from typing import Final

import attrs

from ..api.behaviours import UsageBehaviour
from ..errors import ConfigError
from .journal import JournalError, Owner, Scope, Seen
from .records import MOVES, Key, Ledger, Record, Report, Run, State, Waiting

logger = logging.getLogger("kelviq_async")


_OVER: Final = frozenset({State.DELIVERED, State.DISCARDED})
_LATE: Final = frozenset({State.DELIVERED, State.UNRESOLVED})


class MemoryJournal:
    """Keeps usage in this process and nowhere else: what is pending when the process ends is lost.

    It keeps what it holds when its client closes, as long as the object itself lives. A forked child
    starts with an empty one.

    Args:
        most: Records it holds at most; then it takes no more until some are delivered. Those that are
            delivered or discarded make room for new ones, also before they would have been folded.
        adopt: Whether it may be opened for another account than before.

    Raises:
        ConfigError: ``most`` is no whole number of at least 1.
    """

    def __init__(self, *, most: int = 1_000_000, adopt: bool = False) -> None:
        if type(most) is not int or most < 1:
            raise ConfigError("most must be a whole number of at least 1")
        self._most = most
        self._adopt = adopt
        self._begin()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._scope: Scope | None = None
        self._place = 0
        self._pending: dict[Key, list[Waiting]] = {}
        self._ids: dict[str, str | None] = {}
        self._reports: dict[str, tuple[Report, list[Waiting]]] = {}
        self._flying: set[Key] = set()
        self._owners: dict[str, tuple[Owner, float]] = {}
        self._accepted = 0
        self._folded = dict.fromkeys(State, 0)
        self._over = 0
        self._late = 0
        self._last_folded: dict[Key, int] = {}

    def __repr__(self) -> str:
        """How much it holds."""
        return f"<MemoryJournal {len(self._ids)} records>"

    async def open(self, scope: Scope | None) -> None:
        """See ``Journal.open``.

        Raises:
            ConfigError: It belongs to another environment, host or account.
        """
        if self._pid != os.getpid():
            self._begin()
        if scope is None:
            if self._scope is None:
                raise ConfigError("this journal in memory has never been opened: there is nothing to look at")
            return
        if self._scope is not None:
            self._scope.admit(scope, adopt=self._adopt)
        self._scope = scope

    async def append(self, records: Sequence[Record]) -> None:
        """See ``Journal.append``.

        Raises:
            JournalError: It holds as many as it may.
        """
        new: dict[str, Record] = {}
        for record in records:
            if record.id not in self._ids:
                new.setdefault(record.id, record)
        after = len(self._ids) + len(new)
        if after > self._most >= after - self._over:
            await self.fold(math.inf)
        if len(self._ids) + len(new) > self._most:
            raise JournalError(f"the journal in memory holds {len(self._ids)} records and may hold no more")
        for record in new.values():
            self._place += 1
            self._ids[record.id] = None
            self._pending.setdefault(record.key, []).append(Waiting(self._place, record))
        self._accepted += len(new)

    async def waiting(self, limit: int, skip: Collection[Key] = ()) -> Sequence[Waiting]:
        """See ``Journal.waiting``."""
        found = (
            pending for key, pending in self._pending.items() if key not in self._flying and key not in skip
        )
        return list(islice(heapq.merge(*found), limit))

    async def claim(self, runs: Sequence[Run], owner: Owner) -> Sequence[Report]:
        """See ``Journal.claim``."""
        await self.beat(owner)
        now = time.time()
        claimed = []
        for run in runs:
            pending = self._pending.get(run.key, [])
            through = bisect.bisect_right(pending, run.last, key=lambda each: each.place)
            taken = pending[:through]
            if run.key in self._flying or not _same(run, taken):
                continue
            report = Report.claimed(secrets.token_hex(8), run, owner.id, now)
            del pending[:through]
            if not pending:
                del self._pending[run.key]
            self._flying.add(run.key)
            self._put(report, taken)
            claimed.append(report)
        return claimed

    def _put(self, report: Report, taken: list[Waiting]) -> None:
        self._reports[report.id] = report, taken
        for each in taken:
            self._ids[each.record.id] = report.id

    async def move(
        self,
        report_id: str,
        state: State,
        *,
        reason: str = "",
        note: str | None = None,
        late: bool | None = None,
        among: Collection[State] | None = None,
    ) -> Report | None:
        """See ``Journal.move``."""
        report, taken = self._reports.get(report_id, (None, []))
        if report is None or state not in MOVES[report.state]:
            return None
        if among is not None and report.state not in among:
            return None
        if report.state is State.IN_FLIGHT:
            self._flying.discard(report.key)
        moved = attrs.evolve(
            report,
            state=state,
            reason=reason,
            ended_at=time.time(),
            note=report.note if note is None else note,
            late=report.late if late is None else late,
        )
        if state is not State.PENDING:
            self._reports[report_id] = moved, taken
            self._over += report.records if state in _OVER else 0
            return moved
        del self._reports[report_id]
        if late is False:
            taken = [Waiting(place, record._replace(reset_at=None)) for place, record in taken]
        pending = self._pending.setdefault(report.key, [])
        pending += taken
        pending.sort()
        for each in taken:
            self._ids[each.record.id] = None
        return moved

    async def overtaken(self, report_id: str) -> bool:
        """See ``Journal.overtaken``."""
        report, taken = self._reports.get(report_id, (None, []))
        if report is None:
            return False
        sent = {State.IN_FLIGHT, State.DELIVERED, State.UNRESOLVED}
        last = taken[-1].place
        return self._last_folded.get(report.key, 0) > last or any(
            other.key == report.key and other.state in sent and others[-1].place > last
            for other, others in self._reports.values()
        )

    async def beat(self, owner: Owner) -> None:
        """See ``Journal.beat``."""
        # also on a clock that ticks rarely, this beat is told from the one before
        _, before = self._owners.get(owner.id, (owner, -math.inf))
        self._owners[owner.id] = owner, max(time.monotonic(), math.nextafter(before, math.inf))

    async def owners(self) -> Sequence[Seen]:
        """See ``Journal.owners``."""
        now = time.monotonic()
        return [Seen(owner, beat, max(0.0, now - beat)) for owner, beat in self._owners.values()]

    async def lapse(self, seen: Seen, reason: str) -> Sequence[Report]:
        """See ``Journal.lapse``."""
        if self._owners.get(seen.owner.id) != (seen.owner, seen.beat):
            return []
        del self._owners[seen.owner.id]
        put = []
        for report, _ in list(self._reports.values()):
            if report.owner == seen.owner.id and report.state is State.IN_FLIGHT:
                delta = report.behaviour == UsageBehaviour.DELTA
                state = State.UNRESOLVED if delta else State.PENDING
                moved = await self.move(report.id, state, reason=reason)
                put += [moved] if moved else []
        return put

    async def leave(self, owner: Owner) -> None:
        """See ``Journal.leave``."""
        # what it has in flight nevertheless is only found by others while it is known
        flying = (report for report, _ in self._reports.values() if report.state is State.IN_FLIGHT)
        if all(report.owner != owner.id for report in flying):
            self._owners.pop(owner.id, None)

    async def ledger(self) -> Ledger:
        """See ``Journal.ledger``."""
        counts = dict(self._folded)
        late = self._late
        for report, _ in self._reports.values():
            counts[report.state] += report.records
            late += report.records if report.late and report.state in _LATE else 0
        counts[State.PENDING] = sum(map(len, self._pending.values()))
        oldest = min((each[0].record.recorded_at for each in self._pending.values()), default=None)
        return Ledger(
            accepted=self._accepted,
            late=late,
            oldest=oldest,
            **{state.value: count for state, count in counts.items()},
        )

    async def reports(self, state: State, limit: int = 1000) -> Sequence[Report]:
        """See ``Journal.reports``."""
        found = [report for report, _ in self._reports.values() if report.state is state]
        return found[:limit]

    async def find(self, id: str) -> Report | None:
        """See ``Journal.find``."""
        report, _ = self._reports.get(self._ids.get(id) or id, (None, []))
        return report

    async def fold(self, before: float) -> int:
        """See ``Journal.fold``."""
        folded = 0
        for report, taken in list(self._reports.values()):
            if report.state in _OVER and report.ended_at is not None and report.ended_at < before:
                del self._reports[report.id]
                self._folded[report.state] += report.records
                self._over -= report.records
                self._late += report.records if report.late and report.state in _LATE else 0
                for each in taken:
                    del self._ids[each.record.id]
                folded += report.records
                if report.state is State.DELIVERED and taken:
                    last = max(taken[-1].place, self._last_folded.get(report.key, 0))
                    self._last_folded[report.key] = last
        # who is still there may have to know what has come after it, also while it is pending again
        there = {report.key for report, _ in self._reports.values()} | self._pending.keys()
        self._last_folded = {key: last for key, last in self._last_folded.items() if key in there}
        return folded

    async def close(self) -> None:
        """Say so if something is lost unless this very object is used again."""
        lost = sum(map(len, self._pending.values()))
        if lost:
            logger.warning(
                "%d usage records are pending in a MemoryJournal, which forgets them with the process", lost
            )


def _same(run: Run, taken: Sequence[Waiting]) -> bool:
    """Whether these records are the run: the oldest of a key, up to the last of the run."""
    return (
        bool(taken)
        and (taken[0].place, taken[-1].place, len(taken)) == (run.first, run.last, run.records)
        and sum(each.record.value for each in taken) == run.value
    )
