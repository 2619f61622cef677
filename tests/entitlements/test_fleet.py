"""Processes that share what Kelviq answered: what they may believe, and what they tell each other."""

import asyncio
import json
import logging
import secrets
import subprocess
import sys
import time
import zlib

import pytest

from kelviq_async import codec
from kelviq_async.api.entitlements import CustomerEntitlements
from kelviq_async.entitlements import entries, fleet as fleets, news
from kelviq_async.entitlements.fleet import Fleet
from kelviq_async.entitlements.memory import Memory
from kelviq_async.entitlements.policy import CachePolicy, FeaturePolicy
from kelviq_async.stores import MemoryStore, RedisStore, StoreFailed

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


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def store(clock):
    return Flaky(clock=clock)


@pytest.fixture
async def process(store, clock):
    """Makes processes of one fleet, on one store."""
    made, wall = [], Clock(1_700_000_000.0)

    async def make(**settings):
        process = Process(**{"store": store, "clock": clock, "wall": wall, **settings})
        made.append(process)
        await process.fleet.start()
        return process

    make.wall = wall
    yield make
    for each in made:
        await each.fleet.aclose()


def wind(process, clock, seconds):
    clock.now += seconds
    process.wall.now += seconds


# What is found


async def test_one_fetches_and_all_know(process, clock):
    one, other = await process(), await process()
    assert await other.fleet.found("ada") is None
    result = answer(resetAt="2026-01-31 00:00:00", remaining=3, newField={"a": ["1.50"]})
    await one.fetch(result=result)
    start = clock.now
    wind(process, clock, 40)
    assert await other.fleet.found("ada") == (result, start)
    assert await other.fleet.found("bob") is None


async def test_age_counts_from_the_start_of_the_call_on_ones_own_clock(process, clock):
    one, other = await process(), await process(clock=Clock(7.0))
    await one.fleet.found("ada")
    start = clock.now
    wind(process, clock, 3)
    one.fleet.keep("ada", answer(), start)
    await one.settled()
    wind(process, clock, 2)
    _, found = await other.fleet.found("ada")
    assert found == pytest.approx(7.0 - 5, abs=0.01)


async def test_a_customer_kelviq_does_not_know(process, clock):
    one, other = await process(), await process()
    await one.fleet.found("ada")
    one.fleet.keep("ada", None, clock.now)
    await one.settled()
    assert await other.fleet.found("ada") == (None, clock.now)
    wind(process, clock, 5)
    assert await other.fleet.found("ada") is None


@pytest.mark.parametrize(("granted", "seconds"), [(True, 900), (False, 5), (None, 5), ("yes", 5)])
async def test_how_long_an_answer_is_shared(process, clock, granted, seconds):
    one, other = await process(), await process()
    await one.fetch(result=answer(granted=granted))
    wind(process, clock, seconds - 0.1)
    assert await other.fleet.found("ada")
    wind(process, clock, 0.2)
    assert await other.fleet.found("ada") is None


async def test_a_denial_takes_the_place_of_a_grant_also_when_it_lapses(process, clock):
    one, other = await process(), await process()
    await one.fetch()
    await one.fetch(result=answer(granted=False))
    found, _ = await other.fleet.found("ada")
    assert found.entitlements[0].has_access is False
    wind(process, clock, 6)
    assert await other.fleet.found("ada") is None


@pytest.mark.parametrize(("denied", "fresh"), [(0, 60), (0, 0), (5, 0)])
async def test_what_is_not_to_be_kept_ends_what_it_contradicts(process, clock, denied, fresh):
    policy = CachePolicy(denied=denied, fresh=fresh, revalidate=0, max_stale=fresh)
    one, other = await process(policy=policy), await process()
    await other.fetch()
    await one.fetch(result=answer(granted=bool(denied)))
    assert await other.fleet.found("ada") is None


async def test_the_longest_policy_counts(process, clock):
    policy = CachePolicy(features={"export": FeaturePolicy(max_stale=2000)})
    one = await process(policy=policy)
    await one.fetch()
    wind(process, clock, 1999)
    assert await one.fleet.found("ada")
    other = await process()
    assert await other.fleet.found("ada") is None
    wind(process, clock, 2)
    assert await one.fleet.found("ada") is None


@pytest.mark.parametrize(
    ("ahead", "usable"), [(1.5, True), (2.5, False), (1e9, False), (-899, True), (-901, False)]
)
async def test_clocks_of_machines_differ(process, clock, ahead, usable):
    one, other = await process(wall=Clock(process.wall.now + ahead)), await process()
    await one.fetch()
    found = await other.fleet.found("ada")
    assert (found is not None) is usable
    if found:
        assert found[1] == pytest.approx(clock.now + min(0, ahead))


async def test_what_is_scoped_apart_is_apart(process):
    everybody = [
        await process(),
        await process(environment="production"),
        await process(host="https://other.example/api/v1"),
        await process(account="acme2"),
        await process(environment="sandboxh", host=SCOPE["host"][1:]),
    ]
    for one in everybody:
        await one.fetch("ada", answer(usageLimit=everybody.index(one)))
    for index, one in enumerate(everybody):
        assert (await one.fleet.found("ada"))[0].entitlements[0].usage_limit == index
        await one.fleet.invalidate("ada")
        for later in everybody[index + 1 :]:
            assert await later.fleet.found("ada")
            assert later.outdated.empty()


async def test_ids_that_look_alike_are_apart(process):
    one = await process()
    ids = [
        "a",
        "a:",
        "a:b",
        "1:a",
        "A",
        "é",
        "e\u0301",
        "a b",
        "a*",
        "{a}",
        "ada@example.com",
        "x" * 5000,
        "\ud800",
    ]
    assert len({one.fleet._news.key(each) for each in ids}) == len(ids)
    assert {len(one.fleet._news.key(each)) for each in ids} == {len("entitlements:") + 40}
    for each in ids[:-1]:
        await one.fetch(each)
    for each in ids[:-1]:
        assert (await one.fleet.found(each))[0].customer_id == each
    await one.fetch(ids[-1])  # which JSON cannot say
    await one.fleet.invalidate(ids[-1])


async def test_entries_are_small(process):
    rows = [
        {"featureId": f"feature-{n}", "hasAccess": True, "featureType": "METER", "hardLimit": False}
        | {"resetAt": "2026-01-31 00:00:00", "usageLimit": 1000 * n, "currentUsage": n, "remaining": 999 * n}
        for n in range(6)
    ]
    data = {"customerId": "customer-12345", "entitlements": rows}
    value = entries.packed(
        "customer-12345", entries.Entry(codec.load(CustomerEntitlements, data), 1, "e" * 16)
    )
    assert len(value) < 0.3 * len(json.dumps(data, separators=(",", ":")))


async def test_many_who_ask_at_once_look_once(process, store):
    one = await process()
    await one.fetch()
    store.calls.clear()
    found = await asyncio.gather(*(one.fleet.found("ada") for _ in range(100)))
    assert all(found)
    assert store.calls == ["get"]


async def test_who_gives_up_leaves_the_others_alone(process, store):
    one = await process()
    await one.fetch()
    store.held["get"] = asyncio.Event()
    first, second = (asyncio.ensure_future(one.fleet.found("ada")) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    store.held["get"].set()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert await second


# What is not believed


def zipped(data, version=b"\x01"):
    packer = zlib.compressobj(zdict=entries._DICTIONARY)
    text = data if isinstance(data, bytes) else json.dumps(data).encode()
    return version + packer.compress(text) + packer.flush()


def poison(era, start):
    sound = {"customerId": "ada", "entitlements": [{"featureId": "export", "hasAccess": True}]}
    good = ["ada", start, era, sound]
    return {
        "sound": zipped(good),
        "empty": b"",
        "text": b"hello",
        "pickle": b"\x80\x04K\x01.",
        "version alone": b"\x01",
        "no zip": b"\x01{}",
        "cut off": zipped(good)[:-1],
        "longer": zipped(good) + b"x",
        "turned": zipped(good)[:-9] + bytes([zipped(good)[-9] ^ 1]) + zipped(good)[-8:],
        "another version": zipped(good, b"\x02"),
        "no json": zipped(b"["),
        "deep": zipped(b"[" * 200_000),
        "a bomb": zipped(b" " * 50_000_000),
        "large": b"\x01" + b"x" * 1_000_000,
        "an object": zipped({"a": 1, "b": 2, "c": 3, "d": 4}),
        "a number": zipped(5),
        "too few": zipped(good[:3]),
        "somebody else's": zipped(["bob", *good[1:]]),
        "about somebody else": zipped([*good[:3], {**sound, "customerId": "bob"}]),
        "no list": zipped([*good[:3], {"customerId": "ada"}]),
        "no answer": zipped([*good[:3], 5]),
        "no time": zipped(["ada", None, *good[2:]]),
        "a time that is true": zipped(["ada", True, *good[2:]]),
        "a fraction": zipped(["ada", start + 0.5, *good[2:]]),
        "the past": zipped(["ada", 0, *good[2:]]),
        "the future": zipped(["ada", 10**400, *good[2:]]),
        "another era": zipped(["ada", start, "x", sound]),
        "no era": zipped(["ada", start, None, sound]),
    }


@pytest.mark.parametrize("name", poison("", 0))
async def test_what_is_odd_is_not_there_and_gives_way(process, store, name):
    one = await process()
    value = poison(one.fleet._news.era, int(process.wall.now * 1000))[name]
    await store.set(one.fleet._news.key("ada"), value)
    found = await one.fleet.found("ada")
    assert (found is not None) is (name == "sound")
    one.fleet.keep("ada", answer(remaining=7), one.clock())
    await one.settled()
    assert (await one.fleet.found("ada"))[0].entitlements[0].remaining == 7


async def test_an_answer_that_is_too_large_is_not_shared(process):
    one = await process()
    await one.fetch(result=answer(noise=secrets.token_hex(entries.MAX_STORED)))
    assert await one.fleet.found("ada") is None


# Invalidations


async def test_an_invalidation_reaches_the_others(process, clock):
    one, other = await process(), await process()
    await one.fetch()
    for each in (one, other):
        each.memory.keep("ada", answer(), clock.now)
        each.memory.keep("bob", answer("bob"), clock.now)
    await one.fleet.invalidate("ada")
    assert await other.told() == "ada"
    assert other.memory.peek("ada", "export") is None
    assert other.memory.peek("bob", "export") is True
    assert await other.fleet.found("ada") is None
    # It is for the one that does it to see to its own memory.
    assert one.outdated.empty()
    assert one.memory.peek("ada", "export") is True


@pytest.mark.parametrize("whom", ["ada", None])
async def test_an_answer_fetched_before_and_kept_after_stays_out(process, clock, whom):
    slow, other = await process(), await process()
    # Whatever its clock says, and whether or not the message has reached it.
    slow.fleet._news._forget = lambda _: None
    await slow.fleet.found("ada")
    start = clock.now
    await (other.fleet.invalidate(whom) if whom else other.fleet.invalidate_all())
    await other.settled()
    slow.fleet.keep("ada", answer(), start + 3600)
    await slow.settled()
    assert await other.fleet.found("ada") is None
    # The next one is asked for after it.
    await slow.fetch()
    assert await other.fleet.found("ada")


async def test_also_where_there_was_an_entry_before(process, clock):
    slow, other = await process(), await process()
    await slow.fetch()
    slow.fleet._news._forget = lambda _: None
    await slow.fleet.found("ada")
    await other.fleet.invalidate("ada")
    await other.fetch(result=answer(granted=True, remaining=1))
    slow.fleet.keep("ada", answer(remaining=2), clock.now)
    await slow.settled()
    assert (await other.fleet.found("ada"))[0].entitlements[0].remaining == 1


async def test_also_between_two_invalidations(process, clock):
    slow, other = await process(), await process()
    slow.fleet._news._forget = lambda _: None
    await other.fleet.invalidate("ada")
    await slow.fleet.found("ada")
    await other.fleet.invalidate("ada")
    slow.fleet.keep("ada", answer(), clock.now)
    await slow.settled()
    assert await other.fleet.found("ada") is None


async def test_an_answer_that_nobody_looked_up_before_stays_out(process, clock):
    one = await process()
    one.fleet.keep("ada", answer(), clock.now)
    await one.settled()
    assert await one.fleet.found("ada") is None


async def test_a_call_longer_than_a_tombstone_may_last_is_not_kept(process, clock):
    slow, other = await process(), await process()
    slow.fleet._news._forget = lambda _: None
    await slow.fleet.found("ada")
    start = clock.now
    await other.fleet.invalidate("ada")
    wind(process, clock, news.MOURNING + 1)
    slow.fleet.keep("ada", answer(), start)
    await slow.settled()
    assert await other.fleet.found("ada") is None


async def test_a_call_that_began_before_the_one_that_looked_last(process, clock):
    one = await process()
    await one.fleet.found("ada")
    start = clock.now
    wind(process, clock, 10)
    await one.fleet.found("ada")
    one.fleet.keep("ada", answer(), start)
    await one.settled()
    assert (await one.fleet.found("ada"))[1] == start
    # One that failed long ago does not count for ever.
    await one.fleet.found("bob")
    wind(process, clock, news.MOURNING * 3)
    await one.fetch("bob")
    assert await one.fleet.found("bob")


async def test_an_invalidation_while_the_store_is_looked_into(process, store):
    one, other = await process(), await process()
    await one.fetch()
    store.held["get"] = asyncio.Event()
    looking = asyncio.ensure_future(other.fleet.found("ada"))  # the old value is on its way
    while store.calls[-1] != "get":
        await asyncio.sleep(0)
    await one.fleet.invalidate("ada")
    assert await other.told() == "ada"
    store.held["get"].set()
    assert await looking is None


async def test_everybody_can_be_invalidated(process, clock):
    one, other = await process(), await process()
    await one.fetch("ada")
    await other.fetch("bob")
    other.memory.keep("ada", answer(), clock.now)
    await one.fleet.invalidate_all()
    assert await other.told() is None
    assert len(other.memory) == 0
    await one.settled()
    await other.settled()
    for each in (one, other, await process()):
        assert await each.fleet.found("ada") is None
        assert await each.fleet.found("bob") is None
    await one.fetch("ada")
    assert await other.fleet.found("ada")


async def test_two_who_invalidate_everybody_at_once_agree_afterwards(process):
    one, other = await process(), await process()
    await asyncio.gather(one.fleet.invalidate_all(), other.fleet.invalidate_all())
    await one.told()
    await other.told()
    await one.settled()
    await other.settled()
    await one.fetch()
    assert await other.fleet.found("ada")


async def test_an_era_that_the_store_lost_brings_nothing_back(process, store, clock):
    one, other = await process(), await process()
    await one.fetch()
    await one.fleet.invalidate_all()
    await one.settled()
    await store.delete(one.fleet._news._era_key)
    late = await process()
    assert await late.fleet.found("ada") is None
    # And they come together again.
    await late.fetch("bob")
    assert await one.fleet.found("bob") is None
    await one.settled()
    assert await one.fleet.found("bob")
    del other


@pytest.mark.parametrize(
    "message", [b"", b"what?", b"5", b'["x"]', b'["x", 5]', b'["x", null]', b'{"a": 1, "b": 2}']
)
async def test_what_is_not_understood_is_about_everybody(process, store, clock, message):
    one = await process()
    one.memory.keep("ada", answer(), clock.now)
    await store.publish(one.fleet._news._channel, message)
    assert await one.told() is None
    assert len(one.memory) == 0
    await one.fetch()
    assert await one.fleet.found("ada")


# When the store fails


async def test_a_store_that_fails_costs_nothing_but_the_sharing(process, store, clock, caplog):
    one, other = await process(), await process()
    await one.fetch()
    store.down = True
    for _ in range(3):
        assert await other.fleet.found("ada") is None
        other.fleet.keep("ada", answer(), clock.now)
        await other.fleet.invalidate("bob")
        await other.fleet.invalidate_all()
    await other.settled()
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "bob" not in caplog.text


async def test_a_store_that_fails_from_the_beginning(process, store):
    store.down = True
    one = await process()
    assert await one.fleet.found("ada") is None
    store.down = False
    assert await one.fleet.found("ada") is None
    await one.settled()
    await one.fetch()
    assert await one.fleet.found("ada")


@pytest.mark.parametrize("whom", ["ada", None])
async def test_an_invalidation_that_failed_is_made_up_for(process, store, whom):
    one, other = await process(), await process()
    await other.fetch()
    store.down = True
    await (one.fleet.invalidate(whom) if whom else one.fleet.invalidate_all())
    store.down = False
    # The one who knows does not believe the store meanwhile, and asking it is the occasion.
    assert await one.fleet.found("ada") is None
    assert await other.told() == whom
    await one.settled()
    await other.settled()
    assert await other.fleet.found("ada") is None
    await one.fetch()
    assert await other.fleet.found("ada")


async def test_so_is_one_that_was_cancelled(process, store):
    one, other = await process(), await process()
    await other.fetch()
    store.held["set"] = asyncio.Event()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await one.fleet.invalidate("ada")
    store.held.clear()
    assert await one.fleet.found("ada") is None
    assert await other.told() == "ada"


async def test_a_denial_that_could_not_be_kept_is_not_contradicted_by_the_store(process, store, clock):
    one = await process()
    await one.fetch()
    await one.fleet.found("ada")
    store.down = True
    one.fleet.keep("ada", answer(granted=False), clock.now)
    await one.settled()
    store.down = False
    assert await one.fleet.found("ada") is None
    await one.settled()
    assert await one.fleet.found("ada") is None


async def test_too_many_to_remember_are_everybody(process, store, monkeypatch):
    monkeypatch.setattr(news, "OWED", 3)
    one, other = await process(), await process()
    await other.fetch("zoe")
    store.down = True
    for n in range(4):
        await one.fleet.invalidate(f"customer-{n}")
    store.down = False
    assert await one.fleet.found("zoe") is None
    assert await other.told() is None


async def test_answers_on_their_way_are_bounded(process, store, clock, monkeypatch):
    monkeypatch.setattr(fleets, "WRITES", 5)
    one = await process()
    store.held["add"] = asyncio.Event()
    for n in range(20):
        await one.fleet.found(f"customer-{n}")
        one.fleet.keep(f"customer-{n}", answer(f"customer-{n}"), clock.now)
    assert len(one.fleet._news._tasks) <= 5
    store.held["add"].set()
    await one.settled()
    assert sum([await one.fleet.found(f"customer-{n}") is not None for n in range(20)]) == 5


async def test_what_is_remembered_is_bounded(process, monkeypatch):
    monkeypatch.setattr(fleets, "LOOKED_UP", 5)
    one = await process()
    for n in range(20):
        await one.fleet.found(f"customer-{n}")
    assert len(one.fleet._seen) == 5
    assert not one.fleet._lookups


# Beginning and end


async def test_it_begins_by_itself_and_starts_no_task_before(store, clock):
    before = asyncio.all_tasks()
    one, other = Process(store, clock), Process(store, clock)
    assert asyncio.all_tasks() == before
    assert await one.fleet.found("ada") is None
    await other.fleet.invalidate("ada")
    assert await one.told() == "ada"
    for each in (one, other, other):
        await each.fleet.aclose()
    assert asyncio.all_tasks() == before


async def test_closing_lets_what_is_on_its_way_arrive(process, store, clock):
    one, other = await process(), await process()
    await one.fleet.found("ada")
    one.fleet.keep("ada", answer(), clock.now)
    await one.fleet.aclose()
    assert await other.fleet.found("ada")
    await other.fleet.invalidate("ada")
    assert one.outdated.empty()


async def test_closing_does_not_wait_for_ever(process, store):
    one = await process()
    store.held["get"] = asyncio.Event()
    looking = asyncio.ensure_future(one.fleet.found("ada"))
    await asyncio.sleep(0)
    await one.fleet.aclose()
    assert await looking is None


async def test_it_can_be_used_again_after_closing(process):
    one, other = await process(), await process()
    await one.fleet.aclose()
    await one.fetch()
    assert await one.fleet.found("ada")
    await other.fleet.invalidate("ada")
    assert await one.told() == "ada"


def test_it_can_be_used_on_one_loop_after_the_other(store, clock):
    one = Process(store, clock)

    async def use():
        await one.fetch()
        return await one.fleet.found("ada")

    assert asyncio.run(use())
    assert asyncio.run(use())


async def test_who_did_not_wait_for_the_listening_begins_anew_with_it(store, clock, monkeypatch):
    monkeypatch.setattr(news, "PATIENCE", 0.01)
    one, gate = Process(store, clock), asyncio.Event()
    subscribe = store.subscribe

    async def late(*arguments):
        await gate.wait()
        return await subscribe(*arguments)

    monkeypatch.setattr(store, "subscribe", late)
    assert await one.fleet.found("ada") is None
    one.memory.keep("ada", answer(), clock.now)  # nobody could have told us of an invalidation
    gate.set()
    assert await one.told() is None
    assert len(one.memory) == 0
    await one.settled()
    await one.fleet.aclose()


# On a real server


@pytest.fixture
async def redis(redis_url):
    """Makes stores of one prefix."""
    made, prefix = [], f"fleet-{secrets.token_hex(4)}"

    def make(url=redis_url, **settings):
        made.append(RedisStore(url, **{"prefix": prefix, "deadline": 5, **settings}))
        return made[-1]

    make.prefix = prefix
    yield make
    for store in made:
        await store.close()


@pytest.mark.redis
async def test_redis_carries_it_all(redis, process, clock):
    one, other = await process(store=redis()), await process(store=redis())
    await one.fetch("ada")
    await one.fetch("bob")
    assert await other.fleet.found("ada") == (answer("ada"), clock.now)
    other.memory.keep("ada", answer(), clock.now)
    await one.fleet.invalidate("ada")
    assert await other.told() == "ada"
    assert other.memory.peek("ada", "export") is None
    assert await other.fleet.found("ada") is None
    assert await other.fleet.found("bob")
    await other.fleet.invalidate_all()
    assert await one.told() is None
    await one.settled()
    assert await one.fleet.found("bob") is None


@pytest.mark.redis
async def test_redis_reaches_another_process(redis, redis_url, process, clock):
    one = await process(store=redis())
    await one.fetch()
    one.memory.keep("ada", answer(), clock.now)
    program = f"""
import asyncio
from kelviq_async.entitlements.fleet import Fleet
from kelviq_async.entitlements.memory import Memory
from kelviq_async.entitlements.policy import CachePolicy
from kelviq_async.stores import RedisStore

async def main():
    store = RedisStore({redis_url!r}, prefix={redis.prefix!r}, deadline=5)
    fleet = Fleet(store, Memory(CachePolicy()), **{SCOPE!r})
    await fleet.invalidate("ada")
    await fleet.aclose()
    await store.close()

asyncio.run(main())
"""
    running = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "error", "-c", program, stderr=subprocess.PIPE
    )
    try:
        assert await one.told() == "ada"
        assert one.memory.peek("ada", "export") is None
        assert await one.fleet.found("ada") is None
    finally:
        _, errors = await running.communicate()
    assert (running.returncode, errors) == (0, b"")


@pytest.mark.redis
async def test_redis_reconnected_means_that_nothing_is_known(redis, process, clock):
    one = await process(store=redis())
    one.memory.keep("ada", answer(), clock.now)
    await redis()._here().client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
    assert await one.told() is None
    assert len(one.memory) == 0
    await one.settled()
    await one.fetch()
    assert await one.fleet.found("ada")


@pytest.mark.redis
async def test_a_mute_redis_costs_a_deadline_and_then_nothing(redis, process, clock):
    accepted = []
    async with await asyncio.start_server(lambda *pair: accepted.append(pair), "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        store = redis(f"redis://127.0.0.1:{port}", deadline=0.05, pause=3600)
        one = Process(store, clock)
        started = time.monotonic()
        for n in range(500):
            assert await one.fleet.found(f"customer-{n}") is None
            one.fleet.keep(f"customer-{n}", answer(f"customer-{n}"), clock.now)
        # A deadline for each of them would be 25 seconds.
        assert time.monotonic() - started < 5
        await one.fleet.invalidate("customer-1")
        await one.fleet.aclose()
        await store.close()
        for _, writer in accepted:
            writer.close()


@pytest.mark.redis
async def test_no_answer_outlives_an_invalidation_that_came_after_it(redis, process, clock):
    """Whatever overtakes what: who asked Kelviq before the change does not tell the others about it."""
    store = redis()
    everybody = [await process(store=redis()) for _ in range(3)]
    truth = 0

    async def fetch(one, rounds):
        await one.fleet.found("ada")
        said = truth
        for _ in range(rounds):
            await store.get("x")
        one.fleet.keep("ada", answer(remaining=said), clock.now)

    for turn in range(60):
        fetches = [asyncio.ensure_future(fetch(one, turn % (3 + n))) for n, one in enumerate(everybody)]
        for _ in range(turn % 5):
            await store.get("x")
        truth += 1
        await everybody[turn % 3].fleet.invalidate("ada")
        await fetch(everybody[turn % 2], 0)
        await asyncio.gather(*fetches)
        for one in everybody:
            await one.settled()
        for one in everybody:
            found = await one.fleet.found("ada")
            assert found is None or found[0].entitlements[0].remaining == truth
