"""Checks, lookups and batches as a user calls them; nothing is kept, so that every call can be counted."""

import asyncio
import gc
import itertools
import tracemalloc
from collections import Counter, deque
from urllib.parse import parse_qs, urlsplit

import pytest

from kelviq_async import Entitlements, Kelviq, Reason, Source
from kelviq_async.errors import (
    ConnectionLost,
    Forbidden,
    InvalidRequest,
    KelviqError,
    NotEntitled,
    NotFound,
    RateLimited,
    ServerError,
    Unauthorized,
    UnknownCustomer,
    UnreadableAnswer,
)

GRANTS = {"export": True, "import": False}


def entitlements(customer, grants=GRANTS):
    entries = [
        {"featureId": feature, "hasAccess": verdict, "featureType": "BOOLEAN"}
        for feature, verdict in grants.items()
    ]
    return 200, {"customerId": customer, "entitlements": entries}


class Edge:
    """Answers about customers as a test wrote down, everybody else as ``GRANTS`` say; counts the calls."""

    def __init__(self):
        self.answers = {}
        self.calls = Counter()
        self.running = self.most = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, wire):
        (customer,) = parse_qs(urlsplit(wire.url).query)["customer_id"]
        self.calls[customer] += 1
        self.running += 1
        self.most = max(self.most, self.running)
        await self.gate.wait()
        await asyncio.sleep(0)
        self.running -= 1
        answer = self.answers.get(customer)
        if isinstance(answer, list):
            answer = answer.pop(0)
        return answer if answer is not None else entitlements(customer)


@pytest.fixture
def edge():
    return Edge()


@pytest.fixture
def checks(edge, scripted):
    transport = scripted(edge)
    transport.sent = Forgetful()
    return Kelviq(server_key="sk_secret", transport=transport, cache=None, retry=False).entitlements


class Forgetful(list):
    """Takes everything and keeps nothing."""

    def append(self, item):
        pass


async def settled():
    for _ in range(50):
        await asyncio.sleep(0)


# One by one


@pytest.mark.parametrize(
    ("feature", "allowed", "reason"),
    [
        ("export", True, Reason.GRANTED),
        ("import", False, Reason.DENIED),
        ("other", False, Reason.NOT_ENTITLED),
    ],
)
async def test_a_verdict(checks, edge, feature, allowed, reason):
    assert await checks.has_access("user-1", feature) is allowed
    decision = await checks.check("user-1", feature)
    assert (decision.allowed, decision.reason, decision.source) == (allowed, reason, Source.LIVE)
    if allowed:
        assert (await checks.require("user-1", feature)).allowed
    else:
        with pytest.raises(NotEntitled):
            await checks.require("user-1", feature)
    assert edge.calls == {"user-1": 3}


async def test_all_a_customer_has(checks):
    found = await checks.get("user-1")
    assert isinstance(found, Entitlements)
    assert (found.customer_id, list(found)) == ("user-1", ["export", "import"])
    assert (await checks.raw("user-1")).customer_id == "user-1"


@pytest.mark.parametrize("verdict", ["true", 1, None, [], "", 0])
async def test_a_verdict_that_is_no_boolean(checks, edge, verdict):
    edge.answers["user-1"] = entitlements("user-1", {"export": verdict, "import": True})
    for ask in (checks.has_access, checks.check, checks.require):
        with pytest.raises(UnreadableAnswer):
            await ask("user-1", "export")
    assert await checks.has_access("user-1", "import") is True
    assert await checks.has_access("user-1", "other") is False


async def test_another_entry_may_still_grant_it(checks, edge):
    status, body = entitlements("user-1", {"export": "maybe"})
    body["entitlements"].append({"featureId": "export", "hasAccess": True, "featureType": "BOOLEAN"})
    edge.answers["user-1"] = status, body
    assert await checks.has_access("user-1", "export") is True


@pytest.mark.parametrize(
    "body",
    [
        {"customerId": "user-2", "entitlements": []},
        {"customerId": "USER-1", "entitlements": []},
        {"customerId": ["user-1"], "entitlements": []},
        {"customerId": 7, "entitlements": []},
        {"customerId": "user-1"},
        {"customerId": "user-1", "entitlements": None},
        {"customerId": "user-1", "entitlements": {}},
        {},
        [],
        None,
        b"",
        b"<html>",
    ],
)
async def test_an_answer_that_is_none_about_this_customer(checks, edge, body):
    edge.answers["user-1"] = 200, body
    with pytest.raises(UnreadableAnswer):
        await checks.has_access("user-1", "export")


# What errors say about the customer


UNKNOWN = [
    (404, {"detail": "Not found."}),
    (404, {"detail": "No Customer matches the given query."}),
    (404, {"error": "Customer not found"}),
    (404, {"customerId": ["Unknown."]}),
    (404, {"customer_id": ["Unknown."]}),
    (404, {"detail": "Gone.", "code": "customer_not_found"}),
    (403, {"error": "Customer is archived"}),
    (403, {"error": "No such customer"}),
    (403, {"detail": "This customer does not exist."}),
    (403, {"detail": "Not allowed.", "code": "customer_deleted"}),
    (403, {"customerId": ["Archived."]}),
]


@pytest.mark.parametrize("answer", UNKNOWN, ids=str)
async def test_an_unknown_customer_may_do_nothing(checks, edge, answer):
    edge.answers["user-1"] = answer
    assert await checks.has_access("user-1", "export") is False
    assert (await checks.check("user-1", "export")).reason is Reason.UNKNOWN_CUSTOMER
    with pytest.raises(UnknownCustomer):
        await checks.get("user-1")


async def test_an_empty_list_is_a_known_customer_without_anything(checks, edge):
    edge.answers["user-1"] = entitlements("user-1", {})
    assert (await checks.check("user-1", "export")).reason is Reason.NOT_ENTITLED
    assert len(await checks.get("user-1")) == 0


NO_VERDICT = [
    ((404, b"<html>not found</html>"), NotFound),
    ((404, b""), NotFound),
    ((404, b"[]"), NotFound),
    ((404, {"detail": "Unknown path"}), NotFound),
    ((401, {"detail": "Invalid token."}), Unauthorized),
    ((401, {"detail": "customer"}), Unauthorized),
    ((403, {"detail": "You do not have permission to perform this action."}), Forbidden),
    ((403, {"detail": "This API key may not read customer entitlements."}), Forbidden),
    ((403, {"detail": "Customer data needs the scope entitlements:read."}), Forbidden),
    ((403, {"detail": "Customers cannot be read from this IP address."}), Forbidden),
    ((403, {"detail": "Customer data is not available to this client."}), Forbidden),
    ((403, {"detail": "Customer user-1 belongs to another organization."}), Forbidden),
    ((403, {"detail": "Plan limit of customers reached.", "code": "customer_limit"}), Forbidden),
    ((403, {"detail": "This organisation is suspended."}), Forbidden),
    ((403, {"detail": "Unknown API key for customer data."}), Forbidden),
    ((403, b"<html>customer</html>"), Forbidden),
    ((403, b""), Forbidden),
    ((429, b""), RateLimited),
    ((500, {"detail": "customer"}), ServerError),
    (ConnectionLost("gone"), ConnectionLost),
]


@pytest.mark.parametrize(("answer", "error"), NO_VERDICT, ids=str)
async def test_an_error_about_anything_else_is_no_verdict(checks, edge, answer, error):
    edge.answers["user-1"] = answer
    for ask in (checks.has_access, checks.check, checks.require):
        with pytest.raises(error) as caught:
            await ask("user-1", "export")
        assert not isinstance(caught.value, UnknownCustomer)
    with pytest.raises(error):
        await checks.get("user-1")


@pytest.mark.parametrize(
    "ids", [("", "export"), ("user-1", ""), ("..", "export"), ("user\n1", "export"), (7, "x")]
)
async def test_ids_that_cannot_be_ones_are_never_asked_about(checks, edge, ids):
    for ask in (checks.has_access, checks.check, checks.require):
        with pytest.raises(InvalidRequest):
            await ask(*ids)
    assert edge.calls == {}


# Many at once

PEOPLE = [f"user-{n}" for n in range(20)]
FEATURES = ["export", "import", "other"]
ORDERS = {
    "grouped": list(itertools.product(PEOPLE, FEATURES)),
    "by feature": [(person, feature) for feature in FEATURES for person in PEOPLE],
    "interleaved": [(PEOPLE[(n * 7) % 20], FEATURES[(n // 20 + n) % 3]) for n in range(60)],
    "twice": list(itertools.product(PEOPLE, FEATURES)) * 2,
}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("concurrency", [1, 4, 50])
@pytest.mark.parametrize("ordered", [False, True])
async def test_one_call_for_each_customer(checks, edge, order, concurrency, ordered):
    pairs = ORDERS[order]
    stream = checks.check_many(iter(pairs), concurrency=concurrency, ordered=ordered)
    decisions = [decision async for decision in stream]
    found = [(decision.customer_id, decision.feature_id) for decision in decisions]
    assert found == pairs if ordered else Counter(found) == Counter(pairs)
    assert all(decision.allowed == (decision.feature_id == "export") for decision in decisions)
    assert edge.calls == dict.fromkeys(PEOPLE, 1)
    assert edge.most <= concurrency


async def test_decisions_come_as_they_are_known(checks, edge):
    edge.gate.clear()
    stream = checks.check_many([("user-1", "export"), ("", "export")])
    assert (await anext(stream)).reason is Reason.FAILED
    edge.gate.set()
    assert (await anext(stream)).allowed


class Row(dict):
    """A row of a database: a mapping, and no pair."""


@pytest.mark.parametrize(
    ("pair", "shown"),
    [
        (("user-1",), ("user-1", "")),
        (("user-1", "export", "more"), ("user-1", "export")),
        ((), ("", "")),
        (("user-1", None), ("user-1", "None")),
        ((7, "export"), ("7", "export")),
        (("", "export"), ("", "export")),
        (("user-1", "a\nb"), ("user-1", "a\nb")),
        ("ab", ("ab", "")),
        (b"ab", ("b'ab'", "")),
        ({"user-1", "export"}, None),
        (Row(customer="user-1", feature="export"), None),
        (itertools.count(), None),
        (None, ("None", "")),
        (7, ("7", "")),
    ],
    ids=lambda each: "a set" if isinstance(each, set) else repr(each),
)
async def test_a_malformed_pair_is_its_own_failure(checks, edge, pair, shown):
    pairs = [("user-1", "export"), pair, ("user-2", "export")]
    decisions = [decision async for decision in checks.check_many(pairs, ordered=True)]
    assert [decision.reason for decision in decisions] == [Reason.GRANTED, Reason.FAILED, Reason.GRANTED]
    bad = decisions[1]
    assert isinstance(bad.error, InvalidRequest)
    assert shown is None or (bad.customer_id, bad.feature_id) == shown
    with pytest.raises(InvalidRequest):
        bool(bad)
    assert edge.calls == {"user-1": 1, "user-2": 1}


@pytest.mark.parametrize("pair", [["user-1", "export"], ("user-1", "export"), deque(["user-1", "export"])])
async def test_pairs_may_be_any_two_in_a_row(checks, pair):
    assert [decision.allowed async for decision in checks.check_many([pair])] == [True]


async def test_a_failure_stays_with_its_customer(checks, edge):
    edge.answers = {
        "user-1": (500, b""),
        "user-2": UNKNOWN[0],
        "user-3": (403, b""),
        "user-4": entitlements("user-4", {"export": "?"}),
    }
    pairs = itertools.product(
        ["user-0", "user-1", "user-2", "user-3", "user-4", "user-5"], ["export", "other"]
    )
    decisions = [decision async for decision in checks.check_many(pairs, ordered=True)]
    assert [(decision.reason.name, type(decision.error).__name__) for decision in decisions] == [
        ("GRANTED", "NoneType"),
        ("NOT_ENTITLED", "NoneType"),
        ("FAILED", "ServerError"),
        ("FAILED", "ServerError"),
        ("UNKNOWN_CUSTOMER", "NoneType"),
        ("UNKNOWN_CUSTOMER", "NoneType"),
        ("FAILED", "Forbidden"),
        ("FAILED", "Forbidden"),
        ("FAILED", "UnreadableAnswer"),
        ("NOT_ENTITLED", "NoneType"),
        ("GRANTED", "NoneType"),
        ("NOT_ENTITLED", "NoneType"),
    ]
    assert not any(decision.allowed for decision in decisions if decision.error)


async def test_a_failure_is_asked_about_again_later(checks, edge):
    edge.answers["user-1"] = [(500, b""), entitlements("user-1")]
    stream = checks.check_many([("user-1", "export")] * 2, concurrency=1, ordered=True)
    assert [decision.reason async for decision in stream] == [Reason.FAILED, Reason.GRANTED]


async def test_a_failed_call_speaks_for_all_features_of_its_customer(checks, edge):
    edge.answers["user-1"] = [(500, b""), entitlements("user-1")]
    pairs = [("user-1", feature) for feature in ("export", "import", "other")]
    stream = checks.check_many(pairs, concurrency=1, ordered=True)
    assert [decision.reason async for decision in stream] == [Reason.FAILED] * 3
    assert edge.calls == {"user-1": 1}


async def test_memory_stays_flat_over_a_long_list(checks):
    pairs = ((f"user-{n // 10}", "export") for n in itertools.count())
    stream = checks.check_many(pairs, concurrency=10)
    for _ in range(2_000):
        await anext(stream)
    gc.collect()
    tracemalloc.start()
    try:
        for _ in range(10_000):  # a thousand customers, whose answers are remembered, and no decision
            await anext(stream)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    await stream.aclose()
    assert peak < 4_000_000


async def test_it_pulls_no_further_ahead_than_its_window(checks, edge):
    edge.gate.clear()
    pulled = 0

    def pairs():
        nonlocal pulled
        for number in itertools.count():
            pulled += 1
            yield f"user-{number // 3}", "export"

    stream = checks.check_many(pairs(), concurrency=5)
    step = asyncio.create_task(stream.__anext__())
    for _ in range(50):
        await settled()
    assert pulled <= 1000
    assert edge.running == 5
    edge.gate.set()
    assert (await step).allowed
    await stream.aclose()
    assert edge.running <= 5


async def test_left_alone_a_batch_leaves_nothing_running(checks, edge):
    async for _ in checks.check_many((f"user-{n}", "export") for n in itertools.count()):
        break
    gc.collect()
    await settled()
    assert asyncio.all_tasks() == {asyncio.current_task()}


# Lookups


async def test_lookups(checks, edge):
    edge.answers = {"user-1": UNKNOWN[0], "user-2": (500, b"")}
    ids = ["user-0", "user-1", "user-2", "", None, "user-3"]
    lookups = [lookup async for lookup in checks.get_many(ids, ordered=True)]
    assert [lookup.customer_id for lookup in lookups] == ["user-0", "user-1", "user-2", "", "None", "user-3"]
    assert [type(lookup.error).__name__ for lookup in lookups] == [
        "NoneType",
        "UnknownCustomer",
        "ServerError",
        "InvalidRequest",
        "InvalidRequest",
        "NoneType",
    ]
    assert [lookup.entitlements is not None for lookup in lookups] == [True, False, False, False, False, True]
    assert all(isinstance(lookup.error, KelviqError | None) for lookup in lookups)


@pytest.mark.parametrize("ordered", [False, True])
async def test_lookups_of_one_customer_at_the_same_time_are_one_call(checks, edge, ordered):
    edge.gate.clear()
    stream = checks.get_many(["user-1", "user-2", "user-1", "user-1"], ordered=ordered)
    step = asyncio.create_task(stream.__anext__())
    await settled()
    edge.gate.set()
    lookups = [await step, *[lookup async for lookup in stream]]
    assert Counter(lookup.customer_id for lookup in lookups) == {"user-1": 3, "user-2": 1}
    assert edge.calls == {"user-1": 1, "user-2": 1}


async def test_lookups_of_nobody(checks):
    assert [lookup async for lookup in checks.get_many([])] == []
    with pytest.raises(InvalidRequest):
        checks.get_many(7)
