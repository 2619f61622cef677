import json
from datetime import UTC, datetime
from urllib.parse import unquote

import pytest

from kelviq_async import Kelviq, NotFound, TaxCode
from kelviq_async.emulator import World
from kelviq_async.emulator.storage import FILES, store, stored
from kelviq_async.transport import WireRequest


@pytest.fixture
def world():
    return World(now=datetime(2026, 1, 31, tzinfo=UTC), strict=True)


@pytest.fixture
async def kelviq(world):
    async with Kelviq.local(world) as client:
        yield client


@pytest.fixture
def ask(world):
    def send(method, path, body=None):
        headers = {"Authorization": f"Bearer {world.server_key}", "Content-Type": "application/json"}
        content = None if body is None else json.dumps(body).encode()
        answer = world.handle(WireRequest(method, f"http://localhost/api/v1{path}", headers, content))
        return answer.status, json.loads(answer.body) if answer.body else None

    return send


async def upload(world, kelviq, name="hero.png"):
    place = await kelviq.media.create_upload(name, "image/png")
    store(world, place.file_key, name.encode())
    return place.file_key


async def test_an_identifier_is_made_of_the_name_and_taken_for_good(kelviq, ask):
    product = await kelviq.products.create("  Älpha & Omega 2 ", TaxCode.SAAS)
    assert product.identifier == "alpha-omega-2"
    assert product.modified_on == datetime(2026, 1, 31, tzinfo=UTC)
    await kelviq.products.archive(product.id)
    body = {"name": "Other", "taxCode": "saas", "identifier": "alpha-omega-2"}
    status, problem = ask("POST", "/catalog/products/", body)
    assert (status, set(problem)) == (400, {"identifier"})


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"taxCode": "saas"}, "name"),
        ({"name": "Suite"}, "taxCode"),
        ({"name": " ", "taxCode": "saas"}, "name"),
        ({"name": "Suite", "taxCode": "bread"}, "taxCode"),
        ({"name": "Suite", "taxCode": "saas", "identifier": "a/b"}, "identifier"),
        ({"name": "日本", "taxCode": "saas"}, "identifier"),
        ({"name": "Suite", "taxCode": "saas", "imageKeys": ["tmp/1/none.png"]}, "imageKeys"),
    ],
)
def test_what_cannot_be_is_refused_on_its_field(ask, world, body, field):
    status, problem = ask("POST", "/catalog/products/", body)
    assert (status, list(problem)) == (400, [field])
    assert not world.state.products


async def test_a_list_is_newest_first_without_archived_ones(kelviq):
    made = [await kelviq.products.create(f"Tool {number}", TaxCode.SAAS) for number in range(3)]
    odd = await kelviq.products.create("Other", TaxCode.EBOOK, description="for TOOLmakers")
    await kelviq.products.archive(made[1].id)
    page = await kelviq.products.list(search="tool")
    assert [row.id for row in page.results] == [odd.id, made[2].id, made[0].id]
    assert page.count == 3
    assert [row.id async for row in kelviq.products.each(page_size=1)] == [odd.id, made[2].id, made[0].id]


async def test_a_page_has_a_hundred_rows_unless_told_otherwise(kelviq):
    for number in range(101):
        await kelviq.products.create(f"Tool {number}", TaxCode.SAAS)
    assert len((await kelviq.products.list()).results) == 100
    assert len((await kelviq.products.list(page_size=1000)).results) == 100


async def test_a_change_leaves_alone_what_it_does_not_name(kelviq, world):
    product = await kelviq.products.create("Suite", TaxCode.SAAS, description="All of it")
    world.clock.advance(days=1)
    changed = await kelviq.products.update(product.id, name="Suite 2", tax_code=TaxCode.EBOOK)
    assert (changed.name, changed.description, changed.tax_code) == ("Suite 2", "All of it", TaxCode.EBOOK)
    assert changed.identifier == "suite"
    assert changed.modified_on == datetime(2026, 2, 1, tzinfo=UTC)


async def test_archiving_twice_is_refused_and_the_product_is_gone(kelviq, ask):
    product = await kelviq.products.create("Suite", TaxCode.SAAS)
    assert ask("DELETE", f"/catalog/products/{product.id}/") == (204, None)
    status, problem = ask("DELETE", f"/catalog/products/{product.id}/")
    assert (status, set(problem)) == (400, {"detail"})
    assert ask("DELETE", "/catalog/products/none/")[0] == 404
    with pytest.raises(NotFound):
        await kelviq.products.retrieve(product.id)


async def test_settings_begin_the_same_and_change_one_by_one(kelviq, ask):
    product = await kelviq.products.create("Suite", TaxCode.SAAS)
    path = f"/catalog/products/{product.id}/settings/"
    fresh = {"vpn": True, "tor": True, "proxy": True, "currency": "USD", "productUrl": None}
    assert ask("GET", path) == (200, fresh)
    await kelviq.products.update_settings(
        product.id, tor=False, currency="eur", product_url="https://a.example"
    )
    changed = {**fresh, "tor": False, "currency": "EUR", "productUrl": "https://a.example"}
    assert ask("GET", path) == (200, changed)
    assert ask("PATCH", path, {"currency": "euro"})[1].keys() == {"currency"}
    assert ask("PATCH", path, {"productUrl": "nowhere"})[1].keys() == {"productUrl"}
    assert ask("GET", path) == (200, changed)


async def test_pictures_come_from_uploads_which_are_then_used_up(kelviq, world, ask):
    keys = [await upload(world, kelviq, name) for name in ("hero.png", "a b.png")]
    product = await kelviq.products.create("Suite", TaxCode.SAAS, image_keys=keys)
    shown = [(image.name, image.ordering, image.thumbnail, image.enabled) for image in product.images]
    assert shown == [("hero.png", 0, True, True), ("a b.png", 1, False, True)]
    address = product.images[1].image
    assert address.startswith("http://localhost/_emulator/files/media/products/")
    assert address.endswith("/a%20b.png")
    assert stored(world, unquote(address.removeprefix(f"http://localhost{FILES}"))) == b"a b.png"
    assert keys[0] not in world.state.uploads
    status, problem = ask("PATCH", f"/catalog/products/{product.id}/", {"imageKeys": [keys[0]]})
    assert (status, list(problem)) == (400, ["imageKeys"])


async def test_a_picture_can_be_changed_and_deleted(kelviq, world):
    product = await kelviq.products.create("Suite", TaxCode.SAAS, image_keys=[await upload(world, kelviq)])
    product = await kelviq.products.update(product.id, image_keys=[await upload(world, kelviq, "b.png")])
    first, second = product.images
    changed = await kelviq.products.update_image(
        product.id, second.id, thumbnail=True, name="B", ordering=0, enabled=False
    )
    assert (changed.thumbnail, changed.name, changed.ordering, changed.enabled) == (True, "B", 0, False)
    await kelviq.products.update_image(product.id, first.id, ordering=5)
    images = (await kelviq.products.retrieve(product.id)).images
    assert [(image.id, image.thumbnail) for image in images] == [(second.id, True), (first.id, False)]
    assert await kelviq.products.delete_image(product.id, first.id) is None
    assert [image.id for image in (await kelviq.products.retrieve(product.id)).images] == [second.id]
    assert len(world.state.uploads) == 1
    with pytest.raises(NotFound):
        await kelviq.products.delete_image(product.id, first.id)
    with pytest.raises(NotFound):
        await kelviq.products.update_image(product.id, first.id, name="gone")


async def test_files_of_a_product_are_taken_and_kept(kelviq, world):
    product = await kelviq.products.create("Suite", TaxCode.SAAS)
    key = await upload(world, kelviq, "changelog.pdf")
    await kelviq.products.update(product.id, file_keys=[key])
    (kept,) = world.state.uploads
    assert kept.startswith("media/")
    assert stored(world, kept) == b"changelog.pdf"


async def test_without_strictness_a_key_of_the_documentation_will_do():
    async with Kelviq.local(World()) as kelviq:
        product = await kelviq.products.create("Suite", TaxCode.SAAS, image_keys=["tmp/1087/a.png"])
    assert product.images[0].name == "a.png"
