"""Customers: created, found, changed, archived. Their ids are never released."""

from __future__ import annotations

from typing import Any

from ... import codec
from ...api.customers import (
    ArchiveCustomer,
    BillingAddress,
    CreateCustomer,
    Customer,
    ListCustomers,
    RetrieveCustomer,
    UpdateCustomer,
)
from ...model import UNSET
from .. import payloads
from ..core import Core
from ..refusals import bad_field, not_found
from ..registry import Listed, handles
from ..state import CustomerRow


def shown(row: CustomerRow) -> Customer:
    """A customer as the API shows it."""
    return Customer(
        id=row.id,
        customer_id=row.customer_id,
        name=row.name,
        email=row.email,
        details=row.details or {},
        metadata=row.metadata or {},
        billing_address=codec.load(BillingAddress, row.billing_address) if row.billing_address else None,
        created_on=row.created_on,
        modified_on=row.modified_on,
    )


def living(world: Core, customer_id: str) -> CustomerRow:
    """A customer that is not archived, or 404."""
    row = world.state.customers.get(customer_id)
    if row is None or row.archived:
        raise not_found("Customer")
    return row


def enrolled(world: Core, customer_id: str, **known: Any) -> CustomerRow:
    """A customer, created if nobody has this id yet; an archived one is refused."""
    row = world.state.customers.get(customer_id)
    if row is None:
        now = world.now()
        row = CustomerRow(world.new_id(), customer_id, now, now, **known)
        world.state.customers[customer_id] = row
    elif row.archived:
        raise bad_field("customerId", "This customer was archived.")
    return row


@handles(ListCustomers)
def list_customers(world: Core, request: ListCustomers) -> Listed[CustomerRow]:
    """Newest first; ``search`` looks into names, emails and ids."""
    wanted = (request.search or "").lower()
    rows = [
        row
        for row in reversed(world.state.customers.values())
        if not row.archived
        and any(wanted in (text or "").lower() for text in (row.customer_id, row.name, row.email))
    ]
    return Listed(rows, shown)


@handles(CreateCustomer, status=201)
def create_customer(world: Core, request: CreateCustomer) -> Customer:
    """409-like refusals come as 400 on the field, as a taken id does at Kelviq."""
    if not request.customer_id:
        raise bad_field("customerId", "This field may not be blank.")
    if request.customer_id in world.state.customers:
        raise bad_field("customerId", "Customer with this customer id already exists.")
    row = enrolled(world, request.customer_id)
    _change(row, request)
    payloads.tell(world, "customer.created", payloads.customer, row)
    return shown(row)


@handles(RetrieveCustomer)
def retrieve_customer(world: Core, request: RetrieveCustomer) -> Customer:
    """One customer, or 404."""
    return shown(living(world, request.customer_id))


@handles(UpdateCustomer)
def update_customer(world: Core, request: UpdateCustomer) -> Customer:
    """Changes what is given; metadata is replaced as a whole."""
    row = living(world, request.customer_id)
    before = payloads.remembered(world, payloads.customer, row)
    _change(row, request)
    row.modified_on = world.now()
    payloads.tell_change(world, "customer.updated", payloads.customer, row, before)
    return shown(row)


@handles(ArchiveCustomer, status=204)
def archive_customer(world: Core, request: ArchiveCustomer) -> None:
    """The customer is gone from lists; the id stays taken."""
    living(world, request.customer_id).archived = True


def _change(row: CustomerRow, request: CreateCustomer | UpdateCustomer) -> None:
    if request.name is not UNSET:
        row.name = request.name
    if request.email is not UNSET:
        row.email = request.email
    if request.metadata is not UNSET:
        row.metadata = request.metadata
    if request.billing_address is not UNSET:
        row.billing_address = codec.dump(request.billing_address)
