"""The checkout page without its looks: what a buyer does there, and what comes of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from . import billing, cards, changes, ledger, metering, payloads, renewals
from .catalog import plan_version
from .core import Core
from .pricing import exact_decimal
from .refusals import detail, not_found
from .state import CheckoutRow, CustomerRow, PaymentMethodRow, SubscriptionRow

_FAILED = "Payment failed", "checkout_session.payment_failed", "failed"


@attrs.frozen
class Payment:
    """What came of an attempt to pay, or of leaving.

    Attributes:
        status: Where the checkout session (or subscription) stands now.
        problem: Why it was not paid, for the buyer to read; None if it was.
        redirect: Where the buyer goes from here, if anywhere.
    """

    status: str
    problem: str | None = None
    redirect: str | None = None

    @property
    def paid(self) -> bool:
        """Whether it is paid."""
        return self.status in {"success", "active"}


def sold(world: Core, row: CheckoutRow) -> billing.Sale:
    """What a checkout session sells."""
    amount = row.options.get("customAmount")
    return billing.sale(
        world,
        plan_version(world, row.plan_identifier, row.plan_version),
        row.charge_period,
        currency=row.currency,
        quantities=row.quantities,
        custom_amount=None if amount is None else exact_decimal(amount),
        tax_behavior=row.options.get("taxBehavior"),
        days=row.options.get("trialPeriod"),
        code=row.discount_code,
    )


def pay(
    world: Core,
    session_id: str,
    *,
    card: str = "4242 4242 4242 4242",
    authenticate: bool = True,
    name: str | None = None,
    email: str | None = None,
    billing_address: Mapping[str, Any] | None = None,
) -> Payment:
    """Pay a checkout session, as a buyer does on its page.

    Args:
        world: Where it happens.
        session_id: The session; or the id of a subscription that waits for its payment: of an update
            with ``activate_on_payment``, or of a renewal that is past due.
        card: Number of a test card.
        authenticate: Whether the buyer confirms where the card asks for it. Without, the session is
            ``processing``; a second call confirms it.
        name: The buyer's name, if they change it.
        email: The buyer's email, if they change it.
        billing_address: Where it is billed, in the API's spelling.

    Raises:
        Refusal: There is no such session, it cannot be paid any more, or the card is no test card.
    """
    number, about = cards.known(card)
    waiting = world.state.subscriptions.get(session_id)
    if waiting is not None:
        return _pay_subscription(world, waiting, number, authenticate=authenticate)
    row = living(world, session_id)
    if row.status == "processing":
        number, about = cards.known(row.options["card"])
    buyer = world.state.customers[row.customer_id or ""]
    _introduce(world, row, buyer, name=name, email=email, billing_address=billing_address)
    sale = sold(world, row)
    due = billing.first_payment(world, sale, buyer.customer_id, row.billing_address)
    if due.total == 0 and not sale.recurring:
        buy(world, sale, buyer.customer_id, None, due=due, checkout=row)
        return Payment(row.status, redirect=row.success_url)
    if not (about.pays if due.total else about.saves):
        ledger.note(world, row.id, *_FAILED, reason=cards.DECLINED, card=number[-4:])
        return Payment(row.status, problem=cards.DECLINED)
    if about.asks and not authenticate:
        if row.status == "open":
            row.status, row.options["card"] = "processing", number
            ledger.note(world, row.id, "Authentication required", "checkout_session.processing", "pending")
        return Payment(row.status, problem="The card's holder has to confirm this payment.")
    method, saved = cards.save(world, buyer.customer_id, number)
    row.options.pop("card", None)
    buy(world, sale, buyer.customer_id, method, due=due, saved=saved, checkout=row)
    return Payment(row.status, redirect=row.success_url)


def buy(
    world: Core, sale: billing.Sale, customer_id: str, method: PaymentMethodRow | None, **known: Any
) -> SubscriptionRow:
    """Have a customer get what they pay for, see ``billing.purchase``.

    Counters are brought up to the present before, by the rules of what may be replaced.
    """
    for row in billing.granting(world, customer_id):
        metering.settle(world, row)
    return billing.purchase(world, sale, customer_id, method, **known)


def leave(world: Core, session_id: str) -> Payment:
    """Leave the checkout page without paying: the session is closed.

    Raises:
        Refusal: There is no such session, or it is over.
    """
    row = living(world, session_id)
    row.status = "closed"
    row.options.pop("card", None)
    ledger.note(world, row.id, "Checkout session closed", "checkout_session.closed")
    return Payment(row.status, redirect=row.cancel_url)


def living(world: Core, session_id: str) -> CheckoutRow:
    """A session that can still be paid, or 404, or 400 if it is over."""
    row = world.state.checkouts.get(session_id)
    if row is None:
        raise not_found("Checkout session")
    if row.status not in {"open", "processing"}:
        raise detail(400, f"This checkout session is over: {row.status}.")
    return row


def _pay_subscription(world: Core, row: SubscriptionRow, number: str, *, authenticate: bool) -> Payment:
    about = cards.CARDS[number]
    if row.status not in {"incomplete", "past_due"}:
        raise detail(400, f"There is nothing to pay for this subscription: it is {row.status}.")
    if row.status == "incomplete" and changes.owed(world, row) == 0:
        changes.complete(world, row, None)
        return Payment(row.status)
    if not about.pays:
        return Payment(row.status, problem=cards.DECLINED)
    if about.asks and not authenticate:
        return Payment(row.status, problem="The card's holder has to confirm this payment.")
    method, saved = cards.save(world, row.customer_id, number)
    if row.status == "incomplete":
        changes.complete(world, row, method)
    else:
        renewals.collect(world, row)
    payloads.tell(world, saved, payloads.payment_method, method)
    return Payment(row.status)


def _introduce(
    world: Core,
    row: CheckoutRow,
    buyer: CustomerRow,
    *,
    name: str | None,
    email: str | None,
    billing_address: Mapping[str, Any] | None,
) -> None:
    """Keep what the buyer says of themselves; a locked email stays."""
    if row.options.get("lockEmail") and buyer.email:
        email = None
    if not buyer.billing_address:
        billing_address = billing_address or row.billing_address
    if not (name or email or billing_address):
        return
    before = payloads.remembered(world, payloads.customer, buyer)
    if billing_address:
        row.billing_address = dict(billing_address)
        buyer.billing_address = buyer.billing_address or row.billing_address
    buyer.name, buyer.email = name or buyer.name, email or buyer.email
    buyer.modified_on = world.now()
    ledger.note(world, row.id, "Customer details updated", "checkout_session.customer_updated")
    payloads.tell_change(world, "customer.updated", payloads.customer, buyer, before)
