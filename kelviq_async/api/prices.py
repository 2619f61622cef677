"""What plans cost: prices by currency, charges by period, and how usage is priced."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from ..model import Model, OpenEnum, field, model


class PriceType(OpenEnum):
    """Whether a plan costs something."""

    FREE = "FREE"
    PAID = "PAID"
    CUSTOM = "CUSTOM"


class PriceModel(OpenEnum):
    """How a number of units becomes an amount."""

    FLAT = "FLAT"
    PACKAGE = "PACKAGE"
    TIERED = "TIERED"
    VOLUME = "VOLUME"
    STAIRSTEP = "STAIRSTEP"


class CatalogChargePeriod(OpenEnum):
    """How often a catalogue price charges; another set than that of checkouts and subscriptions."""

    ONE_TIME = "ONE_TIME"
    DAILY = "DAILY"
    MONTHLY = "MONTHLY"
    QUARTERLY = "QUARTERLY"
    YEARLY = "YEARLY"


class MeterReset(OpenEnum):
    """How often a meter starts anew."""

    NEVER = "NEVER"
    EVERY_DAY = "EVERY_DAY"
    EVERY_28_DAYS = "EVERY_28_DAYS"
    EVERY_MONTH = "EVERY_MONTH"
    EVERY_QUARTER = "EVERY_QUARTER"
    EVERY_YEAR = "EVERY_YEAR"


class PaymentType(OpenEnum):
    """Whether units are paid before or after they are used."""

    ADVANCE_COMMITMENT = "ADVANCE_COMMITMENT"
    PAY_AS_YOU_GO = "PAY_AS_YOU_GO"


class TaxBehavior(OpenEnum):
    """Whether a catalogue price includes taxes."""

    INCLUSIVE = "INCLUSIVE"
    EXCLUSIVE = "EXCLUSIVE"
    UNSPECIFIED = "UNSPECIFIED"


class ThresholdType(OpenEnum):
    """What a usage alert's thresholds count: percent of the limit, or units."""

    PERCENTAGE = "PERCENTAGE"
    BALANCE = "BALANCE"


@model
class UsageAlerts(Model):
    """When to tell about usage.

    Attributes:
        enabled: Whether to tell at all.
        thresholds: Percent from 1 to 100, or numbers of units.
        threshold_type: Which of the two.
    """

    enabled: bool = field(default=None)
    thresholds: list[Decimal] = field(default=None, form="number")
    threshold_type: ThresholdType = field(default=None)


@model
class PriceTier(Model):
    """One bracket of a tiered, volume or stairstep price.

    Attributes:
        flat_amount: Fee for reaching the bracket.
        unit_amount: Price of each unit in it.
        up_to: Last unit of the bracket; ``"inf"`` or None for no end.
    """

    flat_amount: Decimal = field(default=None, form="number")
    unit_amount: Decimal = field(default=None, form="number")
    up_to: int | str | None = field(default=None)


@model
class PlanCharge(Model):
    """What is charged each period.

    Attributes:
        charge_period: How often.
        price_data: For FLAT and PACKAGE the ``amount`` (and ``block_size``), else the currency.
        tiers: Brackets, for TIERED, VOLUME and STAIRSTEP.
        advanced: ``min_quantity`` and ``max_quantity``, for FLAT with a feature.
    """

    charge_period: CatalogChargePeriod = field(default=None)
    price_data: dict[str, Any] = field(default=None, form="number")
    tiers: list[PriceTier] = field(default=None)
    advanced: dict[str, Any] = field(default=None)


@model
class FeatureCharge(Model):
    """What one feature costs, or the plan itself where ``feature`` is None.

    Attributes:
        feature: Kelviq's id of the feature, or None.
        price_model: How units become an amount.
        reset: How often its meter starts anew.
        reset_time: When in the period it does.
        has_unlimited_usage: Whether there is no limit.
        payment_type: Whether units are paid before or after use.
        rollover: What of the unused goes on: ``enabled``, ``percentage``, ``limit``.
        usage_alerts: When to tell about usage.
        charges: The amounts, by period.
    """

    feature: str | None = field(default=None)
    price_model: PriceModel = field(default=None)
    reset: MeterReset = field(default=None)
    reset_time: str | None = field(default=None)
    has_unlimited_usage: bool = field(default=None)
    payment_type: PaymentType = field(default=None)
    rollover: dict[str, Any] = field(default=None)
    usage_alerts: UsageAlerts = field(default=None)
    charges: list[PlanCharge] = field(default=None)


@model
class PlanPriceInput(Model):
    """A price to give to a plan.

    Attributes:
        price_type: Whether it costs something.
        currency: Three-letter code.
        free_trial: Whether it starts with a free trial.
        trial_period: Length of the trial in days.
        enabled: Whether it can be bought.
        tax_behavior: Whether amounts include taxes.
        charge_catalog_price: What the plan and its features cost.
    """

    price_type: PriceType = field(required=True)
    currency: str = field(default=None)
    free_trial: bool = field(default=None)
    trial_period: int = field(default=None)
    enabled: bool = field(default=None)
    tax_behavior: TaxBehavior = field(default=None)
    charge_catalog_price: list[FeatureCharge] = field(default=None)

    @classmethod
    def free(cls, *, currency: str = "USD") -> PlanPriceInput:
        """A price of nothing.

        Args:
            currency: Three-letter code.
        """
        return cls(price_type=PriceType.FREE, currency=currency)

    @classmethod
    def flat(
        cls,
        amounts: Mapping[CatalogChargePeriod, Decimal],
        *,
        currency: str = "USD",
        trial_days: int = 0,
    ) -> PlanPriceInput:
        """A fixed amount for each period.

        Args:
            amounts: What it costs, by period.
            currency: Three-letter code.
            trial_days: Length of the free trial; 0 for none.
        """
        charges = [
            PlanCharge(charge_period=period, price_data={"amount": amount}, tiers=[], advanced={})
            for period, amount in amounts.items()
        ]
        return cls(
            price_type=PriceType.PAID,
            currency=currency,
            free_trial=trial_days > 0,
            trial_period=trial_days,
            enabled=True,
            charge_catalog_price=[FeatureCharge(price_model=PriceModel.FLAT, charges=charges)],
        )


@model
class PlanPrice(Model):
    """What a plan costs in one currency.

    Attributes:
        id: Kelviq's id of the price.
        price_type: Whether it costs something.
        currency: Three-letter code.
        free_trial: Whether it starts with a free trial.
        trial_period: Length of the trial in days.
        enabled: Whether it can be bought.
        tax_behavior: Whether amounts include taxes.
        charge_catalog_price: What the plan and its features cost.
    """

    id: str
    price_type: PriceType
    currency: str
    free_trial: bool
    trial_period: int
    enabled: bool
    tax_behavior: TaxBehavior
    charge_catalog_price: list[FeatureCharge]


@model
class PlanPrices(Model):
    """The prices of a plan after they were replaced.

    Attributes:
        prices: All of them.
    """

    prices: list[PlanPrice]
