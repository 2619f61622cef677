"""Saying what became of usage whose fate nobody knew, or that Kelviq refused."""

from __future__ import annotations

from typing import Final, Literal, get_args

from ..api.behaviours import UsageBehaviour
from ..checks import identifier_problem, invalid
from .journal import Journal
from .records import Report, State

Resolution = Literal["delivered", "resend", "discard"]

_LEADS_TO: Final[dict[str, State]] = {
    "delivered": State.DELIVERED,
    "resend": State.PENDING,
    "discard": State.DISCARDED,
}
_FROM: Final = (State.UNRESOLVED, State.REJECTED)


def check_settling(id: object, resolution: object, note: object) -> None:
    """Refuse what cannot be right, before the journal is asked.

    Raises:
        InvalidRequest: ``fields`` names the argument.
    """
    problem = identifier_problem(id)
    if problem:
        raise invalid("id", problem)
    if resolution not in get_args(Resolution):
        raise invalid("resolution", f"must be one of {', '.join(get_args(Resolution))}")
    if not isinstance(note, str):
        raise invalid("note", "must be a text")


async def settled(journal: Journal, id: str, resolution: Resolution, note: str) -> Report:
    """Settle a report; see ``usage.settle``.

    Raises:
        InvalidRequest: It cannot be settled so.
        JournalError: The journal failed.
    """
    check_settling(id, resolution, note)
    state = _LEADS_TO[resolution]
    report = await journal.find(id)
    if report is None:
        raise invalid("id", "names no report, and no record that was sent: what is pending needs no settling")
    if report.state is state:
        return report  # somebody else has settled it the same way
    resend = state is State.PENDING
    if resend and report.behaviour == UsageBehaviour.SET and await journal.overtaken(report.id):
        raise invalid("id", "is a total, and something later was sent: deliver or discard it")
    # who sends late usage again means it, so that it is not held once more
    late = False if resend and report.late else None
    moved = await journal.move(
        report.id, state, reason=report.reason, note=note or None, late=late, among=_FROM
    )
    if moved is not None:
        return moved
    # somebody else may have settled it in this very moment
    now = await journal.find(id) if report.state in _FROM else report
    if now is not None and now.state is state:
        return now
    where = "pending again" if now is None else now.state.value
    raise invalid("id", f"is {where}: only what is unresolved or rejected is settled")
