"""What all areas need to know of the catalogue: versions of plans, what they cost, who has them.

A plan is a row of versions. At most one of them is published and at most one, the newest, is a draft;
whoever changes a plan changes its draft, which is made of the published version where there is none.
"""

from __future__ import annotations

import copy
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

import attrs

from .core import Core
from .pricing import InvalidValue, charge_price, exact_decimal, to_units
from .refusals import bad_field, detail, not_found
from .state import FeatureRow, PlanRow, State, SubscriptionRow

HELD: Final = frozenset({"trialing", "active", "past_due"})
"""Statuses of subscriptions that grant something today."""
LONGEST_TRIAL: Final = 730
"""Days; what the card processors put up with."""

_ONE_TIME: Final = "ONE_TIME"
_SAME_PERIOD: Final = {"QUARTERLY": "THREE_MONTHS"}
_ADVANCE: Final = "ADVANCE_COMMITMENT"


@attrs.frozen
class PriceChoice:
    """What a plan costs in one currency for one charge period.

    Attributes:
        plan_identifier: The plan.
        price_id: The price that was found.
        price_type: FREE, PAID or CUSTOM.
        currency: Three-letter code, in capitals.
        charge_period: As subscriptions spell it, so THREE_MONTHS for a price said to be QUARTERLY.
        base: The plan's own fee, whatever the quantities, exact and in whole currency.
        trial_days: Length of the free trial; 0 for none, as always for one-time purchases.
        tax_behavior: INCLUSIVE, EXCLUSIVE or UNSPECIFIED.
        charges: What features cost, by feature id: the charge (``priceData``, ``tiers``, ``advanced``)
            together with its ``priceModel``, ``paymentType``, ``reset`` and the like, in wire spelling.
    """

    plan_identifier: str
    price_id: str
    price_type: str
    currency: str
    charge_period: str
    base: Decimal
    trial_days: int
    tax_behavior: str
    charges: Mapping[str, Mapping[str, Any]]

    @property
    def base_units(self) -> int:
        """The plan's own fee in smallest units."""
        return to_units(self.base, self.currency)

    @property
    def recurring(self) -> bool:
        """Whether it is charged again and again."""
        return self.charge_period != _ONE_TIME


# Finding


def versions(world: Core, identifier: str) -> list[PlanRow]:
    """All versions of a plan that is not archived, oldest first, or 404."""
    rows = world.state.plans.get(identifier)
    if not rows or rows[-1].state == "archived":
        raise not_found("Plan")
    return rows


def plan_version(world: Core, identifier: str, version: int) -> PlanRow:
    """One version of a plan, archived or not, or 404: for those who have it already."""
    for row in world.state.plans.get(identifier, ()):
        if row.version == version:
            return row
    raise not_found("Plan")


def published(world: Core, identifier: str) -> PlanRow | None:
    """The published version of a plan, or None where there is none."""
    rows = world.state.plans.get(identifier, ())
    return next((row for row in reversed(rows) if row.state == "published"), None)


def sellable(world: Core, identifier: str) -> PlanRow:
    """The published version of a plan, or 400: nobody can buy drafts and what was archived."""
    row = published(world, identifier)
    if row is None or world.state.products[row.product_id].archived:
        reason = "not available" if identifier in world.state.plans else "unknown"
        raise bad_field("planIdentifier", f'The plan "{identifier}" is {reason}.')
    return row


def feature_by_identifier(world: Core, identifier: str) -> FeatureRow | None:
    """A feature by its identifier, archived or not."""
    return _feature(world.state, identifier)


def _feature(state: State, name: str) -> FeatureRow | None:
    by_id = state.features.get(name)
    return by_id or next((row for row in state.features.values() if row.identifier == name), None)


# Prices


def same_period(charge_period: str) -> str:
    """A charge period in the spelling of subscriptions: QUARTERLY is THREE_MONTHS."""
    return _SAME_PERIOD.get(charge_period, charge_period)


def enabled_prices(plan: PlanRow) -> list[dict[str, Any]]:
    """The prices of a plan that can be bought, the first one being what is taken unless told otherwise."""
    return [price for price in plan.prices if price.get("enabled") is not False]


def price_in(plan: PlanRow, currency: str | None) -> dict[str, Any] | None:
    """A plan's price in a currency, in any letter case; its first price where no currency is named."""
    wanted = (currency or "").upper()
    prices = enabled_prices(plan)
    return next((price for price in prices if not wanted or price["currency"].upper() == wanted), None)


def price_for(plan: PlanRow, currency: str | None, charge_period: str) -> PriceChoice:
    """What a plan costs.

    Args:
        plan: The version to buy.
        currency: Three-letter code in any letter case, or None for the plan's first price.
        charge_period: In either spelling.

    Raises:
        Refusal: 400 on ``currencyCode`` or ``chargePeriod``: the plan has no such price.
    """
    prices = enabled_prices(plan)
    price = price_in(plan, currency)
    if price is None and prices and all(each["priceType"] == "FREE" for each in prices):
        price = {**prices[0], "currency": (currency or prices[0]["currency"])}  # nothing is nothing anywhere
    if price is None:
        raise bad_field("currencyCode", f"The plan has no price in {currency or 'any currency'}.")
    period = same_period(charge_period)
    free = price["priceType"] == "FREE"
    found = dict(_charges(price, period))
    if (free and period != _ONE_TIME) or (not free and not found):
        raise bad_field("chargePeriod", f"The plan has no price for {charge_period}.")
    base = found.pop(None, None)
    return PriceChoice(
        plan_identifier=plan.identifier,
        price_id=price["id"],
        price_type=price["priceType"],
        currency=price["currency"].upper(),
        charge_period=period,
        base=Decimal(0) if free or base is None else _priced(base, 1),
        trial_days=trial_days(price) if period != _ONE_TIME else 0,
        tax_behavior=price.get("taxBehavior") or "UNSPECIFIED",
        charges={} if free else {feature: charge for feature, charge in found.items() if feature is not None},
    )


def charge_periods(plan: PlanRow, currency: str | None = None) -> list[str]:
    """The charge periods a plan is sold for, in the spelling of subscriptions."""
    price = price_in(plan, currency)
    if price is None:
        return []
    if price["priceType"] == "FREE":
        return [_ONE_TIME]
    found = (charge["chargePeriod"] for part in _parts(price) for charge in part.get("charges") or ())
    return list(dict.fromkeys(same_period(period) for period in found))


def trial_days(price: Mapping[str, Any]) -> int:
    """Length of a price's free trial; a length alone, without ``freeTrial``, means nothing."""
    return int(price.get("trialPeriod") or 0) if price.get("freeTrial") is True else 0


def amount_units(choice: PriceChoice, quantities: Mapping[str, int], state: State) -> int:
    """What a period costs in advance, in smallest units, rounded once.

    Args:
        choice: What ``price_for`` found.
        quantities: How many of each feature, by identifier or id. Of a feature that is paid in advance
            and not named here, the least that can be bought is: its ``min_quantity``, else one.
        state: Where features are looked up.

    Raises:
        Refusal: 400 on ``features``: a feature is unknown, or a quantity is not on sale.
    """
    bought = bought_quantities(choice, quantities, state)
    advance = (_priced(choice.charges[feature], units) for feature, units in bought.items())
    return to_units(sum(advance, choice.base), choice.currency)


def bought_quantities(choice: PriceChoice, quantities: Mapping[str, int], state: State) -> dict[str, int]:
    """How many units of each feature are paid in advance, by feature id; refuses as ``amount_units``."""
    wanted: dict[str, int] = {}
    for name, units in quantities.items():
        row = _feature(state, name)
        if row is None:
            raise bad_field("features", f'The feature "{name}" is unknown.')
        if units < 0:
            raise bad_field("features", f'The quantity of "{name}" cannot be negative.')
        wanted[row.id] = units
    bought: dict[str, int] = {}
    for feature, charge in choice.charges.items():
        if (charge.get("paymentType") or _ADVANCE) != _ADVANCE:
            continue
        bounds = charge.get("advanced") or {}
        least, most = _bound(bounds, "min_quantity"), _bound(bounds, "max_quantity")
        units = wanted.get(feature, 1 if least is None else least)
        if (least is not None and units < least) or (most is not None and units > most):
            name = state.features[feature].identifier if feature in state.features else feature
            raise bad_field("features", f'The quantity of "{name}" is not on sale.')
        bought[feature] = units
    return bought


def usage_units(choice: PriceChoice, usage: Mapping[str, int]) -> int:
    """What a period's usage costs in arrears, in smallest units, rounded once.

    Args:
        choice: What ``price_for`` found.
        usage: Units used in the period, by feature id; only features paid as one goes count.
    """
    parts = (
        _priced(charge, usage.get(feature, 0))
        for feature, charge in choice.charges.items()
        if charge.get("paymentType") == "PAY_AS_YOU_GO"
    )
    return to_units(sum(parts, Decimal(0)), choice.currency)


def _parts(price: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    return price.get("chargeCatalogPrice") or ()


def _charges(price: Mapping[str, Any], period: str) -> Iterator[tuple[str | None, dict[str, Any]]]:
    """The charges of one period, each with what else is said of its feature."""
    for part in _parts(price):
        for charge in part.get("charges") or ():
            if same_period(charge.get("chargePeriod", "")) == period:
                about = {name: value for name, value in part.items() if name not in {"charges", "feature"}}
                yield part.get("feature"), {**about, **charge}


def _priced(charge: Mapping[str, Any], units: int) -> Decimal:
    try:
        return charge_price(charge.get("priceModel") or "FLAT", charge, units)
    except InvalidValue as error:
        raise detail(400, f"The plan's price cannot be computed: {error}") from None


def _bound(bounds: Mapping[str, Any], name: str) -> int | None:
    value = bounds.get(name)
    return None if value is None else int(exact_decimal(value))


# Changing


def newest(world: Core, identifier: str, version: int | None = None) -> PlanRow:
    """The version that a change starts from: the draft if there is one, else the published version.

    Args:
        world: Where the plan is.
        identifier: The plan.
        version: The version somebody wants to change, if they said.

    Raises:
        Refusal: 404 if there is no such plan or version, 400 if that version is history.
    """
    rows = versions(world, identifier)
    if version is None or version == rows[-1].version:
        return rows[-1]
    plan_version(world, identifier, version)
    raise bad_field("version", "Only the newest version of a plan can be changed.")


def draft(world: Core, identifier: str) -> PlanRow:
    """The draft of a plan, to be changed; made of the published version where there is none.

    Call it when nothing can be refused any more, so that a refused change leaves no draft behind.
    """
    rows, now = versions(world, identifier), world.now()
    row = rows[-1]
    if row.state != "draft":
        row = copy.deepcopy(row)
        row.id, row.version, row.state, row.created_on = world.new_id(), row.version + 1, "draft", now
        rows.append(row)
    row.modified_on = now
    return row


def subscribers(world: Core, identifier: str) -> list[SubscriptionRow]:
    """The subscriptions and one-time purchases that somebody has of a plan, in any version."""
    rows = world.state.subscriptions.values()
    return [row for row in rows if row.plan_identifier == identifier and row.status in HELD]


def choice_of(world: Core, row: SubscriptionRow) -> PriceChoice:
    """What a subscription costs: by the version it follows, unless it follows another one's prices."""
    version = row.plan_version if row.price_version is None else row.price_version
    return price_for(plan_version(world, row.plan_identifier, version), row.currency, row.charge_period)


def migration(world: Core, plan: PlanRow, *, features: bool, pricing: bool) -> list[SubscriptionRow]:
    """Today's subscriptions of a plan as they will be once they follow a new version.

    A subscription has one ``plan_version``. Where only one of both is to be new, the version its price
    comes from is noted beside it in ``price_version``. New prices count from the next renewal on; what
    was bought once is paid for, and an amount that was agreed on in a checkout stays as it is.

    Args:
        world: Where the plan is.
        plan: The new version.
        features: Whether they get what it grants.
        pricing: Whether they get what it costs.

    Returns:
        Changed copies; ``migrate`` puts them in place.

    Raises:
        Refusal: 400 if somebody's currency, charge period or quantity has no price any more.
    """
    moved = []
    for row in subscribers(world, plan.identifier):
        prices = row.plan_version if row.price_version is None else row.price_version
        amount = row.amount_units
        if pricing and row.charge_period != _ONE_TIME and not row.custom_amount:
            choice = price_for(plan, row.currency, row.charge_period)
            prices, amount = plan.version, amount_units(choice, row.quantities, world.state)
        version = plan.version if features else row.plan_version
        moved.append(
            attrs.evolve(
                row,
                plan_version=version,
                price_version=None if prices == version else prices,
                amount_units=amount,
                modified_on=world.now(),
            )
        )
    return moved


def migrate(world: Core, moved: Iterable[SubscriptionRow]) -> None:
    """Put changed copies of subscriptions in their rows, which others may hold on to."""
    for copied in moved:
        row = world.state.subscriptions[copied.id]
        for name in ("plan_version", "price_version", "amount_units", "modified_on"):
            setattr(row, name, getattr(copied, name))


# Names


def new_identifier(given: str | None, name: str, taken: Iterable[str]) -> str:
    """The identifier of something new: the one given, else one made of the name.

    Raises:
        Refusal: 400 if the name is blank, or the identifier taken or unfit for an address.
    """
    if not name.strip():
        raise bad_field("name", "This field may not be blank.")
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    identifier = re.sub(r"[^a-z0-9]+", "-", plain).strip("-") if given is None else given
    if not re.fullmatch(r"[A-Za-z0-9_~.-]*[A-Za-z0-9_~-][A-Za-z0-9_~.-]*", identifier):
        raise bad_field("identifier", "Letters, digits, hyphens, dots and underscores make an identifier.")
    if identifier in taken:
        raise bad_field("identifier", f'The identifier "{identifier}" is taken.')
    return identifier
