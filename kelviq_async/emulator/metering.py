"""What customers may use and how much of it they used.

One entry stands for one subscription and one feature. A meter's counter belongs to the subscription's
lineage, so that it goes on over upgrades, and starts anew when the period that it counts in is over:
nobody waits for that moment, whoever looks next sees it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

import attrs

from . import payloads
from .billing import granting, since
from .catalog import plan_version
from .core import Core
from .periods import Period, by_calendar, carried_over, crossed_thresholds, usage_period_at
from .refusals import detail
from .state import FeatureRow, MeterRow, PlanRow, SubscriptionRow

METER: Final = "METER"
CUSTOMIZABLE: Final = "CUSTOMIZABLE"

_STAMP: Final = "%Y-%m-%d %H:%M:%S"
_ALSO_ON_PRICES: Final = ("reset", "resetTime", "rollover", "usageAlerts", "hasUnlimitedUsage")
_ROOMY: Final = 2**63


@attrs.define
class Meter:
    """A meter that a customer has: what one subscription grants of it, and its counter.

    Attributes:
        subscription: The subscription.
        feature: The feature.
        rules: What is granted: ``value``, ``hardLimit``, ``rollover`` and the like, in wire spelling.
        row: The counter, in the present period.
        limit: Units for a period, without what was carried over; None for any number.
    """

    subscription: SubscriptionRow
    feature: FeatureRow
    rules: Mapping[str, Any]
    row: MeterRow
    limit: int | None

    @property
    def hard(self) -> bool:
        """Whether nothing goes beyond the limit."""
        return self.limit is not None and self.rules.get("hardLimit") is True

    @property
    def remaining(self) -> int | None:
        """Units that are left, never less than none; None for any number."""
        return None if self.limit is None else max(0, self.limit + self.row.carried - self.row.used)

    @property
    def has_access(self) -> bool:
        """False once a hard limit is reached; a soft one only counts."""
        return not self.hard or self.remaining != 0


# Reading


def entitlements(world: Core, customer_id: str, feature_id: str | None = None) -> list[dict[str, Any]]:
    """The entries of a customer, in wire spelling, with the names that their type has.

    Args:
        world: Where the customer is.
        customer_id: The customer.
        feature_id: Identifier of the one feature that is asked for; None for all.
    """
    return [
        _entry(world, subscription, plan, feature, details)
        for subscription, plan, feature, details in _grants(world, customer_id, feature_id)
    ]


def meters(world: Core, customer_id: str, feature_id: str) -> list[Meter]:
    """A customer's meters of one feature, in the order of their subscriptions."""
    return [
        _meter(world, subscription, plan, feature, details)
        for subscription, plan, feature, details in _grants(world, customer_id, feature_id)
        if feature.feature_type == METER
    ]


def settle(world: Core, subscription: SubscriptionRow) -> None:
    """Bring the counters of a subscription up to the present, before what it grants changes.

    What is carried over from a period that just ended is then reckoned by the old plan.
    """
    plan = plan_version(world, subscription.plan_identifier, subscription.plan_version)
    for feature, details in _granted(world, plan, None):
        if feature.feature_type == METER:
            _meter(world, subscription, plan, feature, details)


def _grants(
    world: Core, customer_id: str, wanted: str | None
) -> Iterator[tuple[SubscriptionRow, PlanRow, FeatureRow, Mapping[str, Any]]]:
    for subscription in granting(world, customer_id):
        plan = plan_version(world, subscription.plan_identifier, subscription.plan_version)
        for feature, details in _granted(world, plan, wanted):
            yield subscription, plan, feature, details


def _granted(
    world: Core, plan: PlanRow, wanted: str | None
) -> Iterator[tuple[FeatureRow, Mapping[str, Any]]]:
    for key, details in plan.features.items():
        feature = world.state.features[key]
        if wanted is None or feature.identifier == wanted:
            yield feature, details


def _entry(
    world: Core,
    subscription: SubscriptionRow,
    plan: PlanRow,
    feature: FeatureRow,
    details: Mapping[str, Any],
) -> dict[str, Any]:
    entry = {
        "featureId": feature.identifier,
        "featureType": feature.feature_type,
        "hasAccess": True,
        "resetAt": None,
    }
    if feature.feature_type == METER:
        meter = _meter(world, subscription, plan, feature, details)
        end = meter.row.period_end
        entry["hasAccess"] = meter.has_access
        entry["resetAt"] = None if end is None else end.strftime(_STAMP)
        entry["hardLimit"] = details.get("hardLimit") is True
        entry["usageLimit"] = meter.limit
        entry["currentUsage"] = meter.row.used
        entry["remaining"] = meter.remaining
    elif feature.feature_type == CUSTOMIZABLE:
        entry["usageLimit"] = _allowance(subscription, feature, details)
    else:
        entry["hasAccess"] = details.get("value") is not False
    return entry


def _allowance(subscription: SubscriptionRow, feature: FeatureRow, rules: Mapping[str, Any]) -> int | None:
    """The number that is granted: what was bought of it, else what the plan says; None for any number."""
    bought = subscription.quantities.get(feature.identifier)
    if bought is not None:
        return bought
    value = rules.get("value")
    return None if rules.get("hasUnlimitedUsage") is True or value is None else int(value)


def _meter(
    world: Core,
    subscription: SubscriptionRow,
    plan: PlanRow,
    feature: FeatureRow,
    details: Mapping[str, Any],
) -> Meter:
    """A meter with its counter in the present period."""
    rules = _with_price(plan, subscription.currency, feature, details)
    limit = _allowance(subscription, feature, rules)
    key = f"{subscription.lineage} {feature.id}"
    row = world.state.meters.get(key)
    if row is None:
        # Where an upgrade brought the meter, it has counted nothing before that.
        began = since(subscription) if subscription.replaces is None else subscription.created_on
        row = world.state.meters[key] = MeterRow(subscription.lineage, feature.id)
        _enter(row, rules, _period(rules, subscription, max(began, since(subscription))))
    meter = Meter(subscription, feature, rules, row, limit)
    _advance(meter, world.now())
    return meter


def _with_price(
    plan: PlanRow, currency: str, feature: FeatureRow, details: Mapping[str, Any]
) -> Mapping[str, Any]:
    """What is granted, completed by what a price says of the feature."""
    for price in plan.prices:
        if price["currency"].upper() == currency.upper():
            for part in price.get("chargeCatalogPrice") or ():
                if part.get("feature") == feature.id:
                    said = {name: part[name] for name in _ALSO_ON_PRICES if part.get(name)}
                    if "value" in details:
                        said.pop("hasUnlimitedUsage", None)
                    return {**said, **{name: value for name, value in details.items() if value is not None}}
    return details


# Time


def _period(rules: Mapping[str, Any], subscription: SubscriptionRow, at: datetime) -> Period:
    start = since(subscription)
    calendar = by_calendar(rules.get("resetTime"))
    return usage_period_at(str(rules.get("reset") or "NEVER"), start, max(at, start), calendar=calendar)


def _rhythm(rules: Mapping[str, Any]) -> str:
    return f"{rules.get('reset')} {rules.get('resetTime')}"


def _enter(row: MeterRow, rules: Mapping[str, Any], period: Period) -> None:
    row.period_start, row.period_end, row.rhythm = period.start, period.end, _rhythm(rules)


def _advance(meter: Meter, now: datetime) -> None:
    """Start anew if the period is over; another plan's rules alone do not."""
    row, end = meter.row, meter.row.period_end
    if (end is None or now < end) and row.rhythm == _rhythm(meter.rules):
        return
    present = _period(meter.rules, meter.subscription, now)
    if end is not None and end <= now:
        row.carried = _carried(meter, end, present.start)
        row.used = 0
        row.alerted = []
    _enter(row, meter.rules, present)


def _carried(meter: Meter, end: datetime, present: datetime) -> int:
    """What is left over from the period that ended, and from those since in which nobody looked."""
    if meter.limit is None:
        return 0
    rollover = meter.rules.get("rollover")
    carried = carried_over(rollover, meter.limit + meter.row.carried - meter.row.used)
    while end < present:
        following = carried_over(rollover, meter.limit + carried)
        if following == carried:
            break  # and so it stays
        carried = following
        end = _period(meter.rules, meter.subscription, end).end or present
    return carried


# Counting


def report_total(world: Core, found: list[Meter], total: int) -> None:
    """Make a number the usage of the present period: SET.

    Raises:
        Refusal: 400, if it is more than before and hard limits do not allow it; nothing is counted.
    """
    before = sum(meter.row.used for meter in found)
    shares = _shares(found, [0] * len(found), total, refuse=total > before)
    _count(world, found, shares)


def report_more(world: Core, found: list[Meter], units: int) -> None:
    """Add to the usage of the present period, or take back from it: DELTA.

    Raises:
        Refusal: 400, if hard limits do not allow it or usage would be negative; nothing is counted.
    """
    used = [meter.row.used for meter in found]
    if units < 0:
        if sum(used) + units < 0:
            raise detail(400, "Usage cannot be negative.")
        _count(world, found, _lessened(used, -units))
    else:
        _count(world, found, _shares(found, used, units, refuse=True))


def count_events(world: Core, found: list[Meter], units: int) -> None:
    """Add what events came to. Events tell what has happened, so no limit refuses them."""
    _count(world, found, _shares(found, [meter.row.used for meter in found], units, refuse=False))


def _shares(found: list[Meter], used: list[int], units: int, *, refuse: bool) -> list[int]:
    """Usage of each meter with units added: first where there is room, the rest beyond a soft limit."""
    shares = list(used)
    for index, meter in enumerate(found):
        room = _ROOMY if meter.limit is None else max(0, meter.limit + meter.row.carried - shares[index])
        taken = min(units, room)
        shares[index] += taken
        units -= taken
    if units:
        soft = next((index for index, meter in enumerate(found) if not meter.hard), None)
        if soft is None and refuse:
            raise detail(400, f'The usage limit of "{found[0].feature.identifier}" is reached.')
        shares[soft or 0] += units
    return shares


def _lessened(used: list[int], units: int) -> list[int]:
    """Usage of each meter once units were taken back, from those that were filled last."""
    shares = list(used)
    for index in reversed(range(len(shares))):
        taken = min(units, shares[index])
        shares[index] -= taken
        units -= taken
    return shares


def _count(world: Core, found: list[Meter], shares: list[int]) -> None:
    for meter, share in zip(found, shares, strict=True):
        before, meter.row.used = meter.row.used, share
        if share > before:
            _alert(world, meter, before)


def _alert(world: Core, meter: Meter, before: int) -> None:
    """Tell of the thresholds that were crossed, each once in a period."""
    alerts, row = meter.rules.get("usageAlerts"), meter.row
    told = [Decimal(text) for text in row.alerted]
    for threshold in crossed_thresholds(alerts, before, row.used, meter.limit, told):
        row.alerted.append(str(threshold))
        subject = payloads.feature_usage_alert(
            world,
            meter.feature,
            meter.subscription,
            usage_limit=meter.limit,
            current_usage=row.used,
            threshold_type=str((alerts or {}).get("thresholdType")),
            threshold_value=threshold,
            period_start=row.period_start,
            period_end=row.period_end,
        )
        world.emit("feature.usage_alert", subject)
