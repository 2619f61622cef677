"""A shop to buy in, and a way to hold answers against the published OpenAPI file."""

import json
import re
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from kelviq_async import ChargePeriod, Kelviq, codec
from kelviq_async.emulator import World

FACTS = json.loads((Path(__file__).parents[1] / "contract" / "kelviq-v1.json").read_text("utf-8"))
KINDS = {
    "string": str,
    "integer": int,
    "number": int | Decimal,
    "boolean": bool,
    "object": dict,
    "array": list,
}
FORMS = {
    "date-time": lambda text: re.fullmatch(r"[\d-]{10}T[\d:]{8}(\.\d+)?Z", text),
    "date": lambda text: re.fullmatch(r"\d{4}-\d\d-\d\d", text),
    "uri": lambda text: urlsplit(text).scheme,
    "url": lambda text: urlsplit(text).scheme,
    "uuid": lambda text: re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", text),
}
# In an example, and in no schema.
BY_EXAMPLE = {
    (schema, field)
    for schema in ("CreateSubscriptionResponse", "CreateChargeResponse")
    for field in ("billingType", "recurrenceUnit", "recurrenceType")
}

CATALOGUE = {
    "products": [{"identifier": "app", "name": "App"}, {"identifier": "extra", "name": "Extra"}],
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
        {
            "identifier": "seats",
            "featureType": "CUSTOMIZABLE",
            "featureDetails": {"units": {"singular": "seat", "plural": "seats"}},
        },
    ],
    "plans": [
        {"identifier": "free", "product": "app", "prices": "FREE", "features": {"api-calls": 10}},
        {
            "identifier": "pro",
            "name": "Pro Plan",
            "product": "app",
            "prices": {"MONTHLY": "49.00", "YEARLY": "490.00"},
            "features": {
                "export-data": True,
                "api-calls": {"value": 100, "reset": "EVERY_MONTH"},
                "seats": 5,
            },
            "links": [{"name": "Guide", "url": "https://example.com/guide"}],
        },
        {
            "identifier": "enterprise",
            "product": "app",
            "prices": {"MONTHLY": "199.00", "YEARLY": "1990.00"},
            "features": {"export-data": True, "api-calls": {"value": 1000, "reset": "EVERY_MONTH"}},
        },
        {"identifier": "trial", "product": "app", "prices": {"MONTHLY": "20.00"}, "trialDays": 14},
        {"identifier": "lifetime", "product": "extra", "prices": {"ONE_TIME": "99.00"}},
        {
            "identifier": "licensed",
            "product": "extra",
            "prices": {"MONTHLY": "10.00"},
            "license": {
                "enabled": True,
                "activationLimit": 2,
                "activationLimitEnabled": True,
                "hasExpiry": True,
                "durationUnit": "MONTH",
                "durationValue": 1,
            },
        },
        {
            "identifier": "seated",
            "product": "app",
            "prices": [
                {
                    "priceType": "PAID",
                    "currency": "USD",
                    "chargeCatalogPrice": [
                        {
                            "priceModel": "FLAT",
                            "charges": [{"chargePeriod": "MONTHLY", "priceData": {"amount": 10}}],
                        },
                        {
                            "feature": "seats",
                            "priceModel": "FLAT",
                            "paymentType": "ADVANCE_COMMITMENT",
                            "charges": [{"chargePeriod": "MONTHLY", "priceData": {"amount": 5}}],
                        },
                        {
                            "feature": "api-calls",
                            "priceModel": "FLAT",
                            "paymentType": "PAY_AS_YOU_GO",
                            "charges": [{"chargePeriod": "MONTHLY", "priceData": {"amount": "0.01"}}],
                        },
                    ],
                }
            ],
            "features": {"seats": 1, "api-calls": {"hasUnlimitedUsage": True}},
        },
    ],
    "promotions": [
        {"code": "LAUNCH", "percentage": "20"},
        {"code": "FIVER", "amount": "5.00", "currency": "USD"},
        {"code": "EURO", "amount": "5.00", "currency": "EUR"},
    ],
    "customers": [{"customerId": "user-123", "name": "Ada", "email": "ada@example.com"}],
}


class Shop:
    """A world with something to sell, a client of it, and what its webhooks told."""

    def __init__(self, world, kelviq):
        self.world = world
        self.kelviq = kelviq
        self.told = world.webhooks.capture()

    async def session(self, plan="pro", period=ChargePeriod.MONTHLY, customer_id="user-123", **more):
        link = await self.kelviq.checkout.create_session(
            plan, period, "https://example.com/done", customer_id=customer_id, **more
        )
        return link.checkout_session_id

    async def buy(self, plan="pro", period=ChargePeriod.MONTHLY, *, card="4242 4242 4242 4242", **more):
        """The subscription or one-time purchase that was just paid."""
        session = await self.session(plan, period, **more)
        paid = self.world.pay(session, card=card)
        assert paid.status == "success", paid
        return self.world.state.subscriptions[self.world.state.checkouts[session].subscription_id]

    async def current(self, customer_id="user-123"):
        return (await self.kelviq.subscriptions.list(customer_id=customer_id, page_size=100)).results

    def events(self):
        """Types of the events since the last call."""
        types = self.told.types
        self.told.clear()
        return types

    def card(self, customer_id="user-123"):
        """The customer's default card."""
        return self.world.state.payment_methods[self.world.state.customers[customer_id].default_card]

    def orders(self):
        return list(self.world.state.orders.values())

    def balanced(self):
        """The books are right: amounts add up, and each order's transactions to what was paid and kept."""
        moved = {}
        for row in self.world.state.transactions.values():
            moved[row.order_id] = moved.get(row.order_id, 0) + row.total_units
            assert sum(part["valueUnits"] for part in row.fee_parts) == row.fee_units
        for order in self.orders():
            assert order.total_units == order.subtotal_units - order.discount_units + order.tax_units
            paid = order.paid_at is not None
            assert moved.get(order.id, 0) == (order.total_units - order.refunded_units if paid else 0)
        return True


class Watched(World):
    """A world that holds all its good answers against the published OpenAPI file."""

    async def send(self, request):
        answer = await super().send(request)
        path = urlsplit(request.url).path.removeprefix("/api/v1")
        fact = documented(request.method, path)
        if fact and not path.startswith("/entitlements") and answer.status < 300 and answer.body:
            response = fact["responses"].get(str(answer.status))
            assert response, f"{fact['operationId']} answered {answer.status}: {answer.body}"
            data = codec.decode(answer.body)
            assert differences(response["schema"] or {}, data, fact["operationId"]) == []
        return answer


def documented(method, path):
    """The published operation, of those that fit the one with the fewest path parameters, or None."""
    fitting = [
        fact
        for fact in FACTS["operations"].values()
        if fact["method"] == method and re.fullmatch(re.sub(r"{\w+}", "[^/]+", fact["path"]), path)
    ]
    return min(fitting, key=lambda fact: fact["path"].count("{"), default=None)


def differences(fact, value, where):
    """What is unlike the documentation about a value, in words."""
    name = fact.get("ref", "")
    nullable = fact.get("nullable", False)
    while "ref" in fact:
        fact = FACTS["schemas"][fact["ref"]]
        nullable = nullable or fact.get("nullable", False)
    if value is None:
        return [] if nullable or "type" not in fact else [f"{where} is null"]
    kind = fact.get("type")
    if kind and (not isinstance(value, KINDS[kind]) or (kind != "boolean" and isinstance(value, bool))):
        return [f"{where} is {value!r}, not of type {kind}"]
    if ("enum" in fact and value not in fact["enum"]) or not FORMS.get(fact.get("format"), bool)(
        value or "-"
    ):
        return [f"{where} is {value!r}"]
    found = []
    fields = fact.get("fields", {})
    for key, entry in value.items() if fields else ():
        if key in fields:
            found += differences(fields[key], entry, f"{where}.{key}")
        elif not fact.get("additionalProperties") and (name, key) not in BY_EXAMPLE:
            found.append(f"{where}.{key} is nowhere documented")
    for index, entry in enumerate(value) if kind == "array" else ():
        found += differences(fact.get("items", {}), entry, f"{where}[{index}]")
    return found


@pytest.fixture
async def shop():
    """A strict world on 31 January 2026, with plans to buy and one customer."""
    world = Watched(now=datetime(2026, 1, 31, tzinfo=UTC), strict=True)
    world.seed_from(CATALOGUE)
    async with Kelviq.local(world) as kelviq:
        yield Shop(world, kelviq)
    assert world.crashes == []
