"""Loaders for objects whose keys have come in the same order before, as those of a list do.

Such an object is taken apart all at once instead of key by key, each value is tested for what its
field usually holds, and the first surprise hands the object to the loader that knows them all.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final, Protocol, cast, get_args, get_origin

from .model import NOTHING, OpenEnum, is_model
from .spelling import ODD, Spelling, same

MEETINGS: Final = 50
"""So often must keys have come in one order before they get a loader: to make one takes a while."""
SHAPES: Final = 16
"""How many loaders a model gets; a sender who never sends the same keys twice fills no memory."""
_KEYS: Final = 64
_TEXTS: Final = 1000
_LONGEST_TEXT: Final = 40

Load = Callable[[Any], Any]
Compact = Callable[[dict[str, Any]], Mapping[str, Any]]


class Field(Protocol):
    """What matters here of a field; see ``codec.Field``."""

    @property
    def name(self) -> str:
        """Its attribute."""
        ...

    @property
    def wire(self) -> str:
        """Its key."""
        ...

    @property
    def hint(self) -> Any:
        """Its type."""
        ...

    @property
    def spelling(self) -> Spelling:
        """How its values are spelled."""
        ...


class Shapes:
    """The loaders of one model, by the keys of an object in their order.

    Args:
        cls: The model's class.
        plan: Its fields.
        nested: Gives the loader of another model.
        null: What is kept for a field that came as null.
        compact: Makes one mapping of equal ones.
    """

    def __init__(
        self, cls: type, plan: Sequence[Field], *, nested: Callable[[Any], Load], null: Any, compact: Compact
    ) -> None:
        self.loaders: dict[tuple[str, ...], Load] = {}
        self._met: dict[tuple[str, ...], int] = {}
        self._cls = cls
        self._plan = plan
        self._nested = nested
        self._null = null
        self._compact = compact

    def meet(self, shape: tuple[str, ...]) -> None:
        """Count an object for which there is no loader yet, and make one when it is worth it."""
        if not 0 < len(shape) <= _KEYS or len(self.loaders) >= SHAPES or shape in self.loaders:
            return
        if len(self._met) >= _KEYS:
            self._met.clear()
        times = self._met[shape] = self._met.get(shape, 0) + 1
        if times >= MEETINGS:
            del self._met[shape]
            self.loaders[shape] = self._made(shape)

    def _made(self, shape: tuple[str, ...]) -> Load:
        names: dict[str, Any] = {
            "new": object.__new__,
            "cls": self._cls,
            "NOTHING": NOTHING,
            "kept": self._kept(shape),
            "keys": shape,
        }
        places = {key: index for index, key in enumerate(shape)}
        lines = [
            "def load(data):",
            f" {''.join(f'v{index}, ' for index in range(len(shape)))} = data.values()",
        ]
        lines += [" nulls = 0"] if shape else []
        values = dict.fromkeys((each.name for each in self._plan), "None")
        for each in self._plan:
            index = places.pop(each.wire, None)
            if index is not None:
                lines += self._tested(each, index, names)
                values[each.name] = f"v{index}"
        rest = ", ".join(f"keys[{index}]: v{index}" for index in places.values())
        values["extra"] = f"{{{rest}}}" if rest else "NOTHING"
        values["_kept"] = "kept(nulls) if nulls else NOTHING"
        lines += _built(self._cls, values, names)
        exec("\n".join(lines), names)  # noqa: S102  only names of our own fields are in it
        return cast("Load", names["load"])

    def _kept(self, shape: tuple[str, ...]) -> Callable[[int], Mapping[str, Any]]:
        """``nulls -> what is kept``, for the bits of those places that were null."""
        ordered = [(1 << shape.index(each.wire), each.name) for each in self._plan if each.wire in shape]
        known: dict[int, Mapping[str, Any]] = {}

        def kept(nulls: int) -> Mapping[str, Any]:
            found = known.get(nulls)
            if found is None:
                found = self._compact({name: self._null for bit, name in ordered if nulls & bit})
                if len(known) < _KEYS:
                    known[nulls] = found
            return found

        return kept

    def _tested(self, each: Field, index: int, names: dict[str, Any]) -> list[str]:
        """Lines that turn a raw value into the field's, note a null, or give up."""
        hint, exact, it = each.hint, each.spelling.exact, f"v{index}"
        item = get_args(hint)[0] if get_origin(hint) is list else None
        null = f" elif {it} is None: nulls |= {1 << index}"
        if exact is object:
            return [f" if {it} is None: nulls |= {1 << index}"]
        if exact is not None:
            names[f"exact{index}"] = exact
            return [
                f" if {it}.__class__ is not exact{index}:",
                f"  if {it} is not None: return None",
                f"  nulls |= {1 << index}",
            ]
        if is_model(hint) or (item is not None and is_model(item)):
            names[f"nested{index}"] = self._nested(hint if item is None else item)
            made = f"nested{index}({it})" if item is None else f"[nested{index}(row) for row in {it}]"
            kind = "dict" if item is None else "list"
            return [f" if {it}.__class__ is {kind}: {it} = {made}", null, " else: return None"]
        if isinstance(hint, type) and issubclass(hint, OpenEnum):
            names[f"known{index}"] = {
                str(text): member for text, member in hint._value2member_map_.items()
            }.get
            return [
                f" if {it}.__class__ is str:",
                f"  {it} = known{index}({it})",
                f"  if {it} is None: return None",
                null,
                " else: return None",
            ]
        names[f"known{index}"], names[f"read{index}"] = _recalled(each.spelling, hint)
        return [
            f" if {it} is None: nulls |= {1 << index}",
            " else:",
            f"  value = known{index}({it}) if {it}.__class__ is str else None",
            f"  if value is None: value = read{index}({it})",
            "  if value is None: return None",
            f"  {it} = value",
        ]


def _recalled(spelling: Spelling, hint: Any) -> tuple[Load, Load]:
    """What is remembered of texts, and the reading of one that is spelled as we would spell it.

    Rows of one list share dates and prices; the values cannot be changed, so they may be shared too.
    """
    known: dict[str, Any] = {}
    shareable = hint in {datetime, date, Decimal}

    def read(raw: Any) -> Any:
        try:
            value = spelling.load(raw)
            if not same(spelling.dump(value), raw):
                return None
        except ODD:
            return None
        if shareable and raw.__class__ is str and len(raw) <= _LONGEST_TEXT:
            if len(known) >= _TEXTS:
                known.clear()
            known[raw] = value
        return value

    return known.get, read


def _built(cls: type, values: Mapping[str, str], names: dict[str, Any]) -> list[str]:
    """Lines that make an instance.

    Our classes are frozen: to set a field takes a call of its slot. An instance of a class that is laid
    out alike and not frozen takes its fields three times as fast, and becomes one of ours at the end.
    """
    twin = _twin(cls)
    if twin is not None:
        names["twin"] = twin
        fields = [f" self.{name} = {value}" for name, value in values.items()]
        return [" self = new(twin)", *fields, " self.__class__ = cls", " return self"]
    names |= {f"set_{name}": slot(cls, name) for name in values}
    fields = [f" set_{name}(self, {value})" for name, value in values.items()]
    return [" self = new(cls)", *fields, " return self"]


def _twin(cls: type) -> type | None:
    """A class laid out like a model's, whose instances can be changed; None where there can be none."""
    if not getattr(sys, "_is_gil_enabled", lambda: True)():
        return None  # without the lock, a change of class stops every thread
    layout = {"__slots__": cls.__dict__.get("__slots__", ()), "__module__": __name__}
    free = {"__setattr__": object.__setattr__, "__delattr__": object.__delattr__}
    try:
        twin = type(cls.__name__, cls.__bases__, {**layout, **free})
        instance: Any = object.__new__(twin)
        instance.__class__ = cls
    except TypeError:
        return None
    return twin


def slot(cls: type, name: str) -> Callable[[Any, Any], None]:
    """What sets a field of a frozen instance."""
    for base in cls.__mro__:
        if name in base.__dict__:
            return cast("Callable[[Any, Any], None]", base.__dict__[name].__set__)
    raise AttributeError(name)
