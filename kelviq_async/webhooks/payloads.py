"""What events are about, as webhooks spell it: snake_case, unlike the answers of the REST API."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any

from ..api.checkout import CheckoutStatus
from ..api.orders import OrderStatus
from ..api.payment_methods import PaymentMethodStatus
from ..api.periods import BillingType
from ..api.prices import ThresholdType
from ..api.refunds import RecordedRefundReason, RefundStatus
from ..api.subscriptions import SubscriptionStatus
from ..model import OpenEnum, field, model
from .parts import Address, FeatureBrief, OfCustomer, Payload, PlanBrief, ProductBrief, Record


class InvoiceStatus(OpenEnum):
    """Where an invoice stands. The REST API has no invoices; they occur in webhooks only."""

    OPEN = "OPEN"
    PAID = "PAID"


@model
class CustomerPayload(Payload):
    """A customer.

    Attributes:
        id: Kelviq's id.
        customer_id: Your own id.
        name: Name, if known.
        email: Email address, if known.
        details: What Kelviq itself notes.
        metadata: What you noted.
        billing_address: Where they are billed.
        subscriptions: How many subscriptions they have.
        created_on: When they were created.
        modified_on: When they last changed.
    """

    id: str
    customer_id: str = field(form="id")
    name: str | None = None
    email: str | None = field(default=None, secret=True)
    details: dict[str, Any]
    metadata: dict[str, Any]
    billing_address: Address | None = field(default=None, secret=True)
    subscriptions: int
    created_on: datetime
    modified_on: datetime

    @property
    def external_customer_id(self) -> str | None:
        """Your own id of the customer."""
        return self.customer_id


@model
class CheckoutPayload(Record):
    """A checkout session. It does not tell which subscription came of it.

    Attributes:
        id: Kelviq's id of the session.
        status: Where it stands; ``success`` once paid.
        checkout_type: Whether what was bought is paid again and again, or once.
        customer_id: Kelviq's id of the customer, not yours.
        amount: What was paid, in whole currency.
        amount_units: The same in the currency's smallest unit, such as cents.
        currency: Three-letter currency code, in either case.
        discount_code: The code that was used, or an empty text.
        features: Quantities of features that were bought, if any.
        plan: What was bought.
        product: The product the plan belongs to.
        billing_address: The address given for this purchase.
        metadata: What you noted when you made the session.
        data: How the session was set up, addresses to return to among it.
    """

    id: str
    status: CheckoutStatus
    checkout_type: BillingType
    customer_id: str
    amount: Decimal
    amount_units: int
    currency: str
    discount_code: str | None = None
    features: list[Any] | None = None
    plan: PlanBrief
    product: ProductBrief
    billing_address: Address | None = field(default=None, secret=True)
    metadata: dict[str, Any]
    data: dict[str, Any] = field(secret=True)


@model
class OrderPayload(Record):
    """An order: a first payment, a renewal, or a one-time purchase.

    Attributes:
        id: Kelviq's id.
        status: What became of it.
        billing_type: Whether it is paid again and again, or once.
        customer_id: Kelviq's id of the customer, not yours.
        is_renewal: Whether it renews a subscription.
        paid_at: When it was paid, if it was.
        amount_total: What it comes to, in whole currency.
        amount_total_units: The same in the currency's smallest unit, such as cents.
        currency: Three-letter currency code, in either case.
        subscription_id: The subscription it belongs to, if any.
        product: The product the plan belongs to.
        plan: What was bought.
        features: Quantities of features that were bought, if any.
    """

    id: str
    status: OrderStatus
    billing_type: BillingType
    customer_id: str
    is_renewal: bool
    paid_at: datetime | None = None
    amount_total: Decimal
    amount_total_units: int
    currency: str
    subscription_id: str | None = None
    product: ProductBrief
    plan: PlanBrief
    features: list[Any] | None = None


@model
class SubscriptionPayload(Record):
    """A subscription. Do not hold its amount against its units: published examples disagree.

    Attributes:
        id: Kelviq's id.
        status: Where it stands; one that ended is ``canceled``, with one "l".
        plan: What was subscribed to.
        product: The product the plan belongs to.
        amount: What it costs each time, in whole currency.
        amount_units: In the currency's smallest unit, such as cents.
        currency: Three-letter currency code, in either case.
        recurrence: Time between two payments, such as ``"1 month"``, or an empty text.
        start_date: Day it began.
        end_date: Day it ends, if that is settled.
        billing_period_start_time: Start of the period that is paid for.
        billing_period_end_time: End of the period that is paid for.
        trial_start: Start of the free trial, if there is one.
        trial_end: End of the free trial, if there is one.
        features: Quantities of features that were bought, if any.
    """

    id: str
    status: SubscriptionStatus
    plan: PlanBrief
    product: ProductBrief
    amount: Decimal
    amount_units: int
    currency: str
    recurrence: str
    start_date: date
    end_date: date | None = None
    billing_period_start_time: datetime | None = None
    billing_period_end_time: datetime | None = None
    trial_start: datetime | None = None
    trial_end: datetime | None = None
    features: list[Any] | None = None


@model
class InvoicePayload(Record):
    """An invoice.

    Attributes:
        id: Kelviq's id.
        status: Where it stands.
        paid_at: When it was paid, if it was.
        amount_total: What it comes to, in whole currency.
        amount_total_units: The same in the currency's smallest unit, such as cents.
        currency: Three-letter currency code, in either case.
        due_date: When it is due, if that is settled.
        order_id: The order it belongs to, if any.
        customer_id: Kelviq's id of the customer, not yours.
        subscription_id: The subscription it belongs to, if any.
        product: What is charged for.
    """

    id: str
    status: InvoiceStatus
    paid_at: datetime | None = None
    amount_total: Decimal
    amount_total_units: int
    currency: str
    due_date: date | None = None
    order_id: str | None = None
    customer_id: str
    subscription_id: str | None = None
    product: ProductBrief


@model
class RefundPayload(Record):
    """Money given back.

    Attributes:
        id: Kelviq's id.
        status: How far it has come.
        amount: Amount, in whole currency.
        amount_units: The same in the currency's smallest unit, such as cents.
        currency: Three-letter currency code, in either case.
        reason: Why, if it was noted.
        order_id: The order it was paid with.
        subscription_id: The subscription it belongs to, if any.
    """

    id: str
    status: RefundStatus
    amount: Decimal
    amount_units: int
    currency: str
    reason: RecordedRefundReason | None = None
    order_id: str
    subscription_id: str | None = None


@model
class PaymentMethodPayload(OfCustomer):
    """A card or account that a customer has saved.

    Attributes:
        id: Kelviq's id.
        customer_id: Your own id of the customer, unlike on orders and invoices.
        method_type: Kind of payment, such as ``"card"``.
        method_data: What is known of it: for a card its brand, last digits and expiry.
        is_default: Whether charges and renewals use it.
        status: Whether it can be used.
    """

    id: str = field(form="id")
    customer_id: str = field(form="id")
    method_type: str
    method_data: dict[str, Any] = field(secret=True)
    is_default: bool
    status: PaymentMethodStatus

    @property
    def external_customer_id(self) -> str | None:
        """Your own id of the customer."""
        return getattr(self.customer, "customer_id", None) or self.customer_id


@model
class UsageAlertPayload(Record):
    """The use of a meter that crossed a threshold.

    Attributes:
        id: Kelviq's id.
        feature: The meter.
        usage_limit: Units that may be used in the period, None for unlimited.
        current_usage: Units that were used.
        threshold_type: What the threshold counts: percent of the limit, or units.
        threshold_value: The threshold that was crossed.
        period_start_time: Start of the period that counts.
        period_end_time: Its end, or None where the meter is never reset.
        subscription_id: The subscription that grants the feature.
    """

    id: str
    feature: FeatureBrief
    usage_limit: int | None = None
    current_usage: int
    threshold_type: ThresholdType
    threshold_value: int
    period_start_time: datetime
    period_end_time: datetime | None = None
    subscription_id: str | None = None
