"""What a SqliteJournal finds when it is opened: half a file, another process at it, no room, damage."""

import asyncio
import os
import shutil
import sqlite3
import tempfile
import threading
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings, strategies as st

from kelviq_async.errors import ConfigError
from kelviq_async.usage import JournalError, SqliteJournal
from kelviq_async.usage.sqlite import opening
from tests.usage.pieces import SCOPE, record, stands
from tests.usage.sqlite_file import PROLOGUE, python

PAGE, SECTOR = 4096, 512


def contents(folder):
    return {each.name: each.read_bytes() for each in folder.iterdir() if each.suffix != ".db-shm"}


async def use(path, **counts):
    """Open it, add a record, and see that it stands as it should."""
    journal = SqliteJournal(path)
    await journal.open(SCOPE)
    await journal.append([record()])
    await stands(journal, **counts)
    assert await journal.verify() == []
    await journal.close()


# Half a file


@pytest.fixture
def half_made(tmp_path):
    """What a power cut leaves of one that was being made, in the worst order: all but its first page."""
    path, copy = tmp_path / "usage.db", tmp_path / "copy.db"
    cut_off(path, copy)
    path.unlink()
    database = copy.read_bytes()
    assert len(database) > 10 * PAGE
    copy.write_bytes(bytes(PAGE) + database[PAGE:])
    return copy


def cut_off(path, copy):
    """Copy a file in the middle of a transaction, of which some is written."""
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        file.execute("PRAGMA journal_mode = DELETE")
        file.execute("PRAGMA cache_size = 2")
        file.execute("BEGIN")
        for n in range(20):
            file.execute(f"CREATE TABLE t{n} (a)")
        for suffix in ("", "-journal"):
            shutil.copy(f"{path}{suffix}", f"{copy}{suffix}")


async def test_what_was_never_made_to_the_end_is_made_anew(half_made):
    await use(half_made, pending=1)


@settings(
    max_examples=30, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(length=st.integers(1, 30 * SECTOR), lost=st.sets(st.integers(0, 80)))
def test_any_part_of_what_was_never_made_to_the_end_is_none(half_made, length, lost):
    written = bytearray(half_made.read_bytes()[:length])
    for sector in lost:
        place = slice(sector * SECTOR, (sector + 1) * SECTOR)
        written[place] = bytes(len(written[place]))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "usage.db"
        path.write_bytes(written)
        shutil.copy(f"{half_made}-journal", f"{path}-journal")
        asyncio.run(use(path, pending=1))


async def test_what_was_never_made_to_the_end_is_no_journal_to_look_at(half_made):
    for _ in range(2):
        with pytest.raises(ConfigError, match="only an empty file"):
            await SqliteJournal(half_made).open(None)
    await use(half_made, pending=1)


async def test_a_change_of_the_file_that_was_cut_off_while_it_is_looked_at_is_mended(tmp_path, monkeypatch):
    path, copy = tmp_path / "usage.db", tmp_path / "copy.db"
    await use(path, pending=1)
    cut_off(path, copy)
    # it was at something else when it was looked for first, and at nothing the second time
    answers = [True, False]
    look = opening._holds_something

    def holds_something(name):
        return answers.pop(0) if name == f"{copy}-journal" and answers else look(name)

    monkeypatch.setattr(opening, "_holds_something", holds_something)
    await use(copy, pending=2)
    assert answers == []


@pytest.mark.parametrize("empty", [True, False])
@pytest.mark.parametrize("scope", [SCOPE, None])
async def test_a_log_whose_file_is_gone_is_kept(tmp_path, empty, scope):
    path, copy = tmp_path / "usage.db", tmp_path / "copies" / "usage.db"
    copy.parent.mkdir()
    journal = SqliteJournal(path)
    await journal.open(SCOPE)
    await journal.append([record()])
    shutil.copy(f"{path}-wal", f"{copy}-wal")
    await journal.close()
    if empty:
        copy.touch()
    before = contents(copy.parent)
    for _ in range(2):
        with pytest.raises(ConfigError, match="move the log away"):
            await SqliteJournal(copy).open(scope)
    assert contents(copy.parent) == before
    Path(f"{copy}-wal").unlink()
    await use(copy, pending=1)


# Others at the same moment


MOMENTS = (
    PROLOGUE
    + """
acks = os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
async def main():
    for turn in range(int(sys.argv[3])):
        journal = SqliteJournal(path)
        await journal.open(SCOPE)
        for n in range(turn % 4):
            given = [record(id=f"{os.getpid()}-{turn}-{n}-{part}") for part in range(1 + 9 * (n % 2))]
            await journal.append(given)
            os.write(acks, "".join(f"{each.id}\\n" for each in given).encode())
        await journal.close()
asyncio.run(main())
print("fine")
"""
)


async def test_processes_open_and_close_and_are_killed_at_once(tmp_path):
    """Whoever comes first makes it, and whoever goes last removes the log."""
    for way in range(4):
        path, acks = tmp_path / f"{way}.db", tmp_path / f"{way}.acks"
        good = [python(MOMENTS, path, acks, 25) for _ in range(2)]
        doomed = []
        for _ in range(3):
            doomed.append(python(MOMENTS, path, acks, 1_000))
            size = acks.stat().st_size if acks.exists() else 0
            await until(lambda acks=acks, size=size: acks.exists() and acks.stat().st_size > size)
            doomed[-1].kill()
        for process in good:
            assert process.communicate()[0] == "fine\n"
        for process in doomed:
            process.communicate()
        promised = acks.read_text().split()
        journal = SqliteJournal(path)
        await journal.open(SCOPE)
        ledger = await journal.ledger()
        assert await journal.verify() == []
        assert ledger.balanced
        assert {each.record.id for each in await journal.waiting(100_000)} >= set(promised)
        await journal.close()


async def until(fulfilled):
    async with asyncio.timeout(30):
        while not fulfilled():
            await asyncio.sleep(0.001)


async def test_making_a_file_ends_no_lock_of_this_process(tmp_path, monkeypatch):
    """Another journal in this process opens what this one has just made."""
    path = tmp_path / "usage.db"
    journals = [SqliteJournal(path), SqliteJournal(path)]
    opened = threading.Event()

    def elsewhere():
        asyncio.run(journals[1].open(SCOPE))
        opened.set()

    thread = threading.Thread(target=elsewhere)
    made = os.open

    def make(name, flags, *mode):
        found = made(name, flags, *mode)
        if flags & os.O_EXCL and not thread.ident:
            thread.start()
            opened.wait(0.3)  # where it is as it should be, the other one waits for us
        return found

    monkeypatch.setattr(opening.os, "open", make)
    await journals[0].open(SCOPE)
    await asyncio.to_thread(thread.join)
    # a process that took itself for the only one would remove the log
    with python(
        "import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute('SELECT * FROM ledger')", path
    ) as it:
        assert it.wait() == 0
    for journal in journals:
        await journal.append([record()])
    await stands(journals[0], pending=2)
    for journal in journals:
        await journal.close()


# No room


async def test_a_journal_opens_where_there_is_no_room_to_bring_in_its_log(tmp_path):
    path, copy = tmp_path / "usage.db", tmp_path / "copy.db"
    journal = SqliteJournal(path)
    await journal.open(SCOPE)
    await journal.append([record() for _ in range(150)])
    for suffix in ("", "-wal"):
        shutil.copy(f"{path}{suffix}", f"{copy}{suffix}")
    await journal.close()
    assert Path(f"{copy}-wal").stat().st_size <= copy.stat().st_size < path.stat().st_size
    program = (
        PROLOGUE
        + """
import resource
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (os.stat(path).st_size, hard))
async def main():
    journal = SqliteJournal(path)
    await journal.open(SCOPE)
    await stands(journal, pending=150)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    await journal.append([record()])
    await stands(journal, pending=151)
    await journal.close()
    print("fine")
asyncio.run(main())
"""
    )
    with python(program, copy) as process:
        assert process.communicate()[0] == "fine\n"


def test_where_there_was_no_room_to_make_one_it_is_made_when_there_is(tmp_path):
    program = (
        PROLOGUE
        + """
import resource
from kelviq_async.errors import ConfigError
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
async def main():
    refused = 0
    for limit in range(0, 160_000, 3_000):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        journal = SqliteJournal(f"{path}.{limit}")
        try:
            await journal.open(SCOPE)
        except ConfigError:
            refused += 1
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        await journal.open(SCOPE)
        await journal.append([record()])
        await stands(journal, pending=1)
        assert await journal.verify() == []
        await journal.close()
    print("refused", 20 < refused < 50)
asyncio.run(main())
"""
    )
    with python(program, tmp_path / "usage.db") as process:
        assert process.communicate()[0] == "refused True\n"


# Damage


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / "usage.db"
    asyncio.run(use(path, pending=1))
    return path.read_bytes()


@pytest.mark.parametrize(
    "damage",
    [
        "PRAGMA user_version = 0",
        "PRAGMA user_version = -1",
        "DELETE FROM ledger",
        "UPDATE ledger SET version = 77",
        "DELETE FROM scope",
        "PRAGMA writable_schema = ON; UPDATE sqlite_master SET sql = CAST(x'a7' AS TEXT) WHERE name = 'keys'",
    ],
)
async def test_what_cannot_be_a_journal_any_more_is_said_to_be_damaged(whole, tmp_path, damage):
    path = tmp_path / "usage.db"
    path.write_bytes(whole)
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        for statement in damage.split("; "):
            file.execute(statement)
    before = path.read_bytes()
    for _ in range(2):
        with pytest.raises(ConfigError, match="recover"):
            await SqliteJournal(path).open(SCOPE)
    assert path.read_bytes() == before


async def test_a_ledger_that_is_lost_while_it_is_open_is_damage(tmp_path):
    path = tmp_path / "usage.db"
    journal = SqliteJournal(path)
    await journal.open(SCOPE)
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        file.execute("DELETE FROM ledger")
    for attempt in (journal.append([record()]), journal.ledger()):
        with pytest.raises(JournalError, match="recover"):
            await attempt
    await journal.close()


blows = st.lists(
    st.tuples(
        st.floats(0, 1),
        st.sampled_from([0, 0, 1, 8, 60]),
        st.one_of(
            st.binary(min_size=1, max_size=3), st.just(bytes(PAGE)), st.binary(min_size=64, max_size=64)
        ),
    ),
    max_size=3,
)


@settings(max_examples=60, deadline=None, database=None)
@given(length=st.one_of(st.just(1.0), st.floats(0, 1)), blows=blows)
@example(length=1.0, blows=[(0.0, 60, bytes(4))])
def test_a_file_with_anything_in_it_opens_or_is_refused(whole, length, blows):
    data = whole[: int(length * len(whole))]
    for part, more, what in blows:
        at = int(part * len(data)) // PAGE * PAGE + more
        data = data[:at] + what + data[at + len(what) :]

    async def open_and_close():
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "usage.db"
            path.write_bytes(data)
            journal = SqliteJournal(path)
            try:
                await journal.open(SCOPE)
            except ConfigError:
                pass
            finally:
                await journal.close()

    asyncio.run(open_and_close())
