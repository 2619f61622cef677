"""Subscriptions: recurring agreements between a customer and a plan."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal

from ..model import UNSET, Model, OpenEnum, Unset, field, model
from ..request import Namespace, Page, Request, call, get, pages, post
from .deliverables import PlanFile, PlanLink
from .features import FeatureType
from .periods import BillingType, ChargePeriod, FeatureQuantity


class SubscriptionStatus(OpenEnum):
    """Where a subscription stands."""

    INCOMPLETE = "incomplete"
    INCOMPLETE_EXPIRED = "incomplete_expired"
    TRIALING = "trialing"
    ACTIVE = "active"
    PAST_DUE = "past_due"
    SUPERSEDED = "superseded"
    CANCELED = "canceled"
    EXPIRED = "expired"


class CancellationType(OpenEnum):
    """When a cancellation takes effect."""

    IMMEDIATE = "IMMEDIATE"
    CURRENT_PERIOD_ENDS = "CURRENT_PERIOD_ENDS"
    SPECIFIC_DATE = "SPECIFIC_DATE"


class CancellationFeedback(OpenEnum):
    """Why a customer leaves."""

    TOO_EXPENSIVE = "TOO_EXPENSIVE"
    MISSING_FEATURES = "MISSING_FEATURES"
    SWITCHED_SERVICE = "SWITCHED_SERVICE"
    UNUSED = "UNUSED"
    CUSTOMER_SERVICE = "CUSTOMER_SERVICE"
    LOW_QUALITY = "LOW_QUALITY"
    TOO_COMPLEX = "TOO_COMPLEX"
    OTHER = "OTHER"


class CancellationReason(OpenEnum):
    """Who ended a subscription."""

    CANCELLED_BY_CUSTOMER = "CANCELLED_BY_CUSTOMER"
    CANCELLED_BY_MERCHANT = "CANCELLED_BY_MERCHANT"
    CANCELLED_BY_PROVIDER = "CANCELLED_BY_PROVIDER"


class PaymentBehavior(OpenEnum):
    """When a paid change takes effect."""

    ACTIVATE_ON_PAYMENT = "activate_on_payment"


class ProrationBehavior(OpenEnum):
    """How a change in the middle of a period is charged."""

    IMMEDIATE_CHARGE = "IMMEDIATE_CHARGE"
    PRORATE_NEXT_INVOICE = "PRORATE_NEXT_INVOICE"
    NO_PRORATION = "NO_PRORATION"


@model
class SubscriptionPlan(Model):
    """The plan of a subscription.

    Attributes:
        name: Name to show.
        identifier: Your short name of the plan.
    """

    name: str
    identifier: str


@model
class UnitNames(Model):
    """What units of a feature are called.

    Attributes:
        singular: One of them.
        plural: Several of them.
    """

    singular: str
    plural: str


@model
class SubscriptionFeatureDetails(Model):
    """How a feature of a subscription is shown.

    Attributes:
        units: What its units are called.
    """

    units: UnitNames


@model
class SubscriptionFeature(Model):
    """A feature that a subscription grants.

    Attributes:
        id: Kelviq's id of the feature.
        identifier: Your short name of the feature.
        name: Name to show.
        description: What it is.
        feature_type: Switch, value or meter.
        details: What Kelviq itself notes.
        is_archived: Whether it was archived.
        metadata: What you noted.
        modified_on: When it last changed.
        meter: How its meter counts.
        feature_details: How it is shown.
        reset: How often its meter starts anew.
        reset_time: When in the period it does.
        value: How much is granted.
        hard_limit: Whether its meter stops at the limit.
    """

    id: str
    identifier: str
    name: str
    description: str
    feature_type: FeatureType
    details: dict[str, Any]
    is_archived: bool
    metadata: dict[str, Any]
    modified_on: datetime
    meter: dict[str, Any]
    feature_details: SubscriptionFeatureDetails
    reset: str | None = None
    reset_time: str | None = None
    value: int
    hard_limit: bool


@model
class SubscriptionLicense(Model):
    """A licence key that came with a subscription or an order.

    Attributes:
        id: Kelviq's id of the licence.
        license_key: The key; whoever has it can activate it.
        activated_on: When it was first activated.
        expires_on: When it ends.
        activation_usage: On how many instances it is active.
        activation_limit: On how many it may be.
        enabled: Whether it can be used.
    """

    id: str | None = None
    license_key: str | None = field(default=None, secret=True)
    activated_on: datetime | None = None
    expires_on: datetime | None = None
    activation_usage: int | None = None
    activation_limit: int | None = None
    enabled: bool | None = None


@model
class Subscription(Model):
    """A recurring agreement, or a one-time purchase that goes on granting.

    Attributes:
        id: Subscription id.
        external_subscription_id: Its id at the payment provider.
        start_date: First day.
        end_date: Last day, if it has one.
        billing_period_start_time: Start of the current period.
        billing_period_end_time: End of the current period.
        amount: What each period costs.
        recurrence: How often it charges: ``"month"``, ``"1 month"`` or nothing.
        currency: Three-letter code, in either case.
        status: Where it stands.
        product: Name of the product.
        plan: Its plan.
        features: What it grants.
        trial_days_remaining: Days left of the free trial.
        customer_id: Your own id of the customer.
        billing_type: Whether it is paid again and again, or once.
        recurrence_unit: How many ``recurrence_type`` a period has.
        recurrence_type: Such as ``"MONTH"``.
        files: Files that its buyer is given.
        links: Links that its buyer is given.
        license: Licence keys that came with it.
        canceled_at: When it was cancelled.
        cancellation_reason: Who ended it.
        cancellation_feedback: Why the customer leaves.
        cancellation_comment: Why, in the customer's words.
    """

    id: str
    external_subscription_id: str
    start_date: date
    end_date: date | None = None
    billing_period_start_time: datetime
    billing_period_end_time: datetime
    amount: Decimal
    recurrence: str
    currency: str
    status: SubscriptionStatus
    product: str
    plan: SubscriptionPlan
    features: list[SubscriptionFeature]
    trial_days_remaining: int
    customer_id: str
    billing_type: BillingType
    recurrence_unit: int | None = None
    recurrence_type: str | None = None
    files: list[PlanFile]
    links: list[PlanLink]
    license: list[SubscriptionLicense]
    canceled_at: datetime | None = None
    cancellation_reason: CancellationReason | None = None
    cancellation_feedback: CancellationFeedback | None = None
    cancellation_comment: str | None = None


@model
class ProductSummary(Model):
    """The product of something that was just bought.

    Attributes:
        name: Name to show.
        id: Kelviq's id of the product.
        identifier: Your short name of the product.
    """

    name: str
    id: str
    identifier: str


@model
class CreatedSubscription(Model):
    """A subscription as its creation answers it; the product is spelled out here.

    Attributes:
        id: Subscription id.
        start_date: First day.
        end_date: Last day, if it has one.
        billing_period_start_time: Start of the current period.
        billing_period_end_time: End of the current period.
        amount: What each period costs.
        recurrence: How often it charges, in words.
        currency: Three-letter code.
        status: Where it stands.
        product: Its product.
        plan: Its plan.
        features: What it grants.
        trial_days_remaining: Days left of the free trial.
        customer_id: Your own id of the customer.
        files: Files that its buyer is given.
        links: Links that its buyer is given.
        license: Licence keys that came with it.
        billing_type: Whether it is paid again and again, or once.
        recurrence_unit: How many ``recurrence_type`` a period has.
        recurrence_type: Such as ``"MONTH"``.
    """

    id: str
    start_date: date
    end_date: date | None = None
    billing_period_start_time: datetime
    billing_period_end_time: datetime
    amount: Decimal
    recurrence: str
    currency: str
    status: SubscriptionStatus
    product: ProductSummary
    plan: SubscriptionPlan
    features: list[Any]
    trial_days_remaining: int
    customer_id: str
    files: list[PlanFile]
    links: list[PlanLink]
    license: list[SubscriptionLicense]
    billing_type: BillingType = field(default=None, provisional="OpenAPI example")
    recurrence_unit: int | None = field(default=None, provisional="OpenAPI example")
    recurrence_type: str | None = field(default=None, provisional="OpenAPI example")


@model
class SubscriptionUpdate(Model):
    """What an update answers. The subscription's id may be another one from now on.

    Attributes:
        subscription_id: Id of the subscription that counts once the update is in force.
    """

    subscription_id: str


@model
class UpdatePreview(Model):
    """What an update would cost. No answer of this kind is documented: all of it is in ``extra``."""


@model
class CancelResult(Model):
    """What a cancellation answers.

    Attributes:
        message: What happened, in words.
    """

    message: str


@get("/subscriptions/")
class ListSubscriptions(Request[Page[Subscription]]):
    """One page of subscriptions. Kelviq API: GET /subscriptions/.

    Without ``status`` each agreement comes once, as it is now; with it every record that matches
    comes, old ones too.

    Args:
        customer_id: Only those of this customer of yours.
        status: Only those that stand so; several joined by commas.
        start_date_after: Only those that started after this moment.
        start_date_before: Only those that started before this moment.
        modified_on_after: Only those changed after this moment.
        modified_on_before: Only those changed before this moment.
        page: Which page, from 1.
        page_size: Rows on a page, at most 100; Kelviq takes 10 where none is given.
    """

    customer_id: str | None = field(default=None, kw_only=True)
    status: str | None = field(default=None, kw_only=True)
    start_date_after: datetime | None = field(default=None, kw_only=True, provisional="official SDKs")
    start_date_before: datetime | None = field(default=None, kw_only=True, provisional="official SDKs")
    modified_on_after: datetime | None = field(default=None, kw_only=True, provisional="official SDKs")
    modified_on_before: datetime | None = field(default=None, kw_only=True, provisional="official SDKs")
    page: int | None = field(default=None, kw_only=True)
    page_size: int | None = field(default=None, kw_only=True)


@get("/subscriptions/{subscription_id}/")
class RetrieveSubscription(Request[Subscription]):
    """Read one subscription. Kelviq API: GET /subscriptions/{subscriptionId}/.

    Args:
        subscription_id: Id of the subscription.

    Raises:
        NotFound: There is no such subscription.
    """

    subscription_id: str


@post("/subscriptions/create/")
class CreateSubscription(Request[CreatedSubscription]):
    """Subscribe a customer without a checkout. Kelviq API: POST /subscriptions/create/.

    Args:
        plan_identifier: Your short name of the plan.
        charge_period: How often it charges.
        customer_id: Your own id of the customer.
        success_url: Where the customer goes after paying, if that is needed.
        features: Quantities of features to buy.
        ip_address: The customer's address, for prices by country.

    Raises:
        BadRequest: The customer or plan is unknown, or there is no such price.
    """

    plan_identifier: str
    charge_period: ChargePeriod
    customer_id: str | None
    success_url: str | None | Unset = field(default=UNSET, kw_only=True)
    features: Sequence[FeatureQuantity] | None | Unset = field(default=UNSET, kw_only=True)
    ip_address: str | None | Unset = field(default=UNSET, kw_only=True, secret=True)


@post("/subscriptions/{subscription_id}/update/")
class UpdateSubscription(Request[SubscriptionUpdate]):
    """Move a subscription to another plan or period.

    Kelviq API: POST /subscriptions/{subscriptionId}/update/.

    The answer may name a different subscription: go on with that id. With ``payment_behavior``
    set, an answer does not mean that the change is in force: the old subscription stays active
    until the new one is paid.

    Args:
        subscription_id: Id of the subscription.
        plan_identifier: Your short name of the plan to move to.
        charge_period: How often it charges from then on.
        features: Quantities of features to buy.
        ip_address: The customer's address, for prices by country.
        trial_end: ``"now"``, or a time to come at which the trial ends.
        payment_behavior: When a change that costs takes effect.
        proration_behavior: How the rest of the running period is charged.
        offering_id: Offering to take prices from.
        pricing_table_id: Pricing table to take prices from.

    Raises:
        BadRequest: The plan is unknown, free (use a checkout), or has no such price.
        OutcomeUnknown: Nobody knows whether it was done; read the customer's subscriptions.
    """

    subscription_id: str
    plan_identifier: str
    charge_period: ChargePeriod
    features: Sequence[FeatureQuantity] | None | Unset = field(default=UNSET, kw_only=True)
    ip_address: str | None | Unset = field(default=UNSET, kw_only=True, secret=True)
    trial_end: datetime | Literal["now"] | None | Unset = field(default=UNSET, kw_only=True)
    payment_behavior: PaymentBehavior | None | Unset = field(default=UNSET, kw_only=True)
    proration_behavior: ProrationBehavior | None | Unset = field(
        default=UNSET, kw_only=True, provisional="official SDKs"
    )
    offering_id: str | None | Unset = field(default=UNSET, kw_only=True, provisional="official SDKs")
    pricing_table_id: str | None | Unset = field(default=UNSET, kw_only=True, provisional="official SDKs")


@post("/subscriptions/{subscription_id}/update/preview/", provisional="official SDKs", repeatable=True)
class PreviewSubscriptionUpdate(Request[UpdatePreview]):
    """What an update would cost, without doing it.

    Kelviq API: POST /subscriptions/{subscriptionId}/update/preview/ (provisional).

    Args:
        subscription_id: Id of the subscription.
        plan_identifier: Your short name of the plan to move to.
        charge_period: How often it would charge.
        features: Quantities of features to buy.
        ip_address: The customer's address, for prices by country.
        proration_behavior: How the rest of the running period would be charged.
        offering_id: Offering to take prices from.
        pricing_table_id: Pricing table to take prices from.
    """

    subscription_id: str
    plan_identifier: str
    charge_period: ChargePeriod
    features: Sequence[FeatureQuantity] | None | Unset = field(default=UNSET, kw_only=True)
    ip_address: str | None | Unset = field(default=UNSET, kw_only=True, secret=True)
    proration_behavior: ProrationBehavior | None | Unset = field(default=UNSET, kw_only=True)
    offering_id: str | None | Unset = field(default=UNSET, kw_only=True)
    pricing_table_id: str | None | Unset = field(default=UNSET, kw_only=True)


@post("/subscriptions/{subscription_id}/cancel/")
class CancelSubscription(Request[CancelResult]):
    """Cancel a subscription, now or later. Kelviq API: POST /subscriptions/{subscriptionId}/cancel/.

    Args:
        subscription_id: Id of the subscription.
        cancellation_type: At once, at the end of the running period, or on a day.
        cancellation_date: The day, for SPECIFIC_DATE.
        cancellation_feedback: Why the customer leaves.
        cancellation_comment: Why, in the customer's words.

    Raises:
        BadRequest: The day is missing or past, or it is cancelled already.
        NotFound: There is no such subscription.
    """

    subscription_id: str
    cancellation_type: CancellationType
    cancellation_date: date | None | Unset = field(default=UNSET, kw_only=True)
    cancellation_feedback: CancellationFeedback | None | Unset = field(default=UNSET, kw_only=True)
    cancellation_comment: str | None | Unset = field(default=UNSET, kw_only=True, secret=True)


class Subscriptions(Namespace):
    """Recurring agreements between a customer and a plan."""

    list = call(ListSubscriptions)
    each = pages(ListSubscriptions)
    retrieve = call(RetrieveSubscription)
    create = call(CreateSubscription)
    update = call(UpdateSubscription)
    preview_update = call(PreviewSubscriptionUpdate)
    cancel = call(CancelSubscription)
