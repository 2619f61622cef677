"""How generated code is laid out: calls, docstrings and imports, no line longer than need be."""

from __future__ import annotations

import re
import textwrap
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Final

from ._found import Origin

WIDTH: Final = 110


def wrapped(head: str, parts: Sequence[str], tail: str) -> list[str]:
    """``head``, parts and ``tail`` on one line, with the parts on a line of their own, or each on one."""
    line = f"{head}{', '.join(parts)}{tail}"
    if len(line) <= WIDTH:
        return [line]
    indent = " " * (len(head) - len(head.lstrip()))
    inner = f"{indent}    {', '.join(parts)}"
    if len(inner) <= WIDTH and not any(part.startswith("*") for part in parts):
        return [head, inner, f"{indent}{tail}"]
    return [head, *(f"{indent}    {part}," for part in parts), f"{indent}{tail}"]


def nested(outer: str, inner: str, parts: Sequence[str]) -> list[str]:
    """A call in a call."""
    line = f"{outer}{inner}{', '.join(parts)}))"
    if len(line) <= WIDTH:
        return [line]
    indent = " " * (len(outer) - len(outer.lstrip()))
    return [outer, *wrapped(f"{indent}    {inner}", parts, ")"), f"{indent})"]


def over(outer: str, source: str, inner: str, parts: Sequence[str]) -> list[str]:
    """A call whose second argument is a call."""
    lines = wrapped(outer, [source, f"{inner}{', '.join(parts)})"], ")")
    if max(map(len, lines)) <= WIDTH:
        return lines
    head, first, *_, tail = lines
    indent = " " * (len(first) - len(first.lstrip()))
    return [head, first, *wrapped(f"{indent}{inner}", parts, "),"), tail]


def fitted(text: str, width: int) -> Iterable[str]:
    """The lines of a docstring; those that are too long go on below."""
    for line in text.splitlines():
        indent = len(line) - len(line.lstrip())
        deeper = 4 if indent == 4 and re.match(r" {4}[\w*, ]+: ", line) else 0  # an argument and its text
        yield from textwrap.wrap(
            line,
            width,
            subsequent_indent=" " * (indent + deeper),
            break_long_words=False,
            break_on_hyphens=False,
        ) or [""]


def imported(names: dict[str, Origin], indent: str = "") -> list[str]:
    """Import statements, one for each module."""
    by_module: defaultdict[str, list[str]] = defaultdict(list)
    for name, origin in names.items():
        if origin.name:
            by_module[origin.module].append(name if name == origin.name else f"{origin.name} as {name}")
    whole = {name: origin.module for name, origin in names.items() if not origin.name}
    lines = [
        f"{indent}import {module}" + (f" as {name}" if name != module else "")
        for name, module in sorted(whole.items(), key=lambda pair: pair[1])
    ]
    for module, parts in sorted(by_module.items()):
        line = f"{indent}from {module} import {', '.join(sorted(parts, key=_rank))}"
        if len(line) <= WIDTH:
            lines.append(line)
        else:
            each = (f"{indent}    {part}," for part in sorted(parts, key=_rank))
            lines += [f"{indent}from {module} import (", *each, f"{indent})"]
    return lines


def _rank(name: str) -> tuple[int, str]:
    """As isort sorts: constants, then classes, then the rest."""
    return (0 if name.isupper() and len(name) > 1 else 1 if name[0].isupper() else 2), name.lower()


def sections(names: dict[str, Origin], indent: str = "") -> list[str]:
    """Import statements with the standard library's before ours."""
    ours = {name: origin for name, origin in names.items() if origin.module.startswith("kelviq_")}
    others = {name: origin for name, origin in names.items() if name not in ours}
    first, second = imported(others, indent), imported(ours, indent)
    return [*first, *([""] if first and second else []), *second]
