"""Whether and when to try again: one layer, one policy, one deadline over all attempts."""

from __future__ import annotations

import asyncio
import random
from typing import Any, TypeVar

import attrs

from ..config import Host, Options
from ..errors import (
    ApiError,
    ClientClosed,
    ConfigError,
    FailureClass,
    KelviqError,
    NeverSent,
    OutcomeUnknown,
    RateLimited,
)
from ..request import Request, Send
from .under_way import UnderWay

R = TypeVar("R")

LONGEST_SHARED_PAUSE = 60.0
"""Seconds that one answer can make all calls to a host wait; a longer wish holds for its call alone."""


@attrs.frozen
class Retry:
    """Full jitter: before attempt n + 1, wait a random time up to ``min(cap, base * 2**n)``.

    Attributes:
        attempts: How many attempts at most, the first one included.
        base: Seconds the first wait can last.
        cap: Seconds any wait can last.
    """

    attempts: int = 3
    base: float = 0.2
    cap: float = 10.0
    _random: random.Random = attrs.field(factory=random.Random, repr=False, eq=False)

    def __attrs_post_init__(self) -> None:
        """Refuse numbers that could never work."""
        if type(self.attempts) is not int or self.attempts < 1:
            raise ConfigError("retry: attempts must be a whole number of at least 1")
        if not 0 <= self.base <= self.cap < float("inf"):
            raise ConfigError("retry: 0 <= base <= cap must hold")

    def __call__(self, request: Request[Any], attempt: int, failure: KelviqError) -> float | None:  # noqa: ARG002  every policy is asked so
        """Seconds to wait before the next attempt, or None to give up."""
        if attempt >= self.attempts:
            return None
        wait = self._random.uniform(0, min(self.cap, self.base * 2 ** min(attempt - 1, 30)))
        return wait if failure.retry_after is None else failure.retry_after + wait


def may_repeat(request: Request[Any], failure: KelviqError) -> bool:
    """Whether another attempt is safe; no policy can say otherwise.

    What never left may go again, and so may what was turned away by 429. What is ambiguous, or was
    turned away by a 503 (which says nothing about what happened before it), may go again only where
    doing it twice is doing it once.
    """
    if isinstance(failure, ClientClosed):
        return False
    if failure.failure is FailureClass.NEVER_SENT:
        return not (isinstance(failure, NeverSent) and failure.hopeless)
    if failure.failure is FailureClass.REFUSED and isinstance(failure, RateLimited):
        return True
    return failure.failure is not None and request.repeatable


class Pauses:
    """When each host wants to be asked again; shared by all calls of a client."""

    def __init__(self) -> None:
        self._until: dict[Host, float] = {}

    def __bool__(self) -> bool:
        return bool(self._until)

    def note(self, host: Host, seconds: float, now: float) -> None:
        """A host asked for a pause."""
        until = now + min(seconds, LONGEST_SHARED_PAUSE)
        self._until[host] = max(until, self._until.get(host, 0.0))

    def left(self, host: Host, now: float) -> float:
        """Seconds until the host may be asked again."""
        until = self._until.get(host)
        if until is None:
            return 0.0
        if until <= now:
            del self._until[host]
            return 0.0
        return until - now


class RetrySend:
    """Repeats what may be repeated, and calls unknown what is unknown."""

    def __init__(
        self,
        inner: Send,
        pauses: Pauses,
        under_way: UnderWay | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._inner = inner
        self._pauses = pauses
        self._under_way = under_way or UnderWay()
        # who is on the right loop has been looked at: to ask once more is a system call in some Pythons
        self._loop = loop

    async def __call__(self, request: Request[R], options: Options) -> R:
        """Send, as often as the policy, the deadline and the nature of the request allow.

        Raises:
            OutcomeUnknown: The request may have been carried out, and is not repeatable.
            KelviqError: The last attempt's failure.
        """
        clock = (self._loop or asyncio.get_running_loop()).time
        deadline = options.deadline
        if deadline is None and options.timeout is not None:
            deadline = clock() + options.timeout
        host = request.operation.host
        attempt = 0
        while True:
            attempt += 1
            if self._pauses:
                await self._wait(request, host, deadline)
            try:
                return await self._inner(request, options.for_attempt(attempt, deadline))
            except KelviqError as error:
                if error.failure is None:
                    raise
                if error.failure is FailureClass.REFUSED and error.retry_after is not None:
                    self._pauses.note(host, error.retry_after, clock())
                policy = options.retry
                delay = policy(request, attempt, error) if policy and may_repeat(request, error) else None
                if isinstance(error, RateLimited) and error.retry_after is None and delay and delay > 0:
                    self._pauses.note(host, delay, clock())  # who was not told how long waits with the others
                if delay is None or (deadline is not None and clock() + delay >= deadline):
                    self._give_up(request, error)
                    raise
            await self._sleep(request, delay if delay > 0 else 0.0)  # a policy may give anything, also NaN

    async def _wait(self, request: Request[Any], host: Host, deadline: float | None) -> None:
        clock = asyncio.get_running_loop().time
        while left := self._pauses.left(host, clock()):
            if deadline is not None and clock() + left >= deadline:
                message = "Kelviq asked for a pause that is longer than this call may take"
                error = RateLimited(message, retry_after=left)
                error.about(request.operation.name, request)
                raise error
            await self._sleep(request, left)

    async def _sleep(self, request: Request[Any], seconds: float) -> None:
        try:
            with self._under_way.wait():
                await asyncio.sleep(seconds)
        except ClientClosed as error:
            error.about(request.operation.name, request)
            raise

    def _give_up(self, request: Request[Any], error: KelviqError) -> None:
        """Raise ``OutcomeUnknown`` where nobody can tell whether the work was done."""
        refused = isinstance(error, RateLimited) and error.failure is FailureClass.REFUSED
        if request.repeatable or refused or error.failure is FailureClass.NEVER_SENT:
            return
        said = "the answer was an error" if isinstance(error, ApiError) else error.message
        raise OutcomeUnknown(
            f"it may have been done, and must not be sent again unasked: {said}",
            operation=request.operation.name,
            request=request,
            status=error.status,
            code=error.code,
            fields=error.fields,
            retry_after=error.retry_after,
        ) from error
