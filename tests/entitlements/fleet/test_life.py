"""When a process of a fleet listens and when it does not: opening, closing, and other event loops."""

import asyncio

import pytest

from kelviq_async import ClientClosed, Kelviq, WrongLoop
from kelviq_async.entitlements.entries import Entry, packed
from kelviq_async.entitlements.policy import CachePolicy
from kelviq_async.stores import MemoryStore, StoreFailed
from tests.entitlements.fleet.processes import Flaky, Hold, answer, wind

GRANTED = {"customerId": "ada", "entitlements": [{"featureId": "export", "hasAccess": True}]}


class Counting(MemoryStore):
    """A store that knows who listens."""

    down = False

    def __init__(self):
        super().__init__()
        self.listening = 0

    async def set(self, key, value, ttl=None):
        if self.down:
            raise StoreFailed("out of order")
        await super().set(key, value, ttl)

    async def subscribe(self, channel, on_message, on_gap):
        listener = await super().subscribe(channel, on_message, on_gap)
        self.listening += 1
        store = self

        class Subscribed:
            ended = False

            async def aclose(self):
                store.listening -= not self.ended
                self.ended = True
                await listener.aclose()

        return Subscribed()


@pytest.fixture
def store():
    return Counting()


@pytest.fixture
def client(scripted, store):
    def make(**settings):
        transport = scripted((200, GRANTED))
        return Kelviq("key", transport=transport, **{"store": store, "account": "acme", **settings})

    return make


@pytest.mark.parametrize("steps", range(8))
async def test_what_is_invalidated_as_the_store_answers_is_not_kept(scripted, steps):
    store = Flaky()
    settings = {"transport": scripted((200, GRANTED)), "store": store, "account": "acme"}
    async with Kelviq("key", **settings) as one, Kelviq("key", **settings) as other:
        await one.entitlements.check("ada", "export")
        fleet = other.entitlement_cache.fleet
        await fleet.start()
        while await fleet.found("ada") is None:
            await asyncio.sleep(0)
        store.held["get"] = Hold()
        asking = asyncio.create_task(other.entitlement_cache.shared("ada"))
        await store.held["get"].reached.wait()
        store.held.pop("get").set()
        for _ in range(steps):
            await asyncio.sleep(0)
        waiting = not asking.done()
        fleet._forget("ada")
        assert await asking is None or not waiting
        assert other.entitlements.peek("ada", "export") is None


async def test_who_was_closed_has_heard_of_nothing(client):
    one, other = client(), client()
    async with other:
        async with one:
            await one.entitlements.check("ada", "export")
            assert one.entitlements.peek("ada", "export")
        await other.entitlements.invalidate("ada")
        assert one.entitlements.peek("ada", "export") is None
        async with one:
            assert (await one.entitlements.check("ada", "export")).source == "live"


async def test_who_is_closed_begins_nothing(client, store, no_tasks_left):
    kelviq = client()
    async with kelviq:
        await kelviq.entitlements.check("ada", "export")
    for call in (kelviq.entitlements.check("bob", "export"), kelviq.entitlements.get("bob")):
        with pytest.raises(ClientClosed):
            await call
    await kelviq.entitlements.invalidate("ada")
    await kelviq.entitlements.invalidate_all()
    kelviq.entitlement_cache.keep(None, "ada", answer(), 0)
    assert store.listening == 0
    await no_tasks_left()


async def test_who_only_tells_ends_with_its_client_too(client, store, no_tasks_left):
    kelviq = client()
    await kelviq.entitlements.invalidate("ada")
    await kelviq.entitlements.invalidate_all()
    await kelviq.close()
    await no_tasks_left()
    assert store.listening == 0


async def test_another_loop_is_told_before_it_begins_anything(client, store):
    async def elsewhere():
        with pytest.raises(WrongLoop):
            await kelviq.entitlements.check("ada", "export")
        await kelviq.entitlements.invalidate("ada")
        assert len(asyncio.all_tasks()) == 1

    policy = CachePolicy(fresh=0, denied=0, revalidate=0)
    async with client(cache=policy) as kelviq, client() as other:
        for _ in range(3):
            await other.entitlements.check("ada", "export")
            await kelviq.entitlements.check("ada", "export")
            await asyncio.to_thread(asyncio.run, elsewhere())
            async with asyncio.timeout(10):
                while other.entitlements.peek("ada", "export"):
                    await asyncio.sleep(0)
        assert store.listening == 2


async def test_who_told_on_another_loop_first_moves_to_where_the_client_lives(client, store):
    kelviq = client()
    told = asyncio.Event()
    home = asyncio.get_running_loop()

    async def elsewhere():
        over = asyncio.Event()
        await kelviq.entitlements.invalidate("ada")
        loops.append((asyncio.get_running_loop(), over))
        home.call_soon_threadsafe(told.set)
        await over.wait()

    loops = []
    thread = asyncio.create_task(asyncio.to_thread(asyncio.run, elsewhere()))
    await told.wait()
    loop, over = loops[0]
    try:
        await kelviq.entitlements.check("ada", "export")
        async with asyncio.timeout(10):
            while kelviq.entitlement_cache.fleet._news._subscription is None or store.listening != 1:
                await asyncio.sleep(0)
        await asyncio.wrap_future(
            asyncio.run_coroutine_threadsafe(kelviq.entitlements.invalidate("bob"), loop)
        )
        assert store.listening == 1
        assert kelviq.entitlements.peek("ada", "export")
    finally:
        loop.call_soon_threadsafe(over.set)
        await thread
        await kelviq.close()


def test_what_is_owed_is_owed_on_the_next_loop_too(client, store):
    kelviq = client()
    key = kelviq.entitlement_cache.fleet._news.key("ada")
    store.down = True
    asyncio.run(kelviq.entitlements.invalidate("ada"))
    store.down = False

    async def later():
        assert await store.get(key) is None
        async with kelviq:
            await kelviq.entitlements.check("ada", "export")
            async with asyncio.timeout(10):
                while kelviq.entitlement_cache.fleet._news.owes("ada"):
                    await asyncio.sleep(0)
            assert await store.get(key), "a tombstone"

    asyncio.run(later())


async def test_a_store_that_lost_its_tombstones_brings_nothing_back(process, store, clock):
    one = await process()
    await one.fetch()
    key, era = one.fleet._news.key("ada"), one.fleet._news.era
    late = packed("ada", Entry(answer(), int(process.wall.now * 1000), era))
    wind(process, clock, 1)
    await one.fleet.invalidate("ada")
    await store.set(key, late)
    assert await one.fleet.found("ada") is None
    wind(process, clock, 1)
    await store.set(key, packed("ada", Entry(answer(), int(process.wall.now * 1000), era)))
    assert await one.fleet.found("ada") == (answer(), clock.now)


def test_closing_waits_for_nothing_on_a_loop_that_has_stopped(scripted):
    async def held(request):
        if asked:
            await asyncio.Event().wait()
        asked.append(request)
        return 200, GRANTED

    asked = []
    policy = CachePolicy(fresh=0, denied=0, revalidate=60)
    kelviq = Kelviq("key", transport=scripted(held), cache=policy)
    loop = asyncio.new_event_loop()
    for _ in range(2):  # the second one has it asked again behind the scenes
        loop.run_until_complete(kelviq.entitlements.check("ada", "export"))
    assert kelviq.entitlement_cache._tasks

    async def closed():
        async with asyncio.timeout(10):
            await kelviq.close()

    asyncio.run(closed())
    # what was cancelled meanwhile ends if that loop goes on after all
    loop.run_until_complete(asyncio.wait(asyncio.all_tasks(loop)))
    loop.close()
