import base64
import json
from datetime import UTC, datetime

import pytest

from kelviq_async import Kelviq, TaxCode
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


def ask(world, body):
    headers = {"Authorization": f"Bearer {world.server_key}", "Content-Type": "application/json"}
    answer = world.handle(
        WireRequest("POST", "http://localhost/api/v1/media/", headers, json.dumps(body).encode())
    )
    return answer.status, json.loads(answer.body)


async def test_leave_to_upload_names_the_place_and_the_key(kelviq, world):
    place = await kelviq.media.create_upload("Terms & more.pdf", "application/pdf")
    assert place.url == "http://localhost/_emulator/upload"
    folder, unique, name = place.file_key.split("/")
    assert (folder, name) == ("tmp", "Terms & more.pdf")
    assert place.fields["key"] == place.file_key
    assert place.fields["Content-Type"] == "application/pdf"
    assert all(isinstance(value, str) for value in place.fields.values())
    policy = json.loads(base64.b64decode(place.fields["policy"]))
    assert policy["expiration"] == "2026-01-31T01:00:00Z"
    assert ["content-length-range", 0, 5 * 2**30] in policy["conditions"]
    other = await kelviq.media.create_upload("Terms & more.pdf", "application/pdf")
    assert other.file_key != place.file_key
    assert unique not in other.file_key


def test_the_answer_is_a_plain_200(world):
    status, data = ask(world, {"fileName": "a.png", "fileType": "image/png"})
    assert status == 200
    assert set(data) == {"url", "fields", "fileKey"}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"fileName": "a.png"}, "fileType"),
        ({"fileType": "image/png"}, "fileName"),
        ({"fileName": "a.png", "fileType": " "}, "fileType"),
        ({"fileName": "", "fileType": "image/png"}, "fileName"),
        ({"fileName": "..", "fileType": "image/png"}, "fileName"),
        ({"fileName": "a\nb", "fileType": "image/png"}, "fileName"),
        ({"fileName": "a" * 256, "fileType": "image/png"}, "fileName"),
    ],
)
def test_what_cannot_be_is_refused_on_its_field(world, body, field):
    status, problem = ask(world, body)
    assert (status, list(problem)) == (400, [field])


def test_of_a_path_the_name_counts(world):
    _, data = ask(world, {"fileName": "C:\\docs/../a.png", "fileType": "image/png"})
    assert data["fileKey"].endswith("/a.png")
    assert data["fileKey"].count("/") == 2


async def test_an_uploaded_file_can_be_used_once(kelviq, world):
    place = await kelviq.media.create_upload("a.png", "image/png")
    store(world, place.file_key, b"\x00\xff")
    product = await kelviq.products.create("Suite", TaxCode.SAAS, image_keys=[place.file_key])
    assert stored(world, product.images[0].image.removeprefix(f"http://localhost{FILES}")) == b"\x00\xff"
    assert stored(world, place.file_key) is None
