"""How long does a program take that has just begun?

Each measurement is a process of its own. What imports cost is timed inside of it, from the first import to
the last thing asked for; what a whole script costs is timed from outside, interpreter and all.
"""

from __future__ import annotations

import subprocess
import sys
import time

from ..answers import SWITCHES, customer
from ..asking import KEY
from ..bench import OURS, PEER, Bench, Goal
from ..processes import ROOT, environment

TITLE = "Time to start"
GOALS = {
    "import async": Goal("import kelviq_async, vs kelviq_sdk", at_most=0.9),
    "import sync": Goal("import kelviq_sync, vs kelviq_sdk", at_most=0.9),
    "name async": Goal("from kelviq_async import Kelviq, vs kelviq_sdk"),
    "name sync": Goal("from kelviq_sync import Kelviq, vs kelviq_sdk"),
    "open async": Goal("import and open client, async, vs peer", at_most=0.9),
    "open sync": Goal("import and open client, blocking, vs peer", at_most=0.9),
    "script async": Goal("script: open, check once, exit; async, vs peer", at_most=0.8),
    "script sync": Goal("script: open, check once, exit; blocking, vs peer", at_most=0.8),
}
TINY = ("import async",)
_ARGUMENTS = f"{KEY!r}, base_url=url, edge_api_url=url"
_CHECK = f"{customer(1)!r}, {SWITCHES[0]!r}"

# `url` is where to ask; what is timed is what stands between the two looks at the clock.
_BEGIN = """
import sys, time
url, clock = sys.argv[1], getattr(time, sys.argv[2])
started = clock()
"""
_END = "print(clock() - started)\n"
_OPENED = """
import asyncio
{package}
async def main():
    client = {make}
    print(clock() - started)
    await client.{close}()
asyncio.run(main())
"""
IMPORTS = {
    "import async": ("import kelviq_async", "import kelviq_sdk"),
    "import sync": ("import kelviq_sync", "import kelviq_sdk"),
    "name async": ("from kelviq_async import Kelviq", "from kelviq_sdk import Kelviq"),
    "name sync": ("from kelviq_sync import Kelviq", "from kelviq_sdk import Kelviq"),
    "open sync": (
        f"from kelviq_sync import Kelviq; client = Kelviq({KEY!r}, edge_url=url).open()",
        f"from kelviq_sdk import Kelviq; client = Kelviq.create_sync_client({_ARGUMENTS})",
    ),
}
OPENED = {
    "open async": (
        {
            "package": "from kelviq_async import Kelviq",
            "make": f"await Kelviq({KEY!r}, edge_url=url).open()",
            "close": "close",
        },
        {
            "package": "from kelviq_sdk import Kelviq",
            "make": f"Kelviq.create_async_client({_ARGUMENTS})",
            "close": "aclose",
        },
    ),
}
SCRIPTS = {
    "script async": (
        f"""
import asyncio, sys
from kelviq_async import Kelviq
async def main():
    async with Kelviq({KEY!r}, edge_url=sys.argv[1]) as client:
        print(await client.entitlements.has_access({_CHECK}))
asyncio.run(main())
""",
        f"""
import asyncio, sys
from kelviq_sdk import Kelviq
async def main():
    url = sys.argv[1]
    async with Kelviq.create_async_client({_ARGUMENTS}) as client:
        print(await client.entitlements.has_access({_CHECK}))
asyncio.run(main())
""",
    ),
    "script sync": (
        f"""
import sys
from kelviq_sync import Kelviq
with Kelviq({KEY!r}, edge_url=sys.argv[1]) as client:
    print(client.entitlements.has_access({_CHECK}))
""",
        f"""
import sys
from kelviq_sdk import Kelviq
url = sys.argv[1]
with Kelviq.create_sync_client({_ARGUMENTS}) as client:
    print(client.entitlements.has_access({_CHECK}))
""",
    ),
}


def measure(bench: Bench) -> None:
    programs = {key: tuple(f"{_BEGIN}{code}\n{_END}" for code in pair) for key, pair in IMPORTS.items()}
    for key, pair in OPENED.items():
        programs[key] = tuple(_BEGIN + _OPENED.format(**parts) for parts in pair)
    for key in GOALS:
        if bench.thoroughness == "tiny" and key not in TINY:
            continue
        pair = programs.get(key) or SCRIPTS[key]
        whole = key in SCRIPTS
        for program in pair:  # so that everything is compiled, and in the system's memory
            seconds(program, bench, whole=whole)
        times: tuple[list[float], list[float]] = ([], [])
        bench.server.count()
        rounds = bench.pick(3, 3, 11)
        for number in range(rounds):
            for side in (0, 1) if number % 2 == 0 else (1, 0):
                times[side].append(seconds(pair[side], bench, whole=whole))
        assert bench.server.count()["asked"] == (2 * rounds if whole else 0)
        for who, taken in zip((OURS, PEER), times, strict=True):
            bench.number(who, key.replace("open", "import and open"), "ms", [1000 * each for each in taken])
        bench.costs(key, *times)


def seconds(program: str, bench: Bench, *, whole: bool) -> float:
    """What a program says that it took; or what it took as a whole."""
    # a test that runs beside others does not want to know how often it was put aside
    clock = bench.pick("process_time", "perf_counter", "perf_counter")
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", program, bench.server.url, clock],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        cwd=ROOT,
        env=environment(),
        timeout=60,
    )
    taken = time.perf_counter() - started
    if not whole:
        return float(done.stdout)
    assert done.stdout.strip() == "True", "a wrong answer"
    return taken
