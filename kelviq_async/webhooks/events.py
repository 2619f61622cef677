"""Events, one class for each type that Kelviq documents."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final, Generic, TypeVar

from .. import codec
from ..model import NOTHING, field, model
from .errors import UnreadableBody
from .parts import Snake
from .payloads import (
    CheckoutPayload,
    CustomerPayload,
    InvoicePayload,
    OrderPayload,
    PaymentMethodPayload,
    RefundPayload,
    SubscriptionPayload,
    UsageAlertPayload,
)

P = TypeVar("P")


@model
class EventData(Snake, Generic[P]):
    """What an event carries.

    Attributes:
        object: The thing it is about.
        previous_attributes: What changed, as it was before; None where Kelviq sends none.
    """

    object: P
    previous_attributes: dict[str, Any] | None = field(default=None, secret=True)


@model
class Event(Snake, Generic[P]):
    """Something that happened at Kelviq.

    Events can come twice and out of order: trust ``created_at`` and what ``object`` says rather
    than the moment of arrival, and ask Kelviq where it matters.

    Attributes:
        id: The same however often the event is sent.
        type: What happened, such as ``"order.created"``.
        created_at: When it happened.
        data: What it carries; ``object`` and ``previous`` are its parts.
    """

    id: str = field(default=None, form="id")
    type: str
    created_at: datetime
    data: EventData[P]

    @property
    def previous(self) -> Mapping[str, Any]:
        """What changed, as it was before, under the names and in the spelling of the wire."""
        return getattr(self.data, "previous_attributes", None) or NOTHING

    @property
    def external_customer_id(self) -> str | None:
        """Your own id of the customer it concerns, wherever this type keeps it; None where it does not."""
        found: str | None = getattr(self.object, "external_customer_id", None)
        return found

    @property
    def object(self) -> P:
        """The thing the event is about, as it is now."""
        found: P = getattr(self.data, "object", None)  # type: ignore[assignment]
        return found


@model
class CheckoutCompleted(Event[CheckoutPayload]):
    """``checkout.completed``: a buyer paid. Which subscription came of it, other events tell."""

    data: EventData[CheckoutPayload]


@model
class CustomerCreated(Event[CustomerPayload]):
    """``customer.created``: there is a new customer."""

    data: EventData[CustomerPayload]


@model
class CustomerUpdated(Event[CustomerPayload]):
    """``customer.updated``: a customer changed."""

    data: EventData[CustomerPayload]


@model
class OrderCreated(Event[OrderPayload]):
    """``order.created``: there is a new order, for a first payment or a renewal."""

    data: EventData[OrderPayload]


@model
class OrderUpdated(Event[OrderPayload]):
    """``order.updated``: an order changed."""

    data: EventData[OrderPayload]


@model
class OrderRefunded(Event[OrderPayload]):
    """``order.refunded``: money of an order was given back, all of it or a part."""

    data: EventData[OrderPayload]


@model
class SubscriptionCreated(Event[SubscriptionPayload]):
    """``subscription.created``: somebody subscribed."""

    data: EventData[SubscriptionPayload]


@model
class SubscriptionUpdated(Event[SubscriptionPayload]):
    """``subscription.updated``: it changed, or was cancelled for the end of its period."""

    data: EventData[SubscriptionPayload]


@model
class SubscriptionCancelled(Event[SubscriptionPayload]):
    """``subscription.cancelled``: a subscription ended just now. Its status spells that ``canceled``."""

    data: EventData[SubscriptionPayload]


@model
class SubscriptionPlanChanged(Event[SubscriptionPayload]):
    """``subscription.plan_changed``: an upgrade or a downgrade; its subscription may be a new one."""

    data: EventData[SubscriptionPayload]


@model
class InvoiceCreated(Event[InvoicePayload]):
    """``invoice.created``: there is a new invoice."""

    data: EventData[InvoicePayload]


@model
class InvoicePaid(Event[InvoicePayload]):
    """``invoice.paid``: an invoice was paid. It may come without an ``invoice.created`` before it."""

    data: EventData[InvoicePayload]


@model
class InvoicePaymentFailed(Event[InvoicePayload]):
    """``invoice.payment_failed``: an invoice could not be charged."""

    data: EventData[InvoicePayload]


@model
class RefundCreated(Event[RefundPayload]):
    """``refund.created``: a refund was begun."""

    data: EventData[RefundPayload]


@model
class RefundUpdated(Event[RefundPayload]):
    """``refund.updated``: a refund went on, to its end or to a failure."""

    data: EventData[RefundPayload]


@model
class PaymentMethodCreated(Event[PaymentMethodPayload]):
    """``payment_method.created``: a customer saved a payment method."""

    data: EventData[PaymentMethodPayload]


@model
class PaymentMethodUpdated(Event[PaymentMethodPayload]):
    """``payment_method.updated``: a saved payment method changed."""

    data: EventData[PaymentMethodPayload]


@model
class PaymentMethodDeleted(Event[PaymentMethodPayload]):
    """``payment_method.deleted``: a saved payment method is gone; the object is what it was."""

    data: EventData[PaymentMethodPayload]


@model
class FeatureUsageAlert(Event[UsageAlertPayload]):
    """``feature.usage_alert``: the use of a meter crossed a threshold, once for each period."""

    data: EventData[UsageAlertPayload]


@model
class UnknownData(EventData[dict[str, Any]]):
    """What an event of an unknown type carries."""

    # Nobody knows which of its parts are secrets.
    object: dict[str, Any] = field(default=None, secret=True)


@model
class UnknownEvent(Event[dict[str, Any]]):
    """An event of a type this version does not know; ``object`` is plain data as it came."""

    data: UnknownData

    @property
    def external_customer_id(self) -> str | None:
        """Your own id of the customer, where it stands in one of the places known to hold it."""
        thing = self.object
        customer = thing.get("customer")
        found = customer.get("customer_id") if isinstance(customer, dict) else None
        if found is None and thing.get("object") in {"customer", "payment_method"}:
            # Elsewhere this is Kelviq's own id, so of an unknown kind of thing it is not taken.
            found = thing.get("customer_id")
        return found if isinstance(found, str) else None

    @property
    def object(self) -> dict[str, Any]:
        """The thing the event is about; empty where there is none."""
        return getattr(self.data, "object", None) or {}


EVENTS: Final[Mapping[str, type[Event[Any]]]] = MappingProxyType(
    {
        "checkout.completed": CheckoutCompleted,
        "customer.created": CustomerCreated,
        "customer.updated": CustomerUpdated,
        "order.created": OrderCreated,
        "order.updated": OrderUpdated,
        "order.refunded": OrderRefunded,
        "subscription.created": SubscriptionCreated,
        "subscription.updated": SubscriptionUpdated,
        "subscription.cancelled": SubscriptionCancelled,
        "subscription.plan_changed": SubscriptionPlanChanged,
        "invoice.created": InvoiceCreated,
        "invoice.paid": InvoicePaid,
        "invoice.payment_failed": InvoicePaymentFailed,
        "refund.created": RefundCreated,
        "refund.updated": RefundUpdated,
        "payment_method.created": PaymentMethodCreated,
        "payment_method.updated": PaymentMethodUpdated,
        "payment_method.deleted": PaymentMethodDeleted,
        "feature.usage_alert": FeatureUsageAlert,
    }
)
"""The class of each type of event."""


def load(data: Any) -> Event[Any]:
    """The event that plain data describes, such as the ``payload`` of a webhook log.

    It says nothing about where the data comes from: for a delivery, use ``verify``.

    Args:
        data: What JSON decodes to.

    Returns:
        An instance of the class that ``EVENTS`` has for its type, or an ``UnknownEvent``.

    Raises:
        UnreadableBody: It is no object, names no type, or lacks the thing that its type is about.
    """
    if not isinstance(data, dict):
        raise UnreadableBody(f"an event is a JSON object, not a {type(data).__name__}")
    kind = data.get("type")
    if not isinstance(kind, str) or not kind:
        raise UnreadableBody("the event names no type")
    cls = EVENTS.get(kind, UnknownEvent)
    event: Event[Any] = codec.load(cls, data)
    if event.object is None:
        # Better turned away, and seen in Kelviq's log, than handed to code that relies on it.
        raise UnreadableBody("the event lacks the object it is about")
    return event
