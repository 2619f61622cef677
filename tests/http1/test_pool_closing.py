"""Where connections go, and an end to all of them."""

import asyncio
import contextlib
import gc
import socket
import ssl
import warnings

import pytest

from kelviq_async import Limits
from kelviq_async.errors import ClientClosed, NeverSent
from kelviq_async.http1 import pool as pools
from kelviq_async.http1.connection import Connection
from kelviq_async.http1.heads import Origin
from kelviq_async.http1.pool import Pool

from .conftest import BLOCK, answering, exchange, silent, until

# Names


def found(*addresses):
    async def getaddrinfo(host, port, **options):
        await asyncio.sleep(0)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    return getaddrinfo


@pytest.mark.parametrize(
    "addresses", [["127.0.0.1"], ["127.0.0.1", "127.0.0.2"], ["127.0.0.2", "127.0.0.1"]], ids="-".join
)
async def test_a_name_with_addresses(pool, serving, monkeypatch, addresses, tls):
    async with serving(answering, tls[0]) as origin:
        known = asyncio.get_running_loop().getaddrinfo
        unknown = found(*addresses)
        monkeypatch.setattr(
            asyncio.get_running_loop(),
            "getaddrinfo",
            lambda host, *a, **o: (unknown if host == "localhost" else known)(host, *a, **o),
        )
        ours = pool()
        answer = await exchange(ours, Origin("localhost", origin.port, origin.tls))
        assert answer.body == b"{}"


async def test_a_name_of_which_no_address_answers(pool, monkeypatch):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", found("127.0.0.1", "127.0.0.2"))
        with pytest.raises(NeverSent):
            await pool().take(Origin("localhost", probe.getsockname()[1], tls=False))


async def test_an_address_needs_no_looking_up(pool, serving, monkeypatch):
    async with serving(answering) as origin:
        ours = pool()
        monkeypatch.setattr(ours, "_found", None)
        await exchange(ours, origin)
    assert pools._is_address("::1")
    assert not pools._is_address("kelviq.test")


async def test_no_socket_is_opened_where_tls_cannot_be_had(pool, monkeypatch, sockets):
    def broken():
        raise ssl.SSLError("no such file")

    counted = sockets()
    ours = pool(tls=None)
    monkeypatch.setattr(ssl, "create_default_context", broken)
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", found("127.0.0.1", "127.0.0.2"))
    with pytest.raises(NeverSent, match="SSLError"):
        await ours.take(Origin("localhost", 1, tls=True))
    assert counted.most == 0


async def test_what_the_system_trusts_is_read_once(pool, both_tls, monkeypatch):
    made = []
    real = ssl.create_default_context
    monkeypatch.setattr(ssl, "create_default_context", lambda: made.append(real()) or made[-1])
    ours = pool(tls=None)
    assert ours.tls() is ours.tls() is made[0]
    assert len(made) == 1
    assert pool().tls() is both_tls[1]


# Closing


@pytest.fixture
def under_way(serving, both_tls):
    """Calls in every state there is: reading, in the handshake, connecting, and waiting."""

    @contextlib.asynccontextmanager
    async def begin(ours, monkeypatch):
        loop = asyncio.get_running_loop()
        real = loop.getaddrinfo

        async def hanging(host, *args, **options):
            return await (real(host, *args, **options) if host == "127.0.0.1" else asyncio.Event().wait())

        monkeypatch.setattr(loop, "getaddrinfo", hanging)
        async with serving(silent) as reads, serving(silent) as shakes:
            origins = [reads, shakes._replace(tls=True), Origin("kelviq.invalid", 80, tls=False), reads]
            calls = [asyncio.create_task(exchange(ours, origin)) for origin in origins]
            await until(
                lambda: (
                    any(each.busy for each in ours._open)
                    and len(ours._open) == 2
                    and len(ours._connecting) == 2
                    and ours._places._waiters
                )
            )
            yield calls

    return begin


async def test_closing_ends_all_that_is_under_way(pool, monkeypatch, under_way, sockets):
    counted = sockets()
    ours = pool(connections=3)
    async with under_way(ours, monkeypatch) as calls:
        async with asyncio.timeout(10):
            await ours.close()
            assert counted.there == 2  # those that listen
            assert not ours._open
            errors = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(each) for each in errors] == [ClientClosed] * 4
        assert [call.cancelling() for call in calls] == [0] * 4
        with pytest.raises(ClientClosed):
            await ours.take(Origin("127.0.0.1", 1, tls=False))


@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.parametrize("state", ["idle", "reading", "connecting"])
def test_nothing_is_left_in_a_loop_that_ends_after_closing(serving, both_tls, *, secure, state, caplog):
    async def main():
        context = both_tls[0] if secure and state != "connecting" else None
        script = silent if state == "reading" or (secure and state == "connecting") else answering
        async with serving(script, context) as origin:
            ours = Pool(Limits(), both_tls[1], asyncio.get_running_loop())
            call = asyncio.create_task(exchange(ours, origin._replace(tls=secure)))
            if state == "idle":
                await call
            elif state == "reading":
                await until(lambda: any(each.busy for each in ours._open))
            else:
                await until(lambda: ours._connecting)
            await ours.close()
            assert not [task for task in asyncio.all_tasks() if "_connect" in repr(task.get_coro())]
            assert not ours._open
            await asyncio.gather(call, return_exceptions=True)

    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        loop = asyncio.new_event_loop()
        loop.run_until_complete(main())
        loop.close()
        gc.collect()
    assert [str(each.message) for each in seen] == []
    assert caplog.records == []


async def test_closing_stops_the_timer(pool, serving):
    async with serving(answering) as origin:
        ours = pool()
        await exchange(ours, origin)
        timer = ours._sweep
        await ours.close()
        assert timer.cancelled()
        assert ours._sweep is None


async def test_closing_twice_at_once(pool, serving):
    async with serving(answering) as origin:
        ours = pool()
        await exchange(ours, origin)
        async with asyncio.timeout(10):
            await asyncio.gather(ours.close(), ours.close())
        await ours.close()


async def test_a_connection_that_comes_back_to_a_closed_pool(pool, serving):
    async with serving(answering) as origin:
        ours = pool()
        connection = await ours.take(origin)
        await ours.close()
        ours.back(connection)
        assert ours._sweep is None
        assert not ours._idle


async def test_closing_waits_no_longer_than_it_should(pool, monkeypatch):
    ours = pool()
    never_ends = Connection(Origin("x", 1, tls=False), 1, print, asyncio.get_running_loop())
    ours._open.add(never_ends)
    monkeypatch.setattr(pools, "_FAREWELL", 0.01)
    await ours.close()
    assert never_ends.closed
    ours._open.clear()


def test_a_loop_that_was_closed_under_it(serving):
    loop = asyncio.new_event_loop()

    async def begin():
        async with serving(answering) as origin:
            ours = Pool(Limits(connections=1), None, loop)
            connection = await ours.take(origin)
            await connection.exchange(BLOCK)
            connection.transport.abort()
            await until(lambda: connection.closed)
            return ours, connection

    ours, connection = loop.run_until_complete(begin())
    loop.close()
    ours.back(connection)
    coroutine = ours.close()
    with pytest.raises(StopIteration):
        coroutine.send(None)
    assert ours.closed


def test_a_call_that_is_left_behind_in_a_closed_loop(monkeypatch):
    loop = asyncio.new_event_loop()
    ours = Pool(Limits(), None, loop)

    async def hanging(*args, **options):
        await asyncio.Event().wait()

    async def begin():
        monkeypatch.setattr(loop, "create_connection", hanging)
        call = loop.create_task(ours.take(Origin("127.0.0.1", 1, tls=False)))
        await until(lambda: ours._connecting)
        return call

    call = loop.run_until_complete(begin())
    loop.close()
    call.get_coro().close()  # as when it is collected; it needs the loop no more
    for each in (call, *ours._connecting):
        each._log_destroy_pending = False
