"""When things renew, reset, expire and alert: billing periods, meter periods, rollover, usage thresholds.

Time is cut into half-open intervals, so that every instant is in exactly one period. A boundary is always
computed from the anchor and never from the boundary before it: a subscription of 31 January renews on
28 February and then on 31 March. All instants are aware, and all answers are in UTC.
"""

from calendar import monthrange
from collections.abc import Container, Mapping
from dataclasses import dataclass
from datetime import MAXYEAR, UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

from .pricing import InvalidValue, exact_decimal

_DAYS = {"DAY": 1, "WEEK": 7}
_MONTHS = {"MONTH": 1, "YEAR": 12}

# Where the calendar's own periods start. The first day of the year 1 is a Monday in the calendar that Python
# counts in, so weeks, months, quarters and years all begin with it.
_CALENDAR = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Interval:
    """A length of calendar time, as `recurrenceUnit` and `recurrenceType` say it.

    Attributes:
        count: How many of the unit.
        unit: DAY, WEEK, MONTH or YEAR.
    """

    count: int
    unit: str

    def __post_init__(self) -> None:
        if self.count < 1 or self.unit not in _DAYS.keys() | _MONTHS.keys():
            raise InvalidValue(f"not a length of time: {self.count} {self.unit}")

    @property
    def text(self) -> str:
        """What REST calls `recurrence`: "month", or "3 months"."""
        return self.unit.lower() if self.count == 1 else self.counted_text

    @property
    def counted_text(self) -> str:
        """What webhooks and licences call `recurrence`: "1 month", or "3 months"."""
        return f"{self.count} {self.unit.lower()}{'s' if self.count > 1 else ''}"

    def after(self, anchor: datetime, times: int = 1) -> datetime:
        """Go so many intervals on from an anchor; a day that the month lacks becomes the month's last.

        Raises:
            OverflowError: If that is after the year 9999.
        """
        start = _utc(anchor)
        if self.unit in _DAYS:
            return start + timedelta(days=times * self.count * _DAYS[self.unit])
        months = start.year * 12 + start.month - 1 + times * self.count * _MONTHS[self.unit]
        year, month = divmod(months, 12)
        if year > MAXYEAR:
            raise OverflowError(f"a date in the year {year}")  # as timedelta does
        return start.replace(year=year, month=month + 1, day=min(start.day, monthrange(year, month + 1)[1]))

    def elapsed(self, anchor: datetime, at: datetime) -> int:
        """Count the whole intervals between an anchor and an instant that is not before it."""
        start, instant = _utc(anchor), _utc(at)
        if instant < start:
            raise ValueError(f"{instant} is before {start}")
        if self.unit in _DAYS:
            return (instant - start) // timedelta(days=self.count * _DAYS[self.unit])
        months = (instant.year - start.year) * 12 + instant.month - start.month
        times = months // (self.count * _MONTHS[self.unit])
        # The boundary of the instant's own month may still be ahead of it.
        return times if self.after(start, times) <= instant else times - 1


@dataclass(frozen=True, slots=True)
class Period:
    """A stretch of time that begins at `start` and has passed at `end`; no end means that it never passes."""

    start: datetime
    end: datetime | None

    def __contains__(self, at: datetime) -> bool:
        return self.start <= at and (self.end is None or at < self.end)


# QUARTERLY is what the catalogue's prices call THREE_MONTHS. A one-time charge has no interval.
CHARGE_PERIODS: Mapping[str, Interval | None] = {
    "ONE_TIME": None,
    "DAILY": Interval(1, "DAY"),
    "WEEKLY": Interval(1, "WEEK"),
    "TWENTY_EIGHT_DAYS": Interval(28, "DAY"),
    "MONTHLY": Interval(1, "MONTH"),
    "THREE_MONTHS": Interval(3, "MONTH"),
    "QUARTERLY": Interval(3, "MONTH"),
    "SIX_MONTHS": Interval(6, "MONTH"),
    "YEARLY": Interval(1, "YEAR"),
}

# EVERY_WEEK is in the dashboard's guide and in no enum of the API.
METER_RESETS: Mapping[str, Interval | None] = {
    "NEVER": None,
    "EVERY_DAY": Interval(1, "DAY"),
    "EVERY_WEEK": Interval(1, "WEEK"),
    "EVERY_28_DAYS": Interval(28, "DAY"),
    "EVERY_MONTH": Interval(1, "MONTH"),
    "EVERY_QUARTER": Interval(3, "MONTH"),
    "EVERY_YEAR": Interval(1, "YEAR"),
}


def recurrence(charge_period: str) -> Interval | None:
    """Look up how often a charge period recurs; None for ONE_TIME, InvalidValue for an unknown one."""
    return _look_up(CHARGE_PERIODS, charge_period, "charge period")


def billing_period(charge_period: str, anchor: datetime, index: int) -> Period:
    """Compute the n-th billing period of a subscription.

    Args:
        charge_period: One of `CHARGE_PERIODS`. ONE_TIME has a single period without an end.
        anchor: When the first period starts.
        index: 0 for the first period.

    Raises:
        InvalidValue: If the charge period is unknown.
        ValueError: If there is no such period.
    """
    interval = recurrence(charge_period)
    if index < 0 or (interval is None and index > 0):
        raise ValueError(f"{charge_period} has no period {index}")
    if interval is None:
        return Period(_utc(anchor), None)
    return Period(interval.after(anchor, index), interval.after(anchor, index + 1))


def billing_period_at(charge_period: str, anchor: datetime, at: datetime) -> Period:
    """Find the billing period that an instant is in.

    The start of a period belongs to it, so the `end` of one period finds the next.

    Args:
        charge_period: One of `CHARGE_PERIODS`.
        anchor: When the first period starts.
        at: The instant, not before the anchor.

    Raises:
        InvalidValue: If the charge period is unknown.
        ValueError: If the instant is before the anchor.
    """
    return _period_at(recurrence(charge_period), anchor, at)


def by_calendar(reset_time: str | None) -> bool:
    """Tell whether a `resetTime` means the calendar; all but BEGINNING_OF_PERIOD means the subscription."""
    return reset_time == "BEGINNING_OF_PERIOD"


def usage_period_at(reset: str, subscription_start: datetime, at: datetime, *, calendar: bool) -> Period:
    """Find the period over which a meter counts, at an instant.

    Args:
        reset: One of `METER_RESETS`. NEVER counts from the start, without an end.
        subscription_start: When the subscription began.
        at: The instant, not before that.
        calendar: Whether days, weeks (from Monday), months, quarters and years are the calendar's, in UTC, so
            that the first period may have begun before the subscription. The calendar knows no 28 days: these
            and NEVER then count from the midnight before the start. Otherwise all count from the start.

    Returns:
        The period; its start tells it apart from the meter's other periods, its end is the `resetAt`.

    Raises:
        InvalidValue: If the reset is unknown.
        ValueError: If the instant is before the subscription.
    """
    interval = _look_up(METER_RESETS, reset, "meter reset")
    start = _utc(subscription_start)
    if _utc(at) < start:
        raise ValueError(f"{at} is before {start}")
    if calendar:
        gridless = interval is None or reset == "EVERY_28_DAYS"
        start = start.replace(hour=0, minute=0, second=0, microsecond=0) if gridless else _CALENDAR
    return _period_at(interval, start, at)


def license_expiry(issued: datetime, duration_unit: str, duration_value: int) -> datetime:
    """Compute when a licence expires: so many DAY, MONTH or YEAR after it was issued, by the calendar."""
    return Interval(duration_value, duration_unit).after(issued)


def carried_over(rollover: Mapping[str, object] | None, unused: int) -> int:
    """Compute how many unused units go into the next period.

    Args:
        rollover: `{enabled, percentage, limit}` as a price or an entitlement holds it; nothing is carried
            unless `enabled` is true. Without a percentage all of it is, without a limit there is no cap.
        unused: What is left when the period ends; an overdrawn meter carries nothing.

    Returns:
        Whole units, to be added to the next period's limit. Half a unit is not carried.

    Raises:
        InvalidValue: If the percentage is not within 0 to 100, or the limit is negative.
    """
    if not rollover or rollover.get("enabled") is not True:
        return 0
    percentage, limit = rollover.get("percentage"), rollover.get("limit")
    share = exact_decimal(100 if percentage is None else percentage)
    if not 0 <= share <= 100:
        raise InvalidValue(f"a rollover of {share} percent")
    units = max(unused, 0)
    cap = exact_decimal(units if limit is None else limit)
    if cap < 0:
        raise InvalidValue(f"a rollover limit of {cap}")
    return int(min(Fraction(share) * units / 100, Fraction(cap)))


def crossed_thresholds(
    alerts: Mapping[str, object] | None,
    before: Decimal | int,
    after: Decimal | int,
    limit: Decimal | int | None,
    alerted: Container[Decimal | int] = (),
) -> tuple[Decimal | int, ...]:
    """Find the usage alerts that a change of usage sets off.

    A threshold is crossed when usage was below it and now reaches it. Usage that is corrected downwards and
    rises again crosses it a second time, so the caller remembers what it has sent, period by period.

    Args:
        alerts: `{enabled, thresholds, thresholdType}` as a price or an entitlement holds it, either spelling.
        before: The usage so far in this period.
        after: The usage now.
        limit: The usage limit; None is unlimited, of which nothing is a percentage.
        alerted: The thresholds already sent in this period.

    Returns:
        The `threshold_value` of each alert, rising, each once; whole numbers as int.

    Raises:
        InvalidValue: If a threshold is no percentage from 1 to 100 (PERCENTAGE), no number from 1 (BALANCE),
            or the type is neither.
    """
    if not alerts or alerts.get("enabled") is not True:
        return ()
    kind = alerts.get("thresholdType") or alerts.get("threshold_type")
    if kind not in {"PERCENTAGE", "BALANCE"}:
        raise InvalidValue(f"unknown threshold type: {kind!r}")
    values = alerts.get("thresholds") or ()
    if not isinstance(values, list | tuple):
        raise InvalidValue("thresholds must be a list")
    crossed: list[Decimal | int] = []
    for value in sorted({exact_decimal(value) for value in values}):
        if value < 1 or (kind == "PERCENTAGE" and value > 100):
            raise InvalidValue(f"a {kind} threshold of {value}")
        if kind == "PERCENTAGE" and not limit:
            continue  # of an unlimited or empty allowance there is no part
        level = Fraction(value) if kind == "BALANCE" else Fraction(value) * Fraction(limit or 0) / 100
        if Fraction(before) < level <= Fraction(after) and value not in alerted:
            crossed.append(int(value) if value == int(value) else value)
    return tuple(crossed)


def _look_up(table: Mapping[str, Interval | None], name: str, kind: str) -> Interval | None:
    if name not in table:
        raise InvalidValue(f"unknown {kind}: {name!r}")
    return table[name]


def _period_at(interval: Interval | None, anchor: datetime, at: datetime) -> Period:
    if interval is None:
        if _utc(at) < _utc(anchor):
            raise ValueError(f"{at} is before {anchor}")
        return Period(_utc(anchor), None)
    index = interval.elapsed(anchor, at)
    return Period(interval.after(anchor, index), interval.after(anchor, index + 1))


def _utc(instant: datetime) -> datetime:
    if instant.tzinfo is None:
        raise ValueError(f"{instant} has no time zone")
    return instant.astimezone(UTC)
