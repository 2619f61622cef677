"""How usage is gathered and sent."""

from __future__ import annotations

from typing import Any, Literal, Protocol

import attrs

from ..config import FOREVER
from ..errors import ConfigError
from .records import Ledger, State

LARGEST: int = 2**53 - 1
"""The largest number that every JSON reader takes for what it is."""


class UsageObserver(Protocol):
    """Is told what happens to usage; for metrics. It must be quick, and what it raises is only logged."""

    def moved(self, state: State, records: int) -> None:
        """Records have come into a state; ``pending`` says that they were accepted or came back."""
        ...

    def measured(self, ledger: Ledger) -> None:
        """How many records are where, every few seconds while there is work."""
        ...


@attrs.frozen(kw_only=True)
class UsagePolicy:
    """How usage is gathered and sent.

    Attributes:
        window: Seconds for which DELTAs of one customer and feature are added up before they are sent.
        max_records: Records added up in one report at most.
        max_units: Units of one report at most.
        concurrency: Reports on their way at once.
        timeout: Seconds for one report.
        ambiguous: What to do with a DELTA whose fate is unknown: ``"hold"`` keeps it for somebody to
            settle, ``"resend"`` sends it again and so may count it twice.
        late: What to do where the meter has started anew since it was recorded, as far as that is known:
            ``"hold"`` keeps it for somebody to settle, ``"send"`` sends it into the new period and
            marks it.
        lease: Seconds without a sign of life after which a sender counts as gone.
        shutdown: Seconds for sending what is pending when the client closes.
        retain: Seconds for which delivered reports are kept, before they are reduced to counters.
        backoff: Seconds of the first pause when Kelviq cannot be reached; each further one is longer.
        max_backoff: Seconds of the longest pause.
        observer: Told what happens, or None.
    """

    window: float = 2.0
    max_records: int = 10_000
    max_units: int = LARGEST
    concurrency: int = 8
    timeout: float = 10.0
    ambiguous: Literal["hold", "resend"] = "hold"
    late: Literal["hold", "send"] = "hold"
    lease: float = 60.0
    shutdown: float = 5.0
    retain: float = 86_400.0
    backoff: float = 0.5
    max_backoff: float = 60.0
    observer: UsageObserver | None = None

    def __attrs_post_init__(self) -> None:
        """Refuse what could never work."""
        for name in ("window", "shutdown", "retain", "backoff", "max_backoff"):
            _check_seconds(name, getattr(self, name), least=0)
        for name in ("timeout", "lease"):
            _check_seconds(name, getattr(self, name), least=0.001)
        for name, most in (("max_records", 1_000_000), ("max_units", LARGEST), ("concurrency", 1000)):
            value = getattr(self, name)
            if type(value) is not int or not 1 <= value <= most:
                raise ConfigError(f"usage policy: {name} must be a whole number from 1 to {most}")
        if self.max_backoff < self.backoff:
            raise ConfigError("usage policy: max_backoff must not be below backoff")
        if self.lease < 2 * self.timeout:
            raise ConfigError("usage policy: lease must be at least twice the timeout of one report")
        _check_word("ambiguous", self.ambiguous, "hold", "resend")
        _check_word("late", self.late, "hold", "send")
        watches = all(callable(getattr(self.observer, name, None)) for name in ("moved", "measured"))
        if self.observer is not None and (isinstance(self.observer, type) or not watches):
            raise ConfigError("usage policy: observer must be an object with moved() and measured()")


def _check_seconds(name: str, value: Any, *, least: float) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not least <= value <= FOREVER:  # NaN is not between anything
        raise ConfigError(f"usage policy: {name} must be a number of seconds from {least:g} to {FOREVER}")


def _check_word(name: str, value: Any, *words: str) -> None:
    if value not in list(words):
        raise ConfigError(f"usage policy: {name} must be {' or '.join(map(repr, words))}")
