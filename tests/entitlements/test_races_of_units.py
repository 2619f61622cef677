"""Units recorded, held, delivered and read all at once: never does more remain than is left."""

import asyncio
import contextlib
import random

import pytest

from kelviq_async import CachePolicy, Kelviq, NotEntitled
from kelviq_async.emulator import World
from kelviq_async.usage import JournalError, MemoryJournal, State, UsagePolicy
from tests.turmoil import dawdle, survive

LIMIT = 200
ROOM = 80
"""Units that only reservations may use, which know when to stop."""
SPAN = 0.4
"""Seconds for which everybody does what they can."""
LONG = 20
FAULTS = [
    ("ReportUsage", "refuse", 0.2, {}),
    ("ReportUsage", "latency", 0.3, {"latency": 0.004}),
    ("ReportUsage", "rate_limit", 0.05, {"retry_after": 0}),
    ("GetEntitlements", "latency", 0.5, {"latency": 0.004}),
]


def limited():
    world = World()
    meter = {"value": LIMIT, "hardLimit": True, "reset": "NEVER"}
    world.seed_from(
        {
            "features": [{"identifier": "pages", "featureType": "METER"}],
            "plans": [{"identifier": "pro", "prices": {"MONTHLY": 49}, "features": {"pages": meter}}],
            "customers": [{"customerId": "user-1"}],
            "subscriptions": [{"customerId": "user-1", "plan": "pro"}],
        }
    )
    return world


class Dawdling(MemoryJournal):
    """A journal that takes its time, one call after the other, and fails now and then."""

    def begin(self, chance, failing):
        self.chance = chance
        self.failing = failing
        self.turn = asyncio.Lock()

    async def append(self, records):
        async with self.turn:
            await dawdle(self.chance)
            if self.chance.random() < self.failing:
                raise JournalError("failed on purpose")
            await super().append(records)
        await dawdle(self.chance)

    async def move(self, *args, **kwargs):
        await dawdle(self.chance)
        moved = await super().move(*args, **kwargs)
        await dawdle(self.chance)
        return moved


class Turmoil:
    """A client, and all that one can do with the units of a customer at the same time."""

    def __init__(self, seed):
        chance = self.chance = random.Random(seed)  # noqa: S311  to do the same again
        self.world = limited()
        for number, (operation, kind, probability, more) in enumerate(FAULTS):
            self.world.faults.add(operation, kind, probability=probability, seed=seed + number, **more)
        policy = CachePolicy(
            fresh=chance.choice([0.003, 0.02, 1]),
            denied=0.003,
            revalidate=chance.choice([0, 0.02]),
            max_stale=2,
        )
        journal = MemoryJournal() if chance.random() < 0.2 else Dawdling()
        if isinstance(journal, Dawdling):
            journal.begin(chance, chance.choice([0, 0, 0.1]))
        self.journal = journal
        self.kelviq = Kelviq.local(
            self.world,
            cache=chance.choice([policy, policy, None]),
            journal=journal,
            usage_policy=UsagePolicy(window=chance.choice([0.0, 0.01]), backoff=0.002, max_backoff=0.01),
        )
        self.used = 0
        """Units that were recorded for sure."""
        self.held = 0
        self.given_up = 0
        """Units whose recording was given up: they may be recorded, and then something else is too much."""
        self.over = False

    async def run(self):
        ways = [self.recording, self.recording, self.checking, self.checking, *[self.reserving] * 4]
        async with asyncio.timeout(LONG), asyncio.TaskGroup() as group:
            for way in ways:
                group.create_task(way())
            await asyncio.sleep(SPAN)
            self.over = True
        await self.kelviq.usage.flush(LONG)
        counted = sum(row.value for row in self.world.usage_ledger)
        assert self.used - self.rejected <= counted <= self.used + self.given_up
        assert self.given_up or not self.rejected
        assert self.used
        await self.kelviq.entitlements.invalidate("user-1")
        assert await self.remaining() == LIMIT - counted

    @property
    def rejected(self):
        """Units that were too much: what was given up before had been recorded all the same."""
        reports = (report for report, _ in self.journal._reports.values())
        return sum(report.value for report in reports if report.state is State.REJECTED)

    async def end(self):
        await self.kelviq.close()

    async def remaining(self):
        found = await self.kelviq.entitlements.check("user-1", "pages")
        return found.entitlement.remaining

    async def pause(self, most):
        await asyncio.sleep(self.chance.random() * most)

    async def recording(self):
        while not self.over and self.used + self.held + self.given_up < LIMIT - ROOM:
            units = self.chance.randrange(1, 4)
            recording = asyncio.ensure_future(self.kelviq.usage.record("user-1", "pages", units))
            if self.chance.random() < 0.1:
                await self.pause(0.004)
                recording.cancel()
            try:
                await recording
                self.used += units
            except JournalError:
                pass
            except asyncio.CancelledError:
                self.given_up += units
            await self.pause(0.02)

    async def reserving(self):
        while not self.over:
            units = self.chance.randrange(1, 12)
            used = self.chance.randrange(units + 1)
            with contextlib.suppress(NotEntitled, JournalError):
                async with self.kelviq.entitlements.reserve("user-1", "pages", units) as reservation:
                    self.held += units
                    assert self.used + self.held <= LIMIT + self.rejected, "more was given than there is"
                    await self.pause(0.01)
                    reservation.use(used)
                    self.held -= units  # from here on it may be either
                self.used += used
            await self.pause(0.01)

    async def checking(self):
        while not self.over:
            used = self.used
            remaining = await self.remaining()
            least = LIMIT - used + self.rejected
            assert remaining <= least, f"{remaining} remain of {LIMIT} when {used} are used"
            await self.pause(0.008)


@pytest.mark.parametrize(
    "seeds",
    [
        *([each] for each in range(6)),
        pytest.param(range(6, 300), marks=[pytest.mark.slow, pytest.mark.timeout(900)], id="many"),
    ],
)
async def test_never_more_remains_than_is_left(seeds):
    await survive(seeds, Turmoil)
