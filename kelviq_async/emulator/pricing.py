"""What something costs: usage price models, smallest currency units, discounts and tax.

Everything here is a pure function. Prices are computed exactly as `Decimal` and rounded once, by `to_units`,
when the whole price is known; from there on money is an `int` of the currency's smallest unit, which cannot
carry a fraction by accident. No float takes part in any sum.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Context, Decimal, Inexact, InvalidOperation, localcontext
from fractions import Fraction
from itertools import pairwise

# Digits after the point in ISO 4217; two where nothing is said. MGA has a smaller coin, but it is a fifth and
# no power of ten, so payment processors count whole ariary.
_MINOR_DIGITS = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW MGA PYG RWF UGX UYI VND VUV XAF XOF XPF",
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}

# Numbers are bounded on the way in (see `exact_decimal`), so this many digits hold every product and sum of a
# price; the trap proves it instead of rounding quietly.
_LARGEST_EXPONENT = 30
_EXACT = Context(prec=200, traps=[Inexact, InvalidOperation])

PRICE_MODELS = frozenset({"FLAT", "PACKAGE", "TIERED", "VOLUME", "STAIRSTEP"})
_UNBOUNDED = frozenset({"inf", "+inf", "infinity", "+infinity"})


class InvalidValue(ValueError):
    """Something in a request or a catalogue cannot be meant as it stands: a price, a rate, a threshold."""


def exact_decimal(value: object) -> Decimal:
    """Read a number of a request as the decimal that its author wrote.

    Args:
        value: An int, a `Decimal`, a string such as `"49.00"`, or a float that a JSON decoder made. A float
            is read by its shortest text, which is the text that stood in the JSON.

    Raises:
        InvalidValue: If it is no number, not finite, or has more than 30 digits on either side of the point.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        raise InvalidValue(f"not a number: {value!r}")
    try:
        number = Decimal(repr(value) if isinstance(value, float) else value)
    except InvalidOperation:
        raise InvalidValue(f"not a number: {value!r}") from None
    exponent = number.as_tuple().exponent
    if not isinstance(exponent, int):
        raise InvalidValue(f"not a finite number: {value!r}")
    if exponent < -_LARGEST_EXPONENT or max(number.adjusted(), exponent) > _LARGEST_EXPONENT:
        raise InvalidValue("a number with more than 30 digits before or after the point")
    return number


def minor_digits(currency: str) -> int:
    """Tell how many digits a currency has after the point: USD 2, JPY 0, KWD 3, in any letter case."""
    code = currency.strip().upper()
    return next((digits for digits, codes in _MINOR_DIGITS.items() if code in codes.split()), 2)


def half_up(value: Fraction) -> int:
    """Round to a whole number, halves away from zero (`ROUND_HALF_UP`), whatever the size of the number."""
    whole = int(abs(value) + Fraction(1, 2))
    return whole if value >= 0 else -whole


def to_units(amount: Decimal | Fraction | int, currency: str) -> int:
    """Turn an amount into smallest units (12.345 USD is 1235), rounding halves up: the one rounding."""
    return half_up(Fraction(amount) * 10 ** minor_digits(currency))


def from_units(units: int, currency: str) -> Decimal:
    """Turn smallest units into an amount that keeps its final zeros: 4900 USD is `Decimal("49.00")`."""
    # Built from its digits, since arithmetic would round by whatever decimal context happens to be active.
    return Decimal((int(units < 0), tuple(map(int, str(abs(units)))), -minor_digits(currency)))


def round_money(amount: Decimal | Fraction | int, currency: str) -> Decimal:
    """Round an amount to the currency's smallest unit, halves up, keeping final zeros."""
    return from_units(to_units(amount, currency), currency)


def fits_currency(amount: Decimal, currency: str) -> bool:
    """Tell whether an amount is whole in smallest units; a refund of 10.50 JPY is not."""
    return Fraction(amount) == Fraction(round_money(amount, currency))


@dataclass(frozen=True, slots=True)
class Tier:
    """One bracket of a TIERED, VOLUME or STAIRSTEP price.

    Attributes:
        up_to: The last unit that belongs to it (1,000 means units 1 to 1,000), or None for no end.
        unit_amount: The price of one unit.
        flat_amount: A fee for the bracket as a whole; None if the price names none.
    """

    up_to: Decimal | None
    unit_amount: Decimal
    flat_amount: Decimal | None

    @property
    def fee(self) -> Decimal:
        """The fee for the bracket, 0 if the price names none."""
        return Decimal(0) if self.flat_amount is None else self.flat_amount


def parse_tiers(raw: Iterable[object]) -> tuple[Tier, ...]:
    """Read `PlanCharge.tiers`, sorted by where they end.

    Args:
        raw: Mappings with `flatAmount`, `unitAmount` and `upTo`, camelCase or snake_case, numbers or strings.
            `upTo` may be "inf", "infinity" or null for the last bracket.

    Returns:
        The tiers in rising order, the endless one last.

    Raises:
        InvalidValue: If a value is unreadable or negative, or two brackets end at the same unit.
    """
    tiers = [_tier(entry) for entry in raw]
    tiers.sort(key=lambda tier: (tier.up_to is None, tier.up_to or 0))
    for lower, upper in pairwise(tiers):
        if lower.up_to == upper.up_to:
            raise InvalidValue(f"two tiers end at the same unit: {lower.up_to or 'inf'}")
    return tuple(tiers)


def usage_price(
    price_model: str,
    units: Decimal | int | str,
    *,
    amount: object = None,
    block_size: object = 1,
    tiers: Iterable[Tier] = (),
) -> Decimal:
    """Compute what a number of units costs, exactly and unrounded.

    Args:
        price_model: FLAT (`amount` for each unit), PACKAGE (`amount` for each begun block of `block_size`),
            TIERED (each unit at its own bracket's rate), VOLUME (all units at the rate of the bracket that
            the last one reaches) or STAIRSTEP (one fee for that bracket).
        units: How many; nothing used, and a count that corrections have taken below zero, costs nothing.
        amount: The price of FLAT and PACKAGE.
        block_size: How many units a PACKAGE holds.
        tiers: The brackets of the other three, as `parse_tiers` gives them. Units beyond the last bracket are
            priced as if it had no end.

    Returns:
        The price in the currency's main unit; `to_units` rounds it, once everything is added up.

    Raises:
        InvalidValue: If the model is unknown or its price is incomplete.
    """
    if price_model not in PRICE_MODELS:
        raise InvalidValue(f"unknown price model: {price_model!r}")
    with localcontext(_EXACT):
        count = max(exact_decimal(units), Decimal(0))
        if price_model == "FLAT":
            return count * _price(amount, "amount")
        if price_model == "PACKAGE":
            size = exact_decimal(block_size)
            if size <= 0:
                raise InvalidValue(f"block_size must be positive, not {size}")
            full, rest = divmod(count, size)
            return (full + bool(rest)) * _price(amount, "amount")
        brackets = tuple(tiers)
        if not brackets:
            raise InvalidValue(f"{price_model} needs tiers")
        if price_model == "TIERED":
            return _tiered(count, brackets)
        reached = next((tier for tier in brackets if tier.up_to is None or count <= tier.up_to), brackets[-1])
        if price_model == "VOLUME":
            return count * reached.unit_amount + reached.fee if count else Decimal(0)
        if any(tier.flat_amount is None for tier in brackets):
            # Taking 0 would sell the bracket for nothing, and a unit rate has no meaning in this model.
            raise InvalidValue("every STAIRSTEP tier needs a flatAmount")
        return reached.fee if count else Decimal(0)


def charge_price(price_model: str, charge: Mapping[str, object], units: Decimal | int | str = 1) -> Decimal:
    """Compute the price of a charge as a plan price holds it.

    Args:
        price_model: The `priceModel` of the `chargeCatalogPrice` that the charge stands in.
        charge: A `PlanCharge` with `priceData` (`amount`, `block_size`) and `tiers`, in either spelling.
        units: Usage or purchased quantity; 1 for a plan's own price.

    Returns:
        The exact price, not yet rounded.

    Raises:
        InvalidValue: As `usage_price` and `parse_tiers`.
    """
    data = _field(charge, "priceData", "price_data") or {}
    tiers = charge.get("tiers") or ()
    if not isinstance(data, Mapping) or not isinstance(tiers, list | tuple):
        raise InvalidValue("priceData must be an object and tiers a list")
    block_size = _field(data, "block_size", "blockSize")
    return usage_price(
        price_model,
        units,
        amount=data.get("amount"),
        block_size=1 if block_size is None else block_size,
        tiers=parse_tiers(tiers),
    )


def percentage_discount(subtotal_units: int, percentage: object) -> int:
    """Compute a relative discount in smallest units; raises InvalidValue outside of 0 to 100 percent."""
    share = exact_decimal(percentage)
    if not 0 <= share <= 100:
        raise InvalidValue(f"a discount of {share} percent")
    return half_up(Fraction(share) * subtotal_units / 100)


def fixed_discount(subtotal_units: int, amount: object, currency: str, discount_currency: str) -> int:
    """Compute a fixed discount in smallest units; raises InvalidValue if it is in another currency."""
    if currency.strip().upper() != discount_currency.strip().upper():
        raise InvalidValue(f"a discount in {discount_currency} on a price in {currency}")
    return min(subtotal_units, to_units(_price(amount, "discount"), currency))


@dataclass(frozen=True, slots=True)
class TaxSplit:
    """An amount taken apart; `before_tax_units + tax_units == total_units` always."""

    before_tax_units: int
    tax_units: int
    total_units: int


def split_tax(amount_units: int, rate: object, behavior: str) -> TaxSplit:
    """Take a listed price apart into what is left before tax, the tax, and what the customer pays.

    Args:
        amount_units: The listed price after discounts, in smallest units.
        rate: The tax rate in percent.
        behavior: INCLUSIVE if the listed price contains the tax. EXCLUSIVE adds it on top, and so does
            UNSPECIFIED, since that is what Kelviq does unless told otherwise.

    Returns:
        The three parts; only the tax is rounded, the others follow from it.

    Raises:
        InvalidValue: If the rate is negative or the behaviour unknown.
    """
    percent = Fraction(_price(rate, "tax rate"))
    if behavior == "INCLUSIVE":
        tax = half_up(amount_units * percent / (100 + percent))
        return TaxSplit(amount_units - tax, tax, amount_units)
    if behavior in {"EXCLUSIVE", "UNSPECIFIED"}:
        tax = half_up(amount_units * percent / 100)
        return TaxSplit(amount_units, tax, amount_units + tax)
    raise InvalidValue(f"unknown tax behavior: {behavior!r}")


def _field(raw: Mapping[str, object], name: str, other_spelling: str) -> object:
    value = raw.get(name)
    return raw.get(other_spelling) if value is None else value


def _price(value: object, name: str) -> Decimal:
    number = exact_decimal(value)
    if number < 0:
        raise InvalidValue(f"negative {name}: {number}")
    return number


def _tier(raw: object) -> Tier:
    if not isinstance(raw, Mapping):
        raise InvalidValue(f"a tier must be an object, not {raw!r}")
    unit = _field(raw, "unitAmount", "unit_amount")
    flat = _field(raw, "flatAmount", "flat_amount")
    end = _field(raw, "upTo", "up_to")
    up_to = None if end is None or str(end).strip().lower() in _UNBOUNDED else exact_decimal(end)
    if up_to is not None and up_to <= 0:
        raise InvalidValue(f"upTo must be positive, not {up_to}")
    return Tier(
        up_to,
        Decimal(0) if unit is None else _price(unit, "unitAmount"),
        None if flat is None else _price(flat, "flatAmount"),
    )


def _tiered(count: Decimal, tiers: tuple[Tier, ...]) -> Decimal:
    total = below = Decimal(0)
    for tier in tiers:
        if count <= below:
            break
        top = count if tier.up_to is None or tier is tiers[-1] else min(count, tier.up_to)
        total += tier.fee + (top - below) * tier.unit_amount
        below = top
    return total
