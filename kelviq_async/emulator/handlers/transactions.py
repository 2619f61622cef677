"""Transactions: what moved, and what Kelviq kept of it."""

from __future__ import annotations

from ... import codec
from ...api.transactions import (
    ListTransactions,
    Transaction,
    TransactionFee,
    TransactionStatus,
    TransactionType,
)
from .. import views
from ..core import Core
from ..fees import net_units
from ..pricing import from_units
from ..registry import Listed, handles
from ..state import TransactionRow
from . import orders


@handles(ListTransactions)
def list_transactions(world: Core, request: ListTransactions) -> Listed[TransactionRow]:
    """Newest first. What was refunded is below zero, so that an order's transactions add up to it."""
    rows = [
        row
        for row in reversed(world.state.transactions.values())
        if (request.status is None or row.status == request.status)
        and (request.start_date is None or row.created_on.date() >= request.start_date)
        and (request.end_date is None or row.created_on.date() <= request.end_date)
        and (not request.search or _matches(world, row, request.search))
    ]
    return Listed(rows, lambda row: shown(world, row))


def shown(world: Core, row: TransactionRow) -> Transaction:
    """A transaction as the API shows it, its order written out."""
    method = world.state.payment_methods.get(row.payment_method_id or 0)
    return Transaction(
        id=row.id,
        order=codec.dump(orders.shown(world, world.state.orders[row.order_id]), nulls=True),
        created_on=row.created_on,
        currency=row.currency,
        currency_symbol=views.symbol(row.currency),
        amount_total=from_units(row.total_units, row.currency),
        mor_fee=from_units(row.fee_units, row.currency),
        mor_fee_breakdown=[codec.load(TransactionFee, part) for part in row.fee_parts],
        collected_tax=from_units(row.tax_units, row.currency),
        net_payout=from_units(net_units(row.total_units, row.fee_units, row.tax_units), row.currency),
        status=TransactionStatus.other(row.status),
        transaction_type=TransactionType.other(row.kind),
        payment_method_type="card",
        available_on=row.available_on,
        is_settled=row.available_on is not None and row.available_on <= world.now().date(),
        payment_method_name=method.brand if method else None,
        last4=method.last4 if method else None,
    )


def _matches(world: Core, row: TransactionRow, search: str) -> bool:
    order = world.state.orders[row.order_id]
    return orders.matches(world, order, search, row.id, "card", world.state.products[order.product_id].name)
