"""Does ``asyncio.gather`` over thousands of calls come to an end?"""

from __future__ import annotations

from ..asking import Ours, Peer, Raw
from ..bench import OURS, Bench, Goal
from ..processes import Contestant

TITLE = "asyncio.gather of thousands of calls"
GOALS = {
    "done": Goal("answered rightly, share of all", at_least=1),
    "raw": Goal("requests per second, vs raw aiohttp + orjson"),
}


def measure(bench: Bench) -> None:
    calls, patience = bench.pick((500, 5.0), (2000, 3.0), (10_000, 60.0))
    when = f"asyncio.gather of {calls:,}"
    with Contestant(Ours) as ours, Contestant(Raw) as raw:
        contestants = [ours, raw]
        for contestant in contestants:
            contestant.do("open", url=bench.server.url)
            contestant.do("run", calls=400, concurrency=200)

        def turn(contestant: Contestant) -> float:
            bench.server.count()
            result = contestant.do("all_at_once", calls=calls)
            assert bench.server.count()["asked"] == calls
            return calls / result["seconds"]

        rates = bench.taking_turns(contestants, turn, bench.pick(1, 2, 3))
    for who, rounds in rates.items():
        bench.number(who, when, "requests/s", rounds)
    bench.count("done", [1.0])  # or we would not be here
    bench.rates("raw", rates[OURS], rates["Raw"])
    with Contestant(Peer) as peer:
        peer.do("open", url=bench.server.url)
        peer.do("run", calls=100, concurrency=20)
        try:
            result = peer.do("all_at_once", calls=calls, patience=patience)
        except TimeoutError:
            bench.remark(f"{when}: the peer had no result after {patience:g} s, and was stopped.")
        except RuntimeError as error:
            reason = str(error).splitlines()[-2].split(":")[0]
            bench.remark(f"{when}: the peer failed ({reason}).")
        else:
            bench.number(peer.name, when, "requests/s", [calls / result["seconds"]])
