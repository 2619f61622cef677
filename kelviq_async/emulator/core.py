"""What every rule of the emulator works with: rows, clock, ids, agenda, and events to tell of."""

from __future__ import annotations

import heapq
import random
import threading
import uuid
from datetime import UTC, datetime
from typing import Any, Final

from .clock import Clock
from .registry import timer_of
from .state import AgendaRow, State

_ALPHABET: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_LETTERS: Final = bytes(_ALPHABET[number % len(_ALPHABET)] for number in range(256))
"""Any byte as a letter or digit."""


class Core:
    """State, time and chance. ``World`` adds the way requests take.

    Args:
        now: The time the clock starts at; by default the machine's time.
        seed: Makes ids and chance repeatable.
        url: Address that links point to.
        unknown_customer: What entitlements of an unknown customer answer: ``404`` or ``"empty"``.
    """

    def __init__(self, *, now: datetime | None, seed: int, url: str, unknown_customer: int | str) -> None:
        if unknown_customer not in {404, "empty"}:
            raise ValueError('unknown_customer must be 404 or "empty"')
        self.unknown_customer = unknown_customer
        self.url = url
        self.lock = threading.RLock()
        self.clock = Clock(
            now or datetime.now(UTC).replace(microsecond=0), self._due, self._happen, self.lock
        )
        self.seed = seed
        self._begin()

    def _begin(self) -> None:
        self.random = random.Random(self.seed)  # noqa: S311  ids are to be repeatable, not secret
        self.state = State()

    def now(self) -> datetime:
        """The present moment of the world's clock."""
        return self.clock.now()

    def new_id(self) -> str:
        """A new UUID; the same ones come in every world with the same seed."""
        return str(uuid.UUID(int=self.random.getrandbits(128), version=4))

    def new_token(self, prefix: str, length: int = 44) -> str:
        """A new text of letters and digits behind a prefix, such as ``cs_…``."""
        return prefix + self.random.randbytes(length).translate(_LETTERS).decode()

    def next_number(self, kind: str) -> int:
        """The next number of things that Kelviq numbers."""
        number = self.state.numbers.get(kind, 0) + 1
        self.state.numbers[kind] = number
        return number

    def schedule(self, at: datetime, kind: str, key: str) -> None:
        """Have the function registered with ``@due(kind)`` called when the clock reaches a moment."""
        heapq.heappush(self.state.agenda, AgendaRow(at, self.next_number("agenda"), kind, key))

    def _due(self) -> datetime | None:
        return self.state.agenda[0].at if self.state.agenda else None

    def _happen(self) -> None:
        with self.lock:
            now = self.clock.now()
            while self.state.agenda and self.state.agenda[0].at <= now:
                row = heapq.heappop(self.state.agenda)
                timer_of(row.kind)(self, row.key)

    def emit(self, event_type: str, subject: dict[str, Any], previous: dict[str, Any] | None = None) -> None:
        """Tell all endpoints that want to know of an event.

        Args:
            event_type: Such as ``"subscription.created"``.
            subject: The event's object, in webhook spelling (snake_case).
            previous: Attributes that changed, with their values before.
        """
        raise NotImplementedError
