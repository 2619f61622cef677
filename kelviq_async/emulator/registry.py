"""Which function handles which operation, and what happens when its time has come."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Callable, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

from ..model import Model
from ..request import Page, Request

S = TypeVar("S")
Q = TypeVar("Q", bound=Request[Any])


class Handler(NamedTuple):
    """A function ``(world, request) -> answer`` and the status its answers have.

    An answer is a model, ``Listed`` rows, a ``Reply``, or None for no body.
    """

    function: Callable[[Any, Any], Any]
    status: int
    page_size: int


class Listed(NamedTuple, Generic[S]):
    """Rows of a list, of which the dispatcher takes the page that was asked for.

    Attributes:
        rows: All rows, in the order they are listed.
        show: Turns a row into what the API shows.
    """

    rows: Sequence[S]
    show: Callable[[S], Model]


class Reply(NamedTuple):
    """An answer with a status or headers of its own.

    Attributes:
        status: HTTP status.
        answer: A model, plain JSON data, or None for no body.
        headers: Further headers.
    """

    status: int
    answer: Any
    headers: dict[str, str]


_handlers: dict[type[Request[Any]], Handler] = {}
_timers: dict[str, Callable[[Any, str], None]] = {}


def handles(
    request: type[Q], *, status: int = 200, page_size: int = 10
) -> Callable[[Callable[[Any, Q], Any]], Callable[[Any, Q], Any]]:
    """Make a function the handler of an operation.

    Args:
        request: The request class.
        status: Status of a good answer.
        page_size: Rows on a page where the caller names no number.
    """

    def register(function: Callable[[Any, Q], Any]) -> Callable[[Any, Q], Any]:
        _handlers[request] = Handler(function, status, page_size)
        return function

    return register


def due(kind: str) -> Callable[[Callable[[Any, str], None]], Callable[[Any, str], None]]:
    """Make a function ``(world, key)`` what happens when an entry of this kind is due.

    Entries are never taken off the agenda: the function looks whether its row still wants it.
    """

    def register(function: Callable[[Any, str], None]) -> Callable[[Any, str], None]:
        _timers[kind] = function
        return function

    return register


@functools.cache
def _loaded() -> None:
    package = importlib.import_module(f"{__package__}.handlers")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")


def handler_of(request: type[Request[Any]]) -> Handler | None:
    """The handler of an operation, or None where there is none yet."""
    _loaded()
    return _handlers.get(request)


def timer_of(kind: str) -> Callable[[Any, str], None]:
    """What happens when an entry of this kind is due."""
    _loaded()
    return _timers[kind]


def is_timer(kind: str) -> bool:
    """Whether anybody knows what happens when such an entry is due."""
    _loaded()
    return kind in _timers


def whole(models: Sequence[Model]) -> Page[Any]:
    """A list that is shaped like a page and always comes whole."""
    return Page(results=list(models), count=len(models))
