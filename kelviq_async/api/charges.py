"""Charges: one-time payments taken from a saved payment method, without a checkout."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from ..model import UNSET, Model, Unset, field, model
from ..request import Namespace, Request, call, invalid, post
from .periods import ChargePeriod, FeatureQuantity


@model
class ChargeProduct(Model):
    """The product a charge was made for.

    Attributes:
        name: Name to show.
        id: Kelviq's id.
        identifier: Your own short name for it.
    """

    name: str
    id: str
    identifier: str


@model
class ChargePlan(Model):
    """The plan a charge was made for.

    Attributes:
        name: Name to show.
        identifier: Your own short name for it.
    """

    name: str
    identifier: str


@model
class ChargeResult(Model):
    """What a charge brought the customer: a plan that was paid once.

    Attributes:
        id: Kelviq's id.
        start_date: First day.
        end_date: Last day, or None where it does not end.
        billing_period_start_time: Start of the paid period, if there is one.
        billing_period_end_time: End of the paid period, if there is one.
        amount: What was charged, in whole currency (``49.00`` is 49 dollars).
        recurrence: How often it is charged again; empty for a one-time payment.
        currency: Three-letter currency code.
        status: State of the purchase, such as ``"active"``.
        product: The product.
        plan: The plan.
        features: The quantities that were bought.
        trial_days_remaining: Days of trial that are left.
        customer_id: Your id of the customer.
        billing_type: ``"ONE_TIME"``.
        recurrence_unit: How many ``recurrence_type`` lie between two payments; None here.
        recurrence_type: Unit of time between two payments; None here.
    """

    id: str
    start_date: date
    end_date: date | None = None
    billing_period_start_time: datetime | None = None
    billing_period_end_time: datetime | None = None
    amount: Decimal
    recurrence: str
    currency: str
    status: str
    product: ChargeProduct
    plan: ChargePlan
    features: list[Any]
    trial_days_remaining: int
    customer_id: str
    billing_type: str
    recurrence_unit: int | None = field(default=None, provisional="OpenAPI example")
    recurrence_type: str | None = field(default=None, provisional="OpenAPI example")


@post("/charges/")
class CreateCharge(Request[ChargeResult]):
    """Charge a customer once, at once, for a plan. Kelviq API: POST /charges/.

    The money comes from the customer's default payment method, so there must be a saved one.

    Args:
        plan_identifier: The plan to sell; it needs a one-time price.
        customer_id: Your id of the customer who pays.
        charge_period: Always ``ONE_TIME``; recurring plans are sold as subscriptions.
        features: How much of which feature to buy.
        currency_code: Three-letter currency code; must be the customer's own, once there is one.
        ip_address: The customer's IP address, for prices by country.

    Raises:
        BadRequest: There is no payment method, or the card was declined or wants the customer to confirm.
    """

    plan_identifier: str
    customer_id: str
    charge_period: ChargePeriod = field(default=ChargePeriod.ONE_TIME, kw_only=True, required=True)
    features: Sequence[FeatureQuantity] | None | Unset = field(default=UNSET, kw_only=True)
    currency_code: str | None | Unset = field(default=UNSET, kw_only=True)
    ip_address: str | None | Unset = field(default=UNSET, kw_only=True, secret=True)

    def check(self) -> None:
        """Also refuse recurring charge periods.

        Raises:
            InvalidRequest: ``fields`` names the argument.
        """
        super().check()
        if self.charge_period != ChargePeriod.ONE_TIME:
            raise invalid("charge_period", "must be ONE_TIME: use subscriptions or checkout for the others")


class Charges(Namespace):
    """One-time payments from a saved payment method."""

    create = call(CreateCharge)
