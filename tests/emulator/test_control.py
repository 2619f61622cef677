"""The control addresses, asked without a socket; `test_server` has the socket."""

import json
from datetime import UTC, datetime, timedelta

import aiohttp
import pytest

from kelviq_async import ChargePeriod, Kelviq
from kelviq_async.emulator import World, control, serve
from kelviq_async.emulator.faults import KINDS
from kelviq_async.transport import WireRequest

NOW = datetime(2026, 1, 31, tzinfo=UTC)
SHOP = {
    "features": [{"identifier": "calls", "featureType": "METER"}],
    "plans": [{"identifier": "pro", "prices": {"MONTHLY": "49.00"}, "features": {"calls": 10}}],
    "customers": [{"customerId": "user-123", "email": "ada@example.com"}],
}


@pytest.fixture
def world():
    made = World(now=NOW)
    made.seed_from(SHOP)
    return made


@pytest.fixture
async def session(world):
    async with Kelviq.local(world) as kelviq:
        link = await kelviq.checkout.create_session(
            "pro", ChargePeriod.MONTHLY, "https://example.com/done", customer_id="user-123"
        )
    return link.checkout_session_id


def ask(world, method, path, body=None, headers=None):
    content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    wire = WireRequest(method, f"http://localhost{control.ROOT}{path}", headers or {}, content)
    answer = control.answered(world, wire)
    assert answer.headers["Content-Type"] == "application/json"
    return answer.status, json.loads(answer.body)


def test_the_root_names_all_addresses(world):
    status, data = ask(world, "GET", "")
    assert status == 200
    for address in data["addresses"]:
        assert ask(world, "GET", address.removeprefix(control.ROOT))[0] in {200, 405}


def test_health_tells_the_time(world):
    assert ask(world, "GET", "health") == (200, {"status": "ok", "now": "2026-01-31T00:00:00Z"})
    assert ask(world, "GET", "health/")[0] == 200


async def test_a_checkout_is_paid(world, session):
    status, data = ask(world, "POST", f"checkout/{session}/pay")
    assert (status, data["status"], data["redirect"]) == (200, "success", "https://example.com/done")
    assert [row.status for row in world.state.subscriptions.values()] == ["active"]


async def test_a_card_is_declined(world, session):
    status, data = ask(world, "POST", f"checkout/{session}/pay", {"card": "4000 0000 0000 0002"})
    assert (status, data["status"], data["problem"]) == (200, "open", "Your card was declined.")


async def test_a_payment_can_wait_for_its_confirmation(world, session):
    card = {"card": "4000002500003155"}
    assert (
        ask(world, "POST", f"checkout/{session}/pay", {**card, "authenticate": False})[1]["status"]
        == "processing"
    )
    assert ask(world, "POST", f"checkout/{session}/pay", card)[1]["status"] == "success"


async def test_who_pays_can_say_who_they_are(world, session):
    who = {"name": "Ada", "email": "a@b.example", "billingAddress": {"country": "GB"}}
    assert ask(world, "POST", f"checkout/{session}/pay", who)[0] == 200
    customer = world.state.customers["user-123"]
    assert (customer.name, customer.billing_address) == ("Ada", {"country": "GB"})


@pytest.mark.parametrize(
    "body",
    [{"card": 4242}, {"card": "1234"}, {"card": None}, {"billingAddress": "GB"}, {"email": ["x"]}, []],
)
async def test_a_payment_that_makes_no_sense(world, session, body):
    assert ask(world, "POST", f"checkout/{session}/pay", body)[0] == 400
    assert world.state.checkouts[session].status == "open"


async def test_a_checkout_is_left(world, session):
    assert ask(world, "POST", f"checkout/{session}/cancel")[1]["status"] == "closed"
    assert ask(world, "POST", f"checkout/{session}/cancel")[0] == 400


def test_a_checkout_that_nobody_opened(world):
    assert ask(world, "POST", "checkout/cs_nope/pay")[0] == 404


@pytest.mark.parametrize(
    ("spans", "moved"),
    [
        ({"days": 31}, timedelta(days=31)),
        ({"hours": 1.5}, timedelta(minutes=90)),
        ({"minutes": 1, "seconds": 2}, timedelta(seconds=62)),
    ],
)
def test_the_clock_advances(world, spans, moved):
    status, data = ask(world, "POST", "clock", {"advance": spans})
    assert (status, world.now()) == (200, NOW + moved)
    assert datetime.fromisoformat(data["now"]) == world.now()
    assert ask(world, "GET", "clock") == (200, data)


def test_the_clock_moves_to_a_moment(world):
    ask(world, "POST", "clock", {"to": "2026-03-01T00:00:00Z"})
    assert world.now() == datetime(2026, 3, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"advance": {}},
        {"advance": 31},
        {"advance": {"years": 1}},
        {"advance": {"days": "31"}},
        {"advance": {"days": True}},
        {"advance": {"days": -1}},
        {"advance": {"days": 10**9}},
        {"to": "soon"},
        {"to": "2026-03-01T00:00:00"},
        {"to": "2020-03-01T00:00:00Z"},
        {"to": None},
        {"advance": {"days": 1}, "wait": -1},
        {"advance": {"days": 1}, "wait": 301},
        {"advance": {"days": 1}, "wait": "long"},
        {"advance": {"days": 1}, "wait": None},
    ],
)
def test_the_clock_does_not_move_for_nonsense(world, body):
    status, data = ask(world, "POST", "clock", body)
    assert (status, world.now()) == (400, NOW)
    assert data


@pytest.mark.parametrize("kind", KINDS)
def test_faults_are_planned_and_called_off(world, kind):
    operation = "GetEntitlements" if kind == "stale" else "ReportUsage"
    body = {"operation": operation, "kind": kind, "times": 3, "latency": 0.5, "probability": 1, "seed": 7}
    status, data = ask(world, "POST", "faults", body)
    assert status == 200
    (fault,) = data["faults"]
    assert (fault["operation"], fault["kind"], fault["times"], fault["latency"]) == (operation, kind, 3, 0.5)
    assert ask(world, "GET", "faults") == (200, data)
    assert ask(world, "DELETE", "faults") == (200, {"faults": []})


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"operation": "ReportUsage"},
        {"operation": "Nope", "kind": "drop_after"},
        {"operation": "ReportUsage", "kind": "explode"},
        {"operation": "ReportUsage", "kind": "drop_after", "how": "hard"},
        {"operation": "ReportUsage", "kind": "drop_after", "times": "3"},
        {"operation": "ReportUsage", "kind": "drop_after", "times": 1.5},
        {"operation": ["ReportUsage"], "kind": "drop_after"},
        {"operation": "ReportUsage", "kind": "status", "status": 99},
        {"operation": "ReportUsage", "kind": "drop_after", "probability": 2},
    ],
)
def test_faults_that_cannot_be(world, body):
    assert ask(world, "POST", "faults", body)[0] == 400
    assert world.faults.remaining == []


def test_endpoints_come_and_go(world):
    status, data = ask(
        world, "POST", "webhooks", {"url": "http://127.0.0.1:9/hook", "events": ["order.created"]}
    )
    assert status == 200
    assert data["secret"].startswith("kq_whsec_")
    assert ask(world, "GET", "webhooks")[1]["webhooks"] == [data]
    assert ask(world, "DELETE", f"webhooks/{data['id']}") == (200, {"webhooks": []})
    assert ask(world, "DELETE", f"webhooks/{data['id']}")[0] == 400


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"url": 5},
        {"url": "ftp://example.com"},
        {"url": "http://a.example", "events": ["nope"]},
        {"url": "http://a.example", "events": 5},
        {"url": "http://a.example", "events": [["*"]]},
        {"url": "http://a.example", "secret": ""},
        {"url": "http://a.example", "secret": 5},
    ],
)
def test_endpoints_that_cannot_be(world, body):
    assert ask(world, "POST", "webhooks", body)[0] == 400
    assert world.webhooks.endpoints == []


def test_a_delivery_is_resent(world):
    told = world.webhooks.capture()
    world.emit("customer.created", {"customer_id": "user-123"})
    (delivery,) = ask(world, "GET", "deliveries")[1]["deliveries"]
    assert (delivery["event_type"], delivery["delivered"]) == ("customer.created", True)
    assert ask(world, "POST", f"deliveries/{delivery['id']}/resend")[0] == 200
    assert len(told) == 2
    assert ask(world, "POST", "deliveries/nope/resend")[0] == 400


async def test_what_happened_can_be_read(world):
    async with Kelviq.local(world) as kelviq:
        await kelviq.customers.retrieve("user-123")
    (request,) = ask(world, "GET", "requests")[1]["requests"]
    assert (request["operation"], request["status"], request["key"]) == ("RetrieveCustomer", 200, "server")
    assert ask(world, "GET", "usage-ledger") == (200, {"usage": []})
    assert ask(world, "GET", "crashes") == (200, {"crashes": []})


def test_a_world_is_kept_emptied_and_put_back(world):
    status, kept = ask(world, "GET", "snapshot")
    assert status == 200
    assert ask(world, "POST", "reset") == (200, {"now": "2026-01-31T00:00:00Z"})
    assert world.state.customers == {}
    assert ask(world, "POST", "restore", kept)[0] == 200
    assert list(world.state.customers) == ["user-123"]
    assert ask(world, "POST", "restore", {"version": 0})[0] == 400
    assert list(world.state.customers) == ["user-123"]


def test_a_world_is_seeded(world):
    assert ask(world, "POST", "seed", {"customers": [{"customerId": "new"}]})[0] == 200
    assert ask(world, "POST", "seed", {"customers": 5})[0] == 400
    assert list(world.state.customers) == ["user-123", "new"]


def test_a_world_larger_than_any_request_can_be_put_back(world):
    big = {**world.snapshot(), "padding": "x"}
    body = json.dumps(big).encode() + b" " * control.decoded.__globals__["LARGEST_BODY"]
    # unknown parts are the snapshot's business; its size is nobody's
    assert ask(world, "POST", "restore", body)[0] in {200, 400}
    assert "larger" not in str(ask(world, "POST", "restore", body)[1])
    assert "larger" in str(ask(world, "POST", "clock", body)[1])


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "nope", 404),
        ("POST", "nope", 404),
        ("GET", "checkout/x/pay", 404),
        ("POST", "checkout//pay", 404),
        ("POST", "health", 405),
        ("DELETE", "clock", 405),
        ("GET", "%2e%2e", 404),
        ("GET", "deliveries/x", 404),
    ],
)
def test_addresses_that_there_are_not(world, method, path, status):
    found, data = ask(world, method, path)
    assert found == status
    assert "health" in str(data) or path == "checkout//pay"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [("POST", "health", "GET"), ("PUT", "clock", "GET, POST"), ("PUT", "faults", "DELETE, GET, POST")],
)
def test_who_uses_the_wrong_method_is_told_the_right_ones(world, method, path, allowed):
    answer = control.answered(world, WireRequest(method, f"http://localhost{control.ROOT}{path}", {}))
    assert (answer.status, answer.headers["Allow"]) == (405, allowed)


@pytest.mark.parametrize(
    "body", [b"{", b"nonsense", b"\xff", b"[]", b'"x"', b"5", b"[" * 10_000, b'{"a": 1e999999999}']
)
@pytest.mark.parametrize("path", ["clock", "faults", "webhooks", "restore", "seed"])
def test_bodies_that_are_no_object(world, path, body):
    status, data = ask(world, "POST", path, body)
    assert status == 400
    assert data


def test_pages_of_other_sites_move_nothing(world):
    elsewhere = {"Sec-Fetch-Site": "cross-site"}
    assert ask(world, "POST", "reset", headers=elsewhere)[0] == 403
    assert ask(world, "GET", "health", headers=elsewhere)[0] == 200
    assert ask(world, "POST", "reset", headers={"sec-fetch-site": "same-origin"})[0] == 200
    assert world.state.customers == {}


async def test_over_http_it_is_the_same(world):
    async with serve(world) as server, aiohttp.ClientSession() as http:
        url = f"{server.url}/_emulator"
        async with http.post(f"{url}/clock", json={"advance": {"days": 1}}) as answer:
            assert (answer.status, await answer.json()) == (200, {"now": "2026-02-01T00:00:00Z"})
        async with http.post(f"{url}/clock", data=b"{") as answer:
            assert (answer.status, await answer.json()) == (400, {"detail": "JSON parse error."})
