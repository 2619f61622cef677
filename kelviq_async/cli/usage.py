"""``kelviq-async usage``: what became of recorded usage, and what to do about what nobody knows."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal, NoReturn, TypeVar

from cyclopts import App, Parameter
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from .. import ConfigError, Kelviq, KelviqError
from ..config import FOREVER
from ..usage import Journal, Ledger, Report, State, UsagePolicy
from ..usage.settling import Resolution, check_settling, settled
from .showing import as_json

WIDE: Final = 110
"""Columns of a terminal from which on a table has room for moments."""
VARIABLE: Final = "KELVIQ_JOURNAL"
_MORE: Final = f"""\
The journal is the path of a SqliteJournal or the redis:// address of a RedisJournal; by default what \
{VARIABLE} says. Only flush talks to Kelviq, with KELVIQ_SERVER_API_KEY and KELVIQ_ENV, KELVIQ_CORE_URL; the \
others look at the journal alone, also while programs use it.
"""
T = TypeVar("T")
Listed = Literal["open", "unresolved", "rejected", "in_flight", "delivered", "discarded"]
_OPEN: Final = (State.UNRESOLVED, State.REJECTED)
_CAMEL: Final = {State.IN_FLIGHT: "inFlight"}
_MEANS: Final = {
    State.PENDING: "not sent yet",
    State.IN_FLIGHT: "on their way",
    State.DELIVERED: "counted by Kelviq",
    State.REJECTED: "refused by Kelviq: usage list",
    State.UNRESOLVED: "counted or not, nobody knows: usage list",
    State.DISCARDED: "not to be counted",
}

JournalName = Annotated[str | None, Parameter(name=["--journal", "-j"], env_var=VARIABLE)]
Prefix = Annotated[str | None, Parameter(name="--prefix", env_var=f"{VARIABLE}_PREFIX")]
AsJson = Annotated[bool, Parameter(name="--json", negative="", show_default=False)]

app = App(name="usage", help_epilogue=_MORE, help_format="plaintext")


@app.command
def status(*, journal: JournalName = None, prefix: Prefix = None, json: AsJson = False) -> None:
    """Show how many records are where.

    Parameters
    ----------
    journal
        The journal.
    prefix
        What the keys of a journal in Redis begin with, where it was given a prefix of its own.
    json
        Print it as JSON.
    """
    ledger = _run(_looked(journal, prefix, lambda opened: opened.ledger()))
    _show_ledger(ledger, as_data=json)


@app.command(name="list")
def list_(
    *,
    state: Listed = "open",
    limit: int = 100,
    journal: JournalName = None,
    prefix: Prefix = None,
    json: AsJson = False,
) -> None:
    """List reports, the oldest first; by default those that wait for somebody to settle them.

    Parameters
    ----------
    state
        Which ones; open ones are unresolved or rejected.
    limit
        How many of each state at most.
    journal
        The journal.
    prefix
        What the keys of a journal in Redis begin with, where it was given a prefix of its own.
    json
        Print them as JSON.
    """
    states = _OPEN if state == "open" else (State(state),)
    if not 1 <= limit < 2**63:
        _fail("--limit must be at least 1, and a number that a database knows")

    async def listed(opened: Journal) -> list[Report]:
        return [report for each in states for report in await opened.reports(each, limit)]

    reports = _run(_looked(journal, prefix, listed))
    if json:
        print(as_json([_data(report) for report in reports]))
    elif reports:
        _show_reports(reports)
        found = Counter(report.state for report in reports)
        if limit in found.values():
            print(f"only the oldest {limit:,} of each state are shown: --limit", file=sys.stderr)
    else:
        Console().print("Nothing.", style="dim")


@app.command
def settle(
    id: str,
    resolution: Resolution,
    /,
    *,
    # in the docstring its name would begin a section of notes
    note: Annotated[str, Parameter(help="Why, for whoever looks later.", show_default=False)] = "",
    journal: JournalName = None,
    prefix: Prefix = None,
    json: AsJson = False,
) -> None:
    """Say what is to become of an unresolved or rejected report, with all its records.

    Parameters
    ----------
    id
        The report's id, or that of one of its records.
    resolution
        delivered: Kelviq has counted it. resend: it has not, send it again. discard: it is not to count.
    journal
        The journal.
    prefix
        What the keys of a journal in Redis begin with, where it was given a prefix of its own.
    json
        Print the report as JSON.
    """

    async def done(opened: Journal) -> Report:
        return await settled(opened, id, resolution, note)

    try:
        check_settling(id, resolution, note)
    except KelviqError as error:
        _fail(str(error))
    report = _run(_looked(journal, prefix, done))
    if json:
        print(as_json(_data(report)))
        return
    what = f"{report.records} record{'s' if report.records != 1 else ''} of {_plain(report.feature_id)}"
    print(f"{report.id}: {what}, {report.behaviour.value} {report.value}, now {report.state.value}")


@app.command
def flush(
    *,
    deadline: float = 30.0,
    account: str | None = None,
    production: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    journal: JournalName = None,
    prefix: Prefix = None,
    json: AsJson = False,
) -> None:
    """Send what is pending. Ends with 0 if nothing is pending or in flight any more, else with 1.

    Parameters
    ----------
    deadline
        Seconds it may take.
    account
        The account the journal was made for, where its clients name one.
    production
        Talk to production; otherwise it is KELVIQ_ENV, or the sandbox.
    journal
        The journal.
    prefix
        What the keys of a journal in Redis begin with, where it was given a prefix of its own.
    json
        Print the ledger as JSON.
    """
    environment: dict[str, Any] = {"environment": "production"} if production else {}
    if not 0 <= deadline <= FOREVER:
        _fail(f"--deadline must be a number of seconds from 0 to {FOREVER:g}")

    async def flushed() -> Ledger:
        opened = journal_of(journal, prefix)
        await _there(opened)
        settings = {"account": account, "journal": opened, "usage_policy": UsagePolicy(shutdown=0)}
        async with Kelviq.from_env(**settings, **environment) as kelviq:
            await kelviq.usage.flush(deadline)
        # only now it is known what became of what was on its way when time was up
        return await _looked(journal, prefix, lambda opened: opened.ledger())

    ledger = _run(flushed())
    _show_ledger(ledger, as_data=json)
    raise SystemExit(1 if ledger.pending or ledger.in_flight else 0)


def journal_of(name: str | None, prefix: str | None = None) -> Journal:
    """The journal that a path or an address names.

    Args:
        name: The path or address.
        prefix: What its keys begin with, if it is one in Redis and not under the usual ones.

    Raises:
        ConfigError: There is no such journal.
    """
    if not name:
        raise ConfigError(f"which journal? say --journal, or set {VARIABLE}")
    if "://" in name:
        from ..usage import RedisJournal  # noqa: PLC0415  redis is an extra

        return RedisJournal(name) if prefix is None else RedisJournal(name, prefix=prefix)
    from ..usage import SqliteJournal  # noqa: PLC0415  who uses Redis need not have SQLite

    return SqliteJournal(name)


async def _there(journal: Journal) -> None:
    """Open a journal that exists and close it again, so that a mistyped name makes no new one."""
    try:
        await journal.open(None)
    finally:
        await journal.close()


async def _looked(name: str | None, prefix: str | None, look: Callable[[Journal], Awaitable[T]]) -> T:
    journal = journal_of(name, prefix)
    try:
        await journal.open(None)
        return await look(journal)
    finally:
        await journal.close()


def _run(work: Any) -> Any:
    try:
        return asyncio.run(work)
    except KelviqError as error:
        _fail(str(error))


def _fail(message: str) -> NoReturn:
    print(message, file=sys.stderr)
    raise SystemExit(2)


def _show_ledger(ledger: Ledger, *, as_data: bool) -> None:
    oldest = ledger.oldest_pending
    if as_data:
        data: dict[str, Any] = {"accepted": ledger.accepted}
        data |= {_CAMEL.get(state, state.value): getattr(ledger, state.value) for state in State}
        data |= {"late": ledger.late, "skipped": ledger.skipped, "balanced": ledger.balanced}
        print(as_json({**data, "oldestPending": None if oldest is None else _iso(oldest.timestamp())}))
        return
    console = Console()
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(justify="right")
    table.add_column(style="dim")
    table.add_row("accepted", f"{ledger.accepted:,}", "records with a receipt")
    for state in State:
        count = getattr(ledger, state.value)
        means = _MEANS[state]
        if state is State.PENDING and oldest is not None:
            means += f", the oldest for {_span(datetime.now(UTC).timestamp() - oldest.timestamp())}"
        style = "yellow" if count and state in _OPEN else ""
        table.add_row(state.value.replace("_", " "), f"{count:,}", means, style=style)
    if ledger.late:
        table.add_row("late", f"{ledger.late:,}", "of these: their meter had started anew", style="yellow")
    if ledger.skipped:
        means = "pieces that a crash left unreadable, mostly of what nobody had a receipt for"
        table.add_row("skipped", f"{ledger.skipped:,}", means, style="yellow")
    console.print(table, highlight=False)
    if not ledger.balanced:
        console.print("the journal does not add up: please report this", style="bold red")


def _show_reports(reports: list[Report]) -> None:
    console = Console()
    wide = console.width >= WIDE
    # without lines between them, so that ids and long numbers stand side by side in 80 columns
    table = Table(header_style="bold", box=None, pad_edge=False, padding=(0, 2 if wide else 1, 0, 0))
    table.add_column("id", no_wrap=True)
    table.add_column("state", no_wrap=True)
    for name in ("customer", "feature"):
        table.add_column(name, overflow="fold", min_width=len("customer"))
    for name in ("units", "records"):
        table.add_column(name, justify="right", no_wrap=True)
    if wide:
        table.add_column("sent (UTC)", no_wrap=True)
    for report in reports:
        units = f"{report.value:+,}" if report.behaviour.value == "DELTA" else f"= {report.value:,}"
        feature = f"{report.feature_id} ({report.resource_id})" if report.resource_id else report.feature_id
        state = report.state.value.replace("_", " ")
        more = (f"{report.sent_at:%Y-%m-%d %H:%M:%S}",) if wide else ()
        row = (report.id, state, report.customer_id, feature, units, f"{report.records:,}", *more)
        table.add_row(*(escape(_plain(each)) for each in row))
    console.print(table, highlight=False)
    for report in reports:
        if why := _why(report):
            console.print(f"{report.id}  {escape(_plain(why))}", highlight=False, soft_wrap=True)
    if any(report.state in _OPEN for report in reports):
        console.print("settle one with: kelviq-async usage settle ID delivered|resend|discard", style="dim")


def _plain(text: str) -> str:
    """A text that does to a terminal what it looks like: it may come from customers, or from Kelviq."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def _why(report: Report) -> str:
    return "; ".join(filter(None, (report.reason, report.note)))


def _data(report: Report) -> dict[str, Any]:
    return {
        "id": report.id,
        "state": report.state.value,
        "customerId": report.customer_id,
        "featureId": report.feature_id,
        "resourceId": report.resource_id,
        "behaviour": report.behaviour.value,
        "value": report.value,
        "records": report.records,
        "recordedFrom": _iso(report.first_at),
        "recordedTo": _iso(report.last_at),
        "sentAt": _iso(report.claimed_at),
        "endedAt": None if report.ended_at is None else _iso(report.ended_at),
        "late": report.late,
        "reason": report.reason,
        "note": report.note,
    }


def _iso(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat().replace("+00:00", "Z")


def _span(seconds: float) -> str:
    """A time span in its largest unit."""
    for name, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {name}"
    return f"{max(0.0, seconds):.0f} s"
