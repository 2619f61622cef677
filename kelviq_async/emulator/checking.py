"""What a request is checked for before any handler sees it: size, sanity, and in strict worlds, spelling."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, get_args, get_origin
from urllib.parse import urlsplit

from .. import codec
from ..config import HOSTS
from ..errors import CodecError, InvalidRequest
from ..model import UNSET, Model, OpenEnum
from ..request import Operation, Request
from ..transport import WireRequest
from .refusals import Refusal, bad_field, detail
from .routing import Match

LARGEST_BODY: Final = 5 * 2**20
DEEPEST_BODY: Final = 64
LONGEST_ID: Final = 255
LARGEST_NUMBER: Final = 2**63 - 1
LARGEST_EXPONENT: Final = 30

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_SUSPECT: Final = re.compile(rb"\\u(00|[dD])|[eE][+-]?[0-9]|[0-9]{19}")
_HALF: Final = re.compile("[\ud800-\udfff]")
_PARTNER_HEADER: Final = "x-kelviq-partner-key"

# The seeds ask for entitlements in camelCase and the OpenAPI file in snake_case; both also without the slash.
_ALSO_IN_QUERY: Final = {"GetEntitlements": {"customerId", "featureId"}}
_WITH_AND_WITHOUT_SLASH: Final = {"GetEntitlements"}


def decoded(body: object) -> Any:
    """The body of a request as plain data.

    Raises:
        Refusal: 400, if it is too large, not JSON, or would do harm: nested too deep, with numbers that
            nobody can compute with, or with the character that ends a text in C.
    """
    if not isinstance(body, bytes) or not body:
        return None
    if len(body) > LARGEST_BODY:
        raise detail(400, f"The body is larger than {LARGEST_BODY} bytes.")
    try:
        data = codec.decode(body)
    except CodecError:
        raise detail(400, "JSON parse error.") from None
    if body.count(b"[") + body.count(b"{") > DEEPEST_BODY or _SUSPECT.search(body):
        _check_depth_and_numbers(data)
    return data


def _check_depth_and_numbers(data: Any) -> None:
    level, depth = [data], 0
    while level:
        if depth > DEEPEST_BODY:
            raise detail(400, f"The body is nested deeper than {DEEPEST_BODY} levels.")
        inside: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                inside += value.values()
                inside += value.keys()
            elif isinstance(value, list):
                inside += value
            else:
                _check_scalar(value)
        level, depth = inside, depth + 1


def _check_scalar(value: Any) -> None:
    if isinstance(value, str):
        if "\x00" in value:
            raise detail(400, "Null characters are not allowed.")
        if not value.isascii() and _HALF.search(value):
            raise detail(400, "JSON parse error: half of a character.")
    elif isinstance(value, Decimal):
        if value and abs(value.adjusted()) > LARGEST_EXPONENT:
            raise detail(400, "A number is out of range.")
    elif isinstance(value, int) and abs(value) > LARGEST_NUMBER:
        raise detail(400, "A number is out of range.")


def parsed(
    operation: Operation, path: Mapping[str, str], query: Mapping[str, str], body: Any
) -> Request[Any]:
    """The request that came, or a 400 that names fields as the wire does.

    Raises:
        Refusal: 400, if something is missing, of a wrong type, no valid choice, or cannot be an id.
    """
    try:
        request = operation.parse(path, query, body)
    except InvalidRequest as error:
        wire_names = {each.name: each.wire for each in operation.body_fields}
        fields = {wire_names.get(name, name): texts for name, texts in error.fields.items()}
        raise Refusal(400, fields or {"detail": error.message}) from None
    for each in operation.fields:
        value = getattr(request, each.name)
        problem = None if value is None or value is UNSET else _problem(each.name, value)
        if problem:
            name = each.name if each in operation.query_fields else each.wire
            raise bad_field(name, problem)
    return request


def _problem(name: str, value: Any) -> str | None:
    """What is wrong with a value that has the right type."""
    if isinstance(value, OpenEnum):
        return None if value.known else f'"{value}" is not a valid choice.'
    if isinstance(value, str):
        if not (name.endswith("_id") or "identifier" in name):
            return "Null characters are not allowed." if "\x00" in value else None
        if _CONTROL.search(value):
            return "Control characters are not allowed."
        too_long = len(value) > LONGEST_ID
        return f"Ensure this field has no more than {LONGEST_ID} characters." if too_long else None
    if isinstance(value, int):
        return "A number is out of range." if abs(value) > LARGEST_NUMBER else None
    if isinstance(value, Decimal):
        wild = bool(value) and abs(value.adjusted()) > LARGEST_EXPONENT
        return "A number is out of range." if wild else None
    if isinstance(value, list | tuple):
        return next(filter(None, (_problem(name, each) for each in value)), None)
    if isinstance(value, Model):
        return _nested_problem(value)
    return None


def _nested_problem(value: Model) -> str | None:
    """Of nested objects, only what nobody could take; their words are for the handlers to judge."""
    for each in codec.fields(type(value)):
        inner = getattr(value, each.name)
        if inner is not None and not isinstance(inner, OpenEnum):
            problem = _problem(each.name, inner)
            if problem:
                return f"{each.wire}: {problem}"
    return None


# Strict worlds


def check_strictly(
    operation: Operation, found: Match, wire: WireRequest, query: Mapping[str, str], body: Any
) -> None:
    """Refuse what the documentation does not know, though Kelviq might let it pass.

    Raises:
        Refusal: 400, with all that was found.
    """
    problems = [
        *_address_problems(operation, found, wire.url),
        *_header_problems(wire),
        *_query_problems(operation, query),
        *body_problems(operation, body),
    ]
    if operation.method in {"GET", "DELETE"} and body is not None:
        problems.append(f"a {operation.method} has no body")
    if problems:
        raise detail(400, f"strict: {operation.name}: {'; '.join(problems)}")


def body_problems(operation: Operation, body: Any) -> list[str]:
    """What a body holds, at any depth, that the documentation does not know or spells otherwise."""
    return list(_object_problems(operation.body_fields, body, ""))


def _address_problems(operation: Operation, found: Match, url: str) -> Iterator[str]:
    if not found.exact and operation.name not in _WITH_AND_WITHOUT_SLASH:
        yield f"the documented path is {operation.path}"
    name = urlsplit(url).netloc.lower()
    for hosts in HOSTS.values():
        for host, address in hosts.items():
            if urlsplit(address).netloc == name and host is not operation.host:
                yield f"it belongs to the {operation.host.value} host, not to {name}"


def _header_problems(wire: WireRequest) -> Iterator[str]:
    headers = {name.lower(): value for name, value in wire.headers.items()}
    if "authorization" in headers and _PARTNER_HEADER in headers:
        yield "it carries two credentials"
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if wire.body and kind != "application/json":
        yield "the body must come as application/json"


def _query_problems(operation: Operation, query: Mapping[str, str]) -> Iterator[str]:
    known = {each.metadata.get("name") or each.name for each in operation.query_fields}
    other = {each.wire: each.name for each in operation.query_fields}
    for name in query:
        if name not in known and name not in _ALSO_IN_QUERY.get(operation.name, ()):
            yield _unknown(name, other, "in the query")


def _object_problems(fields: Sequence[codec.Field], data: Any, where: str) -> Iterator[str]:
    if not isinstance(data, Mapping):
        return
    known = {each.wire: each for each in fields}
    other = {each.name: each.wire for each in fields}
    for name, value in data.items():
        if name in known:
            yield from _value_problems(known[name].hint, value, f"{where}{name}")
        else:
            yield _unknown(
                f"{where}{name}", {f"{where}{key}": text for key, text in other.items()}, "in the body"
            )


def _value_problems(hint: Any, value: Any, where: str) -> Iterator[str]:
    if get_origin(hint) in {list, Sequence} and isinstance(value, list):
        for index, row in enumerate(value):
            yield from _value_problems(get_args(hint)[0], row, f"{where}.{index}")
    elif isinstance(hint, type) and issubclass(hint, Model):
        yield from _object_problems(codec.fields(hint), value, f"{where}.")
    elif hint in {int, bool} and isinstance(value, str):
        yield f"{where} is a text where a JSON {'number' if hint is int else 'boolean'} is documented"
    elif hint is str and isinstance(value, int | Decimal):
        yield f"{where} is no text"


def _unknown(name: str, other: Mapping[str, str], place: str) -> str:
    return f"{name} is spelled {other[name]} {place}" if name in other else f"{name} is not known {place}"
