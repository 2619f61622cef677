"""What every journal has to do over its life: opened, shared, closed, opened again, and under load.

A part of ``conformance.ALL``.
"""

import asyncio
import contextlib

import attrs
import pytest

from kelviq_async.errors import ConfigError
from kelviq_async.usage.journal import Scope
from kelviq_async.usage.records import Key, State
from tests.usage.pieces import (
    KEY,
    OTHER,
    SCOPE,
    SET,
    STATES,
    THIRD,
    claimed,
    owner,
    record,
    records_waiting,
    report_in,
    run_of,
    stands,
    waits,
)


async def belongs_to_who_opened_it_first(connect):
    journal, sender = connect(), owner()
    await journal.open(SCOPE)
    report = await report_in(journal, State.UNRESOLVED, sender)
    await journal.append([record()])
    before = await waits(journal)
    await journal.close()
    for name in ("environment", "host", "account"):
        other = connect()
        with pytest.raises(ConfigError, match=name):
            await other.open(attrs.evolve(SCOPE, **{name: "another"}))
        await other.close()
    again = connect()
    await again.open(Scope(SCOPE.environment, SCOPE.host, SCOPE.account))
    assert await waits(again) == before
    assert await again.find(report.id) == report
    await stands(again, pending=1, unresolved=1)


async def may_be_adopted_by_another_account(connect):
    journal = connect(adopt=True)
    await journal.open(SCOPE)
    kept = record()
    await journal.append([kept])
    await journal.close()
    other = connect(adopt=True)
    # another environment or host stays an error
    for name in ("environment", "host"):
        with pytest.raises(ConfigError, match=name):
            await other.open(attrs.evolve(SCOPE, **{name: "another"}))
    await other.open(attrs.evolve(SCOPE, account="another"))
    assert await records_waiting(other) == [kept]
    await stands(other, pending=1)


async def can_be_looked_at_if_there_is_one(connect):
    journal = connect()
    for _ in range(2):
        with pytest.raises(ConfigError):
            await journal.open(None)
    await journal.close()
    journal = connect()
    await journal.open(SCOPE)
    report = await report_in(journal, State.UNRESOLVED, owner())
    await journal.close()
    other = connect()
    await other.open(None)
    assert await other.find(report.id) == report
    await stands(other, unresolved=1)
    await other.move(report.id, State.DISCARDED, note="by hand")
    await stands(other, discarded=1)
    await other.close()
    # it still belongs to who it belonged to
    with pytest.raises(ConfigError, match="account"):
        await connect().open(attrs.evolve(SCOPE, account="another"))
    await journal.open(SCOPE)
    await stands(journal, discarded=1)


async def opening_and_closing_again_does_nothing(connect):
    journal = connect()
    await journal.close()
    await journal.open(SCOPE)
    await journal.append([record()])
    await journal.open(SCOPE)
    await stands(journal, pending=1)
    await journal.close()
    await journal.close()
    for _ in range(3):
        await journal.open(SCOPE)
        await stands(journal, pending=1)
        await journal.close()


async def many_may_open_it_at_the_same_time(connect):
    journals = [connect() for _ in range(6)]
    await asyncio.gather(*(journal.open(SCOPE) for journal in journals * 2))
    await asyncio.gather(*(journal.append([record(OTHER)]) for journal in journals * 5))
    for journal in journals:
        await stands(journal, pending=30)


async def keeps_everything_until_it_is_opened_again(connect):
    journal, sender = connect(), owner()
    await journal.open(SCOPE)
    reports = [await report_in(journal, state, sender, THIRD._replace(resource_id=state)) for state in STATES]
    gone = await report_in(journal, State.DELIVERED, sender)
    assert await journal.fold(9e9) == 3
    reports = [each for each in reports if each.state not in {State.DELIVERED, State.DISCARDED}]
    noted = await report_in(journal, State.IN_FLIGHT, sender, OTHER)
    noted = await journal.move(noted.id, State.UNRESOLVED, reason="why", note="n", late=True)
    records = [record(), record(OTHER, 5, SET, reset_at=9e9), record()]
    await journal.append(records)
    places = await waits(journal)
    [seen] = await journal.owners()
    for _ in range(2):
        await journal.close()
        journal = connect()
        await journal.open(SCOPE)
        ledger = {"in_flight": 1, "delivered": 2, "rejected": 1, "unresolved": 2, "discarded": 1}
        await stands(journal, pending=3, late=1, **ledger)
        assert await waits(journal) == places
        for report in (noted, *reports):
            assert await journal.find(report.id) == report
        assert await journal.find(gone.id) is None
        assert [each.owner for each in await journal.owners()] == [sender]
        await journal.append(records)
        assert await waits(journal) == places
    # later records come after these, and what is in flight still is
    last = record()
    await journal.append([last])
    assert await records_waiting(journal) == [*records, last]
    [seen] = await journal.owners()
    assert [each.id for each in await journal.lapse(seen, "gone")] == [
        each.id for each in reports if each.state is State.IN_FLIGHT
    ]


async def works_on_one_loop_after_another(connect):
    journal, sender = connect(), owner()
    records = []

    async def part():
        await journal.open(SCOPE)
        records.append(record())
        await asyncio.gather(*(journal.append([each]) for each in [records[-1]] * 5))
        assert await records_waiting(journal) == records
        report = await claimed(journal, sender)
        await journal.move(report.id, State.PENDING)
        await stands(journal, pending=len(records))
        await journal.close()

    for _ in range(2):
        await asyncio.to_thread(asyncio.run, part())
    await part()


async def takes_thousands_in_one_call(connect):
    journal, sender = connect(), owner()
    await journal.open(SCOPE)
    keys = [Key(f"cust-{n}", "calls") for n in range(7)]
    records = [record(keys[n % 7], n) for n in range(5000)]
    await journal.append(records)
    assert await records_waiting(journal) == records
    await stands(journal, pending=5000)
    report = await claimed(journal, sender, keys[0])
    assert (report.records, report.value) == (715, sum(range(0, 5000, 7)))
    await stands(journal, pending=4285, in_flight=715)
    await journal.move(report.id, State.PENDING)
    assert await records_waiting(journal) == records
    await journal.append(records)
    await stands(journal, pending=5000)


async def keeps_each_callers_order_among_many(connect):
    journals = [connect() for _ in range(3)]
    for journal in journals:
        await journal.open(SCOPE)
    calls = {n: [[record(KEY, n), record(KEY, n)] for _ in range(3)] for n in range(500)}

    async def caller(number):
        for records in calls[number]:
            await journals[number % 3].append(records)

    await asyncio.gather(*map(caller, calls))
    found = await records_waiting(journals[0])
    for number, batches in calls.items():
        assert [each for each in found if each.value == number] == [each for some in batches for each in some]
    # the records of one call stand together
    assert all(one.value == two.value for one, two in zip(found[::2], found[1::2], strict=True))
    await stands(journals[1], pending=3000)


async def balances_at_every_moment(connect):
    journals = [connect() for _ in range(4)]
    for journal in journals:
        await journal.open(SCOPE)
    delivered = {}
    looking = asyncio.create_task(look(journals[3]))
    work = [record_some(journals[n]) for n in (0, 1)]
    work += [send_some(journals[n], delivered) for n in (0, 2)]
    await asyncio.gather(*work)
    assert not looking.done()
    looking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await looking
    ledger = await journals[0].ledger()
    assert (ledger.balanced, ledger.accepted, ledger.in_flight) == (True, 100, 0)
    reports = await journals[1].reports(State.DELIVERED)
    assert {report.id: report.value for report in reports} == delivered
    assert ledger.delivered == sum(delivered.values())
    assert ledger.pending == len(await waits(journals[0]))


KEYS = [Key(f"cust-{n}", "calls") for n in range(5)]
ENDS = [State.DELIVERED, State.UNRESOLVED, State.PENDING, State.REJECTED, State.DELIVERED]


async def record_some(journal):
    for _ in range(10):
        await journal.append([record(key) for key in KEYS])


async def send_some(journal, delivered):
    sender = owner()
    for number in range(10):
        found = await journal.waiting(50)
        heads = [[each for each in found if each.record.key == key][: 1 + number % 7] for key in KEYS]
        for report in await journal.claim([run_of(head) for head in heads if head], sender):
            end = ENDS[number % 5]
            assert await journal.move(report.id, end)
            if end is State.DELIVERED:
                delivered[report.id] = report.value
        for report in await journal.reports(State.UNRESOLVED, 2 * (number % 5 == 4)):
            await journal.move(report.id, State.PENDING)


async def look(journal):
    accepted = 0
    while True:
        ledger = await journal.ledger()
        assert ledger.balanced, ledger
        assert ledger.accepted >= accepted
        accepted = ledger.accepted
        await asyncio.sleep(0)


async def a_cancelled_caller_harms_nobody(connect):
    journal, sender = connect(), owner()
    await journal.open(SCOPE)
    for turns in (0, 1, 2, 5, 20, 100):
        batches = [[record(KEY), record(OTHER)] for _ in range(10)]
        tasks = [asyncio.create_task(journal.append(batch)) for batch in batches]
        tasks += [asyncio.create_task(each) for each in (journal.ledger(), journal.beat(sender))]
        for _ in range(turns):
            await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert [each for each in ended[1::2] if isinstance(each, Exception)] == []
        # wholly or not at all, and who was not cancelled got what they were told
        found = {each.id for each in await records_waiting(journal)}
        for batch, end in zip(batches, ended, strict=False):
            there = [each.id in found for each in batch]
            assert there in ([True, True], [False, False])
            assert all(there) or isinstance(end, asyncio.CancelledError)
        await stands(journal, pending=len(found))
    # whoever does not know whether it worked tries again
    await journal.append(batches[0])
    assert {each.id for each in batches[0]} <= {each.id for each in await records_waiting(journal)}


async def a_cancelled_sender_harms_nobody(connect):
    journal, sender = connect(), owner()
    await journal.open(SCOPE)
    await journal.append([record(key) for key in KEYS])
    before = await waits(journal)
    runs = [run_of([each]) for each in before]
    for turns in (0, 1, 2, 3, 5, 8, 13, 21, 34, 200):
        await cancelled(journal.claim(runs, sender), turns)
        assert len(await journal.claim(runs, sender)) in {0, 5}  # none if the cancelled one took place
        flying = await journal.reports(State.IN_FLIGHT)
        assert [each.key for each in flying] == KEYS
        await stands(journal, in_flight=5)
        for report in flying:
            await cancelled(journal.move(report.id, State.PENDING), turns)
            # what one was answered is not what another had asked
            await cancelled(journal.waiting(3), turns)
            assert await journal.find(report.id) in {report, None}
            _ = await journal.move(report.id, State.PENDING)
        assert await waits(journal) == before
        assert [each.owner for each in await journal.owners()] == [sender]
    await stands(journal, pending=5)


async def works_on_many_loops_side_by_side(connect):
    """Each thread has a loop and a journal of its own."""
    delivered = {}

    async def part(journal):
        await journal.open(SCOPE)
        for _ in range(2):
            await record_some(journal)
            await send_some(journal, delivered)
        await journal.close()

    await asyncio.gather(*(asyncio.to_thread(asyncio.run, part(connect())) for _ in range(4)))
    journal = connect()
    await journal.open(SCOPE)
    ledger = await journal.ledger()
    assert (ledger.balanced, ledger.accepted, ledger.in_flight) == (True, 400, 0)
    assert {each.id: each.value for each in await journal.reports(State.DELIVERED)} == delivered
    assert ledger.delivered == sum(delivered.values()) > 0
    assert ledger.pending == len(await waits(journal))


async def cancelled(step, turns):
    """Cancel a step after some turns of the loop, if it is not done by then."""
    task = asyncio.ensure_future(step)
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


ALL = [
    belongs_to_who_opened_it_first,
    may_be_adopted_by_another_account,
    can_be_looked_at_if_there_is_one,
    opening_and_closing_again_does_nothing,
    many_may_open_it_at_the_same_time,
    keeps_everything_until_it_is_opened_again,
    works_on_one_loop_after_another,
    takes_thousands_in_one_call,
    keeps_each_callers_order_among_many,
    balances_at_every_moment,
    a_cancelled_caller_harms_nobody,
    a_cancelled_sender_harms_nobody,
]

SHARED = [works_on_many_loops_side_by_side]
