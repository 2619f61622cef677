"""How fast usage is sent: pauses after failures, and keys that others go ahead of."""

from __future__ import annotations

import logging
import math
import random
import time
from typing import Final

from .fates import Fate, without_ids
from .policy import UsagePolicy
from .records import Key

logger = logging.getLogger("kelviq_async")

LEAST: Final = 0.01
"""Seconds of the shortest pause, so that a policy without pauses does not keep the processor busy."""
QUIET: Final = 60.0
"""Seconds between two warnings that sending pauses."""
LONGEST: Final = 3600.0
"""Seconds of the longest pause that Kelviq can ask for."""


class _Avoided:
    """A key that others go ahead of, and until when."""

    __slots__ = ("failures", "until")

    def __init__(self) -> None:
        self.failures = 0
        self.until = 0.0


class Pace:
    """When the next report may be sent, and how many at once.

    Args:
        policy: How to gather and send.
    """

    def __init__(self, policy: UsagePolicy) -> None:
        self._policy = policy
        self._failures = 0
        self._failed_at = self._said_at = float("-inf")
        self._resume_at = 0.0
        self._asked_until = 0.0
        self._avoided: dict[Key, _Avoided] = {}

    @property
    def concurrency(self) -> int:
        """Reports that may be on their way at once: after a failure one goes ahead to see."""
        return 1 if self._failures else self._policy.concurrency

    def pause(self) -> float:
        """Seconds until the next report may be sent."""
        return max(0.0, self._resume_at - time.monotonic())

    def avoided(self) -> set[Key]:
        """Keys whose turn it is not."""
        now = time.monotonic()
        return {key for key, each in self._avoided.items() if each.until > now}

    def next_turn(self) -> float:
        """When the next of these keys has its turn, on the monotonic clock."""
        now = time.monotonic()
        return min((each.until for each in self._avoided.values() if each.until > now), default=math.inf)

    def worked(self, key: Key | None = None) -> None:
        """Kelviq can be reached; it has even counted what was sent for a key."""
        self._failures = 0
        if key is not None:
            self._avoided.pop(key, None)

    def failed(self, claimed: float, fate: Fate) -> None:
        """Wait before anything else is sent; what was under way together fails as one.

        Args:
            claimed: When what failed was claimed, on the monotonic clock.
            fate: What became of it.
        """
        now = time.monotonic()
        if claimed >= self._failed_at:
            self._failures += 1
            self._failed_at = now
            self._resume_at = max(self._resume_at, now + self.backoff(self._failures))
            loud = self._failures == 1 and now - self._said_at > QUIET
            self._said_at = now if loud else self._said_at
            level = logging.WARNING if loud else logging.DEBUG
            logger.log(level, "sending usage pauses and goes on by itself: %s", without_ids(fate.reason))
        if fate.retry_after is not None:
            self._asked_until = max(self._asked_until, now + min(fate.retry_after, LONGEST))
            self._resume_at = max(self._resume_at, self._asked_until)

    def avoid(self, key: Key) -> None:
        """Let others go ahead of a key that Kelviq chokes on, longer each time."""
        avoided = self._avoided.setdefault(key, _Avoided())
        avoided.failures += 1
        avoided.until = time.monotonic() + 2 * self.backoff(avoided.failures)

    def hurry(self) -> None:
        """End all pauses but those that Kelviq asked for."""
        self._resume_at = self._asked_until
        self._avoided.clear()

    def tidy(self) -> None:
        """Forget keys that have not failed for long."""
        before = time.monotonic() - 2 * self._policy.max_backoff
        self._avoided = {key: each for key, each in self._avoided.items() if each.until > before}

    def backoff(self, failures: int) -> float:
        """Seconds to wait after so many failures in a row: longer each time, and never the same."""
        most = min(self._policy.max_backoff, self._policy.backoff * 2 ** min(failures - 1, 30))
        return max(LEAST, random.uniform(most / 2, most))  # noqa: S311  nobody gains by guessing it
