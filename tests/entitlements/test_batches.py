"""Batches with a cache, a store, a deadline and a counter."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import kelviq_async as k
from kelviq_async.entitlements import CachePolicy, FeaturePolicy
from kelviq_async.entitlements.cache import EntitlementCache
from kelviq_async.stores import MemoryStore


class Edge:
    """A transport that grants two features to everybody, until it is told otherwise."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.features: dict[str, Any] = {"export": True, "import": True}
        self.failure: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()

    async def send(self, request: k.WireRequest) -> k.WireAnswer:
        """An answer about the customer that is asked about."""
        request.sending = True
        customer = request.url.partition("customer_id=")[2]
        self.calls.append(customer)
        await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        rows = [{"featureId": name, "hasAccess": verdict} for name, verdict in self.features.items()]
        return k.WireAnswer(200, {}, k.codec.encode({"customerId": customer, "entitlements": rows}))

    async def close(self) -> None:
        """Nothing to close."""


def client(edge: Edge, **settings: Any) -> k.Kelviq:
    return k.Kelviq("key", transport=edge, **{"retry": False, **settings})


async def test_a_batch_warms_the_cache_and_is_served_from_it() -> None:
    edge = Edge()
    async with client(edge) as kelviq:
        pairs = [(customer, feature) for feature in ("export", "import") for customer in "abc"]
        first = [decision async for decision in kelviq.entitlements.check_many(pairs)]
        assert sorted(edge.calls) == ["a", "b", "c"]
        assert {decision.source for decision in first} <= {k.Source.LIVE, k.Source.MEMORY}
        assert kelviq.entitlements.peek("a", "export") is True
        again = [decision async for decision in kelviq.entitlements.check_many(pairs, ordered=True)]
        assert [(d.customer_id, d.feature_id, d.source) for d in again] == [
            (*pair, k.Source.MEMORY) for pair in pairs
        ]
        assert len(edge.calls) == 3
        await kelviq.entitlements.invalidate("b")
        assert all([bool(decision) async for decision in kelviq.entitlements.check_many(pairs)])
        assert edge.calls[3:] == ["b"]


async def test_unless_it_is_told_not_to() -> None:
    edge = Edge()
    async with client(edge) as kelviq:
        assert [d.allowed async for d in kelviq.entitlements.check_many([("a", "export")], warm=False)] == [
            True
        ]
        assert [lookup.error async for lookup in kelviq.entitlements.get_many(["b"], warm=False)] == [None]
        assert kelviq.entitlements.peek("a", "export") is None
        assert kelviq.entitlements.peek("b", "export") is None


async def test_what_is_left_when_the_deadline_is_over_is_an_error_each() -> None:
    edge = Edge()
    edge.gate.clear()
    async with client(edge, cache=None) as kelviq:
        pairs = [(customer, "export") for customer in "abcdef"]
        decisions = [d async for d in kelviq.entitlements.check_many(pairs, concurrency=2, deadline=0.01)]
        assert [type(decision.error) for decision in decisions] == [k.TimedOut] * 6
        assert len(edge.calls) == 2, "nobody is asked after the deadline"
        lookups = [
            each async for each in kelviq.entitlements.get_many("abcdef", concurrency=2, deadline=0.01)
        ]
        assert [type(lookup.error) for lookup in lookups] == [k.TimedOut] * 6
        with pytest.raises(k.TimedOut):
            bool(decisions[0])


async def test_a_failure_within_the_deadline_is_itself() -> None:
    edge = Edge()
    edge.failure = k.ConnectionLost("gone")
    async with client(edge) as kelviq:
        (decision,) = [d async for d in kelviq.entitlements.check_many([("a", "export")], deadline=60)]
        assert isinstance(decision.error, k.ConnectionLost)


async def test_progress_counts_every_result() -> None:
    async with client(Edge()) as kelviq:
        counts: list[int] = []
        pairs = [("a", "export"), ("a", ""), ("b", "export"), ("a", "import")]
        decisions = [d async for d in kelviq.entitlements.check_many(pairs, on_progress=counts.append)]
        assert counts == [1, 2, 3, 4]
        assert len(decisions) == 4
        counts.clear()
        assert (
            len([each async for each in kelviq.entitlements.get_many("ab", on_progress=counts.append)]) == 2
        )
        assert counts == [1, 2]


async def test_while_kelviq_cannot_be_asked_old_grants_and_policies_decide() -> None:
    edge = Edge()
    policy = CachePolicy(fresh=1, denied=1, revalidate=0, features={"free": FeaturePolicy(unknown="allow")})
    async with client(edge, cache=policy) as kelviq:
        cache = kelviq.entitlement_cache
        assert isinstance(cache, EntitlementCache)
        moment = [1000.0]
        cache.memory.clock = lambda: moment[0]
        await kelviq.entitlements.get("a")
        moment[0] += 2
        edge.failure = k.ConnectionLost("gone")
        pairs = [("a", "export"), ("a", "never"), ("b", "free"), ("b", "export")]
        decisions = [d async for d in kelviq.entitlements.check_many(pairs, ordered=True)]
        assert [(d.allowed, d.source) for d in decisions[:3]] == [
            (True, k.Source.STALE),
            (False, k.Source.LIVE),
            (True, k.Source.FALLBACK),
        ]
        assert isinstance(decisions[1].error, k.ConnectionLost)
        assert isinstance(decisions[3].error, k.ConnectionLost)


async def test_one_unreadable_verdict_leaves_the_others_of_the_customer() -> None:
    edge = Edge()
    edge.features["odd"] = "yes"
    store = MemoryStore()
    async with (
        client(edge, store=store, account="acme") as one,
        client(edge, store=store, account="acme") as other,
    ):
        await one.entitlements.get("a")
        cache = other.entitlement_cache
        assert isinstance(cache, EntitlementCache)
        assert cache.fleet is not None
        async with asyncio.timeout(10):
            while await cache.fleet.found("a") is None:
                await asyncio.sleep(0)
        pairs = [("a", "odd"), ("a", "export"), ("a", "import")]
        decisions = [d async for d in other.entitlements.check_many(pairs, ordered=True)]
        assert isinstance(decisions[0].error, k.UnreadableAnswer)
        assert [(d.allowed, d.source) for d in decisions[1:]] == [(True, k.Source.STORE)] * 2
        assert (await other.entitlements.get("a"))["export"].granted


async def test_without_a_cache_a_batch_remembers_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    edge = Edge()
    monkeypatch.setattr("kelviq_async.entitlements.batches.REMEMBERED", 2)
    async with client(edge, cache=None) as kelviq:
        pairs = [(customer, feature) for feature in ("export", "import") for customer in "ab"]
        assert all([bool(d) async for d in kelviq.entitlements.check_many(pairs, concurrency=1)])
        assert edge.calls == ["a", "b"]
        pairs = [(customer, "export") for customer in "abca"]
        assert all([bool(d) async for d in kelviq.entitlements.check_many(pairs, concurrency=1)])
        assert edge.calls[2:] == ["a", "b", "c", "a"], "no more than it has room for"
    monkeypatch.setattr("kelviq_async.entitlements.batches.REMEMBERED_FOR", 0.0)
    async with client(edge, cache=None) as kelviq:
        assert all(
            [bool(d) async for d in kelviq.entitlements.check_many([("a", "export")] * 2, concurrency=1)]
        )
        assert edge.calls[6:] == ["a", "a"]


async def test_everybody_can_be_forgotten_at_once() -> None:
    edge = Edge()
    async with client(edge) as kelviq:
        assert [each.error async for each in kelviq.entitlements.get_many("ab")] == [None, None]
        await kelviq.entitlements.invalidate_all()
        assert kelviq.entitlements.peek("a", "export") is None
        assert kelviq.entitlements.peek("b", "export") is None
