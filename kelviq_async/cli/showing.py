"""Answers for reading: tables that fit the terminal, names with values, or JSON."""

from __future__ import annotations

import re
from typing import Any, Final

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table

from .. import Page, codec

FIRST: Final = (
    "id", "orderId", "identifier", "customerId", "featureId", "name", "plan", "status",
    "hasAccess", "type", "featureType", "amount", "amountTotal", "currency", "saleCurrency", "customer",
    "currentUsage", "usageLimit", "remaining", "email", "startDate", "createdOn",
)  # fmt: skip
"""The columns that people look for, where there is no room for all."""
LONGEST: Final = 64
_NAMES: Final = ("identifier", "name", "customerId", "id")
_MOMENT: Final = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d)(:\d\d(\.\d+)?)?(Z|\+00:00)?")


def show(answer: Any) -> None:
    """Print an answer for reading: rows as a table, one thing as names and values."""
    console = Console()
    rows = answer.results if isinstance(answer, Page) else answer
    if isinstance(rows, list):
        _show_rows(console, codec.dump(rows))
        if isinstance(answer, Page) and answer.count is not None:
            console.print(f"{len(rows)} of {answer.count:,}", style="dim", highlight=False)
        return
    data = codec.dump(answer)
    if not isinstance(data, dict) or not data:
        console.print("Done." if not data else cell(data), highlight=False)
        return
    lists = {name: value for name, value in data.items() if _is_rows(value)}
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in data.items():
        if name not in lists:
            table.add_row(name, cell(value))
    console.print(table)
    for name, value in lists.items():
        console.print(f"\n{name}", style="bold")
        _show_rows(console, value)


def _is_rows(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, dict) for each in value)


def _show_rows(console: Console, rows: list[dict[str, Any]]) -> None:
    if not rows:
        console.print("Nothing.", style="dim")
        return
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = {name: [cell(row.get(name), inside=True) for row in rows] for name in names}
    table = Table(header_style="bold")
    chosen = _fitting(columns, console.width)
    for name in chosen:
        table.add_column(name, overflow="ellipsis", no_wrap=True)
    for index in range(len(rows)):
        table.add_row(*(columns[name][index] for name in chosen))
    console.print(table, highlight=False)
    hidden = [name for name, cells in columns.items() if name not in chosen and set(cells) != {"-"}]
    if hidden:
        console.print(f"also: {', '.join(hidden)} (--json)", style="dim", highlight=False)


def _fitting(columns: dict[str, list[str]], width: int) -> list[str]:
    """The columns that fit side by side, those that people look for before others."""
    wanted = sorted(columns, key=lambda name: FIRST.index(name) if name in FIRST else len(FIRST))
    chosen: list[str] = []
    for name in wanted:
        needed = max(cell_len(text) for text in (name, *columns[name])) + 3
        if set(columns[name]) == {"-"} or (chosen and needed >= width):
            continue
        chosen.append(name)
        width -= needed
    return [name for name in columns if name in chosen] or wanted[:1]


def cell(value: Any, *, inside: bool = False) -> str:
    """A value as text.

    Args:
        value: Plain JSON data.
        inside: Whether it stands in a table, where there is room for the most telling part only.
    """
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict | list):
        name = (
            next((value[name] for name in _NAMES if value.get(name)), None)
            if isinstance(value, dict)
            else None
        )
        text = str(name) if inside and name is not None else as_json(value, indent=None)
        text = "-" if inside and not value else text
    else:
        text = str(value)
    if not inside:
        return text
    moment = _MOMENT.fullmatch(text)
    if moment:
        return f"{moment[1]} {moment[2]}"
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def as_json(data: Any, indent: int | None = 2) -> str:
    """Plain data as JSON text; money that Kelviq sends as a number stays one, to the last digit."""
    return codec.indented(data, indent or 0)
