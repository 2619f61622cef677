"""A world with meters to report to, journals that fail on purpose, and looks at both sides' books."""

import asyncio
import time
from collections import Counter, defaultdict
from datetime import UTC, datetime

from kelviq_async import Kelviq
from kelviq_async.emulator import World
from kelviq_async.usage import JournalError, MemoryJournal, UsagePolicy

START = datetime(2026, 1, 10, tzinfo=UTC)
CUSTOMERS = [f"cust-{n}" for n in range(8)]
QUICK = {"window": 0.0, "backoff": 0.02, "max_backoff": 0.1, "timeout": 5.0, "shutdown": 2.0}
LONG = 20
"""Seconds that something may take on a busy machine; nothing here waits for so long."""


def metered(customers=CUSTOMERS):
    """A world in which customers have the meters ``calls`` and ``seats`` without limits."""
    world = World(now=START)
    world.seed_from(
        {
            "features": [
                {"identifier": "calls", "featureType": "METER"},
                {"identifier": "seats", "featureType": "METER"},
            ],
            "plans": [
                {
                    "identifier": "pro",
                    "prices": {"MONTHLY": 49},
                    "features": {
                        "calls": {"value": None, "hasUnlimitedUsage": True, "reset": "EVERY_MONTH"},
                        "seats": {"value": None, "hasUnlimitedUsage": True, "reset": "EVERY_MONTH"},
                    },
                }
            ],
            "customers": [{"customerId": each} for each in customers],
            "subscriptions": [{"customerId": each, "plan": "pro"} for each in customers],
        }
    )
    return world


def counted(world):
    """What the world has counted: values in order, by customer, feature and resource."""
    found = defaultdict(list)
    for row in world.usage_ledger:
        found[row.customer_id, row.feature_id, row.resource_id].append((row.kind, row.value))
    return dict(found)


def total(world, customer="cust-0", feature="calls"):
    """The units that the world has taken as DELTAs."""
    return sum(
        row.value
        for row in world.usage_ledger
        if (row.customer_id, row.feature_id, row.kind) == (customer, feature, "DELTA")
    )


def client(world, journal=None, **policy):
    """A client on a world, whose sender does not dawdle."""
    journal = MemoryJournal() if journal is None else journal
    return Kelviq.local(world, journal=journal, usage_policy=UsagePolicy(**QUICK | policy))


async def until(condition, seconds=LONG):
    """Wait until something is so; ``condition`` may be async."""
    end = time.monotonic() + seconds
    while True:
        found = condition()
        if asyncio.iscoroutine(found):
            found = await found
        if found:
            return found
        assert time.monotonic() < end, "it never happened"
        await asyncio.sleep(0.002)


async def stands(kelviq, **counts):
    """Wait until the ledger says exactly this; it must balance all the time."""
    expected = {"pending": 0, "in_flight": 0, "delivered": 0, "rejected": 0, "unresolved": 0, "discarded": 0}
    expected |= counts
    end = time.monotonic() + LONG
    while True:
        ledger = await kelviq.usage.ledger()
        assert ledger.balanced, ledger
        if {name: getattr(ledger, name) for name in expected} == expected:
            return ledger
        assert time.monotonic() < end, ledger
        await asyncio.sleep(0.002)


class Trouble(MemoryJournal):
    """A journal in memory whose methods fail or hang as often as they are told to.

    ``fail["move"] = 2`` fails twice before it works, ``fail_after["claim"] = 1`` works and fails once all
    the same, and ``hang["move"] = 1`` never returns.
    """

    def __init__(self, error=JournalError):
        super().__init__()
        self.error = error
        self.calls = Counter()
        self.fail = Counter()
        self.fail_after = Counter()
        self.hang = Counter()


def _troubled(name):
    method = getattr(MemoryJournal, name)

    async def call(self, *args, **kwargs):
        self.calls[name] += 1
        for kind in ("fail", "hang"):
            if getattr(self, kind)[name] > 0:
                getattr(self, kind)[name] -= 1
                if kind == "fail":
                    raise self.error(f"{name} failed on purpose")
                await asyncio.Event().wait()
        found = await method(self, *args, **kwargs)
        if self.fail_after[name] > 0:
            self.fail_after[name] -= 1
            raise self.error(f"{name} failed on purpose afterwards")
        return found

    return call


for _name in (
    "open", "append", "waiting", "claim", "move", "overtaken", "beat", "owners", "lapse", "leave",
    "ledger", "reports", "find", "fold", "close",
):  # fmt: skip
    setattr(Trouble, _name, _troubled(_name))


class Watching:
    """An observer that remembers what it was told."""

    def __init__(self, *, failing=False):
        self.failing = failing
        self.moves = []
        self.ledgers = []

    def moved(self, state, records):
        self.moves.append((state.value, records))
        if self.failing:
            raise RuntimeError("an observer that fails")

    def measured(self, ledger):
        self.ledgers.append(ledger)
        if self.failing:
            raise RuntimeError("an observer that fails")
