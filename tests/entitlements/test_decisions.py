"""What follows from an answer: yes, no, or that nobody knows."""

import pickle

import pytest

from kelviq_async import CustomerEntitlements, Decision, Entitlements, Reason, Source, codec
from kelviq_async.entitlements.decisions import decide
from kelviq_async.errors import ConnectionLost, KelviqError, NotEntitled, UnreadableAnswer


def known(*verdicts, extra=()):
    rows = [{"featureId": "export", "hasAccess": verdict, "featureType": "BOOLEAN"} for verdict in verdicts]
    data = {"customerId": "user-1", "entitlements": [*rows, *extra]}
    return Entitlements("user-1", codec.load(CustomerEntitlements, data))


@pytest.mark.parametrize(
    ("entitlements", "allowed", "reason"),
    [
        (known(True), True, Reason.GRANTED),
        (known(False, True), True, Reason.GRANTED),
        (known("?", True), True, Reason.GRANTED),
        (known(False), False, Reason.DENIED),
        (known(), False, Reason.NOT_ENTITLED),
        (None, False, Reason.UNKNOWN_CUSTOMER),
    ],
)
def test_what_follows(entitlements, allowed, reason):
    decision = decide("user-1", "export", entitlements)
    assert (decision.customer_id, decision.feature_id) == ("user-1", "export")
    assert (decision.allowed, decision.reason, bool(decision)) == (allowed, reason, allowed)
    assert (decision.source, decision.age, decision.error) == (Source.LIVE, 0, None)
    assert (decision.entitlement is not None) == (reason in {Reason.GRANTED, Reason.DENIED})


def test_where_it_is_known_from():
    decision = decide("user-1", "export", known(True), source=Source.STALE, age=7.5)
    assert (decision.source, decision.age) == (Source.STALE, 7.5)


@pytest.mark.parametrize("entitlements", [known("true"), known(None), known(False, 1)])
def test_a_verdict_that_is_no_boolean_is_no_denial(entitlements):
    with pytest.raises(UnreadableAnswer, match="export"):
        decide("user-1", "export", entitlements)


def test_an_unreadable_verdict_is_about_its_own_feature_only():
    entitlements = known("true", extra=[{"featureId": "import", "hasAccess": True}])
    assert decide("user-1", "import", entitlements).allowed
    assert decide("user-1", "other", entitlements).reason is Reason.NOT_ENTITLED


def test_an_entry_about_nobody_knows_what_leaves_a_denial_open():
    entitlements = known(False, extra=["?", {"featureId": "import", "hasAccess": True}])
    with pytest.raises(UnreadableAnswer, match="other"):
        decide("user-1", "other", entitlements)
    assert decide("user-1", "import", entitlements).allowed
    assert decide("user-1", "export", entitlements).reason is Reason.DENIED


def test_nobody_knows_is_neither_yes_nor_no():
    error = ConnectionLost("gone")
    decision = Decision("user-1", "export", False, Reason.FAILED, error=error)
    for use in (bool, Decision.require):
        with pytest.raises(ConnectionLost) as caught:
            use(decision)
        assert caught.value is error


def test_require():
    granted = decide("user-1", "export", known(True))
    assert granted.require() is granted
    for entitlements in (known(False), known(), None):
        with pytest.raises(NotEntitled, match="export is not allowed") as caught:
            decide("user-1", "export", entitlements).require()
        assert isinstance(caught.value, KelviqError)
        assert "user-1" not in str(caught.value)


def test_decisions_are_values():
    decision = decide("user-1", "export", known(True))
    assert decision == decide("user-1", "export", known(True))
    assert len({decision, decide("user-1", "export", known(True))}) == 1
    assert decision != decide("user-1", "export", known(False))
    assert pickle.loads(pickle.dumps(decision)) == decision  # noqa: S301  our own
    assert "entitlement=" not in repr(decision)


def test_reasons_and_sources_read_as_texts():
    assert Reason.NOT_ENTITLED == "not entitled"
    assert [source.value for source in Source] == ["live", "memory", "store", "stale", "fallback"]
