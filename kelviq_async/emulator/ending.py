"""Endings: cancellations now and later, and what goes with a subscription when it ends."""

from __future__ import annotations

from datetime import UTC, date, datetime, time

from . import billing, licensing, payloads
from .core import Core
from .refusals import bad_field, detail
from .state import SubscriptionRow


def cancel(
    world: Core,
    row: SubscriptionRow,
    kind: str,
    *,
    day: date | None = None,
    feedback: str | None = None,
    comment: str | None = None,
    reason: str = "CANCELLED_BY_MERCHANT",
) -> None:
    """Cancel a subscription, now or later; a later cancellation can still be made an earlier one.

    Args:
        world: Where it is.
        row: The subscription or one-time purchase.
        kind: IMMEDIATE, CURRENT_PERIOD_ENDS or SPECIFIC_DATE.
        day: For the last of them: it ends when this day begins, in UTC; today is at once.
        feedback: Why, as one of the documented words.
        comment: Why, in somebody's own words.
        reason: Who cancels.

    Raises:
        Refusal: 400; it has ended already, has no period that ends, or the day is missing or past.
    """
    now = world.now()
    if row.status not in billing.GRANTING | {"incomplete"}:
        raise detail(400, f"This subscription cannot be canceled: it is {row.status}.")
    at = now
    if kind == "CURRENT_PERIOD_ENDS" and row.status != "incomplete":
        if row.period_end is None:
            raise detail(400, "A one-time purchase has no period that ends.")
        at = max(row.period_end, now)
    elif kind == "SPECIFIC_DATE":
        if day is None:
            raise bad_field(
                "cancellationDate", "This field is required when cancellationType is SPECIFIC_DATE."
            )
        if day < now.date():
            raise bad_field("cancellationDate", "The cancellation date cannot be in the past.")
        at = max(datetime.combine(day, time(), UTC), now)
    before = payloads.remembered(world, payloads.subscription, row)
    row.canceled_at, row.cancellation_reason, row.modified_on = now, reason, now
    row.cancellation_feedback, row.cancellation_comment = feedback, comment
    if at <= now:
        end(world, row)
        return
    row.cancel_at, row.end_date = at, at.date()
    world.schedule(at, "subscription.cancel", row.id)
    payloads.tell_change(world, "subscription.updated", payloads.subscription, row, before)


def end(world: Core, row: SubscriptionRow, reason: str | None = None) -> None:
    """End a subscription now, together with its keys and the updates that wait for their payment."""
    now, status = world.now(), row.status
    row.status, row.end_date, row.modified_on = "canceled", now.date(), now
    row.canceled_at, row.cancel_at = row.canceled_at or now, None
    row.cancellation_reason = row.cancellation_reason if reason is None else reason
    close_open_order(world, row)
    licensing.disable(world, row)
    drop_waiting(world, row)
    payloads.tell(world, "subscription.cancelled", payloads.subscription, row, {"status": status})


def drop_waiting(world: Core, row: SubscriptionRow) -> None:
    """Give up the updates of a subscription that nobody has paid."""
    for each in billing.of_customer(world, row.customer_id):
        if each.replaces == row.id and each.status == "incomplete":
            give_up(world, each)


def give_up(world: Core, row: SubscriptionRow) -> None:
    """An update that was not paid in time comes to nothing; what it was to replace goes on."""
    row.status, row.modified_on, row.end_date = "incomplete_expired", world.now(), world.now().date()
    payloads.tell(world, "subscription.updated", payloads.subscription, row, {"status": "incomplete"})


def close_open_order(world: Core, row: SubscriptionRow) -> None:
    """Nobody tries to collect a renewal any more."""
    order = world.state.orders.get(row.open_order or "")
    row.open_order, row.next_attempt = None, None
    invoice = world.state.invoices.get(order.invoice_id or "") if order else None
    if invoice is not None:
        invoice.status, invoice.modified_on = "FAILED", world.now()
