"""A sender in a process of its own, for tests: what it sends, it writes down in a list in Redis.

``python redis_sender.py URL PREFIX LEASE``; it ends when its input does.
"""

import asyncio
import sys
import time

from redis.asyncio import Redis

from kelviq_async.usage import RedisJournal, UsagePolicy
from kelviq_async.usage.grouping import runs
from kelviq_async.usage.owner import this_process
from kelviq_async.usage.records import State


async def send(url, prefix, lease):
    journal, me, wire = (
        RedisJournal(url, prefix=prefix, deadline=30),
        this_process(lease),
        Redis.from_url(url),
    )
    await journal.open(None)
    ended = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
    policy = UsagePolicy(max_records=7)
    print("ready", flush=True)  # noqa: T201  said to the test
    while not ended.done():
        await journal.beat(me)
        for seen in await journal.owners():
            # by silence alone, as on another machine
            if seen.owner.id != me.id and seen.silent > seen.owner.lease:
                await journal.lapse(seen, "silent")
        waiting = await journal.waiting(200)
        due, _ = runs(waiting, policy, time.time(), hurry=True)
        for report in await journal.claim(due, me):
            run = next(run for run in due if run.key == report.key)
            sent = [
                each.record.id
                for each in waiting
                if each.record.key == run.key and run.first <= each.place <= run.last
            ]
            await wire.rpush(f"{prefix}-wire", *sent)
            await journal.move(report.id, State.DELIVERED)
        await asyncio.sleep(0.002)
    await journal.leave(me)
    await journal.close()
    await wire.aclose()


if __name__ == "__main__":
    asyncio.run(send(sys.argv[1], sys.argv[2], float(sys.argv[3])))
