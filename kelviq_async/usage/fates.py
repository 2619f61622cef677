"""What a failed report says about its records, and about whether to go on."""

from __future__ import annotations

from typing import Final, NamedTuple

from ..api.behaviours import UsageBehaviour
from ..errors import (
    UNEXPLAINED,
    ApiError,
    ClientClosed,
    ConfigError,
    FailureClass,
    InvalidRequest,
    KelviqError,
    RateLimited,
)
from .policy import UsagePolicy
from .records import State

MISPLACED: Final = frozenset({401, 403, 405, 407})
"""Statuses that are about our key or the address, so that the next report would get the same."""
UNDECIDED: Final = frozenset({408, 425})
"""4xx that do not say whether something was done before."""


class Fate(NamedTuple):
    """What to do after a report has failed.

    Attributes:
        state: Where its records go.
        reason: Why, in words.
        stop: Whether nothing more is to be sent until somebody has seen to it.
        pause: Whether to wait before anything else is sent.
        retry_after: For how long at least, in seconds, where Kelviq said so.
    """

    state: State
    reason: str
    stop: bool = False
    pause: bool = False
    retry_after: float | None = None


def fate_of(behaviour: UsageBehaviour, error: KelviqError, policy: UsagePolicy) -> Fate:
    """What a failure means for a report of one attempt.

    A DELTA that may have been counted is never pending again, unless the policy says so; a SET is, since
    a SET twice is a SET once, and nothing of its key is sent in between.

    Args:
        behaviour: DELTA or SET.
        error: What ``send`` raised.
        policy: What to do with the ambiguous.
    """
    reason = _said(error)
    # OutcomeUnknown of a 503 names a pause, too
    wait = error.retry_after
    if isinstance(error, ClientClosed) and error.failure is None:
        return Fate(State.PENDING, reason)
    if error.failure is FailureClass.NEVER_SENT:
        return Fate(State.PENDING, reason, pause=True, retry_after=wait)
    if isinstance(error, RateLimited) and error.failure is FailureClass.REFUSED:
        return Fate(State.PENDING, reason, pause=True, retry_after=wait)
    if error.failure is not None or error.status in UNDECIDED:
        return Fate(_ambiguous(behaviour, policy), reason, pause=True, retry_after=wait)
    if isinstance(error, ApiError):
        status = error.status or 0
        # a page of some proxy says nothing about the records: the address is wrong
        foreign = status == 404 and not error.fields and error.message == UNEXPLAINED
        if status in MISPLACED or status < 400 or foreign:
            return Fate(State.PENDING, reason, stop=True)
        return Fate(State.REJECTED, reason)
    if isinstance(error, InvalidRequest):
        return Fate(State.REJECTED, reason)
    # a ConfigError is what a function that gives keys fails with: it may work again later
    return Fate(State.PENDING, reason, pause=True, stop=not isinstance(error, ConfigError))


def cut_off(behaviour: UsageBehaviour, policy: UsagePolicy) -> Fate:
    """What becomes of a report whose sender was stopped while it was on its way."""
    return Fate(_ambiguous(behaviour, policy), "its sender was stopped while it was on its way")


def without_ids(reason: str) -> str:
    """A failure's class and status; what Kelviq said of it may hold ids, which never reach a log."""
    return reason.partition(":")[0]


def _ambiguous(behaviour: UsageBehaviour, policy: UsagePolicy) -> State:
    safe = behaviour == UsageBehaviour.SET or policy.ambiguous == "resend"
    return State.PENDING if safe else State.UNRESOLVED


def _said(error: KelviqError) -> str:
    """The failure without ids: its class, its status and what Kelviq said."""
    status = f" {error.status}" if error.status is not None else ""
    return f"{type(error).__name__}{status}: {error.message}"[:1000]
