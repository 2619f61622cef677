"""From HTTP back to a request: what the emulator and the command line read arguments with.

Both spellings of a name are taken, as clients of this API send both, and texts are read as what the
field is, as a query has nothing but texts.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, get_args, get_origin

from . import codec
from .errors import InvalidRequest
from .model import Model, is_model

REQUIRED: Final = "This field is required."
NOT_NULL: Final = "This field may not be null."
_MISSING: Final = object()
_PATH, _QUERY, _BODY = range(3)
_INTEGER: Final = re.compile(r"\s*[+-]?[0-9]{1,40}\s*")
_TRUTH: Final = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


def parse(operation: Any, path: Mapping[str, str], query: Mapping[str, str], body: Any) -> Any:
    """See ``Operation.parse``."""
    if body is not None and not isinstance(body, Mapping):
        raise InvalidRequest("the body must be a JSON object", fields={"non_field_errors": ["Invalid data."]})
    arguments: dict[str, Any] = {}
    problems: dict[str, list[str]] = {}
    sources: tuple[Mapping[str, Any], ...] = (path, query, body or {})
    for each, place in _places(operation):
        raw = _found(each, sources[place])
        if raw is _MISSING and not each.required:
            continue
        try:
            value = _value(each, raw, is_text=place != _BODY)
        except (ValueError, TypeError, ArithmeticError) as error:
            problems[each.name] = [str(error) or "Invalid value."]
        else:
            if value is not _MISSING:
                arguments[each.name] = value
    if problems:
        said = "; ".join(f"{name}: {' '.join(texts)}" for name, texts in problems.items())
        raise InvalidRequest(said, fields=problems, operation=operation.name)
    return operation.request(**arguments)


@functools.cache
def _places(operation: Any) -> tuple[tuple[codec.Field, int], ...]:
    """Each field, and in which of path, query and body it is."""
    in_path, in_query = set(operation.path_names), {each.name for each in operation.query_fields}
    return tuple(
        (each, _PATH if each.name in in_path else _QUERY if each.name in in_query else _BODY)
        for each in operation.fields
    )


def _found(each: codec.Field, source: Mapping[str, Any]) -> Any:
    raw = source.get(each.wire, _MISSING)
    return source.get(each.name, _MISSING) if raw is _MISSING else raw


def _value(each: codec.Field, raw: Any, *, is_text: bool) -> Any:
    if raw is _MISSING:
        if each.required:
            raise ValueError(REQUIRED)
        return _MISSING
    if raw is None:
        if each.nullable:
            return None
        if each.required:
            raise ValueError(NOT_NULL)
        return _MISSING
    if is_text and get_origin(each.hint) in {list, Sequence} and isinstance(raw, str):
        raw = [part for part in raw.split(",") if part]
    return _read(each, raw)


def _read(each: codec.Field, raw: Any) -> Any:
    item = get_args(each.hint)[0] if get_origin(each.hint) in {list, Sequence} else None
    if item is None:
        if is_model(each.hint):
            return _nested(each.hint, raw)
        return each.spelling.load(_coerced(each.hint, raw))
    if not isinstance(raw, list):
        raise TypeError(f'Expected a list of items but got type "{type(raw).__name__}".')
    if is_model(item):
        return [_nested(item, row) for row in raw]
    values = each.spelling.load([_coerced(item, entry) for entry in raw])
    if len(values) != len(raw):
        raise ValueError("Not a valid list item.")
    return values


def _coerced(hint: Any, raw: Any) -> Any:
    """A text as the number or truth value that it spells; a number as the text it stands for."""
    if isinstance(raw, str):
        if hint is int:
            if not _INTEGER.fullmatch(raw):
                raise ValueError("A valid integer is required.")
            return int(raw)
        if hint is bool:
            if raw.lower() not in _TRUTH:
                raise ValueError("Must be a valid boolean.")
            return _TRUTH[raw.lower()]
    elif hint is str and isinstance(raw, int | Decimal) and not isinstance(raw, bool):
        return str(raw)
    elif hint is str:
        raise ValueError("Not a valid string.")
    elif hint is int and not isinstance(raw, int | Decimal | float):
        raise ValueError("A valid integer is required.")
    elif hint is datetime and isinstance(raw, int):
        raise ValueError("Datetime has wrong format.")
    return raw


def _nested(cls: type[Model], raw: Any) -> Any:
    """A nested object of a body, in either spelling; what is missing or odd is an error here."""
    if not isinstance(raw, Mapping):
        raise TypeError("Invalid data. Expected a dictionary.")
    data = dict(raw)
    for each in codec.fields(cls):
        if each.wire != each.name and each.name in data and each.wire not in data:
            data[each.wire] = data.pop(each.name)
        found = data.get(each.wire, _MISSING)
        if found is _MISSING or found is None:
            if each.required:
                raise ValueError(f"{each.wire}: {REQUIRED}")
            continue
        data[each.wire] = each.spelling.dump(_read(each, found))
    return codec.load(cls, data)
