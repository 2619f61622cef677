"""Loaders for objects with known keys give what the loader for any object gives, or nothing."""

import sys
import threading
from datetime import UTC, datetime
from decimal import Decimal

import attrs
import pytest
from hypothesis import HealthCheck, assume, given, settings, strategies as st

from kelviq_async import (
    CustomerEntitlements,
    EntitlementEntry,
    FeatureType,
    Order,
    Page,
    Refund,
    codec,
    compiling,
)
from kelviq_async.model import NOTHING, Model, field, model
from tests.test_codec import MODELS, ODD, exactly, objects

ENTRY = {
    "featureId": "max-projects",
    "hasAccess": True,
    "featureType": "METER",
    "resetAt": "2025-05-22 08:27:45",
    "hardLimit": True,
    "usageLimit": 5,
    "currentUsage": 1,
    "remaining": 4,
}


@model
class Branch(Model):
    """One that holds its like."""

    name: str
    branch: "Branch"
    branches: list["Branch"]
    price: Decimal = field(form="number")


def shapes_of(cls):
    return compiling.Shapes(
        codec.get_origin(cls) or cls,
        codec.fields(cls),
        nested=codec.loader,
        null=codec._NULL,
        compact=codec._compact,
    )


def compiled(cls, raw):
    return shapes_of(cls)._made(tuple(raw))


def unlike(one, other):
    """What differs between two models, in every value, class, and what is kept."""
    if one.__class__ is not other.__class__:
        return [(one.__class__, other.__class__)]
    if isinstance(one, list):
        rows = [unlike(*pair) for pair in zip(one, other, strict=True)]
        return [each for row in rows for each in row]
    if not isinstance(one, Model):
        return [] if repr(one) == repr(other) else [(one, other)]
    names = [each.name for each in attrs.fields(type(one)) if each.name != "_kept"]
    found = [each for name in names for each in unlike(getattr(one, name), getattr(other, name))]
    if repr(one._kept) != repr(other._kept) or (one.extra is NOTHING) is not (other.extra is NOTHING):
        found.append((one._kept, other._kept))
    return found


relaxed = settings(suppress_health_check=list(HealthCheck), deadline=None, max_examples=200)


@relaxed
@given(st.data())
def test_any_object_is_read_alike(data):
    cls = data.draw(st.sampled_from(MODELS))
    raw = data.draw(objects(cls))
    assume(raw)
    load, of_any = compiled(cls, raw), codec._loader_of_any(cls)
    for _ in range(2):  # what is remembered of the first changes nothing
        value = load(raw)
        if value is not None:
            assert unlike(value, of_any(raw)) == []
            assert exactly(codec.dump(value), raw)


@pytest.mark.parametrize("cls", MODELS, ids=lambda cls: getattr(cls, "__name__", str(cls)))
def test_any_odd_thing_in_any_field_is_read_alike(cls):
    of_any = codec._loader_of_any(cls)
    for each in codec.fields(cls):
        load = compiled(cls, [each.wire, "later"])
        for odd in ODD:
            raw = {each.wire: odd, "later": odd}
            for _ in range(2):
                value = load(raw)
                assert value is None or unlike(value, of_any(raw)) == [], (each.name, odd)


def test_the_usual_case_needs_no_other_loader():
    for change in (
        {},
        {"hasAccess": False},
        {"usageLimit": None, "remaining": None},
        dict.fromkeys(ENTRY),
        {"resetAt": "2031-01-01 00:00:00"},
        {"tier": {"new": 1}},
    ):
        raw = {**ENTRY, **change}
        value = compiled(EntitlementEntry, raw)(raw)
        assert type(value) is EntitlementEntry
        assert exactly(codec.dump(value), raw)
    assert value.reset_at == datetime(2025, 5, 22, 8, 27, 45, tzinfo=UTC)
    assert value.feature_type is FeatureType.METER
    assert value.extra == {"tier": {"new": 1}}


@pytest.mark.parametrize("odd", ["no", "true", 1, 0, "", [], Decimal(1)])
def test_a_verdict_that_is_none_stays_none(odd):
    raw = {**ENTRY, "hasAccess": odd}
    assert compiled(EntitlementEntry, raw)(raw) is None
    for _ in range(compiling.MEETINGS + 10):
        value = codec.load(EntitlementEntry, raw)
        assert value.has_access is None
        assert exactly(codec.dump(value), raw)


def test_what_is_made_is_as_frozen_as_ever():
    raw = dict(ENTRY)
    value = compiled(EntitlementEntry, raw)(raw)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        value.has_access = False
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        del value.has_access
    assert value == codec._loader_of_any(EntitlementEntry)(raw)
    assert repr(value) == repr(codec._loader_of_any(EntitlementEntry)(raw))


def test_without_a_twin_fields_are_set_one_by_one(monkeypatch):
    monkeypatch.setattr(compiling, "_twin", lambda cls: None)
    value = compiled(EntitlementEntry, ENTRY)(ENTRY)
    assert unlike(value, codec._loader_of_any(EntitlementEntry)(ENTRY)) == []


def test_where_threads_run_side_by_side_there_is_no_twin(monkeypatch):
    assert compiling._twin(EntitlementEntry) is not None
    monkeypatch.setattr(sys, "_is_gil_enabled", lambda: False, raising=False)
    assert compiling._twin(EntitlementEntry) is None


def test_a_class_of_another_layout_has_no_twin():
    class WithDict(Model):
        pass

    class Below(WithDict):
        __slots__ = ("a",)

    assert compiling._twin(WithDict) is None
    assert compiling._twin(Page) is None
    assert codec.load(Page[Refund], {"results": [], "count": 0}).results == []
    assert compiling._twin(Below) is not None


def test_a_model_may_hold_its_like():
    raw = {"name": "a", "branch": {"name": "b", "branch": None}, "branches": [{"name": "c"}, 5], "price": 1}
    for _ in range(compiling.MEETINGS + 10):
        value = codec.load(Branch, raw)
        assert exactly(codec.dump(value), raw)
    assert [value.branch.name, value.branches[0].name, value.branches[1].name] == ["b", "c", None]
    assert codec.loader(Branch).__closure__


def test_loaders_are_made_for_keys_that_come_often():
    shapes = shapes_of(EntitlementEntry)
    shape = tuple(ENTRY)
    for _ in range(compiling.MEETINGS - 1):
        shapes.meet(shape)
    assert shapes.loaders == {}
    for _ in range(3):
        shapes.meet(shape)
    assert list(shapes.loaders) == [shape]


def test_made_up_keys_fill_no_memory():
    shapes = shapes_of(EntitlementEntry)
    for number in range(10_000):
        shapes.meet((f"key-{number}",))
    assert len(shapes._met) <= compiling._KEYS
    for number in range(100):
        for _ in range(compiling.MEETINGS):
            shapes.meet((f"key-{number}", "featureId"))
    assert len(shapes.loaders) == compiling.SHAPES
    for shape in [(), tuple(map(str, range(1000)))]:
        for _ in range(compiling.MEETINGS):
            shapes.meet(shape)
    assert len(shapes.loaders) == compiling.SHAPES


def test_made_up_texts_and_nulls_fill_no_memory():
    spelling = next(each.spelling for each in codec.fields(EntitlementEntry) if each.name == "reset_at")
    known, read = compiling._recalled(spelling, datetime)
    for number in range(3 * compiling._TEXTS):
        text = f"{number + 1:04}-01-01 00:00:00"
        assert read(text) == spelling.load(text)
    assert len(known.__self__) <= compiling._TEXTS
    load = compiled(EntitlementEntry, ENTRY)
    kept = load.__globals__["kept"].__closure__
    memory = next(cell.cell_contents for cell in kept if cell.cell_contents == {})
    for number in range(2**8):
        raw = {name: None if number >> bit & 1 else ENTRY[name] for bit, name in enumerate(ENTRY)}
        value = load(raw)
        assert unlike(value, codec._loader_of_any(EntitlementEntry)(raw)) == []
        assert exactly(codec.dump(value), raw)
    assert len(memory) == compiling._KEYS


def test_names_of_keys_are_no_code():
    raw = {
        "featureId": "f",
        "'); raise SystemExit('": 1,
        "\ud800": 2,
        "\n import os": 3,
        "self": 4,
        "data": 5,
    }
    value = compiled(EntitlementEntry, raw)(raw)
    assert exactly(codec.dump(value), raw)
    assert len(value.extra) == 5


def test_money_and_times_are_shared_and_lists_are_not():
    raw = {"id": "1", "features": [1], "metadata": {"a": 1}}
    load = compiled(Order, raw)
    one, other = load(raw) or codec.load(Order, raw), load(raw) or codec.load(Order, raw)
    assert codec.dump(one) == codec.dump(other) == raw
    entry = compiled(EntitlementEntry, ENTRY)
    assert entry(ENTRY).reset_at is entry(ENTRY).reset_at


def test_many_threads_may_load_at_once():
    raw = {"customerId": "a", "entitlements": [{**ENTRY, "featureId": f"f-{n % 7}"} for n in range(20)]}
    failures = []

    def work():
        try:
            for _ in range(200):
                assert exactly(codec.dump(codec.load(CustomerEntitlements, raw)), raw)
        except BaseException as error:  # noqa: BLE001  of any kind
            failures.append(error)

    codec.loader.cache_clear()
    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
