"""The dashboard at ``/``: everything that a world holds and lately did, and forms that move it."""

from __future__ import annotations

import itertools
from typing import Any, Final
from urllib.parse import quote, urlencode

from ..request import operations
from . import billing, catalog, metering, wording
from .checkout_page import Form, problem
from .faults import KINDS
from .refusals import Refusal
from .rendering import Page, Redirect
from .state import CheckoutRow, CustomerRow, DeliveryRow, OrderRow, SubscriptionRow
from .world import World

CUSTOMERS: Final = 20
ROWS: Final = 8
LONGEST_STEP: Final = 3660
"""Days that one click can let pass; programs may jump further."""

TONES: Final = {
    "active": "good",
    "trialing": "good",
    "COMPLETE": "good",
    "past_due": "warn",
    "incomplete": "warn",
    "PENDING": "warn",
    "PARTIAL_REFUND": "warn",
    "canceled": "bad",
    "expired": "bad",
    "incomplete_expired": "bad",
    "CANCELLED": "bad",
    "FAILED": "bad",
}
_UNITS: Final = ("days", "hours", "minutes")


def shown(world: World, form: Form | None, query: Form) -> Page | Redirect:
    """The dashboard, after doing what a form on it wants.

    Args:
        world: The world.
        form: What was sent; None for looking only.
        query: ``q`` is what customers are searched for.
    """
    if form is None:
        return _page(world, query)
    try:
        _done(world, form)
    except Refusal as refusal:
        return _page(world, query, problem(refusal))
    except (ValueError, OverflowError) as error:
        return _page(world, query, f"{error}.")
    return Redirect(f"/?{urlencode({'q': query['q']})}" if query.get("q") else "/")


def changes(world: World, query: Form) -> Page:
    """The part of the dashboard that is looked at again and again."""
    return Page("live.html", _live(world, query))


def _done(world: World, form: Form) -> None:
    action = form.get("action")
    if action == "advance":
        amount, unit = float(form.get("amount") or "0"), form.get("unit", "")
        if unit not in _UNITS or not 0 < amount <= LONGEST_STEP:
            raise Refusal(400, f"Time moves forward, by {LONGEST_STEP} days, hours or minutes at most.")
        world.clock.advance(**{unit: amount})
    elif action == "fault":
        times, latency = form.get("times") or None, float(form.get("latency") or "0")
        world.faults.add(
            form.get("operation") or "*",
            form.get("kind"),
            times=None if times is None else int(times),
            latency=latency,
        )
    elif action == "clear-faults":
        world.faults.clear()
    elif action == "resend":
        world.webhooks.resend(form.get("delivery", ""))
    elif action == "reset":
        world.reset()
    else:
        raise Refusal(400, "The form is incomplete.")


def _page(world: World, query: Form, error: str = "") -> Page:
    values = {
        **_live(world, query),
        "error": error,
        "query": query.get("q", ""),
        "units": _UNITS,
        "kinds": KINDS,
        "operations": sorted(each.name for each in operations()),
        "strict": world.strict,
    }
    return Page("dashboard.html", values, 400 if error else 200)


def _live(world: World, query: Form) -> dict[str, Any]:
    state, wanted = world.state, query.get("q", "").strip().casefold()
    fitting = (row for row in reversed(state.customers.values()) if _fits(row, wanted))
    found = list(itertools.islice(fitting, CUSTOMERS + 1))
    statuses = [row.status for row in state.subscriptions.values()]
    return {
        "now": world.now(),
        "tones": TONES,
        "tiles": [
            ("Customers", f"{sum(not row.archived for row in state.customers.values()):,}", ""),
            ("Subscriptions", f"{sum(status in billing.GRANTING for status in statuses):,}", ""),
            ("Orders", f"{len(state.orders):,}", ""),
            ("Events waiting", f"{len(world.webhooks.pending()):,}", ""),
            ("Crashes", f"{len(world.crashes):,}", "bad" if world.crashes else ""),
        ],
        "customers": [_customer(world, row) for row in found[:CUSTOMERS]],
        "more": len(found) > CUSTOMERS,
        "checkouts": [
            _checkout(world, row)
            for row in itertools.islice(
                (row for row in reversed(state.checkouts.values()) if row.status in {"open", "processing"}),
                ROWS,
            )
        ],
        "orders": [_order(world, row) for row in _newest(state.orders)],
        "deliveries": [_delivery(world, row) for row in _newest(state.deliveries)],
        "endpoints": len(state.endpoints),
        "requests": list(itertools.islice(reversed(world.requests), ROWS)),
        "faults": world.faults.remaining,
    }


def _newest(rows: dict[str, Any]) -> list[Any]:
    return list(itertools.islice(reversed(rows.values()), ROWS))


def _fits(row: CustomerRow, wanted: str) -> bool:
    texts = (row.customer_id, row.name or "", row.email or "")
    return not row.archived and (not wanted or any(wanted in text.casefold() for text in texts))


def _customer(world: World, row: CustomerRow) -> dict[str, Any]:
    entries = metering.entitlements(world, row.customer_id)
    living = billing.granting(world, row.customer_id)
    return {
        "id": row.customer_id,
        "name": row.name or row.email or "",
        "subscriptions": [_subscription(world, each) for each in living],
        "entitlements": [_entitlement(world, each) for each in entries],
    }


def _subscription(world: World, row: SubscriptionRow) -> dict[str, Any]:
    plan = catalog.plan_version(world, row.plan_identifier, row.plan_version)
    price = wording.money(row.amount_units, row.currency) if row.amount_units else "free"
    every = wording.EVERY.get(row.charge_period)
    if row.cancel_at is not None:
        then = f"ends {wording.day(row.cancel_at)}"
    elif row.status == "past_due":
        then = f"tries again {wording.day(row.next_attempt)}"
    elif row.trial_end is not None and row.status == "trialing":
        then = f"trial until {wording.day(row.trial_end)}"
    else:
        then = f"renews {wording.day(row.period_end)}" if row.period_end else "for good"
    return {
        "plan": plan.name,
        "status": row.status,
        "price": f"{price} every {every}" if every and row.amount_units else price,
        "then": then,
    }


def _entitlement(world: World, entry: dict[str, Any]) -> dict[str, Any]:
    """An entry in words, and for a meter how full it is."""
    feature = catalog.feature_by_identifier(world, entry["featureId"])
    kind, limit, used = entry["featureType"], entry.get("usageLimit"), entry.get("currentUsage") or 0
    shown = {
        "name": feature.name if feature else entry["featureId"],
        "allowed": entry["hasAccess"],
        "share": None,
    }
    if kind != "METER":
        text = f"{limit:,}" if limit is not None else "yes" if entry["hasAccess"] else "no"
    elif limit is None:
        text = f"{used:,} used, unlimited"
    else:
        # What was carried over from the period before can be used as well.
        most = used + max(0, entry.get("remaining") or 0)
        most = max(most, limit)
        text = f"{used:,} of {most:,}"
        shown["share"] = min(100, round(100 * used / most)) if most else 100
    return {**shown, "text": text}


def _checkout(world: World, row: CheckoutRow) -> dict[str, Any]:
    plan = catalog.plan_version(world, row.plan_identifier, row.plan_version)
    return {
        "url": f"/checkout/{quote(row.id, safe='')}/",
        "customer": row.customer_id,
        "plan": plan.name,
        "period": wording.PERIODS[row.charge_period],
        "status": row.status,
        "expires": row.expires_on,
    }


def _order(world: World, row: OrderRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "customer": row.customer_id,
        "plan": catalog.plan_version(world, row.plan_identifier, row.plan_version).name,
        "total": wording.money(row.total_units, row.currency),
        "refunded": wording.money(row.refunded_units, row.currency) if row.refunded_units else "",
        "status": row.status,
        "at": row.created_on,
        "renewal": row.is_renewal,
    }


def _delivery(world: World, row: DeliveryRow) -> dict[str, Any]:
    endpoint = world.state.endpoints.get(row.endpoint_id)
    if row.delivered:
        status, tone = f"{row.status_code}", "good"
    elif row.next_attempt is not None:
        status, tone = (
            "waiting" if not row.attempts else f"{row.status_code or 'no answer'}, again soon",
            "warn",
        )
    else:
        status, tone = f"{row.status_code or 'no answer'}", "bad"
    return {
        "id": row.id,
        "type": row.event_type,
        "url": endpoint.url if endpoint else "",
        "status": status,
        "tone": tone,
        "attempts": row.attempts,
        "at": row.last_attempt or row.created_on,
        "resendable": endpoint is not None,
    }
