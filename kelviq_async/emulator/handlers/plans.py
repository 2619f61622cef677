"""Plans: drafted, changed, published, archived. What they cost and grant is in ``plan_content``."""

from __future__ import annotations

from operator import itemgetter
from typing import Any, Final
from urllib.parse import quote, urlsplit

from ... import codec
from ...api.deliverables import LicenseConfig, PlanFile, PlanLink
from ...api.plans import (
    ArchivePlan,
    CatalogPlan,
    CreatePlan,
    DiscardPlanDraft,
    ListPlans,
    PublishPlan,
    PublishResult,
    RetrievePlan,
    UpdatePlan,
)
from ...model import UNSET
from .. import payloads
from ..catalog import (
    draft,
    enabled_prices,
    migrate,
    migration,
    new_identifier,
    newest,
    plan_version,
    published,
    versions,
)
from ..core import Core
from ..metering import settle
from ..refusals import Refusal, bad_field, detail, not_found
from ..registry import Listed, handles
from ..state import PlanRow, SubscriptionRow
from .media import address, after_last, keep, uploaded

_MOST: Final = 2**31 - 1


def shown(world: Core, row: PlanRow) -> CatalogPlan:
    """A version of a plan as the API shows it."""
    return CatalogPlan(
        identifier=row.identifier,
        name=row.name,
        description=row.description,
        product=row.product_id,
        metadata=row.metadata,
        version=row.version,
        is_latest=row.state == "published",
        modified_on=row.modified_on,
        created_on=row.created_on,
        details={},
        is_visible=row.is_visible,
        is_imported=False,
        countries=[],
        license=codec.load(LicenseConfig, {"enabled": False, **row.license}),
        links=[codec.load(PlanLink, link) for link in row.links],
        files=[shown_file(world, row, file) for file in sorted(row.files, key=itemgetter("ordering"))],
        ordering=row.ordering,
    )


def shown_file(world: Core, row: PlanRow, file: dict[str, Any]) -> PlanFile:
    """A plan's file as the API shows it."""
    return PlanFile(
        id=file["id"],
        name=file["name"],
        file=address(world, file["key"]),
        ordering=file["ordering"],
        enabled=file["enabled"],
        download_url=f"{world.url}/api/v1/catalog/plans/{quote(row.identifier)}/file/{file['id']}/download/",
    )


def asked_for(world: Core, identifier: str, version: int | None) -> PlanRow:
    """The version that was asked for; else the published one, or the draft of what never was; or 404."""
    rows = versions(world, identifier)
    if version is not None:
        return plan_version(world, identifier, version)
    return published(world, identifier) or rows[-1]


@handles(ListPlans, page_size=100)
def list_plans(world: Core, request: ListPlans) -> Listed[PlanRow]:
    """The newest version of each plan, newest plan first; nothing that was archived."""
    rows = [
        rows[-1]
        for rows in reversed(world.state.plans.values())
        if rows[-1].state != "archived" and not world.state.products[rows[-1].product_id].archived
    ]
    return Listed(rows, lambda row: shown(world, row))


@handles(CreatePlan, status=201)
def create_plan(world: Core, request: CreatePlan) -> CatalogPlan:
    """Version 1, a draft. The identifier stays taken for as long as any version is there."""
    product = world.state.products.get(request.product)
    if product is None or product.archived:
        raise bad_field("product", f'Invalid pk "{request.product}" - object does not exist.')
    identifier = new_identifier(request.identifier or None, request.name, world.state.plans)
    given, keys = _given(world, request)
    now = world.now()
    row = PlanRow(world.new_id(), identifier, product.id, request.name, 1, now, now)
    if request.ordering is not UNSET:
        row.ordering = request.ordering
    _change(world, row, given, keys)
    world.state.plans[identifier] = [row]
    return shown(world, row)


@handles(RetrievePlan)
def retrieve_plan(world: Core, request: RetrievePlan) -> CatalogPlan:
    """The published version, unless another one is asked for."""
    return shown(world, asked_for(world, request.identifier, request.version))


@handles(UpdatePlan)
def update_plan(world: Core, request: UpdatePlan) -> CatalogPlan:
    """Changes the draft, and makes one where there is none."""
    newest(world, request.identifier, request.version)
    given, keys = _given(world, request)
    row = draft(world, request.identifier)
    _change(world, row, given, keys)
    return shown(world, row)


@handles(ArchivePlan, status=204)
def archive_plan(world: Core, request: ArchivePlan) -> None:
    """All versions, for good; who has the plan keeps it. 400 where it is archived already."""
    rows = world.state.plans.get(request.identifier)
    if not rows:
        raise not_found("Plan")
    if request.version is not None:
        plan_version(world, request.identifier, request.version)
    if rows[-1].state == "archived":
        raise detail(400, "Plan is already archived.")
    for row in rows:
        row.state = "archived"
        row.modified_on = world.now()


@handles(PublishPlan)
def publish_plan(world: Core, request: PublishPlan) -> PublishResult:
    """Puts the draft in the place of the published version, and today's subscribers on it if asked to.

    400 without a draft, without a price, and where a subscriber who is to get the new prices pays in a
    currency or for a period that has none any more; 428 while billing is not set up.
    """
    row, before = newest(world, request.identifier), published(world, request.identifier)
    if row.state != "draft":
        raise detail(400, "Plan is already published.")
    if not enabled_prices(row):
        raise detail(400, "A plan needs a price before it can be published.")
    if not world.state.billing_ready:
        raise detail(428, "Billing has not been set up.")
    features, pricing = request.update_features is True, request.update_pricing is True
    try:
        moved = migration(world, row, features=features, pricing=pricing) if features or pricing else []
    except Refusal as refusal:
        raise detail(400, f"The new prices do not cover all subscribers: {refusal}") from None
    if before is not None:
        before.state = "superseded"
    row.state = "published"
    row.modified_on = world.now()
    _follow(world, moved)
    return PublishResult(status="published")


def _follow(world: Core, moved: list[SubscriptionRow]) -> None:
    """Put subscriptions on the new version, and tell of each that is another than before by that."""
    rows = [world.state.subscriptions[each.id] for each in moved]
    for row in rows:
        settle(world, row)  # what is left over from periods that are past is so by the old version
    before = [payloads.remembered(world, payloads.subscription, row) for row in rows]
    migrate(world, moved)
    for row, old in zip(rows, before, strict=True):
        # Of one-time purchases no event of a subscription tells.
        if row.period_end is not None and payloads.remembered(world, payloads.subscription, row) != old:
            payloads.tell_change(world, "subscription.updated", payloads.subscription, row, old)


@handles(DiscardPlanDraft, status=204)
def discard_draft(world: Core, request: DiscardPlanDraft) -> None:
    """Of a plan that was never published nothing is left, and its identifier is free again."""
    row = newest(world, request.identifier)
    if row.state != "draft":
        raise detail(400, "Plan is already published; it cannot be discarded.")
    rows = world.state.plans[request.identifier]
    rows.pop()
    if not rows:
        del world.state.plans[request.identifier]


def _given(world: Core, request: CreatePlan | UpdatePlan) -> tuple[dict[str, Any], list[str]]:
    """What a request gives of a plan, looked through, in the form that rows keep."""
    names = ("name", "description", "metadata", "is_visible")
    given = {name: getattr(request, name) for name in names if getattr(request, name) is not UNSET}
    if not given.get("name", "-").strip():
        raise bad_field("name", "This field may not be blank.")
    if request.license is not UNSET:
        given["license"] = codec.dump(request.license)
        _check_license(request.license)
    if request.links is not UNSET:
        given["links"] = codec.dump(list(request.links))
        for link in request.links:
            if not link.url or not urlsplit(link.url).scheme:
                raise bad_field("links", "Enter a valid URL.")
    return given, uploaded(world, request.file_keys or (), "fileKeys")


def _check_license(config: Any) -> None:
    limit, value, unit = config.activation_limit, config.duration_value, config.duration_unit
    for name, number in (("activationLimit", limit), ("durationValue", value)):
        if number is not None and not 1 <= number <= _MOST:
            raise bad_field("license", f"{name} must be from 1 to {_MOST}.")
    if unit is not None and not unit.known:
        raise bad_field("license", f'durationUnit: "{unit}" is not a valid choice.')
    if config.has_expiry and (value is None or unit is None):
        raise bad_field("license", "A licence that expires needs durationUnit and durationValue.")


def _change(world: Core, row: PlanRow, given: dict[str, Any], keys: list[str]) -> None:
    for name, value in given.items():
        setattr(row, name, value)
    row.files += keep(world, f"plans/{row.identifier}", keys, after_last(row.files))
