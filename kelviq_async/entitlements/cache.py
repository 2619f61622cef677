"""Keeps entitlements for the cache layer: in memory, and where a store is given, in the store."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

from ..api.entitlements import CustomerEntitlements, GetEntitlements
from ..errors import KelviqError
from ..request import Request
from .asking import about_customer
from .fleet import Fleet
from .memory import Known, Memory

logger = logging.getLogger("kelviq_async")

REMEMBERED: Final = 50_000
"""Subscriptions whose customer is remembered, since a change of one names no customer."""

CONCERNING_MANY: Final = frozenset({"CreateRefund", "PublishPlan"})
"""Writes that may change what customers have, and name none of them."""

COUNTING: Final = frozenset({"ReportUsage", "ReportEvent"})
"""Writes that change counters and no grants: dropping answers for them would keep nothing at all."""


class Noted:
    """When a call began, on the cache's clock."""

    __slots__ = ("start",)

    def __init__(self, start: float) -> None:
        self.start = start


_NOTED: Final[ContextVar[Noted | None]] = ContextVar("_NOTED", default=None)


class EntitlementCache:
    """What the cache layer asks about entitlements.

    Args:
        memory: Where answers are kept.
        fleet: Where other processes find them too, or None.
    """

    def __init__(self, memory: Memory, fleet: Fleet | None = None) -> None:
        self.memory = memory
        self.fleet = fleet
        self.outdate: Callable[[str | None], None] = lambda _: None
        """Keeps the answer of a call under way out; set by who builds the layers."""
        if fleet is not None:
            # looked up when it is called: who builds the layers sets it later
            fleet.outdate = self._outdate
        self.changes = 0
        """How often something was invalidated, here or by another process."""
        self._customers: OrderedDict[str, str] = OrderedDict()
        self._tasks: set[asyncio.Task[Any]] = set()

    def clock(self) -> float:
        """Seconds on the memory's clock."""
        return self.memory.clock()

    def key(self, request: Request[Any]) -> str | None:
        """The customer, for calls that fetch all they may use."""
        if isinstance(request, GetEntitlements) and request.feature_id is None:
            return request.customer_id
        return None

    async def found(
        self, request: Request[Any], key: str, since: float
    ) -> tuple[CustomerEntitlements, float] | None:
        """An answer that came to somebody else while this call waited."""
        del request
        if self.fleet is not None:
            self.fleet.begin()
        known = self.memory.get(key)
        answer = known.answer(key) if known is not None and known.start > since else None
        return None if known is None or answer is None else (answer, known.start)

    def began(self, start: float, /) -> None:
        """Note when the call began whose answer is handed over now, for who wants to know."""
        noted = _NOTED.get()
        if noted is not None:
            noted.start = start

    @contextmanager
    def noting(self) -> Iterator[Noted]:
        """Note when the call begins that is made meanwhile, perhaps by somebody else who made it already."""
        noted = Noted(self.clock())
        token = _NOTED.set(noted)
        try:
            yield noted
        finally:
            _NOTED.reset(token)

    def keep(self, request: Request[Any], key: str, answer: Any, start: float) -> None:
        """Keep an answer, unless a newer one has come from another process meanwhile."""
        del request
        if self._is_news(key, start):
            self.memory.keep(key, answer, start)
        if self.fleet is not None:
            self.fleet.keep(key, answer, start)

    def refused(self, request: Request[Any], key: str, error: KelviqError, start: float) -> None:
        """Kelviq's word that it does not know the customer ends whatever was granted."""
        del request
        if about_customer(error):
            if self._is_news(key, start):
                self.memory.keep(key, None, start)
            if self.fleet is not None:
                self.fleet.keep(key, None, start)

    def _is_news(self, key: str, start: float) -> bool:
        known = self.memory.get(key)
        return known is None or known.start <= start

    async def shared(self, customer_id: str) -> Known | None:
        """What another process has fetched, where that is newer than what is known here.

        To be asked before each call: only then may the others have its answer.
        """
        found = None if self.fleet is None else await self.fleet.found(customer_id)
        known = self.memory.get(customer_id)
        if found is None or (known is not None and known.start >= found[1]):
            return None
        known = self.memory.keep(customer_id, *found)
        known.from_store = True
        return known

    async def touched(self, request: Request[Any], answer: Any) -> None:
        """Forget the customer a write was about; everybody, where nobody knows whom."""
        name = request.operation.name
        if name in COUNTING or request.operation.host == "edge":
            return
        self.learn(request, answer)
        if name in CONCERNING_MANY:
            await self.invalidate_all()
            return
        customer_id = getattr(request, "customer_id", None) or getattr(answer, "customer_id", None)
        subscription_id = getattr(request, "subscription_id", None)
        if not isinstance(customer_id, str) and isinstance(subscription_id, str):
            customer_id = self._customers.get(subscription_id)
            if customer_id is None:
                await self.invalidate_all()
                return
            replacement = getattr(answer, "subscription_id", None)
            if isinstance(replacement, str):
                self._remember(replacement, customer_id)
        if isinstance(customer_id, str):
            await self.invalidate(customer_id)

    def learn(self, request: Request[Any], answer: Any) -> None:
        """Remember whose subscriptions came by."""
        if request.operation.area != "subscriptions":
            return
        for row in getattr(answer, "results", None) or [answer]:
            customer_id, subscription_id = getattr(row, "customer_id", None), getattr(row, "id", None)
            if isinstance(customer_id, str) and isinstance(subscription_id, str):
                self._remember(subscription_id, customer_id)

    def _remember(self, subscription_id: str, customer_id: str) -> None:
        self._customers.pop(subscription_id, None)
        self._customers[subscription_id] = customer_id
        if len(self._customers) > REMEMBERED:
            self._customers.popitem(last=False)

    def refresh(self, known: Known, ask: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        """Ask again behind the scenes, once for what is known."""
        if known.refreshing:
            return
        known.refreshing = True

        async def refreshed() -> None:
            try:
                await ask()
            except KelviqError as error:
                logger.debug("a refresh behind the scenes failed: %s", type(error).__name__)

        def over(task: asyncio.Task[Any]) -> None:
            known.refreshing = False  # here, as a task that is cancelled early runs no line of its own
            self._tasks.discard(task)

        task = asyncio.get_running_loop().create_task(refreshed())
        self._tasks.add(task)
        task.add_done_callback(over)

    async def stop(self, error: BaseException | None = None, /) -> None:  # noqa: ARG002  as others that a client ends
        """End what goes on behind the scenes."""
        loop = asyncio.get_running_loop()
        tasks = [task for task in self._tasks if not task.get_loop().is_closed()]
        for task in tasks:
            task.cancel()
        # those of a loop that has stopped never end
        here = [task for task in tasks if task.get_loop() is loop]
        if here:
            await asyncio.wait(here)
        if self.fleet is not None:
            await self.fleet.aclose()

    def _outdate(self, customer_id: str | None) -> None:
        self.changes += 1
        self.outdate(customer_id)

    async def invalidate(self, customer_id: str) -> None:
        """Forget a customer at once, also if somebody is asking about them right now."""
        self._outdate(customer_id)
        self.memory.forget(customer_id)
        if self.fleet is not None:
            await self.fleet.invalidate(customer_id)

    async def invalidate_all(self) -> None:
        """Forget everybody."""
        self._outdate(None)
        self.memory.clear()
        if self.fleet is not None:
            await self.fleet.invalidate_all()
