"""What several subscriptions grant of one feature, added up."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

import attrs

from ..api.entitlements import CustomerEntitlements, EntitlementEntry
from ..api.features import FeatureType
from ..codec import kept_of
from .recorded import Uncounted


@attrs.frozen
class Entitlement:
    """One feature of one customer, over all subscriptions that have to do with it.

    Attributes:
        feature_id: Your short name of the feature.
        items: What each subscription says, as Kelviq answered it.
        uncounted: Units of a meter that this process has recorded or reserved, and that the answer does
            not know of yet.
    """

    feature_id: str
    items: tuple[EntitlementEntry, ...]
    uncounted: int = 0

    @property
    def granted(self) -> bool | None:
        """Kelviq's verdict: True if any entry grants it; None if none does and one is unreadable."""
        verdicts = [item.has_access for item in self.items]
        if True in verdicts:
            return True
        return None if None in verdicts or not verdicts else False

    @property
    def feature_type(self) -> FeatureType | None:
        """Switch, value or meter."""
        return next((item.feature_type for item in self.items if item.feature_type), None)

    @property
    def unlimited(self) -> bool:
        """Whether an entry that grants a meter sets no limit."""
        return self.feature_type == FeatureType.METER and any(
            item.has_access is True
            and item.usage_limit is None
            and not _unreadable(item, "usage_limit")
            and not _unnamed_limit(item)
            for item in self.items
        )

    @property
    def limit(self) -> int | None:
        """Units of a meter that may be used in a period, all entries together; None for unlimited."""
        return None if self.unlimited else _total(self.items, "usage_limit")

    @property
    def used(self) -> int | None:
        """Units of a meter used in this period; None where Kelviq does not say."""
        return _total(self.items, "current_usage")

    @property
    def remaining(self) -> int | None:
        """Units of a meter left in this period; None for unlimited. Rollover can exceed limit - used.

        What this process has recorded and Kelviq has not counted yet is taken off.
        """
        total = None if self.unlimited else _total(self.items, "remaining")
        if total is None or not self.uncounted:
            return total
        return max(total - self.uncounted, min(total, 0))

    @property
    def value(self) -> int | None:
        """The value of a value feature: the largest among those that grant it."""
        return max(self.values, default=None)

    @property
    def values(self) -> tuple[int, ...]:
        """The values of all entries that grant it."""
        values = (item.usage_limit for item in self.items if item.has_access is True)
        return tuple(value for value in values if value is not None)

    @property
    def hard_limit(self) -> bool:
        """Whether every entry of a meter stops at its limit."""
        return bool(self.items) and all(item.hard_limit is True for item in self.items)

    @property
    def reset_at(self) -> datetime | None:
        """The next time one of the meters starts anew."""
        times: list[datetime | None] = [item.reset_at for item in self.items]
        return min((time for time in times if time is not None), default=None)


def _unreadable(item: EntitlementEntry, name: str) -> bool:
    """Whether Kelviq did send a value, and nobody can tell which."""
    kept = kept_of(item).get(name)
    return getattr(item, name) is None and kept is not None and kept.raw is not None


def _unnamed_limit(item: EntitlementEntry) -> bool:
    """Whether it says what is left of a limit and leaves the limit itself out, which is no null."""
    return item.remaining is not None and "usage_limit" not in kept_of(item)


def _total(items: Iterable[EntitlementEntry], name: str) -> int | None:
    """The sum of what the entries say; None where none says it, and where one cannot be read."""
    known: list[int] = []
    for item in items:
        if _unreadable(item, name):
            return None
        if getattr(item, name) is not None:
            known.append(getattr(item, name))
    return sum(known) if known else None


class Entitlements(Mapping[str, Entitlement]):
    """All that one customer may use: feature -> ``Entitlement``.

    Attributes:
        customer_id: Your own id of the customer.
        complete: False where an entry does not say in a readable way which feature it is about, so
            that nobody can tell whether an absent feature is absent.
    """

    __slots__ = ("_entries", "_uncounted", "complete", "customer_id")

    def __init__(
        self, customer_id: str, answer: CustomerEntitlements, uncounted: Uncounted | None = None
    ) -> None:
        self.customer_id = customer_id
        self._uncounted = uncounted
        grouped: dict[str, list[EntitlementEntry]] = {}
        for entry in answer.entitlements:
            if entry.feature_id:
                grouped.setdefault(entry.feature_id, []).append(entry)
        self._entries = {feature: tuple(entries) for feature, entries in grouped.items()}
        # where nothing is kept, nothing was unreadable
        self.complete = not any(
            kept_of(entry) and is_about_nobody_knows_what(entry) for entry in answer.entitlements
        )

    def __getitem__(self, feature_id: str) -> Entitlement:
        """The feature's entitlement.

        Raises:
            KeyError: The customer is not entitled to it at all.
        """
        found = Entitlement(feature_id, self._entries[feature_id])
        if self._uncounted is None or found.feature_type != FeatureType.METER:
            return found
        units = self._uncounted(feature_id, found.used)
        return Entitlement(feature_id, found.items, units) if units else found

    def __iter__(self) -> Iterator[str]:
        """Features by their short names."""
        return iter(self._entries)

    def __len__(self) -> int:
        """How many features there are."""
        return len(self._entries)

    def __repr__(self) -> str:
        """Which features."""
        return f"<Entitlements {', '.join(self._entries) or 'none'}>"


def is_about_nobody_knows_what(entry: EntitlementEntry) -> bool:
    """Whether an entry is no object, or names its feature with something that is no text."""
    return _unreadable(entry, "feature_id") or "" in kept_of(entry)  # what was no object is kept so
