"""How many calls go through one event loop, and what do they cost?"""

from __future__ import annotations

from contextlib import ExitStack
from statistics import median

from ..asking import Minimal, Ours, Peer, Raw
from ..bench import OURS, PEER, Bench, Goal
from ..processes import Contestant
from ..server import LATENCY
from ..spread import ratios

TITLE = "Async requests per second"
GOALS = {
    "peer 1": Goal("1 in flight, vs peer", at_least=5),
    "peer 10": Goal("10 in flight, vs peer", at_least=9),
    "peer 50": Goal("50 in flight, vs peer", at_least=12),
    "peer 200": Goal("200 in flight, vs peer", at_least=16),
    "cpu 50": Goal("processor time at 50 in flight, vs peer", at_most=0.08),
    "cpu raw 50": Goal("processor time at 50 in flight, vs raw aiohttp + orjson"),
    "raw 1": Goal("1 in flight, vs raw aiohttp + orjson", at_least=0.9),
    "raw 10": Goal("10 in flight, vs raw aiohttp + orjson", at_least=0.9),
    "raw 50": Goal("50 in flight, vs raw aiohttp + orjson", at_least=0.9),
    "raw 200": Goal("200 in flight, vs raw aiohttp + orjson", at_least=0.9),
    "slow peer 50": Goal("50 in flight, server takes 20 ms, vs peer", at_least=10),
    "slow peer 200": Goal("200 in flight, server takes 20 ms, vs peer", at_least=15),
    "minimal 50": Goal("50 in flight, vs minimal protocol client"),
    "slow minimal 50": Goal("50 in flight, server takes 20 ms, vs minimal protocol client"),
    "slow minimal 200": Goal("200 in flight, server takes 20 ms, vs minimal protocol client"),
}
RAW, MINIMAL = "Raw", "Minimal"
CONTESTANTS = {
    "tiny": (Ours, Peer),
    "quick": (Ours, Peer, Raw, Minimal),
    "full": (Ours, Peer, Raw, Minimal),
}


def measure(bench: Bench) -> None:
    doors = {
        "": (bench.server.url, bench.pick((50,), (1, 10, 50, 200), (1, 10, 50, 200))),
        "slow ": (bench.server.slow, bench.pick((), (50, 200), (1, 10, 50, 200))),
    }
    with ExitStack() as stack:
        contestants = [stack.enter_context(Contestant(kind)) for kind in CONTESTANTS[bench.thoroughness]]
        for door, (url, concurrencies) in doors.items():
            for concurrency in concurrencies:
                for contestant in contestants:
                    contestant.do("open", url=url)
                compare(bench, contestants, door, concurrency)


def compare(bench: Bench, contestants: list[Contestant], door: str, concurrency: int) -> None:
    """All of them, so many calls in flight, through one of the server's doors."""
    when = f"{concurrency} in flight" + (", 20 ms" if door else "")
    calls: dict[str, int] = {}
    for contestant in contestants:  # every connection is made, every module loaded, every cache warm
        contestant.do("run", calls=concurrency + 50, concurrency=concurrency)
        trial = contestant.do("run", calls=concurrency + 20, concurrency=concurrency)
        rate = trial["calls"] / trial["seconds"]
        calls[contestant.name] = round(max(rate * bench.pick(0.1, 0.12, 0.5), concurrency, 10))
    served: dict[str, float] = {}

    def turn(contestant: Contestant) -> dict[str, float]:
        before = bench.server.count()
        result = contestant.do("run", calls=calls[contestant.name], concurrency=concurrency)
        after = bench.server.count()
        assert after["asked"] == result["calls"], "somebody asked more or less often than they should"
        served[contestant.name] = (after["cpu"] - before["cpu"]) / result["seconds"]
        return result

    turns = bench.taking_turns(contestants, turn, bench.pick(3, 3, 7))
    rates = {who: [each["calls"] / each["seconds"] for each in rounds] for who, rounds in turns.items()}
    cpu = {who: [1000 * each["cpu"] / each["calls"] for each in rounds] for who, rounds in turns.items()}
    for who in turns:
        bench.number(who, when, "requests/s", rates[who])
    for who in turns:
        bench.number(who, when, "CPU s per 1,000", cpu[who])
    for other in turns:
        key = f"{door}{other.lower()} {concurrency}"
        if other != OURS and key in GOALS:
            bench.rates(key, rates[OURS], rates[other])
    explain(bench, door, concurrency, when, rates)
    if not door and f"cpu {concurrency}" in GOALS:
        bench.costs(f"cpu {concurrency}", cpu[OURS], cpu[PEER])
        if RAW in cpu:
            bench.costs(f"cpu raw {concurrency}", cpu[OURS], cpu[RAW])
        busiest = max(served, key=lambda who: served[who])
        bench.remark(
            f"The server was never the bottleneck: at {concurrency} in flight it was busiest with "
            f"{busiest.lower()!r}, {served[busiest]:.0%} of one core."
        )


def explain(bench: Bench, door: str, concurrency: int, when: str, rates: dict[str, list[float]]) -> None:
    """Where we miss a goal beside the peer, what the others reach, and what can be reached at all."""
    goal = GOALS.get(f"{door}peer {concurrency}")
    if goal is None or RAW not in rates or goal.met(ratios(rates[OURS], rates[PEER]).median):
        return
    times = ratios(rates[RAW], rates[PEER]).median
    text = f"{when}: raw aiohttp + orjson, which checks nothing, has {times:.1f} times the peer's rate"
    if MINIMAL in rates:
        times = ratios(rates[MINIMAL], rates[PEER]).median
        text += f", and the minimal protocol client {times:.1f} times"
    if door:
        ceiling = concurrency / LATENCY
        times = ceiling / median(rates[PEER])
        text += f"; more than {ceiling:,.0f}/s, {times:.1f} times the peer's, nobody can have of this server"
    bench.remark(f"{text}.")
