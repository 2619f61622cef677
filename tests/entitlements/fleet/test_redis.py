"""A fleet on a real server."""

import asyncio
import secrets
import subprocess
import sys
import time

import pytest

from kelviq_async.stores import RedisStore
from tests.entitlements.fleet.processes import SCOPE, Process, answer

pytestmark = pytest.mark.redis


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


async def test_redis_reconnected_means_that_nothing_is_known(redis, process, clock):
    one = await process(store=redis())
    one.memory.keep("ada", answer(), clock.now)
    await redis()._here().client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
    assert await one.told() is None
    assert len(one.memory) == 0
    await one.settled()
    await one.fetch()
    assert await one.fleet.found("ada")


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


async def test_no_answer_outlives_an_invalidation_that_came_after_it(redis, process):
    """Whatever overtakes what: who asked Kelviq before the change does not tell the others about it."""
    store = redis()
    everybody = [await process(store=redis(), clock=time.monotonic) for _ in range(3)]
    truth = 0

    async def fetch(one, rounds):
        await one.fleet.found("ada")
        start, said = one.clock(), truth
        for _ in range(rounds):
            await store.get("x")
        one.fleet.keep("ada", answer(remaining=said), start)

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
