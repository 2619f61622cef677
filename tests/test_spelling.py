"""Single values: what is read as what, and what is rather kept than guessed."""

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal, localcontext
from typing import Any, Literal

import pytest
from hypothesis import given, strategies as st

from kelviq_async import UNSET, Unset
from kelviq_async.api.features import FeatureType
from kelviq_async.spelling import ODD, Spelling, same, spell, unwrap, wire_name


class Text(str):
    """What a YAML reader or a database driver may hand over."""

    __slots__ = ()


def no_models(cls, *, rows):
    raise AssertionError(cls)


def spelling(hint, form=None):
    return spell(hint, form, no_models)


def load(hint, raw, form=None):
    return spelling(hint, form).load(raw)


def refused(hint, raw, form=None):
    try:
        load(hint, raw, form)
    except ODD as error:
        # Nothing of the value may reach a log.
        return repr(raw) not in str(error)
    return False


class TestNames:
    @pytest.mark.parametrize(
        ("name", "wire"),
        [
            ("id", "id"),
            ("customer_id", "customerId"),
            ("amount_total_units", "amountTotalUnits"),
            ("last4", "last4"),
            ("un_styled", "unStyled"),
        ],
    )
    def test_python_names_become_camel_case(self, name, wire):
        assert wire_name(name) == wire


class TestSame:
    @pytest.mark.parametrize(
        ("a", "b"),
        [
            (1, True),
            (0, False),
            (1, 1.0),
            (1, Decimal(1)),
            (Decimal("1.0"), Decimal("1.00")),
            (Decimal("1.0"), 1.0),
            (0.0, -0.0),
            (Decimal("0.0"), Decimal("-0.0")),
            (None, False),
            ("1", 1),
            ([], {}),
            ([1], [True]),
            ([1, 2], [2, 1]),
            ([1], [1, 1]),
            ({"a": 1}, {"a": 1.0}),
            ({"a": 1}, {"b": 1}),
            ({"a": 1}, {"a": 1, "b": 1}),
            ("a", Text("a")),
        ],
    )
    def test_different(self, a, b):
        assert not same(a, b)
        assert not same(b, a)
        assert not same({"k": [a]}, {"k": [b]})

    def test_the_order_of_keys_says_nothing(self):
        assert same({"a": 1, "b": [{"c": None}]}, {"b": [{"c": None}], "a": 1})

    def test_nan_is_the_same_as_itself(self):
        assert same(float("nan"), float("nan"))
        assert same(Decimal("NaN"), Decimal("NaN"))

    def test_what_is_one_thing_is_not_gone_into(self):
        deep = []
        for _ in range(100_000):
            deep = [deep]
        assert same([deep, deep], [deep, deep])


class TestUnwrap:
    @pytest.mark.parametrize(
        ("hint", "inner", "nullable"),
        [
            (str, str, False),
            (str | None, str, True),
            (str | Unset, str, False),
            (str | None | Unset, str, True),
            (None | str, str, True),
            (int | str | None, int | str, True),
            (type(None), type(None), True),
            (Any, Any, False),
            (list[str] | None, list[str], True),
        ],
    )
    def test_none_and_unset_are_not_part_of_a_type(self, hint, inner, nullable):
        assert unwrap(hint) == (inner, nullable)


class TestText:
    def test_texts_are_texts(self):
        assert load(str, "5") == "5"
        assert all(refused(str, raw) for raw in (5, None, True, [], {}, 1.5, b"a"))

    def test_a_kind_of_text_is_read_as_one(self):
        read = load(str, Text("a"))
        assert (read, type(read)) == ("a", str)

    def test_ids_may_come_as_numbers(self):
        assert load(str, 4271, "id") == "4271"
        assert load(str, "4271", "id") == "4271"
        assert all(refused(str, raw, "id") for raw in (True, None, 1.5, Decimal(1), []))
        with pytest.raises(ODD):  # more digits than Python turns into text
            load(str, 10**5000, "id")


class TestWholeNumbers:
    @pytest.mark.parametrize("raw", [5, 5.0, Decimal(5), Decimal("5.00"), Decimal("0.5E1"), Decimal("5E+0")])
    def test_numbers_without_a_fraction(self, raw):
        assert load(int, raw) == 5
        assert type(load(int, raw)) is int

    @pytest.mark.parametrize(
        "raw",
        [
            True,
            "5",
            5.5,
            Decimal("5.5"),
            None,
            [],
            float("nan"),
            float("inf"),
            Decimal("NaN"),
            Decimal("sNaN"),
            Decimal("Infinity"),
            Decimal("1E+999999"),
            Decimal("1E+999999999999999999"),
            Decimal("1E-999999999999999999"),
        ],
    )
    def test_others_are_none(self, raw):
        assert refused(int, raw)


class TestMoney:
    @pytest.mark.parametrize(
        ("raw", "value"),
        [
            ("49.00", "49.00"),
            (0.1, "0.1"),
            (1e-7, "1e-7"),
            (2.675, "2.675"),
            (49, "49"),
            (Decimal("57.60"), "57.60"),
            ("-0.5", "-0.5"),
            ("1e2", "1e2"),
            (10**30, "1" + "0" * 30),
            ("0." + "1" * 60, "0." + "1" * 60),
        ],
    )
    def test_money_is_exact_and_never_goes_through_a_float(self, raw, value):
        read = load(Decimal, raw)
        assert type(read) is Decimal
        assert same(read, Decimal(value))

    @pytest.mark.parametrize(
        "raw",
        [
            True,
            None,
            "",
            " 1",
            "1 ",
            "1_000",
            "1,000",
            "٣",
            "NaN",
            "Infinity",
            "0x10",
            "$5",
            "1e",
            ".",
            float("nan"),
            float("inf"),
            Decimal("NaN"),
            [],
            {},
            "1e99999999999999999999",
        ],
    )
    def test_what_is_no_plain_number_is_none(self, raw):
        assert refused(Decimal, raw)

    @given(st.decimals(allow_nan=False, allow_infinity=False))
    def test_texts_and_numbers_come_back_as_they_were(self, value):
        text = spelling(Decimal)
        assert same(text.dump(text.load(str(value))), str(value))
        number = spelling(Decimal, "number")
        assert number.dump(number.load(value)) == value
        assert number.load(number.dump(value)) == value

    @given(st.floats(allow_nan=False, allow_infinity=False))
    def test_a_float_is_read_by_its_shortest_text(self, value):
        assert same(load(Decimal, value), Decimal(repr(value)))

    def test_whole_amounts_are_sent_without_a_point(self):
        dump = spelling(Decimal, "number").dump
        assert same(dump(Decimal(25)), 25)
        assert same(dump(25), 25)
        assert same(dump(Decimal("25.00")), Decimal("25.00"))

    def test_a_context_that_forgives_changes_nothing(self):
        with localcontext() as context:
            context.clear_traps()
            context.prec = 2
            assert refused(Decimal, "abc")
            assert same(load(Decimal, "1234.5678"), Decimal("1234.5678"))


class TestTime:
    @pytest.mark.parametrize(
        ("raw", "value"),
        [
            ("2025-05-22 08:27:45", datetime(2025, 5, 22, 8, 27, 45, tzinfo=UTC)),
            ("2025-05-22T08:27:45", datetime(2025, 5, 22, 8, 27, 45, tzinfo=UTC)),
            ("2025-05-22T08:27:45Z", datetime(2025, 5, 22, 8, 27, 45, tzinfo=UTC)),
            ("2025-05-22t08:27:45z", datetime(2025, 5, 22, 8, 27, 45, tzinfo=UTC)),
            ("2025-05-22T08:27Z", datetime(2025, 5, 22, 8, 27, tzinfo=UTC)),
            ("2025-05-22T08:27:45.123456Z", datetime(2025, 5, 22, 8, 27, 45, 123456, tzinfo=UTC)),
            ("2025-05-22T08:27:45.123456789Z", datetime(2025, 5, 22, 8, 27, 45, 123456, tzinfo=UTC)),
            ("2025-05-22T08:27:45+05:30", datetime(2025, 5, 22, 2, 57, 45, tzinfo=UTC)),
            ("2025-05-22", datetime(2025, 5, 22, tzinfo=UTC)),
        ],
    )
    def test_times_are_aware_and_utc_where_nothing_else_is_said(self, raw, value):
        read = load(datetime, raw)
        assert read == value
        assert read.tzinfo is not None

    ODD_TIMES = (
        *(
            "20250522",
            "20250522T082745",
            "2025-W21-4",
            "2025-W21-4T08:00",
            "2025-05-22x08:27:45",
            "2025-5-22",
        ),
        *("2025-13-01", "2025-02-30", "2025-05-22T25:00", "yesterday", "now", ""),
        *(
            "\uff12025-05-22",
            "2025-05-22T",
            "2025-05-22T08:27:45+",
            "2025-05-22T08:27:45+99:00",
            "2025-05-22\n",
        ),
        *(5, 1747902465, None, True, [], {}, 1.5),
    )

    @pytest.mark.parametrize("raw", ODD_TIMES)
    def test_what_is_not_plainly_a_time_is_none(self, raw):
        assert refused(datetime, raw)
        assert refused(date, raw)
        assert refused(datetime, raw, "%Y-%m-%d %H:%M:%S")

    def test_days(self):
        assert load(date, "2025-05-22") == date(2025, 5, 22)
        assert load(date, "2025-05-22T23:59:59-11:00") == date(2025, 5, 22)  # the day it is written with
        assert spelling(date).dump(date(2025, 5, 22)) == "2025-05-22"

    def test_times_are_sent_in_utc(self):
        dump = spelling(datetime).dump
        there = timezone(timedelta(hours=5, minutes=30))
        assert dump(datetime(2025, 5, 22, 2, 57, 45, tzinfo=there)) == "2025-05-21T21:27:45Z"
        assert dump(datetime(2025, 5, 22, 2, 57, 45)) == "2025-05-22T02:57:45Z"  # noqa: DTZ001  that is the point
        assert dump(datetime(2025, 5, 22, 2, 57, 45, 1, tzinfo=UTC)) == "2025-05-22T02:57:45.000001Z"

    def test_some_fields_have_a_form_of_their_own(self):
        stamp = spelling(datetime, "%Y-%m-%d %H:%M:%S.%f")
        moment = datetime(2025, 5, 22, 8, 27, 45, 5, tzinfo=UTC)
        assert stamp.dump(moment) == "2025-05-22 08:27:45.000005"
        assert stamp.load(stamp.dump(moment)) == moment

    @given(st.datetimes(timezones=st.just(UTC)), st.sampled_from([None, "%Y-%m-%d %H:%M:%S.%f"]))
    def test_what_is_sent_can_be_read(self, moment, form):
        each = spelling(datetime, form)
        assert each.load(each.dump(moment)) == moment

    @given(st.datetimes(datetime(1000, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001  a bound has no zone
    def test_forms_are_those_of_strftime(self, moment):
        for form in ("%Y-%m-%d %H:%M:%S.%f", "%Y-%m-%d %H:%M:%S", "%d.%m.%Y"):
            assert spelling(datetime, form).dump(moment) == moment.strftime(form)


class TestEnums:
    def test_known_unknown_and_old_words(self):
        assert load(FeatureType, "METER") is FeatureType.METER
        assert load(FeatureType, "FLAG") is FeatureType.BOOLEAN
        assert load(FeatureType, Text("METER")) is FeatureType.METER
        unknown = load(FeatureType, "TANK")
        assert (unknown, unknown.known, type(unknown)) == ("TANK", False, FeatureType)
        assert all(refused(FeatureType, raw) for raw in (5, None, True, [], {}))

    def test_they_are_sent_as_plain_text(self):
        dump = spelling(FeatureType).dump
        assert same(dump(FeatureType.METER), "METER")
        assert same(dump(FeatureType.other("TANK")), "TANK")
        assert same(dump("METER"), "METER")


class TestLists:
    def test_an_odd_entry_does_not_take_the_rest_along(self):
        assert load(list[str], ["a", 5, "b", None]) == ["a", "b"]
        assert load(list[Decimal], ["1.5", "x", 2]) == [Decimal("1.5"), Decimal(2)]

    def test_only_lists_are_lists(self):
        assert all(refused(list[str], raw) for raw in ("ab", {"a": 1}, ("a",), None, 5))
        assert all(refused(list[Any], raw) for raw in ("ab", {"a": 1}, None, 5))

    def test_any_sequence_can_be_sent(self):
        assert same(spelling(list[Any]).dump((1, "a")), [1, "a"])
        assert same(spelling(list[FeatureType]).dump((FeatureType.METER,)), ["METER"])


class TestEither:
    trial_end = spelling(datetime | Literal["now"])
    up_to = spelling(int | str)

    def test_the_first_that_can_be_read(self):
        assert self.trial_end.load("now") == "now"
        assert self.trial_end.load("2026-01-01T00:00:00Z") == datetime(2026, 1, 1, tzinfo=UTC)
        assert self.trial_end.load("2026-01-01 02:00:00+02:00") == datetime(2026, 1, 1, tzinfo=UTC)
        assert same(self.up_to.load("inf"), "inf")
        assert same(self.up_to.load("5"), "5")
        assert same(self.up_to.load(5), 5)
        assert same(self.up_to.load(Decimal("5.0")), 5)

    def test_the_one_that_would_be_sent_as_it_came_goes_before(self):
        assert same(spelling(int | Decimal, "number").load(Decimal("5.0")), Decimal("5.0"))

    def test_none_of_them(self):
        for raw in ("then", 5, None, [], "20260101"):
            with pytest.raises(ODD):
                self.trial_end.load(raw)
        with pytest.raises(ODD):
            self.up_to.load(True)

    def test_sending(self):
        assert same(self.trial_end.dump("now"), "now")
        assert same(self.trial_end.dump(datetime(2026, 1, 1, tzinfo=UTC)), "2026-01-01T00:00:00Z")
        assert same(self.up_to.dump(5), 5)


class TestSpell:
    def test_free_form_values_pass_as_they_are(self):
        for raw in (None, 5, "a", [1], {"a": Decimal(1)}):
            assert load(Any, raw) is raw
        raw = {"any": ["thing"]}
        assert load(dict[str, Any], raw) is raw
        assert load(dict, raw) is raw

    def test_bools_are_nothing_else(self):
        assert load(bool, True) is True
        assert all(refused(bool, raw) for raw in (0, 1, "true", "", None, [], 1.0))

    def test_a_type_without_a_spelling_is_a_mistake_in_a_model(self):
        with pytest.raises(TypeError, match="no spelling"):
            spelling(set[str])
        with pytest.raises(TypeError, match="no spelling"):
            spelling(UNSET)

    def test_plain_types_pass_unread(self):
        for hint in (str, int, bool, dict[str, Any], list[Any]):
            assert isinstance(spelling(hint), Spelling)
            assert spelling(hint).exact is not None
        for hint, form in ((Decimal, None), (datetime, None), (date, None), (FeatureType, None), (str, "id")):
            assert spelling(hint, form).exact is None
