"""Our types inside somebody's own attrs classes, by way of their cattrs converter."""

from datetime import UTC, datetime
from decimal import Decimal

import attrs
import cattrs
import pytest
from cattrs.preconf.json import make_converter

from kelviq_async import (
    UNSET,
    ChargePeriod,
    CreateCustomer,
    Customer,
    FeatureType,
    Page,
    ReportUsage,
    Unset,
    UsageBehaviour,
    codec,
)


@attrs.define
class Visit:
    customer: Customer
    period: ChargePeriod
    page: Page[Customer]
    others: list[Customer] = attrs.field(factory=list)
    by_name: dict[str, Customer] = attrs.field(factory=dict)
    maybe: Customer | None = None
    note: str | None | Unset = UNSET
    count: int | Unset = UNSET


RAW = {
    "customer": {"customerId": "a", "createdOn": "2026-01-31 00:00:00", "email": None, "later": 1, "name": 5},
    "period": "HOURLY",
    "page": {"results": [{"customerId": "b"}, "odd"], "count": 2, "next": None, "previous": None},
    "others": [{"customerId": "c"}],
    "by_name": {"d": {"customerId": "d"}},
    "maybe": {"customerId": "e"},
}


@pytest.fixture(params=[cattrs.Converter, make_converter], ids=["plain", "json"])
def converter(request):
    made = request.param()
    codec.register(made)
    return made


def test_models_and_enums_are_read(converter):
    visit = converter.structure(RAW, Visit)
    assert visit.customer.customer_id == "a"
    assert visit.customer.created_on == datetime(2026, 1, 31, tzinfo=UTC)
    assert visit.customer.extra == {"later": 1}
    assert visit.period == ChargePeriod.other("HOURLY")
    assert not visit.period.known
    assert [row.customer_id for row in visit.page.results] == ["b", None]
    assert [each.customer_id for each in (*visit.others, *visit.by_name.values(), visit.maybe)] == [
        "c",
        "d",
        "e",
    ]
    assert (visit.note, visit.count) == (UNSET, UNSET)


def test_nothing_is_lost_on_the_way_back(converter):
    assert converter.unstructure(converter.structure(RAW, Visit)) == RAW


def test_unset_is_left_out_and_null_is_not(converter):
    given = {**RAW, "maybe": None, "note": None, "count": 3}
    visit = converter.structure(given, Visit)
    assert (visit.maybe, visit.note, visit.count) == (None, None, 3)
    assert converter.unstructure(visit) == given
    assert converter.unstructure(attrs.evolve(visit, note="n", count=UNSET)) == {
        key: value for key, value in {**given, "note": "n"}.items() if key != "count"
    }


def test_known_words_are_the_members(converter):
    assert converter.structure("MONTHLY", ChargePeriod) is ChargePeriod.MONTHLY
    assert converter.structure("FLAG", FeatureType) is FeatureType.BOOLEAN
    assert converter.unstructure(ChargePeriod.MONTHLY) == "MONTHLY"
    assert converter.unstructure(ChargePeriod.other("HOURLY")) == "HOURLY"


def test_requests_are_attrs_classes_too(converter):
    plain = converter.unstructure(CreateCustomer("a", name=None, metadata={"userId": 1}))
    assert plain == {"customer_id": "a", "name": None, "metadata": {"userId": 1}}
    assert converter.structure(plain, CreateCustomer) == CreateCustomer(
        "a", name=None, metadata={"userId": 1}
    )
    report = ReportUsage(3, "a", "f", UsageBehaviour.SET)
    assert converter.structure(converter.unstructure(report), ReportUsage) == report


@pytest.mark.parametrize("odd", [5, "text", None, [1]])
def test_what_is_no_object_is_refused(converter, odd):
    with pytest.raises(cattrs.BaseValidationError):
        converter.structure({**RAW, "customer": odd}, Visit)
    with pytest.raises(ValueError, match="ChargePeriod"):
        converter.structure([odd], ChargePeriod)


def test_other_types_stay_the_business_of_the_converter(converter):
    @attrs.define
    class Own:
        name: str
        number: int = 5

    assert converter.unstructure(Own("a")) == {"name": "a", "number": 5}
    assert converter.structure({"name": "a"}, Own) == Own("a")
    assert converter.structure(1, int) == 1
    assert converter.unstructure({"a": Decimal(1)}) == {"a": Decimal(1)}
