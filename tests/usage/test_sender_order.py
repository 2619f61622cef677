"""In which order, how much at a time, and past what: how recorded usage is gathered on its way."""

import asyncio
import itertools

import pytest

from kelviq_async.usage import MemoryJournal
from kelviq_async.usage.records import Key, Record, State
from tests.usage.meters import CUSTOMERS, LONG, client, counted, stands, total, until


def rows(world, customer="cust-0"):
    return counted(world)[customer, "calls", None]


async def test_deltas_add_up_until_their_window_ends(world):
    async with client(world, window=0.2) as kelviq:
        for value in (1, 2, 3):
            await kelviq.usage.record("cust-0", "calls", value)
        assert world.usage_ledger == []
        await stands(kelviq, delivered=3)
    assert rows(world) == [("DELTA", 6)]


async def test_a_total_goes_at_once_and_closes_what_is_before_it(world):
    async with client(world, window=500) as kelviq:
        await kelviq.usage.record("cust-0", "calls", 1)
        await kelviq.usage.record("cust-0", "calls", 2)
        await kelviq.usage.set("cust-0", "calls", 9)
        await kelviq.usage.record("cust-0", "calls", 4)
        await stands(kelviq, delivered=3, pending=1)
        assert rows(world) == [("DELTA", 3), ("SET", 9)]
        await kelviq.usage.flush(LONG)
    assert rows(world) == [("DELTA", 3), ("SET", 9), ("DELTA", 4)]


async def test_a_flush_waits_for_no_window(world):
    async with client(world, window=500) as kelviq:
        for each in CUSTOMERS:
            await kelviq.usage.record(each, "calls", 2)
        ledger = await kelviq.usage.flush(LONG)
        assert (ledger.delivered, ledger.pending) == (len(CUSTOMERS), 0)


async def test_what_is_recorded_when_another_report_hangs_does_not_wait_for_it(world, monkeypatch):
    monkeypatch.setattr("kelviq_async.usage.sender.GRACE", 0.1)
    world.faults.add("ReportUsage", "latency", latency=50, times=1)
    async with client(world, window=0.01, timeout=100, lease=1000, shutdown=0) as kelviq:
        await kelviq.usage.record("cust-0", "calls")
        await stands(kelviq, in_flight=1)
        began = asyncio.get_running_loop().time()
        await kelviq.usage.record("cust-1", "calls")
        await until(lambda: total(world, "cust-1"))
        assert asyncio.get_running_loop().time() - began < 2


async def test_records_that_come_while_the_journal_is_read_are_not_forgotten(world):
    class Slow(MemoryJournal):
        async def waiting(self, limit, skip=()):
            found = await super().waiting(limit, skip)
            await self.meanwhile()
            return found

        async def meanwhile(self):
            pass

    journal = Slow()
    async with client(world, journal, window=0.05) as kelviq:
        recorded = []

        async def meanwhile():
            if not recorded:
                recorded.append(await kelviq.usage.record("cust-1", "calls", 2))

        await kelviq.usage.record("cust-0", "calls", 1)
        journal.meanwhile = meanwhile
        began = asyncio.get_running_loop().time()
        await until(lambda: total(world, "cust-1"))
        assert asyncio.get_running_loop().time() - began < 2


@pytest.mark.parametrize(("cap", "reports"), [({"max_records": 4}, 3), ({"max_units": 20}, 5)])
async def test_reports_are_capped(world, cap, reports):
    async with client(world, window=500, **cap) as kelviq:
        for _ in range(10):
            await kelviq.usage.record("cust-0", "calls", 10)
        assert (await kelviq.usage.flush(LONG)).delivered == 10
    assert len(rows(world)) == reports
    assert total(world) == 100


async def test_many_records_travel_as_one(world):
    async with client(world, window=500) as kelviq:
        for _, each in itertools.product(range(200), CUSTOMERS):
            await kelviq.usage.record(each, "calls")
        assert (await kelviq.usage.flush(LONG)).delivered == 200 * len(CUSTOMERS)
    assert len(world.usage_ledger) == len(CUSTOMERS)


@pytest.mark.parametrize("concurrency", [1, 3])
async def test_no_more_are_on_their_way_than_may_be(world, concurrency):
    most, now = 0, 0
    real = world.send

    async def send(request):
        nonlocal most, now
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.01)
        try:
            return await real(request)
        finally:
            now -= 1

    world.send = send
    async with client(world, concurrency=concurrency) as kelviq:
        for each in CUSTOMERS:
            await kelviq.usage.set(each, "calls", 1)
        assert (await kelviq.usage.flush(LONG)).delivered == len(CUSTOMERS)
    assert most == concurrency


async def test_one_report_of_a_key_at_a_time(world):
    now = set()
    real = world.send

    async def send(request):
        assert request.body not in now, "two of a key at once"
        now.add(request.body)
        await asyncio.sleep(0.005)
        now.remove(request.body)
        return await real(request)

    world.send = send
    async with client(world, max_records=1) as kelviq:
        for _ in range(10):
            await kelviq.usage.record("cust-0", "calls")
        assert (await kelviq.usage.flush(LONG)).delivered == 10


async def test_a_key_that_kelviq_chokes_on_blocks_no_others(world):
    real = world.send

    async def send(request):
        answer = await real(request)
        if b"cust-0" in request.body:
            answer.status = 500
        return answer

    world.send = send
    async with client(world, backoff=0.05, max_backoff=10, shutdown=0.1) as kelviq:
        await kelviq.usage.set("cust-0", "calls", 1)
        await until(lambda: world.usage_ledger)
        for each in CUSTOMERS[1:] * 3:
            await kelviq.usage.record(each, "calls")
        for _ in range(3):
            await kelviq.usage.record("cust-0", "calls")
        await stands(kelviq, delivered=3 * len(CUSTOMERS) - 3, pending=4)
    assert {kind for kind, _ in rows(world)} == {"SET"}


async def test_a_backlog_that_is_too_long_to_be_read_at_once_gets_through(world, monkeypatch):
    monkeypatch.setattr("kelviq_async.usage.upcoming.READ", 50)
    async with client(world, window=500) as kelviq:
        for number in range(1000):
            await kelviq.usage.record(CUSTOMERS[number % 3], "calls")
        # so much is more than is looked at, and windows would never end
        await stands(kelviq, delivered=1000)
    assert sum(total(world, each) for each in CUSTOMERS) == 1000


async def test_what_others_have_put_into_the_journal_is_found(world, monkeypatch):
    monkeypatch.setattr("kelviq_async.usage.sender.TIDY", 0.05)
    journal = MemoryJournal()
    async with client(world, journal) as kelviq:
        await stands(kelviq)
        key = Key("cust-0", "calls")
        await journal.append([Record("somebody-elses", key, "DELTA", 4, 1_700_000_000.0)])
        await stands(kelviq, delivered=1)
    assert total(world) == 4


async def test_two_senders_share_a_journal(world):
    journal = MemoryJournal()
    async with client(world, journal, max_records=3) as one, client(world, journal, max_records=3) as two:
        for number in range(120):
            await (one, two)[number % 2].usage.record(CUSTOMERS[number % 5], "calls", 1)
        ledgers = await asyncio.gather(one.usage.flush(LONG), two.usage.flush(LONG))
        assert [each.delivered for each in ledgers] == [120, 120]
    assert sum(total(world, each) for each in CUSTOMERS) == 120


async def test_a_flush_with_traffic_that_never_ends(world):
    async with client(world, window=500) as kelviq:
        before = [await kelviq.usage.record("cust-0", "calls", 100) for _ in range(3)]

        async def traffic():
            while True:
                await kelviq.usage.record("cust-1", "calls")
                await asyncio.sleep(0)

        task = asyncio.create_task(traffic())
        await asyncio.sleep(0.01)
        await kelviq.usage.flush(LONG)
        for receipt in before:
            assert (await kelviq.recorder.journal.find(receipt.id)).state is State.DELIVERED
        task.cancel()


@pytest.mark.parametrize("deadline", [0, 0.05])
async def test_a_flush_ends_when_its_time_is_up(world, deadline):
    world.faults.add("ReportUsage", "refuse")
    async with client(world, shutdown=0) as kelviq:
        await kelviq.usage.record("cust-0", "calls")
        began = asyncio.get_running_loop().time()
        ledger = await kelviq.usage.flush(deadline)
        assert ledger.pending + ledger.in_flight == 1
        assert asyncio.get_running_loop().time() - began < deadline + 2


async def test_a_flush_without_a_deadline_waits(world):
    world.faults.add("ReportUsage", "refuse", times=4)
    async with client(world) as kelviq:
        await kelviq.usage.record("cust-0", "calls")
        assert (await kelviq.usage.flush(None)).delivered == 1


async def test_a_flush_shows_what_ended_while_the_ledger_was_read(world):
    class Slow(MemoryJournal):
        """One whose ledger is a moment old when it arrives."""

        async def ledger(self):
            found = await super().ledger()
            if found.in_flight:
                await until(lambda: not self._flying)
            return found

    world.faults.add("ReportUsage", "drop_after", times=1)
    async with client(world, Slow(), window=500) as kelviq:
        await kelviq.usage.record("cust-0", "calls")
        ledger = await kelviq.usage.flush(LONG)
        assert (ledger.in_flight, ledger.unresolved) == (0, 1)


async def test_a_flush_of_nothing(world):
    async with client(world) as kelviq:
        ledger = await kelviq.usage.flush(LONG)
        assert (ledger.accepted, ledger.balanced) == (0, True)


async def test_a_flush_waits_for_what_another_sender_has_in_flight(world):
    world.faults.add("ReportUsage", "latency", latency=0.3, times=1)
    journal = MemoryJournal()
    async with client(world, journal) as one, client(world, journal) as two:
        await one.usage.record("cust-0", "calls")
        await stands(one, in_flight=1)
        assert (await two.usage.flush(LONG)).delivered == 1


async def test_clocks_that_step(world, monkeypatch):
    """Neither a step back nor one ahead holds records for long."""
    import time

    offset = 0.0
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + offset)
    async with client(world, window=0.05) as kelviq:
        await kelviq.usage.record("cust-0", "calls", 1)
        offset = -7200.0
        kelviq.recorder._sender.nudge()
        await until(lambda: total(world) == 1)
        await kelviq.usage.record("cust-0", "calls", 2)
        offset = 7200.0
        await until(lambda: total(world) == 3)
        await kelviq.usage.record("cust-0", "calls", 4)
        await stands(kelviq, delivered=3)
    assert total(world) == 7


@pytest.mark.parametrize("left_out", [1, 8])
async def test_what_somebody_else_was_faster_to_claim_is_looked_at_again(world, left_out):
    class Contested(MemoryJournal):
        times = 3

        async def claim(self, runs, owner):
            if self.times:
                self.times -= 1
                runs = runs[left_out:]
            return await super().claim(runs, owner)

    async with client(world, Contested(), window=500) as kelviq:
        for each in CUSTOMERS:
            await kelviq.usage.record(each, "calls")
        assert (await kelviq.usage.flush(LONG)).delivered == len(CUSTOMERS)


async def test_a_record_shortly_before_the_reset_does_not_wait_for_its_window(world):
    async with client(world, window=30) as kelviq:
        now = world.clock.now().timestamp()
        # Kelviq's clock and ours are months apart here, which must do no harm
        kelviq.recorder.uncounted.learn_reset("cust-0", "calls", now + 5)
        await kelviq.usage.record("cust-0", "calls")
        await stands(kelviq, delivered=1)
        assert (await kelviq.usage.ledger()).late == 0


async def test_a_flush_goes_on_as_soon_as_another_process_is_done_with_a_key(world):
    journal = MemoryJournal()
    async with client(world, journal, window=60) as first, client(world, journal, window=60) as second:
        world.faults.add("ReportUsage", "latency", latency=0.5, times=1)
        await first.usage.record("cust-0", "calls", 1)
        await second.usage.ledger()
        sending = asyncio.create_task(first.usage.flush(LONG))
        await stands(second, in_flight=1)
        await second.usage.record("cust-0", "calls", 2)
        first.recorder._sender._claims = False  # it is about to close
        # well before the second would look by itself
        assert (await second.usage.flush(3)).delivered == 2
        await sending
