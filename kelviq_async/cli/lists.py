"""Whole lists of customers: rows in, verdicts out, in the same order and in flat memory."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import stat
import sys
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NoReturn, TypeVar

import attrs

from .. import (
    CachePolicy,
    ConfigError,
    Decision,
    Forbidden,
    InvalidRequest,
    Kelviq,
    KelviqError,
    Limits,
    Lookup,
    Reason,
    Unauthorized,
    UnknownCustomer,
)
from ..config import checked_seconds
from ..entitlements.checker import checked
from ..entitlements.decisions import decide
from .bar import Bar
from .partial import Destination, PartFile, Refused, Straight, standard_output
from .rows import FORMATS, LONGEST, BadInput, CsvRows, JsonRows, Lines, Row, Rows, at_hand
from .stopping import on_signals
from .verdicts import Answers, CsvVerdicts, JsonVerdicts, Verdicts

STREAM: Final = "-"
TIMEOUT: Final = 60.0
"""Seconds for one customer, pauses that Kelviq asks for included."""

REMEMBERED: Final = CachePolicy(fresh=60, denied=60, revalidate=0, max_stale=60, max_customers=10_000)
"""A customer that a list names again soon costs no second call."""

T = TypeVar("T")


@attrs.frozen(kw_only=True)
class Job:
    """What is asked of a list.

    Attributes:
        input: Path of the list, or ``-``.
        output: Path of the result, or ``-``.
        features: What to ask about each customer.
        column: Where the customer ids are, or None to find out.
        format: The format of what has no telling name.
        header: Whether the first line of a CSV names its columns.
        details: Whether reasons, remainders and values are written too.
        concurrency: How many customers are asked about at once.
        deadline: Seconds for all of it.
        force: Whether an output that is there may be replaced.
        restart: Whether what an earlier run has left half done is dropped.
        production: Whether to talk to production.
    """

    input: str
    output: str
    features: Sequence[str]
    column: str | None = None
    format: str | None = None
    header: bool = True
    details: bool = False
    concurrency: int = 50
    deadline: float | None = None
    force: bool = False
    restart: bool = False
    production: bool = False


def run(job: Job) -> NoReturn:
    """Do it, and end with 0, 2 where a row or all of it failed, and 130 where somebody stopped it."""
    try:
        with contextlib.ExitStack() as ends:
            code = _run(job, ends)
    except (KelviqError, BadInput, Refused) as error:
        _fail(str(error))
    raise SystemExit(code)


def _run(job: Job, ends: contextlib.ExitStack) -> int:
    _check(job)
    kelviq = Kelviq.from_env(
        cache=REMEMBERED,
        timeout=TIMEOUT,
        # calls that wait for a connection are overtaken by newer ones, and hold up all rows behind theirs
        limits=Limits(connections=max(Limits().connections, job.concurrency)),
        **({"environment": "production"} if job.production else {}),
    )
    told = _told_formats(job)
    answers = Answers(job.features, details=job.details)
    file, size = _opened(job.input)
    ends.callback(file.close)
    destination = _destination(job)
    ends.callback(destination.leave)
    rows, format = _rows(job, Lines(file), told[0])
    formats = format, told[1] or format
    verdicts = _verdicts(answers, rows, formats[1])
    work = _Work(job, kelviq, rows=rows, size=size, verdicts=verdicts, destination=destination)
    try:
        work.begin({**_connection(kelviq), **_choices(job, rows, formats)})
        return asyncio.run(work.run())
    except BrokenPipeError:  # nobody reads on
        raise
    except OSError as error:
        on = "; the same command goes on once it can" if destination.resumable else ""
        raise Refused(f"{destination.name} cannot be written: {error.strerror or error}{on}") from None


class _Work:
    """A list on its way."""

    def __init__(
        self,
        job: Job,
        kelviq: Kelviq,
        *,
        rows: Rows,
        size: int | None,
        verdicts: Verdicts,
        destination: Destination,
    ) -> None:
        self._kelviq = kelviq
        self._job = job
        self._rows = rows
        self._verdicts = verdicts
        self._destination = destination
        self._size = size
        self._tally = verdicts.answers.tally()
        self._asked = 0
        self._unknown = 0
        self._read = 0
        self._waiting: deque[Row] = deque()

    def begin(self, made_of: dict[str, Any]) -> None:
        """Say where the ids are, and pass over the rows that an earlier run has written."""
        rows = self._rows
        if rows.column is not None:
            _say(f"{_called(self._job.input)}: customer ids are in {rows.column!r} ({rows.chosen})")
        done = self._destination.begin(self._verdicts.head(), made_of, self._passed)
        if done:
            _say(f"{self._destination.name}: going on after {_rows_of(done)} of an earlier run")

    async def run(self) -> int:
        """Write the rest, until it is done, late, or stopped."""
        over = on_signals()
        started = time.monotonic()
        label, visible = _called(self._job.input), not self._destination.is_terminal
        with Bar(label, self._size, self._tally.rows, self._read, visible=visible) as bar:
            async with self._kelviq:
                writing = asyncio.create_task(self._write(bar))
                stopping = asyncio.create_task(over.wait())
                try:
                    await asyncio.wait(
                        {writing, stopping},
                        timeout=self._job.deadline,
                        return_when=asyncio.FIRST_COMPLETED,
                    )
                finally:
                    stopping.cancel()
                    finished = writing.done()
                    writing.cancel()
                    await asyncio.wait({writing})
        if not finished:
            reason = "stopped" if over.is_set() else "the deadline is over"
            self._report(time.monotonic() - started, reason)
            return 130 if over.is_set() else 2
        try:
            writing.result()
        except (KelviqError, BadInput) as error:
            self._report(time.monotonic() - started, str(error))
            return 2
        self._destination.finish()
        self._report(time.monotonic() - started, None)
        return 2 if self._tally.errors else 0

    async def _write(self, bar: Bar) -> None:
        """Ask about many rows at once, and write each as soon as those before it are written."""
        ids = self._ids() if self._size is not None else self._ids_as_they_come()
        lookups = self._kelviq.entitlements.get_many(ids, concurrency=self._job.concurrency, ordered=True)
        async with lookups:
            while chunk := await lookups.chunk():
                lines: list[bytes] = []
                try:
                    for found in chunk:
                        lines.append(self._line(self._waiting.popleft(), found))  # noqa: PERF401  kept if one fails
                finally:
                    if lines:
                        self._destination.write(b"".join(lines))
                bar.show(self._tally.rows, self._read)

    def _line(self, row: Row, found: Lookup) -> bytes:
        if row.problem is None and isinstance(found.error, Unauthorized | Forbidden | ConfigError):
            raise found.error  # it is about our key, and so about every row
        decisions = [_decision(found, feature) for feature in self._job.features]
        record = self._verdicts.answers.of(row, decisions)
        line = self._verdicts.line(row, record)
        self._verdicts.answers.count(self._tally, record)
        self._unknown += isinstance(found.error, UnknownCustomer)
        self._asked += 1
        self._read = row.end
        return line

    def _ids(self) -> Iterator[str]:
        """An id for each row, also for one that cannot be asked about: it keeps its place."""
        for row in self._rows:
            self._await(row)
            yield row.customer_id

    async def _ids_as_they_come(self) -> AsyncIterator[str]:
        """The same from a pipe, where the next row may be a long time coming."""
        while rows := await _beside(lambda: at_hand(self._rows)):
            for row in rows:
                self._await(row)
                yield row.customer_id

    def _await(self, row: Row) -> None:
        self._judge(row)
        self._waiting.append(row)

    def _judge(self, row: Row) -> None:
        """Find what is wrong with a row before anybody is asked."""
        clash = self._verdicts.answers.clash(row.names) if self._rows.names is None else None
        if clash is not None and row.problem is None:
            row.problem = f"the row has a field {clash!r} of its own"
        if row.problem is not None:
            row.customer_id = ""

    def _passed(self, earlier: io.RawIOBase) -> tuple[int, int]:
        """Compare an earlier output with the input, row by row.

        Raises:
            Refused: They are not of each other.
        """
        end = 0
        differs = None
        try:
            for record, record_end in self._verdicts.records(Lines(earlier, 10 * LONGEST)):
                row = next(self._rows, None)
                if row is None or not self._verdicts.is_of(record, row):
                    differs = f"row {self._tally.rows + 1:,} differs"
                    break
                self._verdicts.answers.count(self._tally, record)
                self._read, end = row.end, record_end
        except BadInput as error:
            differs = str(error)
        if differs is not None:
            raise Refused(
                f"{self._destination.name}.part was made of another input: {differs}; "
                "--restart drops it and starts over"
            )
        return self._tally.rows, end

    def _report(self, seconds: float, problem: str | None) -> None:
        """Say what came of it."""
        tally, name = self._tally, self._destination.name
        if problem is not None:
            on = "; the same command goes on from there" if self._destination.resumable and tally.rows else ""
            _say(f"{problem}: {_rows_of(tally.rows)} written{on}")
            return
        rate = f" in {seconds:,.1f} s, {self._asked / max(seconds, 1e-3):,.0f}/s" if self._asked else ""
        _say(f"{name}: {_rows_of(tally.rows)}{rate}")
        for feature in self._job.features:
            yes, no = tally.allowed[feature], tally.denied[feature]
            nobody = tally.rows - yes - no
            failed = f", {nobody:,} nobody knows" if nobody else ""
            _say(f"  {feature}: {yes:,} yes, {no:,} no{failed}")
        if self._unknown:
            _say(f"  Kelviq does not know {self._unknown:,} of the customers asked about; their answer is no")
        if tally.errors:
            _say(f"  {_rows_of(tally.errors)} with an error: see the column 'error'")
        if getattr(self._verdicts, "narrowed", 0):
            _say("  some rows had fields that the first one has not, and CSV has no column for them")


def _decision(found: Lookup, feature_id: str) -> Decision:
    """What the answer about a customer says about one feature; what nobody knows is its error."""
    if found.error is not None and not isinstance(found.error, UnknownCustomer):
        return Decision(found.customer_id, feature_id, False, Reason.FAILED, error=found.error)
    try:
        return decide(found.customer_id, feature_id, found.entitlements)
    except KelviqError as error:
        return Decision(found.customer_id, feature_id, False, Reason.FAILED, error=error)


async def _beside(work: Callable[[], T]) -> T:
    """What a function gives, on a thread that nobody waits for at the end: it may wait for a pipe."""
    loop = asyncio.get_running_loop()
    result: asyncio.Future[T] = loop.create_future()

    def settle(value: Any, error: BaseException | None) -> None:
        if not result.done():
            result.set_result(value) if error is None else result.set_exception(error)

    def done() -> None:
        value, error = None, None
        try:
            value = work()
        except BaseException as raised:  # noqa: BLE001  it is raised where the result is awaited
            error = raised
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, value, error)

    threading.Thread(target=done, daemon=True).start()
    return await result


def _check(job: Job) -> None:
    """Refuse what cannot be, before anything is opened."""
    if not job.features:
        raise InvalidRequest("--features names no feature")
    for feature in job.features:
        checked("unused", feature)
    if len(set(job.features)) < len(job.features):
        raise InvalidRequest("--features names one twice")
    if job.concurrency < 1:
        raise InvalidRequest("--concurrency must be at least 1")
    checked_seconds(job.deadline, "--deadline")
    written = (Path(f"{Path(job.output).resolve()}{end}") for end in ("", ".part", ".part.json"))
    if STREAM not in {job.input, job.output} and Path(job.input).resolve() in written:
        raise BadInput("--input and --output are the same file")


def _told_formats(job: Job) -> tuple[str | None, str | None]:
    """Formats of input and output as their names tell, else as was said."""
    told = [FORMATS.get(Path(name).suffix.lower()) for name in (job.input, job.output)]
    if job.format is not None and None not in told:
        raise BadInput("--format is for standard input and output, and for names that end in no known format")
    return told[0] or job.format, told[1] or job.format


def _opened(name: str) -> tuple[io.RawIOBase, int | None]:
    """The input and its size, None for what is no plain file."""
    if name == STREAM and sys.stdin is None:
        raise BadInput("standard input cannot be read: it is closed")
    try:
        file = io.FileIO(sys.stdin.fileno(), closefd=False) if name == STREAM else io.FileIO(name)
        about = os.fstat(file.fileno())
    except OSError as error:
        raise BadInput(f"{_called(name)} cannot be read: {error.strerror or error}") from None
    return file, about.st_size if stat.S_ISREG(about.st_mode) else None


def _destination(job: Job) -> Destination:
    if job.output == STREAM:
        return standard_output()
    path = Path(job.output)
    try:
        if path.exists() and not path.is_file() and not path.is_dir():  # a pipe, a device
            return Straight(job.output, path.open("wb"))
    except OSError as error:
        raise Refused(f"{job.output} cannot be written: {error.strerror or error}") from None
    return PartFile(path, force=job.force, restart=job.restart)


def _rows(job: Job, lines: Lines, format: str | None) -> tuple[Rows, str]:
    """The rows and their format, which the first of them shows where nobody told."""
    try:
        if format is None:
            format = "jsonl" if lines.looks_like_json() else "csv"
        if format == "csv":
            return CsvRows(lines, job.column, header=job.header), format
        return JsonRows(lines, job.column), format
    except BadInput as error:
        raise BadInput(f"{_called(job.input)}: {error}") from None


def _verdicts(answers: Answers, rows: Rows, format: str) -> Verdicts:
    names = rows.seen or (rows.column or "customer_id",)
    clash = answers.clash(names)
    if clash is not None:
        raise BadInput(f"the input has a column {clash!r} already, as the output would; rename or drop it")
    if format == "csv":
        return CsvVerdicts(answers, names, rows.delimiter)
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise BadInput(f"the column {twice!r} is there twice, which a JSON object cannot have")
    return JsonVerdicts(answers)


def _connection(kelviq: Kelviq) -> dict[str, Any]:
    config = kelviq.config
    return {"environment": config.environment, "address": config.edge_url, "account": config.account}


def _choices(job: Job, rows: Rows, formats: tuple[str, str]) -> dict[str, Any]:
    return {
        "features": list(job.features),
        "details": job.details,
        "column": rows.column,
        "header": job.header,
        "input format": formats[0],
        "output format": formats[1],
    }


def _called(name: str) -> str:
    return "standard input" if name == STREAM else Path(name).name or name


def _rows_of(count: int) -> str:
    return f"{count:,} row" if count == 1 else f"{count:,} rows"


def _say(text: str) -> None:
    if sys.stderr is not None:  # print takes None for the standard output, where the rows may go
        print(text, file=sys.stderr, flush=True)


def _fail(reason: str) -> NoReturn:
    _say(reason)
    raise SystemExit(2)
