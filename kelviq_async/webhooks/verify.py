"""From the bytes of a delivery to a typed event, or to the reason why not."""

from __future__ import annotations

import hmac
import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from .. import codec
from ..config import Secret
from ..errors import CodecError, ConfigError, InvalidRequest
from . import headers as stamps
from .errors import BadSignature, BodyTooLarge, TimestampInFuture, TimestampTooOld, UnreadableBody
from .events import Event, load
from .signing import Secrets, checked_body, checked_secrets, digest

MAX_BYTES: Final = 1024 * 1024
TOLERANCE: Final = 300.0


def verify(
    body: bytes,
    headers: Mapping[str, Any],
    secrets: Secrets,
    tolerance: float | None = TOLERANCE,
    *,
    now: datetime | None = None,
    max_bytes: int = MAX_BYTES,
) -> Event[Any]:
    """The event of a delivery, if it is genuine. It needs no client and no network.

    The checks go from cheap to dear and from strangers to Kelviq: size, headers, signature, and
    only then time and content. So a ``TimestampTooOld`` or an ``UnreadableBody`` is known to be
    about something that Kelviq signed.

    Args:
        body: The raw bytes of the request, before anything parsed them.
        headers: Its headers: any mapping, with names in any case, or a WSGI environment.
        secrets: The endpoint's whole secret (``kq_whsec_…``), or several of which each is good.
        tolerance: How many seconds the time of signing may lie in the past or in the future. None
            switches that check off; it is unknown whether a manual resend is signed anew.
        now: An aware time to take for the present; for tests.
        max_bytes: Size that a body may have, in bytes.

    Returns:
        An instance of the class that ``EVENTS`` has for its type, or an ``UnknownEvent``.

    Raises:
        BodyTooLarge: The body exceeds ``max_bytes``.
        MissingHeader: A header is absent.
        MalformedHeader: A header cannot be what Kelviq wrote.
        BadSignature: No signature fits any of the secrets.
        TimestampTooOld: It was signed more than ``tolerance`` seconds ago.
        TimestampInFuture: It was signed more than ``tolerance`` seconds from now.
        UnreadableBody: It is genuine, but no event.
        BodyNotBytes: ``body`` is not bytes.
        ConfigError: ``secrets`` has none or an empty one, or ``tolerance`` or ``max_bytes`` is no
            usable number.
        InvalidRequest: ``now`` has no time zone.
    """
    keys = checked_secrets(secrets)
    seconds = checked_tolerance(tolerance)
    present = _present(now)
    raw = checked_body(body)
    if len(raw) > checked_max_bytes(max_bytes):
        raise BodyTooLarge(len(raw), max_bytes)
    stamp = stamps.read(headers)
    if not _genuine(stamp, keys, raw):
        raise BadSignature("no signature fits: it is forged, was changed, or the secret is another one")
    _check_time(stamp, seconds, present)
    return _event(raw)


def checked_tolerance(tolerance: object) -> float | None:
    """A tolerance in seconds, or None for "any time".

    Raises:
        ConfigError: It is negative or no number. A bool is none either: False would mean 0 seconds.
    """
    if tolerance is None:
        return None
    if (
        isinstance(tolerance, bool) or not isinstance(tolerance, int | float) or not tolerance >= 0
    ):  # NaN is not
        raise ConfigError("tolerance must be a number of seconds from 0, or None for no check")
    return float(tolerance)


def checked_max_bytes(max_bytes: object) -> int:
    """A size limit.

    Raises:
        ConfigError: It is not a positive whole number.
    """
    if isinstance(max_bytes, bool) or not isinstance(max_bytes, int) or max_bytes < 1:
        raise ConfigError("max_bytes must be a positive whole number")
    return max_bytes


def _present(now: datetime | None) -> float:
    if now is None:
        return time.time()
    if now.utcoffset() is None:
        problem = "must be an aware datetime (with a time zone)"
        raise InvalidRequest(f"now {problem}", fields={"now": [problem]})
    return now.timestamp()


def _genuine(stamp: stamps.Stamp, keys: tuple[Secret, ...], body: bytes) -> bool:
    """Whether any signature fits any key.

    All pairs are compared to their ends, so that the time taken tells nothing about how close a
    forgery came or which of the keys is the one in use.
    """
    fits = False
    for key in keys:
        expected = digest(key, stamp.id, stamp.timestamp, body)
        for signature in stamp.signatures:
            fits |= hmac.compare_digest(expected, signature)
    return fits


def _check_time(stamp: stamps.Stamp, tolerance: float | None, present: float) -> None:
    if tolerance is None:
        return
    age = present - int(stamp.timestamp)
    if age > tolerance:
        raise TimestampTooOld(age, tolerance)
    if -age > tolerance:
        raise TimestampInFuture(-age, tolerance)


def _event(body: bytes) -> Event[Any]:
    try:
        data = codec.decode(body)
    except CodecError as error:
        raise UnreadableBody(f"the body is {error.message}") from None
    return load(data)
