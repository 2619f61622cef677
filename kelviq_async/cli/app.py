"""The commands by name; each is loaded when it is called."""

from __future__ import annotations

from typing import Final

from cyclopts import App

from .. import __version__

HERE: Final = "kelviq_async.cli"

app = App(
    name="kelviq-async",
    help="Kelviq from the command line: try it, emulate it, call it, ask it who may use what.",
    version=__version__,
    help_format="plaintext",
)
app.command(f"{HERE}.demo:demo", name="demo", help="Show the five steps of a subscription, on an emulator.")
app.command(f"{HERE}.emulator:emulator", name="emulator", help="Run Kelviq in a box on a local port.")
app.command(f"{HERE}.api:app", name="api", help="Call any operation of the API.")
app.command(f"{HERE}.check:app", name="check", help="Say who may use what: one customer, or a whole list.")
app.command(f"{HERE}.usage:app", name="usage", help="See what became of recorded usage, and settle it.")
