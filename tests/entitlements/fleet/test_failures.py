"""A store that fails costs the sharing, and nothing else."""

import asyncio
import logging

import pytest

from kelviq_async.entitlements import fleet as fleets, news
from tests.entitlements.fleet.processes import Hold, answer


async def test_a_store_that_fails_costs_nothing_but_the_sharing(process, store, clock, caplog):
    one, other = await process(), await process()
    await one.fetch()
    store.down = True
    for _ in range(3):
        assert await other.fleet.found("ada") is None
        other.fleet.keep("ada", answer(), clock.now)
        await other.fleet.invalidate("bob")
        await other.fleet.invalidate_all()
    await other.settled()
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "bob" not in caplog.text


async def test_a_store_that_fails_from_the_beginning(process, store):
    store.down = True
    one = await process()
    assert await one.fleet.found("ada") is None
    store.down = False
    assert await one.fleet.found("ada") is None
    await one.settled()
    await one.fetch()
    assert await one.fleet.found("ada")


@pytest.mark.parametrize("whom", ["ada", None])
async def test_an_invalidation_that_failed_is_made_up_for(process, store, whom):
    one, other = await process(), await process()
    await other.fetch()
    store.down = True
    await (one.fleet.invalidate(whom) if whom else one.fleet.invalidate_all())
    store.down = False
    # The one who knows does not believe the store meanwhile, and asking it is the occasion.
    assert await one.fleet.found("ada") is None
    assert await other.told() == whom
    await one.settled()
    await other.settled()
    assert await other.fleet.found("ada") is None
    await one.fetch()
    assert await other.fleet.found("ada")


async def test_so_is_one_that_was_cancelled(process, store):
    one, other = await process(), await process()
    await other.fetch()
    store.held["set"] = Hold()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await one.fleet.invalidate("ada")
    store.held.clear()
    assert await one.fleet.found("ada") is None
    assert await other.told() == "ada"


async def test_a_denial_that_could_not_be_kept_is_not_contradicted_by_the_store(process, store, clock):
    one = await process()
    await one.fetch()
    await one.fleet.found("ada")
    store.down = True
    one.fleet.keep("ada", answer(granted=False), clock.now)
    await one.settled()
    store.down = False
    assert await one.fleet.found("ada") is None
    await one.settled()
    assert await one.fleet.found("ada") is None


async def test_too_many_to_remember_are_everybody(process, store, monkeypatch):
    monkeypatch.setattr(news, "OWED", 3)
    one, other = await process(), await process()
    await other.fetch("zoe")
    store.down = True
    for n in range(4):
        await one.fleet.invalidate(f"customer-{n}")
    store.down = False
    assert await one.fleet.found("zoe") is None
    assert await other.told() is None


async def test_answers_on_their_way_are_bounded(process, store, clock, monkeypatch):
    monkeypatch.setattr(fleets, "WRITES", 5)
    one = await process()
    store.held["add"] = Hold()
    for n in range(20):
        await one.fleet.found(f"customer-{n}")
        one.fleet.keep(f"customer-{n}", answer(f"customer-{n}"), clock.now)
    assert len(one.fleet._news._tasks) <= 5
    store.held["add"].set()
    await one.settled()
    assert sum([await one.fleet.found(f"customer-{n}") is not None for n in range(20)]) == 5


async def test_what_is_remembered_is_bounded(process, monkeypatch):
    monkeypatch.setattr(fleets, "LOOKED_UP", 5)
    one = await process()
    for n in range(20):
        await one.fleet.found(f"customer-{n}")
    assert len(one.fleet._seen) == 5
    assert not one.fleet._lookups
