"""Orders: found, and what happened to them."""

from __future__ import annotations

from typing import Any

from ... import codec
from ...api.orders import (
    ListOrderEvents,
    ListOrders,
    Order,
    OrderEvent,
    OrderStatus,
    OrderSubscription,
    RetrieveOrder,
)
from ...api.periods import BillingType
from ...api.products import Product
from .. import billing, views
from ..catalog import plan_version
from ..core import Core
from ..periods import recurrence
from ..pricing import from_units
from ..refusals import not_found
from ..registry import Listed, handles
from ..state import HistoryRow, OrderRow
from .checkout import event_data
from .plans import shown as shown_plan
from .products import parts

PENDING = "PENDING"


@handles(ListOrders)
def list_orders(world: Core, request: ListOrders) -> Listed[OrderRow]:
    """Last paid first, then those that nobody has paid; never PENDING ones."""
    rows = [row for row in reversed(world.state.orders.values()) if _matches(world, row, request)]
    rows.sort(key=lambda row: -1.0 if row.paid_at is None else row.paid_at.timestamp(), reverse=True)
    return Listed(rows, lambda row: shown(world, row))


@handles(RetrieveOrder)
def retrieve_order(world: Core, request: RetrieveOrder) -> Order:
    """One order; 404 also for one that is PENDING."""
    return shown(world, known(world, request.order_id))


@handles(ListOrderEvents)
def list_events(world: Core, request: ListOrderEvents) -> Listed[HistoryRow]:
    """Newest first, of all orders of the same subscription, over all its updates."""
    row = known(world, request.order_id)
    bought = world.state.subscriptions.get(row.subscription_id or "")
    own = {row.id}
    if bought is not None:
        lineage = {
            each.id for each in billing.of_customer(world, row.customer_id) if each.lineage == bought.lineage
        }
        own |= {each.id for each in world.state.orders.values() if each.subscription_id in lineage}
    return Listed([each for each in reversed(world.state.history) if each.subject in own], _event)


def known(world: Core, order_id: str) -> OrderRow:
    """An order that somebody has tried to pay, or 404."""
    row = world.state.orders.get(order_id)
    if row is None or row.status == PENDING:
        raise not_found("Order")
    return row


def shown(world: Core, row: OrderRow) -> Order:
    """An order as the API shows it."""
    bought = world.state.subscriptions.get(row.subscription_id or "")
    return Order(
        id=row.id,
        customer=views.buyer(world.state.customers[row.customer_id]),
        product=Product(**parts(world, world.state.products[row.product_id])),
        status=OrderStatus.other(row.status),
        paid_at=row.paid_at,
        amount_subtotal=from_units(row.subtotal_units, row.currency),
        amount_discount=from_units(row.discount_units, row.currency),
        amount_tax=from_units(row.tax_units, row.currency),
        amount_total=from_units(row.total_units, row.currency),
        sale_currency=row.currency,
        amount_subtotal_units=row.subtotal_units,
        amount_discount_units=row.discount_units,
        amount_tax_units=row.tax_units,
        amount_total_units=row.total_units,
        refunded_total_units=row.refunded_units,
        sale_currency_symbol=views.symbol(row.currency),
        billing_address=views.address(row.billing_address),
        plan=shown_plan(world, plan_version(world, row.plan_identifier, row.plan_version)),
        billing_type=BillingType.other(row.billing_type),
        license=views.licenses_of(world, bought),
        is_trial=row.is_trial,
        subscription=_subscription(world, row),
        invoice_id=row.invoice_id,
        custom_fields_data={},
        payment_method=views.paid_by(world, row.payment_method_id),
    )


def matches(world: Core, row: OrderRow, search: str | None, *further: str) -> bool:
    """Whether a search text is in an order's id, in what is known of its customer, or in further texts."""
    customer = world.state.customers[row.customer_id]
    texts = (row.id, customer.customer_id, customer.name or "", customer.email or "", *further)
    return any((search or "").lower() in text.lower() for text in texts)


def _matches(world: Core, row: OrderRow, request: ListOrders) -> bool:
    paid = row.paid_at.date() if row.paid_at else None
    return (
        row.status != PENDING
        and (request.status is None or row.status == request.status)
        and (request.billing_type is None or row.billing_type == request.billing_type)
        and (request.is_renewal is None or row.is_renewal == request.is_renewal)
        and (request.start_date is None or (paid is not None and paid >= request.start_date))
        and (request.end_date is None or (paid is not None and paid <= request.end_date))
        and matches(world, row, request.search)
    )


def _subscription(world: Core, row: OrderRow) -> OrderSubscription:
    """What was bought, as it stands now; one-time purchases have neither interval nor next invoice."""
    bought = world.state.subscriptions[row.subscription_id or ""]
    interval = recurrence(bought.charge_period)
    renews = bought.status in billing.GRANTING and bought.cancel_at is None
    return OrderSubscription(
        id=bought.id,
        status=bought.status,
        amount=views.amount(bought),
        currency=bought.currency.lower(),
        interval=interval.text if interval else "",
        currency_symbol=views.symbol(bought.currency),
        next_invoice_date=bought.period_end if renews else None,
    )


def _event(row: HistoryRow) -> OrderEvent:
    data: dict[str, Any] = {"order": row.subject, **event_data(row)}
    return codec.load(OrderEvent, data)  # type: ignore[no-any-return]
