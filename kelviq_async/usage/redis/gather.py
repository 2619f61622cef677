"""Appends of many callers, taken to Redis together."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from ...errors import OutcomeUnknown
from ..journal import JournalError

MOST: Final = 128
"""Records taken along in one call, unless a single caller has more: so many callers are woken at once."""

_UNSENT: Final = "Redis could not be asked in time; nothing was accepted"
_UNKNOWN: Final = "Redis did not answer in time; the usage may have been accepted nevertheless"


class _Entry:
    __slots__ = ("blobs", "count", "done", "sent", "until")

    def __init__(self, blobs: Sequence[bytes], count: int, until: float) -> None:
        self.blobs = blobs
        self.count = count
        self.until = until
        self.sent = False
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class Gathering:
    """Takes along in each call all that has come in during the one before.

    Args:
        append: Takes blobs to the server, which a function gives when they are about to be sent, until
            a moment on the loop's clock.
    """

    def __init__(self, append: Callable[[Callable[[], list[bytes]], float], Awaitable[None]]) -> None:
        self._append = append
        self._queue: deque[_Entry] = deque()
        self._task: asyncio.Task[None] | None = None

    async def put(self, blobs: Sequence[bytes], count: int, until: float) -> None:
        """Have records appended, all or none.

        Raises:
            JournalError: None of them was accepted.
            OutcomeUnknown: Nobody knows whether they were.
        """
        entry = _Entry(blobs, count, until)
        self._queue.append(entry)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())
        try:
            async with asyncio.timeout_at(until):
                await entry.done
        except TimeoutError:
            raise _error_of(entry, None) from None

    async def settle(self) -> None:
        """Wait until nothing is under way."""
        if self._task is not None:
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        try:
            while self._queue:
                await self._go(self._next())
        finally:
            self._task = None
            for entry in self._queue:
                _fail(entry, None)
            self._queue.clear()

    def _next(self) -> list[_Entry]:
        batch, count = [self._queue.popleft()], 0
        count += batch[0].count
        while self._queue and count + self._queue[0].count <= MOST:
            batch.append(self._queue.popleft())
            count += batch[-1].count
        return batch

    async def _go(self, batch: list[_Entry]) -> None:
        def blobs() -> list[bytes]:
            # who has given up before anything was sent is told so, and must be right
            live = [entry for entry in batch if not entry.done.done()]
            for entry in live:
                entry.sent = True
            return [blob for entry in live for blob in entry.blobs]

        error: Exception | None = None
        try:
            await self._append(blobs, max(entry.until for entry in batch))
        except (JournalError, OutcomeUnknown) as failure:
            error = failure
        except BaseException:
            for entry in batch:
                _fail(entry, None)
            raise
        for entry in batch:
            if error is not None:
                _fail(entry, error)
            elif not entry.done.done():
                entry.done.set_result(None)


def _fail(entry: _Entry, error: Exception | None) -> None:
    if not entry.done.done():
        entry.done.set_exception(_error_of(entry, error))


def _error_of(entry: _Entry, error: Exception | None) -> Exception:
    """An error of the caller's own; what befell all of a batch need not have befallen each."""
    if isinstance(error, JournalError):
        return type(error)(error.message)
    if not entry.sent:
        return JournalError(_UNSENT)
    return OutcomeUnknown(_UNKNOWN if error is None else str(error))
