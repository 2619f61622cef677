"""Whatever is odd about a value in the store means that there is none."""

import json
import secrets
import zlib

import pytest

from kelviq_async.entitlements import entries
from tests.entitlements.fleet.processes import answer


def zipped(data, version=b"\x01"):
    packer = zlib.compressobj(zdict=entries._DICTIONARY)
    text = data if isinstance(data, bytes) else json.dumps(data).encode()
    return version + packer.compress(text) + packer.flush()


def poison(era, start):
    sound = {"customerId": "ada", "entitlements": [{"featureId": "export", "hasAccess": True}]}
    good = ["ada", start, era, sound]
    return {
        "sound": zipped(good),
        "empty": b"",
        "text": b"hello",
        "pickle": b"\x80\x04K\x01.",
        "version alone": b"\x01",
        "no zip": b"\x01{}",
        "cut off": zipped(good)[:-1],
        "longer": zipped(good) + b"x",
        "turned": zipped(good)[:-9] + bytes([zipped(good)[-9] ^ 1]) + zipped(good)[-8:],
        "another version": zipped(good, b"\x02"),
        "no json": zipped(b"["),
        "deep": zipped(b"[" * 200_000),
        "a bomb": zipped(b" " * 50_000_000),
        "large": b"\x01" + b"x" * 1_000_000,
        "an object": zipped({"a": 1, "b": 2, "c": 3, "d": 4}),
        "a number": zipped(5),
        "too few": zipped(good[:3]),
        "somebody else's": zipped(["bob", *good[1:]]),
        "about somebody else": zipped([*good[:3], {**sound, "customerId": "bob"}]),
        "no list": zipped([*good[:3], {"customerId": "ada"}]),
        "no answer": zipped([*good[:3], 5]),
        "no time": zipped(["ada", None, *good[2:]]),
        "a time that is true": zipped(["ada", True, *good[2:]]),
        "a fraction": zipped(["ada", start + 0.5, *good[2:]]),
        "the past": zipped(["ada", 0, *good[2:]]),
        "the future": zipped(["ada", 10**400, *good[2:]]),
        "another era": zipped(["ada", start, "x", sound]),
        "no era": zipped(["ada", start, None, sound]),
    }


@pytest.mark.parametrize("name", poison("", 0))
async def test_what_is_odd_is_not_there_and_gives_way(process, store, name):
    one = await process()
    value = poison(one.fleet._news.era, int(process.wall.now * 1000))[name]
    await store.set(one.fleet._news.key("ada"), value)
    found = await one.fleet.found("ada")
    assert (found is not None) is (name == "sound")
    one.fleet.keep("ada", answer(remaining=7), one.clock())
    await one.settled()
    assert (await one.fleet.found("ada"))[0].entitlements[0].remaining == 7


async def test_an_answer_that_is_too_large_is_not_shared(process):
    one = await process()
    await one.fetch(result=answer(noise=secrets.token_hex(entries.MAX_STORED)))
    assert await one.fleet.found("ada") is None
