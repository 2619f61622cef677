"""All at once, with calls and a store that take their time: nobody is told what was over when they asked."""

import asyncio
import contextlib
import json
import random
import time
from collections import defaultdict
from urllib.parse import parse_qs, urlsplit

import pytest

from kelviq_async import CachePolicy, Kelviq
from kelviq_async.emulator import World
from kelviq_async.errors import ClientClosed, ConnectionLost, KelviqError, NeverSent
from kelviq_async.stores import MemoryStore, StoreFailed
from kelviq_async.transport import WireAnswer
from tests.turmoil import dawdle, survive

CUSTOMERS = ["cust-1", "cust-2", "cust-3"]
SPAN = 0.3
"""Seconds for which everybody does what they can."""
HEARD = 0.03
"""Seconds after which all have heard of an invalidation; on the same loop, so however slow it runs."""
TICK = 0.01
"""Seconds of rounding, where an age goes by way of a store."""
LONG = 20


class Counting(World):
    """A world whose entitlements say how often they have changed."""

    def begin(self, chance, trouble):
        self.chance = chance
        self.trouble = trouble
        self.number = defaultdict(lambda: 1)
        self.over = {}

    def change(self, customer):
        self.over[customer, self.number[customer]] = time.monotonic()
        self.number[customer] += 1
        return self.number[customer]

    async def send(self, request):
        request.sending = True
        await dawdle(self.chance)
        if self.chance.random() < self.trouble:
            if self.chance.random() < 0.3:
                return answered(503, {})
            raise self.chance.choice([NeverSent, ConnectionLost])("on purpose")
        [customer] = parse_qs(urlsplit(request.url).query)["customer_id"]
        number = self.number[customer]
        await dawdle(self.chance)
        if number % 7 == 0:
            return answered(404, {"detail": "nobody"})
        rows = [
            {"featureId": each, "hasAccess": granted, "featureType": "CUSTOMIZABLE", "usageLimit": number}
            for each, granted in (("always", True), ("odd", number % 2 == 1))
        ]
        return answered(200, {"customerId": customer, "entitlements": rows})


def answered(status, data):
    return WireAnswer(status, {"Content-Type": "application/json"}, json.dumps(data).encode())


class SlowStore(MemoryStore):
    """A store that takes its time, and may fail before or after it has done something."""

    def begin(self, chance, failing):
        self.chance = chance
        self.failing = failing

    async def dawdle(self):
        await dawdle(self.chance)
        if self.chance.random() < self.failing:
            raise StoreFailed("on purpose")


def _slow(name):
    method = getattr(MemoryStore, name)

    async def call(self, *args, **kwargs):
        await self.dawdle()
        found = await method(self, *args, **kwargs)
        await self.dawdle()
        return found

    return call


for _name in ("get", "set", "add", "replace", "delete", "publish"):
    setattr(SlowStore, _name, _slow(_name))


class Turmoil:
    """Clients of one fleet, and all that one can ask of them at the same time."""

    def __init__(self, seed):
        chance = self.chance = random.Random(seed)  # noqa: S311  to do the same again
        self.world = Counting()
        self.world.begin(chance, chance.choice([0.0, 0.2]))
        self.store = SlowStore() if chance.random() < 0.7 else None
        self.reliable = chance.random() < 0.6
        if self.store is not None:
            self.store.begin(chance, 0.0 if self.reliable else 0.1)
        policy = CachePolicy(
            fresh=chance.choice([0.005, 0.02, 0.1, 1]),
            denied=0.002,
            revalidate=chance.choice([0, 0.02, 0.1]),
            max_stale=2,
            max_customers=chance.choice([2, 1000]),
        )
        shared = {} if self.store is None else {"store": self.store, "account": "acme"}
        self.clients = [
            Kelviq.local(self.world, cache=policy, retry=False, **shared)
            for _ in range(chance.choice([1, 2, 3]))
        ]
        self.known = {kelviq: dict.fromkeys(CUSTOMERS, 0) for kelviq in self.clients}
        """What a client was told is outdated, by customer: the least that it may say from then on."""
        self.judged = 0
        self.over = False

    async def run(self):
        ways = [self.changing(), self.changing()]
        for kelviq in self.clients:
            ways += [
                self.checking(kelviq),
                self.checking(kelviq),
                self.listing(kelviq),
                self.giving_up(kelviq),
            ]
        if self.chance.random() < 0.3:
            ways.append(self.reopening(self.clients[0]))
        async with asyncio.timeout(LONG), asyncio.TaskGroup() as self.group:
            for way in ways:
                self.group.create_task(way)
            await asyncio.sleep(SPAN)
            self.over = True
        assert self.judged > 0

    async def end(self):
        for kelviq in self.clients:
            await kelviq.close()
        if self.store is not None:
            await self.store.close()

    async def pause(self, most):
        await asyncio.sleep(self.chance.random() * most)

    async def changing(self):
        while not self.over:
            await self.pause(0.03)
            customer, kelviq = self.chance.choice(CUSTOMERS), self.chance.choice(self.clients)
            number = self.world.change(customer)
            await kelviq.entitlements.invalidate(customer)
            self.learnt(kelviq, customer, number)
            if self.store is not None and self.reliable:
                self.group.create_task(self.heard(customer, number))

    async def heard(self, customer, number):
        await asyncio.sleep(HEARD)
        for kelviq in self.clients:
            self.learnt(kelviq, customer, number)

    def learnt(self, kelviq, customer, number):
        self.known[kelviq][customer] = max(number, self.known[kelviq][customer])

    async def checking(self, kelviq):
        while not self.over:
            customer, feature = self.chance.choice(CUSTOMERS), self.chance.choice(["always", "odd"])
            least, began = self.known[kelviq][customer], time.monotonic()
            with contextlib.suppress(KelviqError):
                found = await kelviq.entitlements.check(customer, feature)
                if found.entitlement is None:
                    assert not found.allowed
                else:
                    number = found.entitlement.items[0].usage_limit
                    assert found.allowed == (feature == "always" or number % 2 == 1)
                    self.judge(customer, number, least)
                    # its age is no less than it is
                    over = self.world.over.get((customer, number), began)
                    assert over >= began - found.age - TICK, found
            await self.pause(0.004)

    async def listing(self, kelviq):
        pairs = [(customer, feature) for feature in ("always", "odd") for customer in CUSTOMERS]
        while not self.over:
            least = dict(self.known[kelviq])
            with contextlib.suppress(ClientClosed):
                if self.chance.random() < 0.5:
                    async for found in kelviq.entitlements.get_many(CUSTOMERS):
                        if found.error is None:
                            number = found.entitlements["odd"].limit
                            self.judge(found.customer_id, number, least[found.customer_id])
                else:
                    async for found in kelviq.entitlements.check_many(pairs):
                        if found.entitlement is not None:
                            self.judge(found.customer_id, found.entitlement.limit, least[found.customer_id])
            await self.pause(0.02)

    async def giving_up(self, kelviq):
        while not self.over:
            asking = asyncio.ensure_future(kelviq.entitlements.get(self.chance.choice(CUSTOMERS)))
            await self.pause(0.004)
            asking.cancel()
            with contextlib.suppress(asyncio.CancelledError, KelviqError):
                await asking
            await self.pause(0.02)

    async def reopening(self, kelviq):
        while not self.over:
            await self.pause(0.1)
            await kelviq.close()
            await kelviq.open()

    def judge(self, customer, number, least):
        self.judged += 1
        assert number >= least, f"{customer} was told {number} after {least} was there"


@pytest.mark.parametrize(
    "seeds",
    [
        *([each] for each in range(10)),
        pytest.param(range(10, 400), marks=[pytest.mark.slow, pytest.mark.timeout(900)], id="many"),
    ],
)
async def test_nobody_is_told_what_was_over_when_they_asked(seeds):
    await survive(seeds, Turmoil)
