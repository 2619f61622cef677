"""All at once, on a journal that takes its time: whatever comes first, nothing is lost and nothing twice."""

import asyncio
import contextlib
import random
import secrets
from collections import defaultdict

import pytest

from kelviq_async.errors import ClientClosed, OutcomeUnknown
from kelviq_async.usage import JournalError, MemoryJournal, RedisJournal, SqliteJournal, State
from tests.faults.books import compared, rows_of
from tests.turmoil import dawdle, survive
from tests.usage.meters import LONG, client, metered

MANY = 1_000_000
BITS = 50
"""Records of one key, each with a bit of its own in the sum."""
SPAN = 0.25
"""Seconds for which everybody does what they can."""
CUSTOMERS = ["cust-0", "cust-1"]
FAULTS = [
    ("refuse", 0.15, {}),
    ("refuse", 0.1, {"latency": 0.003}),
    ("drop_before", 0.1, {}),
    ("drop_after", 0.1, {}),
    ("status", 0.1, {"status": 503}),
    ("status_after", 0.05, {"status": 502}),
    ("rate_limit", 0.05, {"retry_after": 0}),
    ("latency", 0.2, {"latency": 0.003}),
]
REFUSED = (JournalError, ClientClosed, OutcomeUnknown)
DAWDLED = {
    "append", "waiting", "claim", "move", "overtaken", "beat", "owners", "lapse", "leave", "ledger",
    "reports", "find", "fold",
}  # fmt: skip


class Dawdling:
    """A journal that takes its time before and after it does something, and fails now and then."""

    def __init__(self, journal, chance):
        self.journal = journal
        self.chance = chance
        self.failing = 0.0

    def __getattr__(self, name):
        method = getattr(self.journal, name)
        if name not in DAWDLED:
            return method

        async def call(*args, **kwargs):
            await self._dawdle()
            found = await method(*args, **kwargs)
            await self._dawdle()
            return found

        return call

    async def _dawdle(self):
        await dawdle(self.chance)
        if self.chance.random() < self.failing:
            raise JournalError("failed on purpose")


class Turmoil:
    """Clients on one journal, and all that one can ask of them at the same time."""

    def __init__(self, seed, connect):
        chance = self.chance = random.Random(seed)  # noqa: S311  to do the same again
        self.world = metered()
        for number, (kind, probability, more) in enumerate(FAULTS):
            if chance.random() < 0.6:
                self.world.faults.add(
                    "ReportUsage", kind, probability=probability, seed=seed + number, **more
                )
        policy = {
            "window": chance.choice([0.0, 0.01]),
            "backoff": 0.002,
            "max_backoff": 0.01,
            "shutdown": chance.choice([0.0, 0.02, 1.0]),
            "concurrency": chance.choice([1, 2, 8]),
        }
        self.failing = chance.choice([0.0, 0.0, 0.03])
        self.journals = [Dawdling(connect(), chance) for _ in range(chance.choice([1, 2]))]
        self.clients = [client(self.world, journal, **policy) for journal in self.journals]
        self.book = connect()  # looks at once, and never fails
        self.promised = []
        self.numbers = defaultdict(int)
        self.turns = defaultdict(asyncio.Lock)
        self.over = False

    async def run(self):
        """Everybody does what they can, and then all is sent that can be."""
        for kelviq in self.clients:
            await kelviq.open()
        await self.book.open(None)
        ways = [
            way(kelviq)
            for kelviq in self.clients
            for way in (self.recording, self.recording, self.flushing, self.settling, self.looking)
        ]
        if self.chance.random() < 0.4:
            ways.append(self.reopening(self.clients[0]))
        for journal in self.journals:
            journal.failing = self.failing
        async with asyncio.timeout(LONG), asyncio.TaskGroup() as group:
            for way in ways:
                group.create_task(way)
            await asyncio.sleep(SPAN)
            self.over = True
        for journal in self.journals:
            journal.failing = 0.0
        self.world.faults.clear()
        for kelviq in self.clients:
            await kelviq.open()
        ledger = await self.clients[0].usage.flush(LONG)
        assert (ledger.balanced, ledger.pending, ledger.in_flight) == (True, 0, 0), ledger
        assert ledger.accepted >= len(self.promised) > 0
        await self.compared()

    async def end(self):
        for kelviq in self.clients:
            await kelviq.close()
        await self.book.close()

    async def compared(self):
        for id in self.promised:
            assert await self.book.find(id) is not None, "a record that had a receipt is gone"
        ends = defaultdict(lambda: ([], []))
        for state, which in ((State.DELIVERED, 0), (State.UNRESOLVED, 1), (State.DISCARDED, 1)):
            for report in await self.book.reports(state, MANY):
                ends[report.customer_id][which].append(report)
        for customer in CUSTOMERS:
            compared(rows_of(self.world, customer), *ends[customer], ordered=True)

    async def pause(self, most):
        await asyncio.sleep(self.chance.random() * most)

    async def recording(self, kelviq):
        chance = self.chance
        while not self.over:
            customer, room = chance.choice(CUSTOMERS), chance.choice(["a", "b", "totals"])
            recording = asyncio.ensure_future(self.recorded(kelviq, customer, room))
            if chance.random() < 0.1:
                await self.pause(0.004)
                recording.cancel()
            with contextlib.suppress(asyncio.CancelledError, *REFUSED):
                self.promised.append((await recording).id)
            await self.pause(0.01)

    async def recorded(self, kelviq, customer, room):
        # numbers go up in the order of the records, and each has a bit of its own
        async with self.turns[customer, room]:
            number = self.numbers[customer, room]
            block, bit = divmod(number, BITS)
            # what is given up here may still come into the journal, and later than what comes next
            self.numbers[customer, room] = (block + 1) * BITS
            name = f"{room}-{block}"
            if room == "totals" or bit % 5 == 4:
                receipt = await kelviq.usage.set(customer, "calls", bit, resource_id=name)
            else:
                receipt = await kelviq.usage.record(customer, "calls", 1 << bit, resource_id=name)
            self.numbers[customer, room] = number + 1
            return receipt

    async def flushing(self, kelviq):
        while not self.over:
            before = list(self.promised)
            with contextlib.suppress(*REFUSED):
                if self.chance.random() < 0.3:
                    await kelviq.usage.flush(0.005)
                else:
                    await kelviq.usage.flush(LONG)
                    for id in before:
                        found = await self.book.find(id)
                        assert found is not None, "pending after a flush"
                        assert found.state is not State.IN_FLIGHT, "in flight after a flush"
            await self.pause(0.02)

    async def settling(self, kelviq):
        while not self.over:
            with contextlib.suppress(*REFUSED):
                for report in await kelviq.usage.unresolved():
                    if self.chance.random() < 0.1:
                        await kelviq.usage.settle(report.id, "discard", note="nobody misses it")
            await self.pause(0.02)

    async def looking(self, kelviq):
        while not self.over:
            with contextlib.suppress(*REFUSED):
                ledger = await kelviq.usage.ledger()
                assert ledger.balanced, ledger
            await self.pause(0.01)

    async def reopening(self, kelviq):
        while not self.over:
            await self.pause(0.1)
            await kelviq.close()
            with contextlib.suppress(JournalError):
                await kelviq.open()


SEEDS = pytest.mark.parametrize(
    "seeds",
    [
        *([each] for each in range(4)),
        pytest.param(range(4, 200), marks=[pytest.mark.slow, pytest.mark.timeout(900)], id="many"),
    ],
)


@SEEDS
async def test_in_memory(seeds):
    def turmoil(seed):
        journal = MemoryJournal()
        return Turmoil(seed, lambda: journal)

    await survive(seeds, turmoil)


@SEEDS
async def test_on_a_file(seeds, tmp_path):
    await survive(seeds, lambda seed: Turmoil(seed, lambda: SqliteJournal(tmp_path / f"{seed}.db")))


@pytest.mark.redis
@SEEDS
async def test_on_redis(seeds, redis_url):
    prefix = f"races-{secrets.token_hex(4)}"
    await survive(
        seeds, lambda seed: Turmoil(seed, lambda: RedisJournal(redis_url, prefix=f"{prefix}-{seed}"))
    )
