"""What does it cost to record usage so that nothing loses it, and how well is it sent?

Records are durable when `record` returns: the journal commits with SQLite's full durability. What that
costs at least is measured beside it, as single commits of one row by `sqlite3` alone, on the same disk. The
peer keeps nothing on disk; only how fast it sends what it queued during an outage can be compared.
"""

from __future__ import annotations

import asyncio
import itertools
import sqlite3
import tempfile
import time
from contextlib import ExitStack, nullcontext
from pathlib import Path
from statistics import median
from typing import Any

from ..answers import METERS, customer
from ..asking import KEY
from ..bench import OURS, PEER, Bench, Goal
from ..blocking import Blocks
from ..processes import ROOT, Contestant

TITLE = "Usage records"
GOALS = {
    "accepted": Goal("records per second from 256 concurrent callers, durable", at_least=20_000),
    "bare": Goal("the same, vs bare SQLite commits one by one"),
    "extra": Goal("µs beyond a bare SQLite commit for one sequential caller", at_most=300),
    "blocked": Goal("longest step of the event loop meanwhile, ms", at_most=1),
    "own": Goal("the same without the garbage collector's part, ms"),
    "per call": Goal("records per HTTP call, 100 hot (customer, feature) pairs", at_least=200),
    "drain": Goal("reports per second sent after an outage, vs peer"),
}
CALLERS = 256
HOT = [(customer(number), feature) for number in range(20) for feature in METERS]


class Bare:
    """SQLite as safe as it can be: one row, one commit."""

    def __init__(self, folder: str) -> None:
        self.connection = sqlite3.connect(Path(folder, "bare.db"), isolation_level=None)
        self.connection.execute("PRAGMA journal_mode = WAL")
        self.connection.execute("PRAGMA synchronous = FULL")
        self.connection.execute(
            "CREATE TABLE records (id TEXT, customer TEXT, feature TEXT, value INTEGER, moment REAL)"
        )

    def one_by_one(self, count: int) -> float:
        """Seconds for one, the median."""
        taken = []
        for number in range(count):
            row = (f"{number:032x}", customer(number), METERS[0], 1, time.time())
            started = time.perf_counter()
            self.connection.execute("INSERT INTO records VALUES (?, ?, ?, ?, ?)", row)
            taken.append(time.perf_counter() - started)
        return median(taken)


class Ours:
    """A client with a journal; nothing is sent before somebody flushes, but what a policy says."""

    def __init__(self, folder: str, url: str, policy: dict[str, Any]) -> None:
        from kelviq_async import Kelviq
        from kelviq_async.usage import SqliteJournal, UsagePolicy

        self.client = Kelviq(
            server_key=KEY,
            core_url=url,
            journal=SqliteJournal(Path(folder, "journal.db")),
            usage_policy=UsagePolicy(**policy),
        )

    async def open(self) -> None:
        await self.client.open()

    async def one_by_one(self, count: int) -> float:
        """Seconds for one, the median."""
        record, taken = self.client.usage.record, []
        for number in range(count):
            started = time.perf_counter()
            await record(customer(number), METERS[0], 1)
            taken.append(time.perf_counter() - started)
        return median(taken)

    async def together(self, count: int, *, watched: bool = False) -> dict[str, float]:
        """So many records from many callers at once; to watch each step of the loop takes some time too."""
        left, pairs = iter(range(count)), itertools.cycle(HOT)
        record = self.client.usage.record
        before = (await self.client.usage.ledger()).accepted

        async def caller() -> None:
            for _ in left:
                customer_id, feature_id = next(pairs)
                await record(customer_id, feature_id, 1)

        blocks = Blocks()
        with blocks if watched else nullcontext():
            started, busy = time.perf_counter(), time.process_time()
            async with asyncio.TaskGroup() as group:
                for _ in range(CALLERS):
                    group.create_task(caller())
            seconds, cpu = time.perf_counter() - started, time.process_time() - busy
        assert (await self.client.usage.ledger()).accepted - before == count, "not every record was accepted"
        return {
            "rate": count / seconds,
            "cpu": cpu / count,
            "blocked": blocks.longest,
            "own": blocks.own,
            "put aside": blocks.put_aside,
        }

    async def each(self, count: int) -> None:
        """One record for each of so many customers, from many callers at once."""
        left = iter(range(count))

        async def caller() -> None:
            for number in left:
                await self.client.usage.record(customer(number), METERS[0], 1)

        async with asyncio.TaskGroup() as group:
            for _ in range(CALLERS):
                group.create_task(caller())

    async def flush(self) -> float:
        """Send everything; seconds."""
        started = time.perf_counter()
        ledger = await self.client.usage.flush(deadline=100)
        seconds = time.perf_counter() - started
        assert ledger.delivered == ledger.accepted, "not everything was delivered"
        return seconds

    async def close(self) -> None:
        await self.client.close()


class Peer:
    """What it could not report it queues in memory, and sends one by one."""

    def __init__(self, url: str) -> None:
        from kelviq_sdk import Kelviq

        self.client = Kelviq.create_async_client(KEY, base_url=url, edge_api_url=url)

    def open(self) -> None:
        pass

    async def each(self, count: int) -> None:
        for number in range(count):
            await self.client.reporting.report_usage(1, customer(number), METERS[0], "DELTA")

    async def flush(self) -> float:
        started = time.perf_counter()
        left = await self.client.reporting.flush()
        seconds = time.perf_counter() - started
        assert not left, "not everything was delivered"
        return seconds


def measure(bench: Bench) -> None:
    # not in the system's place for temporary files, which may be memory
    with tempfile.TemporaryDirectory(dir=ROOT / "benchmarks" / "results", prefix="scratch-") as folder:
        accepting(bench, Path(folder, "accepting"))
        adding_up(bench, Path(folder, "adding-up"))
        draining(bench, Path(folder, "draining"))


def accepting(bench: Bench, folder: Path) -> None:
    """What it costs to accept a record, beside what a commit costs; nothing is sent meanwhile."""
    folder.mkdir()
    quiet = {"window": 3600.0, "max_records": 1_000_000, "shutdown": 0.0}
    with ExitStack() as stack:
        ours = stack.enter_context(
            Contestant(Ours, folder=str(folder), url=bench.server.locked, policy=quiet)
        )
        bare = stack.enter_context(Contestant(Bare, folder=str(folder)))
        ours.do("open")
        ours.do("together", count=2000)
        singles = bench.pick(20, 30, 60)
        alone = bench.taking_turns(
            [ours, bare], lambda who: who.do("one_by_one", count=singles), bench.pick(3, 9, 25)
        )
        count = bench.pick(2000, 5000, 30_000)
        rounds = [ours.do("together", count=count) for _ in range(5)]
        watched = [ours.do("together", count=count, watched=True) for _ in range(5)]
        ours.do("close")
    rates = [each["rate"] for each in rounds]
    bench.number(OURS, f"{CALLERS} callers", "records/s", rates)
    bench.number("SQLite", "1 caller", "records/s", [1 / each for each in alone["Bare"]])
    bench.number(OURS, f"{CALLERS} callers", "µs CPU per record", [1e6 * each["cpu"] for each in rounds])
    bench.number(OURS, "1 caller", "µs per record", [1e6 * each for each in alone[OURS]])
    bench.number("SQLite", "1 caller", "µs per record", [1e6 * each for each in alone["Bare"]])
    bench.count("accepted", rates)
    bench.rates("bare", rates, [1 / median(alone["Bare"])] * len(rates))
    extra = [1e6 * (mine - theirs) for mine, theirs in zip(alone[OURS], alone["Bare"], strict=True)]
    bench.count("extra", extra)
    for name in ("blocked", "own"):
        bench.count(name, [1000 * each[name] for each in watched])
    aside = sum(each["put aside"] for each in watched)
    if aside:
        bench.remark(
            f"The longest step leaves {aside:.0f} steps out of account during which the system gave the "
            "processor to somebody else."
        )


def adding_up(bench: Bench, folder: Path) -> None:
    """How many records go into one call, as the client comes."""
    folder.mkdir()
    count = bench.pick(20_000, 60_000, 200_000)
    with Contestant(Ours, folder=str(folder), url=bench.server.url, policy={}) as ours:
        ours.do("open")
        bench.server.count()
        ours.do("together", count=count)
        ours.do("flush")
        sent = bench.server.count()
        assert sent["units"] == count, "units were lost, or counted twice"
        ours.do("close")
    bench.number(
        OURS, f"{count:,} records on {len(HOT)} pairs", "records per call", [count / sent["reports"]]
    )
    bench.count("per call", [count / sent["reports"]])


def draining(bench: Bench, folder: Path) -> None:
    """How fast is sent what gathered while Kelviq could not be reached; nothing of it adds up."""
    folder.mkdir()
    reports = bench.pick(200, 500, 5000)
    rates: dict[str, float] = {}
    for kind, settings in (
        (Ours, {"folder": str(folder), "policy": {}}),
        (Peer, {}),
    ):
        with type(bench.server)() as server, Contestant(kind, url=server.locked, **settings) as contestant:
            contestant.do("open")
            contestant.do("each", count=reports)
            server.unlock()
            rates[contestant.name] = reports / contestant.do("flush")
            assert server.count()["units"] == reports, "units were lost, or counted twice"
    for who, rate in rates.items():
        bench.number(who, f"{reports:,} reports after an outage", "reports/s", [rate])
    bench.rates("drain", [rates[OURS]], [rates[PEER]])
