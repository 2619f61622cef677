"""What type checkers see of the async client; this is checked and never run."""

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any, TypeVar, assert_type

from kelviq_async import (
    CachePolicy,
    CancellationType,
    CancelResult,
    CancelSubscription,
    ChargePeriod,
    CheckoutLink,
    CreateCustomer,
    Customer,
    CustomerEntitlements,
    Decision,
    Entitlement,
    Entitlements,
    Kelviq,
    KelviqError,
    LicenseValidation,
    ListCustomers,
    ListSubscriptions,
    Lookup,
    Options,
    Outcome,
    Page,
    RawAnswer,
    Request,
    Send,
    Stream,
    Subscription,
    SubscriptionUpdate,
    ValidateLicense,
    operations,
)
from kelviq_async.request import Operation

R = TypeVar("R")


async def calls(kelviq: Kelviq) -> None:
    assert_type(await kelviq.customers.create("user-123", name="Ada", email="ada@example.com"), Customer)
    assert_type(await kelviq.customers.create("user-123", name=None, metadata={"plan": 3}), Customer)
    session = await kelviq.checkout.create_session(
        "pro", ChargePeriod.MONTHLY, "https://example.com/", customer_id="user-123", custom_amount=Decimal(5)
    )
    assert_type(session, CheckoutLink)
    assert_type(await kelviq.licenses.validate("key"), LicenseValidation)
    assert_type(kelviq.customers.retrieve.__doc__, str | None)


async def lists(kelviq: Kelviq) -> None:
    page = await kelviq.subscriptions.list(customer_id="user-123")
    assert_type(page, Page[Subscription])
    assert_type(page.results, list[Subscription])
    assert_type((page.count, page.next), tuple[int, str | None])
    assert_type(kelviq.subscriptions.each(), Stream[Subscription])
    async for s in kelviq.subscriptions.each(customer_id="user-123"):
        assert_type(s, Subscription)
        update = await kelviq.subscriptions.update(s.id, "enterprise", ChargePeriod.MONTHLY)
        assert_type(update, SubscriptionUpdate)
    assert_type([c async for c in kelviq.pages(ListCustomers(page_size=100))], list[Customer])
    async with kelviq.customers.each() as stream:
        assert_type(stream, Stream[Customer])
        assert_type(await anext(stream), Customer)


async def tasks(kelviq: Kelviq) -> None:
    task = asyncio.create_task(kelviq.customers.create("user-123"))
    assert_type(await task, Customer)
    async with asyncio.TaskGroup() as group:
        other = group.create_task(kelviq.customers.list())
    assert_type(await other, Page[Customer])
    assert_type(await asyncio.wait_for(kelviq.customers.retrieve("user-123"), 3), Customer)


async def values(kelviq: Kelviq) -> None:
    cancel = CancelSubscription("sub-1", CancellationType.IMMEDIATE)
    assert_type(cancel.subscription_id, str)
    assert_type(await kelviq.send(cancel, timeout=2), CancelResult)
    assert_type(await kelviq.send(ListSubscriptions()), Page[Subscription])
    assert_type(await kelviq.send(ValidateLicense("key")), LicenseValidation)
    assert_type(await kelviq.send_raw(cancel), RawAnswer)
    requests: list[Request[Any]] = [cancel, CreateCustomer("user-123")]
    async for outcome in kelviq.send_many(requests, concurrency=50):
        assert_type(outcome, Outcome)
        assert_type(outcome.error, KelviqError | None)

    async def source() -> AsyncIterator[CreateCustomer]:
        yield CreateCustomer("user-123")

    assert_type(kelviq.send_many(source(), ordered=True), Stream[Outcome])


async def decisions(kelviq: Kelviq) -> None:
    assert_type(await kelviq.entitlements.has_access("user-123", "export-data"), bool)
    assert_type(await kelviq.entitlements.check("user-123", "max-projects"), Decision)
    assert_type(await kelviq.entitlements.raw("user-123"), CustomerEntitlements)
    known = await kelviq.entitlements.get("user-123")
    assert_type(known, Entitlements)
    assert_type(known["max-projects"], Entitlement)
    pairs = [("user-123", "export-data")]
    async for decision in kelviq.entitlements.check_many(pairs):
        assert_type(decision, Decision)
    async for lookup in kelviq.entitlements.get_many(each for each, _ in pairs):
        assert_type(lookup, Lookup)


async def client() -> None:
    async with Kelviq(server_key="sk", environment="sandbox", cache=CachePolicy(fresh=60)) as kelviq:
        assert_type(kelviq, Kelviq)
        assert_type(kelviq.with_options(timeout=2, retry=False), Kelviq)
    assert_type(Kelviq.from_env(), Kelviq)
    assert_type(await Kelviq.local().open(), Kelviq)


class Layer:
    """A layer of one's own is a ``Send`` like any other."""

    def __init__(self, inner: Send) -> None:
        self.inner = inner

    async def __call__(self, request: Request[R], options: Options) -> R:
        return await self.inner(request, options)


Kelviq("sk", layers=[Layer])
assert_type(list(operations()), list[Operation])
