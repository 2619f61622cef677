"""How sending ends when the client closes, whatever the journal and the calls on their way do."""

import asyncio
import time

import pytest

from kelviq_async.errors import ClientClosed
from kelviq_async.usage import JournalError, MemoryJournal
from tests.usage.meters import Trouble, client, stands, total, until


async def test_a_flush_hears_that_the_client_closes(world):
    world.faults.add("ReportUsage", "refuse")
    kelviq = await client(world, shutdown=0).open()
    await kelviq.usage.record("cust-0", "calls")
    flushing = asyncio.create_task(kelviq.usage.flush(None))
    await asyncio.sleep(0.05)
    await kelviq.close()
    with pytest.raises((ClientClosed, JournalError)):
        await flushing


async def test_a_flush_does_not_wait_for_a_journal_that_hangs(world, impatient):
    journal = Trouble()
    async with client(world, journal, shutdown=0.1) as kelviq:
        journal.hang["ledger"] = 1
        with pytest.raises(JournalError, match="no answer in time"):
            await kelviq.usage.flush(0.05)


async def test_what_is_being_claimed_when_it_closes_is_said_to_stay(world, caplog):
    class SlowToClaim(MemoryJournal):
        async def claim(self, runs, owner):
            claimed = await super().claim(runs, owner)
            await asyncio.sleep(0.3)
            return claimed

    world.faults.add("ReportUsage", "refuse")
    journal = SlowToClaim()
    async with client(world, journal, shutdown=0.05) as kelviq:
        await kelviq.usage.record("cust-0", "calls", 3)
    assert "1 usage records stay in the journal for the next client" in caplog.messages
    ledger = await journal.ledger()
    assert (ledger.pending, ledger.in_flight) == (1, 0)


@pytest.mark.parametrize("name", ["claim", "move", "leave", "reports", "ledger", "waiting", "beat"])
@pytest.mark.parametrize("trouble", ["hang", "fail"])
async def test_closing_ends_whatever_the_journal_does(world, impatient, name, trouble):
    """Also what cannot be written down is never sent again by this sender."""
    journal = Trouble()
    kelviq = await client(world, journal, shutdown=0.05).open()
    await stands(kelviq)
    getattr(journal, trouble)[name] = 1_000_000
    kelviq.recorder._sender._beat_at = float("-inf")
    await kelviq.usage.record("cust-0", "calls", 3)
    await asyncio.sleep(0.05)
    began = time.monotonic()
    await kelviq.close()
    assert time.monotonic() - began < 5
    getattr(journal, trouble)[name] = 0
    ledger = await journal.ledger()
    assert ledger.balanced
    if name == "claim" and trouble == "fail":
        assert (ledger.pending, ledger.in_flight) == (1, 0)
    if ledger.in_flight:
        # it did not say goodbye, so that what it left is noticed
        assert [each.owner.id for each in await journal.owners()]
    await asyncio.sleep(0)
    assert total(world) in {0, 3}


@pytest.mark.parametrize("name", ["reports", "leave"])
@pytest.mark.parametrize("error", [JournalError, OSError])
async def test_a_journal_that_fails_for_a_moment_is_left_in_order_all_the_same(world, name, error):
    journal = Trouble(error)
    async with client(world, journal) as kelviq:
        await kelviq.usage.record("cust-0", "calls", 3)
        await stands(kelviq, delivered=1)
        journal.fail[name] = 2
    assert (journal.fail[name], await journal.owners()) == (0, [])


@pytest.mark.parametrize("trouble", ["hang", "fail"])
async def test_what_could_not_be_written_when_closing_is_written_when_opening(world, impatient, trouble):
    """What is known of it is forgotten by nobody, and nothing of its key waits for a lease."""
    journal = Trouble()
    kelviq = await client(world, journal, shutdown=0.05, lease=1000).open()
    getattr(journal, trouble)["move"] = 1_000_000
    await kelviq.usage.record("cust-0", "calls", 3)
    await until(lambda: total(world) == 3)
    await kelviq.close()
    assert (await journal.ledger()).in_flight == 1
    getattr(journal, trouble)["move"] = 0
    async with kelviq:
        await kelviq.usage.record("cust-0", "calls", 4)
        await stands(kelviq, delivered=2)
    assert (total(world), await journal.owners()) == (7, [])


async def test_closing_while_calls_hang(world, impatient):
    world.faults.add("ReportUsage", "latency", latency=50)
    journal = MemoryJournal()
    async with client(world, journal, timeout=100, lease=1000, shutdown=0.1, concurrency=2) as kelviq:
        for number in range(4):
            await kelviq.usage.record(f"cust-{number}", "calls", 3)
        await stands(kelviq, in_flight=2, pending=2)
        await kelviq.usage.record("cust-0", "calls", 1)
    ledger = await journal.ledger()
    assert (ledger.unresolved, ledger.pending, ledger.in_flight) == (2, 3, 0)
    assert await journal.owners() == []
    world.faults.clear()
    async with client(world, journal) as kelviq:
        await stands(kelviq, unresolved=2, delivered=3)
    assert (total(world), total(world, "cust-2")) == (4, 3)


async def test_what_is_on_its_way_may_end_after_the_deadline(world):
    """Half a second more is better than a report that somebody has to settle."""
    world.faults.add("ReportUsage", "latency", latency=0.4)
    journal = MemoryJournal()
    async with client(world, journal, shutdown=0) as kelviq:
        await kelviq.usage.record("cust-0", "calls", 3)
        await stands(kelviq, in_flight=1)
        await kelviq.usage.record("cust-0", "calls", 3)
    ledger = await journal.ledger()
    assert (ledger.delivered, ledger.pending, ledger.unresolved) == (1, 1, 0)
