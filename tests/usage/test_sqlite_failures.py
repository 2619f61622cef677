"""What a SqliteJournal does when disks, files, processes and callers fail."""

import asyncio
import shutil
import sqlite3
from pathlib import Path

import pytest

from kelviq_async.errors import ConfigError, InvalidRequest, OutcomeUnknown
from kelviq_async.usage import JournalError, SqliteJournal
from tests.usage.pieces import (
    KEY,
    OTHER,
    SCOPE,
    State,
    claimed,
    owner,
    record,
    records_waiting,
    report_in,
    stands,
)
from tests.usage.sqlite_file import PROLOGUE, python


async def inside(journal, work):
    """Have the writing thread do something with its books."""
    return await journal._write(work)


def sql(path, *statements):
    with sqlite3.connect(path) as file:
        for statement in statements:
            file.execute(statement)
    file.close()


# The disk


async def test_a_full_disk_is_the_callers_to_know_and_harms_nothing(journal):
    await journal.append([record()])

    def limit(pages):
        return lambda books: books.one(f"PRAGMA max_page_count = {pages}")

    pages = await inside(journal, lambda books: books.one("PRAGMA page_count")[0])
    await inside(journal, limit(pages + 10))
    large = [record(OTHER, id=f"large-{n}") for n in range(5000)]
    answers = await asyncio.gather(
        journal.append([record(id="a")]),
        journal.append(large),
        journal.append([record(id="b")]),
        return_exceptions=True,
    )
    assert [type(answer) for answer in answers] == [type(None), JournalError, type(None)]
    assert "disk is full" in str(answers[1])
    assert [each.id for each in await records_waiting(journal)][1:] == ["a", "b"]
    await inside(journal, limit(1_000_000))
    await journal.append(large)
    await stands(journal, pending=5003)
    assert await journal.verify() == []


def test_a_limit_on_the_size_of_files_is_like_a_full_disk(path):
    program = (
        PROLOGUE
        + """
import resource
from kelviq_async.usage import JournalError
async def main():
    journal = SqliteJournal(path)
    await journal.open(SCOPE)
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, hard))
    taken = refused = 0
    while refused < 3:
        try:
            await journal.append([record(value=1) for _ in range(100)])
            taken += 100
        except JournalError as error:
            refused += 1
    await stands(journal, pending=taken)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    await journal.append([record()])
    await stands(journal, pending=taken + 1)
    assert await journal.verify() == []
    await journal.close()
    print("fine")
asyncio.run(main())
"""
    )
    with python(program, path) as process:
        assert process.communicate()[0] == "fine\n"


class Failing:
    """A connection whose commits fail, as told."""

    def __init__(self, connection, codes):
        self.connection = connection
        self.codes = codes

    def __getattr__(self, name):
        return getattr(self.connection, name)

    def execute(self, statement, *values):
        if statement == "COMMIT" and self.codes:
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = self.codes.pop(0)
            raise error
        return self.connection.execute(statement, *values)


async def with_failing_commits(journal, *codes):
    def put(books):
        books.connection = Failing(books.connection, list(codes))

    # the commit of this very step is one of them already
    with pytest.raises(JournalError):
        await inside(journal, put)


async def test_a_commit_that_is_known_to_have_failed_is_tried_again_one_by_one(journal):
    await with_failing_commits(journal, *[sqlite3.SQLITE_FULL] * 2)
    with pytest.raises(JournalError, match="full"):
        await journal.append([record()])
    await journal.append([record()])
    await stands(journal, pending=1)


async def test_a_commit_whose_sync_failed_is_overwritten_and_then_known(journal):
    await with_failing_commits(journal, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_FSYNC)
    with pytest.raises(JournalError, match="failed"):
        await journal.append([record()])
    await stands(journal)
    await journal.append([record()])
    await stands(journal, pending=1)


async def test_a_commit_that_cannot_be_overwritten_is_unknown(journal):
    await with_failing_commits(journal, sqlite3.SQLITE_FULL, *[sqlite3.SQLITE_IOERR_FSYNC] * 2)
    given = record()
    with pytest.raises(OutcomeUnknown, match="same ids"):
        await journal.append([given])
    await journal.append([given])
    await stands(journal, pending=1)


# What callers give


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1])
async def test_what_cannot_be_written_is_in_nobodys_way(journal, value):
    answers = await asyncio.gather(
        journal.append([record(id="a")]),
        journal.append([record(), record(value=value)]),
        journal.append([record(id="b"), record(id="b2")]),
        journal.append([record(id="\ud800")]),
        journal.append([record(id=7)]),
        return_exceptions=True,
    )
    assert [answers[0], answers[2]] == [None, None]
    assert [type(answers[n]) for n in (1, 3, 4)] == [InvalidRequest, UnicodeEncodeError, TypeError]
    assert [each.id for each in await records_waiting(journal)] == ["a", "b", "b2"]


async def test_a_step_that_fails_takes_nothing_with_it(journal):
    def fail(books):
        books.run("DELETE FROM records")
        books.tally["pending"] -= 1
        raise KeyError

    answers = await asyncio.gather(
        journal.append([record()]), inside(journal, fail), journal.append([record()]), return_exceptions=True
    )
    assert [type(answer) for answer in answers] == [type(None), KeyError, type(None)]
    await stands(journal, pending=2)
    assert await journal.verify() == []


# Damage


@pytest.mark.parametrize(
    "damage",
    [
        "value = 4",
        "value = 'x'",
        "id = 'other'",
        "id = x'ff00'",
        "behaviour = 'SET'",
        "recorded_at = '1.0'",
        "recorded_at = 'x'",
        "reset_at = '9.0'",
        "crc = crc + 1",
        "key = 2",
    ],
)
async def test_a_damaged_record_is_set_aside_and_counted(journal, path, damage):
    good = [record(), record(), record(OTHER), record(OTHER)]
    await journal.append([good[0], record(value=3, id="bad"), *good[1:]])
    sql(path, f"UPDATE records SET {damage} WHERE id = 'bad'")  # noqa: S608
    assert await records_waiting(journal) == good
    ledger = await journal.ledger()
    assert (ledger.balanced, ledger.accepted, ledger.pending, ledger.skipped) == (True, 4, 4, 1)
    assert await journal.verify() == []
    with sqlite3.connect(path) as file:
        assert file.execute("SELECT count(*) FROM damaged").fetchone() == (1,)
    file.close()
    report = await claimed(journal, owner())
    assert report.records == 2


async def test_a_damaged_key_takes_its_records_with_it_and_no_others(journal, path):
    await journal.append([record(), record(OTHER), record()])
    sql(path, f"UPDATE keys SET customer = 'somebody' WHERE customer = '{KEY.customer_id}'")  # noqa: S608
    journal_again = SqliteJournal(path)
    await journal_again.open(SCOPE)
    assert [each.key for each in await records_waiting(journal_again)] == [OTHER]
    assert (await journal_again.ledger()).skipped == 2
    assert await journal_again.verify() == []
    await journal_again.close()


async def test_forgetting_the_reset_does_not_make_a_damaged_record_whole(journal, path):
    await journal.append([record(reset_at=5.0), record(id="bad", reset_at=5.0)])
    report = await claimed(journal, owner())
    sql(path, "UPDATE records SET value = 9 WHERE id = 'bad'")
    await journal.move(report.id, State.PENDING, late=False)
    assert [each.reset_at for each in await records_waiting(journal)] == [None]
    assert (await journal.ledger()).skipped == 1


async def test_a_broken_file_is_refused_and_kept(journal, path):
    await journal.append([record() for _ in range(2000)])
    await journal.close()
    whole = path.read_bytes()
    path.write_bytes(whole[:100] + b"\xff" * (len(whole) - 100))
    before = path.read_bytes()
    with pytest.raises(ConfigError, match="recover"):
        await journal.open(SCOPE)
    assert path.read_bytes() == before


# What a crash leaves


async def crashed(path, copy):
    """A copy of a journal as it would be found after the power failed."""
    for suffix in ("", "-wal"):
        shutil.copy(f"{path}{suffix}", f"{copy}{suffix}")


async def opened(path):
    journal = SqliteJournal(path)
    await journal.open(SCOPE)
    return journal


@pytest.fixture
async def torn(journal, path, tmp_path):
    """``torn(change)``: the journal of ten appends after its log was changed, and how long the log was."""
    for _ in range(10):
        await journal.append([record()])
    copies = []

    async def make(change):
        copy = tmp_path / "copy.db"
        await crashed(path, copy)
        log = Path(f"{copy}-wal")
        log.write_bytes(change(log.read_bytes()))
        copies.append(await opened(copy))
        return copies[-1]

    yield make
    for each in copies:
        await each.close()


def flipped(data, at):
    return data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]


FRAME = 4096 + 24


@pytest.mark.parametrize(
    "change",
    [
        lambda log: log[:-1],
        lambda log: log[: -FRAME + 30],
        lambda log: flipped(log, len(log) - 5),
        lambda log: log[:-FRAME] + log[-FRAME : -FRAME + 24] + bytes(4096),
    ],
    ids=["cut", "cut short", "flipped", "empty"],
)
async def test_a_torn_end_of_the_log_is_left_out_and_counted(torn, change):
    journal = await torn(change)
    ledger = await journal.ledger()
    assert (ledger.balanced, ledger.accepted, ledger.pending) == (True, 9, 9)
    assert ledger.skipped >= 1
    assert await journal.verify() == []
    # once, and not again
    for _ in range(2):
        await journal.close()
        await journal.open(SCOPE)
        assert (await journal.ledger()).skipped == ledger.skipped
    await journal.append([record()])
    assert (await journal.ledger()).accepted == 10


async def test_what_is_left_out_is_counted_once_by_many(torn, tmp_path):
    journal = await torn(lambda log: flipped(log, len(log) - 5))
    skipped = (await journal.ledger()).skipped
    others = [await opened(tmp_path / "copy.db") for _ in range(3)]
    await journal.append([record()])
    others.append(await opened(tmp_path / "copy.db"))
    assert (await journal.ledger()).skipped == skipped
    for other in others:
        await other.close()


@pytest.mark.parametrize("garbage", [b"\0" * 5000, b"\xa5" * 9000, b"x"])
async def test_garbage_behind_the_log_is_no_loss(torn, garbage):
    journal = await torn(lambda log: log + garbage)
    await stands(journal, pending=10)


async def test_a_log_whose_head_is_broken_is_counted_whole(torn):
    journal = await torn(lambda log: flipped(log, 17))
    ledger = await journal.ledger()
    assert ledger.balanced
    assert ledger.skipped >= 10
    assert await journal.verify() == []


async def test_the_counters_are_held_to_account(journal, path):
    await report_in(journal, State.UNRESOLVED, owner())
    await journal.append([record()])
    assert await journal.verify() == []
    sql(path, "UPDATE ledger SET pending = 7", "UPDATE keys SET head = NULL", "DELETE FROM reports")
    assert "oldest pending" in "\n".join(await journal.verify())
    sql(path, "UPDATE records SET key = 77")
    found = "\n".join(await journal.verify())
    for part in (
        "pending: the ledger says 7",
        "unresolved",
        "report that is gone",
        "key that is gone",
    ):
        assert part in found
