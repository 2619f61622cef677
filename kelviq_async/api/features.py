"""Features: what plans grant, as a switch, a value or a meter."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ..model import UNSET, Model, OpenEnum, Unset, field, model
from ..request import Namespace, Page, Request, call, delete, get, pages, post
from .messages import Message


class FeatureType(OpenEnum):
    """How a feature is granted. Old data says FLAG for BOOLEAN and LIMIT for CUSTOMIZABLE."""

    BOOLEAN = "BOOLEAN"
    CUSTOMIZABLE = "CUSTOMIZABLE"
    METER = "METER"

    @classmethod
    def _aliases(cls) -> Mapping[str, str]:
        return {"FLAG": "BOOLEAN", "LIMIT": "CUSTOMIZABLE"}


@model
class Feature(Model):
    """Something a plan can grant. It cannot be changed after it was created.

    Attributes:
        id: Kelviq's id.
        identifier: Your own short name; what entitlement checks ask for.
        name: Name to show.
        description: What it is.
        feature_type: Switch, value or meter.
        feature_details: What units are called, and the like.
        meter: How a meter counts.
        details: What Kelviq itself notes.
        metadata: What you noted.
        is_archived: Whether it was archived.
        modified_on: When it last changed.
    """

    id: str
    identifier: str
    name: str
    description: str
    feature_type: FeatureType
    feature_details: dict[str, Any]
    meter: dict[str, Any]
    details: dict[str, Any]
    metadata: dict[str, Any]
    is_archived: bool
    modified_on: datetime


@get("/catalog/features/")
class ListFeatures(Request[Page[Feature]]):
    """One page of your features. Kelviq API: GET /catalog/features/.

    Args:
        search: Part of a name or identifier.
        page: Which page, from 1.
        page_size: Rows on a page, at most 100, which is also Kelviq's default here.
    """

    search: str | None = field(default=None, kw_only=True)
    page: int | None = field(default=None, kw_only=True)
    page_size: int | None = field(default=None, kw_only=True)


@post("/catalog/features/")
class CreateFeature(Request[Feature]):
    """Create a feature; it cannot be changed later. Kelviq API: POST /catalog/features/.

    Args:
        name: Name to show.
        feature_type: Switch, value or meter.
        identifier: Your own short name; made of the name where none is given.
        description: What it is.
        feature_details: What units are called, and the like.
        meter: How a meter counts.
        metadata: Your own notes.

    Raises:
        BadRequest: ``fields`` says which part was not accepted.
    """

    name: str
    feature_type: FeatureType
    identifier: str | Unset = field(default=UNSET, kw_only=True)
    description: str | Unset = field(default=UNSET, kw_only=True)
    feature_details: dict[str, Any] | Unset = field(default=UNSET, kw_only=True)
    meter: dict[str, Any] | Unset = field(default=UNSET, kw_only=True)
    metadata: dict[str, Any] | Unset = field(default=UNSET, kw_only=True)


@get("/catalog/features/{feature_id}/")
class RetrieveFeature(Request[Feature]):
    """Read one feature. Kelviq API: GET /catalog/features/{pk}/.

    Args:
        feature_id: Kelviq's id of the feature.

    Raises:
        NotFound: There is no such feature.
    """

    feature_id: str


@delete("/catalog/features/{feature_id}/", repeatable=True)
class ArchiveFeature(Request[Message]):
    """Archive a feature. Kelviq API: DELETE /catalog/features/{pk}/.

    Args:
        feature_id: Kelviq's id of the feature.

    Raises:
        BadRequest: It cannot be archived as it is.
    """

    feature_id: str


class Features(Namespace):
    """What plans grant."""

    list = call(ListFeatures)
    each = pages(ListFeatures)
    create = call(CreateFeature)
    retrieve = call(RetrieveFeature)
    archive = call(ArchiveFeature)
