"""Entitlements that processes share through a store.

An answer is kept for the others only if the store still holds what it held before the call began.
An invalidation leaves a tombstone behind, so an answer that was fetched before it and comes late
finds something else there and stays out, without any two clocks having to agree.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, NamedTuple

from ..api.entitlements import CustomerEntitlements
from ..stores import Store, StoreFailed
from .entries import Entry, grants, packed, tombstone, unpacked
from .memory import Memory
from .news import MOURNING, News

SKEW: Final = 2.0
"""Seconds by which another machine's clock may be ahead of ours."""
LONGEST_CALL: Final = MOURNING / 2
"""Seconds after which an answer is not kept, since a tombstone might have lapsed meanwhile."""
LONGEST_LIFE: Final = 30 * 86400.0
"""Seconds after which the store forgets an answer, whatever the policy."""
WRITES: Final = 256
"""Answers on their way to the store at once; further ones are not kept."""
LOOKED_UP: Final = 4096
"""Customers of which it is remembered what the store held when they were looked up, and when they were
last invalidated."""
LOOK_AGAIN: Final = 1.0
"""Seconds between two attempts to find out why an entry is of another era than ours."""


_Found = tuple[CustomerEntitlements | None, float]


class _Seen(NamedTuple):
    """What the store held of a customer, and when that was, on the monotonic clock."""

    value: bytes | None
    moment: float
    era: str


class _Lookup:
    """A look into the store under way, for all who ask about the same customer."""

    __slots__ = ("outdated", "task", "waiting")

    def __init__(self) -> None:
        self.outdated = False
        self.task: asyncio.Task[_Found | None] | None = None
        self.waiting = 0


class Fleet:
    """Entitlements shared by processes.

    Nothing here raises because the store fails, and a check waits for no more than one of the
    store's commands, which have a deadline; at the very first use also for the listening to begin,
    about as long.

    Args:
        store: Where answers are kept, and what carries invalidations.
        memory: What this process knows; invalidations by others take effect there.
        environment: The environment of all these customers.
        host: Address of the edge service that is asked.
        account: Whose customers they are. Clients with different keys need the same one to share.
        now: Seconds on the wall clock.
    """

    def __init__(
        self,
        store: Store,
        memory: Memory,
        *,
        environment: str,
        host: str,
        account: str,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.outdate: Callable[[str | None], None] = lambda _: None
        """Keeps the answer of a call under way out, of one customer or (None) of all; set by the owner."""
        self._store = store
        self._memory = memory
        self._now = now
        self._news = News(store, (environment, host, account), self._forget)
        policy = memory.policy
        longest = max([policy.max_stale, policy.fresh, *map(policy.stale_for, policy.features)])
        self._longest = min(longest, LONGEST_LIFE)
        self._seen: OrderedDict[str, _Seen] = OrderedDict()
        self._lookups: dict[str, _Lookup] = {}
        self._writing = 0
        self._looked_again = 0.0
        self._closed = False
        self._invalidated: OrderedDict[str, float] = OrderedDict()

    async def start(self) -> None:
        """Begin to listen to the others. The first use does that too."""
        self.begin()
        await self._news.start()

    async def aclose(self) -> None:
        """Finish what is on its way to the store, within a moment, and stop listening.

        The store itself stays open. A later use starts again, with nothing in memory: nobody hears
        any more what is invalidated.
        """
        self._closed = True
        await self._news.aclose()
        self._drop(None)
        self._memory.clear()

    async def found(self, customer_id: str) -> _Found | None:
        """What some process has fetched of a customer.

        Ask before each call, even where an old answer is known: ``keep`` needs what this has seen.

        Args:
            customer_id: Your own id of the customer.

        Returns:
            The answer, or None in its place for a customer Kelviq does not know, and when its call
            began on this process's monotonic clock. It may be as old as the policy ever allows:
            whether it is fresh is for the caller to judge. None where there is nothing.
        """
        self.begin()
        lookup = self._lookups.get(customer_id)
        if lookup is None:
            lookup = self._lookups[customer_id] = _Lookup()
            lookup.task = self._news.spawn(self._look(customer_id, lookup))
        task = lookup.task
        if task is None:  # it is about to begin, on this very stack; untested: only eager tasks do that
            return None
        lookup.waiting += 1
        try:
            await asyncio.wait([task])  # and not the task itself: nobody's cancellation is another one's
        finally:
            lookup.waiting -= 1
            if not lookup.waiting and self._lookups.get(customer_id) is lookup:
                del self._lookups[customer_id]
        # between the end of a task and its waiters' next step there is room for an invalidation
        return None if lookup.outdated or task.cancelled() else task.result()

    def begin(self) -> None:
        """Be in use on the running loop."""
        self._closed = False
        if not self._news.on_this_loop():
            self._drop(None)
            self._writing = 0
            self._memory.clear()  # who has not listened so far has heard of nothing
        _ = self._news.begin()

    async def _look(self, customer_id: str, lookup: _Lookup) -> _Found | None:
        news = self._news
        try:
            await news.started()
            news.settle()
            if news.era is None:
                news.look_for_era()
            if news.era is None or news.owes(customer_id):
                return None
            era, moment = news.era, self._memory.clock()
            value = await self._store.get(news.key(customer_id))
        except StoreFailed:
            return None
        # Messages come by another way than values: one that came meanwhile may be about this very value.
        if lookup.outdated:
            return None
        before = self._seen.pop(customer_id, None)
        if before is not None and before[::2] == (value, era) and moment - before.moment < LONGEST_CALL / 2:
            moment = before.moment  # a call that began in between may still be kept
        self._seen[customer_id] = _Seen(value, moment, era)
        if len(self._seen) > LOOKED_UP:
            self._seen.popitem(last=False)
        entry = None if value is None else unpacked(customer_id, value)
        found = None if entry is None else self._usable(entry)
        # a store that lost its tombstones takes anything; what is this old is none the less
        return None if found is None or found[1] < self._invalidated.get(customer_id, -math.inf) else found

    def keep(self, customer_id: str, answer: CustomerEntitlements | None, start: float) -> None:
        """Keep an answer for the others, behind the scenes.

        Args:
            customer_id: Your own id of the customer.
            answer: All they have; None says that Kelviq does not know them.
            start: When its call began, on the monotonic clock.
        """
        if not self._news.on_this_loop():
            return  # it was closed meanwhile
        seen = self._seen.get(customer_id)
        if seen is not None and seen.moment <= start:
            del self._seen[customer_id]
        if (
            seen is not None
            and seen.moment <= start  # or it is what a later call has seen
            and seen.era == self._news.era
            and self._memory.clock() - seen.moment < LONGEST_CALL
            and self._writing < WRITES
        ):
            self._writing += 1
            writing = self._news.spawn(self._write(customer_id, answer, start, seen))
            writing.add_done_callback(self._written)
        elif not grants(answer):
            # It cannot be kept, but what it contradicts must not stay either. Untested: it takes a no
            # whose call nobody looked up first, or that came minutes late.
            self._news.owe(customer_id)
            self._news.settle()

    async def invalidate(self, customer_id: str) -> None:
        """Have all processes forget a customer. If the store fails, that is made up for later.

        Args:
            customer_id: Your own id of the customer.
        """
        self._drop(customer_id)
        self._begin_to_tell()
        await self._news.tell(customer_id)

    async def invalidate_all(self) -> None:
        """Have all processes forget everybody, likewise."""
        self._drop(None)
        self._begin_to_tell()
        await self._news.tell_all()

    def _begin_to_tell(self) -> None:
        """Who cannot tell now listens for when that has changed, unless another loop does or it is closed."""
        if not self._closed and not self._news.is_elsewhere():
            self.begin()

    async def _write(
        self, customer_id: str, answer: CustomerEntitlements | None, start: float, seen: _Seen
    ) -> None:
        granting = grants(answer)
        age = self._memory.clock() - start
        life = (self._longest if granting else min(self._memory.policy.denied, self._longest)) - age
        entry = Entry(answer, int((self._now() - age) * 1000), seen.era)
        value = packed(customer_id, entry) if life > 0 else None
        key = self._news.key(customer_id)
        try:
            if value is None:
                if seen.value is not None:
                    await self._store.replace(key, seen.value, tombstone(), MOURNING)
            # What was there may have lapsed by itself; a tombstone would have outlived the call.
            elif seen.value is None or not await self._store.replace(key, seen.value, value, life):
                await self._store.add(key, value, life)
        except StoreFailed:
            if not granting:
                self._news.owe(customer_id)

    def _written(self, _: object) -> None:
        self._writing -= 1

    def _usable(self, entry: Entry) -> _Found | None:
        clock = self._memory.clock()
        if entry.era != self._news.era:
            # Mostly it is the entry that is outdated. It may be us, if the store lost the era's name.
            if clock >= self._looked_again + LOOK_AGAIN:
                self._looked_again = clock
                self._news.look_for_era()
            return None
        age = int(self._now() * 1000) - entry.start
        limit = self._longest if grants(entry.answer) else self._memory.policy.denied
        if not -SKEW * 1000 <= age < limit * 1000:
            return None
        return entry.answer, clock - max(0, age) / 1000

    def _drop(self, customer_id: str | None) -> None:
        """What was seen of a customer, or of everybody (None), is no longer so."""
        for each in [customer_id] if customer_id is not None else list(self._lookups):
            lookup = self._lookups.pop(each, None)
            if lookup is not None:
                lookup.outdated = True
        if customer_id is None:
            self._seen.clear()
            return
        self._seen.pop(customer_id, None)
        self._invalidated.pop(customer_id, None)
        self._invalidated[customer_id] = self._memory.clock()
        if len(self._invalidated) > LOOKED_UP:
            self._invalidated.popitem(last=False)

    def _forget(self, customer_id: str | None) -> None:
        """Another process has invalidated a customer, or everybody (None)."""
        self._drop(customer_id)
        self.outdate(customer_id)
        if customer_id is None:
            self._memory.clear()
        else:
            self._memory.forget(customer_id)
