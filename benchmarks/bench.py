"""One run: how thorough it is, what it measured, and how that compares with what was aimed at."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeVar

from .processes import Contestant, Server
from .spread import Spread, ratios, spread

T = TypeVar("T")

OURS, PEER = "Ours", "Peer"
Thoroughness = Literal["tiny", "quick", "full"]


@dataclass(frozen=True)
class Goal:
    """What a ratio should be.

    Attributes:
        says: What is compared with what, in the reader's words.
        at_least: It should not be below.
        at_most: It should not be above. Neither: we only want to know.
    """

    says: str
    at_least: float | None = None
    at_most: float | None = None

    def met(self, ratio: float) -> bool | None:
        if self.at_least is not None:
            return ratio >= self.at_least
        return ratio <= self.at_most if self.at_most is not None else None

    def __str__(self) -> str:
        if self.at_least is not None:
            return f"≥ {self.at_least:,g}"
        return f"≤ {self.at_most:,g}" if self.at_most is not None else ""


@dataclass(frozen=True)
class Finding:
    """A ratio that was measured.

    Attributes:
        question: Which file looked into it.
        key: The goal's name in that file.
        place: Its place among the goals there.
        goal: What was aimed at.
        ratio: What it is.
        best: The same out of each side's best round, which a busy machine spoils least.
    """

    question: str
    key: str
    place: int
    goal: Goal
    ratio: Spread
    best: float

    @property
    def met(self) -> bool | None:
        return self.goal.met(self.ratio.median)

    def plain(self) -> dict[str, Any]:
        return {**asdict(self), "met": self.met}


@dataclass(frozen=True)
class Number:
    """A value that was measured.

    Attributes:
        question: Which file looked into it.
        who: Whose it is.
        when: Under which condition.
        unit: What it counts.
        value: What it is.
    """

    question: str
    who: str
    when: str
    unit: str
    value: Spread


@dataclass
class Bench:
    """What questions are given to work with."""

    thoroughness: Thoroughness
    server: Server
    question: str = ""
    goals: Mapping[str, Goal] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    numbers: list[Number] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def in_order(self) -> list[Finding]:
        """What was found, in the order in which questions and goals were put."""
        questions = list(dict.fromkeys(finding.question for finding in self.findings))
        return sorted(self.findings, key=lambda finding: (questions.index(finding.question), finding.place))

    def pick(self, tiny: T, quick: T, full: T) -> T:
        """What fits how thorough this run is."""
        return {"tiny": tiny, "quick": quick, "full": full}[self.thoroughness]

    def taking_turns(
        self, contestants: Sequence[Contestant], turn: Callable[[Contestant], T], rounds: int
    ) -> dict[str, list[T]]:
        """One turn for each in every round, in this order and in the opposite one by turns."""
        turns: dict[str, list[T]] = {contestant.name: [] for contestant in contestants}
        for number in range(rounds):
            for contestant in contestants if number % 2 == 0 else reversed(contestants):
                turns[contestant.name].append(turn(contestant))
        return turns

    def number(self, who: str, when: str, unit: str, rounds: Sequence[float]) -> None:
        self.numbers.append(Number(self.question, who, when, unit, spread(rounds)))

    def rates(self, key: str, ours: Sequence[float], theirs: Sequence[float]) -> None:
        """How many times as much we get done, out of each side's rate in each round."""
        self._found(key, ratios(ours, theirs), max(ours) / max(theirs))

    def times_faster(self, key: str, ours: Sequence[float], theirs: Sequence[float]) -> None:
        """How many times faster we are, out of each side's time in each round."""
        self._found(key, ratios(theirs, ours), min(theirs) / min(ours))

    def costs(self, key: str, ours: Sequence[float], theirs: Sequence[float]) -> None:
        """What part of their cost is ours, out of each side's cost in each round."""
        self._found(key, ratios(ours, theirs), min(ours) / min(theirs))

    def count(self, key: str, ours: Sequence[float]) -> None:
        """A number of ours that is itself what was aimed at."""
        ratio = spread(ours)
        self._found(key, ratio, min(ours) if self.goals[key].at_most is not None else max(ours))

    def remark(self, text: str) -> None:
        """Something a reader of the results should know."""
        self.remarks.append(text)

    def _found(self, key: str, ratio: Spread, best: float) -> None:
        finding = Finding(self.question, key, list(self.goals).index(key), self.goals[key], ratio, best)
        self.findings.append(finding)
        print(line(finding), flush=True)


def shown(value: float) -> str:
    """A number with as many digits as mean something."""
    if value == 0 or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def between(value: Spread) -> str:
    """The interval, for readers."""
    return f"{shown(value.low)} to {shown(value.high)}"


def verdict(met: bool | None) -> str:
    return "" if met is None else "met" if met else "missed"


WIDTHS = (70, 8, 10, 18)


def line(finding: Finding) -> str:
    """A row of the table that is printed while a run goes on."""
    ratio = finding.ratio
    cells = (finding.goal.says, str(finding.goal), shown(ratio.median), between(ratio))
    return row(*cells) + f"  {verdict(finding.met)}"


def row(*cells: str) -> str:
    first, *others = cells
    sides = (f"{cell:>{width}}" for cell, width in zip(others, WIDTHS[1:], strict=True))
    return f"  {first:<{WIDTHS[0]}}{''.join(sides)}"


def complain(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
