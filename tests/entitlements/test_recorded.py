"""What this process has recorded is taken off what remains, once; and units held while work runs."""

import asyncio

import pytest

from kelviq_async import CachePolicy, ConfigError, InvalidRequest, Kelviq, KelviqError, NotEntitled
from kelviq_async.emulator import World
from kelviq_async.usage import MemoryJournal, UsagePolicy
from kelviq_async.usage.journal import JournalError
from kelviq_sync import Kelviq as Blocking


@pytest.fixture
def world():
    world = World()
    meter = {"reset": "EVERY_MONTH", "value": 100}
    world.seed_from(
        {
            "features": [
                {"identifier": "api-calls", "featureType": "METER"},
                {"identifier": "exports", "featureType": "METER"},
                {"identifier": "seats", "featureType": "METER"},
                {"identifier": "sso", "featureType": "BOOLEAN"},
            ],
            "plans": [
                {
                    "identifier": "pro",
                    "prices": {"MONTHLY": "49.00"},
                    "features": {
                        "api-calls": {**meter, "hardLimit": True},
                        "exports": meter,
                        "seats": None,
                        "sso": True,
                    },
                }
            ],
            "customers": [{"customerId": "user-123"}],
            "subscriptions": [{"customerId": "user-123", "plan": "pro"}],
        }
    )
    return world


@pytest.fixture
async def kelviq(world):
    policy = UsagePolicy(window=60)
    async with Kelviq.local(
        world, cache=CachePolicy(), journal=MemoryJournal(), usage_policy=policy
    ) as kelviq:
        yield kelviq


async def remaining(kelviq, feature="api-calls"):
    found = (await kelviq.entitlements.get("user-123"))[feature]
    decision = await kelviq.entitlements.check("user-123", feature)
    async for each in kelviq.entitlements.check_many([("user-123", feature)]):
        assert each.entitlement.remaining == found.remaining
    assert decision.entitlement.remaining == found.remaining
    return found.remaining


async def test_recorded_units_are_taken_off_at_once(kelviq):
    assert await remaining(kelviq) == 100
    await kelviq.usage.record("user-123", "api-calls", 3)
    assert await remaining(kelviq) == 97
    assert (await kelviq.entitlements.get("user-123"))["api-calls"].used == 0  # that is Kelviq's number
    assert (await kelviq.entitlements.get("user-123"))["api-calls"].uncounted == 3


async def test_they_are_taken_off_once_whether_the_answer_is_old_or_new(kelviq):
    assert await remaining(kelviq) == 100
    await kelviq.usage.record("user-123", "api-calls", 3)
    await kelviq.usage.flush(5)
    assert await remaining(kelviq) == 97
    await kelviq.entitlements.invalidate("user-123")
    assert await remaining(kelviq) == 97
    assert (await kelviq.entitlements.get("user-123"))["api-calls"].uncounted == 0


async def test_without_a_cache_it_is_the_same(world):
    async with Kelviq.local(world, journal=MemoryJournal(), usage_policy=UsagePolicy(window=60)) as kelviq:
        await kelviq.usage.record("user-123", "api-calls", 3)
        assert await remaining(kelviq) == 97
        await kelviq.usage.flush(5)
        assert await remaining(kelviq) == 97


async def test_rejected_units_are_given_back(kelviq, world):
    assert await remaining(kelviq) == 100
    world.faults.add("ReportUsage", "status", status=400)
    await kelviq.usage.record("user-123", "api-calls", 3)
    assert await remaining(kelviq) == 97
    await kelviq.usage.flush(5)
    assert await remaining(kelviq) == 100


async def test_units_whose_fate_is_unknown_are_taken_off_until_kelviq_was_asked_again(kelviq, world):
    assert await remaining(kelviq) == 100
    world.faults.add("ReportUsage", "drop_before", times=1)
    await kelviq.usage.record("user-123", "api-calls", 3)
    await kelviq.usage.flush(5)
    assert (await kelviq.usage.ledger()).unresolved == 1
    assert await remaining(kelviq) == 97
    await kelviq.entitlements.invalidate("user-123")
    assert await remaining(kelviq) == 100


async def test_a_total_that_was_recorded_counts_from_there(kelviq):
    await kelviq.usage.record("user-123", "api-calls", 3)
    await kelviq.usage.flush(5)
    await kelviq.usage.set("user-123", "api-calls", 50)
    await kelviq.usage.record("user-123", "api-calls", 5)
    assert await remaining(kelviq) == 45
    await kelviq.usage.flush(5)
    assert await remaining(kelviq) == 45


async def test_what_remains_does_not_fall_below_nothing_and_the_verdict_is_kelviqs(kelviq):
    await kelviq.usage.record("user-123", "api-calls", 500)
    assert await remaining(kelviq) == 0
    assert await kelviq.entitlements.has_access("user-123", "api-calls")


async def test_no_limit_stays_no_limit(kelviq):
    await kelviq.usage.record("user-123", "seats", 500)
    assert await remaining(kelviq, "seats") is None


async def test_units_that_could_not_be_recorded_are_not_taken_off(world):
    journal = MemoryJournal(most=1)
    async with Kelviq.local(world, journal=journal, usage_policy=UsagePolicy(window=60)) as kelviq:
        await kelviq.usage.record("user-123", "api-calls", 3)
        with pytest.raises(KelviqError):
            await kelviq.usage.record("user-123", "api-calls", 4)
        assert await remaining(kelviq) == 97


async def test_usage_from_before_a_reset_is_held_and_sent_only_if_somebody_says_so(kelviq, world):
    assert await remaining(kelviq) == 100
    await kelviq.usage.record("user-123", "api-calls", 3)
    world.clock.advance(days=40)
    ledger = await kelviq.usage.flush(5)
    assert (ledger.unresolved, ledger.late, world.usage_ledger) == (1, 1, [])
    (report,) = await kelviq.usage.unresolved()
    assert report.late
    await kelviq.usage.settle(report.id, "resend")
    ledger = await kelviq.usage.flush(5)
    assert (ledger.delivered, ledger.unresolved, len(world.usage_ledger)) == (1, 0, 1)


# Reservations


async def test_held_units_are_recorded_when_the_work_is_done(kelviq, world):
    async with kelviq.entitlements.reserve("user-123", "api-calls", 10) as held:
        assert (held.customer_id, held.feature_id, held.units) == ("user-123", "api-calls", 10)
        assert repr(held) == "<Reservation 10 of api-calls>"
        assert await remaining(kelviq) == 90
        assert (await kelviq.usage.ledger()).accepted == 0
    assert await remaining(kelviq) == 90
    await kelviq.usage.flush(5)
    assert [row.value for row in world.usage_ledger] == [10]


async def test_less_may_be_used_than_is_held(kelviq, world):
    async with kelviq.entitlements.reserve("user-123", "api-calls", 10) as held:
        held.use(4)
    assert await remaining(kelviq) == 96
    async with kelviq.entitlements.reserve("user-123", "api-calls") as held:
        held.use(0)
    assert (await kelviq.usage.ledger()).accepted == 1


@pytest.mark.parametrize("units", [11, -1, 1.0, True, None, "3"])
async def test_more_than_is_held_or_no_number_is_refused(kelviq, units):
    async with kelviq.entitlements.reserve("user-123", "api-calls", 10) as held:
        with pytest.raises(InvalidRequest, match="from 0 to 10"):
            held.use(units)


async def test_an_error_gives_the_units_back(kelviq):
    with pytest.raises(ZeroDivisionError):
        async with kelviq.entitlements.reserve("user-123", "api-calls", 10):
            raise ZeroDivisionError
    assert await remaining(kelviq) == 100
    assert (await kelviq.usage.ledger()).accepted == 0


async def test_two_cannot_hold_the_same_units(kelviq):
    async with kelviq.entitlements.reserve("user-123", "api-calls", 60):
        with pytest.raises(NotEntitled, match="41 units are needed, and 40 remain"):
            async with kelviq.entitlements.reserve("user-123", "api-calls", 41):
                pass
        async with kelviq.entitlements.reserve("user-123", "api-calls", 40):
            assert await remaining(kelviq) == 0


async def test_of_many_at_once_only_so_many_get_what_is_there(kelviq):
    got = []

    async def work():
        try:
            async with kelviq.entitlements.reserve("user-123", "api-calls", 30):
                got.append(30)
                await asyncio.sleep(0)
        except NotEntitled:
            got.append(0)

    await asyncio.gather(*(work() for _ in range(10)))
    assert sum(got) == 90
    assert await remaining(kelviq) == 10


async def test_before_it_refuses_it_asks_again(kelviq, world):
    await kelviq.usage.report(95, "user-123", "api-calls", "DELTA")
    assert await remaining(kelviq) == 5
    world.clock.advance(days=40)  # the meter has started anew, and what is kept does not know
    async with kelviq.entitlements.reserve("user-123", "api-calls", 50):
        pass


async def test_a_soft_limit_none_and_a_switch_hold_nobody_up(kelviq):
    for feature in ("exports", "seats", "sso"):
        async with kelviq.entitlements.reserve("user-123", feature, 500) as held:
            held.use(0)


async def test_a_limit_that_is_not_named_holds_all_the_same(scripted):
    row = {"featureId": "api-calls", "hasAccess": True, "featureType": "METER", "hardLimit": True}
    answer = {"customerId": "user-123", "entitlements": [{**row, "currentUsage": 7, "remaining": 3}]}
    async with Kelviq("key", transport=scripted((200, answer)), journal=MemoryJournal()) as kelviq:
        with pytest.raises(NotEntitled, match="4 units are needed, and 3 remain"):
            async with kelviq.entitlements.reserve("user-123", "api-calls", 4):
                pass
        async with kelviq.entitlements.reserve("user-123", "api-calls", 3) as held:
            assert await remaining(kelviq) == 0
            held.use(0)


class Slow(MemoryJournal):
    """A journal whose writing waits until a test lets it go on; it may fail then."""

    def __init__(self):
        super().__init__()
        self.begun, self.gate = asyncio.Event(), asyncio.Event()
        self.failure = None

    async def append(self, records):
        self.begun.set()
        await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        await super().append(records)


@pytest.fixture
async def slow(world):
    """A client whose journal is slow, and the journal."""
    journal, policy = Slow(), UsagePolicy(window=60)
    async with Kelviq.local(world, cache=CachePolicy(), journal=journal, usage_policy=policy) as kelviq:
        yield kelviq, journal


async def reserve(kelviq, units, used):
    async with kelviq.entitlements.reserve("user-123", "api-calls", units) as held:
        held.use(used)


@pytest.mark.parametrize("used", [60, 20])
async def test_units_count_once_while_they_are_being_recorded(slow, used):
    kelviq, journal = slow
    first = asyncio.create_task(reserve(kelviq, 60, used))
    await journal.begun.wait()
    assert await remaining(kelviq) == 40, "what is not used is given back at the end"
    async with kelviq.entitlements.reserve("user-123", "api-calls", 40) as held:
        assert await remaining(kelviq) == 0
        held.use(0)
    journal.gate.set()
    await first
    assert await remaining(kelviq) == 100 - used


@pytest.mark.parametrize("cancelled", [True, False])
async def test_units_that_could_not_be_recorded_are_given_back_once(slow, cancelled):
    kelviq, journal = slow
    first = asyncio.create_task(reserve(kelviq, 60, 20))
    await journal.begun.wait()
    if cancelled:
        first.cancel()
    journal.failure = JournalError("the disk is full")
    journal.gate.set()
    with pytest.raises(asyncio.CancelledError if cancelled else JournalError):
        await first
    journal.failure = None
    assert await remaining(kelviq) == 100
    await reserve(kelviq, 60, 60)
    assert await remaining(kelviq) == 40


@pytest.mark.parametrize("steps", [0, 1, 2])
async def test_who_is_cancelled_when_the_work_is_done_has_used_its_units(slow, steps):
    kelviq, journal = slow
    first = asyncio.create_task(reserve(kelviq, 60, 20))
    await journal.begun.wait()
    for _ in range(3):  # whoever is impatient cancels again
        first.cancel()
        await asyncio.sleep(0)
    assert await remaining(kelviq) == 40
    journal.gate.set()
    for _ in range(steps):
        await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert await remaining(kelviq) == 80
    assert (await kelviq.usage.ledger()).accepted == 1


async def test_who_may_not_use_it_reserves_nothing(kelviq):
    for customer, feature in (("user-123", "nothing"), ("nobody", "api-calls")):
        with pytest.raises(NotEntitled):
            async with kelviq.entitlements.reserve(customer, feature):
                pass


@pytest.mark.parametrize("units", [0, -1, 1.5, True, "1", None])
async def test_units_that_cannot_be_are_refused(kelviq, units):
    with pytest.raises(InvalidRequest, match="units must be"):
        async with kelviq.entitlements.reserve("user-123", "api-calls", units):
            pass


async def test_without_a_journal_there_is_nothing_to_record_in(world):
    async with Kelviq.local(world) as kelviq:
        with pytest.raises(ConfigError, match=r"SqliteJournal.*RedisJournal.*MemoryJournal"):
            async with kelviq.entitlements.reserve("user-123", "api-calls"):
                pass


def test_the_blocking_twin_holds_units_too(world):
    with Blocking.local(world, journal=MemoryJournal(), usage_policy=UsagePolicy(window=60)) as kelviq:
        with kelviq.entitlements.reserve("user-123", "api-calls", 10) as held:
            held.use(4)
        assert kelviq.entitlements.get("user-123")["api-calls"].remaining == 96
        with (
            pytest.raises(NotEntitled),
            kelviq.entitlements.reserve("user-123", "api-calls", 97),
        ):
            pass
