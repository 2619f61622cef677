"""What only the journal in memory does: it forgets, says so, and holds no more than it may."""

import logging
import os
import time

import pytest

from kelviq_async.errors import ConfigError
from kelviq_async.usage import JournalError, MemoryJournal, State
from tests.usage.pieces import (
    KEY,
    OTHER,
    SCOPE,
    claimed,
    owner,
    record,
    records_waiting,
    report_in,
    stands,
    waits,
)


async def opened(**settings):
    journal = MemoryJournal(**settings)
    await journal.open(SCOPE)
    return journal


async def test_it_holds_no_more_than_it_may():
    journal = await opened(most=3)
    kept = [record(), record(), record()]
    await journal.append(kept[:2])
    with pytest.raises(JournalError, match="holds 2 records"):
        await journal.append([record(), record()])
    assert await records_waiting(journal) == kept[:2]
    await journal.append(kept)  # of which one is new
    await journal.append(kept)
    with pytest.raises(JournalError):
        await journal.append([record()])
    await stands(journal, pending=3)


@pytest.mark.parametrize("end", [State.DELIVERED, State.DISCARDED])
async def test_what_is_over_makes_room(end):
    journal = await opened(most=4)
    await report_in(journal, State.REJECTED, owner(), OTHER)
    over = await report_in(journal, end, owner())
    await journal.append([record(), record()])
    assert await journal.find(over.id) == over
    with pytest.raises(JournalError):
        await journal.append([record(), record()])
    assert await journal.find(over.id) == over  # it would not have helped
    await journal.append([record()])
    assert await journal.find(over.id) is None
    await stands(journal, pending=3, rejected=1, **{end.value: 1})
    with pytest.raises(JournalError):
        await journal.append([record()])


@pytest.mark.parametrize("state", [State.IN_FLIGHT, State.REJECTED, State.UNRESOLVED])
async def test_what_is_not_over_makes_no_room(state):
    journal = await opened(most=1)
    await report_in(journal, state, owner())
    with pytest.raises(JournalError):
        await journal.append([record()])
    await stands(journal, **{state.value: 1})


async def test_it_stays_quick_when_it_is_full():
    journal = await opened(most=20_000)
    sender = owner()
    for _ in range(20):
        await journal.append([record() for _ in range(500)])
        await journal.move((await claimed(journal, sender, KEY)).id, State.DELIVERED)
    await journal.append([record() for _ in range(20_000)])
    started = time.process_time()
    for _ in range(1000):
        with pytest.raises(JournalError):
            await journal.append([record()])
    assert time.process_time() - started < 1.0


async def test_it_says_what_it_forgets(caplog):
    journal = await opened()
    caplog.set_level(logging.WARNING, "kelviq_async")
    await journal.close()
    assert caplog.messages == []
    await journal.append([record(), record()])
    await journal.close()
    assert [message for message in caplog.messages if message.startswith("2 usage records are pending")]


async def test_it_says_how_much_it_holds():
    journal = await opened()
    await journal.append([record(), record()])
    assert repr(journal) == "<MemoryJournal 2 records>"


async def test_each_has_its_own():
    first, second = await opened(), await opened()
    await first.append([record()])
    assert await waits(second) == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is nothing to fork")
async def test_a_forked_child_starts_with_none(monkeypatch):
    journal = await opened()
    await report_in(journal, State.IN_FLIGHT, owner())
    await journal.append([record()])
    monkeypatch.setattr(os, "getpid", lambda: -1)  # as in a child; a real one would share this test's loop
    with pytest.raises(ConfigError):
        await journal.open(None)
    await journal.open(SCOPE)
    await stands(journal)
    assert (list(await journal.owners()), await waits(journal)) == ([], [])


async def test_two_beats_are_told_apart_on_a_clock_that_ticks_rarely(monkeypatch):
    journal, sender = await opened(), owner()
    monkeypatch.setattr(time, "monotonic", lambda: 100.0)
    report = await report_in(journal, State.IN_FLIGHT, sender)
    [seen] = await journal.owners()
    assert seen.silent == 0
    await journal.beat(sender)
    assert list(await journal.lapse(seen, "gone")) == []
    assert await journal.find(report.id) == report


@pytest.mark.parametrize("most", [0, -1, True, None, "3", 1.0])
def test_it_must_hold_something(most):
    with pytest.raises(ConfigError, match="most must be a whole number"):
        MemoryJournal(most=most)
