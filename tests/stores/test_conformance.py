"""Both stores do what a store has to do."""

import secrets

import pytest

from kelviq_async.stores import MemoryStore, RedisStore
from tests.stores import conformance


@pytest.mark.parametrize("check", conformance.ALL, ids=lambda check: check.__name__)
async def test_memory(check):
    store = MemoryStore()
    await check(lambda: store)


@pytest.mark.redis
@pytest.mark.parametrize("check", conformance.ALL, ids=lambda check: check.__name__)
async def test_redis(check, redis_url):
    prefix, stores = f"conformance-{secrets.token_hex(4)}", []

    def connect():
        stores.append(RedisStore(redis_url, prefix=prefix, deadline=5))
        return stores[-1]

    try:
        await check(connect)
    finally:
        for store in stores:
            await store.close()
