"""Batches with a cache, a store, a deadline and a counter."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
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


@pytest.mark.parametrize("unknown", ["allow", "deny"])
async def test_its_own_deadline_is_nobodys_yes_or_no(unknown: Any) -> None:
    edge = Edge()
    policy = CachePolicy(fresh=1, denied=1, revalidate=0, features={"free": FeaturePolicy(unknown=unknown)})
    async with client(edge, cache=policy) as kelviq:
        moment = at(kelviq, 1000.0)
        edge.features = {"free": True}
        await kelviq.entitlements.get("a")
        moment[0] += 2  # a grant that may be served stale, but not for that
        edge.gate.clear()
        pairs = [(customer, "free") for customer in "abc"]
        for warm in (True, False):
            stream = kelviq.entitlements.check_many(pairs, concurrency=1, deadline=0.01, warm=warm)
            decisions = [decision async for decision in stream]
            assert [(type(d.error), d.reason) for d in decisions] == [(k.TimedOut, k.Reason.FAILED)] * 3
            assert not any(decision.allowed for decision in decisions)


async def test_a_client_that_closes_under_a_batch_decides_nothing() -> None:
    edge = Edge()
    edge.gate.clear()
    policy = CachePolicy(features={"free": FeaturePolicy(unknown="allow")})
    kelviq = client(edge, cache=policy)
    stream = kelviq.entitlements.check_many([("a", "free"), ("b", "free")])
    step = asyncio.create_task(anext(stream))
    await until(lambda: len(edge.calls) == 2)
    await kelviq.close()
    with pytest.raises(k.ClientClosed):
        await step
    assert [decision async for decision in stream] == []


def at(kelviq: k.Kelviq, start: float) -> list[float]:
    """Put the cache of a client on a clock that the test moves."""
    cache, moment = kelviq.entitlement_cache, [start]
    assert isinstance(cache, EntitlementCache)
    cache.memory.clock = lambda: moment[0]
    return moment


async def until(reached: Callable[[], Any]) -> None:
    async with asyncio.timeout(10):
        while not reached():
            await asyncio.sleep(0)


# Batches that keep nothing for later


@pytest.mark.parametrize("by", ["itself", "everybody", "a write", "another process"])
async def test_an_answer_of_a_batch_does_not_outlive_an_invalidation(by: str) -> None:
    edge, store = Edge(), MemoryStore()
    async with (
        client(edge, store=store, account="acme") as kelviq,
        client(edge, store=store, account="acme") as other,
    ):
        cache = kelviq.entitlement_cache
        assert isinstance(cache, EntitlementCache)
        assert cache.fleet is not None
        await cache.fleet.start()

        async def pairs() -> AsyncIterator[tuple[str, str]]:
            yield "a", "export"
            edge.features = {"export": False, "import": False}
            if by == "itself":
                await kelviq.entitlements.invalidate("a")
            elif by == "everybody":
                await kelviq.entitlements.invalidate_all()
            elif by == "a write":
                await kelviq.with_options(cache=False).send_raw(k.UpdateCustomer("a", name="Ada"))
            else:
                before = cache.changes
                await other.entitlements.invalidate("a")
                await until(lambda: cache.changes > before)
            yield "a", "import"

        stream = kelviq.entitlements.check_many(pairs(), concurrency=1, ordered=True, warm=False)
        decisions = [(decision.allowed, decision.source) async for decision in stream]
        assert decisions == [(True, k.Source.LIVE), (False, k.Source.LIVE)]


@pytest.mark.parametrize("warm", [True, False])
async def test_who_comes_after_an_invalidation_does_not_wait_for_an_older_call(warm: bool) -> None:
    edge = Edge()

    async def told(kelviq: k.Kelviq, *items: Any) -> AsyncIterator[Any]:
        await kelviq.entitlements.invalidate("a")
        before = len(edge.calls)
        edge.gate.clear()
        yield items[0]
        await until(lambda: len(edge.calls) > before)
        await kelviq.entitlements.invalidate("a")
        yield items[1]
        yield items[2]
        await until(lambda: len(edge.calls) > before + 1)
        edge.gate.set()

    async with client(edge) as kelviq:
        pairs = [("a", "export"), ("a", "import"), ("a", "export")]
        stream = kelviq.entitlements.check_many(told(kelviq, *pairs), ordered=True, warm=warm)
        assert all([bool(decision) async for decision in stream])
        assert edge.calls == ["a", "a"]
        lookups = kelviq.entitlements.get_many(told(kelviq, "a", "a", "a"), ordered=True, warm=warm)
        assert [lookup.error async for lookup in lookups] == [None] * 3
        assert edge.calls == ["a"] * 4


@pytest.mark.parametrize("cache", [CachePolicy(), None], ids=["cold", "no cache"])
async def test_a_batch_says_how_old_its_own_answers_are(
    monkeypatch: pytest.MonkeyPatch, cache: CachePolicy | None
) -> None:
    moment = [1000.0]
    clock = SimpleNamespace(monotonic=lambda: moment[0])
    for module in ("batches", "checker"):
        monkeypatch.setattr(f"kelviq_async.entitlements.{module}.time", clock)
    edge = Edge()
    answered = edge.send

    async def send(request: k.WireRequest) -> k.WireAnswer:
        answer = await answered(request)
        moment[0] += 0.5
        return answer

    monkeypatch.setattr(edge, "send", send)

    async def pairs() -> AsyncIterator[tuple[str, str]]:
        yield "a", "export"
        moment[0] += 59
        yield "a", "import"
        moment[0] += 0.5
        yield "a", "other"

    async with client(edge, cache=cache) as kelviq:
        stream = kelviq.entitlements.check_many(pairs(), concurrency=1, ordered=True, warm=False)
        decisions = [(decision.source, decision.age) async for decision in stream]
    assert decisions == [(k.Source.LIVE, 0.5), (k.Source.MEMORY, 59.5), (k.Source.LIVE, 0.5)]
    assert edge.calls == ["a", "a"]


async def test_policies_hold_where_nothing_is_kept() -> None:
    edge = Edge()
    policy = CachePolicy(
        features={"open": FeaturePolicy(unknown="allow"), "shut": FeaturePolicy(unknown="deny")}
    )
    async with client(edge, cache=policy) as kelviq:
        moment = at(kelviq, 1000.0)
        await kelviq.entitlements.get("a")
        moment[0] += 100
        edge.failure = k.ConnectionLost("gone")
        pairs = [("a", "open"), ("a", "shut"), ("a", "export")]
        for warm in (True, False):
            stream = kelviq.entitlements.check_many(pairs, ordered=True, warm=warm)
            decisions = [decision async for decision in stream]
            assert [(d.allowed, d.source) for d in decisions[:2]] == [
                (True, k.Source.FALLBACK),
                (False, k.Source.FALLBACK),
            ]
            if warm:
                assert decisions[2].source is k.Source.STALE
            else:
                assert isinstance(decisions[2].error, k.ConnectionLost)


# Odd times and odd items


async def test_answers_that_are_due_are_asked_for_by_no_more_than_were_allowed() -> None:
    edge = Edge()
    async with client(edge, cache=CachePolicy(fresh=60, revalidate=30)) as kelviq:
        moment = at(kelviq, 1000.0)
        pairs = [(f"c{number}", "export") for number in range(40)]
        assert all([bool(d) async for d in kelviq.entitlements.check_many(pairs)])
        moment[0] += 61
        edge.calls.clear()
        edge.gate.clear()
        stream = kelviq.entitlements.check_many(pairs, concurrency=5)
        step = asyncio.create_task(anext(stream))
        for _ in range(200):
            await asyncio.sleep(0)
        assert len(edge.calls) == 5
        edge.gate.set()
        decisions = [await step, *[decision async for decision in stream]]
        assert [(d.allowed, d.source) for d in decisions] == [(True, k.Source.LIVE)] * 40
        assert len(edge.calls) == 40


async def test_an_answer_of_another_process_that_is_due_is_asked_for_too() -> None:
    edge, store = Edge(), MemoryStore()
    async with (
        client(edge, store=store, account="acme") as one,
        client(edge, store=store, account="acme") as other,
    ):
        cache = other.entitlement_cache
        assert isinstance(cache, EntitlementCache)
        assert cache.fleet is not None
        await one.entitlements.get("a")
        async with asyncio.timeout(10):
            while await cache.fleet.found("a") is None:
                await asyncio.sleep(0)
        cache.memory.clock = lambda: time.monotonic() + 61
        cache.fleet._now = lambda: time.time() + 61
        pairs = [("a", "export"), ("a", "import")]
        decisions = [decision async for decision in other.entitlements.check_many(pairs)]
        assert [(d.allowed, d.source) for d in decisions] == [(True, k.Source.LIVE)] * 2
        assert edge.calls == ["a", "a"]


class Mute:
    """An object that will not be shown."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


@pytest.mark.parametrize("odd", [10**5000, Mute()], ids=["a long number", "mute"])
async def test_what_has_no_text_is_its_own_failure(odd: Any) -> None:
    edge = Edge()
    async with client(edge) as kelviq:
        pairs = [("a", "export"), odd, (odd, "export"), ("b", odd), ("c", "export")]
        decisions = [d async for d in kelviq.entitlements.check_many(pairs, ordered=True)]
        assert [d.reason for d in decisions] == [
            k.Reason.GRANTED,
            *[k.Reason.FAILED] * 3,
            k.Reason.GRANTED,
        ]
        assert all(isinstance(decision.error, k.InvalidRequest) for decision in decisions[1:4])
        name = f"<{type(odd).__name__}>"
        assert [(d.customer_id, d.feature_id) for d in decisions[1:4]] == [
            (name, ""),
            (name, "export"),
            ("b", name),
        ]
        lookups = [each async for each in kelviq.entitlements.get_many(["a", odd, "c"], ordered=True)]
        assert [(lookup.customer_id, type(lookup.error)) for lookup in lookups] == [
            ("a", type(None)),
            (name, k.InvalidRequest),
            ("c", type(None)),
        ]


@pytest.mark.parametrize(
    ("status", "kind"), [(404, k.UnknownCustomer), (403, k.Forbidden), (400, k.BadRequest)]
)
async def test_a_no_is_an_answer_and_so_nobody_gives_up(
    monkeypatch: pytest.MonkeyPatch, status: int, kind: type[k.KelviqError]
) -> None:
    class Away(Edge):
        """Refuses everybody, and turns one in a hundred away for a moment."""

        async def send(self, request: k.WireRequest) -> k.WireAnswer:
            await super().send(request)
            clock.now += 1.0
            if len(self.calls) % 100 == 50:
                return k.WireAnswer(429, {"Retry-After": "0"}, b"{}")
            return k.WireAnswer(status, {}, b'{"detail": "Customer not found."}' if status == 404 else b"{}")

    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(
        "kelviq_async.entitlements.batches.time", SimpleNamespace(monotonic=lambda: clock.now)
    )
    async with k.Kelviq("key", transport=Away(), retry=False) as kelviq:
        lookups = [each async for each in kelviq.entitlements.get_many(f"u{n}" for n in range(1000))]
    assert [type(each.error) for each in lookups] == [kind] * 1000


@pytest.mark.parametrize("policy", [CachePolicy(), CachePolicy(fresh=0, denied=0, revalidate=0), None])
@pytest.mark.parametrize("concurrency", [1, 50])
async def test_one_call_is_made_for_all_features_whatever_the_policy(
    policy: CachePolicy | None, concurrency: int
) -> None:
    edge = Edge()
    async with k.Kelviq("key", transport=edge, cache=policy) as kelviq:
        pairs = [(f"u{n}", feature) for n in range(20) for feature in ("export", "import", "nothing")]
        decisions = [each async for each in kelviq.entitlements.check_many(pairs, concurrency=concurrency)]
        assert sorted(edge.calls) == sorted(f"u{n}" for n in range(20))
        assert [each.allowed for each in decisions].count(True) == 40
        await kelviq.entitlements.invalidate("u0")
        edge.features = {}
        (again,) = [each async for each in kelviq.entitlements.check_many([("u0", "export")])]
        assert not again.allowed
