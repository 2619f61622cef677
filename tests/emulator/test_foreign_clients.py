"""Clients that are not ours, over HTTP: plain aiohttp, bytes on a socket, and Kelviq's own Python SDK."""

import asyncio
import inspect
import json
import warnings
from datetime import UTC, datetime

import aiohttp
import pytest

from kelviq_async.emulator import World, serve

SHOP = {
    "features": [
        {"identifier": "export-data", "featureType": "BOOLEAN"},
        {
            "identifier": "api-calls",
            "featureType": "METER",
            "featureDetails": {
                "featureSubType": "PRE_AGGREGATED_USAGE",
                "units": {"singular": "call", "plural": "calls"},
            },
        },
    ],
    "plans": [
        {
            "identifier": "pro",
            "prices": {"MONTHLY": "49.00", "YEARLY": "490.00"},
            "features": {"export-data": True, "api-calls": {"value": 100, "reset": "EVERY_MONTH"}},
            "license": {
                "enabled": True,
                "activationLimit": 2,
                "activationLimitEnabled": True,
                "hasExpiry": False,
            },
        },
        {"identifier": "enterprise", "prices": {"MONTHLY": "199.00"}, "features": {"export-data": True}},
        {"identifier": "lifetime", "prices": {"ONE_TIME": "99.00"}},
    ],
    "customers": [{"customerId": "user-123", "email": "ada@example.com"}],
}


@pytest.fixture
async def served():
    """As foreign clients meet it: behind a port, and not strict."""
    world = World(now=datetime(2026, 1, 31, tzinfo=UTC))
    world.seed_from(SHOP)
    async with serve(world) as running:
        yield running
    assert world.crashes == []


# Plain aiohttp


@pytest.fixture
async def session(served):
    headers = {"Authorization": f"Bearer {served.world.server_key}"}
    async with aiohttp.ClientSession(served.url, headers=headers) as client:
        yield client


async def asked(session, method, path, body=None, **more):
    async with session.request(method, f"/api/v1{path}", json=body, **more) as answer:
        text = await answer.read()
        return answer.status, json.loads(text) if text else None


@pytest.mark.parametrize("camel", [True, False], ids=["camelCase", "snake_case"])
async def test_a_purchase_by_plain_http(served, session, camel):
    body = {
        "planIdentifier": "pro",
        "chargePeriod": "MONTHLY",
        "customerId": "user-123",
        "successUrl": "https://example.com/",
    }
    snake = {
        "plan_identifier": "pro",
        "charge_period": "MONTHLY",
        "customer_id": "user-123",
        "success_url": "https://example.com/",
    }
    status, link = await asked(session, "POST", "/checkout/", body if camel else snake)
    assert status in {200, 201}
    async with session.post(
        f"/_emulator/checkout/{link['checkoutSessionId']}/pay", json={"card": "4242 4242 4242 4242"}
    ) as paid:
        assert paid.status == 200
    status, granted = await asked(session, "GET", "/entitlements/?customer_id=user-123")
    assert {row["featureId"]: row["hasAccess"] for row in granted["entitlements"]} == {
        "export-data": True,
        "api-calls": True,
    }


async def test_a_path_without_its_slash_is_understood(session):
    assert (await asked(session, "GET", "/customers"))[1]["count"] == 1
    assert (await asked(session, "POST", "/customers", {"customerId": "new"}))[0] in {200, 201}


async def test_bodies_without_a_length_are_read(session):
    async def pieces():
        yield b'{"customerId": '
        yield b'"in-pieces"}'

    headers = {"Content-Type": "application/json"}
    async with session.post("/api/v1/customers/", data=pieces(), headers=headers) as answer:
        assert (await answer.json())["customerId"] == "in-pieces"


async def test_a_zipped_answer_is_not_forced_on_anybody(session):
    status, _ = await asked(session, "GET", "/customers/", headers={"Accept-Encoding": "identity"})
    assert status == 200


async def test_many_at_once_each_get_their_own_answer(session):
    names = [f"user-{number}" for number in range(50)]
    made = await asyncio.gather(
        *(asked(session, "POST", "/customers/", {"customerId": name}) for name in names)
    )
    assert [answer["customerId"] for _, answer in made] == names


# Bytes


async def told(served, *requests, read=1):
    """Requests as bytes on one connection; the answers' heads and bodies."""
    reader, writer = await asyncio.open_connection(served.host, served.port)
    answers = []
    try:
        for request in requests:
            writer.write(request)
            for _ in range(read):
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                lines = dict(line.lower().split(": ", 1) for line in head.strip().split("\r\n")[1:])
                length = 0 if request.startswith(b"HEAD") else int(lines.get("content-length", 0))
                answers.append((head.split(" ", 2)[1], lines, await reader.readexactly(length)))
    finally:
        writer.close()
        await writer.wait_closed()
    return answers


def line(served, method, path, body=b"", *headers):
    key = served.world.server_key
    extra = "".join(f"{each}\r\n" for each in headers)
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n{extra}"
    if body and "Transfer-Encoding: chunked" not in headers:
        head += f"Content-Length: {len(body)}\r\n"
    return f"{head}\r\n".encode() + body


CUSTOMERS = "/api/v1/customers/"


async def test_one_connection_takes_many_requests(served):
    create = line(served, "POST", CUSTOMERS, b'{"customerId": "a"}', "Content-Type: application/json")
    wrong = line(served, "POST", CUSTOMERS, b'{"customerId": ', "Content-Type: application/json")
    ask = line(served, "GET", f"{CUSTOMERS}a/")
    archive = line(served, "DELETE", f"{CUSTOMERS}a/")
    answers = await told(served, create, wrong, ask, archive, ask)
    assert [status[0] for status, _, _ in answers] == ["2", "4", "2", "2", "4"]
    assert json.loads(answers[2][2])["customerId"] == "a"


async def test_requests_that_do_not_wait_are_answered_in_order(served):
    both = line(served, "GET", f"{CUSTOMERS}user-123/") + line(served, "GET", f"{CUSTOMERS}nobody/")
    answers = await told(served, both, read=2)
    assert [status for status, _, _ in answers] == ["200", "404"]


async def test_a_chunked_body_is_read(served):
    body = b'{"customerId"'
    rest = b': "chunked"}'
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body, rest, b""))
    headers = "Content-Type: application/json", "Transfer-Encoding: chunked"
    ((status, _, answer), (next_status, _, _)) = await told(
        served,
        line(served, "POST", CUSTOMERS, chunks, *headers),
        line(served, "GET", f"{CUSTOMERS}chunked/"),
    )
    assert (status[0], next_status) == ("2", "200")
    assert json.loads(answer)["customerId"] == "chunked"


@pytest.mark.parametrize("method", ["OPTIONS", "PUT", "TRACE"])
async def test_methods_that_the_api_has_not_are_refused_and_the_connection_lives(served, method):
    (status, headers, body), (after, _, _) = await told(
        served, line(served, method, CUSTOMERS), line(served, "GET", CUSTOMERS)
    )
    assert status == "405"
    assert headers["content-type"].startswith("application/json")
    assert headers["allow"] == "get, head, post"  # as this test lowers all it reads
    assert method in json.loads(body)["detail"]
    assert after == "200"


@pytest.mark.parametrize("kind", [None, "truncated", "slow_body", "garbage"])
async def test_head_is_get_without_its_body_and_the_connection_lives(served, kind):
    if kind is not None:
        latency = {"latency": 0.01} if kind == "slow_body" else {}
        served.world.faults.add("ListCustomers", kind, times=1, **latency)
    (status, headers, _), (after, got, body) = await told(
        served, line(served, "HEAD", CUSTOMERS), line(served, "GET", CUSTOMERS)
    )
    assert (status, after) == ("200", "200")
    assert headers["content-type"] == got["content-type"]
    assert json.loads(body)["count"] == 1


async def test_one_that_wants_the_connection_closed_gets_that(served):
    reader, writer = await asyncio.open_connection(served.host, served.port)
    writer.write(line(served, "GET", CUSTOMERS, b"", "Connection: close"))
    assert b" 200 " in await reader.read()
    writer.close()
    await writer.wait_closed()


# Kelviq's own SDK


class Official:
    """The official client, in either form; its calls are awaited in both."""

    def __init__(self, client):
        self.client = client

    async def __call__(self, name, /, **arguments):
        area, method = name.split(".")
        function = getattr(getattr(self.client, area), method)
        if inspect.iscoroutinefunction(function):
            return await function(**arguments)
        return await asyncio.to_thread(function, **arguments)


@pytest.fixture(params=["sync", "async"])
async def official(request, served, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with warnings.catch_warnings(action="ignore"):  # it uses what its libraries have deprecated
        sdk = pytest.importorskip("kelviq_sdk", reason="the official kelviq-sdk is not installed")
        make = sdk.Kelviq.create_sync_client if request.param == "sync" else sdk.Kelviq.create_async_client
        client = make(
            access_token=served.world.server_key,
            base_url=served.url,
            edge_api_url=served.url,
            enable_cache=False,
        )
    yield Official(client)
    await (client.aclose() if request.param == "async" else asyncio.to_thread(client.close))


async def buys(official, served, plan="pro", period="MONTHLY"):
    link = await official(
        "checkout.create_session",
        planIdentifier=plan,
        chargePeriod=period,
        successUrl="https://example.com/",
        customerId="user-123",
        metadata={"orderRef": 7},
    )
    assert link.checkoutUrl.startswith(served.url)
    served.world.pay(link.checkoutSessionId)


async def test_the_official_sdk_keeps_customers(official):
    made = await official(
        "customers.create", customerId="new", email="n@example.com", name="N", metadata={"a_b": 1}
    )
    assert (made.customerId, made.metadata) == ("new", {"a_b": 1})
    changed = await official("customers.update", customerId="new", name="M")
    assert changed.name == "M"
    assert (await official("customers.retrieve", customerId="new")).name == "M"
    page = await official("customers.list", page=1, page_size=1)
    assert (page.count, len(page.results)) == (2, 1)
    await official("customers.archive", customerId="new")
    assert (await official("customers.list")).count == 1


async def test_the_official_sdk_sees_what_was_bought(official, served):
    assert not await official("entitlements.has_access", customerId="user-123", featureId="export-data")
    await buys(official, served)
    assert await official("entitlements.has_access", customerId="user-123", featureId="export-data")
    granted = await official("entitlements.get_entitlements", customerId="user-123")
    assert {name: row.hasAccess for name, row in granted.items()} == {"export-data": True, "api-calls": True}
    raw = await official("entitlements.get_raw_entitlements", customerId="user-123")
    assert raw.customerId == "user-123"


async def test_the_official_sdk_moves_subscriptions(official, served):
    await buys(official, served)
    page = await official("subscriptions.list", customerId="user-123")
    (row,) = page.results
    assert (await official("subscriptions.retrieve", subscriptionId=row.id)).id == row.id
    move = {"subscriptionId": row.id, "planIdentifier": "enterprise", "chargePeriod": "MONTHLY"}
    await official("subscriptions.preview_update", **move, prorationBehavior="IMMEDIATE_CHARGE")
    await official("subscriptions.update", **move, prorationBehavior="IMMEDIATE_CHARGE")
    (row,) = (await official("subscriptions.list", customerId="user-123")).results
    assert row.plan.identifier == "enterprise"
    await official("subscriptions.cancel", subscriptionId=row.id, cancellationType="IMMEDIATE")
    assert not await official("entitlements.has_access", customerId="user-123", featureId="export-data")


async def test_the_official_sdk_subscribes_without_a_checkout(official, served):
    await buys(official, served, "lifetime", "ONE_TIME")  # leaves a card to charge
    new = {"planIdentifier": "enterprise", "chargePeriod": "MONTHLY", "customerId": "user-123"}
    await official("subscriptions.create", **new)
    page = await official("subscriptions.list", customerId="user-123")
    assert "enterprise" in [row.plan.identifier for row in page.results]


async def test_the_official_sdk_reports_usage(official, served):
    await buys(official, served)
    report = {"customerId": "user-123", "featureId": "api-calls"}
    await official("reporting.report_usage", **report, value=3, behaviour="DELTA")
    await official("reporting.report_usage", **report, value=40, behaviour="SET")
    await official("reporting.report_usage", **report, value=2, behaviour="DELTA")
    entry = await official("entitlements.get_entitlement", **report)
    assert (entry.currentUsage, entry.remaining) == (42, 58)
    for _ in range(2):
        await official(
            "reporting.report_event",
            customerId="user-123",
            eventName="api_invoked",
            idempotencyKey="key-1",
            timestamp="2026-01-31 00:00:00.000000",
        )
    assert [row.counted for row in served.world.usage_ledger][-2:] == [True, False]


async def test_the_official_sdk_uses_licences(official, served):
    await buys(official, served)
    (key,) = (row.license_key for row in served.world.state.licenses.values())
    active = await official(
        "license.activate", licenseKey=key, customerId="user-123", instanceName="laptop", metadata={"os": "x"}
    )
    good = await official("license.validate", licenseKey=key, instanceId=active.instanceId)
    assert good.valid
    await official("license.deactivate", licenseKey=key, instanceId=active.instanceId)
    assert served.world.requests[-1].status in {200, 204}


async def test_the_official_sdk_takes_money_and_gives_it_back(official, served):
    await buys(official, served)
    await official(
        "charges.create", planIdentifier="lifetime", chargePeriod="ONE_TIME", customerId="user-123"
    )
    order = next(iter(served.world.state.orders))
    refund = await official("refunds.create", orderId=order, amountUnits=100)
    assert (await official("refunds.retrieve", refundId=refund.id)).id == refund.id
    assert (await official("refunds.list")).count == 1
    assert (await official("transactions.list")).count == 3
    assert (await official("payment_methods.list", customer_id="user-123")).count == 1
    assert (await official("portal.create_session", customerId="user-123")) is not None


async def test_the_official_sdk_tells_a_stranger_from_a_friend(official):
    sdk = pytest.importorskip("kelviq_sdk")
    with pytest.raises(sdk.NotFoundError):
        await official("customers.retrieve", customerId="nobody")
