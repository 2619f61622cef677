"""How long does it take to make models out of the bytes of one answer?"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from ..answers import FEATURES, answer, customer
from ..bench import OURS, PEER, Bench, Goal
from ..processes import Contestant

TITLE = "Speed of reading one answer into models"
GOALS = {
    "peer": Goal("vs peer"),
    "floor": Goal("vs orjson.loads alone, which checks nothing (cost)"),
}


class Reader:
    """What all have in common."""

    def read(self, customer_id: str, body: bytes) -> Any:
        raise NotImplementedError

    def good(self, value: Any) -> bool:
        raise NotImplementedError

    def run(self, count: int) -> float:
        """Seconds for one."""
        answers = [(customer(number), answer(customer(number))) for number in range(100)]
        read: Callable[[str, bytes], Any] = self.read
        assert all(self.good(read(*each)) for each in answers)
        repeated = answers * (count // len(answers))
        started = time.perf_counter()
        for customer_id, body in repeated:
            read(customer_id, body)
        return (time.perf_counter() - started) / len(repeated)


class Ours(Reader):
    """As the innermost layer does it."""

    def __init__(self) -> None:
        from kelviq_async import GetEntitlements, codec

        self.request, self.decode = GetEntitlements, codec.decode

    def read(self, customer_id: str, body: bytes) -> Any:
        return self.request(customer_id).read(200, self.decode(body), {})

    def good(self, value: Any) -> bool:
        return len(value.entitlements) == len(FEATURES) and value.entitlements[0].has_access is True


class Peer(Reader):
    """As it does after httpx handed over the body."""

    def __init__(self) -> None:
        from kelviq_sdk.models.entitlements import CheckEntitlementsResponse

        self.model = CheckEntitlementsResponse

    def read(self, customer_id: str, body: bytes) -> Any:  # noqa: ARG002  it takes any customer's answer
        return self.model.model_validate(json.loads(body))

    def good(self, value: Any) -> bool:
        return len(value.entitlements) == len(FEATURES) and value.entitlements[0].hasAccess is True


class Orjson(Reader):
    def __init__(self) -> None:
        import orjson

        self.loads = orjson.loads

    def read(self, customer_id: str, body: bytes) -> Any:  # noqa: ARG002  likewise
        return self.loads(body)

    def good(self, value: Any) -> bool:
        return len(value["entitlements"]) == len(FEATURES)


def measure(bench: Bench) -> None:
    with ExitStack() as stack:
        contestants = [stack.enter_context(Contestant(kind)) for kind in (Ours, Peer, Orjson)]
        count = bench.pick(500, 1000, 5000)
        seconds = bench.taking_turns(
            contestants, lambda contestant: contestant.do("run", count=count), bench.pick(3, 7, 15)
        )
    for who, rounds in seconds.items():
        bench.number(who, "one answer", "µs", [1e6 * each for each in rounds])
    bench.times_faster("peer", seconds[OURS], seconds[PEER])
    bench.costs("floor", seconds[OURS], seconds["Orjson"])
