"""What is asked of a store, and what it says when it cannot do it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from ..errors import KelviqError


class StoreFailed(KelviqError):
    """A store could not be reached, took too long, or refused.

    What was asked may have been done nevertheless. A cache treats it as "nothing is there".
    """


class Subscription(Protocol):
    """Messages of a channel being handed to somebody, until it is closed."""

    async def aclose(self) -> None:
        """End it: nothing is called any more. May be done twice."""
        ...


class Store(Protocol):
    """What a cache or a replay guard asks of a store.

    Each method is atomic: of several callers at the same moment, each sees the state before or
    after another one's call and never in between. A key whose time ran out is as good as absent.
    Times to live are positive seconds; None keeps a value until it is deleted. What waits for a
    network gives up after a short time of its own and raises ``StoreFailed``.
    """

    async def get(self, key: str) -> bytes | None:
        """The value under a key, or None where there is none."""
        ...

    async def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        """Put a value under a key, whatever was there."""
        ...

    async def add(self, key: str, value: bytes, ttl: float | None = None) -> bool:
        """Put a value under a key only if there is none; whether it was put."""
        ...

    async def replace(self, key: str, expected: bytes, value: bytes, ttl: float | None = None) -> bool:
        """Put a value under a key only if ``expected`` is there; whether it was put."""
        ...

    async def delete(self, key: str, expected: bytes | None = None) -> bool:
        """Remove a key, or with ``expected`` only if that is its value; whether it was removed."""
        ...

    async def publish(self, channel: str, message: bytes) -> None:
        """Hand a message to all who have subscribed to a channel at this moment, in any process."""
        ...

    async def subscribe(
        self, channel: str, on_message: Callable[[bytes], None], on_gap: Callable[[], None]
    ) -> Subscription:
        """Have the messages of a channel handed over, on the event loop this is called on.

        It does not fail while the store cannot be reached, and returns after a short time all the
        same: the subscription goes on trying. What is published after it returned either arrives
        or is followed by a call of ``on_gap``.

        Args:
            channel: Name of the channel.
            on_message: Called with each message, in the order they came; must not block.
            on_gap: Called when messages may have been missed: after each reconnect, and when the
                first connection came about only after this method had returned.

        Returns:
            What ends it.
        """
        ...

    async def close(self) -> None:
        """End the subscriptions and give back the connections. Later calls open them again."""
        ...
