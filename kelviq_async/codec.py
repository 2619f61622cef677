"""Between models and JSON: the one place that knows how fields are spelled on the wire.

Loading never fails a row: what cannot be read is None on the model and kept beside it, so that
``dump(load(cls, data)) == data`` for every JSON object.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final, NamedTuple, NoReturn, TypeVar, cast, get_args, get_origin, get_type_hints

import attrs
import msgspec

from .compiling import Shapes, slot
from .errors import CodecError
from .model import NOTHING, UNSET, Model, OpenEnum, Unset, is_model
from .spelling import ODD, Spelling, dump_datetime, same, spell, text_of, unwrap, wire_name

V = TypeVar("V")

_ROW: Final = ""
"""Under this name a model keeps the whole of what came, where that was no object at all."""

_decoder = msgspec.json.Decoder(float_hook=Decimal)
_encoder = msgspec.json.Encoder(decimal_format="number")


class Field(NamedTuple):
    """One field of a model or request, as the wire has it."""

    name: str
    wire: str
    hint: Any
    nullable: bool
    required: bool
    spelling: Spelling
    metadata: Mapping[str, Any]


def decode(body: bytes) -> Any:
    """JSON to plain data, with fractions as Decimal.

    Raises:
        CodecError: The bytes are not JSON.
    """
    try:
        try:
            return _decoder.decode(body)
        except msgspec.DecodeError:
            # Half an emoji, which JavaScript cuts off names, is JSON all the same; msgspec refuses it.
            return json.loads(body, parse_float=Decimal, parse_constant=_no_number)
    except (ValueError, RecursionError, ArithmeticError) as error:
        message = f"not JSON: {type(error).__name__}"
        raise CodecError(message) from None


def _no_number(_: str) -> NoReturn:
    raise ValueError("NaN and Infinity are not JSON")


def encode(data: Any) -> bytes:
    """Plain data to JSON; Decimals are written as numbers, digit by digit.

    Raises:
        CodecError: There is something in it that JSON cannot say.
    """
    try:
        return _encoder.encode(data)
    except (TypeError, ValueError, RecursionError, OverflowError) as error:
        message = f"cannot be written as JSON: {error}"
        raise CodecError(message) from None


def indented(data: Any, spaces: int = 2) -> str:
    """Plain data as JSON text for reading; Decimals are written digit by digit, as by ``encode``.

    Args:
        data: Plain data.
        spaces: How far to indent; 0 puts all of it on one line.

    Raises:
        CodecError: There is something in it that JSON cannot say.
    """
    return msgspec.json.format(encode(data), indent=spaces).decode()


def _remembered(function: Callable[[Any], V]) -> Callable[[Any], V]:
    """``functools.cache`` for functions of a type, as mypy takes models' types for unhashable."""
    return functools.cache(function)


@_remembered
def fields(cls: Any) -> tuple[Field, ...]:
    """The fields of a model or request class (or a generic model with its arguments)."""
    origin = get_origin(cls) or cls
    arguments = dict(zip(getattr(origin, "__parameters__", ()), get_args(cls), strict=False))
    hints = get_type_hints(origin, include_extras=True)
    snake = getattr(origin, "spelling", "camel") == "snake"
    found = []
    for attribute in attrs.fields(origin):
        if attribute.name in {"extra", "_kept"}:
            continue
        hint, nullable = unwrap(hints[attribute.name])
        hint = arguments.get(hint, hint)
        if get_origin(hint) is list and get_args(hint)[0] in arguments:
            hint = list[arguments[get_args(hint)[0]]]  # type: ignore[misc]
        metadata = attribute.metadata
        wire = metadata.get("name") or (attribute.name if snake else wire_name(attribute.name))
        spelling = spell(hint, metadata.get("form"), _nested)
        required = attribute.default is attrs.NOTHING or metadata.get("required", False)
        found.append(Field(attribute.name, wire, hint, nullable, required, spelling, metadata))
    return tuple(found)


def _nested(cls: Any, *, rows: bool) -> Spelling:
    """A model inside something else; among ``rows`` even one that is no object is kept."""
    made: list[Callable[[Any], Any]] = []  # at first use: models may hold one another

    def load(raw: Any) -> Any:
        if not rows and not isinstance(raw, dict):
            raise TypeError("object expected")
        if not made:
            made.append(loader(cls))
        return made[0](raw)

    return Spelling(load, dump)


def load(cls: Any, data: Any) -> Any:
    """Plain JSON data to a value.

    Args:
        cls: A model class, ``Page[SomeModel]``, ``list[SomeModel]``, or None for "no answer".
        data: What ``decode`` or ``json.loads`` gave.

    Raises:
        CodecError: ``data`` is not even of the right kind, such as a list for a model.
    """
    if cls is None or cls is type(None):
        return None
    try:
        return _loading(cls)(data)
    except ODD as error:
        name = getattr(cls, "__name__", str(cls))
        message = f"{name} cannot be made of a JSON {type(data).__name__}: {error}"
        raise CodecError(message) from None


@_remembered
def _loading(cls: Any) -> Callable[[Any], Any]:
    return spell(unwrap(cls)[0], None, _nested).load


def dump(value: Any, *, nulls: bool = False) -> Any:
    """A value to plain JSON data in wire spelling; the inverse of ``load``.

    Args:
        value: A model, a list of models, or a single value. Money that Kelviq wants as a number
            stays a Decimal, which ``encode`` writes exactly.
        nulls: Write null for fields that are None and documented as nullable, the way a server
            does, instead of leaving them out.
    """
    if isinstance(value, Model):
        return _dump_model(value, nulls=nulls)
    if isinstance(value, list | tuple):
        return [dump(entry, nulls=nulls) for entry in value]
    if isinstance(value, OpenEnum):
        return str(value)
    if isinstance(value, datetime):
        return dump_datetime(value)
    if isinstance(value, date):
        return value.isoformat()
    return str(value) if isinstance(value, Decimal) else value


def _dump_model(value: Model, *, nulls: bool) -> Any:
    data: dict[str, Any] = {}
    for each in fields(type(value)):
        current = getattr(value, each.name)
        if as_it_came(value, each.name):
            data[each.wire] = value._kept[each.name].raw
        elif current is not None and current is not UNSET:
            models = _holds_models(current)
            data[each.wire] = dump(current, nulls=nulls) if models else each.spelling.dump(current)
        elif nulls and each.nullable:
            data[each.wire] = None
    data.update(value.extra)
    if _ROW in value._kept and not any(each is not None for each in data.values()):
        return value._kept[_ROW].raw
    return data


def _holds_models(value: Any) -> bool:
    first = value[0] if isinstance(value, list) and value else value
    return isinstance(first, Model)


class _Kept(NamedTuple):
    """What came for a field, and what was made of it: as long as the field is that, it is sent as it came."""

    raw: Any
    value: Any


_NULL: Final = _Kept(None, None)


def as_it_came(value: Model, name: str) -> bool:
    """Whether a field was spelled in a way of its own, and has not been changed since."""
    kept = value._kept.get(name)
    if kept is None:
        return False
    now, then = getattr(value, name), kept.value
    return now is then or (now.__class__ is then.__class__ and bool(now == then))


_shared: dict[tuple[str, ...], Mapping[str, Any]] = {}


def _compact(kept: dict[str, Any]) -> Mapping[str, Any]:
    """One mapping for all the models on which the same fields were null; it is never changed."""
    if any(each is not _NULL for each in kept.values()):
        return kept
    names = tuple(kept)
    if len(_shared) > 1000:  # somebody's made-up rows must not fill the memory
        return _shared.get(names, kept)
    return _shared.setdefault(names, kept)


@_remembered
def loader(cls: Any) -> Callable[[Any], Any]:
    """The function that makes this model of a JSON object."""
    of_any = _loader_of_any(cls)
    shapes = Shapes(get_origin(cls) or cls, fields(cls), nested=loader, null=_NULL, compact=_compact)
    known = shapes.loaders.get

    def load(data: Any) -> Any:
        if data.__class__ is dict:
            shape = tuple(data)
            of_shape = known(shape)
            if of_shape is None:
                shapes.meet(shape)
            elif (value := of_shape(data)) is not None:
                return value
        return of_any(data)

    return load


def _loader_of_any(cls: Any) -> Callable[[Any], Any]:
    """The function that makes this model of any JSON object, written out field by field.

    Spelled-out code is three times as fast as a loop over fields, and entitlements are read on
    every request of somebody's web app.
    """
    origin = get_origin(cls) or cls
    names: dict[str, Any] = {
        "missing": object(),
        "new": origin.__new__,
        "cls": origin,
        "compact": _compact,
        "NOTHING": NOTHING,
        "set_extra": Model.__dict__["extra"].__set__,
        "set_kept": Model.__dict__["_kept"].__set__,
        "odd_row": functools.partial(_odd_row, cls),
    }
    plan = fields(cls)
    lines = ["def load(data):", " if data.__class__ is not dict:"]
    lines += ["  if not isinstance(data, dict): return odd_row(data)", "  data = dict(data)"]
    lines += [" get = data.get", " self = new(cls)", " seen = 0", " kept = None"]
    for index, each in enumerate(plan):
        names |= {f"set{index}": slot(origin, each.name), f"slow{index}": functools.partial(_slowly, each)}
        convert = _fast(each, index, names)
        lines += [
            f" raw = get({each.wire!r}, missing)",
            f" if {convert[0]}: seen += 1; set{index}(self, {convert[1]})",
            f" elif raw is missing: set{index}(self, None)",
            " else:",
            "  seen += 1",
            "  if kept is None: kept = {}",
            f"  set{index}(self, slow{index}(raw, kept))",
        ]
    names["known"] = frozenset(each.wire for each in plan)
    lines += [
        " if seen == len(data): set_extra(self, NOTHING)",
        " else: set_extra(self, {key: value for key, value in data.items() if key not in known})",
        " set_kept(self, compact(kept) if kept else NOTHING)",
        " return self",
    ]
    exec("\n".join(lines), names)  # noqa: S102  only names of our own fields are in it
    return cast("Callable[[Any], Any]", names["load"])


def _fast(each: Field, index: int, names: dict[str, Any]) -> tuple[str, str]:
    """A test for the usual case of a field, and the expression for its value then."""
    hint, exact = each.hint, each.spelling.exact
    if exact is object:
        return "raw is not missing and raw is not None", "raw"
    if exact is not None:
        names[f"exact{index}"] = exact
        return f"raw.__class__ is exact{index}", "raw"
    item = get_args(hint)[0] if get_origin(hint) is list else None
    if is_model(hint):
        names[f"nested{index}"] = _late_loader(hint)
        return "raw.__class__ is dict", f"nested{index}(raw)"
    if item is not None and is_model(item):
        names[f"nested{index}"] = _late_loader(item)
        return "raw.__class__ is list", f"[nested{index}(row) for row in raw]"
    if isinstance(hint, type) and issubclass(hint, OpenEnum):
        names |= {f"members{index}": dict(hint._value2member_map_), "str": str}
        return f"raw.__class__ is str and raw in members{index}", f"members{index}[raw]"
    return "False", "None"


def _late_loader(cls: Any) -> Callable[[Any], Any]:
    """The loader of a model, made at first use: models may hold one another."""
    cache: list[Callable[[Any], Any]] = []

    def late(data: Any) -> Any:
        if not cache:
            cache.append(loader(cls))
        return cache[0](data)

    return late


def _slowly(each: Field, raw: Any, kept: dict[str, Any]) -> Any:
    """The value of a field in all but the usual case; keeps what came where it is spelled otherwise."""
    if raw is None:
        kept[each.name] = _NULL
        return None
    try:
        value = each.spelling.load(raw)
        canonical_form = each.spelling.dump(value)
    except ODD:
        kept[each.name] = _Kept(raw, None)
        return None
    if not same(canonical_form, raw):
        kept[each.name] = _Kept(raw, value)
    return value


def _odd_row(cls: Any, data: Any) -> Any:
    """A row that is no object: everything is None, and what came is kept."""
    row = loader(cls)({})
    Model.__dict__["_kept"].__set__(row, {_ROW: _Kept(data, None)})
    return row


def kept_of(value: Model) -> Mapping[str, Any]:
    """What came for those fields of a model whose own spelling differs, by field name."""
    return value._kept


def dump_fields(plan: tuple[Field, ...], value: object) -> dict[str, Any]:
    """The given fields of a request as a JSON body; UNSET ones are left out, None is null."""
    body = {}
    for each in plan:
        current = getattr(value, each.name)
        if current is not UNSET:
            body[each.wire] = None if current is None else each.spelling.dump(current)
    return body


def query_text(each: Field, value: Any) -> str:
    """A value as a query parameter spells it; lists are joined with commas."""
    if value is True or value is False:
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return ",".join(query_text(each, entry) for entry in value)
    return text_of(value if isinstance(value, str | int) else each.spelling.dump(value))


def canonical(data: Any) -> Any:
    """The same data with every object's keys in order."""
    if isinstance(data, dict):
        return {str(key): canonical(data[key]) for key in sorted(data, key=str)}
    return [canonical(entry) for entry in data] if isinstance(data, list | tuple) else data


def register(converter: Any) -> None:
    """Teach a cattrs converter the types of this library, for your own attrs classes that hold them.

    Models are read and written in wire spelling, by the rules of ``load`` and ``dump``. Open enums
    are their text; one nobody knew yet is kept. An attribute whose default is UNSET is left out of
    what is written as long as it is UNSET.

    Args:
        converter: A ``cattrs.Converter``.
    """

    def may_lack(cls: Any) -> bool:
        return attrs.has(cls) and any(each.default is UNSET for each in attrs.fields(cls))

    def without_unset(value: Any) -> dict[str, Any]:
        found = {each.name: getattr(value, each.name) for each in attrs.fields(type(value))}
        return {name: converter.unstructure(one) for name, one in found.items() if one is not UNSET}

    def given(data: Any, hint: Any) -> Any:
        inner, nullable = unwrap(hint)
        return None if data is None and nullable else converter.structure(data, inner)

    # The one registered last is asked first; enums go by their class, before all functions.
    converter.register_unstructure_hook_func(may_lack, without_unset)
    converter.register_structure_hook_func(lambda hint: Unset in get_args(hint), given)
    converter.register_structure_hook_func(is_model, lambda data, cls: load(cls, data))
    converter.register_unstructure_hook_func(is_model, dump)
    converter.register_structure_hook(OpenEnum, lambda data, cls: load(cls, data))
    converter.register_unstructure_hook(OpenEnum, str)
