"""The private event loop that all blocking clients of a process share.

`run` hands a coroutine to it from any thread and blocks until it has ended. The loop and its one daemon
thread start with the first call. A forked child leaves its parent's loop alone and starts its own, and
`generation` says so to those who opened something on the old one.
"""

import asyncio
import atexit
import os
import sys
import threading
import time
import weakref
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Generic, TypeVar

from kelviq_async.errors import ClientClosed, NeverSent, OutcomeUnknown, WrongLoop

T = TypeVar("T")

# Seconds that cancelled calls get for their `finally` blocks when the loop ends.
_GRACE = 5.0
# Ctrl-C interrupts a thread that waits for a lock, but not on Windows: there it must come up for air.
_SLICE = 0.1 if sys.platform == "win32" else -1.0

_ENDED = "kelviq_sync's event loop ended, or the process forked, during this call; its outcome is unknown"
_EXITING = "kelviq_sync cannot make calls any more: the interpreter is shutting down"
_REENTRY = (
    "a blocking kelviq_sync call was made on kelviq_sync's own event loop, where it would wait for itself "
    "for ever; code that runs there (a layer, an observer, a callback) must await kelviq_async instead"
)


class _Call(Generic[T]):
    """A coroutine on its way through the loop, and the lock that its caller waits for."""

    __slots__ = ("begun", "coroutine", "error", "home", "lock", "over", "task")

    def __init__(self, home: "_PrivateLoop", coroutine: Coroutine[Any, Any, T]) -> None:
        self.home = home
        self.coroutine = coroutine
        self.task: asyncio.Task[T] | None = None
        self.error: BaseException | None = None
        self.begun = False
        self.over = False
        self.lock = threading.Lock()
        self.lock.acquire()
        home.calls.add(self)

    def begin(self) -> None:
        """Start the coroutine (on the loop)."""
        if self.home.ending:
            self.finish()
            return
        self.begun = True
        # The coroutine itself becomes the task: a wrapper could be cancelled before its first line, and
        # nobody would wake the caller.
        try:
            if sys.version_info >= (3, 12):  # the first step at once saves a turn of the loop
                self.task = asyncio.Task(self.coroutine, loop=self.home.loop, eager_start=True)
            else:
                self.task = self.home.loop.create_task(self.coroutine)
        except BaseException as error:  # noqa: BLE001 - whatever it is, the caller must hear of it
            self.coroutine.close()
            self.error = error
            self.finish()
        else:
            if self.task.done():
                self.finish()
            else:
                self.task.add_done_callback(self.finish)

    def end(self) -> None:
        """Cancel the coroutine (on the loop), because its caller was interrupted."""
        if self.task is None:
            self.finish()
        else:
            self.task.cancel()

    def finish(self, _: object = None) -> None:
        """Take the call off the books and wake its caller, once."""
        try:
            self.home.calls.remove(self)
        except KeyError:
            return
        self.wake()

    def wake(self) -> None:
        """Let the caller go on."""
        self.over = True
        self.lock.release()

    def wait(self) -> None:
        """Block until the call is over."""
        # An interrupt may come just after the lock was taken: waiting once more must not wait for ever.
        while not self.over and not self.lock.acquire(timeout=_SLICE):
            pass

    def ended(self) -> asyncio.Task[T]:
        """Hand over the task, which has its result or error, or say why there is none."""
        # An error's frames lead back to this call, so the call must not go on holding the error.
        task, error, self.task, self.error = self.task, self.error, None, None
        if error is not None:
            try:
                raise error
            finally:
                del error
        if task is None or not task.done() or (self.home.ending and task.cancelled()):
            raise OutcomeUnknown(_ENDED)
        return task


class _PrivateLoop:
    """One event loop, its thread, and the calls under way on it."""

    def __init__(self) -> None:
        self.calls: set[_Call[Any]] = set()
        self.ending = False
        # Whoever takes this closes the loop: the thread, or who failed to start it.
        self.closer = threading.Lock()
        self.thread = threading.Thread(target=self.live, name="kelviq-sync", daemon=True)
        self.loop = asyncio.new_event_loop()

    def submit(self, call: _Call[Any]) -> None:
        """Have the loop begin a call."""
        try:
            # It runs in a copy of this thread's context variables, and so does the task.
            self.loop.call_soon_threadsafe(call.begin)
        except RuntimeError:
            if not self.loop.is_closed():
                raise
            call.finish()

    def withdraw(self, call: _Call[Any]) -> None:
        """Cancel a call and wait until it has really ended."""
        if call.over:
            return
        try:
            self.loop.call_soon_threadsafe(call.end)
        except RuntimeError:  # closed: nothing runs there any more
            call.finish()
        call.wait()

    def live(self) -> None:
        """Run the loop until it is told to stop (the thread's whole life)."""
        if not self.closer.acquire(blocking=False):
            return
        try:
            while not self.ending:
                # A task that raises SystemExit or stops the loop must not take everybody's calls with it.
                with suppress(SystemExit, KeyboardInterrupt):
                    self.loop.run_forever()
        finally:
            self.ending = True
            _process.forget(self)
            self.wind_up()

    def wind_up(self) -> None:
        """Cancel what is left, give it some time, close the loop, and leave nobody waiting."""
        deadline = time.monotonic() + _GRACE
        try:
            while (tasks := asyncio.all_tasks(self.loop)) and (left := deadline - time.monotonic()) > 0:
                for task in tasks:
                    task.cancel()
                with suppress(SystemExit, KeyboardInterrupt):
                    self.loop.run_until_complete(asyncio.wait(tasks, timeout=left))
            generators = self.loop.create_task(self.loop.shutdown_asyncgens())
            self.loop.run_until_complete(asyncio.wait({generators}, timeout=1))
        finally:
            try:
                self.loop.close()
            finally:
                for call in list(self.calls):
                    call.finish()

    def stop(self) -> None:
        """Tell the thread to wind up (from any thread)."""
        self.ending = True
        with suppress(RuntimeError):  # closed already
            self.loop.call_soon_threadsafe(self.loop.stop)

    def scrap(self) -> None:
        """End a loop that nobody uses yet, and whose thread may not have started."""
        if self.closer.acquire(blocking=False):
            self.loop.close()
        else:
            self.stop()


class _Process:
    """Which private loop this process uses."""

    def __init__(self) -> None:
        self.current: _PrivateLoop | None = None
        self.generation = 0
        self.exiting = False
        # Reentrant, since a signal handler may make a first call while the first call is being made.
        self.lock = threading.RLock()
        self.belongings: weakref.WeakSet[Any] = weakref.WeakSet()
        self.at_hand: weakref.WeakSet[Any] = weakref.WeakSet()
        self.left_behind: list[Any] = []

    def home(self) -> _PrivateLoop:
        """Return the loop for a call from this thread."""
        home = self.current or self.start()
        if threading.get_ident() == home.thread.ident:
            raise WrongLoop(_REENTRY)
        return home

    def start(self) -> _PrivateLoop:
        """Return the loop of this process, and start it if there is none."""
        with self.lock:
            if self.exiting:
                raise ClientClosed(_EXITING)
            if (started := self.current) is not None:
                return started
            home = _PrivateLoop()
            try:
                home.thread.start()
                used = self.current = self.current or home
            except RuntimeError as error:  # no thread to be had, or too late for one
                raise NeverSent(f"kelviq_sync cannot start its event loop: {error}") from error
            finally:
                if self.current is not home:
                    home.scrap()
            return used

    def forget(self, home: _PrivateLoop) -> None:
        """Have the next call start another loop."""
        with self.lock:
            if self.current is home:
                self.current = None
                self.begin_generation()

    def begin_generation(self) -> None:
        """Have everybody let go of what they took from a client of the generation that ends."""
        self.generation += 1
        for holder in list(self.at_hand):
            holder.let_go()

    def forked(self) -> None:
        """Leave the parent's loop alone (in a forked child, whose only thread this is)."""
        self.lock = threading.RLock()  # another thread may have held it, and is not here to let it go
        self.begin_generation()
        # All of it is kept for ever. The loop's selector is shared with the parent, so that closing it, or
        # a connection on it, would deafen the parent's loop; and collecting its tasks would run their
        # `finally` blocks here too.
        self.left_behind += self.belongings
        if self.current is not None:
            self.left_behind += [self.current, asyncio.all_tasks(self.current.loop)]
            for call in list(self.current.calls):
                call.wake()  # its caller is here only if a signal handler made the fork while it waited
            self.current = None

    def exit(self) -> None:
        """End the loop before the interpreter does."""
        with self.lock:
            self.exiting = True
            home = self.current
        if home is not None:
            home.stop()
            home.thread.join(_GRACE + 2)


_process = _Process()
# Exit handlers run last in, first out: those registered after this import may still make calls.
atexit.register(_process.exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_process.forked)


def generation() -> int:
    """Return a number that changes when what was opened on the private loop is lost: the process forked.

    A forked child must neither close nor let go of what belongs to the lost loop, because the parent still
    uses the same sockets: leave it, and open anew.
    """
    return _process.generation


def running() -> bool:
    """Say whether this process has a private loop, without which nothing can be open on it."""
    return _process.current is not None


def tell_of_new_generation(holder: Any) -> None:
    """Have an object's ``let_go`` called whenever ``generation`` changes."""
    _process.at_hand.add(holder)


def keep_in_child(belonging: object) -> None:
    """Have a forked child never let go of what holds connections that its parent goes on using."""
    _process.belongings.add(belonging)


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on the private loop and block until it has ended.

    The coroutine sees the caller's context variables. An interrupt of the wait (Ctrl-C) cancels it and is
    raised once it has ended; a second interrupt gives up waiting for that.

    Args:
        coroutine: What to run. It is closed if it cannot be run.

    Returns:
        What the coroutine returned.

    Raises:
        WrongLoop: This is the private loop's own thread.
        ClientClosed: The interpreter is shutting down.
        NeverSent: There is no thread to be had for the loop.
        OutcomeUnknown: The loop ended before the coroutine did.
    """
    try:
        home = _process.home()
    except BaseException:
        coroutine.close()
        raise
    call = _Call(home, coroutine)
    try:
        home.submit(call)
        call.wait()
    except BaseException:
        home.withdraw(call)
        raise
    finally:
        if call.over and not call.begun:
            coroutine.close()  # and never will be
    return call.ended().result()
