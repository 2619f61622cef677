"""Messages from Redis or Valkey, over connections that are made anew when they break."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import AsyncGenerator, Callable
from typing import Any, Final

logger = logging.getLogger("kelviq_async")

CONNECT: Final = 5.0
"""Seconds for a subscription to connect, which nobody waits for."""
QUIET: Final = 10.0
"""Seconds without a message after which the server is asked whether it is still there."""
BACKOFF: Final = (0.05, 5.0)
"""Seconds at most before the first new attempt to connect, and before any later one."""


class Listener:
    """A subscription: a task that listens, and connects again for as long as it takes.

    Args:
        listen: Makes a ``PubSub`` of redis-py, for one connection.
        channel: The channel's full name.
        on_message: Called with each message.
        on_gap: Called when messages may have been missed.
        on_end: Called when nobody wants to listen any more.

    Attributes:
        connected: Set when the server has confirmed the subscription for the first time.
        handed_out: Whether somebody relies on it already, so that a first connection is a late one.
    """

    def __init__(
        self,
        listen: Callable[[], Any],
        channel: str,
        on_message: Callable[[bytes], None],
        on_gap: Callable[[], None],
        on_end: Callable[[Listener], None],
    ) -> None:
        self.connected = asyncio.Event()
        self.handed_out = False
        self._listen = listen
        self._channel = channel
        self._on_message = on_message
        self._on_gap = on_gap
        self._on_end = on_end
        self._random = random.Random()  # noqa: S311  spreads reconnects, keeps no secret
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def aclose(self) -> None:
        """See ``Subscription.aclose``."""
        self._on_end(self)
        self._task.cancel()
        await asyncio.wait([self._task])  # never our own: what that task calls cannot wait

    async def _run(self) -> None:
        first, most = BACKOFF
        clock = asyncio.get_running_loop().time
        attempt = 0
        while True:
            began: float | None = None
            try:
                async with contextlib.aclosing(self._messages()) as messages:
                    async for message in messages:
                        if message is not None:
                            self._call(self._on_message, message)
                            continue
                        began = clock()
                        if self.handed_out or self.connected.is_set():
                            self._call(self._on_gap)
                        self.connected.set()
            except Exception as error:  # noqa: BLE001  whatever went wrong, the way out is to connect again
                if began is not None and clock() - began > most:
                    attempt = 0  # it did work; one that breaks as soon as it is made does not
                level = logging.DEBUG if attempt else logging.WARNING
                logger.log(level, "a store's channel was interrupted: %s", type(error).__name__)
            await asyncio.sleep(self._random.uniform(0, min(most, first * 2 ** min(attempt, 30))))
            attempt += 1

    async def _messages(self) -> AsyncGenerator[bytes | None, None]:
        """What comes in over one connection; None says that the subscription has just begun."""
        pubsub = self._listen()
        try:
            async with asyncio.timeout(CONNECT):
                await pubsub.subscribe(self._channel)
            asked = False
            while True:
                message = await pubsub.get_message(timeout=QUIET)
                if message is None:
                    if asked:
                        raise TimeoutError
                    # A peer that vanished without a word is not noticed by listening alone.
                    async with asyncio.timeout(CONNECT):
                        await pubsub.ping()
                    asked = True
                    continue
                asked = False
                if message["type"] == "subscribe":
                    yield None
                elif message["type"] == "message":
                    yield bytes(message["data"])
        finally:
            await quietly(pubsub.aclose())

    def _call(self, function: Callable[..., None], *arguments: bytes) -> None:
        try:
            function(*arguments)
        except Exception as error:  # noqa: BLE001  one bad message must not keep the next ones out
            # without its traceback, which quotes ids
            kind = type(error).__name__
            logger.error("a message of a store's channel could not be handled: %s", kind)  # noqa: TRY400


async def quietly(closing: Any) -> None:
    """Close something that may be broken already, without waiting for the other side for long."""
    with contextlib.suppress(Exception):
        async with asyncio.timeout(1):
            await closing
