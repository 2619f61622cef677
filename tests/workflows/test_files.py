"""Uploading and downloading: in process, and over real sockets without our key."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import kelviq_async as k
from kelviq_async.emulator import World, serve
from kelviq_async.emulator.storage import stored

CONTENT = bytes(range(256)) * 3000


@pytest.fixture(params=["in process", "http"])
async def kelviq(request: pytest.FixtureRequest) -> AsyncIterator[k.Kelviq]:
    """A client on a world, which is its ``world`` attribute."""
    world = World()
    async with contextlib.AsyncExitStack() as stack:
        if request.param == "http":
            server = await stack.enter_async_context(serve(world))
            client = await stack.enter_async_context(k.Kelviq(world.server_key, core_url=server.url))
        else:
            client = await stack.enter_async_context(k.Kelviq.local(world))
        client.world = world  # type: ignore[attr-defined]
        yield client


async def planned(kelviq: k.Kelviq, *keys: str) -> str:
    """A published plan with files; the id of its first."""
    product = await kelviq.products.create("Suite", k.TaxCode.SAAS)
    plan = await kelviq.plans.create("Pro", product.id, identifier="pro", file_keys=keys)
    return plan.files[0].id


async def test_bytes_go_up_and_come_down_as_they_were(kelviq: Any, tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []
    key = await kelviq.media.upload(
        CONTENT,
        file_name="terms & conditions.pdf",
        on_progress=lambda done, whole: steps.append((done, whole)),
    )
    assert stored(kelviq.world, key) == CONTENT
    assert steps[-1] == (len(CONTENT), len(CONTENT))
    assert [done for done, _ in steps] == sorted(done for done, _ in steps)

    target = tmp_path / "down.pdf"
    written: list[int] = []
    assert (
        await kelviq.plans.download_file(
            "pro", await planned(kelviq, key), target, on_progress=written.append
        )
        == target
    )
    assert target.read_bytes() == CONTENT
    assert written[-1] == len(CONTENT)
    assert list(tmp_path.iterdir()) == [target], "nothing half-written stays behind"


async def test_a_file_goes_up_under_its_own_name_and_kind(kelviq: Any, tmp_path: Path) -> None:
    path = tmp_path / "logo.png"
    path.write_bytes(b"png")
    key = await kelviq.media.upload(path)
    assert key.endswith("logo.png")
    asked = next(each for each in reversed(kelviq.world.requests) if each.operation == "CreateUpload")
    assert asked.body == {"fileName": "logo.png", "fileType": "image/png"}


async def test_what_cannot_be_uploaded_is_refused_before_anything_is_sent(
    kelviq: Any, tmp_path: Path
) -> None:
    for content in (b"nameless", tmp_path / "missing.pdf", tmp_path):
        with pytest.raises(ValueError, match=r"file_name|content"):
            await kelviq.media.upload(content)
    assert not kelviq.world.requests


async def test_a_file_that_is_not_there(kelviq: Any, tmp_path: Path) -> None:
    await planned(kelviq, await kelviq.media.upload(b"x", file_name="x"))
    with pytest.raises(k.NotFound):
        await kelviq.plans.download_file("pro", "00000000-0000-4000-8000-000000000000", tmp_path / "x")
    assert not list(tmp_path.iterdir())


async def test_a_target_that_cannot_be_written(kelviq: Any, tmp_path: Path) -> None:
    file = await planned(kelviq, await kelviq.media.upload(b"x", file_name="x"))
    with pytest.raises(OSError, match="No such file"):
        await kelviq.plans.download_file("pro", file, tmp_path / "missing" / "x")


async def test_a_failing_progress_callback_is_the_callers_own(kelviq: Any, tmp_path: Path) -> None:
    file = await planned(kelviq, await kelviq.media.upload(b"x", file_name="x"))

    def fail(_: int) -> None:
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        await kelviq.plans.download_file("pro", file, tmp_path / "x", on_progress=fail)
    assert not list(tmp_path.iterdir())


class Recording:
    """A transport that notes what it carries."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.carried: list[k.WireRequest] = []

    async def send(self, request: k.WireRequest) -> k.WireAnswer:
        """Note it and let the world answer."""
        self.carried.append(request)
        return await self.world.send(request)

    async def close(self) -> None:
        """Nothing to close."""


async def test_no_key_goes_to_the_storage(tmp_path: Path) -> None:
    world = World()
    transport = Recording(world)
    async with k.Kelviq.local(world, transport=transport) as kelviq:
        key = await kelviq.media.upload(b"x", file_name="x")
        await kelviq.plans.download_file("pro", await planned(kelviq, key), tmp_path / "x")
    elsewhere = [each for each in transport.carried if "/_emulator/" in each.url]
    assert [each.method for each in elsewhere] == ["POST", "GET"]
    assert not any(name.lower() == "authorization" for each in elsewhere for name in each.headers)
    locating = next(each for each in transport.carried if each.url.endswith("/download/"))
    assert not any(name.lower() == "authorization" for name in locating.headers)


async def test_an_address_in_the_clear_is_refused() -> None:
    class Evil(Recording):
        async def send(self, request: k.WireRequest) -> k.WireAnswer:
            self.carried.append(request)
            return k.WireAnswer(200, {}, b'{"url": "http://203.0.113.9/", "fields": {}, "fileKey": "tmp/x"}')

    transport = Evil(World())
    async with k.Kelviq.local(transport=transport) as kelviq:
        with pytest.raises(k.ConfigError, match="plain http"):
            await kelviq.media.upload(b"x", file_name="x")
    assert len(transport.carried) == 1
