"""What every store has to do: run each of ``ALL`` with a function that gives the store.

``await check(connect)``, where each call of ``connect()`` gives a store that shares what it keeps with the
others, the way other processes would. Keys are new each time; nothing has to be empty before.
"""

import asyncio
import secrets
import time

import pytest

from kelviq_async.errors import ConfigError

PATIENCE = 10.0


def new_key():
    return secrets.token_hex(8)


async def keeps_values(connect):
    store, key = connect(), new_key()
    assert await store.get(key) is None
    await store.set(key, b"1", 100)
    assert await store.get(key) == b"1"
    await store.set(key, b"2")
    assert await connect().get(key) == b"2"


async def keeps_any_bytes_under_any_text(connect):
    store = connect()
    for value in (b"", b"\0\r\n\xff", bytes(range(256)) * 300):
        for key in (new_key(), f"{new_key()} é:%{{}}*"):
            await store.set(key, value, 100)
            assert await store.get(key) == value


async def values_lapse(connect):
    store, lapses, stays = connect(), new_key(), new_key()
    await store.set(stays, b"1", 100)
    await store.set(lapses, b"1", 0.02)
    until = time.monotonic() + PATIENCE
    while await store.get(lapses) is not None:
        assert time.monotonic() < until
    assert await store.get(stays) == b"1"
    assert not await store.replace(lapses, b"1", b"2", 100)
    assert not await store.delete(lapses)
    assert await store.add(lapses, b"3", 100)


async def the_last_time_to_live_counts(connect):
    store, longer, shorter = connect(), new_key(), new_key()
    await store.set(longer, b"1", 0.02)
    await store.set(longer, b"2")
    await store.set(shorter, b"1")
    assert await store.replace(shorter, b"1", b"2", 0.02)
    until = time.monotonic() + PATIENCE
    while await store.get(shorter) is not None:
        assert time.monotonic() < until
    assert await store.get(longer) == b"2"


async def replacing_without_a_time_keeps_for_good(connect):
    store, key, other = connect(), new_key(), new_key()
    await store.set(key, b"1", 0.5)
    assert await store.replace(key, b"1", b"2")
    await store.set(other, b"1", 0.5)
    until = time.monotonic() + PATIENCE
    while await store.get(other) is not None:
        assert time.monotonic() < until
    assert await store.get(key) == b"2"


async def adds_only_where_there_is_nothing(connect):
    store, key = connect(), new_key()
    assert await store.add(key, b"", 100)
    assert not await store.add(key, b"2")
    assert await store.get(key) == b""


async def replaces_only_what_was_expected(connect):
    store, key = connect(), new_key()
    assert not await store.replace(key, b"", b"2", 100)
    assert await store.get(key) is None
    await store.set(key, b"1", 100)
    assert not await store.replace(key, b"0", b"2", 100)
    assert await store.replace(key, b"1", b"2", 100)
    assert await store.get(key) == b"2"


async def deletes_what_was_expected(connect):
    store, key = connect(), new_key()
    assert not await store.delete(key)
    await store.set(key, b"1", 100)
    assert not await store.delete(key, b"2")
    assert await store.delete(key, b"1")
    assert not await store.delete(key, b"1")
    await store.set(key, b"1", 100)
    assert await store.delete(key)
    assert await store.get(key) is None


async def one_of_many_wins(connect):
    stores, key = [connect() for _ in range(4)], new_key()
    added = await asyncio.gather(*(stores[n % 4].add(key, b"%d" % n, 100) for n in range(20)))
    assert sum(added) == 1
    value = await stores[0].get(key)
    replaced = await asyncio.gather(*(stores[n % 4].replace(key, value, b"-%d" % n, 100) for n in range(20)))
    assert sum(replaced) == 1
    value = await stores[0].get(key)
    deleted = await asyncio.gather(*(stores[n % 4].delete(key, value) for n in range(20)))
    assert sum(deleted) == 1


async def a_time_to_live_is_a_positive_number(connect):
    store, key = connect(), new_key()
    for ttl in (0, -1, float("nan"), float("inf"), True, "10"):
        for call in (
            store.set(key, b"1", ttl),
            store.add(key, b"1", ttl),
            store.replace(key, b"1", b"2", ttl),
        ):
            with pytest.raises(ConfigError, match="ttl"):
                await call
    assert await store.get(key) is None


async def messages_reach_all_who_listen_in_their_order(connect):
    channel, boxes = new_key(), [asyncio.Queue() for _ in range(3)]
    stores = [connect(), connect()]
    for box, store in zip(boxes, [stores[0], stores[0], stores[1]], strict=True):
        _ = await store.subscribe(channel, box.put_nowait, lambda: None)
    sent = [b"", b"\0\xff", *(b"%d" % n for n in range(50))]
    for message in sent:
        await stores[1].publish(channel, message)
    for box in boxes:
        assert [await received(box) for _ in sent] == sent


async def channels_are_apart(connect):
    store, channel, box, other = connect(), new_key(), asyncio.Queue(), asyncio.Queue()
    _ = await store.subscribe(channel, box.put_nowait, lambda: None)
    _ = await store.subscribe(f"{channel}x", other.put_nowait, lambda: None)
    await store.publish(channel, b"1")
    await store.publish(f"{channel}x", b"2")
    await store.publish(new_key(), b"3")
    assert (await received(box), await received(other)) == (b"1", b"2")
    assert box.empty()


async def who_has_unsubscribed_hears_nothing(connect):
    store, channel, box, other = connect(), new_key(), asyncio.Queue(), asyncio.Queue()
    subscription = await store.subscribe(channel, box.put_nowait, lambda: None)
    _ = await store.subscribe(channel, other.put_nowait, lambda: None)
    await subscription.aclose()
    await subscription.aclose()
    await store.publish(channel, b"1")
    assert await received(other) == b"1"
    assert box.empty()


async def a_listener_that_fails_hears_the_next_message(connect):
    store, channel, box = connect(), new_key(), asyncio.Queue()

    def listen(message):
        box.put_nowait(message)
        raise LookupError(message)

    _ = await store.subscribe(channel, listen, lambda: None)
    await store.publish(channel, b"1")
    await store.publish(channel, b"2")
    assert [await received(box), await received(box)] == [b"1", b"2"]


async def closing_ends_subscriptions_and_no_more(connect):
    store, key, box, other = connect(), new_key(), asyncio.Queue(), asyncio.Queue()
    await store.set(key, b"1", 100)
    subscription = await store.subscribe(key, box.put_nowait, lambda: None)
    await store.close()
    await store.close()
    await subscription.aclose()
    assert await store.get(key) == b"1"
    _ = await store.subscribe(key, other.put_nowait, lambda: None)
    await store.publish(key, b"2")
    assert await received(other) == b"2"
    assert box.empty()


async def received(box):
    """The next message, which must not take for ever."""
    async with asyncio.timeout(PATIENCE):
        return await box.get()


ALL = [
    keeps_values,
    keeps_any_bytes_under_any_text,
    values_lapse,
    the_last_time_to_live_counts,
    replacing_without_a_time_keeps_for_good,
    adds_only_where_there_is_nothing,
    replaces_only_what_was_expected,
    deletes_what_was_expected,
    one_of_many_wins,
    a_time_to_live_is_a_positive_number,
    messages_reach_all_who_listen_in_their_order,
    channels_are_apart,
    who_has_unsubscribed_hears_nothing,
    a_listener_that_fails_hears_the_next_message,
    closing_ends_subscriptions_and_no_more,
]
