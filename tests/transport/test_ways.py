"""The short way to send, and when the long one is taken instead."""

import asyncio
import functools
import os
import socket
import sys
import types

import aiohttp
import pytest

from kelviq_async import CreateCustomer, ListCustomers
from kelviq_async.errors import ConnectionLost, FailureClass, KelviqError, UnreadableAnswer
from kelviq_async.transport import AiohttpTransport, WireRequest, stands_between

from .conftest import pool_of


@pytest.fixture
def by_aiohttp(monkeypatch):
    """What went by aiohttp."""
    seen = []
    send = AiohttpTransport.send

    async def noted(self, request):
        seen.append(request.url)
        return await send(self, request)

    monkeypatch.setattr(AiohttpTransport, "send", noted)
    return seen


def answering(answer):
    async def script(peer):
        while await peer.request():
            await peer.write(answer)

    return script


async def failure_of(call):
    with pytest.raises(KelviqError) as caught:
        await call
    return caught.value


async def test_which_way_is_taken(serve, transport, get, *, response, by_aiohttp, way):
    server = await serve(answering(response(b'{"a": 1}')))
    carrier = transport()
    assert (await carrier.send(get(server.url))).body == b'{"a": 1}'
    assert len(by_aiohttp) == (0 if way == "straight" else 1)


def told(head):
    """What a head says; which compressions are understood depends on what is installed beside aiohttp."""
    first, *lines = head.rstrip("\r\n").split("\r\n")
    found = dict(line.split(": ", 1) for line in lines)
    assert {"gzip", "deflate"} <= set(found.pop("Accept-Encoding").split(", "))
    return first, found


async def test_both_ways_write_the_same_head(serve, client, page, monkeypatch, way):
    server = await serve(answering(page))
    for _ in range(2):
        kelviq = client(server.url, headers={"X-Trace": "1", "Accept-Language": "de"})
        await kelviq.customers.list(page_size=5)
        await kelviq.send(CreateCustomer("user-1", name="Ädä"), retry=False)
        monkeypatch.setattr("kelviq_async.http1.transport.stands_between", lambda: way == "straight")
    heads = list(map(told, server.requests))
    assert heads[:2] == heads[2:]
    assert server.connections == 2


@pytest.mark.parametrize("method", ["GET", "DELETE", "POST", "PATCH", "PUT"])
@pytest.mark.parametrize("body", [None, b"", b'{"a": 1}', b"x" * 300_000])
async def test_both_ways_write_the_same_body(serve, transport, response, *, method, body, way):
    received = []

    async def script(peer):
        while head := await peer.reader.readuntil(b"\r\n\r\n"):
            lines = dict(line.lower().split(": ") for line in head.decode().split("\r\n")[1:] if line)
            received.append(
                (told(head.decode()), await peer.reader.readexactly(int(lines["content-length"])))
            )
            await peer.write(response())

    if (method == "GET" and body is None) or way != "straight":
        pytest.skip("there is nothing to compare")
    server = await serve(script)
    headers = {"Accept": "*/*", "User-Agent": "test", "Content-Type": "application/json"}
    for carrier in (transport(), AiohttpTransport(transport()._config)):
        await carrier.send(WireRequest(method, f"{server.url}/x?a=%2F", headers, body))
        await carrier.close()
    assert received[0] == received[1]
    assert received[0][1] == (body or b"")


async def test_a_small_answer_comes_whole_and_a_large_one_in_pieces(serve, transport, get, *, response):
    for size in (0, 1, 70_000, 3_000_000):
        body = bytes(range(256)) * (size // 256) + bytes(size % 256)
        server = await serve(answering(response(body)))
        carrier = transport()
        for _ in range(2):
            assert (await carrier.send(get(server.url))).body == body
        assert server.connections == 1


async def test_what_is_announced_is_waited_for(serve, transport, get, *, response):
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"
    server = await serve(answering(early + response(b"1")))
    carrier = transport()
    for _ in range(2):
        answer = await carrier.send(get(server.url))
        assert (answer.status, answer.body) == (200, b"1")
    assert server.connections == 1


async def test_an_answer_without_a_body(serve, transport, get):
    server = await serve(answering(b"HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n"))
    carrier = transport()
    for _ in range(2):
        answer = await carrier.send(get(server.url))
        assert (answer.status, answer.body, answer.headers["x-a"]) == (204, b"", "b")
    assert server.connections == 1


async def test_another_protocol_is_not_spoken(serve, transport, get):
    switching = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n"
    server = await serve(answering(switching))
    carrier = transport()
    for _ in range(2):
        async with asyncio.timeout(10):
            assert (await carrier.send(get(server.url))).status == 101
    assert server.connections == 2  # whatever it is, it is no connection for requests any more


async def test_a_server_that_wants_to_close(serve, transport, get, *, response):
    server = await serve(answering(response(b"1", "Connection: close")))
    carrier = transport()
    for _ in range(2):
        assert (await carrier.send(get(server.url))).body == b"1"
    assert server.connections == 2


async def test_a_body_that_was_not_wanted_ends_its_connection(serve, transport, get, *, response, way):
    if way == "by aiohttp":
        pytest.skip("aiohttp's session goes on sending")

    async def script(peer):
        await peer.request()
        await peer.write(response())
        await peer.reader.readuntil(b"\r\n\r\n")
        await peer.write(response(b"no", status="413 Content Too Large"))
        await peer.server.done.wait()

    server = await serve(script)
    server.done = asyncio.Event()
    # so that the system takes less at once than the body has
    server.listener.sockets[0].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**16)
    carrier = transport()
    await carrier.send(get(server.url))
    (connection,) = pool_of(carrier)._open
    kept = connection.transport
    kept.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2**16)
    large = WireRequest("POST", f"{server.url}/x", {"Content-Type": "application/json"}, bytes(2**20))
    async with asyncio.timeout(10):
        assert (await carrier.send(large)).status == 413
    assert kept.is_closing()
    assert (await carrier.send(get(server.url))).status == 200
    assert server.connections == 2
    server.done.set()


async def test_a_very_large_body_is_left_to_aiohttp(serve, transport, response, by_aiohttp, way):
    server = await serve(answering(response()))
    carrier = transport()
    for more in (0, 1):
        headers = {"Content-Type": "application/json"}
        await carrier.send(WireRequest("POST", f"{server.url}/{more}", headers, bytes(2**20 + more)))
    left = [url[-1] for url in by_aiohttp]
    assert left == (["1"] if way == "straight" else ["0", "1"])


async def test_bytes_nobody_asked_for_are_no_answer(serve, transport, get, *, response, way):
    if way == "by aiohttp":
        pytest.skip("aiohttp's session takes them for one")
    done = asyncio.Event()

    async def script(peer):
        while await peer.request():
            await peer.write(response(b"mine"))
            if peer.server.connections == 1:
                await done.wait()
                await peer.write(response(b"somebody else's"))

    server = await serve(script)
    carrier = transport()
    assert (await carrier.send(get(server.url))).body == b"mine"
    done.set()
    async with asyncio.timeout(10):
        while pool_of(carrier) is not None:
            await asyncio.sleep(0)
    assert (await carrier.send(get(server.url))).body == b"mine"
    assert (len(server.requests), server.connections) == (2, 2)


# By aiohttp


async def test_who_replaces_a_part_of_the_session_sees_every_request(serve, client, page, monkeypatch):
    server = await serve(answering(page))
    kelviq = client(server.url)
    await kelviq.send(ListCustomers())
    seen = []

    for name in ("request", "_request"):
        real = getattr(aiohttp.ClientSession, name)

        def replaced(self, method, url, _real=real, _name=name, **options):
            seen.append(_name)
            return _real(self, method, url, **options)

        with monkeypatch.context() as patched:
            patched.setattr(aiohttp.ClientSession, name, replaced)
            await kelviq.send(ListCustomers())
            await client(server.url).send(ListCustomers())  # also one that is opened afterwards
    assert seen == ["request", "request", "_request", "_request"]


async def test_tracing_sees_every_request(serve, client, page, monkeypatch):
    server = await serve(answering(page))
    seen = []

    async def started(session, context, params):
        seen.append(params.method)

    trace = aiohttp.TraceConfig()
    trace.on_request_start.append(started)
    begin = aiohttp.ClientSession.__init__

    def instrumented(self, *args, **options):
        begin(self, *args, trace_configs=[trace], **options)

    monkeypatch.setattr(aiohttp.ClientSession, "__init__", instrumented)
    await client(server.url).send(ListCustomers())
    assert seen == ["GET"]


def wrapped(owner, name, monkeypatch):
    """As tracers do it: an object around the function, that looks like it in everything but its type."""

    class Wrapper:
        def __init__(self, real):
            self.real = real
            self.__code__ = real.__code__

        def __get__(self, instance, owner):
            return functools.partial(self, instance) if instance is not None else self

        def __call__(self, *args, **options):
            return self.real(*args, **options)

    monkeypatch.setattr(owner, name, Wrapper(getattr(owner, name)))


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (aiohttp.ClientSession, "__init__"),
        (aiohttp.ClientSession, "request"),
        (aiohttp.ClientSession, "_request"),
        (aiohttp.TCPConnector, "connect"),
        (aiohttp.TCPConnector, "_create_connection"),
    ],
)
async def test_who_wraps_a_part_is_recognised(serve, client, page, *, by_aiohttp, monkeypatch, owner, name):
    server = await serve(answering(page))
    kelviq = client(server.url)
    with monkeypatch.context() as patched:
        wrapped(owner, name, patched)
        await kelviq.send(ListCustomers())
    assert len(by_aiohttp) == 1


@pytest.mark.parametrize("half", [types.SimpleNamespace(), types.SimpleNamespace(ClientSession=object)])
def test_an_aiohttp_that_is_just_being_imported_has_no_one_in_between(monkeypatch, half):
    monkeypatch.setitem(sys.modules, "aiohttp", half)
    assert not stands_between()
    monkeypatch.delitem(sys.modules, "aiohttp")
    assert not stands_between()


async def test_opening_twice_is_opening_once(serve, transport, get, response):
    server = await serve(answering(response(b"1")))
    carrier = transport()
    await carrier.open()
    await carrier.send(get(server.url))
    await carrier.open()
    await carrier.send(get(server.url))
    assert server.connections == 1


async def test_aiohttp_is_not_even_imported(serve, page, way):
    program = (
        "import asyncio, os, sys; from kelviq_async import Kelviq\n"
        "async def main():\n"
        "    async with Kelviq(server_key='sk_secret', core_url=os.environ['URL']) as kelviq:\n"
        "        print((await kelviq.customers.list()).results, 'aiohttp' in sys.modules)\n"
        "asyncio.run(main())"
    )
    if way != "straight":
        pytest.skip("it is, of course")
    server = await serve(answering(page))
    environment = {**os.environ, "URL": server.url, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, env=environment, stdout=asyncio.subprocess.PIPE
    )
    assert (await process.communicate())[0].split() == [b"[]", b"False"]


async def test_a_proxy_is_left_to_aiohttp(serve, transport, get, *, response, by_aiohttp):
    proxy = await serve(answering(response(b"1")))
    assert (await transport(proxy=proxy.url).send(get("http://localhost:1"))).body == b"1"
    assert len(by_aiohttp) == 1


async def test_a_head_with_a_line_break_is_not_sent(serve, transport, response):
    server = await serve(answering(response()))
    carrier = transport()
    for headers in ({"X-A": "1\r\nX-B: 2"}, {"X-A\r\nX-B": "2"}, {"X-A": "1\nX-B: 2"}):
        error = await failure_of(carrier.send(WireRequest("GET", f"{server.url}/x", headers)))
        assert error.failure in FailureClass
    assert server.requests == []


@pytest.mark.parametrize("path", ["/x\r\nX-B: 2", "/x y", "/ä", "/x\x7f", "/x\n", "/x#fragment"])
async def test_an_address_adds_no_line(serve, transport, response, path):
    server = await serve(answering(response()))
    with_path = WireRequest("GET", f"{server.url}{path}", {})
    try:
        await transport().send(with_path)
    except KelviqError:
        assert server.requests == []
    else:
        assert "\r\nx-b:" not in server.requests[0].lower()
        assert "#" not in server.requests[0]


async def test_cancelling_ends_the_connection(serve, transport, get):
    async def script(peer):
        await peer.request()
        peer.server.busy.set()
        await peer.reader.read()
        peer.server.gone.set()

    server = await serve(script)
    server.busy, server.gone = asyncio.Event(), asyncio.Event()
    carrier = transport()
    sending = asyncio.create_task(carrier.send(get(server.url)))
    await server.busy.wait()
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    async with asyncio.timeout(10):
        await server.gone.wait()


async def test_a_broken_body_says_its_status(serve, transport, get):
    async def script(peer):
        await peer.request()
        await peer.write(b"HTTP/1.1 201 Created\r\nContent-Length: 100\r\n\r\n{")

    server = await serve(script)
    error = await failure_of(transport().send(get(server.url)))
    assert isinstance(error, UnreadableAnswer)
    assert error.status == 201


async def test_a_lost_connection_has_no_status(serve, transport, get):
    async def script(peer):
        await peer.request()

    server = await serve(script)
    error = await failure_of(transport().send(get(server.url)))
    assert isinstance(error, ConnectionLost)
    assert error.status is None
