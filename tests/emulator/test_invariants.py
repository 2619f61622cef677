"""A state machine over a whole world: in whatever order things happen, its accounts agree."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, settings, strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

import kelviq_async as k
from kelviq_async.cli.catalog import stock
from kelviq_async.emulator import World
from kelviq_async.emulator.billing import granting, since
from kelviq_async.emulator.catalog import plan_version
from kelviq_async.emulator.refusals import Refusal

CUSTOMERS = ("ada", "grace")
CARDS = (*["4242 4242 4242 4242"] * 4, "4000 0000 0000 0002", "4000 0000 0000 0341")
customers = st.sampled_from(CUSTOMERS)


def stocked() -> dict[str, Any]:
    """A snapshot of a world with something to sell, taken once."""

    async def made() -> dict[str, Any]:
        world = World(now=datetime(2026, 1, 31, tzinfo=UTC))
        async with k.Kelviq.local(world) as kelviq:
            await stock(kelviq)
            for each in CUSTOMERS:
                await kelviq.customers.create(each, email=f"{each}@example.com")
        return world.snapshot()

    return asyncio.run(made())


class Company(RuleBasedStateMachine):
    """Two customers, two plans, and time."""

    shop: dict[str, Any]

    def __init__(self) -> None:
        super().__init__()
        self.world = World(now=datetime(2026, 1, 31, tzinfo=UTC))
        self.world.restore(self.shop)
        self.events = self.world.webhooks.capture()

    def send(self, request: k.Request[Any]) -> Any:
        """The answer, or None where the world says no."""
        operation = request.operation
        path, query, body = operation.render(request)
        url = f"/api/v1{path}" + ("?" + "&".join(f"{n}={v}" for n, v in query.items()) if query else "")
        headers = {"Authorization": f"Bearer {self.world.server_key}"}
        content = None if body is None else k.codec.encode(body)
        answer = self.world.handle(k.WireRequest(operation.method, url, headers, content))
        if answer.status >= 400:
            return None
        return operation.request.read(request, answer.status, k.codec.decode(answer.body), answer.headers)

    def held(self, customer_id: str) -> Any:
        """What a customer has that grants, or None."""
        return next(iter(granting(self.world, customer_id)), None)

    @rule(customer=customers, plan=st.sampled_from(["pro", "enterprise"]), card=st.sampled_from(CARDS))
    def buy(self, customer: str, plan: str, card: str) -> None:
        if self.held(customer) is None:
            request = k.CreateCheckoutSession(
                plan, k.ChargePeriod.MONTHLY, "https://a.b/c", customer_id=customer
            )
            self.world.pay(self.send(request).checkout_session_id, card=card)

    @rule(customer=customers, plan=st.sampled_from(["pro", "enterprise"]))
    def update(self, customer: str, plan: str) -> None:
        row = self.held(customer)
        if row is not None:
            self.send(k.UpdateSubscription(row.id, plan, k.ChargePeriod.MONTHLY))

    @rule(customer=customers, kind=st.sampled_from(["IMMEDIATE", "CURRENT_PERIOD_ENDS"]))
    def cancel(self, customer: str, kind: str) -> None:
        row = self.held(customer)
        if row is not None:
            self.send(k.CancelSubscription(row.id, k.CancellationType.other(kind)))

    @precondition(lambda self: any(map(self.held, CUSTOMERS)))
    @rule(customer=customers, units=st.integers(1, 60))
    def use(self, customer: str, units: int) -> None:
        self.send(k.ReportUsage(units, customer, "max-projects", k.UsageBehaviour.DELTA))

    @precondition(lambda self: self.world.state.orders)
    @rule(data=st.data(), units=st.integers(1, 8000))
    def refund(self, data: st.DataObject, units: int) -> None:
        order = data.draw(st.sampled_from(sorted(self.world.state.orders)))
        self.send(k.CreateRefund(order, amount_units=units))

    @rule(days=st.sampled_from([1, 7, 28, 31, 62]), declines=st.booleans())
    def wait(self, days: int, declines: bool) -> None:
        for method in self.world.state.payment_methods.values():
            method.declines = declines
        # a period that has begun is one more instant on the ledger's clock
        self.world.clock.advance(days=days, seconds=1)

    @invariant()
    def the_orders_add_up(self) -> None:
        for order in self.world.state.orders.values():
            assert order.total_units == order.subtotal_units - order.discount_units + order.tax_units
            assert 0 <= order.refunded_units <= order.total_units

    @invariant()
    def the_transactions_are_the_orders(self) -> None:
        moved: dict[str, int] = {}
        for each in self.world.state.transactions.values():
            if each.status == "success":
                moved[each.order_id] = moved.get(each.order_id, 0) + each.total_units
        for order in self.world.state.orders.values():
            paid = order.total_units if order.paid_at is not None else 0
            assert moved.get(order.id, 0) == paid - order.refunded_units

    @invariant()
    def entitlements_follow_subscriptions(self) -> None:
        for customer in CUSTOMERS:
            wanted: set[str] = set()
            for row in granting(self.world, customer):
                plan = plan_version(self.world, row.plan_identifier, row.plan_version)
                wanted |= {self.world.state.features[feature].identifier for feature in plan.features}
            found = self.send(k.GetEntitlements(customer)).entitlements
            assert {entry.feature_id for entry in found} == wanted

    @invariant()
    def usage_is_the_ledger(self) -> None:
        for customer in CUSTOMERS:
            row = self.held(customer)
            if row is None:
                continue
            (entry,) = [
                e
                for e in self.send(k.GetEntitlements(customer)).entitlements
                if e.feature_id == "max-projects"
            ]
            meters = [m for m in self.world.state.meters.values() if m.lineage == row.lineage]
            starts = [m.period_start for m in meters if m.period_start is not None]
            start = max([since(row), *starts])
            counted = [
                each
                for each in self.world.usage_ledger
                if each.counted and each.customer_id == customer and each.at >= start
            ]
            assert entry.current_usage <= sum(each.value for each in counted)
            if since(row) < start or all(each.at > since(row) for each in counted):
                assert entry.current_usage == sum(each.value for each in counted)

    @invariant()
    def every_event_has_its_object(self) -> None:
        for received in self.events:
            event = k.webhooks.load(k.codec.decode(received.body))
            assert event.object.id
            assert not isinstance(event, k.webhooks.UnknownEvent)

    @invariant()
    def nothing_crashed(self) -> None:
        assert not self.world.crashes


@pytest.mark.timeout(120)
def test_the_accounts_agree() -> None:
    Company.shop = stocked()
    run_state_machine_as_test(
        Company,
        settings=settings(
            max_examples=60,
            stateful_step_count=40,
            deadline=None,
            derandomize=True,  # the same lives each time: a red run is somebody's change
            suppress_health_check=[
                HealthCheck.too_slow,
                HealthCheck.data_too_large,
            ],  # a world is a big thing
        ),
    )


def test_a_refusal_is_not_a_crash() -> None:
    world = World()
    with pytest.raises(Refusal):
        world.pay("cs_nobody")
    assert not world.crashes
