"""Answers in little memory: what customers of one plan have in common is kept once.

A row of an answer is taken apart into what its plan says (shared by everybody who has it) and what
is this customer's own: how much is used, how much is left, when the meter starts anew.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final
from weakref import WeakValueDictionary

import attrs

from ..api.entitlements import CustomerEntitlements, EntitlementEntry
from ..codec import kept_of
from .verdicts import is_about_nobody_knows_what

OWN: Final = ("current_usage", "remaining", "reset_at")


class Shape:
    """The rows of an answer without the numbers that are one customer's own.

    Attributes:
        rows: Rows with their own numbers taken out.
        verdicts: Feature -> granted (True), denied (False) or unreadable (None), over all its rows.
        absent: The verdict on a feature that no row names; None where a row may be about any.
    """

    __slots__ = ("__weakref__", "absent", "rows", "verdicts")

    def __init__(self, rows: tuple[EntitlementEntry, ...]) -> None:
        self.rows = rows
        self.verdicts: dict[str, bool | None] = {}
        self.absent: bool | None = None if any(map(is_about_nobody_knows_what, rows)) else False
        for row in rows:
            if not row.feature_id:
                continue
            before = self.verdicts.get(row.feature_id, False)
            if before is True or row.has_access is True:
                verdict: bool | None = True
            else:
                verdict = None if before is None or row.has_access is None else False
            self.verdicts[row.feature_id] = verdict


class Shapes:
    """All shapes in use; equal ones are one."""

    def __init__(self) -> None:
        self._shapes: WeakValueDictionary[Any, Shape] = WeakValueDictionary()
        self._times: dict[datetime, datetime] = {}

    def taken_apart(self, answer: CustomerEntitlements) -> tuple[Shape, tuple[Any, ...]]:
        """An answer as its shape and its customer's own numbers."""
        own: list[Any] = []
        keys: list[Any] = []
        for entry in answer.entitlements:
            own += (entry.current_usage, entry.remaining, self._time(entry.reset_at))
            keys.append(_key(entry))
        key = tuple(keys)
        shape = self._shapes.get(key)
        if shape is None:
            shape = Shape(tuple(_without_own(entry) for entry in answer.entitlements))
            self._shapes[key] = shape
        return shape, tuple(own)

    def _time(self, moment: datetime | None) -> datetime | None:
        """One object for equal moments: meters of many customers start anew together."""
        if moment is None:
            return None
        if len(self._times) > 10_000:
            self._times.clear()
        return self._times.setdefault(moment, moment)


def _key(entry: EntitlementEntry) -> tuple[Any, ...]:
    """What makes two rows the same but for their own numbers."""
    kept = kept_of(entry)
    odd = (repr(sorted(entry.extra.items())), repr(sorted(kept.items()))) if entry.extra or kept else None
    return (
        entry.feature_id,
        entry.has_access,
        entry.feature_type,
        entry.hard_limit,
        entry.usage_limit,
        odd,
    )


def _without_own(entry: EntitlementEntry) -> EntitlementEntry:
    missing: Any = None
    return attrs.evolve(entry, current_usage=None, remaining=None, reset_at=missing)


def put_together(customer_id: str, shape: Shape, own: tuple[Any, ...]) -> CustomerEntitlements:
    """The answer that was taken apart."""
    rows = [
        attrs.evolve(row, current_usage=own[at], remaining=own[at + 1], reset_at=own[at + 2])
        for row, at in zip(shape.rows, range(0, len(own), 3), strict=True)
    ]
    return CustomerEntitlements(customer_id=customer_id, entitlements=rows)


def earliest_reset(own: Iterable[Any]) -> datetime | None:
    """The first moment at which a meter starts anew, and the answer is old news."""
    return min((value for value in own if isinstance(value, datetime)), default=None)
