from datetime import UTC, datetime

import pytest


async def test_the_dashboard_shows_what_there_is(world, kelviq, visit, look):
    path, _ = await visit()
    look(path, action="pay", card="4242424242424242")
    await kelviq.usage.report(850, "user-123", "calls", "SET")
    open_path, _ = await visit("team", customer_id="other")
    world.faults.add("ReportUsage", "drop_after", times=3)
    world.webhooks.register("http://127.0.0.1:1/hook")
    world.emit("customer.created", {"customer_id": "user-123"})
    page = look("/")
    for text in (
        "31 Jan 2026, 09:30 UTC",
        "user-123",
        "Pro active $49.00 every month, renews 28 Feb 2026",
        "850 of 1,000",
        "$49.00 complete",
        "customer.created",
        "waiting",
        "ReportUsage drop_after",
        "/api/v1/report/usage/",
    ):
        assert text in page.text
    assert '<progress max="100" value="85" class="high"' in page.html
    assert f'href="{open_path}"' in page.html
    fragment = look("/changes")
    assert "<html" not in fragment.html
    assert "850 of 1,000" in fragment.text


def test_customers_are_found(look):
    assert "user-123" in look("/?q=ADA@").html
    assert "Nobody yet." in look("/?q=zzz").text


def test_many_customers_are_not_shown_all(world, look):
    world.seed_from({"customers": [{"customerId": f"c{number}"} for number in range(30)]})
    page = look("/")
    assert "There are more" in page.text
    assert "c29" in page.text
    assert "user-123" not in page.text
    assert "user-123" in look("/changes?q=user").text


def test_time_passes_on_the_dashboard(world, look):
    assert look("/", action="advance", amount="1.5", unit="hours").location == "/"
    assert world.now() == datetime(2026, 1, 31, 11, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    "form",
    [
        {"action": "advance", "amount": "-1", "unit": "days"},
        {"action": "advance", "amount": "0", "unit": "days"},
        {"action": "advance", "amount": "soon", "unit": "days"},
        {"action": "advance", "amount": "nan", "unit": "days"},
        {"action": "advance", "amount": "inf", "unit": "days"},
        {"action": "advance", "amount": "99999", "unit": "days"},
        {"action": "advance", "amount": "1", "unit": "years"},
        {"action": "fault", "operation": "Nope", "kind": "drop_after"},
        {"action": "fault", "operation": "*", "kind": "nope"},
        {"action": "fault", "operation": "*", "kind": "drop_after", "times": "x"},
        {"action": "resend", "delivery": "nope"},
        {"action": "explode"},
        {"x": "y"},
    ],
)
def test_what_the_dashboard_cannot_do_it_says(world, form, look):
    page = look("/", **form)
    assert page.status == 400
    assert "That did not work." in page.text
    assert world.now() == datetime(2026, 1, 31, 9, 30, tzinfo=UTC)
    assert world.faults.remaining == []


def test_faults_come_and_go_on_the_dashboard(world, look):
    look("/", action="fault", operation="*", kind="latency", times="", latency="0.5")
    look("/", action="fault", operation="ReportUsage", kind="drop_after", times="2", latency="")
    assert [(each.kind, each.times) for each in world.faults.remaining] == [
        ("latency", None),
        ("drop_after", 2),
    ]
    look("/", action="clear-faults")
    assert world.faults.remaining == []


def test_a_delivery_is_resent_from_the_dashboard(world, look):
    told = world.webhooks.capture()
    world.emit("customer.created", {"customer_id": "user-123"})
    assert look("/?q=ada", action="resend", delivery=world.deliveries[0].id).location == "/?q=ada"
    assert len(told) == 2


def test_starting_over(world, look):
    look("/", action="reset")
    assert world.state.customers == {}
    assert "No endpoint is registered" in look("/").text


async def test_states_of_subscriptions_in_words(world, visit, look):
    for plan, period in (
        ("trial", "MONTHLY"),
        ("once", "ONE_TIME"),
        ("pro", "MONTHLY"),
        ("free", "ONE_TIME"),
    ):
        path, _ = await visit(plan, period, customer_id=f"has-{plan}")
        look(path, action="pay", card="4242424242424242")
    for row in world.state.payment_methods.values():
        row.declines = row.customer_id == "has-pro"
    assert "trial until 14 Feb 2026" in look("/").text
    world.clock.advance(days=29)
    page = look("/")
    assert "past_due" in page.text
    assert "tries again" in page.text
    assert "$5.00, for good" in page.text
    assert "free, for good" in page.text


async def test_what_is_cancelled_for_later_in_words(kelviq, look, visit, world):
    path, row = await visit()
    look(path, action="pay", card="4242424242424242")
    await kelviq.subscriptions.cancel(row.subscription_id, "CURRENT_PERIOD_ENDS")
    assert "ends 28 Feb 2026" in look("/").text


@pytest.mark.parametrize(
    ("statuses", "said"),
    [([200], "200 1 attempt"), ([500], "500, again soon 1 attempt"), ([500] * 4, "500 4 attempts")],
)
def test_how_deliveries_went_in_words(look, world, statuses, said):
    answers = iter(statuses)
    world.webhooks.capture(answer=lambda _: next(answers))
    world.emit("customer.created", {"customer_id": "user-123"})
    for _ in statuses[1:]:
        world.clock.advance(minutes=1)
    assert said in look("/").text


def test_a_meter_without_a_limit_in_words(look, world):
    world.seed_from(
        {
            "plans": [
                {
                    "identifier": "flat",
                    "product": "app",
                    "prices": {"MONTHLY": "9"},
                    "features": {"calls": None},
                }
            ],
            "subscriptions": [{"customerId": "user-123", "plan": "flat"}],
        }
    )
    assert "Calls 0 used, unlimited" in look("/").text
