"""The router: which handlers run, with what, and what reaches none of them."""

import asyncio
from datetime import timedelta

import pytest

from kelviq_async import webhooks
from kelviq_async.errors import ConfigError
from kelviq_async.webhooks import Outcome, Router

# Which handlers run


async def test_a_handler_gets_the_typed_event(router, send, log):
    @router.on(webhooks.OrderCreated)
    async def note(event):
        log.append(event)

    result = await send()
    assert (result.outcome, result.status, result.retry_after) == (Outcome.HANDLED, 200, None)
    assert log == [result.event]
    assert isinstance(result.event, webhooks.OrderCreated)


async def test_handlers_run_in_the_order_they_were_registered_in(router, send, log):
    @router.on(webhooks.Event)
    async def first(event):
        await asyncio.sleep(0)
        log.append("first")

    @router.on("order.created")
    def second(event):
        log.append("second")

    @router.on(webhooks.OrderCreated, webhooks.OrderUpdated)
    async def third(event):
        log.append("third")

    @router.on(webhooks.SubscriptionCreated)
    async def never(event):
        log.append("never")

    await send()
    assert log == ["first", "second", "third"]
    log.clear()
    await send("order.updated")
    assert log == ["first", "third"]


async def test_one_registration_runs_once_however_often_it_fits(router, send, log):
    router.on(webhooks.Event, webhooks.OrderCreated, "order.created")(log.append)
    await send()
    assert len(log) == 1


async def test_every_type_can_be_asked_for_by_class_and_by_text(router, send, kind, log):
    router.on(webhooks.EVENTS[kind])(lambda event: log.append("class"))
    router.on(kind)(lambda event: log.append("text"))
    await send(kind)
    assert log == ["class", "text"]


async def test_unknown_types_can_be_asked_for(router, send, log):
    router.on(webhooks.UnknownEvent)(lambda event: log.append("class"))
    router.on("order.disputed")(lambda event: log.append("text"))
    result = await send(type="order.disputed")
    assert result.event.object["id"] == "ORD-20260401173639-H8IO7"
    assert log == ["class", "text"]


async def test_a_callable_object_is_a_handler(router, send, log):
    class Handler:
        async def __call__(self, event):
            log.append(event.type)

    router.on(webhooks.Event)(Handler())
    await send()
    assert log == ["order.created"]


def test_a_decorated_function_stays_what_it_was(router):
    async def handler(event):
        pass

    assert router.on(webhooks.Event)(handler) is handler


@pytest.mark.parametrize(
    "kinds", [(), (None,), (7,), (webhooks.OrderPayload,), (lambda event: None,), (int,)]
)
def test_what_cannot_be_asked_for(router, kinds):
    with pytest.raises(ConfigError, match="on"):
        router.on(*kinds)


def test_without_parentheses_it_says_what_to_write(router):
    with pytest.raises(ConfigError, match=r"@router\.on\(SubscriptionCreated\)"):

        @router.on
        async def handler(event):
            pass


def test_what_would_never_run_is_no_handler(router):
    async def generator(event):
        yield event

    def sync_generator(event):
        yield event

    for handler in (generator, sync_generator, "name", None):
        with pytest.raises(ConfigError, match="handler"):
            router.on(webhooks.Event)(handler)


async def test_an_event_nobody_asked_for_is_acknowledged_and_can_be_asked_for_later(router, send, log):
    router.on(webhooks.SubscriptionCreated)(log.append)
    result = await send()
    assert (result.outcome, result.status) == (Outcome.NO_HANDLER, 200)
    router.on(webhooks.OrderCreated)(log.append)
    assert (await send()).outcome is Outcome.HANDLED
    assert len(log) == 1


# What is turned away


async def test_what_is_not_genuine_reaches_nobody(router, kelviq, example, log, store):
    router.on(webhooks.Event)(log.append)
    body, headers = kelviq.delivery(example("order.created"), secret="kq_whsec_another")
    with pytest.raises(webhooks.BadSignature):
        await router.handle(body, headers, now=kelviq.now)
    body, headers = kelviq.delivery(example("order.created"))
    with pytest.raises(webhooks.TimestampTooOld):
        await router.handle(body, headers)
    with pytest.raises(webhooks.BodyNotBytes):
        await router.handle(body.decode(), headers)
    assert log == []
    assert len(store) == 0


async def test_tolerance_size_and_secrets_are_the_routers(kelviq, example, log):
    body, headers = kelviq.delivery(example("order.created"))
    late = kelviq.now + timedelta(days=1)
    router = Router(["kq_whsec_new", kelviq.secret], tolerance=None)
    assert (await router.handle(body, headers, now=late)).status == 200
    router = Router(kelviq.secret, max_bytes=10)
    with pytest.raises(webhooks.BodyTooLarge):
        await router.handle(body, headers, now=kelviq.now)


@pytest.mark.parametrize(
    ("secrets", "options"),
    [([], {}), ("", {}), ("kq_whsec_a", {"tolerance": -1}), ("kq_whsec_a", {"max_bytes": 0})],
)
def test_what_cannot_work_is_told_at_once(secrets, options):
    with pytest.raises(ConfigError):
        Router(secrets, **options)


def test_a_router_does_not_show_its_secrets(kelviq):
    assert kelviq.secret not in repr(Router(kelviq.secret)) + str(vars(Router(kelviq.secret)))
