"""The router: each event once, also among several processes and when something fails."""

import asyncio
import logging
from datetime import timedelta

import anyio
import pytest

from kelviq_async import webhooks
from kelviq_async.stores import MemoryStore
from kelviq_async.webhooks import Outcome, ReplayGuard, Router

LOGGER = "kelviq_async"


class BrokenStore(MemoryStore):
    """A store that fails at the methods named."""

    def __init__(self, *broken, clock):
        super().__init__(clock=clock)
        for name in broken:
            setattr(self, name, self.fail)

    async def fail(self, *args):
        raise ConnectionError("the store is gone")


async def test_the_same_event_again_is_acknowledged_and_runs_nothing(router, send, log):
    router.on(webhooks.Event)(log.append)
    assert (await send()).outcome is Outcome.HANDLED
    again = await send()
    assert (again.outcome, again.status) == (Outcome.DUPLICATE, 200)
    assert len(log) == 1


async def test_a_resend_signed_anew_is_still_the_same_event(router, kelviq, example, log):
    router.on(webhooks.Event)(log.append)
    for minutes in (0, 1):
        when = kelviq.now + timedelta(minutes=minutes)
        body, headers = kelviq.delivery(example("order.created"), id=f"msg_{minutes}", timestamp=when)
        await router.handle(body, headers, now=when)
    assert len(log) == 1


@pytest.mark.parametrize("id", [None, "", {}])
async def test_without_an_id_in_the_body_the_header_decides(router, kelviq, example, log, id):
    router.on(webhooks.Event)(log.append)
    data = example("order.created") | {"id": id}
    for message in ("msg_1", "msg_1", "msg_2"):
        body, headers = kelviq.delivery(data, id=message)
        await router.handle(body, headers, now=kelviq.now)
    assert len(log) == 2


async def test_without_a_guard_one_process_still_runs_it_once(kelviq, send, log):
    router = Router(kelviq.secret)
    router.on(webhooks.Event)(log.append)
    outcomes = [(await send(to=router)).outcome for _ in range(2)]
    assert outcomes == [Outcome.HANDLED, Outcome.DUPLICATE]
    assert len(log) == 1


async def test_routers_have_guards_of_their_own(kelviq, send, log):
    for _ in range(2):
        router = Router(kelviq.secret)
        router.on(webhooks.Event)(log.append)
        await send(to=router)
    assert len(log) == 2


async def test_many_at_once_run_it_once(router, send, log):
    start = asyncio.Event()

    @router.on(webhooks.Event)
    async def slow(event):
        await start.wait()
        log.append(event)

    tasks = [asyncio.create_task(send()) for _ in range(10)]
    for _ in range(10):
        await asyncio.sleep(0)
    start.set()
    results = await asyncio.gather(*tasks)
    outcomes = [result.outcome for result in results]
    assert len(log) == 1
    assert outcomes.count(Outcome.HANDLED) == 1
    assert outcomes.count(Outcome.BUSY) == 9
    assert {(result.status, result.retry_after) for result in results} == {(200, None), (409, 60.0)}


async def test_another_process_at_work_is_a_reason_to_come_back(kelviq, store, router, send, log):
    inside, go = asyncio.Event(), asyncio.Event()
    other = Router(kelviq.secret, guard=ReplayGuard(store, lapse=60))

    @other.on(webhooks.Event)
    async def slow(event):
        inside.set()
        await go.wait()

    router.on(webhooks.Event)(log.append)
    working = asyncio.create_task(send(to=other))
    await inside.wait()
    assert (await send()).outcome is Outcome.BUSY
    go.set()
    assert (await working).outcome is Outcome.HANDLED
    assert (await send()).outcome is Outcome.DUPLICATE
    assert log == []


# When something fails


async def test_a_handlers_exception_passes_and_the_event_can_come_again(router, send, log):
    fail = True

    @router.on(webhooks.Event)
    async def first(event):
        log.append("first")

    @router.on(webhooks.Event)
    async def second(event):
        log.append("second")
        if fail:
            raise LookupError("not today")

    @router.on(webhooks.Event)
    async def third(event):
        log.append("third")

    with pytest.raises(LookupError, match="not today"):
        await send()
    assert log == ["first", "second"]
    fail = False
    assert (await send()).outcome is Outcome.HANDLED
    assert log == ["first", "second", "first", "second", "third"]


async def test_a_blocking_handlers_exception_passes_too(router, send):
    @router.on(webhooks.Event)
    def handler(event):
        raise LookupError

    for _ in range(2):
        with pytest.raises(LookupError):
            await send()


async def test_a_cancelled_request_gives_the_event_back(router, send, log):
    inside = asyncio.Event()

    @router.on(webhooks.Event)
    async def handler(event):
        inside.set()
        if not log:
            log.append("cancelled")
            await asyncio.Event().wait()
        log.append("handled")

    task = asyncio.create_task(send())
    await inside.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await send()).outcome is Outcome.HANDLED
    assert log == ["cancelled", "handled"]


class SlowStore(MemoryStore):
    """Each call takes a turn of the loop, as one over a network does."""

    async def delete(self, key, expected=None):
        await asyncio.sleep(0)
        return await super().delete(key, expected)

    async def replace(self, key, expected, value, ttl=None):
        await asyncio.sleep(0)
        return await super().replace(key, expected, value, ttl)


async def test_a_scope_that_goes_on_cancelling_does_not_reach_the_guard(kelviq, send):
    router = Router(kelviq.secret, guard=ReplayGuard(SlowStore()))
    scope = anyio.CancelScope()

    @router.on(webhooks.Event)
    async def handler(event):
        scope.cancel()
        await asyncio.sleep(0)

    for _ in range(2):
        with scope:
            await send(to=router)
        assert scope.cancelled_caught
        scope = anyio.CancelScope()  # were the event still claimed, the handler would not cancel this one


async def test_a_scope_cancelled_after_the_work_does_not_undo_it(kelviq, send, log):
    router = Router(kelviq.secret, guard=ReplayGuard(SlowStore()))
    scope = anyio.CancelScope()

    @router.on(webhooks.Event)
    async def handler(event):
        log.append(event)
        scope.cancel()

    with scope:
        await send(to=router)
    assert (await send(to=router)).outcome is Outcome.DUPLICATE
    assert len(log) == 1


async def test_a_process_that_died_blocks_until_its_claim_lapses(store, clock, router, send, log):
    # All that a process leaves that was killed while it handled the event.
    await ReplayGuard(store, lapse=60).claim("evt_01HXYZ1234567890ABCDEF")
    router.on(webhooks.Event)(log.append)
    clock.now += 59
    assert (await send()).outcome is Outcome.BUSY
    clock.now += 1
    assert (await send()).outcome is Outcome.HANDLED
    assert len(log) == 1


async def test_a_handler_slower_than_its_claim_cannot_end_its_successors(kelviq, store, clock, send, caplog):
    turns, release = [asyncio.Event(), asyncio.Event()], [asyncio.Event(), asyncio.Event()]
    started = iter(range(2))
    router = Router(kelviq.secret, guard=ReplayGuard(store, lapse=60))

    @router.on(webhooks.Event)
    async def slow(event):
        turn = next(started)
        turns[turn].set()
        await release[turn].wait()

    first = asyncio.create_task(send(to=router))
    await turns[0].wait()
    clock.now += 60
    second = asyncio.create_task(send(to=router))
    await turns[1].wait()
    with caplog.at_level(logging.WARNING, LOGGER):
        release[0].set()
        assert (await first).outcome is Outcome.HANDLED
    assert "lapse" in caplog.text
    assert (await send(to=router)).outcome is Outcome.BUSY
    release[1].set()
    await second
    assert (await send(to=router)).outcome is Outcome.DUPLICATE


async def test_a_store_that_is_gone_before_the_work_fails_the_delivery(kelviq, clock, send, log):
    router = Router(kelviq.secret, guard=ReplayGuard(BrokenStore("add", clock=clock)))
    router.on(webhooks.Event)(log.append)
    with pytest.raises(ConnectionError):
        await send(to=router)
    assert log == []


async def test_a_store_that_is_gone_after_the_work_does_not_ask_for_it_again(
    kelviq, clock, send, log, caplog
):
    router = Router(kelviq.secret, guard=ReplayGuard(BrokenStore("replace", clock=clock)))
    router.on(webhooks.Event)(log.append)
    with caplog.at_level(logging.WARNING, LOGGER):
        assert (await send(to=router)).outcome is Outcome.HANDLED
    assert "commit" in caplog.text
    assert "ConnectionError" in caplog.text
    assert len(log) == 1


async def test_a_store_that_is_gone_at_the_release_does_not_hide_the_failure(kelviq, clock, send, caplog):
    router = Router(kelviq.secret, guard=ReplayGuard(BrokenStore("delete", clock=clock)))

    @router.on(webhooks.Event)
    async def handler(event):
        raise LookupError

    with caplog.at_level(logging.WARNING, LOGGER), pytest.raises(LookupError):
        await send(to=router)
    assert "release" in caplog.text
