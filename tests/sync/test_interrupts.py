"""The private loop: Ctrl-C and other signals."""

import os

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs POSIX signals")


def test_an_interrupt_cancels_the_coroutine_and_waits_until_it_has_ended(script):
    assert script("""
        async def work():
            try:
                signal.pthread_kill(main, signal.SIGINT)
                await asyncio.Event().wait()
            finally:
                for _ in range(5):
                    await asyncio.sleep(0)
                print("cleaned up")

        try:
            run(work())
        except KeyboardInterrupt as interrupt:
            print("interrupted", interrupt.__context__)
        print(run(name()), len(_loop._process.current.calls))
    """) == ["cleaned up", "interrupted None", "kelviq-sync 0"]


def test_an_interrupt_before_the_coroutine_has_begun_ends_it(script):
    assert script("""
        import inspect

        async def work():
            print("never")

        def submit(call):  # the interrupt comes before the loop has heard of the call
            signal.raise_signal(signal.SIGINT)

        run(name())
        home = _loop._process.current
        home.submit = submit
        coroutine = work()
        try:
            run(coroutine)
        except KeyboardInterrupt:
            print("interrupted", inspect.getcoroutinestate(coroutine), len(home.calls))
    """) == ["interrupted CORO_CLOSED 0"]


def test_a_second_interrupt_gives_up_waiting(script):
    assert script("""
        held, cleaned = asyncio.Event(), threading.Event()

        async def work():
            try:
                signal.pthread_kill(main, signal.SIGINT)
                await asyncio.Event().wait()
            finally:
                signal.pthread_kill(main, signal.SIGINT)
                await held.wait()
                cleaned.set()

        async def release():
            held.set()

        run(name())
        home = _loop._process.current
        try:
            run(work())
        except KeyboardInterrupt as interrupt:
            print(type(interrupt.__context__).__name__, cleaned.is_set(), len(home.calls))
        run(release())
        print(cleaned.wait(10))
    """) == ["KeyboardInterrupt False 1", "True"]


def test_an_interrupt_is_raised_even_if_the_coroutine_ended_as_it_came(script):
    assert script("""
        async def work():
            signal.pthread_kill(main, signal.SIGINT)
            return "an answer"

        interrupts = 0
        for _ in range(50):
            try:
                print(run(work()))
            except KeyboardInterrupt:
                interrupts += 1
        print(interrupts)
    """) == ["50"]


def test_a_signal_handler_may_raise_anything(script):
    assert script(
        """
        def leave(number, frame):
            raise SystemExit(3)

        signal.signal(signal.SIGTERM, leave)

        async def work():
            try:
                signal.pthread_kill(main, signal.SIGTERM)
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0)
                print("cleaned up")

        run(work())
        """,
        status=3,
    ) == ["cleaned up"]


def test_a_signal_handler_may_make_a_call_while_its_thread_waits_for_one(script):
    assert script("""
        go = asyncio.Event()

        async def let_go():
            go.set()
            return "from the handler"

        signal.signal(signal.SIGUSR1, lambda number, frame: print(run(let_go())))

        async def work():
            signal.pthread_kill(main, signal.SIGUSR1)
            await go.wait()
            return "from the call"

        print(run(work()))
    """) == ["from the handler", "from the call"]
