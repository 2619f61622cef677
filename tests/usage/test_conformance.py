"""All three journals do what a journal has to do."""

import secrets

import pytest

from kelviq_async.usage import MemoryJournal, RedisJournal, SqliteJournal
from tests.usage import conformance


async def run(check, make):
    """Run a check, and close what it opened."""
    journals = []

    def connect(*, adopt=False):
        journals.append(make(adopt))
        return journals[-1]

    try:
        await check(connect)
    finally:
        for journal in journals:
            await journal.close()


@pytest.mark.parametrize("check", conformance.ALL, ids=lambda check: check.__name__)
async def test_memory(check):
    journals = {adopt: MemoryJournal(adopt=adopt) for adopt in (False, True)}
    await run(check, journals.get)


@pytest.mark.parametrize("check", conformance.ALL + conformance.SHARED, ids=lambda check: check.__name__)
async def test_sqlite(check, tmp_path):
    await run(check, lambda adopt: SqliteJournal(tmp_path / "usage.db", adopt=adopt))


@pytest.mark.redis
@pytest.mark.parametrize("check", conformance.ALL + conformance.SHARED, ids=lambda check: check.__name__)
async def test_redis(check, redis_url):
    prefix = f"conformance-{secrets.token_hex(4)}"
    await run(check, lambda adopt: RedisJournal(redis_url, prefix=prefix, adopt=adopt))
