"""Measures this library beside Kelviq's own SDK, and beside what could be had at best.

    python -m benchmarks [--quick | --full] [question ...]

What is compared
    The peer is `kelviq-sdk`, with `sniffio`, which it needs. The floors are raw aiohttp with orjson, what
    one would write by hand, and a minimal client of asyncio's protocols, what asyncio leaves room for. Both
    we and the peer make typed models out of the same bytes, from the same server, on the same Python.

How
    * Each side lives in a process of its own, so that nobody's garbage, imports or threads are another's
      cost. Only one of them works at a time.
    * They take turns: each round has a turn of everybody, forwards and backwards by turns, so that what
      slows the machine down meets all of them. Ratios are taken round by round. Their median is shown,
      with an interval that holds it with 95 % probability.
    * All are warm before they are timed: connections made, modules loaded, caches filled.
    * Each answer is looked at, and the server counts what it was asked: who asked too often, too seldom,
      or got something wrong has measured nothing, and ends the question.
    * The server (`benchmarks/server.py`) runs in its own process and ends with the run. One answer holds ten
      entitlements, narrowed to one where one feature is asked for, as Kelviq does. A remark in the
      results says how busy it was.

What comes of it
    A line for each goal while it runs. A full run of all questions writes `benchmarks/results/`: `README.md`,
    `results.json` and `plot.png`; anything less writes the same to `benchmarks/results/latest/`, which git
    ignores. With `--readme`, a full run also rewrites the part of the main README between its two marks.

Goals are ratios, not times. They stand at the top of each file in `benchmarks/questions/`.
"""

from __future__ import annotations

import argparse
import importlib
import json
import signal
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

from . import machine, plot, report
from .bench import Bench, complain, row, shown
from .processes import ROOT, Server

QUESTIONS = (
    "async_throughput",
    "sync_throughput",
    "cached_hit",
    "single_flight",
    "cache_memory",
    "batch_cost",
    "decoding",
    "starting",
    "gathering",
    "recording",
)
RESULTS = ROOT / "benchmarks" / "results"


def main(arguments: list[str] | None = None) -> int:
    """Run what was asked for.

    Returns:
        0, or 1 where a question could not be answered. A missed goal is an answer.
    """
    chosen = parsed(arguments)
    names = chosen.questions or list(QUESTIONS)
    modules = {name: importlib.import_module(f"benchmarks.questions.{name}") for name in names}
    circumstances: dict[str, Any] = {
        "date": datetime.now(UTC).date().isoformat(),
        "thoroughness": chosen.thoroughness,
        "commit": machine.commit(),
        "machine": machine.described(),
    }
    started = time.monotonic()
    with Server() as server:
        bench = Bench(chosen.thoroughness, server)
        load, cores = circumstances["machine"]["load before"], circumstances["machine"]["cores"]
        if load > cores / 4:
            bench.remark(f"The machine was busy with other things (load {load}): this run is a rough one.")
            print(f"This machine is busy (load {load}): expect noise.")
        failed = [name for name, module in modules.items() if not answered(bench, name, module)]
    goals = [finding.met for finding in bench.findings if finding.met is not None]
    print(f"\n{sum(goals)} of {len(goals)} goals met, in {time.monotonic() - started:.0f} s.")
    if chosen.json:
        text = json.dumps(report.plain(bench, circumstances))
        chosen.json.write_text(text, encoding="utf-8")
        return bool(failed)
    titles = {name: module.TITLE for name, module in modules.items()}
    whole = chosen.thoroughness == "full" and set(names) == set(QUESTIONS) and not failed
    folder = RESULTS if whole else RESULTS / "latest"
    report.written(folder, bench, circumstances, titles)
    plot.drawn(folder / report.PLOT, bench, titles)
    print(f"Written to {folder.relative_to(ROOT)}.")
    if chosen.readme and whole:
        path = ROOT / "README.md"
        part = report.excerpt(bench, circumstances, titles, folder.relative_to(ROOT).as_posix())
        path.write_text(report.readme_with(path.read_text(encoding="utf-8"), part), encoding="utf-8")
    return bool(failed)


def parsed(arguments: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "questions", nargs="*", metavar="question", help=f"some of {', '.join(QUESTIONS)}; all by default"
    )

    modes = parser.add_mutually_exclusive_group()
    for name, text in (
        ("full", "take some minutes, for results that are worth keeping"),
        ("quick", "take a minute (the default)"),
        ("tiny", "take seconds, for a test that only wants to know whether something broke"),
    ):
        modes.add_argument(f"--{name}", dest="thoroughness", action="store_const", const=name, help=text)
    parser.set_defaults(thoroughness="quick")
    parser.add_argument(
        "--readme", action="store_true", help="also rewrite the part of the README between its marks"
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write plain data to this file, and nothing else"
    )
    chosen = parser.parse_args(arguments)
    unknown = [name for name in chosen.questions if name not in QUESTIONS]
    if unknown:
        parser.error(f"there is no question {', '.join(unknown)}")
    return chosen


def answered(bench: Bench, name: str, module: ModuleType) -> bool:
    """Look into one question, and say whether it worked."""
    print(f"\n{module.TITLE}\n" + row("", "goal", "measured", "interval"), flush=True)
    bench.question, bench.goals = name, module.GOALS
    began = len(bench.numbers)
    try:
        module.measure(bench)
    except (AssertionError, RuntimeError, TimeoutError) as error:
        complain(f"{name}: {error}")
        bench.remark(f"{module.TITLE}: could not be measured ({type(error).__name__}).")
        return False
    for when, unit in dict.fromkeys((number.when, number.unit) for number in bench.numbers[began:]):
        sides = (
            f"{number.who.lower()} {shown(number.value.median)}"
            for number in bench.numbers[began:]
            if (number.when, number.unit) == (when, unit)
        )
        print(f"    {when}, {unit}: {', '.join(sides)}")
    return True


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that files made for a while are cleared away
    sys.exit(main())
