"""Clients that share a store: one asks, all know; one invalidates, all forget."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

import kelviq_async as k
from kelviq_async.cli.catalog import stock
from kelviq_async.emulator import World
from kelviq_async.entitlements.cache import EntitlementCache
from kelviq_async.stores import MemoryStore, Store


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.redis)])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    """A store that two clients share."""
    if request.param == "memory":
        yield MemoryStore()
        return
    from kelviq_async.stores.redis import RedisStore

    shared = RedisStore(request.getfixturevalue("redis_url"), prefix=f"sharing-{id(request)}", deadline=5)
    yield shared
    await shared.close()


async def test_one_asks_and_all_know(store: Store) -> None:
    world = World()
    settings = {"store": store, "account": "acme"}
    async with k.Kelviq.local(world, **settings) as one, k.Kelviq.local(world, **settings) as other:
        await stock(one)
        link = await one.checkout.create_session(
            "pro", k.ChargePeriod.MONTHLY, "https://a.b/c", customer_id="ada"
        )
        world.pay(link.checkout_session_id)
        assert (await one.entitlements.check("ada", "export-data")).source is k.Source.LIVE
        cache = other.entitlement_cache
        assert isinstance(cache, EntitlementCache)
        assert cache.fleet is not None
        async with asyncio.timeout(10):  # it goes to the store behind the scenes
            while await cache.fleet.found("ada") is None:
                await asyncio.sleep(0)
        assert (await other.entitlements.check("ada", "export-data")).source is k.Source.STORE
        decisions = [
            d async for d in other.entitlements.check_many([("ada", "team-size"), ("ada", "max-projects")])
        ]
        assert all(d.allowed for d in decisions)

        subscription = await one.subscriptions.current("ada")
        assert subscription is not None
        await one.subscriptions.cancel(subscription.id, k.CancellationType.IMMEDIATE)
        assert not await one.entitlements.has_access("ada", "export-data")
        async with asyncio.timeout(10):
            while other.entitlements.peek("ada", "export-data"):
                await asyncio.sleep(0)
        assert not await other.entitlements.has_access("ada", "export-data")
