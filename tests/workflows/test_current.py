"""Which subscription counts."""

from __future__ import annotations

from typing import Any

import pytest

import kelviq_async as k


class Listing:
    """A transport that answers every list with the same rows."""

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self.rows = rows

    async def send(self, request: k.WireRequest) -> k.WireAnswer:
        """One page."""
        request.sending = True
        body = {"count": len(self.rows), "next": None, "previous": None, "results": self.rows}
        return k.WireAnswer(200, {}, k.codec.encode(body))

    async def close(self) -> None:
        """Nothing to close."""


def row(name: str, status: str, start: str = "2026-01-01", billing: str = "SUBSCRIPTION") -> dict[str, Any]:
    """A row of the subscriptions list."""
    return {"id": name, "status": status, "startDate": start, "billingType": billing}


@pytest.mark.parametrize(
    ("rows", "wanted"),
    [
        ([], None),
        ([row("a", "canceled"), row("b", "incomplete"), row("c", "superseded"), row("d", "expired")], None),
        ([row("a", "past_due"), row("b", "active"), row("c", "trialing")], "b"),
        ([row("a", "past_due"), row("c", "trialing")], "c"),
        ([row("a", "active", "2026-01-01"), row("b", "active", "2026-02-01")], "b"),
        ([row("a", "active", "2026-03-01", "ONE_TIME"), row("b", "past_due")], "b"),
        ([row("a", "active", "2026-03-01", "ONE_TIME")], "a"),
        ([row("a", "of a kind nobody knew yet")], None),
        ([row("a", "active", "soon"), row("b", "active")], "b"),
        ([{"id": "a"}, row("b", "active")], "b"),
    ],
)
async def test_the_one_that_counts(rows: list[dict[str, Any]], wanted: str | None) -> None:
    async with k.Kelviq("key", transport=Listing(rows)) as kelviq:
        found = await kelviq.subscriptions.current("ada")
    assert (found.id if found else None) == wanted
