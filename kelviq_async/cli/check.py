"""``kelviq-async check``: may this customer use this feature, and may all of these?"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Annotated, Any, Final, Literal, NoReturn

from cyclopts import App, Parameter
from rich.console import Console
from rich.table import Table
from rich.text import Text

from .. import Decision, Kelviq, KelviqError, Reason
from .showing import as_json, cell
from .verdicts import UNLIMITED, remaining, value

_USAGE: Final = """\
Usage: kelviq-async check CUSTOMER FEATURE [--json]
       kelviq-async check --input customers.csv --features a,b --output out.csv
"""
_MORE: Final = """\
One customer: ends with 0 if they may, 1 if they may not, and 2 if nobody knows.

A list: from CSV or JSON lines to either. The output has the rows of the input in their order, with a column \
for each feature (true, false, or empty where nobody knows) and a column "error". Ends with 0 if every row \
is decided, whatever the answers; 2 if some rows have an error or the run failed; 130 if Ctrl-C stopped it.

Until all of it is there, the output is called out.csv.part. After Ctrl-C, a deadline or a crash, the same \
command goes on behind the last whole row; with another input, other features \
or another account it refuses.

Keys and addresses come from KELVIQ_SERVER_API_KEY or KELVIQ_CLIENT_API_KEY, KELVIQ_ENV, KELVIQ_CORE_URL \
and KELVIQ_EDGE_URL.
"""
_WHY: Final = {
    Reason.GRANTED: "Kelviq grants it",
    Reason.NOT_ENTITLED: "nothing they have bought has to do with it",
    Reason.UNKNOWN_CUSTOMER: "Kelviq does not know this customer",
}

app = App(name="check", usage=_USAGE, help_epilogue=_MORE, help_format="plaintext")


@app.default
def check(
    customer: str | None = None,
    feature: str | None = None,
    /,
    *,
    json: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    input: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None,
    features: str | None = None,
    output: Annotated[str, Parameter(allow_leading_hyphen=True)] = "-",
    format: Literal["csv", "jsonl"] | None = None,
    column: str | None = None,
    no_header: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    details: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    concurrency: int = 50,
    deadline: float | None = None,
    force: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    restart: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    production: Annotated[bool, Parameter(negative="", show_default=False)] = False,
) -> None:
    """Say whether a customer may use a feature, and why; or ask about a whole list of customers.

    Parameters
    ----------
    customer
        Your own id of the customer.
    feature
        Your short name of the feature.
    json
        Print the decision as JSON.
    input
        List of customers; - is standard input.
    features
        Features to ask about, joined by commas.
    output
        Where to write; - is standard output.
    format
        Format of what has no name that ends in .csv, .jsonl or .ndjson; else what the input looks like.
    column
        Column of the customer ids; else customer_id, customerId or id, else the first one.
    no_header
        The first line of the CSV is a customer too.
    details
        Also write <feature>_reason, <feature>_remaining and <feature>_value.
    concurrency
        How many customers to ask about at once.
    deadline
        Seconds after which to stop, so that a later run can go on.
    force
        Replace an output that is there, once the new one is whole.
    restart
        Drop what an earlier run has left half done, and start over.
    production
        Talk to production; otherwise it is KELVIQ_ENV, or the sandbox.
    """
    if input is None:
        if customer is None or feature is None:
            _fail("say CUSTOMER FEATURE, or --input FILE --features a,b; --help tells more")
        if features is not None or output != "-":
            _fail("--features and --output go with --input")
        _single(customer, feature, as_data=json, production=production)
    if customer is not None or json:
        _fail("--input goes without CUSTOMER, FEATURE and --json; --format jsonl writes JSON lines")
    if features is None:
        _fail("--input needs --features a,b")
    from .lists import Job, run  # noqa: PLC0415  a single check needs none of it

    run(
        Job(
            input=input,
            output=output,
            features=[each.strip() for each in features.split(",") if each.strip()],
            column=column,
            format=format,
            header=not no_header,
            details=details,
            concurrency=concurrency,
            deadline=deadline,
            force=force,
            restart=restart,
            production=production,
        )
    )


def _single(customer: str, feature: str, *, as_data: bool, production: bool) -> NoReturn:
    try:
        decision = asyncio.run(_decided(customer, feature, production=production))
    except KelviqError as error:
        _fail(str(error))
    try:
        if as_data:
            print(as_json(_data(decision)), flush=True)
        else:
            _show(decision)
    except BrokenPipeError:  # nobody reads on
        raise
    except OSError as error:
        os.dup2(
            os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno()
        )  # what is left would be tried again at the end, and change how it ends
        _fail(f"standard output cannot be written: {error.strerror or error}")
    raise SystemExit(0 if decision.allowed else 1)


async def _decided(customer: str, feature: str, *, production: bool) -> Decision:
    settings = {"environment": "production"} if production else {}
    async with Kelviq.from_env(cache=None, **settings) as kelviq:
        return await kelviq.entitlements.check(customer, feature)


def _data(decision: Decision) -> dict[str, Any]:
    granted = decision.entitlement
    resets = None if granted is None else granted.reset_at
    return {
        "customer_id": decision.customer_id,
        "feature_id": decision.feature_id,
        "allowed": decision.allowed,
        "reason": decision.reason.value,
        "source": decision.source.value,
        "feature_type": None if granted is None else granted.feature_type,
        "unlimited": None if granted is None else granted.unlimited,
        "limit": None if granted is None or value(granted) is not None else granted.limit,
        "used": None if granted is None else granted.used,
        "remaining": None if granted is None else granted.remaining,
        "value": value(granted),
        "reset_at": None if resets is None else resets.isoformat(),
    }


def _show(decision: Decision) -> None:
    console = Console()
    verdict = ("yes", "green") if decision.allowed else ("no", "red")
    may = "may" if decision.allowed else "may not"
    said = f" {decision.customer_id} {may} use {decision.feature_id}: {_why(decision)}"
    console.print(Text.assemble(verdict, said), soft_wrap=True)
    rows: dict[str, Any] = {"reason": decision.reason.value, "source": decision.source.value}
    granted = decision.entitlement
    if granted is not None:
        rows["type"] = granted.feature_type
        rows["value"] = value(granted)
        if rows["value"] is None:
            hard = " (hard)" if granted.hard_limit else ""
            rows["limit"] = UNLIMITED if granted.unlimited else granted.limit
            rows["limit"] = rows["limit"] and f"{rows['limit']}{hard}"
            rows["used"] = granted.used
            rows["remaining"] = remaining(granted)
        rows["resets"] = granted.reset_at and f"{granted.reset_at:%Y-%m-%d %H:%M} UTC"
        rows["granted by"] = len(granted.items) > 1 and f"{len(granted.items)} subscriptions together"
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, each in rows.items():
        if each is not None and each is not False:
            table.add_row(name, cell(each))
    console.print(table, highlight=False)


def _why(decision: Decision) -> str:
    granted = decision.entitlement
    if decision.reason is Reason.DENIED:
        used_up = granted is not None and granted.remaining is not None and granted.remaining <= 0
        return "it is used up" if used_up else "Kelviq says no"
    return _WHY.get(decision.reason, decision.reason.value)


def _fail(reason: str) -> NoReturn:
    if sys.stderr is not None:  # print takes None for the standard output
        print(reason, file=sys.stderr)
    raise SystemExit(2)
