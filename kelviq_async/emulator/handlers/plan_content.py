"""What plans cost, grant and hand out: prices, features and files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, Final

from ... import codec
from ...api.deliverables import PlanFile
from ...api.features import FeatureType
from ...api.plans import (
    AddPlanFeatures,
    CatalogPlan,
    DeletePlanFile,
    ListPlanFeatures,
    ListPlanPrices,
    LocatePlanFile,
    PlanEntitlementDetails,
    PlanFeature,
    RemovePlanFeature,
    SetPlanPrices,
    UpdatePlanFeature,
    UpdatePlanFile,
)
from ...api.prices import FeatureCharge, PlanPrice, PlanPriceInput, PlanPrices, PriceModel, PriceType
from ...model import OpenEnum
from ...request import Page
from ..catalog import LONGEST_TRIAL, draft, newest, same_period
from ..core import Core
from ..periods import CHARGE_PERIODS, carried_over, crossed_thresholds
from ..pricing import InvalidValue, charge_price, exact_decimal
from ..refusals import bad_field, not_found
from ..registry import Reply, handles, whole
from ..state import FeatureRow, PlanRow
from .features import known, shown as shown_feature
from .media import address, change, file_of
from .plans import asked_for, shown, shown_file
from .products import settings_of

_FOUND: Final = 302
_CODE: Final = 3


# Prices


@handles(ListPlanPrices)
def list_prices(world: Core, request: ListPlanPrices) -> Page[PlanPrice]:
    """All prices of one version."""
    row = asked_for(world, request.identifier, request.version)
    return whole([codec.load(PlanPrice, price) for price in row.prices])


@handles(SetPlanPrices)
def set_prices(world: Core, request: SetPlanPrices) -> PlanPrices:
    """New prices in place of all the old ones, in the draft."""
    current = newest(world, request.identifier)
    currency = settings_of(world.state.products[current.product_id])["currency"]
    prices = []
    for index, given in enumerate(request.prices):
        try:
            prices.append(_price(world, given, currency))
        except InvalidValue as error:
            raise bad_field("prices", f"Price {index + 1}: {error}.") from None
    paid = [price["currency"] for price in prices if price["priceType"] == PriceType.PAID]
    if len(paid) != len(set(paid)):
        raise bad_field("prices", "There can be only one PAID price for each currency.")
    row = draft(world, request.identifier)
    row.prices = [{"id": world.new_id(), **price} for price in prices]
    return PlanPrices(prices=[codec.load(PlanPrice, price) for price in row.prices])


def _price(world: Core, given: PlanPriceInput, currency: str) -> dict[str, Any]:
    """A price as rows keep it, with what was left unsaid."""
    _check_choice(given.price_type, "priceType")
    _check_choice(given.tax_behavior, "taxBehavior")
    price = {
        "currency": currency,
        "freeTrial": False,
        "trialPeriod": 0,
        "enabled": True,
        "taxBehavior": "UNSPECIFIED",
        "chargeCatalogPrice": [],
        **{name: value for name, value in codec.dump(given).items() if value is not None},
    }
    code = price["currency"] = price["currency"].upper()
    if len(code) != _CODE or not code.isascii() or not code.isalpha():
        raise InvalidValue(f'"{code}" is not a three-letter currency code')
    parts = given.charge_catalog_price or []
    features = [part.feature for part in parts]
    if len(features) != len(set(features)):
        raise InvalidValue("the plan or one of its features is priced twice")
    periods = {period for part in parts for period in _checked_part(world, part)}
    if given.price_type is PriceType.PAID and not periods:
        raise InvalidValue("a PAID price needs a charge")
    trial = price["trialPeriod"]
    if not 0 <= trial <= LONGEST_TRIAL or (price["freeTrial"] and not trial):
        raise InvalidValue("a free trial lasts at least a day, and two years at most")
    if price["freeTrial"] and given.price_type is not PriceType.CUSTOM and not periods - {"ONE_TIME"}:
        raise InvalidValue("only a recurring price can start with a free trial")
    return price


def _checked_part(world: Core, part: FeatureCharge) -> list[str]:
    """Look through what one feature, or the plan itself, costs; the charge periods it is priced for."""
    for name in ("price_model", "reset", "payment_type"):
        _check_choice(getattr(part, name), name)
    model = part.price_model or PriceModel.FLAT
    if part.feature is None and model is not PriceModel.FLAT:
        raise InvalidValue(f"{model} is a price of a feature, and none is named")
    if part.feature is not None:
        row = world.state.features.get(part.feature)
        if row is None or row.archived:
            raise InvalidValue(f'there is no feature "{part.feature}"')
    _check_rules(part.rollover, codec.dump(part.usage_alerts))
    periods = []
    for charge in part.charges or []:
        period = same_period(str(charge.charge_period))
        if period not in CHARGE_PERIODS:
            raise InvalidValue(f'"{period}" is not a charge period')
        if period in periods:
            raise InvalidValue(f"there are two charges for {period}")
        periods.append(period)
        charge_price(str(model), codec.dump(charge), 1)
        bounds = charge.advanced or {}
        limits = [bounds[name] for name in ("min_quantity", "max_quantity") if bounds.get(name) is not None]
        if limits and (part.feature is None or model is not PriceModel.FLAT):
            raise InvalidValue("only a FLAT price of a feature can limit the quantity")
        numbers = [_whole_number(limit, "a quantity") for limit in limits]
        if numbers != sorted(numbers):
            raise InvalidValue("min_quantity is more than max_quantity")
    return periods


# Features


@handles(ListPlanFeatures)
def list_features(world: Core, request: ListPlanFeatures) -> Page[PlanFeature]:
    """All features of one version."""
    row = asked_for(world, request.identifier, request.version)
    return whole(
        [
            PlanFeature(feature=shown_feature(world.state.features[feature]), details=_details(details))
            for feature, details in row.features.items()
        ]
    )


@handles(AddPlanFeatures, status=201)
def add_features(world: Core, request: AddPlanFeatures) -> CatalogPlan:
    """All of them or, if one cannot be right, none; to the draft."""
    current = newest(world, request.identifier, request.version)
    added: dict[str, dict[str, Any]] = {}
    for entry in request.plan_entitlements:
        feature = world.state.features.get(entry.feature)
        if feature is None or feature.archived:
            raise bad_field("planEntitlements", f'There is no feature "{entry.feature}".')
        if feature.id in current.features or feature.id in added:
            raise bad_field("planEntitlements", f'"{feature.identifier}" is part of the plan already.')
        added[feature.id] = _fitting(feature, codec.dump(entry.details), "planEntitlements")
    row = draft(world, request.identifier)
    row.features.update(added)
    return shown(world, row)


@handles(UpdatePlanFeature)
def update_feature(world: Core, request: UpdatePlanFeature) -> PlanFeature:
    """What is given goes over what is there. The answer, as documented, has the details only."""
    current = newest(world, request.identifier)
    feature = _granted(world, current, request.feature_id)
    details = {**current.features[feature.id], **codec.dump(request.details)}
    details = _fitting(feature, details, "details")
    draft(world, request.identifier).features[feature.id] = details
    answer: PlanFeature = codec.load(PlanFeature, {"details": details})
    return answer


@handles(RemovePlanFeature, status=204)
def remove_feature(world: Core, request: RemovePlanFeature) -> None:
    """Prices are another matter: what the feature costs stays until prices are replaced."""
    feature = _granted(world, newest(world, request.identifier), request.feature_id)
    del draft(world, request.identifier).features[feature.id]


def _granted(world: Core, row: PlanRow, name: str) -> FeatureRow:
    """A feature of a plan, by its identifier (as documented) or its id, or 404."""
    feature = known(world, name)
    if feature.id not in row.features:
        raise not_found("Plan feature")
    return feature


def _details(details: Mapping[str, Any]) -> PlanEntitlementDetails:
    loaded: PlanEntitlementDetails = codec.load(PlanEntitlementDetails, details)
    return loaded


def _fitting(feature: FeatureRow, details: dict[str, Any], name: str) -> dict[str, Any]:
    """What is granted of a feature, with its number made whole; 400 where it does not fit the type."""
    try:
        value = _value(feature.feature_type, details)
        _check_choice(_details(details).reset, "reset")
        _check_rules(details.get("rollover"), details.get("usageAlerts"))
    except InvalidValue as error:
        raise bad_field(name, f"{feature.identifier}: {error}.") from None
    rest = {key: given for key, given in details.items() if key != "value"}
    return rest if value is None else {"value": value, **rest}


def _value(kind: str, details: Mapping[str, Any]) -> bool | int | None:
    """True or False for a switch, else a whole number; None for a meter without a limit."""
    value = details.get("value")
    if kind == FeatureType.BOOLEAN:
        if not isinstance(value, bool | None):
            raise InvalidValue("the value of a BOOLEAN feature is true or false")
        return value is not False
    if value is not None:
        return _whole_number(value, f"the value of a {kind} feature")
    if kind == FeatureType.CUSTOMIZABLE or details.get("hasUnlimitedUsage") is not True:
        raise InvalidValue(f"a {kind} feature needs a value")
    return None


def _whole_number(value: Any, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise InvalidValue(f"{what} is a number")
    number = exact_decimal(value)
    if number < 0 or number != int(number):
        raise InvalidValue(f"{what} is a whole number from 0")
    return int(number)


def _check_choice(value: OpenEnum | None, name: str) -> None:
    if value is not None and not value.known:
        raise InvalidValue(f'{name}: "{value}" is not a valid choice')


def _check_rules(rollover: Any, alerts: Any) -> None:
    """Refuse a rollover or alerts that could not be followed when their time comes."""
    for rule in (rollover, alerts):
        if rule is not None and not isinstance(rule, Mapping):
            raise InvalidValue("rollover and usageAlerts are objects")
    carried_over(rollover, 0)
    crossed_thresholds(alerts, 0, 0, 1)


# Files


@handles(UpdatePlanFile)
def update_file(world: Core, request: UpdatePlanFile) -> PlanFile:
    """The file keeps its id in the draft."""
    file_of(newest(world, request.identifier).files, request.file_id, "Plan file")
    row = draft(world, request.identifier)
    file = file_of(row.files, request.file_id, "Plan file")
    change(file, request, "name", "ordering", "enabled")
    return shown_file(world, row, file)


@handles(DeletePlanFile, status=204)
def delete_file(world: Core, request: DeletePlanFile) -> None:
    """The file is gone from the draft; what older versions hold can still be fetched."""
    file_of(newest(world, request.identifier).files, request.file_id, "Plan file")
    row = draft(world, request.identifier)
    row.files.remove(file_of(row.files, request.file_id, "Plan file"))


@handles(LocatePlanFile, status=_FOUND)
def locate_file(world: Core, request: LocatePlanFile) -> Reply:
    """A redirect to the file of any version, archived ones too: who bought it keeps it."""
    rows: Iterable[PlanRow] = reversed(world.state.plans.get(request.identifier, []))
    file = file_of((file for row in rows for file in row.files), request.file_id, "Plan file")
    if file["key"] not in world.state.uploads:
        raise not_found("Plan file")
    return Reply(_FOUND, None, {"Location": address(world, file["key"])})
