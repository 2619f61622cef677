"""How often is Kelviq asked when many ask the same thing at once?"""

from __future__ import annotations

import asyncio
from typing import Any

from ..answers import SWITCHES, customer
from ..asking import KEY
from ..bench import OURS, Bench, Goal
from ..processes import Contestant

TITLE = "Calls to Kelviq for the same question at once"
GOALS = {"calls": Goal("200 identical checks (peer: 200 calls)", at_most=1)}
CHECKS = 200


class Ours:
    async def run(self, url: str, customer_id: str) -> int:
        from kelviq_async import Kelviq

        async with Kelviq(server_key=KEY, edge_url=url) as client:
            return await granted(client.entitlements.has_access, customer_id)


class Peer:
    async def run(self, url: str, customer_id: str) -> int:
        from kelviq_sdk import Kelviq

        async with Kelviq.create_async_client(KEY, base_url=url, edge_api_url=url) as client:
            return await granted(client.entitlements.has_access, customer_id)


async def granted(has_access: Any, customer_id: str) -> int:
    return sum(await asyncio.gather(*(has_access(customer_id, SWITCHES[0]) for _ in range(CHECKS))))


def measure(bench: Bench) -> None:
    for kind in bench.pick((Ours,), (Ours, Peer), (Ours, Peer)):
        with Contestant(kind) as contestant:
            calls = []
            for number in range(bench.pick(2, 2, 5)):
                bench.server.count()
                found = contestant.do("run", url=bench.server.slow, customer_id=customer(number))
                assert found == CHECKS
                calls.append(bench.server.count()["asked"])
            bench.number(contestant.name, f"{CHECKS} identical checks at once", "calls", calls)
            if contestant.name == OURS:
                bench.count("calls", calls)
