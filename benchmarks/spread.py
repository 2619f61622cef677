"""Medians with intervals, out of few and noisy rounds."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

RESAMPLES = 2000


@dataclass(frozen=True)
class Spread:
    """The median of some rounds, and between what it lies with 95 % probability, by bootstrap."""

    median: float
    low: float
    high: float
    rounds: tuple[float, ...]

    def plain(self) -> dict[str, Any]:
        return asdict(self)


def spread(rounds: Sequence[float]) -> Spread:
    values = tuple(rounds)
    chance = random.Random(7)  # noqa: S311  the same rounds have the same interval
    medians = sorted(median(chance.choices(values, k=len(values))) for _ in range(RESAMPLES))
    edge = RESAMPLES * 25 // 1000
    return Spread(median(values), medians[edge], medians[-edge - 1], values)


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> Spread:
    """How ours relates to theirs, round by round: what slowed one round down slowed both."""
    return spread([mine / other for mine, other in zip(ours, theirs, strict=True)])
