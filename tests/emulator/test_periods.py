from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from itertools import pairwise
from time import process_time

import pytest
from hypothesis import assume, given, strategies as st

from kelviq_async.emulator.periods import (
    CHARGE_PERIODS,
    METER_RESETS,
    Interval,
    Period,
    billing_period,
    billing_period_at,
    by_calendar,
    carried_over,
    crossed_thresholds,
    license_expiry,
    recurrence,
    usage_period_at,
)
from kelviq_async.emulator.pricing import InvalidValue

RECURRING = sorted(set(CHARGE_PERIODS) - {"ONE_TIME"})
RESETTING = sorted(set(METER_RESETS) - {"NEVER"})

instants = st.datetimes(datetime(1990, 1, 1), datetime(2400, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
waits = st.timedeltas(timedelta(0), timedelta(days=150_000))


def day(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def starts(charge_period, anchor, count):
    return [f"{billing_period(charge_period, day(anchor), n).start:%Y-%m-%d}" for n in range(count)]


@pytest.mark.parametrize(
    ("charge_period", "anchor", "expected"),
    [
        ("DAILY", "2026-02-28", ["2026-02-28", "2026-03-01", "2026-03-02"]),
        ("WEEKLY", "2026-01-29", ["2026-01-29", "2026-02-05", "2026-02-12"]),
        ("TWENTY_EIGHT_DAYS", "2026-01-31", ["2026-01-31", "2026-02-28", "2026-03-28"]),
        ("MONTHLY", "2026-01-31", ["2026-01-31", "2026-02-28", "2026-03-31", "2026-04-30"]),
        ("THREE_MONTHS", "2025-11-30", ["2025-11-30", "2026-02-28", "2026-05-30"]),
        ("QUARTERLY", "2025-11-30", ["2025-11-30", "2026-02-28", "2026-05-30"]),
        ("SIX_MONTHS", "2025-08-31", ["2025-08-31", "2026-02-28", "2026-08-31"]),
        ("YEARLY", "2024-02-29", ["2024-02-29", "2025-02-28", "2026-02-28", "2027-02-28", "2028-02-29"]),
    ],
)
def test_boundaries_are_counted_from_the_anchor(charge_period, anchor, expected):
    assert starts(charge_period, anchor, len(expected)) == expected


def test_a_published_billing_period_keeps_the_time_of_day():
    assert billing_period("MONTHLY", day("2025-07-28T10:46:34"), 0).end == day("2025-08-28T10:46:34")


def test_a_purchase_has_one_period_without_an_end():
    start = day("2026-06-20")
    assert billing_period("ONE_TIME", start, 0) == Period(start, None)
    assert billing_period_at("ONE_TIME", start, day("9999-12-31")) == Period(start, None)
    for index in (-1, 1):
        with pytest.raises(ValueError, match="no period"):
            billing_period("ONE_TIME", start, index)


@pytest.mark.parametrize("charge_period", RECURRING)
@given(anchor=instants, first=st.integers(0, 500))
def test_periods_tile_time(charge_period, anchor, first):
    periods = [billing_period(charge_period, anchor, first + n) for n in range(4)]
    for period, following in pairwise(periods):
        assert period.start < period.end == following.start
        assert period.start in period
        assert period.end not in period
        assert following.start in following


@pytest.mark.parametrize("charge_period", RECURRING)
@given(anchor=instants, wait=waits)
def test_every_instant_is_in_the_period_that_is_found(charge_period, anchor, wait):
    period = billing_period_at(charge_period, anchor, anchor + wait)
    assert anchor + wait in period
    assert period.start >= anchor
    assert period.start.tzinfo is UTC
    assert billing_period_at(charge_period, anchor, period.end).start == period.end
    if period.start > anchor:
        last_moment = period.start - timedelta(microseconds=1)
        assert billing_period_at(charge_period, anchor, last_moment).end == period.start


@pytest.mark.parametrize("charge_period", RECURRING)
@given(anchor=instants, index=st.integers(0, 2000))
def test_a_period_is_found_by_any_of_its_instants(charge_period, anchor, index):
    period = billing_period(charge_period, anchor, index)
    for at in (period.start, period.start + (period.end - period.start) / 2):
        assert billing_period_at(charge_period, anchor, at) == period


def test_far_away_periods_are_found_at_once():
    began = process_time()
    for _ in range(200):
        billing_period_at("DAILY", day("0001-01-01"), day("9999-12-30"))
        usage_period_at("EVERY_MONTH", day("1990-01-31"), day("9999-11-30"), calendar=False)
    assert process_time() - began < 1


def test_other_time_zones_mean_the_same_instants():
    india = timezone(timedelta(hours=5, minutes=30))
    local = datetime(2026, 3, 1, 2, 0, tzinfo=india)  # still February in UTC
    assert billing_period("MONTHLY", local, 1).start == datetime(2026, 3, 28, 20, 30, tzinfo=UTC)
    period = usage_period_at("EVERY_MONTH", day("2026-01-10"), local, calendar=True)
    assert period == Period(day("2026-02-01"), day("2026-03-01"))


def test_what_cannot_be_answered_is_an_error():
    now = day("2026-01-31")
    naive = now.replace(tzinfo=None)
    with pytest.raises(ValueError, match="no time zone"):
        usage_period_at("NEVER", now, naive, calendar=True)
    for charge_period in ("MONTHLY", "DAILY", "ONE_TIME"):
        with pytest.raises(ValueError, match="before"):
            billing_period_at(charge_period, now, now - timedelta(microseconds=1))
    with pytest.raises(ValueError, match="before"):
        usage_period_at("EVERY_MONTH", now, day("2026-01-30"), calendar=True)
    with pytest.raises(InvalidValue):
        billing_period("FORTNIGHTLY", now, 0)
    with pytest.raises(InvalidValue):
        usage_period_at("EVERY_HOUR", now, now, calendar=True)
    for charge_period in ("DAILY", "MONTHLY"):
        with pytest.raises(OverflowError):
            billing_period(charge_period, day("9999-12-31"), 1)


@pytest.mark.parametrize(
    ("reset", "calendar", "start", "end"),
    [
        ("EVERY_DAY", True, "2026-08-19", "2026-08-20"),
        ("EVERY_WEEK", True, "2026-08-17", "2026-08-24"),
        ("EVERY_28_DAYS", True, "2026-08-12", "2026-09-09"),
        ("EVERY_MONTH", True, "2026-08-01", "2026-09-01"),
        ("EVERY_QUARTER", True, "2026-07-01", "2026-10-01"),
        ("EVERY_YEAR", True, "2026-01-01", "2027-01-01"),
        ("NEVER", True, "2026-05-20", None),
        ("EVERY_DAY", False, "2026-08-18T17:57:16", "2026-08-19T17:57:16"),
        ("EVERY_WEEK", False, "2026-08-12T17:57:16", "2026-08-19T17:57:16"),
        ("EVERY_28_DAYS", False, "2026-08-12T17:57:16", "2026-09-09T17:57:16"),
        ("EVERY_MONTH", False, "2026-07-20T17:57:16", "2026-08-20T17:57:16"),
        ("EVERY_QUARTER", False, "2026-05-20T17:57:16", "2026-08-20T17:57:16"),
        ("EVERY_YEAR", False, "2026-05-20T17:57:16", "2027-05-20T17:57:16"),
        ("NEVER", False, "2026-05-20T17:57:16", None),
    ],
)
def test_meters_reset_by_the_calendar_or_by_the_subscription(reset, calendar, start, end):
    period = usage_period_at(reset, day("2026-05-20T17:57:16"), day("2026-08-19T12:00"), calendar=calendar)
    assert period == Period(day(start), end and day(end))


@pytest.mark.parametrize("reset", RESETTING)
@given(start=instants, wait=waits, calendar=st.booleans())
def test_meter_periods_tile_time(reset, start, wait, calendar):
    period = usage_period_at(reset, start, start + wait, calendar=calendar)
    assert start + wait in period
    assert usage_period_at(reset, start, period.end, calendar=calendar).start == period.end
    if calendar:
        assert period.start == period.start.replace(hour=0, minute=0, second=0, microsecond=0)


def test_only_the_beginning_of_a_period_means_the_calendar():
    times = ("BEGINNING_OF_PERIOD", "SUBSCRIPTION_START", None)
    assert [by_calendar(time) for time in times] == [True, False, False]


@pytest.mark.parametrize(
    ("charge_period", "text", "counted"),
    [
        ("DAILY", "day", "1 day"),
        ("TWENTY_EIGHT_DAYS", "28 days", "28 days"),
        ("MONTHLY", "month", "1 month"),
        ("QUARTERLY", "3 months", "3 months"),
        ("YEARLY", "year", "1 year"),
    ],
)
def test_recurrence_has_two_spellings(charge_period, text, counted):
    assert (recurrence(charge_period).text, recurrence(charge_period).counted_text) == (text, counted)
    assert recurrence("SIX_MONTHS") == Interval(count=6, unit="MONTH")
    assert recurrence("ONE_TIME") is None


def test_licences_expire_by_the_calendar():
    issued = day("2024-02-29T03:26:56")
    assert license_expiry(issued, "DAY", 1) == day("2024-03-01T03:26:56")
    assert (
        license_expiry(issued, "MONTH", 12) == license_expiry(issued, "YEAR", 1) == day("2025-02-28T03:26:56")
    )
    assert license_expiry(day("2026-01-31"), "MONTH", 1) == day("2026-02-28")
    for unit, value in (("DECADE", 1), ("YEAR", 0)):
        with pytest.raises(InvalidValue):
            license_expiry(issued, unit, value)


def test_the_published_rollover():
    assert 10_000 + carried_over({"enabled": True, "percentage": 50, "limit": 750}, 2000) == 10_750


@pytest.mark.parametrize(
    ("rollover", "unused", "carried"),
    [
        (None, 2000, 0),
        ({}, 2000, 0),
        ({"enabled": False, "percentage": 50}, 2000, 0),
        ({"enabled": True}, 2000, 2000),
        ({"enabled": True, "percentage": "50", "limit": None}, 2001, 1000),
        ({"enabled": True, "percentage": 100, "limit": 0}, 2000, 0),
        ({"enabled": True, "percentage": 50, "limit": 750}, -300, 0),
    ],
)
def test_rollover_carries_whole_units(rollover, unused, carried):
    assert carried_over(rollover, unused) == carried


@given(st.integers(-(10**9), 10**9), st.decimals(0, 100, places=3), st.none() | st.integers(0, 10**9))
def test_rollover_is_bounded(unused, percentage, limit):
    carried = carried_over({"enabled": True, "percentage": percentage, "limit": limit}, unused)
    assert type(carried) is int
    assert 0 <= carried <= max(0, unused)
    assert limit is None or carried <= limit


@pytest.mark.parametrize("terms", [{"percentage": 101}, {"percentage": -1}, {"percentage": 50, "limit": -1}])
def test_rollover_terms_that_cannot_be_meant(terms):
    with pytest.raises(InvalidValue):
        carried_over({"enabled": True, **terms}, 100)


def alerts(kind, *thresholds):
    return {"enabled": True, "thresholds": list(thresholds), "thresholdType": kind}


@pytest.mark.parametrize(
    ("config", "before", "after", "limit", "crossed"),
    [
        (alerts("PERCENTAGE", 75, 90), 7499, 7500, 10_000, (75,)),
        (alerts("PERCENTAGE", 75, 90), 7500, 8999, 10_000, ()),
        (alerts("PERCENTAGE", 90, 75), 0, 10_000, 10_000, (75, 90)),
        (alerts("PERCENTAGE", 90), 4, 5, 5, (90,)),
        (alerts("PERCENTAGE", 75), 0, 10**9, None, ()),
        (alerts("PERCENTAGE", 75), -5, 10, 0, ()),
        (alerts("BALANCE", 7500), 7499, 7500, 10_000, (7500,)),
        (alerts("BALANCE", 7500), 0, 8000, None, (7500,)),
        (alerts("BALANCE", "1.5", 1.5, 2), 1, 3, 3, (Decimal("1.5"), 2)),
        ({"enabled": True, "thresholds": [50], "threshold_type": "PERCENTAGE"}, 0, 50, 100, (50,)),
        (alerts("BALANCE", 7500), 8000, 7000, None, ()),
        ({"enabled": False, "thresholds": [75], "thresholdType": "PERCENTAGE"}, 0, 100, 100, ()),
        ({"enabled": True, "thresholdType": "BALANCE"}, 0, 100, 100, ()),
        (None, 0, 100, 100, ()),
    ],
)
def test_thresholds_are_crossed_from_below(config, before, after, limit, crossed):
    found = crossed_thresholds(config, before, after, limit)
    assert found == crossed
    assert [type(value) for value in found] == [type(value) for value in crossed]


def test_a_threshold_alerts_once_in_a_period():
    config = alerts("PERCENTAGE", 75, 90)
    assert crossed_thresholds(config, 70, 95, 100, alerted={75}) == (90,)
    assert crossed_thresholds(config, 70, 95, 100, alerted=[Decimal(90), 75]) == ()


@pytest.mark.parametrize(
    "config",
    [
        alerts("PERCENTAGE", 101),
        alerts("PERCENTAGE", 0),
        alerts("BALANCE", "0.5"),
        alerts("BALANCE", "lots"),
        alerts("WEIGHT", 5),
        {"enabled": True, "thresholds": 75, "thresholdType": "PERCENTAGE"},
    ],
)
def test_alert_settings_that_cannot_be_meant(config):
    with pytest.raises(InvalidValue):
        crossed_thresholds(config, 0, 100, 100)


@given(
    st.lists(st.integers(1, 100), unique=True),
    st.lists(st.integers(0, 200), min_size=2, max_size=20).map(sorted),
    st.integers(1, 150),
)
def test_rising_usage_alerts_the_same_in_one_step_or_in_many(thresholds, usage, limit):
    assume(usage[0] < usage[-1])
    config = alerts("PERCENTAGE", *thresholds)
    in_steps = [crossed_thresholds(config, before, after, limit) for before, after in pairwise(usage)]
    assert sum(in_steps, ()) == crossed_thresholds(config, usage[0], usage[-1], limit)
