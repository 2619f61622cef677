"""Everything the emulator remembers, as plain rows that a snapshot can hold."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import attrs

# Rows are mutable and slotted: a world with 100,000 customers has to fit in a test machine's memory.


@attrs.define
class CustomerRow:
    """A customer; archived ones stay, as their ids are never released."""

    id: str
    customer_id: str
    created_on: datetime
    modified_on: datetime
    name: str | None = None
    email: str | None = None
    metadata: dict[str, Any] | None = None
    details: dict[str, Any] | None = None
    billing_address: dict[str, Any] | None = None
    archived: bool = False
    default_card: int | None = None
    """The payment method that charges and renewals use."""


@attrs.define
class ProductRow:
    """A product, its settings and its pictures."""

    id: str
    identifier: str
    name: str
    tax_code: str
    modified_on: datetime
    description: str = ""
    settings: dict[str, Any] = attrs.Factory(dict)
    images: list[dict[str, Any]] = attrs.Factory(list)
    archived: bool = False


@attrs.define
class FeatureRow:
    """A feature; only archiving changes it."""

    id: str
    identifier: str
    name: str
    feature_type: str
    modified_on: datetime
    description: str = ""
    feature_details: dict[str, Any] = attrs.Factory(dict)
    meter: dict[str, Any] = attrs.Factory(dict)
    metadata: dict[str, Any] = attrs.Factory(dict)
    archived: bool = False


@attrs.define
class PlanRow:
    """One version of a plan. ``state`` is draft, published, superseded or archived.

    ``prices`` and each value of ``features`` (by feature id) are in wire spelling, as they were sent.
    """

    id: str
    identifier: str
    product_id: str
    name: str
    version: int
    created_on: datetime
    modified_on: datetime
    state: str = "draft"
    description: str = ""
    metadata: dict[str, Any] = attrs.Factory(dict)
    is_visible: bool = True
    license: dict[str, Any] = attrs.Factory(dict)
    links: list[dict[str, Any]] = attrs.Factory(list)
    files: list[dict[str, Any]] = attrs.Factory(list)
    ordering: int | None = None
    prices: list[dict[str, Any]] = attrs.Factory(list)
    features: dict[str, dict[str, Any]] = attrs.Factory(dict)


@attrs.define
class CheckoutRow:
    """A visit to the checkout page."""

    id: str
    customer_id: str | None
    plan_identifier: str
    plan_version: int
    charge_period: str
    success_url: str
    created_on: datetime
    expires_on: datetime
    status: str = "open"
    email: str | None = None
    cancel_url: str | None = None
    currency: str = "USD"
    quantities: dict[str, int] = attrs.Factory(dict)
    metadata: dict[str, Any] = attrs.Factory(dict)
    options: dict[str, Any] = attrs.Factory(dict)
    discount_code: str | None = None
    billing_address: dict[str, Any] | None = None
    order_id: str | None = None
    subscription_id: str | None = None
    payment_method_id: int | None = None


@attrs.define
class SubscriptionRow:
    """A subscription or one-time purchase. ``lineage`` stays the same when an update makes a new row."""

    id: str
    lineage: str
    customer_id: str
    plan_identifier: str
    plan_version: int
    charge_period: str
    currency: str
    amount_units: int
    status: str
    anchor: datetime
    start_date: date
    period_start: datetime
    period_end: datetime | None
    created_on: datetime
    modified_on: datetime
    period_index: int = 0
    end_date: date | None = None
    trial_start: datetime | None = None
    trial_end: datetime | None = None
    quantities: dict[str, int] = attrs.Factory(dict)
    cancel_at: datetime | None = None
    canceled_at: datetime | None = None
    cancellation_reason: str | None = None
    cancellation_feedback: str | None = None
    cancellation_comment: str | None = None
    payment_method_id: int | None = None
    failed_attempts: int = 0
    next_attempt: datetime | None = None
    replaces: str | None = None
    expires_unpaid: datetime | None = None
    license_ids: list[str] = attrs.Factory(list)
    discount: dict[str, Any] | None = None
    price_version: int | None = None
    """The plan version its price comes from, where that is not ``plan_version``."""
    started: datetime | None = None
    """When the lineage began; unlike ``anchor``, no update moves it."""
    tax_behavior: str = "UNSPECIFIED"
    pending_units: int = 0
    """What the next invoice adds to the price, or takes off where it is below zero."""
    open_order: str | None = None
    """The renewal that is still to be paid, while it is past due."""
    proration: str | None = None
    """How an update that waits for its payment will be charged."""
    custom_amount: bool = False
    """Whether its price was agreed on in the checkout, so that no price of the plan takes its place."""


@attrs.define
class MeterRow:
    """How much of a meter one subscription lineage has used in one period."""

    lineage: str
    feature_id: str
    used: int = 0
    carried: int = 0
    period_start: datetime | None = None
    period_end: datetime | None = None
    rhythm: str = ""
    """When it starts anew, as the plan said when the period was set."""
    alerted: list[str] = attrs.Factory(list)
    """Thresholds that were told of in this period."""


@attrs.define
class UsageRow:
    """One usage report or event, in order of arrival.

    ``value`` is about ``feature_id``. An event that several features count has them all in ``counts``.
    """

    number: int
    at: datetime
    customer_id: str
    kind: str
    value: int
    feature_id: str | None = None
    event_name: str | None = None
    key: str | None = None
    resource_id: str | None = None
    counted: bool = True
    counts: dict[str, int] | None = None


@attrs.define
class OrderRow:
    """An order: one payment, or what became of it."""

    id: str
    customer_id: str
    product_id: str
    plan_identifier: str
    plan_version: int
    status: str
    billing_type: str
    currency: str
    created_on: datetime
    modified_on: datetime
    subtotal_units: int = 0
    discount_units: int = 0
    tax_units: int = 0
    total_units: int = 0
    refunded_units: int = 0
    paid_at: datetime | None = None
    subscription_id: str | None = None
    invoice_id: str | None = None
    is_trial: bool = False
    is_renewal: bool = False
    checkout_id: str | None = None
    payment_method_id: int | None = None
    billing_address: dict[str, Any] | None = None
    license_ids: list[str] = attrs.Factory(list)


@attrs.define
class InvoiceRow:
    """An invoice; ``status`` is OPEN, PAID or FAILED."""

    id: str
    customer_id: str
    product_id: str
    currency: str
    total_units: int
    status: str
    created_on: datetime
    modified_on: datetime
    paid_at: datetime | None = None
    order_id: str | None = None
    subscription_id: str | None = None


@attrs.define
class TransactionRow:
    """Money that moved, with the fee it cost."""

    id: str
    order_id: str
    kind: str
    status: str
    currency: str
    created_on: datetime
    total_units: int
    tax_units: int
    fee_units: int
    fee_parts: list[dict[str, Any]] = attrs.Factory(list)
    payment_method_id: int | None = None
    available_on: date | None = None


@attrs.define
class RefundRow:
    """Money that went back."""

    id: str
    order_id: str
    amount_units: int
    currency: str
    status: str
    created_on: datetime
    modified_on: datetime
    reason: str | None = None
    internal_note: str | None = None
    failure_reason: str | None = None


@attrs.define
class PaymentMethodRow:
    """A saved card. Kelviq numbers them."""

    id: int
    customer_id: str
    brand: str
    last4: str
    country: str
    exp_month: int
    exp_year: int
    created_on: datetime
    modified_on: datetime
    declines: bool = False
    is_default: bool = True
    status: str = "succeeded"


@attrs.define
class LicenseRow:
    """A licence key and the instances it is active on (instance id -> what it said of itself)."""

    id: str
    license_key: str
    customer_id: str
    plan_identifier: str
    plan_version: int
    created_on: datetime
    subscription_id: str | None = None
    order_id: str | None = None
    activation_limit: int | None = None
    activated_on: datetime | None = None
    expires_on: datetime | None = None
    enabled: bool = True
    instances: dict[str, dict[str, Any]] = attrs.Factory(dict)


@attrs.define
class HistoryRow:
    """One thing that happened to a checkout or an order."""

    id: int
    subject: str
    title: str
    code: str
    status: str
    at: datetime
    metadata: dict[str, Any] = attrs.Factory(dict)


@attrs.define
class PortalRow:
    """A customer's session in the portal."""

    token: str
    customer_id: str
    created_on: datetime


@attrs.define
class OrganizationRow:
    """An organisation that a partner provisioned."""

    user_id: int
    identifier: str
    slug: str
    external_id: str
    email: str
    client_key: str
    server_key: str


@attrs.define
class EndpointRow:
    """Somebody who wants to be told: an address, the event types, and the signing secret."""

    id: str
    url: str
    secret: str = attrs.field(repr=False)
    events: list[str]
    created_on: datetime


@attrs.define
class DeliveryRow:
    """One event for one endpoint, and how its delivery goes. ``payload`` is what is sent.

    ``next_attempt`` is None once nothing more happens by itself.
    """

    id: str
    endpoint_id: str
    event_id: str
    event_type: str
    payload: dict[str, Any] = attrs.field(repr=False)
    created_on: datetime
    attempts: int = 0
    next_attempt: datetime | None = None
    last_attempt: datetime | None = None
    status_code: int | None = None
    delivered: bool = False


@attrs.define
class AttemptRow:
    """One attempt of a delivery; ``number`` counts from 0, ``status_code`` is None where nobody answered."""

    id: str
    delivery_id: str
    number: int
    at: datetime
    status_code: int | None
    success: bool


@attrs.define
class PromotionRow:
    """A promotion or discount code: percent or a fixed amount off."""

    id: str
    code: str
    percentage: str | None = None
    amount: str | None = None
    currency: str | None = None
    country_code: str | None = None


@attrs.define(order=True)
class AgendaRow:
    """Something that is to happen at a moment of the world's clock; ordered by time, then by arrival."""

    at: datetime
    number: int
    kind: str = attrs.field(order=False)
    key: str = attrs.field(order=False)


@attrs.define
class State:
    """All rows. Dicts are keyed by the id their name says; order is order of creation."""

    customers: dict[str, CustomerRow] = attrs.Factory(dict)
    """By the merchant's own customer id."""
    products: dict[str, ProductRow] = attrs.Factory(dict)
    features: dict[str, FeatureRow] = attrs.Factory(dict)
    plans: dict[str, list[PlanRow]] = attrs.Factory(dict)
    """By identifier: all versions, oldest first."""
    checkouts: dict[str, CheckoutRow] = attrs.Factory(dict)
    subscriptions: dict[str, SubscriptionRow] = attrs.Factory(dict)
    subscriptions_of: dict[str, list[str]] = attrs.Factory(dict)
    """By the merchant's own customer id: ids of the customer's subscriptions, oldest first."""
    meters: dict[str, MeterRow] = attrs.Factory(dict)
    """By ``lineage feature_id``."""
    usage: list[UsageRow] = attrs.Factory(list)
    reported_events: dict[str, dict[str, Any]] = attrs.Factory(dict)
    """What was answered to an event, by its idempotency key."""
    orders: dict[str, OrderRow] = attrs.Factory(dict)
    invoices: dict[str, InvoiceRow] = attrs.Factory(dict)
    transactions: dict[str, TransactionRow] = attrs.Factory(dict)
    refunds: dict[str, RefundRow] = attrs.Factory(dict)
    payment_methods: dict[int, PaymentMethodRow] = attrs.Factory(dict)
    licenses: dict[str, LicenseRow] = attrs.Factory(dict)
    """By licence key, which is also what ``license_ids`` hold."""
    history: list[HistoryRow] = attrs.Factory(list)
    portals: dict[str, PortalRow] = attrs.Factory(dict)
    uploads: dict[str, str] = attrs.Factory(dict)
    """File key -> content, base64."""
    organizations: dict[str, OrganizationRow] = attrs.Factory(dict)
    endpoints: dict[str, EndpointRow] = attrs.Factory(dict)
    deliveries: dict[str, DeliveryRow] = attrs.Factory(dict)
    attempts: list[AttemptRow] = attrs.Factory(list)
    promotions: dict[str, PromotionRow] = attrs.Factory(dict)
    ip_countries: dict[str, str] = attrs.Factory(
        lambda: {"103.": "IN", "2.": "FR", "81.": "GB", "126.": "JP"}
    )
    """How IP addresses begin -> two-letter country; where nothing fits, it is the US."""
    tax_rates: dict[str, str] = attrs.Factory(dict)
    """Percent by two-letter country code; no tax is taken elsewhere."""
    billing_ready: bool = True
    """Whether billing is set up; without it plans cannot be published (428)."""
    agenda: list[AgendaRow] = attrs.Factory(list)
    """What is to happen, as a heap."""
    numbers: dict[str, int] = attrs.Factory(dict)
    """Counters for things that Kelviq numbers."""
