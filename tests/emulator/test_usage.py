"""Usage reports and events: what is taken, what is refused, and what the ledger says."""

from datetime import UTC, datetime

import pytest

from kelviq_async import Kelviq
from kelviq_async.emulator import World
from kelviq_async.errors import BadRequest, OutcomeUnknown

START = datetime(2026, 1, 31, 10, tzinfo=UTC)


@pytest.fixture
def world():
    made = World(now=START)
    made.seed_from(
        {
            "features": [
                {"identifier": "api-calls", "featureType": "METER"},
                {"identifier": "hard", "featureType": "METER"},
                {"identifier": "export-data", "featureType": "BOOLEAN"},
                {"identifier": "elsewhere", "featureType": "METER"},
                {
                    "identifier": "tokens",
                    "featureType": "METER",
                    "featureDetails": {"featureSubType": "RAW_EVENTS"},
                    "meter": {
                        "eventName": "prompt",
                        "aggregation": {"function": "SUM", "field": "tokens"},
                        "filters": [{"field": "model", "operator": "EQUALS", "value": "large"}],
                    },
                },
                {
                    "identifier": "prompts",
                    "featureType": "METER",
                    "featureDetails": {"featureSubType": "RAW_EVENTS"},
                    "meter": {"eventName": "prompt", "aggregation": {"function": "COUNT"}, "filters": []},
                },
            ],
            "plans": [
                {
                    "identifier": "pro",
                    "prices": {"MONTHLY": 49},
                    "features": {
                        "api-calls": 1000,
                        "hard": {"value": 10, "hardLimit": True},
                        "export-data": True,
                        "tokens": {"value": 100, "hardLimit": True},
                        "prompts": None,
                    },
                }
            ],
            "customers": [{"customerId": "user-123"}, {"customerId": "empty-handed"}],
            "subscriptions": [{"customerId": "user-123", "plan": "pro"}],
        }
    )
    yield made
    assert made.crashes == []


@pytest.fixture
async def kelviq(world):
    async with Kelviq.local(world) as client:
        yield client


async def used(kelviq, feature="api-calls"):
    (entry,) = (await kelviq.entitlements.raw("user-123", feature_id=feature)).entitlements
    return entry.current_usage


async def test_a_report_is_answered_as_documented(world, kelviq):
    report = await kelviq.usage.report(150, "user-123", "api-calls", "SET")
    assert (report.value, report.customer_id, report.feature_id) == (150, "user-123", "api-calls")
    assert (report.behaviour, report.org_id, report.event_name) == ("SET", "1", "aggregated.usage")
    assert len(report.idempotency_key) == 32
    assert report.timestamp == START
    assert not report.extra


async def test_set_is_a_total_and_delta_comes_on_top(kelviq):
    await kelviq.usage.report(150, "user-123", "api-calls", "SET")
    await kelviq.usage.report(5, "user-123", "api-calls", "DELTA")
    await kelviq.usage.report(5, "user-123", "api-calls", "DELTA")
    assert await used(kelviq) == 160
    await kelviq.usage.report(20, "user-123", "api-calls", "SET")
    assert await used(kelviq) == 20
    await kelviq.usage.report(-20, "user-123", "api-calls", "DELTA")
    assert await used(kelviq) == 0


@pytest.mark.parametrize(
    ("report", "reason"),
    [
        ((1, "nobody", "api-calls", "DELTA"), "customer_id"),
        ((1, "user-123", "nothing", "DELTA"), "feature_id"),
        ((1, "user-123", "export-data", "DELTA"), "no METER"),
        ((1, "user-123", "elsewhere", "DELTA"), "not entitled"),
        ((1, "empty-handed", "api-calls", "DELTA"), "not entitled"),
        ((-1, "user-123", "api-calls", "SET"), "negative"),
        ((-1, "user-123", "api-calls", "DELTA"), "negative"),
        ((2**60, "user-123", "api-calls", "DELTA"), "out of range"),
    ],
)
async def test_what_cannot_be_counted_is_refused_and_not_in_the_ledger(world, kelviq, report, reason):
    with pytest.raises(BadRequest, match=reason):
        await kelviq.usage.report(*report)
    assert world.usage_ledger == []


async def test_a_hard_limit_counts_all_of_a_report_or_nothing(world, kelviq):
    await kelviq.usage.report(8, "user-123", "hard", "DELTA")
    with pytest.raises(BadRequest, match='limit of "hard"'):
        await kelviq.usage.report(3, "user-123", "hard", "DELTA")
    with pytest.raises(BadRequest, match="limit"):
        await kelviq.usage.report(11, "user-123", "hard", "SET")
    assert await used(kelviq, "hard") == 8
    await kelviq.usage.report(2, "user-123", "hard", "DELTA")
    assert [row.value for row in world.usage_ledger] == [8, 2]


async def test_a_lost_answer_is_work_that_was_done(world, kelviq):
    world.faults.add("ReportUsage", "drop_after", times=1)
    with pytest.raises(OutcomeUnknown):
        await kelviq.usage.report(5, "user-123", "api-calls", "DELTA")
    assert await used(kelviq) == 5
    (row,) = world.usage_ledger
    assert (row.number, row.kind, row.value, row.counted) == (1, "DELTA", 5, True)
    assert (row.customer_id, row.feature_id, row.at) == ("user-123", "api-calls", START)


async def test_the_same_report_twice_is_two_reports(world, kelviq):
    for _ in range(2):
        await kelviq.usage.report(5, "user-123", "api-calls", "DELTA")
    assert await used(kelviq) == 10
    first, second = world.usage_ledger
    assert first.key != second.key


async def test_an_event_counts_once_for_its_key(world, kelviq):
    send = (START, {"model": "large", "tokens": 40})
    first = await kelviq.usage.event("user-123", "prompt", "key-1", send[0], properties=send[1])
    again = await kelviq.usage.event("user-123", "prompt", "key-1", send[0], properties=send[1])
    assert first == again
    assert (first.idempotency_key, first.org_id, first.properties) == ("key-1", "1", send[1])
    assert (await used(kelviq, "tokens"), await used(kelviq, "prompts")) == (40, 1)
    assert [(row.kind, row.key, row.counted) for row in world.usage_ledger] == [
        ("EVENT", "key-1", True),
        ("EVENT", "key-1", False),
    ]
    assert world.usage_ledger[0].counts == {"tokens": 40, "prompts": 1}


async def test_events_are_counted_by_the_meters_they_fit_and_go_beyond_limits(kelviq):
    for number, (model, tokens) in enumerate([("small", 7), ("large", 90), ("large", 90), ("large", "many")]):
        properties = {"model": model, "tokens": tokens}
        await kelviq.usage.event("user-123", "prompt", f"key-{number}", START, properties=properties)
    await kelviq.usage.event("user-123", "login", "key-9", START)
    assert (await used(kelviq, "tokens"), await used(kelviq, "prompts")) == (180, 4)


async def test_an_event_of_nobody_is_refused(world, kelviq):
    with pytest.raises(BadRequest):
        await kelviq.usage.event("nobody", "prompt", "key-1", START)
    assert world.usage_ledger == []


async def test_the_ledger_adds_up(world, kelviq):
    for value in range(20):
        await kelviq.usage.report(value, "user-123", "api-calls", "DELTA")
    assert await used(kelviq) == sum(row.value for row in world.usage_ledger) == 190
    assert [row.number for row in world.usage_ledger] == list(range(1, 21))
