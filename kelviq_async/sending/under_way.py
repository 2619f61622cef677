"""The calls of a client that wait for something, so that closing the client ends them at once."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

from ..errors import ClientClosed


class UnderWay:
    """Every wait of a client's calls.

    One timer watches over all deadlines: it is set to the next one, and looks for further ones when
    it goes off. Nearly all calls end long before theirs, so it hardly ever has to be set.
    """

    def __init__(self) -> None:
        self._waits: set[Wait] = set()
        self._alarm: asyncio.TimerHandle | None = None
        self._due = 0.0
        self._loop: asyncio.AbstractEventLoop | None = None

    def wait(self, deadline: float | None = None, loop: asyncio.AbstractEventLoop | None = None) -> Wait:
        """A block of code that ends when the deadline passes or the client closes.

        Args:
            deadline: A moment on the running loop's clock, or None.
            loop: The running loop, where that is known.
        """
        return Wait(self, deadline, loop)

    def end(self) -> None:
        """End all of them (on their event loop)."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        for wait in self._of_this_loop(asyncio.get_running_loop()):
            wait.end()

    def enter(self, wait: Wait, loop: asyncio.AbstractEventLoop) -> None:
        """A wait begins."""
        self._waits.add(wait)
        deadline = wait.deadline
        if deadline is not None and (self._alarm is None or deadline < self._due or loop is not self._loop):
            self._set(deadline, loop)

    def leave(self, wait: Wait) -> None:
        """A wait is over."""
        self._waits.discard(wait)

    def __contains__(self, wait: Wait) -> bool:
        """Whether it is not over yet."""
        return wait in self._waits

    def _set(self, due: float, loop: asyncio.AbstractEventLoop) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._due, self._loop = due, loop
        self._alarm = loop.call_at(due, self._ring, loop)

    def _ring(self, loop: asyncio.AbstractEventLoop) -> None:
        """Time may be up for some."""
        self._alarm = None
        now = loop.time()
        left = []
        for wait in self._of_this_loop(loop):
            if wait.deadline is None or wait.expired:
                continue
            if wait.deadline <= now:
                wait.expire()
            else:
                left.append(wait.deadline)
        if left:
            self._set(min(left), loop)

    def _of_this_loop(self, loop: asyncio.AbstractEventLoop) -> list[Wait]:
        """Those that can still end: a client may be used on one loop after another."""
        waits = list(self._waits)
        strangers = {wait for wait in waits if wait.loop is not loop}
        self._waits -= strangers
        return [wait for wait in waits if wait not in strangers] if strangers else waits


class Wait:
    """One wait, ``with`` or ``async with``; see ``UnderWay.wait``.

    Raises:
        TimeoutError: The deadline passed.
        ClientClosed: The client was closed.
    """

    __slots__ = ("_cancelling", "_ended", "_task", "_under_way", "deadline", "expired", "loop")

    def __init__(
        self, under_way: UnderWay, deadline: float | None, loop: asyncio.AbstractEventLoop | None
    ) -> None:
        self._under_way = under_way
        self.loop = loop or asyncio.get_running_loop()
        self.deadline = deadline
        self.expired = self._ended = False

    def __enter__(self) -> Self:
        """Begin; the running task is the one that will be interrupted."""
        task = asyncio.current_task(self.loop)
        if task is None:
            raise RuntimeError("calls are made inside a task")
        self._task = task
        self._cancelling = task.cancelling()
        self._under_way.enter(self, self.loop)
        return self

    def end(self) -> None:
        """The client closes."""
        self._ended = True
        if not self.expired:
            self.loop.call_soon(self.expire)  # this may be the very task that closes it

    def expire(self) -> None:
        """Interrupt the task, unless it has gone on already."""
        if not self.expired and self in self._under_way:
            self.expired = True
            self._task.cancel()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave; an interruption of ours becomes the error that says why."""
        self._under_way.leave(self)
        if (
            self.expired
            and self._task.uncancel() <= self._cancelling
            and kind is not None
            and issubclass(kind, asyncio.CancelledError)
        ):
            if self._ended:
                raise ClientClosed("the client was closed while the call was under way") from None
            raise TimeoutError from error

    async def __aenter__(self) -> Self:
        """See ``__enter__``."""
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """See ``__exit__``."""
        self.__exit__(kind, error, trace)
