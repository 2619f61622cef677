"""Very many records from many threads: all delivered, once, in bounded memory and a small file."""

import logging
import resource
import threading
import time

import pytest

import kelviq_sync
from kelviq_async.usage import SqliteJournal, UsagePolicy
from tests.usage.meters import CUSTOMERS, metered, total

logger = logging.getLogger(__name__)

THREADS = 8


@pytest.mark.parametrize(
    "records",
    [
        pytest.param(10_000, marks=pytest.mark.timeout(300)),
        pytest.param(200_000, marks=[pytest.mark.slow, pytest.mark.timeout(900)]),
    ],
)
def test_threads_record_as_fast_as_they_can(tmp_path, records):
    world = metered()
    path = tmp_path / "usage.db"
    policy = UsagePolicy(window=0.05, retain=0.0, shutdown=60)
    failures = []

    def work(kelviq, number):
        try:
            for _ in range(records // THREADS):
                kelviq.usage.record(CUSTOMERS[number], "calls")
        except BaseException as error:
            failures.append(error)
            raise

    began, memory = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with kelviq_sync.Kelviq.local(world, journal=SqliteJournal(path), usage_policy=policy) as kelviq:
        threads = [threading.Thread(target=work, args=(kelviq, number)) for number in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        accepted = time.monotonic() - began
        ledger = kelviq.usage.flush(120)
        assert (ledger.accepted, ledger.delivered) == (records, records)
        assert failures == []
        deadline = time.monotonic() + 30
        while size(path) > 4_000_000:
            assert time.monotonic() < deadline, "the file stays large"
            time.sleep(0.1)  # folding goes on by itself
    assert [total(world, each) for each in CUSTOMERS] == [records // THREADS] * THREADS
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory
    assert grown < 200_000  # kilobytes
    found = (records, accepted, len(world.usage_ledger), grown, size(path))
    logger.info("records %d, accepted in %.1f s, reports %d, KiB grown %d, file %d", *found)


def size(path):
    return path.stat().st_size
