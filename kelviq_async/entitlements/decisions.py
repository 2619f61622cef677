"""Whether a customer may use a feature, why, and how that is known."""

from __future__ import annotations

from enum import StrEnum

import attrs

from ..errors import KelviqError, NotEntitled, UnreadableAnswer
from .verdicts import Entitlement, Entitlements


class Reason(StrEnum):
    """Why a decision is as it is."""

    GRANTED = "granted"
    """Kelviq says yes."""
    DENIED = "denied"
    """Kelviq says no, for example because a meter is used up."""
    NOT_ENTITLED = "not entitled"
    """Nothing the customer has bought has to do with the feature."""
    UNKNOWN_CUSTOMER = "unknown customer"
    """Kelviq does not know the customer."""
    FAILED = "failed"
    """Nobody knows: the question could not be answered. ``error`` says why."""
    FALLBACK = "fallback"
    """Nobody knows, and the feature's policy decided."""


class Source(StrEnum):
    """Where a decision comes from."""

    LIVE = "live"
    MEMORY = "memory"
    STORE = "store"
    STALE = "stale"
    FALLBACK = "fallback"


@attrs.frozen
class Decision:
    """The answer to "may this customer use this feature?".

    Attributes:
        customer_id: Your own id of the customer.
        feature_id: Your short name of the feature.
        allowed: Whether they may. False where ``error`` is set: nobody knows.
        reason: Why.
        source: Where it is known from.
        age: Seconds since it was asked of Kelviq.
        entitlement: What is granted, or None.
        error: Why nobody knows; set by batch checks only, single ones raise it.
    """

    customer_id: str
    feature_id: str
    allowed: bool
    reason: Reason
    source: Source = Source.LIVE
    age: float = 0.0
    entitlement: Entitlement | None = attrs.field(default=None, repr=False, hash=False)
    error: KelviqError | None = None

    def __bool__(self) -> bool:
        """Whether it is allowed.

        Raises:
            KelviqError: Nobody knows; a wrong yes or no would be a guess.
        """
        if self.error is not None:
            raise self.error
        return self.allowed

    def require(self) -> Decision:
        """Itself, where it is allowed.

        Raises:
            NotEntitled: It is not.
            KelviqError: Nobody knows.
        """
        if not self:
            raise NotEntitled(f"{self.feature_id} is not allowed: {self.reason.value}")
        return self


@attrs.frozen
class Lookup:
    """What one customer of a batch may use.

    Attributes:
        customer_id: Your own id of the customer.
        entitlements: All of it, or None where it could not be found out.
        error: Why not, or None.
    """

    customer_id: str
    entitlements: Entitlements | None = None
    error: KelviqError | None = None


def decide(
    customer_id: str,
    feature_id: str,
    known: Entitlements | None,
    *,
    source: Source = Source.LIVE,
    age: float = 0.0,
) -> Decision:
    """The decision that follows from what Kelviq answered.

    Args:
        customer_id: Your own id of the customer.
        feature_id: Your short name of the feature.
        known: All the customer has, or None for a customer Kelviq does not know.
        source: Where that is known from.
        age: Seconds since it was asked of Kelviq.

    Raises:
        UnreadableAnswer: The verdict on this feature is not a JSON boolean, or the answer does not
            name the feature and holds an entry that might be about it.
    """
    if known is None:
        return Decision(customer_id, feature_id, False, Reason.UNKNOWN_CUSTOMER, source, age)
    found = known.get(feature_id)
    if found is None:
        if not known.complete:
            raise UnreadableAnswer(
                f"an entry of Kelviq's answer cannot be read; it may be about {feature_id}"
            )
        return Decision(customer_id, feature_id, False, Reason.NOT_ENTITLED, source, age)
    verdict = found.granted
    if verdict is None:
        raise UnreadableAnswer(f"Kelviq's verdict on {feature_id} is no true or false")
    reason = Reason.GRANTED if verdict else Reason.DENIED
    return Decision(customer_id, feature_id, verdict, reason, source, age, found)
