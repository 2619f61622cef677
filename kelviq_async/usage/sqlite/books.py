"""The connection of a ``SqliteJournal`` that writes: transactions, the ledger's counters, keys."""

from __future__ import annotations

import os
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar

from ..journal import JournalError
from ..records import Key
from .rows import checksum_of_row, resource
from .schema import cause, check_version, explained, only_row, unwritten

T = TypeVar("T")

_KEYS_KEPT: Final = 50_000
# A statement with many rows runs as one step, for which Python's lock is let go once and not once a row.
_SIZES: Final = (128, 16, 1)


class Unknown(Exception):
    """Nobody knows whether a transaction took place."""


class Books:
    """Writes a journal's file, in one thread.

    Attributes:
        connection: The connection.
        path: Where the file is.
        tally: By how much the ledger's numbers change with the transaction.
        place: The last record's place.
    """

    def __init__(self, connection: sqlite3.Connection, path: str) -> None:
        self.connection = connection
        self.path = path
        self.tally: Counter[str] = Counter()
        self.place = 0
        self._keys: dict[Key, int] = {}
        self._epoch = -1
        connection.create_function("checksum", 8, checksum_of_row, deterministic=True)
        # with another -shm than this one, processes would not know of each other any more
        self._files = {f"{path}{suffix}": _identity(f"{path}{suffix}") for suffix in ("", "-wal", "-shm")}

    def check_file(self) -> None:
        """See that the file is still where it was opened.

        Raises:
            JournalError: It is not.
        """
        for name, identity in self._files.items():
            if _identity(name) != identity:
                raise JournalError(
                    f"the journal's file {name} was deleted, moved or replaced while it was open: close the "
                    "journal, and open it again when the file is what it should be"
                )

    def begin(self) -> None:
        """Begin a transaction, which no other process can stand in the way of any more."""
        self.connection.execute("BEGIN IMMEDIATE")
        version, epoch, self.place = only_row(self.connection, "SELECT version, epoch, place FROM ledger")
        check_version(version, self.path)
        if epoch != self._epoch or len(self._keys) > _KEYS_KEPT:
            self._keys = {}
            self._epoch = epoch
        self.tally = Counter()

    def commit(self) -> None:
        """Make it last.

        Raises:
            sqlite3.Error: It did not take place.
            Unknown: Nobody knows.
        """
        changes = {name: n for name, n in self.tally.items() if n}
        if changes:
            self.connection.execute(
                f"UPDATE ledger SET place = ?, {', '.join(f'{name} = {name} + ?' for name in changes)}",  # noqa: S608  our own words
                (self.place, *changes.values()),
            )
        try:
            self.connection.execute("COMMIT")
        except sqlite3.Error as error:
            self.rollback()
            if cause(error) not in {sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY} and not unwritten(error):
                self._overwrite(error)
            raise

    def _overwrite(self, error: sqlite3.Error) -> None:
        """Put something else where a failed transaction may stand in the log, whole but for its sync."""
        try:
            self.connection.execute("BEGIN IMMEDIATE")
            self.connection.execute("UPDATE ledger SET epoch = epoch + 1")
            self.connection.execute("COMMIT")
        except sqlite3.Error:
            self.rollback()
            raise Unknown(explained(error, self.path)) from error

    def rollback(self) -> None:
        """Undo the transaction, if there still is one."""
        self._keys = {}
        if self.connection.in_transaction:
            self.connection.execute("ROLLBACK")

    def undo(self, tally: Counter[str], place: int) -> None:
        """Go back to where a savepoint began."""
        self.tally, self.place = tally, place
        self._keys = {}

    def one(self, query: str, *values: Any) -> Any:
        """The first row of a query, or None."""
        return self.connection.execute(query, values).fetchone()

    def run(self, statement: str, *values: Any) -> int:
        """Run a statement; says how many rows it changed."""
        return self.connection.execute(statement, values).rowcount

    def rows(self, query: str, *values: Any) -> list[Any]:
        """All rows of a query."""
        return self.connection.execute(query, values).fetchall()

    def fill(self, before: str, rows: Sequence[tuple[Any, ...]], after: str = "") -> Iterator[sqlite3.Cursor]:
        """Run a statement for many rows of values, a few at a time."""
        for part in in_parts(rows):
            row = f"({', '.join('?' * len(part[0]))})"
            values = [value for each in part for value in each]
            yield self.connection.execute(f"{before} {', '.join([row] * len(part))} {after}", values)

    def numbers(self, keys: Iterable[Key]) -> Mapping[Key, int]:
        """The numbers of keys, which they are given if they have none."""
        missing = [(*key[:2], resource(key)) for key in keys if key not in self._keys]
        if missing:
            insert = "INSERT INTO keys (customer, feature, resource) VALUES"
            for _ in self.fill(insert, missing, "ON CONFLICT DO NOTHING"):
                pass
            self._keys.update(find_keys(self.connection, missing))
        return self._keys

    def forget_keys(self) -> None:
        """Have all processes look up numbers anew, since some were given back."""
        self.tally["epoch"] += 1
        self._keys = {}


def in_parts(rows: Sequence[T]) -> Iterator[Sequence[T]]:
    """Cut a sequence into pieces of few different sizes, whose statements SQLite need not read each time."""
    start = 0
    for size in _SIZES:
        while len(rows) - start >= size:
            yield rows[start : start + size]
            start += size


def find_keys(
    connection: sqlite3.Connection, wanted: Sequence[tuple[str, str, str]]
) -> Iterator[tuple[Key, int]]:
    """The numbers of those keys that have one."""
    for part in in_parts(wanted):
        values = [value for n, each in enumerate(part) for value in (n, *each)]
        query = f"""
            WITH wanted (n, customer, feature, resource) AS (VALUES {", ".join(["(?, ?, ?, ?)"] * len(part))})
            SELECT group_concat(n || ' ' || key)
            FROM wanted CROSS JOIN keys USING (customer, feature, resource)
        """  # noqa: S608  question marks
        found = connection.execute(query, values).fetchone()[0]
        for pair in found.split(",") if found else ():
            n, _, number = pair.partition(" ")
            customer, feature, written = part[int(n)]
            yield Key(customer, feature, written[1:] if written else None), int(number)


def _identity(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116
    except OSError:
        return None
    return found.st_dev, found.st_ino
