"""The private loop: a forked child starts its own, and the parent's goes on."""

import os
import textwrap

import pytest

from kelviq_sync import _loop

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


FORK = """
def fork(child):
    # Runs `child` in a forked process that exits like any other, and waits for it.
    if pid := os.fork():
        print("child left with", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    else:
        child()
        sys.exit(0)
"""


def test_a_forked_child_starts_its_own_loop_and_the_parents_goes_on(script):
    assert script(
        FORK
        + textwrap.dedent("""
        waiting, go = threading.Event(), asyncio.Event()

        async def work():
            try:
                waiting.set()
                await go.wait()
                await asyncio.sleep(0.001)  # the selector still works
                return "done"
            finally:
                print("ended in the", "parent" if os.getpid() == parent else "child")

        async def let_go():
            go.set()

        def child():
            import gc
            print(threading.active_count(), generation() - before)
            print(run(name()), threading.active_count())
            gc.collect()

        parent, before = os.getpid(), generation()
        thread = threading.Thread(target=lambda: print(run(work())))
        thread.start()
        waiting.wait(10)
        fork(child)
        run(let_go())
        thread.join(10)
        print(generation() - before)
    """)
    ) == ["1 1", "kelviq-sync 2", "child left with 0", "ended in the parent", "done", "0"]


def test_a_fork_while_another_thread_holds_the_lock_does_not_deadlock_the_child(script):
    assert script(
        FORK
        + textwrap.dedent("""
        held, go = threading.Event(), threading.Event()

        def hold():
            with _loop._process.lock:
                held.set()
                go.wait(20)

        thread = threading.Thread(target=hold)
        thread.start()
        held.wait(10)
        fork(lambda: print(run(name())))
        go.set()
        thread.join(10)
        print(run(name()))
    """)
    ) == ["kelviq-sync", "child left with 0", "kelviq-sync"]


def test_a_child_keeps_what_the_parent_still_uses(script):
    assert script(
        FORK
        + textwrap.dedent("""
        import gc

        class Connections:
            def __del__(self):
                print("let go in the", "parent" if os.getpid() == parent else "child")

        def child():
            global connections
            del connections
            gc.collect()
            print(run(name()), _loop.running())

        parent, connections = os.getpid(), Connections()
        _loop.keep_in_child(connections)
        run(name())
        fork(child)
        del connections
    """)
    ) == ["kelviq-sync True", "child left with 0", "let go in the parent"]


def test_a_child_of_a_child_counts_on(script):
    assert script(
        FORK
        + textwrap.dedent("""
        seen = [generation()]

        def child():
            seen.append(generation())
            run(name())
            fork(grandchild)

        def grandchild():
            print(len({*seen, generation()}), run(name()))

        run(name())
        fork(child)
    """)
    ) == ["3 kelviq-sync", "child left with 0", "child left with 0"]


@pytest.mark.parametrize("running", [False, True])
def test_a_child_forked_by_a_signal_handler_does_not_wait_for_the_parents_loop(script, running):
    assert script(f"""
        forked, go = threading.Event(), asyncio.Event()

        async def let_go():
            go.set()

        def handler(number, frame):
            if pid := os.fork():
                os.waitpid(pid, 0)
                forked.set()
                run(let_go())

        signal.signal(signal.SIGUSR1, handler)

        async def work():
            try:
                if {running}:  # the fork finds the coroutine in the middle of a step
                    signal.pthread_kill(main, signal.SIGUSR1)
                    forked.wait(10)
                else:  # or between two
                    asyncio.get_running_loop().call_soon(signal.pthread_kill, main, signal.SIGUSR1)
                await go.wait()
                return "done"
            finally:
                print("ended")

        try:
            print("parent:", run(work()))
        except OutcomeUnknown as error:
            print("child:", error)
            print("child:", run(name()))
    """) == [f"child: {_loop._ENDED}", "child: kelviq-sync", "ended", "parent: done"]


def test_a_fork_made_on_the_loop_leaves_both_with_a_loop(script):
    assert script("""
        async def fork():
            if pid := os.fork():
                return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            print("child:", run(name()))
            os._exit(0)

        print("parent:", run(fork()))
    """) == ["child: kelviq-sync", "parent: 0"]


def test_a_child_that_drops_a_task_of_the_parent_does_not_run_its_end(script):
    assert script(
        FORK
        + textwrap.dedent("""
        import gc

        async def background():
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                print("ended in the", "parent" if os.getpid() == parent else "child")

        async def start():
            kept.append(asyncio.create_task(background()))
            await asyncio.sleep(0)

        def child():
            kept.clear()
            gc.collect()

        parent, kept = os.getpid(), []
        run(start())
        fork(child)
        """)
    ) == ["child left with 0", "ended in the parent"]
