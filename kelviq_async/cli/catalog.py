"""A small catalogue to show things with: one product, three features, two plans."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

import attrs

from .. import (
    UNSET,
    CatalogChargePeriod,
    CatalogPlan,
    Feature,
    FeatureType,
    Kelviq,
    MeterReset,
    PlanEntitlementDetails,
    PlanFeatureInput,
    PlanPriceInput,
    Product,
    TaxCode,
)

METERED: Final = {
    "featureSubType": "PRE_AGGREGATED_USAGE",
    "units": {"singular": "project", "plural": "projects"},
}


@attrs.frozen
class Stock:
    """What was put up for sale.

    Attributes:
        product: The product.
        features: Its features.
        plans: Its plans, published.
    """

    product: Product
    features: list[Feature]
    plans: list[CatalogPlan]


async def stock(kelviq: Kelviq) -> Stock:
    """Put the catalogue up for sale, by calls of the SDK alone.

    Args:
        kelviq: A client with a server key.
    """
    product = await kelviq.products.create("Acme Studio", TaxCode.SAAS, identifier="acme-studio")
    export, projects, team = [
        await kelviq.features.create(name, kind, identifier=identifier, feature_details=details)
        for name, kind, identifier, details in (
            ("Export data", FeatureType.BOOLEAN, "export-data", UNSET),
            ("Projects", FeatureType.METER, "max-projects", METERED),
            ("Team size", FeatureType.CUSTOMIZABLE, "team-size", UNSET),
        )
    ]
    plans = []
    for name, identifier, amount, limit, seats in (
        ("Pro Plan", "pro", "49.00", 100, 5),
        ("Enterprise", "enterprise", "199.00", 1000, 50),
    ):
        await kelviq.plans.create(name, product.id, identifier=identifier)
        await kelviq.plans.set_prices(
            identifier,
            [
                PlanPriceInput.flat(
                    {
                        CatalogChargePeriod.MONTHLY: Decimal(amount),
                        CatalogChargePeriod.YEARLY: Decimal(amount) * 10,
                    }
                )
            ],
        )
        await kelviq.plans.add_features(
            identifier,
            [
                _granted(export, value=True),
                _granted(projects, value=limit, reset=MeterReset.EVERY_MONTH, hard_limit=True),
                _granted(team, value=seats),
            ],
        )
        await kelviq.plans.publish(identifier)
        plans.append(await kelviq.plans.retrieve(identifier))
    return Stock(product, [export, projects, team], plans)


def _granted(feature: Feature, **details: Any) -> PlanFeatureInput:
    return PlanFeatureInput(feature=feature.id, details=PlanEntitlementDetails(**details))
