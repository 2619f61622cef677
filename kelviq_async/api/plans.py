"""Plans: what a product is sold as, in versions from draft to published."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from ..errors import UnreadableAnswer
from ..model import UNSET, Model, Unset, field, model
from ..request import Namespace, Page, Request, call, delete, get, pages, patch, post
from .deliverables import FileLocation, LicenseConfig, PlanFile, PlanLink
from .features import Feature
from .messages import Message
from .prices import MeterReset, PlanPrice, PlanPriceInput, PlanPrices, UsageAlerts


@model
class CatalogPlan(Model):
    """One version of a plan.

    Attributes:
        identifier: Your short name for it; the same for all its versions.
        name: Name to show.
        description: What it offers.
        product: Kelviq's id of the product it belongs to.
        metadata: What you noted.
        version: Number of this version.
        is_latest: Whether this is the published version.
        modified_on: When it last changed.
        created_on: When it was created.
        details: What Kelviq itself notes.
        is_visible: Whether buyers see it.
        is_imported: Whether it came from elsewhere.
        countries: Two-letter codes of the countries it is sold in.
        license: Whether and how it hands out licence keys.
        links: Links that buyers are given.
        files: Files that buyers are given.
        ordering: Position among the product's plans.
    """

    identifier: str
    name: str
    description: str
    product: str
    metadata: dict[str, Any]
    version: int
    is_latest: bool
    modified_on: datetime
    created_on: datetime
    details: dict[str, Any]
    is_visible: bool
    is_imported: bool
    countries: list[str]
    license: LicenseConfig
    links: list[PlanLink]
    files: list[PlanFile]
    ordering: int | None = None


@model
class PlanEntitlementDetails(Model):
    """What a plan grants of one feature. Which fields count depends on the feature's type.

    Attributes:
        value: True or False for a switch, a number for a value or a meter.
        has_unlimited_usage: Whether a meter has no limit.
        reset: How often a meter starts anew.
        reset_time: When in the period it does.
        rollover: What of the unused goes on to the next period.
        usage_alerts: When to tell about usage.
        hard_limit: Whether a meter stops at its limit.
        is_inherited: Whether it comes from a base plan.
        is_value_overridden: Whether the inherited value was changed.
    """

    value: Any = field(default=None)
    has_unlimited_usage: bool = field(default=None)
    reset: MeterReset = field(default=None)
    reset_time: str | None = field(default=None)
    rollover: dict[str, Any] = field(default=None)
    usage_alerts: UsageAlerts = field(default=None)
    hard_limit: bool = field(default=None)
    is_inherited: bool = field(default=None)
    is_value_overridden: bool = field(default=None)


@model
class PlanFeature(Model):
    """A feature and what a plan grants of it.

    Attributes:
        feature: The feature.
        details: What is granted.
    """

    feature: Feature
    details: PlanEntitlementDetails


@model
class PlanFeatureInput(Model):
    """A feature to add to a plan.

    Attributes:
        feature: Kelviq's id of the feature.
        details: What the plan grants of it.
    """

    feature: str = field(required=True)
    details: PlanEntitlementDetails = field(required=True)


@model
class PublishResult(Model):
    """What became of a publish.

    Attributes:
        status: ``"published"``.
    """

    status: str


@get("/catalog/plans/")
class ListPlans(Request[Page[CatalogPlan]]):
    """One page of your plans. Kelviq API: GET /catalog/plans/.

    Args:
        page: Which page, from 1.
        page_size: Rows on a page, at most 100, which is also Kelviq's default here.
    """

    page: int | None = field(default=None, kw_only=True)
    page_size: int | None = field(default=None, kw_only=True)


@post("/catalog/plans/")
class CreatePlan(Request[CatalogPlan]):
    """Create a plan, as a draft. Kelviq API: POST /catalog/plans/.

    Args:
        name: Name to show.
        product: Kelviq's id of the product it belongs to.
        identifier: Your short name for it; made of the name where none is given.
        description: What it offers.
        metadata: Your own notes.
        is_visible: Whether buyers see it.
        license: Whether and how it hands out licence keys.
        links: Links for buyers.
        file_keys: Keys of uploaded files for buyers, see ``media``.
        ordering: Position among the product's plans.

    Raises:
        BadRequest: ``fields`` says which part was not accepted.
    """

    name: str
    product: str
    identifier: str | Unset = field(default=UNSET, kw_only=True)
    description: str | Unset = field(default=UNSET, kw_only=True)
    metadata: dict[str, Any] | Unset = field(default=UNSET, kw_only=True)
    is_visible: bool | Unset = field(default=UNSET, kw_only=True)
    license: LicenseConfig | Unset = field(default=UNSET, kw_only=True)
    links: Sequence[PlanLink] | Unset = field(default=UNSET, kw_only=True)
    file_keys: Sequence[str] | Unset = field(default=UNSET, kw_only=True)
    ordering: int | Unset = field(default=UNSET, kw_only=True)


@get("/catalog/plans/{identifier}/")
class RetrievePlan(Request[CatalogPlan]):
    """Read one plan. Kelviq API: GET /catalog/plans/{identifier}/.

    Args:
        identifier: Your short name of the plan.
        version: Which version; the published one where none is given.

    Raises:
        NotFound: There is no such plan or version.
    """

    identifier: str
    version: int | None = field(default=None, kw_only=True)


@patch("/catalog/plans/{identifier}/")
class UpdatePlan(Request[CatalogPlan]):
    """Change a plan; a published one gets a new draft version.

    Kelviq API: PATCH /catalog/plans/{identifier}/.

    Args:
        identifier: Your short name of the plan.
        version: Which version to change.
        name: New name.
        description: New description.
        metadata: New notes in place of all the old ones.
        is_visible: Whether buyers see it.
        license: Whether and how it hands out licence keys.
        links: New links for buyers.
        file_keys: Keys of uploaded files to add.

    Raises:
        NotFound: There is no such plan or version.
    """

    identifier: str
    version: int | None = field(default=None, kw_only=True, query=True)
    name: str | Unset = field(default=UNSET, kw_only=True)
    description: str | Unset = field(default=UNSET, kw_only=True)
    metadata: dict[str, Any] | Unset = field(default=UNSET, kw_only=True)
    is_visible: bool | Unset = field(default=UNSET, kw_only=True)
    license: LicenseConfig | Unset = field(default=UNSET, kw_only=True)
    links: Sequence[PlanLink] | Unset = field(default=UNSET, kw_only=True)
    file_keys: Sequence[str] | Unset = field(default=UNSET, kw_only=True)


@delete("/catalog/plans/{identifier}/", repeatable=True)
class ArchivePlan(Request[Message]):
    """Archive a plan; who has it keeps it. Kelviq API: DELETE /catalog/plans/{identifier}/.

    Args:
        identifier: Your short name of the plan.
        version: Which version.

    Raises:
        BadRequest: It cannot be archived as it is.
    """

    identifier: str
    version: int | None = field(default=None, kw_only=True)


@post("/catalog/plans/{identifier}/publish/")
class PublishPlan(Request[PublishResult]):
    """Publish the newest draft of a plan. Kelviq API: POST /catalog/plans/{identifier}/publish/.

    Args:
        identifier: Your short name of the plan.
        update_features: Whether today's subscribers get the new entitlements.
        update_pricing: Whether today's subscribers get the new prices.

    Raises:
        BadRequest: There is no price yet, or no draft.
        PreconditionRequired: Billing has not been set up.
    """

    identifier: str
    update_features: bool | Unset = field(default=UNSET, kw_only=True)
    update_pricing: bool | Unset = field(default=UNSET, kw_only=True)


@delete("/catalog/plans/{identifier}/discard/")
class DiscardPlanDraft(Request[Message]):
    """Throw a plan's draft away. Kelviq API: DELETE /catalog/plans/{identifier}/discard/.

    Args:
        identifier: Your short name of the plan.

    Raises:
        BadRequest: There is no draft.
    """

    identifier: str


@get("/catalog/plans/{identifier}/prices/")
class ListPlanPrices(Request[Page[PlanPrice]]):
    """All prices of a plan. Kelviq API: GET /catalog/plans/{identifier}/prices/.

    Args:
        identifier: Your short name of the plan.
        version: Which version; the published one where none is given.
    """

    identifier: str
    version: int | None = field(default=None, kw_only=True)


@post("/catalog/plans/{identifier}/prices/bulk/")
class SetPlanPrices(Request[PlanPrices]):
    """Replace all prices of a plan at once. Kelviq API: POST /catalog/plans/{identifier}/prices/bulk/.

    Args:
        identifier: Your short name of the plan.
        prices: The new prices, at most one paid one for each currency.

    Raises:
        BadRequest: Two prices share a currency, or one cannot be right.
    """

    identifier: str
    prices: Sequence[PlanPriceInput]


@get("/catalog/plans/{identifier}/features/")
class ListPlanFeatures(Request[Page[PlanFeature]]):
    """All features a plan grants. Kelviq API: GET /catalog/plans/{identifier}/features/.

    Args:
        identifier: Your short name of the plan.
        version: Which version; the published one where none is given.
    """

    identifier: str
    version: int | None = field(default=None, kw_only=True)


@post("/catalog/plans/{identifier}/features/")
class AddPlanFeatures(Request[CatalogPlan]):
    """Add features to a plan. Kelviq API: POST /catalog/plans/{identifier}/features/.

    Args:
        identifier: Your short name of the plan.
        plan_entitlements: The features, each with what is granted of it.
        version: Which version to change.

    Raises:
        BadRequest: A feature is unknown, or what is granted does not fit its type.
    """

    identifier: str
    plan_entitlements: Sequence[PlanFeatureInput]
    version: int | None = field(default=None, kw_only=True, query=True)


@patch("/catalog/plans/{identifier}/features/{feature_id}/")
class UpdatePlanFeature(Request[PlanFeature]):
    """Change what a plan grants of a feature.

    Kelviq API: PATCH /catalog/plans/{identifier}/features/{feature_id}/.

    Args:
        identifier: Your short name of the plan.
        feature_id: Kelviq's id of the feature.
        details: What is granted from now on.
    """

    identifier: str
    feature_id: str
    details: PlanEntitlementDetails


@delete("/catalog/plans/{identifier}/features/{feature_id}/")
class RemovePlanFeature(Request[Message]):
    """Take a feature out of a plan. Kelviq API: DELETE /catalog/plans/{identifier}/features/{feature_id}/.

    Args:
        identifier: Your short name of the plan.
        feature_id: Kelviq's id of the feature.
    """

    identifier: str
    feature_id: str


@patch("/catalog/plans/{identifier}/file/{file_id}/")
class UpdatePlanFile(Request[PlanFile]):
    """Change a plan's file. Kelviq API: PATCH /catalog/plans/{identifier}/file/{pk}/.

    Args:
        identifier: Your short name of the plan.
        file_id: Kelviq's id of the file.
        name: New file name.
        ordering: New position, from 0.
        enabled: Whether buyers see it.

    Raises:
        NotFound: There is no such file.
    """

    identifier: str
    file_id: str
    name: str | Unset = field(default=UNSET, kw_only=True)
    ordering: int | Unset = field(default=UNSET, kw_only=True)
    enabled: bool | Unset = field(default=UNSET, kw_only=True)


@delete("/catalog/plans/{identifier}/file/{file_id}/")
class DeletePlanFile(Request[None]):
    """Remove a plan's file. Kelviq API: DELETE /catalog/plans/{identifier}/file/{pk}/.

    Args:
        identifier: Your short name of the plan.
        file_id: Kelviq's id of the file.
    """

    identifier: str
    file_id: str


@get("/catalog/plans/{identifier}/file/{file_id}/download/", key=None, answers={302: FileLocation})
class LocatePlanFile(Request[FileLocation]):
    """Where a plan's file can be fetched from.

    Takes no key; ``plans.download_file`` fetches the file itself.
    Kelviq API: GET /catalog/plans/{identifier}/file/{pk}/download/.

    Args:
        identifier: Your short name of the plan.
        file_id: Kelviq's id of the file.

    Raises:
        NotFound: There is no such file.
    """

    identifier: str
    file_id: str

    def read(self, status: int, data: Any, headers: Mapping[str, str]) -> FileLocation:  # noqa: ARG002  in the header
        """The address out of the redirect's ``Location``, which is not followed."""
        location = next((text for name, text in headers.items() if name.lower() == "location"), None)
        if status != 302 or not location:
            raise UnreadableAnswer("a redirect to the file was expected", status=status)
        return FileLocation(url=str(location))


class Plans(Namespace):
    """What a product is sold as."""

    list = call(ListPlans)
    each = pages(ListPlans)
    create = call(CreatePlan)
    retrieve = call(RetrievePlan)
    update = call(UpdatePlan)
    archive = call(ArchivePlan)
    publish = call(PublishPlan)
    discard_draft = call(DiscardPlanDraft)
    prices = call(ListPlanPrices)
    each_price = pages(ListPlanPrices)
    set_prices = call(SetPlanPrices)
    features = call(ListPlanFeatures)
    each_feature = pages(ListPlanFeatures)
    add_features = call(AddPlanFeatures)
    update_feature = call(UpdatePlanFeature)
    remove_feature = call(RemovePlanFeature)
    update_file = call(UpdatePlanFile)
    delete_file = call(DeletePlanFile)
    locate_file = call(LocatePlanFile)
