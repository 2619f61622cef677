"""What every journal has to do about owners that are gone, and about reports that are over.

A part of ``conformance.ALL``.
"""

import asyncio

from kelviq_async.usage.records import State
from tests.usage.pieces import (
    KEY,
    OTHER,
    SCOPE,
    SET,
    STATES,
    THIRD,
    claimed,
    owner,
    passes,
    record,
    report_in,
    run_of,
    stands,
    waits,
)

# Owners


async def lapsing_takes_things_out_of_an_owners_hands(connect):
    journal, sender, other = connect(), owner(), owner()
    await journal.open(SCOPE)
    await journal.append([record(KEY, 1), record(KEY, 2), record(OTHER, 7, SET), record(OTHER, 8, SET)])
    before = await waits(journal)
    delta = await claimed(journal, sender)
    total = await claimed(journal, sender, OTHER, 1)
    elsewhere = await report_in(journal, State.IN_FLIGHT, other, THIRD)
    done = [
        await report_in(journal, state, sender, THIRD._replace(resource_id=state)) for state in STATES[1:]
    ]
    await stands(journal, pending=1, in_flight=4, **{report.state.value: 1 for report in done})
    [seen] = [each for each in await journal.owners() if each.owner == sender]
    put = await journal.lapse(seen, "gone")
    assert sorted((each.id, each.state, each.reason) for each in put) == sorted(
        [(delta.id, State.UNRESOLVED, "gone"), (total.id, State.PENDING, "gone")]
    )
    assert await journal.find(delta.id) in put
    assert await journal.find(total.id) is None
    assert await waits(journal) == before[2:]
    assert await journal.find(elsewhere.id) == elsewhere
    for report in done:
        assert await journal.find(report.id) == report
    await stands(journal, pending=2, in_flight=1, delivered=1, rejected=1, unresolved=3, discarded=1)
    assert [each.owner for each in await journal.owners()] == [other]
    assert list(await journal.lapse(seen, "gone")) == []


async def lapsing_spares_an_owner_that_has_beaten(connect):
    journal, sender = connect(), owner()
    await journal.open(SCOPE)
    report = await report_in(journal, State.IN_FLIGHT, sender)
    [seen] = await journal.owners()
    passes()
    await journal.beat(sender)
    assert list(await journal.lapse(seen, "gone")) == []
    assert await journal.find(report.id) == report
    [again] = await journal.owners()
    assert again.owner == sender
    # who comes back from the dead may go on
    assert [each.state for each in await journal.lapse(again, "gone")] == [State.UNRESOLVED]
    assert list(await journal.owners()) == []
    await journal.append([record()])
    report = await claimed(journal, sender)
    [seen] = await journal.owners()
    assert [each.id for each in await journal.lapse(seen, "gone")] == [report.id]
    await stands(journal, unresolved=2)


async def an_owner_is_lapsed_by_one_of_many(connect):
    journals, sender = [connect() for _ in range(3)], owner()
    for journal in journals:
        await journal.open(SCOPE)
    report = await report_in(journals[0], State.IN_FLIGHT, sender)
    [seen] = await journals[1].owners()
    put = await asyncio.gather(*(journals[n % 3].lapse(seen, f"by {n}") for n in range(9)))
    assert [each.id for some in put for each in some] == [report.id]
    await stands(journals[2], unresolved=1)


async def owners_come_and_go(connect):
    journal, other, first, second = connect(), connect(), owner(lease=0.25), owner("é\0 :*")
    await journal.open(SCOPE)
    await other.open(SCOPE)
    for sender in (first, second, first):
        await journal.beat(sender)
    for each in (journal, other):
        assert sorted(seen.owner.id for seen in await each.owners()) == sorted([first.id, second.id])
        assert {seen.owner for seen in await each.owners()} == {first, second}
    [before] = [seen for seen in await other.owners() if seen.owner == second]
    passes()
    [after] = [seen for seen in await other.owners() if seen.owner == second]
    assert (after.beat, after.silent > before.silent >= 0) == (before.beat, True)
    await other.leave(first)
    await other.leave(first)
    await journal.leave(owner())
    assert [seen.owner for seen in await journal.owners()] == [second]
    await journal.leave(second)
    assert list(await journal.owners()) == []
    assert list(await journal.lapse(before, "gone")) == []


async def who_leaves_with_something_in_flight_stays_known(connect):
    """Or nobody would ever take it out of their hands."""
    journal, sender = connect(), owner()
    await journal.open(SCOPE)
    report = await report_in(journal, State.IN_FLIGHT, sender)
    await journal.leave(sender)
    [seen] = await journal.owners()
    assert seen.owner == sender
    assert [each.id for each in await journal.lapse(seen, "gone")] == [report.id]
    await journal.leave(sender)
    assert list(await journal.owners()) == []
    await stands(journal, unresolved=1)


# Folding


async def folds_what_is_over(connect):
    journal, other, sender = connect(), connect(), owner()
    await journal.open(SCOPE)
    await other.open(SCOPE)
    kept = [await report_in(journal, state, sender, THIRD._replace(resource_id=state)) for state in STATES]
    await journal.append([record(OTHER, n) for n in range(5)])
    passes()
    first = await journal.move((await claimed(journal, sender, OTHER, 2)).id, State.DELIVERED, late=True)
    passes()
    second = await journal.move((await claimed(journal, sender, OTHER, 1)).id, State.DELIVERED)
    third = await report_in(journal, State.DISCARDED, sender)
    passes()
    last = await report_in(journal, State.DELIVERED, sender)
    counts = {"pending": 2, "in_flight": 1, "delivered": 5, "rejected": 1, "unresolved": 1, "discarded": 2}
    assert await journal.fold(0) == 0
    over = [each for each in kept if each.state in {State.DELIVERED, State.DISCARDED}]
    await stands(journal, late=2, **counts)
    assert await other.fold(first.ended_at - 0.001) == len(over) == 2
    await stands(journal, late=2, **counts)
    assert await journal.fold(first.ended_at + 0.001) == 2
    assert await journal.find(first.id) is None
    assert await journal.find(second.id) == second
    assert await journal.fold(last.ended_at - 0.001) == 2
    assert await journal.fold(last.ended_at - 0.001) == 0
    await stands(other, late=2, **counts)
    for report in (first, second, third, *over):
        assert await journal.find(report.id) is None
        assert await journal.move(report.id, State.DELIVERED) is None
    for report in (last, *(each for each in kept if each not in over)):
        assert await journal.find(report.id) == report
    assert await other.fold(9e9) == 1
    assert await journal.fold(9e9) == 0
    await stands(journal, late=2, **counts)
    assert list(await journal.reports(State.DELIVERED)) == []
    assert list(await journal.reports(State.DISCARDED)) == []


async def folding_many_at_once_harms_nothing(connect):
    journals, sender = [connect() for _ in range(3)], owner()
    for journal in journals:
        await journal.open(SCOPE)
    await journals[0].append([record(KEY) for _ in range(400)])
    for _ in range(20):
        report = await claimed(journals[0], sender, KEY, 10)
        await journals[0].move(report.id, State.DELIVERED)
    folded = await asyncio.gather(*(journals[n % 3].fold(9e9) for n in range(9)))
    assert sum(folded) == 200
    await stands(journals[2], delivered=200, pending=200)
    assert [each.records for each in await journals[1].claim([run_of(await waits(journals[0]))], sender)] == [
        200
    ]


ALL = [
    lapsing_takes_things_out_of_an_owners_hands,
    lapsing_spares_an_owner_that_has_beaten,
    an_owner_is_lapsed_by_one_of_many,
    owners_come_and_go,
    who_leaves_with_something_in_flight_stays_known,
    folds_what_is_over,
    folding_many_at_once_harms_nothing,
]
