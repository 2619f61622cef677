"""What the codec makes of values, and JSON itself."""

import json
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import given, strategies as st

from kelviq_async import Customer, EntitlementEntry, FeatureType, Page, Refund, Subscription, codec
from kelviq_async.errors import CodecError
from kelviq_async.model import UNSET, Model, field, model
from kelviq_async.spelling import same


@model
class Snake(Model):
    spelling = "snake"

    customer_id: str
    sent_at: datetime


class TestValues:
    def test_no_float_ever(self):
        assert same(codec.load(Refund, {"amount": 0.1}).amount, Decimal("0.1"))
        assert same(codec.load(Refund, codec.decode(b'{"amount": 0.10}')).amount, Decimal("0.10"))
        assert same(codec.load(Refund, json.loads('{"amount": 1e-7}')).amount, Decimal("1e-7"))
        assert same(codec.load(Subscription, {"amount": "49.00"}).amount, Decimal("49.00"))
        assert same(codec.load(Subscription, {"amount": 49}).amount, Decimal(49))

    def test_a_verdict_that_is_no_boolean_is_none(self):
        for odd in ("true", 1, 0, "yes", [], None, 1.0):
            raw = {"featureId": "f", "hasAccess": odd}
            value = codec.load(EntitlementEntry, raw)
            assert value.has_access is None
            assert same(codec.dump(value), raw)

    def test_old_words_are_read_and_kept(self):
        raw = {"featureType": "FLAG", "resetAt": "2025-05-22 08:27:45"}
        value = codec.load(EntitlementEntry, raw)
        assert value.feature_type is FeatureType.BOOLEAN
        assert value.reset_at == datetime(2025, 5, 22, 8, 27, 45, tzinfo=UTC)
        assert codec.dump(value) == raw

    def test_single_values(self):
        assert codec.load(FeatureType, "METER") is FeatureType.METER
        assert codec.load(Decimal, "1.50") == Decimal("1.50")
        assert codec.load(None, {"any": "thing"}) is None
        assert codec.dump(FeatureType.METER) == "METER"
        assert codec.dump(datetime(2026, 1, 31, tzinfo=UTC)) == "2026-01-31T00:00:00Z"
        assert codec.dump(date(2026, 1, 31)) == "2026-01-31"
        assert same(
            codec.dump([Decimal("1.50"), Customer(customer_id="a"), 5]), ["1.50", {"customerId": "a"}, 5]
        )

    @pytest.mark.parametrize("data", [None, 5, "text", [], True])
    def test_something_else_than_an_object_is_no_answer(self, data):
        for cls in (Customer, Page[Customer]):
            with pytest.raises(CodecError, match="cannot be made of"):
                codec.load(cls, data)

    def test_errors_do_not_quote_the_data(self):
        for cls in (datetime, Decimal, int, FeatureType, bool, date):
            with pytest.raises(CodecError) as caught:
                codec.load(cls, {"secret": "kq_1"} if cls is FeatureType else "kq_1")
            assert "kq_1" not in str(caught.value)

    def test_webhooks_are_in_snake_case(self):
        raw = {"customer_id": "a", "sent_at": "2026-01-31T00:00:00Z", "customerId": "b"}
        value = codec.load(Snake, raw)
        assert value.customer_id == "a"
        assert value.extra == {"customerId": "b"}
        assert codec.dump(value) == raw

    def test_none_is_written_only_where_it_is_asked_for_and_documented(self):
        page = Page(results=[Customer(customer_id="a", metadata={})], count=1)
        assert codec.dump(page) == {"results": [{"customerId": "a", "metadata": {}}], "count": 1}
        assert codec.dump(page, nulls=True) == {
            "results": [
                {"customerId": "a", "metadata": {}, "name": None, "email": None, "billingAddress": None}
            ],
            "count": 1,
            "next": None,
            "previous": None,
        }


class TestJson:
    def test_fractions_are_exact(self):
        data = codec.decode(
            b'{"a": 0.10, "b": 1, "c": 1.0, "d": -0.0, "e": 1e400, "f": 12345678901234567890123}'
        )
        assert same(
            data,
            {
                "a": Decimal("0.10"),
                "b": 1,
                "c": Decimal("1.0"),
                "d": Decimal("-0.0"),
                "e": Decimal("1E+400"),
                "f": 12345678901234567890123,
            },
        )
        assert (
            codec.encode(data) == b'{"a":0.10,"b":1,"c":1.0,"d":-0.0,"e":1E+400,"f":12345678901234567890123}'
        )

    def test_half_an_emoji_is_json_too(self):
        assert codec.decode(rb'{"name": "\ud83d", "price": 0.10}') == {
            "name": "\ud83d",
            "price": Decimal("0.10"),
        }

    @pytest.mark.parametrize("depth", [10, 5_000, 100_000])
    def test_depth_is_read_or_refused(self, depth):
        # how deep is too deep differs between versions of Python
        try:
            data = codec.decode(b"[" * depth + b"]" * depth)
        except CodecError:
            assert depth > 10
        else:
            assert isinstance(data, list)
            try:
                codec.encode(data)
            except CodecError:
                assert depth > 10

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"<html>",
            b"{",
            b"NaN",
            b'{"a": NaN}',
            b'{"a": Infinity}',
            b"{'a': 1}",
            b'"\xff"',
            b"[" * 200_000,
            b"1" * 5000,
            b"1e99999999999999999999",
            b'{"a": 1} x',
        ],
        ids=lambda body: repr(body[:20]),
    )
    def test_what_is_no_json(self, body):
        with pytest.raises(CodecError, match="not JSON") as caught:
            codec.decode(body)
        assert caught.value.__cause__ is None

    @pytest.mark.parametrize("data", [object(), {"a": "\ud800"}, {(1, 2): 3}, UNSET.__class__], ids=type)
    def test_what_json_cannot_say(self, data):
        with pytest.raises(CodecError, match="cannot be written"):
            codec.encode(data)

    @given(st.recursive(st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(), st.lists))
    def test_what_is_written_can_be_read(self, data):
        try:
            body = codec.encode(data)
        except CodecError:  # surrogates
            return
        assert codec.decode(body) == data
        assert json.loads(body) == data


class TestRequestBodies:
    def test_the_order_of_keys_says_nothing(self):
        one, other = {"b": [{"d": 1, "c": 2}], "a": None}, {"a": None, "b": [{"c": 2, "d": 1}]}
        assert list(codec.canonical(one)) == list(codec.canonical(other))
        assert codec.encode(codec.canonical(one)) == codec.encode(codec.canonical(other))

    def test_the_order_of_lists_does(self):
        assert codec.canonical([2, 1]) == [2, 1]
        assert codec.canonical((2, {"b": 1, "a": 2})) == [2, {"a": 2, "b": 1}]


def test_a_field_may_have_any_default():
    @model
    class Odd(Model):
        number: int = field(default=5)

    assert Odd().number == 5
    assert codec.load(Odd, {}).number is None
