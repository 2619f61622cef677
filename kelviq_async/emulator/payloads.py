"""What events are about: the objects that webhooks carry, in snake_case, as Kelviq spells them there."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, TypeVar

from ..spelling import dump_datetime
from .catalog import plan_version
from .core import Core
from .periods import recurrence
from .pricing import from_units
from .state import (
    CheckoutRow,
    CustomerRow,
    FeatureRow,
    InvoiceRow,
    OrderRow,
    PaymentMethodRow,
    PlanRow,
    RefundRow,
    SubscriptionRow,
)

ORGANIZATION: Final = "5d0f6c0e-7b57-4a4c-9a7e-1f6b3c2d8e90"
"""Kelviq's id of the one organisation there is."""

UNPAID: Final = {"status": "OPEN", "paid_at": None}
"""What an invoice is before it is paid."""

Row = TypeVar("Row")

_ALWAYS_NEW: Final = frozenset({"created_on", "modified_on"})
_ADDRESS: Final = {
    "line1": "line1",
    "line2": "line2",
    "city": "city",
    "state": "state",
    "postal_code": "postalCode",
    "country": "country",
}


Make = Callable[[Core, Row], dict[str, Any]]


def tell(
    world: Core, event: str, make: Make[Row], row: Row, previous: Mapping[str, Any] | None = None
) -> None:
    """Tell of an event; its object is only made where somebody wants to know.

    Args:
        world: Where it happened.
        event: Such as ``"order.created"``.
        make: Makes the event's object of the row.
        row: What it is about.
        previous: Attributes that changed, with their values before.
    """
    if world.state.endpoints:
        world.emit(event, make(world, row), None if previous is None else dict(previous))


def tell_change(world: Core, event: str, make: Make[Row], row: Row, before: Mapping[str, Any]) -> None:
    """Tell of an event with the attributes that are other than they were.

    Args:
        world: Where it happened.
        event: Such as ``"subscription.updated"``.
        make: Makes the event's object of the row.
        row: What it is about.
        before: What ``remembered`` gave before the change.
    """
    if world.state.endpoints:
        after = make(world, row)
        previous = {name: value for name, value in before.items() if after.get(name) != value}
        world.emit(event, after, previous)


def remembered(world: Core, make: Make[Row], row: Row) -> dict[str, Any]:
    """What an event's object is before a change, less what changes always."""
    if not world.state.endpoints:
        return {}
    return {name: value for name, value in make(world, row).items() if name not in _ALWAYS_NEW}


def stamp(moment: datetime | None) -> str | None:
    """A moment as events spell it, to the second."""
    return None if moment is None else dump_datetime(moment.replace(microsecond=0))


@functools.lru_cache(maxsize=4096)
def money(units: int, currency: str) -> str:
    """An amount with all its digits: ``"40.00"``."""
    return str(from_units(units, currency))


def customer(world: Core, row: CustomerRow) -> dict[str, Any]:
    """The object of ``customer.*`` events."""
    return {
        "id": row.id,
        "object": "customer",
        "customer_id": row.customer_id,
        "name": row.name,
        "email": row.email,
        "details": row.details or {},
        "metadata": row.metadata or {},
        "billing_address": address(row.billing_address) or {},
        "subscriptions": len(world.state.subscriptions_of.get(row.customer_id, ())),
        "organization": ORGANIZATION,
        "created_on": stamp(row.created_on),
        "modified_on": stamp(row.modified_on),
    }


def checkout_session(world: Core, row: CheckoutRow) -> dict[str, Any]:
    """The object of ``checkout.completed``; it does not tell which subscription came of it."""
    paid = world.state.orders[row.order_id or ""]
    buyer = _buyer(world, paid.customer_id)
    plan = plan_version(world, row.plan_identifier, row.plan_version)
    return {
        "id": row.id,
        "object": "checkout_session",
        "status": row.status,
        "checkout_type": paid.billing_type,
        "customer_id": buyer["id"],
        "customer": buyer,
        "organization": ORGANIZATION,
        **_amount(paid.total_units, paid.currency),
        "discount_code": row.discount_code or "",
        "features": _features(row.quantities),
        "plan": _plan(plan),
        "product": _product(world, plan.product_id),
        "billing_address": address(row.billing_address) or buyer["billing_address"],
        "metadata": row.metadata,
        "data": {
            "name": buyer["name"],
            "email": buyer["email"],
            "referer": None,
            "cancel_url": row.cancel_url,
            "success_url": row.success_url,
            "tax_behavior": row.options.get("taxBehavior"),
            "discounts_enabled": row.options.get("discountsEnabled", True),
        },
        "created_on": stamp(row.created_on),
        "modified_on": stamp(world.now()),
    }


def order(world: Core, row: OrderRow) -> dict[str, Any]:
    """The object of ``order.*`` events."""
    buyer = _buyer(world, row.customer_id)
    plan = plan_version(world, row.plan_identifier, row.plan_version)
    bought = world.state.subscriptions.get(row.subscription_id or "")
    return {
        "id": row.id,
        "object": "order",
        "status": row.status,
        "billing_type": row.billing_type,
        "customer_id": buyer["id"],
        "customer": buyer,
        "organization": ORGANIZATION,
        "is_renewal": row.is_renewal,
        "paid_at": stamp(row.paid_at),
        "amount_total": money(row.total_units, row.currency),
        "amount_total_units": row.total_units,
        "currency": row.currency,
        "subscription_id": row.subscription_id,
        "product": _product(world, row.product_id),
        "plan": _plan(plan),
        "features": _features(bought.quantities if bought else {}),
        "created_on": stamp(row.created_on),
        "modified_on": stamp(row.modified_on),
    }


def subscription(world: Core, row: SubscriptionRow) -> dict[str, Any]:
    """The object of ``subscription.*`` events; your own id of the customer is in ``customer`` only."""
    plan = plan_version(world, row.plan_identifier, row.plan_version)
    interval = recurrence(row.charge_period)
    return {
        "id": row.id,
        "object": "subscription",
        "status": row.status,
        "plan": _plan(plan),
        "product": _product(world, plan.product_id),
        **_amount(row.amount_units, row.currency),
        "recurrence": interval.counted_text if interval else "",
        "start_date": row.start_date.isoformat(),
        "end_date": row.end_date.isoformat() if row.end_date else None,
        "billing_period_start_time": stamp(row.period_start),
        "billing_period_end_time": stamp(row.period_end),
        "trial_start": stamp(row.trial_start),
        "trial_end": stamp(row.trial_end),
        "customer": _buyer(world, row.customer_id),
        "features": _features(row.quantities),
        "organization": ORGANIZATION,
        "created_on": stamp(row.created_on),
        "modified_on": stamp(row.modified_on),
    }


def invoice(world: Core, row: InvoiceRow) -> dict[str, Any]:
    """The object of ``invoice.*`` events; amounts lose their final zeros here, and no order is named."""
    buyer = _buyer(world, row.customer_id)
    return {
        "id": row.id,
        "object": "invoice",
        "status": row.status,
        "paid_at": stamp(row.paid_at),
        "amount_total": _short(from_units(row.total_units, row.currency)),
        "amount_total_units": row.total_units,
        "currency": row.currency,
        "due_date": None,
        "order_id": None,
        "customer_id": buyer["id"],
        "customer": buyer,
        "subscription_id": row.subscription_id,
        "organization": ORGANIZATION,
        "product": _product(world, row.product_id),
        "created_on": stamp(row.created_on),
        "modified_on": stamp(row.modified_on),
    }


def open_invoice(world: Core, row: InvoiceRow) -> dict[str, Any]:
    """The object of ``invoice.created``, also where the invoice was paid at that moment."""
    return {**invoice(world, row), **UNPAID}


def refund(world: Core, row: RefundRow) -> dict[str, Any]:
    """The object of ``refund.*`` events; amounts keep one digit after the point at least."""
    refunded = world.state.orders[row.order_id]
    text = _short(from_units(row.amount_units, row.currency))
    return {
        "id": row.id,
        "object": "refund",
        "status": row.status,
        "amount": text if "." in text else f"{text}.0",
        "amount_units": row.amount_units,
        "currency": row.currency,
        "reason": row.reason,
        "order_id": row.order_id,
        "customer": _buyer(world, refunded.customer_id),
        "subscription_id": refunded.subscription_id,
        "organization": ORGANIZATION,
        "created_on": stamp(row.created_on),
        "modified_on": stamp(row.modified_on),
    }


def payment_method(world: Core, row: PaymentMethodRow) -> dict[str, Any]:
    """The object of ``payment_method.*`` events; here ``customer_id`` is your own."""
    return {
        "id": row.id,
        "object": "payment_method",
        "organization": ORGANIZATION,
        "customer_id": row.customer_id,
        "customer": _buyer(world, row.customer_id),
        "method_type": "card",
        "method_data": {
            "brand": row.brand,
            "last4": row.last4,
            "exp_month": row.exp_month,
            "exp_year": row.exp_year,
            "funding": "credit",
            "country": row.country,
        },
        "is_default": row.is_default,
        "status": row.status,
    }


def feature_usage_alert(
    world: Core,
    feature: FeatureRow,
    subscription_row: SubscriptionRow,
    *,
    usage_limit: int | None,
    current_usage: int,
    threshold_type: str,
    threshold_value: Decimal | int,
    period_start: datetime | None,
    period_end: datetime | None,
) -> dict[str, Any]:
    """The object of ``feature.usage_alert``.

    Args:
        world: Where it happened.
        feature: The meter.
        subscription_row: The subscription that grants it.
        usage_limit: The limit in this period; None for none.
        current_usage: Units used in this period.
        threshold_type: PERCENTAGE or BALANCE.
        threshold_value: Percent or units, as the alert was set up.
        period_start: Start of the meter's period.
        period_end: Its end, if it has one.
    """
    now = stamp(world.now())
    return {
        "id": world.new_id(),
        "object": "feature_usage_alert",
        "feature": {
            "id": feature.id,
            "name": feature.name,
            "identifier": feature.identifier,
            "feature_type": feature.feature_type,
        },
        "customer": _buyer(world, subscription_row.customer_id),
        "usage_limit": usage_limit,
        "current_usage": current_usage,
        "threshold_type": threshold_type,
        "threshold_value": threshold_value,
        "period_start_time": stamp(period_start),
        "period_end_time": stamp(period_end),
        "subscription_id": subscription_row.id,
        "organization": ORGANIZATION,
        "created_on": now,
        "modified_on": now,
    }


def address(kept: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """An address in webhook spelling: all parts, null where unknown."""
    return None if not kept else {name: kept.get(wire) for name, wire in _ADDRESS.items()}


def _buyer(world: Core, customer_id: str) -> dict[str, Any]:
    row = world.state.customers[customer_id]
    return {
        "id": row.id,
        "name": row.name,
        "email": row.email,
        "customer_id": row.customer_id,
        "billing_address": address(row.billing_address) or {},
    }


def _plan(row: PlanRow) -> dict[str, Any]:
    return {"name": row.name, "version": row.version, "identifier": row.identifier}


def _product(world: Core, product_id: str) -> dict[str, Any]:
    return {"id": product_id, "name": world.state.products[product_id].name}


def _features(quantities: Mapping[str, int]) -> list[dict[str, Any]] | None:
    found = [{"identifier": name, "quantity": quantity} for name, quantity in quantities.items()]
    return found or None


def _amount(units: int, currency: str) -> dict[str, Any]:
    return {"amount": money(units, currency), "amount_units": units, "currency": currency}


def _short(amount: Decimal) -> str:
    text = str(amount)
    return text.rstrip("0").rstrip(".") if "." in text else text
