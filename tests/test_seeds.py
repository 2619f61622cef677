"""The two documents this project comes from: what they show works exactly as shown.

Each request is sent literally, with plain HTTP, to the emulator behind a port; then the same story is
told through both packages.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import aiohttp
import pytest

import kelviq_sync
from kelviq_async import ChargePeriod, Kelviq, TaxCode
from kelviq_async.cli.catalog import stock
from kelviq_async.emulator import World, serve

SERVER = {"Content-Type": "application/json", "Authorization": "Bearer YOUR_SERVER_API_KEY"}
CLIENT = {"Authorization": "Bearer YOUR_CLIENT_API_KEY"}


@pytest.fixture
async def server() -> AsyncIterator[Any]:
    """An emulator with the documents' keys, and something to sell."""
    world = World(server_key="YOUR_SERVER_API_KEY", client_key="YOUR_CLIENT_API_KEY")
    async with serve(world) as running, Kelviq(world.server_key, core_url=running.url) as kelviq:
        await stock(kelviq)
        yield running


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """A plain HTTP client that knows nothing of us."""
    async with aiohttp.ClientSession() as session:
        yield session


async def answered(http: aiohttp.ClientSession, method: str, url: str, **settings: Any) -> tuple[int, Any]:
    """Status and decoded body."""
    async with http.request(method, url, allow_redirects=False, **settings) as answer:
        return answer.status, await answer.json()


async def test_the_subscription_guide_literally(server: Any, http: aiohttp.ClientSession) -> None:
    api = f"{server.url}/api/v1"
    status, customer = await answered(
        http,
        "POST",
        f"{api}/customers/",
        headers=SERVER,
        json={"customerId": "user-123", "name": "John Doe", "email": "john@example.com"},
    )
    assert status == 201
    assert customer["customerId"] == "user-123"

    status, link = await answered(
        http,
        "POST",
        f"{api}/checkout/",
        headers=SERVER,
        json={
            "planIdentifier": "pro",
            "chargePeriod": "MONTHLY",
            "customerId": "user-123",
            "successUrl": "https://yourapp.com/success",
        },
    )
    assert status == 201
    assert set(link) == {"checkoutUrl", "checkoutSessionId"}
    assert link["checkoutSessionId"].startswith("cs_")

    pay = f"{server.url}/_emulator/checkout/{link['checkoutSessionId']}/pay"
    status, _ = await answered(http, "POST", pay, json={"card": "4242 4242 4242 4242"})
    assert status == 200

    status, page = await answered(http, "GET", f"{api}/subscriptions/?customer_id=user-123", headers=SERVER)
    assert status == 200
    assert {name: page[name] for name in ("count", "next", "previous")} == {
        "count": 1,
        "next": None,
        "previous": None,
    }
    (row,) = page["results"]
    assert row["status"] == "active"
    assert row["plan"] == {"name": "Pro Plan", "identifier": "pro"}
    assert row["amount"] == "49.00"
    assert row["recurrence"] in {"month", "1 month"}
    assert row["currency"].lower() == "usd"
    assert row["endDate"] is None
    assert row["customerId"] == "user-123"
    assert isinstance(row["startDate"], str)

    status, update = await answered(
        http,
        "POST",
        f"{api}/subscriptions/{row['id']}/update/",
        headers=SERVER,
        json={"planIdentifier": "enterprise", "chargePeriod": "MONTHLY"},
    )
    assert status == 200
    assert set(update) == {"subscriptionId"}

    status, answer = await answered(http, "GET", f"{api}/entitlements/?customerId=user-123", headers=CLIENT)
    assert status == 200
    assert answer["customerId"] == "user-123"
    found = {entry["featureId"]: entry for entry in answer["entitlements"]}
    assert found["export-data"]["featureType"] == "BOOLEAN"
    assert found["export-data"]["hasAccess"] is True
    meter = found["max-projects"]
    assert (meter["featureType"], meter["hasAccess"]) == ("METER", True)
    assert (meter["usageLimit"], meter["currentUsage"], meter["remaining"]) == (1000, 0, 1000)
    assert (found["team-size"]["featureType"], found["team-size"]["usageLimit"]) == ("CUSTOMIZABLE", 50)


async def test_creating_a_plan_literally(server: Any, http: aiohttp.ClientSession) -> None:
    async with Kelviq("YOUR_SERVER_API_KEY", core_url=server.url) as kelviq:
        product = await kelviq.products.create("Suite", TaxCode.SAAS)
        key = await kelviq.media.upload(b"terms", file_name="plan-terms.pdf")
    status, plan = await answered(
        http,
        "POST",
        f"{server.url}/api/v1/catalog/plans/",
        headers=SERVER,
        json={
            "name": "Pro Monthly",
            "identifier": "pro-monthly",
            "description": "Pro tier billed monthly.",
            "product": product.id,
            "isVisible": True,
            "fileKeys": [key],
            "ordering": 1,
        },
    )
    assert status == 201
    documented = """
        identifier name description product metadata version isLatest modifiedOn createdOn
        details isVisible isImported countries license links files ordering
    """
    assert set(plan) == set(documented.split())
    shown = (
        "identifier",
        "name",
        "description",
        "product",
        "isVisible",
        "ordering",
        "metadata",
        "isImported",
    )
    assert [plan[name] for name in shown] == [
        "pro-monthly", "Pro Monthly", "Pro tier billed monthly.", product.id, True, 1, {}, False,
    ]  # fmt: skip
    (file,) = plan["files"]
    assert set(file) == {"id", "name", "file", "ordering", "enabled", "downloadUrl"}


async def test_the_story_in_async_code(server: Any) -> None:
    async with Kelviq("YOUR_SERVER_API_KEY", "YOUR_CLIENT_API_KEY", core_url=server.url) as kelviq:
        await kelviq.customers.create("user-123", name="John Doe", email="john@example.com")
        link = await kelviq.checkout.create_session(
            "pro", ChargePeriod.MONTHLY, "https://yourapp.com/success", customer_id="user-123"
        )
        server.world.pay(link.checkout_session_id)
        page = await kelviq.subscriptions.list(customer_id="user-123")
        assert [(each.status, each.amount) for each in page.results] == [("active", Decimal("49.00"))]
        await kelviq.subscriptions.update(page.results[0].id, "enterprise", ChargePeriod.MONTHLY)
        assert await kelviq.entitlements.has_access("user-123", "export-data")
        entitlements = await kelviq.entitlements.get("user-123")
        assert entitlements["max-projects"].remaining == 1000
        assert entitlements["team-size"].value == 50


async def test_the_story_in_blocking_code(server: Any) -> None:
    def story() -> None:
        with kelviq_sync.Kelviq("YOUR_SERVER_API_KEY", "YOUR_CLIENT_API_KEY", core_url=server.url) as kelviq:
            kelviq.customers.create("user-123", name="John Doe", email="john@example.com")
            link = kelviq.checkout.create_session(
                "pro", ChargePeriod.MONTHLY, "https://yourapp.com/success", customer_id="user-123"
            )
            server.world.pay(link.checkout_session_id)
            (mine,) = kelviq.subscriptions.each(customer_id="user-123")
            assert (mine.status, mine.amount) == ("active", Decimal("49.00"))
            kelviq.subscriptions.update(mine.id, "enterprise", ChargePeriod.MONTHLY)
            assert kelviq.entitlements.has_access("user-123", "export-data")
            assert kelviq.entitlements.get("user-123")["team-size"].value == 50

    await asyncio.to_thread(story)
