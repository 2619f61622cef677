"""The states, their moves, and what reports and ledgers say of themselves."""

from datetime import UTC, datetime

import attrs
import pytest

from kelviq_async.usage.records import MOVES, Ledger, Report, State
from tests.usage.pieces import DELTA, THIRD


def test_every_state_says_what_may_follow():
    assert set(MOVES) == set(State)
    for state, following in MOVES.items():
        assert state not in following
    # what was counted stays counted, and what was given up stays given up
    assert MOVES[State.DELIVERED] == MOVES[State.DISCARDED] == frozenset()
    # from pending, only by way of a report
    assert MOVES[State.PENDING] == {State.IN_FLIGHT}
    assert [state for state in State if State.IN_FLIGHT in MOVES[state]] == [State.PENDING]
    # nothing is given up that may be on its way
    assert [state for state in State if State.DISCARDED in MOVES[state]] == [State.REJECTED, State.UNRESOLVED]


def test_a_ledger_has_a_count_for_every_state():
    names = [field.name for field in attrs.fields(Ledger)]
    assert names == ["accepted", *State, "late", "skipped", "oldest"]


def test_a_ledger_that_balances():
    assert Ledger().balanced
    counts = {state.value: 10**n for n, state in enumerate(State)}
    assert Ledger(accepted=111_111, late=5, skipped=7, **counts).balanced
    for name in ("accepted", *State):
        counted = {"accepted": 111_111, **counts}
        assert not Ledger(**{**counted, name: counted[name] + 1}).balanced


def test_a_ledger_says_when_the_oldest_was_accepted():
    assert Ledger().oldest_pending is None
    assert Ledger(oldest=0.0).oldest_pending == datetime(1970, 1, 1, tzinfo=UTC)


def test_a_report_says_whose_it_is_and_when():
    report = Report("r", THIRD, DELTA, 3, 2, State.IN_FLIGHT, 1.5, 2.5, 86_400.25)
    assert (report.customer_id, report.feature_id, report.resource_id) == THIRD
    assert report.recorded_at == datetime(1970, 1, 1, 0, 0, 1, 500_000, tzinfo=UTC)
    assert report.sent_at == datetime(1970, 1, 2, 0, 0, 0, 250_000, tzinfo=UTC)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        report.state = State.DELIVERED
