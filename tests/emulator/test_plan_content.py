import json
from datetime import UTC, datetime
from decimal import Decimal
from urllib.parse import unquote

import pytest

from kelviq_async import Kelviq, NotFound, PlanPriceInput, TaxCode
from kelviq_async.api.prices import CatalogChargePeriod as Every
from kelviq_async.emulator import World
from kelviq_async.emulator.catalog import amount_units, price_for, sellable, usage_units
from kelviq_async.emulator.refusals import Refusal
from kelviq_async.emulator.storage import FILES, store, stored
from kelviq_async.transport import WireRequest

NOW = datetime(2026, 1, 31, tzinfo=UTC)
METER = {"featureSubType": "PRE_AGGREGATED_USAGE", "units": {}}
BULK = "/catalog/plans/pro/prices/bulk/"
FEATURES = "/catalog/plans/pro/features/"


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


# Prices


async def test_prices_are_replaced_as_a_whole(kelviq, pro, ask):
    prices = await kelviq.plans.set_prices("pro", [monthly("9.99", "eur"), PlanPriceInput.free()])
    assert [(price.currency, price.price_type, price.enabled) for price in prices.prices] == [
        ("EUR", "PAID", True),
        ("USD", "FREE", True),
    ]
    status, page = ask("GET", "/catalog/plans/pro/prices/")
    assert (status, page["count"], page["next"], page["previous"]) == (200, 2, None, None)
    assert page["results"][0]["chargeCatalogPrice"][0]["charges"][0]["priceData"] == {"amount": 9.99}
    assert (await kelviq.plans.set_prices("pro", [])).prices == []


async def test_money_is_kept_digit_by_digit(kelviq, pro, world):
    amount = Decimal("1234567890123456.7800000000000001")
    await kelviq.plans.set_prices("pro", [monthly(amount)])
    (row,) = world.state.plans["pro"]
    assert row.prices[0]["chargeCatalogPrice"][0]["charges"][0]["priceData"]["amount"] == amount
    listed = (await kelviq.plans.prices("pro")).results[0]
    assert listed.charge_catalog_price[0].charges[0].price_data["amount"] == amount


def charge(period="MONTHLY", amount=10, **more):
    return {"chargePeriod": period, "priceData": {"amount": amount}, **more}


def paid(*charges, **more):
    part = {"priceModel": "FLAT", "charges": list(charges)}
    return {"priceType": "PAID", "currency": "USD", "chargeCatalogPrice": [part], **more}


def parts(*found):
    priced = [{"charges": [charge()], **part} for part in found]
    return {"priceType": "PAID", "currency": "USD", "chargeCatalogPrice": priced}


@pytest.mark.parametrize(
    "prices",
    [
        [paid(charge()), paid(charge(), currency="usd")],
        [paid()],
        [paid(charge("FORTNIGHTLY"))],
        [paid(charge("QUARTERLY"), charge("THREE_MONTHS"))],
        [paid(charge(amount=-1))],
        [paid(charge(amount="ten"))],
        [paid({"chargePeriod": "MONTHLY", "priceData": {}})],
        [paid(charge(), currency="DOLLAR")],
        [paid(charge("ONE_TIME"), freeTrial=True, trialPeriod=7)],
        [paid(charge(), freeTrial=True, trialPeriod=0)],
        [paid(charge(), trialPeriod=-1)],
        [paid(charge(), trialPeriod=10**9)],
        [paid(charge(), taxBehavior="MAYBE")],
        [paid(charge(advanced={"min_quantity": 2}))],
        [{"priceType": "FREE", "freeTrial": True, "trialPeriod": 7}],
        [{"priceType": "GIFT"}],
        [{}],
        [parts({"priceModel": "PACKAGE"})],
        [parts({"priceModel": "LUMP"})],
        [parts({"feature": "none"})],
        [parts({}, {})],
        [parts({"reset": "NOW"})],
        [parts({"paymentType": "LATER"})],
        [parts({"rollover": {"enabled": True, "percentage": 101}})],
        [parts({"usageAlerts": {"enabled": True, "thresholdType": "PERCENTAGE", "thresholds": [101]}})],
    ],
)
async def test_prices_that_cannot_be_are_refused(pro, ask, prices):
    status, problem = ask("POST", BULK, {"prices": prices})
    assert (status, list(problem)) == (400, ["prices"])
    assert ask("GET", "/catalog/plans/pro/prices/")[1]["results"][0]["currency"] == "USD"


@pytest.mark.parametrize(
    ("model", "charges"),
    [
        ("TIERED", {"tiers": []}),
        ("VOLUME", {"tiers": [{"unitAmount": 1, "upTo": 5}, {"unitAmount": 2, "upTo": 5}]}),
        ("STAIRSTEP", {"tiers": [{"unitAmount": 1, "upTo": "inf"}]}),
        ("PACKAGE", {"priceData": {"amount": 1, "block_size": 0}}),
        ("FLAT", {"priceData": {"amount": 1}, "advanced": {"min_quantity": 5, "max_quantity": 2}}),
        ("FLAT", {"priceData": {"amount": 1}, "advanced": {"min_quantity": "some"}}),
    ],
)
async def test_a_model_needs_its_figures(kelviq, pro, ask, model, charges):
    feature = await kelviq.features.create("Seats", "CUSTOMIZABLE")
    part = {"feature": feature.id, "priceModel": model, "charges": [{"chargePeriod": "MONTHLY", **charges}]}
    status, problem = ask("POST", BULK, {"prices": [{"priceType": "PAID", "chargeCatalogPrice": [part]}]})
    assert (status, list(problem)) == (400, ["prices"])


async def test_both_sets_of_charge_periods_are_sold(pro, ask, world):
    periods = ["QUARTERLY", "WEEKLY", "TWENTY_EIGHT_DAYS", "SIX_MONTHS", "ONE_TIME", "DAILY", "YEARLY"]
    price = paid(*(charge(period) for period in periods), freeTrial=True, trialPeriod=14)
    assert ask("POST", BULK, {"prices": [price]})[0] == 200
    assert ask("POST", "/catalog/plans/pro/publish/")[0] == 200
    plan = sellable(world, "pro")
    for period in ("QUARTERLY", "THREE_MONTHS"):
        choice = price_for(plan, "Usd", period)
        assert (choice.charge_period, choice.base_units, choice.trial_days) == ("THREE_MONTHS", 1000, 14)
    once = price_for(plan, None, "ONE_TIME")
    assert (once.trial_days, once.recurring) == (0, False)
    with pytest.raises(Refusal) as refused:
        price_for(plan, "USD", "MONTHLY")
    assert list(refused.value.body) == ["chargePeriod"]
    with pytest.raises(Refusal) as refused:
        price_for(plan, "JPY", "YEARLY")
    assert list(refused.value.body) == ["currencyCode"]


async def test_what_is_free_is_sold_once_in_any_currency(kelviq, product, world):
    await kelviq.plans.create("Free", product.id)
    await kelviq.plans.set_prices("free", [PlanPriceInput.free()])
    await kelviq.plans.publish("free")
    choice = price_for(sellable(world, "free"), "jpy", "ONE_TIME")
    assert (choice.price_type, choice.currency, choice.base_units) == ("FREE", "JPY", 0)
    assert amount_units(choice, {}, world.state) == 0
    with pytest.raises(Refusal, match="MONTHLY"):
        price_for(sellable(world, "free"), None, "MONTHLY")


async def test_a_disabled_price_is_on_sale_once_the_product_has_its_currency(
    kelviq, product, pro, ask, world
):
    both = [paid(charge()), paid(charge(amount=9), currency="EUR", enabled=False)]
    assert ask("POST", BULK, {"prices": both})[0] == 200
    await kelviq.plans.publish("pro")
    with pytest.raises(Refusal):
        price_for(sellable(world, "pro"), "EUR", "MONTHLY")
    await kelviq.products.update_settings(product.id, currency="EUR")
    assert price_for(sellable(world, "pro"), "EUR", "MONTHLY").base_units == 900


async def test_what_is_paid_in_advance_and_what_afterwards(kelviq, pro, ask, world):
    seats = await kelviq.features.create("Seats", "CUSTOMIZABLE")
    calls = await kelviq.features.create("Calls", "METER", feature_details=METER)
    tiers = [{"unitAmount": 0.1, "upTo": 1000}, {"unitAmount": 0.05, "upTo": "inf"}]
    parts = [
        {"priceModel": "FLAT", "charges": [charge(amount=49)]},
        {
            "feature": seats.id,
            "priceModel": "FLAT",
            "paymentType": "ADVANCE_COMMITMENT",
            "charges": [charge(amount=9.995, advanced={"min_quantity": 2, "max_quantity": 10})],
        },
        {
            "feature": calls.id,
            "priceModel": "TIERED",
            "paymentType": "PAY_AS_YOU_GO",
            "charges": [{"chargePeriod": "MONTHLY", "priceData": {"currency": "USD"}, "tiers": tiers}],
        },
    ]
    assert ask("POST", BULK, {"prices": [{"priceType": "PAID", "chargeCatalogPrice": parts}]})[0] == 200
    await kelviq.plans.publish("pro")
    choice = price_for(sellable(world, "pro"), None, "MONTHLY")
    assert choice.charges[calls.id]["priceModel"] == "TIERED"
    assert amount_units(choice, {}, world.state) == 4900 + 1999
    assert amount_units(choice, {"seats": 3}, world.state) == 7899  # 49 + 29.985, rounded once
    assert amount_units(choice, {seats.id: 10}, world.state) == 14895
    assert usage_units(choice, {calls.id: 3500, seats.id: 10}) == 22500
    for quantities in ({"seats": 1}, {"seats": 11}, {"seats": -1}, {"none": 1}):
        with pytest.raises(Refusal) as refused:
            amount_units(choice, quantities, world.state)
        assert list(refused.value.body) == ["features"]


# Features


@pytest.fixture
async def features(kelviq):
    kinds = ("BOOLEAN", "CUSTOMIZABLE", "METER")
    return {
        kind: await kelviq.features.create(
            kind.title(), kind, feature_details=METER if kind == "METER" else {}
        )
        for kind in kinds
    }


def granted(feature, **details):
    return {"feature": feature.id, "details": details}


async def test_features_are_added_listed_changed_and_removed(pro, ask, features, world):
    on, value, meter = features.values()
    grants = [
        granted(on),
        granted(value, value=5),
        granted(meter, value=100, reset="EVERY_MONTH", hardLimit=True),
    ]
    status, plan = ask("POST", FEATURES, {"planEntitlements": grants})
    assert (status, plan["identifier"]) == (201, "pro")
    status, page = ask("GET", FEATURES)
    assert (status, page["count"], page["next"]) == (200, 3, None)
    assert [(row["feature"]["identifier"], row["details"]) for row in page["results"]] == [
        ("boolean", {"value": True, "resetTime": None}),
        ("customizable", {"value": 5, "resetTime": None}),
        ("meter", {"value": 100, "reset": "EVERY_MONTH", "hardLimit": True, "resetTime": None}),
    ]
    change = {"details": {"value": 20000, "hasUnlimitedUsage": False}}
    status, answer = ask("PATCH", f"{FEATURES}meter/", change)
    assert (status, set(answer)) == (200, {"details"})
    assert (
        answer["details"].items()
        >= {"value": 20000, "hasUnlimitedUsage": False, "reset": "EVERY_MONTH"}.items()
    )
    assert ask("PATCH", f"{FEATURES}{meter.id}/", {"details": {"value": 7}})[1]["details"]["value"] == 7
    assert ask("DELETE", f"{FEATURES}boolean/") == (204, None)
    assert ask("DELETE", f"{FEATURES}boolean/")[0] == 404
    assert ask("PATCH", f"{FEATURES}none/", change)[0] == 404
    assert ask("GET", FEATURES)[1]["count"] == 2
    assert len(world.state.plans["pro"]) == 1


async def test_features_of_a_published_plan_change_in_its_draft(kelviq, pro, ask, features, world):
    value = features["CUSTOMIZABLE"]
    ask("POST", FEATURES, {"planEntitlements": [granted(value, value=5)]})
    await kelviq.plans.publish("pro")
    ask("PATCH", f"{FEATURES}customizable/", {"details": {"value": 9}})
    assert [row.features[value.id]["value"] for row in world.state.plans["pro"]] == [5, 9]
    assert ask("GET", FEATURES)[1]["results"][0]["details"]["value"] == 5
    assert ask("GET", f"{FEATURES}?version=2")[1]["results"][0]["details"]["value"] == 9
    await kelviq.plans.discard_draft("pro")
    assert ask("DELETE", f"{FEATURES}customizable/")[0] == 204
    assert [len(row.features) for row in world.state.plans["pro"]] == [1, 0]


@pytest.mark.parametrize(
    ("kind", "details"),
    [
        ("BOOLEAN", {"value": 1}),
        ("BOOLEAN", {"value": "true"}),
        ("CUSTOMIZABLE", {}),
        ("CUSTOMIZABLE", {"value": True}),
        ("CUSTOMIZABLE", {"value": "5"}),
        ("CUSTOMIZABLE", {"value": 5.5}),
        ("METER", {}),
        ("METER", {"value": -1}),
        ("METER", {"value": {}}),
        ("METER", {"value": 1, "reset": "SOMETIMES"}),
        ("METER", {"value": 1, "rollover": {"enabled": True, "percentage": 101}}),
        (
            "METER",
            {"value": 1, "usageAlerts": {"enabled": True, "thresholdType": "BALANCE", "thresholds": [0]}},
        ),
    ],
)
async def test_what_is_granted_has_to_fit_the_type(pro, ask, features, kind, details):
    other = features["CUSTOMIZABLE" if kind == "BOOLEAN" else "BOOLEAN"]
    both = [granted(other, value=1 if kind == "BOOLEAN" else True), granted(features[kind], **details)]
    status, problem = ask("POST", FEATURES, {"planEntitlements": both})
    assert (status, list(problem)) == (400, ["planEntitlements"])
    assert ask("GET", FEATURES)[1]["count"] == 0


async def test_unlimited_takes_no_number(pro, ask, features):
    grants = [granted(features["METER"], hasUnlimitedUsage=True)]
    assert ask("POST", FEATURES, {"planEntitlements": grants})[0] == 201
    status, problem = ask("POST", FEATURES, {"planEntitlements": grants})
    assert (status, list(problem)) == (400, ["planEntitlements"])


async def test_what_is_archived_is_not_granted_any_more(kelviq, pro, ask, features):
    await kelviq.features.archive(features["BOOLEAN"].id)
    assert ask("POST", FEATURES, {"planEntitlements": [granted(features["BOOLEAN"])]})[0] == 400


# Files


async def uploaded(world, kelviq, name, content=b"terms"):
    place = await kelviq.media.create_upload(name, "text/plain")
    store(world, place.file_key, content)
    return place.file_key


def fetched(world, url):
    """The content behind a download address, by way of its redirect and without a key."""
    answer = world.handle(WireRequest("GET", url, {}))
    assert (answer.status, answer.body) == (302, b"")
    return kept(world, answer.headers["Location"])


def kept(world, url):
    return stored(world, unquote(url.removeprefix(f"http://localhost{FILES}")))


async def test_files_are_handed_out_to_whoever_has_the_address(kelviq, product, world):
    keys = [await uploaded(world, kelviq, "terms.pdf"), await uploaded(world, kelviq, "more.txt", b"more")]
    plan = await kelviq.plans.create("Pro", product.id, file_keys=keys)
    assert [(file.name, file.ordering, file.enabled) for file in plan.files] == [
        ("terms.pdf", 0, True),
        ("more.txt", 1, True),
    ]
    assert fetched(world, plan.files[1].download_url) == b"more"
    assert kept(world, plan.files[0].file) == b"terms"
    assert (await kelviq.plans.locate_file("pro", plan.files[0].id)).url.endswith("/terms.pdf")
    with pytest.raises(NotFound):
        await kelviq.plans.locate_file("pro", "none")
    with pytest.raises(NotFound):
        await kelviq.plans.locate_file("none", plan.files[0].id)


async def test_files_of_a_published_plan_change_in_its_draft(kelviq, pro, ask, world):
    plan = await kelviq.plans.update("pro", file_keys=[await uploaded(world, kelviq, "terms.pdf")])
    await kelviq.plans.publish("pro")
    file = plan.files[0]
    changed = await kelviq.plans.update_file("pro", file.id, name="Terms.pdf", ordering=3, enabled=False)
    assert (changed.id, changed.name, changed.ordering, changed.enabled) == (file.id, "Terms.pdf", 3, False)
    plan = await kelviq.plans.update("pro", file_keys=[await uploaded(world, kelviq, "more.txt")])
    assert [each.ordering for each in plan.files] == [3, 4]
    assert (await kelviq.plans.retrieve("pro")).files == [file]
    assert ask("DELETE", f"/catalog/plans/pro/file/{file.id}/") == (204, None)
    assert ask("DELETE", f"/catalog/plans/pro/file/{file.id}/")[0] == 404
    assert fetched(world, file.download_url) == b"terms"
    await kelviq.plans.archive("pro")
    assert fetched(world, file.download_url) == b"terms"
