"""The portal's door."""

import pytest

from kelviq_async.errors import BadRequest


async def test_a_session(shop):
    session = await shop.kelviq.portal.create_session("user-123")
    assert session.email == "ada@example.com"
    assert session.token.startswith("cpt-")
    assert session.customer_portal_url == "http://localhost/portal/"
    assert shop.world.state.portals[session.token].customer_id == "user-123"
    assert "cpt-" not in repr(session)


async def test_tokens_differ(shop):
    tokens = {(await shop.kelviq.portal.create_session("user-123")).token for _ in range(5)}
    assert len(tokens) == 5


@pytest.mark.parametrize(
    ("customer_id", "said"),
    [
        ("nobody", "Invalid customer id"),
        ("archived", "Invalid customer id"),
        ("silent", "Customer does not have an email"),
    ],
)
async def test_whom_the_portal_does_not_let_in(shop, customer_id, said):
    await shop.kelviq.customers.create("silent")
    await shop.kelviq.customers.create("archived", email="x@example.com")
    await shop.kelviq.customers.archive("archived")
    with pytest.raises(BadRequest) as caught:
        await shop.kelviq.portal.create_session(customer_id)
    assert caught.value.fields == {"customer_id": [said]}
