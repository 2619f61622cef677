"""Who has what, and buying it. Updates are in ``changes``, cancelling in ``ending``, time in ``renewals``."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import attrs

from . import ledger, licensing, payloads
from .catalog import (
    amount_units,
    bought_quantities,
    plan_version,
    price_for,
    price_in,
    same_period,
    trial_days,
)
from .core import Core
from .periods import billing_period
from .pricing import InvalidValue, fits_currency, fixed_discount, percentage_discount, to_units
from .refusals import bad_field
from .state import CheckoutRow, OrderRow, PaymentMethodRow, PlanRow, SubscriptionRow

GRANTING: Final = frozenset({"trialing", "active", "past_due"})
"""Statuses in which a plan grants what it has."""

_FREE: Final = "FREE"
_ONE_TIME: Final = "ONE_TIME"


# Finding


def add(world: Core, row: SubscriptionRow) -> None:
    """Put a new subscription in its places, and on the agenda where it has a period that ends."""
    state = world.state
    state.subscriptions[row.id] = row
    state.subscriptions_of.setdefault(row.customer_id, []).append(row.id)
    schedule_period(world, row)


def schedule_period(world: Core, row: SubscriptionRow) -> None:
    """Wait for the end of the running period, if it has one."""
    if row.period_end is not None and row.status in GRANTING:
        world.schedule(max(row.period_end, world.now()), "subscription.period", row.id)


def of_customer(world: Core, customer_id: str) -> list[SubscriptionRow]:
    """All subscriptions and one-time purchases that a customer ever had, oldest first."""
    rows = world.state.subscriptions
    return [rows[each] for each in world.state.subscriptions_of.get(customer_id, ())]


def granting(world: Core, customer_id: str) -> list[SubscriptionRow]:
    """The subscriptions and one-time purchases whose plans grant access now, oldest first.

    What is cancelled for later is still among them. ``catalog.plan_version(world, row.plan_identifier,
    row.plan_version)`` has what they grant, ``row.quantities`` (by feature identifier) how much of a
    feature was bought, ``row.lineage`` stays the same over updates, and ``since(row)`` is when it began.
    """
    return [row for row in of_customer(world, customer_id) if row.status in GRANTING]


def since(row: SubscriptionRow) -> datetime:
    """When an agreement began, before all its updates."""
    return row.started or row.anchor


def is_free(world: Core, row: SubscriptionRow) -> bool:
    """Whether something was had for nothing because its plan is free."""
    plan = plan_version(world, row.plan_identifier, row.plan_version)
    return row.amount_units == 0 and any(price["priceType"] == _FREE for price in plan.prices)


# Buying


@attrs.frozen
class Sale:
    """What somebody is about to buy.

    Attributes:
        plan: The version of the plan.
        charge_period: How often it charges, as subscriptions spell it.
        currency: Three-letter code, in capitals.
        units: What each period costs, before discounts and taxes, in smallest units.
        trial_days: Length of the free trial, 0 for none.
        tax_behavior: Whether the price includes taxes.
        quantities: How many of each feature are bought, by identifier.
        discount: What is taken off each payment: ``code`` with ``percentage``, or with ``amount`` and
            ``currency``.
        custom_amount: Whether the price is one in place of the plan's.
    """

    plan: PlanRow
    charge_period: str
    currency: str
    units: int
    trial_days: int
    tax_behavior: str
    quantities: dict[str, int]
    discount: dict[str, Any] | None = None
    custom_amount: bool = False

    @property
    def recurring(self) -> bool:
        """Whether it is paid again and again."""
        return self.charge_period != _ONE_TIME


def sale(
    world: Core,
    plan: PlanRow,
    charge_period: str,
    *,
    currency: str | None = None,
    quantities: Mapping[str, int] | None = None,
    custom_amount: Decimal | None = None,
    tax_behavior: str | None = None,
    days: int | None = None,
    code: str | None = None,
) -> Sale:
    """Find out what something costs.

    Args:
        world: Where prices, features and discounts are.
        plan: The version to buy.
        charge_period: How often it charges, in either spelling.
        currency: Three-letter code; by default the product's, else that of the plan's first price.
        quantities: How many of each feature, by identifier.
        custom_amount: A price in place of the plan's, in whole currency.
        tax_behavior: Whether that price includes taxes.
        days: Length of the free trial, in place of the plan's.
        code: A discount code.

    Raises:
        Refusal: 400; there is no such price, quantity or discount.
    """
    wanted = dict(quantities or {})
    usual = world.state.products[plan.product_id].settings.get("currency")
    if currency is None and usual and price_in(plan, usual):
        currency = usual
    if custom_amount is not None:
        money = (currency or "").upper()
        if custom_amount < 0 or not fits_currency(custom_amount, money):
            raise bad_field("customAmount", f"This is no amount in {money}.")
        price = price_in(plan, money)
        found = Sale(
            plan,
            same_period(charge_period),
            money,
            to_units(custom_amount, money),
            trial_days(price) if price and same_period(charge_period) != _ONE_TIME else 0,
            tax_behavior or "EXCLUSIVE",
            wanted,
            custom_amount=True,
        )
    else:
        choice = price_for(plan, currency, charge_period)
        bought = bought_quantities(choice, wanted, world.state)
        names = {world.state.features[each].identifier: units for each, units in bought.items()}
        found = Sale(
            plan,
            choice.charge_period,
            choice.currency,
            amount_units(choice, wanted, world.state),
            choice.trial_days,
            choice.tax_behavior,
            {**wanted, **names},
        )
    if days is not None and found.recurring:
        found = attrs.evolve(found, trial_days=days)
    return attrs.evolve(found, discount=_discount(world, code, found)) if code else found


def first_payment(
    world: Core, sold: Sale, customer_id: str, billing_address: Mapping[str, Any] | None = None
) -> ledger.Amounts:
    """What is to be paid at once: nothing while a free trial runs."""
    return ledger.amounts(
        world,
        customer_id,
        0 if sold.trial_days else sold.units,
        sold.currency,
        discount=sold.discount,
        tax_behavior=sold.tax_behavior,
        billing_address=billing_address,
    )


def purchase(
    world: Core,
    sold: Sale,
    customer_id: str,
    method: PaymentMethodRow | None,
    *,
    due: ledger.Amounts | None = None,
    saved: str | None = None,
    checkout: CheckoutRow | None = None,
) -> SubscriptionRow:
    """Have a customer get what they pay for, and tell of it.

    Args:
        world: Where it happens.
        sold: What is bought.
        customer_id: Who buys it.
        method: The card that pays, or None where nothing is to be paid.
        due: What ``first_payment`` found, if it was asked before.
        saved: The event that tells of the card, if it is new.
        checkout: The session it came from.

    Returns:
        The subscription or one-time purchase.
    """
    billed_to = checkout.billing_address if checkout else None
    row = _begin(world, sold, customer_id, method)
    due = first_payment(world, sold, customer_id, billed_to) if due is None else due
    order = ledger.write_order(
        world, row, due, checkout_id=checkout.id if checkout else None, billing_address=billed_to
    )
    licensing.issue(world, row, order.id)
    ledger.write_invoice(world, order)
    ledger.settle(world, order, method)
    if checkout is not None:
        checkout.status, checkout.order_id, checkout.subscription_id = "success", order.id, row.id
        checkout.payment_method_id = method.id if method else None
        ledger.note(world, checkout.id, "Payment completed", "checkout_session.completed", order=order.id)
        payloads.tell(world, "checkout.completed", payloads.checkout_session, checkout)
    if sold.recurring:
        payloads.tell(world, "subscription.created", payloads.subscription, row)
    tell_sold(world, order, opened=sold.recurring)
    if method is not None and saved is not None:
        payloads.tell(world, saved, payloads.payment_method, method)
    return row


def tell_sold(world: Core, order: OrderRow, *, opened: bool = True) -> None:
    """Tell of an order that was paid as it was made, and of its invoice, if it has one.

    Args:
        world: Where it happened.
        order: The order.
        opened: Whether ``invoice.created`` comes before ``invoice.paid``; of one-time payments it does not.
    """
    payloads.tell(world, "order.created", payloads.order, order)
    invoice = world.state.invoices.get(order.invoice_id or "")
    if invoice is not None:
        if opened:
            payloads.tell(world, "invoice.created", payloads.open_invoice, invoice)
        payloads.tell(world, "invoice.paid", payloads.invoice, invoice, payloads.UNPAID)


def _begin(world: Core, sold: Sale, customer_id: str, method: PaymentMethodRow | None) -> SubscriptionRow:
    """The row of what is bought. It takes the place of what the customer had of the product for nothing."""
    now = world.now()
    trial_end = now + timedelta(days=sold.trial_days) if sold.trial_days else None
    row = SubscriptionRow(
        id=world.new_id(),
        lineage="",
        customer_id=customer_id,
        plan_identifier=sold.plan.identifier,
        plan_version=sold.plan.version,
        charge_period=sold.charge_period,
        currency=sold.currency,
        amount_units=sold.units,
        status="trialing" if trial_end else "active",
        anchor=trial_end or now,
        start_date=now.date(),
        period_start=now,
        period_end=trial_end or billing_period(sold.charge_period, now, 0).end,
        created_on=now,
        modified_on=now,
        trial_start=now if trial_end else None,
        trial_end=trial_end,
        quantities=dict(sold.quantities),
        payment_method_id=method.id if method else None,
        discount=sold.discount,
        started=now,
        tax_behavior=sold.tax_behavior,
        custom_amount=sold.custom_amount,
    )
    row.lineage = row.id
    for old in granting(world, customer_id):
        plan = plan_version(world, old.plan_identifier, old.plan_version)
        if plan.product_id == sold.plan.product_id and old.charge_period == _ONE_TIME and is_free(world, old):
            old.status, old.modified_on, old.end_date = "superseded", now, now.date()
            row.lineage, row.replaces, row.started = old.lineage, old.id, since(old)
    add(world, row)
    return row


def _discount(world: Core, code: str, sold: Sale) -> dict[str, Any]:
    """What a code takes off, or 400."""
    rows = world.state.promotions.values()
    found = next((row for row in rows if row.code.casefold() == code.strip().casefold()), None)
    if found is None:
        raise bad_field("discountCode", "This discount code is not valid.")
    taken = {
        "code": found.code,
        "percentage": found.percentage,
        "amount": found.amount,
        "currency": found.currency,
    }
    try:
        if found.percentage:
            percentage_discount(sold.units, found.percentage)
        else:
            fixed_discount(sold.units, found.amount, sold.currency, found.currency or sold.currency)
    except InvalidValue:
        raise bad_field("discountCode", f"This discount code is not valid in {sold.currency}.") from None
    return taken
