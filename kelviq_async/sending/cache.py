"""One call for all who ask the same at the same time, and answers handed to who keeps them.

This layer is for misses: what is known and fresh is answered before a request is even built.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Any, Final, Protocol, TypeVar

import attrs

from ..config import Options
from ..errors import KelviqError, TimedOut
from ..request import Request, Send

R = TypeVar("R")


class Keeper(Protocol):
    """What keeps answers, and knows which ones.

    Attributes:
        outdate: Keeps the answer of a call under way out, by key, or of all calls (None); set by
            who builds the layers.
    """

    outdate: Callable[[str | None], None]

    async def stop(self, error: BaseException | None = None, /) -> None:
        """End what goes on behind the scenes."""
        ...

    def clock(self) -> float:
        """Seconds on the clock that ages are counted with."""
        ...

    def key(self, request: Request[Any]) -> str | None:
        """Under what to join calls and keep the answer; None for requests that are none of its business."""
        ...

    async def found(self, request: Request[Any], key: str, since: float) -> tuple[Any, float] | None:
        """An answer to a call that began since a moment, and when that was; or None."""
        ...

    def began(self, start: float, /) -> None:
        """Told in the caller's own context, before what came of a call is handed over: when it began."""
        ...

    def keep(self, request: Request[Any], key: str, answer: Any, start: float) -> None:
        """An answer came; ``start`` is when its call began, on ``clock``."""
        ...

    def refused(self, request: Request[Any], key: str, error: KelviqError, start: float) -> None:
        """The call failed; the failure may be a verdict of its own."""
        ...

    async def touched(self, request: Request[Any], answer: Any) -> None:
        """A request that may have changed something has ended, well or not."""
        ...

    def learn(self, request: Request[Any], answer: Any) -> None:
        """An answer to something else came by."""
        ...


class Flight:
    """A call under way, and those who wait for it."""

    __slots__ = ("landed", "latest", "options", "outdated", "start")

    def __init__(self, options: Options, start: float) -> None:
        self.options = options
        self.start = start
        self.latest = 0.0
        """The deadline of who can wait longest."""
        self.landed: asyncio.Future[Any] | None = None
        self.outdated = False


_LEADERLESS: Final = object()
_TOO_LATE: Final = "time ran out waiting for a call that somebody else had started"


class CacheSend:
    """Joins equal calls, keeps their answers, and notices writes.

    A waiter that is cancelled leaves the others alone. When the one who sends is cancelled, a waiter
    takes its place. An invalidation while a call is under way keeps that call's answer out: who waits
    for it, or asks later, has another call.
    """

    def __init__(self, inner: Send, keeper: Keeper) -> None:
        self._inner = inner
        self._keeper = keeper
        self._flights: dict[str, Flight] = {}

    async def __call__(self, request: Request[R], options: Options) -> R:
        """Send, unless somebody is sending the same already.

        Raises:
            KelviqError: What the layers inside raise.
        """
        # who asks past the cache may still write, and what that changes must be forgotten
        key = self._keeper.key(request) if options.cache else None
        if key is None:
            return await self._uncached(request, options)
        clock = asyncio.get_running_loop().time
        deadline = None if options.timeout is None else clock() + options.timeout
        since = self._keeper.clock()
        waited = False
        while (flight := self._flights.get(key)) is not None:
            waited = True
            answer = await self._heard(flight, options, deadline)
            if answer is not _LEADERLESS:
                return answer  # type: ignore[no-any-return]
            if deadline is not None and deadline < flight.latest:
                await asyncio.sleep(0)  # who has the most time left takes over, or each would, one by one
        if waited and deadline is not None:
            if clock() >= deadline:
                raise TimedOut(_TOO_LATE)
            options = attrs.evolve(options, deadline=deadline)  # what is left, and not all of it anew
        return await self._led(request, options, key, since)

    def outdate(self, key: str | None) -> None:
        """Keep the answer of a call under way out, for one key or for all (None)."""
        for each in [key] if key is not None else list(self._flights):
            flight = self._flights.pop(each, None)
            if flight is not None:
                flight.outdated = True

    async def _led(self, request: Request[R], options: Options, key: str, since: float) -> R:
        flight = self._flights[key] = Flight(options, since)
        result: Any = _LEADERLESS
        failure: KelviqError | None = None
        try:
            found = await self._keeper.found(request, key, since)
            if found is not None:
                result, flight.start = found
            else:
                flight.start = self._keeper.clock()
                result = await self._inner(request, options)
                if not flight.outdated:
                    self._keeper.keep(request, key, result, flight.start)
            return result  # type: ignore[no-any-return]
        except KelviqError as error:
            failure = error
            if not flight.outdated:
                self._keeper.refused(request, key, error, flight.start)
            raise
        finally:
            self._keeper.began(flight.start)
            if self._flights.get(key) is flight:
                del self._flights[key]
            landed = flight.landed
            if landed is not None and not landed.done():
                if failure is not None and not isinstance(failure, TimedOut):
                    landed.set_exception(failure)
                    landed.exception()  # seen, even if every waiter has gone
                else:
                    # one whose own time is not over yet asks again
                    landed.set_result(result if failure is None else _LEADERLESS)

    async def _heard(self, flight: Flight, options: Options, deadline: float | None) -> Any:
        """What comes of somebody else's call; ``_LEADERLESS`` where that is no answer to us."""
        try:
            answer = await self._joined(flight, deadline)
        except KelviqError as error:
            if flight.landed is None or not flight.landed.done():
                raise  # our own time is over
            own = flight.options.retry == options.retry and flight.options.timeout == options.timeout
            if (own or error.failure is None) and not flight.outdated:
                raise
            return _LEADERLESS  # it gave up by its own patience, and not by ours
        # who began an outdated call is told what was so then, and nobody else
        return _LEADERLESS if flight.outdated else answer

    async def _joined(self, flight: Flight, deadline: float | None) -> Any:
        if flight.landed is None:
            flight.landed = asyncio.get_running_loop().create_future()
        flight.latest = max(flight.latest, math.inf if deadline is None else deadline)
        try:
            async with asyncio.timeout_at(deadline):
                return await asyncio.shield(flight.landed)
        except TimeoutError as error:
            if isinstance(error, KelviqError):  # untested: who leads hands its own lack of time to nobody
                raise
            raise TimedOut(_TOO_LATE) from None
        finally:
            self._keeper.began(flight.start)

    async def _uncached(self, request: Request[R], options: Options) -> R:
        answer: Any = None
        if request.operation.method == "GET":
            answer = await self._inner(request, options)
            self._keeper.learn(request, answer)
            return answer  # type: ignore[no-any-return]
        try:
            answer = await self._inner(request, options)
            return answer  # type: ignore[no-any-return]
        finally:
            await self._keeper.touched(request, answer)
