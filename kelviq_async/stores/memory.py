"""A store inside this process."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import logging
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, NamedTuple

from ..config import checked_seconds
from ..errors import ConfigError
from .protocol import Subscription

logger = logging.getLogger("kelviq_async")

_SLACK: Final = 64
"""Outdated deadlines to put up with, so that a small store does not tidy up all the time."""


class _Entry(NamedTuple):
    value: bytes
    deadline: float


class _Listener:
    """Somebody who wants the messages of a channel, and the loop they want them on."""

    def __init__(
        self, listeners: set[_Listener], loop: asyncio.AbstractEventLoop, on_message: Callable[[bytes], None]
    ) -> None:
        self._listeners = listeners
        self._loop = loop
        self._on_message = on_message

    def hand(self, message: bytes) -> None:
        """Have it called with a message, from any thread."""
        with contextlib.suppress(RuntimeError):  # its loop was closed: nobody is there any more
            self._loop.call_soon_threadsafe(self._call, message)

    def _call(self, message: bytes) -> None:
        if self not in self._listeners:
            return
        try:
            self._on_message(message)
        except Exception as error:  # noqa: BLE001  one bad message must not keep the next ones out
            # without its traceback, which quotes ids
            kind = type(error).__name__
            logger.error("a message of a store's channel could not be handled: %s", kind)  # noqa: TRY400

    async def aclose(self) -> None:
        """See ``Subscription.aclose``."""
        self._listeners.discard(self)


class MemoryStore:
    """Keeps values in memory, for one process and as long as it lives.

    When it is full, what has lapsed goes first, and then what was not read or written for the
    longest time. It may be shared by the tasks of several event loops.

    Args:
        max_entries: How many values to keep at most.
        clock: Seconds on a clock that never goes back; for tests.

    Raises:
        ConfigError: ``max_entries`` is not a positive whole number.
    """

    def __init__(self, *, max_entries: int = 100_000, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_entries = _checked_count(max_entries)
        self._clock = clock
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._deadlines: list[tuple[float, str]] = []
        # No method waits for anything while it holds this, so it is safe to take on an event loop.
        self._lock = threading.Lock()
        self._channels: dict[str, set[_Listener]] = {}

    def __len__(self) -> int:
        """How many values have not lapsed."""
        with self._lock:
            self._drop_lapsed()
            return len(self._entries)

    async def get(self, key: str) -> bytes | None:
        """See ``Store.get``."""
        with self._lock:
            return self._value(key)

    async def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        """See ``Store.set``.

        Raises:
            ConfigError: ``ttl`` is not a positive number of seconds.
        """
        seconds = checked_seconds(ttl, "ttl")
        with self._lock:
            self._put(key, value, seconds)

    async def add(self, key: str, value: bytes, ttl: float | None = None) -> bool:
        """See ``Store.add``.

        Raises:
            ConfigError: ``ttl`` is not a positive number of seconds.
        """
        seconds = checked_seconds(ttl, "ttl")
        with self._lock:
            if self._value(key) is not None:
                return False
            self._put(key, value, seconds)
            return True

    async def replace(self, key: str, expected: bytes, value: bytes, ttl: float | None = None) -> bool:
        """See ``Store.replace``.

        Raises:
            ConfigError: ``ttl`` is not a positive number of seconds.
        """
        seconds = checked_seconds(ttl, "ttl")
        with self._lock:
            if self._value(key) != expected:
                return False
            self._put(key, value, seconds)
            return True

    async def delete(self, key: str, expected: bytes | None = None) -> bool:
        """See ``Store.delete``."""
        with self._lock:
            found = self._value(key)
            if found is None or (expected is not None and found != expected):
                return False
            del self._entries[key]
            return True

    async def publish(self, channel: str, message: bytes) -> None:
        """See ``Store.publish``."""
        with self._lock:
            listeners = list(self._channels.get(channel, ()))
        for listener in listeners:
            listener.hand(message)

    async def subscribe(
        self, channel: str, on_message: Callable[[bytes], None], on_gap: Callable[[], None]
    ) -> Subscription:
        """See ``Store.subscribe``. There are no gaps inside a process."""
        del on_gap
        with self._lock:
            listeners = self._channels.setdefault(channel, set())
            listener = _Listener(listeners, asyncio.get_running_loop(), on_message)
            listeners.add(listener)
        return listener

    async def close(self) -> None:
        """See ``Store.close``. The values stay."""
        with self._lock:
            for listeners in self._channels.values():
                listeners.clear()
            self._channels.clear()

    def _value(self, key: str) -> bytes | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        if entry.deadline <= self._clock():
            del self._entries[key]
            return None
        self._entries.move_to_end(key)
        return entry.value

    def _put(self, key: str, value: bytes, ttl: float | None) -> None:
        deadline = math.inf if ttl is None else self._clock() + ttl
        self._entries[key] = _Entry(value, deadline)
        self._entries.move_to_end(key)
        if ttl is not None:
            heapq.heappush(self._deadlines, (deadline, key))
        self._drop_lapsed()
        while len(self._entries) > self._max_entries:
            self._entries.popitem(last=False)

    def _drop_lapsed(self) -> None:
        now = self._clock()
        while self._deadlines and self._deadlines[0][0] <= now:
            deadline, key = heapq.heappop(self._deadlines)
            entry = self._entries.get(key)
            # A value that was written anew since then has a deadline of its own further on.
            if entry is not None and entry.deadline == deadline:
                del self._entries[key]
        if len(self._deadlines) > 2 * len(self._entries) + _SLACK:
            self._deadlines = [
                (entry.deadline, key) for key, entry in self._entries.items() if entry.deadline != math.inf
            ]
            heapq.heapify(self._deadlines)


def _checked_count(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigError("max_entries must be a positive whole number")
    return value
