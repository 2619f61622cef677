"""Requests, and how a class becomes one operation of the API.

A request is a value: it knows where it goes and what comes back. A namespace hangs requests on the
client under short names. Everything else (sending, the blocking twin, the emulator's routes, the
command line, the contract tests) is driven by the registry that the decorators below fill.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import pkgutil
import re
import typing
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from typing import (
    Any,
    ClassVar,
    Final,
    Generic,
    NamedTuple,
    ParamSpec,
    Protocol,
    Self,
    TypeVar,
    dataclass_transform,
    get_args,
    overload,
)
from urllib.parse import quote

import attrs

from . import codec
from .checks import (
    check_fields,
    invalid as invalid,  # noqa: PLC0414  areas know of requests only
    path_segment,
)
from .config import (
    Host,
    Key as Key,  # noqa: PLC0414  likewise
    Options,
)
from .model import UNSET, Model, field, model
from .parsing import parse
from .stream import Stream

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
C = TypeVar("C")

KEEP: Final = object()
"""Stands for "as the client has it" where None means something."""
CORE: Final = Host.CORE
EDGE: Final = Host.EDGE


_PLAIN: Final = re.compile(r"[A-Za-z0-9_.~-]*")


def quoted(text: str) -> str:
    """A text as it stands in an address; most need no encoding, and to see that is quicker."""
    return text if _PLAIN.fullmatch(text) else quote(text, safe="")


class Wire(NamedTuple):
    """A request as HTTP sees it, before host and key.

    Attributes:
        path: Encoded path, without ``/api/v1``.
        query: Query parameters.
        body: Plain JSON data, or None where no body is sent.
    """

    path: str
    query: dict[str, str]
    body: Any


@attrs.frozen(eq=False)
class Operation:
    """One HTTP operation of the Kelviq API.

    Attributes:
        name: The request's class name.
        method: GET, POST, PATCH or DELETE.
        path: Template with Python names in braces.
        host: CORE or EDGE.
        keys: Kinds of key, in order of preference; empty where none is needed.
        request: The request class.
        response: What the answer is loaded as; None where there is nothing to load.
        answers: Statuses beside 2xx that are answers too, and what they are loaded as.
        provisional: Whether the published OpenAPI does not list it.
        source: Where a provisional operation is known from.
        repeatable: Whether a request of this kind may be sent again while its fate is unknown; a
            request class may decide by value instead.
    """

    name: str
    method: str
    path: str
    host: Host
    keys: tuple[Key, ...]
    request: type[Request[Any]] = attrs.field(repr=False)
    response: Any = attrs.field(repr=False)
    answers: Mapping[int, Any] = attrs.field(repr=False)
    source: str
    repeatable: bool

    @property
    def provisional(self) -> bool:
        """Whether it is known from elsewhere than the published OpenAPI."""
        return bool(self.source)

    @property
    def area(self) -> str:
        """Name of the module that describes it, such as ``customers``."""
        return self.request.__module__.rpartition(".")[2]

    @functools.cached_property
    def path_names(self) -> tuple[str, ...]:
        """Names of the fields that go into the path."""
        return tuple(re.findall(r"{(\w+)}", self.path))

    @property
    def summary(self) -> str:
        """First line of the request's docstring."""
        return (inspect.getdoc(self.request) or "").partition("\n")[0]

    @functools.cached_property
    def fields(self) -> tuple[codec.Field, ...]:
        """All fields of the request."""
        return codec.fields(self.request)

    @functools.cached_property
    def query_fields(self) -> tuple[codec.Field, ...]:
        """The fields sent in the query."""
        in_query = self.method in {"GET", "DELETE"}
        rest = [each for each in self.fields if each.name not in self.path_names]
        return tuple(each for each in rest if in_query or each.metadata.get("query"))

    @functools.cached_property
    def _query(self) -> tuple[tuple[codec.Field, str, str], ...]:
        """The fields sent in the query, with their attributes and keys."""
        return tuple((each, each.name, each.metadata.get("name") or each.name) for each in self.query_fields)

    @functools.cached_property
    def body_fields(self) -> tuple[codec.Field, ...]:
        """The fields sent in the JSON body."""
        elsewhere = {*self.path_names, *(each.name for each in self.query_fields)}
        return tuple(each for each in self.fields if each.name not in elsewhere)

    def render(self, request: Request[Any]) -> Wire:
        """The request as HTTP sees it.

        Raises:
            InvalidRequest: A value cannot stand in a path.
        """
        path = self.path
        for name in self.path_names:
            segment = path_segment(name, getattr(request, name))
            path = path.replace(f"{{{name}}}", quoted(segment), 1)
        query = {}
        for each, name, key in self._query:
            value = getattr(request, name)
            if value is not None and value is not UNSET:
                query[key] = value if value.__class__ is str else codec.query_text(each, value)
        if self.method in {"GET", "DELETE"}:
            return Wire(path, query, None)
        return Wire(path, query, codec.dump_fields(self.body_fields, request))

    def parse(self, path: Mapping[str, str], query: Mapping[str, str], body: Any) -> Request[Any]:
        """The request that HTTP brought; the inverse of ``render``.

        Takes snake_case and camelCase names alike, ignores what it does not know, and does not ask
        whether the values make sense.

        Args:
            path: Path parameters by Python name, decoded.
            query: Query parameters.
            body: Decoded JSON, or None.

        Raises:
            InvalidRequest: Something required is missing or of the wrong type; ``fields`` names it.
        """
        request: Request[Any] = parse(self, path, query, body)
        return request

    def key(self, request: Request[Any]) -> bytes:
        """Canonical bytes: equal for requests that ask for the same."""
        path, query, body = self.render(request)
        return codec.encode([self.method, self.host, path, sorted(query.items()), codec.canonical(body)])


class Request(Generic[R]):
    """Base of all requests. ``R`` is what comes back."""

    __slots__ = ()

    operation: ClassVar[Operation]
    __hash__ = None  # type: ignore[assignment]  # fields may hold dicts; layers key by operation.key

    @property
    def repeatable(self) -> bool:
        """Whether it may be sent again while the fate of the first copy is unknown."""
        return self.operation.repeatable

    def check(self) -> None:
        """Refuse what cannot be right, before anything is sent.

        Raises:
            InvalidRequest: ``fields`` names the argument.
        """
        check_fields(self.operation.fields, self, self.operation.path_names)

    def read(self, status: int, data: Any, headers: Mapping[str, str]) -> R:  # noqa: ARG002  for those who refine it
        """The answer out of decoded JSON.

        Args:
            status: A 2xx, or one of the operation's ``answers``.
            data: Decoded JSON, or None where the body was empty.
            headers: The answer's headers.

        Raises:
            CodecError: The data is no such answer.
        """
        shape = self.operation.answers.get(status, self.operation.response)
        if data is None and (status == 204 or self.operation.method == "DELETE"):
            data = {}
        answer: R = codec.load(shape, data)
        return answer


_registry: dict[str, Operation] = {}


def _answer_type(cls: type) -> Any:
    for base in getattr(cls, "__orig_bases__", ()):
        if getattr(base, "__origin__", None) is Request:
            return get_args(base)[0]
    message = f"{cls.__name__} must derive from Request[...]"
    raise TypeError(message)


KeyChoice = Key | Sequence[Key] | None


def _registering(  # noqa: PLR0917  only the decorators below call it
    method: str,
    path: str,
    host: Host,
    key: KeyChoice,
    answers: Mapping[int, Any] | None,
    provisional: str | None,
    *,
    repeatable: bool,
) -> Callable[[type[C]], type[C]]:
    def register(cls: type[C]) -> type[C]:
        made: Any = attrs.define(cls, frozen=True, slots=True, weakref_slot=False, unsafe_hash=False)
        response = _answer_type(cls)
        made.operation = _registry[made.__name__] = Operation(
            name=made.__name__,
            method=method,
            path=path,
            host=host,
            keys=() if key is None else (key,) if isinstance(key, Key) else tuple(key),
            request=made,
            response=None if response is type(None) else response,
            answers=answers or {},
            source=provisional or "",
            repeatable=repeatable,
        )
        return typing.cast("type[C]", made)

    return register


# mypy does not see dataclass_transform through an alias or a wrapper, so each verb is spelled out.


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def get(
    path: str,
    *,
    host: Host = CORE,
    key: KeyChoice = Key.SERVER,
    answers: Mapping[int, Any] | None = None,
    provisional: str | None = None,
) -> Callable[[type[C]], type[C]]:
    """Make a class the request of a GET.

    Args:
        path: Template; names in braces are fields of the class, the other fields are the query.
        host: CORE or EDGE.
        key: The kind of key it needs, a list to fall back along, or None.
        answers: Statuses beside 2xx that are answers, and what they are loaded as.
        provisional: Where it is known from, if the published OpenAPI does not list it.
    """
    return _registering("GET", path, host, key, answers, provisional, repeatable=True)


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def post(
    path: str,
    *,
    host: Host = CORE,
    key: KeyChoice = Key.SERVER,
    answers: Mapping[int, Any] | None = None,
    provisional: str | None = None,
    repeatable: bool = False,
) -> Callable[[type[C]], type[C]]:
    """Make a class the request of a POST, whose other fields are the JSON body; else as ``get``.

    ``repeatable`` says that doing it twice is the same as doing it once.
    """
    return _registering("POST", path, host, key, answers, provisional, repeatable=repeatable)


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def patch(
    path: str,
    *,
    host: Host = CORE,
    key: KeyChoice = Key.SERVER,
    answers: Mapping[int, Any] | None = None,
    provisional: str | None = None,
    repeatable: bool = False,
) -> Callable[[type[C]], type[C]]:
    """Make a class the request of a PATCH, whose other fields are the JSON body; else as ``post``."""
    return _registering("PATCH", path, host, key, answers, provisional, repeatable=repeatable)


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def delete(
    path: str,
    *,
    host: Host = CORE,
    key: KeyChoice = Key.SERVER,
    answers: Mapping[int, Any] | None = None,
    provisional: str | None = None,
    repeatable: bool = False,
) -> Callable[[type[C]], type[C]]:
    """Make a class the request of a DELETE, whose other fields are the query; else as ``post``."""
    return _registering("DELETE", path, host, key, answers, provisional, repeatable=repeatable)


def operations() -> Iterator[Operation]:
    """Every operation of the API, by area and in the order they are written.

    Loads all areas, which takes a moment; clients load an area when it is first touched.
    """
    package = importlib.import_module(f"{__package__}.api")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")
    yield from sorted(_registry.values(), key=lambda operation: operation.area)


@model
class Page(Model, Generic[T]):
    """One page of a list.

    Attributes:
        results: The rows.
        count: How many rows there are on all pages together.
        next: Link to the next page, or None on the last. Only its number is ever used.
        previous: Link to the page before, or None on the first.
    """

    results: list[T]
    count: int
    next: str | None = field(default=None, secret=True)  # it repeats the query, with emails in it
    previous: str | None = field(default=None, secret=True)


class Send(Protocol):
    """Turns a request into its answer. HTTP, retry and cache are all this."""

    async def __call__(self, request: Request[R], options: Options, /) -> R:
        """Send it."""
        ...


Layer = Callable[[Send], Send]


class Namespace:
    """The requests of one area, hung on a client under short names."""

    def __init__(self, client: Any) -> None:
        self._client = client


F = TypeVar("F", bound=Callable[..., Any])


def at_hand(name: str) -> Callable[[F], F]:
    """Say that a plain method of the same namespace may know the answer of an async one at once.

    The blocking twin asks that method first, in the caller's thread; None means that it does not know.

    Args:
        name: The plain method; it takes the same arguments.
    """

    def mark(function: F) -> F:
        function.at_hand = name  # type: ignore[attr-defined]
        return function

    return mark


class _Method(Generic[P, R]):
    """A method of a namespace whose signature is a request's constructor."""

    def __init__(self, request: Callable[P, Request[R]]) -> None:
        self.request: Any = request
        self.__doc__ = request.__doc__
        self.name = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @functools.cached_property
    def __signature__(self) -> inspect.Signature:
        signature = inspect.signature(self.request)
        return signature.replace(return_annotation=self.request.operation.response)

    def _named(self, function: Any) -> Any:
        function.__name__ = self.name
        function.__doc__ = self.__doc__
        function.__wrapped__ = self.request
        return function


class call(_Method[P, R]):  # noqa: N801  reads as a word in a namespace: ``cancel = call(CancelSubscription)``
    """A method that sends one request: ``cancel = call(CancelSubscription)``."""

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: Namespace, owner: type) -> Callable[P, Coroutine[object, None, R]]: ...
    def __get__(self, instance: Namespace | None, owner: type) -> Any:
        """The bound method; made once for each namespace object."""
        if instance is None:
            return self
        send, request = instance._client.send, self.request

        def method(*args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:
            answer: Coroutine[Any, Any, R] = send(request(*args, **kwargs))
            return answer

        instance.__dict__[self.name] = method
        return self._named(method)


class pages(_Method[P, Page[T]]):  # noqa: N801  as ``call``
    """A method that walks a list page by page: ``each = pages(ListSubscriptions)``."""

    def __init__(self, request: Callable[P, Request[Page[T]]]) -> None:
        super().__init__(request)
        self.__doc__ = f"Every row of the list, fetched page by page.\n\n{inspect.getdoc(request)}"

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: Namespace, owner: type) -> Callable[P, Stream[T]]: ...
    def __get__(self, instance: Namespace | None, owner: type) -> Any:
        """The bound method; made once for each namespace object."""
        if instance is None:
            return self
        walk, request = instance._client.pages, self.request

        def method(*args: P.args, **kwargs: P.kwargs) -> Stream[T]:
            rows: Stream[T] = walk(request(*args, **kwargs))
            return rows

        instance.__dict__[self.name] = method
        return self._named(method)
