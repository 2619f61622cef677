"""Does a long list cost more per customer than a short one, and does memory stay flat?"""

from __future__ import annotations

import time
from itertools import pairwise
from statistics import median
from typing import Any

from ..answers import FEATURES, customers
from ..asking import KEY
from ..bench import OURS, Bench, Goal
from ..processes import Contestant
from .cache_memory import peak_memory

TITLE = "Cost of a long list"
GOALS = {
    "time": Goal("time per customer, vs list of 1,000", at_most=1.15),
    "cpu": Goal("processor time per customer, vs list of 1,000", at_most=1.15),
    "memory": Goal("peak memory, vs after lists of 1,000", at_most=1.05),
    "warm cpu": Goal("processor time per customer, all kept in the cache, vs list of 1,000", at_most=1.15),
}
SHORT = 1000


class Ours:
    """Our client; the peer has no batches to compare."""

    def __init__(self) -> None:
        self.client: Any = None

    async def open(self, url: str) -> None:
        from kelviq_async import Kelviq

        if self.client is not None:
            await self.client.close()
        self.client = await Kelviq(server_key=KEY, edge_url=url).open()

    async def look_up(self, count: int, start: int, warm: bool) -> dict[str, Any]:
        """Seconds for each customer of a list, in each thousand of it too, and the most memory so far."""
        ids = (
            customer_id for at in range(start, start + count, SHORT) for customer_id in customers(SHORT, at)
        )
        whole, marks = 0, [time.perf_counter()]
        busy = time.process_time()
        async with self.client.entitlements.get_many(ids, warm=warm) as lookups:
            async for lookup in lookups:
                whole += lookup.error is None and len(lookup.entitlements) == len(FEATURES)
                if not whole % SHORT:
                    marks.append(time.perf_counter())
        assert whole == count, "a wrong answer"
        return {
            "seconds": [(end - begin) / SHORT for begin, end in pairwise(marks)],
            "cpu": (time.process_time() - busy) / count,
            "peak": peak_memory(),
        }


def measure(bench: Bench) -> None:
    count = bench.pick(3000, 10_000, 100_000)
    cold = compare(bench, count, warm=False)
    bench.costs("time", *cold["seconds"])
    bench.costs("cpu", *cold["cpu"])
    bench.costs("memory", *cold["peak"])
    if bench.thoroughness == "full":
        bench.costs("warm cpu", *compare(bench, count, warm=True)["cpu"])


def compare(bench: Bench, count: int, *, warm: bool) -> dict[str, tuple[list[float], list[float]]]:
    """The long list between short ones: what each part cost in the long one and in a short one."""
    around = bench.pick(3, 5, 15)
    with Contestant(Ours) as ours:
        short: list[dict[str, Any]] = []
        asked = 0

        def look_up(count: int) -> dict[str, Any]:
            nonlocal asked
            asked += count
            result = ours.do("look_up", count=count, start=asked, warm=warm, patience=600.0)
            assert bench.server.count()["asked"] == count, (
                "somebody asked more or less often than they should"
            )
            return result

        ours.do("open", url=bench.server.url)
        bench.server.count()
        look_up(SHORT)
        look_up(SHORT)
        short += [look_up(SHORT) for _ in range(around)]
        peak = short[-1]["peak"]
        long = look_up(count)
        if warm:  # a cache that is full makes no list short again
            ours.do("open", url=bench.server.url)
        short += [look_up(SHORT) for _ in range(around)]
    kept = ", kept" if warm else ""
    seconds = [each["seconds"][0] for each in short]
    cpu = [each["cpu"] for each in short]
    for length, times, work in ((count, long["seconds"], [long["cpu"]]), (SHORT, seconds, cpu)):
        when = f"get_many of {length:,}{kept}"
        bench.number(OURS, when, "µs per customer", [1e6 * each for each in times])
        bench.number(OURS, when, "µs CPU per customer", [1e6 * each for each in work])
    return {
        "seconds": (long["seconds"], [median(seconds)] * len(long["seconds"])),
        "cpu": ([long["cpu"]] * len(cpu), cpu),
        "peak": ([long["peak"]], [peak]),
    }
