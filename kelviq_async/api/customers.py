"""Customers: the people and companies that buy from you."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from ..model import UNSET, Model, Unset, field, model
from ..request import Namespace, Page, Request, call, delete, get, pages, patch, post


@model
class BillingAddress(Model):
    """Where a customer is billed.

    Attributes:
        country: Two-letter country code.
        line1: Street and number.
        line2: Second line of the street.
        postal_code: Postal code.
        city: City.
        state: State or province.
    """

    country: str = field(default=None)
    line1: str = field(default=None)
    line2: str | None = field(default=None)
    postal_code: str = field(default=None)
    city: str = field(default=None)
    state: str = field(default=None)


@model
class Customer(Model):
    """Somebody who buys from you.

    Attributes:
        id: Kelviq's own id.
        customer_id: Your id; never released again, also after archiving.
        name: Name, if known.
        email: Email address; need not be unique.
        details: What Kelviq itself notes.
        metadata: What you noted.
        billing_address: Where they are billed.
        created_on: When they were created.
        modified_on: When they last changed.
    """

    id: str
    customer_id: str
    name: str | None = None
    email: str | None = field(default=None, secret=True)
    details: dict[str, Any]
    metadata: dict[str, Any] | None = None
    billing_address: BillingAddress | None = field(default=None, secret=True)
    created_on: datetime
    modified_on: datetime


@get("/customers/")
class ListCustomers(Request[Page[Customer]]):
    """One page of your customers. Kelviq API: GET /customers/.

    Args:
        search: Part of a name, an email or an id.
        page: Which page, from 1.
        page_size: Rows on a page, at most 100; Kelviq takes 10 where none is given.
    """

    search: str | None = field(default=None, kw_only=True, secret=True)
    page: int | None = field(default=None, kw_only=True)
    page_size: int | None = field(default=None, kw_only=True)


@post("/customers/")
class CreateCustomer(Request[Customer]):
    """Create a customer. Kelviq API: POST /customers/.

    Args:
        customer_id: Your own id for them; it is never released again.
        name: Name to show.
        email: Email address, for receipts and the customer portal.
        metadata: Your own notes; replaced as a whole by an update.
        billing_address: Where they are billed.

    Raises:
        Conflict, BadRequest: The id is taken, also by an archived customer.
    """

    customer_id: str
    name: str | None | Unset = field(default=UNSET, kw_only=True)
    email: str | None | Unset = field(default=UNSET, kw_only=True, secret=True)
    metadata: dict[str, Any] | None | Unset = field(default=UNSET, kw_only=True)
    billing_address: BillingAddress | None | Unset = field(default=UNSET, kw_only=True, secret=True)


@get("/customers/{customer_id}/", provisional="both official SDKs")
class RetrieveCustomer(Request[Customer]):
    """Read one customer by your own id. Kelviq API: GET /customers/{customerId}/ (provisional).

    Args:
        customer_id: Your own id for them.

    Raises:
        NotFound: There is no such customer.
    """

    customer_id: str


@patch("/customers/{customer_id}/")
class UpdateCustomer(Request[Customer]):
    """Change a customer; what is left out stays. Kelviq API: PATCH /customers/{customerId}/.

    Args:
        customer_id: Your own id for them.
        name: New name, or None to remove it.
        email: New email address, or None to remove it.
        metadata: New notes in place of all the old ones.
        billing_address: New billing address.

    Raises:
        NotFound: There is no such customer.
    """

    customer_id: str
    name: str | None | Unset = field(default=UNSET, kw_only=True)
    email: str | None | Unset = field(default=UNSET, kw_only=True, secret=True)
    metadata: dict[str, Any] | None | Unset = field(default=UNSET, kw_only=True)
    billing_address: BillingAddress | None | Unset = field(default=UNSET, kw_only=True, secret=True)


@delete("/customers/{customer_id}/", provisional="both official SDKs", repeatable=True)
class ArchiveCustomer(Request[None]):
    """Archive a customer; the id stays taken. Kelviq API: DELETE /customers/{customerId}/ (provisional).

    Args:
        customer_id: Your own id for them.

    Raises:
        NotFound: There is no such customer.
    """

    customer_id: str


class Customers(Namespace):
    """The people and companies that buy from you."""

    list = call(ListCustomers)
    each = pages(ListCustomers)
    create = call(CreateCustomer)
    retrieve = call(RetrieveCustomer)
    update = call(UpdateCustomer)
    archive = call(ArchiveCustomer)
