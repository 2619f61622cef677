"""Offerings: a product's plans and prices for one visitor, and where visitors are."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, Final, NamedTuple

from ... import codec
from ...api.offerings import (
    GetProductOffering,
    OfferingBillingPeriod,
    OfferingCharge,
    OfferingPlan,
    OfferingPrice,
    OfferingSubscription,
    ProductOffering,
)
from ..catalog import HELD, amount_units, price_for, price_in, same_period
from ..core import Core
from ..periods import CHARGE_PERIODS
from ..pricing import exact_decimal, from_units
from ..refusals import Refusal
from ..registry import handles
from ..state import PlanRow, ProductRow, SubscriptionRow
from .products import plans_of, settings_of

ORGANIZATION: Final = 1
HOME: Final = "US"


class Country(NamedTuple):
    """What matters of a country here: its name, currency and language."""

    name: str
    currency: str
    language: str


COUNTRIES: Final[Mapping[str, Country]] = {
    "AE": Country("United Arab Emirates", "AED", "ar"),
    "AT": Country("Austria", "EUR", "de"),
    "AU": Country("Australia", "AUD", "en"),
    "BE": Country("Belgium", "EUR", "nl"),
    "BR": Country("Brazil", "BRL", "pt"),
    "CA": Country("Canada", "CAD", "en"),
    "CH": Country("Switzerland", "CHF", "de"),
    "DE": Country("Germany", "EUR", "de"),
    "DK": Country("Denmark", "DKK", "da"),
    "ES": Country("Spain", "EUR", "es"),
    "FI": Country("Finland", "EUR", "fi"),
    "FR": Country("France", "EUR", "fr"),
    "GB": Country("United Kingdom", "GBP", "en"),
    "IE": Country("Ireland", "EUR", "en"),
    "IN": Country("India", "INR", "en"),
    "IT": Country("Italy", "EUR", "it"),
    "JP": Country("Japan", "JPY", "ja"),
    "KW": Country("Kuwait", "KWD", "ar"),
    "MX": Country("Mexico", "MXN", "es"),
    "NL": Country("Netherlands", "EUR", "nl"),
    "NO": Country("Norway", "NOK", "nb"),
    "NZ": Country("New Zealand", "NZD", "en"),
    "PL": Country("Poland", "PLN", "pl"),
    "PT": Country("Portugal", "EUR", "pt"),
    "SE": Country("Sweden", "SEK", "sv"),
    "SG": Country("Singapore", "SGD", "en"),
    "US": Country("United States", "USD", "en"),
}
SYMBOLS: Final = {
    "USD": "$",
    "EUR": "€",
    "GBP": "£",
    "INR": "₹",
    "JPY": "¥",
    "AUD": "A$",
    "CAD": "CA$",
    "BRL": "R$",
    "NZD": "NZ$",
    "SGD": "S$",
    "MXN": "MX$",
}


def country_of_ip(world: Core, address: str | None) -> str | None:
    """The country of an IP address, by ``state.ip_countries``; the US for others, None without one."""
    if not address:
        return None
    fitting = [prefix for prefix in world.state.ip_countries if address.startswith(prefix)]
    return world.state.ip_countries[max(fitting, key=len)] if fitting else HOME


def country_of_customer(world: Core, customer_id: str | None) -> str | None:
    """The country a customer is billed in, if anybody said."""
    row = world.state.customers.get(customer_id or "")
    country = (row.billing_address or {}).get("country") if row is not None else None
    return country.upper() if isinstance(country, str) and country else None


def local_currency(plans: Iterable[PlanRow], country: str, base: str) -> str:
    """The currency to show prices in: the country's, if each plan has a price in it, else the base one."""
    known = COUNTRIES.get(country)
    priced = [plan for plan in plans if (price := price_in(plan, None)) and price["priceType"] != "FREE"]
    if known and known.currency != base and priced and all(price_in(plan, known.currency) for plan in priced):
        return known.currency
    return base


@handles(GetProductOffering)
def get_offering(world: Core, request: GetProductOffering) -> ProductOffering:
    """What can be bought of a product, in the currency of where the visitor is.

    The emulator converts no currencies: a price is shown in a currency that it was set in.
    """
    product = world.state.products.get(request.product_id)
    if product is None or product.archived:
        raise Refusal(404, {"status": "Not found", "message": "Product does not exist"})
    wanted = {name.strip() for name in (request.plans_enabled or "").split(",")} - {""}
    plans = [plan for plan in plans_of(world, product) if not wanted or plan.identifier in wanted]
    by_ip = country_of_ip(world, request.ip_address)
    country = by_ip or country_of_customer(world, request.customer_id) or HOME
    base: str = settings_of(product)["currency"]
    currency = local_currency(plans, country, base)
    language = COUNTRIES[country].language if country in COUNTRIES else "en"
    customer = world.state.customers.get(request.customer_id or "")
    answer = ProductOffering(
        organization_id=str(ORGANIZATION),
        country_code=country,
        pricing_locale=f"{language}-{country}",
        currency_code=currency,
        currency_symbol=SYMBOLS.get(currency, currency),
        currency_conversion_rate=Decimal(1),
        base_currency_code=base,
        base_currency_symbol=SYMBOLS.get(base, base),
        plans=[_plan(world, plan, currency) for plan in plans],
        subscription=_subscription(world, product, request.customer_id),
        is_customer_exists=customer is not None and not customer.archived,
        billing_periods=_periods(plans, currency),
    )
    data = codec.dump(answer, nulls=True)
    loaded: ProductOffering = codec.load(ProductOffering, {**data, "organizationId": ORGANIZATION})
    return loaded


def _price(plan: PlanRow, currency: str) -> dict[str, Any] | None:
    return price_in(plan, currency) or price_in(plan, None)


def _plan(world: Core, plan: PlanRow, currency: str) -> OfferingPlan:
    price = _price(plan, currency) or {"id": plan.id, "priceType": "CUSTOM", "currency": currency}
    return OfferingPlan(
        name=plan.name,
        description=plan.description,
        identifier=plan.identifier,
        details={},
        is_visible=plan.is_visible,
        metadata=plan.metadata,
        base_plan=None,
        price=OfferingPrice(
            id=price["id"],
            price_type=price["priceType"],
            free_trial=price.get("freeTrial") is True,
            trial_period=price.get("trialPeriod") or 0,
            currency=price["currency"],
            enabled=True,
            charges=_charges(world, plan, price),
        ),
        original_price={charge["chargePeriod"]: _amount(charge) for charge in _own(price)},
        features=[_feature(world, feature, details) for feature, details in plan.features.items()],
        should_highlight=False,
        enabled=True,
        display_name=plan.name,
        display_description=plan.description,
        includes="",
    )


def _own(price: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The charges for a plan itself; what is free is charged once, and nothing."""
    if price["priceType"] == "FREE":
        return [{"chargePeriod": "ONE_TIME", "priceData": {"amount": 0}}]
    parts = price.get("chargeCatalogPrice") or ()
    every = {
        same_period(charge["chargePeriod"]): charge for part in parts for charge in part.get("charges") or ()
    }
    own = {
        same_period(charge["chargePeriod"]): charge
        for part in parts
        if not part.get("feature")
        for charge in part.get("charges") or ()
    }
    # A plan may cost what its features cost, and nothing beside.
    nothing = {
        period: {"chargePeriod": charge["chargePeriod"], "priceData": {"amount": 0}}
        for period, charge in every.items()
    }
    return list({**nothing, **own}.values())


def _charges(world: Core, plan: PlanRow, price: Mapping[str, Any]) -> list[OfferingCharge]:
    found = []
    for charge in _own(price):
        choice = price_for(plan, price["currency"], charge["chargePeriod"])
        found.append(
            OfferingCharge(
                id=str(uuid.uuid5(uuid.NAMESPACE_OID, f"{price['id']} {charge['chargePeriod']}")),
                charge_period=charge["chargePeriod"],
                tiers=charge.get("tiers") or [],
                price_data=charge.get("priceData") or {},
                details={},
                advanced=charge.get("advanced") or {},
                feature_quantity_price=from_units(amount_units(choice, {}, world.state), choice.currency),
            )
        )
    return found


def _amount(charge: Mapping[str, Any]) -> Decimal:
    return exact_decimal((charge.get("priceData") or {}).get("amount", 0))


def _feature(world: Core, feature_id: str, details: Mapping[str, Any]) -> dict[str, Any]:
    """A feature of a plan and what is granted of it, side by side."""
    row = world.state.features[feature_id]
    return {
        "id": row.id,
        "identifier": row.identifier,
        "name": row.name,
        "description": row.description,
        "featureType": row.feature_type,
        "featureDetails": row.feature_details,
        "metadata": row.metadata,
        "enabled": True,
        "displayName": row.name,
        "displayDescription": row.description,
        "value": details.get("value"),
        "hardLimit": details.get("hardLimit"),
        "reset": details.get("reset"),
        "resetTime": details.get("resetTime"),
    }


def _subscription(world: Core, product: ProductRow, customer_id: str | None) -> OfferingSubscription:
    """The newest thing a customer has of a product, and whether they ever had any."""
    had: list[SubscriptionRow] = [
        row
        for row in world.state.subscriptions.values()
        if row.customer_id == customer_id and _product_of(world, row) == product.id
    ]
    has = [row for row in had if row.status in HELD]
    row = has[-1] if has else None
    return OfferingSubscription(
        has_previous_subscription=any(not row.status.startswith("incomplete") for row in had),
        plan_identifier=row.plan_identifier if row else None,
        subscription_id=row.id if row else None,
        charge_period=row.charge_period if row else None,
    )


def _product_of(world: Core, row: SubscriptionRow) -> str | None:
    plans = world.state.plans.get(row.plan_identifier)
    return plans[-1].product_id if plans else None


def _periods(plans: Iterable[PlanRow], currency: str) -> list[OfferingBillingPeriod]:
    """Every charge period that any of the plans is sold for, the short ones first."""
    prices = [price for plan in plans if (price := _price(plan, currency))]
    named = [charge["chargePeriod"] for price in prices for charge in _own(price)]
    found = {same_period(name): name for name in named}
    return [
        OfferingBillingPeriod(
            enabled=True,
            display_name=found[period].replace("_", " ").title(),
            charge_period=found[period],
            promo_caption="",
            default_selected=False,
        )
        for period in CHARGE_PERIODS
        if period in found
    ]
