"""What this process knows of customers, and may say without asking.

``peek`` is the hot path: plain dict lookups and one look at the clock, safe from any thread. Writes
happen on the client's loop only.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from ..api.entitlements import CustomerEntitlements
from ..checks import identifier_problem
from .compact import Shape, Shapes, earliest_reset, put_together
from .policy import CachePolicy
from .recorded import Uncounted
from .verdicts import Entitlements

_NEVER: Final = float("inf")
_UNFIT: Final = frozenset({"", ".", ".."})


class Known:
    """What is known of one customer.

    Attributes:
        shape: What the answer has in common with others; None for a customer Kelviq does not know.
        own: The customer's own numbers in it.
        verdicts: Feature -> granted, denied or unreadable.
        absent: The verdict on all other features.
        start: When the call that fetched it began, on the monotonic clock.
        granted_until: Until when grants are served without asking.
        denied_until: Until when denials are.
        reset: When a meter starts anew and the answer is old news, on the monotonic clock.
        refreshing: Whether somebody asks again behind the scenes.
        from_store: Whether another process fetched it.
    """

    __slots__ = (
        "absent",
        "denied_until",
        "from_store",
        "granted_until",
        "own",
        "refreshing",
        "reset",
        "shape",
        "start",
        "verdicts",
    )

    def __init__(
        self, shape: Shape | None, own: tuple[Any, ...], start: float, reset: float, policy: CachePolicy
    ) -> None:
        self.shape = shape
        self.own = own
        self.verdicts: dict[str, bool | None] = shape.verdicts if shape is not None else {}
        self.absent: bool | None = shape.absent if shape is not None else False
        self.start = start
        self.reset = reset
        self.granted_until = min(start + policy.fresh, reset)
        self.denied_until = min(start + policy.denied, reset)
        self.refreshing = False
        self.from_store = False

    def answer(self, customer_id: str) -> CustomerEntitlements | None:
        """The answer itself, or None for a customer Kelviq does not know."""
        return None if self.shape is None else put_together(customer_id, self.shape, self.own)

    def entitlements(self, customer_id: str, uncounted: Uncounted | None = None) -> Entitlements | None:
        """All the customer has, or None for a customer Kelviq does not know.

        Args:
            customer_id: Your own id of the customer.
            uncounted: Tells what was recorded since.
        """
        answer = self.answer(customer_id)
        return None if answer is None else Entitlements(customer_id, answer, uncounted)


def _peeking(
    kept: Mapping[str, Known], policy: CachePolicy, clock: Callable[[], float]
) -> Callable[[str, str], bool | None]:
    """The hot path, as a function that has all it needs at hand."""
    special = {feature for feature, own in policy.features.items() if own.fresh is not None}

    def peek(customer_id: str, feature_id: str) -> bool | None:
        try:
            known = kept[customer_id]
            verdict = known.verdicts.get(feature_id, known.absent)
        except (KeyError, TypeError):
            return None
        if verdict:
            until = known.granted_until
            if special and feature_id in special:
                until = min(known.start + policy.fresh_for(feature_id), known.reset)
            return True if clock() < until else None
        if verdict is not False or clock() >= known.denied_until:
            return None
        if feature_id in known.verdicts or _is_plain(feature_id) or not identifier_problem(feature_id):
            return False
        return None  # it can be no id: who asks further is told

    return peek


def _is_plain(feature_id: object) -> bool:
    """Whether a text is an id for sure; a quick look, for what is asked all the time."""
    return type(feature_id) is str and feature_id.isprintable() and feature_id not in _UNFIT


class Memory:
    """Answers kept in this process, the oldest dropped first.

    Args:
        policy: How long they may be used.
        clock: Monotonic seconds.
        now: The wall clock, to tell when meters start anew.
    """

    def __init__(
        self,
        policy: CachePolicy,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.policy = policy
        self._now = now
        self._known: dict[str, Known] = {}
        self._shapes = Shapes()
        self.clock = clock

    @property
    def clock(self) -> Callable[[], float]:
        """Monotonic seconds; to be changed before anything is asked, if at all."""
        return self._clock

    @clock.setter
    def clock(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.peek = _peeking(self._known, self.policy, clock)
        """Whether a fresh answer allows it, by customer and feature; None where somebody has to be asked."""

    def __len__(self) -> int:
        """How many customers are known."""
        return len(self._known)

    def get(self, customer_id: str) -> Known | None:
        """What is known of a customer, however old."""
        return self._known.get(customer_id)

    def age(self, known: Known) -> float:
        """Seconds since the call that fetched it began."""
        return max(0.0, self._clock() - known.start)

    def is_fresh(self, known: Known, feature_id: str) -> bool:
        """Whether it may be served without asking."""
        verdict = known.verdicts.get(feature_id, known.absent)
        if verdict is None:
            return False
        span = self.policy.fresh_for(feature_id) if verdict else self.policy.denied
        return self._clock() < min(known.start + span, known.reset)

    def is_fresh_as_a_list(self, known: Known) -> bool:
        """Whether all of it may be served without asking: what is granted, and that nothing else is."""
        granted = (feature for feature, verdict in known.verdicts.items() if verdict)
        spans = map(self.policy.fresh_for, granted)
        return self._clock() < min(known.start + min(spans, default=_NEVER), known.denied_until)

    def may_revalidate(self, known: Known, feature_id: str) -> bool:
        """Whether a grant may be served while it is refreshed behind the scenes."""
        if known.verdicts.get(feature_id, known.absent) is not True:
            return False
        span = self.policy.fresh_for(feature_id) + self.policy.revalidate
        return self._clock() < min(known.start + min(span, self.policy.stale_for(feature_id)), known.reset)

    def may_serve_stale(self, known: Known, feature_id: str) -> bool:
        """Whether a grant may be served because Kelviq cannot be asked."""
        if known.verdicts.get(feature_id, known.absent) is not True:
            return False
        return self._clock() <= known.start + self.policy.stale_for(feature_id)

    def keep(self, customer_id: str, answer: CustomerEntitlements | None, start: float) -> Known:
        """Keep an answer; None says that Kelviq does not know the customer.

        Args:
            customer_id: Your own id of the customer.
            answer: All the customer has.
            start: When the call that fetched it began, on the monotonic clock.
        """
        shape, own = (None, ()) if answer is None else self._shapes.taken_apart(answer)
        moment = earliest_reset(own)
        reset = _NEVER if moment is None else self._clock() + (moment - self._now()).total_seconds()
        known = Known(shape, own, start, reset, self.policy)
        self._known.pop(customer_id, None)
        self._known[customer_id] = known
        while len(self._known) > self.policy.max_customers:
            self._known.pop(next(iter(self._known)), None)
        return known

    def forget(self, customer_id: str) -> None:
        """Drop what is known of a customer."""
        self._known.pop(customer_id, None)

    def clear(self) -> None:
        """Drop everything."""
        self._known.clear()
