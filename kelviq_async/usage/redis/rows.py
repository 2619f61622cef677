"""How records and reports are written in a journal in Redis."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import lru_cache
from typing import Any, Final

import attrs
import msgspec

from ...api.behaviours import UsageBehaviour
from ..journal import JournalError, Owner, Seen
from ..policy import LARGEST
from ..records import Key, Record, Report, Run, State, Waiting
from .lua import FIELDS

_ODD: Final = "something in the journal in Redis cannot be read: somebody else has written there"
_HALF: Final = 2**26
_BEHAVIOURS: Final = {each.value: each for each in UsageBehaviour}

_pack: Final = msgspec.msgpack.Encoder().encode
_rows: Final = msgspec.msgpack.Decoder(list[list[str | bool]]).decode
_places: Final = msgspec.msgpack.Decoder(list[Any]).decode
_json: Final = msgspec.json.Encoder().encode
_key: Final = msgspec.json.Decoder(tuple[str, str, str | None]).decode
_owner: Final = msgspec.json.Decoder(tuple[str, int, str, str, float]).decode


def key_text(key: Key) -> str:
    """A key as text, such that no two keys share one.

    Raises:
        JournalError: It holds what no text can.
    """
    return packed_texts(key)


@lru_cache(maxsize=4096)
def packed_texts(texts: tuple[str | None, ...]) -> str:
    """Texts as one, whatever they hold."""
    try:
        return _json(texts).decode()
    except UnicodeEncodeError:
        raise JournalError("half of a surrogate pair is no text, and cannot be kept in Redis") from None


def blob_of(records: Sequence[Record]) -> bytes:
    """Records, as the script that appends them takes them.

    Raises:
        JournalError: One of them cannot be kept.
    """
    flat: list[str] = []
    for record in records:
        id, key, behaviour, value, at, reset_at = record
        if not -LARGEST <= value <= LARGEST:
            raise JournalError(f"a journal in Redis keeps numbers up to {LARGEST} only")
        reset = "-" if reset_at is None else repr(float(reset_at))
        flat += (id, packed_texts(key), f"{value} {behaviour.value} {float(at)!r} {reset} {id}")
    try:
        return _pack(flat)
    except UnicodeEncodeError:
        raise JournalError("half of a surrogate pair is no text, and cannot be kept in Redis") from None


def blob_of_run(run: Run, report_id: str) -> bytes:
    """A run, as the script that claims it takes it."""
    high, low = divmod(run.value, _HALF)
    return _pack(
        (
            *(report_id, key_text(run.key), run.behaviour.value, str(run.value), high, low),
            *(run.records, run.first, run.last, repr(float(run.first_at)), repr(float(run.last_at))),
            "-" if run.reset_at is None else repr(float(run.reset_at)),
        )
    )


def blob_of_keys(keys: Collection[Key]) -> bytes:
    """Keys, as a script takes them."""
    return _pack([key_text(key) for key in keys])


def keys_of(blob: bytes) -> list[Key]:
    """Keys, as a script gives them."""
    try:
        return [Key(*_key(each)) for each in _places(blob)]
    except (ValueError, TypeError):
        raise JournalError(_ODD) from None


def waiting_of(blob: bytes, keys: Sequence[Key]) -> list[Waiting]:
    """Pending records, as a script gives them."""
    found = []
    try:
        flat = iter(_places(blob))
        for place, number, text in zip(flat, flat, flat, strict=True):
            value, behaviour, at, reset, id = text.split(" ", 4)
            reset_at = None if reset == "-" else float(reset)
            known = _behaviour_of(behaviour)
            found.append(Waiting(place, Record(id, keys[number], known, int(value), float(at), reset_at)))
    except (ValueError, TypeError, AttributeError, IndexError):
        raise JournalError(_ODD) from None
    return found


def reports_of(blob: bytes) -> list[Report]:
    """Reports, as a script gives them.

    Raises:
        JournalError: One of them cannot be read.
    """
    try:
        return [_report_of(row) for row in _rows(blob)]
    except (ValueError, TypeError):
        raise JournalError(_ODD) from None


def _report_of(values: Sequence[Any]) -> Report:
    row = dict(zip((*FIELDS, "id"), values, strict=True))
    return Report(
        id=row["id"],
        key=Key(*_key(row["key"])),
        behaviour=_behaviour_of(row["behaviour"]),
        value=int(row["value"]),
        records=int(row["records"]),
        state=State(row["state"]),
        first_at=float(row["first_at"]),
        last_at=float(row["last_at"]),
        claimed_at=float(row["claimed_at"]),
        ended_at=float(row["ended_at"]) if row["ended_at"] else None,
        reason=row["reason"],
        note=row["note"],
        late=row["late"] == "1",
        reset_at=None if row["reset_at"] == "-" else float(row["reset_at"]),
        owner=row["owner"],
    )


def number_of(blob: bytes) -> int:
    """The number of the last of some reports, by which they are ordered."""
    return int(_rows(blob)[-1][FIELDS.index("seq")])


def owner_text(owner: Owner) -> bytes:
    """An owner, as it is kept."""
    return _json(attrs.astuple(owner))


def seen_of(found: Sequence[Any]) -> list[Seen]:
    """Owners, as a script gives them."""
    try:
        now = int(found[0]) * 1_000_000 + int(found[1])
        return [
            Seen(Owner(*_owner(about)), int(beat) / 1e6, max(0.0, (now - int(beat)) / 1e6))
            for about, beat in zip(found[2::2], found[3::2], strict=True)
        ]
    except (ValueError, TypeError):
        raise JournalError(_ODD) from None


def beat_text(seen: Seen) -> str:
    """The moment of a beat, as the server keeps it."""
    return str(round(seen.beat * 1e6))


def _behaviour_of(text: str) -> UsageBehaviour:
    return _BEHAVIOURS.get(text) or UsageBehaviour.other(text)
