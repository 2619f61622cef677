"""A SqliteJournal among processes, forks, event loops and impatient callers."""

import asyncio
import signal
import sqlite3

import pytest

from kelviq_async.errors import ConfigError
from kelviq_async.usage import JournalError, SqliteJournal
from kelviq_async.usage.journal import Scope
from tests.usage.pieces import (
    SCOPE,
    record,
    stands,
)
from tests.usage.sqlite_file import PROLOGUE, python


def test_processes_killed_at_any_moment_lose_nothing_they_were_promised(path):
    program = (
        PROLOGUE
        + """
async def main():
    journal = SqliteJournal(path)
    await journal.open(SCOPE)
    sender = owner(f"owner-{os.getpid()}")
    async def one(n):
        for turn in range(10_000):
            given = record(Key(f"c-{n % 3}", "calls"), id=f"{os.getpid()}-{n}-{turn}")
            await journal.append([given])
            print(given.id, flush=True)
            if n == 0 and turn % 5 == 0:
                pending = await waits(journal, given.key)
                for report in await journal.claim([run_of(pending)] if pending else [], sender):
                    await journal.move(report.id, State.DELIVERED)
    await asyncio.gather(*map(one, range(8)))
asyncio.run(main())
"""
    )
    promised = []
    for _ in range(4):
        processes = [python(program, path) for _ in range(2)]
        for process in processes:
            promised += [process.stdout.readline() for _ in range(60)]
        for process in processes:
            process.send_signal(signal.SIGKILL)
            # the last line may be half a line
            promised += [line for line in process.stdout.read().splitlines(keepends=True) if line[-1] == "\n"]
            process.stdout.close()
            process.wait()

    async def look():
        journal = SqliteJournal(path)
        await journal.open(SCOPE)
        assert await journal.verify() == []
        ledger = await journal.ledger()
        assert ledger.balanced
        assert ledger.accepted >= len(promised)
        await journal.append([record(id=line.strip()) for line in promised])
        assert (await journal.ledger()).accepted == ledger.accepted
        await journal.close()

    asyncio.run(look())


# Forks, and the end


def test_a_forked_child_leaves_its_parents_journal_alone(path):
    program = (
        PROLOGUE
        + """
from kelviq_async.usage import JournalError
journal = SqliteJournal(path)
async def busy():
    await journal.open(SCOPE)
    for _ in range(5):
        asyncio.create_task(journal.append([record(id=os.urandom(8).hex()) for _ in range(500)]))
    await asyncio.sleep(0)
async def child():
    try:
        await journal.append([record()])
    except JournalError:
        pass
    else:
        raise SystemExit("it took a record")
    await journal.close()
    await journal.open(SCOPE)
    await journal.append([record(id=f"child-{os.getpid()}")])
    await journal.close()
async def last():
    await stands(journal, pending=20 * 2502)
    assert await journal.verify() == []
    await journal.close()
for _ in range(20):
    asyncio.run(busy())
    if (pid := os.fork()) == 0:
        asyncio.run(child())
        sys.exit(0)  # with all that the interpreter does at its end
    assert os.waitpid(pid, 0)[1] == 0
    asyncio.run(journal.append([record(id=f"parent-{pid}")]))
asyncio.run(last())
print("fine")
"""
    )
    with python(program, path) as process:
        assert process.communicate()[0].endswith("fine\n")


def test_an_interpreter_that_ends_without_closing_keeps_what_it_promised(path):
    program = (
        PROLOGUE
        + """
import atexit
journal = SqliteJournal(path)
async def main():
    await journal.open(SCOPE)
    for _ in range(10):
        await journal.append([record()])
    asyncio.create_task(journal.append([record()]))
    await asyncio.sleep(0)
@atexit.register
def last():
    asyncio.run(journal.append([record()]))
asyncio.run(main())
"""
    )
    with python(program, path) as process:
        assert process.wait(timeout=50) == 0

    async def look():
        journal = SqliteJournal(path)
        await journal.open(None)
        assert (await journal.ledger()).accepted == 12
        await journal.close()

    asyncio.run(look())


# Callers, loops and the thread


async def test_a_cancelled_caller_takes_nobody_with_it(journal):
    tasks = [asyncio.create_task(journal.append([record(id=f"{n}")])) for n in range(100)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert answers[1::2] == [None] * 50
    assert {type(answer) for answer in answers[::2]} == {asyncio.CancelledError}
    # what was asked for was not taken back
    await stands(journal, pending=100)


def test_a_loop_that_was_closed_breaks_nothing(path):
    journal = SqliteJournal(path)
    asyncio.run(journal.open(SCOPE))
    for n in range(20):
        loop = asyncio.new_event_loop()
        task = loop.create_task(journal.append([record()]))
        loop.call_soon(loop.stop)
        loop.run_forever()
        task._log_destroy_pending = False
        loop.close()
        asyncio.run(journal.append([record()]))
        del n

    async def look():
        await stands(journal, pending=40)
        await journal.close()

    asyncio.run(look())


async def test_closing_finishes_what_was_asked_for(journal):
    tasks = [asyncio.create_task(journal.append([record()])) for _ in range(3000)]
    await asyncio.sleep(0)
    await asyncio.gather(journal.close(), journal.close(), *tasks)
    for refused in (journal.append([record()]), journal.ledger(), journal.waiting(1)):
        with pytest.raises(JournalError, match="closed"):
            await refused
    await journal.open(SCOPE)
    await stands(journal, pending=3000)


async def test_many_may_open_one_object_at_once(path):
    journal = SqliteJournal(path)
    other = Scope("production", SCOPE.host, SCOPE.account)
    answers = await asyncio.gather(
        journal.open(None),
        journal.open(SCOPE),
        journal.open(SCOPE),
        journal.open(other),
        return_exceptions=True,
    )
    assert [type(answer) for answer in answers] == [ConfigError, type(None), type(None), ConfigError]
    await journal.append([record()])
    await journal.close()


async def test_another_process_that_holds_on_for_too_long_is_named(path):
    journal = SqliteJournal(path, timeout=0.05)
    await journal.open(SCOPE)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(JournalError, match="another process"):
        await journal.append([record()])
    assert (await journal.ledger()).accepted == 0
    other.execute("ROLLBACK")
    other.close()
    await journal.append([record()])
    await stands(journal, pending=1)
    await journal.close()


async def test_nothing_counts_as_left_out_while_another_process_empties_the_log(journal, path):
    await journal.append([record()])
    emptying = asyncio.Event()

    async def empty():
        while not emptying.is_set():
            await journal.append([record()])
            await asyncio.to_thread(checkpoint)

    def checkpoint():
        other = sqlite3.connect(path)
        for _ in range(20):
            other.execute("PRAGMA wal_checkpoint(PASSIVE)")
        other.close()

    busy = asyncio.create_task(empty())
    for _ in range(40):
        other = SqliteJournal(path)
        await other.open(SCOPE)
        await other.append([record()])
        await other.close()
    emptying.set()
    await busy
    assert (await journal.ledger()).skipped == 0
