"""``kelviq-async api AREA OPERATION``: any operation of the API from the command line."""

from __future__ import annotations

from typing import Final

from cyclopts import App

from ..areas import AREAS, OPERATIONS

app = App(name="api", help="Call any operation of the API: the sandbox, unless --production is said.")

for _area in AREAS:
    # by name, so that help here loads no area, and help on an area loads only that one
    app.command(
        f"kelviq_async.cli.areas:{_area}",
        name=_area.replace("_", "-"),
        help=", ".join(OPERATIONS[_area]).replace("_", "-"),
    )

__all__: Final = ["app"]
