"""Strict worlds refuse what the documentation does not know, and say what they found."""

import json

import pytest

from kelviq_async import Kelviq
from kelviq_async.emulator import World
from kelviq_async.transport import WireRequest

HOSTS = {"core": "https://sandboxapi.kelviq.com", "edge": "https://edge.sandboxapi.kelviq.com"}
JSON = {"content-type": "application/json"}
USAGE = {"value": 1, "customerId": "a", "featureId": "b", "behaviour": "SET"}
PRICE = {
    "priceType": "PAID",
    "chargeCatalogPrice": [{"priceModel": "FLAT", "charges": [{"chargePeriod": "MONTHLY", "priceData": {}}]}],
}


def reason(method, path, body=None, *, host="http://localhost", headers=JSON, strict=True, key="server_key"):
    """Why a strict world refuses a request; None if it does not."""
    world = World(strict=strict)
    sent = {"authorization": f"Bearer {getattr(world, key)}", **headers}
    content = None if body is None else json.dumps(body).encode()
    answer = world.handle(WireRequest(method, f"{host}/api/v1{path}", sent, content))
    assert world.crashes == []
    text = answer.body.decode()
    return text if answer.status == 400 and "strict:" in text else None


@pytest.mark.parametrize(
    ("method", "path", "body", "said"),
    [
        ("GET", "/customers/?colour=red", None, "colour is not known in the query"),
        ("GET", "/customers/?pageSize=5", None, "pageSize is spelled page_size in the query"),
        ("GET", "/subscriptions/?customerId=a", None, "customerId is spelled customer_id in the query"),
        ("POST", "/customers/", {"customerId": "a", "nickname": "b"}, "nickname is not known in the body"),
        ("POST", "/customers/", {"customer_id": "a"}, "customer_id is spelled customerId in the body"),
        (
            "POST",
            "/customers/",
            {"customerId": "a", "billingAddress": {"postal_code": "1"}},
            "billingAddress.postal_code is spelled postalCode",
        ),
        (
            "POST",
            "/checkout/",
            {
                "planIdentifier": "p",
                "features": [{"identifier": "a", "quantity": 1}, {"identifier": "a", "count": 1}],
            },
            "features.1.count is not known",
        ),
        (
            "POST",
            "/catalog/plans/pro/prices/bulk/",
            {"prices": [{**PRICE, "chargeCatalogPrice": [{"price_model": "FLAT", "charges": []}]}]},
            "prices.0.chargeCatalogPrice.0.price_model is spelled",
        ),
        (
            "POST",
            "/catalog/plans/pro/features/",
            {"planEntitlements": [{"feature": "a", "details": {"value": 1, "hard_limit": True}}]},
            "details.hard_limit is spelled",
        ),
        ("POST", "/report/usage/", {**USAGE, "value": "1"}, "value is a text where a JSON number"),
        ("POST", "/report/usage/", {**USAGE, "customerId": 5}, "customerId is no text"),
        ("POST", "/report/usage/", {**USAGE, "timestamp": "2026"}, "timestamp is not known"),
        ("GET", "/customers", None, "the documented path is /customers/"),
        ("GET", "/promotions/", None, "the documented path is /promotions"),
        ("GET", "/customers/", {"a": 1}, "a GET has no body"),
    ],
)
def test_what_the_documentation_does_not_know(method, path, body, said):
    key = "client_key" if "promotions" in path else "server_key"
    headers = {"host": "localhost", **JSON}
    assert said in reason(method, path, body, key=key, headers=headers)
    assert reason(method, path, body, key=key, strict=False) is None


def test_all_that_is_wrong_is_said_at_once():
    said = reason("POST", "/customers?x=1", {"customer_id": "a", "b": 1})
    assert all(
        text in said for text in ("CreateCustomer", "path", "x is not", "customer_id is spelled", "b is not")
    )


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/entitlements/?customer_id=a", None),
        ("GET", "/entitlements?customer_id=a", None),
        ("GET", "/entitlements/?customerId=user-123", None),
        ("GET", "/customers/?page=1&page_size=5&search=a", None),
        ("POST", "/customers/", {"customerId": "a", "metadata": {"any_Name": {"at_all": 1}}}),
        ("POST", "/report/usage/", {**USAGE, "resourceId": "r"}),
        ("POST", "/catalog/plans/pro/prices/bulk/", {"prices": [PRICE]}),
        (
            "POST",
            "/checkout/",
            {"planIdentifier": "p", "chargePeriod": "MONTHLY", "successUrl": "u", "metadata": {"x_y": 1}},
        ),
    ],
)
def test_what_the_documentation_knows_passes(method, path, body):
    assert reason(method, path, body) is None


@pytest.mark.parametrize(
    ("path", "host", "passes"),
    [
        ("/customers/", "core", True),
        ("/customers/", "edge", False),
        ("/entitlements/?customer_id=a", "edge", True),
        ("/entitlements/?customer_id=a", "core", False),
    ],
)
def test_kelviqs_own_hosts_are_told_apart(path, host, passes):
    said = reason("GET", path, host=HOSTS[host])
    assert (said is None) is passes
    assert passes or "host" in said


def test_two_credentials_are_one_too_many():
    assert "two credentials" in reason(
        "GET", "/customers/", headers={"X-Kelviq-Partner-Key": "pk_test_emulator"}
    )


@pytest.mark.parametrize(
    ("kind", "passes"),
    [
        ("application/json", True),
        ("application/json; charset=utf-8", True),
        ("text/plain", False),
        ("", False),
    ],
)
def test_a_body_comes_as_json(kind, passes):
    said = reason("POST", "/customers/", {"customerId": "a"}, headers={"content-type": kind} if kind else {})
    assert (said is None) is passes


async def test_our_own_client_is_strict_enough():
    world = World(strict=True)
    seeded = {
        "features": [{"identifier": "api-calls", "featureType": "METER"}],
        "plans": [{"identifier": "pro", "prices": {"MONTHLY": 49}, "features": {"api-calls": 10}}],
    }
    # a strict world wants of a METER what the documentation wants
    seeded["features"][0]["featureDetails"] = {"featureSubType": "PRE_AGGREGATED_USAGE", "units": {}}
    world.seed_from(seeded)
    async with Kelviq.local(world) as kelviq:
        await kelviq.customers.create("user-123", name="Ada", metadata={"a_b": 1})
        link = await kelviq.checkout.create_session(
            "pro", "MONTHLY", "https://x.example/", customer_id="user-123"
        )
        world.pay(link.checkout_session_id)
        await kelviq.usage.report(1, "user-123", "api-calls", "DELTA")
        assert (await kelviq.entitlements.raw("user-123")).entitlements[0].current_usage == 1
        assert [each.plan.identifier async for each in kelviq.subscriptions.each(customer_id="user-123")] == [
            "pro"
        ]
    assert world.crashes == []
