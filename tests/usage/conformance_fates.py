"""What every journal has to do with reports once they are claimed; a part of ``conformance.ALL``."""

import asyncio

from kelviq_async.usage.records import MOVES, State
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
    records_waiting,
    report_in,
    stands,
    waits,
)

# Moves


async def moves_where_moves_leads(connect):
    journal, other, sender = connect(), connect(), owner()
    await journal.open(SCOPE)
    await other.open(SCOPE)
    counts = {}

    def count(state, by):
        counts[state.value] = counts.get(state.value, 0) + by

    for origin in STATES:
        for target in State:
            report = await report_in(journal, origin, sender, value=3)
            count(origin, 1)
            await stands(other, **counts)
            moved = await other.move(report.id, target, reason="why")
            if target not in MOVES[origin]:
                assert moved is None, (origin, target)
                assert await journal.find(report.id) == report
                await stands(journal, **counts)
                if origin is State.IN_FLIGHT:
                    assert await journal.move(report.id, State.DELIVERED)
                    count(origin, -1)
                    count(State.DELIVERED, 1)
                continue
            count(origin, -1)
            count(target, 1)
            await stands(journal, **counts)
            assert (moved.id, moved.state, moved.reason) == (report.id, target, "why")
            assert (moved.key, moved.value, moved.records) == (KEY, 3, 1)
            assert (moved.first_at, moved.claimed_at) == (report.first_at, report.claimed_at)
            if target is State.PENDING:
                assert await journal.find(report.id) is None
                again = await claimed(journal, sender)
                assert again.id != report.id
                assert await journal.move(again.id, State.REJECTED)
                count(target, -1)
                count(State.REJECTED, 1)
            else:
                assert moved.ended_at >= moved.claimed_at
                assert await journal.find(report.id) == moved


async def moves_nothing_that_is_unknown(connect):
    journal = connect()
    await journal.open(SCOPE)
    await journal.append([record(id="pending")])
    for id in ("unknown", "", "pending", "é\0:*"):
        for state in State:
            assert await journal.move(id, state) is None
    await stands(journal, pending=1)


async def moves_only_from_among(connect):
    journal, sender = connect(), owner()
    await journal.open(SCOPE)
    report = await report_in(journal, State.IN_FLIGHT, sender)
    for among in ([], [State.UNRESOLVED], {State.REJECTED, State.UNRESOLVED}, (State.DELIVERED,)):
        assert await journal.move(report.id, State.DELIVERED, among=among) is None
        assert await journal.find(report.id) == report
    # it narrows what is allowed, and never widens it
    assert await journal.move(report.id, State.DISCARDED, among=list(State)) is None
    moved = await journal.move(report.id, State.UNRESOLVED, among={State.REJECTED, State.IN_FLIGHT})
    assert moved.state is State.UNRESOLVED
    moved = await journal.move(report.id, State.DELIVERED, among=[State.UNRESOLVED])
    assert moved.state is State.DELIVERED
    assert await journal.move(report.id, State.PENDING, among=list(State)) is None
    await stands(journal, delivered=1)


async def a_report_is_moved_by_one_of_many(connect):
    journals, sender = [connect() for _ in range(3)], owner()
    for journal in journals:
        await journal.open(SCOPE)
    report = await report_in(journals[0], State.UNRESOLVED, sender)
    moves = [State.DELIVERED, State.DISCARDED, State.PENDING]
    moved = await asyncio.gather(*(journals[n % 3].move(report.id, moves[n // 3 % 3]) for n in range(18)))
    [won] = [each for each in moved if each]
    await stands(journals[1], **{won.state.value: 1})


async def keeps_what_was_said_of_a_report(connect):
    journal, other, sender = connect(), connect(), owner()
    await journal.open(SCOPE)
    await other.open(SCOPE)
    report = await report_in(journal, State.IN_FLIGHT, sender)
    report = await journal.move(report.id, State.REJECTED, reason="é\0\n", note="n-1", late=True)
    assert (report.reason, report.note, report.late) == ("é\0\n", "n-1", True)
    assert await other.find(report.id) == report
    # what is rejected was counted nowhere, late or not
    await stands(journal, rejected=1)
    report = await other.move(report.id, State.DELIVERED, reason="found")
    assert (report.reason, report.note, report.late) == ("found", "n-1", True)
    assert await journal.find(report.id) == report
    await stands(journal, delivered=1, late=1)
    report = await report_in(journal, State.IN_FLIGHT, sender)
    report = await journal.move(report.id, State.UNRESOLVED, late=True, note="n-1")
    await stands(journal, delivered=1, unresolved=1, late=2)
    report = await journal.move(report.id, State.DELIVERED, late=False, note="")
    assert (report.reason, report.note, report.late) == ("", "", False)
    await stands(journal, delivered=2, late=1)
    report = await report_in(journal, State.IN_FLIGHT, sender)
    await journal.move(report.id, State.UNRESOLVED, late=True)
    await journal.move(report.id, State.DISCARDED)
    await stands(journal, delivered=2, discarded=1, late=1)


async def keeps_any_reason(connect):
    """Reasons quote what a server said, which may be no proper text."""
    journal, sender = connect(), owner()
    await journal.open(SCOPE)
    for text in ("", "x" * 100_000, "\0", "\ud800 half a character", "'\"%s{}[]\r\n"):
        report = await report_in(journal, State.IN_FLIGHT, sender)
        moved = await journal.move(report.id, State.UNRESOLVED, reason=text, note=text)
        if "\ud800" not in text:
            assert (moved.reason, moved.note) == (text, text)
        assert "half" not in text or "half a character" in moved.reason
        assert await journal.find(report.id) == moved
        report = await report_in(journal, State.IN_FLIGHT, sender)
        [seen] = await journal.owners()
        [put] = await journal.lapse(seen, text)
        assert await journal.find(report.id) == put
    await stands(journal, unresolved=10)


async def a_late_answer_still_delivers(connect):
    journal, first, second = connect(), owner(), owner()
    await journal.open(SCOPE)
    report = await report_in(journal, State.IN_FLIGHT, first)
    [seen] = await journal.owners()
    await journal.lapse(seen, "gone")
    await journal.append([record()])
    newer = await claimed(journal, second)
    assert (await journal.move(report.id, State.DELIVERED)).state is State.DELIVERED
    await stands(journal, delivered=1, in_flight=1)
    # the newer one is still in flight
    await journal.append([record()])
    assert await waits(journal) == []
    assert await journal.move(newer.id, State.DELIVERED)
    assert len(await waits(journal)) == 1
    assert await journal.move(report.id, State.DELIVERED) is None
    await stands(journal, delivered=2, pending=1)


# Back to pending


async def what_comes_back_stands_where_it_stood(connect):
    journal, sender = connect(), owner()
    await journal.open(SCOPE)
    records = [record([KEY, OTHER][n % 2], n) for n in range(6)]
    await journal.append(records)
    before = await waits(journal)
    for way in ([], [State.UNRESOLVED], [State.REJECTED]):
        report = await claimed(journal, sender)
        newer = [record(KEY, 10), record(OTHER, 10), record(KEY, 11, SET)]
        for state in way:
            await journal.move(report.id, state)
        await journal.append(newer)
        moved = await journal.move(report.id, State.PENDING, reason="never sent")
        assert (moved.state, moved.records) == (State.PENDING, report.records)
        records += newer
        after = await waits(journal)
        assert after[: len(before)] == before
        assert [each.record for each in after] == records
        assert [each.record for each in await journal.waiting(5)] == records[:5]
        before = after
        assert await journal.find(report.id) is None
        assert await journal.find(records[0].id) is None
        assert list(await journal.reports(State.IN_FLIGHT)) == []
        await journal.append(records)  # none of these ids is new
        await stands(journal, pending=len(records))


async def what_comes_back_waits_for_what_is_in_flight(connect):
    journal, sender = connect(), owner()
    await journal.open(SCOPE)
    old = await report_in(journal, State.UNRESOLVED, sender, value=1)
    new = await report_in(journal, State.IN_FLIGHT, sender, value=2)
    await journal.append([record(value=3)])
    await journal.move(old.id, State.PENDING)
    assert await waits(journal) == []
    await stands(journal, pending=2, in_flight=1)
    await journal.move(new.id, State.UNRESOLVED)
    assert [each.value for each in await records_waiting(journal)] == [1, 3]
    await journal.move(new.id, State.PENDING)
    assert [each.value for each in await records_waiting(journal)] == [1, 2, 3]
    assert (await claimed(journal, sender, KEY, 2)).value == 3
    await stands(journal, pending=1, in_flight=2)


async def what_is_meant_to_be_sent_late_forgets_the_reset(connect):
    journal, sender = connect(), owner()
    await journal.open(SCOPE)
    records = [record(value=1, reset_at=9e9), record(value=2), record(OTHER, value=4, reset_at=9e9)]
    await journal.append(records)
    for late in (None, True):
        report = await claimed(journal, sender)
        assert report.reset_at == 9e9
        await journal.move(report.id, State.UNRESOLVED, late=True)
        await journal.move(report.id, State.PENDING, late=late)
        assert await records_waiting(journal) == records
    report = await claimed(journal, sender)
    # only on the way back to pending
    report = await journal.move(report.id, State.UNRESOLVED, late=False)
    assert report.reset_at == 9e9
    before = await waits(journal)
    await journal.move(report.id, State.PENDING, late=False)
    forgotten = [each._replace(reset_at=None) for each in records[:2]]
    assert await records_waiting(journal) == [*forgotten, records[2]]
    assert (await waits(journal))[2:] == before
    await journal.append(records)  # none of these ids is new
    await stands(journal, pending=3)
    assert (await claimed(journal, sender)).reset_at is None


# Looking


async def knows_what_was_overtaken_also_when_it_was_folded(connect):
    journal, other, sender = connect(), connect(), owner()
    await journal.open(SCOPE)
    await other.open(SCOPE)
    older = await report_in(journal, State.REJECTED, sender)
    newer = await report_in(journal, State.DELIVERED, sender)
    last = await report_in(journal, State.REJECTED, sender)
    assert await other.fold(9e9) == newer.records
    assert await other.find(newer.id) is None
    for each in (journal, other):
        assert await each.overtaken(older.id) is True
        assert await each.overtaken(last.id) is False


async def knows_what_was_overtaken_while_it_was_pending_again(connect):
    journal, other, sender = connect(), connect(), owner()
    await journal.open(SCOPE)
    await other.open(SCOPE)
    older = await report_in(journal, State.UNRESOLVED, sender)
    newer = await report_in(journal, State.DELIVERED, sender)
    assert await journal.move(older.id, State.PENDING)
    assert await other.fold(9e9) == newer.records
    again = await claimed(journal, sender)
    elsewhere = await report_in(journal, State.DELIVERED, sender, OTHER)
    assert await other.fold(9e9) == elsewhere.records
    for each in (journal, other):
        assert await each.overtaken(again.id) is True
    assert await journal.move(again.id, State.UNRESOLVED)
    for each in (journal, other):
        assert await each.overtaken(again.id) is True


async def knows_what_was_overtaken(connect):
    journal, other, sender = connect(), connect(), owner()
    await journal.open(SCOPE)
    await other.open(SCOPE)
    for id in ("", "unknown"):
        assert await journal.overtaken(id) is False
    older = await report_in(journal, State.UNRESOLVED, sender)
    report = await report_in(journal, State.REJECTED, sender)
    await report_in(journal, State.DELIVERED, sender, OTHER)
    await journal.append([record(id="newer")])
    for each in (journal, other):
        assert await each.overtaken(report.id) is False
        assert await each.overtaken(older.id) is False  # what was rejected was not counted
    newer = await claimed(journal, sender)
    assert await other.overtaken(report.id) is True
    assert await other.overtaken(newer.id) is False
    for state, sent in [
        (State.PENDING, False),
        (State.IN_FLIGHT, True),
        (State.UNRESOLVED, True),
        (State.DISCARDED, False),
    ]:
        if state is State.IN_FLIGHT:
            newer = await claimed(journal, sender)
        else:
            assert await journal.move(newer.id, state)
        for each in (report, older):
            assert await other.overtaken(each.id) is sent, state
    newest = await report_in(journal, State.DELIVERED, sender)
    assert await other.overtaken(report.id) is True
    assert await other.overtaken(newest.id) is False
    # a report is gone once its records are pending again
    await journal.move(report.id, State.PENDING)
    assert await other.overtaken(report.id) is False


async def what_was_sent_on_both_sides_of_it_overtook_it(connect):
    journal, sender = connect(), owner()
    await journal.open(SCOPE)
    first = await report_in(journal, State.UNRESOLVED, sender)
    second = await report_in(journal, State.UNRESOLVED, sender)
    await journal.append([record()])
    await journal.move(first.id, State.PENDING)
    around = await claimed(journal, sender)
    assert around.records == 2
    assert await journal.overtaken(second.id) is True
    assert await journal.overtaken(around.id) is False


async def finds_by_either_id(connect):
    journal, sender = connect(), owner()
    await journal.open(SCOPE)
    records = [record(id=f"é:{n}\n*") for n in range(3)]
    await journal.append(records)
    for id in ("unknown", "", records[0].id):
        assert await journal.find(id) is None
    report = await claimed(journal, sender, KEY, 2)
    for state in (None, State.UNRESOLVED, State.DISCARDED):
        if state is not None:
            report = await journal.move(report.id, state)
        for id in (report.id, records[0].id, records[1].id):
            assert await journal.find(id) == report
        assert await journal.find(records[2].id) is None


async def lists_reports_the_oldest_first(connect):
    journal, sender = connect(), owner()
    await journal.open(SCOPE)
    for state in STATES:
        assert list(await journal.reports(state)) == []
    ids = []
    for key in (THIRD, KEY, OTHER):
        await journal.append([record(key)])
        ids.append((await claimed(journal, sender, key)).id)
        passes()
    for id in (ids[1], ids[2], ids[0]):
        await journal.move(id, State.UNRESOLVED)
        passes()
    for limit in (1, 2, 3, 1000):
        assert [report.id for report in await journal.reports(State.UNRESOLVED, limit)] == ids[:limit]
    await journal.move(ids[1], State.DELIVERED)
    assert [report.id for report in await journal.reports(State.UNRESOLVED, 2)] == [ids[0], ids[2]]
    assert [report.id for report in await journal.reports(State.DELIVERED)] == [ids[1]]


ALL = [
    moves_where_moves_leads,
    moves_nothing_that_is_unknown,
    moves_only_from_among,
    a_report_is_moved_by_one_of_many,
    keeps_what_was_said_of_a_report,
    keeps_any_reason,
    a_late_answer_still_delivers,
    what_comes_back_stands_where_it_stood,
    what_comes_back_waits_for_what_is_in_flight,
    what_is_meant_to_be_sent_late_forgets_the_reset,
    finds_by_either_id,
    knows_what_was_overtaken,
    knows_what_was_overtaken_while_it_was_pending_again,
    knows_what_was_overtaken_also_when_it_was_folded,
    what_was_sent_on_both_sides_of_it_overtook_it,
    lists_reports_the_oldest_first,
]
