"""Senders whose journal fails or hangs, who are cancelled in the middle, or taken for gone."""

import asyncio
import logging
import time

import attrs
import pytest

from kelviq_async.errors import OutcomeUnknown
from kelviq_async.usage import JournalError, MemoryJournal
from kelviq_async.usage.journal import Owner
from kelviq_async.usage.owner import this_process
from kelviq_async.usage.records import State
from tests.usage.meters import LONG, Trouble, Watching, client, counted, stands, total, until


@pytest.fixture
def often(monkeypatch):
    """Tidy all the time."""
    monkeypatch.setattr("kelviq_async.usage.sender.TIDY", 0.02)


METHODS = ["waiting", "claim", "move", "beat", "owners", "reports", "fold"]


@pytest.mark.parametrize("error", [JournalError, OSError])
@pytest.mark.parametrize("name", METHODS)
async def test_a_journal_that_fails_for_a_while(world, often, name, error, caplog):
    journal = Trouble(error)
    async with client(world, journal, lease=10.0) as kelviq:
        await stands(kelviq)
        journal.fail[name] = 4
        kelviq.recorder._sender._beat_at = float("-inf")
        await kelviq.usage.record("cust-0", "calls", 3)
        await kelviq.usage.set("cust-1", "calls", 3)
        await until(lambda: journal.fail[name] == 0)
        await stands(kelviq, delivered=2)
    assert counted(world) == {
        ("cust-0", "calls", None): [("DELTA", 3)],
        ("cust-1", "calls", None): [("SET", 3)],
    }
    spoken = [each for each in caplog.messages if "on purpose" in each]
    # once for the journal or for each report, and not for each attempt; looks around come by themselves
    assert len(spoken) in ({1, 2} if name in {"waiting", "claim", "move", "beat"} else {1, 2, 3, 4})


@pytest.mark.parametrize("name", METHODS)
async def test_a_journal_that_works_and_says_that_it_failed(world, often, name):
    journal = Trouble()
    async with client(world, journal) as kelviq:
        await stands(kelviq)
        journal.fail_after[name] = 3
        for number in range(6):
            await kelviq.usage.record(f"cust-{number}", "calls", 3)
        await until(lambda: journal.fail_after[name] == 0)
        await stands(kelviq, delivered=6)
    # what was claimed without an answer was never sent, and is sent once
    assert counted(world) == {(f"cust-{n}", "calls", None): [("DELTA", 3)] for n in range(6)}


async def test_what_could_not_be_written_at_once_is_told_once(world):
    watching, journal = Watching(), Trouble()
    async with client(world, journal, observer=watching) as kelviq:
        journal.fail_after["move"] = 1
        await kelviq.usage.record("cust-0", "calls", 3)
        await stands(kelviq, delivered=1)
    assert watching.moves == [("pending", 1), ("in_flight", 1), ("delivered", 1)]


async def test_a_report_is_not_sent_again_while_its_fate_cannot_be_written(world, often):
    journal = Trouble()
    async with client(world, journal) as kelviq:
        journal.fail["move"] = 1_000_000
        await kelviq.usage.record("cust-0", "calls", 3)
        await until(lambda: total(world) == 3)
        looks = journal.calls["owners"]
        await until(lambda: journal.calls["owners"] > looks + 3)
        ledger = await kelviq.usage.ledger()
        assert (ledger.in_flight, total(world)) == (1, 3)
        journal.fail["move"] = 0
        await stands(kelviq, delivered=1)
    assert total(world) == 3


async def test_a_failing_observer_changes_nothing(world, often, caplog):
    watching = Watching(failing=True)
    async with client(world, observer=watching) as kelviq:
        await kelviq.usage.record("cust-0", "calls", 3)
        await kelviq.usage.set("cust-0", "calls", 3)
        await stands(kelviq, delivered=2)
        await until(lambda: watching.ledgers)
    assert ("delivered", 1) in watching.moves
    assert caplog.messages.count("the usage observer failed; this is said once") == 1


async def test_an_observer_is_told_what_moves_and_what_there_is(world, often):
    watching = Watching()
    world.faults.add("ReportUsage", "drop_before", times=1)
    world.faults.add("ReportUsage", "status", status=400, times=1)
    world.faults.add("ReportUsage", "refuse", times=1)
    async with client(world, observer=watching, concurrency=1) as kelviq:
        for _ in range(2):
            await kelviq.usage.record("cust-0", "calls")
        receipt = await kelviq.usage.record("cust-1", "calls")
        await kelviq.usage.set("cust-2", "calls", 3)
        await kelviq.usage.flush(LONG)
        ledger = await stands(kelviq, unresolved=2, rejected=1, delivered=1)
        await kelviq.usage.settle(receipt.id, "discard")
        await until(lambda: watching.ledgers[-1:] and watching.ledgers[-1].discarded)
    assert ledger.accepted == 4
    sums = {}
    for state, records in watching.moves:
        sums[state] = sums.get(state, 0) + records
    assert sums == {
        "pending": 5, "in_flight": 5, "unresolved": 2, "rejected": 1, "delivered": 1, "discarded": 1
    }  # fmt: skip
    assert all(each.balanced for each in watching.ledgers)


# Cancelled in the middle


async def cancel_all():
    """What many a shutdown does."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def test_cancelling_everything_does_not_stop_it_for_good(world):
    world.faults.add("ReportUsage", "latency", latency=30, times=2)
    async with client(world, timeout=50, lease=1000) as kelviq:
        await kelviq.usage.record("cust-0", "calls", 3)
        await kelviq.usage.set("cust-1", "calls", 5)
        await stands(kelviq, in_flight=2)
        await cancel_all()
        # the DELTA may have been counted; the SET may go again
        await stands(kelviq, unresolved=1, delivered=1)
        assert "stopped" in (await kelviq.usage.unresolved())[0].reason
    assert counted(world)["cust-1", "calls", None] == [("SET", 5), ("SET", 5)]
    assert total(world) == 3


async def test_recording_goes_on_with_sending_after_everything_was_cancelled(world):
    async with client(world) as kelviq:
        await kelviq.usage.record("cust-0", "calls", 3)
        await until(lambda: total(world) == 3)
        await cancel_all()
        await kelviq.usage.record("cust-0", "calls", 4)
        await until(lambda: total(world) == 7)


async def test_a_known_fate_survives_cancelling(world, often):
    journal = Trouble()
    async with client(world, journal) as kelviq:
        journal.fail["move"] = 3
        journal.hang["move"] = 0
        await kelviq.usage.record("cust-0", "calls", 3)
        await until(lambda: journal.calls["move"])
        await cancel_all()
        await stands(kelviq, delivered=1)
    assert total(world) == 3


@pytest.mark.parametrize("again", [False, True])
async def test_cancelled_while_the_journal_hangs(world, often, impatient, again):
    """It is given up after a moment, and written down when the journal works again."""
    journal = Trouble()
    async with client(world, journal) as kelviq:
        journal.hang["move"] = 2
        await kelviq.usage.record("cust-0", "calls", 3)
        await until(lambda: journal.calls["move"] == 1)
        task, report = next(iter(kelviq.recorder._sender._tasks.items()))
        task.cancel()
        await until(lambda: journal.calls["move"] == 2)
        if again:
            task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        await stands(kelviq, delivered=1)
        assert (await journal.find(report.id)).state is State.DELIVERED
    assert total(world) == 3


async def test_cancelled_on_its_way_while_the_journal_hangs(world, often, impatient):
    world.faults.add("ReportUsage", "latency", latency=30, times=1)
    journal = Trouble()
    async with client(world, journal, timeout=50, lease=1000) as kelviq:
        await kelviq.usage.record("cust-0", "calls", 3)
        await stands(kelviq, in_flight=1)
        journal.hang["move"] = 1
        task = next(iter(kelviq.recorder._sender._tasks))
        task.cancel()
        await asyncio.wait([task])
        await stands(kelviq, unresolved=1)


async def test_cancelled_before_it_began(world, often, monkeypatch):
    async with client(world) as kelviq:
        await stands(kelviq)
        sender = kelviq.recorder._sender
        start, cancelled = sender._start, []

        def once(report, claimed):
            start(report, claimed)
            if not cancelled:
                cancelled.append(next(reversed(sender._tasks)))
                cancelled[0].cancel()

        monkeypatch.setattr(sender, "_start", once)
        await kelviq.usage.record("cust-0", "calls", 3)
        await stands(kelviq, delivered=1)
        assert cancelled[0].cancelled()
    assert total(world) == 3


# Taken for gone


def gone(sender, journal):
    """The sender as others see it after it has been silent for too long."""

    async def lapse():
        [seen] = [each for each in await journal.owners() if each.owner.id == sender.owner.id]
        return await journal.lapse(seen, "silent for too long")

    return lapse()


@pytest.mark.parametrize("fault", ["latency", "refuse", "drop_after"])
async def test_a_late_answer_still_counts(world, fault):
    """Others took it for gone while it was on its way; what it learns afterwards is not lost."""
    world.faults.add("ReportUsage", fault, latency=0.3, times=1)
    journal = MemoryJournal()
    async with client(world, journal) as kelviq:
        await kelviq.usage.record("cust-0", "calls", 3)
        await stands(kelviq, in_flight=1)
        [put] = await gone(kelviq.recorder._sender, journal)
        assert put.state is State.UNRESOLVED
        await stands(kelviq, **({"unresolved": 1} if fault == "drop_after" else {"delivered": 1}))
        await until(lambda: not kelviq.recorder._sender._tasks)
        await stands(kelviq, **({"unresolved": 1} if fault == "drop_after" else {"delivered": 1}))
    assert total(world) == 3


async def test_what_was_never_sent_stays_put_when_something_later_was(world):
    world.faults.add("ReportUsage", "refuse", latency=0.5, times=1)
    journal = MemoryJournal()
    async with client(world, journal, shutdown=1) as kelviq:
        await kelviq.usage.record("cust-0", "calls", 3)
        await stands(kelviq, in_flight=1)
        await gone(kelviq.recorder._sender, journal)
        await kelviq.usage.set("cust-0", "calls", 50)
        await stands(kelviq, unresolved=1, delivered=1)
        await until(lambda: not kelviq.recorder._sender._tasks)
        # a DELTA from before the total would come on top of it
        await stands(kelviq, unresolved=1, delivered=1)
    assert counted(world) == {("cust-0", "calls", None): [("SET", 50)]}


async def test_what_could_not_be_written_and_was_settled_meanwhile(world, often, impatient):
    journal = Trouble()
    async with client(world, journal) as kelviq:
        journal.hang["move"] = 2
        receipt = await kelviq.usage.record("cust-0", "calls", 3)
        await until(lambda: journal.calls["move"] == 1)
        task = next(iter(kelviq.recorder._sender._tasks))
        task.cancel()
        await until(lambda: journal.calls["move"] == 2)
        # somebody says that it is to be forgotten before it can be written that it was counted
        await gone(kelviq.recorder._sender, journal)
        await kelviq.usage.settle(receipt.id, "discard")
        await asyncio.wait([task])
        await until(lambda: not kelviq.recorder._sender._fates)
        await stands(kelviq, discarded=1)
    assert total(world) == 3


async def test_what_was_settled_meanwhile_stays_settled(world, caplog):
    world.faults.add("ReportUsage", "latency", latency=0.3, times=1)
    journal = MemoryJournal()
    async with client(world, journal) as kelviq:
        receipt = await kelviq.usage.record("cust-0", "calls", 3)
        await stands(kelviq, in_flight=1)
        await gone(kelviq.recorder._sender, journal)
        await kelviq.usage.settle(receipt.id, "discard")
        await until(lambda: not kelviq.recorder._sender._tasks)
        await stands(kelviq, discarded=1)
    assert "a usage report that ended as delivered was in other hands by then" in caplog.messages


async def test_what_was_claimed_too_long_ago_is_not_sent(world):
    class Slow(MemoryJournal):
        slow = 1

        async def claim(self, runs, owner):
            found = await super().claim(runs, owner)
            if self.slow:
                self.slow -= 1
                await asyncio.sleep(0.15)
            return found

    async with client(world, Slow(), lease=0.2, timeout=0.1) as kelviq:
        receipt = await kelviq.usage.record("cust-0", "calls", 3)
        await stands(kelviq, delivered=1)
        assert (await kelviq.recorder.journal.find(receipt.id)).reason == ""
    assert total(world) == 3
    assert len(world.requests) == 1


# What others left behind


async def left_behind(world, journal, *behaviours, owner):
    """Reports in flight of somebody who is gone."""
    from kelviq_async.usage.grouping import runs
    from kelviq_async.usage.policy import UsagePolicy
    from kelviq_async.usage.records import Key, Record

    async with client(world, journal):
        pass  # it is known whose journal it is
    for number, behaviour in enumerate(behaviours):
        key = Key(f"cust-{number}", "calls")
        await journal.append([Record(f"record-{number}", key, behaviour, 3, time.time())])
    due, _ = runs(await journal.waiting(10), UsagePolicy(), time.time(), hurry=True)
    assert len(await journal.claim(due, owner)) == len(behaviours)


async def test_what_a_sender_left_that_is_gone(world, caplog):
    journal, watching = MemoryJournal(), Watching()
    other = attrs.evolve(this_process(60), id="other", started="1")
    await left_behind(world, journal, "DELTA", "SET", owner=other)
    async with client(world, journal, observer=watching) as kelviq:
        await stands(kelviq, unresolved=1, delivered=1)
        [report] = await kelviq.usage.unresolved()
        assert "number belongs to another one" in report.reason
        assert [each.owner.id for each in await journal.owners()] == [kelviq.recorder._sender.owner.id]
    assert counted(world) == {("cust-1", "calls", None): [("SET", 3)]}
    assert watching.moves[:2] == [("unresolved", 1), ("pending", 1)]
    assert [each for each in caplog.messages if "fate of a usage report is unknown" in each]


async def test_what_a_sender_left_is_sent_again_where_that_was_chosen(world):
    journal = MemoryJournal()
    other = attrs.evolve(this_process(60), id="other", started="1")
    await left_behind(world, journal, "DELTA", "SET", owner=other)
    async with client(world, journal, ambiguous="resend") as kelviq:
        await stands(kelviq, delivered=2)
    assert total(world) == 3


async def test_who_may_still_be_there_is_left_alone(world, often):
    journal = MemoryJournal()
    other = Owner("other", 4711, "123", "another machine", 1000.0)
    await left_behind(world, journal, "DELTA", "SET", owner=other)
    async with client(world, journal) as kelviq:
        sender = kelviq.recorder._sender
        tidied = sender._tidied_at
        await until(lambda: sender._tidied_at > tidied)
        await stands(kelviq, in_flight=2)
    assert counted(world) == {}


async def test_what_is_old_is_folded(world, often):
    journal = MemoryJournal()
    async with client(world, journal, retain=0.0) as kelviq:
        await kelviq.usage.record("cust-0", "calls", 3)
        await until(lambda: total(world))
        await until(lambda: not journal._reports)
        await stands(kelviq, delivered=1)


async def test_an_unknown_failure_of_the_journal_is_shown(world, often, caplog):
    journal = Trouble(OutcomeUnknown)
    async with client(world, journal) as kelviq:
        await stands(kelviq)
        journal.fail["waiting"] = 1
        await kelviq.usage.record("cust-0", "calls")
        await stands(kelviq, delivered=1)
    [shown] = [each for each in caplog.records if "trying again" in each.getMessage()]
    assert shown.levelno == logging.WARNING
    assert shown.exc_info
