"""What processes that share what Kelviq answered know of each other, and how it begins and ends."""

import asyncio
import json

import pytest

from kelviq_async import codec
from kelviq_async.api.entitlements import CustomerEntitlements, GetEntitlements
from kelviq_async.entitlements import entries, news
from kelviq_async.entitlements.cache import EntitlementCache
from kelviq_async.entitlements.policy import CachePolicy, FeaturePolicy
from kelviq_async.errors import NotFound
from tests.entitlements.fleet.processes import SCOPE, Clock, Hold, Process, answer, wind


async def test_one_fetches_and_all_know(process, clock):
    one, other = await process(), await process()
    assert await other.fleet.found("ada") is None
    result = answer(resetAt="2026-01-31 00:00:00", remaining=3, newField={"a": ["1.50"]})
    await one.fetch(result=result)
    start = clock.now
    wind(process, clock, 40)
    assert await other.fleet.found("ada") == (result, start)
    assert await other.fleet.found("bob") is None


async def test_age_counts_from_the_start_of_the_call_on_ones_own_clock(process, clock):
    one, other = await process(), await process(clock=Clock(7.0))
    await one.fleet.found("ada")
    start = clock.now
    wind(process, clock, 3)
    one.fleet.keep("ada", answer(), start)
    await one.settled()
    wind(process, clock, 2)
    _, found = await other.fleet.found("ada")
    assert found == pytest.approx(7.0 - 5, abs=0.01)


async def test_a_customer_kelviq_does_not_know(process, clock):
    one, other = await process(), await process()
    await one.fleet.found("ada")
    one.fleet.keep("ada", None, clock.now)
    await one.settled()
    assert await other.fleet.found("ada") == (None, clock.now)
    wind(process, clock, 5)
    assert await other.fleet.found("ada") is None


@pytest.mark.parametrize(("granted", "seconds"), [(True, 900), (False, 5), (None, 5), ("yes", 5)])
async def test_how_long_an_answer_is_shared(process, clock, granted, seconds):
    one, other = await process(), await process()
    await one.fetch(result=answer(granted=granted))
    wind(process, clock, seconds - 0.1)
    assert await other.fleet.found("ada")
    wind(process, clock, 0.2)
    assert await other.fleet.found("ada") is None


async def test_a_denial_takes_the_place_of_a_grant_also_when_it_lapses(process, clock):
    one, other = await process(), await process()
    await one.fetch()
    await one.fetch(result=answer(granted=False))
    found, _ = await other.fleet.found("ada")
    assert found.entitlements[0].has_access is False
    wind(process, clock, 6)
    assert await other.fleet.found("ada") is None


@pytest.mark.parametrize(("denied", "fresh"), [(0, 60), (0, 0), (5, 0)])
async def test_what_is_not_to_be_kept_ends_what_it_contradicts(process, clock, denied, fresh):
    policy = CachePolicy(denied=denied, fresh=fresh, revalidate=0, max_stale=fresh)
    one, other = await process(policy=policy), await process()
    await other.fetch()
    await one.fetch(result=answer(granted=bool(denied)))
    assert await other.fleet.found("ada") is None


async def test_the_longest_policy_counts(process, clock):
    policy = CachePolicy(features={"export": FeaturePolicy(max_stale=2000)})
    one = await process(policy=policy)
    await one.fetch()
    wind(process, clock, 1999)
    assert await one.fleet.found("ada")
    other = await process()
    assert await other.fleet.found("ada") is None
    wind(process, clock, 2)
    assert await one.fleet.found("ada") is None


@pytest.mark.parametrize(
    ("ahead", "usable"), [(1.5, True), (2.5, False), (1e9, False), (-899, True), (-901, False)]
)
async def test_clocks_of_machines_differ(process, clock, ahead, usable):
    one, other = await process(wall=Clock(process.wall.now + ahead)), await process()
    await one.fetch()
    found = await other.fleet.found("ada")
    assert (found is not None) is usable
    if found:
        assert found[1] == pytest.approx(clock.now + min(0, ahead))


async def test_what_is_scoped_apart_is_apart(process):
    everybody = [
        await process(),
        await process(environment="production"),
        await process(host="https://other.example/api/v1"),
        await process(account="acme2"),
        await process(environment="sandboxh", host=SCOPE["host"][1:]),
    ]
    for one in everybody:
        await one.fetch("ada", answer(usageLimit=everybody.index(one)))
    for index, one in enumerate(everybody):
        assert (await one.fleet.found("ada"))[0].entitlements[0].usage_limit == index
        await one.fleet.invalidate("ada")
        for later in everybody[index + 1 :]:
            assert await later.fleet.found("ada")
            assert later.outdated.empty()


async def test_ids_that_look_alike_are_apart(process):
    one = await process()
    ids = [
        "a",
        "a:",
        "a:b",
        "1:a",
        "A",
        "é",
        "e\u0301",
        "a b",
        "a*",
        "{a}",
        "ada@example.com",
        "x" * 5000,
        "\ud800",
    ]
    assert len({one.fleet._news.key(each) for each in ids}) == len(ids)
    assert {len(one.fleet._news.key(each)) for each in ids} == {len("entitlements:") + 40}
    for each in ids[:-1]:
        await one.fetch(each)
    for each in ids[:-1]:
        assert (await one.fleet.found(each))[0].customer_id == each
    await one.fetch(ids[-1])  # which JSON cannot say
    await one.fleet.invalidate(ids[-1])


async def test_entries_are_small(process):
    rows = [
        {"featureId": f"feature-{n}", "hasAccess": True, "featureType": "METER", "hardLimit": False}
        | {"resetAt": "2026-01-31 00:00:00", "usageLimit": 1000 * n, "currentUsage": n, "remaining": 999 * n}
        for n in range(6)
    ]
    data = {"customerId": "customer-12345", "entitlements": rows}
    value = entries.packed(
        "customer-12345", entries.Entry(codec.load(CustomerEntitlements, data), 1, "e" * 16)
    )
    assert len(value) < 0.3 * len(json.dumps(data, separators=(",", ":")))


async def test_many_who_ask_at_once_look_once(process, store):
    one = await process()
    await one.fetch()
    store.calls.clear()
    found = await asyncio.gather(*(one.fleet.found("ada") for _ in range(100)))
    assert all(found)
    assert store.calls == ["get"]


async def test_who_gives_up_leaves_the_others_alone(process, store):
    one = await process()
    await one.fetch()
    store.held["get"] = Hold()
    first, second = (asyncio.ensure_future(one.fleet.found("ada")) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    store.held["get"].set()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert await second


async def test_it_begins_by_itself_and_starts_no_task_before(store, clock):
    before = asyncio.all_tasks()
    one, other = Process(store, clock), Process(store, clock)
    assert asyncio.all_tasks() == before
    assert await one.fleet.found("ada") is None
    await other.fleet.invalidate("ada")
    assert await one.told() == "ada"
    for each in (one, other, other):
        await each.fleet.aclose()
    assert asyncio.all_tasks() == before


async def test_closing_lets_what_is_on_its_way_arrive(process, store, clock):
    one, other = await process(), await process()
    await one.fleet.found("ada")
    one.fleet.keep("ada", answer(), clock.now)
    await one.fleet.aclose()
    assert await other.fleet.found("ada")
    await other.fleet.invalidate("ada")
    assert one.outdated.empty()


async def test_closing_does_not_wait_for_ever(process, store):
    one = await process()
    store.held["get"] = Hold()
    looking = asyncio.ensure_future(one.fleet.found("ada"))
    await asyncio.sleep(0)
    await one.fleet.aclose()
    assert await looking is None


async def test_it_can_be_used_again_after_closing(process):
    one, other = await process(), await process()
    await one.fleet.aclose()
    await one.fetch()
    assert await one.fleet.found("ada")
    await other.fleet.invalidate("ada")
    assert await one.told() == "ada"


def test_it_can_be_used_on_one_loop_after_the_other(store, clock):
    one = Process(store, clock)

    async def use():
        await one.fetch()
        return await one.fleet.found("ada")

    assert asyncio.run(use())
    assert asyncio.run(use())


async def test_who_did_not_wait_for_the_listening_begins_anew_with_it(store, clock, monkeypatch):
    monkeypatch.setattr(news, "PATIENCE", 0.01)
    one, gate = Process(store, clock), asyncio.Event()
    subscribe = store.subscribe

    async def late(*arguments):
        await gate.wait()
        return await subscribe(*arguments)

    monkeypatch.setattr(store, "subscribe", late)
    assert await one.fleet.found("ada") is None
    one.memory.keep("ada", answer(), clock.now)  # nobody could have told us of an invalidation
    gate.set()
    assert await one.told() is None
    assert len(one.memory) == 0
    await one.settled()
    await one.fleet.aclose()


ASKED = GetEntitlements("ada")


async def late(process, clock, newer):
    """A cache of which a call was slow, so that another process has asked, and shared, after it began."""
    slow, quick = await process(), await process()
    cache = EntitlementCache(slow.memory, slow.fleet)
    await slow.fleet.found("ada")
    start = clock.now
    wind(process, clock, 1)
    await quick.fetch(result=newer)
    assert (await cache.shared("ada")).from_store
    wind(process, clock, 1)
    return cache, start


async def test_an_older_answer_that_comes_late_does_not_replace_what_the_store_had(process, clock):
    cache, start = await late(process, clock, answer(granted=False))
    cache.keep(ASKED, "ada", answer(), start)
    assert cache.memory.peek("ada", "export") is False
    cache.keep(ASKED, "ada", answer(), clock.now)
    assert cache.memory.peek("ada", "export") is True, "a newer one does"


async def test_nor_does_an_older_word_that_there_is_no_such_customer(process, clock):
    cache, start = await late(process, clock, answer())
    cache.refused(ASKED, "ada", NotFound("Customer not found."), start)
    assert cache.memory.peek("ada", "export") is True
    cache.refused(ASKED, "ada", NotFound("Customer not found."), clock.now)
    assert cache.memory.peek("ada", "export") is False
