"""Units held against a limit while work runs, and recorded when it is done."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from ..api.features import FeatureType
from ..checks import invalid
from ..errors import NotEntitled, UnreadableAnswer
from .checker import Checker
from .decisions import Decision
from .recorded import Recorded


class Reservation:
    """Units held for work that goes on.

    Attributes:
        customer_id: Your own id of the customer.
        feature_id: Your short name of the feature.
        units: How many are held.
        used: How many are recorded at the end; all of them, unless ``use`` says otherwise.
    """

    def __init__(self, customer_id: str, feature_id: str, units: int) -> None:
        self.customer_id = customer_id
        self.feature_id = feature_id
        self.units = units
        self.used = units

    def use(self, units: int) -> None:
        """Say how many units the work has really taken.

        Args:
            units: Whole units, from 0 to what is held.

        Raises:
            InvalidRequest: More than is held, or no whole number.
        """
        if type(units) is not int or not 0 <= units <= self.units:
            raise invalid("units", f"must be a whole number from 0 to {self.units}, which is what is held")
        self.used = units

    def __repr__(self) -> str:
        """How many units of what."""
        return f"<Reservation {self.units} of {self.feature_id}>"


@asynccontextmanager
async def reserved(
    checker: Checker, usage: Any, customer_id: str, feature_id: str, units: int
) -> AsyncIterator[Reservation]:
    """See ``EntitlementChecks.reserve``."""
    if type(units) is not int or units < 1:
        raise invalid("units", "must be a whole number of at least 1")
    await usage.ledger()  # fails where there is no journal, and says which there are
    recorded: Recorded = checker.client.recorder.uncounted
    decision = await checker.client.entitlements.check(customer_id, feature_id)
    if short_of(decision, units) is not None:
        # what is kept may be old, and a wrong no loses a customer
        answered = await Checker(checker.client.with_options(cache=False), None).asked(customer_id)
        decision = checker.decided(customer_id, feature_id, answered)
    # nothing is awaited from here until the units are held
    problem = short_of(decision, units)
    if problem is not None:
        raise NotEntitled(problem)
    recorded.hold(customer_id, feature_id, units)
    held = units
    try:
        reservation = Reservation(customer_id, feature_id, units)
        yield reservation
        if reservation.used:
            recording = usage._record_held(customer_id, feature_id, reservation.used)  # noqa: SLF001  the other half of this
            # the work is done: who is cancelled now has used the units all the same
            cancelled = await _to_its_end(recording)
            held -= reservation.used
            if cancelled is not None:
                raise cancelled
    finally:
        recorded.hold(customer_id, feature_id, -held)


async def _to_its_end(work: Coroutine[Any, Any, object]) -> asyncio.CancelledError | None:
    """Wait until something short has ended, also if that is cancelled meanwhile.

    Returns:
        The cancellation, which is to be raised when all is in order.
    """
    task = asyncio.get_running_loop().create_task(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    try:
        task.result()
    except Exception as error:
        if cancelled is not None:
            raise cancelled from error
        raise
    return cancelled


def short_of(decision: Decision, units: int) -> str | None:
    """Why units cannot be had, or None where they can.

    Raises:
        UnreadableAnswer: The limit is hard, and what remains cannot be read.
    """
    if not decision.allowed:
        return f"{decision.feature_id} is not allowed: {decision.reason.value}"
    found = decision.entitlement
    if found is None or found.feature_type != FeatureType.METER or found.unlimited or not found.hard_limit:
        return None
    remaining = found.remaining
    if remaining is None:
        raise UnreadableAnswer(f"what remains of {decision.feature_id} cannot be read")
    if remaining >= units:
        return None
    return f"{decision.feature_id} is not allowed: {units} units are needed, and {remaining} remain"
