"""What is to be sent next, and when it is worth looking at what is pending."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Collection
from typing import Final

from .grouping import Gathering
from .journal import Journal
from .policy import UsagePolicy
from .records import Key, Record, Run

READ: Final = 50_000
"""Pending records looked at in one go."""
SLICE: Final = 100
"""Of these, so many before somebody else on the event loop has a turn."""


class Upcoming:
    """Runs of records whose time has come, read from a journal.

    Args:
        journal: Where the records are; open.
        policy: The window and the caps.
        rest: Seconds after which to look in any case: another process may have put something in.
    """

    def __init__(self, journal: Journal, policy: UsagePolicy, rest: float) -> None:
        self._journal = journal
        self._policy = policy
        self._rest = rest
        self._due: deque[Run] = deque()
        self._gathering = Gathering(policy)
        self._look = True
        self._later: float | None = None
        self._read_at = -math.inf
        self._not_before = 0.0
        self._next_turn = math.inf

    def __len__(self) -> int:
        """How many runs are known to be due."""
        return len(self._due)

    def take(self, most: int) -> list[Run]:
        """The next runs that are due, those with the oldest records first."""
        return [self._due.popleft() for _ in range(min(most, len(self._due)))]

    def records(self, key: Key) -> list[Record]:
        """The records of a run that was just taken."""
        return self._gathering.records(key)

    def look(self, *, now: bool = False) -> None:
        """Something may have changed.

        Args:
            now: Whether it is worth looking whatever was read a moment ago.
        """
        self._look = True
        if now:
            self._not_before = 0.0

    def forget(self) -> None:
        """What was read may not be so any more."""
        self._due.clear()
        self._look = True

    def not_before(self, moment: float) -> None:
        """Looking again helps nobody before a moment on the monotonic clock."""
        self._not_before = moment

    def expect(self, moment: float) -> bool:
        """Something will be due at a moment, in seconds since 1970; whether nothing was expected before."""
        if self._later is not None:
            return False
        self._later = moment
        return True

    def wait(self) -> float:
        """Seconds until it is worth looking at what is pending."""
        now = time.monotonic()
        moment = min(self._read_at + self._rest, self._next_turn)
        if self._look:
            moment = now
        elif self._later is not None:
            moment = min(moment, now + self._later - time.time())
        return max(moment, self._not_before) - now

    async def read(
        self, *, ahead: float, skip: Collection[Key], until: float, hurry: bool, busy: bool
    ) -> None:
        """Look at what is pending.

        Args:
            ahead: Seconds by which Kelviq's time is ahead of ours.
            skip: Keys to leave out ...
            until: ... and when the next one of these has its turn, on the monotonic clock.
            hurry: Whether all of it is due.
            busy: Whether reports are on their way, of which each that ends lets others go.
        """
        began = time.monotonic()
        self._look, self._later, self._read_at, self._next_turn = False, None, began, until
        waiting = await self._journal.waiting(READ, skip)
        gathering = self._gathering = Gathering(self._policy, ahead)
        for start in range(0, len(waiting), SLICE):
            gathering.take(waiting[start : start + SLICE])
            await asyncio.sleep(0)
        later: list[float | None] = []
        hurry = hurry or len(waiting) >= READ
        for number, (run, moment) in enumerate(gathering.due(time.time(), hurry=hurry), 1):
            if run is None:
                later.append(moment)
            else:
                self._due.append(run)
            if number % SLICE == 0:
                await asyncio.sleep(0)
        # what was recorded meanwhile may have set it, too
        later.append(self._later)
        self._later = min((each for each in later if each is not None), default=None)
        if busy:
            # a report that ends frees one key, for which all the others need not be read each time
            ended = time.monotonic()
            self._not_before = ended + 4 * (ended - began)
