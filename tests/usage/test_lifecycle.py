"""Programs that record usage and end in all the ways programs end."""

import asyncio
import signal
import sys
import textwrap
from pathlib import Path

import pytest

from kelviq_async import Kelviq
from kelviq_async.emulator import serve
from kelviq_async.usage import SqliteJournal, UsagePolicy
from tests.usage.meters import QUICK, counted, metered, stands, total, until

ROOT = Path(__file__).parents[2]
PRELUDE = """
import asyncio, os, signal, sys, threading
import kelviq_async, kelviq_sync
from kelviq_async.usage import MemoryJournal, SqliteJournal, UsagePolicy

url, path = sys.argv[1:]

def settings(journal=None, **policy):
    return {
        "server_key": "sk_test_emulator", "core_url": url, "account": "a",
        "journal": journal or SqliteJournal(path),
        "usage_policy": UsagePolicy(**{"window": 500, "backoff": 0.02, "max_backoff": 0.1} | policy),
    }

def say(*words):
    print(*words, flush=True)
"""


@pytest.fixture
async def shop():
    world = metered()
    async with serve(world) as server:
        yield world, f"{server.url}/api/v1"
    assert world.crashes == []


@pytest.fixture
async def program(shop, tmp_path):
    """Starts a program on the world; it is ended with the test."""
    started = []

    async def start(source):
        _, url = shop
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-W", "error", "-W", "ignore:This process:DeprecationWarning"),
            *("-c", PRELUDE + textwrap.dedent(source), url, str(tmp_path / "usage.db")),
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.returncode is None:
            process.kill()
        await process.wait()


@pytest.fixture
def run(program):
    """Runs a program to its end: what it said. It must say nothing on stderr but what is expected."""

    async def whole(source, errors=""):
        process = await program(source)
        out, err = await process.communicate()
        assert process.returncode == 0, err.decode()
        said = err.decode()
        if errors:
            assert errors in said
        else:
            assert said == ""
        return out.decode().split("\n")[:-1]

    return whole


@pytest.fixture
def next_client(shop, tmp_path):
    """A client that goes on with the program's journal."""
    world, url = shop

    def make():
        return Kelviq(
            world.server_key,
            core_url=url,
            account="a",
            journal=SqliteJournal(tmp_path / "usage.db"),
            usage_policy=UsagePolicy(**QUICK),
        )

    return make


async def test_an_async_client_that_nobody_closes(shop, run):
    world, _ = shop
    await run("""
        kelviq = kelviq_async.Kelviq(**settings())

        async def main():
            for _ in range(3):
                await kelviq.usage.record("cust-0", "calls", 5)

        asyncio.run(main())
    """)
    assert counted(world) == {("cust-0", "calls", None): [("DELTA", 15)]}


async def test_a_blocking_client_that_nobody_closes(shop, run):
    world, _ = shop
    await run("""
        kelviq = kelviq_sync.Kelviq(**settings())
        for _ in range(3):
            kelviq.usage.record("cust-0", "calls", 5)
    """)
    assert counted(world) == {("cust-0", "calls", None): [("DELTA", 15)]}


async def test_a_journal_in_memory_that_nobody_closes(shop, run):
    world, _ = shop
    await run(
        """
        kelviq = kelviq_sync.Kelviq(**settings(MemoryJournal()))
        kelviq.usage.record("cust-0", "calls", 5)
        other = kelviq_async.Kelviq(**settings(MemoryJournal()))

        async def main():
            await other.usage.record("cust-1", "calls", 5)

        asyncio.run(main())
        """
    )
    assert (total(world), total(world, "cust-1")) == (5, 5)


async def test_an_exit_in_the_middle_of_everything(shop, run):
    world, _ = shop
    await run("""
        kelviq = kelviq_async.Kelviq(**settings())

        async def main():
            await kelviq.usage.record("cust-0", "calls", 5)
            sys.exit(0)

        asyncio.run(main())
    """)
    assert total(world) == 5


async def test_an_exit_while_kelviq_cannot_be_reached(shop, run, next_client):
    world, _ = shop
    world.faults.add("ReportUsage", "drop_before", times=1)
    world.faults.add("ReportUsage", "rate_limit", retry_after=30)
    await run(
        """
        kelviq = kelviq_async.Kelviq(**settings(shutdown=0.3))

        async def main():
            await kelviq.usage.record("cust-0", "calls", 5)
            await kelviq.usage.flush(0.2)
            await kelviq.usage.record("cust-0", "calls", 6)

        asyncio.run(main())
        """,
        errors="1 usage records stay in the journal for the next client",
    )
    world.faults.clear()
    async with next_client() as kelviq:
        await stands(kelviq, unresolved=1, delivered=1)
    assert total(world) == 6


async def test_an_exit_with_a_journal_that_cannot_be_written_any_more(shop, run):
    await run(
        """
        class Broken(MemoryJournal):
            async def open(self, scope):
                if broken:
                    raise OSError("the disk is gone")
                await super().open(scope)

        broken = False
        kelviq = kelviq_async.Kelviq(**settings(Broken()))

        async def main():
            await kelviq.usage.record("cust-0", "calls", 5)

        asyncio.run(main())
        broken = True
        """,
        errors="usage could not be sent before the program ended: OSError",
    )


async def test_a_client_that_was_closed_has_nothing_to_do_at_exit(shop, run):
    world, _ = shop
    await run("""
        kelviq = kelviq_async.Kelviq(**settings())

        async def main():
            async with kelviq:
                await kelviq.usage.record("cust-0", "calls", 5)

        asyncio.run(main())
        with kelviq_sync.Kelviq(**settings()) as blocking:
            blocking.usage.record("cust-0", "calls", 6)
        del blocking
    """)
    assert counted(world) == {("cust-0", "calls", None): [("DELTA", 5), ("DELTA", 6)]}


async def test_sigterm_ends_an_async_program_in_order(shop, program):
    world, _ = shop
    process = await program("""
        async def main():
            loop, task = asyncio.get_running_loop(), asyncio.current_task()
            loop.add_signal_handler(signal.SIGTERM, task.cancel)
            async with kelviq_async.Kelviq(**settings()) as kelviq:
                await kelviq.usage.record("cust-0", "calls", 5)
                say("ready")
                await asyncio.Event().wait()

        try:
            asyncio.run(main())
        except asyncio.CancelledError:
            say("ended")
    """)
    assert await process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGTERM)
    out, err = await process.communicate()
    assert (process.returncode, out, err) == (0, b"ended\n", b"")
    assert total(world) == 5


@pytest.mark.parametrize("how", ["with", "never closed"])
async def test_sigterm_ends_a_blocking_program_in_order(shop, program, how):
    world, _ = shop
    opened = "with client as kelviq:" if how == "with" else "for kelviq in [client]:"
    process = await program(f"""
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        client = kelviq_sync.Kelviq(**settings())
        {opened}
            kelviq.usage.record("cust-0", "calls", 5)
            say("ready")
            threading.Event().wait()
    """)
    assert await process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGTERM)
    out, err = await process.communicate()
    assert (process.returncode, out, err) == (0, b"", b"")
    assert total(world) == 5


async def test_a_kill_loses_nothing_and_sends_nothing_twice(shop, program, next_client):
    world, _ = shop
    fault = world.faults.add("ReportUsage", "latency", latency=3, times=1)
    process = await program("""
        kelviq = kelviq_sync.Kelviq(**settings(timeout=25, lease=1000))
        kelviq.usage.record("cust-0", "calls", 5)
        threading.Thread(target=kelviq.usage.flush, daemon=True).start()
        sys.stdin.read(0)
        while kelviq.usage.ledger().in_flight == 0:
            pass
        kelviq.usage.record("cust-0", "calls", 6)
        say("ready")
        threading.Event().wait()
    """)
    assert await process.stdout.readline() == b"ready\n"
    await until(lambda: fault.happened)
    process.kill()
    await process.wait()
    async with next_client() as kelviq:
        await stands(kelviq, unresolved=1, delivered=1)
    assert counted(world)["cust-0", "calls", None] == [("DELTA", 5), ("DELTA", 6)]


# Forks


@pytest.mark.parametrize("journal", ["MemoryJournal()", "SqliteJournal(path)"])
async def test_a_forked_child_neither_sends_nor_disturbs_what_is_its_parents(shop, run, journal):
    world, _ = shop
    lines = await run(f"""
        kelviq = kelviq_sync.Kelviq(**settings({journal}))
        kelviq.usage.record("cust-0", "calls", 5)
        before = kelviq.usage.ledger()
        pid = os.fork()
        if not pid:
            sys.exit(0)
        say("child", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        say(kelviq.usage.ledger() == before, before.pending)
        kelviq.close()
    """)
    assert lines == ["child 0", "True 1"]
    assert counted(world) == {("cust-0", "calls", None): [("DELTA", 5)]}


@pytest.mark.parametrize("journal", ["MemoryJournal()", "SqliteJournal(path)"])
async def test_parent_and_child_both_record(shop, run, journal):
    world, _ = shop
    await run(f"""
        kelviq = kelviq_sync.Kelviq(**settings({journal}, window=0.01))
        kelviq.usage.record("cust-0", "calls", 1)
        pid = os.fork()
        for number in range(20):
            kelviq.usage.record("cust-0" if pid else "cust-1", "calls", 1)
        if pid:
            os.waitpid(pid, 0)
    """)
    assert (total(world), total(world, "cust-1")) == (21, 20)


async def test_workers_of_one_parent(shop, run):
    """The client is made once and opened in each worker: ids that are alike would swallow records."""
    world, _ = shop
    await run("""
        kelviq = kelviq_async.Kelviq(**settings())

        async def work(number):
            async with kelviq:
                for _ in range(10):
                    await kelviq.usage.record(f"cust-{number}", "calls", 1)

        pids = []
        for number in range(3):
            pid = os.fork()
            if not pid:
                asyncio.run(work(number))
                os._exit(0)
            pids.append(pid)
        for pid in pids:
            os.waitpid(pid, 0)
    """)
    assert [total(world, f"cust-{number}") for number in range(3)] == [10, 10, 10]


async def test_a_fork_while_the_parent_sends(shop, run):
    """The child has the parent's sender in its memory, and must not act for it."""
    world, _ = shop
    world.faults.add("ReportUsage", "latency", latency=0.5, times=1)
    await run("""
        kelviq = kelviq_sync.Kelviq(**settings(window=0.0))
        kelviq.usage.record("cust-0", "calls", 5)
        while not kelviq.usage.ledger().in_flight:
            pass
        pid = os.fork()
        if not pid:
            sys.exit(0)
        os.waitpid(pid, 0)
        say(kelviq.usage.flush(20).delivered)
    """)
    assert total(world) == 5


async def test_threads_that_go_on_after_the_main_thread_may_record(shop, run):
    """The interpreter waits for them, and so does the client."""
    world, _ = shop
    await run("""
        kelviq = kelviq_sync.Kelviq(**settings()).open()
        main = threading.main_thread()

        def work():
            main.join()
            for _ in range(20):
                kelviq.usage.record("cust-0", "calls", 1)

        threading.Thread(target=work).start()
    """)
    assert total(world) == 20


async def test_a_programs_own_last_act_may_record(shop, run):
    world, _ = shop
    await run("""
        import atexit

        kelviq = kelviq_sync.Kelviq(**settings())
        kelviq.usage.record("cust-0", "calls", 1)
        atexit.register(lambda: kelviq.usage.record("cust-0", "calls", 2))
    """)
    assert total(world) == 3
