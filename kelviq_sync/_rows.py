"""Blocking iterators over async ones, crossing threads once for each chunk."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from types import TracebackType
from typing import Any, Final, Generic, Self, TypeVar

from kelviq_async.errors import InvalidRequest, WrongLoop
from kelviq_async.stream import Stream

from . import _loop

S = TypeVar("S")
T = TypeVar("T")

AHEAD: Final = 1000
"""How many items of a caller's iterable wait at most to be worked on."""
PATIENCE: Final = 0.05
"""Seconds after which what a slow iterable gave so far is worked on."""


class Fed(AsyncIterator[S]):
    """The loop's side of a caller's iterable.

    It does not know the iterable itself, which is the caller's thread's alone: a database cursor,
    say, may neither be stepped nor collected in another.
    """

    def __init__(self) -> None:
        self._items: deque[S] = deque()
        self._more = asyncio.Event()
        self._error: Exception | None = None
        self._ended = False

    def __len__(self) -> int:
        """How many items wait to be worked on."""
        return len(self._items)

    def feed(self, items: list[S], error: Exception | None, *, ended: bool) -> None:
        """Put items in, and what ended them (on the loop)."""
        self._items.extend(items)
        self._error, self._ended = error, ended
        self._more.set()

    def __aiter__(self) -> Self:
        """Itself."""
        return self

    async def __anext__(self) -> S:
        """The next item; waits until the caller has put one in."""
        while not self._items:
            if self._ended:
                raise self._error or StopAsyncIteration
            self._more.clear()
            await self._more.wait()
        return self._items.popleft()


class _Feeder(Generic[S]):
    """The caller's side: steps the iterable, and remembers what the loop does not have yet."""

    def __init__(self, source: Iterable[S]) -> None:
        self.fed: Fed[S] = Fed()
        self.ended = False
        self._source: Iterator[S] = iter(source)
        self._taken: list[S] = []
        self._error: Exception | None = None

    def take(self) -> float | None:
        """Step the iterable (in the caller's thread).

        Returns:
            How long results may be waited for before this goes on: as long as this took, so that
            neither a slow iterable nor slow calls hold the others up. None for as long as it takes,
            where the iterable has ended or enough was taken.
        """
        started = time.monotonic()
        while not self.ended and len(self._taken) + len(self.fed) < AHEAD:
            try:
                self._taken.append(next(self._source))
            except StopIteration:
                self.ended = True
            except Exception as error:  # noqa: BLE001  raised where its item would have come out
                self._error, self.ended = error, True
            spent = time.monotonic() - started
            if spent > PATIENCE and not self.ended:
                return spent
        return None

    def hand_over(self) -> None:
        """Let the loop have what was taken (on the loop: an interrupt before that loses nothing)."""
        taken, self._taken = self._taken, []
        self.fed.feed(taken, self._error, ended=self.ended)


class Rows(Generic[T]):
    """An iterator over results, fetched in chunks as they are known.

    Leave it at any point; ``with`` or ``close`` ends it at once, and so does dropping it, a little
    later. Where it works on an iterable of yours, that is stepped in your own thread, up to 1000
    items ahead of the results. It belongs to the process that made it.
    """

    def __init__(self, stream: Stream[T], feeder: _Feeder[Any] | None = None) -> None:
        self._stream = stream
        self._feeder = feeder
        self._ready: deque[T] = deque()
        self._more = True
        self._turn = threading.RLock()
        self._generation = _loop.generation()

    @staticmethod
    def over(source: Iterable[S], stream: Callable[[Fed[S]], Stream[T]]) -> Rows[T]:
        """Results for every item of a caller's iterable.

        Raises:
            InvalidRequest: It is no iterable, or a single text.
        """
        if isinstance(source, str | bytes) or not hasattr(source, "__iter__"):
            raise InvalidRequest(f"an iterable is needed, not {type(source).__name__}")
        feeder = _Feeder(source)
        return Rows(stream(feeder.fed), feeder)

    def __iter__(self) -> Self:
        """Itself."""
        return self

    def __next__(self) -> T:
        """The next result."""
        if self._generation != _loop.generation():
            raise WrongLoop("this iterator was begun in another process; begin a new one here")
        with self._turn:
            while not self._ready and self._more:
                _loop.run(self._chunk(self._feeder.take() if self._feeder is not None else None))
            if not self._ready:
                raise StopIteration
            return self._ready.popleft()

    async def _chunk(self, patience: float | None) -> None:
        """Put by what is at hand, or what comes within so many seconds.

        The results are not returned but put where they belong: an interrupt that comes just as this
        ends must not lose any.
        """
        if self._feeder is not None:
            self._feeder.hand_over()
        results: list[T] = []
        failure: Exception | None = None
        try:
            async with asyncio.timeout(patience):
                try:
                    results = await self._stream.chunk()
                except Exception as error:  # noqa: BLE001  may be a TimeoutError that is not this one's
                    failure = error
        except TimeoutError:
            self._stream.go_on()
            return
        if failure is not None:
            if self._feeder is not None:
                self._feeder.ended = True
            raise failure
        self._ready.extend(results)
        self._more = bool(results)

    def close(self) -> None:
        """End it: what is under way is cancelled, and nothing more comes."""
        self._more = False
        self._ready.clear()
        if self._generation == _loop.generation() and _loop.running():
            _loop.run(self._stream.aclose())

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()
