"""A journal in one file: the default for ``record``."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Any, Final

from ...config import checked_seconds
from ...errors import ConfigError
from ..journal import JournalError, Owner, Scope, Seen
from ..records import Key, Ledger, Record, Report, Run, State, Waiting
from . import looks, steps
from .books import Books
from .commit import serve
from .looks import Looks
from .opening import connect, finish, open_for_writing
from .schema import admit, explained
from .thread import CLOSED, Call, Worker

# Records folded, and pages given back, in one transaction: others want their turn.
_FOLDED: Final = 1_000
_SHRUNK: Final = 256
_KEPT: Final = 256


class SqliteJournal:
    """Keeps usage in one file, from which nothing accepted is lost, also not when the power fails.

    Any number of processes, and of journals in one process, may use the same file on a disk of this
    machine; on a network's file system SQLite cannot keep its promises. Beside the file there are two of
    SQLite's own (``-wal`` and ``-shm``), which belong to it. One thread writes and one reads while it is
    open, so that no event loop ever waits for the disk.

    Args:
        path: Where the file is, or is to be made. Its folder must exist.
        adopt: Whether it may be opened for another account than the one it belongs to.
        timeout: Seconds to wait while other processes write.

    Raises:
        ConfigError: It is no path of a file, or no positive number of seconds.
    """

    def __init__(self, path: str | os.PathLike[str], *, adopt: bool = False, timeout: float = 10.0) -> None:
        self._path = _checked(path)
        self._adopt = adopt
        seconds = checked_seconds(timeout, "timeout")
        if seconds is None:
            raise ConfigError("timeout must be a number of seconds")
        self._timeout = seconds
        self._begin()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._writer: Worker[Books] | None = None
        self._reader: Worker[Looks] | None = None

    def __repr__(self) -> str:
        """Where it is."""
        return f"<SqliteJournal {self._path}>"

    async def open(self, scope: Scope | None) -> None:
        """See ``Journal.open``.

        Raises:
            ConfigError: See ``Journal.open``.
            JournalError: The interpreter is ending, and starts no threads any more.
        """
        if self._pid != os.getpid():
            self._begin()
        mine = False
        while not mine:
            with self._lock:
                writer = self._writer
                mine = writer is None or writer.ended
                if writer is None or writer.ended:
                    writer = self._writer = self._new_writer(scope)
                    self._reader = None
            try:
                await writer.call(partial(_let_in, scope=scope, adopt=self._adopt))
            except (ConfigError, JournalError):
                # where somebody else's attempt failed, or closed it, this one has a turn of its own
                with self._lock:
                    if self._writer is writer and writer.ended:
                        self._writer = None
                if mine or not writer.ended:
                    raise
                continue
            with self._lock:
                if self._writer is writer and self._reader is None:
                    self._reader = self._new_reader()
            return

    def _new_writer(self, scope: Scope | None) -> Worker[Books]:
        def begin() -> Books:
            options = {"adopt": self._adopt, "timeout": self._timeout}
            return Books(open_for_writing(path, scope, **options), path)  # type: ignore[arg-type]

        def end(books: Books) -> None:
            finish(books.connection)

        path = self._path
        writer = Worker("kelviq usage journal", begin, serve, end)
        writer.start()
        return writer

    def _new_reader(self) -> Worker[Looks]:
        def begin() -> Looks:
            try:
                connection = connect(path, timeout=timeout)
                connection.execute("PRAGMA query_only = ON")
            except sqlite3.Error as error:
                raise JournalError(explained(error, path)) from error
            return Looks(connection)

        def answer(session: Looks, calls: Sequence[Call]) -> None:
            for call in calls:
                try:
                    call.result = session.look(call.work)
                except sqlite3.Error as error:
                    call.error = JournalError(explained(error, path))
                    call.error.__cause__ = error
                except Exception as error:  # noqa: BLE001  it is the caller's
                    call.error = error

        def end(session: Looks) -> None:
            session.connection.close()

        path, timeout = self._path, self._timeout
        reader = Worker("kelviq usage journal's reader", begin, answer, end)
        reader.start()
        return reader

    async def append(self, records: Sequence[Record]) -> None:
        """See ``Journal.append``.

        Raises:
            JournalError: See ``Journal.append``.
            OutcomeUnknown: See ``Journal.append``.
        """
        await self._write(records if isinstance(records, list | tuple) else list(records), len(records))

    async def waiting(self, limit: int, skip: Collection[Key] = ()) -> Sequence[Waiting]:
        """See ``Journal.waiting``."""
        found: list[Waiting] = []
        while True:
            damaged: list[int]
            found, damaged = await self._read(partial(looks.waiting, limit=limit, skip=list(skip)))
            if not damaged or not await self._write(partial(steps.set_aside, places=damaged)):
                return found

    async def claim(self, runs: Sequence[Run], owner: Owner) -> Sequence[Report]:
        """See ``Journal.claim``."""
        claimed: Sequence[Report] = await self._write(partial(steps.claim, runs=list(runs), owner=owner))
        return claimed

    async def move(
        self,
        report_id: str,
        state: State,
        *,
        reason: str = "",
        note: str | None = None,
        late: bool | None = None,
        among: Collection[State] | None = None,
    ) -> Report | None:
        """See ``Journal.move``."""
        moved: Report | None = await self._write(
            partial(
                steps.move,
                report_id=report_id,
                state=state,
                reason=reason,
                note=note,
                late=late,
                among=among,
            )
        )
        return moved

    async def overtaken(self, report_id: str) -> bool:
        """See ``Journal.overtaken``."""
        found: bool = await self._read(partial(looks.overtaken, id=report_id))
        return found

    async def beat(self, owner: Owner) -> None:
        """See ``Journal.beat``."""
        await self._write(partial(steps.beat, owner=owner))

    async def owners(self) -> Sequence[Seen]:
        """See ``Journal.owners``."""
        found: Sequence[Seen] = await self._read(looks.owners)
        return found

    async def lapse(self, seen: Seen, reason: str) -> Sequence[Report]:
        """See ``Journal.lapse``."""
        put: Sequence[Report] = await self._write(partial(steps.lapse, seen=seen, reason=reason))
        return put

    async def leave(self, owner: Owner) -> None:
        """See ``Journal.leave``."""
        await self._write(partial(steps.leave, owner=owner))

    async def ledger(self) -> Ledger:
        """See ``Journal.ledger``."""
        found: Ledger = await self._read(looks.ledger)
        return found

    async def reports(self, state: State, limit: int = 1000) -> Sequence[Report]:
        """See ``Journal.reports``."""
        found: Sequence[Report] = await self._read(partial(looks.reports, state=state, limit=limit))
        return found

    async def find(self, id: str) -> Report | None:
        """See ``Journal.find``."""
        found: Report | None = await self._read(partial(looks.find, id=id))
        return found

    async def fold(self, before: float) -> int:
        """See ``Journal.fold``; also gives back what the file no longer needs of the disk."""
        folded = 0
        while done := await self._write(partial(steps.fold, before=before, limit=_FOLDED)):
            folded += done
        while await self._write(partial(steps.shrink, keep=_KEPT, limit=_SHRUNK)):
            pass
        return folded

    async def verify(self) -> Sequence[str]:
        """Count every row, which takes a while, and compare with the ledger.

        Returns:
            What differs, in a sentence each; nothing where all is as it should be.
        """
        found: Sequence[str] = await self._read(looks.verify)
        return found

    async def close(self) -> None:
        """See ``Journal.close``; what was asked for before is done first."""
        if self._pid != os.getpid():
            return
        with self._lock:
            writer, reader = self._writer, self._reader
        # the writer last: the one who closes last brings the log into the file
        for worker in (reader, writer):
            if worker is not None:
                await worker.close()

    async def _write(self, work: Any, size: int = 1) -> Any:
        return await self._one_of(self._writer).call(work, size)

    async def _read(self, query: Callable[[Looks], Any]) -> Any:
        return await self._one_of(self._reader).call(query)

    def _one_of(self, worker: Worker[Any] | None) -> Worker[Any]:
        # in a forked child, what the parent opened is the parent's
        if worker is None or self._pid != os.getpid():
            raise JournalError(CLOSED)
        return worker


def _let_in(books: Books, scope: Scope | None, *, adopt: bool) -> None:
    if scope is not None:
        admit(books.connection, scope, adopt=adopt)


def _checked(path: str | os.PathLike[str]) -> str:
    try:
        text = os.fsdecode(path)
    except TypeError:
        raise ConfigError(f"a journal's path must be a str or a Path, not {type(path).__name__}") from None
    if not text or text.startswith((":memory:", "file:")) or "\0" in text:
        raise ConfigError(
            f"a journal's path must be the path of a file, not {text!r}; for usage that may be lost there is "
            "MemoryJournal()"
        )
    # what it means must not change with the working directory
    return os.path.abspath(text)  # noqa: PTH100  a Path would not take what is no text
