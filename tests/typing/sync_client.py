"""What type checkers see of the blocking client; this is checked and never run."""

from collections.abc import Iterator
from typing import Any, assert_type

import kelviq_async
import kelviq_sync
from kelviq_async.config import Config
from kelviq_sync import (
    CancellationType,
    CancelResult,
    CancelSubscription,
    ChargePeriod,
    CheckoutLink,
    CreateCustomer,
    Customer,
    CustomerEntitlements,
    Decision,
    Entitlements,
    Kelviq,
    KelviqError,
    ListCustomers,
    ListSubscriptions,
    Lookup,
    Outcome,
    Page,
    RawAnswer,
    Request,
    Rows,
    Subscription,
    SubscriptionUpdate,
)


def calls(kelviq: Kelviq) -> None:
    assert_type(kelviq.customers.create("user-123", name="Ada", email="ada@example.com"), Customer)
    session = kelviq.checkout.create_session(
        "pro", ChargePeriod.MONTHLY, "https://example.com/", customer_id="user-123"
    )
    assert_type(session, CheckoutLink)


def lists(kelviq: Kelviq) -> None:
    page = kelviq.subscriptions.list(customer_id="user-123")
    assert_type(page, Page[Subscription])
    assert_type(page.results, list[Subscription])
    assert_type(kelviq.subscriptions.each(), Rows[Subscription])
    for s in kelviq.subscriptions.each(customer_id="user-123"):
        assert_type(s, Subscription)
        assert_type(kelviq.subscriptions.update(s.id, "enterprise", ChargePeriod.MONTHLY), SubscriptionUpdate)
    assert_type(list(kelviq.pages(ListCustomers(page_size=100))), list[Customer])
    with kelviq.customers.each() as rows:
        assert_type(rows, Rows[Customer])
        assert_type(next(rows), Customer)


def values(kelviq: Kelviq) -> None:
    cancel = CancelSubscription("sub-1", CancellationType.IMMEDIATE)
    assert_type(kelviq.send(cancel, timeout=2), CancelResult)
    assert_type(kelviq.send(ListSubscriptions()), Page[Subscription])
    assert_type(kelviq.send_raw(cancel), RawAnswer)
    requests: list[Request[Any]] = [cancel, CreateCustomer("user-123")]
    for outcome in kelviq.send_many(requests, concurrency=50):
        assert_type(outcome, Outcome)
        assert_type(outcome.error, KelviqError | None)

    def source() -> Iterator[CreateCustomer]:
        yield CreateCustomer("user-123")

    assert_type(kelviq.send_many(source()), Rows[Outcome])


def decisions(kelviq: Kelviq) -> None:
    assert_type(kelviq.entitlements.has_access("user-123", "export-data"), bool)
    assert_type(kelviq.entitlements.check("user-123", "max-projects"), Decision)
    assert_type(kelviq.entitlements.get("user-123"), Entitlements)
    assert_type(kelviq.entitlements.raw("user-123"), CustomerEntitlements)
    pairs = [("user-123", "export-data")]
    assert_type(list(kelviq.entitlements.check_many(pairs)), list[Decision])
    assert_type(list(kelviq.entitlements.get_many(each for each, _ in pairs)), list[Lookup])


def client() -> None:
    with Kelviq(server_key="sk", environment="sandbox") as kelviq:
        assert_type(kelviq, Kelviq)
        assert_type(kelviq.with_options(timeout=2, retry=False), Kelviq)
        assert_type(kelviq.config, Config)
    assert_type(Kelviq.from_env(), Kelviq)
    assert_type(Kelviq.local().open(), Kelviq)


# Everything but the client is the same in both packages.
assert_type(kelviq_sync.CreateCustomer("user-123"), kelviq_async.CreateCustomer)
assert_type(kelviq_sync.Kelviq("sk"), Kelviq)
wrong: kelviq_async.Kelviq = kelviq_sync.Kelviq("sk")  # type: ignore[assignment]
