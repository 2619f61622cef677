"""Refunds: made at once, found later."""

from __future__ import annotations

from ... import codec
from ...api.refunds import (
    CreateRefund,
    ListRefunds,
    RecordedRefundReason,
    Refund,
    RefundStatus,
    RetrieveRefund,
)
from ...model import UNSET
from .. import ledger, payloads
from ..core import Core
from ..pricing import fits_currency, from_units, to_units
from ..refusals import Refusal, bad_field, not_found
from ..registry import Listed, handles
from ..state import OrderRow, RefundRow
from . import orders

REFUNDABLE = frozenset({"COMPLETE", "PARTIAL_REFUND"})


@handles(ListRefunds)
def list_refunds(world: Core, request: ListRefunds) -> Listed[RefundRow]:
    """Newest first."""
    rows = [
        row
        for row in reversed(world.state.refunds.values())
        if (request.status is None or row.status == request.status)
        and (request.start_date is None or row.created_on.date() >= request.start_date)
        and (request.end_date is None or row.created_on.date() <= request.end_date)
        and orders.matches(world, world.state.orders[row.order_id], request.search, row.id)
    ]
    return Listed(rows, lambda row: shown(world, row))


@handles(CreateRefund)
def create_refund(world: Core, request: CreateRefund) -> Refund:
    """The money goes back at once: processing, then succeeded. Of two amounts the units win."""
    order = world.state.orders.get(request.order_id)
    if order is None or order.status == orders.PENDING:
        raise not_found("Order")
    if order.status not in REFUNDABLE:
        raise Refusal(400, {"error": f"An order that is {order.status} cannot be refunded."})
    left = order.total_units - order.refunded_units
    units = _units(request, order, left)
    if units > left:
        raise Refusal(
            400,
            {
                "error": "Amount exceeds order total."
                if not order.refunded_units
                else "Amount exceeds what is left of the order."
            },
        )
    if units <= 0:
        raise Refusal(400, {"error": "There is nothing left to refund."})
    now = world.now()
    row = RefundRow(
        id=world.new_id(),
        order_id=order.id,
        amount_units=units,
        currency=order.currency,
        status="PROCESSING",
        created_on=now,
        modified_on=now,
        reason=str(request.reason) if request.reason else "REQUESTED_BY_CUSTOMER",
        internal_note=request.internal_note or None,
    )
    world.state.refunds[row.id] = row
    before = order.status
    payloads.tell(world, "refund.created", payloads.refund, row)
    row.status = "SUCCEEDED"
    ledger.give_back(world, row)
    payloads.tell(world, "refund.updated", payloads.refund, row, {"status": "PROCESSING"})
    payloads.tell(world, "order.refunded", payloads.order, order, {"status": before})
    return shown(world, row)


@handles(RetrieveRefund)
def retrieve_refund(world: Core, request: RetrieveRefund) -> Refund:
    """One refund, or 404."""
    row = world.state.refunds.get(request.refund_id)
    if row is None:
        raise not_found("Refund")
    return shown(world, row)


def shown(world: Core, row: RefundRow) -> Refund:
    """A refund as the API shows it, its order written out."""
    return Refund(
        id=row.id,
        reason=RecordedRefundReason.other(row.reason) if row.reason else None,
        amount_units=row.amount_units,
        amount=from_units(row.amount_units, row.currency),
        internal_note=row.internal_note,
        failure_reason=row.failure_reason,
        status=RefundStatus.other(row.status),
        order=codec.dump(orders.shown(world, world.state.orders[row.order_id]), nulls=True),
    )


def _units(request: CreateRefund, order: OrderRow, left: int) -> int:
    """How much is to go back; all that is left where nothing is said."""
    if request.amount_units is not UNSET:
        if request.amount_units <= 0:
            raise bad_field("amountUnits", "Ensure this value is greater than or equal to 1.")
        return request.amount_units
    if request.amount is not UNSET:
        if request.amount <= 0:
            raise bad_field("amount", "Ensure this value is greater than 0.")
        if not fits_currency(request.amount, order.currency):
            raise bad_field("amount", f"This is no amount in {order.currency}.")
        return to_units(request.amount, order.currency)
    return left
