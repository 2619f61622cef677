"""The life of what records: when it starts, on which loop, what it hands over, and what it forgets."""

import asyncio
import gc
import os

import pytest

from kelviq_async.errors import ClientClosed, ConfigError, InvalidRequest, OutcomeUnknown, WrongLoop
from kelviq_async.usage import JournalError, MemoryJournal, SqliteJournal
from kelviq_async.usage.records import Key
from tests.usage.meters import LONG, Trouble, client, counted, metered, stands, total, until

KEY = Key("cust-0", "calls")


def uncounted(kelviq, customer="cust-0"):
    return kelviq.recorder.uncounted.of(customer, "calls", 0, 0.0)


# Opening


async def test_a_constructor_starts_nothing(world, tmp_path):
    before = asyncio.all_tasks()
    client(world, SqliteJournal(tmp_path / "usage.db"))
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before
    assert list(tmp_path.iterdir()) == []


async def test_the_first_call_opens(world, tmp_path):
    kelviq = client(world, SqliteJournal(tmp_path / "usage.db"))
    await kelviq.usage.record("cust-0", "calls", 3)
    await stands(kelviq, delivered=1)
    await kelviq.close()
    assert total(world) == 3


async def test_any_first_call_begins_to_send_what_is_pending(world):
    journal = MemoryJournal()
    world.faults.add("ReportUsage", "refuse", times=50)
    async with client(world, journal, shutdown=0) as first:
        await first.usage.record("cust-0", "calls", 3)
    world.faults.clear()
    second = client(world, journal)
    await second.customers.retrieve("cust-0")
    await until(lambda: total(world) == 3)
    await second.close()


async def test_what_is_left_is_delivered_by_the_next_client(world, tmp_path, caplog):
    world.faults.add("ReportUsage", "refuse")
    async with client(world, SqliteJournal(tmp_path / "usage.db"), shutdown=0.05) as kelviq:
        for _ in range(3):
            await kelviq.usage.record("cust-0", "calls", 3)
    assert "3 usage records stay in the journal for the next client" in caplog.messages
    world.faults.clear()
    async with client(world, SqliteJournal(tmp_path / "usage.db")) as kelviq:
        await stands(kelviq, delivered=3)
    assert total(world) == 9


async def test_closing_sends_what_is_pending(world):
    journal = MemoryJournal()
    async with client(world, journal, window=500) as kelviq:
        await kelviq.usage.record("cust-0", "calls", 3)
        await kelviq.usage.record("cust-0", "calls", 4)
    ledger = await journal.ledger()
    assert (ledger.delivered, ledger.pending) == (2, 0)
    assert counted(world)["cust-0", "calls", None] == [("DELTA", 7)]
    assert await journal.owners() == []


async def test_closed_and_opened_again(world, no_tasks_left):
    journal = MemoryJournal()
    kelviq = client(world, journal)
    receipts = []
    for _ in range(3):
        async with kelviq:
            receipts.append(await kelviq.usage.record("cust-0", "calls", 3))
        for call in (
            kelviq.usage.record("cust-0", "calls"),
            kelviq.usage.ledger(),
            kelviq.usage.flush(),
            kelviq.usage.settle("an-id", "resend"),
        ):
            with pytest.raises(ClientClosed):
                await call
    assert len({each.id for each in receipts}) == 3
    assert total(world) == 9
    await kelviq.close()
    await no_tasks_left()


async def test_a_client_that_was_closed_before_it_was_opened(world):
    kelviq = client(world)
    await kelviq.close()
    with pytest.raises(ClientClosed):
        await kelviq.usage.record("cust-0", "calls")


async def test_a_journal_that_cannot_be_used(world, tmp_path):
    kelviq = client(world, SqliteJournal(tmp_path / "nowhere" / "usage.db"))
    with pytest.raises(ConfigError):
        await kelviq.open()
    (tmp_path / "nowhere").mkdir()
    async with kelviq:
        await kelviq.usage.record("cust-0", "calls", 3)
        await stands(kelviq, delivered=1)


async def test_a_journal_that_can_be_used_later(world):
    """Who only asks about entitlements goes on meanwhile."""
    journal = Trouble()
    journal.fail["open"] = 2
    kelviq = client(world, journal)
    await kelviq.customers.retrieve("cust-0")
    with pytest.raises(JournalError):
        await kelviq.usage.record("cust-0", "calls")
    await kelviq.customers.retrieve("cust-0")
    await asyncio.sleep(0)
    await kelviq.usage.record("cust-0", "calls", 3)
    await stands(kelviq, delivered=1)
    await kelviq.close()


async def test_closing_while_it_opens(world):
    journal = Trouble()
    journal.hang["open"] = 1
    kelviq = client(world, journal)
    await kelviq.customers.retrieve("cust-0")
    waiting = asyncio.create_task(kelviq.usage.record("cust-0", "calls"))
    await asyncio.sleep(0.01)
    await kelviq.close()
    with pytest.raises((ClientClosed, asyncio.CancelledError)):
        await waiting


async def test_many_first_calls_open_once(world):
    journal = Trouble()
    kelviq = client(world, journal)
    await asyncio.gather(*(kelviq.usage.record("cust-0", "calls") for _ in range(20)))
    assert journal.calls["open"] == 1
    await kelviq.close()
    assert total(world) == 20


async def test_a_client_that_was_stopped_by_its_key_closes_quickly(world):
    world.faults.add("ReportUsage", "status", status=401)
    began = asyncio.get_running_loop().time()
    async with client(world, shutdown=50) as kelviq:
        await kelviq.usage.record("cust-0", "calls")
        await until(lambda: kelviq.recorder._sender.stopped_by)
    assert asyncio.get_running_loop().time() - began < LONG


async def test_a_key_that_is_refused_while_closing_is_said_once(world, caplog):
    world.faults.add("ReportUsage", "status", status=401)
    async with client(world, window=500) as kelviq:
        await kelviq.usage.record("cust-0", "calls")
    assert len([each for each in caplog.messages if "401" in each]) == 1


# Accepting


async def test_what_was_not_accepted_is_not_counted_anywhere(world):
    journal = Trouble()
    async with client(world, journal, window=500) as kelviq:
        await kelviq.usage.record("cust-0", "calls", 3)
        for kind, error in (("fail", JournalError), ("fail_after", OutcomeUnknown)):
            journal.error = error
            getattr(journal, kind)["append"] = 1
            with pytest.raises(error):
                await kelviq.usage.record("cust-0", "calls", 100)
            assert uncounted(kelviq) == 3
        # the second one was accepted after all
        assert (await kelviq.usage.flush(LONG)).delivered == 2
        assert uncounted(kelviq) == 3
    assert total(world) == 103


async def test_a_caller_who_does_not_wait(world):
    journal = Trouble()
    async with client(world, journal, window=500) as kelviq:
        journal.hang["append"] = 1
        task = asyncio.create_task(kelviq.usage.record("cust-0", "calls", 100))
        await until(lambda: journal.calls["append"])
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert uncounted(kelviq) == 0
        await kelviq.usage.record("cust-0", "calls", 3)
        await kelviq.usage.flush(LONG)
        assert uncounted(kelviq) == 3


async def test_what_another_process_has_sent_is_taken_off_in_time(world, monkeypatch):
    monkeypatch.setattr("kelviq_async.usage.sender.TIDY", 0.02)
    monkeypatch.setattr("kelviq_async.usage.uncounted.OVERDUE", 0.0)
    journal = MemoryJournal()
    async with client(world, journal, window=500) as one:
        await one.usage.record("cust-0", "calls", 3)
        world.faults.add("ReportUsage", "status", status=400, times=1)
        async with client(world, journal) as two:
            await stands(two, rejected=1)
        # it was refused, so nothing is taken off what remains
        await until(lambda: uncounted(one) == 0)
    assert total(world) == 0


async def test_as_much_as_another_process_sends_is_taken_off(monkeypatch):
    customers = [f"cust-{n}" for n in range(300)]
    world = metered(customers)
    monkeypatch.setattr("kelviq_async.usage.uncounted.OVERDUE", 0.0)
    journal = MemoryJournal()
    async with client(world, journal, window=500) as one:
        for customer in customers:
            await one.usage.record(customer, "calls", 3)
        async with client(world, journal) as two:
            await two.usage.flush(LONG)
        await one.recorder._tidy()
        books = one.recorder.uncounted
        assert sum(books.overdue(Key(each, "calls")) is not None for each in customers) == 0


async def test_what_is_not_sent_is_not_looked_for_all_the_time(monkeypatch):
    customers = [f"cust-{n}" for n in range(300)]
    monkeypatch.setattr("kelviq_async.usage.uncounted.OVERDUE", 0.0)
    monkeypatch.setattr("kelviq_async.usage.sender.TIDY", 500)
    journal = Trouble()
    async with client(metered(customers), journal, window=500) as one:
        await until(lambda: journal.calls["fold"])  # so the sender has been tidy for now
        for customer in customers:
            await one.usage.record(customer, "calls", 3)
        seen = []
        find = journal.find
        monkeypatch.setattr(journal, "find", lambda name: seen.append(name) or find(name))
        for _ in range(3):
            await one.recorder._tidy()
        # a third of them each time, and in the end all of them
        assert (len(seen), len(set(seen))) == (300, 300)


async def test_settling_needs_something_to_settle(world):
    async with client(world) as kelviq:
        with pytest.raises(InvalidRequest):
            await kelviq.usage.settle("no-such-thing", "resend")


# Loops


def test_two_loops_one_after_another(world, tmp_path):
    for _ in range(2):

        async def main():
            async with client(world, SqliteJournal(tmp_path / "usage.db")) as kelviq:
                await kelviq.usage.record("cust-0", "calls", 3)

        asyncio.run(main())
    assert total(world) == 6


def test_a_client_whose_loop_has_ended_is_closed_and_used_on_the_next(world, tmp_path):
    kelviq = client(world, SqliteJournal(tmp_path / "usage.db"), window=500)

    async def first():
        await kelviq.usage.record("cust-0", "calls", 3)

    async def second():
        with pytest.raises(WrongLoop):
            await kelviq.usage.record("cust-0", "calls")
        with pytest.raises(WrongLoop):
            await kelviq.usage.ledger()
        await kelviq.close()
        async with kelviq:
            await kelviq.usage.record("cust-0", "calls", 4)
            assert (await kelviq.usage.flush(LONG)).delivered == 2

    asyncio.run(first())
    asyncio.run(second())
    assert total(world) == 7


@pytest.mark.parametrize("ended", ["run", "stopped"])
def test_what_was_on_its_way_when_its_loop_ended(world, ended):
    world.faults.add("ReportUsage", "latency", latency=50, times=2)
    journal = MemoryJournal()
    kelviq = client(world, journal, timeout=100, lease=1000)

    async def first():
        await kelviq.usage.record("cust-0", "calls", 3)
        await kelviq.usage.set("cust-1", "calls", 4)
        await stands(kelviq, in_flight=2)

    async def second():
        await kelviq.close()
        async with kelviq:
            await stands(kelviq, unresolved=1, delivered=1)

    if ended == "run":
        asyncio.run(first())
        asyncio.run(second())
        return
    loop = asyncio.new_event_loop()
    loop.run_until_complete(first())
    asyncio.run(second())
    for task in asyncio.all_tasks(loop):
        task.cancel()
    loop.run_until_complete(asyncio.sleep(0.01))
    loop.close()


def test_a_journal_that_fails_when_the_next_loop_opens_it(world, impatient):
    """What the first loop left in flight is not forgotten for it."""
    world.faults.add("ReportUsage", "latency", latency=50, times=1)
    journal = Trouble()
    kelviq = client(world, journal, timeout=100, lease=1000)

    async def first():
        await kelviq.usage.record("cust-0", "calls", 3)
        await stands(kelviq, in_flight=1)
        journal.hang["move"] = 2  # it cannot be written down while the loop ends

    async def second():
        journal.hang["move"] = 0
        await kelviq.close()
        journal.fail["owners"] = 1
        with pytest.raises(JournalError):
            await kelviq.open()
        async with kelviq:
            await stands(kelviq, unresolved=1)

    asyncio.run(first())
    asyncio.run(second())


# Forks


def test_workers_forked_from_one_parent_make_ids_of_their_own(world, monkeypatch):
    """The client is made before the fork and opened after it, as servers with workers do."""
    kelviq = client(world)
    ids = []

    async def main():
        async with kelviq:
            ids.append((await kelviq.usage.record("cust-0", "calls")).id)

    for pid in (4711, 4712, 4712):
        monkeypatch.setattr("kelviq_async.usage.recorder.os.getpid", lambda pid=pid: pid)
        asyncio.run(main())
    assert len(set(ids)) == 3
    assert len({id[:16] for id in ids}) == 2


def test_a_child_leaves_what_is_its_parents(world, monkeypatch, impatient):
    world.faults.add("ReportUsage", "latency", latency=50, times=1)
    journal = Trouble()
    kelviq = client(world, journal, timeout=100, lease=1000)

    async def parent():
        await kelviq.usage.record("cust-0", "calls", 3)
        await stands(kelviq, in_flight=1)
        journal.hang["move"] = 2

    async def child():
        journal.calls.clear()
        await kelviq.close()
        assert not journal.calls

    asyncio.run(parent())
    real = os.getpid()
    monkeypatch.setattr("kelviq_async.usage.recorder.os.getpid", lambda: real + 1)
    kelviq.recorder.exit()  # which is registered there, too
    asyncio.run(child())
    gc.collect()


# Closing


async def test_closing_with_a_journal_that_fails_in_an_unexpected_way(world, caplog):
    journal = Trouble(OSError)
    kelviq = await client(world, journal, window=500).open()
    await kelviq.usage.record("cust-0", "calls", 3)
    journal.fail["ledger"] = 2
    await kelviq.close()
    assert "usage could not be sent before the client closed: OSError" in caplog.messages
    assert (await journal.ledger()).pending == 1


@pytest.mark.parametrize("error", [JournalError, OSError])
async def test_a_journal_that_cannot_be_closed(world, error, caplog):
    journal = Trouble(error)
    kelviq = await client(world, journal).open()
    await kelviq.usage.record("cust-0", "calls", 3)
    journal.fail["close"] = 1
    await kelviq.close()
    assert "the usage journal could not be closed in order: close failed on purpose" in caplog.messages
    assert total(world) == 3


async def test_records_while_it_closes(world):
    """Each is either refused or in the journal."""
    journal = MemoryJournal()
    kelviq = await client(world, journal).open()
    accepted = []

    async def traffic():
        while True:
            accepted.append(await kelviq.usage.record("cust-0", "calls"))
            await asyncio.sleep(0)

    task = asyncio.create_task(traffic())
    await asyncio.sleep(0.01)
    await kelviq.close()
    with pytest.raises(ClientClosed):
        await task
    ledger = await journal.ledger()
    assert ledger.accepted == len(accepted) == ledger.delivered + ledger.pending
