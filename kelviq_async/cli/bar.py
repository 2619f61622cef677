"""How far a list is: a bar on a terminal, and a plain line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections import deque
from types import TracebackType
from typing import Final, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Column

EVERY: Final = 30.0
"""Seconds between two plain lines."""
_NARROW: Final = Column(no_wrap=True, overflow="ellipsis", max_width=24)
_WINDOW: Final = 10.0
"""Seconds over which the rate is taken."""


class Bar:
    """Shows rows, their rate, and the time left, which is told from how much of the input is read.

    Args:
        label: What is worked on.
        size: Bytes of the input, or None where nobody knows.
        rows: How many rows were there before.
        read: How many bytes of the input they had.
        visible: Whether there may be a bar at all, as one would tear what is shown on the same terminal.
    """

    def __init__(self, label: str, size: int | None, rows: int, read: int, *, visible: bool) -> None:
        console = Console(stderr=True)
        self._drawn = visible and console.is_terminal
        self._plain = not console.is_terminal and sys.stderr is not None
        self._label = label
        self._size = size
        self._seen = deque([(time.monotonic(), rows)])
        self._told = time.monotonic()
        columns = (
            TextColumn("{task.description}", markup=False, table_column=_NARROW),
            BarColumn(bar_width=20),
            TaskProgressColumn(),
            TextColumn("{task.fields[rows]:,} rows"),
            TextColumn("{task.fields[rate]:,.0f}/s"),
            TimeRemainingColumn(compact=True),
        )
        # not as wide as the terminal: a ^C would go to the next line, and the bar could not be taken away
        self._progress = Progress(*columns, console=console, transient=True, disable=not self._drawn)
        self._task = self._progress.add_task(label, total=size, completed=read, rows=rows, rate=0.0)

    def show(self, rows: int, read: int) -> None:
        """Say how far it is.

        Args:
            rows: How many rows are written.
            read: How many bytes of the input they had.
        """
        now = time.monotonic()
        self._seen.append((now, rows))
        while len(self._seen) > 2 and now - self._seen[0][0] > _WINDOW:
            self._seen.popleft()
        since, before = self._seen[0]
        rate = (rows - before) / max(now - since, 1e-3)
        self._progress.update(self._task, completed=read, rows=rows, rate=rate)
        if self._plain and now - self._told >= EVERY:
            self._told = now
            share = f", {read / self._size:.0%}" if self._size else ""
            print(f"{self._label}: {rows:,} rows{share}, {rate:,.0f}/s", file=sys.stderr, flush=True)

    def __enter__(self) -> Self:
        """Draw it."""
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take it away."""
        self._progress.stop()
