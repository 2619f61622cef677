"""The world's time: it stands still until somebody moves it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta


class Clock:
    """A clock that only moves when told to; what is due on the way happens at its own moment.

    Args:
        now: The time it starts at.
        due: Gives the moment of the next thing that is to happen, or None.
        happen: Makes everything happen that is due at the present moment.
        lock: Held while time passes.
    """

    def __init__(
        self,
        now: datetime,
        due: Callable[[], datetime | None] | None = None,
        happen: Callable[[], None] | None = None,
        lock: contextlib.AbstractContextManager[object] | None = None,
    ) -> None:
        if now.tzinfo is None:
            raise ValueError("the world's time must be aware")
        self._now = now.astimezone(UTC)
        self._due = due or (lambda: None)
        self._happen = happen or (lambda: None)
        self._lock = lock or contextlib.nullcontext()

    def now(self) -> datetime:
        """The world's present moment, in UTC."""
        return self._now

    def advance(
        self, *, days: float = 0, hours: float = 0, minutes: float = 0, seconds: float = 0
    ) -> datetime:
        """Let time pass; renewals, trial ends, resets and expiries happen in their order.

        Args:
            days: Days to add.
            hours: Hours to add.
            minutes: Minutes to add.
            seconds: Seconds to add.

        Returns:
            The new present moment.

        Raises:
            ValueError: The span is negative.
        """
        with self._lock:
            span = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
            return self.move_to(self._now + span)

    def move_to(self, moment: datetime) -> datetime:
        """Let time pass up to a moment.

        Raises:
            ValueError: The moment is not aware, or past.
        """
        if moment.tzinfo is None:
            raise ValueError("the moment must be aware")
        with self._lock:
            if moment < self._now:
                raise ValueError("time does not run backwards")
            while (due := self._due()) is not None and due <= moment:
                self._now = max(self._now, due.astimezone(UTC))
                self._happen()
            self._now = moment.astimezone(UTC)
            return self._now

    def jump(self, moment: datetime) -> None:
        """Set the time without anything happening on the way; for restoring a snapshot."""
        self._now = moment.astimezone(UTC)
