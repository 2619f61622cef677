"""Blocking iterators: whose thread steps what, and what becomes of them when they are left."""

import asyncio
import gc
import itertools
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from kelviq_async import (
    BadRequest,
    ClientClosed,
    CreateCustomer,
    Decision,
    InvalidRequest,
    KelviqError,
    TimedOut,
)
from kelviq_async.stream import Stream
from kelviq_sync import Rows, _loop, _rows
from kelviq_sync._loop import run


def pairs(count, feature="export"):
    return ((f"export-{number}", feature) for number in range(count))


def tasks():
    """How many tasks there are on the private loop, this one aside."""

    async def count():
        for _ in range(20):  # cancelled ones get their turns to end
            await asyncio.sleep(0)
        return len(asyncio.all_tasks()) - 1

    return run(count())


class Listed(Stream):
    """A stream of chunks that are made up; an exception among them is raised."""

    def __init__(self, *chunks):
        super().__init__()
        self.chunks = list(chunks)

    async def _fetch(self):
        chunk = self.chunks.pop(0) if self.chunks else []
        if isinstance(chunk, Exception):
            raise chunk
        self._ready.extend(chunk)


# What comes.


def test_results_come_in_chunks_and_end():
    rows = Rows(Listed([1, 2], [3]))
    assert iter(rows) is rows
    assert list(rows) == [1, 2, 3]
    assert list(rows) == []


def test_every_item_of_an_iterable_is_worked_on(scripted, answers):
    kelviq, _ = scripted(answers.entitled)
    decisions = list(kelviq.entitlements.check_many(pairs(5000), concurrency=20))
    assert {d.customer_id for d in decisions} == {f"export-{n}" for n in range(5000)}
    assert all(isinstance(d, Decision) and d.allowed for d in decisions)


def test_results_come_in_order_where_that_is_asked(scripted, answers):
    kelviq, _ = scripted(answers.customer)
    requests = [CreateCustomer(str(number)) for number in range(300)]
    outcomes = list(kelviq.send_many(iter(requests), concurrency=7, ordered=True))
    assert [outcome.answer.customer_id for outcome in outcomes] == [str(number) for number in range(300)]


def test_one_failure_never_ends_the_others(scripted):
    kelviq, _ = scripted(lambda request: (400, {}) if b'"1"' in request.body else json.loads(request.body))
    outcomes = list(kelviq.send_many([CreateCustomer(str(n)) for n in range(3)], ordered=True))
    assert [type(outcome.error) for outcome in outcomes] == [type(None), BadRequest, type(None)]


def test_lookups_come_for_many_customers(scripted, answers):
    kelviq, _ = scripted(answers.entitled)
    lookups = kelviq.entitlements.get_many({"export-1", "import-2"})
    assert sorted((found.customer_id, *found.entitlements) for found in lookups) == [
        ("export-1", "export"),
        ("import-2", "import"),
    ]


@pytest.mark.parametrize("source", ["export-1", b"export-1", None, 7])
def test_what_is_no_iterable_of_items_is_refused(scripted, answers, source):
    kelviq, _ = scripted(answers.entitled)
    with pytest.raises(InvalidRequest, match="an iterable is needed, not"):
        kelviq.entitlements.get_many(source)


def test_an_async_iterable_is_refused(scripted, answers):
    async def source():
        yield "export-1"

    kelviq, _ = scripted(answers.entitled)
    with pytest.raises(InvalidRequest, match="not async_generator"):
        kelviq.entitlements.get_many(source())


def test_a_wrong_concurrency_is_refused_before_anything_is_taken(scripted, answers):
    kelviq, _ = scripted(answers.entitled)
    source = iter(["export-1"])
    with pytest.raises(InvalidRequest):
        kelviq.entitlements.get_many(source, concurrency=0)
    assert list(source) == ["export-1"]


# The caller's iterable.


def test_an_iterable_is_stepped_and_dropped_in_the_callers_thread_only(scripted, answers):
    threads = set()

    def source():
        try:
            for pair in pairs(3000):
                threads.add(threading.current_thread())
                yield pair
        finally:
            threads.add(threading.current_thread())

    kelviq, transport = scripted(answers.entitled)
    assert len(list(kelviq.entitlements.check_many(source()))) == 3000
    rows = kelviq.entitlements.check_many(source())
    next(rows)
    del rows
    gc.collect()
    tasks()
    assert threads == {threading.current_thread()}
    assert transport.threads == {"kelviq-sync"}


def test_an_iterable_may_call_the_client_itself(scripted, answers):
    kelviq, _ = scripted(answers.entitled)

    def source():
        for lookup in kelviq.entitlements.get_many(f"export-{n}" for n in range(50)):
            assert kelviq.entitlements.has_access(lookup.customer_id, "export")
            yield lookup.customer_id, "export"

    assert len(list(kelviq.entitlements.check_many(source()))) == 50


def test_an_endless_iterable_is_read_a_thousand_items_ahead(scripted, answers):
    taken = itertools.count()
    kelviq, _ = scripted(answers.entitled)
    with kelviq.entitlements.check_many((f"export-{next(taken)}", "export") for _ in iter(int, 1)) as rows:
        assert len(list(itertools.islice(rows, 10))) == 10
    assert next(taken) <= 2000  # what waits, and what was being worked on


@pytest.fixture
def slowly(monkeypatch):
    """Has every step of an iterable seem to take so many seconds."""

    def set_pace(seconds):
        ticks = itertools.count(step=seconds)
        monkeypatch.setattr(_rows, "time", SimpleNamespace(monotonic=lambda: next(ticks)))

    return set_pace


def test_neither_a_slow_iterable_nor_slow_calls_hold_the_others_up(scripted, answers, slowly):
    slowly(0.06)
    both = asyncio.Event()

    async def slow(request):
        if len(transport.asked) == 2:
            both.set()
        await both.wait()
        return answers.entitled(request)

    kelviq, transport = scripted(slow)
    assert len(list(kelviq.entitlements.check_many(pairs(2)))) == 2


def test_calls_go_on_while_the_iterable_is_slow(scripted, answers, slowly):
    slowly(0.06)
    begun, first, second = {}, threading.Event(), threading.Event()

    async def slow(request):
        if len(transport.asked) == 1:
            begun["loop"], begun["gate"] = asyncio.get_running_loop(), asyncio.Event()
            first.set()
            await begun["gate"].wait()
        else:
            second.set()
        return answers.entitled(request)

    def source():
        yield from pairs(2)
        # both have been handed over, and the wait for a result was broken off to come here
        assert first.wait(10)
        begun["loop"].call_soon_threadsafe(begun["gate"].set)
        assert second.wait(10)
        yield "export-2", "export"

    kelviq, transport = scripted(slow)
    assert len(list(kelviq.entitlements.check_many(source(), concurrency=1))) == 3


def test_a_result_is_not_kept_back_for_a_slow_iterable(scripted, answers, slowly):
    slowly(20)
    seen = []

    def source():
        for pair in pairs(3):
            seen.append("taken")
            yield pair

    kelviq, _ = scripted(answers.entitled)
    seen.extend("known" for _ in kelviq.entitlements.check_many(source()))
    assert seen == ["taken", "known"] * 3


def test_an_error_of_the_iterable_comes_after_what_came_before_it(scripted, answers):
    def source():
        yield from pairs(20)
        raise LookupError("the cursor broke")

    kelviq, _ = scripted(answers.entitled)
    rows, known = kelviq.entitlements.check_many(source()), []
    with pytest.raises(LookupError, match="the cursor broke"):
        known.extend(rows.__next__() for _ in iter(int, 1))
    assert list(rows) == []


@pytest.mark.parametrize("error", [TimeoutError("its own"), TimedOut("the call's")])
def test_a_timeout_that_is_not_the_iterators_own_is_raised(scripted, answers, error):
    def source():
        yield "export-1", "export"
        raise error

    kelviq, _ = scripted(answers.entitled)
    rows = kelviq.entitlements.check_many(source())
    assert next(rows).allowed
    with pytest.raises(type(error)) as caught:
        next(rows)
    assert caught.value is error


def test_an_exit_of_the_iterable_passes_at_once_and_loses_nothing(scripted, answers):
    class Source:
        def __init__(self):
            self.left, self.broken = list(pairs(10)), False

        def __iter__(self):
            return self

        def __next__(self):
            if len(self.left) == 5 and not self.broken:
                self.broken = True
                raise KeyboardInterrupt
            if not self.left:
                raise StopIteration
            return self.left.pop(0)

    kelviq, _ = scripted(answers.entitled)
    rows = kelviq.entitlements.check_many(Source())
    with pytest.raises(KeyboardInterrupt):
        next(rows)
    assert len(list(rows)) == 10


# Failures.


def test_a_page_that_failed_can_be_asked_for_again():
    rows = Rows(Listed([1], KelviqError("lost"), [2]))
    assert next(rows) == 1
    with pytest.raises(KelviqError, match="lost"):
        next(rows)
    assert list(rows) == [2]


def test_an_interrupt_loses_no_result(monkeypatch):
    rows = Rows(Listed([1], [2], [3]))

    def interrupted(coroutine):
        run(coroutine)
        raise KeyboardInterrupt

    assert next(rows) == 1
    with monkeypatch.context() as patch:
        patch.setattr(_loop, "run", interrupted)
        with pytest.raises(KeyboardInterrupt):
            next(rows)
    assert list(rows) == [2, 3]


# Leaving.


@pytest.fixture
def endless(scripted, answers):
    """A client, and rows that never end, whose calls are under way."""
    kelviq, _ = scripted(answers.entitled)
    return kelviq, kelviq.entitlements.check_many((f"export-{n}", "export") for n in itertools.count())


def test_leaving_a_loop_leaves_no_tasks(scripted, answers):
    kelviq, _ = scripted(answers.entitled)
    for decision in kelviq.entitlements.check_many((f"export-{n}", "export") for n in itertools.count()):
        assert decision.allowed
        assert tasks() > 0
        break
    gc.collect()
    assert tasks() == 0


def test_closing_it_ends_it_at_once(endless):
    _, rows = endless
    assert next(rows).allowed
    rows.close()
    rows.close()
    assert tasks() == 0
    assert list(rows) == []


def test_a_block_closes_it(endless):
    _, rows = endless
    with rows as entered:
        assert entered is rows
        assert next(rows).allowed
        assert tasks() > 0
    assert tasks() == 0


def test_closing_the_client_ends_it(endless):
    kelviq, rows = endless
    next(rows)
    kelviq.close()
    with pytest.raises(ClientClosed):
        list(rows)
    assert tasks() == 0


def test_closing_what_was_never_begun_starts_nothing(script):
    assert script("""
        from kelviq_sync import Kelviq
        with Kelviq("sk_test").entitlements.check_many([("a", "b")]):
            pass
        print(_loop.running())
    """) == ["False"]


# Threads.


def test_threads_may_share_it(scripted, answers):
    kelviq, _ = scripted(answers.entitled)
    rows = kelviq.entitlements.check_many(pairs(2000))
    with ThreadPoolExecutor(8) as pool:
        parts = list(pool.map(lambda _: [decision.customer_id for decision in rows], range(8)))
    assert sorted(itertools.chain(*parts)) == sorted(f"export-{n}" for n in range(2000))


def test_it_can_be_closed_while_another_thread_waits(scripted):
    asked = threading.Event()

    async def never(request):
        asked.set()
        await asyncio.Event().wait()

    kelviq, _ = scripted(never)
    rows = kelviq.entitlements.check_many(pairs(3))
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(list, rows)
        try:
            assert asked.wait(10)
        finally:
            rows.close()
        assert waiting.result(10) == []


async def test_it_works_inside_a_running_loop(scripted, answers):
    kelviq, _ = scripted(answers.entitled)
    assert len(list(kelviq.entitlements.check_many(pairs(30)))) == 30
