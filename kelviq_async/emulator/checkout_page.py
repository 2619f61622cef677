"""The hosted checkout page: what a buyer sees and does there. The rules are in ``paying``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote, urlsplit

import attrs

from . import billing, cards, catalog, ledger, paying, wording
from .core import Core
from .refusals import Refusal, not_found
from .rendering import Page, Redirect
from .state import CheckoutRow

Form = Mapping[str, str]

CARDS_SHOWN: Final = [
    {"digits": "4242424242424242", "number": "4242 4242 4242 4242", "hint": "Pays."},
    {"digits": "4000000000000002", "number": "4000 0000 0000 0002", "hint": "Is declined."},
    {
        "digits": "4000002500003155",
        "number": "4000 0025 0000 3155",
        "hint": "Asks for authentication (3-D Secure), then pays.",
    },
]
_MORE_QUANTITY: Final = 10_000_000


def shown(world: Core, session_id: str, form: Form | None) -> Page | Redirect:
    """A checkout session's page, after doing what its buyer wants.

    Args:
        world: Where the session is.
        session_id: The session.
        form: What was sent; None for looking only.
    """
    row = world.state.checkouts.get(session_id)
    if row is None:
        raise not_found("Checkout session")
    if row.status not in {"open", "processing"}:
        return _over(world, row)
    action = form.get("action") if form is not None else None
    try:
        if form is None or action is None:
            return _authentication(world, row) if row.status == "processing" else _checkout(world, row)
        return _done(world, row, action, form)
    except Refusal as refusal:
        return _checkout(world, row, form or {}, problem(refusal), status=refusal.status)


def _done(world: Core, row: CheckoutRow, action: str, form: Form) -> Page | Redirect:
    """Do what a button stands for."""
    if action == "cancel":
        return _gone(world, row, paying.leave(world, row.id))
    if action == "refuse" and row.status == "processing":
        # As after any other payment that failed, the buyer may try again.
        card, row.status = row.options.pop("card", ""), "open"
        ledger.note(
            world,
            row.id,
            "Authentication failed",
            "checkout_session.payment_failed",
            "failed",
            card=card[-4:],
        )
        return _checkout(world, row, {}, "The payment was not confirmed.", "Nothing was taken.", status=402)
    if action == "change":
        _change(world, row, form)
        return Redirect(_path(row))
    if action not in {"pay", "confirm"}:
        raise Refusal(400, "The form is incomplete.")
    # A buyer without a card in the form has nothing to pay, which any card will do for.
    card = form.get("card") or next(iter(cards.CARDS))
    paid = paying.pay(
        world,
        row.id,
        card=card,
        authenticate=action == "confirm" or row.status != "open",
        name=form.get("name") or None,
        email=form.get("email") or None,
    )
    if row.status == "processing":
        return Redirect(_path(row))
    if paid.problem:
        return _checkout(world, row, form, paid.problem, "Nothing was taken. Try another card.", status=402)
    return _gone(world, row, paid)


def _gone(world: Core, row: CheckoutRow, payment: paying.Payment) -> Page | Redirect:
    """Where a buyer goes who has paid or left."""
    target = safe(payment.redirect)
    return Redirect(target) if target else _over(world, row)


def _change(world: Core, row: CheckoutRow, form: Form) -> None:
    """Take another plan, period, quantity or discount, if there is such an offer."""
    changed = attrs.evolve(row)
    plan = form.get("plan")
    if plan and plan != row.plan_identifier and plan in dict(_plans(world, row)):
        version = catalog.sellable(world, plan)
        changed.plan_identifier, changed.plan_version, changed.quantities = plan, version.version, {}
    periods = dict(_periods(world, changed))
    changed.charge_period = form.get("period", row.charge_period)
    if changed.charge_period not in periods:
        changed.charge_period = row.charge_period if row.charge_period in periods else next(iter(periods))
    if changed.plan_identifier == row.plan_identifier:
        given = {
            name.removeprefix("quantity:"): _whole(text)
            for name, text in form.items()
            if name.startswith("quantity:")
        }
        changed.quantities = {**row.quantities, **given}
    if "discount" in form and row.options.get("discountsEnabled") is not False:
        changed.discount_code = form["discount"].strip() or None
    paying.sold(world, changed)  # refuses what is not on sale
    for name in ("plan_identifier", "plan_version", "charge_period", "quantities", "discount_code"):
        setattr(row, name, getattr(changed, name))


def _whole(text: str) -> int:
    if not text.strip().isdecimal() or len(text) > 9:
        raise Refusal(400, "A quantity is a whole number.")
    return int(text)


# What is shown


def _checkout(
    world: Core,
    row: CheckoutRow,
    form: Form = {},  # noqa: B006  never changed
    error: str = "",
    advice: str = "",
    *,
    status: int = 200,
) -> Page:
    sold = paying.sold(world, row)
    buyer = world.state.customers[row.customer_id or ""]
    due = billing.first_payment(world, sold, buyer.customer_id, row.billing_address)
    needs_card = due.total > 0 or sold.recurring
    total = wording.money(due.total, sold.currency)
    chosen = "".join(form.get("card", "").split())
    values = {
        **_about(world, row, sold),
        "price": wording.money(sold.units, sold.currency) if sold.units else "Free",
        "period": f"every {wording.EVERY[sold.charge_period]}"
        if sold.recurring
        else "once"
        if sold.units
        else "",
        "subtotal": wording.money(due.subtotal, sold.currency),
        "discount": wording.money(due.discount, sold.currency) if due.discount else "",
        "tax": wording.money(due.tax, sold.currency) if due.tax else "",
        "due": total,
        "later": _later(world, row, sold),
        "needs_card": needs_card,
        "pay_label": f"Pay {total}"
        if due.total
        else "Start the free trial"
        if sold.trial_days
        else "Confirm",
        "cards": CARDS_SHOWN,
        "card": chosen if any(chosen == each["digits"] for each in CARDS_SHOWN) else CARDS_SHOWN[0]["digits"],
        "email": form.get("email", buyer.email or ""),
        "name": form.get("name", buyer.name or ""),
        "customer": buyer.customer_id,
        "locked": bool(row.options.get("lockEmail") and buyer.email),
        "typed": form.get("discount", row.discount_code or ""),
        "error": error,
        "advice": advice,
    }
    return Page("checkout.html", values, status)


def _about(world: Core, row: CheckoutRow, sold: billing.Sale) -> dict[str, Any]:
    """What is bought, and what else could be."""
    product = world.state.products[sold.plan.product_id]
    fixed = row.options.get("customAmount") is not None
    return {
        "brand": product.name,
        "plan": sold.plan.name,
        "plan_identifier": sold.plan.identifier,
        "description": sold.plan.description,
        "gives": wording.gives(world, sold.plan),
        "charge_period": sold.charge_period,
        "plans": [] if fixed else _plans(world, row),
        "periods": [] if fixed else _periods(world, row),
        "quantities": [] if fixed else _quantities(world, row, sold),
        "discounts": row.options.get("discountsEnabled") is not False,
        "discount_code": row.discount_code,
    }


def _plans(world: Core, row: CheckoutRow) -> list[tuple[str, str]]:
    """The plans a buyer may switch between: none, unless the session names some."""
    named = str(row.options.get("plansEnabled") or "").split(",")
    wanted = dict.fromkeys([row.plan_identifier, *(name.strip() for name in named)])
    found = ((name, catalog.published(world, name)) for name in wanted)
    return [(name, plan.name) for name, plan in found if plan is not None]


def _periods(world: Core, row: CheckoutRow) -> list[tuple[str, str]]:
    plan = catalog.plan_version(world, row.plan_identifier, row.plan_version)
    return [(each, wording.PERIODS[each]) for each in catalog.charge_periods(plan, row.currency)]


def _quantities(world: Core, row: CheckoutRow, sold: billing.Sale) -> list[dict[str, Any]]:
    """The features of which a buyer says how many."""
    choice = catalog.price_for(sold.plan, row.currency, row.charge_period)
    rows = []
    for feature_id, units in catalog.bought_quantities(choice, row.quantities, world.state).items():
        feature = world.state.features[feature_id]
        bounds = choice.charges[feature_id].get("advanced") or {}
        least = bounds.get("min_quantity", bounds.get("minQuantity")) or 0
        most = bounds.get("max_quantity", bounds.get("maxQuantity"))
        rows.append(
            {
                "id": feature.identifier,
                "name": feature.name,
                "units": units,
                "least": int(least),
                "most": _MORE_QUANTITY if most is None else int(most),
                "hint": f"From {least} to {most}."
                if most is not None
                else f"At least {least}."
                if least
                else "",
            }
        )
    return rows


def _later(world: Core, row: CheckoutRow, sold: billing.Sale) -> str:
    """What is charged after today."""
    if not sold.recurring:
        return ""
    customer = row.customer_id or ""
    next_one = billing.first_payment(world, attrs.evolve(sold, trial_days=0), customer, row.billing_address)
    each = f"{wording.money(next_one.total, sold.currency)} every {wording.EVERY[sold.charge_period]}"
    if sold.trial_days:
        days = f"{sold.trial_days} days" if sold.trial_days > 1 else "1 day"
        return f"Free for {days}, then {each} until it is cancelled."
    return f"Then {each} until it is cancelled."


def _authentication(world: Core, row: CheckoutRow) -> Page:
    sold = paying.sold(world, row)
    due = billing.first_payment(world, sold, row.customer_id or "", row.billing_address)
    values = {
        "brand": world.state.products[sold.plan.product_id].name,
        "due": wording.money(due.total, sold.currency),
        "card": row.options.get("card", ""),
    }
    return Page("authenticate.html", values)


def _over(world: Core, row: CheckoutRow) -> Page:
    """The page of a session that was paid, left or forgotten."""
    plan = catalog.plan_version(world, row.plan_identifier, row.plan_version)
    values: dict[str, Any] = {"brand": world.state.products[plan.product_id].name, "facts": [], "link": None}
    order = world.state.orders.get(row.order_id or "")
    if row.status == "success" and order is not None:
        link = safe(row.success_url)
        values |= {
            "title": "Paid" if order.total_units else "All set",
            "text": f"{plan.name} is yours.",
            "sign": "check",
            "tone": "good",
            "facts": [
                ("Order", order.id),
                ("Paid", wording.money(order.total_units, order.currency)),
                ("On", wording.moment(order.paid_at)),
            ],
        }
        label = "Continue"
    else:
        link, label = safe(row.cancel_url), "Back to the shop"
        left = row.status == "closed"
        values |= {
            "title": "You left this checkout" if left else "This checkout has expired",
            "text": "Nothing was taken. Ask the shop for a new link if you still want to buy.",
            "sign": "cross" if left else "clock",
            "tone": "warn",
        }
    return Page("message.html", {**values, "link": link, "link_label": label})


def problem(refusal: Refusal) -> str:
    """What a refusal says, in words for people."""
    body = refusal.body
    while isinstance(body, dict | list) and body:
        body = next(iter(body.values())) if isinstance(body, dict) else body[0]
    return str(body or "Something is wrong.")


def safe(url: str | None) -> str | None:
    """An address to send a browser to: http(s) only, and nothing that could end a header."""
    if not url or not url.isprintable() or any(each.isspace() for each in url):
        return None
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    if parts.scheme.lower() not in {"http", "https"} or not parts.hostname:
        return None
    return quote(url, safe="!#$%&'()*+,/:;=?@[]~")


def _path(row: CheckoutRow) -> str:
    return f"/checkout/{quote(row.id, safe='')}/"
