"""Offerings: a product's plans and prices as one visitor should see them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from ..model import Model, field, model
from ..request import Namespace, Request, call, get


@model
class OfferingCharge(Model):
    """What a plan costs for one charge period.

    Attributes:
        id: Kelviq's id.
        charge_period: How often it is charged, such as ``"MONTHLY"``.
        tiers: Steps of the price, where it depends on the quantity.
        price_data: The price's own figures, such as ``amount`` in whole currency.
        details: What Kelviq itself notes.
        advanced: Settings beyond the usual.
        feature_quantity_price: The price for the quantities at hand, in whole currency.
    """

    id: str
    charge_period: str
    tiers: list[Any]
    price_data: dict[str, Any]
    details: dict[str, Any]
    advanced: dict[str, Any]
    feature_quantity_price: Decimal = field(form="number")


@model
class OfferingPrice(Model):
    """What a plan costs.

    Attributes:
        id: Kelviq's id.
        price_type: Whether it is free, paid or made to order, such as ``"PAID"``.
        free_trial: Whether it starts with a free trial.
        trial_period: Length of the trial, in days.
        currency: Three-letter currency code.
        enabled: Whether it can be bought.
        charges: The price for each charge period.
    """

    id: str
    price_type: str
    free_trial: bool
    trial_period: int
    currency: str
    enabled: bool = field(provisional="OpenAPI example")
    charges: list[OfferingCharge]


@model
class OfferingPlan(Model):
    """A plan as it is offered.

    Attributes:
        name: The plan's own name.
        description: What it is.
        identifier: Your own short name for it.
        details: What Kelviq itself notes.
        is_visible: Whether visitors should see it.
        metadata: What you noted.
        base_plan: The plan that it builds on, if there is one.
        price: What it costs.
        original_price: Price before discounts by charge period, in whole currency.
        features: What it grants.
        should_highlight: Whether it should stand out.
        enabled: Whether it is part of the offering.
        display_name: Name to show.
        display_description: Description to show.
        includes: A sentence on what it has in common with other plans.
    """

    name: str
    description: str
    identifier: str
    details: dict[str, Any]
    is_visible: bool
    metadata: dict[str, Any]
    base_plan: Any | None = None
    price: OfferingPrice
    original_price: dict[str, Any]
    features: list[Any]
    should_highlight: bool
    enabled: bool
    display_name: str
    display_description: str
    includes: str


@model
class OfferingSubscription(Model):
    """What the customer is subscribed to already.

    Attributes:
        has_previous_subscription: Whether they are, or ever were.
        plan_identifier: The plan they have, if any.
        subscription_id: Kelviq's id of the subscription, if any.
        charge_period: How often it is charged, if it is.
    """

    has_previous_subscription: bool
    plan_identifier: str | None = None
    subscription_id: str | None = None
    charge_period: str | None = None


@model
class OfferingBillingPeriod(Model):
    """A charge period that visitors can choose.

    Attributes:
        enabled: Whether it can be chosen.
        display_name: Name to show.
        charge_period: How often it charges, such as ``"MONTHLY"``.
        promo_caption: A few words to advertise it with.
        default_selected: Whether it is chosen at first.
    """

    enabled: bool
    display_name: str
    charge_period: str
    promo_caption: str
    default_selected: bool = field(provisional="OpenAPI example")


@model
class ProductOffering(Model):
    """All that a pricing page of one product needs.

    Attributes:
        organization_id: Kelviq's id of your organization.
        country_code: Two-letter code of the visitor's country.
        pricing_locale: Language and region to format prices for, such as ``"en-US"``.
        currency_code: Three-letter code of the currency that prices are in.
        currency_symbol: Sign of that currency, such as ``"$"``.
        currency_conversion_rate: How much of that currency one unit of the base currency is.
        base_currency_code: Three-letter code of your base currency.
        base_currency_symbol: Sign of your base currency.
        plans: The plans.
        subscription: What the customer is subscribed to already.
        is_customer_exists: Whether Kelviq knows the customer that was asked for.
        billing_periods: The charge periods to choose from.
    """

    organization_id: str = field(form="id")
    country_code: str
    pricing_locale: str
    currency_code: str
    currency_symbol: str
    currency_conversion_rate: Decimal = field(form="number")
    base_currency_code: str
    base_currency_symbol: str
    plans: list[OfferingPlan]
    subscription: OfferingSubscription
    is_customer_exists: bool
    billing_periods: list[OfferingBillingPeriod]


@get("/monetization/product-offering/{product_id}/")
class GetProductOffering(Request[ProductOffering]):
    """A product's plans and prices for a visitor.

    Kelviq API: GET /monetization/product-offering/{product_id}/.

    Args:
        product_id: Kelviq's id of the product.
        customer_id: Your id of the customer, to learn what they are subscribed to already.
        plans_enabled: Identifiers of the only plans to tell of, with commas between them.
        ip_address: The visitor's IP address, for prices and currency of their country.

    Raises:
        NotFound: There is no such product.
    """

    product_id: str
    customer_id: str | None = field(default=None, kw_only=True)
    plans_enabled: str | None = field(default=None, kw_only=True)
    ip_address: str | None = field(default=None, kw_only=True, secret=True)


class Offerings(Namespace):
    """Plans and prices as one visitor should see them."""

    get = call(GetProductOffering)
