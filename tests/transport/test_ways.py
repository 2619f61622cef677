"""The short way to send, and when the long one is taken instead."""

import asyncio
import importlib
import socket

import aiohttp
import pytest

from kelviq_async import CreateCustomer, ListCustomers
from kelviq_async.errors import ConnectionLost, FailureClass, KelviqError, NeverSent, UnreadableAnswer
from kelviq_async.transport import WireRequest


@pytest.fixture
def by_session(monkeypatch):
    """What went through a session of aiohttp's."""
    seen = []
    request = aiohttp.ClientSession.request

    def noted(self, method, url, **options):
        seen.append(str(url))
        return request(self, method, url, **options)

    # as aiohttp wrote it, as far as anybody can see
    noted.__code__ = noted.__code__.replace(co_filename=request.__code__.co_filename)
    monkeypatch.setattr(aiohttp.ClientSession, "request", noted)
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


async def test_which_way_is_taken(serve, transport, get, *, response, by_session, way):
    server = await serve(answering(response(b'{"a": 1}')))
    carrier = transport()
    assert (await carrier.send(get(server.url))).body == b'{"a": 1}'
    assert len(by_session) == (0 if way == "straight" else 1)


async def test_both_ways_write_the_same_head(serve, client, page):
    server = await serve(answering(page))
    kelviq = client(server.url, headers={"X-Trace": "1", "Accept-Language": "de"})
    await kelviq.customers.list(page_size=5)
    await kelviq.send(CreateCustomer("user-1", name="Ädä"), retry=False)
    transport = kelviq._runtime.transport
    transport._heads = None
    await kelviq.customers.list(page_size=5)
    await kelviq.send(CreateCustomer("user-1", name="Ädä"), retry=False)
    heads = [sorted(head.split("\r\n")) for head in server.requests]
    assert heads[:2] == heads[2:]
    assert server.connections == 1


@pytest.mark.parametrize("method", ["GET", "DELETE", "POST", "PATCH", "PUT"])
@pytest.mark.parametrize("body", [None, b"", b'{"a": 1}', b"x" * 300_000])
async def test_both_ways_write_the_same_body(serve, transport, response, *, method, body):
    received = []

    async def script(peer):
        while head := await peer.reader.readuntil(b"\r\n\r\n"):
            lines = dict(line.lower().split(": ") for line in head.decode().split("\r\n")[1:] if line)
            received.append(
                (sorted(lines.items()), await peer.reader.readexactly(int(lines["content-length"])))
            )
            await peer.write(response())

    if method == "GET" and body is None:
        pytest.skip("there is nothing to compare")
    server = await serve(script)
    carrier = transport()
    headers = {"Content-Type": "application/json"}
    await carrier.send(WireRequest(method, f"{server.url}/x?a=%2F", headers, body))
    carrier._heads = None
    await carrier.send(WireRequest(method, f"{server.url}/x?a=%2F", headers, body))
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
    if way == "by session":
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
    ((protocol, _),) = next(iter(carrier._session.connector._conns.values()))
    kept = protocol.transport
    kept.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2**16)
    large = WireRequest("POST", f"{server.url}/x", {"Content-Type": "application/json"}, bytes(2**20))
    async with asyncio.timeout(10):
        assert (await carrier.send(large)).status == 413
    assert kept.is_closing()
    assert (await carrier.send(get(server.url))).status == 200
    assert server.connections == 2
    server.done.set()


async def test_a_very_large_body_is_left_to_the_session(transport):
    carrier = transport()
    await carrier.open()
    if carrier._heads is not None:
        headers = {"Content-Type": "application/json"}
        of_size = [WireRequest("POST", "http://127.0.0.1/x", headers, bytes(2**20 + more)) for more in (0, 1)]
        assert [carrier._heads.prepared(each) is not None for each in of_size] == [True, False]


async def test_bytes_nobody_asked_for_are_no_answer(serve, transport, get, *, response, way):
    if way == "by session":
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
    ((protocol, _),) = next(iter(carrier._session.connector._conns.values()))
    async with asyncio.timeout(10):
        while not protocol.should_close:
            await asyncio.sleep(0)
    error = await failure_of(carrier.send(get(server.url)))
    assert isinstance(error, NeverSent)
    assert (await carrier.send(get(server.url))).body == b"mine"
    assert (len(server.requests), server.connections) == (2, 2)


# The long way


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


def changed(*args, **options):
    raise TypeError("an argument nobody knew yet is missing")


class Unlike:
    """Has none of the names we know."""


@pytest.mark.parametrize(
    ("owner", "name", "value"),
    [
        ("aiohttp.TCPConnector", "connect", lambda self, request, timeout: None),
        ("aiohttp.client_proto.ResponseHandler", "set_response_params", lambda self, timer: None),
        ("aiohttp.client_proto.ResponseHandler", "should_close", None),
        ("aiohttp.client_proto", "ResponseHandler", Unlike),
        ("aiohttp.StreamReader", "read_nowait", None),
        ("aiohttp", "ClientRequest", Unlike),
        ("aiohttp", "ClientRequest", changed),
        ("aiohttp.ClientSession", "close", Unlike()),
    ],
)
async def test_an_aiohttp_that_looks_otherwise_is_left_to_its_session(
    transport, monkeypatch, owner, name, value
):
    module, _, rest = owner.partition(".")
    target = importlib.import_module(module)
    for part in filter(None, rest.split(".")):
        target = getattr(target, part)
    carrier = transport()
    session = await carrier.open()
    with monkeypatch.context() as patched:
        patched.setattr(target, name, value)
        assert type(carrier)._plain_heads(carrier, session) is None


@pytest.mark.parametrize("name", ["connect", "set_response_params"])
async def test_an_aiohttp_that_has_changed_inside_is_left_to_its_session(
    serve, transport, get, *, response, by_session, monkeypatch, name
):
    server = await serve(answering(response(b"1")))
    carrier = transport()
    session = await carrier.open()
    if name == "connect":
        connect = session.connector.connect

        async def picky(template, **options):
            if (
                template.method == "GET"
                and template.response_class is aiohttp.ClientResponse
                and not by_session
            ):
                raise AttributeError("connection_key")
            return await connect(template, **options)

        monkeypatch.setattr(session.connector, "connect", picky)
    else:
        from aiohttp.client_proto import ResponseHandler

        real = ResponseHandler.set_response_params

        def set_response_params(self, **options):
            if "timer" not in options:
                raise TypeError("timer is missing")
            real(self, **options)

        monkeypatch.setattr(ResponseHandler, "set_response_params", set_response_params)
    for _ in range(2):
        assert (await carrier.send(get(server.url))).body == b"1"
    assert len(by_session) == 2
    assert len(server.requests) == 2
    assert carrier._heads is None


async def test_a_proxy_is_left_to_the_session(serve, transport, get, *, response, by_session):
    proxy = await serve(answering(response(b"1")))
    assert (await transport(proxy=proxy.url).send(get("http://localhost:1"))).body == b"1"
    assert len(by_session) == 1


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
