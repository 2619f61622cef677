"""Entitlements, as the edge service answers them."""

from __future__ import annotations

from typing import Any

from ...api.entitlements import GetEntitlements
from .. import metering
from ..core import Core
from ..refusals import not_found
from ..registry import handles


@handles(GetEntitlements)
def get_entitlements(world: Core, request: GetEntitlements) -> dict[str, Any]:
    """Plain data, as entries have only the names that belong to their type.

    What Kelviq answers about an unknown customer is not documented: it is the world's ``unknown_customer``.
    """
    customer_id = request.customer_id
    row = world.state.customers.get(customer_id)
    if row is None or row.archived:
        if world.unknown_customer != "empty":
            raise not_found("Customer")
        return {"customerId": customer_id, "entitlements": []}
    return {
        "customerId": customer_id,
        "entitlements": metering.entitlements(world, customer_id, request.feature_id),
    }
