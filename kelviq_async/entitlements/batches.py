"""Many checks and lookups at once: one call for each customer, results as they are known."""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Set as AbstractSet
from typing import Any, Final, TypeVar

from ..checks import identifier_problem, invalid
from ..config import checked_seconds
from ..errors import InvalidRequest, KelviqError, RateLimited, TimedOut
from ..stream import Put, Source, Stream, WorkStream
from .checker import Answered, Checker
from .decisions import Decision, Lookup, Reason

T = TypeVar("T")

REMEMBERED: Final = 10_000
"""Customers whose answer a batch without a cache keeps, so that a pair that comes later costs no call ..."""
REMEMBERED_FOR: Final = 60.0
"""... for so many seconds."""
FAILED_FOR: Final = 5.0
"""Seconds for which a failure speaks for other features of its customer, too: one call is made for all."""
JUST_ASKED: Final = 100
"""Customers whose answer a batch with a cache keeps for as long, should the policy keep it for less."""
GIVE_UP: Final = 30.0
"""Seconds for which everybody was turned away by 429, after which that is the answer."""
LONGEST_PAUSE: Final = 60.0
"""Seconds that one answer can make a customer wait for."""
PAUSE: Final = 1.0
"""Seconds before asking again about a customer whom Kelviq turned away without saying for how long."""

Progress = Callable[[int], None]


class _Clock:
    """The deadline of a batch, which runs from its first item."""

    def __init__(self, seconds: float | None) -> None:
        self._seconds = checked_seconds(seconds, "deadline")
        self._end: float | None = None

    async def within(self, asked: Callable[[], Any]) -> Any:
        """What somebody asks for, if it comes in time.

        Raises:
            TimedOut: It did not.
        """
        if self._seconds is None:
            return await asked()
        now = asyncio.get_running_loop().time()
        if self._end is None:
            self._end = now + self._seconds
        if now < self._end:
            try:
                async with asyncio.timeout_at(self._end):
                    return await asked()
            except TimeoutError as error:
                if isinstance(error, KelviqError):  # untested here: one call's own time, shorter than ours
                    raise
        late = TimedOut("the batch's deadline is over")
        late.failure = None  # it says nothing about Kelviq, so no stale grant or policy stands in for it
        raise late


class _Patience:
    """Whom Kelviq turns away by 429 is asked about again, by fewer at once, as long as others get through."""

    def __init__(self) -> None:
        self._limit = math.inf
        self._under_way = 0
        self._room = asyncio.Event()
        self._shut: float | None = None
        """Since when nobody has got through."""
        self._given_up: RateLimited | None = None

    async def asked(self, ask: Callable[[], Any]) -> Any:
        """What Kelviq answers.

        Raises:
            RateLimited: It has turned everybody away for ``GIVE_UP`` seconds.
        """
        while True:
            while self._under_way >= self._limit:
                if self._given_up is not None:  # one at a time finds out whether that has changed
                    raise RateLimited(
                        self._given_up.message,
                        operation=self._given_up.operation,
                        retry_after=self._given_up.retry_after,
                    )
                self._room.clear()
                await self._room.wait()
            self._under_way += 1
            try:
                found = await ask()
            except RateLimited as error:
                self._limit = max(1.0, min(self._limit, self._under_way) / 2)
                if self._shut is None:
                    self._shut = time.monotonic()
                if time.monotonic() - self._shut >= GIVE_UP:
                    self._limit, self._given_up = 1.0, error
                    raise
                # in here, so that nobody else takes the place meanwhile
                pause = PAUSE if error.retry_after is None else error.retry_after
                await asyncio.sleep(min(pause, LONGEST_PAUSE))
            except KelviqError as error:
                if error.failure is None and error.status is not None:  # a no is an answer, too
                    self._got_through()
                raise
            else:
                self._got_through()
                return found
            finally:
                self._under_way -= 1
                self._room.set()

    def _got_through(self) -> None:
        self._shut = self._given_up = None
        self._limit += 1 / self._limit


class _Group(list[T]):
    """Those who wait for one call about their customer.

    Attributes:
        changes: How often something had been invalidated when the call began: who comes after another
            invalidation has it asked anew.
    """

    def __init__(self, first: T, changes: int) -> None:
        super().__init__([first])
        self.changes = changes


class _Failures:
    """Calls that failed, each of which was made for all features of its customer."""

    def __init__(self) -> None:
        self._failed: OrderedDict[str, tuple[KelviqError, float, set[str]]] = OrderedDict()

    def note(self, customer_id: str, error: KelviqError, features: set[str]) -> None:
        self._failed.pop(customer_id, None)
        self._failed[customer_id] = error, time.monotonic(), features
        if len(self._failed) > REMEMBERED:
            self._failed.popitem(last=False)

    def speaking_for(self, customer_id: str, feature_id: str) -> KelviqError | None:
        """The failure of a recent call; a feature that it was given before is asked about again."""
        failed = self._failed.get(customer_id)
        if failed is None or feature_id in failed[2] or time.monotonic() - failed[1] >= FAILED_FOR:
            return None
        failed[2].add(feature_id)
        return failed[0]


def _counted(put: Put[T], done: list[int], on_progress: Progress | None) -> Put[T]:
    if on_progress is None:
        return put

    def counted(index: int, result: T) -> None:
        put(index, result)
        done[0] += 1
        on_progress(done[0])

    return counted


def checked_many(  # noqa: C901  two steps that share what they remember
    asker: Checker,
    pairs: Source[tuple[str, str]],
    *,
    concurrency: int,
    ordered: bool,
    deadline: float | None,
    on_progress: Progress | None,
) -> Stream[Decision]:
    """See ``EntitlementChecks.check_many``."""
    clock, done = _Clock(deadline), [0]
    answers: OrderedDict[str, tuple[Answered, int]] = OrderedDict()
    failures, patience = _Failures(), _Patience()
    waiting: dict[str, _Group[tuple[int, str]]] = {}

    async def job(index: int, pair: Any, put: Put[Decision]) -> None:
        put = _counted(put, done, on_progress)
        try:
            customer_id, feature_id = _pair(pair)
        except InvalidRequest as error:
            put(index, _failed(*_shown(pair), error))
            return
        known = asker.known(customer_id)
        try:
            decision = asker.remembered(customer_id, feature_id, known, due=False)
        except KelviqError as error:  # untested: memory lets no odd verdict pass, but none may end a batch
            decision = _failed(customer_id, feature_id, error)
        if decision is not None:
            put(index, decision)
        elif customer_id in answers and _is_good(answers[customer_id], asker):
            put(index, _decided(asker, customer_id, feature_id, answers[customer_id][0], remembered=True))
        elif (failure := failures.speaking_for(customer_id, feature_id)) is not None:
            put(index, _without(asker, customer_id, feature_id, failure))
        elif (group := waiting.get(customer_id)) is not None and group.changes == asker.changes():
            group.append((index, feature_id))
        else:
            group = waiting[customer_id] = _Group((index, feature_id), asker.changes())
            await ask(customer_id, group, put)

    async def ask(customer_id: str, group: _Group[tuple[int, str]], put: Put[Decision]) -> None:
        """Ask about a customer, and decide every pair that has come to wait for it."""
        try:
            if await clock.within(lambda: asker.learned(customer_id)) is not None:
                _share(asker, customer_id, group, put)
            if not group:
                _leave(waiting, customer_id, group)
                return
            answered = await clock.within(lambda: patience.asked(lambda: asker.asked(customer_id)))
        except KelviqError as error:
            _leave(waiting, customer_id, group)
            failures.note(customer_id, error, {feature for _, feature in group})
            for number, feature in group:
                put(number, _without(asker, customer_id, feature, error))
            return
        answers.pop(customer_id, None)
        answers[customer_id] = answered, group.changes
        if len(answers) > (REMEMBERED if asker.cache is None else JUST_ASKED):
            answers.popitem(last=False)
        _leave(waiting, customer_id, group)
        for number, feature in group:
            put(number, _decided(asker, customer_id, feature, answered))

    return WorkStream(
        pairs,
        job,
        concurrency=concurrency,
        window=_window(concurrency),
        ordered=ordered,
        track=asker.client.track,
    )


def looked_up_many(
    asker: Checker,
    customer_ids: Source[str],
    *,
    concurrency: int,
    ordered: bool,
    deadline: float | None,
    on_progress: Progress | None,
) -> Stream[Lookup]:
    """See ``EntitlementChecks.get_many``."""
    clock, done, patience = _Clock(deadline), [0], _Patience()
    waiting: dict[str, _Group[int]] = {}

    async def job(index: int, customer_id: Any, put: Put[Lookup]) -> None:
        put = _counted(put, done, on_progress)
        problem = identifier_problem(customer_id)
        if problem:
            put(index, Lookup(_text(customer_id), error=invalid("customer_id", problem)))
        elif (group := waiting.get(customer_id)) is not None and group.changes == asker.changes():
            group.append(index)
        else:
            group = waiting[customer_id] = _Group(index, asker.changes())
            try:
                get = asker.client.entitlements.get
                found = await clock.within(lambda: patience.asked(lambda: get(customer_id)))
                lookup = Lookup(customer_id, found)
            except KelviqError as error:
                lookup = Lookup(customer_id, error=error)
            _leave(waiting, customer_id, group)
            for number in group:
                put(number, lookup)

    return WorkStream(customer_ids, job, concurrency=concurrency, ordered=ordered, track=asker.client.track)


def _window(concurrency: Any) -> int:
    """Room for the pairs of as many customers as are asked about at once; the stream checks the number."""
    return max(1000, 40 * concurrency) if isinstance(concurrency, int) else 1000


def _leave(waiting: dict[str, _Group[T]], customer_id: str, group: _Group[T]) -> None:
    """Nobody is to join a group any more, unless another one has taken its place already."""
    if waiting.get(customer_id) is group:
        del waiting[customer_id]


def _share(asker: Checker, customer_id: str, group: _Group[tuple[int, str]], put: Put[Decision]) -> None:
    """Decide what another process's answer decides; the rest goes on waiting."""
    rest = []
    for number, feature in group:
        try:
            decision = asker.remembered(customer_id, feature, asker.known(customer_id), due=False)
        except KelviqError as error:  # untested, as above
            decision = _failed(customer_id, feature, error)
        if decision is None:
            rest.append((number, feature))
        else:
            put(number, decision)
    group[:] = rest


def _is_good(answer: tuple[Answered, int], asker: Checker) -> bool:
    """Whether an answer of this batch is neither old nor perhaps invalidated meanwhile."""
    answered, changes = answer
    # a cache knows better what is good for how long, but one call is for all features of a customer
    span = REMEMBERED_FOR if asker.cache is None else FAILED_FOR
    return asker.age(answered) < span and changes == asker.changes()


def _decided(
    asker: Checker, customer_id: str, feature_id: str, answered: Answered, *, remembered: bool = False
) -> Decision:
    try:
        return asker.decided(customer_id, feature_id, answered, remembered=remembered)
    except KelviqError as error:
        return _failed(customer_id, feature_id, error)


def _without(asker: Checker, customer_id: str, feature_id: str, error: KelviqError) -> Decision:
    try:
        return asker.without_answer(customer_id, feature_id, error)
    except KelviqError as raised:
        return _failed(customer_id, feature_id, raised)


def _failed(customer_id: str, feature_id: str, error: KelviqError) -> Decision:
    return Decision(customer_id, feature_id, False, Reason.FAILED, error=error)


def _pair(pair: Any) -> tuple[str, str]:
    """Customer and feature out of a tuple, a list, or a row of a database."""
    unordered = isinstance(pair, str | bytes | Mapping | AbstractSet)
    if unordered or not isinstance(pair, Collection) or len(pair) != 2:
        raise InvalidRequest("a pair of customer id and feature id is needed")
    customer_id, feature_id = pair
    for name, value in (("customer_id", customer_id), ("feature_id", feature_id)):
        problem = identifier_problem(value)
        if problem:
            raise invalid(name, problem)
    return customer_id, feature_id


def _shown(pair: Any) -> tuple[str, str]:
    """A malformed pair as text, so that its decision can be told from the others."""
    parts = list(pair) if isinstance(pair, tuple | list) else [pair]
    return _text(parts[0]) if parts else "", _text(parts[1]) if len(parts) > 1 else ""


def _text(value: Any) -> str:
    try:
        return str(value)
    except Exception:  # noqa: BLE001  a number of 5,000 digits has no text, and what a user's object does nobody knows
        return f"<{type(value).__name__}>"
