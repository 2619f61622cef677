"""What is refused before anything is sent, and by which name."""

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import get_origin
from uuid import UUID

import attrs
import pytest

from kelviq_async import (
    UNSET,
    AddPlanFeatures,
    BillingAddress,
    BillingType,
    CancellationType,
    CancelSubscription,
    CatalogChargePeriod,
    ChargePeriod,
    CreateCharge,
    CreateCheckoutSession,
    CreateCustomer,
    CreateFeature,
    CreateProduct,
    CreateRefund,
    CreateSubscription,
    Customer,
    FeatureCharge,
    FeatureQuantity,
    FeatureType,
    GetEntitlements,
    LicenseConfig,
    ListCustomers,
    ListOrders,
    Page,
    PlanCharge,
    PlanEntitlementDetails,
    PlanFeatureInput,
    PlanPriceInput,
    ReportEvent,
    ReportUsage,
    RetrieveCustomer,
    SetPlanPrices,
    UpdateCustomer,
    UpdatePlanFile,
    UpdateSubscription,
    UsageAlerts,
    UsageBehaviour,
    codec,
    operations,
)
from kelviq_async.checks import identifier_problem, is_identifier, path_segment
from kelviq_async.errors import InvalidRequest, KelviqError

BAD_IDS = [
    "",
    ".",
    "..",
    "a\nb",
    "a\x00",
    "\x7f",
    "a\u2028b",
    "\x85",
    "\ud800",
    5,
    None,
    b"a",
    True,
    UUID(int=1),
]
NOW = datetime(2026, 1, 31, tzinfo=UTC)


def problem(request, name):
    with pytest.raises(InvalidRequest) as caught:
        request.check()
    assert list(caught.value.fields) == [name]
    (text,) = caught.value.fields[name]
    assert str(caught.value) == f"{name} {text}"
    assert isinstance(caught.value, KelviqError)
    assert isinstance(caught.value, ValueError)
    assert caught.value.failure is None
    return text


def identifiers():
    """Every argument of every operation that is an id: in the path, the query and the body."""
    for operation in operations():
        for each in operation.fields:
            if each.hint is str and (each.name in operation.path_names or is_identifier(each.name)):
                yield pytest.param(operation, each, id=f"{operation.name}-{each.name}")


ALL_IDS = list(identifiers())


def filled(operation, **changed):
    """A request whose required arguments are all right."""
    right = {
        bool: True,
        int: 1,
        str: "a",
        Decimal: Decimal(1),
        datetime: NOW,
        PlanEntitlementDetails: PlanEntitlementDetails(value=1),
    }
    arguments = {}
    for each in operation.fields:
        if each.required:
            words = list(each.hint) if hasattr(each.hint, "__members__") else None
            arguments[each.name] = words[0] if words else [] if get_origin(each.hint) else right[each.hint]
    return operation.request(**{**arguments, **changed})


class TestIdentifiers:
    def test_there_are_ids_in_paths_queries_and_bodies(self):
        places = {
            "path" if each.name in operation.path_names else "query" if operation.method == "GET" else "body"
            for operation, each in (parameter.values for parameter in ALL_IDS)
        }
        assert places == {"path", "query", "body"}
        assert len(ALL_IDS) > 60

    @pytest.mark.parametrize(("operation", "each"), ALL_IDS)
    def test_ids_that_could_mean_something_else_are_refused_by_name(self, operation, each):
        for bad in BAD_IDS:
            if bad is None and each.nullable and each.name not in operation.path_names:
                filled(operation, **{each.name: None}).check()
                continue
            problem(filled(operation, **{each.name: bad}), each.name)
        filled(operation, **{each.name: "a/b ü..%2F"}).check()

    @pytest.mark.parametrize("bad", BAD_IDS, ids=repr)
    def test_no_path_is_made_of_them_even_unchecked(self, bad):
        with pytest.raises(InvalidRequest, match="file_id") as caught:
            UpdatePlanFile.operation.render(UpdatePlanFile("plan", bad))
        assert list(caught.value.fields) == ["file_id"]

    def test_what_is_wrong_is_told_without_the_id(self):
        assert identifier_problem("") == "must not be empty"
        assert identifier_problem("..") == "must not be '..'"
        assert identifier_problem("secret\n") == "must not hold control characters"
        assert identifier_problem(5) == "must be a str, not int"
        assert identifier_problem("user-123") is None
        assert path_segment("customer_id", "user-123") == "user-123"

    def test_nested_ids(self):
        for bad in ("", "..", "a\n"):
            request = CreateCheckoutSession(
                "pro",
                ChargePeriod.MONTHLY,
                "https://example.com",
                features=[
                    FeatureQuantity(identifier="ok", quantity=1),
                    FeatureQuantity(identifier=bad, quantity=1),
                ],
            )
            assert problem(request, "features").startswith("[1] identifier must not")

    def test_a_key_that_tells_events_apart_is_never_empty(self):
        problem(ReportEvent("a", "e", "", NOW), "idempotency_key")


class TestRequired:
    def test_none_is_nothing(self):
        assert problem(CreateCustomer(None), "customer_id") == "is required"
        assert problem(RetrieveCustomer(None), "customer_id") == "is required"
        assert problem(ReportUsage(None, "a", "f", UsageBehaviour.SET), "value") == "is required"

    def test_neither_is_unset(self):
        assert problem(CreateCustomer(UNSET), "customer_id") == "is required"
        assert problem(RetrieveCustomer(UNSET), "customer_id") == "is required"

    def test_none_is_right_where_null_is(self):
        CreateSubscription("pro", ChargePeriod.MONTHLY, None).check()
        CreateCustomer("a", name=None, metadata=None, billing_address=None).check()
        ListCustomers(search=None).check()

    def test_none_is_wrong_where_null_is(self):
        problem(CreateProduct("n", "saas", description=None), "description")

    def test_nested_values_need_theirs(self):
        request = AddPlanFeatures("p", [PlanFeatureInput(feature="f")])
        assert problem(request, "plan_entitlements") == "[0] needs details"
        assert problem(SetPlanPrices("p", [PlanPriceInput()]), "prices") == "[0] needs price_type"


class TestTypes:
    @pytest.mark.parametrize(
        "amount", [10.0, 0.1, float("nan"), "10.00", True, None, Decimal("NaN"), Decimal("inf")]
    )
    def test_money_is_decimal(self, amount):
        text = problem(CreateRefund("ORD-1", amount=amount), "amount")
        assert ("float" in text) is isinstance(amount, float)
        if amount is not None:
            problem(
                CreateCheckoutSession("p", ChargePeriod.MONTHLY, "https://x.example", custom_amount=amount),
                "custom_amount",
            )

    def test_money_may_be_whole(self):
        CreateRefund("ORD-1", amount=10).check()
        CreateRefund("ORD-1", amount=Decimal("10.50")).check()

    def test_nested_numbers_are_no_floats_either(self):
        price = PlanPriceInput(price_type="PAID", charge_catalog_price=[])
        SetPlanPrices("p", [price]).check()
        details = PlanEntitlementDetails(usage_alerts=UsageAlerts(thresholds=[Decimal(80), 90.0]))
        request = AddPlanFeatures("p", [PlanFeatureInput(feature="f", details=details)])
        assert "[1] must not be a float" in problem(request, "plan_entitlements")

    @pytest.mark.parametrize("money", [{"amount": 9.99}, {"tiers": [{"amount": 1.0}]}])
    def test_nor_is_money_in_free_form_data(self, money):
        charge = PlanCharge(charge_period=CatalogChargePeriod.MONTHLY, price_data=money)
        price = PlanPriceInput(price_type="PAID", charge_catalog_price=[FeatureCharge(charges=[charge])])
        assert "price_data must not be a float" in problem(SetPlanPrices("p", [price]), "prices")
        SetPlanPrices("p", [PlanPriceInput.flat({CatalogChargePeriod.MONTHLY: Decimal("9.99")})]).check()

    @pytest.mark.parametrize("value", [True, 1.0, "1", Decimal(1), [1]])
    def test_counts_are_int(self, value):
        assert problem(ReportUsage(value, "a", "f", UsageBehaviour.SET), "value").startswith("must be an int")
        problem(ListCustomers(page=value), "page")
        problem(CreateRefund("ORD-1", amount_units=value), "amount_units")

    @pytest.mark.parametrize("value", [1, 0, "true", UNSET.__class__])
    def test_truths_are_bool(self, value):
        assert problem(ListOrders(is_renewal=value), "is_renewal").startswith("must be a bool")

    @pytest.mark.parametrize("value", ["hourly", "monthly", "", 5, True, BillingType.ONE_TIME, ["MONTHLY"]])
    def test_words_are_known_ones(self, value):
        request = CreateSubscription("pro", value, "a")
        assert "ChargePeriod.other" in problem(request, "charge_period")

    def test_words_may_be_plain_texts_and_unknown_on_purpose(self):
        for value in ("MONTHLY", ChargePeriod.MONTHLY, ChargePeriod.other("HOURLY")):
            CreateSubscription("pro", value, "a").check()
        CreateFeature("n", FeatureType.other("FLAG")).check()

    def test_times_are_aware(self):
        naive = datetime(2026, 1, 31)  # noqa: DTZ001  that is the point
        assert "aware" in problem(ReportEvent("a", "e", "k", naive), "timestamp")
        assert "aware" in problem(UpdateSubscription("s", "p", "MONTHLY", trial_end=naive), "trial_end")
        problem(ReportEvent("a", "e", "k", "2026-01-31T00:00:00Z"), "timestamp")
        problem(ReportEvent("a", "e", "k", date(2026, 1, 31)), "timestamp")
        ReportEvent("a", "e", "k", NOW.astimezone(timezone(timedelta(hours=-7)))).check()

    def test_times_can_be_told_in_utc(self):
        far = datetime.max.replace(tzinfo=timezone(timedelta(hours=-1)))
        assert problem(ReportEvent("a", "e", "k", far), "timestamp") == "is too far away"

    def test_now_is_the_only_other_time(self):
        UpdateSubscription("s", "p", "MONTHLY", trial_end="now").check()
        problem(UpdateSubscription("s", "p", "MONTHLY", trial_end="later"), "trial_end")

    def test_days_are_days(self):
        cancel = CancelSubscription("s", CancellationType.SPECIFIC_DATE, cancellation_date=date(2026, 1, 31))
        cancel.check()
        problem(attrs.evolve(cancel, cancellation_date=NOW), "cancellation_date")
        problem(attrs.evolve(cancel, cancellation_date="2026-01-31"), "cancellation_date")

    @pytest.mark.parametrize("value", ["key", {"key": 1}, {"key"}, 5, iter(["key"])])
    def test_lists_are_lists(self, value):
        assert problem(CreateProduct("n", "saas", image_keys=value), "image_keys").startswith(
            "must be a list"
        )

    def test_lists_may_be_tuples_of_the_right_things(self):
        CreateProduct("n", "saas", image_keys=("a", "b")).check()
        assert problem(CreateProduct("n", "saas", image_keys=["a", 5]), "image_keys").startswith(
            "[1] must be a str"
        )

    def test_nested_values_are_of_their_class(self):
        assert problem(CreateCustomer("a", billing_address={"city": "Bern"}), "billing_address") == (
            "must be a BillingAddress, not dict"
        )
        assert problem(CreateCustomer("a", billing_address=BillingAddress(city=5)), "billing_address") == (
            "city must be a str, not int"
        )
        problem(attrs.evolve(filled_plan(), license=LicenseConfig(activation_limit=True)), "license")

    def test_texts_that_utf8_cannot_say(self):
        assert "surrogates" in problem(CreateCustomer("a", name="half \ud83d"), "name")
        CreateCustomer("a", name="whole \U0001f600\n").check()


def filled_plan():
    (create,) = (operation for operation in operations() if operation.name == "CreatePlan")
    return filled(create)


class TestFreeForm:
    @pytest.mark.parametrize(
        ("metadata", "said"),
        [
            ([], "must be a dict"),
            ("text", "must be a dict"),
            ({1: "a"}, "texts as keys"),
            ({"a": {None: 1}}, "texts as keys"),
            ({"a": float("nan")}, "finite"),
            ({"a": [float("inf")]}, "finite"),
            ({"a": Decimal("NaN")}, "finite"),
            ({"a": "\ud800"}, "surrogates"),
            ({"\ud800": "a"}, "surrogates"),
            ({"a": {1, 2}}, "not set"),
            ({"a": NOW}, "not datetime"),
            ({"a": b"b"}, "not bytes"),
            ({"a": Customer()}, "not Customer"),
        ],
    )
    def test_what_json_could_not_say_exactly_is_refused(self, metadata, said):
        assert said in problem(CreateCustomer("a", metadata=metadata), "metadata")

    def test_what_is_nested_without_end_is_refused(self):
        endless = {}
        endless["again"] = endless
        assert "nested" in problem(CreateCustomer("a", metadata=endless), "metadata")

    def test_everything_else_is_the_users(self):
        metadata = {
            "": None,
            "a": [True, 1, 1.5, Decimal("1.50"), "x", (1, 2), {"b c": {}}],
            "userId": FeatureType.METER,
        }
        UpdateCustomer("a", metadata=metadata).check()
        details = PlanEntitlementDetails(value={"any": ["thing"]})
        AddPlanFeatures("p", [PlanFeatureInput(feature="f", details=details)]).check()
        bad = PlanEntitlementDetails(value=object())
        assert "plain JSON" in problem(
            AddPlanFeatures("p", [PlanFeatureInput(feature="f", details=bad)]), "plan_entitlements"
        )


class TestWhatCame:
    def test_an_answer_can_be_sent_back_as_it_came(self):
        customer = codec.load(Customer, {"billingAddress": {"city": 5, "zone": 7, "line2": None}})
        UpdateCustomer("a", billing_address=customer.billing_address).check()

    def test_what_was_changed_in_it_is_checked(self):
        address = codec.load(BillingAddress, {"city": 5})
        problem(UpdateCustomer("a", billing_address=attrs.evolve(address, city=6)), "billing_address")

    def test_what_nobody_knew_must_be_json_too(self):
        address = BillingAddress(city="Bern", extra={"zone": object()})
        assert "plain JSON" in problem(UpdateCustomer("a", billing_address=address), "billing_address")

    def test_a_row_that_was_no_object_is_no_argument(self):
        row = codec.load(Page[BillingAddress], {"results": ["odd"]}).results[0]
        assert problem(UpdateCustomer("a", billing_address=row), "billing_address") == "is no object"


class TestBusiness:
    def test_one_amount_for_a_refund(self):
        request = CreateRefund("ORD-1", amount=Decimal(5), amount_units=500)
        assert "amount_units" in problem(request, "amount")

    @pytest.mark.parametrize("amount", [0, Decimal(0), Decimal("-0.01"), -5])
    def test_refunds_are_positive(self, amount):
        problem(CreateRefund("ORD-1", amount=amount), "amount")
        problem(
            CreateRefund("ORD-1", amount_units=int(amount) if amount == int(amount) else -1), "amount_units"
        )

    def test_a_refund_of_all(self):
        CreateRefund("ORD-1").check()

    def test_charges_are_paid_once(self):
        CreateCharge("p", "a").check()
        CreateCharge("p", "a", charge_period="ONE_TIME").check()
        problem(CreateCharge("p", "a", charge_period=ChargePeriod.MONTHLY), "charge_period")

    def test_constructors_check_nothing(self):
        CreateRefund("", amount=0.1, amount_units=5)
        GetEntitlements(None)
        ReportUsage("many", 5, [], "ADD")
