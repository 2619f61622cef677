"""The store in Redis: how it is set up, what it costs when the server is slow or gone, and its messages."""

import asyncio
import contextlib
import gc
import logging
import secrets
import subprocess
import time

import pytest

from kelviq_async.stores import RedisStore, StoreFailed
from kelviq_async.stores.redis import CONNECTIONS
from tests.stores.conformance import received

pytestmark = pytest.mark.redis

# Nothing here waits for this long; it is what a busy machine may take.
LONG = 10


@pytest.fixture
async def connect(redis_url):
    """Makes stores of one prefix, which nobody else uses."""
    stores, prefix = [], f"redis-{secrets.token_hex(4)}"

    def make(url=redis_url, **settings):
        stores.append(RedisStore(url, **{"prefix": prefix, "deadline": 5, **settings}))
        return stores[-1]

    yield make
    for store in stores:
        await store.close()


class Peer:
    """Stands between a store and its server, or where one should be."""

    def __init__(self, path=None):
        self.path = path
        self.accepted = 0
        self.muted = 0  # connections up to this one are not served any more, and stay open
        self.traffic = asyncio.Queue()
        self.writers = []

    async def __aenter__(self):
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}"
        return self

    async def __aexit__(self, *_):
        self.server.close()
        self.cut()

    async def serve(self, reader, writer):
        self.accepted += 1
        self.writers.append(writer)
        if self.path is None:
            return  # never a word
        back, forth = await asyncio.open_unix_connection(self.path)
        self.writers.append(forth)
        number = self.accepted
        await asyncio.gather(self.pump(number, reader, forth), self.pump(number, back, writer))

    async def pump(self, number, reader, writer):
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                self.traffic.put_nowait(data)
                if number > self.muted:
                    writer.write(data)
        writer.close()

    def cut(self):
        for writer in self.writers:
            writer.close()
        self.writers.clear()


def relay(redis_url):
    return Peer(redis_url.removeprefix("unix://"))


# When the server is slow or gone


async def failures_of(store, times):
    messages = []
    for _ in range(times):
        with pytest.raises(StoreFailed) as raised:
            await store.get("a")
        messages.append(raised.value.message)
    return messages


async def test_a_mute_server_costs_some_deadlines_and_then_nothing(connect):
    async with Peer() as peer:
        store = connect(peer.url, deadline=0.2, failures=2, pause=3600)
        started = time.monotonic()
        said = await failures_of(store, 1000)
        assert 0.4 <= time.monotonic() - started < LONG
        assert said[:2] == ["the store did not answer within 0.2 seconds"] * 2
        assert set(said[2:]) == {"the store has failed several times in a row and is left alone for a while"}
        assert peer.accepted == 2


async def test_many_at_once_wait_for_one_deadline_only(connect):
    async with Peer() as peer:
        store = connect(peer.url, deadline=0.5, pause=3600)
        started = time.monotonic()
        results = await asyncio.gather(*(store.get("a") for _ in range(500)), return_exceptions=True)
        assert {type(result) for result in results} == {StoreFailed}
        # in rows of 32 it would be eight seconds
        assert time.monotonic() - started < 5
        assert peer.accepted < 50


async def test_a_server_that_is_not_there(connect):
    async with Peer() as peer:
        pass
    store = connect(peer.url, failures=2)
    said = await failures_of(store, 3)
    assert [each.split(" (")[0] for each in said[:2]] == ["the store cannot be reached"] * 2
    assert said[2].startswith("the store has failed several times")


async def test_after_the_pause_it_is_tried_again(connect, redis_url):
    async with Peer() as mute, relay(redis_url) as good:
        store = connect(mute.url, deadline=0.2, failures=1)
        now = 1000.0
        store._breaker._clock = lambda: now
        await failures_of(store, 5)
        assert mute.accepted == 1
        now += 5
        await failures_of(store, 5)
        assert mute.accepted == 2
        await store.close()
        store._pool = connect(good.url)._pool
        store._deadline = LONG
        now += 5
        await store.set("a", b"1", 100)
        assert await store.get("a") == b"1"


async def test_a_refusal_is_a_failure_but_no_reason_to_stay_away(connect, redis_url):
    store = connect(failures=1)
    await store._here().client.rpush(store._name("list"), "x")
    for _ in range(3):
        with pytest.raises(StoreFailed, match="refused"):
            await store.get("list")
    assert await store.get("a") is None


async def test_a_wrong_password_is_told_to_nobody(connect, redis_url):
    store = connect(f"{redis_url}?password=hunter2")
    with pytest.raises(StoreFailed) as raised:
        await store.get("a")
    assert "hunter2" not in repr(raised.value)
    assert raised.value.__suppress_context__


async def test_a_server_that_speaks_something_else(connect):
    async def serve(reader, writer):
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        store = connect(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}", failures=1)
        with pytest.raises(StoreFailed):
            await store.get("a")


async def test_a_connection_that_broke_while_idle_is_not_noticed(connect, redis_url):
    async with relay(redis_url) as peer:
        store = connect(peer.url)
        await store.set("a", b"1", 100)
        for _ in range(3):
            peer.cut()
            await asyncio.sleep(0)
            with contextlib.suppress(StoreFailed):  # it may break at the very moment it is used
                await store.get("a")
            assert await store.get("a") == b"1"


async def test_who_gives_up_takes_nobody_elses_answer_along(connect):
    store = connect()
    for n in range(20):
        await store.set(f"key-{n}", b"%d" % n, 100)
    for turn in range(50):
        task = asyncio.create_task(store.get(f"key-{turn % 20}"))
        for _ in range(turn % 7):
            await asyncio.sleep(0)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        assert await store.get(f"key-{(turn + 1) % 20}") == b"%d" % ((turn + 1) % 20)
    assert not store._breaker.open


async def test_a_crowd_of_our_own_is_no_failure_of_the_server(connect):
    store = connect(deadline=0.05, failures=1)
    room = store._here()._room
    for _ in range(CONNECTIONS):
        await room.acquire()
    with pytest.raises(StoreFailed, match=f"busy: none of {CONNECTIONS} connections"):
        await store.get("a")
    assert not store._breaker.open
    room.release()
    store._deadline = LONG
    assert await store.get("a") is None


async def test_more_than_there_are_connections(connect):
    store = connect()
    await store.set("a", b"1", 100)
    assert set(await asyncio.gather(*(store.get("a") for _ in range(500)))) == {b"1"}


# Whose is what


async def test_prefixes_are_apart(connect):
    one, other = connect(), connect(prefix=f"other-{secrets.token_hex(4)}")
    await one.set("a", b"1", 100)
    assert await other.get("a") is None
    box = asyncio.Queue()
    _ = await one.subscribe("c", box.put_nowait, lambda: None)
    await other.publish("c", b"theirs")
    await one.publish("c", b"ours")
    assert await received(box) == b"ours"


async def test_times_to_live_are_kept_by_the_server(connect):
    store = connect()
    await store.set("a", b"1", 0.0001)
    await store.set("b", b"1", 100)
    await store.replace("b", b"1", b"2", 50)
    await store.add("c", b"1", 1.5)
    ttl = [await store._here().client.pttl(store._name(key)) for key in "bc"]
    assert 40_000 < ttl[0] <= 50_000
    assert 0 < ttl[1] <= 1500


def test_it_serves_one_event_loop_after_the_other(redis_url):
    store = RedisStore(redis_url, prefix=secrets.token_hex(4), deadline=5)

    async def use(value):
        before = await store.get("a")
        await store.set("a", value, 100)
        await store.close()
        return before

    assert [asyncio.run(use(value)) for value in (b"1", b"2", b"3")] == [None, b"1", b"2"]
    assert store._lines == {}


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_connections_of_a_loop_that_is_gone_are_not_used(redis_url):
    store = RedisStore(redis_url, prefix=secrets.token_hex(4), deadline=5)
    asyncio.run(store.set("a", b"1", 100))

    async def use():
        value = await store.get("a")
        await store.close()
        return value

    assert asyncio.run(use()) == b"1"
    assert store._lines == {}
    gc.collect()


async def test_making_one_connects_to_nothing():
    async with Peer() as peer:
        before = asyncio.all_tasks()
        store = RedisStore(peer.url)
        await store.close()
        assert asyncio.all_tasks() == before
        assert peer.accepted == 0


# Messages


class Listening:
    """What a subscription says, in its order."""

    def __init__(self):
        self.box = asyncio.Queue()

    async def to(self, store, channel="c"):
        return await store.subscribe(channel, self.box.put_nowait, lambda: self.box.put_nowait("gap"))

    async def heard(self):
        return await received(self.box)


async def test_a_gap_is_told_after_a_connection_broke(connect, redis_url):
    async with relay(redis_url) as peer:
        store, listening = connect(), Listening()
        _ = await listening.to(connect(peer.url))
        await store.publish("c", b"1")
        assert await listening.heard() == b"1"
        for message in (b"2", b"3"):
            peer.cut()
            assert await listening.heard() == "gap"
            await store.publish("c", message)
            assert await listening.heard() == message


@pytest.fixture
async def broken(connect, redis_url, monkeypatch, caplog):
    """``await broken(most)``: the levels at which two breaks are logged, where no pause lasts longer."""
    caplog.set_level(logging.DEBUG, "kelviq_async")

    async def twice(most):
        monkeypatch.setattr("kelviq_async.stores.listening.BACKOFF", (0.001, most))
        async with relay(redis_url) as peer:
            listening = Listening()
            _ = await listening.to(connect(peer.url))
            for _ in range(2):
                peer.cut()
                assert await listening.heard() == "gap"
        return [each.levelno for each in caplog.records if "channel was interrupted" in each.message][:2]

    return twice


@pytest.mark.parametrize(("most", "second"), [(0.0, logging.WARNING), (3600.0, logging.DEBUG)])
async def test_what_had_worked_for_a_while_is_missed_aloud_again(broken, most, second):
    assert await broken(most) == [logging.WARNING, second]


async def test_a_server_that_comes_later_makes_a_gap(connect, redis_url):
    async with Peer() as peer:
        listening = Listening()
        _ = await listening.to(connect(peer.url, deadline=0.05))
        assert listening.box.empty()
        peer.path = redis_url.removeprefix("unix://")
        peer.cut()
        assert await listening.heard() == "gap"
        await connect().publish("c", b"1")
        assert await listening.heard() == b"1"


async def test_a_server_killed_and_started_again(connect, tmp_path):
    socket = tmp_path / "r"
    command = ["redis-server", "--port", "0", "--unixsocket", socket, "--save", "", "--dir", tmp_path]

    async def start():
        server = await asyncio.create_subprocess_exec(*map(str, command), stdout=subprocess.PIPE)
        async with asyncio.timeout(LONG):
            while b"eady to accept" not in (line := await server.stdout.readline()):
                assert line
        return server

    server = await start()
    try:
        store, listening = connect(f"unix://{socket}", failures=5), Listening()
        _ = await listening.to(store)
        await store.set("a", b"1", 100)
        server.kill()
        await server.communicate()
        with pytest.raises(StoreFailed):
            await store.get("a")
        server = await start()
        assert await listening.heard() == "gap"
        with contextlib.suppress(StoreFailed):  # old versions of redis-py do not notice a dead connection
            await store.get("a")
        assert await store.get("a") is None
        await store.publish("c", b"1")
        assert await listening.heard() == b"1"
    finally:
        server.kill()
        await server.communicate()


async def test_a_peer_that_vanished_without_a_word_is_noticed(connect, redis_url, monkeypatch):
    monkeypatch.setattr("kelviq_async.stores.listening.QUIET", 0.2)
    async with relay(redis_url) as peer:
        listening = Listening()
        _ = await listening.to(connect(peer.url))
        for _ in range(2):
            while b"PING" not in await received(peer.traffic):
                pass
        # Answers to questions kept it. Now nothing comes any more, though the line stands.
        assert peer.accepted == 1
        peer.muted = 1
        assert await listening.heard() == "gap"
        assert peer.accepted == 2


async def test_subscribing_to_a_mute_server_takes_one_deadline_and_its_end_no_time(connect):
    async with Peer() as peer:
        store, listening = connect(peer.url, deadline=0.05), Listening()
        started = time.monotonic()
        subscription = await listening.to(store)
        await subscription.aclose()
        assert time.monotonic() - started < LONG
        assert listening.box.empty()
        assert not store._here()._listeners


async def test_subscribing_to_a_server_that_is_left_alone_waits_for_nothing(connect):
    async with Peer() as peer:
        pass
    store, listening = connect(peer.url, deadline=3 * LONG, failures=1, pause=3600), Listening()
    await failures_of(store, 1)
    started = time.monotonic()
    subscription = await listening.to(store)
    assert time.monotonic() - started < LONG
    assert not subscription.connected.is_set()


async def test_who_gives_up_subscribing_leaves_nothing_behind(connect):
    async with Peer() as peer:
        store, listening = connect(peer.url), Listening()
        before = asyncio.all_tasks()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await listening.to(store)
        assert asyncio.all_tasks() <= before
        assert not store._here()._listeners


async def test_close_ends_what_listens(connect):
    store, listening = connect(), Listening()
    before = asyncio.all_tasks()
    _ = await listening.to(store)
    assert asyncio.all_tasks() > before
    await store.close()
    assert asyncio.all_tasks() == before
