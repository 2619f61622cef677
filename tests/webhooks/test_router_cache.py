"""The router and a client: what is cached of a customer is dropped when it may have changed."""

import logging
import subprocess
import sys

import pytest

from kelviq_async import webhooks
from kelviq_async.webhooks import Outcome, Router

LOGGER = "kelviq_async"


class Entitlements:
    """Stands in for a client's; notes what it is told."""

    def __init__(self, log, error=None):
        self.log = log
        self.error = error

    async def invalidate(self, customer_id):
        self.log.append(f"invalidate {customer_id}")
        if self.error:
            raise self.error


class Client:
    def __init__(self, log, error=None):
        self.entitlements = Entitlements(log, error)


@pytest.mark.parametrize(
    ("kind", "customer_id"),
    [
        ("subscription.plan_changed", "bc43b1a034a643309ee39d2f1a4d2131"),
        ("subscription.cancelled", "bc43b1a034a643309ee39d2f1a4d2131"),
        ("order.refunded", "geo-jacob"),
        ("customer.updated", "geo-jacob"),
        ("refund.created", "geo-jacob"),
        ("checkout.completed", "geo-jacob"),
        ("invoice.paid", "geo-jacob"),
        ("payment_method.created", None),
        ("feature.usage_alert", None),
    ],
)
async def test_what_is_cached_of_the_customer_is_dropped_before_the_handlers(
    kelviq, send, log, kind, customer_id
):
    router = Router(kelviq.secret, client=Client(log))
    router.on(webhooks.Event)(lambda event: log.append("handler"))
    await send(kind, to=router)
    assert log == ([f"invalidate {customer_id}"] if customer_id else []) + ["handler"]


async def test_it_is_dropped_without_a_handler_and_for_a_type_nobody_knows_yet(kelviq, send, log):
    router = Router(kelviq.secret, client=Client(log))
    await send("order.created", to=router)
    await send("order.created", to=router, type="subscription.paused")
    assert log == ["invalidate geo-jacob"] * 2


async def test_it_is_dropped_for_a_duplicate_too(kelviq, send, log):
    router = Router(kelviq.secret, client=Client(log))
    router.on(webhooks.Event)(lambda event: log.append("handler"))
    await send(to=router)
    await send(to=router)
    assert log == ["invalidate geo-jacob", "handler", "invalidate geo-jacob"]


async def test_it_is_not_dropped_for_a_forgery(kelviq, example, log):
    router = Router(kelviq.secret, client=Client(log))
    body, headers = kelviq.delivery(example("order.created"), secret="kq_whsec_another")
    with pytest.raises(webhooks.BadSignature):
        await router.handle(body, headers, now=kelviq.now)
    assert log == []


@pytest.mark.parametrize("customer", [None, {}, {"customer_id": ""}])
async def test_without_an_id_nothing_is_dropped(kelviq, example, log, customer):
    router = Router(kelviq.secret, client=Client(log))
    data = example("subscription.created")
    data["data"]["object"]["customer"] = customer
    body, headers = kelviq.delivery(data)
    assert (await router.handle(body, headers, now=kelviq.now)).status == 200
    assert log == []


async def test_a_cache_that_fails_does_not_fail_the_event(kelviq, send, log, caplog):
    error = ConnectionError("geo-jacob is nowhere")
    for client in (Client(log, error), object()):
        router = Router(kelviq.secret, client=client)
        router.on(webhooks.Event)(lambda event: log.append("handler"))
        with caplog.at_level(logging.WARNING, LOGGER):
            assert (await send(to=router)).outcome is Outcome.HANDLED
    assert log == ["invalidate geo-jacob", "handler", "handler"]
    assert "ConnectionError" in caplog.text
    assert "geo-jacob" not in caplog.text
    assert "geo-jacob" not in "".join(record.getMessage() for record in caplog.records)


def test_webhooks_know_no_client():
    program = "import sys, kelviq_async.webhooks; print(*set(sys.argv[1:]) & set(sys.modules))"
    network = ["aiohttp", "kelviq_async.client", "kelviq_async.transport"]
    done = subprocess.run(
        [sys.executable, "-c", program, *network], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []
