"""What a failure says about the work: nothing was sent, or nobody knows. Against real sockets."""

import asyncio
import logging
import socket
import ssl
import traceback

import pytest

from kelviq_async import CreateCustomer, Limits, ListCustomers
from kelviq_async.errors import (
    BadCertificate,
    ConnectionLost,
    FailureClass,
    KelviqError,
    NeverSent,
    OutcomeUnknown,
    TimedOut,
    UnreadableAnswer,
)
from kelviq_async.transport import AiohttpTransport

SOON = 0.3
"""Seconds until a call that nobody answers is given up; loopback needs a hundredth of that."""


async def failure_of(call):
    with pytest.raises(KelviqError) as caught:
        await call
    return caught.value


# NEVER_SENT


async def test_a_refused_port(transport, get, unused_port):
    error = await failure_of(transport().send(get(f"http://127.0.0.1:{unused_port}")))
    assert isinstance(error, NeverSent)
    assert not error.hopeless
    assert error.failure is FailureClass.NEVER_SENT


async def test_a_name_that_nobody_knows(transport, get, monkeypatch):
    async def unknown(*args, **kwargs):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", unknown)
    error = await failure_of(transport().send(get("https://kelviq.invalid")))
    assert isinstance(error, NeverSent)
    assert not error.hopeless


async def test_a_certificate_that_nobody_vouches_for(serve, transport, get, server_tls):
    server = await serve(lambda peer: peer.request(), tls=server_tls)
    error = await failure_of(transport().send(get(server.url)))
    assert isinstance(error, BadCertificate)
    assert error.hopeless
    assert "certificate" in str(error)
    assert server.requests == []


async def test_a_bad_certificate_is_never_tried_again(serve, client, server_tls):
    server = await serve(lambda peer: peer.request(), tls=server_tls)
    attempts = []
    kelviq = client(server.url, observer=attempts.append)
    error = await failure_of(kelviq.send(CreateCustomer("user-1")))
    assert isinstance(error, BadCertificate)
    assert [attempt.number for attempt in attempts] == [1]


async def test_a_certificate_for_another_name(serve, transport, get, authority, client_tls):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("elsewhere.example").configure_cert(context)
    server = await serve(lambda peer: peer.request(), tls=context)
    assert isinstance(await failure_of(transport(ssl=client_tls).send(get(server.url))), BadCertificate)


async def test_plain_http_where_tls_was_expected(serve, transport, get, response):
    async def script(peer):
        await peer.reader.read(100)
        await peer.write(response())

    server = await serve(script, scheme="https")
    error = await failure_of(transport().send(get(server.url)))
    assert type(error) is NeverSent
    assert not error.hopeless


async def test_a_full_pool(serve, client):
    busy = asyncio.Event()

    async def script(peer):
        await peer.request()
        busy.set()
        await asyncio.Event().wait()

    server = await serve(script)
    kelviq = client(server.url, limits=Limits(connections=1), retry=False)
    first = asyncio.create_task(kelviq.send(ListCustomers(), timeout=None))
    await busy.wait()
    error = await failure_of(kelviq.send(CreateCustomer("user-1"), timeout=0.05))
    assert isinstance(error, TimedOut)
    assert error.failure is FailureClass.NEVER_SENT
    assert len(server.requests) == 1
    first.cancel()


async def test_a_peer_that_never_finishes_the_handshake(serve, client):
    server = await serve(lambda peer: peer.reader.read(), scheme="https")
    error = await failure_of(client(server.url, timeout=SOON).send(CreateCustomer("user-1")))
    assert isinstance(error, TimedOut)
    assert error.failure is FailureClass.NEVER_SENT


async def test_a_listener_that_never_accepts(client, full_backlog):
    kelviq = client(f"http://127.0.0.1:{full_backlog}", timeout=SOON)
    error = await failure_of(kelviq.send(CreateCustomer("user-1")))
    assert isinstance(error, TimedOut)
    assert error.failure is FailureClass.NEVER_SENT


async def test_time_that_is_up_before_it_began(serve, client, page):
    async def script(peer):
        while await peer.request():
            await peer.write(page)

    server = await serve(script)
    kelviq = client(server.url)
    await kelviq.send(ListCustomers())  # a connection is kept: nothing would have to wait
    error = await failure_of(kelviq.send(CreateCustomer("user-1"), timeout=1e-9))
    assert isinstance(error, TimedOut)
    assert error.failure is FailureClass.NEVER_SENT
    assert len(server.requests) == 1


# AMBIGUOUS


async def closes(peer):
    await peer.request()


async def resets(peer):
    await peer.request()
    peer.reset()


async def breaks_off_in_the_headers(peer):
    await peer.request()
    await peer.write(b"HTTP/1.1 200 OK\r\nContent-Le")


async def breaks_off_in_the_body(peer):
    await peer.request()
    await peer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"id": "user')


async def resets_in_the_body(peer):
    await breaks_off_in_the_body(peer)
    peer.reset()


async def breaks_off_in_a_chunk(peer):
    await peer.request()
    await peer.write(b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"id"\r\n40\r\n: ')


async def leaves_out_the_last_chunk(peer):
    await peer.request()
    await peer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n")


async def speaks_no_http(peer):
    await peer.request()
    await peer.write(b"220 mail.example ESMTP\r\n\r\n")


async def garbles_the_headers(peer):
    await peer.request()
    await peer.write(b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n{}")


async def garbles_a_chunk(peer):
    await peer.request()
    await peer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n")


async def garbles_the_compression(peer):
    await peer.request()
    await peer.write(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nplain")


async def says_nothing(peer):
    await peer.request()
    await asyncio.Event().wait()


async def stops_in_the_headers(peer):
    await breaks_off_in_the_headers(peer)
    await asyncio.Event().wait()


async def stops_in_the_body(peer):
    await breaks_off_in_the_body(peer)
    await asyncio.Event().wait()


AMBIGUOUS = [
    (closes, ConnectionLost),
    (resets, ConnectionLost),
    (breaks_off_in_the_headers, (ConnectionLost, UnreadableAnswer)),
    (breaks_off_in_the_body, UnreadableAnswer),
    (resets_in_the_body, (ConnectionLost, UnreadableAnswer)),
    (breaks_off_in_a_chunk, UnreadableAnswer),
    (leaves_out_the_last_chunk, UnreadableAnswer),
    (speaks_no_http, UnreadableAnswer),
    (garbles_the_headers, UnreadableAnswer),
    (garbles_a_chunk, UnreadableAnswer),
    (garbles_the_compression, UnreadableAnswer),
    (says_nothing, TimedOut),
    (stops_in_the_headers, TimedOut),
    (stops_in_the_body, TimedOut),
]
SLOW = {says_nothing, stops_in_the_headers, stops_in_the_body}
SCRIPTS = pytest.mark.parametrize(
    ("script", "expected"), AMBIGUOUS, ids=lambda value: getattr(value, "__name__", "")
)


@SCRIPTS
async def test_a_write_of_which_nobody_knows_is_sent_once(serve, client, script, expected):
    server = await serve(script)
    kelviq = client(server.url, timeout=SOON if script in SLOW else 10)
    error = await failure_of(kelviq.send(CreateCustomer("user-1")))
    assert type(error) is OutcomeUnknown
    assert isinstance(error.__cause__, expected)
    assert error.__cause__.failure is FailureClass.AMBIGUOUS
    assert len(server.requests) == 1


@SCRIPTS
async def test_a_read_is_tried_again(serve, client, page, script, expected):
    async def first_fails(peer):
        if peer.server.connections == 1:
            await script(peer)
        else:
            await peer.request()
            await peer.write(page)

    server = await serve(first_fails)
    attempts = []
    kelviq = client(server.url, observer=attempts.append, timeout=SOON if script in SLOW else 10)
    if script in SLOW:  # the deadline spans all attempts: no time is left for a second one
        assert isinstance(await failure_of(kelviq.send(ListCustomers())), TimedOut)
        assert len(server.requests) == 1
        return
    assert (await kelviq.send(ListCustomers())).results == []
    assert len(server.requests) == 2
    assert attempts[0].error in {"ConnectionLost", "UnreadableAnswer"}
    assert attempts[1].error is None


@pytest.mark.parametrize("status", ["400 Bad Request", "404 Not Found", "429 Too Many Requests"])
async def test_a_no_stays_a_no_where_its_explanation_breaks_off(serve, client, status):
    async def script(peer):
        await peer.request()
        await peer.write(f'HTTP/1.1 {status}\r\nRetry-After: 60\r\nContent-Length: 99\r\n\r\n{{"det'.encode())

    server = await serve(script)
    error = await failure_of(client(server.url).send(CreateCustomer("user-1")))
    assert error.status == int(status[:3])
    assert error.failure is (FailureClass.REFUSED if error.status == 429 else None)
    assert len(server.requests) == 1


@pytest.mark.parametrize("method", ["GET", "DELETE", "POST", "PATCH"])
@pytest.mark.parametrize("private_switch", [True, False])
async def test_nothing_is_resent_below(serve, transport, get, *, response, method, private_switch):
    async def script(peer):
        await peer.request()
        await peer.write(response())
        await peer.request()  # the second one on this connection is read, and the connection dropped

    server = await serve(script)
    carrier = transport()
    assert (await carrier.send(get(server.url))).status == 200
    if isinstance(carrier, AiohttpTransport):
        # should aiohttp rename its switch one day, then the connector still stops it
        carrier._session._retry_connection = private_switch
    request = get(server.url)
    request.method, request.headers = method, {"Content-Type": "application/json"}
    error = await failure_of(carrier.send(request))
    assert error.failure is FailureClass.AMBIGUOUS
    assert len(server.requests) == 2
    assert server.connections == 1


async def test_the_repetition_of_a_read_is_ours(serve, client, page):
    async def script(peer):
        await peer.request()
        await peer.write(page)
        await peer.request()

    server = await serve(script)
    attempts = []
    kelviq = client(server.url, observer=attempts.append)
    await kelviq.send(ListCustomers())
    await kelviq.send(ListCustomers())
    assert [(attempt.number, attempt.error) for attempt in attempts] == [
        (1, None),
        (1, "ConnectionLost"),
        (2, None),
    ]
    assert len(server.requests) == 3


# What errors show


@pytest.mark.parametrize("script", [speaks_no_http, garbles_the_headers, closes, breaks_off_in_the_body])
async def test_no_error_shows_the_key_or_an_id(serve, client, script, caplog):
    server = await serve(script)
    with caplog.at_level(logging.DEBUG):
        kelviq = client(server.url, retry=False)
        error = await failure_of(kelviq.entitlements.raw("id-7f3a"))
    shown = "".join(traceback.format_exception(error)) + caplog.text
    assert "sk_secret" not in shown
    assert "id-7f3a" not in shown


@pytest.fixture
def unused_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        yield probe.getsockname()[1]  # bound and not listening: refused, and nobody else gets it


@pytest.fixture
def full_backlog():
    """A port whose queue of connections is full, so that the next one hangs."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting = []
        try:
            for _ in range(3):
                waiting.append(socket.socket())
                waiting[-1].setblocking(False)
                waiting[-1].connect_ex(listener.getsockname())
            yield listener.getsockname()[1]
        finally:
            for each in waiting:
                each.close()
