"""When something is left alone, and when it is tried again."""

import pytest

from kelviq_async.stores.breaker import Breaker


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def breaker(clock):
    return Breaker(3, 5.0, clock)


def fail(breaker, times):
    for _ in range(times):
        assert breaker.enter()
        breaker.failed()


def test_some_failures_in_a_row_are_enough(breaker):
    fail(breaker, 3)
    assert breaker.open
    assert not breaker.enter()


def test_a_success_in_between_starts_the_count_again(breaker):
    fail(breaker, 2)
    assert breaker.enter()
    breaker.succeeded()
    fail(breaker, 2)
    assert breaker.enter()


def test_after_the_pause_one_may_try(breaker, clock):
    fail(breaker, 3)
    clock.now += 4.999
    assert not breaker.enter()
    clock.now += 0.001
    assert not breaker.open
    assert breaker.enter()
    assert not breaker.enter()


def test_if_that_fails_the_next_pause_begins(breaker, clock):
    fail(breaker, 3)
    clock.now += 5
    fail(breaker, 1)
    assert not breaker.enter()
    clock.now += 5
    assert breaker.enter()


def test_if_that_goes_well_all_may_again(breaker, clock):
    fail(breaker, 3)
    clock.now += 5
    assert breaker.enter()
    breaker.succeeded()
    fail(breaker, 2)
    assert breaker.enter()


def test_one_who_gives_up_lets_the_next_one_try(breaker, clock):
    fail(breaker, 3)
    clock.now += 5
    assert breaker.enter()
    breaker.abandoned()
    assert breaker.enter()


def test_giving_up_is_no_failure(breaker):
    fail(breaker, 2)
    for _ in range(3):
        assert breaker.enter()
        breaker.abandoned()
    assert breaker.enter()


def test_one_who_began_before_may_bring_the_good_news(breaker):
    assert breaker.enter()
    fail(breaker, 3)
    breaker.succeeded()
    assert breaker.enter()
