"""What customers may use: entries by type, limits, resets, rollover, upgrades, alerts."""

from datetime import UTC, datetime

import pytest

from kelviq_async import Kelviq
from kelviq_async.api.entitlements import GetEntitlements
from kelviq_async.emulator import World
from kelviq_async.errors import BadRequest, NotFound
from kelviq_async.transport import WireRequest

START = datetime(2026, 1, 31, 10, tzinfo=UTC)
FEATURES = [
    {"identifier": "export-data", "featureType": "BOOLEAN"},
    {"identifier": "max-projects", "featureType": "METER"},
    {"identifier": "team-size", "featureType": "CUSTOMIZABLE"},
]


def world_with(*plans, features=FEATURES, buy=("pro",), **settings):
    """A world in which ``user-123`` has bought plans; a plan is (identifier, what it grants)."""
    world = World(now=START, **settings)
    world.seed_from(
        {
            "features": features,
            "plans": [
                {"identifier": name, "product": None, "prices": {"MONTHLY": "49.00"}, "features": granted}
                for name, granted in plans
            ],
            "customers": [{"customerId": "user-123"}],
            "subscriptions": [{"customerId": "user-123", "plan": name} for name in buy],
        }
    )
    return world


def metered(**rules):
    return world_with(("pro", {"max-projects": {"value": 10, "reset": "EVERY_MONTH", **rules}}))


async def entries(world, feature_id=None):
    async with Kelviq.local(world) as kelviq:
        raw = await kelviq.entitlements.raw("user-123", feature_id=feature_id)
    assert world.crashes == []
    return raw.entitlements


async def entry(world):
    (only,) = await entries(world, "max-projects")
    return only


async def use(world, value, behaviour="DELTA"):
    async with Kelviq.local(world) as kelviq:
        return await kelviq.usage.report(value, "user-123", "max-projects", behaviour)


async def wire(world):
    async with Kelviq.local(world) as kelviq:
        return (await kelviq.send_raw(GetEntitlements("user-123"))).body


async def test_each_type_has_the_names_that_belong_to_it():
    world = world_with(
        ("pro", {"export-data": True, "max-projects": {"value": 100, "reset": "EVERY_MONTH"}, "team-size": 5})
    )
    await use(world, 45)
    assert await wire(world) == (
        b'{"customerId":"user-123","entitlements":['
        b'{"featureId":"export-data","featureType":"BOOLEAN","hasAccess":true,"resetAt":null},'
        b'{"featureId":"max-projects","featureType":"METER","hasAccess":true,"resetAt":"2026-02-28 10:00:00",'
        b'"hardLimit":false,"usageLimit":100,"currentUsage":45,"remaining":55},'
        b'{"featureId":"team-size","featureType":"CUSTOMIZABLE","hasAccess":true,"resetAt":null,"usageLimit":5}]}'
    )


async def test_one_feature_can_be_asked_for():
    world = world_with(("pro", {"export-data": True, "team-size": 5}))
    assert [each.feature_id for each in await entries(world, "team-size")] == ["team-size"]
    assert await entries(world, "max-projects") == []
    assert await entries(world, "nothing-of-the-kind") == []


async def test_a_switch_that_is_off_is_no_access():
    (only,) = await entries(world_with(("pro", {"export-data": False})))
    assert only.has_access is False


async def test_without_a_subscription_there_is_nothing():
    assert await entries(world_with(("pro", {"export-data": True}), buy=())) == []


async def test_an_unknown_customer_is_404_or_empty():
    async with Kelviq.local(World()) as kelviq:
        with pytest.raises(NotFound, match="Customer not found"):
            await kelviq.entitlements.raw("nobody")
    async with Kelviq.local(World(unknown_customer="empty")) as kelviq:
        assert (await kelviq.entitlements.raw("nobody")).entitlements == []


async def test_an_archived_customer_is_unknown():
    world = world_with(("pro", {"export-data": True}))
    async with Kelviq.local(world) as kelviq:
        await kelviq.customers.archive("user-123")
        with pytest.raises(NotFound):
            await kelviq.entitlements.raw("user-123")


@pytest.mark.parametrize("spelling", ["customerId=user-123", "customer_id=user-123"])
@pytest.mark.parametrize("path", ["/entitlements", "/entitlements/"])
def test_both_spellings_of_the_query_and_both_paths_work(spelling, path):
    world = world_with(("pro", {"export-data": True}))
    headers = {"authorization": f"Bearer {world.client_key}"}
    answer = world.handle(WireRequest("GET", f"/api/v1{path}?{spelling}", headers))
    assert (answer.status, b"export-data" in answer.body) == (200, True)


# Limits


async def test_a_hard_limit_blocks_at_the_limit():
    world = metered(hardLimit=True)
    await use(world, 9)
    assert (await entry(world)).has_access is True
    await use(world, 1)
    full = await entry(world)
    assert (full.has_access, full.current_usage, full.remaining, full.hard_limit) == (False, 10, 0, True)


async def test_a_soft_limit_goes_on_and_nothing_is_left():
    world = metered()
    await use(world, 15)
    beyond = await entry(world)
    assert (beyond.has_access, beyond.current_usage, beyond.remaining) == (True, 15, 0)


async def test_unlimited_is_null():
    world = metered(value=None, hasUnlimitedUsage=True, hardLimit=True)
    await use(world, 10**9)
    got = await entry(world)
    assert (got.has_access, got.usage_limit, got.remaining, got.current_usage) == (True, None, None, 10**9)


async def test_a_quantity_that_was_bought_is_the_limit_or_the_value():
    world = World(now=START)
    world.seed_from(
        {
            "features": FEATURES,
            "plans": [
                {
                    "identifier": "pro",
                    "prices": [
                        {
                            "priceType": "PAID",
                            "currency": "USD",
                            "chargeCatalogPrice": [
                                {
                                    "feature": name,
                                    "priceModel": "FLAT",
                                    "charges": [{"chargePeriod": "MONTHLY", "priceData": {"amount": 2}}],
                                }
                                for name in ("max-projects", "team-size")
                            ],
                        }
                    ],
                    "features": {"max-projects": 10, "team-size": 5},
                }
            ],
            "customers": [{"customerId": "user-123"}],
            "subscriptions": [
                {"customerId": "user-123", "plan": "pro", "quantities": {"max-projects": 25, "team-size": 7}}
            ],
        }
    )
    meter, size = await entries(world)
    assert (meter.usage_limit, meter.remaining, size.usage_limit) == (25, 25, 7)


# Time


async def test_a_meter_starts_anew_with_its_period():
    world = metered()
    await use(world, 4)
    world.clock.move_to(datetime(2026, 2, 28, 9, 59, 59, tzinfo=UTC))
    assert (await entry(world)).current_usage == 4
    world.clock.advance(seconds=1)
    fresh = await entry(world)
    assert (fresh.current_usage, fresh.remaining) == (0, 10)
    assert fresh.reset_at == datetime(2026, 3, 31, 10, tzinfo=UTC)


async def test_the_calendar_resets_at_its_own_time():
    world = metered(resetTime="BEGINNING_OF_PERIOD")
    await use(world, 4)
    assert (await entry(world)).reset_at == datetime(2026, 2, 1, tzinfo=UTC)
    world.clock.advance(hours=14)
    assert (await entry(world)).current_usage == 0


async def test_never_is_never():
    world = metered(reset="NEVER")
    await use(world, 4)
    world.clock.advance(days=20)
    got = await entry(world)
    assert (got.current_usage, got.reset_at) == (4, None)


@pytest.mark.parametrize(
    ("reset", "end"),
    [
        ("EVERY_DAY", datetime(2026, 2, 1, 10, tzinfo=UTC)),
        ("EVERY_28_DAYS", datetime(2026, 2, 28, 10, tzinfo=UTC)),
        ("EVERY_QUARTER", datetime(2026, 4, 30, 10, tzinfo=UTC)),
        ("EVERY_YEAR", datetime(2027, 1, 31, 10, tzinfo=UTC)),
    ],
)
async def test_every_reset_has_its_length(reset, end):
    assert (await entry(metered(reset=reset))).reset_at == end


async def test_the_documented_rollover():
    rollover = {"enabled": True, "percentage": 50, "limit": 750}
    world = metered(value=10_000, rollover=rollover)
    await use(world, 8_000)
    world.clock.advance(days=31)
    got = await entry(world)
    assert (got.usage_limit, got.current_usage, got.remaining) == (10_000, 0, 10_750)


async def test_what_was_carried_over_can_be_used_up_to_a_hard_limit():
    world = metered(hardLimit=True, rollover={"enabled": True, "percentage": 100})
    await use(world, 7)
    world.clock.advance(days=31)
    await use(world, 13)
    got = await entry(world)
    assert (got.has_access, got.remaining) == (False, 0)


@pytest.mark.parametrize("looks", [True, False])
async def test_periods_in_which_nobody_looked_carry_over_as_others_do(looks):
    world = metered(reset="EVERY_DAY", rollover={"enabled": True, "percentage": 50, "limit": 100})
    await use(world, 8)
    left = [(await entry(world)).remaining]
    for _ in range(5):
        world.clock.advance(days=1)
        if looks:
            left.append((await entry(world)).remaining)
    # 2 left: 1 goes on; 11 left: 5; 15: 7; 17: 8; 18: 9
    assert left[1:] == ([11, 15, 17, 18, 19] if looks else [])
    assert (await entry(world)).remaining == 19


# Several subscriptions, and other plans


async def test_two_subscriptions_give_two_entries_and_share_usage_in_order():
    world = world_with(
        ("pro", {"max-projects": {"value": 10, "hardLimit": True}}),
        ("extra", {"max-projects": {"value": 3, "hardLimit": True}}),
        buy=("pro", "extra"),
    )
    await use(world, 11)
    assert [each.current_usage for each in await entries(world)] == [10, 1]
    await use(world, -3)
    assert [each.current_usage for each in await entries(world)] == [8, 0]
    await use(world, 12, "SET")
    assert [each.current_usage for each in await entries(world)] == [10, 2]


async def test_beyond_all_limits_the_first_soft_meter_goes_on():
    world = world_with(
        ("pro", {"max-projects": {"value": 10, "hardLimit": True}}),
        ("extra", {"max-projects": 3}),
        buy=("pro", "extra"),
    )
    await use(world, 20)
    assert [each.current_usage for each in await entries(world)] == [10, 10]


async def test_an_upgrade_changes_limits_at_once_and_keeps_what_was_counted():
    world = world_with(
        ("pro", {"max-projects": {"value": 10, "reset": "EVERY_MONTH"}}),
        ("enterprise", {"max-projects": {"value": 500, "reset": "EVERY_MONTH"}, "export-data": True}),
    )
    await use(world, 7)
    world.clock.advance(days=3)
    (subscription,) = world.state.subscriptions.values()
    async with Kelviq.local(world) as kelviq:
        await kelviq.subscriptions.update(subscription.id, "enterprise", "MONTHLY")
    meter, switch = await entries(world)
    assert (meter.current_usage, meter.remaining, switch.has_access) == (7, 493, True)
    assert meter.reset_at == datetime(2026, 2, 28, 10, tzinfo=UTC)


async def test_another_rhythm_keeps_the_count_until_its_own_reset():
    world = world_with(
        ("pro", {"max-projects": {"value": 10, "reset": "EVERY_MONTH"}}),
        ("daily", {"max-projects": {"value": 50, "reset": "EVERY_DAY"}}),
    )
    await use(world, 7)
    world.clock.advance(days=3)
    (subscription,) = world.state.subscriptions.values()
    async with Kelviq.local(world) as kelviq:
        await kelviq.subscriptions.update(subscription.id, "daily", "MONTHLY")
    assert (await entry(world)).current_usage == 7
    world.clock.advance(days=1)
    assert (await entry(world)).current_usage == 0


async def test_what_is_cancelled_at_once_grants_nothing():
    world = world_with(("pro", {"export-data": True}))
    (subscription,) = world.state.subscriptions.values()
    async with Kelviq.local(world) as kelviq:
        await kelviq.subscriptions.cancel(subscription.id, "IMMEDIATE")
    assert await entries(world) == []


# Alerts


def alerting(kind, *thresholds, **rules):
    return metered(
        usageAlerts={"enabled": True, "thresholds": list(thresholds), "thresholdType": kind}, **rules
    )


async def test_each_threshold_is_told_once_in_a_period():
    world = alerting("PERCENTAGE", 50, 90)
    told = world.webhooks.capture(["feature.usage_alert"])
    for value in (4, 2, 4, -6, 6):
        await use(world, value)
    assert [each.event["data"]["object"]["threshold_value"] for each in told] == [50, 90]
    subject = told[1].event["data"]["object"]
    assert subject["customer"]["customer_id"] == "user-123"
    assert (subject["usage_limit"], subject["current_usage"], subject["threshold_type"]) == (
        10,
        10,
        "PERCENTAGE",
    )
    assert subject["period_end_time"] == "2026-02-28T10:00:00Z"
    world.clock.advance(days=31)
    await use(world, 9)
    assert len(told) == 4


async def test_a_balance_is_a_number_of_units():
    world = alerting("BALANCE", 8)
    told = world.webhooks.capture(["feature.usage_alert"])
    await use(world, 7, "SET")
    assert list(told) == []
    await use(world, 8, "SET")
    assert told.types == ["feature.usage_alert"]


async def test_what_is_refused_alerts_nobody():
    world = alerting("PERCENTAGE", 100, hardLimit=True)
    told = world.webhooks.capture(["feature.usage_alert"])
    with pytest.raises(BadRequest, match="limit"):
        await use(world, 11)
    assert list(told) == []
