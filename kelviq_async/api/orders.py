"""Orders: what customers bought and paid, first payments and renewals alike."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any

from ..model import Model, OpenEnum, field, model
from ..request import Namespace, Page, Request, call, get, pages
from .customers import BillingAddress
from .periods import BillingType
from .plans import CatalogPlan
from .products import Product
from .subscriptions import SubscriptionLicense


class OrderStatus(OpenEnum):
    """What became of an order. Lists never show PENDING ones."""

    PENDING = "PENDING"
    COMPLETE = "COMPLETE"
    FAILED = "FAILED"
    REFUNDED = "REFUNDED"
    PARTIAL_REFUND = "PARTIAL_REFUND"
    CANCELLED = "CANCELLED"
    FRAUDULENT = "FRAUDULENT"


class OrderEventStatus(OpenEnum):
    """How a step in the life of an order went."""

    PENDING = "pending"
    SUCCESS = "success"
    FAILED = "failed"


@model
class OrderCustomer(Model):
    """Who placed an order.

    Attributes:
        customer_id: Your id of the customer.
        name: Name, if known.
        email: Email address, if known.
    """

    customer_id: str
    name: str | None = None
    email: str | None = field(default=None, secret=True)


@model
class OrderSubscription(Model):
    """The subscription an order belongs to; all is None where there is none.

    Attributes:
        id: Kelviq's id of the subscription.
        status: State of the subscription, such as ``"active"``.
        amount: What it costs each time, in whole currency (``261.00`` is 261 dollars).
        currency: Three-letter currency code.
        interval: Time between two payments, such as ``"month"``.
        currency_symbol: Sign of the currency, such as ``"$"``.
        next_invoice_date: When the next invoice is due, if one is.
    """

    id: str
    status: str
    amount: Decimal | None = None
    currency: str | None = None
    interval: str
    currency_symbol: str
    next_invoice_date: datetime | None = None


@model
class OrderPaymentMethod(Model):
    """How an order was paid.

    Attributes:
        payment_method_type: Kind of payment, such as ``"card"``.
        payment_method_name: Brand or provider, such as ``"visa"``, if known.
        last4: Last four digits of the card, if it was one.
    """

    payment_method_type: str
    payment_method_name: str | None = None
    last4: str | None = None


@model
class Order(Model):
    """Something a customer bought. Amounts stand twice: in whole currency and in its smallest unit.

    Attributes:
        id: Kelviq's id, such as ``"ORD-20260729103000-AB3K9"``.
        customer: Who bought it.
        product: The product.
        status: What became of it.
        paid_at: When it was paid, if it was.
        amount_subtotal: Price before discount and tax, in whole currency.
        amount_discount: Discount, in whole currency.
        amount_tax: Tax, in whole currency.
        amount_total: What was to be paid, in whole currency.
        sale_currency: Three-letter currency code.
        amount_subtotal_units: Price before discount and tax, in the smallest unit, such as cents.
        amount_discount_units: Discount, in the smallest unit.
        amount_tax_units: Tax, in the smallest unit.
        amount_total_units: What was to be paid, in the smallest unit.
        refunded_total_units: What was given back so far, in the smallest unit.
        sale_currency_symbol: Sign of the currency, such as ``"$"``.
        billing_address: Where the customer is billed.
        plan: The plan.
        billing_type: Whether it belongs to a subscription or was paid once.
        license: Licences that came with it.
        is_trial: Whether it started a free trial.
        subscription: The subscription it belongs to; all of it is None where there is none.
        invoice_id: Id of the invoice, if there is one.
        custom_fields_data: What the customer entered in your own checkout fields.
        payment_method: How it was paid, or None before the first successful payment.
    """

    id: str
    customer: OrderCustomer
    product: Product
    status: OrderStatus
    paid_at: datetime | None = None
    amount_subtotal: Decimal | None = None
    amount_discount: Decimal
    amount_tax: Decimal | None = None
    amount_total: Decimal | None = None
    sale_currency: str
    amount_subtotal_units: int | None = None
    amount_discount_units: int
    amount_tax_units: int | None = None
    amount_total_units: int | None = None
    refunded_total_units: int
    sale_currency_symbol: str
    billing_address: BillingAddress | None = field(default=None, secret=True)
    plan: CatalogPlan
    billing_type: BillingType | None = None
    license: list[SubscriptionLicense]
    is_trial: bool
    subscription: OrderSubscription
    invoice_id: str | None = None
    custom_fields_data: dict[str, Any]
    payment_method: OrderPaymentMethod | None = None


@model
class OrderEvent(Model):
    """A step in the life of an order, such as its payment.

    Attributes:
        id: Kelviq's id of the step.
        order: Id of the order it happened to; may be another one of the same subscription.
        title: What happened, to show.
        code: What happened, for programs, such as ``"order.completed"``.
        status: How it went.
        timestamp: When it happened.
        metadata: More about it.
    """

    id: str = field(form="id")
    order: str
    title: str
    code: str
    status: OrderEventStatus
    timestamp: datetime
    metadata: dict[str, Any]


@get("/orders/")
class ListOrders(Request[Page[Order]]):
    """One page of your orders, last paid first, without PENDING ones. Kelviq API: GET /orders/.

    Args:
        search: Part of an order id, or of a customer's name, email or id.
        status: Only orders with this status.
        billing_type: Only orders of subscriptions, or only those paid once.
        is_renewal: Only renewals, or with False only first payments.
        start_date: Only orders paid on this day and later.
        end_date: Only orders paid on this day and earlier.
        page: Which page, from 1.
        page_size: Rows on a page, at most 100; Kelviq takes 10 where none is given.
    """

    search: str | None = field(default=None, kw_only=True, secret=True)
    status: OrderStatus | None = field(default=None, kw_only=True)
    billing_type: BillingType | None = field(default=None, kw_only=True)
    is_renewal: bool | None = field(default=None, kw_only=True)
    start_date: date | None = field(default=None, kw_only=True)
    end_date: date | None = field(default=None, kw_only=True)
    page: int | None = field(default=None, kw_only=True)
    page_size: int | None = field(default=None, kw_only=True)


@get("/orders/{order_id}/")
class RetrieveOrder(Request[Order]):
    """Read one order. Kelviq API: GET /orders/{id}/.

    Args:
        order_id: The order's id.

    Raises:
        NotFound: There is no such order, or nobody has tried to pay it yet.
    """

    order_id: str


@get("/orders/{order_id}/events/")
class ListOrderEvents(Request[Page[OrderEvent]]):
    """One page of what happened to an order, newest first. Kelviq API: GET /orders/{id}/events/.

    Tells of all orders of the same subscription, not only of this one.

    Args:
        order_id: The order's id.
        page: Which page, from 1.
        page_size: Rows on a page, at most 100; Kelviq takes 10 where none is given.

    Raises:
        NotFound: There is no such order.
    """

    order_id: str
    page: int | None = field(default=None, kw_only=True)
    page_size: int | None = field(default=None, kw_only=True)


class Orders(Namespace):
    """What customers bought and paid."""

    list = call(ListOrders)
    each = pages(ListOrders)
    retrieve = call(RetrieveOrder)
    events = call(ListOrderEvents)
    each_event = pages(ListOrderEvents)
