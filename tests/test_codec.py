"""Between models and JSON: nothing is lost, whatever came."""

import copy
import functools
import importlib
import pickle
import sys
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, get_args, get_origin

import attrs
import pytest
from hypothesis import HealthCheck, assume, given, settings, strategies as st

from kelviq_async import (
    BillingAddress,
    Customer,
    EntitlementEntry,
    FeatureType,
    Page,
    Refund,
    Subscription,
    UpdatePreview,
    codec,
    operations,
)
from kelviq_async.model import NOTHING, Model, OpenEnum, is_model, model

RESPONSES = sorted({each.response for each in operations() if each.response}, key=str)
importlib.import_module("kelviq_async.webhooks.events")


def below(cls):
    for each in cls.__subclasses__():
        if getattr(sys.modules[each.__module__], each.__name__, None) is each:
            yield each
        yield from below(each)


@model
class Snake(Model):
    spelling = "snake"

    customer_id: str
    sent_at: datetime


MODELS = sorted({*RESPONSES, *below(Model), Snake}, key=str)

NAMES = st.text(max_size=8) | st.sampled_from(
    ["extra", "kept", "_kept", "", "customer_id", "self", "__class__"]
)
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.decimals(allow_nan=False)
    | st.text(max_size=8)
    | st.sampled_from(["1", "1.0", "1.00", "true", "null", "2026-01-31", "2026-01-31T00:00:00+00:00", "FLAG"])
)
JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)
TIMES = (
    "2025-05-22 08:27:45",
    "2025-05-22T08:27:45.123456Z",
    "2026-07-29T10:30:00Z",
    "2026-07-29",
    "0001-01-01",
)

# One of each kind that a field could be surprised by.
ODD = [
    *(None, True, False, 0, 1, -1, 10**30, 1.0, 1.5, -0.0, 1e300, float("nan"), float("inf")),
    *(Decimal("1.0"), Decimal("1.50"), Decimal("-0.0"), Decimal("1E+999999999999"), Decimal("1E-9999999")),
    *(
        "",
        "1",
        "1.0",
        "1.00",
        "1e5",
        "NaN",
        "true",
        "active",
        "FLAG",
        "LIMIT",
        "MONTHLY",
        "inf",
        "now",
        "\ud800",
        "\0",
    ),
    *(
        *TIMES,
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        "2025-05-22T08:27:45+05:30",
        "20260101",
    ),
    *([], [None], [1, "a", {}], [[]], [{}], [{"id": 5}], ["a"], ["METER", 5], [1.0], [Decimal("1.0")]),
    *({}, {"": 1}, {"id": 5}, {"extra": {"a": 1}, "kept": None, "_kept": 5}, {"a": {"b": [None]}}),
]


@functools.cache
def likely(hint):
    """JSON such as Kelviq might send for a type."""
    if is_model(hint):
        return objects(hint)
    if get_origin(hint) is list:
        return st.lists(likely(get_args(hint)[0]) | JSON, max_size=3)
    if isinstance(hint, type) and issubclass(hint, OpenEnum):
        return st.sampled_from([str(each) for each in hint]) | st.just("later")
    if hint is Decimal:
        return (
            st.decimals(-1000, 1000, places=2).map(str) | st.decimals(-1000, 1000, places=2) | st.integers()
        )
    if hint in {datetime, date}:
        return st.sampled_from(TIMES) | st.datetimes().map(str)
    return {str: st.text(max_size=8), int: st.integers(), bool: st.booleans()}.get(hint, JSON)


@functools.cache
def objects(cls):
    """JSON objects of which a model knows some fields; any of them may be odd."""
    known = {each.wire: likely(each.hint) | JSON for each in codec.fields(cls)}
    rest = st.dictionaries(NAMES, JSON, max_size=2)
    return st.builds(lambda mine, other: {**other, **mine}, st.fixed_dictionaries({}, optional=known), rest)


def exactly(a, b):
    """Equal in every type and text, found out in another way than the codec does."""
    return repr(ordered(a)) == repr(ordered(b))


def ordered(data):
    if isinstance(data, dict):
        return [(key, ordered(data[key])) for key in sorted(data)]
    return [ordered(entry) for entry in data] if isinstance(data, list) else (type(data), data)


relaxed = settings(suppress_health_check=list(HealthCheck), deadline=None, max_examples=200)


class TestNothingIsLost:
    @relaxed
    @given(st.data())
    def test_any_object_comes_back_as_it_came(self, data):
        cls = data.draw(st.sampled_from(MODELS))
        raw = data.draw(objects(cls))
        untouched = copy.deepcopy(raw)
        value = codec.load(cls, raw)
        assert exactly(codec.dump(value), untouched)
        assert exactly(raw, untouched)
        assert exactly(codec.dump(pickle.loads(pickle.dumps(value))), untouched)  # noqa: S301  our own
        assert exactly(codec.dump(copy.deepcopy(value)), untouched)
        repr(value)

    @pytest.mark.parametrize("cls", MODELS, ids=lambda cls: getattr(cls, "__name__", str(cls)))
    def test_any_odd_thing_in_any_field_is_kept(self, cls):
        for each in codec.fields(cls):
            for odd in ODD:
                raw = {each.wire: odd, "later": odd}
                assert exactly(codec.dump(codec.load(cls, raw)), raw), (each.name, odd)

    @pytest.mark.parametrize("odd", [each for each in ODD if not isinstance(each, dict)], ids=repr)
    def test_rows_that_are_no_objects_stand_in_their_list(self, odd):
        raw = {
            "count": 3,
            "next": None,
            "previous": None,
            "results": [{"customerId": "a"}, odd, {"customerId": "b"}],
        }
        page = codec.load(Page[Customer], raw)
        assert exactly(codec.dump(page), raw)
        assert [row.customer_id for row in page.results] == ["a", None, "b"]
        assert exactly(codec.dump(codec.load(list[Customer], raw["results"])), raw["results"])

    def test_only_the_odd_field_of_the_odd_row_is_none(self):
        raw = {
            "results": [{"customerId": "a", "email": 5}, {"customerId": "b", "email": "b@example.com"}],
            "count": "2",
        }
        page = codec.load(Page[Customer], raw)
        assert [(row.customer_id, row.email) for row in page.results] == [("a", None), ("b", "b@example.com")]
        assert page.count is None
        assert codec.dump(page) == raw

    def test_what_nobody_knew_yet_is_in_extra(self):
        raw = {
            "customerId": "a",
            "extra": 1,
            "kept": 2,
            "_kept": 3,
            "": 4,
            "customer_id": 5,
            "tier": {"deep": [6]},
        }
        value = codec.load(Customer, raw)
        assert value.extra == {
            "extra": 1,
            "kept": 2,
            "_kept": 3,
            "": 4,
            "customer_id": 5,
            "tier": {"deep": [6]},
        }
        assert codec.dump(value) == raw
        assert codec.load(Customer, {"customerId": "a"}).extra is NOTHING

    def test_a_model_without_fields(self):
        raw = {"amountDue": Decimal("5.00")}
        assert codec.load(UpdatePreview, raw).extra == raw
        assert exactly(codec.dump(codec.load(UpdatePreview, raw)), raw)

    def test_depth_is_no_matter(self):
        deep = []
        for _ in range(20_000):
            deep = [deep]
        for cls, raw in (
            (Customer, {"metadata": {"deep": deep}}),
            (Customer, {"later": deep}),
            (Customer, {"name": deep}),
            (Customer, {"billingAddress": deep}),
            (Customer, {"billingAddress": {"city": deep}}),
            (Subscription, {"features": deep}),
            (Subscription, {"status": deep, "amount": deep, "startDate": deep}),
            (Page[Customer], {"results": deep}),
        ):
            dumped, came = codec.dump(codec.load(cls, raw)), raw
            while isinstance(dumped, dict):
                (dumped, came), *_ = zip(dumped.values(), came.values(), strict=True)
            assert dumped is came or (len(dumped) == len(came) == 1 and dumped[0] is came[0])

    def test_numbers_of_any_size_take_no_time(self):
        raw = {
            "usageLimit": Decimal("1E+999999999999"),
            "remaining": Decimal("1E+999999"),
            "currentUsage": 10**5000,
        }
        value = codec.load(EntitlementEntry, raw)
        assert (value.usage_limit, value.remaining, value.current_usage) == (None, None, 10**5000)
        assert codec.dump(value) is not None
        assert codec.dump(value)["usageLimit"] is raw["usageLimit"]

    def test_times_that_no_clock_can_show_in_utc_are_kept(self):
        raw = {
            "results": [
                {"createdOn": "0001-01-01T00:00:00+14:00"},
                {"createdOn": "9999-12-31T23:59:59-01:00"},
            ]
        }
        page = codec.load(Page[Customer], raw)
        assert [row.created_on for row in page.results] == [None, None]
        assert codec.dump(page) == raw

    def test_what_is_no_plain_dict_is_read_all_the_same(self):
        class Mapped(dict):
            pass

        value = codec.load(Customer, Mapped(customerId="a", billingAddress=Mapped(city="Bern")))
        assert (value.customer_id, value.billing_address.city) == ("a", "Bern")
        assert codec.dump(value) == {"customerId": "a", "billingAddress": {"city": "Bern"}}


class TestChanges:
    @relaxed
    @given(st.data())
    def test_a_changed_field_is_new_and_the_others_stay(self, data):
        cls = data.draw(st.sampled_from([each for each in MODELS if codec.fields(each)]))
        raw = data.draw(objects(cls))
        value = codec.load(cls, raw)
        each = data.draw(st.sampled_from(codec.fields(cls)))
        donor = codec.load(cls, {each.wire: data.draw(likely(each.hint))})
        new = getattr(donor, each.name)
        assume(new is not None and new != getattr(value, each.name))
        changed = attrs.evolve(value, **{each.name: new})
        sent = (
            codec.dump(new)
            if is_model(each.hint) or is_model(next(iter(get_args(each.hint)), None))
            else None
        )
        expected = {**raw, each.wire: each.spelling.dump(new) if sent is None else sent}
        assert exactly(codec.dump(changed), expected)
        assert exactly(codec.dump(value), raw)

    def test_what_could_not_be_read_is_replaced(self):
        value = codec.load(Customer, {"customerId": 5, "email": None, "name": "n", "createdOn": "once"})
        changed = attrs.evolve(value, customer_id="five", email="a@example.com")
        assert codec.dump(changed) == {
            "customerId": "five",
            "email": "a@example.com",
            "name": "n",
            "createdOn": "once",
        }
        assert codec.dump(attrs.evolve(changed, name=None)).get("name", "gone") == "gone"

    def test_the_same_moment_in_other_words_is_no_change(self):
        raw = {"createdOn": "2025-05-22T10:27:45+02:00"}
        value = codec.load(Customer, raw)
        assert codec.dump(attrs.evolve(value, created_on=datetime(2025, 5, 22, 8, 27, 45, tzinfo=UTC))) == raw

    def test_true_is_not_one(self):
        value = codec.load(EntitlementEntry, {"usageLimit": Decimal("1.0")})
        assert exactly(codec.dump(value), {"usageLimit": Decimal("1.0")})
        assert not exactly(codec.dump(attrs.evolve(value, usage_limit=True)), {"usageLimit": Decimal("1.0")})

    def test_nested_models_keep_what_came(self):
        raw = {"billingAddress": {"city": 5, "line2": None, "zone": 7}, "name": "n"}
        value = codec.load(Customer, raw)
        moved = attrs.evolve(value, billing_address=attrs.evolve(value.billing_address, country="CH"))
        assert codec.dump(moved) == {**raw, "billingAddress": {**raw["billingAddress"], "country": "CH"}}

    def test_a_row_that_was_no_object_can_be_made_one(self):
        row = codec.load(Page[Customer], {"results": ["odd"]}).results[0]
        assert codec.dump(row) == "odd"
        assert codec.dump(attrs.evolve(row, customer_id="a")) == {"customerId": "a"}
        assert codec.dump(attrs.evolve(row, extra={"a": 1})) == {"a": 1}

    def test_generics_keep_what_their_argument_could_not_read(self):
        cls = next(each for each in MODELS if getattr(each, "__name__", "") == "CustomerCreated")
        raw = {"type": "customer.created", "data": {"object": "odd", "previous_attributes": None}}
        assert codec.dump(codec.load(cls, raw)) == raw
        page = codec.load(Page[FeatureType], {"results": ["METER", 5]})
        assert page.results == [FeatureType.METER]
        assert codec.dump(page) == {"results": ["METER", 5]}


class TestShared:
    def test_models_with_the_same_nulls_share_what_they_keep(self):
        one, other = (codec.load(Customer, {"name": None, "email": None}) for _ in range(2))
        assert one._kept is other._kept
        assert one.extra is other.extra is NOTHING
        # A model of another class with fields of the same names may share it too: it holds names only.
        assert codec.dump(codec.load(BillingAddress, {"line2": None})) == {"line2": None}
        changed = attrs.evolve(one, name="n")
        assert codec.dump(changed) == {"name": "n", "email": None}
        assert codec.dump(other) == {"name": None, "email": None}

    def test_made_up_rows_do_not_fill_the_memory(self, monkeypatch):
        monkeypatch.setattr(codec, "_shared", {})
        wires = [each.wire for each in codec.fields(Subscription)][:12]
        for number in range(2**12):
            raw = {name: None for bit, name in enumerate(wires) if number >> bit & 1}
            assert codec.dump(codec.load(Subscription, raw)) == raw
        assert len(codec._shared) <= 1001

    def test_fields_are_worked_out_once(self):
        assert codec.fields(Page[Customer]) is codec.fields(Page[Customer])
        assert codec.fields(Page[Customer])[0].hint == list[Customer]
        assert codec.fields(Page[Refund])[0].hint == list[Refund]
        assert codec.fields(Page)[0].hint != list[Any]
