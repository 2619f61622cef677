"""Making signatures: what Kelviq does before it sends, and what your tests do in its place."""

from __future__ import annotations

import hashlib
import hmac
import math
from collections.abc import Sequence
from datetime import datetime

from ..config import Secret, checked_key
from ..errors import ConfigError, InvalidRequest
from . import headers
from .errors import BodyNotBytes

Secrets = str | Secret | Sequence[str | Secret]
"""One signing secret, or several of which each is good: the old and the new one while you change them."""


def sign(body: bytes, secret: str | Secret, *, id: str, timestamp: datetime | float) -> str:
    """The value of the ``webhook-signature`` header for a body.

    Args:
        body: The exact bytes to send.
        secret: The endpoint's whole secret, ``kq_whsec_…``.
        id: Value of the ``webhook-id`` header.
        timestamp: Value of the ``webhook-timestamp`` header, as an aware time or in unix seconds;
            fractions of a second are cut off.

    Raises:
        BodyNotBytes: ``body`` is not bytes.
        ConfigError: ``secret`` is empty or cannot be one.
        InvalidRequest: ``id`` or ``timestamp`` cannot stand in a header.
    """
    return signed_headers(body, secret, id=id, timestamp=timestamp)[headers.SIGNATURE]


def signed_headers(
    body: bytes, secret: str | Secret, *, id: str, timestamp: datetime | float
) -> dict[str, str]:
    """All three headers that Kelviq sends with a body; arguments and errors as for ``sign``."""
    (key,) = checked_secrets([secret])
    stamp, seconds = _id(id), _seconds(timestamp)
    signature = digest(key, stamp, seconds, checked_body(body))
    return {headers.ID: stamp, headers.TIMESTAMP: seconds, headers.SIGNATURE: f"v1,{signature}"}


def digest(secret: Secret, id: str, timestamp: str, body: bytes) -> str:
    """The signature itself, in lower-case hexadecimal.

    Unlike in Standard Webhooks, whose header names these are, the key is the whole secret as it
    stands, prefix and all, and the result is not base64.
    """
    mac = hmac.new(secret.reveal().encode(), f"{id}.{timestamp}.".encode(), hashlib.sha256)
    mac.update(body)
    return mac.hexdigest()


def checked_body(body: object) -> bytes:
    """A body as bytes.

    Raises:
        BodyNotBytes: It is something else.
    """
    if isinstance(body, bytes):
        return body
    if isinstance(body, bytearray | memoryview):
        return bytes(body)
    raise BodyNotBytes(
        f"the body must be the raw bytes of the request, not {type(body).__name__}: "
        "a signature is over bytes, and one parsed and written again may differ"
    )


def checked_secrets(secrets: object) -> tuple[Secret, ...]:
    """Secrets that can be used as keys.

    Raises:
        ConfigError: There is none, or one is empty: anybody can sign with an empty key.
    """
    several = [secrets] if isinstance(secrets, str | Secret) else secrets
    if isinstance(several, bytes | bytearray) or not isinstance(several, Sequence):
        raise ConfigError(f"secrets must be a text or a list of texts, not {type(secrets).__name__}")
    if not several:
        raise ConfigError("there is no webhook secret: give the one Kelviq shows for the endpoint")
    return tuple(
        checked_key(each.reveal() if isinstance(each, Secret) else each, "a webhook secret")
        for each in several
    )


def _id(id: object) -> str:
    if not isinstance(id, str) or not headers.ID_FORM.fullmatch(id):
        raise _invalid("id", "must be a text of visible ASCII characters, at most 256")
    return id


def _seconds(timestamp: object) -> str:
    if isinstance(timestamp, datetime):
        if timestamp.utcoffset() is None:
            raise _invalid("timestamp", "must be an aware datetime (with a time zone)")
        timestamp = timestamp.timestamp()
    if isinstance(timestamp, bool) or not isinstance(timestamp, int | float) or not math.isfinite(timestamp):
        raise _invalid("timestamp", "must be a datetime or a number of unix seconds")
    text = str(math.floor(timestamp))
    if not headers.TIMESTAMP_FORM.fullmatch(text):
        raise _invalid("timestamp", "must be a time between 1970 and the year 33658")
    return text


def _invalid(name: str, problem: str) -> InvalidRequest:
    return InvalidRequest(f"{name} {problem}", fields={name: [problem]})
