"""Rows with verdicts, as CSV and as JSON lines: written, and read again where a run goes on."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from typing import Any, Final, Protocol

import attrs

from .. import CodecError, Decision, Entitlement, FeatureType, codec
from .rows import BadInput, Lines, Row, TooLong, cleaned

ERROR: Final = "error"
DETAILS: Final = ("reason", "remaining", "value")
UNLIMITED: Final = "unlimited"

_LONGEST_ERROR: Final = 500


@attrs.define
class Tally:
    """What the rows of an output say.

    Attributes:
        rows: How many there are.
        errors: How many of them have an error.
        allowed: How many say yes, by feature.
        denied: How many say no, by feature.
    """

    allowed: dict[str, int]
    denied: dict[str, int]
    rows: int = 0
    errors: int = 0


class Verdicts(Protocol):
    """Writes rows in one format, and reads what it has written."""

    answers: Answers

    def head(self) -> bytes:
        """What stands above the rows."""
        ...

    def line(self, row: Row, answers: dict[str, Any]) -> bytes:
        """One row with its answers."""
        ...

    def records(self, lines: Lines) -> Iterator[tuple[dict[str, Any], int]]:
        """Whole rows of an earlier output, and how many bytes end with each; a torn one ends it.

        Raises:
            BadInput: Its columns are others.
        """
        ...

    def is_of(self, record: dict[str, Any], row: Row) -> bool:
        """Whether a row of the output was made from a row of the input."""
        ...


class Answers:
    """What is said of each row: a column for each feature, and what went wrong.

    Args:
        features: What is asked.
        details: Whether reasons, remainders and values are said too.

    Raises:
        BadInput: Two columns would have the same name.
    """

    def __init__(self, features: Sequence[str], *, details: bool) -> None:
        self.features = tuple(features)
        self.details = details
        parts = ("", *(f"_{each}" for each in DETAILS)) if details else ("",)
        self.names = (*(f"{feature}{part}" for feature in features for part in parts), ERROR)
        twice = next((name for name in self.names if self.names.count(name) > 1), None)
        if twice is not None:
            raise BadInput(f"two columns of the output would be called {twice!r}")

    def clash(self, names: Sequence[str]) -> str | None:
        """A name that the input uses itself."""
        return next((name for name in names if name in self.names), None)

    def tally(self) -> Tally:
        """A tally of nothing yet."""
        return Tally(dict.fromkeys(self.features, 0), dict.fromkeys(self.features, 0))

    def count(self, tally: Tally, record: dict[str, Any]) -> None:
        """Count a row, just made or read again."""
        tally.rows += 1
        tally.errors += bool(record[ERROR])
        for feature in self.features:
            tally.allowed[feature] += record[feature] is True or record[feature] == "true"
            tally.denied[feature] += record[feature] is False or record[feature] == "false"

    def of(self, row: Row, decisions: Sequence[Decision]) -> dict[str, Any]:
        """The answers for a row, by column."""
        answers: dict[str, Any] = dict.fromkeys(self.names)
        if row.problem is not None:
            answers[ERROR] = row.problem
            return answers
        errors: dict[str, list[str]] = {}
        for decision in decisions:
            feature = decision.feature_id
            if decision.error is not None:
                errors.setdefault(_sentence(decision.error), []).append(feature)
                continue
            answers[feature] = decision.allowed
            if self.details:
                answers[f"{feature}_reason"] = decision.reason.value
                answers[f"{feature}_remaining"] = remaining(decision.entitlement)
                answers[f"{feature}_value"] = value(decision.entitlement)
        if errors:
            everywhere = len(errors) == 1 and len(*errors.values()) == len(self.features)
            answers[ERROR] = "; ".join(
                text if everywhere else f"{', '.join(features)}: {text}" for text, features in errors.items()
            )
        return answers


class CsvVerdicts:
    """Verdicts as CSV: true, false, or nothing where nobody knows.

    Attributes:
        answers: What is said of each row.
        narrowed: How many rows had fields for which there is no column.
    """

    def __init__(self, answers: Answers, names: Sequence[str], delimiter: str) -> None:
        self.answers = answers
        self.narrowed = 0
        self._names = tuple(names)
        self._delimiter = delimiter
        self._sink = _Sink()
        self._writer = csv.writer(self._sink, delimiter=delimiter)

    def head(self) -> bytes:
        """The header."""
        return self._written([*self._names, *self.answers.names])

    def line(self, row: Row, answers: dict[str, Any]) -> bytes:
        """One row with its answers."""
        self.narrowed += row.names is not self._names and not set(row.names) <= set(self._names)
        return self._written([*self._carried(row), *map(_cell, answers.values())])

    def records(self, lines: Lines) -> Iterator[tuple[dict[str, Any], int]]:
        """Whole rows of an earlier output."""
        # strict: a quote that is still open at the end marks a torn row
        reader = csv.reader(_whole(lines), delimiter=self._delimiter, strict=True)
        names = [*self._names, *self.answers.names]
        try:
            head = next(reader, None)
            if head is not None and head != names:
                raise BadInput("the columns differ")
            for cells in reader:
                if len(cells) != len(names):
                    return
                # names of the input may repeat, those of the answers do not
                record: dict[str, Any] = dict(zip(self.answers.names, cells[len(self._names) :], strict=True))
                record[""] = cells[: len(self._names)]
                yield record, lines.consumed
        except (csv.Error, TooLong):
            return

    def is_of(self, record: dict[str, Any], row: Row) -> bool:
        """Whether it carries the same cells."""
        return bool(record[""] == self._carried(row))

    def _carried(self, row: Row) -> list[str]:
        if row.names is self._names:
            return [_cell(cell) for cell in row.cells]
        given = dict(zip(row.names, row.cells, strict=True))
        return [_cell(given.get(name)) for name in self._names]

    def _written(self, cells: list[str]) -> bytes:
        self._writer.writerow(cells)
        return f"{self._sink.line[:-2]}\n".encode("utf-8", "surrogateescape")


class _Sink:
    """Where the writer puts its lines.

    They end in CR LF for the writer, since older Pythons quote only characters that end its lines.
    """

    line = ""

    def write(self, line: str) -> None:
        self.line = line


class JsonVerdicts:
    """Verdicts as JSON lines: true, false, or null where nobody knows."""

    def __init__(self, answers: Answers) -> None:
        self.answers = answers

    def head(self) -> bytes:
        """Nothing."""
        return b""

    def line(self, row: Row, answers: dict[str, Any]) -> bytes:
        """One row with its answers."""
        carried = self._carried(row)
        # a row in which an answer has no place, as its name is taken, comes back as it was, with an error
        own = {name: cell for name, cell in carried.items() if name in answers and name != ERROR}
        return codec.encode({**carried, **answers, **own}) + b"\n"

    def records(self, lines: Lines) -> Iterator[tuple[dict[str, Any], int]]:
        """Whole rows of an earlier output."""
        try:
            for text in _whole(lines):
                record = codec.decode(text.encode("utf-8", "surrogateescape"))
                if not isinstance(record, dict) or not set(self.answers.names) <= set(record):
                    return
                yield record, lines.consumed
        except (CodecError, TooLong):
            return

    def is_of(self, record: dict[str, Any], row: Row) -> bool:
        """Whether it carries the same fields."""
        carried = self._carried(row)
        same = all(record.get(name) == each for name, each in carried.items() if name != ERROR)
        return same and set(record) == {*carried, *self.answers.names}

    def _carried(self, row: Row) -> dict[str, Any]:
        return {cleaned(name): cleaned(cell) for name, cell in zip(row.names, row.cells, strict=True)}


def remaining(granted: Entitlement | None) -> int | str | None:
    """Units of a meter that are left."""
    if granted is None:
        return None
    return UNLIMITED if granted.unlimited else granted.remaining


def value(granted: Entitlement | None) -> int | None:
    """The value of a value feature; the limit of a meter is none."""
    is_value = granted is not None and granted.feature_type == FeatureType.CUSTOMIZABLE
    return granted.value if granted is not None and is_value else None


def _whole(lines: Lines) -> Iterator[str]:
    """Lines that were written to their end."""
    for line in lines:
        if not line.endswith(b"\n"):
            return
        yield line.decode("utf-8", "surrogateescape")


def _cell(value: Any) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return codec.encode(value).decode() if isinstance(value, dict | list) else str(value)


def _sentence(error: Exception) -> str:
    text = cleaned(" ".join(str(error).split()))
    return text if len(text) <= _LONGEST_ERROR else f"{text[: _LONGEST_ERROR - 1]}…"
