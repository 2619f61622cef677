"""Checkout sessions: opened, found, and what happened in them. Paying is in ``paying``."""

from __future__ import annotations

import contextlib
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final

from ... import codec
from ...api.checkout import (
    CheckoutEvent,
    CheckoutLink,
    CheckoutOrder,
    CheckoutSession,
    CheckoutSessionDetail,
    CheckoutStatus,
    CheckoutSubscription,
    CreateCheckoutSession,
    ListCheckoutSessionEvents,
    ListCheckoutSessions,
    RetrieveCheckoutSession,
)
from ...api.orders import OrderStatus
from ...api.periods import BillingType, FeatureQuantity
from ...api.products import Product
from ...model import UNSET
from ...spelling import dump_datetime
from .. import billing, ledger, paying, payloads, views
from ..catalog import LONGEST_TRIAL, plan_version, published, sellable
from ..core import Core
from ..payloads import money
from ..pricing import from_units
from ..refusals import Refusal, bad_field, not_found
from ..registry import Listed, handles
from ..state import CheckoutRow, CustomerRow, HistoryRow
from .customers import enrolled
from .products import parts

LASTS: Final = timedelta(hours=24)


@handles(CreateCheckoutSession, status=201)
def create_session(world: Core, request: CreateCheckoutSession) -> CheckoutLink:
    """Whoever nobody knows yet becomes a customer; all else is checked first."""
    plan = sellable(world, request.plan_identifier)
    _check(request)
    if not request.success_url:
        raise bad_field("successUrl", "This field may not be blank.")
    for identifier in filter(None, (request.plans_enabled or "").split(",")):
        if published(world, identifier.strip()) is None:
            raise bad_field("plansEnabled", f'The plan "{identifier.strip()}" is unknown.')
    options = _options(request)
    sale = billing.sale(
        world,
        plan,
        str(request.charge_period),
        currency=request.currency_code or None,
        quantities=quantities_of(request.features or ()),
        custom_amount=None if request.custom_amount is UNSET else request.custom_amount,
        tax_behavior=options.get("taxBehavior"),
        days=options.get("trialPeriod"),
        code=request.discount_code or None,
    )
    now = world.now()
    row = CheckoutRow(
        id=world.new_token("cs_test_"),
        customer_id=_buyer(world, request).customer_id,
        plan_identifier=plan.identifier,
        plan_version=plan.version,
        charge_period=sale.charge_period,
        success_url=request.success_url,
        created_on=now,
        expires_on=now + LASTS,
        email=request.email or None,
        cancel_url=request.cancel_url or None,
        currency=sale.currency,
        quantities=sale.quantities,
        metadata=request.metadata or {},
        options=options,
        discount_code=request.discount_code or None,
        billing_address={"country": request.default_billing_country.upper()}
        if request.default_billing_country
        else None,
    )
    world.state.checkouts[row.id] = row
    world.schedule(row.expires_on, "checkout.expiry", row.id)
    ledger.note(world, row.id, "Checkout session created", "checkout_session.created")
    return CheckoutLink(checkout_url=f"{world.url}/checkout/{row.id}/", checkout_session_id=row.id)


@handles(ListCheckoutSessions)
def list_sessions(world: Core, request: ListCheckoutSessions) -> Listed[CheckoutRow]:
    """Newest first; ``search`` looks into ids, customers and products."""
    wanted = (request.search or "").lower()
    rows = [
        row
        for row in reversed(world.state.checkouts.values())
        if (request.status is None or row.status == request.status)
        and (request.start_date is None or row.created_on.date() >= request.start_date)
        and (request.end_date is None or row.created_on.date() <= request.end_date)
        and (not wanted or any(wanted in text.lower() for text in _texts(world, row)))
    ]
    return Listed(rows, lambda row: CheckoutSession(**shown(world, row)))


@handles(RetrieveCheckoutSession)
def retrieve_session(world: Core, request: RetrieveCheckoutSession) -> CheckoutSessionDetail:
    """With the order, subscription and card that came of it."""
    row = known(world, request.session_id)
    return CheckoutSessionDetail(
        **shown(world, row),
        order=_order(world, row),
        subscription=_subscription(world, row),
        payment_method=views.paid_by(world, row.payment_method_id),
    )


@handles(ListCheckoutSessionEvents)
def list_events(world: Core, request: ListCheckoutSessionEvents) -> Listed[HistoryRow]:
    """Newest first."""
    row = known(world, request.session_id)
    return Listed([each for each in reversed(world.state.history) if each.subject == row.id], _event)


def known(world: Core, session_id: str) -> CheckoutRow:
    """A session, or 404."""
    row = world.state.checkouts.get(session_id)
    if row is None:
        raise not_found("Checkout session")
    return row


def quantities_of(features: Any) -> dict[str, int]:
    """Quantities by feature identifier; a feature that is named twice is refused."""
    found: dict[str, int] = {}
    for each in features:
        if not isinstance(each, FeatureQuantity) or each.identifier in found:
            raise bad_field("features", "Each feature can be named once.")
        found[each.identifier] = each.quantity
    return found


def shown(world: Core, row: CheckoutRow) -> dict[str, Any]:
    """The fields of a session as the API shows them."""
    plan = plan_version(world, row.plan_identifier, row.plan_version)
    customer = world.state.customers[row.customer_id or ""]
    price: dict[str, Any] = {}
    days = row.options.get("trialPeriod", 0)
    with contextlib.suppress(Refusal):  # what was on sale may be so no more
        sale = paying.sold(world, row)
        days, price = sale.trial_days, {"amount": money(sale.units, sale.currency), "amountUnits": sale.units}
    return {
        "id": row.id,
        "customer": views.buyer(customer),
        "product": Product(**parts(world, world.state.products[plan.product_id])),
        "billing_address": views.address(row.billing_address or customer.billing_address),
        "discount_code": row.discount_code,
        "tax_id": None,
        "currency": row.currency.lower(),
        "currency_symbol": views.symbol(row.currency),
        "status": CheckoutStatus.other(row.status),
        "created_on": row.created_on,
        "selected_data": {
            "planIdentifier": row.plan_identifier,
            "chargePeriod": row.charge_period,
            "features": [{"identifier": name, "quantity": number} for name, number in row.quantities.items()],
        },
        "offering_data": {
            "plan": {"name": plan.name, "identifier": plan.identifier, "version": plan.version},
            "currency": row.currency,
            **price,
        },
        "data": {
            "successUrl": row.success_url,
            "cancelUrl": row.cancel_url,
            "expiresOn": dump_datetime(row.expires_on),
            **{name: value for name, value in row.options.items() if name != "card"},
        },
        "custom_fields_data": {},
        "metadata": row.metadata,
        "customization": {},
        "trial_period": days,
    }


def _check(request: CreateCheckoutSession) -> None:
    """What belongs together."""
    if request.trial_period is not UNSET and not 0 <= (request.trial_period or 0) <= LONGEST_TRIAL:
        raise bad_field("trialPeriod", f"A trial lasts from 0 to {LONGEST_TRIAL} days.")
    if request.custom_amount is not UNSET and request.custom_amount is not None:
        if not request.tax_behavior:
            raise bad_field("taxBehavior", "This field is required when customAmount is provided.")
        if not request.currency_code:
            raise bad_field("currencyCode", "This field is required when customAmount is provided.")


def _options(request: CreateCheckoutSession) -> dict[str, Any]:
    """What the page and the payment need to know beyond the row's own fields."""
    given: dict[str, Any] = {
        "customAmount": str(request.custom_amount) if isinstance(request.custom_amount, Decimal) else None,
        "taxBehavior": str(request.tax_behavior) if request.tax_behavior else None,
        "trialPeriod": request.trial_period,
        "discountsEnabled": request.discounts_enabled,
        "lockEmail": request.lock_email,
        "plansEnabled": request.plans_enabled,
        "ipAddress": request.ip_address,
        "defaultBillingCountry": request.default_billing_country,
        "offeringId": request.offering_id,
        "pricingTableId": request.pricing_table_id,
        "ruleId": request.rule_id,
    }
    return {name: value for name, value in given.items() if value is not None and value is not UNSET}


def _buyer(world: Core, request: CreateCheckoutSession) -> CustomerRow:
    """Who buys: by id, else by email; somebody new where there is no such customer."""
    state = world.state
    customer_id, email = request.customer_id or None, request.email or None
    if customer_id is None and email is not None:
        found = (row for row in state.customers.values() if row.email == email and not row.archived)
        customer_id = next((row.customer_id for row in found), None)
    is_new = customer_id not in state.customers
    row = enrolled(world, customer_id or world.new_id().replace("-", ""), email=email)
    if is_new:
        payloads.tell(world, "customer.created", payloads.customer, row)
    return row


def _texts(world: Core, row: CheckoutRow) -> list[str]:
    customer = world.state.customers[row.customer_id or ""]
    plan = plan_version(world, row.plan_identifier, row.plan_version)
    product = world.state.products[plan.product_id]
    return [row.id, customer.name or "", customer.email or "", customer.customer_id, product.name]


def _order(world: Core, row: CheckoutRow) -> CheckoutOrder | None:
    order = world.state.orders.get(row.order_id or "")
    if order is None:
        return None
    return CheckoutOrder(
        id=order.id,
        status=OrderStatus.other(order.status),
        paid_at=order.paid_at,
        created_on=order.created_on,
        billing_type=BillingType.other(order.billing_type),
        is_trial=order.is_trial,
        amount_subtotal=from_units(order.subtotal_units, order.currency),
        amount_discount=from_units(order.discount_units, order.currency),
        amount_tax=from_units(order.tax_units, order.currency),
        amount_total=from_units(order.total_units, order.currency),
        sale_currency=order.currency,
        sale_currency_symbol=views.symbol(order.currency),
        invoice_id=order.invoice_id,
    )


def _subscription(world: Core, row: CheckoutRow) -> CheckoutSubscription | None:
    bought = world.state.subscriptions.get(row.subscription_id or "")
    return None if bought is None else CheckoutSubscription(**views.terms(world, bought))


def _event(row: HistoryRow) -> CheckoutEvent:
    # Numbers stay numbers this way, which as texts of the model they would not.
    return codec.load(CheckoutEvent, event_data(row))  # type: ignore[no-any-return]


def event_data(row: HistoryRow) -> dict[str, Any]:
    """An entry of a history as the API shows it."""
    return {
        "id": row.id,
        "title": row.title,
        "code": row.code,
        "status": row.status,
        "timestamp": dump_datetime(row.at),
        "metadata": row.metadata,
    }
