"""Group commit: what many callers ask for goes to the disk as one transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Final, TypeGuard

from ...errors import KelviqError, OutcomeUnknown
from ..journal import JournalError
from ..records import Record
from .books import Books, Unknown
from .schema import cause, explained
from .steps import append, check
from .thread import Call

# Of these it does not depend on what is asked for, so trying one by one would not help.
_HOPELESS: Final = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_READONLY,
}
# Records made ready in one go, while the callers' threads wait for Python's lock.
_SLICE: Final = 128

_UNKNOWN: Final = (
    "{}; whether the records are in the journal will show when it can be read: append them again with the "
    "same ids, which takes none of them twice"
)


class _Unfit(Exception):
    """What some callers gave cannot be written."""


def serve(books: Books, calls: Sequence[Call]) -> None:
    """Do what callers ask for, and put into each call what came of it.

    Args:
        books: Where.
        calls: Each with a list of records to append, or a function of the books.
    """
    try:
        books.check_file()
        _commit(books, calls)
    except JournalError as error:
        _fail(calls, error)
        return
    except BaseException:
        books.rollback()
        raise
    try:
        books.check_file()
    except JournalError as error:
        _fail_unknown([call for call in calls if call.error is None], error)


def _commit(books: Books, calls: Sequence[Call]) -> None:
    """Do calls in one transaction, or, where that fails, in smaller ones."""
    if not calls:
        return
    try:
        books.begin()
        for asked in _in_turn(calls):
            _do(books, asked)
        books.commit()
    except Unknown as error:
        _fail_unknown(calls, error)
    except _Unfit as error:
        _undo(books, calls)
        fit = [call for call in calls if not _unfit(call)]
        if len(fit) < len(calls):
            _commit(books, fit)
        else:
            _halve(books, calls, error)
    except sqlite3.Error as error:
        _undo(books, calls)
        if cause(error) in _HOPELESS:
            _fail(calls, error, explained(error, books.path))
        else:
            _halve(books, calls, error)
    except JournalError as error:
        _undo(books, calls)
        _fail(calls, error)


def _halve(books: Books, calls: Sequence[Call], error: Exception) -> None:
    """Do calls in two transactions, until it shows which of them is to blame."""
    if len(calls) == 1:
        if isinstance(error, sqlite3.Error):
            _fail(calls, error, explained(error, books.path))
        else:
            _fail(calls, error, repr(error.__cause__))
        return
    middle = len(calls) // 2
    _commit(books, calls[:middle])
    _commit(books, calls[middle:])


def _undo(books: Books, calls: Sequence[Call]) -> None:
    books.rollback()
    for call in calls:
        call.result = call.error = None


def _appends(work: object) -> TypeGuard[Sequence[Record]]:
    return isinstance(work, list | tuple)


def _unfit(call: Call) -> bool:
    """Whether records cannot be written, which must not be in the way of others."""
    if _appends(call.work):
        try:
            check(call.work)
        except Exception as error:  # noqa: BLE001  whatever it is, it is the caller's
            call.error = error
    return call.error is not None


def _in_turn(calls: Sequence[Call]) -> Iterator[list[Call]]:
    """Calls in their order, those that append one after the other together."""
    for appends, group in groupby(calls, key=lambda call: _appends(call.work)):
        if appends:
            yield list(group)
        else:
            yield from ([call] for call in group)


def _do(books: Books, calls: list[Call]) -> None:
    call = calls[0]
    if not _appends(call.work):
        _step(books, call)
        return
    records: list[Record] = [record for call in calls for record in call.work]
    for start in range(0, len(records), _SLICE):
        try:
            append(books, records[start : start + _SLICE])
        except sqlite3.Error:
            raise
        except Exception as error:
            raise _Unfit from error


def _step(books: Books, call: Call) -> None:
    before = books.tally.copy(), books.place
    books.connection.execute("SAVEPOINT step")
    try:
        call.result = call.work(books)
    except Exception as error:
        if not books.connection.in_transaction:  # it took everything with it
            raise
        books.connection.execute("ROLLBACK TO step")
        books.undo(*before)
        if isinstance(error, sqlite3.Error):
            _fail([call], error, explained(error, books.path))
        else:
            call.error = error
    books.connection.execute("RELEASE step")


def _fail(calls: Sequence[Call], error: Exception, message: str = "") -> None:
    for call in calls:
        call.result, call.error = None, JournalError(message or str(error))
        call.error.__cause__ = error


def _fail_unknown(calls: Sequence[Call], error: KelviqError | Unknown) -> None:
    for call in calls:
        _fail([call], error)
        if _appends(call.work):
            call.error = OutcomeUnknown(_UNKNOWN.format(error))
            call.error.__cause__ = error
