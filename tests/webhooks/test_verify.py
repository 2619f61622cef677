"""What passes for genuine, in which order it is checked, and what never shows."""

import hmac
import logging
import pickle
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest
from multidict import CIMultiDict

from kelviq_async import webhooks
from kelviq_async.config import Secret
from kelviq_async.errors import ConfigError, KelviqError

OTHER = "kq_whsec_another"


# What passes


def test_a_genuine_delivery_is_an_event(delivery, kelviq):
    event = kelviq.verify(delivery)
    assert isinstance(event, webhooks.OrderCreated)
    assert event.id == "evt_01HXYZ1234567890ABCDEF"


def test_the_present_is_now_unless_told(kelviq, example):
    body, headers = kelviq.delivery(example("order.created"), timestamp=datetime.now(UTC))
    assert webhooks.verify(body, headers, kelviq.secret).type == "order.created"
    body, headers = kelviq.delivery(example("order.created"))
    with pytest.raises(webhooks.TimestampTooOld):
        webhooks.verify(body, headers, kelviq.secret)


@pytest.mark.parametrize(
    "spelled",
    [
        str.upper,
        str.title,
        lambda name: "HTTP_" + name.upper().replace("-", "_"),
        str.encode,
    ],
)
def test_headers_in_any_spelling(delivery, kelviq, spelled):
    body, headers = delivery
    around = {"content-type": "application/json", "wsgi.input": object(), 7: None}
    assert kelviq.verify((body, around | {spelled(key): value for key, value in headers.items()}))


def test_headers_of_any_mapping(delivery, kelviq):
    class Headers(Mapping):
        def __init__(self, data):
            self._data = data

        def __getitem__(self, key):
            return self._data[key]

        def __iter__(self):
            return iter(self._data)

        def __len__(self):
            return len(self._data)

    body, headers = delivery
    assert kelviq.verify((body, Headers(headers)))
    assert kelviq.verify((body, CIMultiDict(headers)))
    assert kelviq.verify((body, {key: [value] for key, value in headers.items()}))
    assert kelviq.verify((body, {key: value.encode() for key, value in headers.items()}))


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_bytes_of_any_kind(delivery, kelviq, kind):
    body, headers = delivery
    assert kelviq.verify((kind(body), headers))


@pytest.mark.parametrize(
    "joined",
    [
        "{new} {old}",
        "{old} {new}",
        "{new},{old}",
        "{old}, {new}",
        "v1a,bm90IG91cnM= {new}",
        "v2,{old} {new}",
        "  {new}\t",
        "v1,tooshort {new}",
        ["{old}", "{new}"],
    ],
)
def test_one_of_several_signatures_is_enough(kelviq, example, joined):
    body, headers = kelviq.delivery(example("order.created"))
    _, old = kelviq.delivery(example("order.created"), secret=OTHER)
    parts = {"new": headers["webhook-signature"], "old": old["webhook-signature"]}
    several = (
        [text.format(**parts) for text in joined] if isinstance(joined, list) else joined.format(**parts)
    )
    headers["webhook-signature"] = several
    assert kelviq.verify((body, headers))
    with pytest.raises(webhooks.BadSignature):
        kelviq.verify((body, headers), "kq_whsec_a_third")


def test_signatures_in_several_headers(kelviq, example):
    body, headers = kelviq.delivery(example("order.created"))
    _, old = kelviq.delivery(example("order.created"), secret=OTHER)
    several = CIMultiDict(old)
    several.add("Webhook-Signature", headers["webhook-signature"])
    assert kelviq.verify((body, several))


@pytest.mark.parametrize("wrap", [str, Secret])
def test_one_of_several_secrets_is_enough(delivery, kelviq, wrap):
    for secrets in ([OTHER, kelviq.secret], (kelviq.secret, OTHER), [kelviq.secret]):
        assert kelviq.verify(delivery, [wrap(each) for each in secrets])
    assert kelviq.verify(delivery, wrap(kelviq.secret))


@pytest.mark.parametrize("guess", [1, 2, 3])
def test_every_signature_is_compared_with_every_secret(kelviq, delivery, monkeypatch, guess):
    compared = []
    real = hmac.compare_digest

    def compare(a, b):
        compared.append((a, b))
        return real(a, b)

    monkeypatch.setattr("hmac.compare_digest", compare)
    secrets = [OTHER, OTHER, OTHER]
    secrets[guess - 1] = kelviq.secret
    body, headers = delivery
    headers["webhook-signature"] += " v1," + "0" * 64
    assert kelviq.verify((body, headers), secrets)
    assert len(compared) == 6


# Which of several things wrong is told


def test_the_order_of_the_checks(kelviq):
    later = kelviq.now + timedelta(days=1)
    broken, headers = kelviq.delivery(b"not an event")
    told = []
    for mend in (
        lambda: {"secrets": []},
        lambda: {"max_bytes": 3, "headers": {}},
        lambda: {"headers": {}},
        lambda: {"headers": headers | {"webhook-signature": "v1,short"}},
        lambda: {"headers": headers | {"webhook-id": "another"}},
        dict,
        lambda: {"now": kelviq.now},
    ):
        options = {"headers": headers, "secrets": kelviq.secret, "now": later} | mend()
        with pytest.raises(KelviqError) as caught:
            webhooks.verify(broken, **options)
        told.append(type(caught.value))
    assert told == [
        ConfigError,
        webhooks.BodyTooLarge,
        webhooks.MissingHeader,
        webhooks.MalformedHeader,
        webhooks.BadSignature,
        webhooks.TimestampTooOld,
        webhooks.UnreadableBody,
    ]


# What never shows


def rejections(kelviq):
    body, headers = kelviq.delivery(b'{"type":"order.created","email":"ada@example.com"}')
    late = kelviq.now + timedelta(days=1)
    early = kelviq.now - timedelta(days=1)
    for options in (
        {"headers": {}},
        {"headers": headers | {"webhook-id": "two words"}},
        {"max_bytes": 1},
        {"secrets": OTHER},
        {"now": late},
        {"now": early},
        {},
    ):
        try:
            webhooks.verify(
                body, **{"headers": headers, "secrets": kelviq.secret, "now": kelviq.now, **options}
            )
        except webhooks.WebhookRejected as error:
            yield error


def test_errors_hold_no_secret_and_nothing_of_the_body(kelviq, caplog):
    caplog.set_level(logging.DEBUG)
    errors = list(rejections(kelviq))
    assert len(errors) == len({type(error) for error in errors}) == 7
    for error in errors:
        shown = "".join(traceback.format_exception(error)) + repr(error) + str(vars(error))
        for hidden in (kelviq.secret, OTHER, "ada@example.com", "two words"):
            assert hidden not in shown
    assert caplog.text == ""


def test_errors_can_be_pickled(kelviq):
    for error in rejections(kelviq):
        copy = pickle.loads(pickle.dumps(error))  # noqa: S301  our own bytes
        assert (type(copy), str(copy), vars(copy)) == (type(error), str(error), vars(error))
