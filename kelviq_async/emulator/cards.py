"""Cards: the test cards that the checkout page takes, and the payment methods that customers have saved."""

from __future__ import annotations

from typing import Final

import attrs

from .core import Core
from .refusals import bad_field, detail
from .state import PaymentMethodRow


@attrs.frozen
class TestCard:
    """How a test card behaves.

    Attributes:
        brand: Such as ``"visa"``.
        country: Where it was issued; cards from outside the US cost a higher fee.
        saves: Whether it can be saved at all.
        pays: Whether a payment with it goes through.
        asks: Whether its holder has to confirm the first payment.
    """

    __test__ = False  # its name begins as a test's does

    brand: str = "visa"
    country: str = "US"
    saves: bool = True
    pays: bool = True
    asks: bool = False


CARDS: Final = {
    "4242424242424242": TestCard(),
    "4000000000000002": TestCard(saves=False, pays=False),
    "4000002500003155": TestCard(asks=True),
    # Can be saved in a free trial, and is declined whenever money is to be taken.
    "4000000000000341": TestCard(pays=False),
    "4000008260000000": TestCard(country="GB"),
}
"""Beyond the three of Kelviq's documentation, one that fails at renewals and one from abroad."""

DECLINED: Final = "Your card was declined."
NO_METHOD: Final = "A payment method is required to complete this payment."


def known(number: str) -> tuple[str, TestCard]:
    """A test card by its number, spaces or not, or 400: real cards have no place here."""
    digits = "".join(number.split()).replace("-", "")
    card = CARDS.get(digits)
    if card is None:
        raise bad_field("card", f"This is none of the test cards: {', '.join(map(_spaced, CARDS))}.")
    return digits, card


def save(world: Core, customer_id: str, number: str) -> tuple[PaymentMethodRow, str]:
    """Make a card the one that a customer's charges and renewals use.

    Returns:
        The payment method, and the event that tells of it: ``"payment_method.created"``, or
        ``"payment_method.updated"`` where it was the customer's default already.
    """
    digits, card = known(number)
    customer, now = world.state.customers[customer_id], world.now()
    old = default(world, customer_id)
    if old is not None and (old.last4, old.country) == (digits[-4:], card.country):
        old.declines, old.modified_on = not card.pays, now
        return old, "payment_method.updated"
    if old is not None:
        old.is_default, old.modified_on = False, now
    row = PaymentMethodRow(
        id=world.next_number("payment_method"),
        customer_id=customer_id,
        brand=card.brand,
        last4=digits[-4:],
        country=card.country,
        exp_month=12,
        exp_year=now.year + 3,
        created_on=now,
        modified_on=now,
        declines=not card.pays,
    )
    world.state.payment_methods[row.id] = row
    customer.default_card = row.id
    return row, "payment_method.created"


def default(world: Core, customer_id: str) -> PaymentMethodRow | None:
    """The payment method that a customer's charges and renewals use, if there is one."""
    number = world.state.customers[customer_id].default_card
    return None if number is None else world.state.payment_methods.get(number)


def paying(world: Core, customer_id: str) -> PaymentMethodRow:
    """The saved payment method with which a charge without its holder goes through, or 400."""
    row = default(world, customer_id)
    if row is None:
        raise detail(400, NO_METHOD)
    if row.declines:
        raise detail(400, DECLINED)
    return row


def _spaced(digits: str) -> str:
    return " ".join(digits[place : place + 4] for place in range(0, len(digits), 4))
