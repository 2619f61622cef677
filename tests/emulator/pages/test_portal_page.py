from urllib.parse import urlencode

import pytest


@pytest.fixture
async def portal(kelviq, visit, look):
    path, _ = await visit()
    look(path, action="pay", card="4242424242424242")
    session = await kelviq.portal.create_session("user-123")
    return f"/portal/?{urlencode({'token': session.token})}"


async def test_the_portal_shows_what_somebody_has(world, portal, visit, look):
    path, _ = await visit("once", "ONE_TIME")
    look(path, action="pay", card="4242424242424242")
    page = look(portal)
    license_key = next(iter(world.state.licenses.values())).license_key
    for text in (
        "Ada",
        "Pro active",
        "Renews on 28 Feb 2026",
        "Visa ending in 4242",
        "$49.00 paid",
        license_key,
    ):
        assert text in page.text


@pytest.mark.parametrize(("when", "status"), [("later", "active"), ("now", "canceled")])
def test_cancelling_in_the_portal(world, portal, when, status, look):
    (row,) = world.state.subscriptions.values()
    answer = look(portal, action="cancel", subscription=row.id, when=when, comment="too dear")
    assert (answer.status, row.status) == (303, status)
    assert (row.cancellation_reason, row.cancellation_comment) == ("CANCELLED_BY_CUSTOMER", "too dear")
    said = "Ends on 28 Feb 2026" if when == "later" else "Nothing at the moment."
    assert said in look(answer.location).text


def test_another_card_in_the_portal(portal, look):
    assert look(portal, action="card", card="4000002500003155").status == 303
    assert "ending in 3155" in look(portal).text
    assert look(portal, action="card", card="4000000000000002").status == 402
    assert look(portal, action="card", card="1234").status == 400
    assert look(portal, action="explode").status == 400


async def test_nobody_cancels_for_others(world, portal, visit, look):
    path, row = await visit(customer_id="other")
    look(path, action="pay", card="4242424242424242")
    assert look(portal, action="cancel", subscription=row.subscription_id).status == 404
    assert look(portal, action="cancel").status == 404
    assert world.state.subscriptions[row.subscription_id].status == "active"
