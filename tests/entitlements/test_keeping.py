"""How long answers are used: fresh, denied, refreshed behind the scenes, stale, and never after a no."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import kelviq_async as k
from kelviq_async.entitlements import CachePolicy, FeaturePolicy
from kelviq_async.entitlements.cache import EntitlementCache

NOW = datetime(2026, 1, 31, tzinfo=UTC)


class Edge:
    """A transport whose answers about customers the test decides; it can be held and made to fail."""

    def __init__(self) -> None:
        self.granted: dict[str, Any] = {"export": True}
        self.calls = 0
        self.failure: Exception | None = None
        self.refusal: k.WireAnswer | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.arrived = asyncio.Event()
        self.reset_at: str | None = None

    async def send(self, request: k.WireRequest) -> k.WireAnswer:
        request.sending = True
        if "/entitlements" not in request.url:
            return k.WireAnswer(200, {}, b'{"customerId": "ada", "subscriptionId": "s2"}')
        self.calls += 1
        granted, refusal, failure = dict(self.granted), self.refusal, self.failure
        self.arrived.set()
        await self.gate.wait()
        if failure is not None:
            raise failure
        if refusal is not None:
            return refusal
        customer = request.url.partition("customer_id=")[2]
        rows = [
            {"featureId": name, "hasAccess": verdict, "resetAt": self.reset_at}
            for name, verdict in granted.items()
        ]
        return k.WireAnswer(200, {}, k.codec.encode({"customerId": customer, "entitlements": rows}))

    async def close(self) -> None:
        """Nothing to close."""


class Bench:
    """A client on that transport, and a clock that the test moves."""

    def __init__(self, policy: CachePolicy) -> None:
        self.edge = Edge()
        self.kelviq = k.Kelviq("key", transport=self.edge, cache=policy, retry=False, timeout=5)
        cache = self.kelviq.entitlement_cache
        assert isinstance(cache, EntitlementCache)
        self.cache = cache
        self.time = 1000.0
        cache.memory.clock = lambda: self.time
        cache.memory._now = lambda: NOW + timedelta(seconds=self.time - 1000)

    def check(self, feature: str = "export", customer: str = "ada") -> Any:
        return self.kelviq.entitlements.check(customer, feature)


@pytest.fixture
async def make() -> AsyncIterator[Callable[..., Bench]]:
    """Benches with policies, closed at the end."""
    benches: list[Bench] = []

    def made(**settings: Any) -> Bench:
        bench = Bench(CachePolicy(**settings))
        benches.append(bench)
        return bench

    yield made
    for bench in benches:
        await bench.kelviq.close()


async def test_a_grant_is_served_while_fresh_and_then_asked_again(make: Callable[..., Bench]) -> None:
    bench = make(fresh=60, revalidate=0, max_stale=60)
    assert (await bench.check()).source is k.Source.LIVE
    bench.time += 59.9
    decision = await bench.check()
    assert (decision.source, decision.age, decision.allowed) == (k.Source.MEMORY, pytest.approx(59.9), True)
    assert bench.kelviq.entitlements.peek("ada", "export") is True
    bench.time += 0.1
    assert bench.kelviq.entitlements.peek("ada", "export") is None
    assert (await bench.check()).source is k.Source.LIVE
    assert bench.edge.calls == 2


async def test_the_age_counts_from_the_start_of_the_call_for_all_who_wait_for_it(
    make: Callable[..., Bench],
) -> None:
    bench = make()
    bench.edge.gate.clear()
    first = asyncio.ensure_future(bench.check())
    await bench.edge.arrived.wait()
    bench.time += 3
    second = asyncio.ensure_future(bench.check())
    await asyncio.sleep(0.01)
    bench.time += 1
    bench.edge.gate.set()
    decisions = [await first, await second]
    assert [(each.source, each.age) for each in decisions] == [(k.Source.LIVE, 4)] * 2
    assert bench.edge.calls == 1


async def test_who_waits_for_a_call_that_is_outdated_hears_what_is_so_since(
    make: Callable[..., Bench],
) -> None:
    bench = make()
    bench.edge.gate.clear()
    bench.edge.granted = {"export": False}
    first = asyncio.ensure_future(bench.check())
    await bench.edge.arrived.wait()
    others = [asyncio.ensure_future(bench.check()) for _ in range(5)]
    await asyncio.sleep(0.01)
    await bench.kelviq.entitlements.invalidate("ada")
    bench.time += 3
    bench.edge.gate.set()
    assert not (await first).allowed
    bench.edge.granted = {"export": True}
    assert [((await each).allowed, (await each).age) for each in others] == [(True, 0)] * 5
    assert bench.edge.calls == 2, "all who waited wait for one call again"


async def test_a_denial_is_kept_briefly(make: Callable[..., Bench]) -> None:
    bench = make(denied=5)
    bench.edge.granted = {"export": False}
    assert not (await bench.check()).allowed
    assert not (await bench.check("never-sold")).allowed
    assert bench.edge.calls == 1
    bench.time += 5
    bench.edge.granted = {"export": True}
    assert (await bench.check()).allowed
    assert bench.edge.calls == 2


async def test_a_full_list_answers_for_every_feature(make: Callable[..., Bench]) -> None:
    bench = make()
    bench.edge.granted = {"export": True, "import": True, "odd": "yes"}
    assert await bench.kelviq.entitlements.has_access("ada", "export")
    assert await bench.kelviq.entitlements.has_access("ada", "import")
    assert bench.edge.calls == 1
    for _ in range(2):
        with pytest.raises(k.UnreadableAnswer):
            await bench.check("odd")
    assert bench.kelviq.entitlements.peek("ada", "odd") is None, "never kept as a denial"
    assert bench.edge.calls == 3, "each asked again: an unreadable verdict is not kept"


async def test_one_refresh_behind_the_scenes(make: Callable[..., Bench]) -> None:
    bench = make(fresh=60, revalidate=30)
    await bench.check()
    bench.time += 61
    bench.edge.gate.clear()
    bench.edge.arrived.clear()
    decisions = [await bench.check() for _ in range(10)]
    assert {decision.source for decision in decisions} == {k.Source.MEMORY}
    await bench.edge.arrived.wait()
    assert bench.edge.calls == 2
    bench.edge.gate.set()
    await settled(bench)
    assert (await bench.check()).age == 0


async def test_a_failed_refresh_leaves_the_grant_until_it_is_too_old(make: Callable[..., Bench]) -> None:
    bench = make(fresh=60, revalidate=0, max_stale=900)
    await bench.check()
    bench.edge.failure = k.ConnectionLost("gone")
    bench.time += 900
    decision = await bench.check()
    assert (decision.source, decision.allowed, decision.age) == (k.Source.STALE, True, pytest.approx(900))
    bench.time += 0.1
    with pytest.raises(k.ConnectionLost):
        await bench.check()


async def test_stale_denials_are_never_served(make: Callable[..., Bench]) -> None:
    bench = make()
    bench.edge.granted = {"export": False}
    await bench.check()
    bench.time += 10
    bench.edge.failure = k.ConnectionLost("gone")
    with pytest.raises(k.ConnectionLost):
        await bench.check()


@pytest.mark.parametrize("status", [401, 403])
async def test_a_no_to_our_own_key_is_raised(make: Callable[..., Bench], status: int) -> None:
    bench = make(fresh=60, revalidate=0)
    await bench.check()
    bench.time += 61
    bench.edge.refusal = k.WireAnswer(status, {}, b'{"detail": "Invalid API key."}')
    with pytest.raises(k.ApiError):
        await bench.check()


async def test_a_404_about_the_customer_ends_a_stale_grant(make: Callable[..., Bench]) -> None:
    bench = make(fresh=60, revalidate=0)
    await bench.check()
    bench.time += 61
    bench.edge.refusal = k.WireAnswer(404, {}, b'{"detail": "Customer not found."}')
    assert (await bench.check()).reason is k.Reason.UNKNOWN_CUSTOMER
    bench.edge.refusal, bench.edge.failure = None, k.ConnectionLost("gone")
    bench.time += 6
    with pytest.raises(k.ConnectionLost):
        await bench.check()


async def test_what_to_do_when_nothing_is_known(make: Callable[..., Bench]) -> None:
    features = {name: FeaturePolicy(unknown=name) for name in ("raise", "deny", "allow")}  # type: ignore[arg-type]
    bench = make(features=features)
    bench.edge.failure = k.ConnectionLost("gone")
    with pytest.raises(k.ConnectionLost):
        await bench.check("raise")
    for name, allowed in (("deny", False), ("allow", True)):
        decision = await bench.check(name)
        assert (decision.allowed, decision.reason, decision.source) == (
            allowed,
            k.Reason.FALLBACK,
            k.Source.FALLBACK,
        )
    bench.edge.failure, bench.edge.refusal = None, k.WireAnswer(401, {}, b"{}")
    with pytest.raises(k.Unauthorized):
        await bench.check("allow")


async def test_a_feature_has_its_own_times(make: Callable[..., Bench]) -> None:
    bench = make(fresh=60, revalidate=0, features={"quick": FeaturePolicy(fresh=1, max_stale=2)})
    bench.edge.granted = {"export": True, "quick": True}
    await bench.check("quick")
    bench.time += 1.5
    assert bench.kelviq.entitlements.peek("ada", "quick") is None
    assert bench.kelviq.entitlements.peek("ada", "export") is True
    bench.edge.failure = k.ConnectionLost("gone")
    assert (await bench.check("quick")).source is k.Source.STALE
    bench.time += 1
    with pytest.raises(k.ConnectionLost):
        await bench.check("quick")


async def test_nothing_is_fresh_beyond_a_reset(make: Callable[..., Bench]) -> None:
    bench = make(fresh=60)
    bench.edge.reset_at = (NOW + timedelta(seconds=10)).strftime("%Y-%m-%d %H:%M:%S")
    await bench.check()
    bench.time += 9
    assert bench.kelviq.entitlements.peek("ada", "export") is True
    bench.time += 1
    assert bench.kelviq.entitlements.peek("ada", "export") is None


async def test_two_hundred_at_once_are_one_call(make: Callable[..., Bench]) -> None:
    bench = make()
    answers = await asyncio.gather(
        *(bench.kelviq.entitlements.has_access("ada", "export") for _ in range(200))
    )
    assert all(answers)
    assert bench.edge.calls == 1


async def test_a_cancelled_waiter_leaves_the_others_alone(make: Callable[..., Bench]) -> None:
    bench = make()
    bench.edge.gate.clear()
    leader, waiter, other = (asyncio.create_task(bench.check()) for _ in range(3))
    await bench.edge.arrived.wait()
    waiter.cancel()
    bench.edge.gate.set()
    assert (await leader).allowed
    assert (await other).allowed
    with pytest.raises(asyncio.CancelledError):
        await waiter
    assert bench.edge.calls == 1


async def test_when_the_one_who_sends_is_cancelled_a_waiter_takes_over(make: Callable[..., Bench]) -> None:
    bench = make()
    bench.edge.gate.clear()
    leader = asyncio.create_task(bench.check())
    await bench.edge.arrived.wait()
    waiters = [asyncio.create_task(bench.check()) for _ in range(3)]
    await asyncio.sleep(0)
    bench.time += 1
    leader.cancel()
    bench.edge.gate.set()
    assert [(await waiter).allowed for waiter in waiters] == [True] * 3
    assert bench.edge.calls == 2


async def test_a_failure_reaches_everybody_who_waits(make: Callable[..., Bench]) -> None:
    bench = make()
    bench.edge.failure = k.ConnectionLost("gone")
    bench.edge.gate.clear()
    checks = [asyncio.create_task(bench.check()) for _ in range(5)]
    await bench.edge.arrived.wait()
    bench.edge.gate.set()
    results = await asyncio.gather(*checks, return_exceptions=True)
    assert [type(result) for result in results] == [k.ConnectionLost] * 5
    assert bench.edge.calls == 1
    gc.collect()


async def test_an_invalidation_keeps_an_answer_under_way_out(make: Callable[..., Bench]) -> None:
    bench = make()
    bench.edge.gate.clear()
    early = asyncio.create_task(bench.check())
    await bench.edge.arrived.wait()
    await bench.kelviq.entitlements.invalidate("ada")
    bench.edge.granted = {"export": False}
    late = asyncio.create_task(bench.check())
    await asyncio.sleep(0)
    bench.edge.gate.set()
    assert (await early).allowed
    assert not (await late).allowed
    assert bench.kelviq.entitlements.peek("ada", "export") is False
    assert bench.edge.calls == 2


@pytest.mark.parametrize(
    "request_",
    [
        k.UpdateCustomer("ada", name="Ada"),
        k.CreateSubscription("pro", k.ChargePeriod.MONTHLY, "ada"),
        k.CancelSubscription("nobody-knows-whose", k.CancellationType.IMMEDIATE),
    ],
    ids=lambda request: request.operation.name,
)
async def test_a_write_for_the_customer_ends_the_entry(
    make: Callable[..., Bench], request_: k.Request[Any]
) -> None:
    bench = make()
    await bench.check()
    await bench.kelviq.send(request_)
    assert bench.kelviq.entitlements.peek("ada", "export") is None


PAST_THE_CACHE = {
    "a write": lambda view: view.customers.update("ada", name="Ada"),
    "a raw write": lambda view: view.send_raw(k.UpdateCustomer("ada", name="Ada")),
    "a write as a value": lambda view: view.send(k.UpdateCustomer("ada", name="Ada")),
    "one": lambda view: view.entitlements.invalidate("ada"),
    "all": lambda view: view.entitlements.invalidate_all(),
}


@pytest.mark.parametrize("way", PAST_THE_CACHE)
async def test_what_goes_past_the_cache_ends_the_entry_too(make: Callable[..., Bench], way: str) -> None:
    bench = make()
    await bench.check()
    bench.edge.granted = {"export": False}
    await PAST_THE_CACHE[way](bench.kelviq.with_options(cache=False))
    assert bench.kelviq.entitlements.peek("ada", "export") is None
    assert not (await bench.check()).allowed


async def test_a_raw_write_of_the_client_itself_ends_the_entry(make: Callable[..., Bench]) -> None:
    bench = make()
    await bench.check()
    await bench.kelviq.send_raw(k.UpdateCustomer("ada", name="Ada"))
    assert bench.kelviq.entitlements.peek("ada", "export") is None


@pytest.mark.parametrize(
    "request_",
    [k.CreateRefund("order-1"), k.PublishPlan("pro", update_features=True)],
    ids=lambda request: request.operation.name,
)
async def test_a_write_about_nobody_knows_whom_ends_everything(
    make: Callable[..., Bench], request_: k.Request[Any]
) -> None:
    bench = make()
    await bench.check()
    await bench.check(customer="eve")
    await bench.kelviq.send(request_)
    assert [bench.kelviq.entitlements.peek(each, "export") for each in ("ada", "eve")] == [None, None]


async def test_reporting_usage_does_not(make: Callable[..., Bench]) -> None:
    bench = make()
    await bench.check()
    await bench.kelviq.usage.report(1, "ada", "calls", k.UsageBehaviour.SET)
    assert bench.kelviq.entitlements.peek("ada", "export") is True


async def test_an_answer_about_somebody_else_is_refused(make: Callable[..., Bench]) -> None:
    bench = make()
    bench.edge.refusal = k.WireAnswer(200, {}, b'{"customerId": "eve", "entitlements": []}')
    with pytest.raises(k.UnreadableAnswer):
        await bench.check()
    assert bench.cache.memory.get("ada") is None


async def test_the_oldest_are_dropped_when_there_is_no_room(make: Callable[..., Bench]) -> None:
    bench = make(max_customers=3)
    for customer in "abcd":
        await bench.check(customer=customer)
    assert [bench.kelviq.entitlements.peek(customer, "export") for customer in "abcd"] == [
        None,
        True,
        True,
        True,
    ]


async def test_a_view_without_cache_neither_reads_nor_keeps(make: Callable[..., Bench]) -> None:
    bench = make()
    plain = bench.kelviq.with_options(cache=False)
    await plain.entitlements.check("ada", "export")
    assert bench.cache.memory.get("ada") is None
    await bench.check()
    assert (await plain.entitlements.check("ada", "export")).source is k.Source.LIVE
    assert bench.edge.calls == 3


async def test_what_is_kept_comes_back_as_it_was(make: Callable[..., Bench]) -> None:
    bench = make()
    bench.edge.granted = {"export": True, "odd": 1}
    live = await bench.kelviq.entitlements.get("ada")
    kept = await bench.kelviq.entitlements.get("ada")
    assert bench.edge.calls == 1
    assert [k.codec.dump(item) for name in live for item in live[name].items] == [
        k.codec.dump(item) for name in kept for item in kept[name].items
    ]


@pytest.mark.parametrize(
    "settings",
    [
        {"fresh": -1},
        {"denied": float("nan")},
        {"revalidate": float("inf")},
        {"max_stale": 10, "fresh": 20},
        {"max_customers": 0},
        {"max_customers": True},
        {"fresh": "60"},
        *({name: 10**400} for name in ("fresh", "denied", "revalidate", "max_stale")),
        *({"features": each} for each in (None, [], "x", 5, [("export", FeaturePolicy())])),
        {"features": {"": FeaturePolicy()}},
        {"features": {"export": 5}},
        {"features": {"export": FeaturePolicy(fresh=1000)}},
    ],
)
def test_a_policy_that_cannot_work_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(k.ConfigError, match="policy") as raised:
        CachePolicy(**settings)
    assert isinstance(raised.value, ValueError)


def test_a_feature_policy_that_cannot_work_is_refused() -> None:
    unfit: list[dict[str, Any]] = [
        {"fresh": -1},
        {"fresh": 10**400},
        {"max_stale": 10**400},
        {"fresh": 5, "max_stale": 4},
        *({"unknown": each} for each in ("perhaps", None, [], {}, set())),
    ]
    for settings in unfit:
        with pytest.raises(k.ConfigError, match="policy"):
            FeaturePolicy(**settings)
    with pytest.raises(ValueError, match="CachePolicy"):
        k.Kelviq("key", cache=60)  # type: ignore[arg-type]


async def settled(bench: Bench) -> None:
    """Wait until nothing goes on behind the scenes."""
    while bench.cache._tasks:
        await asyncio.wait(bench.cache._tasks)
        await asyncio.sleep(0)
