"""Subscriptions: found, created without a checkout, updated, cancelled."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from ... import codec
from ...api.deliverables import PlanLink
from ...api.features import FeatureType
from ...api.subscriptions import (
    CancellationFeedback,
    CancellationReason,
    CancelResult,
    CancelSubscription,
    CreatedSubscription,
    CreateSubscription,
    ListSubscriptions,
    PreviewSubscriptionUpdate,
    ProductSummary,
    RetrieveSubscription,
    Subscription,
    SubscriptionFeature,
    SubscriptionFeatureDetails,
    SubscriptionPlan,
    SubscriptionStatus,
    SubscriptionUpdate,
    UnitNames,
    UpdateSubscription,
)
from ...model import UNSET
from .. import billing, cards, changes, ending, paying, views
from ..catalog import plan_version, sellable
from ..core import Core
from ..refusals import bad_field, detail, not_found
from ..registry import Listed, handles
from ..state import FeatureRow, PlanRow, ProductRow, SubscriptionRow
from .checkout import quantities_of
from .plans import shown_file


@handles(ListSubscriptions)
def list_subscriptions(world: Core, request: ListSubscriptions) -> Listed[SubscriptionRow]:
    """Without ``status`` each agreement once, as it is now; with it every record that has one of these."""
    if request.customer_id is None:
        rows: Iterable[SubscriptionRow] = reversed(world.state.subscriptions.values())
    else:
        rows = reversed(billing.of_customer(world, request.customer_id))
    if request.status is None:
        rows = _current(world, rows)
    else:
        wanted = {each.strip() for each in request.status.split(",")}
        rows = [row for row in rows if row.status in wanted]
    return Listed([row for row in rows if _within(row, request)], lambda row: shown(world, row))


@handles(RetrieveSubscription)
def retrieve_subscription(world: Core, request: RetrieveSubscription) -> Subscription:
    """One record, whatever became of it, or 404."""
    return shown(world, known(world, request.subscription_id))


@handles(CreateSubscription, status=201)
def create_subscription(world: Core, request: CreateSubscription) -> CreatedSubscription:
    """Needs a saved card that pays, unless nothing is to be paid at once."""
    customer = world.state.customers.get(request.customer_id or "")
    if customer is None or customer.archived:
        raise detail(400, "Customer does not exist.")
    sale = billing.sale(
        world,
        sellable(world, request.plan_identifier),
        str(request.charge_period),
        quantities=quantities_of(request.features or ()),
    )
    due = billing.first_payment(world, sale, customer.customer_id)
    method = (
        cards.paying(world, customer.customer_id) if due.total else cards.default(world, customer.customer_id)
    )
    row = paying.buy(world, sale, customer.customer_id, method)
    plan, product = _sold(world, row)
    return CreatedSubscription(
        **{
            **views.terms(world, row),
            "currency": row.currency,
            "status": SubscriptionStatus.other(row.status),
        },
        product=ProductSummary(name=product.name, id=product.id, identifier=product.identifier),
        plan=SubscriptionPlan(name=plan.name, identifier=plan.identifier),
        features=[codec.dump(each, nulls=True) for each in features_of(world, row, plan)],
        customer_id=row.customer_id,
        **_extras(world, row, plan),
    )


@handles(UpdateSubscription)
def update_subscription(world: Core, request: UpdateSubscription) -> SubscriptionUpdate:
    """A new record of the same agreement comes in the place of the old one, which is superseded."""
    row, sale = _wanted(world, request)
    trial_end = None if request.trial_end is UNSET else request.trial_end
    if isinstance(trial_end, str) and trial_end != "now":
        raise bad_field("trialEnd", 'This is neither a time nor "now".')
    new = changes.update(
        world,
        row,
        sale,
        proration=str(request.proration_behavior) if request.proration_behavior else None,
        trial_end=trial_end,
        on_payment=bool(request.payment_behavior),
    )
    return SubscriptionUpdate(subscription_id=new.id)


@handles(PreviewSubscriptionUpdate)
def preview_update(world: Core, request: PreviewSubscriptionUpdate) -> dict[str, Any]:
    """What an update would cost, if it were made now."""
    row, sale = _wanted(world, request)
    proration = str(request.proration_behavior) if request.proration_behavior else None
    return changes.preview(world, row, changes.change(world, row, sale, proration=proration))


@handles(CancelSubscription)
def cancel_subscription(world: Core, request: CancelSubscription) -> CancelResult:
    """Now, at the end of the period, or on a day."""
    ending.cancel(
        world,
        known(world, request.subscription_id),
        str(request.cancellation_type),
        day=request.cancellation_date or None,
        feedback=str(request.cancellation_feedback) if request.cancellation_feedback else None,
        comment=request.cancellation_comment or None,
    )
    return CancelResult(message="Subscription cancellation processed successfully.")


def known(world: Core, subscription_id: str) -> SubscriptionRow:
    """A record, or 404."""
    row = world.state.subscriptions.get(subscription_id)
    if row is None:
        raise not_found("Subscription")
    return row


def shown(world: Core, row: SubscriptionRow) -> Subscription:
    """A subscription or one-time purchase as the API shows it."""
    plan, product = _sold(world, row)
    terms = {**views.terms(world, row), "status": SubscriptionStatus.other(row.status)}
    feedback, reason = row.cancellation_feedback, row.cancellation_reason
    return Subscription(
        **terms,
        external_subscription_id=f"sub_{row.lineage.replace('-', '')[:24]}",
        product=product.name,
        plan=SubscriptionPlan(name=plan.name, identifier=plan.identifier),
        features=features_of(world, row, plan),
        customer_id=row.customer_id,
        **_extras(world, row, plan),
        canceled_at=row.canceled_at,
        cancellation_reason=CancellationReason.other(reason) if reason else None,
        cancellation_feedback=CancellationFeedback.other(feedback) if feedback else None,
        cancellation_comment=row.cancellation_comment,
    )


def features_of(world: Core, row: SubscriptionRow, plan: PlanRow) -> list[SubscriptionFeature]:
    """What a subscription grants; a switch has no number, so it is shown without a value."""
    found = []
    for feature_id, granted in plan.features.items():
        feature = world.state.features.get(feature_id)
        if feature is not None:
            found.append(_feature(feature, granted, row.quantities.get(feature.identifier)))
    return found


def _feature(row: FeatureRow, granted: dict[str, Any], bought: int | None) -> SubscriptionFeature:
    value = granted.get("value") if bought is None else bought
    units = row.feature_details.get("units") or {}
    number: dict[str, Any] = {}
    if isinstance(value, int) and not isinstance(value, bool):
        number = {"value": value}
    return SubscriptionFeature(
        id=row.id,
        identifier=row.identifier,
        name=row.name,
        description=row.description,
        feature_type=FeatureType.other(row.feature_type),
        details={},
        is_archived=row.archived,
        metadata=row.metadata,
        modified_on=row.modified_on,
        meter=row.meter,
        feature_details=SubscriptionFeatureDetails(
            units=UnitNames(singular=units.get("singular", ""), plural=units.get("plural", ""))
        ),
        reset=granted.get("reset"),
        reset_time=granted.get("resetTime"),
        hard_limit=bool(granted.get("hardLimit")),
        **number,
    )


def _extras(world: Core, row: SubscriptionRow, plan: PlanRow) -> dict[str, Any]:
    """What the buyer is given beside access."""
    files = [shown_file(world, plan, file) for file in plan.files if file.get("enabled") is not False]
    links = [codec.load(PlanLink, link) for link in plan.links]
    return {"files": files, "links": links, "license": views.licenses_of(world, row)}


def _sold(world: Core, row: SubscriptionRow) -> tuple[PlanRow, ProductRow]:
    plan = plan_version(world, row.plan_identifier, row.plan_version)
    return plan, world.state.products[plan.product_id]


def _wanted(
    world: Core, request: UpdateSubscription | PreviewSubscriptionUpdate
) -> tuple[SubscriptionRow, billing.Sale]:
    row = known(world, request.subscription_id)
    given = request.features
    quantities = None if given is UNSET or given is None else quantities_of(given)
    return row, changes.wanted(world, row, request.plan_identifier, str(request.charge_period), quantities)


def _current(world: Core, rows: Iterable[SubscriptionRow]) -> list[SubscriptionRow]:
    """One record for each agreement: not what was superseded or has ended, nor what waits beside it."""
    today = world.now().date()
    found: dict[str, SubscriptionRow] = {}
    for row in rows:
        if row.status in {"superseded", "incomplete_expired"} or (row.end_date and row.end_date < today):
            continue
        other = found.get(row.lineage)
        if other is None or _standing(row) > _standing(other):
            found[row.lineage] = row
    return list(found.values())


def _standing(row: SubscriptionRow) -> int:
    """What is in force comes before what has ended, and that before what waits."""
    return 2 if row.status in billing.GRANTING else 0 if row.status == "incomplete" else 1


def _within(row: SubscriptionRow, request: ListSubscriptions) -> bool:
    return _between(billing.since(row), request.start_date_after, request.start_date_before) and _between(
        row.modified_on, request.modified_on_after, request.modified_on_before
    )


def _between(moment: datetime, after: datetime | None, before: datetime | None) -> bool:
    return (after is None or moment >= after) and (before is None or moment <= before)
