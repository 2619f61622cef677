"""Invalidations, told and heard, where the store or the moment is awkward."""

import asyncio

import pytest

from kelviq_async.entitlements.news import _READINGS, News
from kelviq_async.stores import MemoryStore, StoreFailed


class Awkward(MemoryStore):
    """Does not let anybody listen for as long as ``deaf``; calls ``asked`` when it is asked for a value."""

    deaf = False

    def asked(self):
        pass

    async def subscribe(self, *arguments):
        if self.deaf:
            raise StoreFailed("it does not listen")
        return await super().subscribe(*arguments)

    async def get(self, key):
        self.asked()
        await asyncio.sleep(0)
        return await super().get(key)


@pytest.fixture
def store():
    return Awkward()


@pytest.fixture
async def news(store):
    forgotten = []
    made = News(store, ("scope",), forgotten.append)
    made.forgotten = forgotten
    yield made
    await made.aclose()


async def settled(news):
    while news._tasks:
        await asyncio.wait(news._tasks)


async def test_a_store_that_lets_nobody_listen_is_asked_again(store, news):
    store.deaf = True
    await news.start()
    assert news.era is None
    store.deaf = False
    await news.start()
    assert news.era is not None
    assert news.forgotten == [None]  # nothing was heard in between


async def test_one_that_never_listened_is_closed_all_the_same(store, news):
    store.deaf = True
    await news.start()
    await news.aclose()
    assert not news.on_this_loop()


async def test_who_begins_to_listen_while_the_era_is_looked_for_looks_for_it_once(store, news):
    asked = []
    store.asked = lambda: asked.append(1)
    starting = news.begin()
    news.look_for_era()
    await starting
    await settled(news)
    assert news.era is not None
    assert len(asked) == 2  # there is none, and then the one that was begun


@pytest.mark.parametrize("turns", [1, _READINGS + 1])
async def test_an_era_that_turns_while_it_is_looked_for_is_looked_for_again(store, news, turns):
    await news.start()
    left = iter(range(turns))
    store.asked = lambda: next(left, None) is not None and news._turn()
    news._turn()
    news.look_for_era()
    await settled(news)
    assert (news.era is None) == (turns > _READINGS)  # somebody else has to ask, after so many
    news.look_for_era()
    await settled(news)
    assert news.era is not None
