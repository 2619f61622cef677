"""What goes over the wire and what comes back: headers, bodies, redirects, proxies, TLS."""

import asyncio
import gzip
import tracemalloc
import zlib
from urllib.parse import unquote

import pytest

from kelviq_async import CreateCustomer, Limits, ListCustomers, LocatePlanFile
from kelviq_async.errors import ApiError, ConfigError, NeverSent, NotFound, UnreadableAnswer
from kelviq_async.transport import WireRequest

MIB = 2**20


def one_answer(answer):
    async def script(peer):
        while await peer.request():
            await peer.write(answer)

    return script


def header(head, name):
    found = [
        line.partition(": ")[2] for line in head.split("\r\n") if line.lower().startswith(f"{name.lower()}:")
    ]
    return found[0] if len(found) == 1 else found


async def test_what_a_read_looks_like(serve, client, page):
    server = await serve(one_answer(page))
    kelviq = client(server.url, user_agent="shop/1", headers={"X-Trace": "7"})
    await kelviq.customers.list(page_size=5)
    (head,) = server.requests
    assert head.startswith("GET /api/v1/customers/?page_size=5 HTTP/1.1\r\n")
    assert header(head, "Authorization") == "Bearer sk_secret"
    assert header(head, "Accept") == "application/json"
    assert header(head, "User-Agent").endswith(" shop/1")
    assert header(head, "X-Trace") == "7"
    assert header(head, "Host") == f"127.0.0.1:{server.port}"
    assert header(head, "Cookie") == []


async def test_what_a_write_looks_like(serve, client, response):
    bodies = []

    async def script(peer):
        head = await peer.reader.readuntil(b"\r\n\r\n")
        bodies.append(
            (head.decode(), await peer.reader.readexactly(int(header(head.decode(), "Content-Length"))))
        )
        await peer.write(response(b'{"id": "1"}', status="201 Created"))

    server = await serve(script)
    assert (await client(server.url).customers.create("user-1", name="Ädä")).id == "1"
    ((head, body),) = bodies
    assert head.startswith("POST /api/v1/customers/ HTTP/1.1\r\n")
    assert header(head, "Content-Type") == "application/json"
    assert body.decode() == '{"customerId":"user-1","name":"Ädä"}'


@pytest.mark.parametrize("wanted", ["a/b", "a b", "ä€", "%2F", "a?b#c", "a+b&c=d", "..."])
async def test_an_id_is_one_segment_as_it_was_encoded(serve, client, response, wanted):
    server = await serve(one_answer(response(b'{"id": "1"}')))
    await client(server.url).customers.retrieve(wanted)
    target = server.requests[0].split(" ")[1]
    assert unquote(target.removeprefix("/api/v1/customers/").removesuffix("/")) == wanted
    assert target.count("/") == 5


async def test_no_cookie_is_kept(serve, client, response):
    body = b'{"count": 0, "results": []}'
    server = await serve(one_answer(response(body, "Set-Cookie: session=1; Path=/")))
    kelviq = client(server.url)
    await kelviq.send(ListCustomers())
    await kelviq.send(ListCustomers())
    assert all("cookie" not in head.lower() for head in server.requests)


# Bodies


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_a_compressed_answer(serve, transport, get, response, encoding):
    plain = b'{"text": "' + b"a" * 10_000 + b'"}'
    packed = gzip.compress(plain) if encoding == "gzip" else zlib.compress(plain)
    server = await serve(one_answer(response(packed, f"Content-Encoding: {encoding}")))
    assert (await transport().send(get(server.url))).body == plain


async def test_a_chunked_answer(serve, transport, get):
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n"
    server = await serve(one_answer(answer))
    assert (await transport().send(get(server.url))).body == b"{}"


@pytest.mark.parametrize("size", [1000, 1001])
@pytest.mark.parametrize("form", ["length", "chunked", "gzip", "until the end"])
async def test_the_cap_is_exact(serve, transport, get, *, response, size, form):
    body = b"x" * size
    answer = {
        "length": response(body),
        "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n"
        % (len(body), body),
        "gzip": response(gzip.compress(body), "Content-Encoding: gzip"),
        "until the end": b"HTTP/1.1 200 OK\r\n\r\n" + body,
    }[form]

    async def script(peer):
        await peer.request()
        await peer.write(answer)

    server = await serve(script)
    sending = transport(limits={"answer_bytes": 1000}).send(get(server.url))
    if size == 1000:
        assert (await sending).body == body
        return
    with pytest.raises(UnreadableAnswer) as caught:
        await sending
    assert caught.value.status == 200


async def test_a_bomb_is_stopped_before_it_goes_off(serve, transport, get, response):
    bomb = gzip.compress(bytes(200 * MIB), 9)
    server = await serve(one_answer(response(bomb, "Content-Encoding: gzip")))
    carrier = transport(limits={"answer_bytes": MIB})
    await carrier.open()
    tracemalloc.start()
    try:
        with pytest.raises(UnreadableAnswer):
            await carrier.send(get(server.url))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 80 * MIB


async def test_an_endless_answer_is_stopped(serve, transport, get):
    async def script(peer):
        await peer.request()
        await peer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            await peer.write(b"10000\r\n" + bytes(0x10000) + b"\r\n")

    server = await serve(script)
    with pytest.raises(UnreadableAnswer):
        await transport(limits={"answer_bytes": MIB}).send(get(server.url))


async def test_a_sink_takes_a_body_of_any_size(serve, transport, get, response):
    body = bytes(3 * MIB)
    server = await serve(one_answer(response(body)))
    parts = []

    async def keep(part):
        parts.append(len(part))

    answer = await transport(limits={"answer_bytes": 1000}).send(get(server.url, sink=keep))
    assert (answer.status, answer.body) == (200, b"")
    assert sum(parts) == len(body)
    assert max(parts) <= MIB


async def test_a_sink_takes_no_error_page(serve, transport, get, response):
    server = await serve(one_answer(response(b"<html>", status="404 Not Found")))
    taken = []
    answer = await transport().send(get(server.url, sink=taken.append))
    assert (answer.status, answer.body, taken) == (404, b"<html>", [])


async def test_what_a_sink_raises_comes_through(serve, transport, get, response):
    server = await serve(one_answer(response(bytes(MIB))))
    full = OSError("No space left on device")

    async def keep(part):
        raise full

    with pytest.raises(OSError, match="No space left") as caught:
        await transport().send(get(server.url, sink=keep))
    assert caught.value is full


async def test_a_body_in_pieces(serve, transport, response):
    received = []

    async def script(peer):
        await peer.reader.readuntil(b"\r\n\r\n")
        received.append(await peer.reader.readexactly(6))
        await peer.write(response())

    async def pieces():
        yield b"abc"
        yield b"def"

    server = await serve(script)
    await transport().send(WireRequest("POST", server.url, {"Content-Length": "6"}, pieces()))
    assert received == [b"abcdef"]


# Redirects


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_not_followed(serve, client, response, status):
    elsewhere = await serve(one_answer(response()))
    answer = response(b"", f"Location: {elsewhere.url}/api/v1/customers/", status=f"{status} Moved")
    server = await serve(one_answer(answer))
    kelviq = client(server.url)
    for request in (ListCustomers(), CreateCustomer("user-1")):
        with pytest.raises(ApiError) as caught:
            await kelviq.send(request)
        assert caught.value.status == status
    assert elsewhere.connections == 0
    assert len(server.requests) == 2


async def test_a_plan_file_is_located_and_not_fetched(serve, client, response):
    elsewhere = await serve(one_answer(response()))
    server = await serve(one_answer(response(b"", f"Location: {elsewhere.url}/f", status="302 Found")))
    kelviq = client(server.url)
    assert (await kelviq.send(LocatePlanFile("pro", "f"))).url == f"{elsewhere.url}/f"
    assert header(server.requests[0], "Authorization") == []
    assert elsewhere.connections == 0


async def test_a_next_link_to_another_host_is_not_followed(serve, client, response):
    elsewhere = await serve(one_answer(response()))
    rows = b'{"count": 2, "next": "%b/x/?page=2", "results": [{"id": "%d"}]}'

    async def script(peer):
        while await peer.request():
            number = len(peer.server.requests)
            link = elsewhere.url.encode() if number == 1 else b""
            await peer.write(response(rows % (link, number)))

    server = await serve(script)
    assert [row.id async for row in client(server.url).customers.each()] == ["1", "2"]
    assert elsewhere.connections == 0


# Proxies and TLS


async def test_a_plain_proxy(serve, client, page):
    proxy = await serve(one_answer(page))
    kelviq = client("http://localhost:1", proxy=proxy.url)
    await kelviq.send(ListCustomers())
    (head,) = proxy.requests
    assert head.startswith("GET http://localhost:1/api/v1/customers/ HTTP/1.1\r\n")


async def test_a_proxy_sees_nothing_of_a_tls_call(serve, client, page, server_tls, client_tls):
    server = await serve(one_answer(page), tls=server_tls)
    tunnelled = []

    async def tunnel(peer):
        assert (await peer.request()).startswith(f"CONNECT 127.0.0.1:{server.port} HTTP/1.1\r\n")
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        await peer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")

        async def pump(source, target):
            while data := await source.read(65536):
                tunnelled.append(data)
                target.write(data)
            target.close()

        await asyncio.gather(pump(peer.reader, writer), pump(reader, peer.writer))

    proxy = await serve(tunnel)
    kelviq = client(server.url, proxy=proxy.url, ssl=client_tls)
    await kelviq.send(ListCustomers())
    await kelviq.close()
    assert header(server.requests[0], "Authorization") == "Bearer sk_secret"
    assert header(proxy.requests[0], "Authorization") == []
    assert b"sk_secret" not in b"".join(tunnelled)


async def test_a_proxy_that_refuses_was_sent_nothing(serve, client, response):
    proxy = await serve(one_answer(response(status="407 Proxy Authentication Required")))
    with pytest.raises(NeverSent, match="407"):
        await client("https://127.0.0.1:1", proxy=proxy.url, retry=False).send(CreateCustomer("user-1"))
    assert all("sk_secret" not in head for head in proxy.requests)


async def test_a_proxy_of_the_environment_is_not_used(serve, client, page, monkeypatch):
    proxy = await serve(one_answer(page))
    monkeypatch.setenv("http_proxy", proxy.url)
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    server = await serve(one_answer(page))
    await client(server.url).send(ListCustomers())
    assert (len(server.requests), proxy.connections) == (1, 0)


async def test_ones_own_authority(serve, client, page, server_tls, client_tls):
    server = await serve(one_answer(page), tls=server_tls)
    assert (await client(server.url, ssl=client_tls).send(ListCustomers())).results == []


# Bytes to other hosts


async def test_bytes_for_another_host_go_without_a_key(serve, client, response):
    storage = await serve(one_answer(response(b"stored")))
    kelviq = client("http://127.0.0.1:1")
    answer = await kelviq.carry(WireRequest("GET", f"{storage.url}/file?signature=1", {}))
    assert answer.body == b"stored"
    assert "authorization" not in storage.requests[0].lower()


@pytest.mark.parametrize("url", ["http://storage.example/x", "ftp://storage.example/x", "/x", "https://"])
async def test_bytes_go_to_no_doubtful_address(client, url):
    with pytest.raises(ConfigError):
        await client("http://127.0.0.1:1").carry(WireRequest("GET", url, {}))


async def test_an_unreadable_page_of_a_proxy_is_no_licence(serve, client, response):
    server = await serve(one_answer(response(b"<html>", status="404 Not Found")))
    with pytest.raises(NotFound):
        await client(server.url, limits=Limits(answer_bytes=3)).licenses.validate("key")


async def test_the_wire_fixture_reaches_the_transport(wire, client):
    wire.get("http://127.0.0.1:1/api/v1/customers/", payload={"count": 0, "results": []})
    assert (await client("http://127.0.0.1:1").send(ListCustomers())).count == 0
