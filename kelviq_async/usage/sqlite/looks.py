"""Each look at a journal, as SQL on a connection that only reads."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from heapq import merge
from typing import Any, Final, TypeVar

from ..journal import Owner, Seen
from ..records import Key, Ledger, Report, State, Waiting
from .books import find_keys
from .rows import RECORD, REPORT, key_of, report, resource, waiting as read_waiting
from .schema import differences, only_row

T = TypeVar("T")

_COUNTS: Final = (
    "accepted",
    "pending",
    "in_flight",
    "delivered",
    "rejected",
    "unresolved",
    "discarded",
    "late",
    "skipped",
)
# Records read in one step, for which Python's lock is let go; what is made of them must not hold it for long.
_SLICE: Final = 128
# With no more keys than this, each is read by itself, so that those which do not count need not be passed.
_FEW: Final = 32
_KEYS_KEPT: Final = 100_000


class Looks:
    """Reads a journal's file, in one thread.

    Attributes:
        connection: The connection.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self._keys: dict[int, Key] = {}

    def look(self, query: Callable[[Looks], T]) -> T:
        """Have a look at one moment of the journal."""
        self.connection.execute("BEGIN")
        try:
            return query(self)
        finally:
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")

    def one(self, query: str, *values: Any) -> Any:
        """The first row, or None."""
        return self.connection.execute(query, values).fetchone()

    def array(self, query: str, *values: Any) -> list[Any]:
        """The values of a query of one column ``it``, read in one step."""
        found = self.one(f"SELECT json_group_array(json(it)) FROM ({query})", *values)  # noqa: S608  ours
        return list(json.loads(found[0]))

    def records(self, query: str, *values: Any) -> list[list[Any]]:
        """Records, and the keys that they name."""
        found = self.array(query, *values)
        missing = {each[2] for each in found} - self._keys.keys()
        if missing:
            if len(self._keys) > _KEYS_KEPT:
                self._keys = {}
                missing = {each[2] for each in found}
            query = """
                SELECT json_array(key, CAST(customer AS TEXT), CAST(feature AS TEXT), CAST(resource AS TEXT))
                AS it FROM keys WHERE key IN (SELECT value FROM json_each(?))
            """
            # a number is never given again, so it will not stand for another key
            self._keys |= {n: key_of(*names) for n, *names in self.array(query, json.dumps(list(missing)))}
        return found

    def waiting(self, read: list[Any]) -> Waiting | None:
        """A record out of what was read, or None if it is damaged."""
        return read_waiting(self._keys, read)


def waiting(looks: Looks, limit: int, skip: Collection[Key]) -> tuple[list[Waiting], list[int]]:
    """Pending records, and the places of those that are damaged; see ``Journal.waiting``."""
    skipped = [n for _, n in find_keys(looks.connection, [(*key[:2], resource(key)) for key in skip])]
    left_out = json.dumps(skipped)
    heads = """
        SELECT json_array(key, head) AS it FROM keys WHERE head IS NOT NULL AND flying IS NULL
        AND key NOT IN (SELECT value FROM json_each(?)) ORDER BY head LIMIT ?
    """
    first = looks.array(heads, left_out, _FEW + 1)
    if not first:
        return [], []
    if len(first) <= _FEW:
        found: Iterator[list[Any]] = merge(*(_of_key(looks, key) for key, _ in first))
    else:
        found = _of_all(looks, first[0][1], left_out)
    whole: list[Waiting] = []
    damaged: list[int] = []
    for read in found:
        if len(whole) >= limit:
            break
        each = looks.waiting(read)
        if each is None:
            damaged.append(read[0])
        else:
            whole.append(each)
    return whole, damaged


def _of_key(looks: Looks, key: int) -> Iterator[list[Any]]:
    query = f"""
        SELECT {RECORD} AS it FROM records WHERE key = ? AND report IS NULL AND place > ?
        ORDER BY place LIMIT ?
    """  # noqa: S608  our own words
    place = 0
    while found := looks.records(query, key, place, _SLICE):
        yield from found
        place = found[-1][0]


def _of_all(looks: Looks, head: int, left_out: str) -> Iterator[list[Any]]:
    query = f"""
        SELECT {RECORD} AS it FROM records INDEXED BY pending_by_place
        WHERE report IS NULL AND place > ? AND key NOT IN (SELECT value FROM json_each(?))
        AND key NOT IN (SELECT key FROM keys WHERE flying IS NOT NULL)
        ORDER BY place LIMIT ?
    """  # noqa: S608  our own words
    place = head - 1
    while found := looks.records(query, place, left_out, _SLICE):
        yield from found
        place = found[-1][0]


def ledger(looks: Looks) -> Ledger:
    """See ``Journal.ledger``."""
    counts = only_row(looks.connection, f"SELECT {', '.join(_COUNTS)} FROM ledger")  # noqa: S608  our own words
    oldest = looks.one(
        """
        SELECT recorded_at FROM keys JOIN records ON place = head WHERE head IS NOT NULL
        ORDER BY head_at LIMIT 1
        """
    )
    return Ledger(**dict(zip(_COUNTS, counts, strict=True)), oldest=oldest and _number(oldest[0]))


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:  # it is damaged, and will be found when its turn comes
        return None


def reports(looks: Looks, state: State, limit: int) -> list[Report]:
    """See ``Journal.reports``."""
    query = f"{REPORT} WHERE state = ? ORDER BY report LIMIT ?"
    return [report(each) for each in looks.connection.execute(query, (state.value, limit))]


def find(looks: Looks, id: str) -> Report | None:
    """See ``Journal.find``."""
    by_record = f"{REPORT} WHERE report = (SELECT report FROM records WHERE id = ?)"  # noqa: S608  our own words
    found = looks.one(f"{REPORT} WHERE p.id = ?", id) or looks.one(by_record, id)
    return report(found) if found else None


def overtaken(looks: Looks, id: str) -> bool:
    """See ``Journal.overtaken``."""
    found = looks.one(
        """
        SELECT 1 FROM reports p JOIN keys k USING (key) WHERE p.id = ? AND (
            k.folded > p.last OR EXISTS (
                SELECT 1 FROM reports other WHERE other.key = p.key AND other.last > p.last
                AND other.state IN ('in_flight', 'delivered', 'unresolved')
            )
        )
        """,
        id,
    )
    return found is not None


def owners(looks: Looks) -> Sequence[Seen]:
    """See ``Journal.owners``."""
    now = time.time()
    found = looks.connection.execute("SELECT id, pid, started, machine, lease, beat FROM owners")
    # a clock that was set back makes nobody silent for less than no time
    return [Seen(Owner(*each), beat, max(0.0, now - beat)) for *each, beat in found]


def verify(looks: Looks) -> list[str]:
    """Where the counters say something else than the rows."""
    return differences(looks.connection)
