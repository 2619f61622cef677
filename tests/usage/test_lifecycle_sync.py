"""The blocking twin records usage, too: all of it, from many threads."""

import threading

import pytest

import kelviq_sync
from kelviq_async.errors import ClientClosed, ConfigError, InvalidRequest, Unauthorized
from kelviq_async.usage import MemoryJournal, SqliteJournal, UsagePolicy
from tests.usage.meters import CUSTOMERS, LONG, QUICK, counted, total

THREADS = 8


def blocking(world, journal=None, **policy):
    journal = MemoryJournal() if journal is None else journal
    return kelviq_sync.Kelviq.local(world, journal=journal, usage_policy=UsagePolicy(**QUICK | policy))


def together(work):
    """Run it in eight threads that begin at once; what they raise is raised."""
    gate, failures = threading.Barrier(THREADS), []

    def run(number):
        try:
            gate.wait(LONG)
            work(number)
        except BaseException as error:  # noqa: BLE001  it is raised below
            failures.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def test_all_of_it(world):
    with blocking(world) as kelviq:
        receipt = kelviq.usage.record("cust-0", "calls", 3)
        assert (receipt.customer_id, receipt.value) == ("cust-0", 3)
        kelviq.usage.record("cust-0", "calls", -1, correction=True)
        kelviq.usage.record("cust-0", "calls", resource_id="room")
        kelviq.usage.set("cust-1", "seats", 4)
        assert kelviq.usage.flush(deadline=LONG).delivered == 4
        world.faults.add("ReportUsage", "drop_before", times=1)
        lost = kelviq.usage.record("cust-2", "calls", 5)
        ledger = kelviq.usage.flush()
        assert (ledger.unresolved, ledger.balanced) == (1, True)
        [report] = kelviq.usage.unresolved()
        world.faults.add("ReportUsage", "status", status=422, times=1)
        assert kelviq.usage.settle(lost.id, "resend", note="it never arrived").id == report.id
        kelviq.usage.flush()
        assert [each.id for each in kelviq.usage.unresolved(limit=5)] == []
        [refused] = kelviq.usage.rejected(limit=5)
        kelviq.usage.settle(refused.id, "resend")
        assert kelviq.usage.flush().delivered == kelviq.usage.ledger().delivered == 5
        assert kelviq.usage.event("cust-0", "prompt").idempotency_key
    assert total(world, "cust-2") == 5
    with pytest.raises(ClientClosed):
        kelviq.usage.record("cust-0", "calls")


def test_the_first_call_opens_from_any_thread(world):
    kelviq = blocking(world)
    together(lambda number: kelviq.usage.record(CUSTOMERS[number], "calls", 2))
    assert kelviq.usage.flush().delivered == THREADS
    kelviq.close()
    assert counted(world) == {(each, "calls", None): [("DELTA", 2)] for each in CUSTOMERS}


def test_everything_at_once(world, tmp_path):
    """Half of the threads record on one key, others look, settle and flush; some of it fails on its way."""
    world.faults.add("ReportUsage", "drop_before", times=5, after=3)
    world.faults.add("ReportUsage", "refuse", times=5, after=6)

    def work(number):
        for value in range(30):
            if number < 4:
                kelviq.usage.record("cust-0", "calls", 1)
            elif number == 4:
                kelviq.usage.set("cust-1", "seats", value)
            elif number == 5:
                assert kelviq.usage.ledger().balanced
            elif number == 6:
                for report in kelviq.usage.unresolved():
                    kelviq.usage.settle(report.id, "resend")
            else:
                kelviq.usage.flush(0.01)

    with blocking(world, SqliteJournal(tmp_path / "usage.db"), max_records=7) as kelviq:
        together(work)
        while unresolved := kelviq.usage.unresolved():
            for report in unresolved:
                kelviq.usage.settle(report.id, "resend")
            kelviq.usage.flush()
        ledger = kelviq.usage.flush()
        assert (ledger.accepted, ledger.delivered) == (150, 150)
    assert total(world) == 120
    totals = [value for _, value in counted(world)["cust-1", "seats", None]]
    assert totals == sorted(totals)


def test_errors_come_as_they_are(world):
    world.faults.add("ReportUsage", "status", status=401)
    with blocking(world) as kelviq:
        with pytest.raises(InvalidRequest):
            kelviq.usage.record("cust-0", "calls", 1.5)
        kelviq.usage.record("cust-0", "calls")
        with pytest.raises(Unauthorized):
            kelviq.usage.flush()
        world.faults.clear()
        assert kelviq.usage.flush().delivered == 1
    with kelviq_sync.Kelviq.local(world) as kelviq, pytest.raises(ConfigError, match="SqliteJournal"):
        kelviq.usage.record("cust-0", "calls")
