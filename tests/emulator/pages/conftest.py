"""A shop whose pages are looked at, without a browser and without a socket."""

import re
from datetime import UTC, datetime
from html import unescape
from urllib.parse import urlencode

import pytest

from kelviq_async import ChargePeriod, Kelviq
from kelviq_async.emulator import World, pages
from kelviq_async.transport import WireRequest

SHOP = {
    "products": [{"identifier": "app", "name": "Acme"}],
    "features": [
        {"identifier": "export", "name": "Export", "featureType": "BOOLEAN"},
        {"identifier": "calls", "name": "Calls", "featureType": "METER"},
        {"identifier": "seats", "name": "Seats", "featureType": "CUSTOMIZABLE"},
    ],
    "plans": [
        {"identifier": "free", "product": "app", "name": "Free", "prices": "FREE"},
        {
            "identifier": "pro",
            "product": "app",
            "name": "Pro",
            "prices": {"MONTHLY": "49.00", "YEARLY": "490.00"},
            "features": {"export": True, "calls": {"value": 1000, "reset": "EVERY_MONTH"}, "seats": 5},
        },
        {"identifier": "team", "product": "app", "name": "Team", "prices": {"MONTHLY": "99.00"}},
        {"identifier": "trial", "product": "app", "prices": {"MONTHLY": "20.00"}, "trialDays": 14},
        {
            "identifier": "once",
            "product": "app",
            "prices": {"ONE_TIME": "5.00"},
            "license": {"enabled": True},
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
                            "charges": [
                                {
                                    "chargePeriod": "MONTHLY",
                                    "priceData": {"amount": 5},
                                    "advanced": {"min_quantity": 2, "max_quantity": 9},
                                }
                            ],
                        },
                    ],
                }
            ],
            "features": {"seats": 1},
        },
    ],
    "promotions": [
        {"code": "LAUNCH", "percentage": "20"},
        {"code": "EURO", "amount": "5.00", "currency": "EUR"},
    ],
    "customers": [{"customerId": "user-123", "name": "Ada", "email": "ada@example.com"}],
}


@pytest.fixture
def world():
    made = World(now=datetime(2026, 1, 31, 9, 30, tzinfo=UTC))
    made.seed_from(SHOP)
    return made


@pytest.fixture
async def kelviq(world):
    async with Kelviq.local(world) as client:
        yield client


class Visit:
    """A page as it came."""

    def __init__(self, answer):
        self.status = answer.status
        self.headers = answer.headers
        self.html = answer.body.decode()
        self.text = re.sub(
            r"\s+", " ", unescape(re.sub(r"<(style|script).*?</\1>|<[^>]+>", " ", self.html, flags=re.DOTALL))
        )

    @property
    def location(self):
        return self.headers["Location"]


@pytest.fixture
def look(world):
    """Read a page, or with fields send its form."""

    def looked(path, **form):
        body = urlencode(form).encode() if form else None
        return Visit(pages.answered(world, WireRequest("POST" if form else "GET", path, {}, body)))

    return looked


@pytest.fixture
def visit(world, kelviq):
    """Open a checkout: its path, and its row."""

    async def opened(plan="pro", period=ChargePeriod.MONTHLY, customer_id="user-123", **more):
        success = more.pop("success_url", "https://example.com/done")
        link = await kelviq.checkout.create_session(plan, period, success, customer_id=customer_id, **more)
        return f"/checkout/{link.checkout_session_id}/", world.state.checkouts[link.checkout_session_id]

    return opened
