"""What is invalidated stays so, whatever overtakes what."""

import asyncio

import pytest

from kelviq_async.entitlements import fleet as fleets, news
from tests.entitlements.fleet.processes import Clock, Hold, answer, wind


async def test_an_invalidation_reaches_the_others(process, clock):
    one, other = await process(), await process()
    await one.fetch()
    for each in (one, other):
        each.memory.keep("ada", answer(), clock.now)
        each.memory.keep("bob", answer("bob"), clock.now)
    await one.fleet.invalidate("ada")
    assert await other.told() == "ada"
    assert other.memory.peek("ada", "export") is None
    assert other.memory.peek("bob", "export") is True
    assert await other.fleet.found("ada") is None
    # It is for the one that does it to see to its own memory.
    assert one.outdated.empty()
    assert one.memory.peek("ada", "export") is True


@pytest.mark.parametrize("whom", ["ada", None])
async def test_an_answer_fetched_before_and_kept_after_stays_out(process, clock, whom):
    # Whatever its clock says, and whether or not the message has reached it.
    slow, other = await process(wall=Clock(process.wall.now + fleets.SKEW - 0.1)), await process()
    slow.fleet._news._forget = lambda _: None
    await slow.fleet.found("ada")
    start = clock.now
    await (other.fleet.invalidate(whom) if whom else other.fleet.invalidate_all())
    await other.settled()
    slow.fleet.keep("ada", answer(), start)
    await slow.settled()
    assert await other.fleet.found("ada") is None
    # The next one is asked for after it.
    await slow.fetch()
    assert await other.fleet.found("ada")


async def test_also_where_there_was_an_entry_before(process, clock):
    slow, other = await process(), await process()
    await slow.fetch()
    slow.fleet._news._forget = lambda _: None
    await slow.fleet.found("ada")
    await other.fleet.invalidate("ada")
    await other.fetch(result=answer(granted=True, remaining=1))
    slow.fleet.keep("ada", answer(remaining=2), clock.now)
    await slow.settled()
    assert (await other.fleet.found("ada"))[0].entitlements[0].remaining == 1


async def test_also_between_two_invalidations(process, clock):
    slow, other = await process(), await process()
    slow.fleet._news._forget = lambda _: None
    await other.fleet.invalidate("ada")
    await slow.fleet.found("ada")
    await other.fleet.invalidate("ada")
    slow.fleet.keep("ada", answer(), clock.now)
    await slow.settled()
    assert await other.fleet.found("ada") is None


async def test_an_answer_that_nobody_looked_up_before_stays_out(process, clock):
    one = await process()
    one.fleet.keep("ada", answer(), clock.now)
    await one.settled()
    assert await one.fleet.found("ada") is None


async def test_a_call_longer_than_a_tombstone_may_last_is_not_kept(process, clock):
    slow, other = await process(), await process()
    slow.fleet._news._forget = lambda _: None
    await slow.fleet.found("ada")
    start = clock.now
    await other.fleet.invalidate("ada")
    wind(process, clock, news.MOURNING + 1)
    slow.fleet.keep("ada", answer(), start)
    await slow.settled()
    assert await other.fleet.found("ada") is None


async def test_a_call_that_began_before_the_one_that_looked_last(process, clock):
    one = await process()
    await one.fleet.found("ada")
    start = clock.now
    wind(process, clock, 10)
    await one.fleet.found("ada")
    one.fleet.keep("ada", answer(), start)
    await one.settled()
    assert (await one.fleet.found("ada"))[1] == start
    # One that failed long ago does not count for ever.
    await one.fleet.found("bob")
    wind(process, clock, news.MOURNING * 3)
    await one.fetch("bob")
    assert await one.fleet.found("bob")


async def test_an_invalidation_while_the_store_is_looked_into(process, store):
    one, other = await process(), await process()
    await one.fetch()
    store.held["get"] = Hold()
    looking = asyncio.ensure_future(other.fleet.found("ada"))  # the old value is on its way
    await store.held["get"].reached.wait()
    await one.fleet.invalidate("ada")
    assert await other.told() == "ada"
    store.held["get"].set()
    assert await looking is None


async def test_everybody_can_be_invalidated(process, clock):
    one, other = await process(), await process()
    await one.fetch("ada")
    await other.fetch("bob")
    other.memory.keep("ada", answer(), clock.now)
    await one.fleet.invalidate_all()
    assert await other.told() is None
    assert len(other.memory) == 0
    await one.settled()
    await other.settled()
    for each in (one, other, await process()):
        assert await each.fleet.found("ada") is None
        assert await each.fleet.found("bob") is None
    await one.fetch("ada")
    assert await other.fleet.found("ada")


async def test_two_who_invalidate_everybody_at_once_agree_afterwards(process):
    one, other = await process(), await process()
    await asyncio.gather(one.fleet.invalidate_all(), other.fleet.invalidate_all())
    await one.told()
    await other.told()
    await one.settled()
    await other.settled()
    await one.fetch()
    assert await other.fleet.found("ada")


async def test_an_era_that_the_store_lost_brings_nothing_back(process, store, clock):
    one, other = await process(), await process()
    await one.fetch()
    await one.fleet.invalidate_all()
    await one.settled()
    await store.delete(one.fleet._news._era_key)
    late = await process()
    assert await late.fleet.found("ada") is None
    # And they come together again.
    await late.fetch("bob")
    assert await one.fleet.found("bob") is None
    await one.settled()
    assert await one.fleet.found("bob")
    del other


@pytest.mark.parametrize(
    "message", [b"", b"what?", b"5", b'["x"]', b'["x", 5]', b'["x", null]', b'{"a": 1, "b": 2}']
)
async def test_what_is_not_understood_is_about_everybody(process, store, clock, message):
    one = await process()
    one.memory.keep("ada", answer(), clock.now)
    await store.publish(one.fleet._news._channel, message)
    assert await one.told() is None
    assert len(one.memory) == 0
    await one.fetch()
    assert await one.fleet.found("ada")
