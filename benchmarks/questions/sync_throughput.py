"""How many calls does blocking code get through, from one thread and from many, and in a batch?"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

from ..answers import FEATURES, customer
from ..asking import KEY
from ..bench import OURS, PEER, Bench, Goal
from ..processes import Contestant

TITLE = "Blocking requests per second"
GOALS = {
    "threads 1": Goal("1 thread, vs peer", at_least=2.5),
    "threads 10": Goal("10 threads, vs peer", at_least=3),
    "threads 50": Goal("50 threads, vs peer", at_least=3),
    "cpu": Goal("processor time from 1 thread, vs peer"),
    "batch": Goal("one batch, vs peer in 10 threads", at_least=5),
}
CUSTOMERS = 1000
BATCH_THREADS = 10  # the peer has no batches; more threads do not help it


class Blocking:
    """What both have in common."""

    ask: Callable[[str], Any]

    def good(self, answer: Any, customer_id: str) -> bool:
        raise NotImplementedError

    def batch(self, customers: list[str]) -> int:
        """Look all of them up, and count those that were found whole."""
        raise NotImplementedError

    def run(self, calls: int, threads: int) -> dict[str, float]:
        """So many calls from so many threads; 0 threads stand for a batch."""
        ids = [customer(number % CUSTOMERS) for number in range(calls)]
        busy = time.process_time()
        if not threads:
            started = time.perf_counter()
            whole = self.batch(ids)
            seconds = time.perf_counter() - started
        else:
            seconds, whole = self._by_hand(ids, threads)
        assert whole == calls, "a wrong answer"
        return {"seconds": seconds, "cpu": time.process_time() - busy, "calls": calls}

    def _by_hand(self, ids: list[str], threads: int) -> tuple[float, int]:
        left, whole = iter(ids), itertools.count()
        ask, good = self.ask, self.good
        at_the_line = threading.Barrier(threads + 1)

        def one_after_another() -> None:
            at_the_line.wait()
            for customer_id in left:
                if good(ask(customer_id), customer_id):
                    next(whole)

        workers = [threading.Thread(target=one_after_another) for _ in range(threads)]
        for worker in workers:
            worker.start()
        at_the_line.wait()
        started = time.perf_counter()
        for worker in workers:
            worker.join()
        return time.perf_counter() - started, next(whole)


class Ours(Blocking):
    """kelviq_sync, everything on, nothing kept."""

    def __init__(self, url: str) -> None:
        from kelviq_sync import Kelviq

        self.client = Kelviq(server_key=KEY, edge_url=url, cache=None).open()
        self.ask = self.client.entitlements.raw

    def good(self, answer: Any, customer_id: str) -> bool:
        return answer.customer_id == customer_id and len(answer.entitlements) == len(FEATURES)

    def batch(self, customers: list[str]) -> int:
        with self.client.entitlements.get_many(customers) as lookups:
            return sum(
                lookup.error is None and len(lookup.entitlements) == len(FEATURES) for lookup in lookups
            )


class Peer(Blocking):
    """kelviq-sdk, nothing kept."""

    def __init__(self, url: str) -> None:
        from kelviq_sdk import Kelviq

        self.client = Kelviq.create_sync_client(KEY, base_url=url, edge_api_url=url, enable_cache=False)
        self.ask = self.client.entitlements.get_raw_entitlements

    def good(self, answer: Any, customer_id: str) -> bool:
        return answer.customerId == customer_id and len(answer.entitlements) == len(FEATURES)

    def batch(self, customers: list[str]) -> int:
        with ThreadPoolExecutor(BATCH_THREADS) as pool:
            found = pool.map(self.client.entitlements.get_entitlements, customers)
            return sum(len(entitlements) == len(FEATURES) for entitlements in found)


def measure(bench: Bench) -> None:
    with ExitStack() as stack:
        contestants = [stack.enter_context(Contestant(kind, url=bench.server.url)) for kind in (Ours, Peer)]
        for threads in bench.pick((1,), (1, 10, 50, 0), (1, 10, 50, 0)):
            compare(bench, contestants, threads)


def compare(bench: Bench, contestants: list[Contestant], threads: int) -> None:
    when = f"{threads} thread{'s' if threads > 1 else ''}" if threads else "batch"
    calls: dict[str, int] = {}
    for contestant in contestants:
        contestant.do("run", calls=2 * threads + 50, threads=threads)
        trial = contestant.do("run", calls=threads + 50, threads=threads)
        rate = trial["calls"] / trial["seconds"]
        calls[contestant.name] = round(max(rate * bench.pick(0.1, 0.12, 0.5), threads, 20))

    def turn(contestant: Contestant) -> dict[str, float]:
        bench.server.count()
        result = contestant.do("run", calls=calls[contestant.name], threads=threads)
        asked = bench.server.count()["asked"]
        assert asked == result["calls"], "somebody asked more or less often than they should"
        return result

    turns = bench.taking_turns(contestants, turn, bench.pick(3, 3, 9))
    rates = {who: [each["calls"] / each["seconds"] for each in rounds] for who, rounds in turns.items()}
    cpu = {who: [1000 * each["cpu"] / each["calls"] for each in rounds] for who, rounds in turns.items()}
    unit = "requests/s" if threads else "customers/s"
    for who, rounds in rates.items():
        bench.number(who, when, unit, rounds)
    for who, rounds in cpu.items():
        bench.number(who, when, "CPU s per 1,000", rounds)
    key = f"threads {threads}" if threads else "batch"
    bench.rates(key, rates[OURS], rates[PEER])
    if threads == 1:
        bench.costs("cpu", cpu[OURS], cpu[PEER])
