"""What the processes of a fleet tell each other about customers, through a store.

An answer is kept for the others only if the store still holds what it held before the call began.
An invalidation leaves a tombstone behind, so an answer that was fetched before it and comes late
finds something else there and stays out, without any two clocks having to agree.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from typing import Any, Final, NamedTuple

from .. import codec
from ..api.entitlements import CustomerEntitlements
from ..errors import CodecError
from ..stores import Store, StoreFailed, Subscription
from .entries import Entry, grants, packed, tombstone, unpacked
from .memory import Memory

logger = logging.getLogger("kelviq_async")

MOURNING: Final = 300.0
"""Seconds a tombstone lasts. An answer that took longer than that is not kept."""
SKEW: Final = 2.0
"""Seconds by which another machine's clock may be ahead of ours."""
START: Final = 0.1
"""Seconds a check waits for the fleet to get going."""
WRITES: Final = 256
"""Answers on their way to the store at once; further ones are not kept."""
LOOKED_UP: Final = 4096
"""Customers of which it is remembered what the store held when they were looked up."""
OWED: Final = 10_000
"""Invalidations that are remembered while the store fails; beyond that, everybody is invalidated."""
REREAD: Final = 1.0
"""Seconds between two looks at whether an entry of another era is right and we are not."""


class _Seen(NamedTuple):
    """What the store held under a customer's key, and when that was, on the monotonic clock."""

    value: bytes | None
    moment: float
    era: str


class Fleet:
    """Entitlements shared by processes.

    It never raises because of the store, and never makes a check wait for longer than one of the
    store's commands may take. It starts by itself at the first use.

    Args:
        store: Where answers are kept, and what carries messages.
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
        self._scope = (environment, host, account)
        policy = memory.policy
        self._longest = max([policy.max_stale, policy.fresh, *map(policy.stale_for, policy.features)])
        self._era_key = f"entitlements:era:{_digest(*self._scope)}"
        self._channel = f"entitlements:changes:{_digest(*self._scope)}"
        self._name = secrets.token_hex(8)
        self._reset()

    def _reset(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._starting: asyncio.Task[None] | None = None
        self._subscription: Subscription | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._writes = 0
        self._seen: OrderedDict[str, _Seen] = OrderedDict()
        self._era: str | None = None
        self._news = 0
        self._reading = False
        self._settling = False
        self._reread_at = 0.0
        self._owed: dict[str, object] = {}
        self._owes_all: object | None = None

    async def start(self) -> None:
        """Begin to listen to the others. The first use does that too."""
        await asyncio.wait([self._started()])

    async def aclose(self) -> None:
        """Finish what is on its way to the store, within a moment, and stop listening."""
        if self._loop is asyncio.get_running_loop():
            if self._tasks:
                await asyncio.wait(self._tasks, timeout=START)
            for task in list(self._tasks):
                task.cancel()
            if self._tasks:
                await asyncio.wait(self._tasks)
            if self._subscription is not None:
                await self._subscription.aclose()
        self._reset()

    async def found(self, customer_id: str) -> tuple[CustomerEntitlements | None, float] | None:
        """What some process has fetched of a customer.

        Always ask before a call, even if an old answer is known: ``keep`` needs to know what was there.

        Args:
            customer_id: Your own id of the customer.

        Returns:
            The answer, or None in its place for a customer Kelviq does not know, and when its call
            began on this process's monotonic clock. It may be as old as the policy ever allows:
            whether it is fresh is for the caller to judge. None where there is nothing.
        """
        starting = self._started()
        if not starting.done():
            await asyncio.wait([starting], timeout=START)
        if self._era is None:
            self._read_era()
            return None
        if customer_id in self._owed or self._owes_all is not None:
            self._settle()
            return None
        mark = self._remember(customer_id, _Seen(None, self._memory.clock(), self._era))
        try:
            value = await self._store.get(self._key(customer_id))
        except StoreFailed:
            self._forget(customer_id, mark)
            return None
        except BaseException:
            self._forget(customer_id, mark)
            raise
        self._settle()
        # Messages come by another way than values: one that came meanwhile may be about this very value.
        if self._seen.get(customer_id) is not mark:
            return None
        self._seen[customer_id] = mark._replace(value=value)
        entry = unpacked(customer_id, value) if value is not None else None
        return None if entry is None else self._usable(entry)

    def keep(self, customer_id: str, answer: CustomerEntitlements | None, start: float) -> None:
        """Keep an answer for the others, behind the scenes.

        Args:
            customer_id: Your own id of the customer.
            answer: All they have; None says that Kelviq does not know them.
            start: When its call began, on the monotonic clock.
        """
        seen = self._seen.pop(customer_id, None)
        age = self._memory.clock() - start
        current = seen is not None and seen.moment <= start and seen.era == self._era and age < MOURNING
        if current and self._writes < WRITES:
            self._writes += 1
            self._spawn(self._write(customer_id, answer, seen, age))
        elif not grants(answer):
            self._spawn(self._tell(customer_id))

    async def invalidate(self, customer_id: str) -> None:
        """Have all processes forget a customer. If the store fails, that is made up for later.

        Args:
            customer_id: Your own id of the customer.
        """
        self._started()
        self._seen.pop(customer_id, None)
        await self._tell(customer_id)

    async def invalidate_all(self) -> None:
        """Have all processes forget everybody, likewise."""
        self._started()
        self._seen.clear()
        await self._tell_all()

    async def _write(
        self, customer_id: str, answer: CustomerEntitlements | None, seen: _Seen | None, age: float
    ) -> None:
        try:
            if seen is None:
                return
            granting = grants(answer)
            entry = Entry(answer, int((self._now() - age) * 1000), seen.era)
            lifetime = (self._longest if granting else self._memory.policy.denied) - age
            value = packed(customer_id, entry) if lifetime > 0 else None
            key = self._key(customer_id)
            try:
                if value is None:
                    # Not to be kept, but what it contradicts must not stay either.
                    if seen.value is not None:
                        await self._store.replace(key, seen.value, tombstone(), MOURNING)
                    return
                # What was there may have lapsed by itself; a tombstone would have outlived the call.
                if seen.value is None or not await self._store.replace(key, seen.value, value, lifetime):
                    await self._store.add(key, value, lifetime)
            except StoreFailed:
                if not granting:
                    self._owe(customer_id)
        finally:
            self._writes -= 1

    def _usable(self, entry: Entry) -> tuple[CustomerEntitlements | None, float] | None:
        if entry.era != self._era:
            if self._memory.clock() >= self._reread_at:
                self._reread_at = self._memory.clock() + REREAD
                self._read_era()
            return None
        age = int(self._now() * 1000) - entry.start
        limit = self._longest if grants(entry.answer) else self._memory.policy.denied
        if not -SKEW * 1000 <= age < limit * 1000:
            return None
        return entry.answer, self._memory.clock() - max(0, age) / 1000

    def _key(self, customer_id: str) -> str:
        return f"entitlements:{_digest(*self._scope, customer_id)}"

    def _remember(self, customer_id: str, seen: _Seen) -> _Seen:
        self._seen[customer_id] = seen
        self._seen.move_to_end(customer_id)
        if len(self._seen) > LOOKED_UP:
            self._seen.popitem(last=False)
        return seen

    def _forget(self, customer_id: str, mark: _Seen) -> None:
        if self._seen.get(customer_id) is mark:
            del self._seen[customer_id]

    # Telling the others

    async def _tell(self, customer_id: str) -> None:
        # Owed until it is done: also if this is cancelled, or asked for again meanwhile.
        mark = self._owe(customer_id)
        try:
            await self._store.set(self._key(customer_id), tombstone(), MOURNING)
            await self._publish(customer_id)
        except StoreFailed as error:
            logger.warning("an invalidation could not be passed on yet: %s", error.message)
            return
        if self._owed.get(customer_id) is mark:
            del self._owed[customer_id]

    async def _tell_all(self) -> None:
        mark = self._owes_all = object()
        self._news += 1
        self._era = era = secrets.token_hex(8)
        try:
            await self._store.set(self._era_key, era.encode())
            await self._publish(None)
        except StoreFailed as error:
            logger.warning("an invalidation of everybody could not be passed on yet: %s", error.message)
            return
        if self._owes_all is mark:
            self._owes_all = None

    async def _publish(self, customer_id: str | None) -> None:
        try:
            message = codec.encode([self._name, customer_id])
        except CodecError:  # an id that JSON cannot say
            message = b""
        await self._store.publish(self._channel, message)

    def _owe(self, customer_id: str) -> object:
        mark = self._owed[customer_id] = object()
        if len(self._owed) > OWED:
            self._owed.clear()
            self._owes_all = mark
        return mark

    def _settle(self) -> None:
        """Make up for invalidations that failed."""
        if (self._owed or self._owes_all is not None) and not self._settling:
            self._settling = True
            self._spawn(self._settled())

    async def _settled(self) -> None:
        try:
            if self._owes_all is not None:
                await self._tell_all()
            for customer_id in list(self._owed):
                if self._owes_all is not None:
                    return
                await self._tell(customer_id)
                if customer_id in self._owed:
                    return  # the store still fails
        finally:
            self._settling = False

    # Listening to the others

    def _heard(self, message: bytes) -> None:
        try:
            origin, customer_id = codec.decode(message)
        except (ValueError, TypeError):
            origin, customer_id = "", None
        if origin == self._name:
            return
        if isinstance(customer_id, str):
            self._seen.pop(customer_id, None)
            self.outdate(customer_id)
            self._memory.forget(customer_id)
        else:
            # Everybody; and so is what a newer version may say that we do not understand.
            self._missed()

    def _missed(self) -> None:
        """Forget everything, as nobody knows what was invalidated."""
        self._seen.clear()
        self.outdate(None)
        self._memory.clear()
        self._news += 1
        self._era = None
        if self._owes_all is None:
            self._read_era()
        self._settle()

    def _read_era(self) -> None:
        if not self._reading:
            self._reading = True
            self._spawn(self._era_read())

    async def _era_read(self) -> None:
        try:
            while True:
                news = self._news
                found = await self._store.get(self._era_key)
                if found is None:
                    # A new name: entries of whatever was called so before must not come back to life.
                    await self._store.add(self._era_key, secrets.token_hex(8).encode())
                    continue
                if news == self._news:
                    self._era = found[:64].decode("ascii", "replace")
                    return
        except StoreFailed:
            return
        finally:
            self._reading = False

    # Tasks

    def _started(self) -> asyncio.Task[None]:
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._reset()
            self._loop = loop
        starting = self._starting
        if starting is None or (starting.done() and self._subscription is None):
            starting = self._starting = self._spawn(self._start())
        return starting

    async def _start(self) -> None:
        try:
            self._subscription = await self._store.subscribe(self._channel, self._heard, self._missed)
        except StoreFailed:
            return
        self._reading = True
        await self._era_read()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _digest(*parts: str) -> str:
    """One name for several texts; their lengths are in it, so that none can reach into the next."""
    text = "".join(f"{len(part)}:{part}" for part in parts)
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=20).hexdigest()
