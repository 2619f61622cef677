"""Where shared state lives: small values under short keys that lapse by themselves.

A store knows nothing of what it keeps. ``MemoryStore`` serves one process; several processes that
must agree share a ``RedisStore``, or whatever else does what ``Store`` describes.
"""

from __future__ import annotations

from .memory import MemoryStore
from .protocol import Store, StoreFailed, Subscription
from .redis import RedisStore

__all__ = ["MemoryStore", "RedisStore", "Store", "StoreFailed", "Subscription"]
