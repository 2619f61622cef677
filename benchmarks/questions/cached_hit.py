"""What does it cost to ask about a customer whose answer is at hand?

The peer asks Kelviq about the one feature and keeps an answer with one entry, which it reads and adds up
at each hit; we keep all ten. So it has as little to do as it ever has.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import ExitStack
from typing import Any

from ..answers import SWITCHES, customers
from ..asking import KEY
from ..bench import OURS, PEER, Bench, Goal
from ..processes import Contestant

TITLE = "Speed of a fresh answer in memory"
GOALS = {
    "now": Goal("blocking has_access, vs peer", at_least=30),
    "awaited": Goal("awaited has_access, vs peer", at_least=20),
    "floor now": Goal("blocking, vs a dict and a look at the clock (cost)"),
    "floor awaited": Goal("awaited, vs a dict and a look at the clock (cost)"),
}
LONG = 3600.0
METHODS = {"blocking": "now", "awaited": "awaited"}
PAIRS = [(customer_id, SWITCHES[0]) for customer_id in customers(100)]


class Hits:
    """What all have in common: everybody's cache is filled by the very calls that are measured."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.has_access_now: Any = None
        self.has_access_soon: Any = None

    def open_now(self) -> None:
        raise NotImplementedError

    async def open_soon(self) -> None:
        raise NotImplementedError

    def now(self, calls: int) -> float:
        """Seconds for one."""
        if self.has_access_now is None:
            self.open_now()
        ask, pairs = self.has_access_now, self._pairs(calls)
        assert all(ask(*pair) is True for pair in PAIRS)
        started = time.perf_counter()
        for customer_id, feature_id in pairs:
            ask(customer_id, feature_id)
        return (time.perf_counter() - started) / len(pairs)

    async def awaited(self, calls: int) -> float:
        """Seconds for one."""
        if self.has_access_soon is None:
            await self.open_soon()
        ask, pairs = self.has_access_soon, self._pairs(calls)
        for pair in PAIRS:
            assert await ask(*pair) is True
        await asyncio.sleep(0)
        started = time.perf_counter()
        for customer_id, feature_id in pairs:
            await ask(customer_id, feature_id)
        return (time.perf_counter() - started) / len(pairs)

    @staticmethod
    def _pairs(calls: int) -> list[tuple[str, str]]:
        return PAIRS * (calls // len(PAIRS))


class Ours(Hits):
    def open_now(self) -> None:
        from kelviq_async import CachePolicy
        from kelviq_sync import Kelviq

        policy = CachePolicy(fresh=LONG, max_stale=LONG)
        self.client_now = Kelviq(server_key=KEY, edge_url=self.url, cache=policy)
        self.has_access_now = self.client_now.entitlements.has_access

    async def open_soon(self) -> None:
        from kelviq_async import CachePolicy, Kelviq

        policy = CachePolicy(fresh=LONG, max_stale=LONG)
        self.client_soon = Kelviq(server_key=KEY, edge_url=self.url, cache=policy)
        self.has_access_soon = self.client_soon.entitlements.has_access


class Peer(Hits):
    def open_now(self) -> None:
        from kelviq_sdk import Kelviq

        self.client_now = Kelviq.create_sync_client(
            KEY, base_url=self.url, edge_api_url=self.url, cache_ttl=LONG
        )
        self.has_access_now = self.client_now.entitlements.has_access

    async def open_soon(self) -> None:
        from kelviq_sdk import Kelviq

        self.client_soon = Kelviq.create_async_client(
            KEY, base_url=self.url, edge_api_url=self.url, cache_ttl=LONG
        )
        self.has_access_soon = self.client_soon.entitlements.has_access


class Dict(Hits):
    """The least: a lookup, and a look at the clock."""

    def open_now(self) -> None:
        known, clock = self._known(), time.monotonic

        def has_access(customer_id: str, feature_id: str) -> bool | None:
            verdicts, until = known[customer_id]
            return verdicts.get(feature_id, False) if clock() < until else None

        self.has_access_now = has_access

    async def open_soon(self) -> None:
        known, clock = self._known(), time.monotonic

        async def has_access(customer_id: str, feature_id: str) -> bool | None:
            verdicts, until = known[customer_id]
            return verdicts.get(feature_id, False) if clock() < until else None

        self.has_access_soon = has_access

    @staticmethod
    def _known() -> dict[str, tuple[dict[str, bool], float]]:
        until = time.monotonic() + LONG
        return {customer_id: ({feature_id: True}, until) for customer_id, feature_id in PAIRS}


def measure(bench: Bench) -> None:
    with ExitStack() as stack:
        contestants = [
            stack.enter_context(Contestant(kind, url=bench.server.url)) for kind in (Ours, Peer, Dict)
        ]
        for when, method in METHODS.items():
            seconds = compare(bench, contestants, method)
            for who, rounds in seconds.items():
                bench.number(who, when, "µs", [1e6 * each for each in rounds])
            bench.times_faster(method, seconds[OURS], seconds[PEER])
            bench.costs(f"floor {method}", seconds[OURS], seconds["Dict"])


def compare(bench: Bench, contestants: list[Contestant], method: str) -> dict[str, list[float]]:
    """Seconds for one hit, for each and in every round."""
    for contestant in contestants:
        contestant.do(method, calls=1000)
    bench.server.count()

    def turn(contestant: Contestant) -> float:
        calls = 1000 if contestant.name == PEER else 20_000
        return contestant.do(method, calls=calls * bench.pick(1, 2, 5))

    seconds = bench.taking_turns(contestants, turn, bench.pick(5, 7, 15))
    assert bench.server.count()["asked"] == 0, "not every answer came from memory"
    return seconds
