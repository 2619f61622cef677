import json
from datetime import UTC, datetime

import pytest

from kelviq_async import FeatureType, Kelviq, NotFound, PlanPriceInput, TaxCode
from kelviq_async.api.plans import PlanEntitlementDetails, PlanFeatureInput
from kelviq_async.emulator import World
from kelviq_async.emulator.catalog import feature_by_identifier
from kelviq_async.transport import WireRequest

METER = {"featureSubType": "PRE_AGGREGATED_USAGE", "units": {"singular": "call", "plural": "calls"}}
EVENTS = {**METER, "featureSubType": "RAW_EVENTS"}


@pytest.fixture
def world():
    return World(now=datetime(2026, 1, 31, tzinfo=UTC), strict=True)


@pytest.fixture
async def kelviq(world):
    async with Kelviq.local(world) as client:
        yield client


def ask(world, method, path, body=None):
    headers = {"Authorization": f"Bearer {world.server_key}", "Content-Type": "application/json"}
    content = None if body is None else json.dumps(body).encode()
    answer = world.handle(WireRequest(method, f"http://localhost/api/v1{path}", headers, content))
    return answer.status, json.loads(answer.body) if answer.body else None


async def test_a_feature_is_as_it_was_created(kelviq, world):
    made = await kelviq.features.create(
        "API calls", FeatureType.METER, description="Calls", feature_details=METER, metadata={"own_key": 1}
    )
    assert made == await kelviq.features.retrieve(made.id)
    assert ask(world, "GET", f"/catalog/features/{made.id}/") == (
        200,
        {
            "id": made.id,
            "identifier": "api-calls",
            "name": "API calls",
            "description": "Calls",
            "featureType": "METER",
            "featureDetails": METER,
            "meter": {},
            "details": {},
            "metadata": {"own_key": 1},
            "isArchived": False,
            "modifiedOn": "2026-01-31T00:00:00Z",
        },
    )
    assert feature_by_identifier(world, "api-calls").id == made.id
    assert feature_by_identifier(world, "none") is None
    assert (await kelviq.features.retrieve("api-calls")).id == made.id


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": "Calls", "featureType": "GAS"}, "featureType"),
        ({"name": "Calls"}, "featureType"),
        ({"featureType": "BOOLEAN"}, "name"),
        ({"name": "Calls", "featureType": "METER"}, "featureDetails"),
        (
            {"name": "Calls", "featureType": "METER", "featureDetails": {**METER, "featureSubType": "X"}},
            "featureDetails",
        ),
        ({"name": "Calls", "featureType": "METER", "featureDetails": EVENTS}, "meter"),
    ],
)
def test_what_cannot_be_is_refused_on_its_field(world, body, field):
    status, problem = ask(world, "POST", "/catalog/features/", body)
    assert (status, list(problem)) == (400, [field])


async def test_old_names_of_types_are_understood(kelviq):
    made = await kelviq.features.create("Export", FeatureType.other("FLAG"))
    assert made.feature_type is FeatureType.BOOLEAN


async def test_without_strictness_a_meter_counts_usage():
    async with Kelviq.local(World()) as kelviq:
        made = await kelviq.features.create("Calls", FeatureType.METER)
    assert made.feature_details == {"featureSubType": "PRE_AGGREGATED_USAGE", "units": {}}


async def test_features_are_found_and_paged(kelviq):
    for name in ("Export data", "Export pictures", "Seats"):
        await kelviq.features.create(name, FeatureType.BOOLEAN)
    assert [row.name async for row in kelviq.features.each(search="export", page_size=1)] == [
        "Export pictures",
        "Export data",
    ]


async def test_an_archived_feature_is_gone_from_the_list_and_keeps_its_identifier(kelviq, world):
    made = await kelviq.features.create("Seats", FeatureType.CUSTOMIZABLE)
    assert ask(world, "DELETE", f"/catalog/features/{made.id}/") == (204, None)
    assert (await kelviq.features.list()).count == 0
    assert (await kelviq.features.retrieve(made.id)).is_archived
    status, problem = ask(world, "DELETE", f"/catalog/features/{made.id}/")
    assert (status, list(problem)) == (400, ["detail"])
    status, problem = ask(world, "POST", "/catalog/features/", {"name": "Seats", "featureType": "BOOLEAN"})
    assert (status, list(problem)) == (400, ["identifier"])
    with pytest.raises(NotFound):
        await kelviq.features.retrieve("nothing")


async def test_what_a_published_plan_grants_cannot_be_archived(kelviq, world):
    feature = await kelviq.features.create("Export", FeatureType.BOOLEAN)
    product = await kelviq.products.create("Suite", TaxCode.SAAS)
    await kelviq.plans.create("Pro", product.id)
    await kelviq.plans.set_prices("pro", [PlanPriceInput.free()])
    grant = PlanFeatureInput(feature=feature.id, details=PlanEntitlementDetails(value=True))
    await kelviq.plans.add_features("pro", [grant])
    await kelviq.plans.publish("pro")
    assert ask(world, "DELETE", f"/catalog/features/{feature.id}/")[0] == 400
    await kelviq.plans.archive("pro")
    assert ask(world, "DELETE", f"/catalog/features/{feature.id}/")[0] == 204
    assert ask(world, "PATCH", f"/catalog/features/{feature.id}/", {"name": "New"})[0] == 405
