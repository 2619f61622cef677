"""Webhooks over a network: posts what a world has to tell, as soon as it is due."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable
from typing import Final, Protocol

from ..transport import WireAnswer, WireRequest
from .world import World

PATIENCE: Final = 10.0
"""Seconds in which an endpoint has to answer; Kelviq does not say how long it waits."""


class Post(Protocol):
    """What carries deliveries: a transport."""

    def send(self, request: WireRequest) -> Awaitable[WireAnswer]:
        """Carry a request."""
        ...

    async def close(self) -> None:
        """Give connections back."""
        ...


class Courier:
    """Follows a world's deliveries for as long as it is served.

    Args:
        world: Whose deliveries.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._task: asyncio.Task[None] | None = None
        self._waiting: set[asyncio.Future[None]] = set()

    def start(self, post: Post) -> None:
        """Begin; whatever is due already is delivered at once.

        Args:
            post: Carries the deliveries; closed in the end.
        """
        loop, due = asyncio.get_running_loop(), asyncio.Event()
        due.set()

        def wake() -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended, and nobody delivers any more
                loop.call_soon_threadsafe(due.set)

        async def send(url: str, headers: dict[str, str], body: bytes) -> int:
            async with asyncio.timeout(PATIENCE):
                return (await post.send(WireRequest("POST", url, headers, body))).status

        self._world.webhooks.sender = send
        self._world.webhooks.wake = wake
        self._task = asyncio.create_task(self._follow(due, post))

    async def caught_up(self, seconds: float) -> None:
        """Wait until nothing is due and nothing under way; not for retries, which wait for the clock.

        Args:
            seconds: How long to wait at most.
        """
        loop = asyncio.get_running_loop()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._task is not None and self._world.webhooks.due():
                    done: asyncio.Future[None] = loop.create_future()
                    self._waiting.add(done)
                    try:
                        await done
                    finally:
                        self._waiting.discard(done)

    async def stop(self) -> None:
        """End; what is due now waits until the world is served again."""
        task, self._task = self._task, None
        if task is None:
            return
        self._world.webhooks.sender = None
        self._world.webhooks.wake = lambda: None
        task.cancel()
        await asyncio.wait([task])
        self._look_again()

    async def _follow(self, due: asyncio.Event, post: Post) -> None:
        try:
            while True:
                await due.wait()
                due.clear()
                await self._world.webhooks.deliver_due()
                self._look_again()
        finally:
            await post.close()

    def _look_again(self) -> None:
        """Have those who wait see whether it was all."""
        for each in self._waiting:
            if not each.done():
                each.set_result(None)
