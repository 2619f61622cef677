"""Whatever happens in whatever order: the books are right, and what is shown is what is granted."""

import random

import pytest

from kelviq_async import CancellationType, ChargePeriod
from kelviq_async.api.subscriptions import PaymentBehavior, ProrationBehavior
from kelviq_async.emulator import billing
from kelviq_async.emulator.refusals import Refusal
from kelviq_async.errors import ApiError

CARDS = ["4242 4242 4242 4242", "4000 0000 0000 0002", "4000 0025 0000 3155", "4000 0000 0000 0341"]
PLANS = ["pro", "enterprise", "trial", "seated", "licensed", "free", "lifetime"]
PERIODS = [ChargePeriod.MONTHLY, ChargePeriod.YEARLY, ChargePeriod.ONE_TIME]


async def step(shop, chance):
    """One thing that somebody does, allowed or not."""
    kelviq, world = shop.kelviq, shop.world
    rows = list(world.state.subscriptions.values())
    row = chance.choice(rows) if rows else None
    match chance.randrange(8):
        case 0 | 1:
            more = {"discount_code": chance.choice(["LAUNCH", "FIVER"])} if chance.random() < 0.3 else {}
            session = await shop.session(
                chance.choice(PLANS), chance.choice(PERIODS), f"user-{chance.randrange(3)}", **more
            )
            world.pay(session, card=chance.choice(CARDS), billing_address={"country": "GB"})
        case 2 | 3 if row:
            await kelviq.subscriptions.update(
                row.id,
                chance.choice(PLANS),
                chance.choice(PERIODS),
                proration_behavior=chance.choice(list(ProrationBehavior)),
                payment_behavior=chance.choice([None, PaymentBehavior.ACTIVATE_ON_PAYMENT]),
                trial_end=chance.choice([None, None, "now"]),
            )
        case 4 if row:
            await kelviq.subscriptions.cancel(row.id, chance.choice(list(CancellationType)[:2]))
        case 5 if row:
            world.pay(row.id, card=chance.choice(CARDS))
        case 6 if shop.orders():
            amount = {"amount_units": chance.randrange(1, 3000)} if chance.random() < 0.7 else {}
            await kelviq.refunds.create(chance.choice(shop.orders()).id, **amount)
        case _:
            for method in world.state.payment_methods.values():
                method.declines = chance.random() < 0.3
            world.clock.advance(days=chance.choice([0.3, 5, 28, 31, 90]))


def sound(shop):
    """What must hold of every row."""
    now, state = shop.world.now(), shop.world.state
    assert shop.balanced()
    for row in state.subscriptions.values():
        assert row.amount_units >= 0
        if row.status in billing.GRANTING and row.period_end is not None and row.status != "past_due":
            assert row.period_start <= now < row.period_end
        if row.status == "past_due":
            assert state.orders[row.open_order].status == "FAILED"
            assert row.next_attempt > now
        if row.status in {"canceled", "superseded", "incomplete_expired"}:
            assert row.end_date is not None
        for key in row.license_ids:
            assert key in state.licenses
    for order in state.orders.values():
        assert 0 <= order.refunded_units <= order.total_units
        invoice = state.invoices.get(order.invoice_id)
        assert (invoice is None) == (order.total_units == 0)
        assert invoice is None or (invoice.status == "PAID") == (order.paid_at is not None)


@pytest.mark.parametrize("seed", range(8))
async def test_a_random_life(shop, seed):
    chance = random.Random(seed)  # noqa: S311  the same lives each time
    shop.world.state.tax_rates["GB"] = "20"
    refused = 0
    for _ in range(80):
        try:
            await step(shop, chance)
        except (ApiError, Refusal):  # a crash would be in world.crashes
            refused += 1
        sound(shop)
        for number in range(3):
            current = await shop.current(f"user-{number}")
            assert len({each.id for each in current}) == len(current)
            granting = {row.id for row in billing.granting(shop.world, f"user-{number}")}
            assert granting <= {each.id for each in current}
    assert refused < 80
    async for order in shop.kelviq.orders.each():
        assert order.amount_total == order.amount_subtotal - order.amount_discount + order.amount_tax
