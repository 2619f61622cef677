"""Payment methods: the cards and accounts that customers have saved."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from ..model import Model, OpenEnum, field, model
from ..request import Namespace, Page, Request, call, get, pages
from .customers import BillingAddress


class PaymentMethodStatus(OpenEnum):
    """Whether a payment method can be used."""

    SUCCEEDED = "succeeded"
    REQUIRES_ACTION = "requires_action"


@model
class PaymentMethodCustomer(Model):
    """Whose payment method it is.

    Attributes:
        customer_id: Your id of the customer.
        name: Name, if known.
        email: Email address, if known.
        billing_address: Where they are billed.
    """

    customer_id: str
    name: str | None = None
    email: str | None = field(default=None, secret=True)
    billing_address: BillingAddress | None = field(default=None, secret=True)


@model
class PaymentMethod(Model):
    """A card or account that a customer has saved.

    Attributes:
        id: Kelviq's id.
        customer: Whose it is.
        method_type: Kind of payment, such as ``"card"``.
        method_data: What is known of it: for a card its brand, last digits and expiry.
        is_default: Whether charges and renewals use it.
        status: Whether it can be used.
        created_on: When it was saved.
        modified_on: When it last changed.
    """

    id: str = field(form="id")
    customer: PaymentMethodCustomer
    method_type: str
    method_data: dict[str, Any] = field(secret=True)
    is_default: bool
    status: PaymentMethodStatus
    created_on: datetime
    modified_on: datetime


@get("/payment-methods/")
class ListPaymentMethods(Request[Page[PaymentMethod]]):
    """One page of usable saved payment methods, newest first. Kelviq API: GET /payment-methods/.

    Args:
        customer_id: Only those of the customer with this id of yours.
        customer_email: Only those of the customer with this email address.
        page: Which page, from 1.
        page_size: Rows on a page, at most 100; Kelviq takes 10 where none is given.
    """

    customer_id: str | None = field(default=None, kw_only=True)
    customer_email: str | None = field(default=None, kw_only=True, secret=True)
    page: int | None = field(default=None, kw_only=True)
    page_size: int | None = field(default=None, kw_only=True)


class PaymentMethods(Namespace):
    """The cards and accounts that customers have saved."""

    list = call(ListPaymentMethods)
    each = pages(ListPaymentMethods)
