"""How a reported number counts; apart from the reports, as journals need no more than this."""

from __future__ import annotations

from ..model import OpenEnum


class UsageBehaviour(OpenEnum):
    """Whether a value is the new total (SET) or comes on top (DELTA)."""

    SET = "SET"
    DELTA = "DELTA"
