"""Orders and transactions: found, shown, explained, and their fees."""

from datetime import date
from decimal import Decimal

import pytest

from kelviq_async import BillingType, ChargePeriod, OrderStatus, codec
from kelviq_async.api.checkout import CheckoutTaxBehavior
from kelviq_async.api.orders import RetrieveOrder
from kelviq_async.api.transactions import ListTransactions, TransactionStatus
from kelviq_async.errors import NotFound


async def test_the_fields_of_an_order(shop):
    row = await shop.buy()
    (order,) = shop.orders()
    answer = await shop.kelviq.send_raw(RetrieveOrder(order.id))
    data = codec.decode(answer.body)
    assert data.pop("product")["identifier"] == "app"
    assert data.pop("plan")["identifier"] == "pro"
    assert data == {
        "id": order.id,
        "customer": {"customerId": "user-123", "name": "Ada", "email": "ada@example.com"},
        "status": "COMPLETE",
        "paidAt": "2026-01-31T00:00:00Z",
        "amountSubtotal": "49.00",
        "amountDiscount": "0.00",
        "amountTax": "0.00",
        "amountTotal": "49.00",
        "saleCurrency": "USD",
        "amountSubtotalUnits": 4900,
        "amountDiscountUnits": 0,
        "amountTaxUnits": 0,
        "amountTotalUnits": 4900,
        "refundedTotalUnits": 0,
        "saleCurrencySymbol": "$",
        "billingAddress": None,
        "billingType": "SUBSCRIPTION",
        "license": [],
        "isTrial": False,
        "subscription": {
            "id": row.id,
            "status": "active",
            "amount": "49.00",
            "currency": "usd",
            "interval": "month",
            "currencySymbol": "$",
            "nextInvoiceDate": "2026-02-28T00:00:00Z",
        },
        "invoiceId": order.invoice_id,
        "customFieldsData": {},
        "paymentMethod": {"paymentMethodType": "card", "paymentMethodName": "visa", "last4": "4242"},
    }


async def test_numbers_of_orders_and_invoices(shop):
    await shop.buy()
    (order,) = shop.orders()
    assert order.id.startswith("ORD-20260131000000-")
    assert order.invoice_id.startswith("INV-20260131000000-")
    assert len(order.id) == len("ORD-20260729103000-AB3K9")


async def test_orders_are_listed_last_paid_first_and_filtered(shop):
    await shop.buy()
    shop.world.clock.advance(days=1)
    await shop.buy("lifetime", ChargePeriod.ONE_TIME, customer_id="grace")
    shop.world.clock.advance(days=27)
    first, once, renewal = shop.orders()

    async def ids(**filters):
        return [each.id for each in (await shop.kelviq.orders.list(**filters)).results]

    assert await ids() == [renewal.id, once.id, first.id]
    assert await ids(billing_type=BillingType.ONE_TIME) == [once.id]
    assert await ids(is_renewal=True) == [renewal.id]
    assert await ids(is_renewal=False) == [once.id, first.id]
    assert await ids(search="GRACE") == [once.id]
    assert await ids(search=first.id[-5:]) == [first.id]
    assert await ids(status=OrderStatus.FAILED) == []
    assert await ids(start_date=date(2026, 2, 1), end_date=date(2026, 2, 1)) == [once.id]


async def test_pending_orders_are_nowhere(shop):
    await shop.buy()
    (order,) = shop.orders()
    order.status = "PENDING"
    assert (await shop.kelviq.orders.list()).count == 0
    assert (await shop.kelviq.orders.list(status=OrderStatus.PENDING)).count == 0
    with pytest.raises(NotFound):
        await shop.kelviq.orders.retrieve(order.id)


async def test_failed_orders_are_listed(shop):
    await shop.buy()
    shop.card().declines = True
    shop.world.clock.advance(days=28)
    newest, failed = [each.status for each in (await shop.kelviq.orders.list()).results]
    assert (newest, failed) == ("COMPLETE", "FAILED")


async def test_events_of_an_order_span_its_whole_subscription(shop):
    row = await shop.buy()
    await shop.buy("lifetime", ChargePeriod.ONE_TIME)
    await shop.kelviq.subscriptions.update(row.id, "enterprise", ChargePeriod.MONTHLY)
    shop.world.clock.advance(days=28)
    first, other, upgrade, renewal = shop.orders()
    for order in (first, upgrade, renewal):
        events = (await shop.kelviq.orders.events(order.id)).results
        assert {each.order for each in events} == {first.id, upgrade.id, renewal.id}
        assert [int(each.id) for each in events] == sorted((int(each.id) for each in events), reverse=True)
    events = (await shop.kelviq.orders.events(other.id)).results
    assert [each.code for each in events] == ["invoice.paid", "order.completed", "order.created"]
    assert events[1].metadata == {"primary": "+99.00", "secondary": "card ending 4242"}
    with pytest.raises(NotFound):
        await shop.kelviq.orders.events("ORD-nope")


async def test_the_published_example_of_a_fee(shop):
    shop.world.state.tax_rates["US"] = "20"
    shop.world.state.numbers["sold"] = 500_000
    session = await shop.session(
        "lifetime",
        ChargePeriod.ONE_TIME,
        custom_amount=Decimal("48.00"),
        currency_code="USD",
        tax_behavior=CheckoutTaxBehavior.EXCLUSIVE,
        default_billing_country="US",
    )
    shop.world.pay(session)
    (transaction,) = (await shop.kelviq.transactions.list()).results
    assert (
        transaction.amount_total,
        transaction.mor_fee,
        transaction.collected_tax,
        transaction.net_payout,
    ) == (
        Decimal("57.60"),
        Decimal("2.42"),
        Decimal("9.60"),
        Decimal("45.58"),
    )
    assert [(part.name, part.percentage) for part in transaction.mor_fee_breakdown] == [
        ("fixed_fee", None),
        ("base_fee", Decimal("3.5")),
    ]
    assert sum(part.value_units for part in transaction.mor_fee_breakdown) == 242


async def test_fees_by_card_kind_and_sales(shop):
    await shop.buy("pro", ChargePeriod.YEARLY, card="4000 0082 6000 0000")
    (fee,) = [each.fee_parts for each in shop.world.state.transactions.values()]
    names = {part["name"]: part["percentage"] for part in fee}
    assert names == {
        "fixed_fee": None,
        "base_fee": "2.9",
        "international_fee": "1.5",
        "subscription_fee": "0.7",
    }
    for number in range(11):
        await shop.buy("pro", ChargePeriod.YEARLY, customer_id=f"user-{number}")
    rates = [
        next(part["percentage"] for part in each.fee_parts if part["name"] == "base_fee")
        for each in shop.world.state.transactions.values()
    ]
    # After 11 sales of 490 the threshold of 5,000 is passed.
    assert rates == ["2.9"] * 11 + ["3.5"]


async def test_transactions_are_found(shop):
    await shop.buy()
    shop.world.clock.advance(days=10)
    await shop.buy("lifetime", ChargePeriod.ONE_TIME, customer_id="grace")

    async def totals(**filters):
        return [each.amount_total for each in (await shop.kelviq.transactions.list(**filters)).results]

    assert await totals() == [99, 49]
    assert await totals(search="extra") == [99]
    assert await totals(search="card") == [99, 49]
    assert await totals(search="grace") == [99]
    assert await totals(status=TransactionStatus.FAILURE) == []
    assert await totals(end_date=date(2026, 2, 1)) == [49]
    newest, oldest = (await shop.kelviq.transactions.list()).results
    assert (newest.is_settled, oldest.is_settled) == (False, True)
    assert oldest.available_on == date(2026, 2, 7)
    assert oldest.order["id"] == shop.orders()[0].id


async def test_money_is_a_number_in_transactions(shop):
    await shop.buy()
    answer = await shop.kelviq.send_raw(ListTransactions())
    row = codec.decode(answer.body)["results"][0]
    assert (row["amountTotal"], row["morFee"]) == (Decimal("49.00"), Decimal("2.16"))
    assert row["transactionType"] == "CHARGE"


async def test_a_currency_without_cents(shop):
    shop.world.seed_from(
        {"plans": [{"identifier": "yen", "product": "app", "currency": "JPY", "prices": {"MONTHLY": "980"}}]}
    )
    row = await shop.buy("yen")
    (order,) = (await shop.kelviq.orders.list()).results
    assert (str(order.amount_total), order.amount_total_units, order.sale_currency_symbol) == (
        "980",
        980,
        "¥",
    )
    await shop.kelviq.subscriptions.cancel(row.id, "IMMEDIATE")
    assert shop.balanced()
