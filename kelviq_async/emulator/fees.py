"""What Kelviq keeps of a payment: the transaction fee, its itemised parts, and the seller's net.

The percentages are taken from the gross charge, tax included: 3.5 % of 57.60 plus 0.40 is 2.416, hence the
published fee of 2.42 on a domestic one-time payment that contains 9.60 of tax. The sum is rounded once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from .pricing import from_units, half_up, minor_digits


@dataclass(frozen=True, slots=True)
class FeeSchedule:
    """Kelviq's rates; percentages are of the gross charge, amounts are in US dollars.

    Attributes:
        threshold: How much an organisation sells before its base rate changes.
        base_below: The base rate of every payment made before the threshold is reached.
        base_above: The base rate of every later payment.
        fixed: Added once to every payment.
        subscription: Added on first and renewal payments of subscriptions.
        international: Added on cards issued outside the United States.
    """

    threshold: Decimal = Decimal(5000)
    base_below: Decimal = Decimal("2.9")
    base_above: Decimal = Decimal("3.5")
    fixed: Decimal = Decimal("0.40")
    subscription: Decimal = Decimal("0.7")
    international: Decimal = Decimal("1.5")

    def base(self, sold_before: Decimal | int) -> Decimal:
        """Tell the base rate after so many dollars of sales.

        The payment that crosses the threshold still has the lower rate, since it was made before that.
        """
        return self.base_below if sold_before < self.threshold else self.base_above


KELVIQ_FEES = FeeSchedule()


@dataclass(frozen=True, slots=True)
class FeeComponent:
    """One part of a fee, as it stands in `morFeeBreakdown`.

    Attributes:
        name: base_fee, fixed_fee, international_fee, subscription_fee, conversion_fee or fee_adjustment.
        percentage: The rate as text, such as "2.9"; None for `fixed_fee` and `fee_adjustment`.
        value_units: What it comes to, in smallest units of the payment's currency.
        currency: The payment's currency.
    """

    name: str
    percentage: str | None
    value_units: int
    currency: str


@dataclass(frozen=True, slots=True)
class Fee:
    """The fee of one payment; the components' `value_units` add up to `units` exactly."""

    units: int
    currency: str
    components: tuple[FeeComponent, ...]

    @property
    def amount(self) -> Decimal:
        """The fee in the currency's main unit, as `morFee` shows it."""
        return from_units(self.units, self.currency)


def transaction_fee(
    gross_units: int,
    currency: str,
    *,
    subscription: bool,
    international: bool,
    sold_before: Decimal | int,
    conversion: Decimal | None = None,
    floor_units: int = 0,
    dollar_rate: Decimal = Decimal(1),
    schedule: FeeSchedule = KELVIQ_FEES,
) -> Fee:
    """Compute the fee of one successful payment.

    Args:
        gross_units: What the customer was charged, tax included, in smallest units.
        currency: The payment's currency.
        subscription: Whether it pays for a subscription, first or renewal.
        international: Whether the card was issued outside the United States.
        sold_before: What the organisation had sold before this payment, in US dollars.
        conversion: A currency conversion rate in percent, where one applies.
        floor_units: The processor's own fee; a lower fee is raised to it by a `fee_adjustment`.
        dollar_rate: What one US dollar is in the payment's currency, for the fixed part.
        schedule: The rates.

    Returns:
        The fee; empty for a payment of nothing, such as the start of a free trial.
    """
    if gross_units <= 0:
        return Fee(0, currency, ())
    rates = [("base_fee", schedule.base(sold_before))]
    if international:
        rates.append(("international_fee", schedule.international))
    if subscription:
        rates.append(("subscription_fee", schedule.subscription))
    if conversion is not None:
        rates.append(("conversion_fee", conversion))

    fixed = Fraction(schedule.fixed) * Fraction(dollar_rate) * 10 ** minor_digits(currency)
    exact = [fixed, *(Fraction(rate) * gross_units / 100 for _, rate in rates)]
    units = half_up(sum(exact, Fraction(0)))
    labels = [("fixed_fee", None), *((name, str(rate)) for name, rate in rates)]
    components = [
        FeeComponent(name, percentage, value, currency)
        for (name, percentage), value in zip(labels, apportion(units, exact), strict=True)
    ]
    if floor_units > units:
        components.append(FeeComponent("fee_adjustment", None, floor_units - units, currency))
        units = floor_units
    return Fee(units, currency, tuple(components))


def apportion(total: int, parts: Sequence[Fraction]) -> list[int]:
    """Make parts whole so that they add up to their rounded sum, by largest remainder.

    Args:
        total: The sum of the parts, rounded down or up.
        parts: The exact parts, none below zero.

    Returns:
        A whole number for each part, less than one away from it. On equal remainders the earlier part gets
        more, so that the same payment is always itemised the same way.
    """
    whole = [int(part) for part in parts]
    by_remainder = sorted(range(len(parts)), key=lambda place: whole[place] - parts[place])
    for place in by_remainder[: total - sum(whole)]:
        whole[place] += 1
    return whole


def net_units(gross_units: int, fee_units: int, tax_units: int) -> int:
    """Compute what the seller gets: gross less fee less tax, below zero if the fee exceeds a tiny payment."""
    return gross_units - fee_units - tax_units
