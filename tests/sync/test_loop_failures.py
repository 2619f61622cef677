"""The private loop: loops and threads that fail."""

import asyncio
import gc
import inspect
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from kelviq_async.errors import NeverSent, OutcomeUnknown
from kelviq_sync import _loop
from kelviq_sync._loop import run


async def value(result):
    return result


async def thread():
    return threading.current_thread()


def test_stopping_the_loop_leaves_the_calls_of_others_alone():
    waiting, go = threading.Event(), asyncio.Event()

    async def other():
        waiting.set()
        await go.wait()
        return "done"

    async def stop():
        asyncio.get_running_loop().stop()
        await asyncio.sleep(0)
        go.set()
        return threading.current_thread()

    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(run, other())
        assert waiting.wait(10)
        assert run(stop()) is run(thread())
        assert answer.result(10) == "done"


def test_nobody_waits_for_a_loop_that_broke_and_the_next_call_has_a_new_one(script):
    assert script("""
        threading.excepthook = lambda args: print(args.thread.name, "died")
        waiting = threading.Event()

        async def other():
            waiting.set()
            await asyncio.Event().wait()

        async def break_it():
            asyncio.get_running_loop()._selector.close()
            await asyncio.Event().wait()

        def call(coroutine):
            try:
                run(coroutine)
            except OutcomeUnknown as error:
                return str(error)

        told = []
        thread = threading.Thread(target=lambda: told.append(call(other())))
        thread.start()
        waiting.wait(10)
        old = _loop._process.current.thread
        told.append(call(break_it()))
        thread.join(10)
        old.join(10)
        print(told[0] == told[1], told[0])
        print(run(name()), generation())
        sys.stdout.flush()
        os._exit(0)  # what asyncio says about the broken loop's tasks is not the matter here
    """) == [
        "kelviq-sync died",
        f"True {_loop._ENDED}",
        "kelviq-sync 1",
    ]


@pytest.mark.parametrize("closed", [False, True])
def test_a_call_that_reaches_a_loop_as_it_ends_is_told(monkeypatch, closed):
    process = _loop._Process()
    monkeypatch.setattr(_loop, "_process", process)
    home = process.start()
    if closed:
        home.stop()
        home.thread.join(10)
        assert process.current is None
        process.current = home  # as a caller saw it who was about to hand over
    else:
        home.loop.call_soon_threadsafe(setattr, home, "ending", True)
    late = value(1)
    try:
        with pytest.raises(OutcomeUnknown):
            run(late)
        assert inspect.getcoroutinestate(late) == inspect.CORO_CLOSED
        assert home.calls == set()
    finally:
        home.stop()
        home.thread.join(10)


def test_a_thread_that_cannot_start_is_an_error_and_leaves_nothing_open(monkeypatch):
    def refuse(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(_loop, "_process", _loop._Process())
    late = value(1)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(NeverSent, match="cannot start its event loop: can't start new thread"):
            run(late)
    assert inspect.getcoroutinestate(late) == inspect.CORO_CLOSED
    gc.collect()  # an unclosed loop would warn
    assert run(value(2)) == 2
    _loop._process.exit()


@pytest.mark.parametrize("started", [False, True])
def test_an_interrupted_start_leaves_nothing_open(monkeypatch, started):
    homes = []
    start = threading.Thread.start

    def interrupt(self):
        homes.append(self._target.__self__)
        if started:
            start(self)
        raise KeyboardInterrupt

    monkeypatch.setattr(_loop, "_process", _loop._Process())
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", interrupt)
        with pytest.raises(KeyboardInterrupt):
            run(value(1))
    (home,) = homes
    if started:
        home.thread.join(10)
    else:
        start(home.thread)  # also if the thread comes to life afterwards
        home.thread.join(10)
    assert home.loop.is_closed()
    assert run(value(2)) == 2
    _loop._process.exit()
