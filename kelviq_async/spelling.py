"""How single values are spelled on the wire: texts, numbers, money, times, enums, lists.

A spelling turns what came into a value and a value back into what is sent. ``codec`` builds
models out of spellings.
"""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final, Literal, NamedTuple, Protocol, TypeVar, Union, get_args, get_origin

from .model import OpenEnum, Unset, is_model

Load = Callable[[Any], Any]

ODD: Final = (ValueError, TypeError, ArithmeticError)
"""What ``load`` and ``dump`` raise for what they cannot read or write."""

# Decimal itself takes more: spaces, "1_000", other scripts' digits.
_NUMBER: Final = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_SECONDS: Final = "%Y-%m-%d %H:%M:%S"
_TIMESPEC: Final = {_SECONDS: "seconds", f"{_SECONDS}.%f": "microseconds"}
_DIGITS: Final = 40
"""A whole number with more is none that we can use, and one with a million would take the memory."""


class Spelling(NamedTuple):
    """The two ways of one type.

    Attributes:
        load: From the wire; raises ValueError or TypeError for what cannot be read.
        dump: To the wire.
        exact: The class whose instances pass unchanged both ways, or None where there is none.
    """

    load: Load
    dump: Callable[[Any], Any]
    exact: type | None = None


def wire_name(name: str) -> str:
    """``customer_id`` as the wire spells it: ``customerId``."""
    head, *rest = name.split("_")
    return head + "".join(word[:1].upper() + word[1:] for word in rest)


def same(a: object, b: object) -> bool:
    """Whether two pieces of JSON are equal in type and text: 1, 1.0 and true are three things."""
    if a is b:  # also keeps out of what may be nested deeply: only new containers are gone into
        return True
    if a.__class__ is not b.__class__:
        return False
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(value, b[key]) for key, value in a.items())
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, Decimal):
        return str(a) == str(b)
    if isinstance(a, float):
        return repr(a) == repr(b)
    return a == b


def unwrap(hint: Any) -> tuple[Any, bool]:
    """A type hint without its ``| None`` and ``| Unset``, and whether it allowed None."""
    if get_origin(hint) is typing.Annotated:
        hint = get_args(hint)[0]
    if get_origin(hint) not in {Union, types.UnionType}:
        return hint, hint is type(None)
    rest = [arg for arg in get_args(hint) if arg not in {type(None), Unset}]
    nullable = type(None) in get_args(hint)
    return (rest[0] if len(rest) == 1 else Union[tuple(rest)]), nullable  # noqa: UP007


def _exactly(kind: type) -> Load:
    def load(raw: Any) -> Any:
        if not isinstance(raw, kind):
            message = f"{kind.__name__} expected"
            raise TypeError(message)
        return raw

    return load


def text_of(value: object) -> str:
    """A text itself: of a member of an Enum that is one, ``str`` would make its name."""
    return str.__str__(value) if isinstance(value, str) else str(value)


def _load_str(raw: Any) -> str:
    if not isinstance(raw, str):
        raise TypeError("text expected")
    return str.__str__(raw)


def _load_int(raw: Any) -> int:
    if isinstance(raw, int) and raw.__class__ is not bool:
        return int(raw)
    if isinstance(raw, float) and raw.is_integer():
        return int(raw)
    if isinstance(raw, Decimal) and raw.is_finite() and raw.adjusted() < _DIGITS and raw == int(raw):
        return int(raw)
    raise TypeError("whole number expected")


def _load_id(raw: Any) -> str:
    return str(raw) if raw.__class__ is int else _load_str(raw)


def load_decimal(raw: Any) -> Decimal:
    """Money or another exact number, from its text and never through a float's value."""
    if raw.__class__ is bool or not isinstance(raw, str | int | Decimal | float):
        raise TypeError("number expected")
    if isinstance(raw, str) and not _NUMBER.fullmatch(raw):
        raise ValueError("number expected")
    try:
        value = Decimal(raw if isinstance(raw, str | int | Decimal) else repr(raw))
    except InvalidOperation:
        raise ValueError("number expected") from None
    if not value.is_finite():
        raise ValueError("finite number expected")
    return value


def _dump_number(value: Decimal | int) -> int | Decimal:
    return value if isinstance(value, Decimal) and value.as_tuple().exponent != 0 else int(value)


def load_datetime(raw: Any) -> datetime:
    """An aware time; one without a zone is UTC."""
    if not isinstance(raw, str):
        raise TypeError("time expected")
    # Python itself also takes week dates, dates without hyphens, and any letter before the time.
    if raw[4:5] != "-" or raw[7:8] != "-" or raw[10:11] not in {"T", " ", "t", ""}:
        raise ValueError("time expected")
    try:
        value = datetime.fromisoformat(raw.upper())
    except ValueError:  # whose message quotes the text
        raise ValueError("time expected") from None
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value


def _in_utc(value: datetime) -> datetime:
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def dump_datetime(value: datetime) -> str:
    """ISO 8601 in UTC, ending in Z."""
    return _in_utc(value).isoformat().replace("+00:00", "Z")


def load_date(raw: Any) -> date:
    """A day; of a full time, the day it is written with."""
    return load_datetime(raw).date()


def _time_in(form: str) -> Spelling:
    def slowly(value: datetime) -> str:
        return _in_utc(value).strftime(form)

    def dump(value: datetime) -> str:
        return _in_utc(value).replace(tzinfo=None).isoformat(" ", timespec)

    timespec = _TIMESPEC.get(form, "")
    return Spelling(load_datetime, dump if timespec else slowly)


def _enum(cls: type[OpenEnum]) -> Spelling:
    def load(raw: Any) -> OpenEnum:
        return cls.other(_load_str(raw))

    return Spelling(load, str)


def _literal(options: tuple[Any, ...]) -> Spelling:
    def load(raw: Any) -> Any:
        if isinstance(raw, str) and raw in options:
            return raw
        raise ValueError("not one of the words")

    return Spelling(load, _as_is)


def _list_of(item: Spelling) -> Spelling:
    def load(raw: Any) -> list[Any]:
        if not isinstance(raw, list):
            raise TypeError("list expected")
        values = []
        for entry in raw:
            try:
                values.append(item.load(entry))
            except ODD:
                continue  # one odd entry does not take the rest along; what came is kept whole
        return values

    def dump(value: Sequence[Any]) -> list[Any]:
        return [item.dump(entry) for entry in value]

    return Spelling(load, dump)


def _either(options: list[Spelling]) -> Spelling:
    def load(raw: Any) -> Any:
        """The first that would be spelled as it came, else the first that can be read."""
        found = []
        for option in options:
            try:
                value = option.load(raw)
                if same(option.dump(value), raw):
                    return value
            except ODD:
                continue
            found.append(value)
        if not found:
            raise ValueError("none of the expected kinds")
        return found[0]

    def dump(value: Any) -> Any:
        if isinstance(value, datetime):
            return dump_datetime(value)
        return text_of(value) if isinstance(value, str) else value

    return Spelling(load, dump)


def _as_is(value: Any) -> Any:
    return value


class Nested(Protocol):
    """Gives the spelling of a model class."""

    def __call__(self, cls: Any, *, rows: bool) -> Spelling:
        """The spelling; with ``rows`` also of entries that are no objects."""
        ...


_PLAIN: Final[Mapping[Any, Spelling]] = {
    Any: Spelling(_as_is, _as_is, object),
    dict: Spelling(_exactly(dict), _as_is, dict),
    list: Spelling(_exactly(list), list, list),
    str: Spelling(_load_str, text_of, str),
    int: Spelling(_load_int, int, int),
    bool: Spelling(_exactly(bool), _as_is, bool),
    Decimal: Spelling(load_decimal, str),
    datetime: Spelling(load_datetime, dump_datetime),
    date: Spelling(load_date, date.isoformat),
}


def spell(hint: Any, form: str | None, nested: Nested) -> Spelling:  # noqa: C901  one row a kind
    """The spelling of a type.

    Args:
        hint: A type hint, already without ``| None`` and ``| Unset``.
        form: The field's ``form``, see ``model.field``.
        nested: Gives the spelling of a model class.
    """
    if is_model(hint):
        return nested(hint, rows=False)
    if form is not None:
        formed = _formed(hint, form)
        if formed is not None:
            return formed
    if hint in _PLAIN:
        return _PLAIN[hint]
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Literal:
        return _literal(arguments)
    if origin in {Union, types.UnionType}:
        return _either([spell(each, form, nested) for each in arguments])
    if origin in {list, Sequence}:
        item = unwrap(arguments[0])[0]
        if item is Any or isinstance(item, TypeVar):
            return _PLAIN[list]
        return _list_of(nested(item, rows=True) if is_model(item) else spell(item, form, nested))
    if origin in {dict, Mapping}:
        return _PLAIN[dict]
    if isinstance(hint, TypeVar):
        return _PLAIN[Any]
    if isinstance(hint, type) and issubclass(hint, OpenEnum):
        return _enum(hint)
    message = f"no spelling for {hint!r}"
    raise TypeError(message)


def _formed(hint: Any, form: str) -> Spelling | None:
    """The spelling of a plain type in a form of its own."""
    if hint is str and form == "id":
        return Spelling(_load_id, str)
    if hint is Decimal and form == "number":
        return Spelling(load_decimal, _dump_number)
    return _time_in(form) if hint is datetime else None
