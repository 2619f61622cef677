"""The cache at its edges: odd rows, late waiters, failed refreshes, closing."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import kelviq_async as k
from kelviq_async import entitlements
from kelviq_async.api.entitlements import CustomerEntitlements
from kelviq_async.entitlements import CachePolicy
from kelviq_async.entitlements.cache import EntitlementCache
from kelviq_async.entitlements.compact import Shapes
from kelviq_async.stores import MemoryStore


class Edge:
    """A transport with one answer for entitlements and one for everything else."""

    def __init__(self, rows: list[Any]) -> None:
        self.rows = rows
        self.calls = 0
        self.failure: Exception | None = None
        self.refusal: k.WireAnswer | None = None
        self.other = b'{"count": 1, "results": [{"id": "s1", "customerId": "ada"}]}'
        self.gate = asyncio.Event()
        self.gate.set()

    async def send(self, request: k.WireRequest) -> k.WireAnswer:
        """The answer."""
        request.sending = True
        if "/entitlements" not in request.url:
            return k.WireAnswer(200, {}, self.other)
        self.calls += 1
        await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        if self.refusal is not None:
            return self.refusal
        customer = request.url.partition("customer_id=")[2]
        return k.WireAnswer(200, {}, k.codec.encode({"customerId": customer, "entitlements": self.rows}))

    async def close(self) -> None:
        """Nothing to close."""


def client(edge: Edge, **settings: Any) -> k.Kelviq:
    return k.Kelviq("key", transport=edge, **{"retry": False, **settings})


def cache_of(kelviq: k.Kelviq) -> EntitlementCache:
    cache = kelviq.entitlement_cache
    assert isinstance(cache, EntitlementCache)
    return cache


GRANTED = {"featureId": "export", "hasAccess": True}


@pytest.mark.parametrize("odd", [7, None, "export", {"featureId": 7, "hasAccess": True}])
async def test_a_row_about_nobody_knows_what_leaves_absent_features_undecided(odd: Any) -> None:
    async with client(Edge([GRANTED, odd])) as kelviq:
        for _ in range(2):
            assert await kelviq.entitlements.has_access("ada", "export")
            with pytest.raises(k.UnreadableAnswer):
                await kelviq.entitlements.has_access("ada", "import")
            assert kelviq.entitlements.peek("ada", "import") is None, "never kept as a denial"
        (decision,) = [d async for d in kelviq.entitlements.check_many([("ada", "import")])]
        assert isinstance(decision.error, k.UnreadableAnswer)


async def test_a_waiter_has_its_own_time() -> None:
    edge = Edge([GRANTED])
    edge.gate.clear()
    async with client(edge, timeout=None) as kelviq:
        leader = asyncio.create_task(kelviq.entitlements.check("ada", "export"))
        while not edge.calls:
            await asyncio.sleep(0)
        with pytest.raises(k.TimedOut, match="somebody else"):
            await kelviq.with_options(timeout=0.01).entitlements.check("ada", "export")
        edge.gate.set()
        assert (await leader).allowed
        assert edge.calls == 1


async def test_a_refresh_that_fails_is_tried_again_later() -> None:
    edge = Edge([GRANTED])
    async with client(edge, cache=CachePolicy(fresh=60, revalidate=60)) as kelviq:
        cache, moment = cache_of(kelviq), [1000.0]
        cache.memory.clock = lambda: moment[0]
        await kelviq.entitlements.check("ada", "export")
        moment[0] += 61
        edge.failure = k.ConnectionLost("gone")
        for calls in (2, 3):
            assert (await kelviq.entitlements.check("ada", "export")).source is k.Source.MEMORY
            while cache._tasks:
                await asyncio.wait(cache._tasks)
            assert edge.calls == calls


async def test_closing_ends_a_refresh() -> None:
    edge = Edge([GRANTED])
    kelviq = client(edge, cache=CachePolicy(fresh=60, revalidate=60))
    cache, moment = cache_of(kelviq), [1000.0]
    cache.memory.clock = lambda: moment[0]
    await kelviq.entitlements.check("ada", "export")
    moment[0] += 61
    edge.gate.clear()
    await kelviq.entitlements.check("ada", "export")
    await kelviq.close()
    assert not cache._tasks


async def test_a_subscription_nobody_remembers_ends_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    edge = Edge([GRANTED])
    async with client(edge) as kelviq:
        await kelviq.subscriptions.list()
        await kelviq.entitlements.check("ada", "export")
        await kelviq.entitlements.check("eve", "export")
        await kelviq.subscriptions.cancel("s1", k.CancellationType.IMMEDIATE)
        assert kelviq.entitlements.peek("ada", "export") is None
        assert kelviq.entitlements.peek("eve", "export") is True, "whose it is was remembered"
        monkeypatch.setattr("kelviq_async.entitlements.cache.REMEMBERED", 0)
        await kelviq.subscriptions.list()
        await kelviq.subscriptions.cancel("s1", k.CancellationType.IMMEDIATE)
        assert kelviq.entitlements.peek("eve", "export") is None


async def test_an_unknown_customer_is_one_for_everybody_who_shares() -> None:
    edge = Edge([])
    edge.refusal = k.WireAnswer(404, {}, b'{"detail": "Customer not found."}')
    store = MemoryStore()
    async with client(edge, store=store, account="a") as one, client(edge, store=store, account="a") as other:
        assert (await one.entitlements.check("ada", "export")).reason is k.Reason.UNKNOWN_CUSTOMER
        fleet = cache_of(other).fleet
        assert fleet is not None
        async with asyncio.timeout(10):
            while await fleet.found("ada") is None:
                await asyncio.sleep(0)
        assert (await other.entitlements.check("ada", "export")).reason is k.Reason.UNKNOWN_CUSTOMER
        with pytest.raises(k.UnknownCustomer):
            await other.entitlements.get("ada")
        assert edge.calls == 1
        await one.entitlements.invalidate_all()


async def test_without_a_cache_there_is_nothing_to_peek_at_or_to_forget() -> None:
    async with client(Edge([GRANTED]), cache=None) as kelviq:
        assert (await kelviq.entitlements.require("ada", "export")).allowed
        assert kelviq.entitlements.peek("ada", "export") is None
        assert kelviq.entitlements.peek_decision("ada", "export") is None
        await kelviq.entitlements.invalidate("ada")
        await kelviq.entitlements.invalidate_all()
        with pytest.raises(k.NotEntitled):
            await kelviq.entitlements.require("ada", "import")


async def test_what_cannot_be_asked_about_is_refused_before_anything_is_sent() -> None:
    edge = Edge([GRANTED])
    async with client(edge) as kelviq:
        with pytest.raises(ValueError, match="customer_id"):
            await kelviq.entitlements.get("")
    assert not edge.calls


def test_there_are_no_other_names() -> None:
    with pytest.raises(AttributeError, match="nothing"):
        _ = entitlements.nothing  # type: ignore[attr-defined]


def test_times_are_shared_and_not_hoarded() -> None:
    shapes, start = Shapes(), datetime(2026, 1, 1, tzinfo=UTC)
    for minute in range(10_002):
        stamp = (start + timedelta(minutes=minute)).strftime("%Y-%m-%d %H:%M:%S")
        row = {"featureId": "calls", "hasAccess": True, "resetAt": stamp}
        shapes.taken_apart(k.codec.load(CustomerEntitlements, {"customerId": "a", "entitlements": [row]}))
    assert len(shapes._times) < 10
