"""One connection: a request out, its answer in, and then the next."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from ..errors import ConnectionLost as Lost, KelviqError, UnreadableAnswer
from ..transport import WireAnswer
from .answers import AnswerReader
from .heads import Origin

_AT_ONCE: Final = 2**14
"""Bytes that the system takes without making anybody wait."""

_ROOM: Final = 2**15


class Connection(asyncio.BufferedProtocol):
    """A connection that carries one exchange at a time.

    Args:
        origin: Where it goes.
        cap: The largest body of an answer, in bytes.
        gone: Called when it has ended.
        loop: The event loop it lives on.
    """

    __slots__ = (
        "_answer",
        "_gone",
        "_loop",
        "_reader",
        "_room",
        "_size",
        "closed",
        "origin",
        "since",
        "transport",
    )

    def __init__(
        self,
        origin: Origin,
        cap: int,
        gone: Callable[[Connection], object],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.origin = origin
        self.since = 0.0
        """When it was last used."""
        self.closed = False
        self.transport: Any = None
        self._reader = AnswerReader(cap)
        # one for all reads: asyncio would take a quarter of a megabyte from the system for each
        self._room = memoryview(bytearray(_ROOM))
        self._answer: asyncio.Future[WireAnswer] | None = None
        self._gone = gone
        self._loop = loop
        self._size = 0

    @property
    def usable(self) -> bool:
        """Whether a request may be written to it."""
        return not self.closed and self._reader.reusable and not self.transport.is_closing()

    @property
    def busy(self) -> bool:
        """Whether an answer is still to come."""
        return self._answer is not None

    def exchange(self, block: bytes) -> asyncio.Future[WireAnswer]:
        """Write a request; what comes back is the answer, or the ``KelviqError`` that says why not."""
        answer = self._answer = self._loop.create_future()
        self._size = len(block)
        try:
            self.transport.write(block)
        except Exception as error:  # noqa: BLE001  some loops raise where others tell ``connection_lost``
            self._lose(self._broken_off(error))
        return answer

    def close(self, error: KelviqError | None = None) -> None:
        """End it now, and whatever it carries."""
        if not self.closed:
            self.closed = True
            self._reader.let_go()
            if self.transport is not None and not self._loop.is_closed():
                self.transport.abort()  # a goodbye in TLS could be waited for, and says nothing here
        if error is not None:
            self._fail(error)

    # what the event loop calls

    def connection_made(self, transport: Any) -> None:
        """It is there."""
        self.transport = transport
        if self.closed:
            transport.abort()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002  it is always the same
        """Where bytes are to come."""
        return self._room

    def buffer_updated(self, nbytes: int) -> None:
        """They came."""
        if self._answer is None or self.closed:
            self.close()  # nobody asked for anything
            return
        try:
            whole = self._reader.feed(self._room[:nbytes])
        except UnreadableAnswer as error:
            self._lose(error)
        else:
            if whole is not None:
                self._finish(whole)

    def eof_received(self) -> None:
        """The other side has nothing more to say."""
        if self._answer is None or self.closed:
            self.close()
            return
        try:
            whole = self._reader.end()
        except UnreadableAnswer as error:
            self._lose(error)
        else:
            if whole is not None:
                self._finish(whole)
            else:  # now, and not when all is written: who says no more may not read either
                self._lose(self._broken_off(None))

    def connection_lost(self, exc: Exception | None) -> None:
        """It has ended."""
        self.closed = True
        if self._answer is not None:
            self._lose(self._broken_off(exc))
        self._reader.let_go()
        self._gone(self)

    def _broken_off(self, error: Exception | None) -> KelviqError:
        name = type(error).__name__ if error is not None else "closed by the other side"
        status = self._reader.status
        if status is None:
            return Lost(f"the connection was lost ({name})")
        return UnreadableAnswer(f"the answer broke off ({name})", status=status)

    def _finish(self, whole: WireAnswer) -> None:
        answer, self._answer = self._answer, None
        if not self.closed and (
            self.transport.get_write_buffer_size()
            # below TLS there may be more, of which it says nothing; who refuses may not have waited for it
            or (self._size > _AT_ONCE and whole.status >= 300 and self.origin.tls)
        ):
            self.close()  # the answer came before all was sent
        if answer is not None and not answer.done():
            answer.set_result(whole)

    def _lose(self, error: KelviqError) -> None:
        """Nothing more can come; what came may still be enough."""
        whole = self._reader.body_lost()
        if whole is None:
            self.close(error)
        else:
            self.close()
            self._finish(whole)

    def _fail(self, error: KelviqError) -> None:
        answer, self._answer = self._answer, None
        if answer is not None and not answer.done():
            answer.set_exception(error)
