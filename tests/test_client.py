"""The client: what it is made of, what it sends, and what its life is like."""

import asyncio
import gc
import itertools
import pickle
import tracemalloc

import anyio
import pytest

from kelviq_async import CreateCustomer, Kelviq, ListCustomers, RetrieveCustomer, Retry
from kelviq_async.errors import (
    ClientClosed,
    ConfigError,
    ConnectionLost,
    InvalidRequest,
    NotFound,
    OutcomeUnknown,
    WrongLoop,
)

PAGE = {"count": 0, "next": None, "previous": None, "results": []}


@pytest.fixture
def client(scripted):
    """``client(*script, **settings)``: a client on a transport whose answers are written down."""

    def make(*script, **settings):
        kelviq = Kelviq(**{"server_key": "sk_secret", "transport": scripted(*script), **settings})
        kelviq.sent = kelviq._runtime.given.sent
        return kelviq

    return make


def echo(wire):
    """A customer whose id is the last segment of the path."""
    return 200, {"id": "1", "customerId": wire.url.rstrip("/").rsplit("/", 1)[1]}


async def hang(wire):
    await asyncio.Event().wait()


async def settled():
    for _ in range(50):
        await asyncio.sleep(0)


# Sending


async def test_three_ways_to_say_the_same(client):
    kelviq = client(echo)
    by_method = await kelviq.customers.retrieve("user-1")
    by_value = await kelviq.send(RetrieveCustomer("user-1"))
    raw = await kelviq.send_raw(RetrieveCustomer("user-1"))
    assert by_method == by_value == raw.value
    assert (raw.status, raw.body) == (200, b'{"id":"1","customerId":"user-1"}')
    assert [sent.url for sent in kelviq.sent] == [kelviq.sent[0].url] * 3


async def test_what_cannot_be_right_is_not_sent(client):
    kelviq = client()
    with pytest.raises(InvalidRequest) as caught:
        await kelviq.customers.retrieve("..")
    assert caught.value.operation == "RetrieveCustomer"
    assert "customer_id" in caught.value.fields
    assert kelviq.sent == []


@pytest.mark.parametrize("thing", [None, "GET /", RetrieveCustomer, object()])
async def test_what_is_no_request_is_not_sent(client, thing):
    kelviq = client()
    with pytest.raises(InvalidRequest, match="a request is needed"):
        await kelviq.send(thing)
    assert kelviq.sent == []


async def test_options_of_a_call(client):
    kelviq = client(ConnectionLost("gone"), headers={"X-App": "shop"})
    with pytest.raises(ConnectionLost):
        await kelviq.send(ListCustomers(), retry=False, headers={"x-app": "admin", "X-Trace": "7"})
    (sent,) = kelviq.sent
    assert (sent.headers["x-app"], sent.headers["X-Trace"], "X-App" in sent.headers) == ("admin", "7", False)
    with pytest.raises(TimeoutError):
        await client(hang).send(ListCustomers(), timeout=0.001)


async def test_views(client):
    kelviq = client(ConnectionLost("gone"), headers={"X-App": "shop"})
    seen = []
    view = kelviq.with_options(retry=False, headers={"X-View": "1"}, observer=seen.append)
    deeper = view.with_options(headers={"X-Deeper": "1"}, observer=None)
    assert view._runtime is deeper._runtime is kelviq._runtime
    for each in (view, deeper):
        with pytest.raises(ConnectionLost):
            await each.customers.list()
    assert [attempt.number for attempt in seen] == [1]
    assert [sorted(name for name in sent.headers if name.startswith("X-")) for sent in kelviq.sent] == [
        ["X-App", "X-View"],
        ["X-App", "X-Deeper", "X-View"],
    ]
    with pytest.raises(ConnectionLost):
        await kelviq.send(ListCustomers(), retry=Retry(attempts=2, base=0))
    assert len(kelviq.sent) == 4


async def test_closing_a_view_closes_the_client(client):
    kelviq = client()
    await kelviq.with_options(timeout=1).close()
    with pytest.raises(ClientClosed):
        await kelviq.customers.list()


@pytest.mark.parametrize(
    "options",
    [
        {"timeout": 0},
        {"timeout": "1"},
        {"retry": 3},
        {"headers": {"Authorization": "x"}},
        {"headers": {"a b": "c"}},
    ],
)
async def test_options_that_could_never_work(client, options):
    with pytest.raises(ConfigError):
        client().with_options(**options)
    with pytest.raises(ConfigError):
        await client().send(ListCustomers(), **options)
    with pytest.raises(ConfigError):
        client(**options)


async def test_layers_are_asked_from_the_outside_in(client):
    order = []

    def layer(name):
        def wrap(inner):
            async def send(request, options):
                order.append(f"{name} in")
                answer = await inner(request, options)
                order.append(f"{name} out")
                return answer

            return send

        return wrap

    await client(echo, layers=[layer("a"), layer("b")]).customers.retrieve("user-1")
    assert order == ["a in", "b in", "b out", "a out"]


async def test_a_layer_is_around_all_attempts_of_a_call(client):
    calls = []

    def counting(inner):
        async def send(request, options):
            calls.append(request)
            return await inner(request, options)

        return send

    kelviq = client(ConnectionLost("gone"), echo, layers=[counting], retry=Retry(base=0))
    await kelviq.customers.retrieve("user-1")
    assert (len(calls), len(kelviq.sent)) == (1, 2)


async def test_a_layer_that_answers_itself(client):
    def canned(inner):
        async def send(request, options):
            return "canned"

        return send

    kelviq = client(layers=[canned])
    assert await kelviq.send(ListCustomers()) == "canned"
    with pytest.raises(ConfigError, match="raw"):
        await kelviq.send_raw(ListCustomers())


async def test_a_raw_answer_is_the_last_attempts(client):
    kelviq = client((500, b"first"), (200, PAGE, {"X-Id": "2"}), retry=Retry(base=0))
    raw = await kelviq.send_raw(ListCustomers())
    assert (raw.status, raw.headers) == (200, {"X-Id": "2"})
    assert "X-Id" not in repr(raw)


async def test_errors_say_which_call_failed_and_survive_pickling(client):
    with pytest.raises(NotFound) as caught:
        await client((404, {"detail": "Not found."})).customers.retrieve("user-1")
    error = pickle.loads(pickle.dumps(caught.value))  # noqa: S301  our own
    assert (error.operation, error.status, str(error)) == ("RetrieveCustomer", 404, str(caught.value))
    assert caught.value.request == RetrieveCustomer("user-1")
    assert error.request is None


def test_the_repr_shows_no_keys(client):
    assert repr(client()) == "<Kelviq sandbox https://sandboxapi.kelviq.com/api/v1>"
    assert "sk_secret" not in repr(client().config)


# Opening and closing


async def test_the_first_call_opens(client):
    kelviq = client(echo)
    assert kelviq._runtime.transport is None
    await kelviq.customers.retrieve("user-1")
    assert kelviq._runtime.transport is not None


async def test_open_and_close(client):
    kelviq = client(echo)
    transport = kelviq._runtime.given
    assert await kelviq.open() is kelviq
    assert await kelviq.open() is kelviq
    await kelviq.close()
    await kelviq.close()
    assert transport.closed == 1
    with pytest.raises(ClientClosed):
        await kelviq.customers.retrieve("user-1")
    async with kelviq as same:
        assert same is kelviq
        await kelviq.customers.retrieve("user-1")
    assert transport.closed == 2


async def test_closed_before_it_was_ever_opened(client):
    kelviq = client(echo)
    await kelviq.close()
    with pytest.raises(ClientClosed):
        await kelviq.customers.retrieve("user-1")


async def test_opened_and_closed_in_different_tasks(client):
    kelviq = client(echo)
    await asyncio.create_task(kelviq.__aenter__())
    await asyncio.create_task(kelviq.customers.retrieve("user-1"))
    await asyncio.create_task(kelviq.__aexit__(None, None, None))


@pytest.fixture
async def opened(client):
    async with client(echo) as kelviq:
        yield kelviq


async def test_held_open_by_a_fixture(opened):
    assert (await opened.customers.retrieve("user-1")).customer_id == "user-1"


AT_MODULE_LEVEL = Kelviq(server_key="sk_secret")


async def test_at_module_level_nothing_is_opened_before_a_call():
    assert AT_MODULE_LEVEL._runtime.transport is None


def test_one_loop_after_another(client):
    kelviq = client(echo)

    async def use():
        async with kelviq:
            return await kelviq.customers.retrieve("user-1")

    assert asyncio.run(use()) == asyncio.run(use())


def test_another_loop_is_told_what_to_do(client):
    kelviq = client(echo)

    async def use():
        return await kelviq.customers.retrieve("user-1")

    asyncio.run(use())
    with pytest.raises(WrongLoop, match="one client for each loop"):
        asyncio.run(use())
    asyncio.run(kelviq.close())


async def test_an_error_while_closing_does_not_leave_it_half_open(client):
    kelviq = client(echo)
    await kelviq.open()

    async def fail():
        raise OSError("close")

    kelviq._runtime.given.close = fail
    stream = kelviq.send_many([ListCustomers()])
    kelviq.track(stream._work)
    with pytest.raises(OSError, match="close"):
        await kelviq.close()
    with pytest.raises(ClientClosed):
        await anext(stream)
    with pytest.raises(ClientClosed):
        await kelviq.customers.list()


async def test_closing_goes_on_in_a_cancelled_scope(client):
    kelviq = client(echo)
    closed = []

    async def slowly():
        await settled()
        closed.append(True)

    kelviq._runtime.given.close = slowly
    with anyio.CancelScope() as scope:
        async with kelviq:
            scope.cancel()
            await anyio.sleep_forever()
    assert closed == [True]


# Closing while something is under way


@pytest.mark.parametrize(
    ("request_", "expected"), [(ListCustomers(), ClientClosed), (CreateCustomer("user-1"), OutcomeUnknown)]
)
async def test_calls_under_way_end_with_the_client(client, request_, expected):
    kelviq = client(hang)
    call = asyncio.create_task(kelviq.send(request_, timeout=None))
    await settled()
    await kelviq.close()
    with pytest.raises(expected):
        await call


async def test_a_stream_under_way_ends_with_the_client(client):
    kelviq = client(hang, timeout=None)
    stream = kelviq.send_many(itertools.repeat(ListCustomers()), concurrency=5)
    step = asyncio.create_task(stream.__anext__())
    await settled()
    assert len(kelviq.sent) == 5
    await kelviq.close()
    with pytest.raises(ClientClosed):
        await step
    assert [item async for item in stream] == []


async def test_a_stream_keeps_what_is_known_when_the_client_closes(client):
    kelviq = client(echo, echo, echo, hang, timeout=None)
    stream = kelviq.send_many((RetrieveCustomer(f"user-{n}") for n in itertools.count()), concurrency=1)
    await anext(stream)
    await settled()
    await kelviq.close()
    assert [(await anext(stream)).answer.customer_id for _ in range(2)] == ["user-1", "user-2"]
    with pytest.raises(ClientClosed):
        await anext(stream)


async def test_a_walk_under_way_ends_with_the_client(client):
    kelviq = client((200, {**PAGE, "next": "?page=2", "results": [{"id": "1"}]}), hang, timeout=None)
    rows = kelviq.customers.each()
    assert (await anext(rows)).id == "1"
    step = asyncio.create_task(rows.__anext__())
    await settled()
    await kelviq.close()
    with pytest.raises(ClientClosed):
        await step


async def test_a_layer_may_close_the_client(client):
    def closing(inner):
        async def send(request, options):
            await kelviq.close()
            return await inner(request, options)

        return send

    kelviq = client(echo, layers=[closing])
    stream = kelviq.send_many([RetrieveCustomer("user-1")])
    async with asyncio.timeout(5):
        assert (await anext(stream)).ok  # this transport goes on after its end
        with pytest.raises(ClientClosed):
            await anext(stream)


# Many at once


async def test_an_outcome_for_each_request(client):
    def answer(wire):
        return (404, {"detail": "Not found."}) if "user-3" in wire.url else echo(wire)

    requests = [RetrieveCustomer(f"user-{n}") for n in range(10)]
    outcomes = [outcome async for outcome in client(answer).send_many(requests, ordered=True)]
    assert [outcome.request for outcome in outcomes] == requests
    assert [outcome.ok for outcome in outcomes] == [n != 3 for n in range(10)]
    assert type(outcomes[3].error) is NotFound
    assert outcomes[4].answer.customer_id == "user-4"


@pytest.mark.parametrize("thing", [None, "x", RetrieveCustomer, RetrieveCustomer("")])
async def test_an_item_that_is_no_request_is_its_own_failure(client, thing):
    source = [RetrieveCustomer("user-1"), thing, RetrieveCustomer("user-2")]
    outcomes = [outcome async for outcome in client(echo).send_many(source, ordered=True)]
    assert [outcome.ok for outcome in outcomes] == [True, False, True]
    assert isinstance(outcomes[1].error, InvalidRequest)
    assert outcomes[1].request is thing


async def test_every_kind_of_failure_stays_with_its_request(client):
    script = [echo, (500, b""), (200, b"?"), ConnectionLost("gone"), (401, b""), echo]
    kelviq = client(*script, retry=False)
    outcomes = kelviq.send_many([RetrieveCustomer("user-1")] * 6, concurrency=1, ordered=True)
    errors = [type(outcome.error).__name__ async for outcome in outcomes]
    assert errors == [
        "NoneType",
        "ServerError",
        "UnreadableAnswer",
        "ConnectionLost",
        "Unauthorized",
        "NoneType",
    ]


@pytest.mark.parametrize("concurrency", [1, 3, 20])
async def test_no_more_calls_at_once_than_asked_for(client, concurrency):
    running, most = 0, 0

    async def answer(wire):
        nonlocal running, most
        running += 1
        most = max(most, running)
        for _ in range(concurrency):
            await asyncio.sleep(0)
        running -= 1
        return echo(wire)

    requests = (RetrieveCustomer(f"user-{n}") for n in range(100))
    outcomes = client(answer).send_many(requests, concurrency=concurrency)
    assert len({outcome.answer.customer_id async for outcome in outcomes}) == 100
    assert most == concurrency


async def test_left_alone_a_stream_leaves_nothing_running(client):
    kelviq = client(echo)
    async for _ in kelviq.send_many(itertools.repeat(RetrieveCustomer("user-1"))):
        break
    gc.collect()
    await settled()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    await kelviq.customers.retrieve("user-1")


async def test_a_long_list_in_flat_memory(client):
    kelviq = client(echo)
    kelviq._runtime.given.sent = Forgetful()
    stream = kelviq.send_many(RetrieveCustomer(f"user-{n}") for n in range(8_000))
    for _ in range(500):
        await anext(stream)
    gc.collect()
    tracemalloc.start()
    try:
        async for _ in stream:
            pass
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2_000_000


class Forgetful(list):
    """Takes everything and keeps nothing."""

    def append(self, item):
        pass


# The emulator


def test_settings_of_a_local_client_can_be_replaced(scripted):
    class World(scripted):
        server_key, client_key, partner_key = "sk_world", "ck_world", "pk_world"

    world = World(200)
    kelviq = Kelviq.local(world, timeout=3)
    assert kelviq._runtime.given is world
    assert kelviq._options.timeout == 3
    assert kelviq.config.core_url == "http://localhost/api/v1"


def test_from_the_environment_alone(monkeypatch):
    monkeypatch.setenv("KELVIQ_SERVER_API_KEY", "sk_env")
    monkeypatch.setenv("KELVIQ_ENV", "production")
    kelviq = Kelviq.from_env(account="acme")
    assert (kelviq.config.environment, kelviq.config.account) == ("production", "acme")
    assert kelviq.config.server_key.reveal() == "sk_env"
