"""Words that several areas share: charge periods, billing types, feature quantities."""

from __future__ import annotations

from ..model import Model, OpenEnum, field, model


class ChargePeriod(OpenEnum):
    """How often a checkout or a subscription charges."""

    ONE_TIME = "ONE_TIME"
    DAILY = "DAILY"
    WEEKLY = "WEEKLY"
    TWENTY_EIGHT_DAYS = "TWENTY_EIGHT_DAYS"
    MONTHLY = "MONTHLY"
    THREE_MONTHS = "THREE_MONTHS"
    SIX_MONTHS = "SIX_MONTHS"
    YEARLY = "YEARLY"


class BillingType(OpenEnum):
    """Whether something is paid again and again, or once."""

    SUBSCRIPTION = "SUBSCRIPTION"
    ONE_TIME = "ONE_TIME"


@model
class FeatureQuantity(Model):
    """How much of a feature to buy.

    Attributes:
        identifier: The feature's identifier, such as ``"seats"``.
        quantity: How many.
    """

    identifier: str = field(required=True)
    quantity: int = field(required=True)
