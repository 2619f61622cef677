"""What each failure means for the records of a report."""

import pytest

from kelviq_async.api.behaviours import UsageBehaviour
from kelviq_async.errors import (
    BadCertificate,
    ClientClosed,
    CodecError,
    ConfigError,
    ConnectionLost,
    FailureClass,
    InvalidRequest,
    NeverSent,
    OutcomeUnknown,
    RateLimited,
    TimedOut,
    UnreadableAnswer,
    WrongLoop,
    api_error,
)
from kelviq_async.usage import UsagePolicy
from kelviq_async.usage.fates import Fate, cut_off, fate_of, without_ids
from kelviq_async.usage.records import State

DELTA, SET = UsageBehaviour.DELTA, UsageBehaviour.SET
PENDING, UNRESOLVED, REJECTED = State.PENDING, State.UNRESOLVED, State.REJECTED
HOLD, RESEND = UsagePolicy(), UsagePolicy(ambiguous="resend")


def status(number, retry_after=None):
    return api_error(number, {"detail": "no"}, retry_after=retry_after)


def cut(sent):
    error = ClientClosed("closed")
    error.failure = FailureClass.AMBIGUOUS if sent else None
    return error


def out_of_time_before_sending():
    error = TimedOut("time ran out")
    error.failure = FailureClass.NEVER_SENT
    return error


def same(fate):
    return (fate.state, fate.stop, fate.pause)


AMBIGUOUS = [
    OutcomeUnknown("who knows"),
    OutcomeUnknown("who knows", status=503, retry_after=3),
    ConnectionLost("gone"),
    TimedOut("late"),
    UnreadableAnswer("odd"),
    cut(sent=True),
    *(status(number) for number in (408, 425, 500, 502, 503, 504, 599)),
    status(503, retry_after=3),
]
CERTAIN = [
    (NeverSent("refused"), (PENDING, False, True)),
    (BadCertificate("expired"), (PENDING, False, True)),
    (out_of_time_before_sending(), (PENDING, False, True)),
    (status(429), (PENDING, False, True)),
    (RateLimited("a pause", retry_after=9), (PENDING, False, True)),
    (cut(sent=False), (PENDING, False, False)),
    *((status(number), (PENDING, True, False)) for number in (401, 403, 405, 407, 301, 302, 307, 308)),
    *((status(number), (REJECTED, False, False)) for number in (400, 404, 409, 410, 413, 422, 428, 499)),
    (InvalidRequest("value is too large"), (REJECTED, False, False)),
    (ConfigError("the function given as server_key failed"), (PENDING, False, True)),
    (WrongLoop("another loop"), (PENDING, True, True)),
    (CodecError("odd"), (PENDING, True, True)),
]


def named(value):
    return f"{type(value).__name__}-{value.status}" if isinstance(value, Exception) else ""


@pytest.mark.parametrize("error", AMBIGUOUS, ids=named)
def test_what_is_ambiguous_holds_a_delta_and_repeats_a_set(error):
    assert same(fate_of(DELTA, error, HOLD)) == (UNRESOLVED, False, True)
    assert same(fate_of(SET, error, HOLD)) == (PENDING, False, True)
    assert same(fate_of(DELTA, error, RESEND)) == (PENDING, False, True)


@pytest.mark.parametrize(("error", "expected"), CERTAIN, ids=named)
@pytest.mark.parametrize("behaviour", [DELTA, SET])
@pytest.mark.parametrize("policy", [HOLD, RESEND], ids=["hold", "resend"])
def test_what_is_certain_is_so_for_all(error, expected, behaviour, policy):
    assert same(fate_of(behaviour, error, policy)) == expected


@pytest.mark.parametrize(
    "error",
    [
        status(429, 7),
        status(503, 7),
        OutcomeUnknown("?", status=503, retry_after=7),
        NeverSent("x", retry_after=7),
    ],
    ids=named,
)
def test_a_pause_that_was_asked_for_is_kept(error):
    assert fate_of(DELTA, error, HOLD).retry_after == 7


def test_a_page_of_some_proxy_is_no_verdict_on_a_record():
    for body in (None, {}):
        fate = fate_of(DELTA, api_error(404, body), HOLD)
        assert (fate.state, fate.stop) == (PENDING, True)
    assert fate_of(DELTA, api_error(404, {"customerId": ["Unknown."]}), HOLD).state is REJECTED


def test_a_reason_says_what_kelviq_said_and_a_log_does_not():
    fate = fate_of(DELTA, api_error(400, {"customerId": ["user-1: not found."]}), HOLD)
    assert fate.reason == "BadRequest 400: customer_id: user-1: not found."
    assert without_ids(fate.reason) == "BadRequest 400"
    assert len(fate_of(DELTA, api_error(400, {"detail": "x" * 5000}), HOLD).reason) == 1000


def test_what_was_cut_off_may_have_been_counted():
    assert cut_off(DELTA, HOLD).state is UNRESOLVED
    assert cut_off(DELTA, RESEND).state is cut_off(SET, HOLD).state is PENDING
    assert "stopped" in cut_off(SET, HOLD).reason


def test_a_fate_is_plain():
    assert Fate(PENDING, "why") == Fate(PENDING, "why", stop=False, pause=False, retry_after=None)
