"""Refunds: whole and in parts, never more than what is left, and the books stay right."""

from datetime import date
from decimal import Decimal

import pytest

from kelviq_async import ChargePeriod, codec
from kelviq_async.api.checkout import CheckoutTaxBehavior
from kelviq_async.api.refunds import RefundReason, RefundStatus
from kelviq_async.errors import BadRequest, NotFound
from kelviq_async.transport import WireRequest


@pytest.fixture
async def order(shop):
    await shop.buy()
    shop.events()
    return shop.orders()[0]


async def test_a_full_refund(shop, order):
    refund = await shop.kelviq.refunds.create(order.id)
    assert (refund.status, refund.amount_units, refund.amount) == ("SUCCEEDED", 4900, Decimal("49.00"))
    assert refund.reason == "REQUESTED_BY_CUSTOMER"
    assert refund.order["status"] == "REFUNDED"
    assert refund.order["refundedTotalUnits"] == 4900
    assert shop.told.types == ["refund.created", "refund.updated", "order.refunded"]
    created, updated, refunded = (each.event["data"] for each in shop.told)
    assert (created["object"]["status"], created["object"]["amount"]) == ("PROCESSING", "49.0")
    assert (updated["object"]["status"], updated["previous_attributes"]) == (
        "SUCCEEDED",
        {"status": "PROCESSING"},
    )
    assert (refunded["object"]["status"], refunded["previous_attributes"]) == (
        "REFUNDED",
        {"status": "COMPLETE"},
    )
    assert shop.balanced()


async def test_refunds_in_parts(shop, order):
    first = await shop.kelviq.refunds.create(
        order.id, amount_units=2500, reason=RefundReason.DUPLICATE, internal_note="twice"
    )
    assert (first.reason, first.internal_note) == ("DUPLICATE", "twice")
    assert order.status == "PARTIAL_REFUND"
    second = await shop.kelviq.refunds.create(order.id, amount=Decimal("4.00"))
    assert second.amount_units == 400
    third = await shop.kelviq.refunds.create(order.id)
    assert third.amount_units == 2000
    assert (order.status, order.refunded_units) == ("REFUNDED", 4900)
    assert shop.balanced()


async def test_never_more_than_what_is_left(shop, order):
    with pytest.raises(BadRequest, match="Amount exceeds order total"):
        await shop.kelviq.refunds.create(order.id, amount_units=4901)
    await shop.kelviq.refunds.create(order.id, amount_units=4000)
    with pytest.raises(BadRequest, match="exceeds"):
        await shop.kelviq.refunds.create(order.id, amount_units=901)
    await shop.kelviq.refunds.create(order.id, amount_units=900)
    with pytest.raises(BadRequest, match="REFUNDED"):
        await shop.kelviq.refunds.create(order.id)
    assert len(shop.world.state.refunds) == 2
    assert shop.balanced()


async def posted(shop, body):
    answer = await shop.world.send(
        WireRequest(
            "POST",
            "http://localhost/api/v1/refunds/",
            {"Authorization": f"Bearer {shop.world.server_key}", "Content-Type": "application/json"},
            codec.encode(body),
        )
    )
    return answer.status, codec.decode(answer.body)


async def test_units_win(shop, order):
    status, data = await posted(shop, {"orderId": order.id, "amountUnits": 100, "amount": 25})
    assert (status, data["amountUnits"]) == (200, 100)


@pytest.mark.parametrize(
    ("amount", "field"),
    [
        ({"amountUnits": 0}, "amountUnits"),
        ({"amountUnits": -5}, "amountUnits"),
        ({"amount": 0}, "amount"),
        ({"amount": Decimal("1.005")}, "amount"),
    ],
)
async def test_amounts_that_cannot_be(shop, order, amount, field):
    status, data = await posted(shop, {"orderId": order.id, **amount})
    assert (status, list(data)) == (400, [field])


async def test_the_shape_of_a_refusal(shop, order):
    status, data = await posted(shop, {"orderId": order.id, "amountUnits": 10_000})
    assert (status, data) == (400, {"error": "Amount exceeds order total."})


async def test_an_unknown_order_and_an_unknown_refund(shop):
    with pytest.raises(NotFound):
        await shop.kelviq.refunds.create("ORD-nope")
    with pytest.raises(NotFound):
        await shop.kelviq.refunds.retrieve("nope")


async def test_nothing_comes_back_of_a_trial(shop):
    await shop.buy("trial")
    with pytest.raises(BadRequest, match="nothing left"):
        await shop.kelviq.refunds.create(shop.orders()[0].id)


async def test_what_was_never_paid_is_not_refunded(shop, order):
    shop.card().declines = True
    shop.world.clock.advance(days=28)
    with pytest.raises(BadRequest, match="FAILED"):
        await shop.kelviq.refunds.create(shop.orders()[1].id)


async def test_refunds_are_listed(shop, order):
    first = await shop.kelviq.refunds.create(order.id, amount_units=100)
    shop.world.clock.advance(days=2)
    second = await shop.kelviq.refunds.create(order.id, amount_units=200)

    async def ids(**filters):
        return [each.id for each in (await shop.kelviq.refunds.list(**filters)).results]

    assert await ids() == [second.id, first.id]
    assert await ids(status=RefundStatus.FAILED) == []
    assert await ids(search=first.id) == [first.id]
    assert await ids(search="ada") == [second.id, first.id]
    assert await ids(end_date=date(2026, 1, 31)) == [first.id]
    assert await ids(start_date=date(2026, 2, 1)) == [second.id]
    assert (await shop.kelviq.refunds.retrieve(first.id)).amount_units == 100


async def test_the_tax_of_refunds_adds_up_to_the_order_s(shop):
    shop.world.state.tax_rates["US"] = "7.25"
    session = await shop.session(
        "lifetime",
        ChargePeriod.ONE_TIME,
        custom_amount=Decimal("33.33"),
        currency_code="USD",
        tax_behavior=CheckoutTaxBehavior.EXCLUSIVE,
        default_billing_country="US",
    )
    shop.world.pay(session)
    (order,) = shop.orders()
    for units in (333, 1001, 1):
        await shop.kelviq.refunds.create(order.id, amount_units=units)
    await shop.kelviq.refunds.create(order.id)
    transactions = (await shop.kelviq.transactions.list()).results
    assert [each.transaction_type for each in transactions] == ["REFUND"] * 4 + ["CHARGE"]
    assert sum(each.collected_tax for each in transactions) == 0
    assert sum(each.amount_total for each in transactions) == 0
    assert sum(each.net_payout for each in transactions) == -transactions[-1].mor_fee
    assert shop.balanced()


async def test_access_stays_where_money_went_back(shop, order):
    await shop.kelviq.refunds.create(order.id)
    assert await shop.kelviq.entitlements.has_access("user-123", "export-data")
