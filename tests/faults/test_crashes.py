"""Killed at any moment: nothing is lost, no DELTA counts twice, and what is unknown is listed."""

import asyncio
import logging
import secrets
import sys
from pathlib import Path

import pytest

from kelviq_async import Kelviq
from kelviq_async.emulator import serve
from kelviq_async.usage import State, UsagePolicy
from tests.faults.books import compared, rows_of
from tests.faults.crashing import journal_of
from tests.usage.meters import metered

ROOT = Path(__file__).parents[2]
logger = logging.getLogger(__name__)

# Hundreds of processes take their time on a busy machine.
pytestmark = pytest.mark.timeout(300)

LANES = 4
MANY = 1_000_000


def faults(world):
    """About one report in five meets something."""
    chances = [
        ("drop_before", 0.05, {}),
        ("drop_after", 0.05, {}),
        ("status", 0.04, {"status": 500}),
        ("status_after", 0.04, {"status": 502}),
        ("rate_limit", 0.01, {"retry_after": 0}),
        ("truncated", 0.01, {}),
        ("latency", 0.05, {"latency": 0.05}),
    ]
    for seed, (kind, probability, more) in enumerate(chances):
        world.faults.add("ReportUsage", kind, probability=probability, seed=seed, **more)


async def crash(world, folder, kind, *told, lanes=LANES):
    """Have processes killed, or stopped, with the world behind a port meanwhile."""
    async with serve(world) as server:
        url = f"{server.url}/api/v1"
        program = [sys.executable, "-m", "tests.faults.crashing", url, world.server_key, str(folder), kind]
        process = await asyncio.create_subprocess_exec(
            *program, *map(str, told), cwd=ROOT, stderr=asyncio.subprocess.PIPE
        )
        try:
            _, errors = await process.communicate()
            assert (process.returncode, errors) == (0, b""), errors.decode()[-4000:]
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        world.faults.clear()
        books = [await inspected(world, url, folder, kind, lane, *told) for lane in range(lanes)]
    found = {name: sum(each[name] for each in books) for name in books[0]}
    logger.info("%s: %s", told, found)
    return found


async def inspected(world, url, folder, kind, lane, *told):
    """Deliver what is left, and hold the journal's books against the emulator's and all that was promised."""
    journal = journal_of(kind, folder, lane)
    acks = (folder / f"{lane}.acks").read_text().split("\n")
    promised = [line for line in acks if line]  # the last one may have been cut off in the middle
    async with Kelviq(
        world.server_key, core_url=url, account="a", journal=journal, usage_policy=UsagePolicy(window=0.0)
    ) as kelviq:
        # totals of one key go one by one, and there may be hundreds
        ledger = await kelviq.usage.flush(200)
        assert ledger.balanced
        # skipped is what nobody had a receipt for: the promises are held against the records below
        assert (ledger.pending, ledger.in_flight, ledger.rejected) == (0, 0, 0), ledger
        assert ledger.accepted == ledger.delivered + ledger.unresolved
        assert ledger.accepted >= len(promised) == len(set(promised))
        delivered = await journal.reports(State.DELIVERED, MANY)
        unresolved = await journal.reports(State.UNRESOLVED, MANY)
        assert sum(report.records for report in delivered) == ledger.delivered
        assert sum(report.records for report in unresolved) == ledger.unresolved
        for first in range(0, len(promised), 500):
            for found in await asyncio.gather(*map(journal.find, promised[first : first + 500])):
                assert found is not None, "a record that had a receipt is gone"
                assert found.state in {State.DELIVERED, State.UNRESOLVED}
    return {
        "promised": len(promised),
        "accepted": ledger.accepted,
        "unresolved": ledger.unresolved,
        **compared(rows_of(world, f"cust-{lane}"), delivered, unresolved, ordered=told[0] == "kill"),
    }


def folder_for(tmp_path):
    """Its name is unlike any other, and so are the names in Redis that are made of it."""
    folder = tmp_path / secrets.token_hex(4)
    folder.mkdir()
    return folder


@pytest.mark.parametrize(
    "cycles", [320, pytest.param(3200, marks=[pytest.mark.slow, pytest.mark.timeout(900)])]
)
async def test_killed_at_random_on_files(tmp_path, cycles):
    world = metered()
    faults(world)
    found = await crash(world, folder_for(tmp_path), "sqlite", "kill", cycles, LANES, 7)
    assert found["promised"] > cycles
    assert found["unresolved"]


@pytest.mark.redis
@pytest.mark.parametrize(
    "cycles", [60, pytest.param(1000, marks=[pytest.mark.slow, pytest.mark.timeout(900)])]
)
async def test_killed_at_random_on_redis(tmp_path, redis_url, cycles):
    world = metered()
    faults(world)
    found = await crash(world, folder_for(tmp_path), redis_url, "kill", cycles, LANES, 7)
    assert found["promised"] > cycles
    assert found["unresolved"]


async def stopped(world, tmp_path, kind, cycles):
    """Two processes on one journal, one of which is always stopped for longer than its lease."""
    world.faults.add("ReportUsage", "latency", latency=0.03)
    found = await crash(world, folder_for(tmp_path), kind, "stop", cycles, 1, 7, lanes=1)
    assert found["promised"]
    assert found["unresolved"]


@pytest.mark.parametrize("cycles", [3, pytest.param(200, marks=[pytest.mark.slow, pytest.mark.timeout(900)])])
async def test_stopped_for_longer_than_the_lease_on_a_file(tmp_path, cycles):
    await stopped(metered(), tmp_path, "sqlite", cycles)


@pytest.mark.redis
@pytest.mark.parametrize("cycles", [3, pytest.param(200, marks=[pytest.mark.slow, pytest.mark.timeout(900)])])
async def test_stopped_for_longer_than_the_lease_on_redis(tmp_path, redis_url, cycles):
    await stopped(metered(), tmp_path, redis_url, cycles)
