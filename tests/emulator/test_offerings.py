import json
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from kelviq_async import Kelviq, PlanPriceInput, TaxCode
from kelviq_async.api.customers import BillingAddress
from kelviq_async.api.plans import PlanEntitlementDetails, PlanFeatureInput
from kelviq_async.api.prices import CatalogChargePeriod as Every
from kelviq_async.emulator import World
from kelviq_async.emulator.state import SubscriptionRow
from kelviq_async.transport import WireRequest

NOW = datetime(2026, 1, 31, tzinfo=UTC)
JSON_FLAT = {"priceModel": "FLAT", "charges": [{"chargePeriod": "QUARTERLY", "priceData": {"amount": 25}}]}


@pytest.fixture
def world():
    return World(now=NOW, strict=True)


@pytest.fixture
async def kelviq(world):
    async with Kelviq.local(world) as client:
        yield client


def flat(amount, currency="USD", trial_days=0):
    amounts = {Every.MONTHLY: Decimal(amount), Every.YEARLY: Decimal(amount) * 10}
    return PlanPriceInput.flat(amounts, currency=currency, trial_days=trial_days)


async def plan(kelviq, product, identifier, prices, *, ordering=1):
    await kelviq.plans.create(identifier.title(), product.id, identifier=identifier, ordering=ordering)
    await kelviq.plans.set_prices(identifier, prices)


@pytest.fixture
async def product(kelviq):
    product = await kelviq.products.create("Suite", TaxCode.SAAS)
    feature = await kelviq.features.create("Export", "BOOLEAN")
    await plan(kelviq, product, "pro", [flat("19.50", trial_days=7), flat("1500", "INR")], ordering=2)
    grant = PlanFeatureInput(feature=feature.id, details=PlanEntitlementDetails(value=True))
    await kelviq.plans.add_features("pro", [grant])
    await plan(kelviq, product, "free", [PlanPriceInput.free()], ordering=1)
    await plan(kelviq, product, "draft", [flat(1)])
    for name in ("pro", "free"):
        await kelviq.plans.publish(name)
    return product


async def test_published_plans_are_offered_in_their_order(kelviq, product):
    offering = await kelviq.offerings.get(product.id)
    assert [each.identifier for each in offering.plans] == ["free", "pro"]
    free, pro = offering.plans
    assert (free.price.price_type, free.original_price) == ("FREE", {"ONE_TIME": 0})
    assert (pro.price.free_trial, pro.price.trial_period, pro.price.currency) == (True, 7, "USD")
    assert [(each.charge_period, each.feature_quantity_price) for each in pro.price.charges] == [
        ("MONTHLY", Decimal("19.50")),
        ("YEARLY", Decimal("195.00")),
    ]
    assert [(each["identifier"], each["value"]) for each in pro.features] == [("export", True)]
    assert [(each.charge_period, each.display_name) for each in offering.billing_periods] == [
        ("ONE_TIME", "One Time"),
        ("MONTHLY", "Monthly"),
        ("YEARLY", "Yearly"),
    ]
    assert (offering.country_code, offering.currency_code, offering.pricing_locale) == ("US", "USD", "en-US")
    assert not offering.is_customer_exists
    assert not offering.subscription.has_previous_subscription


async def test_ids_stay_the_same_from_call_to_call(kelviq, product):
    assert await kelviq.offerings.get(product.id) == await kelviq.offerings.get(product.id)


async def test_only_the_plans_that_were_asked_for(kelviq, product):
    offering = await kelviq.offerings.get(product.id, plans_enabled="pro, nothing")
    assert [each.identifier for each in offering.plans] == ["pro"]
    assert [each.charge_period for each in offering.billing_periods] == ["MONTHLY", "YEARLY"]


async def test_the_ip_address_decides_on_the_currency(kelviq, product, world):
    offering = await kelviq.offerings.get(product.id, ip_address="103.154.35.20")
    assert (offering.country_code, offering.currency_code, offering.currency_symbol) == ("IN", "INR", "₹")
    assert offering.base_currency_code == "USD"
    assert [each.price.currency for each in offering.plans] == ["USD", "INR"]
    assert offering.plans[1].original_price == {"MONTHLY": 1500, "YEARLY": 15000}
    world.state.ip_countries["103.154."] = "FR"
    offering = await kelviq.offerings.get(product.id, ip_address="103.154.35.20")
    assert (offering.country_code, offering.currency_code, offering.pricing_locale) == ("FR", "USD", "fr-FR")


async def test_else_the_billing_country_of_the_customer_does(kelviq, product):
    await kelviq.customers.create("user-1", billing_address=BillingAddress(country="in"))
    offering = await kelviq.offerings.get(product.id, customer_id="user-1")
    assert (offering.country_code, offering.currency_code) == ("IN", "INR")
    assert offering.is_customer_exists
    offering = await kelviq.offerings.get(product.id, customer_id="user-1", ip_address="8.8.8.8")
    assert offering.country_code == "US"


async def test_what_the_customer_has_is_told(kelviq, product, world):
    await kelviq.customers.create("user-1")
    row = SubscriptionRow(
        id="s1", lineage="s1", customer_id="user-1", plan_identifier="pro", plan_version=1,
        charge_period="MONTHLY", currency="USD", amount_units=1950, status="active", anchor=NOW,
        start_date=date(2026, 1, 31), period_start=NOW, period_end=None, created_on=NOW, modified_on=NOW,
    )  # fmt: skip
    world.state.subscriptions["s1"] = row
    mine = (await kelviq.offerings.get(product.id, customer_id="user-1")).subscription
    assert (
        mine.has_previous_subscription,
        mine.plan_identifier,
        mine.subscription_id,
        mine.charge_period,
    ) == (
        True,
        "pro",
        "s1",
        "MONTHLY",
    )
    row.status = "canceled"
    mine = (await kelviq.offerings.get(product.id, customer_id="user-1")).subscription
    assert (mine.has_previous_subscription, mine.plan_identifier) == (True, None)
    other = (await kelviq.offerings.get(product.id, customer_id="user-2")).subscription
    assert not other.has_previous_subscription


async def test_a_plan_that_costs_what_its_features_cost(kelviq, product, world):
    seats = await kelviq.features.create("Seats", "CUSTOMIZABLE")
    await kelviq.plans.create("Team", product.id)
    body = {"prices": [{"priceType": "PAID", "chargeCatalogPrice": [{**JSON_FLAT, "feature": seats.id}]}]}
    headers = {"Authorization": f"Bearer {world.server_key}", "Content-Type": "application/json"}
    url = "http://localhost/api/v1/catalog/plans/team/prices/bulk/"
    assert world.handle(WireRequest("POST", url, headers, json.dumps(body).encode())).status == 200
    await kelviq.plans.publish("team")
    (team,) = (await kelviq.offerings.get(product.id, plans_enabled="team")).plans
    assert team.original_price == {"QUARTERLY": 0}
    assert team.price.charges[0].feature_quantity_price == 25


def test_an_unknown_product_is_a_404_of_its_own_shape(world):
    headers = {"Authorization": f"Bearer {world.server_key}", "Content-Type": "application/json"}
    answer = world.handle(
        WireRequest("GET", "http://localhost/api/v1/monetization/product-offering/x/", headers)
    )
    assert answer.status == 404
    assert set(json.loads(answer.body)) == {"status", "message"}
