"""What several subscriptions grant of one feature: any grant counts, and nothing is guessed."""

from datetime import UTC, datetime

import pytest
from hypothesis import given, strategies as st

from kelviq_async import CustomerEntitlements, Entitlements, FeatureType, codec


def entry(feature="api-calls", access=True, kind="METER", **more):
    return {"featureId": feature, "hasAccess": access, "featureType": kind, "resetAt": None, **more}


def meter(limit, used, remaining, **more):
    return entry(usageLimit=limit, currentUsage=used, remaining=remaining, hardLimit=True, **more)


def answer(*entries):
    data = {"customerId": "user-1", "entitlements": list(entries)}
    return Entitlements("user-1", codec.load(CustomerEntitlements, data))


def one(*entries):
    return answer(*entries)["api-calls"]


# Kelviq's verdict


@pytest.mark.parametrize(
    ("verdicts", "granted"),
    [
        ([True], True),
        ([False], False),
        ([False, True], True),
        ([True, False, False], True),
        ([False, False], False),
        ([None], None),
        (["true"], None),
        ([1], None),
        ([0], None),
        ([False, None], None),
        ([False, "false"], None),
        ([None, True], True),
        (["no", True], True),
    ],
)
def test_any_entry_grants_and_none_denies_for_another(verdicts, granted):
    assert one(*(entry(access=verdict) for verdict in verdicts)).granted is granted


@given(st.lists(st.sampled_from([True, False, None, "true", 1, 0, [], {}]), min_size=1))
def test_only_a_json_boolean_is_a_verdict(verdicts):
    granted = one(*(entry(access=verdict) for verdict in verdicts)).granted
    if any(verdict is True for verdict in verdicts):
        assert granted is True
    elif all(verdict is False for verdict in verdicts):
        assert granted is False
    else:
        assert granted is None


def test_the_verdict_is_not_recomputed():
    assert one(meter(100, 150, 0, access=True)).granted is True  # a soft limit
    assert one(meter(100, 10, 90, access=False)).granted is False


# Sums


def test_a_meter_adds_up_what_its_entries_say():
    found = one(meter(100, 30, 70), meter(50, 50, 0, access=False))
    assert (found.limit, found.used, found.remaining, found.unlimited) == (150, 80, 70, False)


def test_rollover_may_exceed_what_the_limit_leaves():
    found = one(meter(10_000, 0, 10_750))
    assert (found.limit, found.used, found.remaining) == (10_000, 0, 10_750)


@pytest.mark.parametrize("unlimited", [meter(None, 7, None), entry(currentUsage=7)])
def test_one_unlimited_grant_makes_all_unlimited(unlimited):
    found = one(meter(100, 30, 70), unlimited)
    assert (found.unlimited, found.limit, found.remaining, found.used) == (True, None, None, 37)


def test_a_limit_that_is_left_out_where_something_remains_is_none_that_is_lifted():
    unnamed = entry(currentUsage=40, remaining=60, hardLimit=True)
    found = one(unnamed)
    assert (found.unlimited, found.limit, found.remaining, found.used) == (False, None, 60, 40)
    found = one(unnamed, meter(10, 3, 7))
    assert (found.unlimited, found.remaining) == (False, 67)
    assert one(unnamed, meter(None, 7, None)).unlimited is True
    assert one(meter(None, 7, 60)).unlimited is True, "a null says it"


def test_an_unlimited_entry_that_grants_nothing_does_not_count():
    found = one(meter(100, 30, 70), meter(None, 7, None, access=False))
    assert (found.unlimited, found.limit, found.remaining) == (False, 100, 70)


@pytest.mark.parametrize("odd", ["many", [], {}, "1e3x", True])
def test_a_number_that_cannot_be_read_makes_no_sum(odd):
    found = one(meter(100, 30, 70), meter(odd, 5, odd))
    assert (found.unlimited, found.limit, found.remaining, found.used) == (False, None, None, 35)


def test_a_switch_has_no_numbers():
    found = one(entry(kind="BOOLEAN"))
    assert (found.unlimited, found.limit, found.used, found.remaining, found.value) == (
        False,
        None,
        None,
        None,
        None,
    )


# Values, types, times


def test_the_value_of_a_value_feature():
    found = one(
        entry(kind="CUSTOMIZABLE", usageLimit=5),
        entry(kind="CUSTOMIZABLE", usageLimit=20),
        entry(kind="CUSTOMIZABLE", usageLimit=99, access=False),
        entry(kind="CUSTOMIZABLE", usageLimit=None),
    )
    assert (found.value, found.values) == (20, (5, 20))
    assert found.unlimited is False


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("FLAG", FeatureType.BOOLEAN),
        ("LIMIT", FeatureType.CUSTOMIZABLE),
        ("METER", FeatureType.METER),
        ("X", "X"),
    ],
)
def test_old_and_unknown_types(text, kind):
    assert one(entry(kind=text)).feature_type == kind


def test_the_type_is_that_of_the_first_entry_that_names_one():
    assert one(entry(kind=None), meter(1, 0, 1)).feature_type == FeatureType.METER
    assert one(entry(kind=None)).feature_type is None


def test_every_entry_is_kept_as_it_came():
    entries = [meter(100, 30, 70, surprise=1), entry(access="yes")]
    assert codec.dump(list(one(*entries).items)) == entries


def test_the_next_reset():
    found = one(entry(resetAt="2026-03-01 00:00:00"), entry(resetAt="2026-02-01 08:27:45"), entry())
    assert found.reset_at == datetime(2026, 2, 1, 8, 27, 45, tzinfo=UTC)
    assert one(entry()).reset_at is None


@pytest.mark.parametrize(
    ("limits", "hard"), [([True], True), ([True, True], True), ([True, False], False), ([None], False)]
)
def test_a_hard_limit_is_one_of_all_entries(limits, hard):
    assert one(*(entry(hardLimit=limit) for limit in limits)).hard_limit is hard


# The mapping


def test_features_by_name():
    found = answer(entry("a"), entry("b"), entry("a", access=False))
    assert list(found) == ["a", "b"]
    assert len(found) == 2
    assert len(found["a"].items) == 2
    assert "c" not in found
    assert repr(found) == "<Entitlements a, b>"
    assert repr(answer()) == "<Entitlements none>"
    with pytest.raises(KeyError):
        found["c"]


def test_equal_answers_are_equal():
    assert answer(entry("a"), meter(1, 0, 1)) == answer(entry("a"), meter(1, 0, 1))
    assert answer(entry("a")) != answer(entry("a", access=False))


@pytest.mark.parametrize(
    ("odd", "complete"),
    [
        ("a text", False),
        (7, False),
        (None, False),
        ([], False),
        (entry(feature=7), False),
        (entry(feature=["a"]), False),
        ({}, True),  # it is about no feature
        (entry(feature=None), True),
        (entry(feature=""), True),
        ({"addOnId": "x"}, True),
    ],
)
def test_an_entry_that_might_be_about_anything_is_noticed(odd, complete):
    found = answer(entry("a"), odd)
    assert list(found) == ["a"]
    assert found.complete is complete
