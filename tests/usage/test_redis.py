"""The journal in Redis: what stands in the server, and what becomes of it when the server fails."""

# ruff: noqa: F401, F811  fixtures come in by name

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kelviq_async.errors import OutcomeUnknown
from kelviq_async.usage import JournalError
from kelviq_async.usage.records import Key, State
from kelviq_async.usage.redis import reports as steps, rows
from tests.usage.pieces import (
    DELTA,
    KEY,
    OTHER,
    SCOPE,
    SET,
    claimed,
    owner,
    record,
    records_waiting,
    report_in,
    run_of,
    stands,
    waits,
)
from tests.usage.redis_server import LONG, ask, connect, prefix, server

pytestmark = pytest.mark.redis

PENDING = 'pending:["cust-1","calls",null]'


# What stands in the server


async def test_who_has_claimed_what_can_be_looked_at(connect, redis_url, prefix):
    journal, sender = await connect(), owner()
    stream = f"{{{prefix}}}:stream"

    def held():
        total, _, _, consumers = ask(redis_url, "XPENDING", stream, "senders").values()
        return total, {each["name"]: each["pending"] for each in consumers}

    await journal.append([record() for _ in range(3)])
    assert ask(redis_url, "XLEN", stream) == 3
    assert held() == (0, {})
    places = [place for place, _ in await waits(journal)]
    report = await claimed(journal, sender, KEY, 2)
    assert held() == (2, {sender.id: 2})
    entries = ask(redis_url, "XPENDING", stream, "senders", "-", "+", 10, sender.id, parse_detail=True)
    assert [each["message_id"] for each in entries] == [f"{place}-0" for place in places[:2]]
    await journal.move(report.id, State.PENDING)
    assert (held(), ask(redis_url, "XLEN", stream)) == ((0, {}), 3)
    report = await claimed(journal, sender, KEY, 2)
    await journal.move(report.id, State.UNRESOLVED)
    assert held() == (2, {"unresolved": 2})
    await journal.move(report.id, State.DELIVERED)
    assert (held(), ask(redis_url, "XLEN", stream)) == ((0, {}), 1)
    await journal.leave(sender)
    names = [each["name"] for each in ask(redis_url, "XINFO", "CONSUMERS", stream, "senders")]
    assert sender.id not in names


async def test_all_keys_share_one_slot_and_go_when_they_are_not_needed(connect, redis_url, prefix):
    journal, sender = await connect(), owner()
    for state in (State.DELIVERED, State.DISCARDED):
        await report_in(journal, state, sender, Key("a{b}c", ":", "é"))
    await journal.leave(sender)
    before = ask(redis_url, "KEYS", f"*{prefix}*")
    assert all(key.startswith(f"{{{prefix}}}:") for key in before)
    assert await journal.fold(time.time() + 60) == 2
    await stands(journal, delivered=1, discarded=1)
    left = {key.split(":")[1] for key in ask(redis_url, "KEYS", f"*{prefix}*")}
    assert left == {"journal", "stream", "answer"}


async def test_scripts_that_the_server_has_forgotten_are_sent_again(connect, redis_url):
    journal = await connect()
    for number in range(1, 4):
        ask(redis_url, "SCRIPT", "FLUSH")
        await journal.append([record()])
        ask(redis_url, "SCRIPT", "FLUSH")
        assert len(await waits(journal)) == number


async def test_many_callers_share_a_call(connect, server):
    journal = await connect(server.url)
    server.ask("CONFIG", "RESETSTAT")
    await asyncio.gather(*(journal.append([record()]) for _ in range(1000)))
    calls = server.ask("INFO", "commandstats")
    assert sum(calls.get(f"cmdstat_{name}", {}).get("calls", 0) for name in ("eval", "evalsha")) <= 20
    await stands(journal, pending=1000)


async def test_others_have_their_turn_while_much_is_read_and_written(connect):
    journal, turns = await connect(), 0

    async def count():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    for step in (journal.append([record() for _ in range(6000)]), journal.waiting(6000)):
        turns = 0
        await step
        assert turns >= 30
    counting.cancel()


async def test_what_is_given_back_closes_its_connections(connect, server):
    journal = await connect(server.url)
    await asyncio.gather(*(journal.ledger() for _ in range(50)))
    assert 2 <= server.clients() <= 9
    await journal.close()
    async with asyncio.timeout(LONG):
        while server.clients() > 1:
            await asyncio.sleep(0.01)
    with pytest.raises(JournalError, match="not open"):
        await journal.ledger()


async def test_a_forked_child_leaves_its_parents_connections_alone(connect, server, prefix):
    journal = await connect(server.url)
    await journal.append([record()])
    child = os.fork()
    if not child:
        code = 1
        try:
            asyncio.events._set_running_loop(None)

            async def use():
                try:
                    await journal.ledger()
                except JournalError:
                    await journal.open(SCOPE)
                    await journal.append([record(id="the child's")])
                    await journal.close()
                    return 0
                return 2

            code = asyncio.run(use())
        finally:
            os._exit(code)
    async with asyncio.timeout(LONG):
        while (ended := os.waitpid(child, os.WNOHANG)) == (0, 0):  # noqa: ASYNC222  it does not wait
            await asyncio.sleep(0.01)
    assert os.waitstatus_to_exitcode(ended[1]) == 0
    await journal.append([record()])
    await stands(journal, pending=3)


# When the server is slow or gone


async def paused(server, step, seconds=0.6):
    """Let a step begin while the server stands still, and let it go on after some attempts."""
    server.pause()
    task = asyncio.create_task(step)
    await asyncio.wait([task], timeout=seconds)
    assert not task.done()
    server.go_on()
    return await task


async def test_what_is_asked_again_is_done_once(connect, server):
    journal, sender = await connect(server.url, patience=0.15), owner()
    await paused(server, journal.append([record(), record(OTHER), record(OTHER, 7, SET)]))
    await stands(journal, pending=3)
    runs = [run_of([each]) for each in (await waits(journal))[:2]]
    reports = await paused(server, journal.claim(runs, sender))
    assert [report.key for report in reports] == [KEY, OTHER]
    await stands(journal, in_flight=2, pending=1)
    assert list(await journal.reports(State.IN_FLIGHT)) == list(reports)
    moved = await paused(server, journal.move(reports[0].id, State.DELIVERED, reason="ok"))
    assert moved == await journal.find(reports[0].id)
    assert (moved.state, moved.reason) == (State.DELIVERED, "ok")
    back = await paused(server, journal.move(reports[1].id, State.PENDING))
    assert back.state is State.PENDING
    await stands(journal, delivered=1, pending=2)
    first, second = await claimed(journal, sender, OTHER, 1), await report_in(journal, State.REJECTED, sender)
    [seen] = await journal.owners()
    [put] = await paused(server, journal.lapse(seen, "gone"))
    assert (put.id, put.state) == (first.id, State.UNRESOLVED)
    await journal.move(second.id, State.DISCARDED)
    assert await paused(server, journal.fold(time.time() + 60)) == 2
    await stands(journal, delivered=1, unresolved=1, discarded=1, pending=1)


async def test_a_claim_that_arrives_after_it_was_undone_claims_nothing(connect):
    journal, sender = await connect(), owner()
    await journal.append([record()])
    run = run_of(await waits(journal))
    words = [rows.owner_text(sender), rows.blob_of_run(run, "an-id")]
    _ = await journal._run(steps.CLAIM, sender.id, *words)
    assert await journal.move("an-id", State.PENDING)
    # the first of two attempts, held up on its way
    assert await journal._run(steps.CLAIM, sender.id, *words) == []
    await stands(journal, pending=1)


async def test_nobody_knows_what_became_of_what_was_never_answered(connect, server):
    journal, sender = await connect(server.url, deadline=0.6), owner()
    one, two = record(), record()
    server.pause()
    with pytest.raises(OutcomeUnknown):
        await journal.append([one])
    with pytest.raises(JournalError):
        await journal.beat(sender)
    server.go_on()
    journal._deadline = LONG
    await journal.append([two, one])
    assert {each.id for each in await records_waiting(journal)} == {one.id, two.id}
    await stands(journal, pending=2)


async def test_what_cannot_even_be_sent_was_not_accepted(connect, server):
    journal = await connect(server.url, deadline=0.5)
    await server.kill()
    results = await asyncio.gather(*(journal.append([record()]) for _ in range(300)), return_exceptions=True)
    assert {type(result) for result in results} == {JournalError}
    with pytest.raises(JournalError, match="cannot be reached"):
        await journal.ledger()
    await server.start()
    journal._deadline = LONG
    await stands(journal)


async def test_who_waits_behind_a_call_that_hangs_is_told_that_nothing_was_accepted(connect, server):
    journal = await connect(server.url, deadline=0.5)
    server.pause()
    first = asyncio.create_task(journal.append([record()]))
    await asyncio.sleep(0.05)
    second = asyncio.create_task(journal.append([record()]))
    ended = await asyncio.gather(first, second, return_exceptions=True)
    server.go_on()
    assert [type(each) for each in ended] == [OutcomeUnknown, JournalError]
    journal._deadline = LONG
    await journal.append([record()])
    assert (await journal.ledger()).accepted in {1, 2}


async def test_a_server_killed_and_started_again(connect, server):
    journal, sender = await connect(server.url), owner()
    await journal.append([record(), record(OTHER)])
    report = await claimed(journal, sender)
    for round_ in range(3):
        await server.kill()
        steps = [journal.append([record(OTHER)]) for _ in range(50)] + [journal.beat(sender)]
        tasks = [asyncio.create_task(each) for each in steps]
        await asyncio.wait(tasks, timeout=0.1)
        await server.start()
        await asyncio.gather(*tasks)
        await stands(journal, in_flight=1, pending=1 + 50 * (round_ + 1))
    assert await journal.move(report.id, State.DELIVERED)


async def test_a_pause_for_writers_is_waited_for(connect, server):
    journal = await connect(server.url)
    server.ask("CLIENT", "PAUSE", "300", "WRITE")
    started = time.monotonic()
    await journal.append([record()])
    assert time.monotonic() - started >= 0.2
    await stands(journal, pending=1)


async def test_a_cancelled_caller_takes_nobody_along(connect, server):
    journal = await connect(server.url)
    server.pause()
    tasks = [asyncio.create_task(journal.append([record(value=n)])) for n in range(1, 4)]
    await asyncio.sleep(0.05)
    tasks[1].cancel()
    await asyncio.wait([tasks[1]], timeout=LONG)
    server.go_on()
    await asyncio.gather(tasks[0], tasks[2])
    assert {1, 3} <= {each.value for each in await records_waiting(journal)}


# Many of them


async def test_thousands_of_unresolved_ones_hold_up_nobody(connect, server):
    journal, sender = await connect(server.url), owner()
    keys = [Key(f"cust-{n}", "calls") for n in range(2000)]
    await journal.append([record(key) for key in keys])
    runs = [run_of([each]) for each in await waits(journal)]
    for start in range(0, len(runs), 250):
        reports = await journal.claim(runs[start : start + 250], sender)
        await asyncio.gather(*(journal.move(each.id, State.UNRESOLVED) for each in reports))
    await journal.append([record(), record(OTHER)])
    server.ask("CONFIG", "RESETSTAT")
    assert [each.key for each in await records_waiting(journal)] == [KEY, OTHER]
    _ = await claimed(journal, sender)
    assert (await journal.ledger()).unresolved == 2000
    reads = server.ask("INFO", "commandstats")
    # what is asked for what waits does not look at them
    assert reads["cmdstat_zrange"]["calls"] < 50
    assert len(await journal.reports(State.UNRESOLVED, 10_000)) == 2000
    assert [each.behaviour for each in await journal.reports(State.UNRESOLVED, 3)] == [DELTA] * 3


# Senders that stand still for longer than their lease


@contextlib.asynccontextmanager
async def sender_process(url, prefix, lease):
    program = Path(__file__).with_name("redis_sender.py")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(program), url, prefix, str(lease)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    try:
        async with asyncio.timeout(LONG):
            assert await process.stdout.readline() == b"ready\n"
        yield process
    finally:
        process.send_signal(signal.SIGCONT)
        await process.communicate(b"")
        assert process.returncode == 0


async def test_what_two_senders_send_goes_out_once(connect, server, prefix):
    journal, lease, records = await connect(server.url), 0.2, []
    async with (
        sender_process(server.url, prefix, lease) as one,
        sender_process(server.url, prefix, lease) as two,
    ):
        for turn in range(8):
            some = [record(Key(f"cust-{n % 12}", "calls"), n) for n in range(1, 400)]
            records += some
            await journal.append(some)
            stopped = (one, two)[turn % 2]
            stopped.send_signal(signal.SIGSTOP)
            async with asyncio.timeout(LONG):
                # until the other one has had the time to take it for gone, and has sent what is left
                while (await journal.ledger()).pending or any(
                    seen.silent > lease for seen in await journal.owners()
                ):
                    await asyncio.sleep(0.01)
            stopped.send_signal(signal.SIGCONT)
        async with asyncio.timeout(LONG):
            while (await journal.ledger()).in_flight:
                await asyncio.sleep(0.01)
    sent = server.ask("LRANGE", f"{prefix}-wire", 0, -1)
    assert len(sent) == len(set(sent))
    ledger = await journal.ledger()
    assert ledger.balanced
    assert (ledger.accepted, ledger.pending, ledger.in_flight) == (len(records), 0, 0)
    assert ledger.delivered + ledger.unresolved == len(records)
    # what was delivered was sent, and what was not is shown
    for each in records:
        report = await journal.find(each.id)
        assert each.id in sent or report.state is State.UNRESOLVED
