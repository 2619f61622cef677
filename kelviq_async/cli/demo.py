"""The demo: the five steps of a subscription, with real calls through the SDK."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Final, NoReturn

from cyclopts import Parameter
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from .. import ChargePeriod, CreateCustomer, Decision, Kelviq
from ..emulator import World
from ..emulator.deliveries import Received
from .catalog import stock
from .stopping import on_signals

CUSTOMERS: Final = 1000
FEATURES: Final = ("export-data", "max-projects", "team-size")
PAGE: Final = "https://yourapp.com/success"


def demo(
    *,
    serve: Annotated[bool, Parameter(negative="")] = False,
    port: int = 0,
) -> None:
    """Show the five steps of a subscription, with real calls through the SDK.

    Parameters
    ----------
    serve
        Talk to an emulator on a local port, and leave it running with a checkout to pay by hand.
    port
        The port; any free one if not given.
    """
    console = Console()
    try:
        asyncio.run(_served(console, port) if serve else _in_process(console))
    except ValueError as error:
        _fail(str(error))
    except OSError as error:
        _fail(f"cannot listen on port {port}: {os.strerror(error.errno) if error.errno else error}")


def _fail(reason: str) -> NoReturn:
    Console(stderr=True).print(reason, style="red", highlight=False)
    raise SystemExit(2)


async def _in_process(console: Console) -> None:
    world = World()
    console.print("[bold]Kelviq in five steps[/], on an emulator inside this process\n")
    async with Kelviq.local(world) as kelviq:
        await _story(console, kelviq, world)
    console.print("\nNow with a checkout page to pay by hand: [bold]kelviq-async demo --serve[/]")


async def _served(console: Console, port: int) -> None:
    over, paid = on_signals(), asyncio.Event()
    world = World()
    async with _client_of(world, port) as (kelviq, url):
        console.print(f"[bold]Kelviq in five steps[/], on an emulator at {url}\n")
        await _story(console, kelviq, world)
        link = await kelviq.checkout.create_session(
            "pro", ChargePeriod.MONTHLY, f"{url}/?q=you", customer_id="you", cancel_url=f"{url}/?q=you"
        )

        def told(received: Received) -> int:
            if received.event["data"]["object"]["id"] == link.checkout_session_id:
                paid.set()
            return 200

        world.webhooks.capture(["checkout.completed"], answer=told)
        console.print("\n[bold]Your turn.[/] Pay this checkout by hand, and watch the dashboard:\n")
        console.print(f"checkout:  {link.checkout_url}", soft_wrap=True, highlight=False)
        console.print(f"dashboard: {url}/", soft_wrap=True, highlight=False)
        console.print("\nCtrl-C ends it.", style="dim")
        if await _first(paid, over) is paid:
            decision = await kelviq.entitlements.check("you", "export-data")
            console.print(f"\n[green]✓ Paid.[/] May you export data? {_said(decision.allowed).capitalize()}.")
        await over.wait()
    console.print("\nStopped.")


async def _first(*events: asyncio.Event) -> asyncio.Event:
    """The one of some events that is set first."""
    tasks = {asyncio.create_task(event.wait()): event for event in events}
    done, rest = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in rest:
        task.cancel()
    return next(event for task, event in tasks.items() if task in done)


@asynccontextmanager
async def _client_of(world: World, port: int) -> AsyncIterator[tuple[Kelviq, str]]:
    from ..emulator import serve  # noqa: PLC0415  aiohttp's server is only needed here

    async with (
        serve(world, port) as server,
        Kelviq(world.server_key, world.client_key, core_url=server.url, environment="sandbox") as kelviq,
    ):
        yield kelviq, server.url


async def _story(console: Console, kelviq: Kelviq, world: World) -> None:
    """The five steps; what is called is said at once, and what came of it in the end."""
    started = time.perf_counter()
    results: list[tuple[str, str]] = []

    def done(step: str, calls: str, result: str) -> None:
        console.print(f"[green]✓[/] kelviq.{calls}", highlight=False)
        results.append((step, result))

    goods = await stock(kelviq)
    names = " and ".join(plan.name for plan in goods.plans)
    sold = f"{goods.product.name} with {len(goods.features)} features, sold as {names}"
    done("Catalogue", "products.create, features.create, plans.create, plans.publish", sold)

    customer = await kelviq.customers.create("user-123", name="John Doe", email="john@example.com")
    done("1 Customer", 'customers.create("user-123", …)', f"{customer.customer_id}, {customer.name}")

    link = await kelviq.checkout.create_session("pro", ChargePeriod.MONTHLY, PAGE, customer_id="user-123")
    world.pay(link.checkout_session_id)
    done("2 Checkout", 'checkout.create_session("pro", …)', "paid with the test card 4242 4242 4242 4242")

    page = await kelviq.subscriptions.list(customer_id="user-123")
    mine = page.results[0]
    said = f"{mine.plan.name}, {mine.status}, {mine.amount} {mine.currency.upper()} every {mine.recurrence}"
    done("3 Subscription", 'subscriptions.list(customer_id="user-123")', said)

    update = await kelviq.subscriptions.update(mine.id, "enterprise", ChargePeriod.MONTHLY)
    current = await kelviq.subscriptions.current("user-123")
    plan = current.plan.name if current else "nothing"
    same = "the same id" if update.subscription_id == mine.id else "a new subscription id"
    done("4 Update", 'subscriptions.update(…, "enterprise", …)', f"{plan}, {same}")

    decisions = [await kelviq.entitlements.check("user-123", feature) for feature in FEATURES]
    said = ", ".join(f"{d.feature_id} {_said(d.allowed)}" for d in decisions)
    done("5 Entitlements", 'entitlements.check("user-123", …)', said)

    allowed, seconds = await _batch(console, kelviq, world)
    said = f"{allowed} of {CUSTOMERS:,} customers may export data, asked in {seconds:.2f} s"
    done("Batch", "entitlements.check_many(…)", said)
    _show(console, results, decisions)
    took = time.perf_counter() - started
    said = f"{len(world.requests):,} requests in {took:.1f} s; nothing left this machine."
    console.print(said, highlight=False)


async def _batch(console: Console, kelviq: Kelviq, world: World) -> tuple[int, float]:
    """Ask for 1,000 customers, every other of whom has bought something."""
    ids = [f"customer-{number:04}" for number in range(CUSTOMERS)]
    async for outcome in kelviq.send_many(CreateCustomer(each) for each in ids):
        if outcome.error is not None:
            raise outcome.error
    for each in ids[::2]:
        link = await kelviq.checkout.create_session("pro", ChargePeriod.MONTHLY, PAGE, customer_id=each)
        world.pay(link.checkout_session_id)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    started, allowed = time.perf_counter(), 0
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("May they export data?", total=CUSTOMERS)
        async for decision in kelviq.entitlements.check_many((each, "export-data") for each in ids):
            allowed += bool(decision)
            progress.advance(task)
    return allowed, time.perf_counter() - started


def _show(console: Console, results: list[tuple[str, str]], decisions: list[Decision]) -> None:
    steps = Table(title="\nWhat happened", title_justify="left", title_style="bold", header_style="bold")
    steps.add_column("Step", no_wrap=True)
    steps.add_column("Result", overflow="fold")
    for row in results:
        steps.add_row(*row)
    table = Table(
        title="\nWhat user-123 may use", title_justify="left", title_style="bold", header_style="bold"
    )
    for title in ("Feature", "Type", "Allowed", "Limit or value", "Used", "Left"):
        table.add_column(title)
    for each in decisions:
        granted = each.entitlement
        cells: tuple[object, ...] = (None,) * 4
        if granted is not None:
            cells = granted.feature_type, granted.limit, granted.used, granted.remaining
        kind, *numbers = ("-" if cell is None else str(cell) for cell in cells)
        table.add_row(each.feature_id, kind, _said(each.allowed), *numbers)
    console.print(steps, table)


def _said(allowed: bool) -> str:
    return "yes" if allowed else "no"
