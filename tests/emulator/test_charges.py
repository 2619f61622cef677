"""Charges: one-time payments from a saved card, and the cards themselves."""

from decimal import Decimal

import pytest

from kelviq_async import ChargePeriod, codec
from kelviq_async.api.charges import CreateCharge
from kelviq_async.api.payment_methods import ListPaymentMethods
from kelviq_async.api.periods import FeatureQuantity
from kelviq_async.emulator import billing
from kelviq_async.errors import BadRequest
from kelviq_async.transport import WireRequest


async def test_a_charge(shop):
    await shop.buy()
    shop.events()
    answer = await shop.kelviq.send_raw(CreateCharge("lifetime", "user-123"))
    assert answer.status == 201
    data = codec.decode(answer.body)
    extra = shop.world.state.products[data["product"]["id"]]
    assert data == {
        "id": data["id"],
        "startDate": "2026-01-31",
        "endDate": None,
        "billingPeriodStartTime": None,
        "billingPeriodEndTime": None,
        "amount": "99.00",
        "recurrence": "",
        "currency": "USD",
        "status": "active",
        "product": {"name": "Extra", "id": extra.id, "identifier": "extra"},
        "plan": {"name": "Lifetime", "identifier": "lifetime"},
        "features": [],
        "trialDaysRemaining": 0,
        "customerId": "user-123",
        "billingType": "ONE_TIME",
        "recurrenceUnit": None,
        "recurrenceType": None,
    }
    assert shop.events() == ["order.created", "invoice.paid"]
    assert [each.plan_identifier for each in billing.granting(shop.world, "user-123")] == ["pro", "lifetime"]
    assert shop.balanced()


async def test_a_charge_needs_a_saved_card(shop):
    with pytest.raises(BadRequest) as caught:
        await shop.kelviq.charges.create("lifetime", "user-123")
    assert caught.value.message == "A payment method is required to complete this payment."


async def test_a_charge_that_is_declined(shop):
    await shop.buy()
    shop.card().declines = True
    with pytest.raises(BadRequest, match="declined"):
        await shop.kelviq.charges.create("lifetime", "user-123")
    assert len(shop.orders()) == 1


async def test_recurring_plans_are_not_charged(shop):
    await shop.buy()
    body = {"planIdentifier": "pro", "customerId": "user-123", "chargePeriod": "MONTHLY"}
    answer = await shop.world.send(
        WireRequest(
            "POST",
            "http://localhost/api/v1/charges/",
            {"Authorization": f"Bearer {shop.world.server_key}", "Content-Type": "application/json"},
            codec.encode(body),
        )
    )
    assert answer.status == 400
    assert "ONE_TIME" in codec.decode(answer.body)["detail"]
    with pytest.raises(BadRequest):
        await shop.kelviq.charges.create("pro", "user-123")


async def test_a_charge_for_nobody(shop):
    with pytest.raises(BadRequest, match="Customer does not exist"):
        await shop.kelviq.charges.create("lifetime", "nobody")


async def test_the_currency_is_the_customer_s(shop):
    await shop.buy()
    with pytest.raises(BadRequest, match="currency is USD"):
        await shop.kelviq.charges.create("lifetime", "user-123", currency_code="EUR")
    assert (await shop.kelviq.charges.create("lifetime", "user-123", currency_code="usd")).currency == "USD"


async def test_quantities_of_a_charge(shop):
    shop.world.seed_from(
        {
            "plans": [
                {
                    "identifier": "credits",
                    "product": "extra",
                    "prices": [
                        {
                            "priceType": "PAID",
                            "currency": "USD",
                            "chargeCatalogPrice": [
                                {
                                    "feature": "seats",
                                    "priceModel": "FLAT",
                                    "charges": [{"chargePeriod": "ONE_TIME", "priceData": {"amount": 3}}],
                                }
                            ],
                        }
                    ],
                    "features": {"seats": 1},
                }
            ]
        }
    )
    await shop.buy()
    charge = await shop.kelviq.charges.create(
        "credits", "user-123", features=[FeatureQuantity(identifier="seats", quantity=4)]
    )
    assert charge.amount == Decimal("12.00")
    assert [each["value"] for each in charge.features] == [4]


async def test_a_card_as_the_api_shows_it(shop):
    await shop.buy("pro", ChargePeriod.MONTHLY)
    answer = await shop.kelviq.send_raw(ListPaymentMethods())
    (card,) = codec.decode(answer.body)["results"]
    assert card == {
        "id": 1,
        "customer": {
            "customerId": "user-123",
            "name": "Ada",
            "email": "ada@example.com",
            "billingAddress": None,
        },
        "methodType": "card",
        "methodData": {
            "brand": "visa",
            "last4": "4242",
            "expMonth": 12,
            "expYear": 2029,
            "funding": "credit",
            "country": "US",
        },
        "isDefault": True,
        "status": "succeeded",
        "createdOn": "2026-01-31T00:00:00Z",
        "modifiedOn": "2026-01-31T00:00:00Z",
    }
