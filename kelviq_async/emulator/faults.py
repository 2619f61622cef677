"""Things that go wrong on purpose: what networks and services do to requests, counted and repeatable.

A fault is about one operation, or all (``"*"``). Kinds:

===================== =============================================================================
``latency``           the work is done at once, the answer comes ``latency`` seconds late
``refuse``            nothing is sent, nothing is done; behind a port the same as ``drop_before``
``drop_before``       the connection breaks before the work is done
``drop_after``        the work is done, and the connection breaks before the answer
``status``            nothing is done; the answer is ``status`` (503)
``status_after``      the work is done, and yet the answer is ``status`` (503)
``rate_limit``        nothing is done; 429 with ``Retry-After: retry_after`` (1)
``truncated``         the work is done, and half of the answer comes
``garbage``           the work is done, and the answer is no JSON
``wrong_content_type`` the work is done, and the answer says that it is HTML
``slow_body``         the work is done, and the answer trickles in over ``latency`` seconds
``stale``             entitlements are answered as they were read before, as from an edge that lags
===================== =============================================================================

Any kind may have a ``latency`` in addition: a ``drop_before`` with one is a silence that ends in nothing.
Seconds of ``latency`` are the machine's; the world's clock stands still meanwhile.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final

import attrs

from .. import codec
from ..errors import ConnectionLost, NeverSent, UnreadableAnswer
from ..request import operations
from ..transport import WireAnswer
from .answering import Asked
from .core import Core

EVERY: Final = "*"
KINDS: Final = (
    "latency",
    "refuse",
    "drop_before",
    "drop_after",
    "status",
    "status_after",
    "rate_limit",
    "truncated",
    "garbage",
    "wrong_content_type",
    "slow_body",
    "stale",
)
REMEMBERED: Final = 10_000
"""So many answers are kept for ``stale``."""

_STALE: Final = "GetEntitlements"
_NO_WORK: Final = frozenset({"refuse", "drop_before", "status", "rate_limit"})
_NO_ANSWER: Final = frozenset({"refuse", "drop_before", "drop_after"})
_NEED_LATENCY: Final = frozenset({"latency", "slow_body"})


@attrs.define(eq=False)
class Fault:
    """A fault that was planned.

    Attributes:
        operation: Name of the operation, or ``"*"``.
        kind: What happens, see the module.
        times: How often it happens; None for always.
        status: Status of the answer, for ``status`` and ``status_after``.
        latency: Seconds by which answers come late.
        retry_after: Seconds to wait that the answer names, or None.
        probability: How likely it happens to each request.
        after: How many requests it lets pass first.
        until: When it is over, on the world's clock, or None.
        passed: How many requests it has looked at.
        happened: How often it happened.
    """

    operation: str
    kind: str
    times: int | None = None
    status: int = 503
    latency: float = 0.0
    retry_after: float | None = None
    probability: float = 1.0
    after: int = 0
    until: datetime | None = None
    passed: int = 0
    happened: int = 0

    @property
    def remaining(self) -> int | None:
        """How often it can still happen; None for any number of times."""
        return None if self.times is None else self.times - self.happened


@attrs.frozen
class Served:
    """What a client is to get, and how.

    Attributes:
        answer: The answer, as altered by a fault; None where the connection just breaks.
        fault: Kind of the fault, or None. Whoever speaks HTTP breaks the connection after half of a
            ``truncated`` answer, and spreads a ``slow_body`` over ``seconds``; all else is done already.
        seconds: How late the answer is.
    """

    answer: WireAnswer | None
    fault: str | None = None
    seconds: float = 0.0

    def delivered(self) -> WireAnswer:
        """The answer as a transport gives it.

        Raises:
            NeverSent: The fault was ``refuse``.
            ConnectionLost: The connection broke.
            UnreadableAnswer: Half of the answer is missing.
        """
        if self.fault == "refuse":
            raise NeverSent("no connection could be made (a fault on purpose)")
        if self.answer is None:
            raise ConnectionLost("the connection was lost (a fault on purpose)")
        if self.fault == "truncated":
            raise UnreadableAnswer("the answer broke off (a fault on purpose)")
        return self.answer


class Faults:
    """The faults of a world: ``world.faults``."""

    def __init__(self, world: Core) -> None:
        self._world = world
        self._faults: list[tuple[Fault, random.Random]] = []
        self._before: dict[tuple[tuple[str, str], ...], WireAnswer] = {}

    def add(
        self,
        operation: str = EVERY,
        kind: str | None = None,
        *,
        times: int | None = None,
        status: int | None = None,
        latency: float = 0.0,
        retry_after: float | None = None,
        probability: float = 1.0,
        seed: int | None = None,
        after: int = 0,
        seconds: float | None = None,
    ) -> Fault:
        """Plan a fault. Of several that fit a request, the first one planned that can happen does.

        Args:
            operation: Name of the operation, such as ``"ReportUsage"``, or ``"*"`` for all.
            kind: What is to happen, see this module. Where none is named, ``status`` and ``latency``
                mean those kinds.
            times: How often; None for always.
            status: Status of the answer, for ``status`` and ``status_after``; 503 by default.
            latency: Seconds by which answers come late.
            retry_after: Seconds to wait, for answers with a status.
            probability: How likely it happens to each request, from 0 to 1.
            seed: Makes chance repeatable; by default the world's own seed.
            after: How many requests it lets pass first.
            seconds: After how many seconds on the world's clock it is over; None for never.

        Returns:
            The fault, which counts how often it ``happened``.

        Raises:
            ValueError: There is no such operation or kind, or a number cannot be right.
        """
        if kind is None:
            kind = "status" if status is not None else "latency" if latency else ""
        _check(operation, kind, latency)
        _check_numbers(1e9, int, times=times, after=after)
        _check_numbers(1e9, int | float, latency=latency, retry_after=retry_after, seconds=seconds)
        _check_numbers(1, int | float, probability=probability)
        if status is not None and status not in range(200, 600):
            raise ValueError("status must be an HTTP status from 200 to 599")
        with self._world.lock:
            until = None if seconds is None else self._world.now() + timedelta(seconds=seconds)
            default = 429 if kind == "rate_limit" else 503
            wait = 1.0 if kind == "rate_limit" and retry_after is None else retry_after
            fault = Fault(operation, kind, times=times, status=status or default, latency=float(latency))
            fault.retry_after, fault.probability, fault.after, fault.until = wait, probability, after, until
            chance = random.Random(self._world.seed if seed is None else seed)  # noqa: S311  no secret
            self._faults.append((fault, chance))
        return fault

    def clear(self) -> None:
        """Call all faults off."""
        with self._world.lock:
            self._faults.clear()

    @property
    def remaining(self) -> list[Fault]:
        """The faults that can still happen."""
        now = self._world.now()
        return [fault for fault, _ in self._faults if _alive(fault, now)]

    def served(self, asked: Asked, work: Callable[[], WireAnswer]) -> Served:
        """Answer a request, with what goes wrong meanwhile.

        Args:
            asked: The request.
            work: Does the work and gives the answer.
        """
        fault, seconds = self._met(asked.name) if self._faults else (None, 0.0)
        if fault is None:
            return Served(self._remembered(asked, work()), "latency" if seconds else None, seconds)
        if fault.kind in _NO_WORK:
            answer = _said(fault)
        elif fault.kind == "stale":
            before = self._before.get(_question(asked))
            answer = before if before is not None else self._remembered(asked, work())
        else:
            answer = _altered(fault, self._remembered(asked, work()))
        return Served(None if fault.kind in _NO_ANSWER else answer, fault.kind, seconds)

    def _met(self, operation: str | None) -> tuple[Fault | None, float]:
        """The fault a request meets, and by how many seconds its answer is late."""
        now, seconds = self._world.now(), 0.0
        for fault, chance in self._faults:
            fits = fault.operation in {EVERY, operation} and (fault.kind != "stale" or operation == _STALE)
            if not fits or not _alive(fault, now):
                continue
            fault.passed += 1
            if fault.passed <= fault.after or chance.random() >= fault.probability:
                continue
            fault.happened += 1
            seconds += fault.latency
            if fault.kind != "latency":
                return fault, seconds
        return None, seconds

    def _remembered(self, asked: Asked, answer: WireAnswer) -> WireAnswer:
        if asked.name == _STALE:
            question = _question(asked)
            self._before.pop(question, None)
            self._before[question] = answer
            if len(self._before) > REMEMBERED:
                del self._before[next(iter(self._before))]
        return answer


def _check(operation: str, kind: str, latency: float) -> None:
    if kind not in KINDS:
        raise ValueError(f"there is no fault {kind!r}; there are {', '.join(KINDS)}")
    if operation != EVERY and operation not in {each.name for each in operations()}:
        raise ValueError(f"there is no operation {operation!r}; they are named as their request classes")
    if kind == "stale" and operation not in {EVERY, _STALE}:
        raise ValueError(f"only {_STALE} can be stale")
    if kind in _NEED_LATENCY and not latency:
        raise ValueError(f"{kind} needs a latency in seconds")


def _check_numbers(most: float, kind: Any, **numbers: Any) -> None:
    """Fractions and booleans where whole numbers belong, and what is negative or too large."""
    for name, value in numbers.items():
        if value is not None and (
            isinstance(value, bool) or not isinstance(value, kind) or not 0 <= value <= most
        ):
            whole = "whole " if kind is int else ""
            raise ValueError(f"{name} must be a {whole}number from 0 to {most:g}")


def _alive(fault: Fault, now: datetime) -> bool:
    return fault.remaining != 0 and (fault.until is None or now < fault.until)


def _question(asked: Asked) -> tuple[tuple[str, str], ...]:
    return tuple(asked.query.items())


def _said(fault: Fault) -> WireAnswer:
    """An answer with no work behind it."""
    text = "Request was throttled." if fault.status == 429 else "A fault on purpose."
    headers = {"Content-Type": "application/json"}
    if fault.retry_after is not None:
        headers["Retry-After"] = f"{fault.retry_after:g}"
    return WireAnswer(fault.status, headers, codec.encode({"detail": text}))


def _altered(fault: Fault, answer: WireAnswer) -> WireAnswer:
    if fault.kind == "status_after":
        return _said(fault)
    if fault.kind == "garbage":
        return WireAnswer(answer.status, answer.headers, b'{"detail": <html>\xff')
    if fault.kind == "wrong_content_type":
        return WireAnswer(answer.status, {**answer.headers, "Content-Type": "text/html"}, answer.body)
    return answer
