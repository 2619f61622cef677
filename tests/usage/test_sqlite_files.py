"""What a SqliteJournal does with files: makes them, refuses them, and misses them."""

import hashlib
import math
import os
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import attrs
import pytest

from kelviq_async.errors import ConfigError
from kelviq_async.usage import JournalError, SqliteJournal
from kelviq_async.usage.sqlite import schema
from tests.usage.pieces import SCOPE, State, owner, record, records_waiting, report_in, stands


@pytest.fixture
def path(tmp_path):
    return tmp_path / "usage.db"


@pytest.fixture
async def journal(path):
    journal = SqliteJournal(path)
    await journal.open(SCOPE)
    yield journal
    await journal.close()


def contents(folder):
    # which of SQLite's locks were held is nothing that is kept
    return {
        each.name: hashlib.sha256(each.read_bytes()).hexdigest()
        for each in folder.iterdir()
        if each.is_file() and each.suffix != ".db-shm"
    }


async def refused(path, match, scope=SCOPE, **options):
    """Opening it fails, and whatever is there stays as it was, also on a second attempt."""
    before = contents(path.parent)
    journal = SqliteJournal(path, **options)
    for _ in range(2):
        with pytest.raises(ConfigError, match=match):
            await journal.open(scope)
        with pytest.raises(JournalError, match="closed"):
            await journal.append([record()])
    await journal.close()
    assert contents(path.parent) == before


@pytest.mark.parametrize("path", ["", ":memory:", "file:usage.db", "file::memory:?cache=shared", "a\0b"])
def test_what_is_no_path_of_a_file_is_refused(path):
    with pytest.raises(ConfigError, match="MemoryJournal"):
        SqliteJournal(path)


@pytest.mark.parametrize("path", [None, 3, object()])
def test_what_is_no_path_at_all_is_refused(path):
    with pytest.raises(ConfigError, match="must be a str or a Path"):
        SqliteJournal(path)


@pytest.mark.parametrize("timeout", [0, -1, math.nan, math.inf, True, "5", None])
def test_a_time_that_is_none_is_refused(path, timeout):
    with pytest.raises(ConfigError, match="timeout must be"):
        SqliteJournal(path, timeout=timeout)


async def test_a_new_file_is_nobody_elses_business(journal, path):
    await journal.append([record()])
    for each in path.parent.iterdir():
        assert stat.S_IMODE(each.stat().st_mode) == 0o600, each


async def test_making_one_touches_nothing(path):
    journal = SqliteJournal(path)
    assert str(path) in repr(journal)
    with pytest.raises(JournalError, match="closed"):
        await journal.ledger()
    await journal.close()
    assert list(path.parent.iterdir()) == []


async def test_a_path_means_the_same_in_another_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    journal = SqliteJournal("usage.db")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    await journal.open(SCOPE)
    await journal.close()
    assert (tmp_path / "usage.db").exists()


@pytest.mark.parametrize("name", ["a b?c#d%41&mode=ro.db", "é🜁.db", os.fsdecode(b"\xff.db"), "-x.db"])
async def test_any_name_is_that_files_name(tmp_path, name):
    journal = SqliteJournal(tmp_path / name)
    await journal.open(SCOPE)
    await journal.append([record()])
    await journal.close()
    assert [each.name for each in tmp_path.iterdir()] == [name]


async def test_a_folder_is_refused(tmp_path):
    (tmp_path / "folder").mkdir()
    await refused(tmp_path / "folder", "is no file")


async def test_a_pipe_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    await refused(tmp_path / "pipe", "is no file")


async def test_a_missing_folder_is_refused(tmp_path):
    journal = SqliteJournal(tmp_path / "missing" / "usage.db")
    with pytest.raises(ConfigError, match="cannot be opened"):
        await journal.open(SCOPE)
    assert list(tmp_path.iterdir()) == []


async def test_what_cannot_be_written_is_refused(tmp_path):
    """Root may write anywhere, so this runs as somebody else."""
    (tmp_path / "locked").mkdir()
    program = """
import asyncio, os, sys
from kelviq_async.errors import ConfigError
from kelviq_async.usage import SqliteJournal
from kelviq_async.usage.journal import Scope
if os.geteuid() == 0:
    os.setuid(65534)
async def main():
    for path in sys.argv[1:]:
        try:
            await SqliteJournal(path).open(Scope("sandbox", "h", "a"))
        except ConfigError as error:
            print("refused", error)
asyncio.run(main())
"""
    path = tmp_path / "usage.db"
    journal = SqliteJournal(path)
    await journal.open(SCOPE)
    await journal.close()
    path.chmod(0o444)
    (tmp_path / "locked").chmod(0o555)
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == os.getuid() and folder != Path("/tmp") and folder != Path("/"):  # noqa: S108
            folder.chmod(folder.stat().st_mode | 0o055)
    before = contents(tmp_path)
    command = [sys.executable, "-c", program, str(path), str(tmp_path / "locked" / "usage.db")]
    done = subprocess.run(  # noqa: ASYNC221  nothing else goes on here
        command, capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": "."}
    )
    assert done.stdout.count("refused") == 2, done
    assert contents(tmp_path) == before
    assert list((tmp_path / "locked").iterdir()) == []


async def test_what_is_no_database_is_refused(path):
    path.write_bytes(b"customer,feature\n" * 1000)
    await refused(path, "is not a usage journal")
    await refused(path, "is not a usage journal", None)


@pytest.mark.parametrize("mode", ["DELETE", "WAL"])
async def test_somebody_elses_database_is_refused(path, mode):
    with sqlite3.connect(path) as other:
        other.execute(f"PRAGMA journal_mode = {mode}")
        other.execute("CREATE TABLE theirs (a)")
        other.execute("INSERT INTO theirs VALUES (1)")
    other.close()
    await refused(path, "is not a usage journal")


async def test_somebody_elses_log_is_not_brought_in(path):
    other = sqlite3.connect(path)
    other.execute("PRAGMA journal_mode = WAL")
    other.execute("CREATE TABLE theirs (a)")
    other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    other.execute("INSERT INTO theirs VALUES (1)")
    other.commit()
    await refused(path, "is not a usage journal")
    other.close()


async def test_a_journal_of_a_newer_version_is_refused(journal, path):
    await journal.append([record()])
    await journal.close()
    with sqlite3.connect(path) as file:
        file.execute(f"PRAGMA user_version = {schema.newest() + 1}")
    file.close()
    await refused(path, "newer version")
    await refused(path, "newer version", None)


async def test_an_older_journal_is_brought_to_the_newest_version(journal, path, monkeypatch):
    await journal.append([record()])
    await journal.close()
    steps = (
        "ALTER TABLE owners ADD COLUMN host TEXT",
        "CREATE TABLE more (a); CREATE INDEX more_a ON more (a)",
    )
    monkeypatch.setattr(schema, "STEPS", steps)
    await journal.open(SCOPE)
    await stands(journal, pending=1)
    await journal.append([record()])
    await stands(journal, pending=2)
    await journal.close()
    with sqlite3.connect(path) as file:
        assert file.execute("PRAGMA user_version").fetchone() == (3,)
        assert file.execute("SELECT version FROM ledger").fetchone() == (3,)
        assert file.execute("SELECT count(*) FROM more").fetchone() == (0,)
    file.close()
    # and an older release leaves it alone
    monkeypatch.setattr(schema, "STEPS", steps[:1])
    await refused(path, "newer version")


async def test_a_step_that_fails_leaves_the_old_version(journal, path, monkeypatch):
    await journal.append([record()])
    await journal.close()
    monkeypatch.setattr(schema, "STEPS", ("CREATE TABLE more (a); CREATE TABLE more (b)",))
    await refused(path, "SQLite failed")
    monkeypatch.setattr(schema, "STEPS", ())
    await journal.open(SCOPE)
    await stands(journal, pending=1)


async def test_who_was_overtaken_by_a_newer_version_stops(journal, path, monkeypatch):
    await journal.append([record()])
    with monkeypatch.context() as newer:
        newer.setattr(schema, "STEPS", ("CREATE TABLE more (a)",))
        other = SqliteJournal(path)
        await other.open(SCOPE)
    with pytest.raises(JournalError, match="another version"):
        await journal.append([record()])
    await other.close()


@pytest.mark.parametrize(
    ("name", "value"), [("environment", "production"), ("host", "https://other"), ("account", "acct-2")]
)
async def test_a_journal_of_somebody_else_is_refused(journal, path, name, value):
    await journal.append([record()])
    # its log still holds what is not in the file
    await refused(path, f"another {name}", attrs.evolve(SCOPE, **{name: value}))
    await journal.close()
    await refused(path, f"another {name}", attrs.evolve(SCOPE, **{name: value}))
    await journal.open(SCOPE)
    with pytest.raises(ConfigError, match=f"another {name}"):
        await journal.open(attrs.evolve(SCOPE, **{name: value}))
    await stands(journal, pending=1)


async def test_looking_at_none_makes_none(path):
    await refused(path, "no usage journal", None)
    path.touch()
    await refused(path, "no usage journal", None)


async def test_an_empty_file_is_room_for_one(path):
    path.touch()
    journal = SqliteJournal(path)
    await journal.open(SCOPE)
    await journal.append([record()])
    await stands(journal, pending=1)
    await journal.close()


@pytest.mark.parametrize("suffix", ["", "-wal", "-shm"])
@pytest.mark.parametrize("way", ["deleted", "replaced", "moved"])
async def test_nothing_is_accepted_into_a_file_that_is_gone(journal, path, suffix, way):
    await journal.append([record()])
    file = Path(f"{path}{suffix}")
    if way == "deleted":
        file.unlink()
    else:
        file.rename(f"{file}.old")
    if way == "replaced":
        file.write_bytes(Path(f"{file}.old").read_bytes())
    for _ in range(2):
        with pytest.raises(JournalError, match="deleted, moved or replaced"):
            await journal.append([record()])


async def test_a_file_that_was_deleted_is_made_anew(journal, path):
    await journal.append([record()])
    for file in list(path.parent.iterdir()):
        file.unlink()
    with pytest.raises(JournalError):
        await journal.append([record()])
    await journal.close()
    await journal.open(SCOPE)
    await journal.append([record()])
    await stands(journal, pending=1)


async def test_the_file_is_small_when_all_is_folded(journal, path):
    sender = owner()
    for _ in range(10):
        await journal.append([record() for _ in range(2000)])
    await journal.close()
    large = path.stat().st_size
    await journal.open(SCOPE)
    await report_in(journal, State.DELIVERED, sender)
    assert await journal.verify() == []
    assert await journal.fold(4e9) == 20_001
    assert await journal.verify() == []
    await stands(journal, delivered=20_001)
    await journal.close()
    assert path.stat().st_size < 1_500_000 < large
    await journal.open(SCOPE)
    assert await records_waiting(journal) == []
    await stands(journal, delivered=20_001)


async def test_closing_leaves_one_file(journal, path):
    await journal.append([record()])
    await journal.close()
    assert list(path.parent.iterdir()) == [path]
