"""The cache at its edges: odd rows, late waiters, failed refreshes, closing."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import kelviq_async as k
from kelviq_async import entitlements
from kelviq_async.api.entitlements import CustomerEntitlements
from kelviq_async.entitlements import CachePolicy, FeaturePolicy
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


UNFIT: list[Any] = ["", ".", "..", "a\n", "\x7f", "\ud800", "\u2028", None, 5, b"export", ["export"]]


@pytest.mark.parametrize("feature", UNFIT, ids=ascii)
async def test_what_can_be_no_feature_is_refused_also_where_the_answer_is_known(feature: Any) -> None:
    edge = Edge([GRANTED])
    async with client(edge) as kelviq:
        assert await kelviq.entitlements.has_access("ada", "export")
        for ask in (kelviq.entitlements.has_access, kelviq.entitlements.check):
            with pytest.raises(ValueError, match="feature_id"):
                await ask("ada", feature)
        assert kelviq.entitlements.peek("ada", feature) is None
        assert kelviq.entitlements.peek_decision("ada", feature) is None
        assert edge.calls == 1


@pytest.mark.parametrize("feature", ["import", "ein fuß", "no\u00a0break", "soft\u00adhyphen", "x" * 5000])
async def test_an_unusual_feature_is_one_nobody_granted(feature: str) -> None:
    async with client(Edge([GRANTED])) as kelviq:
        await kelviq.entitlements.check("ada", "export")
        assert kelviq.entitlements.peek("ada", feature) is False


@pytest.mark.parametrize("customer", ["", ".", "a\0", "\ud800", None, 5, b"ada"], ids=ascii)
@pytest.mark.parametrize("cache", [CachePolicy(), None], ids=["kept", "not kept"])
async def test_nobody_that_can_be_is_not_forgotten(customer: Any, cache: CachePolicy | None) -> None:
    async with client(Edge([GRANTED]), cache=cache) as kelviq:
        await kelviq.entitlements.check("ada", "export")
        with pytest.raises(k.InvalidRequest, match="customer_id"):
            await kelviq.entitlements.invalidate(customer)
        assert kelviq.entitlements.peek("ada", "export") is (True if cache else None)


async def under_way(transport: Any, *checks: Any) -> list[asyncio.Task[Any]]:
    """Checks of one customer, the first of which has been sent and is not answered."""
    tasks = []
    for check in checks:
        tasks.append(asyncio.create_task(check))
        while not transport.sent:
            await asyncio.sleep(0)
    for _ in range(20):
        await asyncio.sleep(0)
    assert len(transport.sent) == 1
    return tasks


ANSWER = (200, {"customerId": "ada", "entitlements": [GRANTED]})


@pytest.mark.parametrize("options", [{"retry": False}, {"timeout": 5}], ids=["retry", "timeout"])
async def test_who_waits_does_not_give_up_because_another_one_does(scripted: Any, options: Any) -> None:
    gate = asyncio.Event()

    async def failing(_: k.WireRequest) -> Any:
        await gate.wait()
        return 503, {}

    transport = scripted(failing, ANSWER)
    # with so long a wait before it, no second attempt is made within five seconds
    async with k.Kelviq("key", transport=transport, retry=lambda *_: 7.0, timeout=10) as kelviq:
        view = kelviq.with_options(**options)
        first, joined = await under_way(
            transport, view.entitlements.check("ada", "export"), kelviq.entitlements.check("ada", "export")
        )
        gate.set()
        with pytest.raises(k.ServiceUnavailable):
            await first
        assert (await joined).allowed
        assert len(transport.sent) == 2


@pytest.mark.parametrize(("status", "expected"), [(401, k.Unauthorized), (404, None)])
async def test_but_takes_what_kelviq_said(scripted: Any, status: int, expected: Any) -> None:
    gate = asyncio.Event()

    async def refusing(_: k.WireRequest) -> Any:
        await gate.wait()
        return status, {"detail": "Customer not found."}

    transport = scripted(refusing, ANSWER)
    async with k.Kelviq("key", transport=transport) as kelviq:
        view = kelviq.with_options(retry=False)
        tasks = await under_way(
            transport, view.entitlements.check("ada", "export"), kelviq.entitlements.check("ada", "export")
        )
        gate.set()
        for task in tasks:
            if expected is None:
                assert (await task).reason is k.Reason.UNKNOWN_CUSTOMER
            else:
                with pytest.raises(expected):
                    await task
        assert len(transport.sent) == 1


async def test_a_client_that_closes_decides_nothing() -> None:
    edge = Edge([GRANTED])
    edge.gate.clear()
    policy = CachePolicy(features={"export": FeaturePolicy(unknown="allow")})
    kelviq = client(edge, cache=policy)
    check = asyncio.create_task(kelviq.entitlements.check("ada", "export"))
    while not edge.calls:
        await asyncio.sleep(0)
    await kelviq.close()
    with pytest.raises(k.ClientClosed):
        await check


@pytest.mark.parametrize(
    ("policy", "calls"),
    [
        (CachePolicy(), 1),
        (CachePolicy(fresh=0, max_stale=0, revalidate=60), 3),
        (CachePolicy(features={"export": FeaturePolicy(fresh=0)}), 3),
        (CachePolicy(features={"import": FeaturePolicy(fresh=0)}), 1),
        (CachePolicy(denied=0), 3),
    ],
)
async def test_a_list_is_served_no_longer_than_what_it_grants(policy: CachePolicy, calls: int) -> None:
    edge = Edge([GRANTED, {"featureId": "import", "hasAccess": False}])
    async with client(edge, cache=policy) as kelviq:
        for _ in range(3):
            assert (await kelviq.entitlements.get("ada"))["export"].granted
        assert edge.calls == calls


async def test_a_refresh_that_never_began_is_made_up_for() -> None:
    edge = Edge([GRANTED])
    kelviq = client(edge, cache=CachePolicy(fresh=0, revalidate=60))
    async with kelviq:
        for _ in range(2):
            await kelviq.entitlements.check("ada", "export")
    assert edge.calls == 1, "it was closed before the refresh could begin"
    async with kelviq:
        await kelviq.entitlements.check("ada", "export")
        async with asyncio.timeout(10):
            while edge.calls == 1:
                await asyncio.sleep(0)
