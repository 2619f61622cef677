"""Subscriptions: lists, creating without a checkout, cancelling."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from kelviq_async import CancellationFeedback, CancellationType, ChargePeriod, codec
from kelviq_async.api.checkout import CheckoutTaxBehavior
from kelviq_async.api.subscriptions import CancelSubscription, RetrieveSubscription
from kelviq_async.emulator import World, billing, ending
from kelviq_async.errors import BadRequest, NotFound

MONTHLY, ONE_TIME = ChargePeriod.MONTHLY, ChargePeriod.ONE_TIME


async def update(shop, row, plan="enterprise", period=MONTHLY, **more):
    """The new record of an update."""
    answer = await shop.kelviq.subscriptions.update(row.id, plan, period, **more)
    return shop.world.state.subscriptions[answer.subscription_id]


def granted(shop):
    return [row.plan_identifier for row in billing.granting(shop.world, "user-123")]


# Lists


async def test_the_fields_of_the_published_example(shop):
    row = await shop.buy()
    answer = await shop.kelviq.send_raw(RetrieveSubscription(row.id))
    data = codec.decode(answer.body)
    assert data.pop("features")
    assert data == {
        "id": row.id,
        "externalSubscriptionId": f"sub_{row.id.replace('-', '')[:24]}",
        "startDate": "2026-01-31",
        "endDate": None,
        "billingPeriodStartTime": "2026-01-31T00:00:00Z",
        "billingPeriodEndTime": "2026-02-28T00:00:00Z",
        "amount": "49.00",
        "recurrence": "month",
        "currency": "usd",
        "status": "active",
        "product": "App",
        "plan": {"name": "Pro Plan", "identifier": "pro"},
        "trialDaysRemaining": 0,
        "customerId": "user-123",
        "billingType": "SUBSCRIPTION",
        "recurrenceUnit": 1,
        "recurrenceType": "MONTH",
        "files": [],
        "links": [{"name": "Guide", "url": "https://example.com/guide"}],
        "license": [],
        "canceledAt": None,
        "cancellationReason": None,
        "cancellationFeedback": None,
        "cancellationComment": None,
    }


async def test_features_are_what_is_granted(shop):
    await shop.buy()
    (subscription,) = await shop.current()
    found = {each.identifier: each for each in subscription.features}
    assert found["api-calls"].value == 100
    assert found["api-calls"].reset == "EVERY_MONTH"
    assert found["seats"].feature_details.units.plural == "seats"
    assert found["export-data"].value is None


async def test_without_status_each_agreement_once_with_status_every_record(shop):
    first = await shop.buy()
    second = await update(shop, first)
    third = await update(shop, second, "pro")
    lifetime = await shop.buy("lifetime", ONE_TIME)

    async def ids(**filters):
        return [each.id for each in (await shop.kelviq.subscriptions.list(**filters)).results]

    assert await ids(customer_id="user-123") == [lifetime.id, third.id]
    assert await ids() == [lifetime.id, third.id]
    assert await ids(status="superseded") == [second.id, first.id]
    assert await ids(status="active, superseded", customer_id="user-123") == [
        lifetime.id,
        third.id,
        second.id,
        first.id,
    ]
    assert await ids(status="past_due") == []
    assert await ids(customer_id="nobody") == []
    assert (await shop.kelviq.subscriptions.retrieve(first.id)).status == "superseded"


async def test_what_has_ended_is_gone_from_the_list_the_day_after(shop):
    row = await shop.buy()
    await shop.kelviq.subscriptions.cancel(row.id, CancellationType.IMMEDIATE)
    assert [each.status for each in await shop.current()] == ["canceled"]
    shop.world.clock.advance(days=1)
    assert await shop.current() == []
    assert (await shop.kelviq.subscriptions.list(status="canceled")).count == 1


async def test_filters_of_the_sdks(shop):
    await shop.buy()
    shop.world.clock.advance(days=3)
    second = await shop.buy("lifetime", ONE_TIME)

    async def ids(**filters):
        return [each.id for each in (await shop.kelviq.subscriptions.list(**filters)).results]

    day = datetime(2026, 2, 2, tzinfo=UTC)
    assert await ids(start_date_after=day) == [second.id]
    assert await ids(modified_on_after=day) == [second.id]
    assert len(await ids(start_date_before=day)) == len(await ids(modified_on_before=day)) == 1
    assert await ids(start_date_after=day, start_date_before=day) == []


async def test_all_pages(shop):
    for number in range(25):
        await shop.buy("free", ONE_TIME, customer_id=f"user-{number}")
    page = await shop.kelviq.subscriptions.list()
    assert (page.count, len(page.results), page.previous) == (25, 10, None)
    assert len({each.id async for each in shop.kelviq.subscriptions.each()}) == 25


async def test_an_unknown_subscription(shop):
    for call in (
        shop.kelviq.subscriptions.retrieve("nope"),
        shop.kelviq.subscriptions.update("nope", "pro", MONTHLY),
        shop.kelviq.subscriptions.preview_update("nope", "pro", MONTHLY),
        shop.kelviq.subscriptions.cancel("nope", CancellationType.IMMEDIATE),
    ):
        with pytest.raises(NotFound):
            await call


# Creating


async def test_creating_takes_the_saved_card(shop):
    await shop.buy("lifetime", ONE_TIME)
    shop.events()
    created = await shop.kelviq.subscriptions.create("pro", MONTHLY, "user-123")
    assert (created.status, created.amount, created.currency) == ("active", Decimal("49.00"), "USD")
    assert created.product.identifier == "app"
    assert shop.events() == ["subscription.created", "order.created", "invoice.created", "invoice.paid"]
    assert shop.balanced()


async def test_creating_needs_a_card_if_something_is_to_be_paid(shop):
    with pytest.raises(BadRequest, match="A payment method is required to complete this payment"):
        await shop.kelviq.subscriptions.create("pro", MONTHLY, "user-123")
    assert shop.world.state.subscriptions == {}
    assert (await shop.kelviq.subscriptions.create("free", ONE_TIME, "user-123")).status == "active"
    trial = await shop.kelviq.subscriptions.create("trial", MONTHLY, "user-123")
    assert (trial.status, trial.trial_days_remaining) == ("trialing", 14)


async def test_creating_with_a_card_that_declines(shop):
    await shop.buy("lifetime", ONE_TIME)
    shop.card().declines = True
    with pytest.raises(BadRequest, match="declined"):
        await shop.kelviq.subscriptions.create("pro", MONTHLY, "user-123")


@pytest.mark.parametrize("customer_id", ["nobody", None])
async def test_creating_for_nobody(shop, customer_id):
    with pytest.raises(BadRequest, match="Customer does not exist"):
        await shop.kelviq.subscriptions.create("pro", MONTHLY, customer_id)


# Cancelling


async def test_cancelling_at_once(shop):
    row = await shop.buy()
    shop.events()
    answer = await shop.kelviq.subscriptions.cancel(
        row.id,
        CancellationType.IMMEDIATE,
        cancellation_feedback=CancellationFeedback.TOO_EXPENSIVE,
        cancellation_comment="The plan no longer fits our budget.",
    )
    assert answer.message == "Subscription cancellation processed successfully."
    assert granted(shop) == []
    assert shop.events() == ["subscription.cancelled"]
    found = await shop.kelviq.subscriptions.retrieve(row.id)
    assert (found.status, found.end_date, found.canceled_at) == (
        "canceled",
        date(2026, 1, 31),
        datetime(2026, 1, 31, tzinfo=UTC),
    )
    assert found.cancellation_reason == "CANCELLED_BY_MERCHANT"
    assert found.cancellation_feedback == "TOO_EXPENSIVE"
    assert found.cancellation_comment == "The plan no longer fits our budget."
    shop.world.clock.advance(days=400)
    assert len(shop.orders()) == 1


async def test_cancelling_at_the_end_of_the_period(shop):
    row = await shop.buy()
    shop.events()
    await shop.kelviq.subscriptions.cancel(row.id, CancellationType.CURRENT_PERIOD_ENDS)
    assert shop.events() == ["subscription.updated"]
    (found,) = await shop.current()
    assert (found.status, found.end_date) == ("active", date(2026, 2, 28))
    assert found.canceled_at == datetime(2026, 1, 31, tzinfo=UTC)
    shop.world.clock.advance(days=27)
    assert granted(shop) == ["pro"]
    shop.world.clock.advance(days=1)
    assert (row.status, granted(shop)) == ("canceled", [])
    assert shop.events() == ["subscription.cancelled"]
    assert len(shop.orders()) == 1


async def test_cancelling_on_a_day(shop):
    row = await shop.buy()
    await shop.kelviq.subscriptions.cancel(
        row.id, CancellationType.SPECIFIC_DATE, cancellation_date=date(2026, 3, 15)
    )
    shop.world.clock.move_to(datetime(2026, 3, 14, 23, 59, tzinfo=UTC))
    assert (row.status, len(shop.orders())) == ("active", 2)
    shop.world.clock.advance(minutes=1)
    assert (row.status, row.end_date) == ("canceled", date(2026, 3, 15))


async def test_cancelling_today_by_date_is_at_once(shop):
    row = await shop.buy()
    shop.world.clock.advance(hours=9)
    request = CancelSubscription(row.id, CancellationType.SPECIFIC_DATE, cancellation_date=date(2026, 1, 31))
    await shop.kelviq.send(request)
    assert row.status == "canceled"


@pytest.mark.parametrize("day", [None, date(2026, 1, 30)])
async def test_cancelling_on_no_day_or_a_past_one(shop, day):
    row = await shop.buy()
    with pytest.raises(BadRequest) as caught:
        await shop.kelviq.subscriptions.cancel(row.id, CancellationType.SPECIFIC_DATE, cancellation_date=day)
    assert list(caught.value.fields) == ["cancellation_date"]
    assert row.canceled_at is None


async def test_what_was_cancelled_cannot_be_cancelled(shop):
    row = await shop.buy()
    await shop.kelviq.subscriptions.cancel(row.id, CancellationType.IMMEDIATE)
    with pytest.raises(BadRequest, match="canceled"):
        await shop.kelviq.subscriptions.cancel(row.id, CancellationType.IMMEDIATE)


async def test_a_later_cancellation_can_become_an_earlier_one(shop):
    row = await shop.buy()
    await shop.kelviq.subscriptions.cancel(row.id, CancellationType.CURRENT_PERIOD_ENDS)
    await shop.kelviq.subscriptions.cancel(
        row.id, CancellationType.SPECIFIC_DATE, cancellation_date=date(2026, 2, 10)
    )
    shop.world.clock.advance(days=10)
    assert row.status == "canceled"
    shop.events()
    shop.world.clock.advance(days=60)
    assert shop.events() == []


async def test_a_cancellation_stays_over_an_update(shop):
    row = await shop.buy()
    await shop.kelviq.subscriptions.cancel(row.id, CancellationType.CURRENT_PERIOD_ENDS)
    new = await update(shop, row)
    shop.world.clock.advance(days=28)
    assert (new.status, granted(shop)) == ("canceled", [])


async def test_cancelling_one_time_purchases(shop):
    row = await shop.buy("lifetime", ONE_TIME)
    with pytest.raises(BadRequest, match="no period"):
        await shop.kelviq.subscriptions.cancel(row.id, CancellationType.CURRENT_PERIOD_ENDS)
    await shop.kelviq.subscriptions.cancel(row.id, CancellationType.IMMEDIATE)
    assert granted(shop) == []


async def test_who_cancels_in_the_portal_is_the_customer(shop):
    row = await shop.buy()
    ending.cancel(shop.world, row, "IMMEDIATE", reason="CANCELLED_BY_CUSTOMER")
    assert (await shop.kelviq.subscriptions.retrieve(row.id)).cancellation_reason == "CANCELLED_BY_CUSTOMER"


# Keeping it


async def test_a_restored_world_goes_on(shop):
    row = await shop.buy(
        custom_amount=Decimal("12.34"), currency_code="USD", tax_behavior=CheckoutTaxBehavior.EXCLUSIVE
    )
    kept = shop.world.snapshot()
    other = World(now=datetime(2030, 1, 1, tzinfo=UTC))
    other.restore(kept)
    other.clock.advance(days=28)
    shop.world.clock.advance(days=28)
    assert other.state.subscriptions[row.id] == row
    assert [each.total_units for each in other.state.orders.values()] == [1234, 1234]
    assert [each.id for each in billing.granting(other, "user-123")] == [row.id]
