"""``kelviq.usage`` as users call it: what it refuses, what it answers, and how the unclear is settled."""

import asyncio
import enum
from datetime import UTC, datetime

import pytest

from kelviq_async import Kelviq
from kelviq_async.errors import ConfigError, InvalidRequest, KelviqError
from kelviq_async.usage import MemoryJournal, UsagePolicy
from kelviq_async.usage.policy import LARGEST
from kelviq_async.usage.records import State
from kelviq_async.usage.settling import settled
from tests.usage.meters import LONG, client, counted, stands, total, until
from tests.usage.pieces import SCOPE, claimed, owner, record as a_record


@pytest.fixture
async def kelviq(world):
    async with client(world) as made:
        yield made


class Whole:
    """A number of another library, such as numpy."""

    def __init__(self, value):
        self.value = value

    def __repr__(self):
        return f"{type(self).__name__}({self.value})"

    def __index__(self):
        return self.value


class bool_(Whole):  # noqa: N801  numpy's name for it
    """A truth value that pretends to be a number."""


NAN = float("nan")
NO_UNITS = [True, False, NAN, 1.0, 1.5, 0.0, "1", "", None, b"1", [1], 1j, bool_(1), float("inf")]
TOO_LARGE = [LARGEST + 1, -LARGEST - 1, 10**400, Whole(LARGEST + 1)]
UNSAFE = ["", ".", "..", "a\nb", "a\0b", "\x7f", "\u2028", "\ud800", None, 1, b"a", ["a"]]


async def refused(kelviq, field, call):
    with pytest.raises(InvalidRequest) as caught:
        await call
    assert field in caught.value.fields
    assert (await kelviq.usage.ledger()).accepted == 0


@pytest.mark.parametrize("value", [*NO_UNITS, *TOO_LARGE], ids=repr)
async def test_numbers_that_cannot_be_right(kelviq, value):
    for correction in (False, True):
        await refused(kelviq, "delta", kelviq.usage.record("cust-0", "calls", value, correction=correction))
    await refused(kelviq, "value", kelviq.usage.set("cust-0", "calls", value))


@pytest.mark.parametrize("value", [0, -1, -LARGEST, Whole(0), Whole(-5)], ids=repr)
async def test_nothing_and_less_are_for_those_who_say_so(world, kelviq, value):
    await refused(kelviq, "delta", kelviq.usage.record("cust-0", "calls", value))
    await kelviq.usage.set("cust-0", "calls", LARGEST)
    receipt = await kelviq.usage.record("cust-0", "calls", value, correction=True)
    assert type(receipt.value) is int
    assert (await kelviq.usage.flush(LONG)).delivered == 2
    assert counted(world)["cust-0", "calls", None] == [("SET", LARGEST), ("DELTA", receipt.value)]


@pytest.mark.parametrize("value", [-1, Whole(-1)])
async def test_totals_below_nothing(kelviq, value):
    await refused(kelviq, "value", kelviq.usage.set("cust-0", "calls", value))


@pytest.mark.parametrize("value", [1, LARGEST, Whole(7)], ids=repr)
async def test_numbers_that_are_right(kelviq, value):
    receipt = await kelviq.usage.record("cust-0", "calls", value)
    assert type(receipt.value) is int
    await kelviq.usage.set("cust-0", "calls", 0)
    await kelviq.usage.set("cust-0", "calls", value)
    assert (await kelviq.usage.ledger()).accepted == 3


@pytest.mark.parametrize("id", UNSAFE, ids=repr)
async def test_ids_that_cannot_be_right(kelviq, id):
    for record in (kelviq.usage.record, kelviq.usage.set):
        await refused(kelviq, "customer_id", record(id, "calls", 1))
        await refused(kelviq, "feature_id", record("cust-0", id, 1))
        if id is not None:
            await refused(kelviq, "resource_id", record("cust-0", "calls", 1, resource_id=id))
    await refused(kelviq, "id", kelviq.usage.settle(id, "resend"))


@pytest.mark.parametrize(
    ("field", "args", "more"),
    [
        ("resolution", ("an-id", "forget"), {}),
        ("resolution", ("an-id", None), {}),
        ("resolution", ("an-id", ["resend"]), {}),
        ("note", ("an-id", "resend"), {"note": 1}),
        ("note", ("an-id", "resend"), {"note": None}),
        ("id", ("an-id", "resend"), {}),
    ],
)
async def test_settling_that_cannot_be_right(kelviq, field, args, more):
    await refused(kelviq, field, kelviq.usage.settle(*args, **more))


@pytest.mark.parametrize("limit", [0, -1, True, 1.0, "1", None])
async def test_limits_that_cannot_be_right(kelviq, limit):
    await refused(kelviq, "limit", kelviq.usage.unresolved(limit))
    await refused(kelviq, "limit", kelviq.usage.rejected(limit))


@pytest.mark.parametrize("deadline", [-1, NAN, float("inf"), "1", True, False])
async def test_deadlines_that_cannot_be_right(kelviq, deadline):
    await refused(kelviq, "deadline", kelviq.usage.flush(deadline))


@pytest.mark.parametrize(
    "call",
    [
        lambda usage: usage.record("cust-0", "calls"),
        lambda usage: usage.set("cust-0", "calls", 1),
        lambda usage: usage.ledger(),
        lambda usage: usage.unresolved(),
        lambda usage: usage.rejected(),
        lambda usage: usage.settle("an-id", "resend"),
        lambda usage: usage.flush(),
    ],
)
async def test_without_a_journal(world, call):
    async with Kelviq.local(world) as kelviq:
        with pytest.raises(ConfigError) as caught:
            await call(kelviq.usage)
    for name in ("SqliteJournal", "RedisJournal", "MemoryJournal"):
        assert name in str(caught.value)


async def test_clients_that_cannot_be_made():
    with pytest.raises(ConfigError, match="server_key"):
        Kelviq(client_key="ck", journal=MemoryJournal())
    for odd in ("usage.db", object(), 1, MemoryJournal):
        with pytest.raises(ConfigError, match="SqliteJournal"):
            Kelviq("sk", journal=odd)
    with pytest.raises(ConfigError, match="journal"):
        Kelviq("sk", usage_policy=UsagePolicy())
    with pytest.raises(ConfigError, match="UsagePolicy"):
        Kelviq("sk", journal=MemoryJournal(), usage_policy={"window": 1})


async def test_a_receipt_says_what_was_recorded(kelviq):
    before = datetime.now(UTC)
    receipt = await kelviq.usage.record("cust-0", "calls", 3)
    assert (receipt.customer_id, receipt.feature_id, receipt.value) == ("cust-0", "calls", 3)
    assert receipt.behaviour == "DELTA"
    assert before <= receipt.recorded_at <= datetime.now(UTC)
    other = await kelviq.usage.set("cust-0", "calls", 3)
    assert other.behaviour == "SET"
    assert other.id != receipt.id


async def test_views_share_the_journal(kelviq):
    await kelviq.with_options(timeout=3).usage.record("cust-0", "calls")
    assert (await kelviq.usage.flush(LONG)).delivered == 1


# Settling


@pytest.fixture
async def unclear(world, kelviq):
    """Two records of one report whose fate nobody knows; it was counted."""
    world.faults.add("ReportUsage", "drop_after", times=1)
    receipts = await asyncio.gather(*(kelviq.usage.record("cust-0", "calls", value) for value in (1, 2)))
    await stands(kelviq, unresolved=2)
    [report] = await kelviq.usage.unresolved()
    return report, receipts


@pytest.mark.parametrize("by_receipt", [False, True])
@pytest.mark.parametrize(
    "outcome",
    [("delivered", "delivered", 3), ("discard", "discarded", 3), ("resend", "delivered", 6)],
)
async def test_what_is_unclear_is_settled(world, kelviq, unclear, by_receipt, outcome):
    (resolution, state, units), (report, receipts) = outcome, unclear
    settled = await kelviq.usage.settle(receipts[1].id if by_receipt else report.id, resolution, note="seen")
    assert (settled.id, settled.note, settled.reason) == (report.id, "seen", report.reason)
    await stands(kelviq, **{state: 2})
    assert total(world) == units
    assert await kelviq.usage.unresolved() == []


@pytest.mark.parametrize("resolution", ["delivered", "discard"])
async def test_settling_twice(kelviq, unclear, resolution):
    report, receipts = unclear
    once = await kelviq.usage.settle(report.id, resolution, note="first")
    assert await kelviq.usage.settle(receipts[0].id, resolution, note="second") == once
    for other in {"delivered", "discard", "resend"} - {resolution}:
        with pytest.raises(InvalidRequest, match="only what is unresolved or rejected"):
            await kelviq.usage.settle(report.id, other)
    await stands(kelviq, **{once.state.value: 2})


@pytest.mark.parametrize(
    ("theirs", "ours", "said"),
    [
        ("delivered", "delivered", None),
        ("delivered", "resend", "is delivered"),
        ("discard", "delivered", "is discarded"),
        ("resend", "resend", "is pending again"),
    ],
)
async def test_settling_what_somebody_else_settles_in_this_very_moment(theirs, ours, said):
    class Raced(MemoryJournal):
        raced = False

        async def move(self, report_id, state, **more):
            if not self.raced:
                self.raced = True
                await settled(self, report_id, theirs, "theirs")
            return await super().move(report_id, state, **more)

    journal = Raced()
    await journal.open(SCOPE)
    await journal.append([a_record()])
    report = await claimed(journal, owner())
    await MemoryJournal.move(journal, report.id, State.UNRESOLVED)
    if said is None:
        assert (await settled(journal, report.id, ours, "ours")).note == "theirs"
    else:
        with pytest.raises(InvalidRequest, match=said):
            await settled(journal, report.id, ours, "ours")


async def test_settling_what_is_pending_or_on_its_way(world, kelviq):
    world.faults.add("ReportUsage", "latency", latency=0.3, times=1)
    flying = await kelviq.usage.record("cust-0", "calls")
    await stands(kelviq, in_flight=1)
    pending = await kelviq.usage.record("cust-0", "calls")
    with pytest.raises(InvalidRequest, match="in_flight"):
        await kelviq.usage.settle(flying.id, "discard")
    with pytest.raises(InvalidRequest, match="pending"):
        await kelviq.usage.settle(pending.id, "discard")
    await stands(kelviq, delivered=2)
    with pytest.raises(InvalidRequest, match="delivered"):
        await kelviq.usage.settle(flying.id, "resend")


async def test_what_was_rejected_is_sent_again_when_it_was_put_right(world, kelviq):
    world.faults.add("ReportUsage", "status", status=400, times=1)
    receipt = await kelviq.usage.record("cust-0", "calls", 5)
    await stands(kelviq, rejected=1)
    await kelviq.usage.settle(receipt.id, "resend", note="the plan is there now")
    await stands(kelviq, delivered=1)
    assert total(world) == 5


async def test_a_total_that_was_overtaken_is_not_sent_again(world, kelviq):
    world.faults.add("ReportUsage", "status", status=400, times=1)
    old = await kelviq.usage.set("cust-0", "calls", 5)
    await stands(kelviq, rejected=1)
    await kelviq.usage.record("cust-0", "calls", 1)
    await stands(kelviq, rejected=1, delivered=1)
    with pytest.raises(InvalidRequest, match="something later was sent"):
        await kelviq.usage.settle(old.id, "resend")
    await kelviq.usage.settle(old.id, "discard")
    await stands(kelviq, discarded=1, delivered=1)
    assert counted(world)["cust-0", "calls", None] == [("DELTA", 1)]


async def test_a_total_that_is_still_the_newest_is_sent_again(world, kelviq):
    world.faults.add("ReportUsage", "status", status=400, times=1)
    receipt = await kelviq.usage.set("cust-0", "calls", 5)
    await stands(kelviq, rejected=1)
    await kelviq.usage.settle(receipt.id, "resend")
    await stands(kelviq, delivered=1)


# Events


@pytest.fixture
def keyed(world):
    return lambda: [(row.key, row.counted) for row in world.usage_ledger if row.kind == "EVENT"]


async def test_an_event_keeps_its_key_over_all_attempts(world, keyed):
    world.faults.add("ReportEvent", "drop_after", times=2)
    async with Kelviq.local(world) as kelviq:
        report = await kelviq.usage.event("cust-0", "prompt")
        other = await kelviq.usage.event("cust-0", "prompt")
    keys = keyed()
    assert keys == [
        (report.idempotency_key, True), (report.idempotency_key, False), (report.idempotency_key, False),
        (other.idempotency_key, True),
    ]  # fmt: skip
    assert len(report.idempotency_key) == 32


async def test_an_event_has_the_key_and_time_it_was_given(world, keyed):
    moment = datetime(2026, 1, 9, 8, 7, 6, tzinfo=UTC)
    async with Kelviq.local(world) as kelviq:
        report = await kelviq.usage.event("cust-0", "prompt", "key-1", moment, properties={"a": 1})
    assert (report.timestamp, report.properties) == (moment, {"a": 1})
    assert keyed() == [("key-1", True)]


async def test_an_event_that_failed_can_be_told_again_with_its_key(world, keyed):
    fault = world.faults.add("ReportEvent", "drop_after")
    async with Kelviq.local(world) as kelviq:
        with pytest.raises(KelviqError) as caught:
            await kelviq.usage.event("cust-0", "prompt")
        fault.times = fault.happened
        await kelviq.usage.event("cust-0", "prompt", caught.value.request.idempotency_key)
    assert [counts for _, counts in keyed()].count(True) == 1


async def test_a_direct_report_of_a_delta_is_not_repeated(world):
    world.faults.add("ReportUsage", "drop_after", times=1)
    async with Kelviq.local(world) as kelviq:
        with pytest.raises(KelviqError) as caught:
            await kelviq.usage.report(3, "cust-0", "calls", "DELTA")
        assert type(caught.value).__name__ == "OutcomeUnknown"
    assert total(world) == 3


async def test_reports_are_shown_up_to_a_limit(world, kelviq):
    world.faults.add("ReportUsage", "status", status=400, times=3)
    for number in range(3):
        await kelviq.usage.record(f"cust-{number}", "calls")
    await stands(kelviq, rejected=3)
    assert len(await kelviq.usage.rejected(2)) == 2
    first = (await kelviq.usage.rejected())[0]
    assert (first.feature_id, first.resource_id) == ("calls", None)
    assert first.recorded_at <= first.sent_at
    await until(lambda: not kelviq.recorder._sender._tasks)


class Feature(str, enum.Enum):  # noqa: UP042  the kind whose text is not what `str` makes of it
    CALLS = "calls"


async def test_a_member_of_an_enum_is_its_text(world):
    async with client(world) as kelviq:
        receipt = await kelviq.usage.record("cust-0", Feature.CALLS, 3)
        assert (receipt.feature_id, type(receipt.feature_id)) == ("calls", str)
        await kelviq.usage.flush(LONG)
        await kelviq.usage.report(4, "cust-0", Feature.CALLS, "DELTA")
    assert total(world) == 7


@pytest.mark.parametrize("limit", [0, -1, 10**30, True, "5", None])
async def test_a_limit_that_cannot_be(kelviq, limit):
    with pytest.raises(InvalidRequest, match="limit must be"):
        await kelviq.usage.unresolved(limit)


async def test_a_total_is_not_sent_over_a_newer_one_that_was_folded(world):
    async with client(world, retain=0.0) as kelviq:
        world.faults.add("ReportUsage", "status", status=422, times=1)
        old = await kelviq.usage.set("cust-0", "calls", 5)
        await kelviq.usage.flush(LONG)
        await kelviq.usage.set("cust-0", "calls", 9)
        await kelviq.usage.flush(LONG)
        assert await kelviq.recorder.journal.fold(2**40) == 1
        with pytest.raises(InvalidRequest, match="something later was sent"):
            await kelviq.usage.settle(old.id, "resend")
