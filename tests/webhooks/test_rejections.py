"""Each way of not being genuine, and what it is called."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings, strategies as st

from kelviq_async import webhooks
from kelviq_async.config import Secret
from kelviq_async.errors import ConfigError, KelviqError

OTHER = "kq_whsec_another"


def test_another_secret_is_a_bad_signature(delivery, kelviq):
    for secrets in (
        OTHER,
        [OTHER, "kq_whsec_third"],
        kelviq.secret + "x",
        kelviq.secret.removeprefix("kq_whsec_"),
    ):
        with pytest.raises(webhooks.BadSignature):
            kelviq.verify(delivery, secrets)


def flipped(data, bit):
    changed = bytearray(data)
    changed[bit // 8 % len(changed)] ^= 1 << bit % 8
    return bytes(changed)


@given(
    part=st.sampled_from(["body", "webhook-id", "webhook-timestamp", "webhook-signature"]),
    bit=st.integers(min_value=0, max_value=2**20),
    tolerance=st.sampled_from([None, 300]),
)
@settings(max_examples=500)
def test_a_single_flipped_bit_is_noticed(kelviq, part, bit, tolerance):
    body, headers = kelviq.delivery(b'{"id":"evt_1","type":"a.b","data":{"object":{"amount":"10.00"}}}')
    if part == "body":
        body = flipped(body, bit)
    else:
        headers[part] = flipped(headers[part].encode(), bit).decode("latin-1")
    with pytest.raises(webhooks.WebhookRejected):
        kelviq.verify((body, headers), tolerance=tolerance)


def test_every_single_bit_of_the_headers(kelviq):
    body, headers = kelviq.delivery(b'{"id":"evt_1","type":"a.b"}')
    for name, value in headers.items():
        for bit in range(len(value) * 8):
            changed = flipped(value.encode(), bit).decode("latin-1")
            with pytest.raises(webhooks.WebhookRejected):
                kelviq.verify((body, headers | {name: changed}), tolerance=None)


@given(st.binary(max_size=200), st.text(max_size=80), st.text(max_size=80), st.text(max_size=120))
def test_rubbish_is_rejected_and_nothing_worse(kelviq, body, id, timestamp, signature):
    headers = {"webhook-id": id, "webhook-timestamp": timestamp, "webhook-signature": signature}
    with pytest.raises(webhooks.WebhookRejected):
        kelviq.verify((body, headers))


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
@pytest.mark.parametrize("value", [None, "", [], [""], 7])
def test_a_header_that_is_not_there(delivery, kelviq, name, value):
    body, headers = delivery
    del headers[name]
    if value is not None:
        headers[name] = value
    with pytest.raises(webhooks.MissingHeader) as caught:
        kelviq.verify((body, headers))
    assert caught.value.header == name
    assert name in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("webhook-id", "a b"),
        ("webhook-id", "ä"),
        ("webhook-id", "\udc80"),
        ("webhook-id", "x" * 257),
        ("webhook-id", "a\n"),
        ("webhook-id", ["a", "b"]),
        ("webhook-timestamp", "yesterday"),
        ("webhook-timestamp", "-1700000000"),
        ("webhook-timestamp", "+1700000000"),
        ("webhook-timestamp", "1_700_000_000"),
        ("webhook-timestamp", "1700000000.5"),
        ("webhook-timestamp", "1.7e9"),
        ("webhook-timestamp", "١٧٠٠٠٠٠٠٠٠"),  # noqa: RUF001  digits, but not ours
        ("webhook-timestamp", "1" * 13),
        ("webhook-timestamp", "1700000000\n"),
        ("webhook-timestamp", ["1700000000", "1700000001"]),
        ("webhook-signature", "v1"),
        ("webhook-signature", "v1,"),
        ("webhook-signature", "0" * 64),
        ("webhook-signature", "v1 " + "0" * 64),
        ("webhook-signature", "v1=" + "0" * 64),
        ("webhook-signature", "v1," + "0" * 63),
        ("webhook-signature", "v1," + "0" * 65),
        ("webhook-signature", "v1," + "g" * 64),
        ("webhook-signature", "v1," + "A" * 64),
        ("webhook-signature", "v2," + "0" * 64),
        ("webhook-signature", "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4="),
    ],
)
def test_a_header_that_kelviq_never_wrote(delivery, kelviq, name, value):
    body, headers = delivery
    with pytest.raises(webhooks.MalformedHeader) as caught:
        kelviq.verify((body, headers | {name: value}))
    assert caught.value.header == name


def test_the_same_value_twice_is_no_contradiction(delivery, kelviq):
    body, headers = delivery
    assert kelviq.verify((body, {key: [value, value] for key, value in headers.items()}))


@pytest.mark.parametrize("body", ["{}", {"id": "evt_1"}, None, 7, [1]])
def test_a_body_that_is_not_bytes_is_a_mistake_of_the_caller(delivery, kelviq, body):
    _, headers = delivery
    with pytest.raises(TypeError, match="raw bytes") as caught:
        kelviq.verify((body, headers))
    assert isinstance(caught.value, KelviqError)
    assert not isinstance(caught.value, webhooks.WebhookRejected)
    with pytest.raises(webhooks.BodyNotBytes):
        webhooks.sign(body, kelviq.secret, id="a", timestamp=0)


def test_a_large_body_is_not_even_hashed(kelviq, monkeypatch):
    body, headers = kelviq.delivery(b" " * (1024 * 1024 + 1))
    monkeypatch.setattr("hmac.new", None)
    with pytest.raises(webhooks.BodyTooLarge) as caught:
        kelviq.verify((body, headers))
    assert (caught.value.size, caught.value.max_bytes) == (1048577, 1048576)


def test_how_large_a_body_may_be_is_up_to_you(kelviq):
    body, headers = kelviq.delivery(b'{"type":"a.b"}')
    assert kelviq.verify((body, headers), max_bytes=len(body))
    with pytest.raises(webhooks.BodyTooLarge):
        kelviq.verify((body, headers), max_bytes=len(body) - 1)


@pytest.mark.parametrize("max_bytes", [0, -1, 1.5, True, None])
def test_a_size_limit_is_a_positive_whole_number(delivery, kelviq, max_bytes):
    with pytest.raises(ConfigError, match="max_bytes"):
        kelviq.verify(delivery, max_bytes=max_bytes)


@pytest.mark.parametrize(
    ("seconds", "tolerance", "problem"),
    [
        (0, 0, None),
        (300, 300, None),
        (301, 300, webhooks.TimestampTooOld),
        (-300, 300, None),
        (-301, 300, webhooks.TimestampInFuture),
        (1, 0, webhooks.TimestampTooOld),
        (-1, 0, webhooks.TimestampInFuture),
        (1, 0.5, webhooks.TimestampTooOld),
        (86400, None, None),
        (-86400, None, None),
        (86400, float("inf"), None),
    ],
)
def test_how_old_a_delivery_may_be(delivery, kelviq, seconds, tolerance, problem):
    now = kelviq.now + timedelta(seconds=seconds)
    if problem is None:
        assert kelviq.verify(delivery, tolerance=tolerance, now=now)
        return
    with pytest.raises(problem) as caught:
        kelviq.verify(delivery, tolerance=tolerance, now=now)
    assert caught.value.tolerance == tolerance
    assert getattr(caught.value, "age" if seconds > 0 else "ahead") == abs(seconds)


@pytest.mark.parametrize("tolerance", [-1, -0.001, float("nan"), "300", True, False])
def test_a_tolerance_is_a_number_of_seconds(delivery, kelviq, tolerance):
    with pytest.raises(ValueError, match="tolerance"):
        kelviq.verify(delivery, tolerance=tolerance)


def test_the_present_has_a_zone(delivery, kelviq):
    with pytest.raises(ValueError, match="aware"):
        kelviq.verify(delivery, now=datetime(2026, 1, 1))  # noqa: DTZ001  that is the point


@pytest.mark.parametrize("secrets", [[], (), "", [""], ["kq_whsec_a", ""], Secret(""), [Secret("")]])
def test_without_a_secret_nothing_is_genuine(kelviq, example, secrets):
    body, headers = kelviq.delivery(example("order.created"))
    with pytest.raises(ConfigError):
        webhooks.verify(body, headers, secrets, now=kelviq.now)


@pytest.mark.parametrize(
    "secrets", [None, 7, b"kq_whsec_a", [b"kq_whsec_a"], {"kq_whsec_a"}, ["kq_whsec_a\n"], [None]]
)
def test_what_cannot_be_a_secret(delivery, kelviq, secrets):
    body, headers = delivery
    with pytest.raises(ConfigError):
        webhooks.verify(body, headers, secrets, now=kelviq.now)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"text"',
        b"7",
        b"\xff{}",
        b"[" * 10000,
        b"{}",
        b'{"type":""}',
        b'{"type":7}',
    ],
)
def test_genuine_and_yet_no_event(kelviq, body):
    with pytest.raises(webhooks.UnreadableBody):
        kelviq.verify(kelviq.delivery(body))


@pytest.mark.parametrize("data", [None, {}, [], "text", {"object": None}, {"object": []}, {"object": "text"}])
def test_an_event_without_what_it_is_about(kelviq, data):
    with pytest.raises(webhooks.UnreadableBody):
        kelviq.verify(kelviq.delivery({"id": "evt_1", "type": "order.created", "data": data}))
