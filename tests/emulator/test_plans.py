import json
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from kelviq_async import ChargePeriod, Kelviq, NotFound, PlanPriceInput, PreconditionRequired, TaxCode
from kelviq_async.api.checkout import CheckoutTaxBehavior
from kelviq_async.api.plans import PlanEntitlementDetails, PlanFeatureInput
from kelviq_async.api.prices import CatalogChargePeriod as Every
from kelviq_async.emulator import World
from kelviq_async.emulator.catalog import (
    choice_of,
    plan_version,
    price_for,
    sellable,
)
from kelviq_async.emulator.refusals import Refusal
from kelviq_async.emulator.state import SubscriptionRow
from kelviq_async.transport import WireRequest

NOW = datetime(2026, 1, 31, tzinfo=UTC)
BULK = "/catalog/plans/pro/prices/bulk/"


@pytest.fixture
def world():
    return World(now=NOW, strict=True)


@pytest.fixture
async def kelviq(world):
    async with Kelviq.local(world) as client:
        yield client


@pytest.fixture
def ask(world):
    def send(method, path, body=None):
        headers = {"Authorization": f"Bearer {world.server_key}", "Content-Type": "application/json"}
        content = None if body is None else json.dumps(body).encode()
        answer = world.handle(WireRequest(method, f"http://localhost/api/v1{path}", headers, content))
        return answer.status, json.loads(answer.body) if answer.body else None

    return send


@pytest.fixture
async def product(kelviq):
    return await kelviq.products.create("Suite", TaxCode.SAAS)


@pytest.fixture
async def pro(kelviq, product):
    """A draft that could be published."""
    plan = await kelviq.plans.create("Pro", product.id)
    await kelviq.plans.set_prices("pro", [monthly(49)])
    return plan


def monthly(amount, currency="USD", **more):
    return PlanPriceInput.flat({Every.MONTHLY: Decimal(amount)}, currency=currency, **more)


def grant(feature, **details):
    return PlanFeatureInput(feature=feature.id, details=PlanEntitlementDetails(**details))


def subscribed(world, name, **changes):
    """A customer's subscription of the plan's first version."""
    fields = {
        "id": name, "lineage": name, "customer_id": name, "plan_identifier": "pro", "plan_version": 1,
        "charge_period": "MONTHLY", "currency": "USD", "amount_units": 4900, "status": "active",
        "start_date": date(2026, 1, 31), "period_start": NOW, "period_end": None, "anchor": NOW,
        "created_on": NOW, "modified_on": NOW,
    }  # fmt: skip
    row = SubscriptionRow(**{**fields, **changes})
    world.state.subscriptions[name] = row
    return row


# Versions


async def test_a_new_plan_is_a_draft(kelviq, product, ask, world):
    plan = await kelviq.plans.create("Pro Monthly", product.id, description="All", ordering=3)
    assert (plan.identifier, plan.version, plan.is_latest, plan.is_visible) == ("pro-monthly", 1, False, True)
    assert (plan.ordering, plan.product, plan.created_on) == (3, product.id, NOW)
    with pytest.raises(Refusal):
        sellable(world, "pro-monthly")
    status, problem = ask("POST", "/catalog/plans/", {"name": "Pro monthly", "product": product.id})
    assert (status, list(problem)) == (400, ["identifier"])
    assert (await kelviq.products.retrieve(product.id)).plans == []


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": "X", "product": "none"}, "product"),
        ({"name": "X"}, "product"),
        ({"name": ""}, "name"),
        ({"name": "X", "identifier": "../x"}, "identifier"),
        ({"name": "X", "license": {"activationLimit": 0}}, "license"),
        ({"name": "X", "license": {"durationUnit": "HOUR"}}, "license"),
        ({"name": "X", "license": {"hasExpiry": True, "durationValue": 1}}, "license"),
        ({"name": "X", "links": [{"name": "Page", "url": "page"}]}, "links"),
        ({"name": "X", "fileKeys": ["tmp/1/none.pdf"]}, "fileKeys"),
    ],
)
async def test_what_cannot_be_is_refused_on_its_field(product, ask, world, body, field):
    given = {"product": product.id, **body} if field != "product" else body
    status, problem = ask("POST", "/catalog/plans/", given)
    assert (status, list(problem)) == (400, [field])
    assert not world.state.plans


async def test_a_draft_is_changed_in_place(kelviq, pro, world):
    world.clock.advance(hours=1)
    changed = await kelviq.plans.update("pro", name="Pro 2", metadata={"a": 1}, is_visible=False)
    assert (changed.version, changed.name, changed.metadata, changed.is_visible) == (
        1,
        "Pro 2",
        {"a": 1},
        False,
    )
    assert changed.modified_on > changed.created_on
    assert len(world.state.plans["pro"]) == 1


async def test_a_published_plan_gets_a_draft_that_carries_all_over(kelviq, product, pro, world):
    feature = await kelviq.features.create("Seats", "CUSTOMIZABLE")
    await kelviq.plans.add_features("pro", [grant(feature, value=5)])
    assert (await kelviq.plans.publish("pro")).status == "published"
    before = await kelviq.plans.retrieve("pro")
    assert before.is_latest
    world.clock.advance(days=1)
    draft = await kelviq.plans.update("pro", description="Better")
    assert (draft.version, draft.is_latest, draft.description) == (2, False, "Better")
    assert draft.created_on > before.created_on
    assert (await kelviq.plans.prices("pro", version=2)).results[0].currency == "USD"
    assert (await kelviq.plans.features("pro", version=2)).results[0].details.value == 5
    assert await kelviq.plans.retrieve("pro") == before
    assert (await kelviq.plans.retrieve("pro", version=2)).description == "Better"
    assert [row.version async for row in kelviq.plans.each()] == [2]
    assert (await kelviq.products.retrieve(product.id)).plans == ["pro"]
    await kelviq.plans.set_prices("pro", [monthly(59)])
    await kelviq.plans.publish("pro")
    assert [row.state for row in world.state.plans["pro"]] == ["superseded", "published"]
    assert sellable(world, "pro").version == 2
    assert price_for(plan_version(world, "pro", 1), "usd", "MONTHLY").base_units == 4900
    assert price_for(sellable(world, "pro"), "usd", "MONTHLY").base_units == 5900


async def test_only_the_newest_version_can_be_changed(kelviq, pro, ask):
    await kelviq.plans.publish("pro")
    assert (await kelviq.plans.update("pro", version=1, name="Pro 2")).version == 2
    assert (await kelviq.plans.update("pro", version=2, name="Pro 3")).version == 2
    status, problem = ask("PATCH", "/catalog/plans/pro/?version=1", {"name": "Pro 4"})
    assert (status, list(problem)) == (400, ["version"])
    assert ask("PATCH", "/catalog/plans/pro/?version=9", {"name": "Pro 4"})[0] == 404
    assert ask("GET", "/catalog/plans/pro/?version=9")[0] == 404


async def test_a_refused_change_leaves_no_draft(kelviq, pro, ask, world):
    await kelviq.plans.publish("pro")
    assert ask("PATCH", "/catalog/plans/pro/", {"name": " "})[0] == 400
    assert ask("POST", BULK, {"prices": [{"priceType": "GIFT"}]})[0] == 400
    grants = {"planEntitlements": [{"feature": "none", "details": {}}]}
    assert ask("POST", "/catalog/plans/pro/features/", grants)[0] == 400
    assert ask("DELETE", "/catalog/plans/pro/features/none/")[0] == 404
    assert ask("DELETE", "/catalog/plans/pro/file/none/")[0] == 404
    assert len(world.state.plans["pro"]) == 1


async def test_publishing_needs_a_draft_a_price_and_billing(kelviq, product, ask, world):
    await kelviq.plans.create("Pro", product.id)
    assert ask("POST", "/catalog/plans/pro/publish/") == (
        400,
        {"detail": "A plan needs a price before it can be published."},
    )
    await kelviq.plans.set_prices("pro", [monthly(49)])
    world.state.billing_ready = False
    with pytest.raises(PreconditionRequired):
        await kelviq.plans.publish("pro")
    world.state.billing_ready = True
    assert ask("POST", "/catalog/plans/pro/publish/") == (200, {"status": "published"})
    assert ask("POST", "/catalog/plans/pro/publish/")[0] == 400
    assert ask("POST", "/catalog/plans/none/publish/")[0] == 404


async def test_a_discarded_draft_is_as_if_it_had_never_been(kelviq, pro, ask, product):
    await kelviq.plans.publish("pro")
    assert ask("DELETE", "/catalog/plans/pro/discard/")[0] == 400
    await kelviq.plans.update("pro", name="Pro 2")
    assert ask("DELETE", "/catalog/plans/pro/discard/") == (204, None)
    assert [(row.version, row.name) async for row in kelviq.plans.each()] == [(1, "Pro")]
    await kelviq.plans.create("New", product.id)
    await kelviq.plans.discard_draft("new")
    assert ask("GET", "/catalog/plans/new/")[0] == 404
    assert (await kelviq.plans.create("New", product.id)).version == 1


async def test_who_has_an_archived_plan_keeps_it(kelviq, pro, ask, world):
    await kelviq.plans.publish("pro")
    assert ask("DELETE", "/catalog/plans/pro/") == (204, None)
    assert ask("DELETE", "/catalog/plans/pro/")[0] == 400
    assert ask("DELETE", "/catalog/plans/none/")[0] == 404
    assert (await kelviq.plans.list()).count == 0
    with pytest.raises(NotFound):
        await kelviq.plans.retrieve("pro")
    with pytest.raises(Refusal, match="not available"):
        sellable(world, "pro")
    assert plan_version(world, "pro", 1).prices


async def test_nothing_of_an_archived_product_is_sold(kelviq, product, pro, world, ask):
    await kelviq.plans.publish("pro")
    subscribed(world, "ada")
    assert ask("DELETE", f"/catalog/products/{product.id}/")[0] == 400
    world.state.subscriptions["ada"].status = "canceled"
    await kelviq.products.archive(product.id)
    assert (await kelviq.plans.list()).count == 0
    with pytest.raises(Refusal):
        sellable(world, "pro")


# Subscribers when a new version is published


@pytest.mark.parametrize(
    ("updates", "follows", "units"),
    [
        ({}, 1, 4900),
        ({"update_features": True}, 2, 4900),
        ({"update_pricing": True}, 1, 5900),
        ({"update_features": True, "update_pricing": True}, 2, 5900),
        ({"update_features": False, "update_pricing": False}, 1, 4900),
    ],
)
@pytest.mark.usefixtures("pro")
async def test_subscribers_follow_when_asked_to(kelviq, world, updates, follows, units):
    await kelviq.plans.publish("pro")
    ada, gone = subscribed(world, "ada"), subscribed(world, "gone", status="canceled")
    once = subscribed(world, "once", charge_period="ONE_TIME", amount_units=100)
    await kelviq.plans.set_prices("pro", [monthly(59)])
    await kelviq.plans.publish("pro", **updates)
    assert (ada.plan_version, ada.amount_units) == (follows, units)
    assert choice_of(world, ada).base_units == units
    assert (once.plan_version, once.amount_units) == (follows, 100)
    assert (gone.plan_version, gone.amount_units) == (1, 4900)
    assert ada is world.state.subscriptions["ada"]


async def test_new_prices_must_cover_who_is_to_pay_them(kelviq, pro, world, ask):
    await kelviq.plans.publish("pro")
    ada, eva = subscribed(world, "ada"), subscribed(world, "eva", currency="EUR")
    await kelviq.plans.set_prices("pro", [monthly(59)])
    path = "/catalog/plans/pro/publish/"
    assert ask("POST", path, {"updatePricing": True, "updateFeatures": True})[0] == 400
    assert (ada.plan_version, eva.plan_version, sellable(world, "pro").version) == (1, 1, 1)
    assert ask("POST", path, {"updateFeatures": True})[0] == 200
    assert (ada.plan_version, eva.plan_version, eva.price_version) == (2, 2, 1)


@pytest.mark.parametrize(
    ("updates", "changed"),
    [
        ({}, None),
        ({"update_features": True}, {"plan"}),
        ({"update_pricing": True}, {"amount", "amount_units"}),
        ({"update_features": True, "update_pricing": True}, {"plan", "amount", "amount_units"}),
    ],
)
async def test_whose_subscription_changes_is_told(shop, updates, changed):
    row = await shop.buy("pro")
    await shop.buy("enterprise", customer_id="somebody-else")
    await shop.kelviq.plans.set_prices("pro", [monthly(59)])
    shop.told.clear()
    await shop.kelviq.plans.publish("pro", **updates)
    told = [each.event for each in shop.told]
    assert [each["type"] for each in told] == ([] if changed is None else ["subscription.updated"])
    for event in told:
        assert event["data"]["object"]["id"] == row.id
        assert set(event["data"]["previous_attributes"]) == changed
        after = (event["data"]["object"]["plan"]["version"], event["data"]["object"]["amount_units"])
        assert after == (row.plan_version, row.amount_units)


async def test_of_what_stays_as_it_was_nobody_is_told(shop):
    await shop.buy("pro")
    await shop.buy("lifetime", ChargePeriod.ONE_TIME)
    for name in ("pro", "lifetime"):
        await shop.kelviq.plans.update(name, description="Better")
    shop.told.clear()
    await shop.kelviq.plans.publish("pro", update_pricing=True)
    await shop.kelviq.plans.publish("lifetime", update_features=True, update_pricing=True)
    assert shop.told == []  # the price is the same, and a one-time purchase is no subscription


async def test_an_amount_that_was_agreed_on_stays_so(shop):
    terms = {"tax_behavior": CheckoutTaxBehavior.EXCLUSIVE, "custom_amount": Decimal("12.34")}
    agreed = await shop.buy("pro", currency_code="USD", **terms)
    elsewhere = await shop.buy("pro", customer_id="eva", currency_code="EUR", **terms)
    listed = await shop.buy("pro", customer_id="bob")
    await shop.kelviq.plans.set_prices("pro", [monthly(59)])
    shop.told.clear()
    await shop.kelviq.plans.publish("pro", update_features=True, update_pricing=True)
    for row in (agreed, elsewhere):
        assert (row.amount_units, row.plan_version, row.price_version) == (1234, 2, 1)
    assert (listed.amount_units, listed.plan_version, listed.price_version) == (5900, 2, None)
    assert [set(each.event["data"]["previous_attributes"]) for each in shop.told] == [
        {"plan"},
        {"plan"},
        {"plan", "amount", "amount_units"},
    ]
    shop.world.clock.advance(days=31)
    totals = [order.subtotal_units for order in shop.orders() if order.is_renewal]
    assert sorted(totals) == [1234, 1234, 5900]


async def test_once_it_is_updated_it_costs_what_others_pay(shop):
    terms = {"tax_behavior": CheckoutTaxBehavior.EXCLUSIVE, "custom_amount": Decimal("12.34")}
    agreed = await shop.buy("pro", currency_code="USD", **terms)
    await shop.kelviq.subscriptions.update(agreed.id, "enterprise", ChargePeriod.MONTHLY)
    await shop.kelviq.plans.set_prices("enterprise", [monthly(250)])
    await shop.kelviq.plans.publish("enterprise", update_pricing=True)
    (now,) = await shop.current()
    assert now.amount == Decimal("250.00")


async def test_what_is_carried_over_is_reckoned_by_the_plan_it_was_left_over_from(shop):
    details = {"value": 100, "reset": "EVERY_MONTH", "rollover": {"enabled": True, "percentage": 50}}
    plans = shop.kelviq.plans
    await plans.update_feature("pro", "api-calls", PlanEntitlementDetails(**details))
    await plans.publish("pro")
    await shop.buy("pro")
    shop.world.clock.advance(days=28)  # nobody looks
    await plans.update_feature("pro", "api-calls", PlanEntitlementDetails(**{**details, "value": 1000}))
    await plans.publish("pro", update_features=True)
    (entry,) = (await shop.kelviq.entitlements.raw("user-123", feature_id="api-calls")).entitlements
    assert (entry.usage_limit, entry.remaining) == (1000, 1050)
