"""Entitlements as Kelviq answers them. ``kelviq_async.entitlements`` turns them into decisions."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ..errors import CodecError
from ..model import Model, field, model
from ..request import EDGE, Key, Namespace, Request, call, get
from .features import FeatureType


@model
class EntitlementEntry(Model):
    """What one subscription grants of one feature.

    Attributes:
        feature_id: Your short name of the feature.
        has_access: Kelviq's verdict; None where the answer held no JSON boolean.
        feature_type: Switch, value or meter.
        reset_at: When the meter starts anew.
        hard_limit: Whether the meter stops at its limit.
        usage_limit: The limit of a meter, None for unlimited; the value of a value feature.
        current_usage: How much is used.
        remaining: How much is left.
    """

    feature_id: str
    has_access: bool
    feature_type: FeatureType
    reset_at: datetime = field(form="%Y-%m-%d %H:%M:%S")
    hard_limit: bool | None = None
    usage_limit: int | None = None
    current_usage: int | None = None
    remaining: int | None = None


@model
class CustomerEntitlements(Model):
    """All that a customer may use, one entry for each subscription and feature.

    Attributes:
        customer_id: Your own id of the customer.
        entitlements: The entries.
    """

    customer_id: str
    entitlements: list[EntitlementEntry]


@get("/entitlements/", host=EDGE, key=[Key.CLIENT, Key.SERVER])
class GetEntitlements(Request[CustomerEntitlements]):
    """What a customer may use, as Kelviq answers it. Kelviq API: GET /entitlements/.

    Asked of the edge service, with the client key if there is one, else the server key.

    Args:
        customer_id: Your own id of the customer.
        feature_id: Your short name of one feature; all of them where none is given.

    Raises:
        NotFound: Kelviq does not know the customer.
    """

    customer_id: str
    feature_id: str | None = field(default=None, kw_only=True)

    def read(self, status: int, data: Any, headers: Mapping[str, str]) -> CustomerEntitlements:
        """The answer; one without a list of entries, or about somebody else, is none."""
        if not isinstance(data, dict) or not isinstance(data.get("entitlements"), list):
            raise CodecError("the answer holds no list of entitlements")
        about = data.get("customerId")
        if about is not None and str(about) != self.customer_id:
            raise CodecError("the answer is about another customer")
        return super().read(status, data, headers)


class Entitlements(Namespace):
    """What customers may use."""

    raw = call(GetEntitlements)
