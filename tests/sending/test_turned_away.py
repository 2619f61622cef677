"""Kelviq turns many away at once (429): who waits for whom, and what comes of a batch. Time is virtual."""

import asyncio
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import pytest

from kelviq_async import Kelviq, ListCustomers, TimedOut
from kelviq_async.entitlements import batches
from kelviq_async.errors import ClientClosed, RateLimited

READ = ListCustomers()
DONE = (200, {"count": 0, "next": None, "previous": None, "results": []})
AWAY = (429, {"detail": "slow down"})
HEADS = {"untold": {}, "told": {"Retry-After": "1"}}
IDS = [f"user-{number}" for number in range(120)]


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    """Batches look at the clock of the loop that runs."""
    now = SimpleNamespace(monotonic=lambda: asyncio.get_running_loop().time())
    monkeypatch.setattr(batches, "time", now)


class Door:
    """Lets so many through in a second, and turns the others away."""

    def __init__(self, width, head):
        self.width = width
        self.head = head
        self.second = None
        self.calls = self.through = 0

    async def __call__(self, wire):
        self.calls += 1
        await asyncio.sleep(0.01)
        second = int(asyncio.get_running_loop().time())
        if second != self.second:
            self.second, self.through = second, 0
        if self.through >= self.width:
            return (*AWAY, self.head)
        self.through += 1
        (customer,) = parse_qs(urlsplit(wire.url).query)["customer_id"]
        return 200, {
            "customerId": customer,
            "entitlements": [{"featureId": "export", "hasAccess": True, "featureType": "BOOLEAN"}],
        }


async def checked(kelviq, **settings):
    pairs = ((customer, "export") for customer in IDS)
    return [decision async for decision in kelviq.entitlements.check_many(pairs, **settings)]


async def looked_up(kelviq, **settings):
    return [lookup async for lookup in kelviq.entitlements.get_many(IDS, **settings)]


both = pytest.mark.parametrize("ask", [checked, looked_up])


@both
@pytest.mark.parametrize("warm", [True, False])
@pytest.mark.parametrize("head", HEADS)
def test_everybody_is_answered_in_the_end(virtual, scripted, ask, warm, head):
    async def story():
        door = Door(10, HEADS[head])
        async with Kelviq("key", transport=scripted(door)) as kelviq:
            results = await ask(kelviq, warm=warm)
        assert [result.error for result in results if result.error] == []
        assert {result.customer_id for result in results} == set(IDS)
        assert asyncio.get_running_loop().time() - 1000 < 60
        assert door.calls < 4 * len(IDS)

    virtual(story())


@both
def test_it_is_patient_for_as_long_as_somebody_gets_through(virtual, scripted, ask):
    async def story():
        door = Door(2, {})
        async with Kelviq("key", transport=scripted(door), retry=False) as kelviq:
            results = await ask(kelviq)
        assert [result.error for result in results] == [None] * len(IDS)
        assert asyncio.get_running_loop().time() - 1000 > batches.GIVE_UP
        assert door.calls < 4 * len(IDS)

    virtual(story())


@both
@pytest.mark.parametrize("head", HEADS)
def test_when_nobody_gets_through_that_is_the_answer(virtual, scripted, ask, head):
    async def story():
        transport = scripted((*AWAY, HEADS[head]))
        async with Kelviq("key", transport=transport) as kelviq:
            results = await ask(kelviq)
        assert [type(result.error) for result in results] == [RateLimited] * len(IDS)
        spent = asyncio.get_running_loop().time() - 1000
        assert batches.GIVE_UP <= spent < 2 * batches.GIVE_UP
        assert len(transport.sent) < 10 * len(IDS)

    virtual(story())


@both
def test_when_there_is_room_again_it_is_used(virtual, scripted, ask):
    running = most = 0

    async def story():
        loop, door = asyncio.get_running_loop(), Door(1000, {})

        async def shut_at_first(wire):
            nonlocal running, most
            if loop.time() < 1005:
                return AWAY
            running += 1
            most = max(most, running)
            answer = await door(wire)
            running -= 1
            return answer

        async with Kelviq("key", transport=scripted(shut_at_first), retry=False) as kelviq:
            results = await ask(kelviq)
        assert [result.error for result in results] == [None] * len(IDS)
        assert 5 < most <= 50

    virtual(story())


@both
def test_the_deadline_of_a_batch_ends_its_patience(virtual, scripted, ask):
    async def story():
        async with Kelviq("key", transport=scripted(AWAY), retry=False) as kelviq:
            results = await ask(kelviq, deadline=5)
        assert [type(result.error) for result in results] == [TimedOut] * len(IDS)
        assert asyncio.get_running_loop().time() == 1005

    virtual(story())


@both
def test_closing_the_client_ends_it_too(virtual, scripted, ask):
    async def story():
        kelviq = Kelviq("key", transport=scripted(AWAY), retry=False)
        asking = asyncio.create_task(ask(kelviq))
        await asyncio.sleep(0.5)
        await kelviq.close()
        with pytest.raises(ClientClosed):
            await asking
        assert asyncio.get_running_loop().time() == 1000.5

    virtual(story())


def test_who_is_told_to_wait_long_is_asked_about_again_after_that(virtual, scripted):
    async def story():
        transport = scripted((*AWAY, {"Retry-After": "20"}), Door(10, {}))
        async with Kelviq("key", transport=transport, timeout=10) as kelviq:
            (decision,) = [d async for d in kelviq.entitlements.check_many([("user-1", "export")])]
        assert decision.allowed
        assert len(transport.sent) == 2
        assert 1020 <= asyncio.get_running_loop().time() < 1021

    virtual(story())


def test_who_is_not_told_how_long_makes_the_others_wait_too(stack, virtual):
    async def story():
        loop = asyncio.get_running_loop()
        shared, times = stack(AWAY, DONE), []
        sending = shared.transport.send

        async def send(wire):
            times.append(loop.time() - 1000)
            return await sending(wire)

        shared.transport.send = send
        first = asyncio.create_task(shared.send(READ, retry=lambda *_: 3.0))
        await asyncio.sleep(1)
        await asyncio.gather(first, shared.send(READ), shared.send(READ))
        assert times == [0, 3, 3, 3]

    virtual(story())


def test_who_has_given_up_goes_on_when_somebody_gets_through_again(virtual, scripted):
    async def story():
        loop, door = asyncio.get_running_loop(), Door(1000, {})

        async def shut_for_a_while(wire):
            return AWAY if loop.time() < 1000 + 2 * batches.GIVE_UP else await door(wire)

        async def slowly(items):
            for item in items:
                yield item
                await asyncio.sleep(1)

        kelviq = Kelviq("key", transport=scripted(shut_for_a_while), retry=False)
        async with kelviq:
            pairs = slowly((customer, "export") for customer in IDS)
            results = [d async for d in kelviq.entitlements.check_many(pairs, ordered=True)]
        verdicts = [type(result.error) for result in results]
        assert verdicts[0] is RateLimited
        assert verdicts[-50:] == [type(None)] * 50

    virtual(story())
