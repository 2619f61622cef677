"""How the file of a ``SqliteJournal`` is looked at, made and opened."""

from __future__ import annotations

import os
import sqlite3
import stat
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from typing import Final, TypeVar
from urllib.parse import quote

from ...errors import ConfigError
from ..journal import Scope
from .log import tail
from .schema import (
    DAMAGED,
    NOT_OURS,
    admit,
    cause,
    check_header,
    check_ledger,
    create,
    explained,
    migrate,
    only_row,
    scope_of,
    unwritten,
)

T = TypeVar("T")

_making = threading.Lock()
_OLDEST: Final = (3, 33, 0)
_EMPTY: Final = "there is no usage journal at {}, only an empty file"
_ONLY_A_LOG: Final = (
    "the journal {} is empty or gone, and SQLite would delete what is left of it in {}-wal: bring back the "
    "file that belongs to it, or move the log away to begin anew"
)
# What a rollback journal begins with; behind it stands how large the file was before, in pages.
_JOURNAL: Final = bytes.fromhex("d9d505f920a163d7")
# Pages in the write-ahead log after which they go to their places in the file.
_CHECKPOINT: Final = 2000


def connect(path: str, *, timeout: float, mode: str = "rw") -> sqlite3.Connection:
    """A connection to a file that is there."""
    # only in this form can SQLite be told not to make the file
    address = f"file:{quote(os.fsencode(os.path.abspath(path)))}?mode={mode}"  # noqa: PTH100  may be bytes
    connection = sqlite3.connect(
        address, uri=True, isolation_level=None, timeout=timeout, cached_statements=256
    )
    # what was damaged shall be seen, and not stop the reading of what was not
    connection.text_factory = _text
    # whoever moves the log into the file must do it for good, also on a Mac
    connection.execute("PRAGMA checkpoint_fullfsync = ON")
    return connection


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


def open_for_writing(path: str, scope: Scope | None, *, adopt: bool, timeout: float) -> sqlite3.Connection:
    """The connection that writes, to a file that has been found to be ours.

    Args:
        path: Where it is.
        scope: Whose usage it is to hold; None to look at what exists.
        adopt: Whether another account is fine.
        timeout: Seconds to wait for other processes.

    Raises:
        ConfigError: It cannot be had. Nothing was changed.
    """
    if sqlite3.sqlite_version_info < _OLDEST:
        raise ConfigError(
            f"SqliteJournal needs SQLite {'.'.join(map(str, _OLDEST))}, and this Python has "
            f"{sqlite3.sqlite_version}"
        )
    try:
        # in this order, as another process may make a journal right now
        if _holds_something(f"{path}-wal") and not _holds_something(path):
            raise ConfigError(_ONLY_A_LOG.format(path, path))
        _make_room(path, scope)
        if os.stat(path).st_size:  # noqa: PTH116
            _inspect(path, scope, adopt=adopt, timeout=timeout)
        elif scope is None:
            raise ConfigError(_EMPTY.format(path))
        connection = connect(path, timeout=timeout)
        try:
            _prepare(connection, path, scope, adopt=adopt, timeout=timeout)
            _count_tail(connection, path, timeout)
        except BaseException:
            connection.close()
            raise
    except OSError as error:
        raise ConfigError(f"the journal {path} cannot be opened: {error.strerror}") from error
    except sqlite3.Error as error:
        if cause(error) == sqlite3.SQLITE_NOTADB:
            raise ConfigError(NOT_OURS.format(path)) from error
        raise ConfigError(explained(error, path)) from error
    except UnicodeDecodeError as error:  # Python takes SQLite's messages for text, also one that quotes none
        raise ConfigError(DAMAGED.format(path, "its tables are made of what is no text", path)) from error
    return connection


def _make_room(path: str, scope: Scope | None) -> None:
    """Make the file if it is to be made, and see that it is one that can be written."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0)
    # closing it ends all locks that this process has on it: nobody may open it before that
    with _making, suppress(FileExistsError):
        if scope is not None:
            # it holds ids of customers, which are nobody else's business
            os.close(os.open(path, flags, 0o600))
            _sync_folder(path)
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116
    except FileNotFoundError:
        raise ConfigError(f"there is no usage journal at {path}") from None
    if not stat.S_ISREG(mode):
        raise ConfigError(f"the journal's path {path} is no file")
    # opening it to see would, when closed again, end the locks that this process has on it
    if not os.access(path, os.W_OK):
        raise ConfigError(f"the journal {path} cannot be written")


def _sync_folder(path: str) -> None:
    """Make the file's name as durable as what will be in it."""
    if os.name != "posix":
        return
    folder = os.open(os.path.dirname(path) or ".", os.O_RDONLY)  # noqa: PTH120
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _inspect(path: str, scope: Scope | None, *, adopt: bool, timeout: float) -> None:
    """Look at a file, in ways that change nothing, before it is opened in one that may."""
    if _never_was(path):
        return
    # "immutable" keeps SQLite from bringing in the log of what may be somebody else's database
    try:
        with closing(connect(path, timeout=timeout, mode="ro&immutable=1")) as connection:
            check_header(connection, path)
            if not any(map(_holds_something, (f"{path}-wal", f"{path}-journal"))):
                _admit(connection, scope, adopt=adopt)
                return
    except sqlite3.DatabaseError as error:
        # without its log, or while another process writes it, a good file can look like a broken one
        if cause(error) != sqlite3.SQLITE_CORRUPT:
            raise
    # what was not even made to the end can only be looked at by mending it
    if not _holds_something(f"{path}-journal"):
        try:
            with closing(connect(path, timeout=timeout, mode="ro")) as connection:
                check_header(connection, path)
                _admit(connection, scope, adopt=adopt)
        except sqlite3.DatabaseError as error:
            # its maker was killed only now
            if getattr(error, "sqlite_errorcode", 0) != sqlite3.SQLITE_READONLY_ROLLBACK:
                raise


def _never_was(path: str) -> bool:
    """Whether whoever made the file got nowhere: then SQLite empties it, and what is in it says nothing."""
    try:
        with open(f"{path}-journal", "rb") as journal:  # noqa: PTH123
            header = journal.read(20)
    except FileNotFoundError:
        return False
    return header[:8] == _JOURNAL and header[16:] == bytes(4)


def _admit(connection: sqlite3.Connection, scope: Scope | None, *, adopt: bool) -> None:
    if scope is not None:
        scope_of(connection).admit(scope, adopt=adopt)


def _holds_something(path: str) -> bool:
    try:
        return os.stat(path).st_size > 0  # noqa: PTH116
    except FileNotFoundError:
        return False


def _prepare(
    connection: sqlite3.Connection, path: str, scope: Scope | None, *, adopt: bool, timeout: float
) -> None:
    for pragma in (
        "synchronous = FULL",
        "fullfsync = ON",  # what durable takes on a Mac
        "cache_spill = OFF",  # nothing reaches the file before its transaction does
        "cache_size = -16000",
        f"wal_autocheckpoint = {_CHECKPOINT}",
        f"journal_size_limit = {4 * _CHECKPOINT * 4096}",
    ):
        connection.execute(f"PRAGMA {pragma}")
    if scope is not None:
        _persist(lambda: _create(connection, scope), timeout)
    elif not connection.execute("PRAGMA page_count").fetchone()[0]:
        raise ConfigError(_EMPTY.format(path))
    connection.execute("BEGIN IMMEDIATE")
    try:
        check_header(connection, path)
        migrate(connection)
        check_ledger(connection, path)
        if scope is not None:
            admit(connection, scope, adopt=adopt)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    # only now, so that the header in the file itself says whose it is
    mode = _persist(lambda: connection.execute("PRAGMA journal_mode = WAL").fetchone()[0], timeout)
    if mode != "wal":
        raise ConfigError(f"the journal {path} lies where SQLite cannot keep a write-ahead log")


def _create(connection: sqlite3.Connection, scope: Scope) -> None:
    """Make the tables if there are none."""
    if connection.execute("SELECT 1 FROM sqlite_master").fetchone():
        return
    connection.execute("BEGIN")
    try:
        # it must come before anything else, and in the same transaction: nobody shall meet half a journal
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        if not connection.execute("SELECT 1 FROM sqlite_master").fetchone():
            create(connection, scope)
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _persist(attempt: Callable[[], T], timeout: float) -> T:
    """Try again while another process is at it too: there are moments for which SQLite does not wait."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            return attempt()
        except sqlite3.OperationalError as error:
            if cause(error) != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
        time.sleep(0.002)


def _count_tail(connection: sqlite3.Connection, path: str, timeout: float) -> None:
    """Count what a crash left at the end of the log, which SQLite leaves out without a word."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        with closing(connect(path, timeout=timeout)) as second:
            valid = _log_length(second, timeout)
        mark = only_row(connection, "SELECT CAST(tail AS TEXT) FROM ledger")[0] or ""
        page = connection.execute("PRAGMA page_size").fetchone()[0]
        left_out, seen = (0, mark) if valid is None else tail(f"{path}-wal", valid, mark, page)
        if left_out:
            connection.execute("UPDATE ledger SET skipped = skipped + ?, tail = ?", (left_out, seen))
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    if left_out:
        with suppress(sqlite3.OperationalError):  # the disk is full, and nothing hangs on it
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)")


def _log_length(connection: sqlite3.Connection, timeout: float) -> int | None:
    """How much of the log SQLite takes for good, while nobody can add to it; None if it does not say."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            length = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()[1]
        except sqlite3.OperationalError as error:
            # there is no room for more in the file, but what is in the log can be read
            if cause(error) != sqlite3.SQLITE_FULL and not unwritten(error):
                raise
            return None
        if length >= 0:
            return int(length)
        # it only tells while it moves the log into the file, which another process is doing right now
        if time.monotonic() > deadline:
            return None
        time.sleep(0.002)


def finish(connection: sqlite3.Connection) -> None:
    """Close it; the log goes into the file and is emptied, unless somebody else uses it."""
    with suppress(sqlite3.Error):
        connection.execute("PRAGMA busy_timeout = 0")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with suppress(sqlite3.Error):
        connection.close()
