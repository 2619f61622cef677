"""Checkout: the hosted page where somebody buys, and what became of each visit."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from ..model import UNSET, Model, OpenEnum, Unset, field, model
from ..request import Namespace, Page, Request, call, get, pages, post
from .customers import BillingAddress
from .orders import OrderCustomer, OrderPaymentMethod, OrderStatus
from .periods import BillingType, ChargePeriod, FeatureQuantity
from .products import Product


class CheckoutStatus(OpenEnum):
    """Where a checkout stands."""

    OPEN = "open"
    PROCESSING = "processing"
    SUCCESS = "success"
    EXPIRED = "expired"
    CLOSED = "closed"


class CheckoutTaxBehavior(OpenEnum):
    """Whether the amounts of a checkout include taxes."""

    INCLUSIVE = "INCLUSIVE"
    EXCLUSIVE = "EXCLUSIVE"


class EventStatus(OpenEnum):
    """How a step went."""

    PENDING = "pending"
    SUCCESS = "success"
    FAILED = "failed"


@model
class CheckoutLink(Model):
    """Where to send the buyer.

    Attributes:
        checkout_url: Address of the checkout page; whoever has it can pay there.
        checkout_session_id: Id of the session.
    """

    checkout_url: str = field(secret=True)
    checkout_session_id: str


@model
class CheckoutOrder(Model):
    """The order a checkout led to.

    Attributes:
        id: Order number.
        status: Where the order stands.
        paid_at: When it was paid.
        created_on: When it was made.
        billing_type: Whether it is paid again and again, or once.
        is_trial: Whether it starts with a free trial.
        amount_subtotal: Before discount and taxes.
        amount_discount: What was taken off.
        amount_tax: Taxes.
        amount_total: What was to be paid.
        sale_currency: Three-letter code.
        sale_currency_symbol: Its symbol.
        invoice_id: Number of the invoice.
    """

    id: str
    status: OrderStatus
    paid_at: datetime | None = None
    created_on: datetime
    billing_type: BillingType | None = None
    is_trial: bool
    amount_subtotal: Decimal | None = None
    amount_discount: Decimal
    amount_tax: Decimal | None = None
    amount_total: Decimal | None = None
    sale_currency: str
    sale_currency_symbol: str
    invoice_id: str | None = None


@model
class CheckoutSubscription(Model):
    """The subscription a checkout led to.

    Attributes:
        id: Subscription id.
        recurrence: How often it charges, in words.
        billing_period_start_time: Start of the current period.
        billing_period_end_time: End of the current period.
        start_date: First day.
        end_date: Last day, if it has one.
        status: Where it stands.
        amount: What each period costs.
        currency: Three-letter code.
        trial_days_remaining: Days left of the free trial.
        billing_type: Whether it is paid again and again, or once.
        recurrence_unit: How many ``recurrence_type`` a period has.
        recurrence_type: Such as ``"MONTH"``.
    """

    id: str
    recurrence: str | None = None
    billing_period_start_time: datetime | None = None
    billing_period_end_time: datetime | None = None
    start_date: date
    end_date: date | None = None
    status: str
    amount: Decimal | None = None
    currency: str | None = None
    trial_days_remaining: int
    billing_type: BillingType
    recurrence_unit: int | None = None
    recurrence_type: str | None = None


@model
class CheckoutSession(Model):
    """A visit to the checkout page.

    Attributes:
        id: Session id.
        customer: Who buys.
        product: What is bought.
        billing_address: Where they are billed.
        discount_code: Code in use.
        tax_id: The buyer's tax id.
        currency: Three-letter code.
        currency_symbol: Its symbol.
        status: Where it stands.
        created_on: When it was made.
        selected_data: What the buyer chose.
        offering_data: What was on offer.
        data: What Kelviq keeps with it.
        custom_fields_data: What the buyer filled in.
        metadata: What you noted.
        customization: How the page looks.
        trial_period: Days of free trial.
    """

    id: str
    customer: OrderCustomer
    product: Product
    billing_address: BillingAddress | None = field(default=None, secret=True)
    discount_code: str | None = None
    tax_id: str | None = field(default=None, secret=True)
    currency: str | None = None
    currency_symbol: str
    status: CheckoutStatus
    created_on: datetime
    selected_data: dict[str, Any] = field(secret=True)
    offering_data: dict[str, Any] = field(secret=True)
    data: dict[str, Any] = field(secret=True)
    custom_fields_data: dict[str, Any] = field(secret=True)
    metadata: dict[str, Any]
    customization: dict[str, Any]
    trial_period: int


@model
class CheckoutSessionDetail(CheckoutSession):
    """A visit to the checkout page, with what it led to.

    Attributes:
        order: The order, once there is one.
        subscription: The subscription, once there is one.
        payment_method: How it was paid.
    """

    order: CheckoutOrder | None = None
    subscription: CheckoutSubscription | None = None
    payment_method: OrderPaymentMethod | None = None


@model
class CheckoutEvent(Model):
    """One thing that happened in a checkout.

    Attributes:
        id: Its id.
        title: What happened, in words.
        code: What happened, such as ``"checkout_session.created"``.
        status: How it went.
        timestamp: When.
        metadata: More about it.
    """

    id: str = field(form="id")
    title: str
    code: str
    status: EventStatus
    timestamp: datetime
    metadata: dict[str, Any]


@post("/checkout/")
class CreateCheckoutSession(Request[CheckoutLink]):
    """Open a checkout and get the address to send the buyer to. Kelviq API: POST /checkout/.

    An unknown ``customer_id`` becomes a new customer.

    Args:
        plan_identifier: Your short name of the plan.
        charge_period: How often it charges.
        success_url: Where the buyer goes after paying.
        customer_id: Your own id of the buyer.
        features: Quantities of features to buy.
        ip_address: The buyer's address, for prices by country.
        cancel_url: Where the buyer goes without paying.
        plans_enabled: Plans the buyer may switch between, comma-separated.
        currency_code: Three-letter code.
        custom_amount: Amount for plans that let it be chosen.
        tax_behavior: Whether amounts include taxes.
        discounts_enabled: Whether codes can be typed in.
        discount_code: Code to start with.
        lock_email: Whether the buyer's email cannot be changed.
        default_billing_country: Two-letter code to start with.
        metadata: Your own notes.
        email: Email of the buyer; an unknown one becomes a new customer.
        offering_id: Offering to take prices from.
        pricing_table_id: Pricing table to take prices from.
        rule_id: Pricing rule to apply.
        trial_period: Days of free trial, in place of the plan's.

    Raises:
        BadRequest: The plan is unknown or not published, or has no such price.
    """

    plan_identifier: str
    charge_period: ChargePeriod
    success_url: str
    customer_id: str | None | Unset = field(default=UNSET, kw_only=True)
    features: Sequence[FeatureQuantity] | None | Unset = field(default=UNSET, kw_only=True)
    ip_address: str | None | Unset = field(default=UNSET, kw_only=True, secret=True)
    cancel_url: str | None | Unset = field(default=UNSET, kw_only=True)
    plans_enabled: str | None | Unset = field(default=UNSET, kw_only=True)
    currency_code: str | None | Unset = field(default=UNSET, kw_only=True)
    custom_amount: Decimal | None | Unset = field(default=UNSET, kw_only=True, form="number")
    tax_behavior: CheckoutTaxBehavior | None | Unset = field(default=UNSET, kw_only=True)
    discounts_enabled: bool | None | Unset = field(default=UNSET, kw_only=True)
    discount_code: str | None | Unset = field(default=UNSET, kw_only=True)
    lock_email: bool | None | Unset = field(default=UNSET, kw_only=True)
    default_billing_country: str | None | Unset = field(default=UNSET, kw_only=True)
    metadata: dict[str, Any] | None | Unset = field(default=UNSET, kw_only=True)
    email: str | None | Unset = field(default=UNSET, kw_only=True, secret=True, provisional="guides")
    offering_id: str | None | Unset = field(default=UNSET, kw_only=True, provisional="guides")
    pricing_table_id: str | None | Unset = field(default=UNSET, kw_only=True, provisional="guides")
    rule_id: str | None | Unset = field(default=UNSET, kw_only=True, provisional="official SDKs")
    trial_period: int | None | Unset = field(default=UNSET, kw_only=True, provisional="official SDKs")


@get("/checkout/sessions/")
class ListCheckoutSessions(Request[Page[CheckoutSession]]):
    """One page of checkouts. Kelviq API: GET /checkout/sessions/.

    Args:
        search: Part of an id, a name or an email.
        status: Only those that stand so.
        start_date: Only those from this day on.
        end_date: Only those up to this day.
        page: Which page, from 1.
        page_size: Rows on a page, at most 100; Kelviq takes 10 where none is given.
    """

    search: str | None = field(default=None, kw_only=True, secret=True)
    status: CheckoutStatus | None = field(default=None, kw_only=True)
    start_date: date | None = field(default=None, kw_only=True)
    end_date: date | None = field(default=None, kw_only=True)
    page: int | None = field(default=None, kw_only=True)
    page_size: int | None = field(default=None, kw_only=True)


@get("/checkout/sessions/{session_id}/")
class RetrieveCheckoutSession(Request[CheckoutSessionDetail]):
    """Read one checkout. Kelviq API: GET /checkout/sessions/{session_id}/.

    Args:
        session_id: Id of the session.

    Raises:
        NotFound: There is no such session.
    """

    session_id: str


@get("/checkout/sessions/{session_id}/events/")
class ListCheckoutSessionEvents(Request[Page[CheckoutEvent]]):
    """One page of what happened in a checkout. Kelviq API: GET /checkout/sessions/{session_id}/events/.

    Args:
        session_id: Id of the session.
        page: Which page, from 1.
        page_size: Rows on a page, at most 100; Kelviq takes 10 where none is given.

    Raises:
        NotFound: There is no such session.
    """

    session_id: str
    page: int | None = field(default=None, kw_only=True)
    page_size: int | None = field(default=None, kw_only=True)


class Checkout(Namespace):
    """The hosted page where somebody buys."""

    create_session = call(CreateCheckoutSession)
    sessions = call(ListCheckoutSessions)
    each_session = pages(ListCheckoutSessions)
    retrieve_session = call(RetrieveCheckoutSession)
    events = call(ListCheckoutSessionEvents)
    each_event = pages(ListCheckoutSessionEvents)
