"""One call from the command line: arguments in, a table or JSON out."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Container, Mapping
from typing import Any, Final, NoReturn, get_args, get_origin
from urllib.parse import urlencode

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
    Request,
    codec,
)
from .showing import as_json, show

FLAGS: Final = ("json", "dry_run", "production", "all")


def call(operation: Operation, arguments: dict[str, Any], nulls: Container[str]) -> None:
    """Do what was asked, and end with 0, 1 for Kelviq's no, 2 for a mistake of ours.

    Args:
        operation: What to call.
        arguments: The command's arguments, its flags among them; None where one was not given.
        nulls: Names of those that were given as null.
    """
    flags = {name: bool(arguments.pop(name, False)) for name in FLAGS}
    try:
        request = request_of(operation, arguments, nulls)
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
        print(as_json(codec.dump(answer)))
    else:
        show(answer)


def request_of(operation: Operation, arguments: Mapping[str, Any], nulls: Container[str]) -> Request[Any]:
    """The request that the command's arguments spell.

    Raises:
        InvalidRequest: One of them cannot be read; ``fields`` names it.
    """
    given = {name: value for name, value in arguments.items() if value is not None}
    body: dict[str, Any] = {}
    for each in operation.body_fields:
        if each.name in nulls:
            body[each.name] = None
        elif each.name in given:
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
        lines += ["Content-Type: application/json", "", as_json(wire.body)]
    return "\n".join(lines)


async def _answered(request: Request[Any], *, production: bool, every: bool) -> Any:
    async with Kelviq.from_env(**_settings(production=production)) as kelviq:
        if every:
            return [row async for row in kelviq.pages(request)]
        return await kelviq.send(request)


def _settings(*, production: bool) -> dict[str, Any]:
    return {"environment": "production"} if production else {}


def _fail(code: int, error: KelviqError) -> NoReturn:
    print(error, file=sys.stderr)
    raise SystemExit(code)
