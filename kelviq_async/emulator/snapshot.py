"""A world as plain JSON data, and back. The only file that knows cattrs.

Times are ISO texts. What JSON cannot say exactly, inside the objects that users and requests brought,
is an object with one name that starts with a dollar sign: ``{"$decimal": "1.10"}``, and
``{"$object": [[name, value], …]}`` for an object that has such a name itself.
"""

from __future__ import annotations

import functools
import heapq
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Final, get_args, get_origin

import attrs

from .core import Core
from .registry import is_timer
from .state import State

VERSION: Final = 1

_WRONG: Final = (ValueError, TypeError, KeyError, AttributeError, ArithmeticError, RecursionError)


def taken(world: Core) -> dict[str, Any]:
    """The snapshot of a world.

    Args:
        world: The world, with its lock held.
    """
    version, numbers, gauss = world.random.getstate()
    return {
        "version": VERSION,
        "now": world.now().isoformat(),
        "chance": [version, list(numbers), gauss],
        "state": _converter().unstructure(world.state),
    }


def put_back(world: Core, data: Any) -> None:
    """Make a world what a snapshot says.

    Args:
        world: The world, with its lock held.
        data: The snapshot.

    Raises:
        ValueError: It is damaged or of another version; nothing was changed.
    """
    if not isinstance(data, Mapping) or "version" not in data:
        raise ValueError("this is no snapshot of a world")
    if data["version"] != VERSION:
        raise ValueError(
            f"this snapshot is of version {data['version']!r}; this emulator reads version {VERSION}"
        )
    try:
        now = _moment(data["now"])
        version, numbers, gauss = data["chance"]
        chance = type(world.random)()
        chance.setstate((version, tuple(numbers), gauss))
        state = _state(data["state"])
    except _WRONG as error:
        raise ValueError(f"this snapshot is damaged: {type(error).__name__}: {error}") from None
    world.state, world.random = state, chance
    world.clock.jump(now)


def _state(data: Any) -> State:
    converter = _converter()
    missing = [each.name for each in attrs.fields(State) if each.name not in data]
    if missing:
        raise ValueError(f"{', '.join(missing)} is missing")
    try:
        state: State = converter.structure(data, State)
    except ExceptionGroup as group:
        raise ValueError(_first(group)) from None
    unknown = {row.kind for row in state.agenda if not is_timer(row.kind)}
    if unknown:
        raise ValueError(f"nobody knows what is to happen: {', '.join(sorted(unknown))}")
    for row in state.subscriptions.values():
        versions = {plan.version for plan in state.plans.get(row.plan_identifier, ())}
        if row.customer_id not in state.customers or row.plan_version not in versions:
            raise ValueError(f"subscription {row.id} has no customer or no plan")
    heapq.heapify(state.agenda)
    return state


def _first(group: BaseException) -> str:
    """The first thing that is wrong, in words."""
    while isinstance(group, BaseExceptionGroup):
        group = group.exceptions[0]
    notes = getattr(group, "__notes__", ())
    return " ".join([str(group) or type(group).__name__, *map(str, notes)])


@functools.cache
def _converter() -> Any:
    import cattrs  # noqa: PLC0415  only who keeps a world pays for it

    converter = cattrs.Converter(forbid_extra_keys=True)
    converter.register_unstructure_hook(datetime, datetime.isoformat)
    converter.register_unstructure_hook(date, date.isoformat)
    converter.register_structure_hook(datetime, lambda raw, _: _moment(raw))
    converter.register_structure_hook(date, lambda raw, _: date.fromisoformat(raw))
    for kind in (str, int, bool, float):
        converter.register_structure_hook(kind, _exactly(kind))
    converter.register_unstructure_hook_func(
        _is_numbered, lambda rows: {str(number): converter.unstructure(row) for number, row in rows.items()}
    )
    converter.register_unstructure_hook(str, str)  # words of an enum are texts like others
    converter.register_structure_hook_func(_is_numbered, lambda raw, kind: _numbered(converter, raw, kind))
    loose = {dict[str, Any], list[dict[str, Any]], dict[str, dict[str, Any]], Any}
    converter.register_unstructure_hook_func(lambda kind: kind in loose, _plain)
    converter.register_structure_hook_func(
        lambda kind: kind in loose, lambda raw, kind: _of_kind(_exact(raw), kind)
    )
    return converter


def _exactly(kind: type) -> Any:
    def structure(raw: Any, _: Any) -> Any:
        if raw.__class__ is kind or (kind is float and raw.__class__ is int):
            return raw
        raise TypeError(f"{kind.__name__} expected, not {type(raw).__name__}")

    return structure


def _is_numbered(kind: Any) -> bool:
    return get_origin(kind) is dict and get_args(kind)[0] is int


def _numbered(converter: Any, raw: Any, kind: Any) -> dict[int, Any]:
    """Rows by number; JSON's names are texts."""
    return {int(name): converter.structure(row, get_args(kind)[1]) for name, row in raw.items()}


def _of_kind(raw: Any, kind: Any) -> Any:
    wanted = list if get_origin(kind) is list else object if kind is Any else dict
    rows = raw if wanted is list else raw.values() if kind == dict[str, dict[str, Any]] else ()
    if not isinstance(raw, wanted) or not all(isinstance(row, dict) for row in rows):
        raise TypeError(f"{kind} expected, not {type(raw).__name__}")
    return raw


def _moment(raw: Any) -> datetime:
    moment = datetime.fromisoformat(raw)
    if moment.tzinfo is None:
        raise ValueError(f"{raw} has no time zone")
    return moment.astimezone(UTC)


def _plain(value: Any) -> Any:
    """What came with requests, as JSON can say it."""
    if isinstance(value, Mapping):
        rows = {str(name): _plain(each) for name, each in value.items()}
        odd = any(name.startswith("$") for name in rows)
        return {"$object": [[name, each] for name, each in rows.items()]} if odd else rows
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, Decimal):
        return {"$decimal": str(value)}
    if isinstance(value, str):
        return str(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    raise TypeError(f"a {type(value).__name__} cannot be kept in a snapshot")


def _exact(value: Any) -> Any:
    """The inverse of ``_plain``."""
    if isinstance(value, dict):
        if "$decimal" in value:
            return Decimal(value["$decimal"])
        if "$object" in value:
            return {name: _exact(each) for name, each in value["$object"]}
        return {name: _exact(each) for name, each in value.items()}
    return [_exact(each) for each in value] if isinstance(value, list) else value
