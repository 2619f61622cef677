"""The life of connections: shared, kept, closed under a call, and left to the end of the program."""

import asyncio
import contextlib
import gc
import os
import sys

import anyio
import pytest

from kelviq_async import CreateCustomer, Kelviq, Limits, ListCustomers
from kelviq_async.errors import ClientClosed, OutcomeUnknown, WrongLoop

from .conftest import pool_of


async def forever(peer):
    await peer.request()
    peer.server.busy.set()
    await asyncio.Event().wait()


@pytest.fixture
async def silent(serve):
    """A server that reads requests and answers none; ``busy`` is set when one is there."""
    server = await serve(forever)
    server.busy = asyncio.Event()
    return server


@pytest.fixture
def lists(page):
    async def script(peer):
        while await peer.request():
            await peer.write(page)

    return script


async def test_a_connection_is_used_again(serve, client, lists):
    server = await serve(lists)
    kelviq = client(server.url)
    for _ in range(3):
        await kelviq.send(ListCustomers())
    assert server.connections == 1


async def test_views_share_the_pool(serve, client, lists):
    server = await serve(lists)
    kelviq = client(server.url)
    await kelviq.send(ListCustomers())
    await kelviq.with_options(timeout=2, retry=False).customers.list()
    assert server.connections == 1


async def test_no_more_connections_than_allowed(serve, client, page):
    most = open_now = 0

    async def script(peer):
        nonlocal most, open_now
        open_now += 1
        most = max(most, open_now)
        while await peer.request():
            await peer.write(page)
        open_now -= 1

    server = await serve(script)
    kelviq = client(server.url, limits=Limits(connections=3))
    await asyncio.gather(*(kelviq.send(ListCustomers()) for _ in range(30)))
    assert most == 3
    assert len(server.requests) == 30


async def test_a_cancelled_call_gives_its_place_back(silent, client):
    kelviq = client(silent.url, limits=Limits(connections=1))
    for _ in range(3):
        silent.busy.clear()
        call = asyncio.create_task(kelviq.send(ListCustomers()))
        await silent.busy.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    assert len(silent.requests) == 3


# Closing while something is under way


async def test_a_read_that_is_under_way_ends(silent, client):
    kelviq = client(silent.url, timeout=None)
    call = asyncio.create_task(kelviq.send(ListCustomers()))
    await silent.busy.wait()
    await kelviq.close()
    with pytest.raises(ClientClosed):
        await call
    assert len(silent.requests) == 1


async def test_a_write_that_is_under_way_is_unknown(silent, client):
    kelviq = client(silent.url, timeout=None)
    call = asyncio.create_task(kelviq.send(CreateCustomer("user-1")))
    await silent.busy.wait()
    await kelviq.close()
    with pytest.raises(OutcomeUnknown) as caught:
        await call
    assert isinstance(caught.value.__cause__, ClientClosed)


async def test_calls_that_wait_for_a_place_end(silent, client):
    kelviq = client(silent.url, timeout=None, limits=Limits(connections=1))
    calls = [asyncio.create_task(kelviq.send(CreateCustomer(f"user-{n}"))) for n in range(3)]
    await silent.busy.wait()
    await kelviq.close()
    errors = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(error) for error in errors] == [OutcomeUnknown, ClientClosed, ClientClosed]
    assert all(call.cancelling() == 0 for call in calls)


async def test_a_call_that_connects_ends(serve, client):
    connected = asyncio.Event()

    async def never_shakes_hands(peer):
        connected.set()
        await peer.reader.read()

    server = await serve(never_shakes_hands, scheme="https")
    kelviq = client(server.url, timeout=None)
    call = asyncio.create_task(kelviq.send(CreateCustomer("user-1")))
    await connected.wait()
    await kelviq.close()
    with pytest.raises(ClientClosed):
        await call


async def test_a_transport_alone_tells_closing_from_cancelling(silent, transport, get):
    carrier = transport(limits={"connections": 1})
    first = asyncio.create_task(carrier.send(get(silent.url)))
    await silent.busy.wait()
    waiting, cancelled = (asyncio.create_task(carrier.send(get(silent.url))) for _ in range(2))
    pool = pool_of(carrier)
    while not (pool.connector._waiters if hasattr(pool, "connector") else len(pool._places._waiters or ())):
        await asyncio.sleep(0)
    cancelled.cancel()
    await carrier.close()
    outcomes = await asyncio.gather(first, waiting, cancelled, return_exceptions=True)
    assert [type(each) for each in outcomes] == [ClientClosed, ClientClosed, asyncio.CancelledError]
    with pytest.raises(ClientClosed):
        await carrier.send(get(silent.url))


async def test_closing_twice_and_opening_again(serve, client, lists):
    server = await serve(lists)
    kelviq = client(server.url)
    await kelviq.send(ListCustomers())
    await kelviq.close()
    await kelviq.close()
    with pytest.raises(ClientClosed):
        await kelviq.send(ListCustomers())
    async with kelviq:
        await kelviq.send(ListCustomers())
    assert server.connections == 2


async def test_closing_goes_on_in_a_cancelled_scope(serve, client, lists):
    server = await serve(lists)
    kelviq = client(server.url)
    before = asyncio.all_tasks() | server.tasks
    with anyio.CancelScope() as scope:
        async with kelviq:
            await kelviq.send(ListCustomers())
            pool = pool_of(kelviq._runtime.transport)
            scope.cancel()
            await anyio.sleep_forever()
    assert pool.closed
    assert asyncio.all_tasks() - before <= server.tasks


async def test_closing_that_is_cancelled_has_closed(serve, client, lists):
    server = await serve(lists)
    kelviq = client(server.url)
    await kelviq.send(ListCustomers())
    pool = pool_of(kelviq._runtime.transport)
    closing = asyncio.create_task(kelviq.close())
    await asyncio.sleep(0)
    closing.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await closing
    assert pool.closed
    with pytest.raises(ClientClosed):
        await kelviq.send(ListCustomers())


async def test_a_client_that_is_dropped_closes_its_connections(serve, lists):
    server = await serve(lists)
    kelviq = Kelviq(server_key="sk_secret", core_url=server.url)
    await kelviq.send(ListCustomers())
    (connection,) = server.tasks
    del kelviq
    gc.collect()
    await connection  # it ends when the client hangs up


# One client, one loop


async def test_another_loop_is_refused(serve, client, lists):
    server = await serve(lists)
    kelviq = client(server.url)
    await kelviq.send(ListCustomers())
    for use in (kelviq.send(ListCustomers()), kelviq.open(), kelviq.close()):
        with pytest.raises(WrongLoop):
            await asyncio.to_thread(asyncio.run, use)
    await kelviq.send(ListCustomers())
    assert server.connections == 1


async def test_the_next_loop_may_use_it_after_closing(serve, lists):
    server = await serve(lists)
    kelviq = Kelviq(server_key="sk_secret", core_url=server.url)

    async def call():
        return await kelviq.send(ListCustomers())

    async def close_first():
        await kelviq.close()
        await kelviq.open()
        return await kelviq.send(ListCustomers())

    await asyncio.to_thread(asyncio.run, call())
    with pytest.raises(WrongLoop):
        await asyncio.to_thread(asyncio.run, call())
    await asyncio.to_thread(asyncio.run, close_first())
    assert server.connections == 2


# Never closed at all

MODULE_LEVEL = """
import asyncio, os
from kelviq_async import Kelviq
kelviq = Kelviq(server_key="sk_secret", core_url=os.environ["URL"])

async def main():
    print((await kelviq.customers.list()).results)

{run}
"""
RUNS = {
    "asyncio.run": "asyncio.run(main())",
    "anyio.run": "import anyio; anyio.run(main)",
    "a failure": "try: asyncio.run(asyncio.wait_for(main(), 1e-9))\nexcept TimeoutError: print([])",
    "dropped": "asyncio.run(main()); del kelviq",
    "dropped while the loop runs": (
        "async def drop():\n    await main(); globals().pop('kelviq')\nasyncio.run(drop())"
    ),
    "dropped with what it belongs to": (
        "import gc\n"
        "async def drop():\n"
        "    await main(); kelviq.itself = kelviq; globals().pop('kelviq'); gc.collect()\n"
        "asyncio.run(drop())"
    ),
    "dropped in a heap after its loop": (
        "import gc\n"
        "loop = asyncio.new_event_loop(); loop.run_until_complete(main())\n"
        "loop.run_until_complete(loop.shutdown_asyncgens()); loop.close()\n"
        "kelviq.itself = kelviq; del kelviq; gc.collect()"
    ),
    "a loop of one's own": (
        "loop = asyncio.new_event_loop(); loop.run_until_complete(main()); "
        "loop.run_until_complete(loop.shutdown_asyncgens()); loop.close()"
    ),
}


async def output_of(server, program, *flags):
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *flags,
        "-c",
        program,
        env={**os.environ, "URL": server.url, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    return out.decode().strip(), err.decode()


@pytest.mark.parametrize("run", RUNS)
async def test_a_client_at_module_level_leaves_quietly(serve, lists, run):
    server = await serve(lists)
    program = MODULE_LEVEL.format(run=RUNS[run])
    assert await output_of(server, program, "-W", "error") == ("[]", "")


async def test_a_loop_that_is_just_dropped_makes_no_noise_of_ours(serve, lists):
    server = await serve(lists)
    run = "loop = asyncio.new_event_loop(); loop.run_until_complete(main()); loop.close()"
    assert await output_of(server, MODULE_LEVEL.format(run=run)) == ("[]", "")
