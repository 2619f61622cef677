"""What time does to subscriptions: renewals, ends of trials, retries, cancellations that were put off."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from . import billing, ending, ledger, licensing, payloads
from .cards import default
from .catalog import choice_of, usage_units
from .core import Core
from .periods import billing_period
from .refusals import Refusal
from .registry import due
from .state import OrderRow, SubscriptionRow

ATTEMPTS: Final = tuple(timedelta(days=days) for days in (0, 1, 2, 4, 6, 8, 11, 14))
"""When a renewal is tried, counted from when it is due: eight times within 14 days."""


@due("subscription.period")
def period_ends(world: Core, key: str) -> None:
    """A paid period or a free trial is over: the next one begins, and is paid or tried to be."""
    row = world.state.subscriptions[key]
    if row.status not in {"active", "trialing"} or row.period_end is None or row.period_end > world.now():
        return
    if row.cancel_at is not None and row.cancel_at <= world.now():
        ending.end(world, row)
        return
    before = payloads.remembered(world, payloads.subscription, row)
    used = _used_units(world, row)
    row.period_index = 0 if row.status == "trialing" else row.period_index + 1
    period = billing_period(row.charge_period, row.anchor, row.period_index)
    row.period_start, row.period_end, row.modified_on = period.start, period.end, world.now()
    row.status = "active"
    order = bill(world, row, row.amount_units + used, is_renewal=True)
    if order.status == "COMPLETE":
        _paid(world, row)
    else:
        row.status, row.open_order = "past_due", order.id
        _try_again(world, row)
    payloads.tell_change(world, "subscription.updated", payloads.subscription, row, before)


def bill(world: Core, row: SubscriptionRow, listed: int, *, is_renewal: bool) -> OrderRow:
    """Write an order with its invoice and take the money, if the customer's card lets it.

    Args:
        world: Where it happens.
        row: What is paid for; what is pending on it is settled along the way.
        listed: The price before discounts and taxes.
        is_renewal: Whether it is one of the later payments.

    Returns:
        The order: COMPLETE, or FAILED with an open invoice.
    """
    owed = listed + row.pending_units
    row.pending_units = min(owed, 0)
    to_pay = ledger.amounts(
        world,
        row.customer_id,
        max(owed, 0),
        row.currency,
        discount=row.discount,
        tax_behavior=row.tax_behavior,
    )
    order = ledger.write_order(world, row, to_pay, status="FAILED", is_renewal=is_renewal)
    invoice = ledger.write_invoice(world, order)
    if _collected(world, order):
        billing.tell_sold(world, order)
    elif invoice is not None:
        payloads.tell(world, "order.created", payloads.order, order)
        payloads.tell(world, "invoice.created", payloads.invoice, invoice)
        payloads.tell(world, "invoice.payment_failed", payloads.invoice, invoice)
    return order


@due("subscription.retry")
def retry(world: Core, key: str) -> None:
    """A renewal that failed is tried again; after the last time the subscription is over."""
    row = world.state.subscriptions[key]
    if row.status == "past_due" and row.next_attempt is not None and row.next_attempt <= world.now():
        collect(world, row)


def collect(world: Core, row: SubscriptionRow) -> bool:
    """Try once more to have a past due renewal paid, and say whether it was."""
    order = world.state.orders[row.open_order or ""]
    invoice = world.state.invoices[order.invoice_id or ""]
    if _collected(world, order):
        before = payloads.remembered(world, payloads.subscription, row)
        row.status, row.open_order, row.next_attempt, row.failed_attempts = "active", None, None, 0
        row.modified_on = world.now()
        payloads.tell(world, "invoice.paid", payloads.invoice, invoice, payloads.UNPAID)
        unpaid = {"status": "FAILED", "paid_at": None}
        payloads.tell(world, "order.updated", payloads.order, order, unpaid)
        _paid(world, row)
        payloads.tell_change(world, "subscription.updated", payloads.subscription, row, before)
        return True
    payloads.tell(world, "invoice.payment_failed", payloads.invoice, invoice)
    _try_again(world, row)
    if row.next_attempt is None:
        ending.end(world, row, "CANCELLED_BY_PROVIDER")
    return False


@due("subscription.cancel")
def cancel_is_due(world: Core, key: str) -> None:
    """A cancellation that was put off takes effect, unless it was changed meanwhile."""
    row = world.state.subscriptions[key]
    if row.status in billing.GRANTING and row.cancel_at is not None and row.cancel_at <= world.now():
        ending.end(world, row)


@due("subscription.unpaid")
def update_was_not_paid(world: Core, key: str) -> None:
    """An update that waits for its payment does not wait for ever."""
    row = world.state.subscriptions[key]
    if row.status == "incomplete" and row.expires_unpaid is not None and row.expires_unpaid <= world.now():
        ending.give_up(world, row)


@due("checkout.expiry")
def checkout_expires(world: Core, key: str) -> None:
    """Nobody paid: the session is over."""
    row = world.state.checkouts[key]
    if row.status in {"open", "processing"}:
        row.status = "expired"
        ledger.note(world, row.id, "Checkout session expired", "checkout_session.expired")


def _collected(world: Core, order: OrderRow) -> bool:
    """Take what an order costs from the customer's default card, and say whether it went through."""
    if ledger.charge_declined(world, order):
        ledger.note(world, order.id, "Payment failed", "order.payment_failed", "failed")
        return False
    ledger.settle(world, order, default(world, order.customer_id))
    return True


def _paid(world: Core, row: SubscriptionRow) -> None:
    """After a payment: the keys last longer, and the end of the period is waited for."""
    row.payment_method_id = world.state.customers[row.customer_id].default_card
    licensing.prolong(world, row)
    if row.period_end is not None:
        world.schedule(max(row.period_end, world.now()), "subscription.period", row.id)


def _try_again(world: Core, row: SubscriptionRow) -> None:
    """Set the moment of the next try; none is left after the last."""
    row.failed_attempts += 1
    row.next_attempt = None
    if row.failed_attempts < len(ATTEMPTS):
        first = world.state.orders[row.open_order or ""].created_on
        row.next_attempt = first + ATTEMPTS[row.failed_attempts]
        world.schedule(row.next_attempt, "subscription.retry", row.id)


def _used_units(world: Core, row: SubscriptionRow) -> int:
    """What the usage of the period that ends costs, for features that are paid as one goes."""
    if row.status == "trialing":
        return 0
    try:
        choice = choice_of(world, row)
    except Refusal:  # a custom amount has no price in the catalogue
        return 0
    if not any(charge.get("paymentType") == "PAY_AS_YOU_GO" for charge in choice.charges.values()):
        return 0
    used: dict[str, int] = {}
    for report in world.state.usage:
        within = row.period_start <= report.at < world.now()
        if within and report.counted and report.customer_id == row.customer_id and report.feature_id:
            for name, units in (report.counts or {report.feature_id: report.value}).items():
                used[name] = units + (0 if report.kind == "SET" else used.get(name, 0))
    ids = {feature.identifier: feature.id for feature in world.state.features.values()}
    return usage_units(choice, {ids[name]: max(0, units) for name, units in used.items() if name in ids})
