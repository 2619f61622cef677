"""Charges: one-time payments from a saved card."""

from __future__ import annotations

from ... import codec
from ...api.charges import ChargePlan, ChargeProduct, ChargeResult, CreateCharge
from .. import billing, cards, paying, views
from ..catalog import sellable
from ..core import Core
from ..refusals import detail
from ..registry import handles
from .checkout import quantities_of
from .subscriptions import features_of


@handles(CreateCharge, status=201)
def create_charge(world: Core, request: CreateCharge) -> ChargeResult:
    """Needs a saved card that pays; the currency is the customer's, if they have paid in one before."""
    if request.charge_period != "ONE_TIME":
        raise detail(400, "Only ONE_TIME can be charged: recurring plans are sold as subscriptions.")
    customer = world.state.customers.get(request.customer_id)
    if customer is None or customer.archived:
        raise detail(400, "Customer does not exist.")
    plan = sellable(world, request.plan_identifier)
    known = billing.of_customer(world, customer.customer_id)
    own, wanted = known[-1].currency if known else None, request.currency_code or None
    if own and wanted and own.upper() != wanted.upper():
        raise detail(400, f"The customer's currency is {own}.")
    method = cards.paying(world, customer.customer_id)
    sale = billing.sale(
        world,
        plan,
        "ONE_TIME",
        currency=wanted or own,
        quantities=quantities_of(request.features or ()),
    )
    row = paying.buy(world, sale, customer.customer_id, method)
    product = world.state.products[plan.product_id]
    return ChargeResult(
        **{**views.terms(world, row), "currency": row.currency, "billing_type": "ONE_TIME"},
        product=ChargeProduct(name=product.name, id=product.id, identifier=product.identifier),
        plan=ChargePlan(name=plan.name, identifier=plan.identifier),
        features=[codec.dump(each, nulls=True) for each in features_of(world, row, plan)],
        customer_id=row.customer_id,
    )
