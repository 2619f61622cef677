"""The way of a request through a world: keys, routes, pages, bad input, crashes, the log, and time."""

import json
import re
import threading
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from kelviq_async import Kelviq, codec
from kelviq_async.emulator import World, registry, routing
from kelviq_async.emulator.handlers import customers
from kelviq_async.errors import KelviqError, ServerError
from kelviq_async.request import operations
from kelviq_async.transport import WireRequest

START = datetime(2026, 1, 31, 10, tzinfo=UTC)


@pytest.fixture
def world():
    made = World(now=START)
    yield made
    assert made.crashes == []


def ask(world, method, path, body=None, *, key="server", headers=None):
    """Status and decoded body of an answer."""
    keys = {"server": world.server_key, "client": world.client_key, "other": "sk_wrong"}
    sent = {"Authorization": f"Bearer {keys[key]}"} if key in keys else {}
    content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    answer = world.handle(
        WireRequest(method, f"http://localhost/api/v1{path}", {**sent, **(headers or {})}, content)
    )
    return answer.status, codec.decode(answer.body) if answer.body else None


# Keys


@pytest.mark.parametrize(
    ("key", "path", "status"),
    [
        ("server", "/customers/", 200),
        ("client", "/customers/", 401),
        ("other", "/customers/", 401),
        (None, "/customers/", 401),
        ("client", "/entitlements/?customer_id=a", 404),
        ("server", "/entitlements/?customer_id=a", 404),
        ("server", "/promotions", 401),
        ("server", "/partner/organizations/", 401),
    ],
)
def test_an_operation_wants_its_kind_of_key(world, key, path, status):
    assert ask(world, "GET", path, key=key)[0] == status


@pytest.mark.parametrize("value", ["Bearer", "Bearer ", "Basic abc", "sk_test_emulator", ""])
def test_a_credential_that_is_none_is_401(world, value):
    status, body = ask(world, "GET", "/customers/", key=None, headers={"authorization": value})
    assert (status, list(body)) == (401, ["detail"])


def test_a_refused_key_changes_nothing(world):
    ask(world, "POST", "/customers/", {"customerId": "a"}, key="client")
    assert world.state.customers == {}


def test_keys_can_be_ones_own():
    world = World(server_key="one", client_key="two", partner_key="three")
    assert ask(world, "GET", "/customers/")[0] == 200
    assert ask(world, "GET", "/customers/", key=None, headers={"AUTHORIZATION": "bearer one"})[0] == 200


# Routes


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "", 404),
        ("GET", "/customer/", 404),
        ("GET", "/customers/a/b/c/", 404),
        ("PUT", "/customers/", 405),
        ("HEAD", "/customers/", 200),
        ("HEAD", "/customers/nobody/", 404),
        ("HEAD", "/report/usage/", 405),
        ("DELETE", "/checkout/", 405),
        ("OPTIONS", "/report/usage/", 405),
        ("GET", "/customers/%00/", 400),
        ("GET", "/customers/%ff%fe/", 404),
        ("GET", "/customers/../customers/", 404),
        ("GET", "/customers", 200),
        ("GET", "/customers/", 200),
    ],
)
def test_what_is_where(world, method, path, status):
    assert ask(world, method, path)[0] == status


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/customers/", "GET, HEAD, POST"),
        ("OPTIONS", "/customers/a/", "DELETE, GET, HEAD, PATCH"),
        ("HEAD", "/report/usage/", "POST"),
        ("DELETE", "/checkout/", "POST"),
        ("PUT", "/catalog/plans/pro", "DELETE, GET, HEAD, PATCH"),
    ],
)
def test_who_uses_the_wrong_method_is_told_the_right_ones(world, method, path, allowed):
    answer = world.handle(WireRequest(method, f"http://localhost/api/v1{path}", {}))
    assert (answer.status, answer.headers["Allow"]) == (405, allowed)


def test_each_address_tells_the_methods_it_has():
    for operation in operations():
        path = re.sub(r"{\w+}", "x", operation.path)
        found = routing.match("TRACE", path)
        assert operation.method in found.allowed
        for method in found.allowed:
            assert routing.match(method, path).operation.method == ("GET" if method == "HEAD" else method)


async def test_in_process_too_head_is_get_without_its_body(world):
    url, key = "http://localhost/api/v1/customers/", {"Authorization": f"Bearer {world.server_key}"}
    answer = await world.send(WireRequest("HEAD", url, key))
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers == (await world.send(WireRequest("GET", url, key))).headers
    assert [(each.method, each.operation) for each in world.requests] == [
        ("HEAD", "ListCustomers"),
        ("GET", "ListCustomers"),
    ]


def test_other_addresses_are_nothing(world):
    for url in ("http://localhost/", "/", "", "http://[/api/v1/customers/", "/api/v2/customers/", "/api/v1"):
        assert world.handle(WireRequest("GET", url, {})).status == 404


def test_every_operation_is_handled():
    assert [each.name for each in operations() if registry.handler_of(each.request) is None] == []


# Pages


def test_pages_link_to_their_neighbours_and_keep_what_was_asked(world):
    for number in range(25):
        ask(world, "POST", "/customers/", {"customerId": f"c-{number:02}", "name": "Ada & Co"})
    _, first = ask(world, "GET", "/customers/?search=Ada%20%26%20Co")
    assert (first["count"], len(first["results"]), first["previous"]) == (25, 10, None)
    assert first["next"] == "http://localhost/api/v1/customers/?search=Ada+%26+Co&page=2"
    _, last = ask(world, "GET", "/customers/?page=3&page_size=10")
    assert (len(last["results"]), last["next"]) == (5, None)
    assert "page=2" in last["previous"]
    assert len(ask(world, "GET", "/customers/?page_size=1000")[1]["results"]) == 25


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("page=0", 404),
        ("page=-1", 404),
        ("page=2", 404),
        ("page=99999999999999999999", 400),
        ("page=one", 400),
        ("page=1.5", 400),
        ("page=", 400),
        ("page_size=0", 200),
        ("page_size=-5", 200),
        ("page=" + "9" * 5000, 400),
    ],
)
def test_odd_pages(world, query, status):
    assert ask(world, "GET", f"/customers/?{query}")[0] == status


def test_pages_hold_at_most_a_hundred(world):
    for number in range(101):
        ask(world, "POST", "/customers/", {"customerId": str(number)})
    assert len(ask(world, "GET", "/customers/?page_size=1000")[1]["results"]) == 100


# Bad input


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"nonsense",
        b"\xff\xfe",
        b'{"customerId": "a",}',
        b'{"customerId": NaN}',
        b'{"customerId": "\\ud800"}',
        b'{"customerId": "a", "metadata": {"\\uDFFF": ["\\udc00"]}}',
        b"[]",
        b'"text"',
        b"5",
        b"false",
        b"[" * 100_000,
        b'{"customerId": "a", "metadata": ' + b'{"a":' * 200 + b"1" + b"}" * 200 + b"}",
        b'{"customerId": "a", "metadata": {"n": 1e999999999}}',
        b'{"customerId": "a", "metadata": {"n": 1e-999999999}}',
        b'{"customerId": "a", "metadata": {"n": ' + b"9" * 10_000 + b"}}",
        b'{"customerId": "a", "metadata": {"a\\u0000": 1}}',
        b'{"customerId": "a\\u0000"}',
        b'{"customerId": "a\\nb"}',
        b'{"customerId": "' + b"a" * 256 + b'"}',
        b'{"customerId": ""}',
        b'{"customerId": {}}',
        b'{"customerId": ["a"]}',
        b'{"customerId": true}',
        b'{"customerId": null}',
        b"{}",
        b'{"customerId": "a", "metadata": "text"}',
        b'{"customerId": "a", "billingAddress": []}',
        b'{"customerId": "a", "name": 1.5e400}',
        b" " * (5 * 2**20 + 1),
    ],
    ids=lambda body: repr(body[:40]),
)
def test_a_bad_body_is_a_400_with_a_reason_and_does_nothing(world, body):
    before = world.snapshot()
    status, answer = ask(world, "POST", "/customers/", body)
    assert status == 400
    assert isinstance(answer, dict)
    assert answer
    assert world.snapshot() == before


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"value": "much"}, "value"),
        ({"value": 1.5}, "value"),
        ({"value": True}, "value"),
        ({"value": None}, "value"),
        ({"value": 10**30}, "value"),
        ({"behaviour": "ADD"}, "behaviour"),
        ({"behaviour": 5}, "behaviour"),
        ({"customerId": 5.5}, "customerId"),
        ({"featureId": None}, "featureId"),
    ],
)
def test_a_wrong_type_is_named(world, body, field):
    good = {"value": 1, "customerId": "a", "featureId": "b", "behaviour": "SET"}
    status, answer = ask(world, "POST", "/report/usage/", {**good, **body})
    assert status == 400
    assert field in answer or "number" in answer["detail"]


def test_what_is_deep_but_not_too_deep_is_kept(world):
    metadata = {"a": [{"b": [1, "1e5", -7, {"c": None}]}], "big": 2**62, "many": [[]] * 500}
    status, answer = ask(world, "POST", "/customers/", {"customerId": "a", "metadata": metadata})
    assert (status, answer["metadata"]) == (201, metadata)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.sampled_from(["user-123", "pro", "USD", "MONTHLY", "1e999", "-1", "9999-12-31", "now", "\x00"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@pytest.fixture(scope="module")
def furnished():
    world = World(now=START)
    world.seed_from(
        {
            "features": [{"identifier": "api-calls", "featureType": "METER"}],
            "plans": [{"identifier": "pro", "prices": {"MONTHLY": 49}, "features": {"api-calls": 5}}],
            "subscriptions": [{"customerId": "user-123", "plan": "pro"}],
        }
    )
    return world, world.snapshot()


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_no_request_makes_the_emulator_fail(furnished, data):
    world, start = furnished
    world.restore(start)
    operation = data.draw(st.sampled_from(list(operations())))
    state = world.state
    known = ["user-123", "pro", "api-calls", *state.subscriptions, *state.orders, *state.products, "x"]
    path = operation.path.format(**{name: data.draw(st.sampled_from(known)) for name in operation.path_names})
    body = {each.wire: data.draw(JSON | st.sampled_from(known)) for each in operation.body_fields}
    query = "&".join(f"{each.name}={data.draw(st.integers())}" for each in operation.query_fields)
    kind = "client" if operation.keys and operation.keys[0].value == "client" else "server"
    headers = {"x-kelviq-partner-key": world.partner_key}
    status, _ = ask(world, operation.method, f"{path}?{query}", body, key=kind, headers=headers)
    assert world.crashes == []
    assert status < 500
    world.snapshot()


# Crashes


async def test_a_fault_of_the_emulator_is_a_500_and_is_told(monkeypatch):
    world = World()

    def broken(world, request):
        raise ZeroDivisionError("a bug")

    handler = registry.handler_of(customers.ListCustomers)
    monkeypatch.setitem(registry._handlers, customers.ListCustomers, handler._replace(function=broken))
    assert ask(world, "GET", "/customers/") == (500, {"detail": "A server error occurred."})
    async with Kelviq.local(world, retry=False) as kelviq:
        with pytest.raises(ServerError):
            await kelviq.customers.list()
    assert [each.operation for each in world.crashes] == ["ListCustomers", "ListCustomers"]
    assert "ZeroDivisionError: a bug" in world.crashes[0].reason
    world.reset()
    assert world.crashes == []


# The log


async def test_requests_are_logged_without_headers(world):
    async with Kelviq.local(world) as kelviq:
        await kelviq.customers.create("user-123", metadata={"plan": "x"})
        with pytest.raises(KelviqError):
            await kelviq.entitlements.raw("nobody", feature_id="f")
    ask(world, "GET", "/nowhere/", key="other")
    first, second, third = world.requests
    assert (first.number, first.operation, first.method, first.status) == (1, "CreateCustomer", "POST", 201)
    assert (first.at, first.path, first.key) == (START, "/api/v1/customers/", "server")
    assert first.body["metadata"] == {"plan": "x"}
    assert (second.query, second.key, second.status) == (
        {"customer_id": "nobody", "feature_id": "f"},
        "client",
        404,
    )
    assert (third.operation, third.status, third.key) == (None, 404, None)
    assert world.server_key not in repr(list(world.requests))
    assert world.client_key not in repr(list(world.requests))


# A world as a whole


async def test_a_reset_forgets_all_but_keys_and_clock(world):
    told = world.webhooks.capture()
    world.clock.advance(days=3)
    async with Kelviq.local(world) as kelviq:
        await kelviq.customers.create("user-123")
        world.reset()
        assert (await kelviq.customers.list()).count == 0
        assert world.now() == START + timedelta(days=3)
        heard = len(told)
        await kelviq.customers.create("user-123")
        assert len(told) == heard
    assert len(world.requests) == 2
    assert (world.deliveries, world.usage_ledger, world.webhooks.endpoints) == ([], [], [])


def test_worlds_with_the_same_seed_make_the_same_ids():
    def ids(**settings):
        world = World(now=START, **settings)
        ask(world, "POST", "/customers/", {"customerId": "a"})
        return world.state.customers["a"].id

    assert ids() == ids() == ids(seed=0) != ids(seed=1)


def test_two_worlds_know_nothing_of_each_other(world):
    ask(world, "POST", "/customers/", {"customerId": "a"})
    assert World().state.customers == {}


@pytest.mark.parametrize("value", [400, "none", None])
def test_an_unknown_customer_has_two_answers_only(value):
    with pytest.raises(ValueError, match="unknown_customer"):
        World(unknown_customer=value)


def test_time_stands_still_and_does_not_run_backwards(world):
    assert world.now() == world.now() == START
    with pytest.raises(ValueError, match="backwards"):
        world.clock.advance(days=-1)
    with pytest.raises(ValueError, match="backwards"):
        world.clock.move_to(START - timedelta(seconds=1))


def test_a_world_can_be_used_from_many_threads(world):
    failures = []

    def work(name):
        for number in range(50):
            status, _ = ask(world, "POST", "/customers/", {"customerId": f"{name}-{number}"})
            if status != 201:
                failures.append(status)
            world.clock.advance(seconds=1)

    threads = [threading.Thread(target=work, args=(name,)) for name in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(world.state.customers) == 300
    assert world.now() == START + timedelta(seconds=300)
    assert sorted(each.number for each in world.requests) == list(range(1, 301))


async def test_a_file_goes_up_and_comes_down_in_process(world):
    async with Kelviq.local(world) as kelviq:
        key = await kelviq.media.upload(b"hello" * 1000, file_name="hello.txt")
    assert world.crashes == []
    assert key in world.state.uploads
