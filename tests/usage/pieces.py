"""Records, runs and owners for tests of usage, and a look at a journal's books."""

import itertools
import os
import time

from kelviq_async.api.behaviours import UsageBehaviour
from kelviq_async.usage.journal import Owner, Scope
from kelviq_async.usage.records import Key, Record, Run, State

DELTA, SET = UsageBehaviour.DELTA, UsageBehaviour.SET
SCOPE = Scope("sandbox", "https://core.example.com", "acct-1")
KEY = Key("cust-1", "calls")
OTHER = Key("cust-2", "calls")
THIRD = Key("cust-1", "seats", "room-1")
BEGIN = 1_763_800_000.123456
ALL_OF_IT = 1_000_000
STATES = [state for state in State if state is not State.PENDING]

_numbers = itertools.count()


def record(key=KEY, value=1, behaviour=DELTA, *, id=None, at=None, reset_at=None):
    """A record unlike any other, also of other processes, recorded after those before."""
    number = next(_numbers)
    at = BEGIN + number * 0.001 if at is None else at
    return Record(id or f"record-{os.getpid()}-{number}", key, behaviour, value, at, reset_at)


def owner(id=None, *, lease=60.0):
    """A sender on a machine that nobody else is on."""
    return Owner(id or f"owner-{os.getpid()}-{next(_numbers)}", 4711, "123", "a machine", lease)


def run_of(waiting, **instead):
    """The run of some records that wait."""
    first, last = waiting[0], waiting[-1]
    known = [each.record.reset_at for each in waiting if each.record.reset_at is not None]
    return Run(
        first.record.key,
        first.record.behaviour,
        sum(each.record.value for each in waiting),
        len(waiting),
        first.place,
        last.place,
        first.record.recorded_at,
        last.record.recorded_at,
        known[0] if known else None,
    )._replace(**instead)


async def waits(journal, key=None):
    """All that waits, or what waits of one key."""
    found = await journal.waiting(ALL_OF_IT)
    return [each for each in found if key in {None, each.record.key}]


async def records_waiting(journal, key=None):
    """The same without places."""
    return [each.record for each in await waits(journal, key)]


async def claimed(journal, sender, key=KEY, records=None):
    """The oldest records of a key, as a report in flight."""
    [report] = await journal.claim([run_of((await waits(journal, key))[:records])], sender)
    return report


async def report_in(journal, state, sender, key=KEY, value=1):
    """A report of one new record, in a state, on the shortest way there."""
    await journal.append([record(key, value)])
    report = await claimed(journal, sender, key)
    ways = {State.IN_FLIGHT: [], State.DISCARDED: [State.UNRESOLVED, State.DISCARDED]}
    for step in ways.get(state, [state]):
        report = await journal.move(report.id, step)
    assert report.state is state
    return report


async def stands(journal, *, late=0, **counts):
    """The books say exactly this, and balance."""
    ledger = await journal.ledger()
    assert ledger.balanced, ledger
    expected = dict.fromkeys([state.value for state in State], 0) | counts
    assert {name: getattr(ledger, name) for name in expected} == expected, ledger
    assert ledger.accepted == sum(counts.values()), ledger
    assert (ledger.late, ledger.skipped) == (late, 0), ledger
    assert (ledger.oldest is None) == (ledger.pending == 0), ledger
    for state in STATES:
        # what is folded stands in the books and nowhere else
        shown = sum(report.records for report in await journal.reports(state))
        assert shown <= expected[state]
        assert shown == expected[state] or state in {State.DELIVERED, State.DISCARDED}
    return ledger


def passes():
    """Let clocks go on until later times are told from earlier ones, also to the millisecond."""
    until = time.monotonic() + 0.003
    while time.monotonic() < until:
        pass
