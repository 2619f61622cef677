"""Waits: one timer for all deadlines, and an end for all when the client closes."""

import asyncio

import pytest

from kelviq_async.errors import ClientClosed
from kelviq_async.sending.under_way import UnderWay

FAR = 1000.0


@pytest.fixture
def under_way():
    return UnderWay()


def now():
    return asyncio.get_running_loop().time()


async def waiting(under_way, deadline=None):
    with under_way.wait(deadline):
        await asyncio.Event().wait()


async def begun(*calls):
    tasks = [asyncio.create_task(call) for call in calls]
    await asyncio.sleep(0)
    return tasks


async def outcomes(tasks):
    async with asyncio.timeout(10):
        return [type(each) for each in await asyncio.gather(*tasks, return_exceptions=True)]


async def test_a_deadline_ends_a_wait(under_way):
    with pytest.raises(TimeoutError):
        await waiting(under_way, now() + 0.01)
    assert asyncio.current_task().cancelling() == 0
    await asyncio.sleep(0)  # nothing is left of the interruption


async def test_a_deadline_that_is_past_ends_it_at_the_first_chance(under_way):
    with pytest.raises(TimeoutError):
        await waiting(under_way, now() - 5)


async def test_each_ends_by_its_own_deadline_whatever_the_order(under_way, monkeypatch):
    ended = []
    clock = start = now()

    async def noted(name, deadline):
        try:
            await waiting(under_way, deadline)
        except TimeoutError:
            ended.append(name)

    async def at(moment):
        nonlocal clock
        clock = moment
        for _ in range(10):
            await asyncio.sleep(0)
        return ended

    # its own clock, since on a busy machine several are late at once, in any order
    with monkeypatch.context() as patch:
        patch.setattr(asyncio.get_running_loop(), "time", lambda: clock)
        tasks = await begun(*(noted(n, start + n) for n in (3, 1, 4, 2)), noted("far", start + FAR))
        for name in (1, 2, 3, 4):
            assert await at(start + name - 0.01) == list(range(1, name))
            assert await at(start + name) == list(range(1, name + 1))
    tasks[4].cancel()
    assert await outcomes(tasks) == [type(None)] * 4 + [asyncio.CancelledError]


async def test_one_timer_serves_all(under_way, monkeypatch):
    loop = asyncio.get_running_loop()
    set_for = []
    call_at = loop.call_at
    monkeypatch.setattr(loop, "call_at", lambda when, *more: set_for.append(when) or call_at(when, *more))
    first = now() + FAR
    for number in range(1000):
        with under_way.wait(first + number):
            pass
    assert set_for == [first]
    with under_way.wait(first - 1):
        pass
    assert set_for == [first, first - 1]


async def test_a_timer_that_finds_nobody_late_is_set_to_the_next(under_way):
    start = now()
    with under_way.wait(start + 0.01):
        pass
    with pytest.raises(TimeoutError):
        await waiting(under_way, start + 0.05)
    assert now() >= start + 0.05


async def test_a_cancellation_is_none_of_ours(under_way):
    for deadline in (None, now() + FAR):
        tasks = await begun(waiting(under_way, deadline))
        tasks[0].cancel()
        assert await outcomes(tasks) == [asyncio.CancelledError]
    assert under_way._waits == set()


async def test_a_cancellation_that_meets_a_deadline_wins(under_way):
    tasks = await begun(waiting(under_way, now() + 0.01))
    (wait,) = under_way._waits
    wait.expire()
    tasks[0].cancel()
    assert await outcomes(tasks) == [asyncio.CancelledError]
    assert tasks[0].cancelling() == 1


async def test_another_error_stays_what_it_is(under_way):
    async def failing():
        with under_way.wait(now() + FAR):
            (wait,) = under_way._waits
            wait.expire()
            try:
                await asyncio.sleep(0)
            finally:
                raise KeyError

    (task,) = await begun(failing())
    assert await outcomes([task]) == [KeyError]
    assert task.cancelling() == 0


async def test_what_is_done_is_done_although_time_is_up(under_way):
    async def done():
        with under_way.wait(now() + FAR):
            (wait,) = under_way._waits
            try:
                wait.expire()
                await asyncio.sleep(0)
            except asyncio.CancelledError:
                pass
        return asyncio.current_task().cancelling()

    assert await asyncio.create_task(done()) == 0


async def test_closing_ends_them_all(under_way):
    tasks = await begun(
        waiting(under_way), waiting(under_way, now() + FAR), waiting(under_way, now() + 2 * FAR)
    )
    under_way.end()
    assert await outcomes(tasks) == [ClientClosed] * 3
    assert all(task.cancelling() == 0 for task in tasks)
    assert under_way._alarm is None


async def test_closing_counts_even_if_time_was_up_as_well(under_way):
    tasks = await begun(waiting(under_way, now() + FAR))
    (wait,) = under_way._waits
    wait.expire()
    under_way.end()
    assert await outcomes(tasks) == [ClientClosed]


async def test_who_closes_inside_a_wait_is_not_stopped_before_it_waits(under_way):
    reached = []

    async def closing():
        with under_way.wait():
            under_way.end()
            reached.append(1)
            await asyncio.Event().wait()

    assert await outcomes(await begun(closing())) == [ClientClosed]
    assert reached == [1]


async def test_a_wait_that_is_over_is_not_ended_late(under_way):
    with under_way.wait():
        under_way.end()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert asyncio.current_task().cancelling() == 0


async def test_waits_may_lie_in_one_another(under_way):
    with pytest.raises(TimeoutError), under_way.wait(now() + FAR):
        await waiting(under_way, now() + 0.01)
    with pytest.raises(TimeoutError), under_way.wait(now() + 0.01):
        await waiting(under_way, now() + FAR)
    assert asyncio.current_task().cancelling() == 0


async def test_asynchronous_blocks_are_the_same(under_way):
    with pytest.raises(TimeoutError):
        async with under_way.wait(now() + 0.01):
            await asyncio.Event().wait()


def test_one_loop_after_another(under_way):
    async def left_over():
        asyncio.get_running_loop().forgotten = asyncio.create_task(waiting(under_way, now() + 0.01))
        await asyncio.sleep(0)

    async def next_one():
        with pytest.raises(TimeoutError):
            await waiting(under_way, now() + 0.02)
        tasks = await begun(waiting(under_way, now() + FAR))
        under_way.end()
        assert await outcomes(tasks) == [ClientClosed]

    first = asyncio.new_event_loop()
    first.run_until_complete(left_over())
    asyncio.run(next_one())
    assert under_way._waits == set()
    assert not first.forgotten.done()
    first.forgotten.cancel()
    with pytest.raises(asyncio.CancelledError):
        first.run_until_complete(first.forgotten)
    first.close()


def test_calls_are_made_inside_a_task(under_way):
    async def outside():
        asyncio.get_running_loop().call_soon(enter)
        await asyncio.sleep(0)

    def enter():
        with pytest.raises(RuntimeError, match="inside a task"):
            under_way.wait().__enter__()
        entered.append(1)

    entered = []
    asyncio.run(outside())
    assert entered == [1]
