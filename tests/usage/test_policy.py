"""A policy that could never work is refused before anything is done."""

import math
from decimal import Decimal

import pytest

from kelviq_async.errors import ConfigError
from kelviq_async.usage import UsagePolicy
from tests.usage.meters import Watching

SECONDS = ["window", "timeout", "lease", "shutdown", "retain", "backoff", "max_backoff"]
WHOLE = ["max_records", "max_units", "concurrency"]
NO_NUMBERS = [None, "1", b"1", True, False, [1], {}, object(), 1j, Decimal(1), math.nan]


def test_the_defaults_work():
    policy = UsagePolicy()
    assert (policy.ambiguous, policy.late) == ("hold", "hold")
    assert policy.lease >= 2 * policy.timeout


@pytest.mark.parametrize("name", SECONDS)
@pytest.mark.parametrize("value", [*NO_NUMBERS, -1, -0.001, math.inf, -math.inf, 1e300, 10**400, -(10**400)])
def test_seconds_are_a_sane_number(name, value):
    with pytest.raises(ConfigError, match=f"usage policy: {name} must be"):
        UsagePolicy(**{name: value})


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("value", [*NO_NUMBERS, 0, -1, 1.0, 2.5, math.inf, 2**53, 10**400])
def test_caps_are_whole_and_positive(name, value):
    with pytest.raises(ConfigError, match=f"usage policy: {name} must be a whole number from 1"):
        UsagePolicy(**{name: value})


@pytest.mark.parametrize("name", ["ambiguous", "late"])
@pytest.mark.parametrize("value", ["", "HOLD", "hold ", "drop", None, True, 0, ["hold"], {}, b"hold"])
def test_what_to_do_is_a_word_that_is_known(name, value):
    with pytest.raises(ConfigError, match=f"usage policy: {name} must be 'hold' or "):
        UsagePolicy(**{name: value})


def test_each_word_has_its_own_setting():
    assert UsagePolicy(ambiguous="resend", late="send").ambiguous == "resend"
    with pytest.raises(ConfigError, match="ambiguous"):
        UsagePolicy(ambiguous="send")
    with pytest.raises(ConfigError, match="late"):
        UsagePolicy(late="resend")


@pytest.mark.parametrize("name", ["timeout", "lease"])
def test_some_time_is_needed(name):
    with pytest.raises(ConfigError, match=name):
        UsagePolicy(**{name: 0})


def test_a_lease_outlives_what_is_on_its_way():
    assert UsagePolicy(timeout=5, lease=10).lease == 10
    for timeout, lease in [(5, 9.999), (31, 60), (10, 10), (10, 0.5)]:
        with pytest.raises(ConfigError, match="lease must be at least twice the timeout"):
            UsagePolicy(timeout=timeout, lease=lease)


def test_the_longest_pause_is_no_shorter_than_the_first():
    assert UsagePolicy(backoff=2, max_backoff=2).backoff == 2
    with pytest.raises(ConfigError, match="max_backoff"):
        UsagePolicy(backoff=2, max_backoff=1.5)


def test_zero_is_a_time_where_it_means_something():
    policy = UsagePolicy(window=0, shutdown=0, retain=0)
    assert (policy.window, policy.shutdown, policy.retain) == (0, 0, 0)


def test_caps_may_be_as_small_or_large_as_they_go():
    assert UsagePolicy(max_records=1, max_units=1, concurrency=1).max_units == 1
    assert UsagePolicy(max_records=10**6, max_units=2**53 - 1, concurrency=1000).max_units == 2**53 - 1


@pytest.mark.parametrize("observer", [object(), Watching, lambda *_: None, "a text", 0])
def test_an_observer_is_one(observer):
    with pytest.raises(ConfigError, match="usage policy: observer must be an object with moved"):
        UsagePolicy(observer=observer)
    assert UsagePolicy(observer=Watching()).observer is not None
