"""How a journal in Redis is set up; nothing here connects to one."""

import asyncio

import pytest

from kelviq_async.errors import ConfigError
from kelviq_async.usage import JournalError, RedisJournal
from kelviq_async.usage.redis.server import check_version
from tests.usage.pieces import SCOPE, record


@pytest.mark.parametrize("url", ["", "redis", "http://localhost", "redis://h?retry=1", "unix://", None])
def test_a_url_that_cannot_be_used(url):
    with pytest.raises(ConfigError):
        RedisJournal(url)


@pytest.mark.parametrize("prefix", ["", "a b", "é", "{a}", "a{", "}", "x" * 201, None, 5])
def test_a_prefix_that_cannot_be_used(prefix):
    with pytest.raises(ConfigError, match="prefix"):
        RedisJournal("redis://localhost", prefix=prefix)


@pytest.mark.parametrize(
    "settings",
    [{"deadline": each} for each in (0, -1, float("nan"), 1000, None, "5", True)]
    + [{"durable": each} for each in ("", "yes", None, 2)],
)
def test_settings_that_cannot_be_used(settings):
    with pytest.raises(ConfigError, match=next(iter(settings))):
        RedisJournal("redis://localhost", **settings)


def test_its_repr_says_where_it_is_and_nothing_secret():
    journal = RedisJournal("redis://ada:hunter2@localhost:6380/3", prefix="shop")
    assert repr(journal) == "RedisJournal('redis://localhost:6380/3', prefix='shop')"


async def test_making_one_connects_to_nothing():
    before = asyncio.all_tasks()
    journal = RedisJournal("redis://localhost:1")
    assert asyncio.all_tasks() == before
    await journal.close()
    with pytest.raises(JournalError, match="not open"):
        await journal.append([record()])


async def test_a_server_that_is_not_there():
    journal = RedisJournal("unix:///nowhere/at/all", deadline=0.2)
    with pytest.raises(JournalError, match="cannot be reached"):
        await journal.open(SCOPE)
    await journal.close()


@pytest.mark.parametrize(
    ("version", "fits"),
    [("6.0.16", False), ("5.0.0", False), ("6.2.0", True), ("7.0.15", True), ("10.1.0", True), ("", True)],
)
async def test_old_servers_are_refused(version, fits):
    async def ask(*words):
        assert words == ("INFO", "server")
        return f"# Server\r\nredis_version:{version}\r\nredis_mode:standalone\r\n".encode()

    if fits:
        await check_version(ask)
    else:
        with pytest.raises(ConfigError, match=version):
            await check_version(ask)
