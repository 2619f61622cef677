from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, strategies as st

from kelviq_async.emulator.fees import KELVIQ_FEES, Fee, FeeComponent, apportion, net_units, transaction_fee
from kelviq_async.emulator.pricing import half_up

payments = st.fixed_dictionaries(
    {
        "gross_units": st.integers(1, 10**12),
        "currency": st.sampled_from(["USD", "eur", "JPY", "KWD"]),
        "subscription": st.booleans(),
        "international": st.booleans(),
        "sold_before": st.decimals(0, 10_000, places=2),
        "conversion": st.none() | st.decimals(0, 5, places=2),
        "dollar_rate": st.decimals("0.1", 200, places=4),
    }
)


def domestic(gross_units, *, sold_before=5000, **more):
    terms = {"subscription": False, "international": False} | more
    return transaction_fee(gross_units, "USD", sold_before=sold_before, **terms)


def test_the_published_transaction():
    fee = domestic(5760)
    assert fee.units == 242
    assert fee.amount == Decimal("2.42")
    assert net_units(5760, fee.units, 960) == 4558


def test_the_published_breakdown():
    fee = domestic(10_000, sold_before=0, subscription=True)
    assert fee == Fee(
        400,
        "USD",
        (
            FeeComponent("fixed_fee", None, 40, "USD"),
            FeeComponent("base_fee", "2.9", 290, "USD"),
            FeeComponent("subscription_fee", "0.7", 70, "USD"),
        ),
    )
    assert net_units(10_000, fee.units, 0) == 9600


@pytest.mark.parametrize(
    ("subscription", "international", "below", "above"),
    [(False, False, 330, 390), (False, True, 480, 540), (True, False, 400, 460), (True, True, 550, 610)],
)
def test_the_published_table_of_fees_on_100_dollars(subscription, international, below, above):
    terms = {"subscription": subscription, "international": international}
    assert domestic(10_000, sold_before=0, **terms).units == below
    assert domestic(10_000, sold_before=5000, **terms).units == above


def test_the_payment_that_crosses_the_threshold_still_has_the_lower_rate():
    assert KELVIQ_FEES.base(0) == KELVIQ_FEES.base(Decimal("4999.99")) == Decimal("2.9")
    assert KELVIQ_FEES.base(5000) == Decimal("3.5")
    assert domestic(1_000_000, sold_before=Decimal("4999.99")).units == 29_040


@pytest.mark.parametrize("gross", [0, -500])
def test_nothing_paid_is_nothing_charged(gross):
    assert domestic(gross) == Fee(0, "USD", ())


def test_every_component_is_named():
    fee = domestic(10_000, subscription=True, international=True, conversion=Decimal(1), floor_units=1000)
    assert [(part.name, part.percentage, part.value_units) for part in fee.components] == [
        ("fixed_fee", None, 40),
        ("base_fee", "3.5", 350),
        ("international_fee", "1.5", 150),
        ("subscription_fee", "0.7", 70),
        ("conversion_fee", "1", 100),
        ("fee_adjustment", None, 290),
    ]
    assert fee.units == 1000


def test_a_floor_below_the_fee_changes_nothing():
    assert domestic(10_000, floor_units=390) == domestic(10_000)


def test_the_fixed_part_is_dollars_and_the_currency_may_have_no_cents():
    terms = {"subscription": False, "international": False, "sold_before": 0}
    yen = transaction_fee(10_000, "JPY", dollar_rate=Decimal(150), **terms)
    assert [part.value_units for part in yen.components] == [60, 290]
    dinar = transaction_fee(10_000, "KWD", dollar_rate=Decimal("0.3"), **terms)
    assert [part.value_units for part in dinar.components] == [120, 290]
    assert dinar.amount == Decimal("0.410")


def test_equal_remainders_are_settled_in_order():
    assert apportion(2, [Fraction(1, 2)] * 4) == [1, 1, 0, 0]
    assert apportion(242, [Fraction(40), Fraction(2016, 10)]) == [40, 202]


@given(payments, st.integers(0, 10**12))
def test_components_are_whole_and_add_up_to_the_fee(payment, floor):
    fee = transaction_fee(**payment, floor_units=floor)
    assert type(fee.units) is int
    assert all(type(part.value_units) is int and part.value_units >= 0 for part in fee.components)
    assert sum(part.value_units for part in fee.components) == fee.units >= floor
    assert [part.name for part in fee.components].count("fee_adjustment") <= 1
    assert {part.currency for part in fee.components} == {payment["currency"]}


@given(payments)
def test_the_sum_is_rounded_once(payment):
    fee = transaction_fee(**payment)
    rates = sum(Fraction(part.percentage) for part in fee.components if part.percentage)
    digits = {"JPY": 0, "KWD": 3}.get(payment["currency"], 2)
    fixed = Fraction(4, 10) * 10**digits * Fraction(payment["dollar_rate"])
    assert fee.units == half_up(payment["gross_units"] * rates / 100 + fixed)
    for part in fee.components:
        exact = payment["gross_units"] * Fraction(part.percentage) / 100 if part.percentage else fixed
        assert abs(part.value_units - exact) < 1


@given(st.lists(st.fractions(0, 10**6), min_size=1, max_size=8))
def test_apportioning_gives_everything_away_and_stays_close(parts):
    total = half_up(sum(parts))
    whole = apportion(total, parts)
    assert sum(whole) == total
    assert all(abs(given - part) < 1 for given, part in zip(whole, parts, strict=True))


@given(payments, st.data())
def test_gross_is_fee_and_tax_and_net(payment, data):
    gross, fee = payment["gross_units"], transaction_fee(**payment)
    tax = data.draw(st.integers(0, gross))
    assert fee.units + tax + net_units(gross, fee.units, tax) == gross
