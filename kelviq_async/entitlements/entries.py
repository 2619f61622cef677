"""Answers as a store keeps them: small, and checked all over when they are read.

Others can write to a store, by mistake or on purpose. So whatever is odd about a value means that
there is none.
"""

from __future__ import annotations

import secrets
import zlib
from typing import Any, Final

import attrs

from .. import codec
from ..api.entitlements import CustomerEntitlements, GetEntitlements

MAX_STORED: Final = 256 * 1024
"""The largest value that is written or looked into, in bytes."""
MAX_JSON: Final = 4 * 1024 * 1024
"""The largest text that one is unpacked to."""

_TOMBSTONE: Final = b"\x00"
_ENTRY: Final = b"\x01"
"""Format of an entry. Another layout, or another dictionary below, needs another byte."""

# What answers are full of, so that even a short one has something to refer to.
_DICTIONARY: Final = (
    b'{"customerId":"","featureId":"","featureType":"VALUE","METER","SWITCH","hasAccess":false,'
    b'"resetAt":"2026-01-01 00:00:00","hardLimit":true,"usageLimit":100,"currentUsage":10,"remaining":90},'
    b'{"featureId":"","hasAccess":true,"featureType":"CUSTOMIZABLE","resetAt":"2026-12-31 00:00:00",'
    b'"hardLimit":false,"usageLimit":null,"currentUsage":0,"remaining":null}],"entitlements":['
)


@attrs.frozen
class Entry:
    """What a store knows of a customer.

    Attributes:
        answer: All they have, or None for a customer Kelviq does not know.
        start: When the call that fetched it began, in milliseconds on the wall clock.
        era: The time between two invalidations of everybody in which it was fetched.
    """

    answer: CustomerEntitlements | None
    start: int
    era: str


def grants(answer: CustomerEntitlements | None) -> bool:
    """Whether an answer grants anything at all."""
    return answer is not None and any(row.has_access is True for row in answer.entitlements)


def packed(customer_id: str, entry: Entry) -> bytes | None:
    """An entry as bytes, or None for one that is too large or cannot be written."""
    data = None if entry.answer is None else codec.dump(entry.answer)
    try:
        text = codec.encode([customer_id, entry.start, entry.era, data])
    except ValueError:
        return None
    packer = zlib.compressobj(zdict=_DICTIONARY)
    value = _ENTRY + packer.compress(text) + packer.flush()
    return value if len(value) <= MAX_STORED and len(text) <= MAX_JSON else None


def unpacked(customer_id: str, value: bytes) -> Entry | None:
    """The entry that a value holds, or None if it holds none about this customer."""
    if not value.startswith(_ENTRY) or len(value) > MAX_STORED:
        return None
    try:
        unpacker = zlib.decompressobj(zdict=_DICTIONARY)
        text = unpacker.decompress(value[1:], MAX_JSON)
        if not unpacker.eof or unpacker.unused_data:
            return None
        return _read(customer_id, codec.decode(text))
    except (zlib.error, ValueError, TypeError, RecursionError):
        return None


def tombstone() -> bytes:
    """A value that says "invalidated", and like no other one, so that two in a row can be told apart."""
    return _TOMBSTONE + secrets.token_bytes(12)


def _read(customer_id: str, data: Any) -> Entry | None:
    about, start, era, answer = data
    # `type`, as True is an int as well
    if about != customer_id or type(start) is not int or not isinstance(era, str):
        return None
    if answer is None:
        return Entry(None, start, era)
    return Entry(GetEntitlements(customer_id).read(200, answer, {}), start, era)
