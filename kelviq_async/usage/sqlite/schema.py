"""What the file of a ``SqliteJournal`` looks like, and what is wrong with one."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, Final

from ...errors import ConfigError
from ..journal import JournalError, Scope
from ..records import State

APPLICATION: Final = 0x4B56_5155
"""Says in the file's header whose file it is ("KVQU")."""

TABLES: Final = """
CREATE TABLE scope (
    environment TEXT NOT NULL,
    host TEXT NOT NULL,
    account TEXT NOT NULL
);
CREATE TABLE ledger (
    version INTEGER NOT NULL,
    epoch INTEGER NOT NULL DEFAULT 0,
    place INTEGER NOT NULL DEFAULT 0,
    accepted INTEGER NOT NULL DEFAULT 0,
    pending INTEGER NOT NULL DEFAULT 0,
    in_flight INTEGER NOT NULL DEFAULT 0,
    delivered INTEGER NOT NULL DEFAULT 0,
    rejected INTEGER NOT NULL DEFAULT 0,
    unresolved INTEGER NOT NULL DEFAULT 0,
    discarded INTEGER NOT NULL DEFAULT 0,
    late INTEGER NOT NULL DEFAULT 0,
    skipped INTEGER NOT NULL DEFAULT 0,
    folded_delivered INTEGER NOT NULL DEFAULT 0,
    folded_discarded INTEGER NOT NULL DEFAULT 0,
    folded_late INTEGER NOT NULL DEFAULT 0,
    tail TEXT NOT NULL DEFAULT ''
);
CREATE TABLE keys (
    key INTEGER PRIMARY KEY AUTOINCREMENT,
    customer TEXT NOT NULL,
    feature TEXT NOT NULL,
    resource TEXT NOT NULL,
    head INTEGER,
    head_at REAL,
    flying INTEGER,
    folded INTEGER NOT NULL DEFAULT 0,
    UNIQUE (customer, feature, resource)
);
CREATE INDEX keys_by_head ON keys (head) WHERE head IS NOT NULL;
CREATE INDEX keys_by_age ON keys (head_at) WHERE head IS NOT NULL;
CREATE INDEX keys_flying ON keys (flying) WHERE flying IS NOT NULL;
CREATE TABLE records (
    place INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    key INTEGER NOT NULL,
    behaviour TEXT NOT NULL,
    value INTEGER NOT NULL,
    recorded_at TEXT NOT NULL,
    reset_at TEXT,
    crc INTEGER NOT NULL,
    report INTEGER
);
CREATE INDEX pending_by_key ON records (key, place) WHERE report IS NULL;
CREATE INDEX pending_by_place ON records (place, key) WHERE report IS NULL;
CREATE INDEX records_by_report ON records (report) WHERE report IS NOT NULL;
CREATE TABLE reports (
    report INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    key INTEGER NOT NULL,
    behaviour TEXT NOT NULL,
    value INTEGER NOT NULL,
    records INTEGER NOT NULL,
    last INTEGER NOT NULL,
    folded INTEGER NOT NULL DEFAULT 0,
    state TEXT NOT NULL,
    first_at REAL NOT NULL,
    last_at REAL NOT NULL,
    claimed_at REAL NOT NULL,
    ended_at REAL,
    reason TEXT NOT NULL DEFAULT '',
    note TEXT NOT NULL DEFAULT '',
    late INTEGER NOT NULL DEFAULT 0,
    reset_at REAL,
    owner TEXT NOT NULL
);
CREATE INDEX reports_by_state ON reports (state, report);
CREATE INDEX reports_by_end ON reports (state, ended_at);
CREATE INDEX reports_by_key ON reports (key, last);
CREATE TABLE owners (
    id TEXT PRIMARY KEY,
    pid INTEGER NOT NULL,
    started TEXT NOT NULL,
    machine TEXT NOT NULL,
    lease REAL NOT NULL,
    beat REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE damaged (
    place INTEGER, id TEXT, customer TEXT, feature TEXT, resource TEXT, behaviour TEXT, value INTEGER,
    recorded_at TEXT, reset_at TEXT, crc INTEGER, found_at REAL
);
"""
"""``recorded_at`` and ``reset_at`` of a record are texts, since SQLite shortens a number that it writes."""

STEPS: Sequence[str] = ()
"""What brings a file from version 1 to 2, from 2 to 3, and so on."""

Step = Callable[[sqlite3.Connection], None]

NOT_OURS: Final = "{} is not a usage journal, but something else; it was not touched: choose another path"
DAMAGED: Final = (
    "the journal {} is damaged ({}): stop every program that uses it, keep a copy of it and of the files "
    "beside it, and recover what can be read with the sqlite3 shell: sqlite3 {} .recover"
)

_DAMAGE: Final = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT}
_CAUSES: Final = {
    sqlite3.SQLITE_FULL: "the disk is full, or a limit on the file's size was reached",
    sqlite3.SQLITE_READONLY: "it cannot be written",
    sqlite3.SQLITE_PERM: "it may not be written",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened: is its folder there, and may it be written?",
    sqlite3.SQLITE_IOERR: "reading or writing it failed",
    sqlite3.SQLITE_BUSY: "another process has been writing to it all the time",
    sqlite3.SQLITE_NOMEM: "there is not enough memory",
}


def newest() -> int:
    """The version that this release writes and reads."""
    return len(STEPS) + 1


def cause(error: sqlite3.Error) -> int:
    """SQLite's primary code of an error."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def unwritten(error: sqlite3.Error) -> bool:
    """Whether something cannot have reached the file."""
    return getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_IOERR_WRITE


def only_row(connection: sqlite3.Connection, query: str) -> Any:
    """The row of a table that always has one.

    Raises:
        sqlite3.DatabaseError: It is gone.
    """
    row = connection.execute(query).fetchone()
    if row is None:
        error = sqlite3.DatabaseError("the only row of a table is gone")
        error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise error
    return row


def explained(error: sqlite3.Error, path: str) -> str:
    """What an error of SQLite means to whoever runs the program."""
    code = cause(error)
    if code in _DAMAGE:
        return DAMAGED.format(path, error, path)
    if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_IOERR_SHMSIZE:
        code = sqlite3.SQLITE_FULL
    return f"the journal {path}: {_CAUSES.get(code, 'SQLite failed')} ({error})"


def create(connection: sqlite3.Connection, scope: Scope) -> None:
    """Make the tables, within the caller's transaction."""
    for statement in TABLES.split(";"):
        connection.execute(statement)
    connection.execute("INSERT INTO ledger (version) VALUES (1)")
    connection.execute("INSERT INTO scope VALUES (?, ?, ?)", (scope.environment, scope.host, scope.account))
    connection.execute(f"PRAGMA application_id = {APPLICATION}")
    connection.execute("PRAGMA user_version = 1")


def migrate(connection: sqlite3.Connection) -> None:
    """Bring an older file to the newest version, within the caller's transaction."""
    for version in range(version_of(connection), newest()):
        for statement in STEPS[version - 1].split(";"):
            connection.execute(statement)
        connection.execute("UPDATE ledger SET version = ?", (version + 1,))
        connection.execute(f"PRAGMA user_version = {version + 1}")


def version_of(connection: sqlite3.Connection) -> int:
    """The version of the file."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def check_header(connection: sqlite3.Connection, path: str) -> None:
    """Refuse what is not a journal, or one of a newer version or of none.

    Raises:
        ConfigError: It is one of these.
    """
    if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION:
        raise ConfigError(NOT_OURS.format(path))
    if (version := version_of(connection)) > newest():
        raise ConfigError(
            f"the journal {path} was made by a newer version of kelviq-async (format {version}, this one "
            f"knows {newest()}); it was not touched: upgrade, or choose another path"
        )
    if version < 1:
        raise ConfigError(DAMAGED.format(path, f"its format is {version}", path))


def check_ledger(connection: sqlite3.Connection, path: str) -> None:
    """Refuse a file of our own whose ledger says something else than its header.

    Raises:
        ConfigError: It does.
    """
    (version,) = only_row(connection, "SELECT version FROM ledger")
    if version != newest():
        raise ConfigError(DAMAGED.format(path, f"its ledger has the format {version!r}", path))


def check_version(version: int, path: str) -> None:
    """Refuse to go on with a file that another process has brought to a newer version.

    Raises:
        JournalError: It has.
    """
    if version != newest():
        raise JournalError(
            f"the journal {path} was brought to another version ({version}) by another process since it was "
            "opened here: restart this one with the same version of kelviq-async"
        )


def scope_of(connection: sqlite3.Connection) -> Scope:
    """Whose journal it is."""
    return Scope(*only_row(connection, "SELECT environment, host, account FROM scope"))


def admit(connection: sqlite3.Connection, scope: Scope, *, adopt: bool) -> None:
    """Let its owner in, and write down another account that adopts it.

    Raises:
        ConfigError: It belongs to somebody else.
    """
    held = scope_of(connection)
    held.admit(scope, adopt=adopt)
    if held != scope:
        connection.execute("UPDATE scope SET account = ?", (scope.account,))


def differences(connection: sqlite3.Connection) -> list[str]:
    """Where the counters say something else than the rows; within the caller's transaction."""
    held = dict(connection.execute("SELECT state, sum(records) FROM reports GROUP BY state").fetchall())
    one = connection.execute
    stored: dict[str, int] = dict(zip(*_row(connection, "SELECT * FROM ledger"), strict=True))
    counted = {state.value: held.get(state.value, 0) for state in State}
    counted["pending"] = one("SELECT count(*) FROM records WHERE report IS NULL").fetchone()[0]
    counted["delivered"] += stored["folded_delivered"]
    counted["discarded"] += stored["folded_discarded"]
    counted["accepted"] = sum(counted.values())
    counted["late"] = stored["folded_late"] + (
        one(
            "SELECT sum(records) FROM reports WHERE late AND state IN ('delivered', 'unresolved')"
        ).fetchone()[0]
        or 0
    )
    found = [
        f"{name}: the ledger says {stored[name]}, the rows {n}"
        for name, n in counted.items()
        if stored[name] != n
    ]
    for sentence, query in _CHECKS.items():
        number = one(query).fetchone()[0]
        found += [f"{sentence}: {number}"] if number else []
    return found


def _row(connection: sqlite3.Connection, query: str) -> tuple[list[str], tuple[int, ...]]:
    cursor = connection.execute(query)
    return [column[0] for column in cursor.description], cursor.fetchone()


_CHECKS: Final = {
    "reports with another number of records than they say": """
        SELECT count(*) FROM reports p
        WHERE records - folded != (SELECT count(*) FROM records r WHERE r.report = p.report)""",
    "records of a report that is gone": """
        SELECT count(*) FROM records
        WHERE report IS NOT NULL AND report NOT IN (SELECT report FROM reports)""",
    "records of a key that is gone": "SELECT count(*) FROM records WHERE key NOT IN (SELECT key FROM keys)",
    "keys whose oldest pending record is another one": """
        SELECT count(*) FROM keys k WHERE head IS NOT
        (SELECT min(place) FROM records r WHERE r.key = k.key AND r.report IS NULL)""",
    "keys with something else in flight": """
        SELECT count(*) FROM keys k WHERE flying IS NOT
        (SELECT report FROM reports p WHERE p.key = k.key AND p.state = 'in_flight')""",
}
