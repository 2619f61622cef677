"""Updates: a subscription moves to another plan, period or quantity, and what that costs.

An update makes a new row of the same lineage and supersedes the old one. Where only plan or quantities
change, the running period stays and the difference of both prices is charged for the rest of it. Where
the charge period changes, a new period begins now and is charged in full, less the rest of the old one.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any, Final, Literal

import attrs

from . import billing, ending, ledger, licensing, payloads
from .cards import paying
from .catalog import feature_by_identifier, plan_version, price_for, price_in, sellable
from .core import Core
from .metering import settle as settle_meters
from .periods import billing_period
from .pricing import from_units, half_up
from .refusals import bad_field, detail
from .renewals import collect
from .state import PaymentMethodRow, SubscriptionRow

UNPAID_FOR: Final = timedelta(hours=24)
"""How long an update waits for its payment."""

TrialEnd = datetime | Literal["now"] | None


@attrs.frozen
class Change:
    """What an update would do.

    Attributes:
        sold: What the subscription becomes.
        status: Its status from then on.
        anchor: What its periods are counted from.
        index: Number of its period, counted from there.
        start: Start of that period.
        end: End of that period.
        trial_end: When its free trial ends, if it is in one.
        lines: What is charged and credited, by name, in smallest units.
        due_units: What is charged at once, before discounts and taxes.
        pending_units: What the next invoice adds to the price, or takes off.
    """

    sold: billing.Sale
    status: str
    anchor: datetime
    index: int
    start: datetime
    end: datetime | None
    trial_end: datetime | None
    lines: dict[str, int]
    due_units: int
    pending_units: int


def wanted(
    world: Core,
    row: SubscriptionRow,
    plan_identifier: str,
    charge_period: str,
    quantities: Mapping[str, int] | None,
) -> billing.Sale:
    """What a subscription is to become.

    Args:
        world: Where it is.
        row: The subscription.
        plan_identifier: The plan to move to, in its published version.
        charge_period: How often it charges from then on.
        quantities: How many of each feature; None for as many as now, where the plan has them.

    Raises:
        Refusal: 400; there is no such plan or price, or no update leads from here to there.
    """
    if row.status not in billing.GRANTING:
        raise detail(400, f"This subscription cannot be updated: it is {row.status}.")
    if row.charge_period == "ONE_TIME":
        raise detail(400, "One-time purchases, free plans among them, cannot be updated: use a checkout.")
    plan = sellable(world, plan_identifier)
    price = price_in(plan, row.currency) or (plan.prices[0] if plan.prices else {})
    if price.get("priceType") == "FREE" or charge_period == "ONE_TIME":
        raise detail(400, "A subscription cannot become a one-time purchase or a free plan: use a checkout.")
    if quantities is None:
        choice = price_for(plan, row.currency, charge_period)
        sold = {*choice.charges, *plan.features}
        known = {name: feature_by_identifier(world, name) for name in row.quantities}
        quantities = {
            name: units
            for name, units in row.quantities.items()
            if (feature := known[name]) is not None and feature.id in sold
        }
    found = billing.sale(world, plan, charge_period, currency=row.currency, quantities=quantities)
    return attrs.evolve(found, trial_days=0, discount=row.discount)


def change(
    world: Core,
    row: SubscriptionRow,
    sold: billing.Sale,
    *,
    proration: str | None,
    trial_end: TrialEnd = None,
) -> Change:
    """What an update would do and cost, if it were made now.

    Args:
        world: Where it is.
        row: The subscription.
        sold: What it is to become.
        proration: IMMEDIATE_CHARGE, PRORATE_NEXT_INVOICE or NO_PRORATION; the first where None is given.
        trial_end: ``"now"``, or when a free trial is to end.

    Raises:
        Refusal: 400; the trial's end is past.
    """
    now, pending = world.now(), row.pending_units
    trialing, rest = row.status == "trialing", _rest(row, now)
    paid = 0 if trialing or proration == "NO_PRORATION" else row.amount_units
    if isinstance(trial_end, datetime):
        if trial_end <= now:
            raise bad_field("trialEnd", "The end of the trial must be in the future.")
        back = half_up(paid * rest)
        lines = {"Unused time": -back} if back else {}
        return Change(sold, "trialing", trial_end, 0, now, trial_end, trial_end, lines, 0, pending - back)
    if trialing and trial_end is None:
        end = row.period_end
        return Change(sold, row.status, row.anchor, 0, row.period_start, end, row.trial_end, {}, 0, pending)
    anew = trialing or sold.charge_period != row.charge_period
    anchor, index, start, end = row.anchor, row.period_index, row.period_start, row.period_end
    if anew:
        anchor, index, start, end = now, 0, now, billing_period(sold.charge_period, now, 0).end
    # The difference is rounded once; the old plan's line is what is left of it beside the new one's.
    price = Fraction(sold.units) if anew else sold.units * rest * (proration != "NO_PRORATION")
    total = half_up(price - paid * rest)
    at_once = max(total, 0)
    if proration == "PRORATE_NEXT_INVOICE":
        at_once = sold.units if anew else 0
    credit = min(at_once, max(-pending, 0))
    lines = {"New plan": half_up(price), "Unused time": total - half_up(price), "Credit": -credit}
    return Change(
        sold,
        "active" if trialing else row.status,
        anchor,
        index,
        start,
        end,
        now if trialing else row.trial_end,
        {name: units for name, units in lines.items() if units},
        at_once - credit,
        pending + credit + total - at_once,
    )


def to_pay(world: Core, row: SubscriptionRow, made: Change) -> ledger.Amounts:
    """What an update costs at once, with discounts and taxes."""
    relative = row.discount if row.discount and row.discount.get("percentage") else None
    return ledger.amounts(
        world,
        row.customer_id,
        made.due_units,
        made.sold.currency,
        discount=relative,
        tax_behavior=made.sold.tax_behavior,
    )


def preview(world: Core, row: SubscriptionRow, made: Change) -> dict[str, Any]:
    """What an update would cost; nobody has documented how Kelviq says it."""
    due = to_pay(world, row, made)
    currency = made.sold.currency
    return {
        "subscriptionId": row.id,
        "currency": currency,
        "amountDue": str(from_units(due.total, currency)),
        "amountDueUnits": due.total,
        "amountTaxUnits": due.tax,
        "nextInvoiceUnits": made.sold.units + made.pending_units,
        "billingPeriodEndTime": payloads.stamp(made.end),
        "lines": [
            {"description": name, "amount": str(from_units(units, currency)), "amountUnits": units}
            for name, units in made.lines.items()
        ],
    }


def update(
    world: Core,
    row: SubscriptionRow,
    sold: billing.Sale,
    *,
    proration: str | None = None,
    trial_end: TrialEnd = None,
    on_payment: bool = False,
) -> SubscriptionRow:
    """Update a subscription.

    Args:
        world: Where it is.
        row: The subscription.
        sold: What ``wanted`` found.
        proration: How the rest of the period is charged.
        trial_end: ``"now"``, or when a free trial is to end.
        on_payment: Whether a change that costs something waits until it is paid.

    Returns:
        The new row: in force, or incomplete until it is paid.

    Raises:
        Refusal: 400; the money cannot be taken, or the trial's end is past.
    """
    if row.status == "past_due":  # first things first
        paying(world, row.customer_id)
        collect(world, row)
    made = change(world, row, sold, proration=proration, trial_end=trial_end)
    due = to_pay(world, row, made)
    if on_payment and due.total > 0:
        return _wait(world, row, made, proration)
    method = paying(world, row.customer_id) if due.total > 0 else None
    new = _following(world, row, made)
    _take_over(world, row, new, due, method)
    return new


def complete(world: Core, waiting: SubscriptionRow, method: PaymentMethodRow | None) -> None:
    """Put an update in force that is being paid; it costs what it costs at this moment."""
    old, sold = _awaited(world, waiting)
    made = change(world, old, sold, proration=waiting.proration, trial_end=_ends_trial(old))
    new = _following(world, old, made)
    for each in attrs.fields(SubscriptionRow):
        if each.name not in {"id", "created_on"}:
            setattr(waiting, each.name, getattr(new, each.name))
    _take_over(world, old, waiting, to_pay(world, old, made), method)


def owed(world: Core, waiting: SubscriptionRow) -> int:
    """What is to be paid for an update that waits, in smallest units."""
    old, sold = _awaited(world, waiting)
    made = change(world, old, sold, proration=waiting.proration, trial_end=_ends_trial(old))
    return to_pay(world, old, made).total


def _awaited(world: Core, waiting: SubscriptionRow) -> tuple[SubscriptionRow, billing.Sale]:
    """The subscription that an update is to replace, and with what, as was agreed on."""
    old = world.state.subscriptions[waiting.replaces or ""]
    plan = plan_version(world, waiting.plan_identifier, waiting.plan_version)
    sold = billing.Sale(
        plan,
        waiting.charge_period,
        waiting.currency,
        waiting.amount_units,
        0,
        waiting.tax_behavior,
        waiting.quantities,
        waiting.discount,
    )
    return old, sold


def _ends_trial(old: SubscriptionRow) -> TrialEnd:
    """An update in a trial costs something, and so waits, only where it ends the trial."""
    return "now" if old.status == "trialing" else None


def _wait(world: Core, row: SubscriptionRow, made: Change, proration: str | None) -> SubscriptionRow:
    ending.drop_waiting(world, row)
    new = _following(world, row, made)
    new.status, new.proration, new.license_ids = "incomplete", proration, []
    new.cancel_at = None
    new.expires_unpaid = world.now() + UNPAID_FOR
    billing.add(world, new)
    world.schedule(new.expires_unpaid, "subscription.unpaid", new.id)
    payloads.tell(world, "subscription.created", payloads.subscription, new)
    return new


def _following(world: Core, row: SubscriptionRow, made: Change) -> SubscriptionRow:
    """The row that comes after another one of its lineage, not yet in its place."""
    now = world.now()
    return attrs.evolve(
        row,
        id=world.new_id(),
        plan_identifier=made.sold.plan.identifier,
        plan_version=made.sold.plan.version,
        price_version=None,
        charge_period=made.sold.charge_period,
        amount_units=made.sold.units,
        tax_behavior=made.sold.tax_behavior,
        quantities=dict(made.sold.quantities),
        custom_amount=made.sold.custom_amount,
        status=made.status,
        anchor=made.anchor,
        period_index=made.index,
        period_start=made.start,
        period_end=made.end,
        trial_start=row.trial_start or (now if made.trial_end else None),
        trial_end=made.trial_end,
        pending_units=made.pending_units,
        replaces=row.id,
        created_on=now,
        modified_on=now,
        expires_unpaid=None,
        proration=None,
    )


def _take_over(
    world: Core,
    old: SubscriptionRow,
    new: SubscriptionRow,
    due: ledger.Amounts,
    method: PaymentMethodRow | None,
) -> None:
    """Put the new row in the old one's place at once, and tell of it."""
    settle_meters(world, old)
    before = payloads.remembered(world, payloads.subscription, old)
    was_waiting = new.id in world.state.subscriptions
    old.status, old.modified_on, old.end_date = "superseded", world.now(), world.now().date()
    old.cancel_at = None
    if was_waiting:
        billing.schedule_period(world, new)
    else:
        billing.add(world, new)
    ending.drop_waiting(world, old)
    licensing.hand_over(world, old, new)
    if new.cancel_at is not None:
        world.schedule(new.cancel_at, "subscription.cancel", new.id)
    moved = old.plan_identifier != new.plan_identifier
    event = "subscription.plan_changed" if moved else "subscription.updated"
    payloads.tell_change(world, event, payloads.subscription, new, before)
    if due.total > 0:
        order = ledger.write_order(world, new, due)
        ledger.write_invoice(world, order)
        ledger.settle(world, order, method)
        billing.tell_sold(world, order)


def _rest(row: SubscriptionRow, now: datetime) -> Fraction:
    """Which part of the running period is left."""
    if row.period_end is None or row.period_end <= now:
        return Fraction(0)
    whole = row.period_end - row.period_start
    left = row.period_end - max(now, row.period_start)
    tick = timedelta(microseconds=1)
    return Fraction(left // tick, whole // tick)
