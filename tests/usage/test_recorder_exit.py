"""The end of the interpreter, as a recorder sees it; tests of whole programs are in test_lifecycle.py."""

import asyncio
import gc
import threading
import weakref

from tests.usage.meters import LONG, Trouble, client, total


def exits(monkeypatch):
    """What would be called when the interpreter exits."""
    hooks = []
    monkeypatch.setattr("kelviq_async.usage.recorder.threading._register_atexit", hooks.append)
    return hooks


def test_the_exit_closes_a_client_whose_loop_has_ended(world, monkeypatch):
    hooks = exits(monkeypatch)
    kelviq = client(world, window=500)

    async def main():
        await kelviq.usage.record("cust-0", "calls", 3)

    asyncio.run(main())
    [hook] = hooks
    hook()
    assert total(world) == 3
    hook()  # there is nothing left to do
    assert total(world) == 3


def test_the_exit_closes_a_client_whose_loop_is_running(world, monkeypatch):
    hooks = exits(monkeypatch)
    kelviq = client(world, window=500)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    asyncio.run_coroutine_threadsafe(kelviq.usage.record("cust-0", "calls", 3), loop).result(LONG)
    [hook] = hooks
    hook()
    assert total(world) == 3
    asyncio.run_coroutine_threadsafe(kelviq.close(), loop).result(LONG)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def test_the_exit_says_what_it_could_not_do(world, monkeypatch, caplog):
    hooks = exits(monkeypatch)
    journal = Trouble(OSError)
    kelviq = client(world, journal, window=500)

    async def main():
        await kelviq.usage.record("cust-0", "calls", 3)

    asyncio.run(main())
    journal.fail["open"] = 2
    hooks[0]()
    assert "usage could not be sent before the program ended: OSError" in caplog.messages


def test_the_exit_opens_a_journal_anew_that_belongs_to_the_loop_that_is_gone(world, monkeypatch):
    hooks = exits(monkeypatch)
    journal = Trouble(RuntimeError)
    kelviq = client(world, journal, window=500)

    async def main():
        await kelviq.usage.record("cust-0", "calls", 3)

    asyncio.run(main())
    journal.fail["beat"] = 1
    hooks[0]()
    assert total(world) == 3


def test_the_exit_sends_for_a_client_that_nobody_holds_any_more(world, monkeypatch):
    hooks = exits(monkeypatch)

    async def main():
        kelviq = client(world, window=500)
        await kelviq.usage.record("cust-0", "calls", 3)

    asyncio.run(main())
    gc.collect()
    hooks[0]()
    assert total(world) == 3


def test_nothing_keeps_a_client_that_was_closed(world, monkeypatch):
    exits(monkeypatch)

    async def main():
        async with client(world) as kelviq:
            await kelviq.usage.record("cust-0", "calls", 3)
            return weakref.ref(kelviq.recorder)

    kept = asyncio.run(main())
    gc.collect()
    assert kept() is None


def test_the_exit_has_nothing_to_do_with_clients_that_are_gone(world, monkeypatch):
    hooks = exits(monkeypatch)
    kelviq = client(world)

    async def main():
        async with kelviq:
            await kelviq.usage.record("cust-0", "calls", 3)

    asyncio.run(main())
    main = kelviq = None
    gc.collect()
    hooks[0]()
    assert total(world) == 3


async def test_a_client_that_is_made_while_the_interpreter_exits(world, monkeypatch):
    def too_late(hook):
        raise RuntimeError("can't register atexit after shutdown")

    monkeypatch.setattr("kelviq_async.usage.recorder.threading._register_atexit", too_late)
    async with client(world) as kelviq:
        await kelviq.usage.record("cust-0", "calls", 3)
    assert total(world) == 3
