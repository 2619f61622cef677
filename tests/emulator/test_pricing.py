from decimal import Decimal, getcontext, localcontext
from fractions import Fraction

import pytest
from hypothesis import given, strategies as st

from kelviq_async.emulator.pricing import (
    InvalidValue,
    charge_price,
    exact_decimal,
    fits_currency,
    fixed_discount,
    from_units,
    half_up,
    minor_digits,
    parse_tiers,
    percentage_discount,
    round_money,
    split_tax,
    to_units,
    usage_price,
)

LLM_TOKENS = [{"upTo": 1000, "unitAmount": 0.10}, {"upTo": 5000, "unitAmount": 0.05}]
API_CALLS = [{"upTo": 100_000, "unitAmount": "0.01"}, {"upTo": "inf", "unitAmount": "0.007"}]
EMAILS = [{"upTo": 10_000, "flatAmount": 50}, {"upTo": 50_000, "flatAmount": 150}]

currencies = st.sampled_from(["USD", "JPY", "KWD", "CLF", "xyz"])
rates = st.decimals(0, 1000, places=6)
counts = st.integers(0, 10**9)


@st.composite
def tier_lists(draw, flat=rates, unit=rates):
    ends = draw(st.lists(st.integers(1, 10**6), max_size=5, unique=True).map(sorted))
    return [
        {"upTo": end, "unitAmount": draw(unit), "flatAmount": draw(flat)}
        for end in [*ends, draw(st.sampled_from(["inf", "Infinity", None, float("inf")]))]
    ]


def tiered(model, tiers, units):
    return charge_price(model, {"priceData": {"currency": "USD"}, "tiers": tiers}, units)


@pytest.mark.parametrize(
    ("model", "charge", "units", "price"),
    [
        ("FLAT", {"priceData": {"amount": 0.01}}, 15_000, "150"),
        ("FLAT", {"priceData": {"amount": 29.99}, "tiers": []}, 1, "29.99"),
        ("FLAT", {"price_data": {"amount": "12"}}, 8, "96"),
        ("PACKAGE", {"priceData": {"amount": 10, "block_size": 100}}, 205, "30"),
        ("PACKAGE", {"priceData": {"amount": "10", "blockSize": "100"}}, 200, "20"),
        ("PACKAGE", {"priceData": {"amount": 5, "block_size": 1000}}, 2500, "15"),
        ("PACKAGE", {"priceData": {"amount": 3}}, 7, "21"),
        ("TIERED", {"tiers": LLM_TOKENS}, 3500, "225"),
        ("VOLUME", {"tiers": API_CALLS}, 120_000, "840"),
        ("VOLUME", {"tiers": API_CALLS}, 100_000, "1000"),
        ("STAIRSTEP", {"tiers": EMAILS}, 12_000, "150"),
        ("STAIRSTEP", {"tiers": EMAILS}, 10_000, "50"),
        ("STAIRSTEP", {"tiers": EMAILS}, 10_001, "150"),
        # an allowance is a first tier that costs nothing
        (
            "TIERED",
            {"tiers": [{"upTo": 100_000, "unitAmount": 0}, {"upTo": "inf", "unitAmount": 0.0002}]},
            120_000,
            "4",
        ),
    ],
)
def test_the_published_examples(model, charge, units, price):
    assert charge_price(model, charge, units) == Decimal(price)


@pytest.mark.parametrize("spelling", ["inf", "INF", " infinity ", "Infinity", "+inf", None, float("inf")])
def test_an_endless_tier_has_many_spellings(spelling):
    (tier,) = parse_tiers([{"up_to": spelling, "unit_amount": "0.5", "flat_amount": 2}])
    assert (tier.up_to, tier.unit_amount, tier.fee) == (None, Decimal("0.5"), 2)


def test_tiers_are_sorted_and_their_numbers_may_be_strings():
    tiers = parse_tiers([{"upTo": "inf"}, {"upTo": "1000"}, {"upTo": 20.0}])
    assert [tier.up_to for tier in tiers] == [20, 1000, None]


@pytest.mark.parametrize(
    "tiers",
    [
        [{"upTo": "inf"}, {"upTo": None}],
        [{"upTo": 5}, {"upTo": "5"}],
        [{"upTo": 0}],
        [{"upTo": -1}],
        [{"upTo": "many"}],
        [{"upTo": True}],
        [{"upTo": 5, "unitAmount": -1}],
        [{"upTo": 5, "flatAmount": "NaN"}],
        ["1000"],
    ],
)
def test_tiers_that_cannot_be_meant_are_refused(tiers):
    with pytest.raises(InvalidValue):
        parse_tiers(tiers)


@pytest.mark.parametrize(
    ("model", "charge"),
    [
        ("GRADUATED", {"priceData": {"amount": 1}}),
        ("flat", {"priceData": {"amount": 1}}),
        ("FLAT", {}),
        ("FLAT", {"priceData": {"amount": -1}}),
        ("FLAT", {"priceData": [1]}),
        ("PACKAGE", {"priceData": {"amount": 1, "block_size": 0}}),
        ("PACKAGE", {"priceData": {"block_size": 10}}),
        ("TIERED", {"tiers": []}),
        ("TIERED", {"tiers": {"upTo": 5}}),
        ("VOLUME", {}),
        ("STAIRSTEP", {"tiers": [{"upTo": "inf", "unitAmount": 50}]}),
    ],
)
def test_incomplete_prices_are_refused(model, charge):
    with pytest.raises(InvalidValue):
        charge_price(model, charge, 3)


@pytest.mark.parametrize("model", ["TIERED", "VOLUME", "STAIRSTEP"])
@given(tiers=tier_lists(), units=st.integers(-(10**9), 0))
def test_nothing_used_costs_nothing_even_with_a_flat_fee(model, tiers, units):
    assert tiered(model, tiers, units) == 0


def test_units_beyond_a_closed_last_tier_are_priced_as_in_it():
    assert tiered("TIERED", LLM_TOKENS, 6000) == 100 + 250
    assert tiered("VOLUME", LLM_TOKENS, 6000) == 300
    assert tiered("STAIRSTEP", EMAILS, 60_000) == 150


@given(tier_lists(), st.integers(1, 10**7))
def test_tiered_never_falls_with_usage(tiers, units):
    assert tiered("TIERED", tiers, units) <= tiered("TIERED", tiers, units + 1)


@given(tier_lists(flat=st.none()), st.integers(0, 10**7))
def test_tiered_without_flat_fees_has_no_jumps(tiers, units):
    step = tiered("TIERED", tiers, units + 1) - tiered("TIERED", tiers, units)
    assert min(tier["unitAmount"] for tier in tiers) <= step <= max(tier["unitAmount"] for tier in tiers)


@given(tier_lists(), st.data())
def test_tiered_charges_each_bracket_on_its_own(tiers, data):
    units = data.draw(st.integers(1, 2 * 10**6))
    total, below = Fraction(0), 0
    for tier in tiers:
        top = units if not isinstance(tier["upTo"], int) else min(units, tier["upTo"])
        if top > below:
            total += Fraction(tier["flatAmount"]) + (top - below) * Fraction(tier["unitAmount"])
        below = max(below, top)
    assert Fraction(tiered("TIERED", tiers, units)) == total


@given(rates, counts)
def test_one_endless_tier_costs_the_same_in_every_unit_model(rate, units):
    tiers = [{"upTo": "inf", "unitAmount": rate}]
    flat = usage_price("FLAT", units, amount=rate)
    assert flat == tiered("TIERED", tiers, units) == tiered("VOLUME", tiers, units)
    assert flat == usage_price("PACKAGE", units, amount=rate, block_size=1)


@given(rates, counts, st.integers(1, 10**6))
def test_a_begun_package_is_a_whole_one(rate, units, size):
    packages = usage_price("PACKAGE", units, amount=1, block_size=size)
    assert (packages - 1) * size < units <= packages * size
    assert usage_price("PACKAGE", units, amount=rate, block_size=size) == packages * rate


@given(tier_lists(), st.integers(1, 10**7), st.data())
def test_the_order_of_tiers_means_nothing(tiers, units, data):
    shuffled = data.draw(st.permutations(tiers))
    for model in ("TIERED", "VOLUME", "STAIRSTEP"):
        assert tiered(model, shuffled, units) == tiered(model, tiers, units)


def test_prices_are_exact_whatever_the_decimal_context_is():
    with localcontext() as context:
        context.prec = 3
        price = usage_price("FLAT", 123_456_789, amount="0.123456789123456789")
        assert str(price) == "15241578.765432099750190521"
        assert getcontext().prec == 3
        assert str(round_money(Decimal("123456789.125"), "USD")) == "123456789.13"
        assert split_tax(10**40, 20, "EXCLUSIVE").total_units == 12 * 10**39


@given(st.floats(allow_nan=False, allow_infinity=False).filter(lambda f: f == 0 or 1e-12 < abs(f) < 1e16))
def test_a_json_number_is_read_as_it_was_written(number):
    value = exact_decimal(number)
    assert type(value) is Decimal
    assert str(float(value)) == str(number)


@pytest.mark.parametrize(
    "value",
    [None, True, [], "", "1,5", "NaN", "inf", "1e31", "1e-31", "0e99", 1e300, Decimal("sNaN"), 10**31],
)
def test_what_is_no_money_is_refused(value):
    with pytest.raises(InvalidValue):
        exact_decimal(value)


@pytest.mark.parametrize(
    ("amount", "currency", "units", "text"),
    [
        ("49", "USD", 4900, "49.00"),
        ("2.416", "usd", 242, "2.42"),
        ("0.005", "USD", 1, "0.01"),
        ("-0.005", "USD", -1, "-0.01"),
        ("0.0049999999999999999999999", "USD", 0, "0.00"),
        ("1234.5", "JPY", 1235, "1235"),
        ("1.0005", "KWD", 1001, "1.001"),
        ("1.00005", "CLF", 10001, "1.0001"),
        ("7.125", "ZZZ", 713, "7.13"),
    ],
)
def test_rounding_is_half_up_to_the_smallest_unit(amount, currency, units, text):
    assert to_units(Decimal(amount), currency) == units
    assert str(from_units(units, currency)) == str(round_money(Decimal(amount), currency)) == text


@given(st.integers(-(10**40), 10**40), currencies)
def test_units_and_amounts_are_the_same_thing(units, currency):
    amount = from_units(units, currency)
    assert type(amount) is Decimal
    assert to_units(amount, currency) == units
    assert fits_currency(amount, currency)
    assert amount.as_tuple().exponent == -minor_digits(currency)


def test_half_a_unit_does_not_fit():
    assert not fits_currency(Decimal("10.50"), "JPY")
    assert fits_currency(Decimal("10.50"), "USD")
    assert not fits_currency(Decimal("10.505"), "USD")


@given(st.fractions())
def test_half_up_is_at_most_half_away_and_symmetric(value):
    assert abs(half_up(value) - value) <= Fraction(1, 2)
    assert half_up(-value) == -half_up(value)
    assert type(half_up(value)) is int


def test_discounts():
    assert percentage_discount(1999, 20) == 400
    assert percentage_discount(1999, "12.5") == 250
    assert fixed_discount(4900, "10", "USD", "usd") == 1000
    assert fixed_discount(500, 10, "USD", "USD") == 500
    for percentage in (-1, 101, "half"):
        with pytest.raises(InvalidValue):
            percentage_discount(100, percentage)
    with pytest.raises(InvalidValue):
        fixed_discount(4900, 10, "USD", "EUR")
    with pytest.raises(InvalidValue):
        fixed_discount(4900, -10, "USD", "USD")


@given(counts, st.decimals(0, 100, places=4))
def test_a_discount_takes_at_most_everything(subtotal, percentage):
    assert 0 <= percentage_discount(subtotal, percentage) <= subtotal
    assert percentage_discount(subtotal, 100) == subtotal


def test_tax_is_added_or_contained():
    added = split_tax(10_000, 10, "EXCLUSIVE")
    assert (added.before_tax_units, added.tax_units, added.total_units) == (10_000, 1000, 11_000)
    contained = split_tax(2000, 20, "INCLUSIVE")
    assert (contained.before_tax_units, contained.tax_units, contained.total_units) == (1667, 333, 2000)
    assert split_tax(10_000, 10, "UNSPECIFIED") == added
    with pytest.raises(InvalidValue):
        split_tax(100, 10, "SOMETIMES")
    with pytest.raises(InvalidValue):
        split_tax(100, -1, "EXCLUSIVE")


@given(counts, st.decimals(0, 100, places=4))
def test_a_tax_split_adds_up_and_can_be_undone(amount, rate):
    added = split_tax(amount, rate, "EXCLUSIVE")
    contained = split_tax(amount, rate, "INCLUSIVE")
    assert added.before_tax_units == amount
    assert contained.total_units == amount
    for split in (added, contained):
        assert split.before_tax_units + split.tax_units == split.total_units
        assert all(type(part) is int for part in (split.before_tax_units, split.tax_units, split.total_units))
    assert split_tax(added.total_units, rate, "INCLUSIVE").tax_units == added.tax_units
