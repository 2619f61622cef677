"""Which of a customer's subscriptions counts."""

from __future__ import annotations

from datetime import date
from typing import Final

from ..api import subscriptions as api
from ..api.periods import BillingType
from ..api.subscriptions import ListSubscriptions, Subscription, SubscriptionStatus

GRANTING: Final = (SubscriptionStatus.ACTIVE, SubscriptionStatus.TRIALING, SubscriptionStatus.PAST_DUE)
"""Statuses that give access, the best first."""


class CurrentSubscriptions(api.Subscriptions):
    """Recurring agreements between a customer and a plan."""

    async def current(self, customer_id: str) -> Subscription | None:
        """The subscription of a customer that counts.

        That is one that gives access: recurring ones before one-time purchases, active ones before
        trials, trials before those whose payment is late, and among equals the one that started
        last. Kelviq API: GET /subscriptions/.

        Args:
            customer_id: Your own id of the customer.

        Returns:
            The subscription, or None where nothing gives access.

        Raises:
            KelviqError: Kelviq could not be asked.
        """
        best: Subscription | None = None
        async for each in self._client.pages(ListSubscriptions(customer_id=customer_id, page_size=100)):
            if each.status in GRANTING and (best is None or _rank(each) > _rank(best)):
                best = each
        return best


def _rank(each: Subscription) -> tuple[bool, int, date]:
    started: date | None = each.start_date
    return (
        each.billing_type != BillingType.ONE_TIME,
        -GRANTING.index(each.status),
        started or date.min,
    )
