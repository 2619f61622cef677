"""Checkout: sessions, who buys, what it costs, cards, and what is told of it."""

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from kelviq_async import ChargePeriod, webhooks
from kelviq_async.api.checkout import CheckoutStatus, CheckoutTaxBehavior
from kelviq_async.api.periods import FeatureQuantity
from kelviq_async.api.usage import ReportUsage, UsageBehaviour
from kelviq_async.emulator.refusals import Refusal
from kelviq_async.errors import BadRequest, NotFound

PAID = ["checkout.completed", "subscription.created", "order.created", "invoice.created", "invoice.paid"]
DECLINED = "4000 0000 0000 0002"
ASKS = "4000 0025 0000 3155"


async def test_a_purchase_from_link_to_subscription(shop):
    link = await shop.kelviq.checkout.create_session(
        "pro", ChargePeriod.MONTHLY, "https://example.com/done", customer_id="user-123"
    )
    assert link.checkout_session_id.startswith("cs_test_")
    assert link.checkout_url == f"http://localhost/checkout/{link.checkout_session_id}/"

    paid = shop.world.pay(link.checkout_session_id)
    assert (paid.status, paid.paid, paid.redirect) == ("success", True, "https://example.com/done")
    assert shop.events() == [*PAID, "payment_method.created"]

    session = await shop.kelviq.checkout.retrieve_session(link.checkout_session_id)
    assert session.status is CheckoutStatus.SUCCESS
    assert session.customer.customer_id == "user-123"
    assert session.order.amount_total == Decimal("49.00")
    assert session.subscription.status == "active"
    assert session.payment_method.last4 == "4242"
    (subscription,) = await shop.current()
    assert subscription.id == session.subscription.id
    assert shop.balanced()


@pytest.mark.parametrize("who", [{"customer_id": "new"}, {"email": "new@example.com"}, {}])
async def test_whoever_is_new_becomes_a_customer(shop, who):
    link = await shop.kelviq.checkout.create_session("pro", ChargePeriod.MONTHLY, "https://x.example/", **who)
    assert shop.events() == ["customer.created"]
    shop.world.pay(link.checkout_session_id)
    customer = list(shop.world.state.customers.values())[-1]
    assert customer.customer_id == who.get("customer_id", customer.customer_id)
    assert customer.email == who.get("email")
    assert [each.customer_id for each in await shop.current(customer.customer_id)] == [customer.customer_id]


async def test_a_known_email_is_that_customer(shop):
    await shop.session(customer_id=None, email="ada@example.com")
    assert len(shop.world.state.customers) == 1
    assert shop.events() == []


async def test_an_archived_customer_does_not_come_back(shop):
    await shop.kelviq.customers.archive("user-123")
    with pytest.raises(BadRequest) as caught:
        await shop.session()
    assert caught.value.fields == {"customer_id": ["This customer was archived."]}


@pytest.mark.parametrize("plan", ["nothing", "draft"])
async def test_what_is_not_published_cannot_be_bought(shop, plan):
    await shop.kelviq.plans.create("Draft", next(iter(shop.world.state.products)), identifier="draft")
    with pytest.raises(BadRequest) as caught:
        await shop.session(plan, customer_id="stranger")
    assert "plan_identifier" in caught.value.fields
    assert "stranger" not in shop.world.state.customers


async def test_a_period_that_is_not_on_sale(shop):
    with pytest.raises(BadRequest, match="WEEKLY"):
        await shop.session("pro", ChargePeriod.WEEKLY)


async def test_sessions_are_listed_newest_first_and_filtered(shop):
    first = await shop.session()
    shop.world.clock.advance(hours=2)
    second = await shop.session("lifetime", ChargePeriod.ONE_TIME)
    shop.world.pay(second)

    async def ids(**filters):
        return [each.id for each in (await shop.kelviq.checkout.sessions(**filters)).results]

    assert await ids() == [second, first]
    assert await ids(status=CheckoutStatus.OPEN) == [first]
    assert await ids(search="extra") == [second]
    assert await ids(search="ada@") == [second, first]
    assert await ids(start_date=date(2026, 2, 1)) == []
    assert await ids(end_date=date(2026, 1, 31)) == [second, first]


async def test_an_unknown_session(shop):
    with pytest.raises(NotFound):
        await shop.kelviq.checkout.retrieve_session("cs_test_x")
    with pytest.raises(NotFound):
        await shop.kelviq.checkout.events("cs_test_x")
    with pytest.raises(Refusal) as caught:
        shop.world.pay("cs_test_x")
    assert caught.value.status == 404


async def test_a_declined_card_leaves_the_session_open(shop):
    session = await shop.session()
    paid = shop.world.pay(session, card=DECLINED)
    assert (paid.status, paid.problem, paid.paid) == ("open", "Your card was declined.", False)
    assert shop.events() == []
    assert shop.orders() == []
    failed, created = (await shop.kelviq.checkout.events(session)).results
    assert (failed.code, failed.status) == ("checkout_session.payment_failed", "failed")
    assert (created.code, created.status) == ("checkout_session.created", "success")
    assert shop.world.pay(session).status == "success"


async def test_a_card_that_asks_for_its_holder(shop):
    session = await shop.session()
    assert shop.world.pay(session, card=ASKS, authenticate=False).status == "processing"
    assert shop.world.pay(session, card=ASKS, authenticate=False).status == "processing"
    assert await shop.current() == []
    assert shop.world.pay(session).status == "success"
    assert shop.card().last4 == "3155"
    codes = [each.code for each in (await shop.kelviq.checkout.events(session)).results]
    assert codes == [
        "checkout_session.completed",
        "checkout_session.processing",
        "checkout_session.created",
    ]


async def test_a_card_that_is_no_test_card(shop):
    session = await shop.session()
    with pytest.raises(Refusal) as caught:
        shop.world.pay(session, card="4111 1111 1111 1111")
    assert caught.value.status == 400
    assert "card" in caught.value.body


async def test_a_session_is_paid_once(shop):
    session = await shop.session()
    shop.world.pay(session)
    with pytest.raises(Refusal, match="over: success"):
        shop.world.pay(session)
    assert len(shop.orders()) == 1


async def test_a_session_lasts_a_day(shop):
    session = await shop.session()
    shop.world.clock.advance(hours=23, minutes=59)
    assert (await shop.kelviq.checkout.retrieve_session(session)).status is CheckoutStatus.OPEN
    shop.world.clock.advance(minutes=1)
    assert (await shop.kelviq.checkout.retrieve_session(session)).status is CheckoutStatus.EXPIRED
    with pytest.raises(Refusal, match="over: expired"):
        shop.world.pay(session)


async def test_leaving_closes_the_session(shop):
    session = await shop.session(cancel_url="https://example.com/back")
    left = shop.world.cancel_checkout(session)
    assert (left.status, left.redirect) == ("closed", "https://example.com/back")
    shop.world.clock.advance(days=2)
    assert (await shop.kelviq.checkout.retrieve_session(session)).status is CheckoutStatus.CLOSED


async def test_quantities_are_bought_and_granted(shop):
    row = await shop.buy("seated", features=[FeatureQuantity(identifier="seats", quantity=7)])
    assert row.amount_units == 1000 + 7 * 500
    assert row.quantities == {"seats": 7}
    (subscription,) = await shop.current()
    assert {each.identifier: each.value for each in subscription.features}["seats"] == 7


async def test_one_of_a_feature_is_the_least_that_is_bought(shop):
    assert (await shop.buy("seated")).quantities == {"seats": 1}


async def test_quantities_that_cannot_be(shop):
    for features in ([("nope", 1)], [("seats", -1)], [("seats", 1), ("seats", 2)]):
        with pytest.raises(BadRequest) as caught:
            await shop.session(
                "seated",
                features=[FeatureQuantity(identifier=name, quantity=units) for name, units in features],
            )
        assert "features" in caught.value.fields


@pytest.mark.parametrize(("code", "total"), [("LAUNCH", 3920), ("launch", 3920), ("FIVER", 4400)])
async def test_discounts(shop, code, total):
    row = await shop.buy(discount_code=code)
    (order,) = shop.orders()
    assert (order.subtotal_units, order.discount_units, order.total_units) == (4900, 4900 - total, total)
    assert row.amount_units == 4900
    shop.world.clock.advance(days=28)
    assert shop.orders()[-1].total_units == total
    assert shop.balanced()


@pytest.mark.parametrize("code", ["NOPE", "EURO"])
async def test_discounts_that_do_not_apply(shop, code):
    with pytest.raises(BadRequest) as caught:
        await shop.session(discount_code=code)
    assert "discount_code" in caught.value.fields


async def test_a_custom_amount(shop):
    row = await shop.buy(
        custom_amount=Decimal("29.99"), currency_code="USD", tax_behavior=CheckoutTaxBehavior.INCLUSIVE
    )
    assert row.amount_units == 2999
    shop.world.clock.advance(days=28)
    assert [order.total_units for order in shop.orders()] == [2999, 2999]


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"currency_code": "USD"}, "tax_behavior"),
        ({"tax_behavior": CheckoutTaxBehavior.EXCLUSIVE}, "currency_code"),
        ({"tax_behavior": CheckoutTaxBehavior.EXCLUSIVE, "currency_code": "JPY"}, "custom_amount"),
    ],
)
async def test_a_custom_amount_needs_currency_and_tax_behavior(shop, given, field):
    with pytest.raises(BadRequest) as caught:
        await shop.session(custom_amount=Decimal("10.50"), **given)
    assert list(caught.value.fields) == [field]


@pytest.mark.parametrize(
    ("behavior", "subtotal", "tax", "total"),
    [(CheckoutTaxBehavior.EXCLUSIVE, 4800, 960, 5760), (CheckoutTaxBehavior.INCLUSIVE, 4000, 800, 4800)],
)
async def test_taxes(shop, behavior, subtotal, tax, total):
    shop.world.state.tax_rates["GB"] = "20"
    session = await shop.session(
        custom_amount=Decimal("48.00"),
        currency_code="USD",
        tax_behavior=behavior,
        default_billing_country="gb",
    )
    shop.world.pay(session)
    (order,) = shop.orders()
    assert (order.subtotal_units, order.tax_units, order.total_units) == (subtotal, tax, total)
    assert shop.balanced()


async def test_a_free_trial_costs_nothing_yet(shop):
    row = await shop.buy("trial")
    (order,) = shop.orders()
    assert (order.is_trial, order.total_units, order.status) == (True, 0, "COMPLETE")
    assert row.status == "trialing"
    assert row.trial_end == datetime(2026, 2, 14, tzinfo=UTC)
    assert shop.card().last4 == "4242"
    assert shop.events() == [
        "checkout.completed",
        "subscription.created",
        "order.created",
        "payment_method.created",
    ]
    (subscription,) = await shop.current()
    assert (subscription.status, subscription.trial_days_remaining) == ("trialing", 14)
    assert (await shop.kelviq.transactions.list()).count == 0


@pytest.mark.parametrize(("days", "status"), [(0, "active"), (3, "trialing")])
async def test_a_trial_of_another_length(shop, days, status):
    row = await shop.buy("trial", trial_period=days)
    assert row.status == status
    assert (row.period_end - row.period_start).days == (days or 28)


@pytest.mark.parametrize("days", [-1, 731, 3_650_000, 2**31, 2**62])
async def test_a_trial_of_a_length_that_no_price_can_have(shop, days):
    with pytest.raises(BadRequest) as caught:
        await shop.session("trial", trial_period=days)
    assert list(caught.value.fields) == ["trial_period"]
    assert shop.world.state.checkouts == {}


async def test_the_longest_trial(shop):
    row = await shop.buy("trial", trial_period=730)
    assert (row.trial_end - row.trial_start).days == 730


async def test_a_trial_needs_a_card_that_can_be_saved(shop):
    session = await shop.session("trial")
    assert shop.world.pay(session, card=DECLINED).status == "open"
    assert shop.world.pay(session, card="4000 0000 0000 0341").status == "success"


async def test_a_free_plan_takes_no_card(shop):
    session = await shop.session("free", ChargePeriod.ONE_TIME)
    assert shop.world.pay(session, card=DECLINED).status == "success"
    assert shop.events() == ["checkout.completed", "order.created"]
    (purchase,) = await shop.current()
    assert (purchase.billing_type, purchase.recurrence, purchase.amount) == ("ONE_TIME", "", Decimal("0.00"))
    assert purchase.recurrence_unit is None
    assert shop.world.state.payment_methods == {}


async def test_a_free_plan_is_upgraded_by_a_checkout_and_keeps_its_usage(shop):
    free = await shop.buy("free", ChargePeriod.ONE_TIME)
    await shop.kelviq.send(ReportUsage(4, "user-123", "api-calls", UsageBehaviour.DELTA))
    pro = await shop.buy("pro")
    assert free.status == "superseded"
    assert pro.lineage == free.lineage
    assert [each.plan.identifier for each in await shop.current()] == ["pro"]
    entries = (await shop.kelviq.entitlements.raw("user-123", feature_id="api-calls")).entitlements
    assert [(each.usage_limit, each.current_usage) for each in entries] == [(100, 4)]


async def test_two_plans_side_by_side(shop):
    await shop.buy("pro")
    await shop.buy("lifetime", ChargePeriod.ONE_TIME)
    assert {each.plan.identifier for each in await shop.current()} == {"pro", "lifetime"}


async def test_a_one_time_purchase(shop):
    await shop.buy("lifetime", ChargePeriod.ONE_TIME)
    assert shop.events() == ["checkout.completed", "order.created", "invoice.paid", "payment_method.created"]
    (purchase,) = await shop.current()
    assert (purchase.billing_type, purchase.recurrence, purchase.status) == ("ONE_TIME", "", "active")
    assert purchase.end_date is None
    shop.world.clock.advance(days=1000)
    assert len(shop.orders()) == 1


async def test_what_the_buyer_says_of_themselves(shop):
    session = await shop.session(customer_id="new")
    shop.events()
    shop.world.pay(session, name="Grace", email="grace@example.com", billing_address={"country": "US"})
    customer = await shop.kelviq.customers.retrieve("new")
    assert (customer.name, customer.email, customer.billing_address.country) == (
        "Grace",
        "grace@example.com",
        "US",
    )
    assert shop.events()[0] == "customer.updated"


async def test_a_locked_email_stays(shop):
    session = await shop.session(lock_email=True)
    shop.world.pay(session, email="other@example.com")
    assert (await shop.kelviq.customers.retrieve("user-123")).email == "ada@example.com"


async def test_metadata_come_back_unchanged_in_the_event(shop):
    notes = {"order_ref": "ABC-123", "camelCase": {"a b": [1, None]}}
    session = await shop.session(metadata=notes)
    assert (await shop.kelviq.checkout.retrieve_session(session)).metadata == notes
    shop.world.pay(session)
    event = shop.told[0].event
    assert event["type"] == "checkout.completed"
    assert event["data"]["object"]["metadata"] == notes
    assert "subscription_id" not in event["data"]["object"]


async def test_a_second_card_takes_the_first_ones_place(shop):
    await shop.buy()
    await shop.buy("lifetime", ChargePeriod.ONE_TIME)
    assert len(shop.world.state.payment_methods) == 1
    await shop.buy("lifetime", ChargePeriod.ONE_TIME, card=ASKS)
    newest, oldest = (await shop.kelviq.payment_methods.list(customer_id="user-123")).results
    assert (newest.is_default, newest.method_data["last4"]) == (True, "3155")
    assert (oldest.is_default, oldest.method_data["last4"]) == (False, "4242")
    assert (await shop.kelviq.payment_methods.list(customer_email="ada@example.com")).count == 2
    assert (await shop.kelviq.payment_methods.list(customer_id="nobody")).count == 0


async def test_the_plans_to_choose_from_are_on_sale(shop):
    await shop.session(plans_enabled="pro, enterprise")
    with pytest.raises(BadRequest) as caught:
        await shop.session(plans_enabled="pro,nope")
    assert list(caught.value.fields) == ["plans_enabled"]


async def test_an_amount_of_nothing_is_nothing(shop):
    row = await shop.buy(
        custom_amount=Decimal(0), currency_code="USD", tax_behavior=CheckoutTaxBehavior.EXCLUSIVE
    )
    assert (row.amount_units, row.status) == (0, "active")
    assert shop.card().last4 == "4242"


async def test_renewals_are_taxed_where_the_buyer_lives(shop):
    shop.world.state.tax_rates["GB"] = "20"
    await shop.buy(default_billing_country="GB")
    shop.world.clock.advance(days=28)
    assert [order.total_units for order in shop.orders()] == [5880, 5880]


async def test_a_session_is_shown_also_when_its_price_is_gone(shop):
    session = await shop.session(discount_code="FIVER")
    shop.world.state.promotions.clear()
    found = await shop.kelviq.checkout.retrieve_session(session)
    assert found.offering_data["currency"] == "USD"
    assert "amount" not in found.offering_data


def same_names(example, told, where):
    """Where the names of an event differ from the published example's."""
    if not isinstance(example, dict) or not isinstance(told, dict) or not example or not told:
        return []
    found = [f"{where}.{name}" for name in sorted(example.keys() ^ told.keys())]
    for name in example.keys() & told.keys():
        if name != "metadata":
            found += same_names(example[name], told[name], f"{where}.{name}")
    return found


async def test_events_have_the_names_of_the_published_examples(shop):
    examples = json.loads((Path(__file__).parents[1] / "webhooks" / "events.json").read_text("utf-8"))
    await shop.buy(default_billing_country="IN", email="x@example.com", customer_id="new")
    await shop.kelviq.refunds.create(shop.orders()[0].id)
    shop.card("new").declines = True
    shop.world.clock.advance(days=28)
    shop.card("new").declines = False
    shop.world.clock.advance(days=1)
    compared = set()
    for each in shop.told:
        event = webhooks.verify(each.body, each.headers, shop.told.secret)
        assert event.external_customer_id == "new"
        if event.type in examples:
            compared.add(event.type)
            example = examples[event.type]["data"]["object"]
            assert same_names(example, each.event["data"]["object"], event.type) == []
    assert compared == {
        "checkout.completed",
        "customer.created",
        "order.created",
        "order.updated",
        "subscription.created",
        "subscription.updated",
        "invoice.created",
        "invoice.paid",
        "refund.created",
        "payment_method.created",
    }
