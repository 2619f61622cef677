"""The calls of a client that wait for something, so that closing the client ends them at once."""

from __future__ import annotations

import asyncio
import contextlib
from types import TracebackType
from typing import Self

from ..errors import ClientClosed


class UnderWay:
    """Every wait of a client's calls."""

    def __init__(self) -> None:
        self._waits: set[asyncio.Timeout] = set()

    def wait(self, deadline: float | None = None) -> Wait:
        """A block of code that ends when the deadline passes or the client closes.

        Args:
            deadline: A moment on the running loop's clock, or None.
        """
        return Wait(self._waits, deadline)

    def end(self) -> None:
        """End all of them (on their event loop)."""
        waits = list(self._waits)
        self._waits.clear()
        for wait in waits:
            with contextlib.suppress(RuntimeError):  # its deadline has just passed
                wait.reschedule(0)


class Wait:
    """One wait; see ``UnderWay.wait``.

    Raises:
        TimeoutError: The deadline passed.
        ClientClosed: The client was closed.
    """

    __slots__ = ("_timeout", "_waits")

    def __init__(self, waits: set[asyncio.Timeout], deadline: float | None) -> None:
        self._timeout = asyncio.timeout_at(deadline)
        self._waits = waits

    async def __aenter__(self) -> Self:
        await self._timeout.__aenter__()
        self._waits.add(self._timeout)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        ended = self._timeout not in self._waits
        self._waits.discard(self._timeout)
        try:
            await self._timeout.__aexit__(kind, error, trace)
        except TimeoutError:
            if ended:
                raise ClientClosed("the client was closed while the call was under way") from None
            raise
