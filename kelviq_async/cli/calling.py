"""One call from the command line: arguments in, a table or JSON out."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final, NoReturn, get_args, get_origin
from urllib.parse import urlencode

from rich.console import Console
from rich.table import Table

from .. import (
    ApiError,
    CodecError,
    ConfigError,
    InvalidRequest,
    Kelviq,
    KelviqError,
    Key,
    Model,
    OpenEnum,
    Operation,
    Page,
    Request,
    codec,
)

FLAGS: Final = ("json", "dry_run", "production", "all")
COLUMNS: Final = 6
"""As many columns as can be read side by side."""


def call(operation: Operation, arguments: dict[str, Any]) -> None:
    """Do what was asked, and end with 0, 1 for Kelviq's no, 2 for a mistake of ours."""
    flags = {name: bool(arguments.pop(name, False)) for name in FLAGS}
    try:
        request = request_of(operation, arguments)
        request.check()
        if flags["dry_run"]:
            print(described(request, production=flags["production"]))
            return
        answer = asyncio.run(_answered(request, production=flags["production"], every=flags["all"]))
    except (InvalidRequest, ConfigError) as error:
        _fail(2, error)
    except ApiError as error:
        _fail(1, error)
    except KelviqError as error:
        _fail(2, error)
    if flags["json"]:
        data = codec.dump(answer)
        print(json.dumps(data, indent=2, ensure_ascii=False, default=_plain))
    else:
        show(answer)


def request_of(operation: Operation, arguments: Mapping[str, Any]) -> Request[Any]:
    """The request that the command's arguments spell.

    Raises:
        InvalidRequest: One of them cannot be read; ``fields`` names it.
    """
    given = {name: value for name, value in arguments.items() if value is not None}
    body: dict[str, Any] = {}
    for each in operation.body_fields:
        if each.name in given:
            body[each.name] = _structured(each, given[each.name])
    texts = {name: str(value) for name, value in given.items()}
    path = {name: texts[name] for name in operation.path_names if name in texts}
    query = {each.name: texts[each.name] for each in operation.query_fields if each.name in texts}
    request = operation.parse(path, query, body)
    for each in operation.fields:
        value = getattr(request, each.name)
        if isinstance(value, OpenEnum) and not value.known:
            known = ", ".join(type(value)._value2member_map_)
            raise InvalidRequest(
                f"{each.name} must be one of {known}", fields={each.name: [f"one of {known}"]}
            )
    return request


def _structured(each: codec.Field, text: Any) -> Any:
    item = get_args(each.hint)[0] if get_args(each.hint) and get_origin(each.hint) is not dict else None
    if item is str:
        return [part for part in str(text).split(",") if part]
    nested = isinstance(each.hint, type) and issubclass(each.hint, Model)
    if get_origin(each.hint) is dict or nested or (isinstance(item, type) and issubclass(item, Model)):
        try:
            return codec.decode(str(text).encode())
        except CodecError:
            raise InvalidRequest(f"{each.name} must be JSON", fields={each.name: ["must be JSON"]}) from None
    return text


def described(request: Request[Any], *, production: bool) -> str:
    """The HTTP request that would be sent, without the key."""
    operation = request.operation
    wire = operation.render(request)
    host = Kelviq("unused", **_settings(production=production)).config.url(operation.host)
    query = f"?{urlencode(wire.query)}" if wire.query else ""
    lines = [f"{operation.method} {host}{wire.path}{query}"]
    if operation.keys:
        header = (
            "X-Kelviq-Partner-Key: ***" if operation.keys[0] is Key.PARTNER else "Authorization: Bearer ***"
        )
        lines.append(f"{header}  ({' or '.join(operation.keys)} key)")
    if wire.body is not None:
        lines += ["Content-Type: application/json", "", json.dumps(wire.body, indent=2, default=_plain)]
    return "\n".join(lines)


async def _answered(request: Request[Any], *, production: bool, every: bool) -> Any:
    async with Kelviq.from_env(**_settings(production=production)) as kelviq:
        if every:
            return [row async for row in kelviq.pages(request)]
        return await kelviq.send(request)


def _settings(*, production: bool) -> dict[str, Any]:
    return {"environment": "production"} if production else {}


def show(answer: Any) -> None:
    """Print an answer for reading: rows as a table, one thing as names and values."""
    console = Console()
    rows = answer.results if isinstance(answer, Page) else answer if isinstance(answer, list) else None
    if rows is not None:
        _show_rows(console, rows)
        if isinstance(answer, Page):
            console.print(f"{len(rows)} of {answer.count}", style="dim")
    elif isinstance(answer, Model):
        table = Table(show_header=False, box=None, pad_edge=False)
        table.add_column(style="bold", no_wrap=True)
        table.add_column(overflow="fold")
        for name, value in codec.dump(answer).items():
            table.add_row(name, _cell(value))
        console.print(table)
    else:
        console.print("Done." if answer is None else str(answer))


def _show_rows(console: Console, rows: list[Any]) -> None:
    if not rows:
        console.print("Nothing.")
        return
    data = [codec.dump(row) for row in rows]
    simple = [name for name in data[0] if not isinstance(data[0][name], dict | list)][:COLUMNS]
    names = simple or list(data[0])[:COLUMNS]
    table = Table(header_style="bold")
    for name in names:
        table.add_column(name, overflow="fold")
    for row in data:
        table.add_row(*(_cell(row.get(name)) for name in names))
    console.print(table)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return (
        json.dumps(value, ensure_ascii=False, default=_plain)
        if isinstance(value, dict | list)
        else str(value)
    )


def _plain(value: Any) -> Any:
    """Money that Kelviq sends as a number, digit by digit where a float can hold it."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    raise TypeError(type(value).__name__)


def _fail(code: int, error: KelviqError) -> NoReturn:
    print(error, file=sys.stderr)
    raise SystemExit(code)
