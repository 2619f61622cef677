"""Transactions: money that moved, with what Kelviq kept of it."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any

from ..model import Model, OpenEnum, field, model
from ..request import Namespace, Page, Request, call, get, pages


class TransactionStatus(OpenEnum):
    """How a transaction went."""

    SUCCESS = "success"
    FAILURE = "failure"
    PENDING = "pending"


class TransactionType(OpenEnum):
    """Why money moved."""

    CHARGE = "CHARGE"
    REFUND = "REFUND"
    CHARGEBACK = "CHARGEBACK"
    CHARGEBACK_REVERSAL = "CHARGEBACK_REVERSAL"
    CREDIT = "CREDIT"
    PAYOUT = "PAYOUT"
    ADJUSTMENT = "ADJUSTMENT"


class TransactionFeeName(OpenEnum):
    """What a part of Kelviq's fee is taken for."""

    BASE_FEE = "base_fee"
    FIXED_FEE = "fixed_fee"
    INTERNATIONAL_FEE = "international_fee"
    SUBSCRIPTION_FEE = "subscription_fee"
    CONVERSION_FEE = "conversion_fee"
    FEE_ADJUSTMENT = "fee_adjustment"


@model
class TransactionFee(Model):
    """One part of Kelviq's fee.

    Attributes:
        name: What it is taken for.
        percentage: Its rate in percent, or None where it is no rate, such as the fixed fee.
        value_units: How much it is, in the currency's smallest unit, such as cents.
        currency: Three-letter currency code.
    """

    name: TransactionFeeName
    percentage: Decimal | None = None
    value_units: int
    currency: str


@model
class Transaction(Model):
    """A movement of money. Amounts are in whole currency, such as dollars.

    Attributes:
        id: Kelviq's id.
        order: The order it belongs to, as Kelviq writes it out.
        created_on: When it was made.
        currency: Three-letter currency code.
        currency_symbol: Sign of the currency, such as ``"$"``.
        amount_total: How much moved, before fee and tax.
        mor_fee: What Kelviq keeps as merchant of record.
        mor_fee_breakdown: The parts of that fee; empty where there is none.
        collected_tax: Tax that Kelviq passes on.
        net_payout: What is left for you.
        status: How it went.
        transaction_type: Why money moved.
        payment_method_type: Kind of payment, such as ``"card"``.
        available_on: Day from which you can have it paid out, if known.
        is_settled: Whether it is settled.
        payment_method_name: Brand or provider, such as ``"visa"``, if known.
        last4: Last four digits of the card, if it was one.
    """

    id: str
    order: dict[str, Any] = field(secret=True)
    created_on: datetime
    currency: str
    currency_symbol: str
    amount_total: Decimal = field(form="number")
    mor_fee: Decimal = field(form="number")
    mor_fee_breakdown: list[TransactionFee]
    collected_tax: Decimal = field(form="number")
    net_payout: Decimal = field(form="number")
    status: TransactionStatus
    transaction_type: TransactionType
    payment_method_type: str
    available_on: date | None = None
    is_settled: bool
    payment_method_name: str | None = None
    last4: str | None = None


@get("/transaction/")
class ListTransactions(Request[Page[Transaction]]):
    """One page of your transactions, newest first. Kelviq API: GET /transaction/.

    Args:
        search: Part of the payment provider's id, of a customer's name, email or id, of a product's
            name or of a kind of payment.
        status: Only transactions that went this way.
        start_date: Only transactions of this day and later.
        end_date: Only transactions of this day and earlier.
        page: Which page, from 1.
        page_size: Rows on a page, at most 100; Kelviq takes 10 where none is given.
    """

    search: str | None = field(default=None, kw_only=True, secret=True)
    status: TransactionStatus | None = field(default=None, kw_only=True)
    start_date: date | None = field(default=None, kw_only=True)
    end_date: date | None = field(default=None, kw_only=True)
    page: int | None = field(default=None, kw_only=True)
    page_size: int | None = field(default=None, kw_only=True)


class Transactions(Namespace):
    """Money that moved."""

    list = call(ListTransactions)
    each = pages(ListTransactions)
