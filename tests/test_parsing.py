"""Requests to HTTP and back: what one renders, the other parses, for every operation."""

import functools
import json
import re
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from types import NoneType
from typing import Any, Literal, get_args, get_origin
from urllib.parse import unquote

import attrs
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from kelviq_async import (
    UNSET,
    ChargePeriod,
    CreateCharge,
    CreateCheckoutSession,
    CreateRefund,
    FeatureQuantity,
    codec,
    operations,
)
from kelviq_async.checks import is_identifier
from kelviq_async.errors import InvalidRequest
from kelviq_async.model import OpenEnum, Unset, is_model
from kelviq_async.spelling import same

OPERATIONS = {each.name: each for each in operations()}
every_operation = pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
relaxed = settings(suppress_health_check=list(HealthCheck), deadline=None, max_examples=20)

TEXT = st.text(st.characters(codec="utf-8"), max_size=10)
ID = st.text(
    st.characters(codec="utf-8", categories=("L", "N", "P", "S", "Zs")), min_size=1, max_size=10
).filter(lambda text: text not in {".", ".."})
NUMBER = st.decimals(-(10**9), 10**9, places=4) | st.integers(-(10**9), 10**9).map(Decimal)
TIME = st.datetimes(
    datetime(1000, 1, 2),  # noqa: DTZ001  hypothesis wants bounds without a zone
    datetime(9999, 12, 30),  # noqa: DTZ001  likewise
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=-7))]),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64) | st.decimals(-100, 100, places=3) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)
PLAIN = {
    str: TEXT,
    int: st.integers(-(2**63), 2**63),
    bool: st.booleans(),
    Decimal: NUMBER,
    datetime: TIME,
    date: st.dates(),
    Any: JSON.filter(lambda value: value is not None),
}


@functools.cache  # to make a strategy takes longer than to draw from it
def values(hint):
    """Arguments that are right for a type."""
    if hint in PLAIN:
        return PLAIN[hint]
    if hint in {NoneType, Unset}:
        return st.just(None if hint is NoneType else UNSET)
    if is_model(hint):
        return st.builds(
            hint,
            **{each.name: argument(each) if each.required else optional(each) for each in codec.fields(hint)},
        )
    if isinstance(hint, type) and issubclass(hint, OpenEnum):
        return st.sampled_from(hint) | st.just(hint.other("LATER"))
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Literal:
        return st.sampled_from(inner)
    if origin is dict:
        return st.dictionaries(TEXT, JSON, max_size=3)
    if len(inner) > 1:
        return st.one_of([values(each) for each in inner])
    return st.lists(values(inner[0]), max_size=3)


def argument(each):
    return ID if each.hint is str and is_identifier(each.name) else values(each.hint)


def optional(each):
    return st.none() | argument(each)


@functools.cache
def possible(operation):
    """Right arguments of an operation, by name."""
    found = {}
    for each in operation.fields:
        if each.required and not each.nullable:
            found[each.name] = ID if each.name in operation.path_names else argument(each)
        else:
            default = getattr(attrs.fields_dict(operation.request)[each.name], "default", None)
            left = [st.just(default)] if not each.required else []
            found[each.name] = st.one_of([*left, *([st.none()] if each.nullable else []), argument(each)])
    return found


@st.composite
def requests(draw, operation):
    """Right requests of an operation, with any of their optional arguments."""
    arguments = {name: draw(strategy) for name, strategy in possible(operation).items()}
    if operation.request is CreateCharge:
        arguments["charge_period"] = ChargePeriod.ONE_TIME
    if operation.request is CreateRefund:
        arguments["amount"] = UNSET if arguments["amount"] is UNSET else abs(arguments["amount"]) + 1
        arguments["amount_units"] = UNSET if arguments["amount"] is not UNSET else 1
    return operation.request(**arguments)


def taken_apart(operation, path):
    """What a router makes of a path."""
    pattern = re.sub(r"{(\w+)}", r"(?P<\1>[^/]+)", operation.path)
    return {name: unquote(text) for name, text in re.fullmatch(pattern, path).groupdict().items()}


class TestThereAndBack:
    @every_operation
    @relaxed
    @given(data=st.data())
    def test_parse_is_the_inverse_of_render(self, operation, data):
        request = data.draw(requests(operation))
        request.check()
        path, query, body = operation.render(request)
        assert all(type(text) is str for text in query.values())
        back = operation.parse(taken_apart(operation, path), query, body)
        assert back == request
        assert type(back) is operation.request
        back.check()
        assert operation.render(back).path == path
        assert operation.key(back) == operation.key(request)
        # And through bytes, as between two processes.
        sent = None if body is None else codec.decode(codec.encode(body))
        assert operation.parse(taken_apart(operation, path), query, sent) == request
        # An empty body and none are one thing to a server.
        if body == {}:
            assert operation.parse(taken_apart(operation, path), query, None) == request

    @every_operation
    @relaxed
    @given(data=st.data())
    def test_both_spellings_are_taken(self, operation, data):
        request = data.draw(requests(operation))
        path, query, body = operation.render(request)
        names = {each.metadata.get("name") or each.name: each.wire for each in operation.query_fields}
        camel = {names[name]: text for name, text in query.items()}
        snake = None if body is None else snaked(operation.body_fields, body)
        assert operation.parse(taken_apart(operation, path), camel, snake) == request

    @every_operation
    @relaxed
    @given(data=st.data())
    def test_a_key_tells_different_requests_apart(self, operation, data):
        one, other = data.draw(requests(operation)), data.draw(requests(operation))
        equal = same(tuple_of(operation.render(one)), tuple_of(operation.render(other)))
        assert (operation.key(one) == operation.key(other)) is equal


def tuple_of(wire):
    # Through JSON, which knows one way to write 5 and a Decimal of 5.
    return json.loads(codec.encode([*wire]), parse_float=Decimal)


def snaked(fields, body):
    """A body as the official SDKs spell some."""
    found = {}
    for each in fields:
        if each.wire in body:
            value, hint = body[each.wire], each.hint
            item = get_args(hint)[0] if get_origin(hint) is not dict and get_args(hint) else hint
            if is_model(item) and value is not None:
                inner = codec.fields(item)
                value = (
                    [snaked(inner, row) for row in value] if isinstance(value, list) else snaked(inner, value)
                )
            found[each.name] = value
    return found


class TestKeys:
    def test_the_order_in_dicts_says_nothing(self):
        create = OPERATIONS["CreateCustomer"]
        one = create.request("a", metadata={"x": {"b": 1, "a": 2}, "y": 1})
        other = create.request("a", metadata={"y": 1, "x": {"a": 2, "b": 1}})
        assert create.key(one) == create.key(other)

    def test_unset_null_and_empty_are_three_things(self):
        create = OPERATIONS["CreateCustomer"]
        requests = [create.request("a", name=name) for name in (UNSET, None, "", "null")]
        assert len({create.key(each) for each in requests}) == 4

    def test_numbers_texts_and_truths_are_different(self):
        create = OPERATIONS["CreateCustomer"]
        requests = [create.request("a", metadata={"x": x}) for x in (1, "1", True, Decimal("1.0"), [1], None)]
        assert len({create.key(each) for each in requests}) == len(requests)

    def test_paths_and_arguments_cannot_be_mixed_up(self):
        update = OPERATIONS["UpdatePlanFile"]
        assert update.key(update.request("a/b", "c")) != update.key(update.request("a", "b/c"))
        assert update.key(update.request("{file_id}", "c")) != update.key(update.request("c", "{file_id}"))

    def test_operations_differ(self):
        keys = {
            each.key(each.request("a"))
            for each in OPERATIONS.values()
            if each.path == "/customers/{customer_id}/"
        }
        assert len(keys) == 3


class TestPaths:
    def test_an_id_is_one_encoded_segment(self):
        retrieve = OPERATIONS["RetrieveCustomer"]
        for text, segment in (
            ("user-123", "user-123"),
            ("a/b", "a%2Fb"),
            ("../x", "..%2Fx"),
            ("a b", "a%20b"),
            ("ü", "%C3%BC"),
            ("a?b#c%20", "a%3Fb%23c%2520"),
            ("...", "..."),
            ("{customer_id}", "%7Bcustomer_id%7D"),
        ):
            assert retrieve.render(retrieve.request(text)).path == f"/customers/{segment}/"


def refusal(name, *, path=None, query=None, body=None):
    with pytest.raises(InvalidRequest) as caught:
        OPERATIONS[name].parse(path or {}, query or {}, body)
    return caught.value.fields


CHECKOUT = {"planIdentifier": "pro", "chargePeriod": "MONTHLY", "successUrl": "https://example.com"}


class TestParsing:
    def test_what_is_required_is_named(self):
        assert refusal("CreateCustomer", body={}) == {"customer_id": ["This field is required."]}
        assert refusal("CreateCustomer", body={"customerId": None}) == {
            "customer_id": ["This field may not be null."]
        }
        assert set(refusal("CreateCheckoutSession")) == {"plan_identifier", "charge_period", "success_url"}
        assert refusal("GetEntitlements") == {"customer_id": ["This field is required."]}

    def test_what_is_of_the_wrong_type_is_named(self):
        body = {"value": "many", "customerId": ["a"], "featureId": {}, "behaviour": 5}
        assert set(refusal("ReportUsage", body=body)) == {"value", "customer_id", "feature_id", "behaviour"}

    @pytest.mark.parametrize("body", [[], "text", 5, True])
    def test_a_body_is_an_object(self, body):
        assert refusal("CreateCustomer", body=body) == {"non_field_errors": ["Invalid data."]}

    @pytest.mark.parametrize(
        "features",
        [
            "seats",
            [5],
            [{"identifier": "seats"}],
            [{"identifier": "seats", "quantity": "x"}],
            {"identifier": "a"},
        ],
    )
    def test_nested_objects_are_read_as_strictly(self, features):
        assert list(refusal("CreateCheckoutSession", body={**CHECKOUT, "features": features})) == ["features"]

    def test_texts_stand_for_numbers_and_numbers_for_texts(self):
        parsed = OPERATIONS["ReportUsage"].parse(
            {}, {}, {"value": "3", "customer_id": 5, "featureId": Decimal("1.5"), "behaviour": "SET"}
        )
        assert (parsed.value, parsed.customer_id, parsed.feature_id) == (3, "5", "1.5")
        parsed = OPERATIONS["CreateCheckoutSession"].parse(
            {}, {}, {**CHECKOUT, "features": [{"identifier": "seats", "quantity": "5"}], "lockEmail": "true"}
        )
        assert parsed.features == [FeatureQuantity(identifier="seats", quantity=5)]
        assert parsed.lock_email is True
        assert same(OPERATIONS["CreateCheckoutSession"].render(parsed).body["features"][0]["quantity"], 5)

    @pytest.mark.parametrize(
        "value", ["1.5", "", "²", "+-5", "0x10", "1_0", "1" * 5000, 1.5, True, None, [1]]
    )
    def test_what_is_no_whole_number(self, value):
        body = {"value": value, "customerId": "a", "featureId": "f", "behaviour": "SET"}
        assert list(refusal("ReportUsage", body=body)) == ["value"]

    def test_a_list_with_an_odd_entry_is_refused_as_a_whole(self):
        body = {"name": "n", "taxCode": "saas", "imageKeys": ["a", {}]}
        assert list(refusal("CreateProduct", body=body)) == ["image_keys"]

    def test_what_nobody_knows_is_ignored(self):
        create = OPERATIONS["CreateCustomer"]
        body = {"customerId": "a", "color": "red", "name": "n"}
        assert create.parse({}, {"q": "1"}, body) == create.request("a", name="n")

    def test_keys_of_the_user_are_left_alone(self):
        body = {"customer_id": "a", "metadata": {"userName": 1, "user_name": 2, "customer_id": {"a_b": 3}}}
        parsed = OPERATIONS["CreateCustomer"].parse({}, {}, body)
        assert parsed.metadata == body["metadata"]
        assert OPERATIONS["CreateCustomer"].render(parsed).body["metadata"] == body["metadata"]

    def test_business_is_not_its_business(self):
        parsed = OPERATIONS["CreateRefund"].parse({}, {}, {"orderId": "..", "amount": "-5", "amountUnits": 5})
        assert (parsed.amount, parsed.amount_units) == (Decimal(-5), 5)
        assert OPERATIONS["CreateCustomer"].parse({}, {}, {"customerId": ""}).customer_id == ""

    def test_trial_end_takes_now_and_times(self):
        update = OPERATIONS["UpdateSubscription"]
        body = {"planIdentifier": "p", "chargePeriod": "MONTHLY"}
        path = {"subscription_id": "s"}
        for text, value in (
            ("now", "now"),
            ("2026-01-01T00:00:00", datetime(2026, 1, 1, tzinfo=UTC)),
            ("2026-01-01T02:00:00+02:00", datetime(2026, 1, 1, tzinfo=UTC)),
        ):
            assert update.parse(path, {}, {**body, "trialEnd": text}).trial_end == value
        assert list(refusal("UpdateSubscription", path=path, body={**body, "trialEnd": "later"})) == [
            "trial_end"
        ]

    def test_errors_do_not_quote_what_was_sent(self):
        with pytest.raises(InvalidRequest) as caught:
            OPERATIONS["CreateCheckoutSession"].parse({}, {}, {**CHECKOUT, "email": ["ada@example.com"]})
        assert "ada" not in str(caught.value)
        assert CreateCheckoutSession.__name__ in str(caught.value)
