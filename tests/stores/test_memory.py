"""The store in memory, on a clock that only moves when it is told to."""

import asyncio
import threading

import pytest

from kelviq_async.errors import ConfigError
from kelviq_async.stores import MemoryStore


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def store(clock):
    return MemoryStore(clock=clock)


async def test_what_is_set_can_be_got(store):
    assert await store.get("a") is None
    await store.set("a", b"1", 10)
    await store.set("b", b"")
    assert (await store.get("a"), await store.get("b")) == (b"1", b"")
    await store.set("a", b"2", 10)
    assert await store.get("a") == b"2"
    assert len(store) == 2


async def test_a_value_lapses_when_its_time_is_over_and_not_before(store, clock):
    await store.set("a", b"1", 10)
    clock.now += 9.999
    assert await store.get("a") == b"1"
    clock.now += 0.001
    assert await store.get("a") is None
    assert len(store) == 0


async def test_a_value_without_a_time_stays(store, clock):
    await store.set("a", b"1")
    clock.now += 1e9
    assert await store.get("a") == b"1"


@pytest.mark.parametrize(("before", "after"), [(10, 100), (10, None), (100, 10), (None, 10)])
async def test_the_last_time_to_live_counts(store, clock, before, after):
    await store.set("a", b"1", before)
    await store.set("a", b"2", after)
    clock.now += 50
    assert await store.get("a") == (None if after == 10 else b"2")


async def test_add_only_where_there_is_nothing(store, clock):
    assert await store.add("a", b"1", 10)
    assert not await store.add("a", b"2", 10)
    assert await store.get("a") == b"1"
    clock.now += 10
    assert await store.add("a", b"3", 10)
    assert await store.get("a") == b"3"


async def test_an_empty_value_is_a_value(store):
    await store.set("a", b"")
    assert not await store.add("a", b"1")
    assert not await store.delete("a", b"1")
    assert await store.replace("a", b"", b"2")


async def test_replace_only_what_was_expected(store, clock):
    assert not await store.replace("a", b"1", b"2", 10)
    assert await store.get("a") is None
    await store.set("a", b"1", 10)
    assert not await store.replace("a", b"0", b"2", 10)
    assert await store.get("a") == b"1"
    assert await store.replace("a", b"1", b"2", 20)
    clock.now += 15
    assert await store.get("a") == b"2"
    clock.now += 5
    assert not await store.replace("a", b"2", b"3", 10)


async def test_delete_tells_whether_there_was_something(store, clock):
    assert not await store.delete("a")
    await store.set("a", b"1", 10)
    assert not await store.delete("a", b"2")
    assert await store.delete("a", b"1")
    assert await store.get("a") is None
    await store.set("a", b"1", 10)
    assert await store.delete("a")
    await store.set("a", b"1", 10)
    clock.now += 10
    assert not await store.delete("a")


async def test_when_full_what_was_not_used_for_longest_goes():
    store = MemoryStore(max_entries=3)
    for key in "abc":
        await store.set(key, b"1", 100)
    await store.get("a")
    await store.set("b", b"2", 100)
    await store.set("d", b"1", 100)
    assert [await store.get(key) for key in "abcd"] == [b"1", b"2", None, b"1"]
    assert len(store) == 3


async def test_when_full_what_lapsed_goes_first(clock):
    store = MemoryStore(max_entries=2, clock=clock)
    await store.set("old", b"1", 1000)
    await store.set("brief", b"1", 1)
    clock.now += 1
    await store.set("new", b"1", 1000)
    assert [await store.get(key) for key in ("old", "brief", "new")] == [b"1", None, b"1"]


async def test_one_key_written_for_ever_costs_no_more_than_one():
    store = MemoryStore()
    for _ in range(1000):
        await store.set("a", b"1", 3600)
    assert len(store) == 1
    assert len(store._deadlines) < 100


async def test_deadlines_survive_the_tidying_up(clock):
    store = MemoryStore(clock=clock)
    await store.set("stays", b"1")
    for step in range(200):
        await store.set("a", b"1", 3600 + step)
    clock.now += 3600 + 198
    assert await store.get("a") == b"1"
    clock.now += 1
    assert len(store) == 1


async def test_one_of_many_tasks_adds(store):
    added = await asyncio.gather(*(store.add("a", str(n).encode(), 10) for n in range(50)))
    assert sum(added) == 1


def test_one_of_many_threads_adds(store):
    added = []

    def add(n):
        added.append(asyncio.run(store.add("a", str(n).encode(), 10)))

    threads = [threading.Thread(target=add, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(added) == [False] * 7 + [True]


async def test_who_listens_no_more_gets_not_even_what_was_under_way(store):
    heard = []
    subscription = await store.subscribe("c", heard.append, lambda: heard.append(b"gap"))
    other = await store.subscribe("c", heard.append, lambda: None)
    await store.publish("c", b"1")
    await subscription.aclose()
    assert heard == []
    await asyncio.sleep(0)
    assert heard == [b"1"]  # the other's
    await other.aclose()


@pytest.mark.parametrize("ttl", [0, -1, float("nan"), float("inf"), True, "10"])
async def test_a_time_to_live_is_a_positive_number(store, ttl):
    with pytest.raises(ConfigError, match="ttl"):
        await store.set("a", b"1", ttl)
    with pytest.raises(ConfigError, match="ttl"):
        await store.add("a", b"1", ttl)
    with pytest.raises(ConfigError, match="ttl"):
        await store.replace("a", b"1", b"2", ttl)
    assert len(store) == 0


@pytest.mark.parametrize("count", [0, -1, 1.5, True, None])
def test_room_for_at_least_one(count):
    with pytest.raises(ConfigError, match="max_entries"):
        MemoryStore(max_entries=count)
