"""How the pages say things: money, periods, times, and what a plan gives."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from .core import Core
from .handlers.offerings import SYMBOLS
from .pricing import from_units, minor_digits
from .state import PlanRow

EVERY: Final = {
    "DAILY": "day",
    "WEEKLY": "week",
    "TWENTY_EIGHT_DAYS": "28 days",
    "MONTHLY": "month",
    "THREE_MONTHS": "3 months",
    "SIX_MONTHS": "6 months",
    "YEARLY": "year",
}
"""Length of a charge period; what is bought once has none."""

PERIODS: Final = {
    "ONE_TIME": "Once",
    "DAILY": "Daily",
    "WEEKLY": "Weekly",
    "TWENTY_EIGHT_DAYS": "Every 28 days",
    "MONTHLY": "Monthly",
    "THREE_MONTHS": "Every 3 months",
    "SIX_MONTHS": "Every 6 months",
    "YEARLY": "Yearly",
}

_RESETS: Final = {
    "EVERY_DAY": "a day",
    "EVERY_28_DAYS": "every 28 days",
    "EVERY_MONTH": "a month",
    "EVERY_QUARTER": "a quarter",
    "EVERY_YEAR": "a year",
}


def money(units: int, currency: str) -> str:
    """An amount such as ``$1,234.50``, or ``CHF 12.00`` where a currency has no sign of its own here."""
    text = f"{abs(from_units(units, currency)):,.{minor_digits(currency)}f}"
    sign = SYMBOLS.get(currency.upper(), f"{currency.upper()} ")
    return f"-{sign}{text}" if units < 0 else f"{sign}{text}"


def moment(value: datetime | None) -> str:
    """A time such as ``31 Jan 2026, 14:05``, in UTC."""
    return "never" if value is None else f"{value.day} {value:%b %Y, %H:%M}"


def day(value: datetime | None) -> str:
    """A day such as ``31 Jan 2026``."""
    return "never" if value is None else f"{value.day} {value:%b %Y}"


def gives(world: Core, plan: PlanRow) -> list[str]:
    """What a plan gives, one line for each feature."""
    lines = []
    for feature_id, details in plan.features.items():
        feature = world.state.features.get(feature_id)
        line = _gives(feature.name, feature.feature_type, details) if feature else None
        if line:
            lines.append(line)
    return lines


def _gives(name: str, kind: str, details: Mapping[str, Any]) -> str | None:
    value = details.get("value")
    if kind == "BOOLEAN":
        return None if value is False else name
    if kind == "CUSTOMIZABLE":
        return f"{name}: {value}"
    if value is None or details.get("hasUnlimitedUsage"):
        return f"{name}: unlimited"
    often = _RESETS.get(str(details.get("reset")), "")
    return f"{name}: {value:,} {often}".rstrip()
