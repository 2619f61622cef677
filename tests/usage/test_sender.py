"""What becomes of recorded usage, whatever Kelviq or the network does."""

import asyncio
import time

import pytest

from kelviq_async import Kelviq
from kelviq_async.emulator import World, serve
from kelviq_async.errors import Forbidden, Unauthorized
from kelviq_async.transport import WireAnswer
from kelviq_async.usage import MemoryJournal, UsagePolicy
from tests.usage.meters import LONG, QUICK, Trouble, client, counted, stands, total, until


class Remote:
    """The same world behind a port."""


@pytest.fixture(params=["local", "http"])
async def connected(request, world):
    """Makes clients of a world, in process or over HTTP."""
    if request.param == "local":
        yield lambda **policy: client(world, **policy)
        return
    async with serve(world) as server:

        def make(**policy):
            return Kelviq(
                world.server_key,
                core_url=f"{server.url}/api/v1",
                journal=MemoryJournal(),
                usage_policy=UsagePolicy(**QUICK | policy),
            )

        yield make


def said(caplog, part):
    return [each for each in caplog.messages if part in each]


async def test_what_is_recorded_is_delivered(world, connected):
    async with connected() as kelviq:
        receipt = await kelviq.usage.record("cust-0", "calls", 3)
        await kelviq.usage.record("cust-0", "calls", 4, resource_id="room")
        await kelviq.usage.set("cust-1", "seats", 9)
        ledger = await kelviq.usage.flush(LONG)
        assert (ledger.accepted, ledger.delivered) == (3, 3)
        report = await kelviq.recorder.journal.find(receipt.id)
    assert (report.state, report.value, report.reason, report.late) == ("delivered", 3, "", False)
    assert counted(world) == {
        ("cust-0", "calls", None): [("DELTA", 3)],
        ("cust-0", "calls", "room"): [("DELTA", 4)],
        ("cust-1", "seats", None): [("SET", 9)],
    }


@pytest.mark.parametrize("status", [400, 404, 409, 422])
async def test_what_kelviq_refuses_is_rejected_and_the_rest_goes_on(world, connected, status, caplog):
    world.faults.add("ReportUsage", "status", status=status, times=1)
    async with connected(concurrency=1) as kelviq:
        receipt = await kelviq.usage.record("cust-0", "calls", 3)
        await stands(kelviq, rejected=1)
        for each in ("cust-0", "cust-1"):
            await kelviq.usage.record(each, "calls", 5)
        await stands(kelviq, rejected=1, delivered=2)
        [report] = await kelviq.usage.rejected()
        assert report == await kelviq.recorder.journal.find(receipt.id)
        assert str(status) in report.reason
        assert "A fault on purpose" in report.reason
    assert (total(world), total(world, "cust-1")) == (5, 5)
    assert said(caplog, "rejected a usage report") == [
        f"Kelviq rejected a usage report, see usage.rejected(): {report.reason.partition(':')[0]}"
    ]


async def test_an_unknown_customer_is_rejected_for_the_reason_kelviq_gave(world, connected):
    async with connected() as kelviq:
        await kelviq.usage.record("nobody", "calls")
        await kelviq.usage.record("cust-0", "no-such-thing")
        await stands(kelviq, rejected=2)
        reasons = {report.customer_id: report.reason for report in await kelviq.usage.rejected()}
    assert "Customer not found" in reasons["nobody"]
    assert "no-such-thing" in reasons["cust-0"]


@pytest.mark.parametrize(("status", "error"), [(401, Unauthorized), (403, Forbidden)])
async def test_a_key_that_is_refused_stops_everything_once(world, connected, status, error, caplog):
    fault = world.faults.add("ReportUsage", "status", status=status)
    async with connected() as kelviq:
        for number in range(8):
            await kelviq.usage.record(f"cust-{number}", "calls", 2)
        with pytest.raises(error):
            await kelviq.usage.flush(LONG)
        await stands(kelviq, pending=8)
        sent = len(world.requests)
        await kelviq.usage.record("cust-0", "calls", 2)
        await stands(kelviq, pending=9)
        with pytest.raises(error):
            await kelviq.usage.flush(LONG)
        assert sent < len(world.requests) <= sent + 8
        assert len(said(caplog, "usage is kept and not sent")) == 1
        assert not [each for each in caplog.messages if "cust-" in each]
        fault.times = fault.happened  # the key is right again
        ledger = await kelviq.usage.flush(LONG)
        assert (ledger.delivered, ledger.pending) == (9, 0)
        world.faults.add("ReportUsage", "status", status=status, times=1)
        await kelviq.usage.record("cust-0", "calls", 2)
        await until(lambda: len(said(caplog, "usage is kept and not sent")) == 2)
    assert total(world) == 4


async def test_a_refused_key_is_tried_again_by_nobody(world):
    world.faults.add("ReportUsage", "status", status=401)
    async with client(world) as kelviq:
        await kelviq.usage.record("cust-0", "calls")
        await until(lambda: kelviq.recorder._sender.stopped_by)
        before = kelviq.recorder.journal
        sent = len(world.requests)
        for _ in range(5):
            await kelviq.usage.record("cust-1", "calls")
            kelviq.recorder._sender.nudge()
            turned = kelviq.recorder._sender._turned
            await turned.wait()
        assert len(world.requests) == sent
        ledger = await before.ledger()
        assert (ledger.pending, ledger.in_flight) == (6, 0)


@pytest.mark.parametrize("retry_after", [None, 0.3])
@pytest.mark.parametrize("kind", ["rate_limit", "status"])
async def test_one_shared_pause(world, connected, kind, retry_after):
    status = {"rate_limit": 429, "status": 503}[kind]
    fault = world.faults.add("ReportUsage", "status", status=status, retry_after=retry_after)
    async with connected(window=0.05, max_backoff=0.3, backoff=0.3) as kelviq:
        for number in range(8):
            await kelviq.usage.set(f"cust-{number}", "calls", 2)
        await until(lambda: fault.happened)
        began = time.monotonic()
        fault.times = 8
        await until(lambda: fault.happened >= 8 or len(counted(world)) == 8)
        await stands(kelviq, delivered=8)
        # eight went together, and only one of them at a time afterwards
        assert time.monotonic() - began > 0.1
    assert counted(world) == {(f"cust-{n}", "calls", None): [("SET", 2)] for n in range(8)}


async def test_what_was_turned_away_by_429_is_sent_again_even_a_delta(world, connected):
    world.faults.add("ReportUsage", "rate_limit", retry_after=0, times=3)
    async with connected(concurrency=1) as kelviq:
        await kelviq.usage.record("cust-0", "calls", 3)
        await stands(kelviq, delivered=1)
    assert total(world) == 3


async def test_a_pause_that_kelviq_asked_for_outlasts_a_flush(world):
    world.faults.add("ReportUsage", "rate_limit", retry_after=3000, times=1)
    async with client(world, shutdown=0.05) as kelviq:
        await kelviq.usage.record("cust-0", "calls", 3)
        await until(lambda: len(world.requests) == 1)
        ledger = await kelviq.usage.flush(0.1)
        assert (ledger.pending, len(world.requests)) == (1, 1)


async def test_a_pause_of_our_own_ends_with_a_flush(world):
    fault = world.faults.add("ReportUsage", "refuse")
    async with client(world, backoff=50, max_backoff=50) as kelviq:
        await kelviq.usage.record("cust-0", "calls", 3)
        await until(lambda: fault.happened)
        await stands(kelviq, pending=1)
        world.faults.clear()
        assert (await kelviq.usage.flush(LONG)).delivered == 1


AMBIGUOUS = {
    "drop_before": {"kind": "drop_before"},
    "drop_after": {"kind": "drop_after"},
    "truncated": {"kind": "truncated"},
    "garbage": {"kind": "garbage"},
    "500": {"kind": "status", "status": 500},
    "502": {"kind": "status_after", "status": 502},
    "503": {"kind": "status", "status": 503},
    "503-retry-after": {"kind": "status_after", "status": 503, "retry_after": 0.05},
    "504": {"kind": "status", "status": 504},
    "408": {"kind": "status", "status": 408},
    "silence": {"kind": "drop_before", "latency": 0.6},
    "late": {"kind": "latency", "latency": 0.6},
}
DONE = {"drop_after", "truncated", "garbage", "502", "503-retry-after", "late"}


@pytest.mark.parametrize("name", AMBIGUOUS)
async def test_a_delta_whose_fate_is_unknown_is_held(world, connected, name, caplog):
    world.faults.add("ReportUsage", times=1, **AMBIGUOUS[name])
    timeout = 0.05 if name in {"silence", "late"} else 5
    async with connected(timeout=timeout) as kelviq:
        receipt = await kelviq.usage.record("cust-0", "calls", 3)
        await stands(kelviq, unresolved=1)
        # a later one does not wait for it
        await kelviq.usage.record("cust-0", "calls", 4)
        await kelviq.usage.set("cust-0", "seats", 2)
        await until(lambda: not world.faults.remaining)
        await stands(kelviq, unresolved=1, delivered=2)
        [report] = await kelviq.usage.unresolved()
        assert report == await kelviq.recorder.journal.find(receipt.id)
        assert report.reason
        assert not report.late
    assert total(world) == 4 + (3 if name in DONE else 0)
    assert len(said(caplog, "the fate of a usage report is unknown")) == 1
    assert not [each for each in caplog.messages if "cust-" in each]


@pytest.mark.parametrize("name", AMBIGUOUS)
async def test_a_set_whose_fate_is_unknown_is_repeated_before_anything_later(world, connected, name):
    world.faults.add("ReportUsage", times=1, **AMBIGUOUS[name])
    timeout = 0.4 if name in {"silence", "late"} else 5
    async with connected(timeout=timeout) as kelviq:
        await kelviq.usage.set("cust-0", "calls", 30)
        await kelviq.usage.record("cust-0", "calls", 4)
        await kelviq.usage.set("cust-0", "calls", 20)
        await kelviq.usage.record("cust-0", "calls", 5)
        ledger = await kelviq.usage.flush(LONG)
        assert (ledger.delivered, ledger.unresolved) == (4, 0)
    again = [("SET", 30)] if name in DONE else []
    rest = [("SET", 30), ("DELTA", 4), ("SET", 20), ("DELTA", 5)]
    assert counted(world)["cust-0", "calls", None] == again + rest


async def test_who_chose_so_gets_what_is_ambiguous_sent_again(world, connected):
    world.faults.add("ReportUsage", "drop_after", times=1)
    world.faults.add("ReportUsage", "drop_before", times=2)
    async with connected(ambiguous="resend") as kelviq:
        await kelviq.usage.record("cust-0", "calls", 3)
        await stands(kelviq, delivered=1)
    assert total(world) == 6  # which is what was chosen


@pytest.mark.parametrize("times", [1, 7])
async def test_what_cannot_be_sent_is_kept_and_resumes_in_order(world, times, caplog):
    world.faults.add("ReportUsage", "refuse", times=times)
    async with client(world) as kelviq:
        await kelviq.usage.record("cust-0", "calls", 3)
        await kelviq.usage.set("cust-0", "calls", 1)
        await kelviq.usage.record("cust-1", "calls", 4)
        await until(lambda: not world.faults.remaining)
        await stands(kelviq, delivered=3)
    assert counted(world) == {
        ("cust-0", "calls", None): [("DELTA", 3), ("SET", 1)],
        ("cust-1", "calls", None): [("DELTA", 4)],
    }
    assert len(said(caplog, "sending usage pauses")) == 1  # however long it lasts


async def test_nobody_at_the_address(world):
    async with serve(world) as server:
        url = f"{server.url}/api/v1"
    async with Kelviq(
        "sk", core_url=url, journal=MemoryJournal(), usage_policy=UsagePolicy(**QUICK | {"shutdown": 0.05})
    ) as kelviq:
        await kelviq.usage.record("cust-0", "calls", 3)
        ledger = await kelviq.usage.flush(0.2)
        assert (ledger.pending, ledger.in_flight) == (1, 0) or (ledger.pending, ledger.in_flight) == (0, 1)
        await stands(kelviq, pending=1)


class SlowToTell(MemoryJournal):
    """A journal whose ledger is told when what it has in flight is there no more."""

    async def ledger(self):
        told = await super().ledger()
        while (await super().ledger()).in_flight:
            await asyncio.sleep(0.002)
        return told


@pytest.mark.parametrize("by", ["us", "another process"])
async def test_a_flush_does_not_take_what_is_pending_again_for_sent(world, by):
    world.faults.add("ReportUsage", "refuse", latency=0.05, times=5)
    journal = SlowToTell()
    async with client(world, journal) as kelviq:
        await kelviq.usage.record("cust-0", "calls", 3)
        if by == "us":
            ledger = await kelviq.usage.flush(LONG)
        else:
            flushing = client(world, journal, concurrency=1)
            ledger = await flushing.usage.flush(LONG)
            await flushing.close()
    assert (ledger.pending, ledger.delivered) == (0, 1)
    assert total(world) == 3


@pytest.mark.parametrize("status", [301, 302, 307, 308, 405])
async def test_an_address_that_is_wrong_stops_everything(world, connected, status):
    world.faults.add("ReportUsage", "status", status=status, times=1)
    async with connected() as kelviq:
        await kelviq.usage.record("cust-0", "calls", 3)
        await until(lambda: kelviq.recorder._sender.stopped_by)
        await stands(kelviq, pending=1)
        assert (await kelviq.usage.flush(LONG)).delivered == 1
    assert total(world) == 3


async def test_a_function_that_gives_no_key_is_asked_again(world):
    asked = []

    def key():
        asked.append(1)
        if len(asked) < 4:
            raise OSError("the vault is sealed")
        return world.server_key

    journal = MemoryJournal()
    policy = UsagePolicy(**QUICK)
    async with Kelviq.local(
        world, server_key=key, account="a", journal=journal, usage_policy=policy
    ) as kelviq:
        await kelviq.usage.record("cust-0", "calls", 3)
        await stands(kelviq, delivered=1)
    assert len(asked) == 4
    assert total(world) == 3


async def test_a_layer_that_fails_after_the_call_makes_it_ambiguous(world, caplog):
    def layer(send):
        async def call(request, options):
            await send(request, options)
            raise LookupError("a layer of the user's own")

        return call

    policy = UsagePolicy(**QUICK)
    async with Kelviq.local(world, layers=[layer], journal=MemoryJournal(), usage_policy=policy) as kelviq:
        await kelviq.usage.record("cust-0", "calls", 3)
        await stands(kelviq, unresolved=1)
        assert "LookupError" in (await kelviq.usage.unresolved())[0].reason
    assert total(world) == 3
    assert said(caplog, "unexpected")


async def test_an_answer_of_nothing_counts_as_delivered_by_our_own_clock(world):
    def layer(send):
        async def call(request, options):
            await send(request, options)

        return call

    policy = UsagePolicy(**QUICK)
    async with Kelviq.local(world, layers=[layer], journal=MemoryJournal(), usage_policy=policy) as kelviq:
        kelviq.recorder.uncounted.learn_reset("cust-0", "calls", world.clock.now().timestamp() + 1000)
        await kelviq.usage.record("cust-0", "calls", 3)
        await stands(kelviq, delivered=1)
        assert (await kelviq.usage.ledger()).late == 0


# Meters that start anew


@pytest.mark.parametrize("late", ["hold", "send"])
async def test_what_the_meter_has_left_behind(world, late):
    reset = world.clock.now().timestamp() + 100
    async with client(world, late=late, window=30) as kelviq:
        kelviq.recorder.uncounted.learn_reset("cust-0", "calls", reset)
        receipt = await kelviq.usage.record("cust-0", "calls", 3)
        world.clock.advance(seconds=200)
        await kelviq.usage.record("cust-0", "calls", 4)  # nobody knows the next reset; yet this is not late
        await kelviq.usage.flush(LONG)
        if late == "hold":
            ledger = await stands(kelviq, unresolved=1, delivered=1)
            [report] = await kelviq.usage.unresolved()
            assert (report.value, report.late) == (3, True)
            assert "started anew" in report.reason
            assert total(world) == 4
            # who sends it again means it
            await kelviq.usage.settle(receipt.id, "resend", note="it is fine")
            await kelviq.usage.flush(LONG)
            ledger = await stands(kelviq, delivered=2)
            assert ledger.late == 0
        else:
            ledger = await stands(kelviq, delivered=2)
            assert ledger.late == 1
    assert total(world) == 7


async def test_what_is_counted_after_the_reset_says_so(world, caplog):
    """The clock moves while it is on its way: Kelviq's own stamp tells."""
    reset = world.clock.now().timestamp() + 100

    def layer(send):
        async def call(request, options):
            world.clock.advance(seconds=200)
            return await send(request, options)

        return call

    policy = UsagePolicy(**QUICK)
    async with Kelviq.local(world, layers=[layer], journal=MemoryJournal(), usage_policy=policy) as kelviq:
        kelviq.recorder.uncounted.learn_reset("cust-0", "calls", reset)
        receipt = await kelviq.usage.record("cust-0", "calls", 3)
        ledger = await stands(kelviq, delivered=1)
        assert ledger.late == 1
        assert (await kelviq.recorder.journal.find(receipt.id)).late
    assert said(caplog, "started anew")


async def test_a_world_whose_answers_cannot_be_read(world):
    """A 200 of another shape counts as unknown, and never as delivered."""

    class Odd(World):
        async def send(self, request):
            await super().send(request)
            return WireAnswer(200, {}, b"<html>")

    odd = Odd(now=world.now())
    async with client(odd) as kelviq:
        await kelviq.usage.record("cust-0", "calls", 3)
        await stands(kelviq, unresolved=1)


async def test_a_journal_without_trouble_is_asked_for_little(world):
    journal = Trouble()
    async with client(world, journal) as kelviq:
        await kelviq.usage.record("cust-0", "calls", 3)
        await stands(kelviq, delivered=1)
        turns = journal.calls["waiting"]
        assert turns < 10
    assert journal.calls["claim"] == journal.calls["move"] == 1
