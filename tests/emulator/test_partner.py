import json
from datetime import UTC, datetime

import pytest

from kelviq_async import Conflict, Kelviq, NotFound, Unauthorized
from kelviq_async.emulator import World
from kelviq_async.transport import WireRequest


@pytest.fixture
def world():
    return World(now=datetime(2026, 1, 31, tzinfo=UTC), strict=True)


@pytest.fixture
async def kelviq(world):
    async with Kelviq.local(world) as client:
        yield client


def ask(world, method, path, body=None):
    headers = {"X-Kelviq-Partner-Key": world.partner_key, "Content-Type": "application/json"}
    content = None if body is None else json.dumps(body).encode()
    answer = world.handle(
        WireRequest(method, f"http://localhost/api/v1/partner/organizations/{path}", headers, content)
    )
    return answer.status, json.loads(answer.body)


async def test_an_organization_is_found_by_both_ids(kelviq):
    made = await kelviq.partner.provision("acme/1", "owner@acme.example", business_name="Acme Corp")
    assert made.organization_slug == "acme-corp"
    assert made.client_key.startswith("ck_test_")
    assert made.server_key.startswith("sk_test_")
    assert await kelviq.partner.retrieve(made.organization_identifier) == made
    assert await kelviq.partner.retrieve_by_external_id("acme/1") == made
    with pytest.raises(NotFound):
        await kelviq.partner.retrieve("acme/1")
    with pytest.raises(NotFound):
        await kelviq.partner.retrieve_by_external_id(made.organization_identifier)


async def test_the_list_is_whole_and_has_no_links(kelviq, world):
    for name in ("one", "two"):
        await kelviq.partner.provision(name, f"{name}@acme.example")
    status, page = ask(world, "GET", "")
    assert (status, set(page), page["count"]) == (200, {"results", "count"}, 2)
    assert all(isinstance(row["userId"], int) for row in page["results"])
    assert ask(world, "GET", "?external_id=two")[1]["results"] == page["results"][1:]
    assert ask(world, "GET", "?external_id=three")[1] == {"results": [], "count": 0}
    assert [row.partner_external_id async for row in kelviq.partner.each()] == ["one", "two"]


async def test_slugs_and_emails_do_not_clash(kelviq, world):
    first = await kelviq.partner.provision("1", "a@acme.example", business_name="Acme")
    second = await kelviq.partner.provision("2", "b@acme.example", business_name="ACME!")
    assert (first.organization_slug, second.organization_slug) == ("acme", "acme-2")
    with pytest.raises(Conflict):
        await kelviq.partner.provision("3", "A@ACME.example")
    status, problem = ask(world, "POST", "", {"externalId": "1", "email": "new@acme.example"})
    assert (status, list(problem)) == (400, ["externalId"])
    assert len(world.state.organizations) == 2


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"externalId": "x" * 129, "email": "a@b.example"}, "externalId"),
        ({"externalId": "", "email": "a@b.example"}, "externalId"),
        ({"externalId": "1", "email": "nobody"}, "email"),
        ({"externalId": "1"}, "email"),
        ({"externalId": "1", "email": "a@b.example", "businessName": "x" * 201}, "businessName"),
    ],
)
def test_what_cannot_be_is_refused_on_its_field(world, body, field):
    status, problem = ask(world, "POST", "", body)
    assert (status, list(problem)) == (400, [field])


async def test_only_the_partner_key_opens_the_door(world):
    async with Kelviq.local(world, partner_key=world.server_key) as kelviq:
        with pytest.raises(Unauthorized):
            await kelviq.partner.list()
