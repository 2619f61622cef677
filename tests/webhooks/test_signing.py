"""Making signatures, against an independent tool and the rule that Kelviq documents."""

import hashlib
import hmac
from datetime import datetime, timedelta, timezone

import pytest

from kelviq_async import webhooks
from kelviq_async.errors import InvalidRequest


def test_the_signature_is_what_kelviq_documents(kelviq):
    signed = b"evt_1.1775109600." + b'{"a":1}'
    expected = hmac.new(kelviq.secret.encode(), signed, hashlib.sha256).hexdigest()
    made = webhooks.sign(b'{"a":1}', kelviq.secret, id="evt_1", timestamp=1775109600)
    assert made == f"v1,{expected}"


def test_a_known_signature_never_changes():
    # As `openssl dgst -sha256 -hmac kq_whsec_test` has it.
    made = webhooks.sign(b"{}", "kq_whsec_test", id="evt_1", timestamp=1700000000)
    assert made == "v1,942c3e5fd33c4da52f39748e564d7ef45f91f358fe94a1f60b2fd7b8f12c0efb"


def test_signed_headers_are_all_three(kelviq):
    headers = webhooks.signed_headers(b"{}", kelviq.secret, id="evt_1", timestamp=1700000000.9)
    assert headers == {
        "webhook-id": "evt_1",
        "webhook-timestamp": "1700000000",
        "webhook-signature": webhooks.sign(b"{}", kelviq.secret, id="evt_1", timestamp=1700000000),
    }


def test_a_time_may_be_given_in_any_zone(kelviq):
    there = kelviq.now.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert kelviq.delivery({}, timestamp=there) == kelviq.delivery({}, timestamp=kelviq.now.timestamp())


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({"id": ""}, "id"),
        ({"id": "a b"}, "id"),
        ({"id": "a\r\nx: y"}, "id"),
        ({"id": "ä"}, "id"),
        ({"id": "x" * 257}, "id"),
        ({"id": 7}, "id"),
        ({"timestamp": datetime(2026, 1, 1)}, "timestamp"),  # noqa: DTZ001  that is the point
        ({"timestamp": -1}, "timestamp"),
        ({"timestamp": 1e13}, "timestamp"),
        ({"timestamp": float("nan")}, "timestamp"),
        ({"timestamp": "1700000000"}, "timestamp"),
        ({"timestamp": True}, "timestamp"),
    ],
)
def test_what_cannot_stand_in_a_header_is_not_signed(kelviq, changed, name):
    with pytest.raises(InvalidRequest) as caught:
        webhooks.sign(b"{}", kelviq.secret, **{"id": "evt_1", "timestamp": 1700000000, **changed})
    assert name in caught.value.fields
