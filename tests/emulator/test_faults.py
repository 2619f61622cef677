"""Faults on purpose: what each kind does, how they are counted, and that chance repeats itself."""

import asyncio
from datetime import UTC, datetime

import pytest

from kelviq_async import Kelviq
from kelviq_async.emulator import World
from kelviq_async.emulator.faults import KINDS
from kelviq_async.errors import (
    BadGateway,
    ConnectionLost,
    NeverSent,
    OutcomeUnknown,
    RateLimited,
    ServiceUnavailable,
    TimedOut,
    UnreadableAnswer,
)
from kelviq_async.transport import WireRequest

START = datetime(2026, 1, 31, tzinfo=UTC)


@pytest.fixture
def world():
    made = World(now=START)
    made.seed_from(
        {
            "features": [{"identifier": "api-calls", "featureType": "METER"}],
            "plans": [
                {"identifier": "free", "features": {"api-calls": 1000}},
                {"identifier": "pro", "prices": {"MONTHLY": 49}, "features": {"api-calls": 2000}},
            ],
            "customers": [{"customerId": "user-123"}],
            "subscriptions": [{"customerId": "user-123", "plan": "pro"}],
        }
    )
    yield made
    assert made.crashes == []


@pytest.fixture
async def kelviq(world):
    async with Kelviq.local(world, retry=False) as client:
        yield client


async def report(kelviq):
    return await kelviq.usage.report(1, "user-123", "api-calls", "DELTA")


async def limit(kelviq):
    (entry,) = (await kelviq.entitlements.raw("user-123")).entitlements
    return entry.usage_limit


@pytest.mark.parametrize(
    ("kind", "error", "done"),
    [
        ("refuse", NeverSent, False),
        ("drop_before", OutcomeUnknown, False),
        ("drop_after", OutcomeUnknown, True),
        ("truncated", OutcomeUnknown, True),
        ("garbage", OutcomeUnknown, True),
        ("status", OutcomeUnknown, False),
        ("status_after", OutcomeUnknown, True),
        ("rate_limit", RateLimited, False),
    ],
)
async def test_a_write_that_meets_a_fault(world, kelviq, kind, error, done):
    pause = {"retry_after": 0.01} if kind == "rate_limit" else {}  # which the second call waits for
    fault = world.faults.add("ReportUsage", kind, times=1, **pause)
    with pytest.raises(error):
        await report(kelviq)
    assert len(world.usage_ledger) == done
    assert (fault.happened, fault.remaining, world.faults.remaining) == (1, 0, [])
    await report(kelviq)
    assert len(world.usage_ledger) == done + 1


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"kind": "drop_before"}, ConnectionLost),
        ({"kind": "drop_after"}, ConnectionLost),
        ({"kind": "truncated"}, UnreadableAnswer),
        ({"kind": "garbage"}, UnreadableAnswer),
        ({"kind": "status"}, ServiceUnavailable),
        ({"status": 502}, BadGateway),
        ({"kind": "refuse"}, NeverSent),
    ],
)
async def test_a_read_that_meets_a_fault(world, kelviq, settings, error):
    world.faults.add("GetEntitlements", **settings)
    with pytest.raises(error):
        await limit(kelviq)


async def test_a_refused_connection_counts_as_nothing_sent(world):
    world.faults.add("*", "refuse")
    wire = WireRequest("GET", "/api/v1/customers/", {})
    with pytest.raises(NeverSent):
        await world.send(wire)
    assert wire.sending is False


async def test_who_is_throttled_is_told_for_how_long(world):
    world.faults.add("ReportUsage", "rate_limit", times=1)
    world.faults.add("ReportUsage", "rate_limit", times=1, retry_after=2.5)
    world.faults.add("ReportUsage", status=503, retry_after=7, times=1)
    waits = []
    for _ in range(3):
        async with Kelviq.local(world, retry=False) as kelviq:  # a new one each time, as one would wait
            with pytest.raises(Exception) as caught:  # noqa: PT011  their kinds are tested elsewhere
                await report(kelviq)
        waits.append(caught.value.retry_after)
    assert waits == [1, 2.5, 7]


async def test_the_wrong_content_type_says_html(world):
    world.faults.add("*", "wrong_content_type")
    headers = {"authorization": f"Bearer {world.server_key}"}
    answer = await world.send(WireRequest("GET", "/api/v1/customers/", headers))
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/html")
    assert answer.body.startswith(b'{"')


# Time


@pytest.mark.parametrize("kind", ["latency", "slow_body"])
async def test_what_is_late_was_done_at_once(world, kelviq, kind):
    world.faults.add("ReportUsage", kind, latency=30)
    with pytest.raises(OutcomeUnknown) as caught:
        await kelviq.with_options(timeout=0.02).usage.report(1, "user-123", "api-calls", "DELTA")
    assert isinstance(caught.value.__cause__, TimedOut)
    assert len(world.usage_ledger) == 1


async def test_a_silence_that_ends_in_nothing(world, kelviq):
    world.faults.add("ReportUsage", "drop_before", latency=0.01)
    started = asyncio.get_running_loop().time()
    with pytest.raises(OutcomeUnknown):
        await report(kelviq)
    assert asyncio.get_running_loop().time() - started >= 0.01
    assert world.usage_ledger == []


async def test_latency_adds_up_with_other_faults(world):
    world.faults.add("*", "latency", latency=0.002)
    world.faults.add("*", "latency", latency=0.003)
    world.faults.add("*", "status")
    served = await world.serve_once(WireRequest("GET", "/api/v1/customers/", {}))
    assert (served.seconds, served.fault, served.answer.status) == (0.005, "status", 503)


async def test_a_call_in_process_lets_others_go_first(world, kelviq):
    seen = []
    task = asyncio.create_task(limit(kelviq))
    asyncio.get_running_loop().call_soon(seen.append, "other")
    await task
    assert seen == ["other"]


async def test_a_fault_can_be_over_on_the_worlds_clock(world, kelviq):
    world.faults.add("GetEntitlements", "status", seconds=60)
    with pytest.raises(ServiceUnavailable):
        await limit(kelviq)
    world.clock.advance(seconds=60)
    assert await limit(kelviq) == 2000
    assert world.faults.remaining == []


# Which, and how often


async def test_several_faults_happen_one_after_the_other(world, kelviq):
    world.faults.add("ReportUsage", "drop_after", times=2)
    world.faults.add("ReportUsage", status=502, times=1)
    for _ in range(3):
        with pytest.raises(OutcomeUnknown):
            await report(kelviq)
    await report(kelviq)
    assert [each.fault for each in world.requests] == ["drop_after", "drop_after", "status", None]
    assert [each.status for each in world.requests] == [None, None, 502, 200]


async def test_a_fault_is_about_its_operation_only(world, kelviq):
    world.faults.add("ReportEvent", "status")
    await report(kelviq)
    world.faults.clear()
    world.faults.add("*", "status")
    with pytest.raises(OutcomeUnknown):
        await report(kelviq)


async def test_the_first_ones_can_be_let_pass(world, kelviq):
    world.faults.add("GetEntitlements", "status", after=2, times=1)
    assert [await limit(kelviq), await limit(kelviq)] == [2000, 2000]
    with pytest.raises(ServiceUnavailable):
        await limit(kelviq)
    assert await limit(kelviq) == 2000


async def outcomes(seed, probability=0.3):
    world = World(now=START)
    world.faults.add("*", "status", probability=probability, seed=seed)
    wire = WireRequest("GET", "/api/v1/customers/", {})
    return [(await world.serve_once(wire)).fault is not None for _ in range(200)]


async def test_chance_is_repeatable():
    assert await outcomes(7) == await outcomes(7)
    assert await outcomes(7) != await outcomes(8)
    assert 30 < sum(await outcomes(7)) < 90
    assert sum(await outcomes(7, 0)) == 0
    assert sum(await outcomes(7, 1)) == 200


async def test_faults_end_when_they_are_cleared_or_the_world_is_reset(world, kelviq):
    world.faults.add("GetEntitlements", "status")
    world.faults.clear()
    assert await limit(kelviq) == 2000
    world.faults.add("*", "status")
    world.reset()
    assert world.faults.remaining == []


@pytest.mark.parametrize(
    ("arguments", "settings", "reason"),
    [
        (("ReportUsages", "status"), {}, "no operation"),
        (("ReportUsage", "explode"), {}, "no fault"),
        (("ReportUsage",), {}, "no fault"),
        (("ReportUsage", "latency"), {}, "latency"),
        (("ReportUsage", "slow_body"), {}, "latency"),
        (("ReportUsage", "stale"), {}, "stale"),
        (("*", "status"), {"status": 42}, "status"),
        (("*", "status"), {"times": -1}, "times"),
        (("*", "status"), {"times": 1.5}, "times"),
        (("*", "status"), {"times": True}, "times"),
        (("*", "status"), {"after": "2"}, "after"),
        (("*", "status"), {"probability": 1.1}, "probability"),
        (("*", "latency"), {"latency": -1}, "latency"),
        (("*", "latency"), {"latency": float("nan")}, "latency"),
        (("*", "status"), {"seconds": float("inf")}, "seconds"),
    ],
)
def test_a_fault_that_cannot_be_is_refused(world, arguments, settings, reason):
    with pytest.raises(ValueError, match=reason):
        world.faults.add(*arguments, **settings)
    assert world.faults.remaining == []


# An edge that lags


async def test_a_stale_edge_answers_as_before(world, kelviq):
    assert await limit(kelviq) == 2000
    world.faults.add("GetEntitlements", "stale", times=2)
    (subscription,) = world.state.subscriptions.values()
    await kelviq.subscriptions.cancel(subscription.id, "IMMEDIATE")
    assert [await limit(kelviq), await limit(kelviq)] == [2000, 2000]
    assert (await kelviq.entitlements.raw("user-123")).entitlements == []


async def test_a_stale_edge_catches_up_on_the_worlds_clock(world, kelviq):
    world.faults.add("*", "stale", seconds=30)
    before = (await kelviq.entitlements.raw("user-123")).entitlements[0].current_usage
    await report(kelviq)
    assert (await kelviq.entitlements.raw("user-123")).entitlements[0].current_usage == before
    world.clock.advance(seconds=30)
    assert (await kelviq.entitlements.raw("user-123")).entitlements[0].current_usage == before + 1


async def test_a_stale_edge_does_not_mix_customers_up(world, kelviq):
    await kelviq.customers.create("other")
    world.faults.add("GetEntitlements", "stale")
    assert (await kelviq.entitlements.raw("user-123")).customer_id == "user-123"
    assert (await kelviq.entitlements.raw("other")).customer_id == "other"


def test_every_kind_is_explained():
    from kelviq_async.emulator import faults

    assert [kind for kind in KINDS if f"``{kind}``" not in faults.__doc__] == []
