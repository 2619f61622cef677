"""Servers on loopback whose every byte a test decides."""

import asyncio
import contextlib
import socket
import ssl
import types

import pytest
import trustme

from kelviq_async import Limits
from kelviq_async.http1 import pool as pools
from kelviq_async.http1.heads import Origin
from kelviq_async.http1.pool import Pool

BLOCK = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


def arrive(connection, data):
    """Have bytes come, as an event loop does."""
    while data:
        room = connection.get_buffer(-1)
        count = min(len(room), len(data))
        room[:count] = data[:count]
        connection.buffer_updated(count)
        data = data[count:]


async def answering(reader, writer):
    while await reader.readuntil(b"\r\n\r\n"):
        writer.write(OK)


async def silent(reader, writer):
    await reader.read()


@contextlib.asynccontextmanager
async def _serving(script, tls=None):
    tasks = set()

    async def connected(reader, writer):
        tasks.add(asyncio.current_task())
        try:
            await script(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client is gone, or the test is over
        finally:
            writer.close()

    listener = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls)
    try:
        yield Origin("127.0.0.1", listener.sockets[0].getsockname()[1], tls is not None)
    finally:
        listener.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks)


@pytest.fixture
def serving():
    """``async with serving(script) as origin``: runs ``script(reader, writer)`` for each connection."""
    return _serving


@pytest.fixture(scope="session")
def both_tls():
    """What a server and a client need to speak TLS with each other."""
    authority = trustme.CA()
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(server)
    authority.configure_trust(client)
    return server, client


@pytest.fixture(params=[False, True], ids=["plain", "tls"])
def tls(request, both_tls):
    """What they need, or nothing at all."""
    return both_tls if request.param else (None, None)


@pytest.fixture
async def pool(both_tls, monkeypatch):
    """``pool(**limits)``: a pool that is closed when the test is over, and then holds nothing."""
    made = []
    monkeypatch.setattr(pools, "_FAREWELL", 20.0)  # who waits for it has forgotten something

    def make(tls=both_tls[1], **limits):
        made.append(Pool(Limits(**limits), tls, asyncio.get_running_loop()))
        return made[-1]

    yield make
    for each in made:
        async with asyncio.timeout(10):
            await each.close()
            while each._taken:
                await asyncio.sleep(0)
        assert not each._open
        assert not each._connecting
        assert each._places._value == each._limits.connections


async def exchange(pool, origin):
    connection = await pool.take(origin)
    try:
        return await connection.exchange(BLOCK)
    finally:
        pool.back(connection)


async def until(condition):
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0)


@pytest.fixture
def sockets(monkeypatch):
    """The sockets that connections are made with: how many there are, and were at most."""

    class Counted(socket.socket):
        there = most = 0

        def __init__(self, *args, **options):
            super().__init__(*args, **options)
            Counted.there += 1
            Counted.most = max(Counted.most, Counted.there)

        def close(self):
            Counted.there -= self.fileno() != -1
            super().close()

    def watch():
        theirs = types.SimpleNamespace(**vars(socket))
        theirs.socket = Counted
        monkeypatch.setattr(asyncio.base_events, "socket", theirs)
        return Counted

    return watch
