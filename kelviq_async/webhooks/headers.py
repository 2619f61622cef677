"""The three headers of a delivery, out of whatever mapping a framework has."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from .errors import MalformedHeader, MissingHeader

ID: Final = "webhook-id"
TIMESTAMP: Final = "webhook-timestamp"
SIGNATURE: Final = "webhook-signature"

# Spelled out rather than int() and str.isdigit(), which take signs, underscores and foreign digits.
ID_FORM: Final = re.compile("[!-~]{1,256}")
TIMESTAMP_FORM: Final = re.compile("[0-9]{1,12}")
_CANDIDATE: Final = re.compile(r"(?:^|[ \t,])v1,([0-9a-f]{64})(?=[ \t,]|$)")


class Stamp(NamedTuple):
    """What the headers of a delivery say.

    Attributes:
        id: The id it was signed with, as text.
        timestamp: When it was signed in unix seconds, as the text that is part of what was signed.
        signatures: The hexadecimal signatures offered; several during a change of secrets.
    """

    id: str
    timestamp: str
    signatures: tuple[str, ...]


def read(headers: Mapping[str, Any]) -> Stamp:
    """The stamp of a delivery.

    Args:
        headers: Header names and values. Case does not matter, names as in a WSGI environment
            (``HTTP_WEBHOOK_ID``) will do, and a value may be a list of values.

    Raises:
        MissingHeader: One is absent or empty.
        MalformedHeader: One cannot be what Kelviq wrote.
    """
    return Stamp(
        _single(headers, ID, ID_FORM, "is no id"),
        _single(headers, TIMESTAMP, TIMESTAMP_FORM, "is no number of seconds"),
        _signatures(headers),
    )


def _values(headers: Mapping[str, Any], name: str) -> list[str]:
    """All values of a header that are not empty."""
    names = {name, "http_" + name.replace("-", "_")}
    found = [value for key, value in headers.items() if _text(key).lower() in names]
    return [text for value in found for text in _texts(value) if text]


def _texts(value: Any) -> Iterator[str]:
    for each in value if isinstance(value, list | tuple) else [value]:
        yield _text(each)


def _text(value: Any) -> str:
    """A name or value as text; latin-1 is what header bytes are read as, and cannot fail."""
    if isinstance(value, bytes):
        return value.decode("latin-1")
    return value if isinstance(value, str) else ""


def _single(headers: Mapping[str, Any], name: str, form: re.Pattern[str], problem: str) -> str:
    values = set(_values(headers, name))
    if not values:
        raise MissingHeader(name)
    if len(values) > 1:
        raise MalformedHeader(name, "comes several times, with different values")
    value = values.pop()
    if not form.fullmatch(value):
        raise MalformedHeader(name, problem)
    return value


def _signatures(headers: Mapping[str, Any]) -> tuple[str, ...]:
    values = _values(headers, SIGNATURE)
    if not values:
        raise MissingHeader(SIGNATURE)
    found = tuple(signature for value in values for signature in _CANDIDATE.findall(value))
    if not found:
        raise MalformedHeader(SIGNATURE, 'holds no signature of the form "v1,<64 hexadecimal digits>"')
    return found
