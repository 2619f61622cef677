"""The books: what is to be paid, orders, invoices, and the money that moved with its fees."""

from __future__ import annotations

import functools
from collections.abc import Container, Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

import attrs

from .cards import default
from .catalog import plan_version
from .core import Core
from .fees import KELVIQ_FEES, transaction_fee
from .payloads import money
from .pricing import fixed_discount, from_units, half_up, percentage_discount, split_tax
from .state import (
    HistoryRow,
    InvoiceRow,
    OrderRow,
    PaymentMethodRow,
    RefundRow,
    SubscriptionRow,
    TransactionRow,
)

SETTLES_AFTER: Final = timedelta(days=7)
_SUFFIX: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
_SOLD: Final = "sold"

DOLLAR_RATES: Final[Mapping[str, Decimal]] = {
    code: Decimal(rate)
    for code, rate in {
        "AUD": "1.5", "BRL": "5", "CAD": "1.4", "CHF": "0.9", "CNY": "7", "EUR": "0.9", "GBP": "0.8",
        "INR": "85", "JPY": "150", "KRW": "1400", "KWD": "0.3", "MXN": "20",
    }.items()
}  # fmt: skip
"""What a US dollar is in other currencies: made up and constant, and one where nothing is said."""


@attrs.frozen
class Amounts:
    """What is to be paid, in smallest units: ``total`` is ``subtotal - discount + tax`` always."""

    subtotal: int
    discount: int
    tax: int
    total: int


def amounts(
    world: Core,
    customer_id: str,
    listed: int,
    currency: str,
    *,
    discount: Mapping[str, Any] | None,
    tax_behavior: str,
    billing_address: Mapping[str, Any] | None = None,
) -> Amounts:
    """Take a listed price apart.

    Args:
        world: Where tax rates and the customer are.
        customer_id: Who pays.
        listed: The price in smallest units.
        currency: Its currency.
        discount: ``percentage``, or ``amount`` and ``currency``.
        tax_behavior: Whether the listed price includes the tax.
        billing_address: Where it is billed, if not where the customer lives.
    """
    lives = billing_address or world.state.customers[customer_id].billing_address or {}
    rate = world.state.tax_rates.get(str(lives.get("country") or "").upper(), "0")
    if rate == "0" and not discount:
        return Amounts(listed, 0, 0, listed)
    off = 0
    if discount and discount.get("percentage"):
        off = percentage_discount(listed, discount["percentage"])
    elif discount and discount.get("amount"):
        off = fixed_discount(listed, discount["amount"], currency, discount.get("currency") or currency)
    split = split_tax(listed - off, rate, tax_behavior)
    return Amounts(split.before_tax_units + off, off, split.tax_units, split.total_units)


def write_order(
    world: Core,
    bought: SubscriptionRow,
    due: Amounts,
    *,
    status: str = "COMPLETE",
    is_renewal: bool = False,
    checkout_id: str | None = None,
    billing_address: dict[str, Any] | None = None,
) -> OrderRow:
    """Write an order for a subscription or one-time purchase, not yet paid.

    Args:
        world: Where it is written.
        bought: What it is for.
        due: What is to be paid.
        status: What became of it.
        is_renewal: Whether it is one of the later payments.
        checkout_id: The session it came from.
        billing_address: Where it is billed, if not where the customer lives.
    """
    now = world.now()
    row = OrderRow(
        id=_numbered(world, "ORD", world.state.orders),
        customer_id=bought.customer_id,
        product_id=plan_version(world, bought.plan_identifier, bought.plan_version).product_id,
        plan_identifier=bought.plan_identifier,
        plan_version=bought.plan_version,
        status=status,
        billing_type=billing_type(bought),
        currency=bought.currency,
        created_on=now,
        modified_on=now,
        subtotal_units=due.subtotal,
        discount_units=due.discount,
        tax_units=due.tax,
        total_units=due.total,
        subscription_id=bought.id,
        is_trial=bought.status == "trialing",
        is_renewal=is_renewal,
        checkout_id=checkout_id,
        billing_address=billing_address or world.state.customers[bought.customer_id].billing_address,
    )
    world.state.orders[row.id] = row
    note(world, row.id, "Order created", "order.created", primary=money(due.total, row.currency))
    return row


def write_invoice(world: Core, order: OrderRow) -> InvoiceRow | None:
    """Write the invoice of an order, still open; nothing costs no invoice."""
    if order.total_units <= 0:
        return None
    now = world.now()
    row = InvoiceRow(
        id=_numbered(world, "INV", world.state.invoices),
        customer_id=order.customer_id,
        product_id=order.product_id,
        currency=order.currency,
        total_units=order.total_units,
        status="OPEN",
        created_on=now,
        modified_on=now,
        order_id=order.id,
        subscription_id=order.subscription_id,
    )
    world.state.invoices[row.id] = row
    order.invoice_id = row.id
    return row


def settle(world: Core, order: OrderRow, method: PaymentMethodRow | None) -> None:
    """Book the payment of an order, of its invoice, and the fee it costs.

    Args:
        world: Where it is booked.
        order: The order.
        method: The card that paid; None where nothing was to be paid.
    """
    now = world.now()
    order.status, order.paid_at, order.modified_on = "COMPLETE", now, now
    paid = {"primary": f"+{money(order.total_units, order.currency)}"}
    if method is not None:
        paid["secondary"] = f"card ending {method.last4}"
    note(world, order.id, "Order completed", "order.completed", **paid)
    if order.total_units > 0 and method is not None:
        order.payment_method_id = method.id
        rate = DOLLAR_RATES.get(order.currency, Decimal(1))
        sold = world.state.numbers.get(_SOLD, 0)
        fee = _fee(
            order.total_units,
            order.currency,
            subscription=order.billing_type == "SUBSCRIPTION",
            international=method.country != "US",
            sold_before=KELVIQ_FEES.threshold if sold >= KELVIQ_FEES.threshold * 100 else 0,
            dollar_rate=rate,
        )
        parts = [
            {
                "name": part.name,
                "percentage": part.percentage,
                "valueUnits": part.value_units,
                "currency": part.currency,
            }
            for part in fee.components
        ]
        _move(
            world,
            order,
            "CHARGE",
            total=order.total_units,
            tax=order.tax_units,
            fee=fee.units,
            parts=parts,
        )
        _count_sale(world, order, rate)
    invoice = world.state.invoices.get(order.invoice_id or "")
    if invoice is not None:
        invoice.status, invoice.paid_at, invoice.modified_on = "PAID", now, now
        note(world, order.id, "Invoice paid", "invoice.paid", invoice=invoice.id)


def give_back(world: Core, refund: RefundRow) -> None:
    """Book a refund: the money, the share of tax in it, and what the order is from now on.

    The shares of several refunds add up to the order's tax exactly. Fees are not given back.
    """
    order = world.state.orders[refund.order_id]
    before, after = order.refunded_units, order.refunded_units + refund.amount_units
    tax = _tax_share(order, after) - _tax_share(order, before)
    order.refunded_units, order.modified_on = after, world.now()
    order.status = "REFUNDED" if after == order.total_units else "PARTIAL_REFUND"
    _move(world, order, "REFUND", total=-refund.amount_units, tax=-tax)
    note(
        world,
        order.id,
        "Order refunded",
        "order.refunded",
        primary=f"-{money(refund.amount_units, order.currency)}",
        refund=refund.id,
    )


def note(world: Core, subject: str, title: str, code: str, status: str = "success", **metadata: Any) -> None:
    """Note what happened to a checkout or an order."""
    number = world.next_number("history")
    world.state.history.append(HistoryRow(number, subject, title, code, status, world.now(), metadata))


def billing_type(row: SubscriptionRow) -> str:
    """Whether something is paid again and again, or once."""
    return "ONE_TIME" if row.charge_period == "ONE_TIME" else "SUBSCRIPTION"


def charge_declined(world: Core, order: OrderRow) -> bool:
    """Whether what is to be paid cannot be taken from the customer's default card."""
    method = default(world, order.customer_id)
    return order.total_units > 0 and (method is None or method.declines)


_fee = functools.lru_cache(maxsize=4096)(transaction_fee)
"""The same payments come again and again."""


def _move(
    world: Core,
    order: OrderRow,
    kind: str,
    *,
    total: int,
    tax: int,
    fee: int = 0,
    parts: Sequence[dict[str, Any]] = (),
) -> None:
    row = TransactionRow(
        id=world.new_id(),
        order_id=order.id,
        kind=kind,
        status="success",
        currency=order.currency,
        created_on=world.now(),
        total_units=total,
        tax_units=tax,
        fee_units=fee,
        fee_parts=list(parts),
        payment_method_id=order.payment_method_id,
        available_on=(world.now() + SETTLES_AFTER).date(),
    )
    world.state.transactions[row.id] = row


def _count_sale(world: Core, order: OrderRow, rate: Decimal) -> None:
    """Add to what the organisation has sold, in US cents, on which the base fee depends."""
    cents = order.total_units
    if order.currency != "USD":
        cents = half_up(Fraction(from_units(order.total_units, order.currency)) / Fraction(rate) * 100)
    world.state.numbers[_SOLD] = world.state.numbers.get(_SOLD, 0) + cents


def _tax_share(order: OrderRow, refunded: int) -> int:
    return half_up(Fraction(order.tax_units * refunded, order.total_units)) if order.total_units else 0


def _numbered(world: Core, prefix: str, taken: Container[str]) -> str:
    while True:
        suffix = "".join(world.random.choices(_SUFFIX, k=5))
        number = f"{prefix}-{world.now():%Y%m%d%H%M%S}-{suffix}"
        if number not in taken:
            return number
