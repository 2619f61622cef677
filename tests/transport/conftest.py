"""Servers on loopback whose every byte a test decides, and clients that talk to them."""

import asyncio
import contextlib
import socket
import ssl
import struct

import pytest
import trustme

from kelviq_async import Kelviq, Limits
from kelviq_async.config import Config
from kelviq_async.http1.transport import Http1Transport
from kelviq_async.transport import AiohttpTransport, WireRequest

WAYS = {"straight": Http1Transport, "by aiohttp": AiohttpTransport}


@pytest.fixture(params=WAYS, autouse=True)
def way(request, monkeypatch):
    """Every test of this folder holds for both ways of sending, which must not differ in anything."""
    if request.param == "by aiohttp":
        monkeypatch.setattr("kelviq_async.http1.transport.stands_between", lambda: True)
    return request.param


def pool_of(carrier):
    """What holds the connections of a transport: a pool of ours, or a session of aiohttp's."""
    ours = getattr(carrier, "_pool", None)
    return ours if ours is not None and ours._open else getattr(carrier, "_aiohttp", carrier)._session


class Peer:
    """One connection, seen from the server."""

    def __init__(self, server, reader, writer):
        self.server = server
        self.reader = reader
        self.writer = writer

    async def request(self):
        """Read one request, body and all; its head as text, or None where the client is gone."""
        try:
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        headers = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if line)
        await self.reader.readexactly(int(headers.get("content-length", 0)))
        self.server.requests.append(head)
        return head

    async def write(self, data):
        self.writer.write(data)
        await self.writer.drain()

    def reset(self):
        """Cut it off with a RST."""
        self.writer.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
        )
        self.writer.transport.abort()


class Server:
    """Runs a function for each connection, and closes the connection after it."""

    def __init__(self, script, scheme):
        self.script = script
        self.scheme = scheme
        self.requests = []
        self.connections = 0
        self.tasks = set()

    async def start(self, tls=None):
        self.listener = await asyncio.start_server(self._connected, "127.0.0.1", 0, ssl=tls)
        self.port = self.listener.sockets[0].getsockname()[1]
        self.url = f"{self.scheme}://127.0.0.1:{self.port}"
        return self

    async def _connected(self, reader, writer):
        self.connections += 1
        self.tasks.add(asyncio.current_task())
        try:
            with contextlib.suppress(ConnectionError):
                await self.script(Peer(self, reader, writer))
        except asyncio.CancelledError:
            pass  # the test is over
        finally:
            self.tasks.discard(asyncio.current_task())
            writer.close()

    async def stop(self):
        self.listener.close()
        tasks = list(self.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
async def serve():
    """``await serve(script)``: a server that runs ``script(peer)`` for each connection."""
    servers = []

    async def start(script, *, tls=None, scheme=None):
        server = Server(script, scheme or ("https" if tls else "http"))
        servers.append(server)
        return await server.start(tls)

    yield start
    for server in servers:
        await server.stop()


@pytest.fixture
async def client():
    """``client(url, **settings)``: a client that is closed when the test is over."""
    clients = []

    def make(url, **settings):
        settings = {"server_key": "sk_secret", "core_url": url, **settings}
        clients.append(Kelviq(**settings))
        return clients[-1]

    yield make
    for each in clients:
        await each.close()


@pytest.fixture
async def transport(way):
    """``transport(**settings)``: a transport that is closed when the test is over."""
    transports = []

    def make(**settings):
        limits = Limits(**settings.pop("limits", {}))
        config = Config.resolve(server_key="sk_secret", limits=limits, **settings)
        transports.append(WAYS[way](config))
        return transports[-1]

    yield make
    for each in transports:
        await each.close()


@pytest.fixture
def response():
    """``response(body, *headers)``: a whole answer as bytes."""

    def render(body=b"{}", *headers, status="200 OK"):
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
        return "\r\n".join([*lines, "", ""]).encode() + body

    return render


@pytest.fixture
def page(response):
    """The answer to a list: an empty page."""
    return response(b'{"count": 0, "next": null, "previous": null, "results": []}')


@pytest.fixture
def get():
    """``get(url)``: a request as bytes."""
    return lambda url, **more: WireRequest("GET", f"{url}/x?customer_id=user-1", {"Accept": "*/*"}, **more)


@pytest.fixture(scope="session")
def authority():
    return trustme.CA()


@pytest.fixture
def server_tls(authority):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


@pytest.fixture
def client_tls(authority):
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context
