"""Requests that look twice at an answer, and values that are made of others."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from kelviq_async import (
    ApiError,
    CatalogChargePeriod,
    FeatureType,
    GetEntitlements,
    LocatePlanFile,
    PlanPriceInput,
    PriceType,
    ReportEvent,
    ReportUsage,
    SetPlanPrices,
    UsageBehaviour,
    ValidateLicense,
)
from kelviq_async.errors import CodecError, UnreadableAnswer

ENTRY = {"featureId": "seats", "hasAccess": True, "featureType": "METER", "usageLimit": 5}


class TestEntitlements:
    request = GetEntitlements("user-123")

    def test_an_answer(self):
        answer = self.request.read(200, {"customerId": "user-123", "entitlements": [ENTRY]}, {})
        assert answer.customer_id == "user-123"
        assert answer.entitlements[0].feature_type is FeatureType.METER

    @pytest.mark.parametrize("customer", [{}, {"customerId": None}, {"customerId": "user-123"}])
    def test_nobody_named_is_the_one_asked_about(self, customer):
        assert self.request.read(200, {**customer, "entitlements": []}, {}).entitlements == []

    def test_an_id_may_come_as_a_number(self):
        assert GetEntitlements("5").read(200, {"customerId": 5, "entitlements": []}, {}).entitlements == []

    @pytest.mark.parametrize("other", ["user-124", "", 5, [], {}, ["user-123"], True])
    def test_an_answer_about_somebody_else_is_none(self, other):
        with pytest.raises(CodecError, match="another customer"):
            self.request.read(200, {"customerId": other, "entitlements": [ENTRY]}, {})

    @pytest.mark.parametrize(
        "data", [None, [], "", {}, {"entitlements": None}, {"entitlements": {}}, {"detail": "x"}]
    )
    def test_no_list_is_no_verdict(self, data):
        # An empty list means "nothing is granted", so nothing else may be taken for one.
        with pytest.raises(CodecError, match="no list"):
            self.request.read(200, data, {})


class TestLicenses:
    request = ValidateLicense("KLVQ-1")

    def test_an_unknown_key_is_an_answer(self):
        answer = self.request.read(404, {"valid": False, "code": "INVALID_KEY", "detail": "Unknown."}, {})
        assert answer.valid is False
        assert answer.code == "INVALID_KEY"

    @pytest.mark.parametrize(
        "data", [None, [], {}, {"detail": "Not found."}, {"valid": None}, {"valid": "false"}]
    )
    def test_any_other_404_is_not(self, data):
        with pytest.raises(CodecError, match="verdict"):
            self.request.read(404, data, {})

    def test_a_good_key(self):
        assert self.request.read(200, {"valid": True}, {}).valid is True


class TestPlanFiles:
    request = LocatePlanFile("pro", "file-1")

    @pytest.mark.parametrize("name", ["Location", "location", "LOCATION"])
    def test_the_address_is_in_the_redirect(self, name):
        location = self.request.read(302, None, {name: "https://files.example.com/s3cret"})
        assert location.url == "https://files.example.com/s3cret"
        assert "s3cret" not in repr(location)

    @pytest.mark.parametrize(
        ("status", "headers"), [(200, {"Location": "https://x"}), (302, {}), (302, {"Location": ""})]
    )
    def test_without_one_there_is_no_file(self, status, headers):
        with pytest.raises(UnreadableAnswer) as caught:
            self.request.read(status, None, headers)
        assert caught.value.status == status
        assert not isinstance(caught.value, ApiError)


class TestUsage:
    def test_a_total_may_be_sent_again_and_an_addition_may_not(self):
        for behaviour, repeatable in (
            (UsageBehaviour.SET, True),
            ("SET", True),
            (UsageBehaviour.DELTA, False),
            ("DELTA", False),
            (UsageBehaviour.other("MAX"), False),
        ):
            assert ReportUsage(1, "a", "f", behaviour).repeatable is repeatable

    def test_events_have_a_stamp_of_their_own(self):
        moment = datetime(2026, 1, 31, 10, 30, 0, 5, tzinfo=UTC)
        wire = ReportEvent.operation.render(ReportEvent("a", "e", "k", moment))
        assert wire.body["timestamp"] == "2026-01-31 10:30:00.000005"


class TestPrices:
    def test_free(self):
        price = PlanPriceInput.free()
        assert (price.price_type, price.currency) == (PriceType.FREE, "USD")
        SetPlanPrices("pro", [price]).check()

    def test_flat(self):
        amounts = {CatalogChargePeriod.MONTHLY: Decimal("9.90"), CatalogChargePeriod.YEARLY: Decimal(99)}
        price = PlanPriceInput.flat(amounts, currency="EUR", trial_days=14)
        request = SetPlanPrices("pro", [price])
        request.check()
        assert request.operation.render(request).body == {
            "prices": [
                {
                    "priceType": "PAID",
                    "currency": "EUR",
                    "freeTrial": True,
                    "trialPeriod": 14,
                    "enabled": True,
                    "chargeCatalogPrice": [
                        {
                            "priceModel": "FLAT",
                            "charges": [
                                {
                                    "chargePeriod": period,
                                    "priceData": {"amount": amount},
                                    "tiers": [],
                                    "advanced": {},
                                }
                                for period, amount in amounts.items()
                            ],
                        }
                    ],
                }
            ]
        }
        assert PlanPriceInput.flat(amounts).free_trial is False
