"""The private loop: what comes back, what is raised, and where it may be called."""

import asyncio
import contextvars
import gc
import inspect
import threading
import traceback
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest

from kelviq_async.errors import WrongLoop
from kelviq_sync import _loop
from kelviq_sync._loop import run


class Hole(Exception):
    """Something that a coroutine raises."""


async def value(result):
    return result


async def fail(error):
    raise error


async def thread():
    return threading.current_thread()


# What comes back.


def test_an_answer_comes_back():
    answer = object()
    assert run(value(answer)) is answer


def test_an_answer_that_took_turns_of_the_loop_comes_back():
    async def slow():
        await asyncio.sleep(0)
        await asyncio.sleep(0.001)
        return 7

    assert run(slow()) == 7


def test_all_callers_share_one_daemon_thread():
    with ThreadPoolExecutor(4) as pool:
        threads = {run(thread()), *pool.map(lambda _: run(thread()), range(8))}
    (only,) = threads
    assert (only.name, only.daemon) == ("kelviq-sync", True)


def test_nothing_starts_before_the_first_call(script):
    assert script("""
        print(threading.active_count(), generation(), _loop.running())
        print(run(name()), threading.active_count(), _loop.running())
    """) == ["1 0 False", "kelviq-sync 2 True"]


def test_the_coroutine_sees_the_callers_context_and_keeps_its_own():
    var = contextvars.ContextVar("var", default="nobody's")

    async def look():
        await asyncio.sleep(0)
        seen = var.get()
        var.set("the coroutine's")
        return seen

    def caller(text):
        var.set(text)
        return run(look()), var.get()

    assert contextvars.copy_context().run(caller, "ada's") == ("ada's", "ada's")
    assert contextvars.copy_context().run(caller, "bob's") == ("bob's", "bob's")
    assert run(look()) == "nobody's"


# What is raised.


@pytest.mark.parametrize("turns", [0, 1])
def test_an_error_comes_back_with_the_way_it_went(turns):
    async def inner(error):
        for _ in range(turns):
            await asyncio.sleep(0)
        raise error

    async def outer(error):
        await inner(error)

    error = Hole("deep")
    with pytest.raises(Hole) as caught:
        run(outer(error))
    assert caught.value is error
    assert error.__context__ is None
    names = [frame.name for frame in traceback.extract_tb(error.__traceback__)]
    assert names[1:] == ["run", "outer", "inner"]


@pytest.mark.parametrize("kind", [Hole, asyncio.CancelledError])
@pytest.mark.parametrize("turns", [0, 1])
def test_an_error_keeps_nothing_alive(kind, turns):
    class Heavy:
        pass

    def call():
        heavy = Heavy()
        seen.append(weakref.ref(heavy))

        async def use():
            held = heavy
            for _ in range(turns):
                await asyncio.sleep(0)
            raise kind(str(bool(held)))

        # pytest.raises makes cycles of its own.
        try:
            run(use())
        except kind:
            seen.append("raised")

    seen = []
    run(value(None))
    gc.collect()
    gc.disable()
    try:
        call()
        run(value(None))  # the loop's own last turn with the call has surely ended
        assert (seen[0](), *seen[1:]) == (None, "raised")
    finally:
        gc.enable()


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
@pytest.mark.parametrize("turns", [0, 1])
def test_a_coroutine_that_exits_does_not_end_the_loop(kind, turns):
    async def leave():
        for _ in range(turns):
            await asyncio.sleep(0)
        raise kind

    before = run(thread())
    with pytest.raises(kind):
        run(leave())
    assert run(thread()) is before


def test_a_task_that_exits_does_not_end_the_loop():
    async def start():
        task = asyncio.create_task(fail(SystemExit(3)))
        with pytest.raises(SystemExit):
            await task
        return threading.current_thread()

    assert run(start()) is run(thread())


def test_a_cancelled_coroutine_says_so():
    async def cancel():
        asyncio.current_task().cancel()
        await asyncio.sleep(0)

    with pytest.raises(asyncio.CancelledError):
        run(cancel())


def test_what_is_no_coroutine_is_refused_without_hanging():
    class Closeable:
        def close(self):
            pass

    with pytest.raises(TypeError, match="coroutine"):
        run(Closeable())


# Where it may be called.


def test_a_call_on_the_loop_itself_is_refused():
    refused = value(1)

    async def reenter():
        run(refused)

    with pytest.raises(WrongLoop, match=r"own event loop.*await kelviq_async"):
        run(reenter())
    assert inspect.getcoroutinestate(refused) == inspect.CORO_CLOSED


def test_a_call_from_a_thread_that_the_loop_waits_for_is_fine():
    async def outer():
        return await asyncio.to_thread(lambda: run(value(5)))

    assert run(outer()) == 5


async def test_a_call_inside_another_loop_blocks_it_and_leaves_it_be():
    here = asyncio.get_running_loop()
    order = []
    here.call_soon(order.append, "later")
    order.append(run(thread()).name)
    assert order == ["kelviq-sync"]
    await asyncio.sleep(0)
    assert order == ["kelviq-sync", "later"]
    assert asyncio.get_running_loop() is here


def test_many_threads_call_at_once():
    ready = threading.Barrier(50)

    async def work(number):
        if number % 3:
            await asyncio.sleep(0)
        if number % 7 == 0:
            raise Hole(number)
        return number

    def calls(worker):
        ready.wait(30)
        for number in range(200):
            wanted = worker * 1000 + number
            try:
                assert run(work(wanted)) == wanted
            except Hole as hole:
                assert hole.args == (wanted,)  # noqa: PT017 - both ways out are right for their numbers
        return worker

    with ThreadPoolExecutor(50) as pool:
        assert list(pool.map(calls, range(50))) == list(range(50))
    assert _loop._process.current.calls == set()


def test_many_threads_that_make_the_first_call_get_one_loop(script):
    assert script("""
        ready = threading.Barrier(20)
        names = []

        async def who():
            return threading.get_ident()

        def first():
            ready.wait(20)
            names.append(run(who()))

        threads = [threading.Thread(target=first) for _ in range(20)]
        for one in threads: one.start()
        for one in threads: one.join()
        print(len(names), len(set(names)), threading.active_count(), generation())
    """) == ["20 1 2 0"]
