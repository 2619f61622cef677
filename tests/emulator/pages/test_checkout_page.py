import re
from urllib.parse import urlencode

import pytest

from kelviq_async import ChargePeriod
from kelviq_async.emulator.checkout_page import safe

NASTY = "<script>alert('x')</script>&\"quoted\""


async def test_the_checkout_tells_what_is_bought(visit, look):
    path, _ = await visit()
    page = look(path)
    assert page.status == 200
    for text in ("Acme", "Pro", "$49.00 every month", "Export", "Calls: 1,000 a month", "Seats: 5"):
        assert text in page.text
    assert "Then $49.00 every month until it is cancelled." in page.text
    assert 'value="ada@example.com"' in page.html


async def test_paying_leads_to_the_shop(world, visit, look):
    path, row = await visit()
    answer = look(path, action="pay", card="4242424242424242", email="new@example.com", name="Ada L")
    assert (answer.status, answer.location) == (303, "https://example.com/done")
    assert row.status == "success"
    customer = world.state.customers["user-123"]
    assert (customer.email, customer.name) == ("new@example.com", "Ada L")
    paid = look(path)
    assert "Paid" in paid.text
    assert row.order_id in paid.text
    assert 'href="https://example.com/done"' in paid.html


async def test_paying_twice_takes_the_money_once(world, visit, look):
    path, _ = await visit()
    look(path, action="pay", card="4242424242424242")
    assert "Paid" in look(path, action="pay", card="4242424242424242").text
    assert len(world.state.orders) == 1


async def test_a_locked_email_stays(world, visit, look):
    path, _ = await visit(lock_email=True)
    assert "readonly" in look(path).html
    look(path, action="pay", card="4242424242424242", email="evil@example.com")
    assert world.state.customers["user-123"].email == "ada@example.com"


async def test_a_declined_card_is_told_and_can_be_changed(visit, look):
    path, row = await visit()
    page = look(path, action="pay", card="4000000000000002", email="typed@example.com")
    assert page.status == 402
    assert "Your card was declined. Nothing was taken." in page.text
    assert 'role="alert"' in page.html
    assert re.search(r'value="4000000000000002" checked', page.html)
    assert 'value="typed@example.com"' in page.html
    assert row.status == "open"
    assert look(path, action="pay", card="4242424242424242").status == 303


async def test_a_card_that_asks_leads_over_its_bank(visit, look):
    path, row = await visit()
    assert look(path, action="pay", card="4000002500003155").location == path
    page = look(path)
    assert "Is it you?" in page.text
    assert "$49.00" in page.text
    assert "ending in 3155" in page.text
    assert look(path, action="confirm").location == "https://example.com/done"
    assert row.status == "success"


async def test_who_says_no_to_the_bank_may_try_again(visit, look):
    path, row = await visit()
    look(path, action="pay", card="4000002500003155")
    page = look(path, action="refuse")
    assert (page.status, row.status) == (402, "open")
    assert "The payment was not confirmed." in page.text
    assert look(path, action="pay", card="4242424242424242").status == 303


@pytest.mark.parametrize(("cancel_url", "status"), [("https://example.com/back", 303), (None, 200)])
async def test_leaving(world, visit, cancel_url, status, look):
    path, row = await visit(cancel_url=cancel_url)
    answer = look(path, action="cancel")
    assert (answer.status, row.status) == (status, "closed")
    assert answer.headers.get("Location") == cancel_url
    page = look(path, action="pay", card="4242424242424242")
    assert "You left this checkout" in page.text
    assert world.state.orders == {}


async def test_an_old_link(world, visit, look):
    path, _ = await visit(cancel_url="https://example.com/back")
    world.clock.advance(days=2)
    page = look(path)
    assert "This checkout has expired" in page.text
    assert 'href="https://example.com/back"' in page.html


async def test_a_free_trial(world, visit, look):
    path, _ = await visit("trial")
    page = look(path)
    assert "Due today $0.00" in page.text
    assert "Free for 14 days, then $20.00 every month" in page.text
    assert "Start the free trial" in page.text
    look(path, action="pay", card="4242424242424242")
    assert [row.status for row in world.state.subscriptions.values()] == ["trialing"]


async def test_what_is_free_needs_no_card(visit, look):
    path, row = await visit("free", ChargePeriod.ONE_TIME)
    page = look(path)
    assert "Test card" not in page.text
    assert look(path, action="pay").status == 303
    assert row.status == "success"
    assert "All set" in look(path).text


async def test_another_period_and_a_discount(world, visit, look):
    path, row = await visit()
    assert look(path, action="change", period="YEARLY", discount=" launch ").location == path
    page = look(path)
    assert "$490.00 every year" in page.text
    assert "Discount (launch) \N{MINUS SIGN}$98.00" in page.text
    assert "Due today $392.00" in page.text
    look(path, action="pay", card="4242424242424242")
    assert [order.total_units for order in world.state.orders.values()] == [39200]
    assert row.charge_period == "YEARLY"


async def test_a_discount_is_taken_off_again(visit, look):
    path, row = await visit(discount_code="LAUNCH")
    look(path, action="change", discount="")
    assert row.discount_code is None


async def test_another_plan_if_the_shop_says_so(visit, look):
    path, row = await visit(plans_enabled="team")
    look(path, action="change", plan="team", period="YEARLY")
    assert (row.plan_identifier, row.charge_period) == ("team", "MONTHLY")
    assert "$99.00 every month" in look(path).text
    path, row = await visit()
    look(path, action="change", plan="team")
    assert row.plan_identifier == "pro"


async def test_how_many(visit, look):
    path, row = await visit("seated")
    page = look(path)
    assert "From 2 to 9." in page.text
    assert "$20.00 every month" in page.text
    assert look(path, **{"action": "change", "quantity:seats": "4"}).status == 303
    assert "$30.00 every month" in look(path).text
    assert row.quantities["seats"] == 4


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"discount": "NOPE"}, "This discount code is not valid."),
        ({"discount": "EURO"}, "not valid in USD"),
        ({"quantity:seats": "1"}, "not on sale"),
        ({"quantity:seats": "10"}, "not on sale"),
        ({"quantity:seats": "many"}, "whole number"),
        ({"quantity:seats": "9" * 30}, "whole number"),
        ({"quantity:nope": "1"}, "unknown"),
    ],
)
async def test_changes_that_are_not_on_offer(visit, form, said, look):
    path, row = await visit("seated")
    before = repr(row)
    page = look(path, action="change", **form)
    assert page.status == 400
    assert said in page.text
    assert repr(row) == before


async def test_discounts_can_be_switched_off(visit, look):
    path, row = await visit(discounts_enabled=False)
    assert "Discount code" not in look(path).text
    look(path, action="change", discount="LAUNCH")
    assert row.discount_code is None


@pytest.mark.parametrize("form", [{"x": "y"}, {"action": "explode"}, {"action": "pay", "card": "1234"}])
async def test_forms_that_nobody_was_given(world, visit, form, look):
    path, row = await visit()
    assert look(path, **form).status in {200, 400}
    assert row.status == "open"
    assert world.crashes == []


async def test_names_are_shown_and_never_run(world, visit, kelviq, look):
    await kelviq.customers.update("user-123", name=NASTY)
    world.state.plans["pro"][-1].name = NASTY
    world.state.plans["pro"][-1].description = NASTY
    path, _ = await visit()
    for shown in (look(path), look("/"), look(f"/?{urlencode({'q': NASTY})}")):
        assert "<script>alert" not in shown.html
    assert NASTY in look(path).text


@pytest.mark.parametrize("url", ["javascript:alert(1)", "myapp://done", "//example.com", "/done", "https://"])
async def test_browsers_are_sent_to_http_only(visit, url, look):
    path, row = await visit(success_url=url)
    answer = look(path, action="pay", card="4242424242424242")
    assert (answer.status, row.status) == (200, "success")
    assert "Location" not in answer.headers
    assert url not in answer.html


@pytest.mark.parametrize(
    ("url", "safely"),
    [
        ("https://example.com/a?b=c&d=%20#e", "https://example.com/a?b=c&d=%20#e"),
        ("HTTP://example.com", "HTTP://example.com"),
        ("https://example.com/ü", "https://example.com/%C3%BC"),
        ("https://example.com/\r\nSet-Cookie: a=b", None),
        ("https://example.com/ x", None),
        ("https://[", None),
        ("", None),
        (None, None),
    ],
)
def test_addresses_in_headers(url, safely):
    assert safe(url) == safely


def test_a_checkout_that_nobody_opened(look):
    assert look("/checkout/cs_nope/").status == 404
