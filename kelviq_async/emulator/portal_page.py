"""The customer portal: what somebody has, what they paid, their cards, keys and files; and how to cancel."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote, urlencode

from . import billing, cards, catalog, ending, licensing, payloads, wording
from .checkout_page import CARDS_SHOWN, Form, problem
from .refusals import Refusal, detail
from .rendering import Page, Redirect
from .state import CustomerRow, InvoiceRow, LicenseRow, SubscriptionRow
from .world import World

_PLANS: Final = "/api/v1/catalog/plans/"
TONES: Final = {"active": "good", "trialing": "good", "past_due": "warn", "PAID": "good", "FAILED": "bad"}


def shown(world: World, token: str, form: Form | None) -> Page | Redirect:
    """A customer's portal, after doing what they want.

    Args:
        world: Where the customer is.
        token: Token of their portal session.
        form: What was sent; None for looking only.
    """
    session = world.state.portals.get(token)
    customer = world.state.customers.get(session.customer_id) if session else None
    if customer is None or customer.archived:
        raise detail(404, "This link to the portal is not valid; ask the shop for a new one.")
    if form is None:
        return _portal(world, customer)
    try:
        _done(world, customer, form)
    except Refusal as refusal:
        return _portal(world, customer, problem(refusal), status=refusal.status)
    return Redirect(f"/portal/?{urlencode({'token': token})}")


def _done(world: World, customer: CustomerRow, form: Form) -> None:
    action = form.get("action")
    if action == "cancel":
        row = world.state.subscriptions.get(form.get("subscription", ""))
        if row is None or row.customer_id != customer.customer_id:
            raise detail(404, "There is no such subscription.")
        kind = "IMMEDIATE" if form.get("when") == "now" else "CURRENT_PERIOD_ENDS"
        comment = form.get("comment", "").strip() or None
        ending.cancel(world, row, kind, comment=comment, reason="CANCELLED_BY_CUSTOMER")
    elif action == "card":
        _, about = cards.known(form.get("card", ""))
        if not about.saves:
            raise detail(402, cards.DECLINED)
        card, event = cards.save(world, customer.customer_id, form["card"])
        world.emit(event, payloads.payment_method(world, card))
    else:
        raise detail(400, "The form is incomplete.")


def _portal(world: World, customer: CustomerRow, error: str = "", *, status: int = 200) -> Page:
    living = billing.granting(world, customer.customer_id)
    card = cards.default(world, customer.customer_id)
    invoices = [row for row in world.state.invoices.values() if row.customer_id == customer.customer_id]
    licenses = [row for row in world.state.licenses.values() if row.customer_id == customer.customer_id]
    plans = [catalog.plan_version(world, row.plan_identifier, row.plan_version) for row in living]
    products = [world.state.products[plan.product_id].name for plan in plans]
    values = {
        "brand": products[0] if products else "Your account",
        "customer": customer.name or customer.email or customer.customer_id,
        "email": customer.email,
        "error": error,
        "tones": TONES,
        "subscriptions": [_subscription(world, row) for row in living],
        "card": None if card is None else f"{card.brand.title()} ending in {card.last4}",
        "expires": "" if card is None else f"{card.exp_month:02}/{card.exp_year}",
        "cards": CARDS_SHOWN,
        "invoices": [_invoice(world, row) for row in reversed(invoices)],
        "licenses": [_license(world, row) for row in licenses],
        "files": [
            {"name": file["name"], "url": f"{_PLANS}{quote(plan.identifier)}/file/{file['id']}/download/"}
            for plan in {plan.identifier: plan for plan in plans}.values()
            for file in plan.files
            if file.get("enabled", True)
        ],
    }
    return Page("portal.html", values, status)


def _subscription(world: World, row: SubscriptionRow) -> dict[str, Any]:
    plan = catalog.plan_version(world, row.plan_identifier, row.plan_version)
    every = wording.EVERY.get(row.charge_period)
    price = wording.money(row.amount_units, row.currency) if row.amount_units else "Free"
    return {
        "id": row.id,
        "plan": plan.name,
        "status": row.status,
        "price": f"{price} every {every}" if every and row.amount_units else price,
        "since": billing.since(row),
        "renews": row.period_end if row.cancel_at is None else None,
        "ends": row.cancel_at,
        "gives": wording.gives(world, plan),
        "cancellable": every is not None,
    }


def _invoice(world: World, row: InvoiceRow) -> dict[str, Any]:
    order = world.state.orders.get(row.order_id or "")
    refunded = order.refunded_units if order else 0
    return {
        "id": row.id,
        "on": row.created_on,
        "total": wording.money(row.total_units, row.currency),
        "refunded": wording.money(refunded, row.currency) if refunded else "",
        "status": row.status,
    }


def _license(world: World, row: LicenseRow) -> dict[str, Any]:
    expired = licensing.expired(row, world.now())
    limit = "" if row.activation_limit is None else f" of {row.activation_limit}"
    return {
        "key": row.license_key,
        "status": "disabled" if not row.enabled else "expired" if expired else "valid",
        "used": f"{len(row.instances)}{limit} in use",
        "expires": row.expires_on,
    }
