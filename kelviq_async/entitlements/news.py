"""What the processes of a fleet tell each other: that a customer, or everybody, is to be forgotten.

What could not be told because the store failed is owed, and made up for when it is back. Until then
nothing the store has of that customer is believed.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import secrets
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

from .. import codec
from ..errors import CodecError
from ..stores import Store, StoreFailed, Subscription
from .entries import tombstone

T = TypeVar("T")

logger = logging.getLogger("kelviq_async")

MOURNING: Final = 300.0
"""Seconds a tombstone lasts, which is much longer than a call."""
PATIENCE: Final = 0.1
"""Seconds that a check waits for the listening to begin."""
OWED: Final = 10_000
"""Invalidations that are remembered while the store fails; beyond that, everybody is invalidated."""
_READINGS: Final = 5


class News:
    """Invalidations, told and heard.

    Everybody is invalidated by beginning a new era: entries of another one count for nothing.

    Args:
        store: What carries the news.
        scope: What all these customers have in common.
        forget: Called with a customer that another process has invalidated, or None for everybody.
    """

    def __init__(self, store: Store, scope: tuple[str, ...], forget: Callable[[str | None], None]) -> None:
        self._store = store
        self._scope = scope
        self._forget = forget
        self._era_key = f"entitlements:era:{_digest(*scope)}"
        self._channel = f"entitlements:news:{_digest(*scope)}"
        self._origin = secrets.token_hex(8)
        # not of any loop: whichever tells next makes up for it
        self._owed: dict[str, object] = {}
        self._owed_to_all: object | None = None
        self._complained = False
        self._reset()

    def _reset(self) -> None:
        self.era: str | None = None
        """The present era's name, or None while nobody knows."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._starting: asyncio.Task[None] | None = None
        self._subscription: Subscription | None = None
        self._impatient = False
        self._tasks: set[asyncio.Task[Any]] = set()
        self._turns = 0
        self._reading = False
        self._settling = False

    def key(self, customer_id: str) -> str:
        """Where the store has a customer."""
        return f"entitlements:{_digest(*self._scope, customer_id)}"

    def on_this_loop(self) -> bool:
        """Whether it is in use on the running loop; what was begun on another one counts for nothing."""
        return self._loop is asyncio.get_running_loop()

    def is_elsewhere(self) -> bool:
        """Whether it is in use on another loop, which is running."""
        return self._loop is not None and not self.on_this_loop() and self._loop.is_running()

    def begin(self) -> asyncio.Task[None]:
        """Be in use on the running loop, and see to it that listening begins."""
        if not self.on_this_loop():
            if self._loop is not None and self.is_elsewhere():
                self._leave(self._loop)
            self._reset()
            self._loop = asyncio.get_running_loop()
        starting = self._starting
        if starting is None or (starting.done() and self._subscription is None):
            starting = self._starting = self.spawn(self._start())
        return starting

    async def start(self) -> None:
        """Begin to listen."""
        await asyncio.wait([self.begin()])

    async def started(self) -> None:
        """Listening has begun, or it takes too long to wait for."""
        starting = self.begin()
        if not starting.done():
            await asyncio.wait([starting], timeout=PATIENCE)
            self._impatient |= not starting.done()

    async def aclose(self) -> None:
        """Finish what is under way, within a moment, and stop listening."""
        if self.on_this_loop():
            if self._tasks:
                await asyncio.wait(self._tasks, timeout=PATIENCE)
            for task in list(self._tasks):
                task.cancel()
            if self._tasks:
                await asyncio.wait(self._tasks)
            if self._subscription is not None:
                await self._subscription.aclose()
        self._reset()

    def _leave(self, loop: asyncio.AbstractEventLoop) -> None:
        """End what goes on on another loop, from this one."""
        with contextlib.suppress(RuntimeError):  # untested: it is closed in this very moment
            for task in list(self._tasks):
                loop.call_soon_threadsafe(task.cancel)
            if self._subscription is not None:
                asyncio.run_coroutine_threadsafe(_closed(self._subscription), loop)

    def spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Do something behind the scenes; ``aclose`` sees to its end."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # Telling

    def owes(self, customer_id: str) -> bool:
        """Whether what the store has of a customer cannot be believed."""
        return self._owed_to_all is not None or customer_id in self._owed

    def owe(self, customer_id: str) -> object:
        """Note that a customer has to be invalidated; ``settle`` does it."""
        mark = self._owed[customer_id] = object()
        if len(self._owed) > OWED:
            self._owed.clear()
            self._owed_to_all = mark
        return mark

    def settle(self) -> None:
        """Do what is owed, behind the scenes."""
        if (self._owed or self._owed_to_all is not None) and not self._settling:
            self._settling = True
            _ = self.spawn(self._settle())

    async def tell(self, customer_id: str) -> None:
        """Invalidate a customer everywhere, or owe it."""
        mark = self.owe(customer_id)  # until it is done: this may be cancelled, or asked for again
        try:
            await self._store.set(self.key(customer_id), tombstone(), MOURNING)
            await self._publish(customer_id)
        except StoreFailed as error:
            self._complain(error)
            return
        self._complained = False
        if self._owed.get(customer_id) is mark:
            del self._owed[customer_id]

    async def tell_all(self) -> None:
        """Invalidate everybody everywhere, or owe it."""
        mark = self._owed_to_all = object()
        self._turn()
        try:
            await self._store.set(self._era_key, secrets.token_hex(8).encode())
            await self._publish(None)
        except StoreFailed as error:
            self._complain(error)
            return
        self._complained = False
        if self._owed_to_all is mark:  # untested otherwise: a second one came while the first was told
            self._owed_to_all = None
            # Not simply ours: somebody else may have begun one at the same moment.
            if self.on_this_loop():
                self.look_for_era()

    async def _settle(self) -> None:
        try:
            if self._owed_to_all is not None:
                await self.tell_all()
            while self._owed and self._owed_to_all is None:
                customer_id = next(iter(self._owed))
                await self.tell(customer_id)
                if customer_id in self._owed:
                    return  # the store still fails; untested: a race of two failures
        finally:
            self._settling = False

    async def _publish(self, customer_id: str | None) -> None:
        try:
            message = codec.encode([self._origin, customer_id])
        except CodecError:  # an id that JSON cannot say; an empty message is about everybody
            message = b""
        await self._store.publish(self._channel, message)

    def _complain(self, error: StoreFailed) -> None:
        if not self._complained:
            self._complained = True
            logger.warning("an invalidation could not be passed on yet: %s", error.message)

    # Listening

    async def _start(self) -> None:
        try:
            subscription = await self._store.subscribe(self._channel, self._heard, self._missed)
        except StoreFailed:
            self._impatient = True
            return
        if not self.on_this_loop():  # another one has taken over meanwhile
            await subscription.aclose()
            return
        self._subscription = subscription
        if self._impatient:
            self._forget(None)  # who did not wait has heard nothing until now
        if not self._reading:
            self._reading = True
            await self._read_era()

    def _heard(self, message: bytes) -> None:
        try:
            told = codec.decode(message)
            origin, customer_id = told if isinstance(told, list) else ("", None)
        except ValueError:
            origin, customer_id = "", None
        if origin == self._origin:
            return
        if isinstance(customer_id, str):
            self._forget(customer_id)
        else:
            # Everybody; and so is what a later version may say that this one does not understand.
            self._missed()

    def _missed(self) -> None:
        self._forget(None)
        self._turn()
        self.look_for_era()
        self.settle()

    def _turn(self) -> None:
        self._turns += 1
        self.era = None

    def look_for_era(self) -> None:
        """Ask the store for the present era, behind the scenes."""
        if not self._reading:
            self._reading = True
            _ = self.spawn(self._read_era())

    async def _read_era(self) -> None:
        try:
            for _ in range(_READINGS):
                turns = self._turns
                found = await self._store.get(self._era_key)
                if self._owed_to_all is not None:
                    return  # what the store says is over, it just does not know yet; untested: a race
                if found is None:
                    # A new name: entries of an era that was forgotten must not come back to life.
                    _ = await self._store.add(self._era_key, secrets.token_hex(8).encode())
                elif turns == self._turns:
                    self.era = found[:64].decode("ascii", "replace")
                    return
        except StoreFailed:
            return
        finally:
            self._reading = False


async def _closed(subscription: Subscription) -> None:
    await subscription.aclose()


def _digest(*parts: str) -> str:
    """One name for several texts; their lengths are in it, so that none can reach into the next."""
    text = "".join(f"{len(part)}:{part}" for part in parts)
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=20).hexdigest()
