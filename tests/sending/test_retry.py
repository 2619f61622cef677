"""Whether and when a call is tried again. Time is virtual: waiting costs nothing."""

import asyncio
import random
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given, strategies as st

from kelviq_async import CreateCustomer, GetEntitlements, ListCustomers, ReportUsage, Retry
from kelviq_async.config import Host
from kelviq_async.errors import (
    BadCertificate,
    BadRequest,
    ClientClosed,
    ConfigError,
    ConnectionLost,
    FailureClass,
    KelviqError,
    NeverSent,
    OutcomeUnknown,
    RateLimited,
    ServerError,
    ServiceUnavailable,
    TimedOut,
    UnreadableAnswer,
)
from kelviq_async.sending.retry import LONGEST_SHARED_PAUSE, Pauses, may_repeat

READ = ListCustomers()
WRITE = CreateCustomer("user-1")
DELTA = ReportUsage(1, "user-1", "api-calls", "DELTA")
SET = ReportUsage(1, "user-1", "api-calls", "SET")
PAGE = {"count": 0, "next": None, "previous": None, "results": []}
DONE = (200, {**PAGE, "id": "1"})
BUSY = (429, {"detail": "slow down"}, {"Retry-After": "3"})
AWAY = (503, {"detail": "away"}, {"Retry-After": "3"})


def never_sent_timeout():
    error = TimedOut("too late to connect")
    error.failure = FailureClass.NEVER_SENT
    return error


def at_once(request, attempt, failure):
    return 0.0 if attempt < 3 else None


async def failure_of(call):
    with pytest.raises(KelviqError) as caught:
        await call
    return caught.value


# The table: class of failure, what a repeatable request ends with, what one that counts ends with,
# and how often each was sent.

TABLE = {
    "never sent": (NeverSent("refused"), NeverSent, 3, NeverSent, 3),
    "never sent in time": (never_sent_timeout(), TimedOut, 3, TimedOut, 3),
    "bad certificate": (BadCertificate("self-signed"), BadCertificate, 1, BadCertificate, 1),
    "429": ((429, b""), RateLimited, 3, RateLimited, 3),
    "429 with a pause": (BUSY, RateLimited, 3, RateLimited, 3),
    "503 with a pause": (AWAY, ServiceUnavailable, 3, OutcomeUnknown, 1),
    "503": ((503, b""), ServiceUnavailable, 3, OutcomeUnknown, 1),
    "500": ((500, b""), ServerError, 3, OutcomeUnknown, 1),
    "502": ((502, b"<html>"), ServerError, 3, OutcomeUnknown, 1),
    "504": ((504, b""), ServerError, 3, OutcomeUnknown, 1),
    "599": ((599, b""), ServerError, 3, OutcomeUnknown, 1),
    "connection lost": (ConnectionLost("reset"), ConnectionLost, 3, OutcomeUnknown, 1),
    "timed out": (TimedOut("no answer"), TimedOut, 3, OutcomeUnknown, 1),
    "unreadable answer": (UnreadableAnswer("garbage"), UnreadableAnswer, 3, OutcomeUnknown, 1),
    "unreadable 2xx": ((200, b"<html>"), UnreadableAnswer, 3, OutcomeUnknown, 1),
    "empty 2xx": ((201, b""), UnreadableAnswer, 3, OutcomeUnknown, 1),
    "400": ((400, {"detail": "no"}), BadRequest, 1, BadRequest, 1),
    "closed": (ClientClosed("closed"), ClientClosed, 1, OutcomeUnknown, 1),
}


@pytest.mark.parametrize("row", TABLE)
@pytest.mark.parametrize("request_", [READ, SET], ids=["read", "set"])
def test_a_repeatable_request(stack, virtual, row, request_):
    failure, expected, times, _, _ = TABLE[row]
    troubled = stack(failure)
    error = virtual(failure_of(troubled.send(request_, retry=at_once)))
    assert isinstance(error, expected)
    assert len(troubled.transport.sent) == times


@pytest.mark.parametrize("row", TABLE)
@pytest.mark.parametrize("request_", [WRITE, DELTA], ids=["write", "delta"])
def test_a_request_that_counts(stack, virtual, row, request_):
    failure, _, _, expected, times = TABLE[row]
    troubled = stack(failure)
    error = virtual(failure_of(troubled.send(request_, retry=at_once)))
    assert isinstance(error, expected)
    assert len(troubled.transport.sent) == times
    if expected is OutcomeUnknown:
        assert error.failure is FailureClass.AMBIGUOUS
        assert isinstance(error.__cause__, KelviqError)
        assert error.status == error.__cause__.status
        assert (error.operation, error.request) == (request_.operation.name, request_)


@pytest.mark.parametrize("row", TABLE)
@pytest.mark.parametrize("request_", [READ, WRITE], ids=["read", "write"])
def test_one_attempt_only(stack, virtual, row, request_):
    failure, of_read, _, of_write, _ = TABLE[row]
    troubled = stack(failure)
    error = virtual(failure_of(troubled.send(request_, retry=None)))
    assert isinstance(error, of_read if request_ is READ else of_write)
    assert len(troubled.transport.sent) == 1


@pytest.mark.parametrize("row", TABLE)
@pytest.mark.parametrize("request_", [READ, WRITE], ids=["read", "write"])
def test_trying_again_ends_well_where_it_may(stack, virtual, row, request_):
    failure, _, of_read, _, of_write = TABLE[row]
    troubled = stack(failure, DONE)
    if (of_read if request_ is READ else of_write) == 1:
        virtual(failure_of(troubled.send(request_, retry=at_once)))
        assert len(troubled.transport.sent) == 1
    else:
        virtual(troubled.send(request_, retry=at_once))
        assert len(troubled.transport.sent) == 2


def test_a_refused_write_tells_how_long_to_wait(stack, virtual):
    error = virtual(failure_of(stack(AWAY).send(WRITE)))
    assert (type(error), error.status, error.retry_after) == (OutcomeUnknown, 503, 3)


@pytest.mark.parametrize("failure", [ConnectionLost("gone"), (500, b""), (200, b"?"), AWAY, (400, b"")])
def test_no_policy_makes_a_write_that_counts_repeatable(stack, virtual, failure):
    asked = []

    def eager(request, attempt, error):
        asked.append(error)
        return 0.0

    troubled = stack(failure, DONE)
    virtual(failure_of(troubled.send(DELTA, retry=eager)))
    assert len(troubled.transport.sent) == 1
    assert asked == []


def test_an_ambiguous_attempt_after_a_harmless_one_ends_it(stack, virtual):
    troubled = stack(NeverSent("refused"), (429, b""), ConnectionLost("gone"), DONE)
    error = virtual(failure_of(troubled.send(WRITE, retry=lambda *_: 0)))
    assert isinstance(error, OutcomeUnknown)
    assert len(troubled.transport.sent) == 3


def test_a_cancellation_passes_through(stack, virtual):
    async def story():
        hanging = stack(lambda wire: asyncio.Event().wait())
        task = asyncio.create_task(hanging.send(WRITE))
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert len(hanging.transport.sent) == 1

    virtual(story())


def test_a_cancellation_passes_through_a_wait(stack, virtual):
    async def story():
        troubled = stack(BUSY)
        task = asyncio.create_task(troubled.send(READ))
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert len(troubled.transport.sent) == 1

    virtual(story())


# Waits


@given(attempt=st.integers(1, 100), seed=st.integers(), base=st.floats(0, 5), cap=st.floats(5, 100))
def test_full_jitter_stays_within_its_bounds(attempt, seed, base, cap):
    policy = Retry(attempts=200, base=base, cap=cap, random=random.Random(seed))  # noqa: S311
    wait = policy(READ, attempt, NeverSent("refused"))
    assert 0 <= wait <= min(cap, base * 2 ** (attempt - 1))
    told = policy(READ, attempt, RateLimited("busy", retry_after=7))
    assert 7 <= told <= 7 + cap


def test_full_jitter_uses_the_whole_range():
    policy = Retry(attempts=9, base=1, cap=64, random=random.Random(1))  # noqa: S311
    waits = [policy(READ, 3, NeverSent("refused")) for _ in range(2000)]
    assert min(waits) < 0.1
    assert max(waits) > 3.9
    assert 1.9 < sum(waits) / len(waits) < 2.1


def test_the_default_policy_tries_three_times():
    policy = Retry()
    assert policy(READ, 2, NeverSent("refused")) is not None
    assert policy(READ, 3, NeverSent("refused")) is None


@pytest.mark.parametrize(
    "settings",
    [
        {"attempts": 0},
        {"attempts": True},
        {"attempts": 1.5},
        {"base": -1},
        {"base": 11},
        {"cap": float("inf")},
    ],
)
def test_a_policy_that_could_never_work(settings):
    with pytest.raises(ConfigError, match="retry"):
        Retry(**settings)


@pytest.mark.parametrize("delay", [-5.0, 0.0, float("nan"), 2.5])
def test_a_policy_may_give_anything(stack, virtual, delay):
    async def story():
        loop = asyncio.get_running_loop()
        await stack(NeverSent("refused"), DONE).send(READ, retry=lambda *_: delay)
        assert loop.time() - 1000 == (2.5 if delay == 2.5 else 0)

    virtual(story())


def test_a_policy_is_told_what_happened(stack, virtual):
    asked = []

    def policy(request, attempt, failure):
        asked.append((request, attempt, type(failure)))
        return 0.0

    virtual(stack(NeverSent("refused"), (500, b""), DONE).send(READ, retry=policy))
    assert asked == [(READ, 1, NeverSent), (READ, 2, ServerError)]


# One deadline over all attempts


def test_the_deadline_spans_all_attempts(stack, virtual):
    async def slow(wire):
        await asyncio.sleep(4)
        raise ConnectionLost("gone")

    async def story():
        loop = asyncio.get_running_loop()
        slow_stack = stack(slow)
        error = await failure_of(slow_stack.send(READ, timeout=10, retry=lambda *_: 0.5))
        assert isinstance(error, TimedOut)
        assert loop.time() - 1000 == 10
        assert len(slow_stack.transport.sent) == 3

    virtual(story())


def test_a_wait_that_goes_beyond_the_deadline_is_not_begun(stack, virtual):
    async def story():
        loop = asyncio.get_running_loop()
        troubled = stack(NeverSent("refused"))
        error = await failure_of(troubled.send(READ, timeout=10, retry=lambda *_: 10))
        assert isinstance(error, NeverSent)
        assert loop.time() == 1000
        assert len(troubled.transport.sent) == 1

    virtual(story())


def test_a_deadline_that_is_given_wins_over_the_timeout(stack, virtual):
    async def story():
        loop = asyncio.get_running_loop()
        hanging = stack(lambda wire: asyncio.Event().wait())
        await failure_of(hanging.send(READ, timeout=60, deadline=loop.time() + 5))
        assert loop.time() == 1005

    virtual(story())


# Pauses that Kelviq asks for


@pytest.mark.parametrize("failure", [BUSY, AWAY], ids=["429", "503"])
def test_a_pause_is_kept_and_shared_by_all_calls_to_the_host(stack, virtual, failure):
    async def story():
        loop = asyncio.get_running_loop()
        shared = stack(failure, DONE)
        times = []
        sending = shared.transport.send

        async def send(wire):
            times.append(loop.time() - 1000)
            return await sending(wire)

        shared.transport.send = send
        first = asyncio.create_task(shared.send(READ, retry=lambda *_: 0))
        await asyncio.sleep(1)
        await asyncio.gather(first, shared.send(READ), shared.send(WRITE))
        assert times == [0, 3, 3, 3]

    virtual(story())


def test_a_pause_holds_for_its_own_host_only(stack, virtual):
    async def story():
        loop = asyncio.get_running_loop()
        shared = stack(BUSY, (200, {"customerId": "user-1", "entitlements": []}))
        await failure_of(shared.send(READ, retry=None))
        await shared.send(GetEntitlements("user-1"))
        assert loop.time() == 1000

    virtual(story())


def test_a_pause_given_as_a_date(stack, virtual):
    async def story():
        loop = asyncio.get_running_loop()
        later = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
        await stack((429, b"", {"Retry-After": later}), DONE).send(READ, retry=Retry(base=0))
        assert 28 < loop.time() - 1000 <= 30

    virtual(story())


def test_a_pause_that_ends_after_the_deadline_fails_at_once(stack, virtual):
    async def story():
        loop = asyncio.get_running_loop()
        busy = stack((429, b"", {"Retry-After": "20"}))
        first = await failure_of(busy.send(READ, timeout=10))
        assert (type(first), first.retry_after) == (RateLimited, 20)
        second = await failure_of(busy.send(WRITE, timeout=10))
        assert (type(second), second.retry_after, second.operation) == (RateLimited, 20, "CreateCustomer")
        assert len(busy.transport.sent) == 1
        assert loop.time() == 1000

    virtual(story())


def test_one_answer_does_not_stop_everybody_for_long(stack, virtual):
    async def story():
        loop = asyncio.get_running_loop()
        shared = stack((429, b"", {"Retry-After": "86400"}), DONE)
        own = asyncio.create_task(shared.send(READ, retry=Retry(base=0)))
        await asyncio.sleep(1)
        await shared.send(READ)
        assert loop.time() - 1000 == LONGEST_SHARED_PAUSE
        await own
        assert loop.time() - 1000 == 86400

    virtual(story())


@given(st.lists(st.tuples(st.floats(0, 1000), st.floats(0, 200)), min_size=1), st.floats(0, 2000))
def test_pauses_never_shorten_one_another(notes, now):
    pauses = Pauses()
    assert not pauses
    for at, seconds in notes:
        pauses.note(Host.CORE, seconds, at)
    ends = max(at + min(seconds, LONGEST_SHARED_PAUSE) for at, seconds in notes)
    assert pauses.left(Host.CORE, now) == pytest.approx(max(0.0, ends - now))
    assert pauses.left(Host.EDGE, now) == 0


# Closing


def test_closing_ends_a_wait_before_the_next_attempt(stack, virtual):
    async def story():
        loop = asyncio.get_running_loop()
        busy = stack(BUSY)
        calls = [asyncio.create_task(failure_of(busy.send(request))) for request in (READ, WRITE)]
        await asyncio.sleep(1)
        busy.under_way.end()
        errors = await asyncio.gather(*calls)
        assert [type(error) for error in errors] == [ClientClosed, ClientClosed]
        assert [error.operation for error in errors] == ["ListCustomers", "CreateCustomer"]
        assert loop.time() == 1001

    virtual(story())


@pytest.mark.parametrize(("sending", "expected"), [(True, OutcomeUnknown), (False, ClientClosed)])
def test_closing_ends_an_attempt(stack, virtual, sending, expected):
    async def hang(wire):
        wire.sending = sending
        await asyncio.Event().wait()

    async def story():
        hanging = stack(hang)
        call = asyncio.create_task(failure_of(hanging.send(WRITE, timeout=60)))
        await asyncio.sleep(1)
        hanging.under_way.end()
        assert type(await call) is expected
        assert asyncio.get_running_loop().time() == 1001

    virtual(story())


def test_what_begins_after_closing_goes_on(stack, virtual):
    async def story():
        busy = stack(BUSY, DONE)
        busy.under_way.end()
        await busy.send(READ)

    virtual(story())


@pytest.mark.parametrize("request_", [READ, WRITE], ids=["read", "write"])
@given(failure=st.sampled_from(FailureClass))
def test_nothing_ambiguous_is_ever_repeated_for_a_request_that_counts(request_, failure):
    error = KelviqError("any")
    error.failure = failure
    expected = failure is FailureClass.NEVER_SENT or request_.repeatable
    assert may_repeat(request_, error) is expected
