"""Takes usage into the journal, and has it sent behind the scenes, for as long as its client lives."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import logging
import os
import secrets
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from ..api.behaviours import UsageBehaviour
from ..errors import ClientClosed, WrongLoop
from .journal import Journal, JournalError, Scope
from .observing import say_failed
from .policy import UsagePolicy
from .records import Key, Ledger, Receipt, Record, Report, State
from .sender import GRACE, Send, Sender
from .settling import Resolution, settled
from .uncounted import Uncounted

logger = logging.getLogger("kelviq_async")

ABANDONED: Final = 10_000
"""So many records are remembered whose caller did not wait for the journal."""
LOOKS: Final = 100
"""So many records are looked for in vain at a time, to see whether another process has sent them ..."""
SWEEP: Final = 0.5
"""... and for so many seconds at most, during which nothing new is sent."""


class Recorder:
    """What a client with a journal does about usage.

    Args:
        journal: Where records are kept.
        policy: How they are gathered and sent.
        scope: Whose usage it is.
        send: The client's ``send``.
        begin: Starts the client at its first call.
        reopen: The client's ``open``, for when the interpreter exits and nobody has closed it ...
        close: ... and its ``close``.
    """

    def __init__(
        self,
        journal: Journal,
        policy: UsagePolicy,
        scope: Scope,
        *,
        send: Send,
        begin: Callable[[], Any],
        reopen: Callable[[], Coroutine[Any, Any, Any]],
        close: Callable[[], Coroutine[Any, Any, Any]],
    ) -> None:
        self.journal = journal
        self.policy = policy
        self.uncounted = Uncounted()
        self.period: Callable[[], float] = time.time
        """Kelviq's time, in seconds since 1970."""
        self._scope = scope
        self._send = send
        self._begin = begin
        self._reopen = reopen
        self._close = close
        self._token = ""
        self._number = 0
        self._abandoned: set[int] = set()
        self._pid = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._sender: Sender | None = None
        self._opening: asyncio.Task[None] | None = None
        self._sending: asyncio.Task[None] | None = None
        self._left_behind: Sender | None = None
        self._at_exit = False
        self._closed = False
        self._exiting = False
        self._kept = _Kept()
        # last of all, when no other thread goes on working with the client; a program's own hooks, if
        # registered later, run before it
        atexit.register(self._kept.exit)

    # Its life

    def start(self) -> None:
        """Begin on the running loop: open the journal, and send what is pending in it."""
        self._loop = asyncio.get_running_loop()
        self._closed = False
        # a client that a program has let go of without closing it has usage to send, too
        self._kept.recorder = self
        if self._pid != os.getpid():
            # workers are forked from one parent, and a journal takes no id twice
            self._pid, self._token = os.getpid(), secrets.token_hex(8)
            self._left_behind = None
            self.uncounted.forget()
        sender = self._sender = Sender(
            self.journal,
            self._send,
            self.policy,
            period=lambda: self.period(),  # noqa: PLW0108  it may be replaced later
            ended=self._ended,
            tidy=self._tidy,
        )
        self._opening = self._loop.create_task(self._opened(sender))
        self._sending = self._loop.create_task(self._sent(sender, self._opening))
        if not self._at_exit:
            self._at_exit = True
            _before_exit(self._kept.threads_end)

    async def _opened(self, sender: Sender) -> None:
        try:
            await self.journal.open(self._scope)
            await self.journal.beat(sender.owner)
        except Exception:
            if not self._exiting:
                raise
            # it belongs to the loop that is gone, see stop
            await self.journal.close()
            await self.journal.open(self._scope)
            await self.journal.beat(sender.owner)
        left_behind = self._left_behind
        if left_behind is not None:
            await left_behind.catch_up()
            await _lapsed(self.journal, left_behind.owner.id)
            self._left_behind = None

    async def _sent(self, sender: Sender, opening: asyncio.Task[None]) -> None:
        await asyncio.wait([opening])
        if _succeeded(opening):
            await sender.run()

    async def ready(self) -> Sender:
        """The sender, once the journal is open.

        Raises:
            ConfigError: The journal cannot be used.
            JournalError: It failed.
            ClientClosed: The client was closed.
        """
        if self._opening is None and not self._closed:
            self._begin()  # the first call opens
        sender, opening, loop = self._sender, self._opening, asyncio.get_running_loop()
        if sender is None or opening is None:
            raise ClientClosed("the client was closed; open() makes it usable again")
        if self._loop is not loop:
            raise WrongLoop("this client belongs to the event loop it first ran on")
        if opening.done() and not _succeeded(opening):
            # what was wrong may have been put right
            opening = self._opening = loop.create_task(self._opened(sender))
        if not opening.done():
            await asyncio.shield(opening)
        if self._sending is None or self._sending.done():
            self._sending = loop.create_task(self._sent(sender, opening))
        return sender

    async def finish(self) -> None:
        """Send what is pending, as long as the policy gives for it; what is left stays in the journal."""
        sender, opening = self._sender, self._opening
        if self._loop is not asyncio.get_running_loop() or sender is None or opening is None:
            return
        if not _succeeded(opening):
            return
        try:
            await self.ready()
            if sender.stopped_by is None:
                await sender.flush(self.policy.shutdown, again=False)
        except Exception as error:  # noqa: BLE001  closing goes on; what is left is in the journal
            if error is not sender.stopped_by:  # which was said
                logger.warning("usage could not be sent before the client closed: %s", type(error).__name__)
        left = await sender.wind_down()
        if left and not sender.flushed:  # else others have put it there since
            logger.warning("%d usage records stay in the journal for the next client", left)

    async def stop(self) -> None:
        """End what goes on behind the scenes, and give the journal back."""
        sender, opening, sending, loop = self._sender, self._opening, self._sending, self._loop
        self._sender = self._opening = self._sending = self._loop = None
        self._closed = True
        self._kept.recorder = None
        if sender is None or opening is None or sending is None:
            return
        if self._pid != os.getpid():
            return  # all of it is the parent's
        try:
            if loop is not asyncio.get_running_loop():
                # its loop ended with it: what it had in flight is in nobody's hands, see _opened
                self._left_behind = sender
                if self._exiting:
                    # a journal with threads of its own could start none any more if it were closed now
                    return
            elif _succeeded(opening):
                if not await sender.stop(sending):
                    self._left_behind = sender
            else:
                for task in (opening, sending):
                    task.cancel()
                await asyncio.wait([opening, sending])
        except BaseException:
            await self._give_back()
            raise
        await self._give_back()

    async def _give_back(self) -> None:
        try:
            await self.journal.close()
        except Exception as error:  # noqa: BLE001  all that was accepted is in it
            say_failed("the usage journal could not be closed in order", error, 1)

    def threads_end(self) -> None:
        """The main thread has ended: send what is pending while threads can still be started.

        Other threads may go on for as long as they like, so that nothing is closed on them; where the loop
        is over, nobody can.
        """
        if self._pid != os.getpid() or self._loop is None or self._sender is None:
            return
        process = sys.modules.get("multiprocessing.process")
        if not self._loop.is_running() or (process and process.parent_process() is not None):
            self.exit()  # a child of multiprocessing never comes to its atexit hooks
            return
        flushing = asyncio.run_coroutine_threadsafe(self._flushed(), self._loop)
        with contextlib.suppress(Exception):
            flushing.result(self.policy.shutdown + GRACE)

    async def _flushed(self) -> None:
        sender, opening = self._sender, self._opening
        if sender is not None and opening is not None and _succeeded(opening) and sender.stopped_by is None:
            await sender.flush(self.policy.shutdown, again=False)

    def exit(self) -> None:
        """The interpreter exits, and nobody has closed the client: do it now."""
        if self._pid != os.getpid() or self._loop is None or self._sender is None:
            return
        loop = self._loop
        if loop.is_running():
            closing = asyncio.run_coroutine_threadsafe(self._close(), loop)
            with contextlib.suppress(Exception):
                closing.result(self.policy.shutdown + 5 * GRACE)
            return

        self._exiting = True

        async def closed() -> None:
            await self._close()  # gives back what belonged to the loop that is gone
            await self._reopen()
            await self._close()

        try:
            asyncio.run(closed())
        except Exception as error:  # noqa: BLE001  the program ends, and what is left is in the journal
            logger.warning("usage could not be sent before the program ended: %s", type(error).__name__)

    # Recording

    async def record(
        self, key: Key, behaviour: UsageBehaviour, value: int, reset_at: float | None = None, held: int = 0
    ) -> Receipt:
        """Take a record into the journal.

        Raises:
            JournalError: It could not be kept; nothing was accepted.
            OutcomeUnknown: Nobody knows whether it was accepted.
        """
        sender, opening, sending = self._sender, self._opening, self._sending
        # somebody who cancels all tasks there are has ended the sending, too
        running = sending is not None and not sending.done()
        if sender is None or opening is None or not running or not _succeeded(opening):
            sender = await self.ready()
        elif self._loop is not asyncio.get_running_loop():
            raise WrongLoop("this client belongs to the event loop it first ran on")
        self._number += 1
        number, now = self._number, time.time()
        record = Record(self._id_of(number), key, behaviour, value, now, reset_at)
        self.uncounted.add(key, number, behaviour, value)
        if held:  # a record takes the place of its hold in one step, so that neither counts twice
            self.uncounted.hold(key.customer_id, key.feature_id, -held)
        try:
            await self.journal.append((record,))
        except BaseException as error:
            self.uncounted.withdraw(key, number, value)
            if held:
                self.uncounted.hold(key.customer_id, key.feature_id, held)
            if not isinstance(error, JournalError) and len(self._abandoned) < ABANDONED:
                self._abandoned.add(number)  # it may be in the journal nevertheless
            raise
        sender.recorded(record)
        moment = datetime.fromtimestamp(now, UTC)
        return Receipt(record.id, key.customer_id, key.feature_id, behaviour, value, moment)

    def _ended(self, report: Report, records: Sequence[Record], counted: bool) -> None:
        """Kelviq has counted records, or will not."""
        ours = [
            (number, record.value)
            for record in records
            if (number := self._number_of(record.id)) and number not in self._abandoned
        ]
        if ours:
            numbers, values = zip(*ours, strict=True)
            self.uncounted.end(report.key, numbers, values, report.behaviour, counted=counted)

    def _number_of(self, id: str) -> int:
        """The number of a record of ours, which is at least 1; 0 for others."""
        return int(id[len(self._token) :], 16) if self._token and id.startswith(self._token) else 0

    def _id_of(self, number: int) -> str:
        return f"{self._token}{number:08x}"

    async def _tidy(self) -> None:
        """See which of our records another process has sent."""
        end, in_vain = time.monotonic() + SWEEP, 0
        for keys in self.uncounted.sweep():
            for key in keys:
                while (number := self.uncounted.overdue(key)) is not None:
                    report = await self.journal.find(self._id_of(number))
                    if report is None or report.state is State.IN_FLIGHT:
                        in_vain += 1
                        break
                    self.uncounted.end_through(key, number, counted=report.state is not State.REJECTED)
            if in_vain >= LOOKS or time.monotonic() > end:
                return  # the others have their turn the next time
            await asyncio.sleep(0)

    async def settle(self, id: str, resolution: Resolution, note: str) -> Report:
        """See ``Usage.settle``."""
        sender = await self.ready()
        report = await settled(sender.journal, id, resolution, note)
        sender.settled(report)
        return report

    async def flush(self, deadline: float | None) -> Ledger:
        """See ``Usage.flush``."""
        return await (await self.ready()).flush(deadline)


def _succeeded(opening: asyncio.Task[None]) -> bool:
    return opening.done() and not opening.cancelled() and opening.exception() is None


async def _lapsed(journal: Journal, owner_id: str) -> None:
    for seen in await journal.owners():
        if seen.owner.id == owner_id:
            await journal.lapse(seen, "its sender's event loop had ended")


class _Kept:
    """The recorder that the interpreter's exit has to end: none before it begins, and once it has ended."""

    recorder: Recorder | None = None

    def threads_end(self) -> None:
        """The main thread has ended."""
        if self.recorder is not None:
            self.recorder.threads_end()

    def exit(self) -> None:
        """The interpreter exits."""
        if self.recorder is not None:
            self.recorder.exit()


def _before_exit(hook: Callable[[], None]) -> None:
    """Have something called when the interpreter exits."""
    # Earlier than atexit, while threads can still be started: looking a host name up takes one. Where
    # this Python has no such hook, hosts that are known already can still be reached.
    register = getattr(threading, "_register_atexit", atexit.register)
    with contextlib.suppress(RuntimeError):  # the interpreter is exiting already
        import concurrent.futures.thread  # noqa: F401, PLC0415  its own hook must be registered before

        register(hook)
