"""Keeping a world and filling one: snapshots that lose nothing, and seeds that are all or nothing."""

import copy
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from kelviq_async import Kelviq, codec
from kelviq_async.emulator import World
from kelviq_async.errors import BadRequest

START = datetime(2026, 1, 31, 10, tzinfo=UTC)
SEED = {
    "products": [{"identifier": "app", "name": "App", "taxCode": "saas"}],
    "features": [
        {"identifier": "export-data", "featureType": "BOOLEAN"},
        {"identifier": "max-projects", "featureType": "METER"},
    ],
    "plans": [
        {
            "identifier": "pro",
            "product": "app",
            "name": "Pro",
            "prices": {"MONTHLY": "49.00", "YEARLY": "490.00"},
            "license": {"enabled": True},
            "features": {"export-data": True, "max-projects": {"value": 100, "reset": "EVERY_MONTH"}},
        },
        {"identifier": "free", "features": {"max-projects": 3}},
        {"identifier": "next", "prices": {"MONTHLY": 9.99}, "published": False},
    ],
    "promotions": [{"code": "LAUNCH", "percentage": 20}],
    "customers": [
        {"customerId": "user-123", "name": "Ada", "metadata": {"$decimal": "mine", "rate": Decimal("1.10")}}
    ],
    "subscriptions": [
        {"customerId": "user-123", "plan": "pro"},
        {"customerId": "new-one", "plan": "free"},
    ],
}


@pytest.fixture
async def world():
    made = World(now=START)
    made.webhooks.capture(answer=500)
    made.seed_from(SEED)
    async with Kelviq.local(made) as kelviq:
        await kelviq.usage.report(7, "user-123", "max-projects", "DELTA")
        await kelviq.usage.event("user-123", "login", "key-1", START, properties={"ratio": Decimal("0.5")})
    return made


def as_file(world):
    """A snapshot as it comes back from a file, either way the file may be read."""
    text = json.dumps(world.snapshot())
    return json.loads(text)


def test_a_snapshot_is_plain_json_and_restores_to_itself(world):
    data = as_file(world)
    assert data == world.snapshot()
    assert data["version"] == 1
    other = World(now=START - timedelta(days=99))
    other.restore(data)
    assert other.state == world.state
    assert other.now() == world.now()
    assert other.snapshot() == data


def test_a_snapshot_can_be_read_with_decimals(world):
    other = World()
    other.restore(codec.decode(codec.encode(world.snapshot())))
    assert other.state == world.state


def test_what_users_brought_comes_back_exactly(world):
    other = World()
    other.restore(as_file(world))
    assert other.state.customers["user-123"].metadata == {"$decimal": "mine", "rate": Decimal("1.10")}
    assert str(other.state.customers["user-123"].metadata["rate"]) == "1.10"


async def test_a_restored_world_goes_on_as_the_first_would_have(world):
    other = World()
    other.restore(as_file(world))
    for each in (world, other):
        each.clock.advance(days=31)
        async with Kelviq.local(each) as kelviq:
            await kelviq.customers.create("late")
            await kelviq.usage.report(2, "user-123", "max-projects", "DELTA")
        assert each.crashes == []
    # the first world's endpoint answers where the other's waits for somebody who posts
    assert other.state.subscriptions == world.state.subscriptions
    assert other.state.usage[0] == world.state.usage[0]
    ids = [each.id for each in other.state.customers.values()]
    assert len(set(ids)) == len(ids)


async def test_what_was_due_is_due_again(world):
    other = World()
    other.restore(as_file(world))
    pending = len(other.webhooks.pending())
    assert pending == len(world.deliveries) > 0
    sent = []

    async def post(url, headers, body):
        sent.append(headers["webhook-id"])
        return 200

    other.webhooks.sender = post
    other.clock.advance(minutes=1)
    assert await other.webhooks.deliver_due() == pending == len(sent)


def test_no_key_is_in_a_snapshot():
    world = World(server_key="sk-secret-1", client_key="ck-secret-2", partner_key="pk-secret-3")
    assert "secret" not in json.dumps(world.snapshot())


def drop(data, *path):
    *way, last = path
    for step in way:
        data = data[step]
    del data[last]


def put(value, *path):
    def change(data):
        *way, last = path
        for step in way:
            data = data[step] if not isinstance(step, int) else list(data.values())[step]
        data[last] = value

    return change


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (lambda data: data.clear(), "no snapshot"),
        (put(2, "version"), "version 2"),
        (put("1", "version"), "version '1'"),
        (lambda data: drop(data, "now"), "damaged"),
        (put("yesterday", "now"), "damaged"),
        (put("2026-01-31T10:00:00", "now"), "time zone"),
        (put(None, "state"), "damaged"),
        (put({}, "state"), "customers"),
        (lambda data: drop(data, "state", "meters"), "meters"),
        (put({}, "state", "colour"), "colour"),
        (put([], "state", "customers"), "damaged"),
        (put(5, "state", "customers", 0, "name"), "str expected"),
        (put("2026", "state", "subscriptions", 0, "amount_units"), "damaged"),
        (put(True, "state", "subscriptions", 0, "period_index"), "int expected"),
        (put("nobody", "state", "subscriptions", 0, "customer_id"), "no customer"),
        (put([], "state", "customers", 0, "metadata"), "damaged"),
        (put([3, [1, 2], None], "chance"), "damaged"),
        (put(None, "chance"), "damaged"),
        (lambda data: data["state"]["agenda"][0].update(kind="doom"), "doom"),
    ],
)
async def test_a_damaged_snapshot_is_refused_and_changes_nothing(world, harm, reason):
    before = as_file(world)
    data = copy.deepcopy(before)
    harm(data)
    with pytest.raises(ValueError, match=reason):
        world.restore(data)
    assert as_file(world) == before


@pytest.mark.parametrize("data", [None, [], "text", 5, {"state": {}}])
def test_what_is_no_snapshot_is_refused(data):
    with pytest.raises(ValueError, match="no snapshot"):
        World().restore(data)


@pytest.mark.parametrize("place", range(0, 20_000, 997))
async def test_a_cut_off_snapshot_never_gets_in(world, place):
    text = json.dumps(world.snapshot())
    with pytest.raises(ValueError):  # noqa: PT011  json's own
        World().restore(json.loads(text[:place]))


# Seeds


async def test_a_seed_fills_a_world(world):
    async with Kelviq.local(world) as kelviq:
        assert [each.identifier async for each in kelviq.plans.each()] == ["next", "free", "pro"]
        (subscription,) = (await kelviq.subscriptions.list(customer_id="user-123")).results
        assert (subscription.status, subscription.amount) == ("active", Decimal("49.00"))
        assert (await kelviq.customers.retrieve("user-123")).name == "Ada"
        assert (await kelviq.customers.retrieve("new-one")).customer_id == "new-one"
        assert len((await kelviq.entitlements.raw("new-one")).entitlements) == 1
        assert (await kelviq.features.list()).results[0].name == "Max projects"
        link = await kelviq.checkout.create_session(
            "pro", "YEARLY", "https://example.com", customer_id="user-9", discount_code="launch"
        )
        assert world.pay(link.checkout_session_id).status == "success"
    assert world.crashes == []


def test_a_seed_needs_nothing_but_what_it_is_about():
    world = World()
    world.seed_from({"plans": [{"identifier": "pro"}]})
    assert [row.identifier for row in world.state.products.values()] == ["product"]
    world.seed_from({"customers": [{"customerId": "a"}]})
    world.seed_from({})
    assert list(world.state.customers) == ["a"]


def test_prices_can_be_given_as_the_api_takes_them():
    world = World()
    world.seed_from(
        {
            "features": [{"identifier": "seats", "featureType": "CUSTOMIZABLE"}],
            "plans": [
                {
                    "identifier": "team",
                    "features": {"seats": 1},
                    "prices": [
                        {
                            "priceType": "PAID",
                            "currency": "EUR",
                            "chargeCatalogPrice": [
                                {
                                    "feature": "seats",
                                    "priceModel": "FLAT",
                                    "charges": [{"chargePeriod": "MONTHLY", "priceData": {"amount": "5"}}],
                                }
                            ],
                        }
                    ],
                }
            ],
            "subscriptions": [{"customerId": "a", "plan": "team", "quantities": {"seats": 3}}],
        }
    )
    (row,) = world.state.subscriptions.values()
    assert (row.amount_units, row.currency, row.quantities) == (1500, "EUR", {"seats": 3})


def test_a_trial_can_be_given():
    world = World(now=START)
    world.seed_from(
        {
            "plans": [{"identifier": "pro", "prices": {"MONTHLY": "49"}, "trialDays": 14, "currency": "EUR"}],
            "subscriptions": [{"customerId": "a", "plan": "pro"}],
        }
    )
    (row,) = world.state.subscriptions.values()
    assert (row.status, row.trial_end) == ("trialing", START + timedelta(days=14))


@pytest.mark.parametrize(
    ("seed", "place"),
    [
        ([], "the seed: an object"),
        ({"plan": []}, "the seed: there is no part plan"),
        ({"plans": {}}, "plans: a list"),
        ({"plans": ["pro"]}, r"plans\[0\]: an object"),
        ({"plans": [{"name": "Pro"}]}, r"plans\[0\]: 'identifier' is missing"),
        ({"plans": [{"identifier": "a"}, {"identifier": "a"}]}, r"plans\[1\]: identifier: .*taken"),
        ({"plans": [{"identifier": "a", "colour": "red"}]}, r"plans\[0\]: colour is not known"),
        ({"plans": [{"identifier": "a", "product": "none"}]}, r'plans\[0\]: there is no product "none"'),
        ({"plans": [{"identifier": "a", "features": {"x": 1}}]}, r'plans\[0\]: there is no feature "x"'),
        ({"plans": [{"identifier": "a", "prices": {"MONTHLY": "much"}}]}, r"plans\[0\]"),
        ({"plans": [{"identifier": "a", "prices": {"FORTNIGHTLY": 5}}]}, r"plans\[0\]: .*FORTNIGHTLY"),
        ({"plans": [{"identifier": "a", "prices": 5}]}, r"plans\[0\]"),
        ({"features": [{"identifier": "a", "featureType": "SWITCH"}]}, r"features\[0\]: featureType"),
        ({"customers": [{"customer_id": "a"}]}, r"customers\[0\]: customer_id is spelled customerId"),
        ({"customers": [{}]}, r"customers\[0\]: customerId"),
        ({"subscriptions": [{"customerId": "a", "plan": "b"}]}, r'subscriptions\[0\]: .*"b" is unknown'),
        ({"subscriptions": [{"customerId": "a"}]}, r"subscriptions\[0\]: 'plan' is missing"),
        ({"subscriptions": [{"customerId": "a", "plan": "b", "colour": 1}]}, r"subscriptions\[0\]: .*colour"),
        ({"promotions": [{"code": "A"}]}, r"promotions\[0\]: .*either"),
        ({"promotions": [{"code": "A", "percentage": -5}]}, r"promotions\[0\]"),
        ({"promotions": [{"percentage": 5}]}, r"promotions\[0\]: 'code' is missing"),
        ({"promotions": [{"code": "A", "precentage": 5}]}, r"promotions\[0\]: .*precentage"),
    ],
)
def test_a_seed_that_cannot_be_names_the_place_and_does_nothing(seed, place):
    world = World(now=START)
    world.seed_from({"customers": [{"customerId": "first"}]})
    before = world.snapshot()
    with pytest.raises(ValueError, match=place):
        world.seed_from(seed)
    assert world.snapshot() == before


def test_a_seed_that_fails_at_its_end_leaves_nothing_of_its_beginning():
    world = World(now=START)
    before = world.snapshot()
    plans = [{"identifier": "pro", "prices": {"MONTHLY": 49}}]
    bad = [{"customerId": "a", "plan": "pro", "card": "4000 0000 0000 0002"}]
    with pytest.raises(ValueError, match=r"subscriptions\[0\]: Your card was declined"):
        world.seed_from({"plans": plans, "subscriptions": bad})
    assert world.snapshot() == before


async def test_seeds_come_again_where_nothing_is_in_their_way():
    world = World(now=START)
    world.seed_from(SEED)
    with pytest.raises(ValueError, match="taken"):
        world.seed_from(SEED)
    async with Kelviq.local(world) as kelviq:
        with pytest.raises(BadRequest):
            await kelviq.customers.create("user-123")
