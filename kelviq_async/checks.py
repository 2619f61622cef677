"""What can be wrong with an argument before anything is sent."""

from __future__ import annotations

import math
import re
import types
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Final, Literal, Union, get_args, get_origin

from .codec import Field, as_it_came, dump, fields
from .errors import InvalidRequest
from .model import UNSET, Model, OpenEnum

_UNSAFE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_DEEPEST: Final = 100


def invalid(name: str, problem: str) -> InvalidRequest:
    """The error for one argument."""
    return InvalidRequest(f"{name} {problem}", fields={name: [problem]})


def identifier_problem(value: object) -> str | None:
    """What makes a text unfit as an id, or None."""
    if not isinstance(value, str):
        return _no("str", value)
    if not value:
        return "must not be empty"
    if value in {".", ".."}:
        return f"must not be {str(value)!r}"
    if _UNSAFE.search(value):
        return "must not hold control characters"
    return None


def plain_text(value: Any) -> str:
    """A text itself: of a member of an Enum that is one, ``str`` would make its name."""
    return str.__str__(value)


def path_segment(name: str, value: object) -> str:
    """An id that can stand in a path as one segment.

    Raises:
        InvalidRequest: It is empty, ``.``, ``..``, holds a control character, or is no text.
    """
    problem = identifier_problem(value)
    if problem:
        raise invalid(name, problem)
    return plain_text(value)


def is_identifier(name: str) -> bool:
    """Whether a field of this name holds the id of something."""
    return name.endswith(("_id", "identifier", "idempotency_key")) or name == "id"


def check_fields(plan: tuple[Field, ...], value: object, path_names: Collection[str] = ()) -> None:
    """Refuse arguments that cannot be right.

    Raises:
        InvalidRequest: With the first one's name and what is wrong with it.
    """
    for each in plan:
        given = getattr(value, each.name)
        if given is UNSET or given is None:
            missing = each.required if given is UNSET else not each.nullable or each.name in path_names
            if missing:
                raise invalid(each.name, "is required")
            continue
        found = _field_problem(each, given, is_id=each.name in path_names)
        if found:
            raise invalid(each.name, found)


def _field_problem(each: Field, given: object, *, is_id: bool = False) -> str | None:
    if each.hint is str and (is_id or is_identifier(each.name)):
        return identifier_problem(given)
    problem = _problem(each.hint, given)
    if problem is None and each.metadata.get("form") == "number" and _holds_float(given):
        return _amount_problem(0.0)
    return problem


def _holds_float(value: Any) -> bool:
    """Whether there is a float in free-form data that holds money."""
    if isinstance(value, dict):
        value = list(value.values())
    return any(map(_holds_float, value)) if isinstance(value, list | tuple) else isinstance(value, float)


def _problem(hint: Any, value: Any) -> str | None:  # noqa: C901, PLR0912  one row a type
    if hint is str:
        if not isinstance(value, str):
            return _no("str", value)
        return "must not hold lone surrogates" if _SURROGATE.search(value) else None
    if hint is Any:
        return _json_problem(value)
    if hint is bool:
        return None if isinstance(value, bool) else _no("bool", value)
    if hint is int:
        whole = isinstance(value, int) and not isinstance(value, bool)
        return None if whole else f"must be an int, not {type(value).__name__}"
    if hint is Decimal:
        return _amount_problem(value)
    if hint is datetime:
        return _time_problem(value)
    if hint is date:
        plain = isinstance(value, date) and not isinstance(value, datetime)
        return None if plain else "must be a datetime.date"
    if isinstance(hint, type) and issubclass(hint, OpenEnum):
        return _enum_problem(hint, value)
    if isinstance(hint, type) and issubclass(hint, Model):
        return _model_problem(hint, value)
    origin = get_origin(hint)
    if origin is Literal:
        return None if value in get_args(hint) else f"must be one of {', '.join(map(repr, get_args(hint)))}"
    if origin in {Union, types.UnionType}:
        problems = [_problem(arg, value) for arg in get_args(hint)]
        return None if None in problems else problems[0]
    if origin in {list, Sequence}:
        return _list_problem(get_args(hint)[0], value)
    if origin in {dict, Mapping}:
        return _json_problem(value) if isinstance(value, dict) else _no("dict", value)
    return None


def _no(wanted: str, value: object) -> str:
    return f"must be a {wanted}, not {type(value).__name__}"


def _json_problem(value: Any, depth: int = 0) -> str | None:
    """What in free-form data JSON could not say, or not say exactly."""
    if value is None or isinstance(value, bool | int):
        return None
    if isinstance(value, str):
        return "must not hold lone surrogates" if _SURROGATE.search(value) else None
    if isinstance(value, float | Decimal):
        finite = math.isfinite(value) if isinstance(value, float) else value.is_finite()
        return None if finite else "must hold finite numbers only"
    if depth == _DEEPEST:
        return f"must not be nested deeper than {_DEEPEST} levels"
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            return "must have texts as keys"
        inner: list[Any] = [*value, *value.values()]
    elif isinstance(value, list | tuple):
        inner = [*value]
    else:
        return f"must hold plain JSON data only, not {type(value).__name__}"
    problems = (_json_problem(each, depth + 1) for each in inner)
    return next((problem for problem in problems if problem), None)


def _amount_problem(value: Any) -> str | None:
    if isinstance(value, float):
        return "must not be a float: use Decimal, made from a text"
    if isinstance(value, bool) or not isinstance(value, Decimal | int):
        return _no("Decimal", value)
    return None if Decimal(value).is_finite() else "must be a finite number"


def _time_problem(value: Any) -> str | None:
    if not isinstance(value, datetime):
        return _no("datetime", value)
    if value.utcoffset() is None:
        return "must be an aware datetime (with a time zone)"
    try:
        value.astimezone(UTC)
    except OverflowError:
        return "is too far away"
    return None


def _enum_problem(hint: type[OpenEnum], value: Any) -> str | None:
    if isinstance(value, hint) or (type(value) is str and value in hint._value2member_map_):
        return None
    known = ", ".join(hint._value2member_map_)
    return f"must be one of {known}; send another on purpose with {hint.__name__}.other(...)"


def _list_problem(item: Any, value: Any) -> str | None:
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Sequence):
        return _no("list", value)
    problems = ((index, _problem(item, entry)) for index, entry in enumerate(value))
    return next((f"[{index}] {problem}" for index, problem in problems if problem), None)


def _model_problem(hint: type[Model], value: Any) -> str | None:
    if not isinstance(value, hint):
        return _no(hint.__name__, value)
    for each in fields(type(value)):
        given = getattr(value, each.name)
        if given is None or given is UNSET:
            if each.required:
                return f"needs {each.name}"
            continue
        problem = None if as_it_came(value, each.name) else _field_problem(each, given)
        if problem:
            return f"{each.name} {problem}"
    return _json_problem(value.extra or None) or _row_problem(value)


def _row_problem(value: Model) -> str | None:
    """A row that was no object reads as one without fields, but would be sent as it came."""
    return None if isinstance(dump(value), dict) else "is no object"
