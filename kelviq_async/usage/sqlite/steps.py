"""Each step of a journal that changes something, as SQL within a transaction of ``Books``."""

from __future__ import annotations

import json
import math
import secrets
import time
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final

import attrs

from ...api.behaviours import UsageBehaviour
from ..journal import Owner, Seen
from ..records import MOVES, Key, Record, Report, Run, State
from .books import Books, find_keys
from .rows import REPORT, key_of, report, resource, row, waiting, written

_INSERT: Final = "INSERT INTO records (place, key, id, behaviour, value, recorded_at, reset_at, crc) VALUES"
_HEAD: Final = """
    UPDATE keys SET (head, head_at) = (
        SELECT place, CAST(recorded_at AS REAL) FROM records r
        WHERE r.key = keys.key AND report IS NULL ORDER BY place LIMIT 1
    )
"""
_HEADS: Final = f"{_HEAD} WHERE head IS NULL AND key IN (SELECT value FROM json_each(?))"  # noqa: S608  ours
# what was damaged before must not look whole after it
_FORGET_RESET: Final = """
    UPDATE records SET reset_at = NULL,
        crc = checksum(id, customer, feature, resource, behaviour, value, recorded_at, NULL)
    FROM keys WHERE keys.key = records.key AND report = ? AND reset_at IS NOT NULL
        AND crc = checksum(id, customer, feature, resource, behaviour, value, recorded_at, reset_at)
"""
_LATE: Final = frozenset({State.DELIVERED, State.UNRESOLVED})


def check(records: Iterable[Record]) -> None:
    """Find what is wrong with records before it can be in the way of others.

    Raises:
        InvalidRequest: A value is too large.
        UnicodeEncodeError: It holds what is no text.
    """
    for record in records:
        row(record)


def append(books: Books, records: Sequence[Record]) -> None:
    """Accept records of any number of callers."""
    new = 0
    numbers = books.numbers(dict.fromkeys(record.key for record in records))
    rows = [(books.place + n, numbers[each.key], *row(each)) for n, each in enumerate(records, 1)]
    books.place += len(rows)
    for cursor in books.fill(_INSERT, rows, "ON CONFLICT (id) DO NOTHING"):
        new += cursor.rowcount
    touched = json.dumps(list({each[1] for each in rows}))
    books.run(_HEADS, touched)
    books.tally["accepted"] += new
    books.tally["pending"] += new


def claim(books: Books, runs: Sequence[Run], owner: Owner) -> Sequence[Report]:
    """See ``Journal.claim``."""
    beat(books, owner)
    now = time.time()
    claimed = (_claim(books, run, owner, now) for run in runs)
    return [each for each in claimed if each is not None]


def _claim(books: Books, run: Run, owner: Owner, now: float) -> Report | None:
    number = _number(books, run.key)
    if number is None or books.one("SELECT flying FROM keys WHERE key = ?", number)[0] is not None:
        return None
    # in halves, since a sum in SQLite must not leave its 64 bits
    count, first, last, high, low = books.one(
        """
        SELECT count(*), min(place), max(place), sum(value >> 32), sum(value & 4294967295) FROM records
        WHERE key = ? AND report IS NULL AND place <= ?
        """,
        number,
        run.last,
    )
    if (count, first, last) != (run.records, run.first, run.last) or (high << 32) + low != run.value:
        return None
    made = Report.claimed(secrets.token_hex(8), run, owner.id, now)
    it = books.connection.execute(
        """
        INSERT INTO reports (id, key, behaviour, value, records, last, state, first_at, last_at,
            claimed_at, reset_at, owner) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
        """,
        (
            made.id,
            number,
            str(made.behaviour),
            made.value,
            made.records,
            run.last,
            State.IN_FLIGHT.value,
            made.first_at,
            made.last_at,
            made.claimed_at,
            made.reset_at,
            made.owner,
        ),
    ).lastrowid
    books.run(
        "UPDATE records SET report = ? WHERE key = ? AND report IS NULL AND place <= ?", it, number, run.last
    )
    books.run("UPDATE keys SET flying = ? WHERE key = ?", it, number)
    books.run(f"{_HEAD} WHERE key = ?", number)
    books.tally["pending"] -= made.records
    books.tally["in_flight"] += made.records
    return made


def _number(books: Books, key: Key) -> int | None:
    return next((number for _, number in find_keys(books.connection, [(*key[:2], resource(key))])), None)


def move(  # noqa: PLR0917  ``Journal.move`` has names for them
    books: Books,
    report_id: str,
    state: State,
    reason: str,
    note: str | None,
    late: bool | None,
    among: Collection[State] | None,
) -> Report | None:
    """See ``Journal.move``."""
    found = books.one(f"{REPORT} WHERE p.id = ?", report_id)
    old = found and report(found)
    if not old or state not in MOVES[old.state] or (among is not None and old.state not in among):
        return None
    moved: Report = attrs.evolve(
        old,
        state=state,
        reason=written(reason),
        ended_at=time.time(),
        note=old.note if note is None else written(note),
        late=old.late if late is None else late,
    )
    it, number = books.one("SELECT report, key FROM reports WHERE id = ?", report_id)
    books.tally[old.state.value] -= old.records
    books.tally[state.value] += old.records
    books.tally["late"] += _late(moved) - _late(old)
    if old.state is State.IN_FLIGHT:
        books.run("UPDATE keys SET flying = NULL WHERE key = ?", number)
    if state is State.PENDING:
        if late is False:
            books.run(_FORGET_RESET, it)
        books.run("UPDATE records SET report = NULL WHERE report = ?", it)
        books.run("DELETE FROM reports WHERE report = ?", it)
        books.run(f"{_HEAD} WHERE key = ?", number)
        return moved
    books.run(
        "UPDATE reports SET state = ?, reason = ?, note = ?, late = ?, ended_at = ? WHERE report = ?",
        state.value,
        moved.reason,
        moved.note,
        moved.late,
        moved.ended_at,
        it,
    )
    return moved


def _late(report: Report) -> int:
    return report.records if report.late and report.state in _LATE else 0


def beat(books: Books, owner: Owner) -> None:
    """See ``Journal.beat``."""
    now = time.time()
    last = books.one("SELECT beat FROM owners WHERE id = ?", owner.id)
    if last and last[0] == now:  # or nobody could tell the two apart
        now = math.nextafter(now, math.inf)
    values = (owner.id, owner.pid, owner.started, owner.machine, owner.lease, now)
    books.run("INSERT OR REPLACE INTO owners VALUES (?, ?, ?, ?, ?, ?)", *values)


def lapse(books: Books, seen: Seen, reason: str) -> Sequence[Report]:
    """See ``Journal.lapse``."""
    owner = seen.owner
    gone = books.run(
        """
        DELETE FROM owners
        WHERE id = ? AND pid = ? AND started = ? AND machine = ? AND lease = ? AND beat = ?
        """,
        *attrs.astuple(owner),
        seen.beat,
    )
    if not gone:
        return []
    query = "SELECT id, behaviour FROM reports WHERE state = ? AND owner = ? ORDER BY report"
    put = []
    for id, behaviour in books.rows(query, State.IN_FLIGHT.value, owner.id):
        state = State.UNRESOLVED if behaviour == UsageBehaviour.DELTA else State.PENDING
        put.append(move(books, id, state, reason, None, None, None))
    return [each for each in put if each is not None]


def leave(books: Books, owner: Owner) -> None:
    """See ``Journal.leave``."""
    # what it has in flight nevertheless is only found by others while it is known
    flying = "SELECT 1 FROM reports WHERE state = ? AND owner = ?"
    if not books.one(flying, State.IN_FLIGHT.value, owner.id):
        books.run("DELETE FROM owners WHERE id = ?", owner.id)


def fold(books: Books, before: float, limit: int) -> int:
    """Reduce some of what was delivered or discarded before a moment to counters.

    Args:
        books: Where.
        before: The moment.
        limit: How many records at most; a report may lose some of them now and the others later.

    Returns:
        How many records were folded; none when there is nothing left to fold.
    """
    folded = 0
    for state in (State.DELIVERED, State.DISCARDED):
        query = """
            SELECT report, key, records, late FROM reports
            WHERE state = ? AND ended_at < ? ORDER BY ended_at LIMIT ?
        """
        for it, number, records, late in books.rows(query, state.value, before, limit):
            if folded >= limit:
                break
            room = limit - folded
            done = books.run(
                "DELETE FROM records WHERE place IN (SELECT place FROM records WHERE report = ? LIMIT ?)",
                it,
                room,
            )
            folded += done
            if done == room and books.one("SELECT 1 FROM records WHERE report = ?", it):
                books.run("UPDATE reports SET folded = folded + ? WHERE report = ?", done, it)
                break
            if state is State.DELIVERED:
                # what an open total of the key must know before it is sent again
                books.run(
                    """
                    UPDATE keys SET folded = max(folded, (SELECT last FROM reports WHERE report = ?))
                    WHERE key = ?
                    """,
                    it,
                    number,
                )
            books.run("DELETE FROM reports WHERE report = ?", it)
            books.tally[f"folded_{state.value}"] += records
            books.tally["folded_late"] += records if late and state in _LATE else 0
            _drop_key(books, number)
    return folded


def _drop_key(books: Books, number: int) -> None:
    """Forget a key that nothing belongs to."""
    dropped = books.run(
        """
        DELETE FROM keys WHERE key = ? AND head IS NULL AND flying IS NULL
        AND NOT EXISTS (SELECT 1 FROM reports WHERE key = keys.key)
        """,
        number,
    )
    if dropped:
        books.forget_keys()


def shrink(books: Books, keep: int, limit: int) -> bool:
    """Give some unused pages of the file back; says whether there are more."""
    unused = int(books.one("PRAGMA freelist_count")[0]) - keep
    for _ in range(min(unused, limit)):
        # given a larger number it would still go one page a step, and only the first step is made
        books.run("PRAGMA incremental_vacuum(1)")
    return unused > limit


def set_aside(books: Books, places: Sequence[int]) -> int:
    """Take damaged records out of the way, to where somebody can look at them.

    Args:
        books: Where.
        places: Where pending records stood that did not fit their checksum.

    Returns:
        How many of them still are what they were.
    """
    number = 0
    for place in places:
        if not _damaged(books, place):
            continue
        key = books.one("SELECT key FROM records WHERE place = ?", place)[0]
        books.run(
            """
            INSERT INTO damaged SELECT place, id, customer, feature, resource, behaviour, value, recorded_at,
                reset_at, crc, ? FROM records LEFT JOIN keys USING (key) WHERE place = ?
            """,
            time.time(),
            place,
        )
        books.run("DELETE FROM records WHERE place = ?", place)
        books.run(f"{_HEAD} WHERE key = ?", key)
        number += 1
    books.tally["pending"] -= number
    books.tally["accepted"] -= number
    books.tally["skipped"] += number
    return number


def _damaged(books: Books, place: int) -> bool:
    found: Any = books.one("SELECT * FROM records WHERE place = ? AND report IS NULL", place)
    if found is None:
        return False
    *fields, _ = found
    names = books.one("SELECT customer, feature, resource FROM keys WHERE key = ?", fields[2])
    return waiting({fields[2]: key_of(*names)} if names else {}, fields) is None
