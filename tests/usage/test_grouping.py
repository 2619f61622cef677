"""Which records go together, and when."""

import attrs
import pytest
from hypothesis import given, strategies as st

from kelviq_async.usage import UsagePolicy
from kelviq_async.usage.grouping import Gathering, runs
from kelviq_async.usage.records import Key, Record, Waiting
from tests.usage.pieces import DELTA, KEY, OTHER, SET, record, run_of

NOW = 1000.0
POLICY = UsagePolicy(window=2.0, timeout=1.0, lease=10.0)


def in_a_row(*records):
    return [Waiting(10 * place, each) for place, each in enumerate(records, 1)]


def at(moment, value=1, key=KEY, behaviour=DELTA, *, reset_at=None):
    return record(key, value, behaviour, at=moment, reset_at=reset_at)


def due(*records, policy=POLICY, now=NOW, hurry=False):
    """The values of the runs whose time has come."""
    return [run.value for run in runs(in_a_row(*records), policy, now, hurry=hurry)[0]]


def test_nothing_waits():
    assert runs([], POLICY, NOW) == ([], None)
    assert runs([], POLICY, NOW, hurry=True) == ([], None)


def test_a_run_says_what_it_stands_for():
    waiting = in_a_row(at(990.0, 3), at(991.0, -1, reset_at=5000.0), at(992.0, 5))
    assert runs(waiting, POLICY, NOW) == ([run_of(waiting)], None)
    [[run], _] = runs(waiting, POLICY, NOW)
    assert (run.value, run.records, run.first, run.last) == (7, 3, 10, 30)
    assert (run.first_at, run.last_at, run.reset_at) == (990.0, 992.0, 5000.0)


# When it is time


@pytest.mark.parametrize(("age", "time"), [(0.0, False), (1.75, False), (2.0, True), (500.0, True)])
def test_the_oldest_decides_when_it_is_time(age, time):
    waiting = in_a_row(at(NOW - age), at(NOW))
    found, later = runs(waiting, POLICY, NOW)
    assert (found, later) == (([run_of(waiting)], None) if time else ([], NOW - age + 2.0))


def test_the_next_moment_is_that_of_the_first_to_come():
    keys = [Key("cust", str(n)) for n in range(4)]
    waiting = in_a_row(*(at(NOW - age, key=key) for age, key in zip([0.5, 3.0, 1.5, 1.0], keys, strict=True)))
    found, later = runs(waiting, POLICY, NOW)
    assert ([run.key for run in found], later) == ([keys[1]], NOW + 0.5)


def test_at_that_moment_it_is_time():
    waiting = in_a_row(at(NOW - 0.1), at(NOW - 0.7, key=OTHER))
    _, later = runs(waiting, POLICY, NOW)
    found, again = runs(waiting, POLICY, later)
    assert [run.key for run in found] == [OTHER]
    assert runs(waiting, POLICY, again)[1] is None


def test_in_a_hurry_it_is_always_time():
    assert due(at(NOW), at(NOW, 2, OTHER), at(NOW + 3600, 4), hurry=True) == [5, 2]


def test_without_a_window_it_is_always_time():
    policy = attrs.evolve(POLICY, window=0)
    assert due(at(NOW - 1), at(NOW, 2, OTHER), at(NOW + 1, 4, Key("a", "b")), policy=policy) == [1, 2, 4]


def test_a_clock_that_was_set_back_holds_nothing_for_long():
    # as much ahead as a window is waited for, as it may be a record of just now
    assert due(at(NOW + 1.5)) == []
    assert due(at(NOW + 3600)) == [1]
    assert runs(in_a_row(at(NOW + 1.5)), POLICY, NOW)[1] == NOW + 3.5


def test_the_oldest_goes_first():
    assert due(at(1.0, 1, OTHER), at(2.0, 2), at(3.0, 4, OTHER), at(0.0, 8, Key("a", "b"))) == [5, 2, 8]


# What goes together


def test_a_set_goes_alone_and_at_once():
    assert due(at(NOW, 7, behaviour=SET)) == [7]
    assert due(at(NOW, 7, behaviour=SET), at(NOW, 8, behaviour=SET), at(NOW)) == [7]
    assert due(at(NOW, 0, behaviour=SET), at(NOW - 100), hurry=True) == [0]


def test_a_set_closes_what_is_before_it():
    assert due(at(NOW, 1), at(NOW, 2), at(NOW, 7, behaviour=SET), at(NOW, 4)) == [3]


def test_keys_are_apart():
    keys = [Key("a", "b"), Key("a", "b", ""), Key("a", "c"), Key("b", "b"), Key("a", "b", "None")]
    records = [at(0.0, 10**n, key) for n, key in enumerate(keys)]
    assert due(*records, *records) == [2 * 10**n for n in range(5)]


def test_as_many_records_as_may_be():
    policy = attrs.evolve(POLICY, max_records=3)
    assert due(at(NOW), at(NOW), policy=policy) == []
    assert due(at(NOW), at(NOW), at(NOW), policy=policy) == [3]
    assert due(at(NOW), at(NOW), at(NOW), at(NOW), policy=policy, hurry=True) == [3]
    assert due(at(NOW), at(NOW), policy=attrs.evolve(POLICY, max_records=1)) == [1]


@pytest.mark.parametrize("sign", [1, -1])
def test_as_many_units_as_may_be(sign):
    policy = attrs.evolve(POLICY, max_units=10)

    def sent(*values):
        return [sign * value for value in due(*(at(NOW, sign * value) for value in values), policy=policy)]

    assert sent(4, 5) == []
    assert sent(4, 6) == [10]
    assert sent(4, 5, 2) == [9]
    assert sent(4, 5, 2, 1) == [9]
    # one that is too large by itself still has to go
    assert sent(11, 1) == [11]
    assert sent(1, 11) == [1]


def test_units_that_cancel_out_have_room():
    policy = attrs.evolve(POLICY, max_units=10)
    assert due(at(0.0, 9), at(0.0, -8), at(0.0, 8), at(0.0, -9), policy=policy) == [0]


# Where the meter starts anew


def test_periods_are_apart():
    first, second = 5000.0, 6000.0
    assert due(at(NOW, 1, reset_at=first), at(NOW, 2, reset_at=second), at(NOW, 4, reset_at=second)) == [1]
    assert due(at(0.0, 1, reset_at=first), at(0.0, 2, reset_at=first)) == [3]


def test_what_is_unknown_goes_with_either():
    assert due(at(0.0, 1), at(0.0, 2, reset_at=5000.0), at(0.0, 4), at(0.0, 8, reset_at=6000.0)) == [7]
    [[run], _] = runs(in_a_row(at(0.0), at(0.0, reset_at=5000.0), at(0.0)), POLICY, NOW)
    assert run.reset_at == 5000.0


def test_what_came_after_the_reset_is_not_held_with_what_is_late():
    """After an outage over a reset: nobody has asked since when the next one is."""
    reset = 500.0
    before = [at(499.0, 1, reset_at=reset), at(499.5, 2)]
    assert due(*before, at(500.0, 4), at(501.0, 8)) == [3]
    [[run], _] = runs(in_a_row(*before, at(500.0, 4)), POLICY, NOW)
    assert (run.records, run.reset_at) == (2, reset)
    gathering = Gathering(POLICY, ahead=-400.0)  # Kelviq's clock says less than ours
    gathering.take(in_a_row(*before, at(500.0, 4), at(899.0, 8), at(900.0, 16)))
    [(run, _)] = gathering.due(NOW)
    assert run.value == 15


def test_a_record_that_does_not_fit_leaves_no_trace():
    policy = attrs.evolve(POLICY, max_units=10)
    [[run], _] = runs(in_a_row(at(0.0, 9), at(0.0, 9, reset_at=5000.0)), policy, NOW)
    assert (run.value, run.records, run.reset_at) == (9, 1, None)


@pytest.mark.parametrize(
    ("window", "timeout", "reset_in", "wait"),
    [
        (2.0, 1.0, 100.0, 2.0),
        (2.0, 1.0, 2.5, 1.5),  # the reset comes first: a second is left for sending
        (2.0, 1.0, 1.0, None),
        (2.0, 1.0, 0.25, None),
        (2.0, 1.0, -50.0, None),
        (1.0, 4.0, 100.0, 1.0),
        (1.0, 4.0, 1.75, 0.75),  # nobody waits less than a window because of a long timeout
        (1.0, 4.0, 1.0, None),
    ],
)
def test_our_waiting_makes_nothing_late(window, timeout, reset_in, wait):
    policy = UsagePolicy(window=window, timeout=timeout, lease=10.0)
    waiting = in_a_row(at(NOW, reset_at=NOW + reset_in))
    expected = ([run_of(waiting)], None) if wait is None else ([], NOW + wait)
    assert runs(waiting, policy, NOW) == expected


# Whatever comes

KEYS = [KEY, OTHER, Key("cust-1", "calls", "")]
records = st.builds(
    Record,
    st.uuids().map(str),
    st.sampled_from(KEYS),
    st.sampled_from([DELTA, DELTA, DELTA, SET]),
    st.integers(-20, 20) | st.integers(-(2**53) + 1, 2**53 - 1),
    st.floats(NOW - 5, NOW + 5),
    st.sampled_from([None, NOW - 1, NOW + 1, NOW + 100]),
)
policies = st.builds(
    UsagePolicy,
    window=st.sampled_from([0.0, 1.0, 3.0]),
    max_records=st.sampled_from([1, 2, 5, 10_000]),
    max_units=st.sampled_from([1, 20, 2**53 - 1]),
)


@given(st.lists(records, max_size=40), policies)
def test_in_a_hurry_each_record_is_in_exactly_one_run(some, policy):
    left = in_a_row(*some)
    sent = {key: [] for key in KEYS}
    while left:
        found, later = runs(left, policy, NOW, hurry=True)
        assert later is None
        # the head of every key moves
        assert [run.first for run in found] == sorted(
            {each.record.key: each.place for each in left[::-1]}.values()
        )
        for run in found:
            taken = [each for each in left if each.record.key == run.key and each.place <= run.last]
            assert run == run_of(taken)
            assert len(taken) == 1 or {each.record.behaviour for each in taken} == {DELTA}
            assert len(taken) == 1 or abs(run.value) <= policy.max_units
            assert len(taken) <= policy.max_records
            assert len({each.record.reset_at for each in taken} - {None}) <= 1
            sent[run.key] += taken
        left = [each for each in left if all(each not in some for some in sent.values())]
    for key, taken in sent.items():
        assert taken == [each for each in in_a_row(*some) if each.record.key == key]


@given(st.lists(records, max_size=40), policies)
def test_what_is_due_is_part_of_what_could_be_sent(some, policy):
    waiting = in_a_row(*some)
    found, later = runs(waiting, policy, NOW)
    heads, _ = runs(waiting, policy, NOW, hurry=True)
    assert found == [run for run in heads if run in found]
    # exactly the others wait for their moment, and no longer than a window and a clock set back by one
    assert (later is None) == (len(found) == len(heads))
    if later is not None:
        assert NOW < later <= NOW + 2 * policy.window
        assert len(runs(waiting, policy, later)[0]) > 0


@given(st.lists(records, max_size=40), policies, st.integers(0, 40))
def test_what_comes_later_changes_no_run_that_was_closed(some, policy, number):
    """A run that was due for any reason but its age is the same whatever is recorded behind it."""
    before, _ = runs(in_a_row(*some[:number]), attrs.evolve(policy, window=100.0), NOW)
    after, _ = runs(in_a_row(*some), attrs.evolve(policy, window=100.0), NOW)
    closed = [run for run in before if run.reset_at is None]
    assert [run for run in closed if run not in after] == []
