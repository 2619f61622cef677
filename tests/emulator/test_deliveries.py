"""Who is told of events: endpoints, signatures, attempts, retries, resends, and the log of it all."""

import asyncio
from datetime import UTC, date, datetime, timedelta

import pytest

from kelviq_async import Kelviq, webhooks
from kelviq_async.emulator import World

START = datetime(2026, 1, 31, 10, tzinfo=UTC)
HOOK = "http://127.0.0.1:9000/hook"


@pytest.fixture
def world():
    made = World(now=START)
    yield made
    assert made.crashes == []


class Post:
    """A sender that notes what it is given and answers as it is told."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.sent = []

    async def __call__(self, url, headers, body):
        self.sent.append((url, headers, body))
        answer = self.answers.pop(0) if self.answers else 200
        if isinstance(answer, Exception):
            raise answer
        return answer


def tell(world, number=1, kind="customer.created"):
    world.emit(kind, {"id": str(number), "object": "customer", "customer_id": f"user-{number}"})


async def test_an_endpoint_gets_an_event_that_verifies(world):
    endpoint = world.webhooks.register(HOOK)
    world.webhooks.sender = post = Post()
    world.emit("customer.updated", {"object": "customer", "customer_id": "user-1"}, {"name": "before"})
    assert await world.webhooks.deliver_due() == 1
    ((url, headers, body),) = post.sent
    event = webhooks.verify(body, headers, endpoint.secret)
    assert url == HOOK
    assert isinstance(event, webhooks.CustomerUpdated)
    assert (event.external_customer_id, event.previous) == ("user-1", {"name": "before"})
    assert event.created_at == START
    assert headers["webhook-id"] == event.id
    assert b": " not in body
    assert endpoint.secret.startswith("kq_whsec_")
    assert endpoint.secret not in repr(endpoint)


def test_an_event_without_former_values_has_no_such_name(world):
    told = world.webhooks.capture()
    tell(world)
    assert told[0].event == {
        "id": told[0].event["id"],
        "type": "customer.created",
        "created_at": "2026-01-31T10:00:00Z",
        "data": {"object": {"id": "1", "object": "customer", "customer_id": "user-1"}},
    }


def test_endpoints_get_what_they_asked_for(world):
    everything, some = world.webhooks.capture(), world.webhooks.capture(["order.created", "refund.created"])
    one = world.webhooks.capture("order.created")
    for kind in ("order.created", "refund.created", "customer.created"):
        tell(world, kind=kind)
    assert everything.types == ["order.created", "refund.created", "customer.created"]
    assert some.types == ["order.created", "refund.created"]
    assert one.types == ["order.created"]
    assert everything[0].event["id"] == one[0].event["id"]


def test_nobody_to_tell_is_nothing_to_remember(world):
    tell(world)
    assert (world.deliveries, world.webhooks.pending()) == ([], [])


def test_an_event_is_what_it_was_when_it_happened(world):
    told = world.webhooks.capture()
    subject = {"status": "active", "plan": {"name": "Pro"}}
    world.emit("subscription.created", subject)
    subject["plan"]["name"] = "changed"
    assert world.deliveries[0].payload["data"]["object"]["plan"]["name"] == "Pro"
    assert told[0].event["data"]["object"]["plan"]["name"] == "Pro"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"url": "127.0.0.1:9000"}, "http"),
        ({"url": "ftp://example.com"}, "http"),
        ({"url": HOOK, "events": ["order.made"]}, "order.made"),
        ({"url": HOOK, "events": []}, "nothing"),
        ({"url": HOOK, "events": 5}, "list"),
        ({"url": HOOK, "secret": ""}, "secret"),
    ],
)
def test_an_endpoint_that_cannot_be_is_refused(world, arguments, reason):
    with pytest.raises(ValueError, match=reason):
        world.webhooks.register(**arguments)
    assert world.webhooks.endpoints == []


def test_a_secret_can_be_given(world):
    told = world.webhooks.capture(secret="kq_whsec_mine")
    tell(world)
    assert webhooks.verify(told[0].body, told[0].headers, "kq_whsec_mine").type == "customer.created"
    assert told.secret == "kq_whsec_mine"


# Attempts


def test_three_retries_follow_sixty_seconds_apart_and_then_none(world):
    told = world.webhooks.capture(answer=500)
    tell(world)
    world.clock.advance(seconds=59)
    assert len(told) == 1
    world.clock.advance(seconds=1)
    assert len(told) == 2
    world.clock.advance(days=3)
    assert len(told) == 4
    assert len({each.headers["webhook-id"] for each in told}) == 1
    (row,) = world.deliveries
    assert (row.attempts, row.delivered, row.status_code, row.next_attempt) == (4, False, 500, None)
    assert [each.at - START for each in world.state.attempts] == [
        timedelta(minutes=each) for each in range(4)
    ]
    assert world.webhooks.pending() == []


def test_a_retry_that_arrives_is_the_last(world):
    answers = iter([500, 200, 500])
    told = world.webhooks.capture(answer=lambda _: next(answers))
    tell(world)
    world.clock.advance(days=1)
    (row,) = world.deliveries
    assert (len(told), row.delivered, row.attempts) == (2, True, 2)


def test_only_a_resend_helps_after_that(world):
    told = world.webhooks.capture(answer=500)
    tell(world)
    world.clock.advance(days=1)
    told.answer = 200
    row = world.webhooks.resend(world.deliveries[0].id)
    assert (row.attempts, row.delivered) == (5, True)
    world.webhooks.resend(row.id)
    assert len(told) == 6
    world.clock.advance(days=1)
    assert len(told) == 6


def test_what_arrived_stays_delivered_when_a_resend_fails(world):
    told = world.webhooks.capture()
    tell(world)
    told.answer = 500
    row = world.webhooks.resend(world.deliveries[0].id)
    world.clock.advance(days=1)
    assert (row.delivered, row.status_code, len(told)) == (True, 500, 2)


def test_each_attempt_is_signed_anew_with_the_time_of_the_machine(world):
    world.webhooks.time = iter([1_800_000_000.9, 1_800_000_061.0]).__next__
    told = world.webhooks.capture(answer=500)
    tell(world)
    world.clock.advance(seconds=60)
    assert [each.headers["webhook-timestamp"] for each in told] == ["1800000000", "1800000061"]
    assert told[0].headers["webhook-signature"] != told[1].headers["webhook-signature"]


@pytest.mark.parametrize(
    "failure", [ConnectionError("down"), TimeoutError(), RuntimeError("a bug of the receiver")]
)
async def test_where_nobody_answers_there_is_no_status(world, failure):
    world.webhooks.register(HOOK)
    world.webhooks.sender = Post(failure)
    tell(world)
    await world.webhooks.deliver_due()
    (row,) = world.deliveries
    assert (row.status_code, row.attempts, row.delivered) == (None, 1, False)
    assert row.next_attempt == START + timedelta(seconds=60)


async def test_without_a_sender_deliveries_wait(world):
    world.webhooks.register(HOOK)
    tell(world)
    assert await world.webhooks.deliver_due() == 0
    assert len(world.webhooks.pending()) == 1
    world.webhooks.sender = post = Post()
    assert await world.webhooks.deliver_due() == 1
    assert (len(post.sent), world.webhooks.pending()) == (1, [])


async def test_who_sends_is_woken(world):
    woken = []
    world.webhooks.wake = lambda: woken.append(len(world.webhooks.pending()))
    world.webhooks.register(HOOK)
    world.webhooks.sender = Post(503)
    tell(world)
    assert len(woken) == 1
    await world.webhooks.deliver_due()
    world.clock.advance(minutes=1)
    assert len(woken) == 2
    world.webhooks.resend(world.deliveries[0].id)
    assert len(woken) == 3
    assert await world.webhooks.deliver_due() == 1


async def test_deliveries_to_one_endpoint_come_in_order_and_do_not_hold_up_others(world):
    gate, fast, got = asyncio.Event(), asyncio.Event(), []

    async def post(url, headers, body):
        if url.endswith("/slow"):
            await gate.wait()
        got.append((url[-4:], headers["webhook-id"]))
        if len(got) == 3:
            fast.set()
        return 200

    world.webhooks.sender = post
    world.webhooks.register("http://127.0.0.1:9/slow")
    world.webhooks.register("http://127.0.0.1:9/fast")
    for number in range(3):
        tell(world, number)
    task = asyncio.create_task(world.webhooks.deliver_due())
    await fast.wait()
    assert {name for name, _ in got} == {"fast"}
    gate.set()
    assert await task == 6
    ids = [row.event_id for row in world.deliveries if row.endpoint_id == world.webhooks.endpoints[0].id]
    assert [id for name, id in got if name == "slow"] == ids


async def test_a_delivery_that_was_broken_off_is_made_again(world):
    world.webhooks.register(HOOK)
    started = asyncio.Event()

    async def never(url, headers, body):
        started.set()
        await asyncio.Event().wait()

    world.webhooks.sender = never
    tell(world)
    task = asyncio.create_task(world.webhooks.deliver_due())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    world.webhooks.sender = post = Post()
    assert await world.webhooks.deliver_due() == 1
    assert len(post.sent) == 1


async def test_an_endpoint_that_is_gone_gets_nothing_more(world):
    gone = world.webhooks.register(HOOK)
    world.webhooks.sender = post = Post()
    tell(world)
    world.webhooks.remove(gone.id)
    tell(world, 2)
    await world.webhooks.deliver_due()
    world.clock.advance(days=1)
    await world.webhooks.deliver_due()
    assert (post.sent, world.webhooks.pending(), len(world.deliveries)) == ([], [], 1)
    with pytest.raises(ValueError, match="removed"):
        world.webhooks.resend(world.deliveries[0].id)


def test_what_is_not_there_cannot_be_resent_or_removed(world):
    with pytest.raises(ValueError, match="no delivery"):
        world.webhooks.resend("nothing")
    with pytest.raises(ValueError, match="no endpoint"):
        world.webhooks.remove("nothing")


async def test_a_reset_while_something_is_under_way_leaves_nothing_behind(world):
    world.webhooks.register(HOOK)
    gate = asyncio.Event()

    async def post(url, headers, body):
        await gate.wait()
        return 500

    world.webhooks.sender = post
    tell(world)
    task = asyncio.create_task(world.webhooks.deliver_due())
    await asyncio.sleep(0)
    world.reset()
    gate.set()
    await task
    assert (world.deliveries, world.state.attempts, world.state.agenda) == ([], [], [])


# The log


async def test_the_log_has_a_row_for_each_attempt_newest_first(world):
    told = world.webhooks.capture(answer=503)
    tell(world)
    world.clock.advance(seconds=60)
    async with Kelviq.local(world) as kelviq:
        page = await kelviq.webhook_logs.list()
    assert page.count == 2
    second, first = page.results
    assert (second.retry_count, first.retry_count) == (1, 0)
    assert first.event_id == second.event_id == told[0].event["id"]
    assert first.id != second.id
    assert (first.status_code, first.is_success, first.endpoint) == (503, False, told.endpoint.id)
    assert (first.last_attempt, second.last_attempt) == (START, START + timedelta(seconds=60))
    assert first.created_on == second.created_on == START
    assert first.payload == told[0].event


async def test_the_log_reaches_back_thirty_days_and_can_be_narrowed(world):
    world.webhooks.capture()
    for number in range(5):
        tell(world, number)
        world.clock.advance(days=10)
    async with Kelviq.local(world) as kelviq:

        async def days(**dates):
            return [row.last_attempt.date() for row in (await kelviq.webhook_logs.list(**dates)).results]

        reach = [date(2026, 3, 12), date(2026, 3, 2), date(2026, 2, 20)]
        assert await days() == reach
        assert await days(start_date=date(2020, 1, 1)) == reach
        assert await days(start_date=date(2026, 3, 2)) == reach[:2]
        assert await days(end_date=date(2026, 3, 2)) == reach[1:]
        rows = [row async for row in kelviq.webhook_logs.each(page_size=1)]
        assert [row.last_attempt.date() for row in rows] == reach


async def test_nobody_answering_is_null_in_the_log(world):
    def broken(received):
        raise ConnectionError

    world.webhooks.capture(answer=broken)
    tell(world)
    async with Kelviq.local(world) as kelviq:
        (row,) = (await kelviq.webhook_logs.list()).results
    assert (row.status_code, row.is_success) == (None, False)
