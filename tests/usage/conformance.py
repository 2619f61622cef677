"""What every journal of usage has to do: run each of ``ALL`` with a function that gives the journal.

A journal that can be shared has to do each of ``SHARED``, too.

``await check(connect)``, where each call of ``connect()`` gives a journal that nobody has opened yet and
that shares what it keeps with the others, the way other processes would; a journal that cannot be shared
may give the same one again. ``connect(adopt=True)`` gives one that may be opened for another account.
What they share must be empty before each check; whoever runs the checks closes what ``connect`` gave.
"""

import asyncio

from kelviq_async.usage.records import Key, State
from tests.usage import conformance_ends, conformance_fates, conformance_lives
from tests.usage.pieces import (
    DELTA,
    KEY,
    OTHER,
    SCOPE,
    SET,
    THIRD,
    claimed,
    owner,
    passes,
    record,
    records_waiting,
    report_in,
    run_of,
    stands,
    waits,
)

LARGEST = 2**53 - 1
# If parts were only joined, some of these would be one.
ODD_KEYS = [
    Key("a", "b"),
    Key("a", "b", ""),
    Key("a", "b", "None"),
    Key("a", "b", "null"),
    Key("a:b", "c"),
    Key("a", "b:c"),
    Key("a", "b", "c"),
    Key("a\x1fb", "c"),
    Key("a", "b\x1fc"),
    Key("a\0b", "c"),
    Key("a", "b\0c"),
    Key("", ""),
    Key("", "", ""),
    Key("{a}", "*", "["),
    Key("A", "B"),
    Key("é", "ß", "🜁"),
    Key("e\u0301", "ß", "🜁"),
    Key("a\n", " b ", "\t"),
    Key("1", "2", "3"),
    Key("1.0", "2", "3"),
    Key("x" * 1000, "y" * 1000, "z" * 1000),
]


# What is accepted


async def keeps_records_as_they_are(connect):
    journal = connect()
    await journal.open(SCOPE)
    records = [record(key) for key in ODD_KEYS]
    records += [record(value=value) for value in (LARGEST, -LARGEST, -1, 0)]
    records += [record(value=value, behaviour=SET) for value in (LARGEST, 0)]
    records += [
        record(at=at, reset_at=reset_at)
        for at, reset_at in [(0.1 + 0.2, 1e-9), (1_763_804_123.1234567, 4_102_444_800.0), (0.0, 0.0)]
    ]
    records += [record(id=id) for id in ("é\0\n:*{}[]", "0", "Z" * 500, "z" * 500)]
    await journal.append(records)
    await stands(journal, pending=len(records))
    other = connect()
    await other.open(SCOPE)
    for each in (journal, other):
        assert await records_waiting(each) == records
        places = [place for place, _ in await waits(each)]
        assert places == sorted(set(places))


async def keeps_keys_apart(connect):
    journal, sender = connect(), owner()
    await journal.open(SCOPE)
    for _ in range(2):
        await journal.append([record(key, number) for number, key in enumerate(ODD_KEYS, 1)])
    found = await waits(journal)
    runs = [run_of([each for each in found if each.record.key == key]) for key in ODD_KEYS]
    reports = await journal.claim(runs, sender)
    assert [(report.key, report.value) for report in reports] == [
        (key, 2 * number) for number, key in enumerate(ODD_KEYS, 1)
    ]
    assert [report.key for report in await journal.reports(State.IN_FLIGHT)] == ODD_KEYS
    await journal.append([record(key) for key in ODD_KEYS])
    assert await waits(journal) == []
    for left, report in enumerate(reports, 1):
        assert await journal.move(report.id, State.DELIVERED)
        assert [each.key for each in await records_waiting(journal)] == ODD_KEYS[:left]
    await stands(journal, delivered=2 * len(ODD_KEYS), pending=len(ODD_KEYS))


async def keeps_the_order_of_calls(connect):
    journal = connect()
    await journal.open(SCOPE)
    # the clock may be set back, the order is that of the calls
    batches = [[record(key, at=100.0 - n) for n in range(3)] for key in (KEY, OTHER, KEY, THIRD)]
    for batch in batches:
        await journal.append(batch)
    assert await records_waiting(journal) == [each for batch in batches for each in batch]


async def keeps_the_order_of_calls_at_the_same_time(connect):
    journal = connect()
    await journal.open(SCOPE)
    records = [record(key) for _ in range(300) for key in (KEY, OTHER)]
    await asyncio.gather(*(journal.append([each]) for each in records))
    assert await records_waiting(journal) == records


async def takes_no_id_twice(connect):
    journal, sender = connect(), owner()
    await journal.open(SCOPE)
    first, second, third = record(), record(OTHER, 2), record(THIRD, 3)
    await journal.append([first, second])
    before = await waits(journal)
    await journal.append([first, second])
    await journal.append([record(THIRD, 99, SET, id=first.id)])
    assert await waits(journal) == before
    await stands(journal, pending=2)
    await journal.append([second, third, first])
    assert await records_waiting(journal) == [first, second, third]
    report = await claimed(journal, sender)
    for state in (State.IN_FLIGHT, State.UNRESOLVED, State.DISCARDED):
        if report.state is not state:
            report = await journal.move(report.id, state)
        await journal.append([first])
        assert await records_waiting(journal) == [second, third]
        await stands(journal, pending=2, **{state.value: 1})


async def takes_an_id_once_that_comes_twice_in_one_call(connect):
    journal = connect()
    await journal.open(SCOPE)
    first, second = record(), record()
    again = [record(value=7, id=first.id), record(OTHER, 8, id=first.id)]
    await journal.append([first, second, *again])
    assert await records_waiting(journal) == [first, second]
    await stands(journal, pending=2)


async def takes_nothing_at_all(connect):
    journal = connect()
    await journal.open(SCOPE)
    await journal.append([])
    await stands(journal)
    assert list(await journal.waiting(10)) == []


async def what_was_accepted_is_seen_by_others_at_once(connect):
    journal, other = connect(), connect()
    await journal.open(SCOPE)
    await other.open(SCOPE)
    for number in range(1, 6):
        await (journal if number % 2 else other).append([record()])
        for each in (journal, other):
            await stands(each, pending=number)


async def says_when_the_oldest_was_accepted(connect):
    journal, sender = connect(), owner()
    await journal.open(SCOPE)
    first, second, third = record(at=1000.25), record(at=1001.5), record(OTHER, at=1002.75)
    await journal.append([first, second, third])
    assert (await stands(journal, pending=3)).oldest == 1000.25
    report = await claimed(journal, sender, KEY, 1)
    assert (await stands(journal, pending=2, in_flight=1)).oldest == 1001.5
    await journal.move(report.id, State.PENDING)
    assert (await stands(journal, pending=3)).oldest == 1000.25
    _ = await claimed(journal, sender)
    assert (await stands(journal, pending=1, in_flight=2)).oldest == 1002.75


# What waits


async def gives_the_oldest_first(connect):
    journal = connect()
    await journal.open(SCOPE)
    records = [record([KEY, OTHER, KEY, THIRD][n % 4], n) for n in range(20)]
    await journal.append(records)
    for limit in (1, 2, 7, 19, 20, 21, 10_000):
        assert [each.record for each in await journal.waiting(limit)] == records[:limit]


async def skips_keys(connect):
    journal = connect()
    await journal.open(SCOPE)
    hot, cold = [record(KEY) for _ in range(3000)], [record(OTHER), record(THIRD), record(OTHER)]
    await journal.append([*hot, *cold, record(KEY)])
    # however many of the skipped ones come before
    for limit in (1, 2, 3, 100):
        assert [each.record for each in await journal.waiting(limit, {KEY})] == cold[:limit]
    assert [each.record for each in await journal.waiting(2, [OTHER, KEY])] == [cold[1]]
    assert list(await journal.waiting(2, {OTHER, KEY, THIRD, Key("un", "known")})) == []
    assert [each.record for each in await journal.waiting(2, [THIRD])] == hot[:2]


async def leaves_out_what_is_in_flight(connect):
    journal, sender = connect(), owner()
    await journal.open(SCOPE)
    await journal.append([record(KEY) for _ in range(3000)])
    await journal.append([record(OTHER), record(THIRD)])
    report = await claimed(journal, sender, KEY, 1)
    # however many of its key come before
    assert [each.record.key for each in await journal.waiting(1)] == [OTHER]
    assert [each.record.key for each in await journal.waiting(2)] == [OTHER, THIRD]
    assert [each.record.key for each in await journal.waiting(2, {OTHER})] == [THIRD]
    await journal.move(report.id, State.DELIVERED)
    assert [each.record.key for each in await journal.waiting(2)] == [KEY, KEY]


# What is claimed


async def claims_runs(connect):
    journal, other, sender = connect(), connect(), owner()
    await journal.open(SCOPE)
    await other.open(SCOPE)
    await journal.append([record(KEY, 2, reset_at=9e9), record(OTHER, 5, SET), record(KEY, -3, reset_at=9e9)])
    [first, third], [second] = await waits(journal, KEY), await waits(journal, OTHER)
    reports = await journal.claim([run_of([second]), run_of([first, third])], sender)
    assert [(r.key, r.behaviour, r.value, r.records) for r in reports] == [
        (OTHER, SET, 5, 1),
        (KEY, DELTA, -1, 2),
    ]
    assert len({report.id for report in reports}) == 2
    for report, run in zip(reports, [[second], [first, third]], strict=True):
        assert (report.state, report.ended_at, report.owner) == (State.IN_FLIGHT, None, sender.id)
        assert (report.reason, report.note, report.late) == ("", "", False)
        assert report.first_at == run[0].record.recorded_at
        assert report.last_at == run[-1].record.recorded_at
        assert report.reset_at == run[0].record.reset_at
    for each in (journal, other):
        assert await waits(each) == []
        assert list(await each.reports(State.IN_FLIGHT)) == list(reports)
        assert [await each.find(report.id) for report in reports] == list(reports)
        await stands(each, in_flight=3)


async def gives_reports_in_the_order_of_their_runs(connect):
    journal, sender = connect(), owner()
    await journal.open(SCOPE)
    keys = [Key(f"cust-{n}", "calls") for n in range(12)]
    await journal.append([record(key) for key in keys])
    runs = [run_of([each]) for each in await waits(journal)][::-1]
    gone = await journal.claim(runs[3:5], sender)
    reports = await journal.claim(runs, sender)
    assert [report.key for report in gone] == keys[::-1][3:5]
    assert [report.key for report in reports] == [key for n, key in enumerate(keys[::-1]) if n not in {3, 4}]


async def leaves_out_runs_that_are_not_what_waits(connect):
    journal, sender = connect(), owner()
    await journal.open(SCOPE)
    await journal.append([record(value=value) for value in (1, 2, 3, 3)])
    await journal.append([record(OTHER, 5, SET), record(OTHER, 6)])
    first, second, third, fourth = await waits(journal, KEY)
    total, after = await waits(journal, OTHER)
    wrong = [
        run_of([second]),
        run_of([second, third, fourth]),
        run_of([first, third]),
        run_of([first, second, fourth]),
        run_of([first, second], value=4),
        run_of([first, second], records=1),
        run_of([first, second], records=3),
        run_of([first], last=first.place - 1),
        run_of([first], last=first.place - 1, records=0, value=0),
        run_of([first], key=THIRD),
        run_of([first], key=OTHER),
        run_of([after]),
    ]
    for run in wrong:
        assert list(await journal.claim([run], sender)) == [], run
    assert list(await journal.claim(wrong, sender)) == []
    assert len(await waits(journal)) == 6
    await stands(journal, pending=6)
    # a wrong one does not keep right ones from being claimed
    reports = await journal.claim([wrong[0], run_of([first, second]), wrong[-1], run_of([total])], sender)
    assert [report.value for report in reports] == [3, 5]
    await stands(journal, pending=3, in_flight=3)


async def leaves_out_a_key_that_is_in_flight(connect):
    journal, sender = connect(), owner()
    await journal.open(SCOPE)
    await journal.append([record(), record()])
    first, second = await waits(journal)
    [report] = await journal.claim([run_of([first]), run_of([second]), run_of([first])], sender)
    for each in (sender, owner()):
        assert list(await journal.claim([run_of([first]), run_of([second])], each)) == []
        assert list(await journal.claim([run_of([first, second])], each)) == []
    await stands(journal, pending=1, in_flight=1)
    await journal.move(report.id, State.UNRESOLVED)
    # what is unresolved holds up nothing
    assert [each.value for each in await journal.claim([run_of([second])], sender)] == [1]
    await stands(journal, unresolved=1, in_flight=1)


async def what_is_accepted_later_stays_pending(connect):
    journal, sender = connect(), owner()
    await journal.open(SCOPE)
    await journal.append([record(), record()])
    run = run_of(await waits(journal))
    later = [record(value=4), record(value=5, behaviour=SET)]
    await journal.append(later)
    [report] = await journal.claim([run], sender)
    assert (report.records, report.value) == (2, 2)
    assert await waits(journal) == []
    await stands(journal, in_flight=2, pending=2)
    await journal.move(report.id, State.DELIVERED)
    assert await records_waiting(journal) == later


async def leaves_out_a_run_whose_records_have_changed_places(connect):
    journal, sender = connect(), owner()
    await journal.open(SCOPE)
    old = await report_in(journal, State.UNRESOLVED, sender)
    await journal.append([record(), record()])
    run = run_of(await waits(journal))
    # one of the run is delivered by somebody, and one from before is pending again: two, as many as before
    new = await claimed(journal, sender, KEY, 1)
    await journal.move(new.id, State.DELIVERED)
    await journal.move(old.id, State.PENDING)
    assert list(await journal.claim([run], sender)) == []
    await stands(journal, delivered=1, pending=2)
    assert (await claimed(journal, sender)).value == 2


async def a_run_is_claimed_by_one_of_many(connect):
    journals = [connect() for _ in range(3)]
    for journal in journals:
        await journal.open(SCOPE)
    keys = [Key(f"cust-{n}", "calls") for n in range(10)]
    for _ in range(3):
        await journals[0].append([record(key) for key in keys])
    found = await waits(journals[0])
    runs = [run_of([each for each in found if each.record.key == key][:2]) for key in keys]
    senders = [owner() for _ in range(12)]
    answers = await asyncio.gather(
        *(journals[n % 3].claim(runs[n % 4 :] + runs[: n % 4], senders[n]) for n in range(12))
    )
    assert sorted(report.key for reports in answers for report in reports) == keys
    for sender, reports in zip(senders, answers, strict=True):
        assert {report.owner for report in reports} <= {sender.id}
    await stands(journals[1], in_flight=20, pending=10)


async def claiming_is_a_beat(connect):
    journal, sender = connect(), owner()
    await journal.open(SCOPE)
    assert list(await journal.owners()) == []
    assert list(await journal.claim([], sender)) == []
    [seen] = await journal.owners()
    assert seen.owner == sender
    assert 0 <= seen.silent < 30
    await journal.append([record()])
    report = await claimed(journal, sender)
    assert list(await journal.lapse(seen, "gone")) == []
    assert await journal.find(report.id) == report
    [seen] = await journal.owners()
    passes()
    await journal.beat(sender)
    [again] = await journal.owners()
    assert again.beat > seen.beat


ALL = [
    keeps_records_as_they_are,
    keeps_keys_apart,
    keeps_the_order_of_calls,
    keeps_the_order_of_calls_at_the_same_time,
    takes_no_id_twice,
    takes_an_id_once_that_comes_twice_in_one_call,
    takes_nothing_at_all,
    what_was_accepted_is_seen_by_others_at_once,
    says_when_the_oldest_was_accepted,
    gives_the_oldest_first,
    skips_keys,
    leaves_out_what_is_in_flight,
    claims_runs,
    gives_reports_in_the_order_of_their_runs,
    leaves_out_runs_that_are_not_what_waits,
    leaves_out_a_key_that_is_in_flight,
    what_is_accepted_later_stays_pending,
    leaves_out_a_run_whose_records_have_changed_places,
    a_run_is_claimed_by_one_of_many,
    claiming_is_a_beat,
    *conformance_fates.ALL,
    *conformance_ends.ALL,
    *conformance_lives.ALL,
]

SHARED = conformance_lives.SHARED
