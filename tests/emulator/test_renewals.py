"""What time does: renewals without drift, ends of trials, cards that decline, usage paid in arrears."""

from datetime import UTC, datetime, timedelta

import pytest

from kelviq_async import CancellationType, ChargePeriod
from kelviq_async.api.subscriptions import ProrationBehavior
from kelviq_async.api.usage import ReportUsage, UsageBehaviour
from kelviq_async.emulator import billing
from kelviq_async.emulator.renewals import ATTEMPTS
from kelviq_async.errors import BadRequest

LATER_DECLINED = "4000 0000 0000 0341"
RENEWED = ["order.created", "invoice.created", "invoice.paid", "subscription.updated"]
FAILED = ["order.created", "invoice.created", "invoice.payment_failed", "subscription.updated"]


def days(shop):
    return [f"{order.created_on:%m-%d}" for order in shop.orders()]


async def test_the_31st_does_not_drift(shop):
    await shop.buy()
    shop.world.clock.advance(days=365)
    expected = ["01-31", "02-28", "03-31", "04-30", "05-31", "06-30", "07-31"]
    assert days(shop) == [*expected, "08-31", "09-30", "10-31", "11-30", "12-31", "01-31"]
    assert [order.is_renewal for order in shop.orders()] == [False] + [True] * 12
    (subscription,) = await shop.current()
    assert subscription.billing_period_end_time == datetime(2027, 2, 28, tzinfo=UTC)
    assert shop.balanced()


async def test_small_steps_come_to_the_same_as_a_large_one(shop):
    await shop.buy()
    for _ in range(60):
        shop.world.clock.advance(days=1, hours=0.5)
    assert days(shop) == ["01-31", "02-28", "03-31"]
    assert shop.orders()[1].created_on == datetime(2026, 2, 28, tzinfo=UTC)


async def test_a_renewal_tells_what_it_did(shop):
    row = await shop.buy()
    shop.events()
    shop.world.clock.advance(days=28)
    assert shop.told.types == RENEWED
    paid, updated = shop.told[2].event, shop.told[3].event
    assert paid["data"]["previous_attributes"] == {"status": "OPEN", "paid_at": None}
    assert paid["data"]["object"]["amount_total"] == "49"
    assert updated["data"]["object"]["id"] == row.id
    assert updated["data"]["previous_attributes"] == {
        "billing_period_start_time": "2026-01-31T00:00:00Z",
        "billing_period_end_time": "2026-02-28T00:00:00Z",
    }


async def test_a_leap_day_once_a_year(shop):
    shop.world.clock.move_to(datetime(2028, 2, 29, 8, 30, tzinfo=UTC))
    row = await shop.buy("pro", ChargePeriod.YEARLY)
    ends = []
    for _ in range(4):
        ends.append(row.period_end)
        shop.world.clock.move_to(row.period_end)
    assert [f"{end:%Y-%m-%d %H:%M}" for end in ends] == [
        "2029-02-28 08:30",
        "2030-02-28 08:30",
        "2031-02-28 08:30",
        "2032-02-29 08:30",
    ]


@pytest.mark.parametrize(
    ("period", "second", "recurrence"),
    [
        ("DAILY", "2026-02-01", ("day", 1, "DAY")),
        ("WEEKLY", "2026-02-07", ("week", 1, "WEEK")),
        ("TWENTY_EIGHT_DAYS", "2026-02-28", ("28 days", 28, "DAY")),
        ("MONTHLY", "2026-02-28", ("month", 1, "MONTH")),
        ("THREE_MONTHS", "2026-04-30", ("3 months", 3, "MONTH")),
        ("SIX_MONTHS", "2026-07-31", ("6 months", 6, "MONTH")),
        ("YEARLY", "2027-01-31", ("year", 1, "YEAR")),
    ],
)
async def test_all_charge_periods(shop, period, second, recurrence):
    shop.world.seed_from({"plans": [{"identifier": "any", "product": "app", "prices": {period: "7.00"}}]})
    row = await shop.buy("any", ChargePeriod(period))
    (subscription,) = await shop.current()
    found = (subscription.recurrence, subscription.recurrence_unit, subscription.recurrence_type)
    assert found == recurrence
    shop.world.clock.move_to(row.period_end)
    assert f"{shop.orders()[1].created_on:%Y-%m-%d}" == second


async def test_a_trial_ends_in_the_first_payment(shop):
    row = await shop.buy("trial")
    shop.world.clock.advance(days=13, hours=23)
    assert (row.status, len(shop.orders())) == ("trialing", 1)
    shop.events()
    shop.world.clock.advance(hours=1)
    assert (row.status, shop.orders()[1].total_units) == ("active", 2000)
    assert shop.told.types == RENEWED
    assert shop.told[3].event["data"]["previous_attributes"]["status"] == "trialing"
    assert row.period_end == datetime(2026, 3, 14, tzinfo=UTC)
    shop.world.clock.advance(days=28)
    assert days(shop) == ["01-31", "02-14", "03-14"]


async def test_a_trial_that_was_cancelled_costs_nothing(shop):
    row = await shop.buy("trial")
    await shop.kelviq.subscriptions.cancel(row.id, CancellationType.CURRENT_PERIOD_ENDS)
    shop.world.clock.advance(days=30)
    assert (row.status, len(shop.orders())) == ("canceled", 1)
    assert row.end_date.isoformat() == "2026-02-14"


async def test_a_trial_without_a_card_is_past_due(shop):
    await shop.kelviq.subscriptions.create("trial", ChargePeriod.MONTHLY, "user-123")
    shop.world.clock.advance(days=14)
    assert [each.status for each in await shop.current()] == ["past_due"]


async def test_a_failed_renewal_is_tried_eight_times_and_then_over(shop):
    row = await shop.buy()
    shop.card().declines = True
    shop.world.clock.advance(days=28)
    assert (row.status, row.failed_attempts) == ("past_due", 1)
    assert billing.granting(shop.world, "user-123") == [row]
    shop.world.clock.advance(days=13, hours=23)
    assert (row.status, row.failed_attempts) == ("past_due", 7)
    shop.events()
    shop.world.clock.advance(hours=1)
    assert (row.status, row.failed_attempts) == ("canceled", 8)
    assert shop.events() == ["invoice.payment_failed", "subscription.cancelled"]
    assert billing.granting(shop.world, "user-123") == []
    found = await shop.kelviq.subscriptions.retrieve(row.id)
    assert found.cancellation_reason == "CANCELLED_BY_PROVIDER"
    shop.world.clock.advance(days=365)
    assert [order.status for order in shop.orders()] == ["COMPLETE", "FAILED"]
    assert shop.balanced()


def test_eight_tries_within_14_days():
    assert len(ATTEMPTS) == 8
    assert ATTEMPTS[0] == timedelta(0)
    assert ATTEMPTS[-1] == timedelta(days=14)


async def test_a_failed_renewal_tells_so(shop):
    await shop.buy()
    shop.card().declines = True
    shop.events()
    shop.world.clock.advance(days=28)
    assert shop.told.types == FAILED
    assert shop.told[0].event["data"]["object"]["status"] == "FAILED"
    assert shop.told[2].event["data"]["object"]["status"] == "OPEN"
    assert shop.told[3].event["data"]["object"]["status"] == "past_due"


async def test_a_later_try_goes_through(shop):
    row = await shop.buy()
    shop.card().declines = True
    shop.world.clock.advance(days=28)
    shop.card().declines = False
    shop.events()
    shop.world.clock.advance(days=1)
    assert (row.status, row.failed_attempts, row.open_order) == ("active", 0, None)
    assert shop.events() == ["invoice.paid", "order.updated", "subscription.updated"]
    assert [order.status for order in shop.orders()] == ["COMPLETE", "COMPLETE"]
    shop.world.clock.move_to(datetime(2026, 3, 31, tzinfo=UTC))
    assert days(shop) == ["01-31", "02-28", "03-31"]
    assert shop.balanced()


async def test_paying_what_is_past_due(shop):
    row = await shop.buy()
    shop.card().declines = True
    shop.world.clock.advance(days=30)
    assert shop.world.pay(row.id, card="4000 0000 0000 0002").status == "past_due"
    assert shop.world.pay(row.id, card="4000 0025 0000 3155").status == "active"
    assert shop.orders()[-1].payment_method_id == shop.card().id
    shop.world.clock.advance(days=365)
    assert row.status == "active"


async def test_an_update_pays_what_is_past_due_first(shop):
    row = await shop.buy()
    shop.card().declines = True
    shop.world.clock.advance(days=28)
    with pytest.raises(BadRequest, match="declined"):
        await shop.kelviq.subscriptions.update(row.id, "enterprise", ChargePeriod.MONTHLY)
    shop.card().declines = False
    await shop.kelviq.subscriptions.update(row.id, "enterprise", ChargePeriod.MONTHLY)
    assert [order.total_units for order in shop.orders()] == [4900, 4900, 15000]
    (subscription,) = await shop.current()
    assert subscription.status == "active"


async def test_cancelling_what_is_past_due(shop):
    row = await shop.buy()
    shop.card().declines = True
    shop.world.clock.advance(days=28)
    await shop.kelviq.subscriptions.cancel(row.id, CancellationType.IMMEDIATE)
    shop.events()
    shop.world.clock.advance(days=30)
    assert (row.status, shop.events()) == ("canceled", [])
    invoice = shop.world.state.invoices[shop.orders()[-1].invoice_id]
    assert invoice.status == "FAILED"


async def test_days_that_pass_while_past_due_are_made_up_for(shop):
    shop.world.seed_from({"plans": [{"identifier": "daily", "product": "app", "prices": {"DAILY": "1.00"}}]})
    row = await shop.buy("daily", ChargePeriod.DAILY)
    shop.card().declines = True
    shop.world.clock.advance(days=4)
    assert len(shop.orders()) == 2
    shop.card().declines = False
    shop.world.clock.advance(days=1)
    assert (row.status, len(shop.orders())) == ("active", 6)
    assert row.period_end == datetime(2026, 2, 6, tzinfo=UTC)
    assert shop.balanced()


async def test_a_card_that_is_only_good_for_saving(shop):
    row = await shop.buy("trial", card=LATER_DECLINED)
    shop.world.clock.advance(days=14)
    assert row.status == "past_due"


async def test_usage_is_paid_in_arrears(shop):
    row = await shop.buy("seated")
    assert shop.orders()[0].total_units == 1500

    async def report(units, behaviour):
        await shop.kelviq.send(ReportUsage(units, "user-123", "api-calls", behaviour))

    await report(100, UsageBehaviour.DELTA)
    shop.world.clock.advance(days=10)
    await report(250, UsageBehaviour.SET)
    await report(50, UsageBehaviour.DELTA)
    shop.world.clock.advance(days=18)
    assert shop.orders()[1].total_units == 1500 + 300
    shop.world.clock.move_to(row.period_end)
    assert shop.orders()[2].total_units == 1500
    assert shop.balanced()


async def test_renewals_follow_the_price_that_was_agreed_on(shop):
    from kelviq_async import PlanPriceInput
    from kelviq_async.api.prices import CatalogChargePeriod

    await shop.buy()
    price = PlanPriceInput.flat({CatalogChargePeriod.MONTHLY: 60})
    await shop.kelviq.plans.set_prices("pro", [price])
    await shop.kelviq.plans.publish("pro")
    shop.world.clock.advance(days=28)
    assert shop.orders()[-1].total_units == 4900
    await shop.kelviq.plans.archive("pro")
    shop.world.clock.advance(days=31)
    assert shop.orders()[-1].total_units == 4900


async def test_a_charge_on_the_next_invoice_is_for_once(shop):
    row = await shop.buy()
    shop.world.clock.advance(days=14)
    await shop.kelviq.subscriptions.update(
        row.id,
        "enterprise",
        ChargePeriod.MONTHLY,
        proration_behavior=ProrationBehavior.PRORATE_NEXT_INVOICE,
    )
    shop.world.clock.advance(days=14 + 31)
    assert [order.total_units for order in shop.orders()] == [4900, 27400, 19900]


async def test_many_at_once_are_quick(shop):
    for number in range(500):
        await shop.buy("pro", customer_id=f"user-{number}")
    shop.world.clock.advance(days=28)
    assert len(shop.orders()) == 1000
    assert len({order.id for order in shop.orders()}) == 1000
