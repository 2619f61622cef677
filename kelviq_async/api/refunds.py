"""Refunds: money back for an order, all of it or a part."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

from ..model import UNSET, Model, OpenEnum, Unset, field, model
from ..request import Namespace, Page, Request, call, get, invalid, pages, post


class RefundReason(OpenEnum):
    """Why you refund."""

    DUPLICATE = "DUPLICATE"
    FRAUDULENT = "FRAUDULENT"
    REQUESTED_BY_CUSTOMER = "REQUESTED_BY_CUSTOMER"
    OTHER = "OTHER"


class RecordedRefundReason(OpenEnum):
    """Why a refund was made: your reasons, and one for those made in the dashboard."""

    DUPLICATE = "DUPLICATE"
    DASHBOARD_INITIATED = "DASHBOARD_INITIATED"
    FRAUDULENT = "FRAUDULENT"
    REQUESTED_BY_CUSTOMER = "REQUESTED_BY_CUSTOMER"
    OTHER = "OTHER"


class RefundStatus(OpenEnum):
    """How far a refund has come."""

    PENDING = "PENDING"
    PROCESSING = "PROCESSING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELED = "CANCELED"


@model
class Refund(Model):
    """Money given back for an order.

    Attributes:
        id: Kelviq's id.
        reason: Why, if it was noted.
        amount_units: Amount in the currency's smallest unit, such as cents.
        amount: The same amount in whole currency, such as dollars.
        internal_note: Your note; the customer does not see it.
        failure_reason: Why it failed, if it did.
        status: How far it has come.
        order: The order it belongs to, as Kelviq writes it out.
    """

    id: str
    reason: RecordedRefundReason | None = None
    amount_units: int
    amount: Decimal = field(form="number")
    internal_note: str | None = None
    failure_reason: str | None = None
    status: RefundStatus
    order: dict[str, Any] = field(secret=True)


@get("/refunds/")
class ListRefunds(Request[Page[Refund]]):
    """One page of your refunds, newest first. Kelviq API: GET /refunds/.

    Args:
        search: Part of a refund or order id, or of a customer's name, email or id.
        status: Only refunds that have come this far.
        start_date: Only refunds of this day and later.
        end_date: Only refunds of this day and earlier.
        page: Which page, from 1.
        page_size: Rows on a page, at most 100; Kelviq takes 10 where none is given.
    """

    search: str | None = field(default=None, kw_only=True, secret=True)
    status: RefundStatus | None = field(default=None, kw_only=True)
    start_date: date | None = field(default=None, kw_only=True)
    end_date: date | None = field(default=None, kw_only=True)
    page: int | None = field(default=None, kw_only=True)
    page_size: int | None = field(default=None, kw_only=True)


@post("/refunds/")
class CreateRefund(Request[Refund]):
    """Give money back for an order. Kelviq API: POST /refunds/.

    Without an amount, all that is left of the order is refunded.

    Args:
        order_id: The order's id.
        amount_units: How much, in the currency's smallest unit (2500 is 25 dollars).
        amount: How much, in whole currency; give this or ``amount_units``, not both. No fractions in
            currencies that have none.
        reason: Why; Kelviq takes ``REQUESTED_BY_CUSTOMER`` where none is given.
        internal_note: Your note; the customer does not see it.

    Raises:
        BadRequest: More than what is left of the order, or the payment provider refused.
        NotFound: There is no such order.
    """

    order_id: str
    amount_units: int | Unset = field(default=UNSET, kw_only=True)
    amount: Decimal | Unset = field(default=UNSET, kw_only=True, form="number")
    reason: RefundReason | Unset = field(default=UNSET, kw_only=True)
    internal_note: str | None | Unset = field(default=UNSET, kw_only=True)

    def check(self) -> None:
        """Also refuse two amounts, and amounts that are not positive.

        Raises:
            InvalidRequest: ``fields`` names the argument.
        """
        super().check()
        if self.amount is not UNSET and self.amount_units is not UNSET:
            raise invalid("amount", "must not be given together with amount_units")
        if self.amount is not UNSET and self.amount <= 0:
            raise invalid("amount", "must be positive")
        if self.amount_units is not UNSET and self.amount_units <= 0:
            raise invalid("amount_units", "must be positive")


@get("/refunds/{refund_id}/")
class RetrieveRefund(Request[Refund]):
    """Read one refund. Kelviq API: GET /refunds/{refundId}/.

    Args:
        refund_id: Kelviq's id of the refund.

    Raises:
        NotFound: There is no such refund.
    """

    refund_id: str


class Refunds(Namespace):
    """Money back for orders."""

    list = call(ListRefunds)
    each = pages(ListRefunds)
    create = call(CreateRefund)
    retrieve = call(RetrieveRefund)
