"""Those who ask Kelviq over HTTP from an event loop, and how they are all driven in the same way.

Each asks for everything a customer may use and returns it as it is meant to be used: we and the peer
as typed models (our ``raw`` and their ``get_raw_entitlements``, neither of which adds entries up), the
floors as plain dicts. Nobody caches. What each ships with is left as it is, but for the limit of
aiohttp's pool, which is lifted to what the others may use.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any
from urllib.parse import urlsplit

from .answers import FEATURES, customer

KEY = "bench"
PATH = "/api/v1/entitlements/"


class Asker:
    """What all have in common."""

    async def open(self, url: str) -> None:
        """Start anew, towards this address."""
        raise NotImplementedError

    async def ask(self, customer_id: str) -> Any:
        """Ask for everything a customer may use."""
        raise NotImplementedError

    @staticmethod
    def good(answer: Any, customer_id: str) -> bool:
        """Whether it is the whole answer, and about this customer."""
        raise NotImplementedError

    async def run(self, calls: int, concurrency: int, customers: int = 1000) -> dict[str, float]:
        """Make so many calls, so many at a time; each answer is looked at."""
        ids = [customer(number) for number in range(customers)]
        left = iter(range(calls))
        ask, good = self.ask, self.good

        async def one_after_another() -> None:
            for number in left:
                customer_id = ids[number % customers]
                assert good(await ask(customer_id), customer_id), "a wrong answer"

        started, busy = time.perf_counter(), time.process_time()
        async with asyncio.TaskGroup() as group:
            for _ in range(concurrency):
                group.create_task(one_after_another())
        return {"seconds": time.perf_counter() - started, "cpu": time.process_time() - busy, "calls": calls}

    async def all_at_once(self, calls: int) -> dict[str, float]:
        """``asyncio.gather`` over all of them."""
        ids = [customer(number) for number in range(calls)]
        started = time.perf_counter()
        answers = await asyncio.gather(*(self.ask(customer_id) for customer_id in ids))
        seconds = time.perf_counter() - started
        assert len(answers) == calls
        assert all(map(self.good, answers, ids)), "a wrong answer"
        return {"seconds": seconds, "calls": calls}


class Ours(Asker):
    """kelviq_async, everything on: deadlines, retries, limits, strict models, typed errors."""

    def __init__(self) -> None:
        self.client: Any = None

    async def open(self, url: str) -> None:
        from kelviq_async import Kelviq

        if self.client is not None:
            await self.client.close()
        self.client = await Kelviq(server_key=KEY, edge_url=url, cache=None).open()
        self.ask = self.client.entitlements.raw

    @staticmethod
    def good(answer: Any, customer_id: str) -> bool:
        return answer.customer_id == customer_id and len(answer.entitlements) == len(FEATURES)


class Peer(Asker):
    """kelviq-sdk."""

    def __init__(self) -> None:
        self.client: Any = None

    async def open(self, url: str) -> None:
        from kelviq_sdk import Kelviq

        if self.client is not None:
            await self.client.aclose()
        self.client = Kelviq.create_async_client(KEY, base_url=url, edge_api_url=url, enable_cache=False)
        self.ask = self.client.entitlements.get_raw_entitlements

    @staticmethod
    def good(answer: Any, customer_id: str) -> bool:
        return answer.customerId == customer_id and len(answer.entitlements) == len(FEATURES)


class Plain(Asker):
    """Plain dicts."""

    @staticmethod
    def good(answer: Any, customer_id: str) -> bool:
        return answer["customerId"] == customer_id and len(answer["entitlements"]) == len(FEATURES)


class Raw(Plain):
    """What one would write by hand: aiohttp and orjson, and hope."""

    def __init__(self) -> None:
        self.session: Any = None

    async def open(self, url: str) -> None:
        import aiohttp
        import orjson

        if self.session is not None:
            await self.session.close()
        headers = {"Authorization": f"Bearer {KEY}"}
        session = self.session = aiohttp.ClientSession(
            headers=headers, connector=aiohttp.TCPConnector(limit=200)
        )
        address = f"{url}{PATH}"

        async def ask(customer_id: str) -> Any:
            async with session.get(address, params={"customer_id": customer_id}) as answer:
                answer.raise_for_status()
                return orjson.loads(await answer.read())

        self.ask = ask


class Minimal(Plain):
    """What asyncio leaves room for."""

    def __init__(self) -> None:
        self.client: Any = None

    async def open(self, url: str) -> None:
        from . import minimal

        if self.client is not None:
            self.client.close()
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        client = self.client = minimal.Minimal(parts.hostname, parts.port)

        async def ask(customer_id: str) -> Any:
            return await client.get(f"{PATH}?customer_id={customer_id}")

        self.ask = ask
