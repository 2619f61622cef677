"""The journal in Redis: servers that usage cannot be kept in, and what somebody else has written there."""

# ruff: noqa: F401, F811  fixtures come in by name

import asyncio
import logging
import time

import pytest

from kelviq_async.errors import ConfigError
from kelviq_async.usage import JournalError, RedisJournal
from kelviq_async.usage.records import Key, State
from tests.usage.pieces import (
    KEY,
    OTHER,
    SCOPE,
    claimed,
    owner,
    record,
    report_in,
    run_of,
    stands,
    waits,
)
from tests.usage.redis_server import LONG, ask, connect, prefix, server

pytestmark = pytest.mark.redis

PENDING = 'pending:["cust-1","calls",null]'


# When there is no room


async def test_a_full_server_takes_nothing_and_can_be_emptied(connect, server):
    journal, sender = await connect(server.url), owner()
    await journal.append([record() for _ in range(100)])
    run = run_of(await waits(journal, KEY))
    server.ask("CONFIG", "SET", "maxmemory", "1")
    for records in ([record()], [record() for _ in range(1000)]):
        with pytest.raises(JournalError, match="out of memory"):
            await journal.append(records)
    await stands(journal, pending=100)
    [report] = await journal.claim([run], sender)
    await journal.beat(sender)
    await journal.move(report.id, State.UNRESOLVED)
    await journal.move(report.id, State.DELIVERED)
    assert await journal.fold(time.time() + 60) == 100
    await journal.leave(sender)
    await stands(journal, delivered=100)
    server.ask("CONFIG", "SET", "maxmemory", "0")
    await journal.append([record()])
    await stands(journal, delivered=100, pending=1)


async def test_a_server_that_throws_keys_away_is_refused(server, prefix):
    server.ask("CONFIG", "SET", "maxmemory", "100mb")
    journal = RedisJournal(server.url, prefix=prefix, deadline=LONG)
    for policy in ("allkeys-lru", "volatile-ttl"):
        server.ask("CONFIG", "SET", "maxmemory-policy", policy)
        with pytest.raises(ConfigError, match=f"maxmemory-policy is {policy}"):
            await journal.open(SCOPE)
    assert server.ask("DBSIZE") == 0
    server.ask("CONFIG", "SET", "maxmemory", "0")
    await journal.open(SCOPE)
    await journal.close()


async def test_what_would_be_lost_is_said_once(connect, server, caplog):
    server.ask("CONFIG", "SET", "appendonly", "no")
    journal = await connect(server.url)
    await journal.close()
    await journal.open(SCOPE)
    [said] = [each.getMessage() for each in caplog.records if each.levelno == logging.WARNING]
    assert "no append-only file" in said
    for durable in (True, "always"):
        with pytest.raises(ConfigError, match="appendonly yes"):
            await connect(server.url, durable=durable, prefix="other")
    assert server.ask("KEYS", "*other*") == []


async def test_how_durable_it_is_may_be_asked_for(connect, server, caplog):
    _ = await connect(server.url, durable=True)
    assert not caplog.records
    with pytest.raises(ConfigError, match="appendfsync always"):
        await connect(server.url, durable="always")
    server.ask("CONFIG", "SET", "appendfsync", "always")
    _ = await connect(server.url, durable="always")
    assert not caplog.records
    server.ask("CONFIG", "SET", "appendfsync", "no")
    _ = await connect(server.url)
    assert "half a minute" in caplog.text
    with pytest.raises(ConfigError):
        await connect(server.url, durable=True)


async def test_a_server_that_does_not_say_is_warned_of(connect, server, caplog):
    server.ask("ACL", "SETUSER", "ada", "on", ">hunter2", "~*", "&*", "+@all", "-info", "-config")
    journal = await connect(f"{server.url}?username=ada&password=hunter2")
    await journal.append([record()])
    [said] = [each.getMessage() for each in caplog.records]
    assert "could not be checked" in said
    assert "hunter2" not in said
    with pytest.raises(ConfigError, match="cannot be asked"):
        await connect(f"{server.url}?username=ada&password=hunter2", durable=True)


async def test_a_wrong_password_is_told_to_nobody(server, prefix):
    server.ask("ACL", "SETUSER", "ada", "on", ">hunter2", "~*", "&*", "+@all")
    journal = RedisJournal(f"{server.url}?username=ada&password=hunter3", prefix=prefix, deadline=LONG)
    with pytest.raises(ConfigError, match="name or password") as raised:
        await journal.open(SCOPE)
    assert "hunter3" not in repr(raised.value)
    await journal.close()


@pytest.mark.parametrize("command", ["xdel", "hset", "zrangestore", "xack", "del", "expire"])
async def test_a_name_that_may_not_do_everything_is_refused(server, prefix, command):
    server.ask("ACL", "SETUSER", "ada", "on", ">hunter2", "~*", "&*", "+@all", f"-{command}")
    journal = RedisJournal(f"{server.url}?username=ada&password=hunter2", prefix=prefix, deadline=LONG)
    with pytest.raises(ConfigError, match="does not allow a command"):
        await journal.open(SCOPE)
    assert server.ask("DBSIZE") == 0
    await journal.close()


# When somebody else has been there


def books(url, prefix):
    return {key: ask(url, "DUMP", key) for key in ask(url, "KEYS", f"*{prefix}*")}


@pytest.mark.parametrize(
    "name", ["stream", "ids", "heads", "ages", "flying", 'pending:["cust-1","calls",null]']
)
async def test_something_else_under_our_keys_harms_nothing(connect, redis_url, prefix, name):
    journal = await connect()
    ask(redis_url, "DEL", f"{{{prefix}}}:{name}")
    ask(redis_url, "SET", f"{{{prefix}}}:{name}", "theirs")
    before = ask(redis_url, "HGETALL", f"{{{prefix}}}:journal")
    with pytest.raises(JournalError, match="damaged"):
        await journal.append([record(OTHER), record(KEY)])
    assert ask(redis_url, "HGETALL", f"{{{prefix}}}:journal") == before
    assert ask(redis_url, "GET", f"{{{prefix}}}:{name}") == "theirs"
    assert ask(redis_url, "EXISTS", f'{{{prefix}}}:pending:["cust-2","calls",null]') == 0


@pytest.mark.parametrize("name", ["in_flight", "delivered", "ended", "owners", "held:me", "sent", "records"])
async def test_nor_when_a_report_is_moved(connect, redis_url, prefix, name):
    journal, sender = await connect(), owner("me")
    report = await report_in(journal, State.IN_FLIGHT, sender)
    full = {"sent": 'sent:["cust-1","calls",null]', "records": f"records:{report.id}"}.get(name, name)
    ask(redis_url, "DEL", f"{{{prefix}}}:{full}")
    ask(redis_url, "SET", f"{{{prefix}}}:{full}", "theirs")
    before = books(redis_url, prefix)
    with pytest.raises(JournalError, match="damaged"):
        await journal.move(report.id, State.DELIVERED)
    assert books(redis_url, prefix) == before


@pytest.mark.parametrize(
    ("field", "value"), [("pending", "many"), ("accepted", "1.5"), ("place", ""), ("late", "1e999")]
)
async def test_books_that_cannot_be_read(connect, redis_url, prefix, field, value):
    journal = await connect()
    ask(redis_url, "HSET", f"{{{prefix}}}:journal", field, value)
    before = books(redis_url, prefix)
    results = await asyncio.gather(
        *(journal.append([record()]), journal.ledger(), journal.waiting(5), journal.beat(owner())),
        return_exceptions=True,
    )
    assert {type(each) for each in results} == {JournalError}
    assert books(redis_url, prefix) == before


async def test_records_that_cannot_be_read(connect, redis_url, prefix):
    journal = await connect()
    await journal.append([record()])
    pending = f"{{{prefix}}}:{PENDING}"
    for text in ("?", "1 DELTA x - a", "x DELTA 1 - a"):
        ask(redis_url, "ZADD", pending, 99, text)
        with pytest.raises(JournalError, match="cannot be read"):
            await journal.waiting(10)
        ask(redis_url, "ZREM", pending, text)
    assert len(await waits(journal)) == 1


async def test_a_journal_of_a_newer_version(connect, redis_url, prefix):
    journal = await connect()
    ask(redis_url, "HSET", f"{{{prefix}}}:journal", "version", "2")
    before = books(redis_url, prefix)
    for scope in (SCOPE, None):
        other = RedisJournal(redis_url, prefix=prefix, deadline=LONG)
        with pytest.raises(ConfigError, match="newer"):
            await other.open(scope)
        await other.close()
    with pytest.raises(JournalError, match="newer"):
        await journal.append([record()])
    assert books(redis_url, prefix) == before


async def test_a_journal_that_was_deleted_is_begun_anew(connect, server, caplog):
    journal, looking = await connect(server.url), await connect(server.url)
    await looking.close()
    await looking.open(None)
    await journal.append([record()])
    server.ask("FLUSHALL")
    with pytest.raises(JournalError, match="is gone"):
        await looking.ledger()
    await journal.append([record()])
    await stands(journal, pending=1)
    assert "begun anew" in caplog.text
    server.ask("XGROUP", "DESTROY", journal._root("stream"), "senders")
    await claimed(journal, owner())
    await stands(journal, in_flight=1)


async def test_what_no_text_can_hold_is_refused(connect):
    journal = await connect()
    for wrong in (record(Key("\ud800", "calls")), record(id="\udfff"), record(value=2**53)):
        with pytest.raises(JournalError):
            await journal.append([record(), wrong])
    await stands(journal)
