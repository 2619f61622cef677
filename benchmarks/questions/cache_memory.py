"""How much memory does a cached customer take?

Both caches are filled with the same customers, on five plans, each with use and dates of their own. Ours is
filled by the whole client, with bytes that come from a transport without a network; the peer's by what its
calls do after they have parsed an answer. What counts is what the process has grown by.
"""

from __future__ import annotations

import gc
import json
import resource
import sys
from pathlib import Path
from typing import Any

from ..answers import FEATURES, SWITCHES, answer, customers
from ..asking import KEY
from ..bench import OURS, PEER, Bench, Goal
from ..processes import Contestant

TITLE = "Memory of the cache"
GOALS = {"bytes": Goal("per cached customer, vs peer", at_most=0.3)}
LONG = 3600.0
WARM_UP = 500


def memory() -> int:
    """Bytes of memory that this process has now; where only that is known, the most it ever had."""
    pages = Path("/proc/self/statm")
    if pages.exists():
        return int(pages.read_text().split()[1]) * resource.getpagesize()
    return peak_memory()


def peak_memory() -> int:
    """Bytes of memory that this process ever had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


class Ours:
    async def fill(self, count: int) -> float:
        from kelviq_async import CachePolicy, Kelviq, WireAnswer

        class Canned:
            """Answers from this process: nothing but the cache takes memory."""

            calls = 0

            async def send(self, request: Any) -> WireAnswer:
                self.calls += 1
                return WireAnswer(200, {}, answer(request.url.rpartition("customer_id=")[2]))

            async def close(self) -> None:
                pass

        transport, ids = Canned(), customers(count + WARM_UP)
        policy = CachePolicy(fresh=LONG, max_stale=LONG, max_customers=len(ids))
        self.client = Kelviq(server_key=KEY, edge_url="http://localhost", transport=transport, cache=policy)
        check = self.client.entitlements.has_access
        for customer_id in ids[count:]:
            await check(customer_id, SWITCHES[0])
        gc.collect()
        before = memory()
        for customer_id in ids[:count]:
            await check(customer_id, SWITCHES[0])
        gc.collect()
        grown = memory() - before
        assert transport.calls == len(ids)
        assert all([await check(customer_id, SWITCHES[0]) for customer_id in ids])
        assert transport.calls == len(ids), "not everybody was kept"
        return grown / count


class Peer:
    async def fill(self, count: int) -> float:
        from kelviq_sdk import Kelviq

        self.client = Kelviq.create_async_client(KEY, cache_ttl=LONG)
        ids = customers(count + WARM_UP)

        def keep(customer_id: str) -> None:
            self.client.cache.store_entitlements(customer_id, json.loads(answer(customer_id)))

        for customer_id in ids[count:]:
            keep(customer_id)
        gc.collect()
        before = memory()
        for customer_id in ids[:count]:
            keep(customer_id)
        gc.collect()
        grown = memory() - before
        for customer_id in ids[:100]:
            assert len(await self.client.entitlements.get_entitlements(customer_id)) == len(FEATURES)
        return grown / count


def measure(bench: Bench) -> None:
    count = bench.pick(2000, 10_000, 100_000)
    bytes_each: dict[str, list[float]] = {OURS: [], PEER: []}
    for kind in (Ours, Peer):  # once: it comes out the same each time
        with Contestant(kind) as contestant:
            bytes_each[contestant.name].append(contestant.do("fill", count=count))
    for who, rounds in bytes_each.items():
        bench.number(who, f"{count:,} customers", "bytes each", rounds)
    bench.costs("bytes", bytes_each[OURS], bytes_each[PEER])
