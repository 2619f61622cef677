"""Events between JSON and models: nothing of what came is lost."""

import copy
from datetime import UTC, datetime
from decimal import Decimal

from hypothesis import given, strategies as st

from kelviq_async import codec, webhooks

NULLS = {"features", "paid_at", "due_date", "end_date", "order_id", "period_end_time"}


def test_nothing_is_lost(example, kind):
    data = example(kind)
    event = codec.load(webhooks.EVENTS[kind], copy.deepcopy(data))
    assert codec.dump(event) == data


def test_what_is_unknown_stays(example, kind):
    data = example(kind)
    data["api_version"] = "2027-01-01"
    data["data"]["request"] = {"id": 7}
    data["data"]["object"]["newCamelField"] = [{"a_b": 1}]
    event = webhooks.load(data)
    assert event.extra == {"api_version": "2027-01-01"}
    assert event.object.extra == {"newCamelField": [{"a_b": 1}]}
    assert codec.dump(event) == data


def places(data, at=()):
    if isinstance(data, dict):
        for key, value in data.items():
            yield (*at, key)
            yield from places(value, (*at, key))


def changed(data, at, value):
    inner = data
    for key in at[:-1]:
        inner = inner[key]
    inner[at[-1]] = value
    return data


odd = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.decimals(-1000, 1000, places=2),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)


@given(st.data())
def test_whatever_stands_anywhere_nothing_is_lost(example, data):
    kind = data.draw(st.sampled_from(list(webhooks.EVENTS)))
    at = data.draw(st.sampled_from(list(places(example(kind)))))
    came = changed(example(kind), at, data.draw(odd))
    event = codec.load(webhooks.EVENTS[kind], copy.deepcopy(came))
    assert codec.encode(codec.canonical(codec.dump(event))) == codec.encode(codec.canonical(came))
    assert event.previous is not None
    assert isinstance(event.external_customer_id, str | None)
    repr(event)


def test_an_emulator_can_make_events_and_write_them():
    made = webhooks.OrderCreated(
        id="evt_1",
        type="order.created",
        created_at=datetime(2026, 4, 1, 17, 36, 41, tzinfo=UTC),
        data=webhooks.EventData(
            object=webhooks.OrderPayload(
                id="ORD-1", object="order", amount_total=Decimal("10.00"), plan=webhooks.PlanBrief(version=1)
            )
        ),
    )
    written = codec.dump(made, nulls=True)
    assert written["created_at"] == "2026-04-01T17:36:41Z"
    assert written["data"]["object"]["amount_total"] == "10.00"
    assert written["data"]["object"]["paid_at"] is None
    assert written["data"]["object"]["plan"] == {"version": 1}
    assert webhooks.load(written).object == made.object


def test_what_may_be_null_is_written_as_null(example, kind):
    data = example(kind)["data"]["object"]
    nulls = {key for key, value in data.items() if value is None}
    assert nulls <= NULLS
    fresh = type(webhooks.load(example(kind)).object)()
    assert nulls <= codec.dump(fresh, nulls=True).keys()
