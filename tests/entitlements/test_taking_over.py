"""Who takes over when the one who asks gives up, and how much time is left then."""

import asyncio

import pytest

from kelviq_async import TimedOut
from kelviq_async.api.entitlements import GetEntitlements
from kelviq_async.config import Options
from kelviq_async.entitlements.cache import EntitlementCache
from kelviq_async.entitlements.memory import Memory
from kelviq_async.entitlements.policy import CachePolicy
from kelviq_async.errors import NeverSent
from kelviq_async.sending.cache import CacheSend
from tests.entitlements.fleet.processes import answer

REQUEST = GetEntitlements("ada")
ANSWER = answer()


class Inner:
    """The layers inside: each call waits until the test ends it, and is remembered with its options."""

    def __init__(self):
        self.calls = []
        self.arrived = asyncio.Event()

    async def __call__(self, request, options):
        end = asyncio.get_running_loop().create_future()
        self.calls.append((options, end))
        self.arrived.set()
        return await end

    async def next(self):
        async with asyncio.timeout(10):
            await self.arrived.wait()
        self.arrived.clear()
        return self.calls[-1]


@pytest.fixture
async def inner():
    return Inner()


@pytest.fixture
async def send(inner):
    sending = CacheSend(inner, EntitlementCache(Memory(CachePolicy())))

    async def begin(timeout, **options):
        task = asyncio.create_task(sending(REQUEST, Options(timeout=timeout, **options)))
        await asyncio.sleep(0)
        return task

    return begin


async def test_who_takes_over_has_the_rest_of_its_own_time(inner, send):
    clock = asyncio.get_running_loop().time
    first = await send(60)
    await inner.next()
    second = await send(100)
    joined = clock()
    first.cancel()
    options, end = await inner.next()
    assert options.timeout == 100
    assert options.deadline is not None
    assert joined + 99 < options.deadline <= joined + 100
    end.set_result(ANSWER)
    assert await second == ANSWER


async def test_who_has_no_limit_takes_over_without_one(inner, send):
    first = await send(60)
    await inner.next()
    second = await send(None)
    first.cancel()
    options, end = await inner.next()
    assert (options.timeout, options.deadline) == (None, None)
    end.set_result(ANSWER)
    assert await second == ANSWER


@pytest.mark.parametrize("failure", [TimedOut("too late"), NeverSent("refused")])
async def test_who_has_the_most_time_left_takes_over_for_the_others(inner, send, failure):
    first = await send(60, retry=lambda *_: None)
    _, end = await inner.next()
    others = [await send(timeout) for timeout in (61, 62, 300, 63, 64)]
    end.set_exception(failure)
    options, end = await inner.next()
    assert options.timeout == 300
    end.set_result(ANSWER)
    assert await asyncio.gather(*others) == [ANSWER] * 5
    assert len(inner.calls) == 2
    with pytest.raises(type(failure)):
        await first


async def test_whose_time_is_over_takes_nothing_over(inner, send, monkeypatch):
    loop, passed = asyncio.get_running_loop(), 0
    now = loop.time
    monkeypatch.setattr(loop, "time", lambda: now() + passed)
    first = await send(60)
    await inner.next()
    second = await send(100)
    first.cancel()
    await asyncio.sleep(0)  # the first one has ended, and the second one is about to go on
    passed = 200
    with pytest.raises(TimedOut):
        await second
    assert len(inner.calls) == 1
