"""One picture of a run: how much goes through, and how far each goal was met."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .bench import OURS, PEER, Bench, Finding, shown

COLOURS = {OURS: "#0b6e4f", PEER: "#c8553d", "Raw": "#4a6fa5", "Minimal": "#9a9a9a"}
NAMES = {
    OURS: "kelviq-async",
    PEER: "kelviq-sdk",
    "Raw": "raw aiohttp + orjson",
    "Minimal": "minimal protocol",
}
WORST, BEST = 0.1, 8.0
MET, MISSED, GREY = "#0b6e4f", "#c8553d", "#5a5a5a"


def drawn(path: Path, bench: Bench, titles: Mapping[str, str]) -> None:
    """Write the picture."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    goals = [finding for finding in bench.in_order() if finding.met is not None]
    rows = grouped(goals, titles)
    lines = {title: lines_of(bench, ending) for title, ending in DOORS.items()}
    panels = [title for title, rates in lines.items() if rates]
    heights = [3.4] * bool(panels) + [0.9 + 0.22 * len(rows)] * bool(goals)
    if not heights:
        return
    settings = {
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlelocation": "left",
        "axes.titleweight": "bold",
        "axes.titlesize": 10,
    }
    with plt.rc_context(settings):
        figure = plt.figure(figsize=(9.5, sum(heights)), layout="constrained")
        parts = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
        if panels:
            axes = parts[0].subplots(1, len(panels), sharey=True, squeeze=False)[0]
            for axis, title in zip(axes, panels, strict=True):
                draw_rates(axis, title, lines[title])
            axes[0].set_ylabel("requests per second")
            handles, labels = axes[0].get_legend_handles_labels()
            parts[0].legend(handles, labels, frameon=False, ncols=len(labels), loc="outside lower center")
        if goals:
            draw_goals(parts[-1].subplots(), rows)
        figure.savefig(path, dpi=130, metadata={"Software": None})
        plt.close(figure)


def grouped(goals: Sequence[Finding], titles: Mapping[str, str]) -> list[Finding | str]:
    """Findings with the title of each question before its own."""
    rows: list[Finding | str] = []
    question = ""
    for finding in goals:
        if finding.question != question:
            question = finding.question
            rows.append(titles[question])
        rows.append(finding)
    return rows


DOORS = {"Server answers at once": " in flight", "Server takes 20 ms": " in flight, 20 ms"}


def lines_of(bench: Bench, ending: str) -> dict[str, list[tuple[int, Any]]]:
    """Who -> (calls in flight, requests/s)."""
    lines: dict[str, list[tuple[int, Any]]] = {}
    for number in bench.numbers:
        if number.unit == "requests/s" and number.when.endswith(ending):
            lines.setdefault(number.who, []).append((int(number.when.split()[0]), number.value))
    return lines


def draw_rates(axis: Any, title: str, lines: dict[str, list[tuple[int, Any]]]) -> None:
    for who, points in lines.items():
        middle = [value.median for _, value in points]
        errors = [[v.median - v.low for _, v in points], [v.high - v.median for _, v in points]]
        axis.errorbar(
            [x for x, _ in points],
            middle,
            yerr=errors,
            label=NAMES[who],
            color=COLOURS[who],
            marker="o",
            markersize=4,
            capsize=2,
            linewidth=1.6,
        )
    ticks = sorted({x for points in lines.values() for x, _ in points})
    axis.set(title=title, xlabel="calls in flight", xscale="log", yscale="log")
    axis.set_xticks(ticks, [str(tick) for tick in ticks])
    axis.minorticks_off()
    values = [100, 300, 1000, 3000, 10_000, 30_000]
    axis.set_yticks(values, [f"{value:,}" for value in values])
    axis.grid(axis="y", color="#e4e4e4", linewidth=0.7)
    axis.set_axisbelow(True)


def beyond(finding: Finding, ratio: float) -> float:
    """How many times better than its goal a ratio is, as far as the axis goes."""
    goal = finding.goal
    if goal.at_least is not None:
        times = ratio / goal.at_least
    else:  # a cost below nothing, as a difference can be, is as good as can be
        times = goal.at_most / ratio if ratio > 0 else BEST  # type: ignore[operator]
    return min(max(times, WORST), BEST)


def draw_goals(axis: Any, rows: Sequence[Finding | str]) -> None:
    findings = [row for row in rows if isinstance(row, Finding)]
    ends = [beyond(finding, end) for finding in findings for end in (finding.ratio.low, finding.ratio.high)]
    low, high = min(0.45, *ends) * 0.95, max(2.1, *ends) * 1.05
    for place, row in enumerate(rows):
        if isinstance(row, str):
            continue
        ratio = row.ratio
        middle = beyond(row, ratio.median)
        colour = MET if row.met else MISSED
        axis.plot([1, middle], [place, place], color=colour, linewidth=6, alpha=0.3, solid_capstyle="butt")
        ends = [beyond(row, ratio.low), beyond(row, ratio.high)]
        axis.plot(ends, [place, place], color=colour, linewidth=1.2)
        axis.plot([middle], [place], "o", color=colour, markersize=4.5)
        text = f"{shown(ratio.median)}  (goal {row.goal})"
        axis.annotate(text, (1.01, place), xycoords=("axes fraction", "data"), va="center", color=GREY)
    axis.axvline(1, color=GREY, linewidth=0.9)
    axis.set_xscale("log")
    ticks = [tick for tick in (0.1, 0.25, 0.5, 1, 2, 4, 8) if low <= tick <= high]
    axis.set_xticks(ticks, [f"{tick:g} x" for tick in ticks])
    axis.minorticks_off()
    axis.set_xlim(low, high)
    axis.set_yticks(range(len(rows)), [row if isinstance(row, str) else row.goal.says for row in rows])
    for label, row in zip(axis.get_yticklabels(), rows, strict=True):
        label.set_fontweight("bold" if isinstance(row, str) else "normal")
    axis.set_ylim(len(rows) - 0.4, -0.6)
    axis.grid(axis="x", color="#e4e4e4", linewidth=0.7)
    axis.set_axisbelow(True)
    axis.tick_params(axis="y", length=0)
    axis.spines["left"].set_visible(False)
    axis.set_title("Each ratio as a multiple of its goal: met to the right of the line")
