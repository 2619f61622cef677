"""A thread that does the work of a database for callers on any event loop."""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from collections.abc import Callable, Sequence
from typing import Any, Final, Generic, TypeVar

from ...errors import KelviqError
from ..journal import JournalError

S = TypeVar("S")

CLOSED: Final = "the journal is closed: open() it first"

# Callers woken in one turn of their loop: each goes on right then, and others want a turn too.
_SLICE: Final = 16
_MOST: Final = 4096
# Seconds for which a fork waits until the threads have let go.
_PATIENCE: Final = 30.0


class Call:
    """Something to be done, and who waits for it."""

    __slots__ = ("error", "future", "loop", "result", "size", "work")

    def __init__(self, work: Any, size: int, loop: asyncio.AbstractEventLoop) -> None:
        self.work = work
        self.size = size
        self.loop = loop
        self.future: asyncio.Future[Any] = loop.create_future()
        self.result: Any = None
        self.error: BaseException | None = None

    def settle(self) -> None:
        """Tell who waits (on their loop)."""
        if self.future.done():
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)


class Worker(Generic[S]):
    """One daemon thread, what it works with, and the calls that wait for it.

    What it works with is made by the thread and only ever held by the thread's own frame. For the moment
    of a fork it is given back: SQLite keeps for the whole process which files it has locked, and a child
    that inherited this could never tell what is locked in truth.

    Args:
        name: The thread's name.
        begin: Makes what it works with.
        serve: Does calls, one after the other, and puts into each its result or error.
        end: Gives back what it works with.
    """

    def __init__(
        self,
        name: str,
        begin: Callable[[], S],
        serve: Callable[[S, Sequence[Call]], None],
        end: Callable[[S], None],
    ) -> None:
        self._begin = begin
        self._serve = serve
        self._end = end
        self._lock = threading.Lock()
        self._turn = threading.Condition(self._lock)
        # rung once for each time that the thread is idle; a semaphore would be four locks
        self._bell = threading.Lock()
        self._bell.acquire()
        self._calls: list[Call] = []
        self._idle = False
        self._ended = False
        self._gone = False
        self._failure: BaseException | None = None
        self._goodbyes: list[Call] = []
        self._pausing = False
        self._paused = False
        self._thread = threading.Thread(target=self._live, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread.

        Raises:
            JournalError: None can be started any more.
        """
        # a fork must know of it, or come before it or after
        with _FORKING:
            try:
                self._thread.start()
            except RuntimeError as error:
                raise JournalError(f"the journal cannot be opened now: {error}") from error
            _STARTED.add(self)

    def pause(self) -> None:
        """Ask the thread to give back what it works with, and to wait."""
        with self._lock:
            self._pausing = True
            self._ring()

    def wait_for_pause(self) -> None:
        """Wait until the thread waits, or has ended."""
        if self._thread.is_alive():
            with self._turn:
                self._turn.wait_for(lambda: self._paused or self._gone, _PATIENCE)

    def resume(self) -> None:
        """Let it go on."""
        with self._turn:
            self._pausing = False
            self._turn.notify_all()

    @property
    def ended(self) -> bool:
        """Whether it takes no more calls."""
        return self._ended

    async def call(self, work: Any, size: int = 1) -> Any:
        """Have something done; it goes on also if who waits is cancelled.

        Args:
            work: What to do.
            size: How much that is.

        Returns:
            What came of it.

        Raises:
            JournalError: It was closed before.
        """
        call = Call(work, size, asyncio.get_running_loop())
        with self._lock:
            if self._ended:
                raise JournalError(CLOSED) if self._failure is None else _again(self._failure)
            self._calls.append(call)
            self._ring()
        return await call.future

    async def close(self) -> None:
        """Let it finish what was asked for, and wait until its thread has ended."""
        call = Call(None, 0, asyncio.get_running_loop())
        with self._lock:
            if not self._ended:
                self._ended = True
                self._ring()
            if self._gone:
                return
            self._goodbyes.append(call)
        await call.future
        # it has nothing left to do but return
        self._thread.join()

    def _ring(self) -> None:
        """Let the thread know, if it sleeps (with the lock)."""
        if self._idle:
            self._idle = False
            self._bell.release()

    def _live(self) -> None:
        while self._work():
            with self._turn:
                self._paused = True
                self._turn.notify_all()
                # the next fork may begin before this thread has heard that the last one is over
                self._turn.wait_for(lambda: not self._pausing)
                self._paused = False

    def _work(self) -> bool:
        """Work until it is over, or until there is to be a pause: then True."""
        try:
            session = self._begin()
        except BaseException as error:  # noqa: BLE001  whatever it is, who waits must hear of it
            self._depart(error)
            return False
        over = True
        try:
            while calls := self._take():
                try:
                    self._serve(session, calls)
                except BaseException as error:  # noqa: BLE001  likewise
                    for call in calls:
                        call.result, call.error = None, error
                _wake(calls)
                del calls
            over = calls is not None
        finally:
            try:
                self._end(session)
            finally:
                del session
                if over:
                    self._depart(None)
        return not over

    def _take(self) -> list[Call] | None:
        """All that waits, up to a limit; nothing when it is over, None when there is to be a pause."""
        while True:
            with self._lock:
                if self._pausing:
                    return None
                if self._calls:
                    size = until = 0
                    while until < len(self._calls) and size < _MOST:
                        size += self._calls[until].size
                        until += 1
                    calls, self._calls = self._calls[:until], self._calls[until:]
                    return calls
                if self._ended:
                    return []
                self._idle = True
            self._bell.acquire()

    def _depart(self, error: BaseException | None) -> None:
        """Refuse what is left, and say goodbye."""
        with self._lock:
            self._ended = self._gone = True
            self._failure = error
            left, self._calls = self._calls, []
            self._turn.notify_all()
        for call in left:
            call.error = _again(error) if error else JournalError(CLOSED)
        _wake(left + self._goodbyes)


def _again(error: BaseException) -> BaseException:
    """The same error for one more caller."""
    if isinstance(error, KelviqError):
        fresh = type(error)(error.message)
        fresh.__cause__ = error.__cause__
        return fresh
    return error


def _wake(calls: Sequence[Call]) -> None:
    """Tell all who wait, each on their own loop."""
    by_loop: dict[asyncio.AbstractEventLoop, list[Call]] = {}
    for call in calls:
        by_loop.setdefault(call.loop, []).append(call)
    for loop, waiting in by_loop.items():
        try:
            loop.call_soon_threadsafe(_settle, loop, waiting, 0)
        except RuntimeError:  # the loop was closed, and nobody waits there any more
            continue


def _settle(loop: asyncio.AbstractEventLoop, calls: list[Call], start: int) -> None:
    for call in calls[start : start + _SLICE]:
        call.settle()
    if start + _SLICE < len(calls):
        loop.call_soon(_settle, loop, calls, start + _SLICE)


# Forks concern a whole process, and so all threads of all journals in it.
_STARTED: Final[weakref.WeakSet[Worker[Any]]] = weakref.WeakSet()


# One fork at a time: the second would wait for threads that the end of the first has set going again.
# A signal's handler may fork in the middle of what holds it.
_FORKING = threading.RLock()


def _before_fork() -> None:
    _FORKING.acquire()
    workers = list(_STARTED)
    for worker in workers:
        worker.pause()
    for worker in workers:
        worker.wait_for_pause()


def _after_fork_in_parent() -> None:
    for worker in list(_STARTED):
        worker.resume()
    _FORKING.release()


def _after_fork_in_child() -> None:
    _STARTED.clear()
    _FORKING.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child
    )
