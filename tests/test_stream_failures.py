"""What goes wrong in a source, in a job, or with the client: the user of an iterator hears of it."""

import asyncio
import itertools

import pytest

from kelviq_async.errors import ClientClosed, InvalidRequest, KelviqError
from kelviq_async.stream import WorkStream


async def double(index, item, put):
    await asyncio.sleep(0)
    put(index, item * 2)


async def never(index, item, put):
    await asyncio.Event().wait()


def work(source, job=double, **settings):
    return WorkStream(source, job, **{"concurrency": 3, **settings})


async def settled():
    for _ in range(50):
        await asyncio.sleep(0)


# What goes wrong


def failing(after, error):
    yield from range(after)
    raise error


async def failing_agen(after, error):
    for number in failing(after, error):
        yield number


@pytest.mark.parametrize("source", [failing, failing_agen])
@pytest.mark.parametrize("ordered", [False, True])
async def test_what_the_source_raises_comes_after_the_results(source, ordered, no_tasks_left):
    stream = work(source(10, OSError("disk")), ordered=ordered)
    results = [await anext(stream) for _ in range(10)]
    assert sorted(results) == list(range(0, 20, 2))
    with pytest.raises(OSError, match="disk"):
        await anext(stream)
    assert [item async for item in stream] == []
    await no_tasks_left()


async def test_what_a_job_raises_ends_it(no_tasks_left):
    async def job(index, item, put):
        if item == 5:
            raise LookupError("job")
        await asyncio.sleep(0)
        put(index, item)

    stream = work(itertools.count(), job, window=6)
    with pytest.raises(LookupError):
        async for _ in stream:
            pass
    await no_tasks_left()


async def test_what_all_jobs_raise_ends_it_also_while_a_worker_waits_for_room(no_tasks_left):
    async def job(index, item, put):
        await settled()
        raise LookupError("job")

    stream = work(itertools.count(), job, concurrency=3, window=2)
    with pytest.raises(LookupError):
        await asyncio.wait_for(anext(stream), 5)
    await no_tasks_left()


async def test_a_source_that_was_cancelled_elsewhere_is_not_taken_for_its_end():
    async def source():
        yield 1
        elsewhere = asyncio.get_running_loop().create_future()
        elsewhere.cancel()
        await elsewhere

    stream = work(source())
    assert await anext(stream) == 2
    with pytest.raises(KelviqError, match="missing"):
        await anext(stream)


async def test_a_worker_that_was_cancelled_elsewhere_is_not_taken_for_the_end():
    stream = work(itertools.count(), never)
    step = asyncio.create_task(stream.__anext__())
    await settled()
    for task in asyncio.all_tasks() - {step, asyncio.current_task()}:
        task.cancel()
    with pytest.raises(KelviqError, match="missing"):
        await step


async def test_an_iterable_that_cannot_begin():
    class Broken:
        def __iter__(self):
            raise OSError("cannot begin")

    stream = work(Broken())
    with pytest.raises(OSError, match="cannot begin"):
        await anext(stream)


async def test_a_source_may_close_what_it_feeds(no_tasks_left):
    async def source():
        yield 1
        yield 2
        await stream.aclose()
        yield 3

    stream = work(source(), concurrency=1)
    assert {item async for item in stream} <= {2, 4}
    await no_tasks_left()


@pytest.mark.parametrize("concurrency", [0, -1, True, 1.5, "3", None])
def test_a_concurrency_that_could_never_work(concurrency):
    with pytest.raises(InvalidRequest, match="concurrency"):
        work([], concurrency=concurrency)


@pytest.mark.parametrize("source", [7, None, object()])
def test_a_source_that_is_none(source):
    with pytest.raises(InvalidRequest, match="iterable"):
        work(source)


# A client that closes


async def test_stopped_with_an_error_the_known_results_come_first(no_tasks_left):
    tracked = []

    async def job(index, item, put):
        if index >= 2:
            await asyncio.Event().wait()
        put(index, item)

    stream = work(itertools.count(), job, track=tracked.append)
    assert await anext(stream) == 0
    await settled()
    await tracked[0].stop(ClientClosed("closed"))
    assert await anext(stream) == 1
    with pytest.raises(ClientClosed):
        await anext(stream)
    await no_tasks_left()


@pytest.mark.parametrize("turns", range(8))
async def test_closed_after_any_number_of_turns_it_ends(turns, no_tasks_left):
    """Also where a worker is cancelled before its first line."""
    stream = work(itertools.count(), never)
    step = asyncio.create_task(stream.__anext__())
    for _ in range(turns):
        await asyncio.sleep(0)
    await stream.aclose()
    with pytest.raises(StopAsyncIteration):
        await asyncio.wait_for(step, 5)
    await no_tasks_left()


async def test_stopped_with_an_error_during_a_step():
    tracked = []
    stream = work(itertools.count(), never, track=tracked.append)
    step = asyncio.create_task(stream.__anext__())
    await settled()
    await tracked[0].stop(ClientClosed("closed"))
    with pytest.raises(ClientClosed):
        await step


async def test_one_that_is_complete_does_not_mind():
    tracked = []
    stream = work(range(3), track=tracked.append)
    assert await anext(stream) == 0
    await settled()
    await tracked[0].stop(ClientClosed("closed"))
    assert [item async for item in stream] == [2, 4]
