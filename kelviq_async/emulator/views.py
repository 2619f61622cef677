"""Parts of answers that several areas share: subscriptions, licences, symbols, and who bought."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final

from .. import codec
from ..api.customers import BillingAddress
from ..api.orders import OrderCustomer, OrderPaymentMethod
from ..api.periods import BillingType
from ..api.subscriptions import SubscriptionLicense
from . import ledger, licensing
from .core import Core
from .periods import recurrence
from .pricing import from_units
from .state import CustomerRow, LicenseRow, SubscriptionRow

_SYMBOLS: Final = {
    "AUD": "A$", "BRL": "R$", "CAD": "CA$", "CNY": "CN¥", "EUR": "€", "GBP": "£", "ILS": "₪",
    "INR": "₹", "JPY": "¥", "KRW": "₩", "MXN": "MX$", "NZD": "NZ$", "PHP": "₱", "USD": "$", "VND": "₫",
}  # fmt: skip


def symbol(currency: str) -> str:
    """The sign of a currency, or its code where it has none of its own."""
    return _SYMBOLS.get(currency.upper(), currency.upper())


def address(kept: Mapping[str, Any] | None) -> BillingAddress | None:
    """A billing address as the API shows it."""
    return codec.load(BillingAddress, dict(kept)) if kept else None


def buyer(row: CustomerRow) -> OrderCustomer:
    """A customer in the short form of orders and checkouts."""
    return OrderCustomer(customer_id=row.customer_id, name=row.name, email=row.email)


def paid_by(world: Core, number: int | None) -> OrderPaymentMethod | None:
    """A payment method in the short form of orders and checkouts."""
    row = world.state.payment_methods.get(number) if number is not None else None
    if row is None:
        return None
    return OrderPaymentMethod(payment_method_type="card", payment_method_name=row.brand, last4=row.last4)


def license_summary(row: LicenseRow) -> SubscriptionLicense:
    """A licence in the short form of subscriptions and orders."""
    return SubscriptionLicense(
        id=row.id,
        license_key=row.license_key,
        activated_on=row.activated_on,
        expires_on=row.expires_on,
        activation_usage=len(row.instances),
        activation_limit=row.activation_limit,
        enabled=row.enabled,
    )


def licenses_of(world: Core, row: SubscriptionRow | None) -> list[SubscriptionLicense]:
    """The licences that came with something that was bought."""
    return [] if row is None else [license_summary(each) for each in licensing.of(world, row)]


def amount(row: SubscriptionRow) -> Decimal:
    """What each period of a subscription costs."""
    return from_units(row.amount_units, row.currency)


def trial_days_left(world: Core, row: SubscriptionRow) -> int:
    """Days left of a free trial, a begun one counted whole."""
    if row.status != "trialing" or row.trial_end is None:
        return 0
    return max(0, math.ceil((row.trial_end - world.now()) / timedelta(days=1)))


def terms(world: Core, row: SubscriptionRow, *, counted: bool = False) -> dict[str, Any]:
    """The fields that every answer about a subscription has.

    Args:
        world: Where it is.
        row: The subscription or one-time purchase.
        counted: Whether its recurrence is spelled ``"1 month"``, as licences do, and not ``"month"``.
    """
    interval = recurrence(row.charge_period)
    once = interval is None
    text = "" if interval is None else interval.counted_text if counted else interval.text
    return {
        "id": row.id,
        "start_date": row.start_date,
        "end_date": row.end_date,
        "billing_period_start_time": None if once else row.period_start,
        "billing_period_end_time": None if once else row.period_end,
        "amount": amount(row),
        "recurrence": text,
        "currency": row.currency.lower(),
        "status": row.status,
        "trial_days_remaining": trial_days_left(world, row),
        "billing_type": BillingType.other(ledger.billing_type(row)),
        "recurrence_unit": None if interval is None else interval.count,
        "recurrence_type": None if interval is None else interval.unit,
    }
