"""Iterator objects: they may be left, dropped, stepped and closed by anybody at any time."""

import asyncio
import contextlib
import gc
import itertools
import threading
import tracemalloc

import pytest
from hypothesis import given, strategies as st

from kelviq_async.errors import WrongLoop
from kelviq_async.stream import Stream, WorkStream


async def double(index, item, put):
    await asyncio.sleep(0)
    put(index, item * 2)


async def never(index, item, put):
    await asyncio.Event().wait()


def work(source, job=double, **settings):
    return WorkStream(source, job, **{"concurrency": 3, **settings})


async def agen(items):
    for item in items:
        await asyncio.sleep(0)
        yield item


class Counted:
    """An endless source that knows how far it has been pulled."""

    def __init__(self):
        self.pulled = 0

    def __iter__(self):
        for number in itertools.count():
            self.pulled += 1
            yield number


async def settled():
    """Let everything go as far as it can."""
    for _ in range(50):
        await asyncio.sleep(0)


sources = pytest.mark.parametrize("kind", [list, tuple, iter, agen, lambda items: dict.fromkeys(items, 0)])


@sources
async def test_every_item_has_its_result(kind):
    assert sorted([result async for result in work(kind(range(100)))]) == list(range(0, 200, 2))


@sources
async def test_results_in_order(kind):
    async def later_first(index, item, put):
        for _ in range(7 - index % 7):
            await asyncio.sleep(0)
        put(index, item)

    assert [item async for item in work(kind(range(100)), later_first, ordered=True)] == list(range(100))


@pytest.mark.parametrize("empty", [[], iter(()), agen([])])
async def test_no_items(empty, no_tasks_left):
    assert [item async for item in work(empty)] == []
    await no_tasks_left()


async def test_it_stays_at_its_end():
    stream = work([1])
    assert [item async for item in stream] == [2]
    assert [item async for item in stream] == []
    assert await stream.chunk() == []


async def test_chunks():
    stream = work(range(20), window=5)
    chunks = []
    while chunk := await stream.chunk():
        chunks.append(chunk)
    assert sorted(itertools.chain(*chunks)) == list(range(0, 40, 2))
    assert max(map(len, chunks)) <= 5


@pytest.mark.parametrize("concurrency", [1, 2, 7])
async def test_as_many_jobs_at_once_as_were_asked_for(concurrency):
    running, most = set(), []

    async def job(index, item, put):
        running.add(index)
        most.append(len(running))
        for _ in range(3):
            await asyncio.sleep(0)
        running.discard(index)
        put(index, item)

    async for _ in work(range(50), job, concurrency=concurrency):
        pass
    assert max(most) == concurrency


@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize("window", [1, 3, 10])
async def test_it_never_pulls_further_ahead_than_its_window(window, ordered):
    source = Counted()
    stream = work(source, window=window, ordered=ordered)
    for taken in range(1, 40):
        await anext(stream)
        await settled()
        assert source.pulled - taken <= window
    await stream.aclose()


async def test_a_place_that_is_given_up_is_filled_again():
    """A worker leaves because another one is pulling, and that one is given an item at the same moment."""
    items, releases, running = asyncio.Queue(), [asyncio.Event() for _ in range(3)], set()

    async def source():
        while True:
            yield await items.get()

    async def job(index, item, put):
        running.add(index)
        await releases[index].wait()
        running.discard(index)
        put(index, item)

    stream = work(source(), job, concurrency=2)
    step = asyncio.create_task(stream.__anext__())
    items.put_nowait("first")
    await settled()
    releases[0].set()
    items.put_nowait("second")
    await settled()
    items.put_nowait("third")
    await settled()
    assert running == {1, 2}
    assert await step == "first"
    await stream.aclose()


async def test_a_slow_head_of_an_ordered_stream_holds_the_others_back():
    source, head = Counted(), asyncio.Event()

    async def job(index, item, put):
        if index == 0:
            await head.wait()
        put(index, item)

    stream = work(source, job, window=10, ordered=True)
    first = asyncio.create_task(anext(stream))
    await settled()
    assert source.pulled == 10
    head.set()
    assert await first == 0
    await stream.aclose()


async def test_it_starts_with_the_first_step_only():
    source = Counted()
    stream = work(source)
    await settled()
    assert source.pulled == 0
    await anext(stream)
    await stream.aclose()


async def test_memory_stays_flat():
    async def job(index, item, put):
        put(index, bytes(1000))

    stream = work(iter(range(20_000)), job, concurrency=50)
    for _ in range(1000):
        await anext(stream)
    gc.collect()
    tracemalloc.start()
    try:
        async for _ in stream:
            pass
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1_000_000  # all results together would take twenty


@given(
    turns=st.lists(st.integers(0, 6), max_size=40),
    concurrency=st.integers(1, 6),
    window=st.integers(1, 12),
    ordered=st.booleans(),
    kind=st.sampled_from([iter, agen]),
    consumers=st.integers(1, 3),
)
def test_whatever_the_timing_every_result_comes_once(turns, *, concurrency, window, ordered, kind, consumers):
    running, most, pulled, results = 0, 0, 0, []

    def source():
        nonlocal pulled
        for item in range(len(turns)):
            pulled += 1
            yield item

    async def job(index, item, put):
        nonlocal running, most
        running += 1
        most = max(most, running)
        for _ in range(turns[index]):
            await asyncio.sleep(0)
        running -= 1
        put(index, item)

    async def consume(stream, pause):
        async for item in stream:
            results.append(item)
            assert pulled - len(results) <= window
            for _ in range(pause):
                await asyncio.sleep(0)

    async def story():
        stream = work(kind(source()), job, concurrency=concurrency, window=window, ordered=ordered)
        async with asyncio.timeout(10):
            await asyncio.gather(*(consume(stream, pause) for pause in range(consumers)))
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(story())
    assert sorted(results) == list(range(len(turns)))
    assert most <= concurrency
    if ordered:
        assert results == sorted(results)


# Leaving early


@pytest.mark.parametrize("kind", [iter, agen])
async def test_after_a_break_it_can_be_closed(kind, no_tasks_left):
    stream = work(kind(range(1000)))
    async for _ in stream:
        break
    await stream.aclose()
    await stream.aclose()
    assert [item async for item in stream] == []
    await no_tasks_left()


async def test_after_a_break_it_can_be_gone_on_with():
    stream = work(range(10), concurrency=1)
    results = []
    async for result in stream:
        results.append(result)
        break
    assert [*results, *[item async for item in stream]] == list(range(0, 20, 2))


@pytest.mark.parametrize("job", [double, never])
async def test_dropped_without_closing_it_leaves_nothing_running(job, no_tasks_left):
    stream = work(Counted(), job)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(anext(stream), 0.01)
    assert len(asyncio.all_tasks()) > 1
    del stream
    await no_tasks_left()


async def test_dropped_in_another_thread(no_tasks_left):
    streams = [work(Counted())]
    await anext(streams[0])
    await asyncio.to_thread(streams.clear)
    await no_tasks_left()


async def test_a_dropped_one_does_not_block_the_end_of_its_user():
    async def leaves():
        async for item in work(Counted()):
            return item
        return None

    assert await asyncio.wait_for(leaves(), 5) == 0


async def test_the_context_manager_closes_it(no_tasks_left):
    async with work(Counted()) as stream:
        assert await anext(stream) == 0
    await no_tasks_left()
    with pytest.raises(StopAsyncIteration):
        await anext(stream)


async def test_closed_before_it_began(no_tasks_left):
    source = Counted()
    stream = work(source)
    await stream.aclose()
    assert [item async for item in stream] == []
    assert source.pulled == 0
    await no_tasks_left()


async def test_opened_and_closed_in_different_tasks(no_tasks_left):
    stream = work(Counted())
    await asyncio.create_task(stream.__aenter__())
    assert await asyncio.create_task(stream.__anext__()) == 0
    await asyncio.create_task(stream.__aexit__(None, None, None))
    await no_tasks_left()


@pytest.fixture
async def opened():
    async with work(range(5), ordered=True) as stream:
        yield stream


async def test_held_open_by_a_fixture(opened):
    assert [item async for item in opened] == [0, 2, 4, 6, 8]


# Stepping


async def test_each_step_in_another_task():
    stream = work(range(10), ordered=True)
    assert [await asyncio.create_task(stream.__anext__()) for _ in range(10)] == list(range(0, 20, 2))


async def test_two_tasks_step_at_once():
    stream = work(range(100))

    async def consume():
        return [item async for item in stream]

    shares = await asyncio.gather(*(consume() for _ in range(4)))
    assert sorted(itertools.chain(*shares)) == list(range(0, 200, 2))


async def test_a_step_that_is_cancelled_loses_nothing():
    gate = asyncio.Event()

    async def job(index, item, put):
        await gate.wait()
        put(index, item)

    stream = work(range(5), job)
    step = asyncio.create_task(stream.__anext__())
    await settled()
    step.cancel()
    await settled()
    gate.set()
    assert sorted([item async for item in stream]) == [0, 1, 2, 3, 4]


async def test_closing_during_a_step_ends_the_step(no_tasks_left):
    stream = work(Counted(), never)
    step = asyncio.create_task(stream.__anext__())
    await settled()
    await stream.aclose()
    with pytest.raises(StopAsyncIteration):
        await step
    await no_tasks_left()


async def test_another_loop_is_refused():
    stream = work(Counted())
    await anext(stream)
    for step in (stream.__anext__, stream.chunk):
        with pytest.raises(WrongLoop):
            await asyncio.to_thread(asyncio.run, step())
    await stream.aclose()


async def test_closed_from_another_loop(no_tasks_left):
    stream = work(Counted(), never)
    step = asyncio.create_task(stream.__anext__())
    await settled()
    await asyncio.to_thread(asyncio.run, stream.aclose())
    with pytest.raises(StopAsyncIteration):
        await step
    await no_tasks_left()


def test_left_behind_by_its_loop():
    stream = work(Counted())

    async def step():
        return await anext(stream)

    assert asyncio.run(step()) == 0
    asyncio.run(stream.aclose())


async def test_the_base_says_what_to_write():
    with pytest.raises(NotImplementedError):
        await anext(Stream())


def test_made_without_a_loop_in_any_thread():
    made = []
    thread = threading.Thread(target=lambda: made.append(work(range(3), ordered=True)))
    thread.start()
    thread.join()

    async def consume():
        return [item async for item in made[0]]

    assert asyncio.run(consume()) == [0, 2, 4]


async def test_who_is_cancelled_while_it_waits_has_the_work_stop():
    source, gate = Counted(), asyncio.Event()

    async def job(index, item, put):
        await gate.wait()
        put(index, item)

    async def consume(stream):
        return [item async for item in stream]

    stream = work(source, job)
    task = asyncio.create_task(consume(stream))
    await settled()
    task.cancel()
    with pytest.raises(asyncio.CancelledError) as caught:  # its traceback keeps what was iterated over
        await task
    gate.set()
    await settled()
    assert source.pulled == 3, "what was under way has ended, and nothing else has begun"
    assert sorted(await stream.chunk()) == [0, 1, 2]
    await settled()
    assert source.pulled == 3
    assert sorted([await anext(stream) for _ in range(30)]) == list(range(3, 33)), "asked again, it goes on"
    await stream.aclose()
    del caught


async def test_who_is_cancelled_does_not_stop_those_who_go_on():
    gate = asyncio.Event()

    async def job(index, item, put):
        await gate.wait()
        put(index, item)

    async def consume():
        return [item async for item in stream]

    stream = work(range(50), job)
    first, second, third = (asyncio.create_task(consume()) for _ in range(3))
    await settled()
    first.cancel()
    await settled()
    gate.set()
    assert sorted(await second + await third) == list(range(50))
