"""What type checkers have to refuse: an ignored error that is not reported is an error of its own."""

# pyright: reportUnnecessaryTypeIgnoreComment=true

from datetime import date
from typing import assert_type

import kelviq_async
import kelviq_sync
from kelviq_async import CancelSubscription, ChargePeriod, CreateCustomer, Customer, Kelviq


async def wrong_arguments(kelviq: Kelviq, customer: Customer) -> None:
    await kelviq.customers.create()  # type: ignore[call-arg]
    await kelviq.customers.create(7)  # type: ignore[arg-type]
    await kelviq.customers.create("user-123", "Ada")  # type: ignore[call-arg]
    await kelviq.customers.create("user-123", nmae="Ada")  # type: ignore[call-arg]
    await kelviq.customers.create("user-123", name=3)  # type: ignore[arg-type]
    await kelviq.customers.create(customerId="user-123")  # type: ignore[call-arg]
    await kelviq.subscriptions.update("sub-1", "pro", "MONTHLY")  # type: ignore[arg-type]
    await kelviq.subscriptions.update("sub-1", ChargePeriod.MONTHLY, "pro")  # type: ignore[arg-type]
    await kelviq.charges.create("pro", "user-123", amount=3)  # type: ignore[call-arg]
    await kelviq.send(customer)  # type: ignore[arg-type]
    kelviq.send_many([customer])  # type: ignore[list-item]
    kelviq.customers.each(customer_id="user-123")  # type: ignore[call-arg]
    kelviq.entitlements.check_many(["user-123"])  # type: ignore[list-item]
    await kelviq.customers.destroy("user-123")  # type: ignore[attr-defined]
    kelviq.custmers  # type: ignore[attr-defined]  # noqa: B018


async def wrong_answers(kelviq: Kelviq) -> None:
    text: str = await kelviq.customers.create("user-123")  # type: ignore[assignment]
    kelviq.customers.create("user-123").email  # type: ignore[attr-defined]  # noqa: B018
    for _ in kelviq.customers.each():  # type: ignore[attr-defined]
        pass
    assert_type(text, str)


async def forgotten(kelviq: Kelviq) -> None:
    kelviq.customers.create("user-123")  # type: ignore[unused-coroutine]
    kelviq.entitlements.has_access("user-123", "export-data")  # type: ignore[unused-coroutine]


def wrong_requests() -> None:
    CancelSubscription("sub-1", date(2026, 1, 31))  # type: ignore[arg-type]
    CancelSubscription("sub-1")  # type: ignore[call-arg]
    CreateCustomer("user-123").customer_id = "user-124"  # type: ignore[misc]


def wrong_blocking_calls(kelviq: kelviq_sync.Kelviq, customer: Customer) -> None:
    kelviq.customers.create()  # type: ignore[call-arg]
    kelviq.customers.create("user-123", "Ada")  # type: ignore[call-arg]
    kelviq.customers.create("user-123", nmae="Ada")  # type: ignore[call-arg]
    kelviq.subscriptions.update("sub-1", "pro", "MONTHLY")  # type: ignore[arg-type]
    text: str = kelviq.customers.create("user-123")  # type: ignore[assignment]
    kelviq.send(customer)  # type: ignore[arg-type]
    kelviq.track(text)  # type: ignore[attr-defined]


async def awaited(kelviq: kelviq_sync.Kelviq) -> None:
    await kelviq.customers.create("user-123")  # type: ignore[misc]
    async for _ in kelviq.customers.each():  # type: ignore[attr-defined]
        pass


def wrong_names() -> None:
    kelviq_async.AREAS  # type: ignore[attr-defined]  # noqa: B018
    kelviq_async.Customers  # type: ignore[attr-defined]  # noqa: B018
    kelviq_async.Mapping  # type: ignore[attr-defined]  # noqa: B018
    kelviq_sync.AREAS  # type: ignore[attr-defined]  # noqa: B018
    kelviq_async.Kelviq("sk", retries=3)  # type: ignore[call-arg]
    kelviq_async.Kelviq("sk", timeout="10")  # type: ignore[arg-type]
    kelviq_sync.Kelviq("sk", timeout="10")  # type: ignore[arg-type]
