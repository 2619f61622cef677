"""A program that forks processes which record and send usage, and kills each at a random moment.

``python -m tests.faults.crashing URL KEY FOLDER KIND kill|stop CYCLES LANES SEED``: everything is imported
once, so that a life costs a fork. Each lane is a journal with processes on it. What a process got a receipt
for, it writes down at once in ``FOLDER/LANE.acks``.
"""

import asyncio
import ctypes
import heapq
import itertools
import logging
import os
import random
import signal
import sys
import time
import traceback
from pathlib import Path

import aiohttp  # noqa: F401  what a life needs is loaded before it begins
import redis.asyncio  # noqa: F401

from kelviq_async import Kelviq
from kelviq_async.usage import MemoryJournal, RedisJournal, SqliteJournal, UsagePolicy

PARENT_DEATH_SIGNAL = 1
BITS = 40
"""Records of one key, each with a bit of its own in the sum."""
SPEEDY = {"window": 0.01, "backoff": 0.01, "max_backoff": 0.03, "timeout": 2.0, "lease": 30.0}
SHORT = SPEEDY | {"timeout": 0.2, "lease": 0.4}


def journal_of(kind, folder, lane):
    if kind == "sqlite":
        return SqliteJournal(f"{folder}/{lane}.db")
    return RedisJournal(kind, prefix=f"crash-{Path(folder).name}-{lane}")


async def rehearsal():
    """Load all that is only loaded when it is used."""
    async with Kelviq.local(journal=MemoryJournal()) as kelviq:
        await kelviq.usage.record("nobody", "calls")
        await kelviq.usage.flush()


class Life:
    """One process's time on a journal."""

    def __init__(self, kelviq, acks, lane, cycle):
        self.kelviq = kelviq
        self.acks = acks
        self.customer = f"cust-{lane}"
        self.cycle = cycle

    async def add(self, name, number):
        """A bit of its own, so that a second copy shows."""
        receipt = await self.kelviq.usage.record(self.customer, "calls", 1 << number, resource_id=name)
        os.write(self.acks, f"{receipt.id}\n".encode())

    async def replace(self, name, number, feature="calls"):
        """A total that grows, so that a step back shows."""
        receipt = await self.kelviq.usage.set(self.customer, feature, number, resource_id=name)
        os.write(self.acks, f"{receipt.id}\n".encode())

    async def adding(self, caller):
        for block in itertools.count():
            name = f"{self.cycle}-{caller}-{block}"
            for first in range(0, BITS, 8):
                await asyncio.gather(*(self.add(name, number) for number in range(first, first + 8)))

    async def mixing(self):
        for block in itertools.count():
            for number in range(BITS):
                how = self.replace if number % 5 == 4 else self.add
                await how(f"mixed-{self.cycle}-{block}", number)

    async def replacing(self):
        for number in itertools.count(self.cycle * 100_000):
            await self.replace("the-only-one", number, "seats")
            await asyncio.sleep(0.005)


async def live(url, key, folder, kind, lane, cycle, policy):  # noqa: PLR0917  it is called with what a fork has
    """Record without end."""
    acks = os.open(f"{folder}/{lane}.acks", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    journal = journal_of(kind, folder, lane)
    async with Kelviq(
        key, core_url=url, account="a", cache=None, journal=journal, usage_policy=UsagePolicy(**policy)
    ) as kelviq:
        life = Life(kelviq, acks, lane, cycle)
        ways = [life.adding(0), life.adding(1)]
        if policy is SPEEDY:  # who wakes up too late may send a total once more, and nobody can prevent that
            ways += [life.mixing(), life.replacing()]
        await asyncio.gather(*ways)


def born(*args):
    """Fork a life; its process id."""
    parent, pid = os.getpid(), os.fork()
    if pid:
        return pid
    try:
        die_with(parent)
        asyncio.run(live(*args))
    except BaseException:  # noqa: BLE001  whatever it is, it must not run on in the child
        os.write(2, traceback.format_exc().encode())  # in one piece, before it is killed
    finally:
        os._exit(3)  # it was meant to be killed


def die_with(parent):
    """Leave nobody behind, not even stopped, should the parent be killed itself."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PARENT_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)


def killed(chance, cycles, lanes, *args):
    """On each lane one life after the other, until so many have been killed."""
    left = cycles
    alive = [(0.0, lane, 0, 0) for lane in range(lanes)]
    while alive:
        moment, lane, cycle, pid = heapq.heappop(alive)
        time.sleep(max(0.0, moment - time.monotonic()))
        if pid:
            kill(pid)
        if left:
            left -= 1
            pid = born(*args, lane, cycle, SPEEDY)
            # some die while they open the journal, most while they record and send
            lived = chance.uniform(0.0, 0.12)
            heapq.heappush(alive, (time.monotonic() + lived, lane, cycle + 1, pid))


def stopped(chance, cycles, lanes, *args):
    """Two lives at once on each lane, of which one always stands still for longer than its lease."""
    pids = [born(*args, lane, life, SHORT) for lane in range(lanes) for life in range(2)]
    for cycle in range(cycles):
        time.sleep(chance.uniform(0.1, 0.4))
        pid = pids[cycle % len(pids)]
        os.kill(pid, signal.SIGSTOP)
        time.sleep(2 * SHORT["lease"])
        os.kill(pid, signal.SIGCONT)
    time.sleep(0.5)
    for pid in pids:
        kill(pid)


def kill(pid):
    os.kill(pid, signal.SIGKILL)
    ended = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if ended != -signal.SIGKILL:
        sys.exit(f"a life ended by itself with {ended}")


def main(url, key, folder, kind, way, cycles, lanes, seed):  # noqa: PLR0917  as they stand on the command line
    # What goes wrong on purpose would be all over the terminal.
    logging.getLogger("kelviq_async").addHandler(logging.NullHandler())
    asyncio.run(rehearsal())
    go = {"kill": killed, "stop": stopped}[way]
    chance = random.Random(int(seed))  # noqa: S311  no secret
    go(chance, int(cycles), int(lanes), url, key, folder, kind)


if __name__ == "__main__":
    main(*sys.argv[1:])
