import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from kelviq_async import Kelviq, NotFound
from kelviq_async.emulator import World
from kelviq_async.emulator.state import PromotionRow
from kelviq_async.transport import WireRequest


@pytest.fixture
def world():
    world = World(now=datetime(2026, 1, 31, tzinfo=UTC), strict=True)
    for row in (
        PromotionRow("promo_in", "KQP5", percentage="12.5", country_code="IN"),
        PromotionRow("promo_off", "TEN", amount="10.00", currency="USD"),
        PromotionRow("promo_far", "FAR", percentage="5", country_code="aq"),
    ):
        world.state.promotions[row.id] = row
    return world


@pytest.fixture
async def kelviq(world):
    async with Kelviq.local(world) as client:
        yield client


async def test_a_promotion_is_that_of_its_country(kelviq):
    found = await kelviq.promotions.get("promo_in")
    assert (found.country, found.country_code, found.code) == ("India", "IN", "KQP5")
    assert found.percentage == Decimal("12.5")
    (banner,) = found.widgets
    assert (banner.type, banner.placement) == ("BANNER", "top")
    assert "{coupon_code}" in banner.country_message
    far = await kelviq.promotions.get("promo_far")
    assert (far.country, far.country_code) == ("AQ", "AQ")


async def test_a_fixed_amount_is_no_percentage(kelviq):
    found = await kelviq.promotions.get("promo_off")
    assert (found.country_code, found.percentage) == ("US", 0)


async def test_nobody_elses_promotion_is_found(kelviq):
    with pytest.raises(NotFound):
        await kelviq.promotions.get("promo_other")


def test_it_takes_the_client_key_and_an_id(world):
    def status(key, query):
        headers = {"Authorization": f"Bearer {key}"}
        answer = world.handle(WireRequest("GET", f"http://localhost/api/v1/promotions{query}", headers))
        return answer.status, json.loads(answer.body)

    assert status(world.server_key, "?promotion_id=promo_in")[0] == 401
    code, problem = status(world.client_key, "")
    assert (code, list(problem)) == (400, ["promotion_id"])
    code, data = status(world.client_key, "?promotion_id=promo_in")
    assert code == 200
    assert data["security"] == dict.fromkeys(("vpn", "tor", "proxy", "relay", "crawler"), False)
