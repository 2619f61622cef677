"""What was recorded and not counted yet, number by number, against a plain list of what happened."""

import pytest
from hypothesis import given, settings, strategies as st

from kelviq_async.api.behaviours import UsageBehaviour
from kelviq_async.usage.records import Key
from kelviq_async.usage.uncounted import OVERDUE, REMEMBERED, RESETS, STEP, Uncounted

DELTA, SET = UsageBehaviour.DELTA, UsageBehaviour.SET
KEY = Key("user-123", "api-calls")


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def books(clock):
    return Uncounted(clock)


def off(books, since=0.0, used=0):
    return books.of("user-123", "api-calls", used, since)


def end(books, pairs, behaviour, *, counted):
    numbers, values = zip(*pairs, strict=True)
    books.end(KEY, numbers, values, behaviour, counted=counted)


def test_nothing_is_taken_off_where_nothing_was_recorded(books):
    assert off(books) == 0


def test_a_delta_is_taken_off_until_an_answer_was_asked_for_after_it_was_counted(books, clock):
    books.add(KEY, 1, DELTA, 3)
    assert off(books, since=clock.now) == 3
    clock.now += 1
    end(books, [(1, 3)], DELTA, counted=True)
    assert off(books, since=clock.now - 0.5) == 3  # the answer may be from before
    assert off(books, since=clock.now) == 0


def test_a_rejected_delta_is_given_back(books, clock):
    books.add(KEY, 1, DELTA, 3)
    books.add(KEY, 2, DELTA, 4)
    end(books, [(1, 3)], DELTA, counted=False)
    assert off(books) == 4


def test_a_total_replaces_what_the_answer_says_is_used(books):
    books.add(KEY, 1, DELTA, 3)
    books.add(KEY, 2, SET, 50)
    books.add(KEY, 3, DELTA, 5)
    assert off(books, used=10) == 45
    assert off(books, used=None) == 8  # nobody knows what it replaces


def test_a_total_that_was_counted_still_replaces_an_older_answer(books, clock):
    books.add(KEY, 1, SET, 50)
    clock.now += 1
    end(books, [(1, 50)], SET, counted=True)
    books.add(KEY, 2, DELTA, 1)
    assert off(books, since=clock.now - 1, used=10) == 41
    assert off(books, since=clock.now, used=50) == 1


def test_what_could_not_be_recorded_is_withdrawn(books):
    books.add(KEY, 1, DELTA, 3)
    books.add(KEY, 2, SET, 50)
    books.add(KEY, 3, DELTA, 5)
    books.withdraw(KEY, 2, 50)
    assert off(books) == 8
    books.withdraw(KEY, 3, 5)
    assert off(books) == 3
    books.withdraw(KEY, 2, 50)  # not there any more: nothing happens
    assert off(books) == 3
    end(books, [(1, 3)], DELTA, counted=False)
    books.withdraw(KEY, 1, 3)  # it had ended before its caller gave up
    assert off(books) == 0


def test_what_ends_before_something_older_leaves_that_open(books, clock):
    """The journal may say later of the older one that it was moved."""
    for number in range(1, 7):
        books.add(KEY, number, DELTA, 10**number)
        clock.now += 0.4
    end(books, [(3, 10**3), (4, 10**4), (6, 10**6)], DELTA, counted=True)
    assert off(books, since=clock.now) == 10**1 + 10**2 + 10**5
    end(books, [(1, 10**1), (2, 10**2), (3, 10**3)], DELTA, counted=True)
    assert off(books, since=clock.now) == 10**5
    assert off(books) == 1_111_110
    end(books, [(5, 10**5)], DELTA, counted=False)
    assert off(books) == 1_011_110


def test_what_has_ended_is_not_open_again_because_something_is_added(books, clock):
    books.add(KEY, 1, DELTA, 1)
    clock.now += 2
    books.add(KEY, 2, DELTA, 20)
    end(books, [(2, 20)], DELTA, counted=True)
    books.add(KEY, 3, DELTA, 300)
    end(books, [(2, 20)], DELTA, counted=True)
    books.withdraw(KEY, 2, 20)
    assert off(books, since=clock.now) == 301
    assert off(books) == 321


def test_resources_of_one_feature_add_up(books):
    books.add(KEY, 1, DELTA, 3)
    books.add(KEY._replace(resource_id="a"), 2, DELTA, 4)
    books.add(KEY._replace(resource_id="a"), 3, SET, 100)  # what it does to the sum, nobody knows
    assert off(books) == 7


def test_other_customers_and_features_are_left_alone(books):
    books.add(KEY, 1, DELTA, 3)
    assert books.of("user-124", "api-calls", 0, 0.0) == 0
    assert books.of("user-123", "exports", 0, 0.0) == 0


def test_held_units_are_taken_off_until_they_are_given_back(books):
    books.hold("user-123", "api-calls", 10)
    books.add(KEY, 1, DELTA, 1)
    assert off(books) == 11
    books.hold("user-123", "api-calls", -10)
    assert off(books) == 1


def test_what_another_process_sent_is_looked_for_and_taken_off(books, clock):
    books.add(KEY, 1, DELTA, 3)
    books.add(KEY, 2, DELTA, 4)
    assert books.overdue(KEY) is None
    assert list(books.sweep()) == [[]]
    clock.now += OVERDUE + 1
    books.add(KEY, 3, DELTA, 5)
    assert list(books.sweep()) == [[KEY]]
    assert books.overdue(KEY) == 2
    books.end_through(KEY, 2, counted=True)
    assert books.overdue(KEY) is None
    assert books.overdue(KEY._replace(resource_id="other")) is None
    assert off(books, since=clock.now) == 5
    assert off(books, since=0.0) == 12


def test_a_sweep_goes_in_steps_and_on_where_it_was_left(books, clock):
    keys = [Key(f"user-{number}", "api-calls") for number in range(2 * STEP + 5)]
    for number, key in enumerate(keys, 1):
        books.add(key, number, DELTA, 1)
    assert list(books.sweep()) == [[], [], []]
    clock.now += OVERDUE + 1
    assert list(books.sweep()) == [keys[:STEP], keys[STEP : 2 * STEP], keys[2 * STEP :]]
    assert next(books.sweep()) == keys[:STEP]
    again = list(books.sweep())
    assert again[0] == keys[STEP : 2 * STEP]
    assert [key for step in again for key in step] == keys[STEP:] + keys[:STEP]


def test_a_sweep_bears_what_happens_in_between(books, clock):
    for number in range(2 * STEP):
        books.add(Key(f"user-{number}", "api-calls"), number + 1, DELTA, 1)
        books.end_through(Key(f"user-{number}", "api-calls"), number + 1, counted=False)
    sweep = books.sweep()
    assert next(sweep) == []
    books.add(KEY, 1000, DELTA, 1)
    assert list(Uncounted().sweep()) == []
    assert list(sweep) == [[]]
    assert list(books.sweep()) == [[]]
    assert off(books) == 1


def test_ends_of_what_nobody_knows_of_change_nothing(books):
    end(books, [(1, 3)], DELTA, counted=True)
    books.end_through(KEY, 1, counted=False)
    assert off(books) == 0


def test_the_end_of_a_record_from_before_all_that_is_known_changes_nothing(books):
    books.add(KEY, 7, DELTA, 3)
    end(books, [(6, 3)], DELTA, counted=True)
    assert off(books) == 3


def test_old_news_are_forgotten_and_open_ones_are_not(books, clock):
    books.add(KEY, 1, DELTA, 3)
    end(books, [(1, 3)], DELTA, counted=True)
    other = KEY._replace(customer_id="user-124")
    books.add(other, 2, DELTA, 1)
    clock.now += REMEMBERED + 1
    assert list(books.sweep()) == [[other]]
    assert off(books) == 0
    assert books.of("user-124", "api-calls", 0, 0.0) == 1


def test_the_next_reset_is_known_until_it_has_passed(books):
    books.learn_reset("user-123", "api-calls", 100.0)
    assert books.reset_of("user-123", "api-calls", 99.0) == 100.0
    assert books.reset_of("user-123", "api-calls", 100.0) is None
    assert books.reset_of("user-124", "api-calls", 99.0) is None


def test_so_many_resets_are_remembered_the_newest_ones(books):
    for number in range(RESETS + 1):
        books.learn_reset(f"user-{number}", "api-calls", 100.0)
    assert books.reset_of("user-0", "api-calls", 1.0) is None
    assert books.reset_of("user-1", "api-calls", 1.0) == 100.0


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("delta"), st.integers(1, 50)),
        st.tuples(st.just("set"), st.integers(0, 500)),
        st.tuples(st.just("wait"), st.sampled_from([0.1, 2.0])),
        st.tuples(st.just("end"), st.integers(1, 4), st.booleans()),
    ),
    max_size=40,
)


@settings(max_examples=200, deadline=None)
@given(STEPS, st.integers(0, 100))
def test_it_says_what_a_list_of_everything_would_say(steps, used):
    clock = Clock()
    books = Uncounted(clock)
    waiting, ended = [], []
    for number, step in enumerate(steps, 1):
        if step[0] == "wait":
            clock.now += step[1]
        elif step[0] == "end":
            # what goes in one report: one SET, or DELTAs in a row
            report = []
            while waiting and len(report) < step[1] and waiting[0][1] == (report or waiting)[0][1]:
                report.append(waiting.pop(0))
                if report[0][1] is SET:
                    break
            if report:
                pairs = [(number, value) for number, _, value in report]
                end(books, pairs, report[0][1], counted=step[2])
                if step[2]:
                    ended.append((clock.now, report[0][1], sum(value for _, value in pairs)))
        else:
            behaviour = DELTA if step[0] == "delta" else SET
            books.add(KEY, number, behaviour, step[1])
            waiting.append((number, behaviour, step[1]))
    for since in {0.0, clock.now - 1.0, clock.now}:
        total = used
        for behaviour, value in [
            *((behaviour, value) for at, behaviour, value in ended if at > since),
            *((behaviour, value) for _, behaviour, value in waiting),
        ]:
            total = value if behaviour is SET else total + value
        assert off(books, since, used) == total - used
