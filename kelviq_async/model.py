"""What arguments and answers are made of: models, open enums, UNSET, and how a field is declared.

A model tolerates whatever Kelviq sends: a documented field that is missing or oddly typed reads as
None, what came is kept beside it, and fields nobody knew yet are in ``extra``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum, StrEnum
from typing import (
    Any,
    ClassVar,
    Final,
    Literal,
    NoReturn,
    Self,
    TypeVar,
    cast,
    dataclass_transform,
    get_origin,
)

import attrs

T = TypeVar("T")


class Unset(Enum):
    """The type of UNSET, for annotations."""

    UNSET = "UNSET"

    def __repr__(self) -> str:
        """Just the name."""
        return "UNSET"

    def __bool__(self) -> Literal[False]:
        """False, as nothing was given."""
        return False


UNSET: Final = Unset.UNSET
"""Leave it alone: the field is not sent. None, where a field allows it, sets it to null."""


class OpenEnum(StrEnum):
    """Texts with a meaning, of which Kelviq may know more than this version does.

    A value nobody knew yet is a str like any other: it compares, hashes and pickles as its text,
    and ``known`` is False.
    """

    @classmethod
    def other(cls, text: str) -> Self:
        """A value this version does not know, on purpose; the known member where there is one."""
        found = cls._value2member_map_.get(cls._aliases().get(text, text))
        if found is not None:
            return cast("Self", found)
        value = str.__new__(cls, text)
        value._name_ = text
        value._value_ = text
        return value

    @classmethod
    def _aliases(cls) -> Mapping[str, str]:
        """Old spellings and what they mean now."""
        return {}

    @property
    def known(self) -> bool:
        """Whether this version knows the value."""
        return str(self) in type(self)._value2member_map_

    def __reduce_ex__(self, protocol: object) -> tuple[Any, ...]:
        """Pickle by text, so that unknown values survive too."""
        return type(self).other, (str(self),)

    def __copy__(self) -> Self:
        """Itself: values do not change."""
        return self

    def __deepcopy__(self, memo: object) -> Self:
        """Itself: values do not change."""
        return self


class _Nothing(dict[str, Any]):
    """One empty mapping that all models share: a dict for each would cost 64 bytes an object."""

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        message = "this mapping is shared and cannot be changed"
        raise TypeError(message)

    __setitem__ = __delitem__ = update = setdefault = pop = popitem = clear = __ior__ = _refuse  # pyright: ignore[reportAssignmentType]

    def __reduce__(self) -> str:
        return "NOTHING"

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self


NOTHING: Final[Mapping[str, Any]] = _Nothing()


def field(
    *,
    default: Any = attrs.NOTHING,
    factory: Callable[[], Any] | None = None,
    kw_only: bool | None = None,
    secret: bool = False,
    name: str | None = None,
    provisional: str | None = None,
    form: str | None = None,
    query: bool = False,
    required: bool = False,
) -> Any:
    """Declare a field of a request or a model.

    Args:
        default: Value where none is given; without one the argument is required.
        factory: Makes the default value.
        kw_only: Whether a request takes it by keyword only.
        secret: Whether reprs hide it.
        name: Its name on the wire, where that is not the camelCase of this one.
        provisional: Where it is known from, for fields the published OpenAPI does not list.
        form: How the wire spells it: ``"number"`` for money sent as a JSON number (or free-form data
            that holds some), ``"id"`` for an identifier that may arrive as a number, or a
            ``strftime`` format for a time.
        query: Whether a write sends it in the query instead of the body.
        required: Whether a nested input must have it, although its constructor takes it by name.
    """
    metadata = {
        key: value
        for key, value in {
            "secret": secret,
            "name": name,
            "provisional": provisional,
            "form": form,
            "query": query,
            "required": required,
        }.items()
        if value
    }
    if factory is not None:
        default = attrs.Factory(factory)
    # attrs takes False, not None, for "not keyword only"
    return attrs.field(default=default, kw_only=bool(kw_only), repr=not secret, metadata=metadata)


def _names(extra: Mapping[str, Any]) -> str:
    """Only the names: nobody knows whether the value of an unknown field is a secret."""
    return f"<{', '.join(extra)}>" if extra else "{}"


@attrs.frozen(kw_only=True, slots=True, weakref_slot=False)
class Model:
    """Base of every answer and nested value.

    Attributes:
        extra: Fields that this version does not know, as they came.
    """

    spelling: ClassVar[Literal["camel", "snake"]] = "camel"

    extra: Mapping[str, Any] = attrs.field(default=NOTHING, repr=_names)
    _kept: Mapping[str, Any] = attrs.field(default=NOTHING, repr=False, eq=False)


def is_model(hint: Any) -> bool:
    """Whether a type is a model, or a generic one with its arguments."""
    origin = get_origin(hint) or hint
    return isinstance(origin, type) and issubclass(origin, Model)


def _lenient(_: type, fields: list[attrs.Attribute[Any]]) -> list[attrs.Attribute[Any]]:
    """None for what is missing, and the base's own fields last in reprs."""
    own = [f.evolve(default=None) if f.default is attrs.NOTHING else f for f in fields]
    return sorted(own, key=lambda f: f.name in {"extra", "_kept"})


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(field,))
def model(cls: type[T]) -> type[T]:
    """Make a class a model: frozen, slotted, keyword-only, and lenient about what is missing."""
    made: Any = attrs.define(
        cls, frozen=True, slots=True, weakref_slot=False, kw_only=True, field_transformer=_lenient
    )
    made.__hash__ = None  # lists and dicts are in them: say so by the model's name
    return cast("type[T]", made)
