"""``kelviq-async check --input`` as a process: signals, crashes, pipes and memory."""

import asyncio
import contextlib
import json
import os
import pty
import resource
import signal
import subprocess
import sys

import pytest

from kelviq_async import Kelviq
from kelviq_async.cli.catalog import stock
from kelviq_async.emulator import World, serve

ROWS = 60
FEATURES = ("--features", "export-data,max-projects")
CUSTOMERS = [f"c{number:02}" for number in range(ROWS)]


@pytest.fixture
async def server(tmp_path, monkeypatch):
    """An emulator where every other customer has bought the Pro plan, and a list of all of them."""
    monkeypatch.setattr("kelviq_async.emulator.server.GRACE", 0.05)  # answers that hang come for nobody
    world = World()
    async with Kelviq.local(world) as kelviq:
        await stock(kelviq)
    world.seed_from({
        "customers": [{"customerId": each} for each in CUSTOMERS[1::2]],
        "subscriptions": [{"customerId": each, "plan": "pro"} for each in CUSTOMERS[::2]],
    })  # fmt: skip
    (tmp_path / "in.csv").write_text("".join(["id,name\n", *(f'{each},"x\n{each}"\n' for each in CUSTOMERS)]))
    async with serve(world) as server:
        yield server


@pytest.fixture
def command(tmp_path):
    """What is run again and again."""
    files = ("--input", tmp_path / "in.csv", "--output", tmp_path / "out.csv")
    return (*files, *FEATURES, "--concurrency", "5")


@pytest.fixture
async def start(server):
    """Start the command; what is left of it is ended with the test."""
    running = []

    async def started(*arguments, **settings):
        environment = {
            **os.environ,
            "KELVIQ_CORE_URL": server.url,
            "KELVIQ_SERVER_API_KEY": server.world.server_key,
            "COLUMNS": "100",
        }
        piped = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "kelviq_async", "check", *arguments,
            env=environment, **{**piped, **settings},
        )  # fmt: skip
        running.append(process)
        return process

    yield started
    for process in running:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def until(true, process, seconds=30):
    """Wait until something is so while a process is running."""
    async with asyncio.timeout(seconds):
        while not true():
            assert process.returncode is None, (await process.stderr.read()).decode()
            await asyncio.sleep(0.01)


def asked(world):
    return [
        dict(request.query)["customer_id"]
        for request in world.requests
        if request.operation == "GetEntitlements"
    ]


def rows(path):
    """Rows of an output, which hold a line break each."""
    return max(0, path.read_bytes().count(b"\n") // 2) if path.exists() else 0


def complete():
    return "".join([
        "id,name,export-data,max-projects,error\n",
        *(f'{each},"x\n{each}",{said},{said},\n'
          for number, each in enumerate(CUSTOMERS) for said in ["false" if number % 2 else "true"]),
    ])  # fmt: skip


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
async def test_stopped_in_the_middle_it_goes_on(server, start, command, tmp_path, number):
    part = tmp_path / "out.csv.part"
    # so many are answered at once, and the rest hangs
    fault = server.world.faults.add("GetEntitlements", latency=50, after=30)
    process = await start(*command)
    await until(lambda: rows(part) >= 20 and fault.happened, process)
    process.send_signal(number)
    _, err = await process.communicate()
    assert process.returncode == (-number if number is signal.SIGKILL else 130)
    assert b"Traceback" not in err
    assert not (tmp_path / "out.csv").exists()
    assert complete().startswith(part.read_text())  # whole rows, in their order
    done = rows(part)
    if number is not signal.SIGKILL:
        assert f"stopped: {done} rows written; the same command goes on from there".encode() in err
    if number is signal.SIGKILL:  # it might have been in the middle of a row
        with part.open("ab") as file:
            file.write(f'{CUSTOMERS[done]},"x\n{CUSTOMERS[done][:1]}'.encode())
    server.world.faults.clear()
    before = len(asked(server.world))

    process = await start(*command)
    _, err = await process.communicate()
    assert process.returncode == 0
    assert f"going on after {done} rows of an earlier run".encode() in err
    assert (tmp_path / "out.csv").read_text() == complete()
    assert sorted(asked(server.world)[before:]) == CUSTOMERS[done:]  # nobody who was done is asked again
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.csv", "out.csv"]


@pytest.mark.slow
async def test_killed_again_and_again_it_gets_there(server, start, command, tmp_path):
    part, out = tmp_path / "out.csv.part", tmp_path / "out.csv"
    before = 0
    for goal in (10, 20, 30, 40, 50):
        fault = server.world.faults.add("GetEntitlements", latency=50, after=goal - before)
        process = await start(*command)
        await until(lambda goal=goal, fault=fault: rows(part) >= goal - 5 and fault.happened, process)
        process.kill()
        await process.wait()
        server.world.faults.clear()
        before = rows(part)
    process = await start(*command)
    assert await process.wait() == 0
    assert out.read_text() == complete()


async def test_a_disk_that_is_full_costs_no_row(server, start, command, tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.startswith("COV")]:
        monkeypatch.delenv(name)  # what measures the tests writes files of its own
    part = tmp_path / "out.csv.part"
    process = await start(
        *command, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
    )
    _, err = await process.communicate()
    assert process.returncode == 2
    assert b"out.csv cannot be written: File too large; the same command goes on once it can" in err
    assert b"Traceback" not in err
    assert 0 < part.stat().st_size <= 1000
    process = await start(*command)
    assert await process.wait() == 0
    assert (tmp_path / "out.csv").read_text() == complete()


async def test_a_second_run_beside_it_is_refused(server, start, command, tmp_path):
    fault = server.world.faults.add("GetEntitlements", latency=50, after=10)
    first = await start(*command)
    await until(lambda: fault.happened, first)
    second = await start(*command)
    _, err = await second.communicate()
    assert (second.returncode, f"another run is writing {tmp_path / 'out.csv.part'}".encode() in err) == (
        2,
        True,
    )
    first.send_signal(signal.SIGINT)
    assert await first.wait() == 130


async def test_rows_of_a_pipe_are_answered_as_they_come(start):
    process = await start("--input", "-", *FEATURES)
    process.stdin.write(b"id\n" + CUSTOMERS[0].encode() + b"\n")
    assert await process.stdout.readline() == b"id,export-data,max-projects,error\n"
    assert await process.stdout.readline() == b"c00,true,true,\n"  # nobody has closed the pipe
    process.stdin.write(b'{"not": "csv"}\nc01\n')
    assert (await process.stdout.readline()).startswith(b'"{""not""')
    assert await process.stdout.readline() == b"c01,false,false,\n"
    process.stdin.close()
    assert await process.wait() == 0


@pytest.mark.parametrize("begun", [b"", b"id\nc00\n"])
async def test_ctrl_c_while_a_pipe_says_nothing(server, start, tmp_path, begun):
    """Nobody has to close the pipe for it."""
    process = await start("--input", "-", "--format", "csv", *FEATURES, "--output", tmp_path / "out.csv")
    process.stdin.write(begun)
    part = tmp_path / "out.csv.part"
    wanted = begun.count(b"\n")
    await until(lambda: part.exists() and part.read_bytes().count(b"\n") >= wanted, process)
    process.send_signal(signal.SIGTERM if begun else signal.SIGINT)
    async with asyncio.timeout(20):
        assert await process.wait() == 130
    assert b"Traceback" not in await process.stderr.read()
    assert part.exists() == (wanted == 2)


async def test_an_output_in_a_pipe_nobody_reads_on(server, start, tmp_path):
    reader, writer = os.pipe()
    fault = server.world.faults.add("GetEntitlements", latency=1, after=0)
    process = await start("--input", tmp_path / "in.csv", *FEATURES, stdout=writer)
    os.close(writer)
    await until(lambda: fault.happened, process)
    os.close(reader)
    _, err = await process.communicate()
    assert process.returncode == 2
    assert b"Traceback" not in err


async def test_a_terminal_has_a_bar_and_a_log_has_lines(server, start, command, tmp_path):
    process = await start(*command)
    _, err = await process.communicate()
    assert err.decode().splitlines()[0] == "in.csv: customer ids are in 'id' (by its name)"
    assert err.decode().splitlines()[1].startswith(f"{tmp_path / 'out.csv'}: 60 rows in")
    assert b"\x1b" not in err

    ours, theirs = pty.openpty()
    fault = server.world.faults.add("GetEntitlements", latency=50, after=30)
    process = await start(*command, "--force", stderr=theirs)
    os.close(theirs)
    await until(lambda: fault.happened and rows(tmp_path / "out.csv.part") >= 20, process)
    shown = b""
    async with asyncio.timeout(20):
        while b"\r" not in shown or b"rows" not in shown.rpartition(b"\r")[2]:
            shown += await asyncio.to_thread(os.read, ours, 4096)
    last = shown.rpartition(b"\r")[2].decode()
    assert "in.csv" in last
    assert "%" in last
    assert "/s" in last
    process.send_signal(signal.SIGINT)
    with contextlib.suppress(OSError):  # the other end is closed
        while piece := await asyncio.to_thread(os.read, ours, 4096):
            shown += piece
    assert await process.wait() == 130
    assert b"the same command goes on" in shown
    os.close(ours)


# Memory

FLAT = """
import json, resource, sys
from kelviq_async.cli import main
from kelviq_async.http1.transport import Http1Transport
from kelviq_async.transport import WireAnswer

ENTRY = {"featureType": "METER", "hasAccess": True, "usageLimit": 10, "currentUsage": 3, "remaining": 7}

async def send(self, wire):
    customer = wire.url.rpartition("customer_id=")[2]
    entries = [{"featureId": f"f{number}", **ENTRY} for number in range(5)]
    body = json.dumps({"customerId": customer, "entitlements": entries})
    return WireAnswer(200, {"Content-Type": "application/json"}, body.encode())

Http1Transport.send = send
sys.argv[0] = "kelviq-async"
try:
    main()
finally:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def peak(folder, rows, width):
    """Kilobytes at most, over a list of so many rows."""
    suffix = "jsonl" if width > 1000 else "csv"
    source, out = folder / f"in-{rows}.{suffix}", folder / f"out-{rows}.{suffix}"
    note = "x" * width
    with source.open("w") as file:
        if suffix == "csv":
            file.write("id,note\n")
        for number in range(rows):
            row = {"id": f"customer-{number}", "note": note}
            file.write(f"{json.dumps(row)}\n" if suffix == "jsonl" else f"{row['id']},{note}\n")
    done = subprocess.run(
        [sys.executable, "-c", FLAT, "check", "--input", source, "--features", "f0,f1", "--output", out],
        capture_output=True, text=True, check=True, timeout=250,
        env={**os.environ, "KELVIQ_SERVER_API_KEY": "sk_test"},
    )  # fmt: skip
    assert f"{rows:,} rows" in done.stderr
    assert out.read_bytes().count(b"\n") == rows + (suffix == "csv")
    return int(done.stdout)


def test_wide_rows_are_never_held_together(tmp_path):
    """2,000 more rows are 40 MB more of a list."""
    assert peak(tmp_path, 2500, 20_000) - peak(tmp_path, 500, 20_000) < 16_000


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_memory_does_not_grow_with_the_list(tmp_path):
    """Beyond the customers that are remembered, a row costs nothing: held, these would be 20 MB and more."""
    assert peak(tmp_path, 80_000, 10) - peak(tmp_path, 20_000, 10) < 4000
