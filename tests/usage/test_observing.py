"""Observers of usage, and what is logged."""

import logging

from kelviq_async.usage import JournalError, Ledger, State
from kelviq_async.usage.observing import Watched, say_failed
from tests.usage.meters import Watching


def test_nobody_may_watch():
    watched = Watched(None)
    watched.moved(State.PENDING, 1)
    watched.measured(Ledger())


def test_an_observer_is_told(caplog):
    for failing in (False, True):
        watching = Watching(failing=failing)
        watched = Watched(watching)
        watched.moved(State.DELIVERED, 2)
        watched.measured(Ledger(accepted=2, delivered=2))
        assert (watching.moves, len(watching.ledgers)) == ([("delivered", 2)], 1)
        # it may fail for every record, and is said to once
        assert len(caplog.records) == (1 if failing else 0)


def test_what_goes_on_failing_is_said_once(caplog):
    for failures in (1, 2, 3):
        say_failed("it failed", JournalError("the disk is full"), failures)
    assert caplog.messages == ["it failed: the disk is full"]
    assert caplog.records[0].levelno == logging.WARNING
    assert caplog.records[0].exc_info is None


def test_what_nobody_foresaw_is_shown_with_its_place(caplog):
    say_failed("it failed", LookupError(), 1)
    assert caplog.messages == ["it failed: LookupError"]
    assert caplog.records[0].exc_info
