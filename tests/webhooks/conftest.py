"""Example events, and deliveries of them."""

import copy
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from kelviq_async import webhooks
from kelviq_async.stores import MemoryStore

EXAMPLES = json.loads(Path(__file__).with_name("events.json").read_text(encoding="utf-8"))
# Types without an example, and the type whose shape they have.
SIBLINGS = {
    "customer.updated": "customer.created",
    "order.refunded": "order.updated",
    "subscription.cancelled": "subscription.updated",
    "subscription.plan_changed": "subscription.updated",
    "invoice.payment_failed": "invoice.created",
    "refund.updated": "refund.created",
    "payment_method.updated": "payment_method.created",
}


def example(kind):
    """Data of an event of a type, free to change."""
    return copy.deepcopy(EXAMPLES[SIBLINGS.get(kind, kind)]) | {"type": kind}


class Kelviq:
    """The sending side: one endpoint with its secret, at one moment."""

    secret = "kq_whsec_5f2bbd8e4c1f4f52a1a3"
    now = datetime(2026, 4, 2, 6, 0, tzinfo=UTC)

    def delivery(self, data, *, secret=secret, id="msg_1", timestamp=now):
        """Body and headers of an event, or of raw bytes."""
        body = data if isinstance(data, bytes) else json.dumps(data, separators=(",", ":")).encode()
        return body, webhooks.signed_headers(body, secret, id=id, timestamp=timestamp)

    def verify(self, delivery, secrets=secret, tolerance=300, **options):
        """What the receiving side makes of a delivery at the same moment."""
        body, headers = delivery
        return webhooks.verify(body, headers, secrets, tolerance, **{"now": self.now, **options})


@pytest.fixture(params=[*EXAMPLES, *SIBLINGS])
def kind(request):
    """Each type of event in turn."""
    return request.param


@pytest.fixture(name="example", scope="session")
def example_fixture():
    return example


@pytest.fixture(scope="session")
def kelviq():
    return Kelviq()


@pytest.fixture
def delivery(kelviq):
    return kelviq.delivery(example("order.created"))


class Clock:
    """Seconds that pass only when told to."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def store(clock):
    return MemoryStore(clock=clock)


@pytest.fixture
def router(kelviq, store):
    return webhooks.Router(kelviq.secret, guard=webhooks.ReplayGuard(store, lapse=60))


@pytest.fixture
def log():
    return []


@pytest.fixture
def send(router, kelviq, example):
    async def send(kind="order.created", to=router, **changes):
        body, headers = kelviq.delivery(example(kind) | changes)
        return await to.handle(body, headers, now=kelviq.now)

    return send
