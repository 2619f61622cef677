"""What the entitlements need to know of usage that this process has recorded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

Uncounted = Callable[[str, int | None], int]
"""``(feature_id, used) -> units``: what to take off what an answer says remains of a feature, of which it
says that so many units are used."""


class Recorded(Protocol):
    """What was recorded here, and what is held for work that goes on."""

    def of(self, customer_id: str, feature_id: str, used: int | None, since: float) -> int:
        """Units that an answer asked for at a moment, in monotonic seconds, does not know of."""
        ...

    def hold(self, customer_id: str, feature_id: str, units: int) -> None:
        """Keep units for somebody; a negative number gives them back."""
        ...

    def learn_reset(self, customer_id: str, feature_id: str, moment: float) -> None:
        """A meter starts anew, in seconds since 1970."""
        ...
