"""Rows out of CSV files and JSON lines, one at a time, from files and pipes of any length."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from itertools import chain, islice
from typing import Any, Final

import attrs

from .. import CodecError, codec

FORMATS: Final = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"}
COLUMNS: Final = ("customer_id", "customerId", "id")
"""Where customer ids are looked for, before the first column is taken."""
LONGEST: Final = 2**20
"""Bytes of a line; what is longer is no customer."""

_PIECE: Final = 2**16
_BOM: Final = b"\xef\xbb\xbf"
_QUOTED: Final = re.compile(r'"[^"]*"?')
_HALF: Final = re.compile("[\ud800-\udfff]")


class BadInput(ValueError):
    """What was given cannot be used at all; the message says why."""


class TooLong(ValueError):
    """One line cannot be read; the next one can."""


@attrs.define
class Row:
    """One customer of a list.

    Attributes:
        names: What its cells are called.
        cells: What is in them: texts out of CSV, plain data out of JSON.
        customer_id: Whom it is about; empty where nobody can be asked about.
        end: How many bytes of the input end with it.
        problem: What is wrong with it, or None.
    """

    names: tuple[str, ...]
    cells: list[Any]
    customer_id: str
    end: int
    problem: str | None = None


class Lines:
    """The lines of a file or a pipe as bytes, with one piece of it in memory.

    Args:
        file: The file.
        longest: Bytes of the longest line that is read; for one that is longer, ``TooLong`` is raised.

    Attributes:
        consumed: How many bytes the lines so far have had.
        number: How many lines there have been.
    """

    def __init__(self, file: io.RawIOBase, longest: int = LONGEST) -> None:
        self.consumed = 0
        self.number = 0
        self._file = file
        self._longest = longest
        self._buffer = b""
        self._at = 0

    @property
    def at_hand(self) -> bool:
        """Whether the next line can be had without reading on, which may mean to wait."""
        return self._buffer.find(b"\n", self._at) >= 0

    def looks_like_json(self) -> bool:
        """Whether the first thing in it opens a JSON object; waits for the first piece."""
        while not self._buffer.removeprefix(_BOM).strip():
            piece = self._piece()
            if not piece or len(self._buffer) > self._longest:
                return False
            self._buffer += piece
        return self._buffer.removeprefix(_BOM).lstrip().startswith(b"{")

    def __iter__(self) -> Iterator[bytes]:
        """Itself."""
        return self

    def __next__(self) -> bytes:
        """The next line, with its end if it has one."""
        too_long = False
        while True:
            end = self._buffer.find(b"\n", self._at) + 1
            if end:
                line = self._taken(end)
                break
            if len(self._buffer) - self._at > self._longest:
                too_long = True
                self._taken(len(self._buffer))
            piece = self._piece()
            if not piece:
                line = self._taken(len(self._buffer))
                break
            self._buffer, self._at = self._buffer[self._at :] + piece, 0
        if not line and not too_long:
            raise StopIteration
        self.number += 1
        if too_long:
            raise TooLong(f"it is longer than {self._longest:,} bytes")
        return line

    def _piece(self) -> bytes | None:
        try:
            return self._file.read(_PIECE)
        except OSError as error:
            raise BadInput(f"the input cannot be read: {error.strerror or error}") from None

    def _taken(self, end: int) -> bytes:
        line = self._buffer[self._at : end]
        self._at = end
        self.consumed += len(line)
        return line


class CsvRows:
    """Rows of a CSV file.

    Args:
        lines: The lines of the file.
        column: Where the customer ids are, or None to find out.
        header: Whether the first line names the columns.

    Attributes:
        column: Where the customer ids are.
        chosen: Why there.
        names: Names of the columns, where all rows have the same.
        seen: Names of what the first row has.
        delimiter: What stands between the cells of a line.
        lines: The lines that the rows are made of.

    Raises:
        BadInput: It is no CSV, or the column is not there.
    """

    def __init__(self, lines: Lines, column: str | None, *, header: bool = True) -> None:
        self.lines = lines
        self._over = False
        try:
            first = next(self.lines, b"").removeprefix(_BOM)
            if first.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in first:
                raise BadInput("it is not UTF-8; save it as CSV in UTF-8")
            text = _text(first)
            self.delimiter = _delimiter(text)
            # bytes that are no UTF-8 are carried over as they came
            texts = chain([text], self._texts())
            # strict: a stray quote would otherwise swallow the rows up to the next one
            self._reader: Iterator[list[str]] = csv.reader(texts, delimiter=self.delimiter, strict=True)
            head = next((cells for cells in self._reader if cells), None)
        except (csv.Error, TooLong) as error:
            problem = "a quote that opens there never closes" if self._over else str(error)
            raise BadInput(f"its first line cannot be read: {problem}") from None
        if head is None:
            raise BadInput("it is empty: there is not even a header")
        self.names = tuple(head) if header else _numbered(len(head))
        self.seen = self.names
        self._first = None if header else head
        self.column: str | None
        self.column, self.chosen = _chosen(self.names, column)
        self._index = self.names.index(self.column)

    def _texts(self) -> Iterator[str]:
        yield from map(_text, self.lines)
        self._over = True

    def __iter__(self) -> Iterator[Row]:
        """Itself."""
        return self

    def __next__(self) -> Row:
        """The next row; one that cannot be read says so itself."""
        cells: list[str] = []
        began = self.lines.number
        if self._first is not None:
            cells, self._first = self._first, None
        try:
            while not cells:  # a blank line is nobody
                began = self.lines.number
                cells = next(self._reader)
        except (csv.Error, TooLong) as error:
            problem = f"lines {began + 1:,} to {self.lines.number:,} cannot be read: {error}"
            if self._over:  # only a quote that is still open makes the reader ask for what is not there
                problem = f"a quote that opens in line {began + 1:,} never closes"
            return Row(self.names, [""] * len(self.names), "", self.lines.consumed, problem)
        row = Row(self.names, cells, "", self.lines.consumed)
        more = len(cells) - len(self.names)
        if more > 0:
            # nobody can tell which cell is one too many, so nobody knows whose row this is
            row.problem = f"line {self.lines.number:,} has {len(cells)} cells, the header {len(self.names)}"
            del cells[len(self.names) :]
        else:
            cells += [""] * -more
            row.customer_id = cells[self._index]
        return row


class JsonRows:
    """Rows of JSON lines: an object on each, or just an id.

    Args:
        lines: The lines of the file.
        column: Where the customer ids are, or None to find out.

    Attributes:
        column: Where the customer ids are; None where there is no row to tell.
        chosen: Why there.
        names: None, as each row has names of its own.
        seen: Names of what the first readable row has.
        delimiter: What would stand between cells.
        lines: The lines that the rows are made of.

    Raises:
        BadInput: The column is not there.
    """

    delimiter = ","
    names = None

    def __init__(self, lines: Lines, column: str | None) -> None:
        self.seen: tuple[str, ...] = ()
        self.lines = lines
        self.column = column
        self.chosen = "as you said"
        # read ahead to the row that tells where the ids are, so that this can be said before work begins
        self._ahead: list[Row] = []
        for row in islice(iter(self._read, None), 1000):
            self._ahead.append(row)
            if row.names:
                self.seen = row.names
                break
        self._ahead.reverse()
        if column is not None and self.seen and column not in self.seen:
            raise BadInput(f"its first row has no field {column!r}; it has {_listed(self.seen)}")

    def __iter__(self) -> Iterator[Row]:
        """Itself."""
        return self

    def __next__(self) -> Row:
        """The next row; one that cannot be read says so itself."""
        row = self._ahead.pop() if self._ahead else self._read()
        if row is None:
            raise StopIteration
        return row

    def _read(self) -> Row | None:
        line = b""
        try:
            while not line:
                line = next(self.lines).strip()
                if self.lines.number == 1:
                    line = line.removeprefix(_BOM)
            data = _decoded(line)
            came = {self.column or COLUMNS[0]: data} if isinstance(data, str) else data
            data = _sayable(came)
        except StopIteration:
            return None
        except (CodecError, TooLong, RecursionError) as error:
            problem = f"line {self.lines.number:,} cannot be read: {error}"
            return Row((), [], "", self.lines.consumed, problem)
        names = tuple(data)
        if self.column is None and names:
            self.column, self.chosen = _chosen(names, None)
        row = Row(names, list(data.values()), "", self.lines.consumed)
        given = data.get(self.column or "")
        if isinstance(given, str) and data is not came:
            # as it came: without halves of characters it would be somebody else's
            given = next(each for name, each in reversed(came.items()) if cleaned(name) == self.column)
        if isinstance(given, str):
            row.customer_id = given
        elif isinstance(given, int) and not isinstance(given, bool):
            row.customer_id = str(given)
        else:
            row.problem = f"line {self.lines.number:,} has no text in {self.column!r}"
        return row


Rows = CsvRows | JsonRows


def at_hand(rows: Rows, most: int = 1000) -> list[Row]:
    """The next row, and those that can be had without waiting; empty at the end."""
    taken = list(islice(rows, 1))
    while taken and len(taken) < most and rows.lines.at_hand:
        taken += islice(rows, 1)
    return taken


def cleaned(value: Any) -> Any:
    """The same without halves of characters, which no JSON text can hold."""
    if isinstance(value, str):
        return value if value.isascii() else _HALF.sub("\ufffd", value)
    if isinstance(value, dict):
        return {cleaned(name): cleaned(each) for name, each in value.items()}
    return [cleaned(each) for each in value] if isinstance(value, list) else value


def _decoded(line: bytes) -> Any:
    try:
        return codec.decode(line)
    except CodecError:
        raise CodecError("it is no JSON") from None


def _sayable(data: Any) -> dict[str, Any]:
    """Data that can also be written.

    Raises:
        CodecError: It is no object, or cannot be written whatever one does.
    """
    if not isinstance(data, dict):
        raise CodecError("it is no object")
    said: dict[str, Any] = data
    try:
        codec.encode(said)
    except CodecError:
        said = cleaned(said)
        codec.encode(said)
    return said


def _text(line: bytes) -> str:
    return line.decode("utf-8", "surrogateescape")


def _delimiter(line: str) -> str:
    """A comma, or what spreadsheets of other languages put in its place."""
    bare = _QUOTED.sub("", line)
    return "," if "," in bare else max(",;\t", key=bare.count)


def _numbered(count: int) -> tuple[str, ...]:
    """Names for columns that have none."""
    return (COLUMNS[0], *(f"column_{number}" for number in range(2, count + 1)))


def _chosen(names: tuple[str, ...], wanted: str | None) -> tuple[str, str]:
    """The column with the customer ids, and why it is this one.

    Raises:
        BadInput: The one that was asked for is not there, or is there twice.
    """
    if wanted is not None and wanted not in names:
        raise BadInput(f"there is no column {wanted!r}; there is {_listed(names)}")
    known = next((name for name in COLUMNS if name in names), None)
    column = wanted or known or names[0]
    if names.count(column) > 1:
        raise BadInput(f"the column {column!r} is there twice")
    if wanted is not None:
        return column, "as you said"
    if known is not None:
        return column, "by its name"
    return column, "the only one" if len(names) == 1 else "the first one; --column takes another"


def _listed(names: tuple[str, ...]) -> str:
    shown = ", ".join(map(repr, names[:10]))
    return f"{shown}, ..." if len(names) > 10 else shown
