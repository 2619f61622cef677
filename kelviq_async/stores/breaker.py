"""Leaving alone for a while what has failed several times in a row."""

from __future__ import annotations

import time
from collections.abc import Callable


class Breaker:
    """Whether something is worth trying.

    After some failures in a row nothing is tried for a while. Then one caller may: if that goes
    well all may again, and if not, the next while begins.

    Args:
        failures: How many failures in a row it takes.
        pause: For how many seconds nothing is tried then.
        clock: Seconds on a clock that never goes back.
    """

    def __init__(self, failures: int, pause: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._failures = failures
        self._pause = pause
        self._clock = clock
        self._in_a_row = 0
        self._until = 0.0
        self._probing = False

    @property
    def open(self) -> bool:
        """Whether nothing is to be tried at the moment."""
        if self._in_a_row < self._failures:
            return False
        return self._probing or self._clock() < self._until

    def enter(self) -> bool:
        """Whether the caller may try; if so, it has to say afterwards how that went."""
        if self.open:
            return False
        self._probing = self._in_a_row >= self._failures
        return True

    def succeeded(self) -> None:
        """It went well."""
        self._in_a_row = 0
        self._probing = False

    def failed(self) -> None:
        """It did not."""
        self._in_a_row += 1
        self._probing = False
        if self._in_a_row >= self._failures:
            self._until = self._clock() + self._pause

    def abandoned(self) -> None:
        """It ended for reasons that say nothing; the next one may try."""
        self._probing = False
