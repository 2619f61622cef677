"""Iterator objects: what ``each``, ``send_many``, ``check_many`` and ``get_many`` return.

They can be left with ``break`` at any point, stepped from any task, and dropped without being
closed: there is no generator inside whose cleanup would depend on who runs it.
"""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
from types import TracebackType
from typing import Any, Final, Generic, Self, TypeVar

from .errors import InvalidRequest, KelviqError, WrongLoop

T = TypeVar("T")
S = TypeVar("S")


class Stream(Generic[T]):
    """An async iterator over results, fetched in chunks.

    Use it with ``async for``; ``async with`` or ``aclose`` ends it early at once, and so does
    dropping it, a little later.
    """

    def __init__(self) -> None:
        self._ready: deque[T] = deque()
        self._turn = asyncio.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._done = False

    async def chunk(self) -> list[T]:
        """The next results, as many as there are at hand; empty at the end."""
        self._check_loop()
        await self._filled()
        results = list(self._ready)
        self._ready.clear()
        self._took()
        return results

    def _check_loop(self) -> None:
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
        elif self._loop is not loop:
            raise WrongLoop("this iterator was started on another event loop; go on with it there")

    async def _filled(self) -> None:
        """Wait for a result; there is none at the end. Several tasks may step, one of them fetches."""
        if not self._ready:
            async with self._turn:
                if not self._ready and not self._done:
                    await self._fetch()

    async def _fetch(self) -> None:
        """Put at least one more result into ``_ready``; to put none ends the stream."""
        raise NotImplementedError

    def _took(self) -> None:
        """Results have been taken."""

    def go_on(self) -> None:
        """Work on, although the wait for results was broken off: it will be taken up again."""

    def __aiter__(self) -> Self:
        """Itself."""
        return self

    async def __anext__(self) -> T:
        """The next result.

        Raises:
            WrongLoop: It was started on another event loop.
        """
        self._check_loop()
        if not self._ready:
            await self._filled()
            if not self._ready:
                raise StopAsyncIteration
        result = self._ready.popleft()
        self._took()
        return result

    async def aclose(self) -> None:
        """End it: what is under way is cancelled, and nothing more comes."""
        self._done = True
        self._ready.clear()

    async def __aenter__(self) -> Self:
        """Itself."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        await self.aclose()


Source = Iterable[S] | AsyncIterable[S]
Put = Callable[[int, T], None]
Job = Callable[[int, S, Put[T]], Awaitable[None]]
"""``(index, item, put)``: works on an item and puts its result, now or from a later item's job."""


class _Work(Generic[S, T]):
    """A source, a number of workers, and the results nobody has taken yet.

    The workers know this object and not the stream in the user's hand, so that dropping the stream
    can end them.
    """

    def __init__(
        self, source: Source[S], job: Job[S, T], concurrency: int, window: int, *, ordered: bool
    ) -> None:
        self.job = job
        self.concurrency = concurrency
        self.window = window
        self.low = max(0, (window - concurrency) // 2)
        self.ordered = ordered
        self.results: deque[T] = deque()
        self.early: dict[int, T] = {}
        self.emitted = self.pulled = 0
        self.exhausted = self.stopped = self.pulling = self.deserted = False
        self.error: Exception | None = None
        self.tasks: set[asyncio.Task[None]] = set()
        self.fresh: asyncio.Task[None] | None = None
        self.arrival = asyncio.Event()
        self.room = asyncio.Event()
        self.loop: asyncio.AbstractEventLoop | None = None
        self.track: Callable[[Any], None] | None = None
        self._source = source
        self._async: AsyncIterator[S] | None = None
        self._sync: Any = None

    def start(self) -> None:
        self.loop = asyncio.get_running_loop()
        if isinstance(self._source, AsyncIterable):
            self._async = aiter(self._source)
        else:
            self._sync = iter(self._source)
        if self.track is not None:
            self.track(self)
        self.hire()

    def hire(self) -> None:
        """One more worker, if there is a place, and none that has yet to begin."""
        if len(self.tasks) < self.concurrency and self.fresh is None and not self.exhausted and self.loop:
            self.fresh = self.loop.create_task(self.run())
            self.tasks.add(self.fresh)
            self.fresh.add_done_callback(self.leave)

    async def run(self) -> None:
        """A worker's life: it goes when another one is pulling, who hires the next with every item.

        A lock to queue up for would cost a task switch for each item, also where nobody has to wait.
        """
        self.fresh = None
        try:
            while not self.pulling and not self.exhausted:
                item = await self.pull()
                if item is _END or self.stopped:  # stopped by the source itself
                    self.exhausted = True
                    return
                index, self.pulled = self.pulled, self.pulled + 1
                self.hire()
                await self.job(index, item, self.put)
        except Exception as error:  # noqa: BLE001  it is raised where the results are taken
            self.fail(error)

    def leave(self, task: asyncio.Task[None]) -> None:
        """A worker has ended, if it ever began: one that is cancelled early runs no line of its own."""
        self.tasks.discard(task)
        if task.cancelled():
            # a list that ends early must never look like one that is complete
            self.fail(KelviqError("a part of this was cancelled from elsewhere, and results are missing"))
        if not self.pulling:
            self.hire()
        self.arrival.set()
        self.room.set()

    def fail(self, error: Exception) -> None:
        """Let what is under way end, then raise this, unless nobody wants to know any more."""
        self.exhausted = True
        if not self.stopped and self.error is None:
            self.error = error

    def is_full(self) -> bool:
        """Whether as many items are out as may be: their results are not known, or not taken."""
        return self.deserted or self.pulled - self.emitted + len(self.results) >= self.window

    async def pull(self) -> Any:
        """The next item, as soon as there is room for its result."""
        self.pulling = True
        try:
            while self.is_full() and not self.exhausted:
                self.room.clear()
                await self.room.wait()
            if self.exhausted:
                return _END
            if self._async is not None:
                return await anext(self._async, _END)
            return next(self._sync, _END)
        finally:
            self.pulling = False

    def put(self, index: int, result: T) -> None:
        if self.ordered:
            self.early[index] = result
            while self.emitted in self.early:
                self.results.append(self.early.pop(self.emitted))
                self.emitted += 1
        else:
            self.results.append(result)
            self.emitted += 1
        self.arrival.set()

    async def arrive(self) -> None:
        """Wait for a result, or for the end."""
        if self.loop is None:
            self.start()
        self.go_on()
        try:
            while not self.results and self.tasks:
                self.arrival.clear()
                await self.arrival.wait()
        except asyncio.CancelledError:
            # whoever waited may be gone for good, and their traceback may keep the stream alive
            self.deserted = True
            raise
        if not self.results and self.error is not None:
            error, self.error = self.error, None
            raise error

    def go_on(self) -> None:
        """Somebody wants results."""
        if self.deserted:
            self.deserted = False
            self.room.set()

    async def stop(self, error: Exception | None = None) -> None:
        """Cancel what is under way and wait until it has ended.

        Args:
            error: Raised to whoever goes on taking results, after those that are known.
        """
        if error is not None and (self.tasks or not self.exhausted):
            self.error = self.error or error
        self.stopped = self.exhausted = True
        if self.loop is not asyncio.get_running_loop():
            self.abandon()
            return
        tasks = self.tasks - {asyncio.current_task()}  # a source may end what it feeds
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def abandon(self) -> None:
        """Nobody will take the results any more; may be called from any thread."""
        self.stopped = self.exhausted = True
        if self.loop is not None and not self.loop.is_closed():
            with contextlib.suppress(RuntimeError):  # closed between the question and the call
                self.loop.call_soon_threadsafe(self._cancel)

    def _cancel(self) -> None:
        for task in self.tasks:
            task.cancel()


_END: Final = object()


class WorkStream(Stream[T]):
    """Results of a job over every item of a source, as they are known.

    Args:
        source: Items: any iterable or async iterable, of any length; pulled as room allows.
        job: Works on one item and puts its result; must not raise for what concerns one item alone.
        concurrency: How many jobs run at once.
        window: How many items may be pulled whose results nobody has taken yet, four for each job
            where none is given.
        ordered: Whether results come in the order of the items.
        track: Is handed the function that ends the work, for a client that closes.
    """

    def __init__(
        self,
        source: Source[S],
        job: Job[S, T],
        *,
        concurrency: int,
        window: int | None = None,
        ordered: bool = False,
        track: Callable[[Any], None] | None = None,
    ) -> None:
        super().__init__()
        if type(concurrency) is not int or concurrency < 1:
            raise InvalidRequest("concurrency must be a whole number of at least 1")
        if not isinstance(source, Iterable | AsyncIterable):
            raise InvalidRequest(f"an iterable or async iterable is needed, not {type(source).__name__}")
        self._work: _Work[Any, T] = _Work(
            source, job, concurrency, window or 4 * concurrency, ordered=ordered
        )
        self._work.track = track
        self._ready = self._work.results
        # at exit there is no loop left to tell
        weakref.finalize(self, self._work.abandon).atexit = False

    async def _fetch(self) -> None:
        await self._work.arrive()

    def go_on(self) -> None:
        """Work on, although the wait for results was broken off: it will be taken up again."""
        self._work.go_on()

    def _took(self) -> None:
        # woken for each result, a worker would cost a task switch each
        if len(self._ready) <= self._work.low:
            self._work.room.set()

    async def aclose(self) -> None:
        """End it: what is under way is cancelled, and nothing more comes."""
        await super().aclose()
        await self._work.stop()
        self._work.early.clear()
        self._ready.clear()
