"""Processes of a fleet on clocks that a test winds, and a store that it can put out of order."""

import asyncio

from kelviq_async import codec
from kelviq_async.api.entitlements import CustomerEntitlements
from kelviq_async.entitlements.fleet import Fleet
from kelviq_async.entitlements.memory import Memory
from kelviq_async.entitlements.policy import CachePolicy
from kelviq_async.stores import MemoryStore, StoreFailed

SCOPE = {"environment": "sandbox", "host": "https://edge.example/api/v1", "account": "acme"}
LONG = 10


def answer(customer_id="ada", granted=True, **more):
    row = {"featureId": "export", "hasAccess": granted, "featureType": "SWITCH", **more}
    return codec.load(CustomerEntitlements, {"customerId": customer_id, "entitlements": [row]})


class Clock:
    """One clock for all, or a machine's own idea of it."""

    def __init__(self, now=50_000.0):
        self.now = now

    def __call__(self):
        return self.now


class Hold(asyncio.Event):
    """Calls wait until it is set; ``reached`` says that one does."""

    def __init__(self):
        super().__init__()
        self.reached = asyncio.Event()


class Flaky(MemoryStore):
    """A store that can be out of order, and that a test can hold up."""

    def __init__(self, **settings):
        super().__init__(**settings)
        self.down = False
        self.calls = []
        self.held = {}

    async def _pass(self, name):
        self.calls.append(name)
        if name in self.held:
            self.held[name].reached.set()
            await self.held[name].wait()
        if self.down:
            raise StoreFailed("out of order")

    async def get(self, key):
        value = await super().get(key)
        await self._pass("get")
        return value

    async def set(self, key, value, ttl=None):
        await self._pass("set")
        await super().set(key, value, ttl)

    async def add(self, key, value, ttl=None):
        await self._pass("add")
        return await super().add(key, value, ttl)

    async def replace(self, key, expected, value, ttl=None):
        await self._pass("replace")
        return await super().replace(key, expected, value, ttl)

    async def publish(self, channel, message):
        await self._pass("publish")
        await super().publish(channel, message)


class Process:
    """One of the fleet."""

    def __init__(self, store, clock, policy=None, wall=None, **scope):
        self.clock = clock
        self.memory = Memory(policy or CachePolicy(), clock=clock)
        self.fleet = Fleet(store, self.memory, **{**SCOPE, **scope}, now=wall or Clock(1_700_000_000.0))
        self.outdated = asyncio.Queue()
        self.fleet.outdate = self.outdated.put_nowait

    async def fetch(self, customer_id="ada", result=None):
        """Look in the store, then ask Kelviq and keep the answer."""
        await self.fleet.found(customer_id)
        self.fleet.keep(customer_id, result or answer(customer_id), self.clock())
        await self.settled()

    async def settled(self):
        """Nothing goes on behind the scenes any more."""
        async with asyncio.timeout(LONG):
            while tasks := set(self.fleet._news._tasks):
                await asyncio.wait(tasks)

    async def told(self):
        async with asyncio.timeout(LONG):
            return await self.outdated.get()


def wind(process, clock, seconds):
    clock.now += seconds
    process.wall.now += seconds
