"""Connections for everybody: no more than allowed, and none forgotten."""

import asyncio
import contextlib
import functools
import gc
import random
import socket

import pytest

from kelviq_async.errors import BadCertificate, ClientClosed, ConnectionLost, NeverSent
from kelviq_async.http1.heads import Origin

from .conftest import BLOCK, OK, answering, arrive, exchange, until

# Kept ones


async def test_a_connection_is_kept_for_the_next(pool, serving, tls):
    async with serving(answering, tls[0]) as origin:
        ours = pool()
        first = await ours.take(origin)
        await first.exchange(BLOCK)
        ours.back(first)
        second = await ours.take(origin)
        assert second is first
        assert (await second.exchange(BLOCK)).body == b"{}"
        ours.back(second)
        channel = first.transport.get_extra_info("socket")
        assert channel.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


async def test_the_youngest_is_used_first(pool, serving):
    async with serving(answering) as origin:
        ours = pool()
        first, second = await ours.take(origin), await ours.take(origin)
        for each in (first, second):
            ours.back(each)
        assert await ours.take(origin) is second
        ours.back(second)


async def test_one_that_is_busy_or_spoilt_is_not_kept(pool, serving):
    async with serving(answering) as origin:
        ours = pool()
        busy = await ours.take(origin)
        busy.exchange(BLOCK).cancel()
        ours.back(busy)
        spoilt = await ours.take(origin)
        arrive(spoilt, b"x")
        ours.back(spoilt)
        assert busy.closed
        assert spoilt.closed
        assert not ours._idle


async def test_one_that_has_ended_or_grown_old_is_not_used(pool, serving):
    async with serving(answering) as origin:
        ours = pool()
        old, ended, good = [await ours.take(origin) for _ in range(3)]
        for each in (good, old, ended):
            ours.back(each)
        old.since -= 31
        ended.eof_received()
        assert await ours.take(origin) is good
        assert old.closed
        assert ended.closed
        await until(lambda: ours._open == {good})
        ours.back(good)


@pytest.fixture
def held_up():
    """A server that can do something while the event loop has no time to hear of it."""
    with socket.create_server(("127.0.0.1", 0)) as listener, contextlib.ExitStack() as peers:

        async def connected(ours):
            origin = Origin("127.0.0.1", listener.getsockname()[1], tls=False)
            connection = await ours.take(origin)
            peer = peers.enter_context(listener.accept()[0])
            return connection, peer

        yield connected


@pytest.mark.parametrize("what", ["bytes", "end"])
async def test_what_came_while_the_loop_was_held_up_is_heard_first(pool, held_up, what):
    ours = pool(connections=3)
    kept = [await held_up(ours) for _ in range(2)]
    for connection, peer in kept:
        ours.back(connection)
        connection.since -= 2
        if what == "bytes":
            peer.sendall(OK)
        else:
            peer.close()
    fresh, _ = await held_up(ours)
    assert fresh not in {connection for connection, _ in kept}
    assert all(connection.closed for connection, _ in kept)
    assert fresh.usable
    ours.back(fresh)


async def test_one_that_has_rested_is_used_if_it_still_stands(pool, held_up):
    ours = pool()
    connection, peer = await held_up(ours)
    ours.back(connection)
    connection.since -= 2
    assert await ours.take(connection.origin) is connection
    answer = connection.exchange(BLOCK)
    peer.sendall(OK)
    assert (await answer).body == b"{}"
    ours.back(connection)


@pytest.mark.parametrize("ending", ["cancelled", "closed"])
async def test_a_look_at_one_that_has_rested_can_be_ended(pool, held_up, ending):
    ours = pool()
    connection, _ = await held_up(ours)
    ours.back(connection)
    connection.since -= 2
    call = asyncio.create_task(ours.take(connection.origin))
    await asyncio.sleep(0)
    if ending == "closed":
        await ours.close()
        with pytest.raises(ClientClosed):
            await call
    else:
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    assert connection.closed
    assert ours._taken == 0


async def test_one_that_ends_while_it_is_kept_is_forgotten(pool, serving):
    done = asyncio.Event()

    async def script(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)
        await done.wait()

    async with serving(script) as origin:
        ours = pool()
        await exchange(ours, origin)
        assert ours._idle[origin]
        done.set()
        await until(lambda: not ours._open)
        assert not ours._idle[origin]


async def test_a_timer_ends_those_that_nobody_wants(pool, serving, tls):
    over = asyncio.Event()

    async def script(reader, writer):
        with contextlib.suppress(asyncio.IncompleteReadError):
            await answering(reader, writer)
        over.set()

    async with serving(script, tls[0]) as origin:
        ours = pool(keepalive=0.01)
        await exchange(ours, origin)
        async with asyncio.timeout(10):
            await over.wait()
        await until(lambda: not ours._open)
        assert ours._sweep is None


async def test_the_timer_goes_on_for_the_younger_ones(pool, serving):
    async with serving(answering) as origin, serving(answering) as other:
        ours = pool(keepalive=30)
        old, young, elsewhere = await ours.take(origin), await ours.take(origin), await ours.take(other)
        for each in (old, young, elsewhere):
            ours.back(each)
        first = ours._sweep
        old.since -= 30
        young.since -= 10
        ours._expire()
        assert [each.closed for each in (old, young, elsewhere)] == [True, False, False]
        assert ours._sweep is not first
        assert ours._sweep.when() == young.since + 30
        first.cancel()
        young.since -= 30
        elsewhere.since -= 30
        ours._sweep.cancel()
        ours._expire()
        assert elsewhere.closed
        assert ours._sweep is None


# No more than allowed


async def test_those_who_wait_are_served_in_order(pool, serving):
    async with serving(answering) as origin:
        ours = pool(connections=1)
        held = await ours.take(origin)
        served = []

        async def call(n):
            await exchange(ours, origin)
            served.append(n)

        calls = [asyncio.create_task(call(n)) for n in range(10)]
        await until(lambda: len(ours._places._waiters or ()) == 10)
        calls[3].cancel()
        ours.back(held)
        late = asyncio.create_task(call(10))
        await asyncio.wait([*calls, late])
        assert served == [0, 1, 2, 4, 5, 6, 7, 8, 9, 10]


async def test_an_idle_one_makes_room_for_another_origin(pool, serving, sockets):
    async with serving(answering) as first, serving(answering) as second, serving(answering) as third:
        counted = sockets()
        ours = pool(connections=2)
        for origin in (first, second, third, first):
            await exchange(ours, origin)
        assert counted.most == 2
        assert {each.origin for each in ours._open if not each.closed} == {third, first}


def moody(chance):
    """A server that sometimes hangs up, and sometimes falls silent."""

    async def script(reader, writer):
        while await reader.readuntil(b"\r\n\r\n"):
            mood = chance.random()
            if mood < 0.1:
                return
            if mood < 0.2:
                await reader.read()
            writer.write(OK)

    return script


async def outcomes(calls):
    """What becomes of calls, where those that hang are cancelled one by one."""
    seen = set()
    while calls:
        done, calls = await asyncio.wait(calls, timeout=0.01)
        if calls and not done:
            next(iter(calls)).cancel()
        seen |= {type(call.exception()) for call in done if not call.cancelled()}
    return seen


@pytest.mark.parametrize("seed", range(3))
async def test_never_more_than_allowed_whatever_is_cancelled(pool, serving, both_tls, *, seed, sockets):
    chance = random.Random(seed)  # noqa: S311  the same in every run
    script = moody(chance)
    async with serving(script) as one, serving(script) as two, serving(script, both_tls[0]) as three:
        counted = sockets()
        ours = pool(connections=4)
        calls = []
        for _ in range(150):
            calls.append(asyncio.create_task(exchange(ours, chance.choice([one, two, three]))))
            for _ in range(chance.randrange(6)):
                await asyncio.sleep(0)
            if chance.random() < 0.6:
                chance.choice(calls).cancel()
            assert ours._taken + sum(map(len, ours._idle.values())) <= 4
        assert await outcomes(calls) <= {type(None), ConnectionLost, NeverSent}
        assert counted.most == 4
        await until(lambda: ours._taken == 0)
        for origin in (one, two, three):  # and all the places are there
            held = [await ours.take(origin) for _ in range(4)]
            for each in held:
                ours.back(each)
        assert counted.most == 4
        await ours.close()
        assert counted.there == 0


@pytest.mark.parametrize("ticks", range(12))
async def test_cancelling_at_any_moment_leaves_nothing(pool, serving, tls, *, ticks, sockets):
    async with serving(answering, tls[0]) as origin:
        counted = sockets()
        ours = pool(connections=1)
        call = asyncio.create_task(ours.take(origin))
        for _ in range(ticks):
            await asyncio.sleep(0)
        call.cancel()
        try:
            ours.back(await call)
        except asyncio.CancelledError:
            await until(lambda: not ours._open)
        async with asyncio.timeout(10):
            assert (await exchange(ours, origin)).body == b"{}"
        assert counted.most == 1


async def test_cancelling_just_when_the_connection_is_there(pool, serving, sockets):
    async with serving(answering) as origin:
        counted = sockets()
        ours = pool(connections=1)
        call = asyncio.create_task(ours.take(origin))
        await until(lambda: ours._connecting)
        (connecting,) = ours._connecting
        connecting.add_done_callback(lambda _: call.cancel())
        with pytest.raises(asyncio.CancelledError):
            await call
        await until(lambda: not ours._open)
        assert (counted.there, ours._taken) == (0, 0)


async def test_a_place_is_free_when_its_socket_is_gone(pool, monkeypatch):
    ours = pool(connections=1)
    leaving, gone = asyncio.Event(), asyncio.Event()

    async def slowly(*args, **options):
        try:
            await asyncio.Event().wait()
        finally:
            leaving.set()
            await gone.wait()

    monkeypatch.setattr(asyncio.get_running_loop(), "create_connection", slowly)
    first = asyncio.create_task(ours.take(Origin("127.0.0.1", 1, tls=False)))
    await until(lambda: ours._connecting)
    second = asyncio.create_task(ours.take(Origin("127.0.0.1", 1, tls=False)))
    await asyncio.sleep(0)
    first.cancel()
    await leaving.wait()
    assert len(ours._connecting) == 1
    assert ours._places.locked()
    gone.set()
    with pytest.raises(asyncio.CancelledError):
        await first
    leaving.clear()
    await until(lambda: ours._taken == 1 and len(ours._connecting) == 1)
    await asyncio.sleep(0)
    second.cancel()
    await asyncio.wait({second})


async def test_a_crowd_that_is_cancelled_at_once_costs_little(pool, serving):
    async with serving(answering) as origin:
        ours = pool(connections=1)
        held = await ours.take(origin)
        crowd = [asyncio.create_task(ours.take(origin)) for _ in range(2000)]
        await until(lambda: len(ours._places._waiters or ()) == len(crowd))
        for call in reversed(crowd):
            call.cancel()
        async with asyncio.timeout(5):
            await asyncio.wait(crowd)
        ours.back(held)
        assert await ours.take(origin) is held
        ours.back(held)


async def test_a_failed_attempt_gives_the_same_place_back_once(pool):
    ours = pool(connections=2)
    attempt = functools.partial(ours.take, Origin("127.0.0.1", 1, tls=False))
    errors = await asyncio.gather(*(attempt() for _ in range(9)), return_exceptions=True)
    assert {type(each) for each in errors} == {NeverSent}
    await until(lambda: ours._taken == 0)
    assert ours._places._value == 2


# None to be had


async def test_nobody_is_there(pool):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        origin = Origin("127.0.0.1", probe.getsockname()[1], tls=False)
        ours = pool(connections=1)
        for _ in range(3):
            with pytest.raises(NeverSent, match="ConnectionRefusedError") as caught:
                await ours.take(origin)
            assert isinstance(caught.value.__cause__, OSError)


async def test_a_bad_certificate(pool, serving, both_tls):
    async with serving(answering, both_tls[0]) as origin:
        ours = pool(tls=None, connections=1)
        for _ in range(3):
            with pytest.raises(BadCertificate, match="not accepted"):
                await ours.take(origin)
        await until(lambda: ours._taken == 0)
        assert not ours._open


@pytest.mark.parametrize("event", ["data", "end", "loss"])
async def test_what_ends_before_it_could_be_used_was_never_used(pool, serving, monkeypatch, event):
    async with serving(answering) as origin:
        loop = asyncio.get_running_loop()
        connect = loop.create_connection

        async def unlucky(*args, **options):
            _, connection = await connect(*args, **options)
            if event == "data":
                arrive(connection, OK)
            elif event == "end":
                connection.eof_received()
            else:
                connection.transport.abort()
                await until(lambda: connection.closed)

        monkeypatch.setattr(loop, "create_connection", unlucky)
        ours = pool()
        with pytest.raises(NeverSent, match="closed by the other side"):
            await ours.take(origin)
        await until(lambda: not ours._open)


async def test_a_connection_that_somebody_else_cancels(pool, monkeypatch):
    monkeypatch.setattr(asyncio.get_running_loop(), "create_connection", lambda *a, **o: asyncio.sleep(60))
    ours = pool()
    call = asyncio.create_task(ours.take(Origin("127.0.0.1", 1, tls=False)))
    await until(lambda: ours._connecting)
    for each in ours._connecting:
        each.cancel()
    with pytest.raises(NeverSent, match="cancelled"):
        await call


@pytest.mark.parametrize("ending", ["cancelled", "closed"])
async def test_a_failure_that_nobody_waits_for_makes_no_noise(pool, monkeypatch, caplog, ending):
    async def stubborn(*args, **options):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise OSError("and now it fails") from None

    monkeypatch.setattr(asyncio.get_running_loop(), "create_connection", stubborn)
    ours = pool()
    call = asyncio.create_task(ours.take(Origin("127.0.0.1", 1, tls=False)))
    await until(lambda: ours._connecting)
    await asyncio.sleep(0)
    if ending == "closed":
        await ours.close()
        with pytest.raises(ClientClosed):
            await call
    else:
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    await until(lambda: not ours._connecting)
    del call
    gc.collect()
    assert caplog.records == []
