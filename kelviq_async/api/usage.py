"""Usage: how much of a metered feature was used, and events that Kelviq counts itself."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from ..model import UNSET, Model, Unset, field, model
from ..request import Namespace, Request, call, post
from .behaviours import UsageBehaviour as UsageBehaviour  # noqa: PLC0414  it belongs to the reports

STAMP = "%Y-%m-%d %H:%M:%S.%f"


@model
class UsageReport(Model):
    """A usage report as Kelviq took it.

    Attributes:
        value: The number reported.
        customer_id: Your own id of the customer.
        feature_id: Your short name of the feature.
        behaviour: Whether it is a total or comes on top.
        org_id: Kelviq's id of your organisation.
        event_name: The event Kelviq made of it.
        idempotency_key: The key Kelviq made for it.
        timestamp: When Kelviq took it.
    """

    value: int
    customer_id: str
    feature_id: str
    behaviour: UsageBehaviour
    org_id: str
    event_name: str
    idempotency_key: str
    timestamp: datetime = field(form=STAMP)


@model
class EventReport(Model):
    """An event as Kelviq took it.

    Attributes:
        customer_id: Your own id of the customer.
        event_name: Name of the event.
        idempotency_key: The event's key.
        timestamp: When it happened.
        properties: More about it.
        org_id: Kelviq's id of your organisation.
    """

    customer_id: str
    event_name: str
    idempotency_key: str
    timestamp: datetime = field(form=STAMP)
    properties: dict[str, Any] | None = None
    org_id: str


@post("/report/usage/")
class ReportUsage(Request[UsageReport]):
    """Report usage of a metered feature in one call. Kelviq API: POST /report/usage/.

    Kelviq has no key to tell a repeated report from a new one, so a DELTA whose fate is unknown
    is never sent again.

    Args:
        value: Whole units.
        customer_id: Your own id of the customer.
        feature_id: Your short name of the feature.
        behaviour: SET for a new total, DELTA for what comes on top.
        resource_id: Which of several things of the customer used it.

    Raises:
        OutcomeUnknown: A DELTA that may or may not have been counted.
        BadRequest: The customer or feature is unknown, or the limit is reached.
    """

    value: int
    customer_id: str
    feature_id: str
    behaviour: UsageBehaviour
    resource_id: str | None | Unset = field(default=UNSET, kw_only=True, provisional="official SDKs")

    @property
    def repeatable(self) -> bool:
        """A SET twice is a SET once; a DELTA twice is a wrong invoice."""
        return str(self.behaviour) == UsageBehaviour.SET.value


@post("/report/event/", provisional="both official SDKs and the OpenAPI's schemas", repeatable=True)
class ReportEvent(Request[EventReport]):
    """Report an event that Kelviq counts. Kelviq API: POST /report/event/ (provisional).

    The key makes it safe to send again.

    Args:
        customer_id: Your own id of the customer.
        event_name: Name of the event.
        idempotency_key: One key for one logical event, however often it is sent.
        timestamp: When it happened; must be aware.
        properties: More about it; keys are yours.
    """

    customer_id: str
    event_name: str
    idempotency_key: str
    timestamp: datetime = field(form=STAMP)
    properties: dict[str, Any] | None | Unset = field(default=UNSET, kw_only=True)


class Usage(Namespace):
    """How much was used."""

    report = call(ReportUsage)
    event = call(ReportEvent)
