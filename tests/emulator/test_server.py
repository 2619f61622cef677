"""The world behind a port: the same answers, faults on the socket, and webhooks that really arrive."""

import asyncio
import io
import json
import logging
from datetime import UTC, datetime

import aiohttp
import pytest
from aiohttp import web

from kelviq_async import ChargePeriod, Kelviq, webhooks
from kelviq_async.emulator import World, serve, server

SHOP = {
    "features": [{"identifier": "export-data", "featureType": "BOOLEAN"}],
    "plans": [{"identifier": "pro", "prices": {"MONTHLY": "49.00"}, "features": {"export-data": True}}],
    "customers": [{"customerId": "user-123", "email": "ada@example.com"}],
}


@pytest.fixture
async def served():
    world = World(now=datetime(2026, 1, 31, tzinfo=UTC), strict=True)
    world.seed_from(SHOP)
    async with serve(world) as running:
        yield running
    assert world.crashes == []


@pytest.fixture
async def kelviq(served):
    world = served.world
    async with Kelviq(world.server_key, world.client_key, core_url=served.url) as client:
        yield client


async def exchange(served, request, *, read=-1):
    """Bytes out, and all bytes that come back before the other side hangs up."""
    reader, writer = await asyncio.open_connection(served.host, served.port)
    try:
        writer.write(request)
        return await reader.read(read)
    finally:
        writer.close()
        await writer.wait_closed()


def asking(world, method="GET", path="/api/v1/entitlements/?customer_id=user-123", body=None, headers=""):
    content = b"" if body is None else json.dumps(body).encode()
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        f"Authorization: Bearer {world.server_key}\r\n{headers}"
        f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content


NEW = {"customerId": "new"}


async def test_the_same_story_goes_over_http(served, kelviq):
    link = await kelviq.checkout.create_session(
        "pro", ChargePeriod.MONTHLY, "https://example.com/", customer_id="user-123"
    )
    assert link.checkout_url == f"{served.url}/checkout/{link.checkout_session_id}/"
    assert not await kelviq.entitlements.has_access("user-123", "export-data")
    served.world.pay(link.checkout_session_id)
    page = await kelviq.subscriptions.list(customer_id="user-123")
    assert [row.plan.identifier for row in page.results] == ["pro"]
    entitlements = await kelviq.entitlements.raw("user-123")
    assert entitlements.entitlements[0].has_access is True


async def test_links_to_other_pages_lead_to_the_port(served, kelviq):
    for number in range(11):
        await kelviq.customers.create(f"c{number}")
    page = await kelviq.customers.list()
    assert page.next.startswith(f"{served.url}/api/v1/customers/?page=2")
    assert len([row async for row in kelviq.customers.each()]) == 12


async def test_a_drop_before_the_work_leaves_nothing_done(served):
    served.world.faults.add("CreateCustomer", "drop_before", times=1)
    assert await exchange(served, asking(served.world, "POST", "/api/v1/customers/", NEW)) == b""
    assert "new" not in served.world.state.customers


async def test_a_drop_after_the_work_leaves_it_done(served):
    served.world.faults.add("CreateCustomer", "drop_after", times=1)
    assert await exchange(served, asking(served.world, "POST", "/api/v1/customers/", NEW)) == b""
    assert "new" in served.world.state.customers


async def test_a_truncated_answer_breaks_off_in_the_middle(served):
    served.world.faults.add("GetEntitlements", "truncated", times=1)
    head, _, body = (await exchange(served, asking(served.world))).partition(b"\r\n\r\n")
    whole = (await exchange(served, asking(served.world))).partition(b"\r\n\r\n")[2]
    assert b"200 OK" in head
    assert f"Content-Length: {len(whole)}".encode() in head
    assert body == whole[: len(whole) // 2]


async def test_a_slow_body_comes_in_pieces(served):
    served.world.faults.add("GetEntitlements", "slow_body", latency=0.05, times=1)
    reader, writer = await asyncio.open_connection(served.host, served.port)
    writer.write(asking(served.world))
    await reader.readuntil(b"\r\n\r\n")
    pieces = []
    while piece := await reader.read(65536):
        pieces.append(piece)
    writer.close()
    await writer.wait_closed()
    assert len(pieces) > 1
    assert json.loads(b"".join(pieces))["customerId"] == "user-123"


@pytest.mark.parametrize(
    ("kind", "more", "status", "header"),
    [
        ("status", {"status": 500}, b"500", b""),
        ("rate_limit", {"retry_after": 3}, b"429", b"Retry-After: 3"),
        ("wrong_content_type", {}, b"200", b"Content-Type: text/html"),
        ("garbage", {}, b"200", b"application/json"),
        ("latency", {"latency": 0.01}, b"200", b""),
    ],
)
async def test_other_faults_are_on_the_socket_what_they_are_in_process(served, kind, more, status, header):
    served.world.faults.add("GetEntitlements", kind, times=1, **more)
    answer = await exchange(served, asking(served.world))
    assert answer.split(b" ")[1] == status
    assert header in answer


async def test_a_client_that_leaves_early_disturbs_nobody(served, capfd):
    served.world.faults.add("GetEntitlements", "slow_body", latency=0.02, times=1)
    await exchange(served, asking(served.world), read=1)
    assert b"200 OK" in await exchange(served, asking(served.world))
    assert capfd.readouterr() == ("", "")


async def test_what_is_no_http_gets_a_400_and_makes_no_noise(served, capfd):
    assert b"400 Bad Request" in await exchange(served, b"\x16\x03\x01\x02\x00nonsense\r\n\r\n")
    assert capfd.readouterr() == ("", "")


async def test_a_body_over_the_cap_is_refused_in_the_apis_shape(served):
    body = b'{"customerId": "' + b"x" * server.LARGEST_BODY + b'"}'
    async with aiohttp.ClientSession() as session:
        url = f"{served.url}/api/v1/customers/"
        headers = {"Authorization": f"Bearer {served.world.server_key}", "Content-Type": "application/json"}
        async with session.post(url, data=io.BytesIO(body), headers=headers) as answer:
            assert answer.status == 400
            assert "larger than" in (await answer.json())["detail"]


async def test_who_waits_for_leave_to_send_the_body_gets_it(served):
    request = asking(served.world, "POST", "/api/v1/customers/", NEW, "Expect: 100-continue\r\n")
    head, body = request[: request.index(b"\r\n\r\n") + 4], request[request.index(b"\r\n\r\n") + 4 :]
    reader, writer = await asyncio.open_connection(served.host, served.port)
    writer.write(head)
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(body)
    assert b"201 Created" in await reader.read()
    writer.close()
    await writer.wait_closed()


async def test_a_mistake_of_the_emulator_is_a_500_and_found_among_the_crashes(monkeypatch, capfd):
    def broken(*_):
        raise RuntimeError("a bug")

    world = World()
    monkeypatch.setattr(server.control, "answered", broken)
    async with serve(world) as running:
        answer = await exchange(running, asking(world, "GET", "/_emulator/health"))
    assert b"500 Internal Server Error" in answer
    assert b"a bug" not in answer
    (crash,) = world.crashes
    assert (crash.operation, "a bug" in crash.reason) == ("GET /_emulator/health", True)
    assert capfd.readouterr() == ("", "")


# Listening and stopping


async def test_a_taken_port_is_an_os_error(served):
    with pytest.raises(OSError, match="in use"):
        await serve(World(), served.port).start()


@pytest.mark.parametrize("port", [-1, 65536])
def test_ports_that_do_not_exist(port):
    with pytest.raises(ValueError, match="there is no port"):
        serve(port=port)


def test_other_machines_are_let_in_only_when_that_is_said():
    with pytest.raises(ValueError, match="allow_remote"):
        serve(host="0.0.0.0")  # noqa: S104  that is the question
    assert serve(host="0.0.0.0", allow_remote=True).host == "0.0.0.0"  # noqa: S104  likewise


def test_addresses_of_the_other_kind_stand_in_brackets():
    assert serve(port=80, host="::1").url == "http://[::1]:80"


async def test_stopping_ends_what_is_under_way(monkeypatch):
    monkeypatch.setattr(server, "GRACE", 0.01)
    world = World()
    world.seed_from(SHOP)
    world.faults.add("GetEntitlements", "latency", latency=3600)
    async with serve(world) as running:
        reader, writer = await asyncio.open_connection(running.host, running.port)
        writer.write(asking(world))
        while not world.requests:
            await asyncio.sleep(0)
    assert await reader.read() == b""
    writer.close()
    with pytest.raises(OSError, match="onnect"):
        await asyncio.open_connection(running.host, running.port)


async def test_a_world_can_be_served_again(served):
    await served.stop()
    async with serve(served.world) as again:
        assert served.world.url == again.url
        assert b"200 OK" in await exchange(again, asking(served.world))
    await again.stop()


async def test_aiohttps_words_go_to_whoever_listens(served, caplog):
    with caplog.at_level(logging.DEBUG, "kelviq_async.emulator"):
        await exchange(served, b"nonsense\r\n\r\n")
    assert {record.name for record in caplog.records} <= {"kelviq_async.emulator", "asyncio"}


# Webhooks


class Receiver:
    """An endpoint on a port of its own."""

    def __init__(self):
        self.got = asyncio.Queue()
        self.statuses = []

    async def handle(self, request):
        await self.got.put((dict(request.headers), await request.read()))
        return web.Response(status=self.statuses.pop(0) if self.statuses else 200)


@pytest.fixture
async def receiver():
    endpoint = Receiver()
    runner = web.ServerRunner(web.Server(endpoint.handle))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    endpoint.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    yield endpoint
    await runner.cleanup()


def tell(world):
    world.emit("customer.created", {"customer_id": "user-5"})


async def settled(world):
    """Until nothing is due; retries that are minutes away are not waited for."""
    while any(row.next_attempt is not None and row.next_attempt <= world.now() for row in world.deliveries):
        await asyncio.sleep(0)


async def test_deliveries_arrive_signed(served, receiver):
    endpoint = served.world.webhooks.register(receiver.url)
    tell(served.world)
    headers, body = await receiver.got.get()
    event = webhooks.verify(body, headers, [endpoint.secret])
    assert event.type == "customer.created"
    await settled(served.world)
    (row,) = served.world.deliveries
    assert (row.delivered, row.status_code, row.attempts) == (True, 200, 1)


async def test_what_was_turned_away_comes_again_when_the_clock_has_moved(served, receiver):
    receiver.statuses = [500, 302]
    served.world.webhooks.register(receiver.url, ["customer.created"])
    tell(served.world)
    first = await receiver.got.get()
    for wait in (60, 60):
        await settled(served.world)
        assert receiver.got.empty()
        # time may be moved by any thread
        await asyncio.to_thread(served.world.clock.advance, seconds=wait)
        again = await receiver.got.get()
        assert again[1] == first[1]
    await settled(served.world)
    assert [row.status_code for row in served.world.state.attempts] == [500, 302, 200]


async def moved(served, **body):
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"{served.url}/_emulator/clock", json=body) as answer,
    ):
        return answer.status, await answer.json()


async def test_who_moves_the_clock_can_wait_for_what_it_tells(served, kelviq, receiver):
    session = await kelviq.checkout.create_session(
        "pro", ChargePeriod.MONTHLY, "https://example.com/", customer_id="user-123"
    )
    served.world.pay(session.checkout_session_id)
    served.world.webhooks.register(receiver.url)
    status, told = await moved(served, advance={"days": 31}, wait=True)
    assert (status, told) == (200, {"now": "2026-03-03T00:00:00Z", "due": 0})
    types = [json.loads(receiver.got.get_nowait()[1])["type"] for _ in range(receiver.got.qsize())]
    assert types == ["order.created", "invoice.created", "invoice.paid", "subscription.updated"]
    assert [row.attempts for row in served.world.deliveries] == [1, 1, 1, 1]


async def test_standing_still_one_can_wait_for_what_is_under_way(served, receiver):
    served.world.webhooks.register(receiver.url)
    receiver.statuses = [500]
    tell(served.world)
    status, told = await moved(served, advance={"seconds": 0}, wait=5)
    assert (status, told) == (200, {"now": "2026-01-31T00:00:00Z", "due": 0})  # a minute too early to retry
    assert [row.attempts for row in served.world.deliveries] == [1]


async def test_two_can_wait_for_the_same(served, receiver):
    served.world.webhooks.register(receiver.url)
    for _ in range(20):
        tell(served.world)
    both = await asyncio.gather(*(moved(served, advance={"seconds": 0}, wait=True) for _ in range(2)))
    assert [told["due"] for _, told in both] == [0, 0]
    assert receiver.got.qsize() == 20


async def test_nobody_waits_for_longer_than_they_said(served):
    answering = asyncio.Event()

    async def slow(request):
        await answering.wait()
        return web.Response()

    runner = web.ServerRunner(web.Server(slow))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    served.world.webhooks.register(f"http://127.0.0.1:{runner.addresses[0][1]}/")
    tell(served.world)
    tell(served.world)
    status, told = await moved(served, advance={"days": 1}, wait=0.05)
    assert (status, told["due"]) == (200, 2)
    assert await moved(served, advance={"days": 1}) == (200, {"now": "2026-02-02T00:00:00Z"})
    answering.set()
    assert (await moved(served, advance={"days": 1}, wait=30))[1]["due"] == 0
    await runner.cleanup()


async def test_a_server_that_stops_keeps_nobody_waiting(served):
    hung = asyncio.Event()

    async def silent(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        hung.set()
        await reader.read()
        writer.close()

    listener = await asyncio.start_server(silent, "127.0.0.1", 0)
    served.world.webhooks.register(f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/")
    tell(served.world)
    waiting = asyncio.create_task(moved(served, advance={"seconds": 0}, wait=300))
    await hung.wait()
    while not served.world.webhooks.due() or not served._courier._waiting:
        await asyncio.sleep(0)
    await served.stop()
    assert (await waiting)[1]["due"] == 1
    listener.close()
    await listener.wait_closed()


async def test_an_endpoint_that_is_not_there_gets_no_answer_down(served):
    served.world.webhooks.register("http://127.0.0.1:1/gone")
    tell(served.world)
    await settled(served.world)
    (row,) = served.world.deliveries
    assert (row.delivered, row.status_code, row.attempts) == (False, None, 1)


async def test_an_endpoint_that_never_answers_is_not_waited_for_forever(served, monkeypatch):
    monkeypatch.setattr("kelviq_async.emulator.courier.PATIENCE", 0.01)

    async def silent(reader, writer):
        await reader.read()
        writer.close()

    listener = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    served.world.webhooks.register(f"http://127.0.0.1:{port}/")
    tell(served.world)
    await settled(served.world)
    assert served.world.deliveries[0].attempts == 1
    listener.close()
    await listener.wait_closed()


async def test_what_is_due_waits_until_somebody_serves(receiver):
    world = World()
    world.webhooks.register(receiver.url)
    tell(world)
    assert world.webhooks.pending()
    async with serve(world):
        _, body = await receiver.got.get()
    assert json.loads(body)["data"]["object"] == {"customer_id": "user-5"}
    assert world.webhooks.sender is None
