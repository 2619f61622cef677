"""What a run leaves behind: JSON for programs, Markdown for people, and the part that a README shows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .bench import Bench, Finding, Number, between, shown, verdict

PLOT = "plot.png"
EXPLAINED = (
    "Peer is `kelviq-sdk` with `sniffio`. A ratio is the median over rounds in which all sides took turns; "
    "the interval holds it with 95 % probability (bootstrap)."
)
BEGIN, END = "<!-- benchmarks: begin -->", "<!-- benchmarks: end -->"


def plain(bench: Bench, circumstances: Mapping[str, Any]) -> dict[str, Any]:
    """All of a run as plain data."""
    return {
        **circumstances,
        "findings": [finding.plain() for finding in bench.in_order()],
        "numbers": [asdict(number) for number in bench.numbers],
        "remarks": bench.remarks,
    }


def written(folder: Path, bench: Bench, circumstances: Mapping[str, Any], titles: Mapping[str, str]) -> None:
    """Write ``results.json`` and ``README.md``."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(plain(bench, circumstances), indent=1, ensure_ascii=False)
    (folder / "results.json").write_text(text + "\n", encoding="utf-8")
    (folder / "README.md").write_text(page(bench, circumstances, titles), encoding="utf-8")


def page(bench: Bench, circumstances: Mapping[str, Any], titles: Mapping[str, str]) -> str:
    """The whole page of results."""
    parts = [
        "# What was measured\n",
        f"{_where(circumstances)} Written by `python -m benchmarks`, whose docstring says how it measures.\n",
        f"{EXPLAINED}\n",
        f"![What was measured]({PLOT})\n",
        "## Goals\n",
        goals_table(bench.in_order(), titles),
    ]
    for question, title in titles.items():
        numbers = [number for number in bench.numbers if number.question == question]
        if numbers:
            parts += [f"\n## {title}\n", numbers_table(numbers)]
    if bench.remarks:
        parts += ["\n## Remarks\n", *(f"* {remark}" for remark in bench.remarks)]
    libraries = ", ".join(
        f"{name} {version}" for name, version in circumstances["machine"]["libraries"].items()
    )
    parts += ["\n## Versions\n", f"{libraries}."]
    return "\n".join(parts) + "\n"


def excerpt(bench: Bench, circumstances: Mapping[str, Any], titles: Mapping[str, str], folder: str) -> str:
    """What a README shows."""
    picture = f"![What was measured]({folder}/{PLOT})\n"
    more = f"All numbers, their spread and how they came about: [{folder}]({folder}/README.md)."
    return "\n".join([_where(circumstances), "", picture, goals_table(bench.in_order(), titles), "", more])


def readme_with(text: str, part: str) -> str:
    """A README with the part between the two marks replaced.

    Raises:
        ValueError: It has no marks.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the README needs a line {BEGIN} and a line {END}")
    return f"{before}{BEGIN}\n{part}\n{END}{after}"


def _where(circumstances: Mapping[str, Any]) -> str:
    machine = circumstances["machine"]
    return (
        f"Measured on {circumstances['date']} ({circumstances['thoroughness']} run, commit "
        f"{circumstances['commit']}) on {machine['processor']}, {machine['cores']} cores, "
        f"{machine['system']}, {machine['python']}; the machine's load was {machine['load before']} before."
    )


def goals_table(findings: Sequence[Finding], titles: Mapping[str, str]) -> str:
    """Every ratio beside its goal."""
    rows = [("", "goal", "measured", "interval", "")]
    question = ""
    for finding in findings:
        if finding.question != question:
            question = finding.question
            rows.append((f"**{titles[question]}**", "", "", "", ""))
        ratio = finding.ratio
        rows.append(
            (finding.goal.says, str(finding.goal), shown(ratio.median), between(ratio), verdict(finding.met))
        )
    return table(rows)


def numbers_table(numbers: Sequence[Number]) -> str:
    """What each side measured under each condition, one column for each side."""
    sides = list(dict.fromkeys(number.who for number in numbers))
    rows = [("", "unit", *(side.lower() for side in sides))]
    for when, unit in dict.fromkeys((number.when, number.unit) for number in numbers):
        cells = {}
        for number in numbers:
            if (number.when, number.unit) == (when, unit):
                value = number.value
                spread = f" ({between(value)})" if len(value.rounds) > 1 else ""
                cells[number.who] = shown(value.median) + spread
        rows.append((when, unit, *(cells.get(side, "") for side in sides)))
    return table(rows)


def table(rows: Sequence[Sequence[str]]) -> str:
    """Markdown; the first row is the head."""
    head, *body = rows
    marks = [":--", *("--:" for _ in head[1:])]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, marks, *body))
