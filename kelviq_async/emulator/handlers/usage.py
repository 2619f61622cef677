"""Usage that is reported, and events that are counted."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from ... import codec
from ...api.usage import EventReport, ReportEvent, ReportUsage, UsageBehaviour, UsageReport
from .. import metering
from ..catalog import feature_by_identifier
from ..core import Core
from ..refusals import bad_field, detail
from ..registry import handles
from ..state import FeatureRow, UsageRow

ORGANIZATION: Final = "1"
"""What usage answers call the organisation; elsewhere it has a UUID."""

_AGGREGATED: Final = "aggregated.usage"
_LARGEST: Final = 2**53


@handles(ReportUsage)
def report_usage(world: Core, request: ReportUsage) -> UsageReport:
    """Counts every report: there is no key to know a repeated one by.

    400 where customer or feature are unknown, where nothing that the customer has grants the feature,
    and where a hard limit is reached; then nothing is counted.
    """
    customer_id = _customer(world, request.customer_id)
    feature = feature_by_identifier(world, request.feature_id)
    if feature is None or feature.identifier != request.feature_id:
        raise bad_field("featureId", f'There is no feature "{request.feature_id}".')
    if feature.feature_type != metering.METER:
        raise bad_field("featureId", f'"{feature.identifier}" is no METER feature.')
    if abs(request.value) > _LARGEST:
        raise bad_field("value", "A number is out of range.")
    is_total = request.behaviour is UsageBehaviour.SET
    if is_total and request.value < 0:
        raise bad_field("value", "Usage cannot be negative.")
    found = metering.meters(world, customer_id, feature.identifier)
    if not found:
        raise detail(400, f'The customer is not entitled to "{feature.identifier}".')
    count = metering.report_total if is_total else metering.report_more
    count(world, found, request.value)
    key = world.new_id().replace("-", "")
    _enter(
        world,
        customer_id,
        str(request.behaviour),
        request.value,
        feature_id=feature.identifier,
        event_name=_AGGREGATED,
        key=key,
        resource_id=request.resource_id or None,
    )
    return UsageReport(
        value=request.value,
        customer_id=customer_id,
        feature_id=feature.identifier,
        behaviour=request.behaviour,
        org_id=ORGANIZATION,
        event_name=_AGGREGATED,
        idempotency_key=key,
        timestamp=world.now(),
    )


@handles(ReportEvent)
def report_event(world: Core, request: ReportEvent) -> dict[str, Any]:
    """Counts an event once for each key, and answers a repeated one as the first.

    A METER feature counts an event if its ``meter`` names it as ``eventName``, and all its ``filters``
    (``field``, ``value``, and an ``operator`` that is missing or means "equals") hold of the event's
    properties. ``aggregation`` is COUNT, or SUM of the property that its ``field`` names. Events count in
    the period in which they arrive, whatever their timestamp, and go beyond hard limits.
    """
    customer_id = _customer(world, request.customer_id)
    if not request.idempotency_key:
        raise bad_field("idempotencyKey", "This field may not be blank.")
    known = world.state.reported_events.get(request.idempotency_key)
    properties = request.properties or {}
    counts: dict[str, int] = {}
    if known is None:
        for feature in list(world.state.features.values()):
            added = _counted(feature, request.event_name, properties)
            found = metering.meters(world, customer_id, feature.identifier) if added else []
            if found:
                metering.count_events(world, found, added)
                counts[feature.identifier] = added
    first, units = next(iter(counts.items()), (None, 0))
    _enter(
        world,
        customer_id,
        "EVENT",
        units,
        feature_id=first,
        event_name=request.event_name,
        key=request.idempotency_key,
        counted=known is None,
        counts=counts if len(counts) > 1 else None,
    )
    if known is not None:
        return known
    report = EventReport(
        customer_id=customer_id,
        event_name=request.event_name,
        idempotency_key=request.idempotency_key,
        timestamp=request.timestamp,
        properties=properties,
        org_id=ORGANIZATION,
    )
    answer: dict[str, Any] = codec.dump(report, nulls=True)
    world.state.reported_events[request.idempotency_key] = answer
    return answer


def _customer(world: Core, customer_id: str) -> str:
    row = world.state.customers.get(customer_id)
    if row is None or row.archived:
        raise bad_field("customerId", "Customer not found.")
    return customer_id


def _enter(world: Core, customer_id: str, kind: str, value: int, **known: Any) -> None:
    """Note an arrival in the ledger."""
    number = len(world.state.usage) + 1
    world.state.usage.append(UsageRow(number, world.now(), customer_id, kind, value, **known))


def _counted(feature: FeatureRow, event_name: str, properties: Mapping[str, Any]) -> int:
    """How many units of a feature an event is; 0 if the feature does not count it."""
    meter = feature.meter
    if feature.feature_type != metering.METER or event_name not in {
        meter.get("eventName"),
        meter.get("event_name"),
    }:
        return 0
    if not all(_holds(each, properties) for each in _rows(meter.get("filters"))):
        return 0
    aggregation = meter.get("aggregation")
    aggregation = aggregation if isinstance(aggregation, Mapping) else {"function": aggregation}
    if str(aggregation.get("function") or "COUNT").upper() != "SUM":
        return 1
    value = properties.get(str(aggregation.get("field")))
    try:
        number = Decimal(str(value)) if not isinstance(value, bool) else Decimal(0)
    except InvalidOperation:
        return 0
    return int(number) if number.is_finite() and 0 <= number <= _LARGEST else 0


def _holds(condition: Mapping[str, Any], properties: Mapping[str, Any]) -> bool:
    name = condition.get("field", condition.get("property"))
    operator = str(condition.get("operator") or "EQUALS").upper()
    return operator in {"EQUALS", "EQ", "=", "=="} and properties.get(str(name)) == condition.get("value")


def _rows(value: Any) -> list[Mapping[str, Any]]:
    return [row for row in value if isinstance(row, Mapping)] if isinstance(value, list) else []
