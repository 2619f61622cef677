"""Payment methods: the cards that customers have saved."""

from __future__ import annotations

from ... import codec
from ...api.payment_methods import ListPaymentMethods, PaymentMethod
from ...spelling import dump_datetime
from ..core import Core
from ..registry import Listed, handles
from ..state import PaymentMethodRow


@handles(ListPaymentMethods)
def list_payment_methods(world: Core, request: ListPaymentMethods) -> Listed[PaymentMethodRow]:
    """Newest first; only those that can be used."""
    rows = [
        row
        for row in reversed(world.state.payment_methods.values())
        if row.status == "succeeded"
        and (request.customer_id is None or row.customer_id == request.customer_id)
        and (
            request.customer_email is None
            or world.state.customers[row.customer_id].email == request.customer_email
        )
    ]
    return Listed(rows, lambda row: shown(world, row))


def shown(world: Core, row: PaymentMethodRow) -> PaymentMethod:
    """A payment method as the API shows it; its id is a number there."""
    customer = world.state.customers[row.customer_id]
    data = {
        "id": row.id,
        "customer": {
            "customerId": customer.customer_id,
            "name": customer.name,
            "email": customer.email,
            "billingAddress": customer.billing_address,
        },
        "methodType": "card",
        "methodData": {
            "brand": row.brand,
            "last4": row.last4,
            "expMonth": row.exp_month,
            "expYear": row.exp_year,
            "funding": "credit",
            "country": row.country,
        },
        "isDefault": row.is_default,
        "status": row.status,
        "createdOn": dump_datetime(row.created_on),
        "modifiedOn": dump_datetime(row.modified_on),
    }
    return codec.load(PaymentMethod, data)  # type: ignore[no-any-return]
