"""The private loop: how it ends with the interpreter."""

from kelviq_sync import _loop


def test_exit_ends_what_is_left_in_order(script):
    assert script("""
        async def background():
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0)
                print("task ended")

        async def numbers():
            try:
                yield 1
            finally:
                await asyncio.sleep(0)
                print("generator ended")

        kept = []

        async def start():
            kept.append(numbers())
            await anext(kept[0])
            kept.append(asyncio.create_task(background()))
            await asyncio.sleep(0)

        run(start())
        home = _loop._process.current
        # Handlers run last in, first out; this one must come after the loop's own, so it is put before it.
        atexit.unregister(_loop._process.exit)
        atexit.register(lambda: print(home.loop.is_closed(), home.thread.is_alive()))
        atexit.register(_loop._process.exit)
    """) == ["task ended", "generator ended", "True False"]


def test_exit_handlers_may_make_calls_until_the_loop_has_ended(script):
    assert script("""
        import inspect

        def late():
            coroutine = name()
            try:
                run(coroutine)
            except ClientClosed as error:
                print(error, inspect.getcoroutinestate(coroutine))

        atexit.unregister(_loop._process.exit)
        atexit.register(late)
        atexit.register(_loop._process.exit)
        atexit.register(lambda: print(run(name())))
        run(name())
    """) == ["kelviq-sync", f"{_loop._EXITING} CORO_CLOSED"]


def test_a_first_call_in_an_exit_handler_works_or_says_why_not(script):
    lines = script("""
        def first():
            try:
                print(run(name()))
            except NeverSent as error:
                print(error)

        atexit.register(first)
    """)
    too_late = "kelviq_sync cannot start its event loop: can't create new thread at interpreter shutdown"
    assert lines in (["kelviq-sync"], [too_late])


def test_exit_waits_for_the_calls_of_threads_that_the_interpreter_waits_for(script):
    assert script("""
        waiting, gone = threading.Event(), asyncio.Event()

        async def work():
            waiting.set()
            await gone.wait()
            return "done"

        def watch():
            threading.main_thread().join()
            _loop._process.current.loop.call_soon_threadsafe(gone.set)

        threading.Thread(target=lambda: print(run(work()))).start()
        waiting.wait(10)
        threading.Thread(target=watch, daemon=True).start()
    """) == ["done"]


def test_exit_tells_daemon_threads_that_still_wait(script):
    assert script("""
        waiting, told = threading.Event(), threading.Event()

        async def work():
            waiting.set()
            try:
                await asyncio.Event().wait()
            finally:
                print("cleaned up")

        def caller():
            try:
                run(work())
            except OutcomeUnknown as error:
                print(error)
            told.set()

        atexit.unregister(_loop._process.exit)
        atexit.register(lambda: told.wait(10))
        atexit.register(_loop._process.exit)
        threading.Thread(target=caller, daemon=True).start()
        waiting.wait(10)
    """) == ["cleaned up", _loop._ENDED]


def test_exit_is_not_held_up_by_a_coroutine_that_will_not_end(script):
    assert script("""
        _loop._GRACE = 0.05
        waiting, told = threading.Event(), threading.Event()

        async def stubborn():
            waiting.set()
            while True:
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    pass

        def caller():
            try:
                run(stubborn())
            except OutcomeUnknown as error:
                print(error)
            told.set()

        def quietly():
            told.wait(10)
            sys.stdout.flush()
            os._exit(0)  # asyncio would complain about the task, and rightly

        atexit.unregister(_loop._process.exit)
        atexit.register(quietly)
        atexit.register(_loop._process.exit)
        threading.Thread(target=caller, daemon=True).start()
        waiting.wait(10)
    """) == [_loop._ENDED]


def test_exit_is_not_held_up_by_a_blocked_loop(script):
    assert script("""
        _loop._GRACE = -1.9  # what `exit` waits for, less 2 seconds
        waiting = threading.Event()

        async def block():
            waiting.set()
            threading.Event().wait()

        threading.Thread(target=lambda: run(block()), daemon=True).start()
        waiting.wait(10)
        print("leaving")
    """) == ["leaving"]
