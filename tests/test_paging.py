"""Walking a list: every row once, however the list moves, and an end whatever the links say."""

import asyncio
import gc
import itertools

import pytest
from hypothesis import given, strategies as st

from kelviq_async import (
    CatalogPlan,
    Customer,
    ListCustomers,
    ListOrganizations,
    ListPlanPrices,
    ListPlans,
    Page,
)
from kelviq_async.errors import ConnectionLost, NotFound, UnreadableAnswer
from kelviq_async.paging import STALE_PAGES, PageStream, page_number

NEXT = "https://api.kelviq.com/api/v1/customers/?page={}"


def rows(*ids):
    return [Customer(id=each) for each in ids]


def page(ids, following=None):
    return Page(results=rows(*ids), count=99, next=following and NEXT.format(following), previous=None)


class Listing:
    """Answers each page number with what a test wrote down for it."""

    def __init__(self, pages):
        self.pages = pages
        self.asked = []

    async def send(self, request):
        number = getattr(request, "page", None) or 1
        self.asked.append(number)
        assert len(self.asked) < 100, "it goes in circles"
        answer = self.pages(number) if callable(self.pages) else self.pages[number]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def walk(self, request=None):
        return PageStream(request or ListCustomers(), self.send)


async def ids(stream):
    return [row.id async for row in stream]


async def test_all_rows_in_order():
    listing = Listing({1: page("ab", 2), 2: page("cd", 3), 3: page("e")})
    assert await ids(listing.walk()) == list("abcde")
    assert listing.asked == [1, 2, 3]


async def test_an_empty_list():
    listing = Listing({1: page("")})
    stream = listing.walk()
    assert await ids(stream) == []
    assert await ids(stream) == []
    assert listing.asked == [1]


async def test_it_asks_for_the_next_page_when_it_is_wanted():
    listing = Listing({1: page("ab", 2), 2: page("cd")})
    stream = listing.walk()
    assert listing.asked == []
    assert [(await anext(stream)).id, (await anext(stream)).id] == ["a", "b"]
    assert listing.asked == [1]
    assert await stream.chunk() == rows("c", "d")
    assert await stream.chunk() == []


async def test_it_begins_where_the_request_says_and_keeps_its_other_arguments():
    asked = []

    async def send(request):
        asked.append(request)
        return page("a", request.page + 1 if request.page < 6 else None)

    await ids(PageStream(ListCustomers(page=5, page_size=2), send))
    assert asked == [ListCustomers(page=5, page_size=2), ListCustomers(page=6, page_size=2)]


# Links


@pytest.mark.parametrize(
    ("link", "number"),
    [
        (NEXT.format(2), 2),
        ("https://evil.example/steal?page=2", 2),
        ("?page=2", 2),
        ("?page=1&page=2", 2),
        ("?page=2&customer_id=other", 2),
        ("https://api.kelviq.com/?PAGE=2", None),
        ("?page=", None),
        ("?page=-2", None),
        ("?page=2.5", None),
        ("?page=٢", None),
        ("?page=last", None),
        ("https://[broken", None),
        ("", None),
        (None, None),
        (7, None),
        ("?page=" + "9" * 5000, None),
    ],
)
def test_only_the_number_of_a_link_counts(link, number):
    assert page_number(link) == number


@given(st.text())
def test_a_link_may_be_anything(link):
    assert page_number(link) is None or page_number(link) >= 0


async def test_a_link_to_another_host_or_customer_changes_nothing_else():
    asked = []

    async def send(request):
        asked.append(request)
        last = len(asked) == 2
        link = None if last else "https://evil.example/?page=2&search=other&page_size=1000"
        return Page(results=rows(str(len(asked))), count=2, next=link, previous=None)

    assert await ids(PageStream(ListCustomers(page_size=1), send)) == ["1", "2"]
    assert asked[1] == ListCustomers(page=2, page_size=1)


@pytest.mark.parametrize("following", [0, 1, 2])
async def test_a_link_that_leads_back_ends_it(following):
    listing = Listing({1: page("ab", 2), 2: page("cd", following)})
    assert await ids(listing.walk()) == list("abcd")
    assert listing.asked == [1, 2]


async def test_a_link_may_skip_pages():
    listing = Listing({1: page("a", 7), 7: page("b")})
    assert await ids(listing.walk()) == ["a", "b"]


# A list that moves


async def test_rows_that_shift_to_a_later_page_come_once():
    listing = Listing({1: page("abc", 2), 2: page("cde", 3), 3: page("ef")})
    assert await ids(listing.walk()) == list("abcdef")


async def test_a_whole_page_that_shifted_does_not_end_it():
    listing = Listing({1: page("abc", 2), 2: page("abc", 3), 3: page("def")})
    assert await ids(listing.walk()) == list("abcdef")


async def test_an_empty_page_in_the_middle_does_not_end_it():
    listing = Listing({1: page("abc", 2), 2: page("", 3), 3: page("def")})
    assert await ids(listing.walk()) == list("abcdef")


async def test_the_same_page_for_ever_ends():
    listing = Listing(lambda number: page("abc", number + 1))
    assert await ids(listing.walk()) == list("abc")
    assert len(listing.asked) == 1 + STALE_PAGES


async def test_empty_pages_for_ever_end():
    listing = Listing(lambda number: page("", number + 1))
    assert await ids(listing.walk()) == []
    assert len(listing.asked) == STALE_PAGES


async def test_rows_without_an_id_are_all_kept():
    def unnamed(number):
        results = [Customer(name=f"{number}{letter}") for letter in "aab"]
        return Page(results=results, count=6, next=NEXT.format(2) if number == 1 else None, previous=None)

    assert [row.name async for row in Listing(unnamed).walk()] == ["1a", "1a", "1b", "2a", "2a", "2b"]


async def test_a_page_of_rows_without_an_id_that_repeats_for_ever_ends():
    def unnamed(number):
        return Page(results=[Customer(name="x")] * 3, count=3, next=NEXT.format(number + 1), previous=None)

    assert len([row async for row in Listing(unnamed).walk()]) == 3


async def test_versions_of_a_plan_are_rows_of_their_own():
    plans = [CatalogPlan(identifier="pro", version=number) for number in (1, 2, 2)]
    listing = Listing({1: Page(results=plans, count=3, next=None, previous=None)})
    assert [plan.version async for plan in listing.walk(ListPlans())] == [1, 2]


async def test_a_page_that_is_gone_ends_it():
    gone = NotFound("Invalid page.", status=404)
    listing = Listing({1: page("ab", 2), 2: gone})
    assert await ids(listing.walk()) == ["a", "b"]


@pytest.mark.parametrize(
    "pages",
    [
        {1: NotFound("Invalid page.", status=404)},
        {1: page("ab", 2), 2: NotFound("Not found.", status=404)},
        {1: page("ab", 2), 2: ConnectionLost("gone")},
    ],
)
async def test_any_other_failure_is_raised(pages):
    with pytest.raises(type(pages[max(pages)])):
        await ids(Listing(pages).walk())


async def test_after_a_failure_it_can_be_gone_on_with():
    listing = Listing({1: page("ab", 2), 2: ConnectionLost("gone")})
    stream = listing.walk()
    assert [(await anext(stream)).id for _ in range(2)] == ["a", "b"]
    with pytest.raises(ConnectionLost):
        await anext(stream)
    listing.pages[2] = page("cd")
    assert await ids(stream) == ["c", "d"]


async def test_an_answer_without_rows_is_not_an_empty_list():
    listing = Listing({1: Page(results=None, count=0, next=None, previous=None)})
    with pytest.raises(UnreadableAnswer):
        await ids(listing.walk())


# Lists that are shaped like pages and take no page


@pytest.mark.parametrize("request_", [ListPlanPrices("pro"), ListOrganizations()])
async def test_a_list_without_a_page_parameter_is_one_page(request_):
    asked = []

    async def send(request):
        asked.append(request)
        return page("ab", 2)

    assert await ids(PageStream(request_, send)) == ["a", "b"]
    assert asked == [request_]


# Leaving, dropping, closing


async def test_left_and_gone_on_with():
    listing = Listing({1: page("ab", 2), 2: page("cd")})
    stream = listing.walk()
    async for row in stream:
        assert row.id == "a"
        break
    assert await ids(stream) == ["b", "c", "d"]


async def test_closed():
    listing = Listing({1: page("ab", 2), 2: page("cd")})
    async with listing.walk() as stream:
        await anext(stream)
    assert await ids(stream) == []
    assert listing.asked == [1]


async def test_closed_during_a_step():
    arrived, go_on = asyncio.Event(), asyncio.Event()

    async def send(request):
        arrived.set()
        await go_on.wait()
        return page("ab", 2)

    stream = PageStream(ListCustomers(), send)
    step = asyncio.create_task(stream.__anext__())
    await arrived.wait()
    await stream.aclose()
    go_on.set()
    with pytest.raises(StopAsyncIteration):
        await step
    assert await ids(stream) == []


async def test_a_step_that_is_cancelled_loses_nothing():
    listing = Listing({1: page("ab", 2), 2: page("cd")})
    slow = asyncio.Event()

    async def send(request):
        await slow.wait()
        return await listing.send(request)

    stream = PageStream(ListCustomers(), send)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(anext(stream), 0.001)
    slow.set()
    assert await ids(stream) == list("abcd")


async def test_steps_in_several_tasks():
    listing = Listing({1: page("abc", 2), 2: page("def")})
    stream = listing.walk()
    shares = await asyncio.gather(*(ids(stream) for _ in range(3)))
    assert sorted(itertools.chain(*shares)) == list("abcdef")
    assert listing.asked == [1, 2]


async def test_dropped_it_leaves_nothing_running():
    stream = Listing({1: page("ab", 2)}).walk()
    await anext(stream)
    del stream
    gc.collect()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_what_is_remembered_is_bounded():
    pages = 120

    async def send(request):
        number = request.page or 1
        names = [f"{number}-{row}" for row in range(100)]
        return page(names, number + 1 if number < pages else None)

    stream = PageStream(ListCustomers(), send)
    assert sum([1 async for _ in stream]) == pages * 100
    assert len(stream._seen) == 10_000
