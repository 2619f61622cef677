import hashlib

import aiohttp
import pytest

from kelviq_async import Kelviq, TaxCode
from kelviq_async.emulator import World, serve, storage
from kelviq_async.transport import WireRequest

NASTY = (
    b"",
    b"\r\n",
    b"line\nline\rline\r\n",
    b"--boundary--\r\n",
    b"\r\n\r\nhead: er",
    bytes(range(256)) * 3,
    hashlib.shake_128(b"7").digest(100_000),
)


def form(parts, boundary="boundary"):
    lines = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'.encode()
        + content
        + b"\r\n"
        for name, more, content in parts
    ]
    return b"".join(lines) + f"--{boundary}--\r\n".encode()


def post(world, body, kind="multipart/form-data; boundary=boundary"):
    wire = WireRequest("POST", f"http://localhost{storage.UPLOAD}", {"content-type": kind}, body)
    return storage.answer(world, wire, storage.UPLOAD)


@pytest.mark.parametrize("content", NASTY, ids=range(len(NASTY)))
def test_a_file_is_kept_byte_by_byte(content):
    world = World()
    body = form([("key", "", b"tmp/1/a.bin"), ("file", '; filename="a.bin"', content)], "0therB0undary")
    answer = post(world, body, 'multipart/form-data; boundary="0therB0undary"')
    assert (answer.status, answer.body) == (204, b"")
    assert storage.stored(world, "tmp/1/a.bin") == content


def test_names_may_come_in_any_order_and_without_quotes():
    world = World()
    body = (
        b"--boundary\r\nContent-Type: text/plain\r\n"
        b'Content-Disposition: form-data; filename="name=key.txt"; name=file\r\n\r\nhello\r\n'
        b"--boundary\r\nContent-Disposition: form-data; name=key\r\n\r\na/b\r\n--boundary--"
    )
    assert post(world, body).status == 204
    assert storage.stored(world, "a/b") == b"hello"


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", "multipart/form-data; boundary=boundary"),
        (form([("file", "", b"x")]), "multipart/form-data; boundary=boundary"),
        (form([("key", "", b"k")]), "multipart/form-data; boundary=boundary"),
        (form([("key", "", b""), ("file", "", b"x")]), "multipart/form-data; boundary=boundary"),
        (form([("", "", b"k"), ("file", "", b"x")]), "multipart/form-data; boundary=boundary"),
        (form([("key", "", b"k"), ("file", "", b"x")])[:-20], "multipart/form-data; boundary=boundary"),
        (form([("key", "", b"k"), ("file", "", b"x")]), "multipart/form-data"),
        (b'{"key": "k"}', "application/json"),
    ],
)
def test_what_is_no_such_form_is_refused(body, kind):
    world = World()
    assert post(world, body, kind).status == 400
    assert world.state.uploads == {}


def test_a_form_without_any_header_is_refused():
    wire = WireRequest("POST", storage.UPLOAD, {}, None)
    assert storage.answer(World(), wire, storage.UPLOAD).status == 400


def test_a_form_over_the_cap_is_refused(monkeypatch):
    monkeypatch.setattr(storage, "LARGEST_FORM", 100)
    assert post(World(), b"x" * 101).status == 413


def test_other_paths_are_not_the_storages():
    wire = WireRequest("GET", storage.UPLOAD, {})
    assert storage.answer(World(), wire, storage.UPLOAD) is None
    assert storage.answer(World(), wire, "/_emulator/health") is None


def test_a_file_that_nobody_uploaded():
    wire = WireRequest("GET", "", {})
    assert storage.answer(World(), wire, f"{storage.FILES}nope").status == 404


@pytest.mark.parametrize("over_http", [False, True])
async def test_a_file_goes_up_and_comes_down_again(over_http, tmp_path):
    content = hashlib.shake_128(b"1").digest(300_000)
    source = tmp_path / 'a "b" %41 ü.pdf'
    source.write_bytes(content)
    world = World(strict=True)
    async with serve(world) as server:
        keys = world.server_key, world.client_key
        client = Kelviq(*keys, core_url=server.url) if over_http else Kelviq.local(world)
        async with client as kelviq:
            product = await kelviq.products.create("App", TaxCode.SAAS, identifier="app")
            key = await kelviq.media.upload(source)
            await kelviq.plans.create("Pro", product.id, identifier="pro", file_keys=[key])
            plan = await kelviq.plans.retrieve("pro")
            target = tmp_path / "down"
            await kelviq.plans.download_file("pro", plan.files[0].id, target)
    assert target.read_bytes() == content
    assert world.crashes == []


async def test_files_are_not_run_by_browsers():
    world = World()
    storage.store(world, "a b/ü.html", b"<script>")
    async with (
        serve(world) as server,
        aiohttp.ClientSession() as session,
        session.get(f"{server.url}{storage.FILES}a%20b/%C3%BC.html") as answer,
    ):
        assert await answer.read() == b"<script>"
        assert answer.headers["Content-Type"] == "application/octet-stream"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
