"""Events: one class for each type, typed all through, and your own id on every one."""

import json
import pickle
from datetime import UTC, date, datetime
from decimal import Decimal

import attrs
import pytest

from kelviq_async import codec, webhooks
from kelviq_async.api.features import FeatureType
from kelviq_async.model import Model


def events(example):
    return {kind: webhooks.load(example(kind)) for kind in webhooks.EVENTS}


# The classes


def test_all_nineteen_types_have_a_class_of_their_own():
    assert len(webhooks.EVENTS) == len(set(webhooks.EVENTS.values())) == 19
    for kind, cls in webhooks.EVENTS.items():
        assert cls.__name__ == kind.replace(".", "_").title().replace("_", "")
        assert getattr(webhooks, cls.__name__) is cls
        assert issubclass(cls, webhooks.Event)
        assert kind in cls.__doc__


def test_the_classes_cannot_be_changed_by_accident():
    with pytest.raises(TypeError):
        webhooks.EVENTS["order.created"] = webhooks.Event


def test_every_event_is_of_its_class_and_typed(example, kind):
    event = webhooks.load(example(kind))
    assert type(event) is webhooks.EVENTS[kind]
    assert event.type == kind
    assert event.created_at.utcoffset() is not None
    assert isinstance(event.object, Model)
    assert event.object is event.data.object
    assert event.object.object in {kind.split(".")[0], "checkout_session", "feature_usage_alert"}


def test_an_event_is_what_its_class_says_to_type_checkers():
    for cls in webhooks.EVENTS.values():
        (base,) = cls.__orig_bases__
        assert cls.__annotations__["data"] == f"EventData[{base.__args__[0].__name__}]"


def test_what_is_known_of_the_examples_is_in_the_models(example, kind):
    def look(value, data):
        if isinstance(value, Model):
            assert not value.extra, type(value).__name__
            for each in codec.fields(type(value)):
                if each.wire in data:
                    look(getattr(value, each.name), data[each.wire])
        elif value is None:
            assert data is None

    look(webhooks.load(example(kind)), example(kind))


# Values


def test_money_is_exact(example):
    of = events(example)
    assert of["order.created"].object.amount_total == Decimal("10.00")
    assert of["invoice.paid"].object.amount_total == Decimal(40)
    assert str(of["refund.created"].object.amount) == "20.0"
    assert of["subscription.created"].object.amount == Decimal("21.24")
    assert of["checkout.completed"].object.amount_units == 1000
    data = example("refund.created")
    data["data"]["object"]["amount"] = 0.1
    body = json.dumps(data).encode()
    assert webhooks.load(codec.decode(body)).object.amount == Decimal("0.1")


def test_times_are_aware_and_days_are_days(example):
    of = events(example)
    subscription = of["subscription.created"].object
    assert subscription.trial_end == datetime(2026, 3, 25, 5, 25, 33, tzinfo=UTC)
    assert subscription.start_date == date(2026, 3, 11)
    assert subscription.end_date is None
    data = example("subscription.created")
    data["created_at"] = "2026-03-11 05:25:34.000123"
    assert webhooks.load(data).created_at == datetime(2026, 3, 11, 5, 25, 34, 123, tzinfo=UTC)


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("subscription.cancelled", "canceled"),
        ("order.updated", "CANCELLED"),
        ("order.refunded", "PARTIAL_REFUND"),
        ("refund.updated", "CANCELED"),
        ("refund.updated", "SUCCEEDED"),
        ("checkout.completed", "success"),
        ("payment_method.created", "succeeded"),
        ("invoice.paid", "PAID"),
    ],
)
def test_each_resource_has_its_own_statuses_and_spellings(example, kind, status):
    data = example(kind)
    data["data"]["object"]["status"] = status
    found = webhooks.load(data).object.status
    assert found == status
    assert found.known
    data["data"]["object"]["status"] = "brand-new"
    found = webhooks.load(data).object.status
    assert (found, found.known) == ("brand-new", False)


def test_a_status_of_another_resource_is_not_known(example):
    data = example("subscription.cancelled")
    data["data"]["object"]["status"] = "CANCELLED"
    assert not webhooks.load(data).object.status.known


def test_an_alert_tells_what_was_crossed(example):
    alert = webhooks.load(example("feature.usage_alert")).object
    assert alert.feature.identifier == "api-calls"
    assert alert.feature.feature_type is FeatureType.METER
    assert (alert.current_usage, alert.usage_limit, alert.threshold_value) == (5, 5, 90)
    assert alert.threshold_type == "PERCENTAGE"


def test_a_numeric_id_is_text_and_goes_back_as_a_number(example):
    event = webhooks.load(example("payment_method.created"))
    assert event.object.id == "482"
    assert codec.dump(event)["data"]["object"]["id"] == 482


def test_previous_attributes_are_plain(example):
    assert webhooks.load(example("order.updated")).previous == {"status": "PENDING"}
    assert webhooks.load(example("invoice.paid")).previous == {"status": "OPEN", "paid_at": None}


@pytest.mark.parametrize("previous", [..., None, {}, [], "status"])
def test_without_previous_attributes_there_is_an_empty_mapping(example, previous):
    data = example("order.created")
    if previous is not ...:
        data["data"]["previous_attributes"] = previous
    event = webhooks.load(data)
    assert dict(event.previous) == {}
    with pytest.raises(TypeError):
        webhooks.load(example("order.created")).previous["status"] = "PENDING"
    assert codec.dump(event) == data


def test_the_users_own_keys_stay_as_they_are(example):
    data = example("checkout.completed")
    data["data"]["object"]["metadata"] = {"orderRef": {"camelCase": 1, "snake_case": 2}}
    event = webhooks.load(data)
    assert event.object.metadata == {"orderRef": {"camelCase": 1, "snake_case": 2}}


# Your own id of the customer


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("checkout.completed", "geo-jacob"),
        ("customer.created", "geo-jacob"),
        ("order.created", "geo-jacob"),
        ("subscription.created", "1"),
        ("subscription.updated", "bc43b1a034a643309ee39d2f1a4d2131"),
        ("feature.usage_alert", "fcec7a06c7484584b8a4d92711bfe528"),
        ("invoice.created", "geo-jacob"),
        ("refund.created", "geo-jacob"),
        ("payment_method.deleted", "geo-jacob"),
    ],
)
def test_your_id_wherever_the_type_keeps_it(example, kind, expected):
    assert webhooks.load(example(kind)).external_customer_id == expected
    unknown = example(kind) | {"type": "something.new"}
    assert webhooks.load(unknown).external_customer_id == expected


def test_every_type_tells_your_id(example, kind):
    assert webhooks.load(example(kind)).external_customer_id


@pytest.mark.parametrize("kind", ["order.created", "invoice.created", "checkout.completed"])
def test_kelviqs_id_is_never_taken_for_yours(example, kind):
    data = example(kind)
    del data["data"]["object"]["customer"]
    assert webhooks.load(data).object.customer_id
    assert webhooks.load(data).external_customer_id is None
    assert webhooks.load(data | {"type": "something.new"}).external_customer_id is None


def test_a_payment_method_tells_your_id_twice(example):
    data = example("payment_method.created")
    data["data"]["object"]["customer"] = None
    assert webhooks.load(data).external_customer_id == "geo-jacob"


@pytest.mark.parametrize("customer", [None, [], "geo", {}, {"customer_id": None}, {"customer_id": {}}])
def test_an_odd_customer_has_no_id(example, customer):
    data = example("subscription.created")
    data["data"]["object"]["customer"] = customer
    assert webhooks.load(data).external_customer_id is None
    assert webhooks.load(data | {"type": "something.new"}).external_customer_id is None


# Types nobody knew yet


def test_an_unknown_type_is_plain_data(example):
    data = example("order.updated") | {"type": "order.disputed"}
    event = webhooks.load(data)
    assert type(event) is webhooks.UnknownEvent
    assert event.object == data["data"]["object"]
    assert event.previous == {"status": "PENDING"}
    assert codec.dump(event) == data


@pytest.mark.parametrize("data", [..., None, {}, [], 7, {"object": None}, {"object": [1]}, {"object": {}}])
def test_an_unknown_event_may_look_like_anything(data):
    came = {"type": "ping"} if data is ... else {"type": "ping", "data": data}
    event = webhooks.load(came)
    assert event.object == {}
    assert event.external_customer_id is None
    assert (event.id, event.created_at) == (None, None)
    assert codec.dump(event) == came


@pytest.mark.parametrize("data", [None, [], "text", 7, {}, {"type": None}, {"type": 7}, {"type": ""}])
def test_what_is_no_event(data):
    with pytest.raises(webhooks.UnreadableBody):
        webhooks.load(data)


# What never shows


SECRETS = ["geojacob@example.com", "geo@example.com", "680121", "Bangalore", "4242", "EXCLUSIVE"]


def test_reprs_hide_emails_addresses_and_cards(example, kind):
    data = example(kind)
    data["data"]["previous_attributes"] = {"email": "old@example.com"}
    for event in (webhooks.load(data), webhooks.load(data | {"type": "something.new"})):
        shown = repr(event) + repr(event.data) + str(event)
        assert event.type in shown
        if type(event) is not webhooks.UnknownEvent:
            shown += repr(event.object)
        for hidden in [*SECRETS, "old@example.com"]:
            assert hidden not in shown


def test_events_are_values(example, kind):
    event = webhooks.load(example(kind))
    assert event == webhooks.load(example(kind))
    assert pickle.loads(pickle.dumps(event)) == event  # noqa: S301  our own bytes
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        event.type = "other"
