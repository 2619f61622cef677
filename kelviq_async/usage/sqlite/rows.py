"""Records and reports as rows of a ``SqliteJournal``."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any, Final

from ...api.behaviours import UsageBehaviour
from ...checks import invalid
from ..records import Key, Record, Report, State, Waiting

_LIMIT: Final = 2**63

REPORT: Final = """
    SELECT p.id, customer, feature, resource, behaviour, value, records, state, first_at, last_at,
        claimed_at, ended_at, reason, note, late, reset_at, owner
    FROM reports p JOIN keys USING (key)
"""
"""Reads reports, for ``report``."""

RECORD: Final = """
    json_array(place, CAST(id AS TEXT), key, CAST(behaviour AS TEXT), CAST(value AS INTEGER),
        CAST(recorded_at AS TEXT), CAST(reset_at AS TEXT), CAST(crc AS INTEGER))
"""
"""Reads a record as one value, for ``waiting``."""


def row(record: Record) -> tuple[Any, ...]:
    """A record as it is written, but for its place and key.

    Raises:
        InvalidRequest: Its value is too large.
        UnicodeEncodeError: It holds what is no text.
    """
    id, key, behaviour, value, recorded_at, reset_at = record
    if not -_LIMIT <= value < _LIMIT:
        raise invalid("value", "must fit into 64 bits")
    name, at = str(behaviour), repr(float(recorded_at))
    reset = None if reset_at is None else repr(float(reset_at))
    return id, name, value, at, reset, checksum(id, key, name, value, at, reset)


def checksum(  # noqa: PLR0917  it takes a row
    id: str, key: Key, behaviour: str, value: int, recorded_at: str, reset_at: str | None
) -> int:
    """What tells a damaged record."""
    # unlike a format, this takes what is written also of a text that calls itself something else
    parts = (id, key[0], key[1], resource(key), behaviour, f"{value:d}", recorded_at, reset_at or "")
    return zlib.crc32("\x1f".join(parts).encode())


def waiting(keys: Mapping[int, Key], read: list[Any]) -> Waiting | None:
    """A pending record, or None if it is damaged."""
    place, id, number, behaviour, value, recorded_at, reset_at, crc = read
    key = keys.get(number)
    try:
        if key is None or checksum(id, key, behaviour, value, recorded_at, reset_at) != crc:
            return None
        reset = None if reset_at is None else float(reset_at)
        return Waiting(place, Record(id, key, behaviour_of(behaviour), value, float(recorded_at), reset))
    except (TypeError, ValueError):
        return None


def resource(key: Key) -> str:
    """How a resource is written: None as nothing, and a text, which may be empty, after a sign."""
    return "" if key.resource_id is None else "=" + key.resource_id


def checksum_of_row(id: Any, customer: Any, feature: Any, resource: Any, *rest: Any) -> int | None:
    """The same out of columns, for SQL; None where they cannot be a record."""
    try:
        return checksum(id, key_of(customer, feature, resource), *rest)
    except (TypeError, ValueError):
        return None


def written(text: str) -> str:
    """What can be kept of a text that quotes who knows whom, and may hold halves of characters."""
    return text.encode("utf-8", "replace").decode()


def behaviour_of(text: str) -> UsageBehaviour:
    """DELTA, SET, or what a later release makes of it."""
    return UsageBehaviour(text)


def key_of(customer: str, feature: str, resource: str) -> Key:
    """A key as it was."""
    return Key(customer, feature, resource[1:] if resource else None)


def report(read: tuple[Any, ...]) -> Report:
    """A report out of its row."""
    return Report(
        id=read[0],
        key=key_of(*read[1:4]),
        behaviour=behaviour_of(read[4]),
        value=read[5],
        records=read[6],
        state=State(read[7]),
        first_at=read[8],
        last_at=read[9],
        claimed_at=read[10],
        ended_at=read[11],
        reason=read[12],
        note=read[13],
        late=bool(read[14]),
        reset_at=read[15],
        owner=read[16],
    )
