"""Features: created, found, archived, and never changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...api.features import (
    ArchiveFeature,
    CreateFeature,
    Feature,
    FeatureType,
    ListFeatures,
    RetrieveFeature,
)
from ..catalog import feature_by_identifier, new_identifier, published
from ..core import Core
from ..refusals import bad_field, detail, not_found
from ..registry import Listed, handles
from ..state import FeatureRow
from .products import matches


def shown(row: FeatureRow) -> Feature:
    """A feature as the API shows it."""
    return Feature(
        id=row.id,
        identifier=row.identifier,
        name=row.name,
        description=row.description,
        feature_type=FeatureType.other(row.feature_type),
        feature_details=row.feature_details,
        meter=row.meter,
        details={},
        metadata=row.metadata,
        is_archived=row.archived,
        modified_on=row.modified_on,
    )


def known(world: Core, name: str) -> FeatureRow:
    """A feature by its id (or its identifier, which is as unique), archived or not, or 404."""
    row = feature_by_identifier(world, name)
    if row is None:
        raise not_found("Feature")
    return row


@handles(ListFeatures, page_size=100)
def list_features(world: Core, request: ListFeatures) -> Listed[FeatureRow]:
    """Newest first, without archived ones."""
    rows = [
        row
        for row in reversed(world.state.features.values())
        if not row.archived and matches(request.search, row.name, row.identifier, row.description)
    ]
    return Listed(rows, shown)


@handles(CreateFeature, status=201)
def create_feature(world: Core, request: CreateFeature) -> Feature:
    """A meter counts reported usage unless it says that it counts events."""
    taken = (row.identifier for row in world.state.features.values())
    identifier = new_identifier(request.identifier or None, request.name, taken)
    details, meter = dict(request.feature_details or {}), dict(request.meter or {})
    if request.feature_type is FeatureType.METER:
        _check_meter(details, meter, strict=getattr(world, "strict", False))
        details = {"featureSubType": "PRE_AGGREGATED_USAGE", "units": {}, **details}
    row = FeatureRow(
        world.new_id(),
        identifier,
        request.name,
        str(request.feature_type),
        world.now(),
        description=request.description or "",
        feature_details=details,
        meter=meter,
        metadata=request.metadata or {},
    )
    world.state.features[row.id] = row
    return shown(row)


@handles(RetrieveFeature)
def retrieve_feature(world: Core, request: RetrieveFeature) -> Feature:
    """Archived ones too: plans of old may grant them, and they say so of themselves."""
    return shown(known(world, request.feature_id))


@handles(ArchiveFeature, status=204)
def archive_feature(world: Core, request: ArchiveFeature) -> None:
    """400 where it is archived already, and while a published plan grants it."""
    row = known(world, request.feature_id)
    if row.archived:
        raise detail(400, "Feature is already archived.")
    for identifier in world.state.plans:
        plan = published(world, identifier)
        if plan is not None and row.id in plan.features:
            raise detail(400, f'Feature is part of the published plan "{identifier}".')
    row.archived = True
    row.modified_on = world.now()


def _check_meter(details: Mapping[str, Any], meter: Mapping[str, Any], *, strict: bool) -> None:
    """What the documentation demands of a meter; a world that is not strict fills in the usual."""
    missing = [name for name in ("featureSubType", "units") if name not in details]
    if strict and missing:
        raise bad_field("featureDetails", f"A METER feature needs {' and '.join(missing)}.")
    kind = details.get("featureSubType", "PRE_AGGREGATED_USAGE")
    if kind not in {"PRE_AGGREGATED_USAGE", "RAW_EVENTS"}:
        raise bad_field("featureDetails", f'"{kind}" is not a featureSubType.')
    missing = [name for name in ("aggregation", "filters") if name not in meter]
    if kind == "RAW_EVENTS" and missing:
        raise bad_field("meter", f"A feature that counts events needs {' and '.join(missing)}.")
