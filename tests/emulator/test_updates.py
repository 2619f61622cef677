"""Updates: what they change and cost, those that wait for their payment, and trials."""

from datetime import UTC, date, datetime, timedelta

import pytest

from kelviq_async import CancellationType, ChargePeriod
from kelviq_async.api.periods import FeatureQuantity
from kelviq_async.api.subscriptions import (
    PaymentBehavior,
    PreviewSubscriptionUpdate,
    ProrationBehavior,
    UpdateSubscription,
)
from kelviq_async.api.usage import ReportUsage, UsageBehaviour
from kelviq_async.emulator import billing
from kelviq_async.emulator.refusals import Refusal
from kelviq_async.errors import BadRequest

MONTHLY, YEARLY, ONE_TIME = ChargePeriod.MONTHLY, ChargePeriod.YEARLY, ChargePeriod.ONE_TIME
ON_PAYMENT = {"payment_behavior": PaymentBehavior.ACTIVATE_ON_PAYMENT}


async def update(shop, row, plan="enterprise", period=MONTHLY, **more):
    """The new record of an update."""
    answer = await shop.kelviq.subscriptions.update(row.id, plan, period, **more)
    return shop.world.state.subscriptions[answer.subscription_id]


def granted(shop):
    return [row.plan_identifier for row in billing.granting(shop.world, "user-123")]


async def test_an_upgrade_is_a_new_record_of_the_same_agreement(shop):
    old = await shop.buy()
    shop.events()
    shop.world.clock.advance(days=14)
    new = await update(shop, old)
    assert new.id != old.id
    assert (old.status, new.status, new.lineage) == ("superseded", "active", old.lineage)
    assert granted(shop) == ["enterprise"]
    # 14 of 28 days are left: half of 199 less half of 49.
    assert [order.total_units for order in shop.orders()] == [4900, 7500]
    assert shop.events() == ["subscription.plan_changed", "order.created", "invoice.created", "invoice.paid"]
    assert (new.period_end, new.start_date) == (datetime(2026, 2, 28, tzinfo=UTC), date(2026, 1, 31))
    shop.world.clock.advance(days=14)
    assert [order.total_units for order in shop.orders()] == [4900, 7500, 19900]
    assert shop.balanced()


async def test_the_event_tells_what_was_before(shop):
    old = await shop.buy()
    new = await update(shop, old)
    event = next(each.event for each in shop.told if each.type == "subscription.plan_changed")
    assert event["data"]["object"]["id"] == new.id
    assert event["data"]["previous_attributes"] == {
        "id": old.id,
        "plan": {"name": "Pro Plan", "version": 1, "identifier": "pro"},
        "amount": "49.00",
        "amount_units": 4900,
    }


async def test_more_of_the_same_plan_is_an_update_but_no_change_of_plan(shop):
    old = await shop.buy("seated", features=[FeatureQuantity(identifier="seats", quantity=2)])
    shop.events()
    new = await update(shop, old, "seated", features=[FeatureQuantity(identifier="seats", quantity=5)])
    assert (new.amount_units, new.quantities) == (3500, {"seats": 5})
    assert shop.events()[0] == "subscription.updated"
    kept = await update(shop, new, "seated")
    assert kept.quantities == {"seats": 5}
    assert (await update(shop, kept, "pro")).quantities == {"seats": 5}


async def test_a_downgrade_is_credited_on_the_next_invoices(shop):
    old = await shop.buy("enterprise")
    shop.world.clock.advance(days=14)
    await update(shop, old, "pro")
    shop.world.clock.advance(days=14 + 31 + 30)
    # 75 are left over: 49, then 26 less.
    assert [order.total_units for order in shop.orders()] == [19900, 0, 2300, 4900]
    assert shop.orders()[1].invoice_id is None
    assert shop.balanced()


async def test_a_credit_pays_for_an_upgrade_first(shop):
    old = await shop.buy("enterprise")
    shop.world.clock.advance(days=14)
    await update(shop, await update(shop, old, "pro"), "enterprise")
    assert [order.total_units for order in shop.orders()] == [19900]
    shop.world.clock.advance(days=14)
    assert shop.orders()[-1].total_units == 19900


@pytest.mark.parametrize(
    ("behavior", "totals"),
    [
        (ProrationBehavior.IMMEDIATE_CHARGE, [4900, 7500, 19900]),
        (ProrationBehavior.PRORATE_NEXT_INVOICE, [4900, 27400]),
        (ProrationBehavior.NO_PRORATION, [4900, 19900]),
    ],
)
async def test_prorations(shop, behavior, totals):
    old = await shop.buy()
    shop.world.clock.advance(days=14)
    await update(shop, old, proration_behavior=behavior)
    shop.world.clock.advance(days=14)
    assert [order.total_units for order in shop.orders()] == totals
    assert shop.balanced()


@pytest.mark.parametrize(
    ("behavior", "totals"),
    [
        (ProrationBehavior.IMMEDIATE_CHARGE, [4900, 49000 - 2450, 49000]),
        (ProrationBehavior.PRORATE_NEXT_INVOICE, [4900, 49000, 49000 - 2450]),
        (ProrationBehavior.NO_PRORATION, [4900, 49000, 49000]),
    ],
)
async def test_another_period_begins_at_once(shop, behavior, totals):
    old = await shop.buy()
    shop.world.clock.advance(days=14)
    new = await update(shop, old, "pro", YEARLY, proration_behavior=behavior)
    assert new.period_start == datetime(2026, 2, 14, tzinfo=UTC)
    assert new.period_end == datetime(2027, 2, 14, tzinfo=UTC)
    shop.world.clock.advance(days=365)
    assert [order.total_units for order in shop.orders()] == totals


async def test_a_proration_right_after_buying(shop):
    old = await shop.buy()
    await update(shop, old, proration_behavior=ProrationBehavior.PRORATE_NEXT_INVOICE)
    assert [order.total_units for order in shop.orders()] == [4900]
    shop.world.clock.advance(days=28)
    assert shop.orders()[-1].total_units == 19900 + 15000


async def test_a_proration_is_rounded_once(shop):
    old = await shop.buy()
    shop.world.clock.advance(days=9, hours=7, minutes=13, seconds=11)
    preview = await shop.kelviq.subscriptions.preview_update(old.id, "enterprise", MONTHLY)
    await update(shop, old)
    left = timedelta(days=28) - timedelta(days=9, hours=7, minutes=13, seconds=11)
    assert shop.orders()[-1].total_units == round(15000 * (left / timedelta(days=28)))
    assert preview.extra["amountDueUnits"] == shop.orders()[-1].total_units
    assert sum(line["amountUnits"] for line in preview.extra["lines"]) == preview.extra["amountDueUnits"]


async def test_a_preview_changes_nothing(shop):
    row = await shop.buy()
    before = shop.world.snapshot()
    answer = await shop.kelviq.send(PreviewSubscriptionUpdate(row.id, "enterprise", YEARLY))
    assert answer.extra["amountDue"] == "1941.00"
    assert answer.extra["billingPeriodEndTime"] == "2027-01-31T00:00:00Z"
    assert shop.world.snapshot() == before


async def test_an_update_that_the_card_declines_changes_nothing(shop):
    row = await shop.buy()
    shop.card().declines = True
    with pytest.raises(BadRequest, match="declined"):
        await update(shop, row)
    assert (row.status, granted(shop), len(shop.orders())) == ("active", ["pro"], 1)


async def test_free_plans_are_no_subject_of_updates(shop):
    free = await shop.buy("free", ONE_TIME)
    with pytest.raises(BadRequest, match="use a checkout"):
        await update(shop, free, "pro")
    pro = await shop.buy()
    for plan, period in (("free", ONE_TIME), ("free", MONTHLY), ("lifetime", ONE_TIME)):
        with pytest.raises(BadRequest, match="use a checkout"):
            await update(shop, pro, plan, period)
    assert granted(shop) == ["pro"]


async def test_what_is_not_in_force_cannot_be_updated(shop):
    old = await shop.buy()
    new = await update(shop, old)
    with pytest.raises(BadRequest, match="superseded"):
        await update(shop, old)
    await shop.kelviq.subscriptions.cancel(new.id, CancellationType.IMMEDIATE)
    with pytest.raises(BadRequest, match="canceled"):
        await update(shop, new)
    with pytest.raises(BadRequest):
        await update(shop, new, "nothing")


async def test_usage_counts_on_over_an_upgrade(shop):
    row = await shop.buy()
    await report(shop, 40)
    await update(shop, row)
    (entry,) = (await shop.kelviq.entitlements.raw("user-123", feature_id="api-calls")).entitlements
    assert (entry.current_usage, entry.usage_limit) == (40, 1000)


async def report(shop, units):
    await shop.kelviq.send(ReportUsage(units, "user-123", "api-calls", UsageBehaviour.DELTA))


async def test_a_discount_goes_on_after_an_update(shop):
    old = await shop.buy(discount_code="LAUNCH")
    shop.world.clock.advance(days=14)
    await update(shop, old)
    shop.world.clock.advance(days=14)
    assert [order.total_units for order in shop.orders()] == [3920, 6000, 15920]


# Updates that wait for their payment


async def test_an_update_waits_for_its_payment(shop):
    old = await shop.buy()
    shop.world.clock.advance(days=14)
    shop.events()
    new = await update(shop, old, **ON_PAYMENT)
    assert (old.status, new.status) == ("active", "incomplete")
    assert granted(shop) == ["pro"]
    assert [each.id for each in await shop.current()] == [old.id]
    assert (await shop.kelviq.subscriptions.list(status="incomplete")).results[0].id == new.id

    assert shop.world.pay(new.id, card="4000 0000 0000 0002").status == "incomplete"
    assert shop.world.pay(new.id, card="4000 0025 0000 3155", authenticate=False).status == "incomplete"
    assert shop.world.pay(new.id).status == "active"
    assert (old.status, new.status) == ("superseded", "active")
    assert granted(shop) == ["enterprise"]
    assert [order.total_units for order in shop.orders()] == [4900, 7500]
    assert "subscription.plan_changed" in shop.events()
    shop.world.clock.advance(days=14)
    assert shop.orders()[-1].total_units == 19900
    assert shop.balanced()


async def test_an_update_that_nobody_pays_expires(shop):
    old = await shop.buy()
    new = await update(shop, old, **ON_PAYMENT)
    shop.world.clock.advance(hours=24)
    assert (old.status, new.status) == ("active", "incomplete_expired")
    assert [each.id for each in await shop.current()] == [old.id]
    with pytest.raises(Refusal, match="incomplete_expired"):
        shop.world.pay(new.id)
    assert (await update(shop, old)).status == "active"


async def test_what_waits_goes_with_what_it_was_to_replace(shop):
    old = await shop.buy()
    first = await update(shop, old, **ON_PAYMENT)
    second = await update(shop, old, "pro", YEARLY, **ON_PAYMENT)
    assert (first.status, second.status) == ("incomplete_expired", "incomplete")
    await shop.kelviq.subscriptions.cancel(old.id, CancellationType.IMMEDIATE)
    assert second.status == "incomplete_expired"


async def test_a_renewal_meanwhile_is_reckoned_with(shop):
    old = await shop.buy()
    shop.world.clock.advance(days=27, hours=12)
    new = await update(shop, old, **ON_PAYMENT)
    shop.world.clock.advance(hours=12)
    assert shop.world.pay(new.id).status == "active"
    assert [order.total_units for order in shop.orders()] == [4900, 4900, 15000]
    assert new.period_end == datetime(2026, 3, 31, tzinfo=UTC)


async def test_a_downgrade_waits_for_nothing(shop):
    old = await shop.buy("enterprise")
    assert (await update(shop, old, "pro", **ON_PAYMENT)).status == "active"


async def test_the_end_of_a_trial_waits_too(shop):
    old = await shop.buy("trial")
    new = await update(shop, old, trial_end="now", **ON_PAYMENT)
    assert (old.status, new.status) == ("trialing", "incomplete")
    assert shop.world.pay(new.id).status == "active"
    assert new.period_end == datetime(2026, 2, 28, tzinfo=UTC)
    assert shop.orders()[-1].total_units == 19900


async def test_what_waits_can_be_cancelled(shop):
    old = await shop.buy()
    new = await update(shop, old, **ON_PAYMENT)
    await shop.kelviq.subscriptions.cancel(new.id, CancellationType.CURRENT_PERIOD_ENDS)
    assert (old.status, new.status) == ("active", "canceled")


# Trials


async def test_an_update_in_a_trial_keeps_it(shop):
    old = await shop.buy("trial")
    shop.world.clock.advance(days=4)
    new = await update(shop, old)
    assert (new.status, new.trial_end) == ("trialing", datetime(2026, 2, 14, tzinfo=UTC))
    shop.world.clock.advance(days=10)
    assert new.status == "active"
    assert shop.orders()[-1].total_units == 19900


async def test_a_trial_ends_now(shop):
    old = await shop.buy("trial")
    shop.world.clock.advance(days=4)
    new = await update(shop, old, "trial", trial_end="now")
    assert (new.status, new.period_start) == ("active", datetime(2026, 2, 4, tzinfo=UTC))
    assert shop.orders()[-1].total_units == 2000
    shop.world.clock.advance(days=28)
    assert [order.total_units for order in shop.orders()] == [0, 2000, 2000]


async def test_a_trial_ends_later(shop):
    old = await shop.buy("trial")
    end = datetime(2026, 3, 10, 12, tzinfo=UTC)
    new = await update(shop, old, "trial", trial_end=end)
    shop.world.clock.move_to(end - timedelta(seconds=1))
    assert (new.status, len(shop.orders())) == ("trialing", 1)
    shop.world.clock.advance(seconds=1)
    assert (new.status, new.period_end) == ("active", datetime(2026, 4, 10, 12, tzinfo=UTC))


async def test_a_paid_period_may_become_a_trial_and_is_credited(shop):
    old = await shop.buy()
    shop.world.clock.advance(days=14)
    new = await update(shop, old, "pro", trial_end=datetime(2026, 3, 1, tzinfo=UTC))
    assert (new.status, new.pending_units) == ("trialing", -2450)
    shop.world.clock.advance(days=15)
    assert shop.orders()[-1].total_units == 2450


async def test_a_trial_cannot_end_in_the_past(shop):
    old = await shop.buy("trial")
    with pytest.raises(BadRequest) as caught:
        await update(shop, old, "trial", trial_end=datetime(2026, 1, 30, tzinfo=UTC))
    assert "trial_end" in caught.value.fields


async def test_the_trial_end_of_the_published_example(shop):
    row = await shop.buy("trial")
    body = {"planIdentifier": "trial", "chargePeriod": "MONTHLY", "trialEnd": "2027-12-31 23:59:59"}
    request = UpdateSubscription.operation.parse({"subscription_id": row.id}, {}, body)
    new = shop.world.state.subscriptions[(await shop.kelviq.send(request)).subscription_id]
    assert new.trial_end == datetime(2027, 12, 31, 23, 59, 59, tzinfo=UTC)
