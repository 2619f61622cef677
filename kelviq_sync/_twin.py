"""Writes the blocking client: one class for each namespace, every method spelled out."""

from __future__ import annotations

import ast
import builtins
import importlib
import inspect
import json
import re
import sys
import textwrap
from collections.abc import Iterable, Sequence
from enum import Enum
from inspect import Parameter
from types import FunctionType
from typing import Any, Final, TypeVar

import attrs

from kelviq_async.model import UNSET
from kelviq_async.request import KEEP, Namespace, call, pages

from ._blocking import Blocking
from ._found import NoTwin, Origin, answer_of, described, origins
from ._layout import WIDTH, fitted, nested, over, sections, wrapped

PRIVATE: Final = {"track", "carry", "entitlement_cache", "recorder", "shared_cache"}
"""Public on the async client for its own parts only."""
BLOCKING: Final = {
    Origin("kelviq_async.stream", "Source"): Origin("collections.abc", "Iterable"),
    Origin("kelviq_async.stream", "Stream"): Origin("kelviq_sync._rows", "Rows"),
    Origin("contextlib", "AbstractAsyncContextManager"): Origin("contextlib", "AbstractContextManager"),
}
"""Types, and what stands for them here."""
OUTER: Final = {"Stream": "Rows", "AbstractAsyncContextManager": "Scope"}
"""What a blocking method makes of such an object."""
LOCAL: Final = {"kelviq_sync._rows"}
"""What the head of the file imports anyway."""
ANYWHERE: Final = (
    "Any thread may use it, and so may a forked child, which opens connections of its own. "
    "Functions that you hand in are called on a thread of the library."
)
WORDS: Final = (
    ("iterable or async iterable", "iterable"),
    ("pulled as room allows", "read ahead as room allows"),
    (" The sync client's is a plain iterator.", ""),
    ("``async with``", "``with``"),
    (" (plain or async)", ""),
    ("A client belongs to the event loop it first ran on.", ANYWHERE),
)
"""What docstrings say about the async client -> what holds for the blocking one."""
HEAD: Final = '''\
"""The blocking twin of ``kelviq_async``: the same API without ``await``."""

from __future__ import annotations
'''


class _Writer:
    """Collects the lines of the blocking client, and the names that they need."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.variables: set[str] = set()
        self.at_run_time: dict[str, Origin] = {}
        self.for_checkers: dict[str, Origin] = {}
        self._members: set[str] = set()  # of the class that is being written

    # Types

    def type_of(self, annotation: Any, module: str) -> str:
        """An annotation of a module as the blocking client writes it; notes what its names are."""
        if annotation is None:
            return "None"
        if not isinstance(annotation, str | ast.expr):
            raise NoTwin(f"{module} lacks `from __future__ import annotations`: {annotation!r} is no text")
        tree = ast.parse(annotation, mode="eval").body if isinstance(annotation, str) else annotation
        return self._spelled(tree, module)

    def _spelled(self, node: ast.expr, module: str) -> str:
        # ast.unparse would do, were its output the same in all versions of Python
        match node:
            case ast.Name(id=name):
                return self._named(name, module)
            case ast.Attribute(value=value, attr=name):
                return f"{self._spelled(value, module)}.{name}"
            case ast.Subscript(value=value, slice=part):
                return f"{self._spelled(value, module)}[{self._spelled(part, module)}]"
            case ast.Tuple(elts=parts):
                return ", ".join(self._spelled(part, module) for part in parts)
            case ast.List(elts=parts):
                return f"[{', '.join(self._spelled(part, module) for part in parts)}]"
            case ast.BinOp(left=left, right=right, op=ast.BitOr()):
                return f"{self._spelled(left, module)} | {self._spelled(right, module)}"
            case ast.Constant(value=value):
                return "..." if value is ... else json.dumps(value) if isinstance(value, str) else repr(value)
            case _:
                raise NoTwin(f"the annotation {ast.unparse(node)} in {module} is not understood")

    def _named(self, name: str, module: str) -> str:
        origin = origins(module).get(name)
        if origin is None:
            if not hasattr(builtins, name):
                raise NoTwin(f"{module} says nothing about the name {name}")
            if name not in self._members:
                return name
            # a method called `list` hides the builtin in the annotations beside it
            return f"{self._used('builtins', Origin('builtins', ''))}.{name}"
        if isinstance(getattr(sys.modules[module], name, None), TypeVar):
            self.variables.add(name)
            return name
        twin = BLOCKING.get(origin)
        return self._used(twin.name if twin else name, twin or origin)

    def _used(self, name: str, origin: Origin) -> str:
        known = self.for_checkers.setdefault(name, origin)
        if known != origin:
            raise NoTwin(f"{name} is both {'.'.join(known)} and {'.'.join(origin)}: rename one")
        return name

    # Arguments

    def _default(self, value: Any, where: str) -> str:
        """A default value as source text."""
        if value is KEEP:
            return self._at_run_time("KEEP", Origin("kelviq_async.request", "KEEP"))
        if value is UNSET:
            return self._at_run_time("UNSET", Origin("kelviq_async.model", "UNSET"))
        cls = type(value)
        if isinstance(value, Enum):
            return f"{self._at_run_time(cls.__name__, Origin(cls.__module__, cls.__name__))}.{value.name}"
        if isinstance(value, str):
            return json.dumps(value)
        if attrs.has(cls) and value == cls():
            return f"{self._at_run_time(cls.__name__, Origin(cls.__module__, cls.__name__))}()"
        if value is None or value == () or isinstance(value, bool | int | float):
            return repr(value)
        raise NoTwin(f"the default {value!r} of {where} cannot be written down")

    def _at_run_time(self, name: str, origin: Origin) -> str:
        self.at_run_time[self._used(name, origin)] = origin
        return name

    def arguments(self, function: Any, module: str, first: str) -> tuple[list[str], list[str], str]:
        """The parameters as written, how to pass them on, and the one that is a source of items."""
        written, passed, source = [first], [], ""
        by_name = False
        for parameter in inspect.signature(function).parameters.values():
            name, kind = parameter.name, parameter.kind
            if name == first:
                continue
            if kind is Parameter.POSITIONAL_ONLY or kind is Parameter.VAR_POSITIONAL:
                raise NoTwin(f"{name} of {function.__qualname__} can only be given by place")
            if kind is Parameter.VAR_KEYWORD:
                written.append(f"**{name}: {self.type_of(parameter.annotation, module)}")
                passed.append(f"**{name}")
                continue
            if kind is Parameter.KEYWORD_ONLY and not by_name:
                written.append("*")
                by_name = True
            text = f"{name}: {self.type_of(parameter.annotation, module)}"
            if parameter.default is not Parameter.empty:
                text += f" = {self._default(parameter.default, f'{name} of {function.__qualname__}')}"
            written.append(text)
            value = name
            if _outermost(parameter.annotation, module) == "Source":
                if source:
                    raise NoTwin(f"{function.__qualname__} has two sources of items")
                source, value = name, "fed"
            passed.append(f"{name}={value}" if by_name else value)
        return written, passed, source

    # Members

    def define(self, head: str, written: Sequence[str], answer: str, thing: Any, body: Iterable[str]) -> None:
        """A function in a class."""
        self.lines += wrapped(f"    def {head}(", written, f") -> {answer}:")
        self.docstring(thing, 8)
        self.lines += body

    def docstring(self, thing: Any, indent: int) -> None:
        """A docstring, reworded where it speaks of the async client."""
        text = (thing if isinstance(thing, str) else inspect.getdoc(thing)) or ""
        for said, holds in WORDS:
            text = re.sub(re.escape(said).replace(r"\ ", r"\s+"), holds, text)
        quotes, space = ('r"""' if "\\" in text else '"""'), " " * indent
        body = textwrap.indent("\n".join(fitted(quotes + text, WIDTH - indent)), space)
        self.lines.append(body + (f'\n{space}"""' if "\n" in body else '"""'))

    def operation(self, name: str, member: call[..., Any] | pages[..., Any], target: str) -> None:
        """A method that sends a request, or walks a list."""
        request = member.request
        home = request.__module__
        written, passed, _ = self.arguments(request, home, "self")
        answer, outer = answer_of(request), "run"
        if isinstance(member, pages):
            match answer:
                case ast.Subscript(slice=row):
                    answer, outer = row, "Rows"
                case _:
                    raise NoTwin(f"{request.__name__} is answered with no Page")
        text = self.type_of(answer, home)
        body = nested(f"{' ' * 8}return {outer}(", f"{target}.{name}(", passed)
        self.lines.append("")
        self.define(name, written, f"Rows[{text}]" if outer == "Rows" else text, member, body)

    def method(self, name: str, member: Any, target: str) -> None:
        """A function that is not made from a request."""
        function = inspect.unwrap(member)
        module, annotation = function.__module__, inspect.signature(function).return_annotation
        written, passed, source = self.arguments(function, module, "self")
        if inspect.isasyncgenfunction(function) and member is not function:
            answer, outer = self._managed(annotation, module), "Scope"
        else:
            answer = self.type_of(annotation, module)
            outer = _outer(function, answer, _outermost(annotation, module), source)
        called = f"lambda client: client.{name}(" if outer == "self._view" else f"{target}.{name}("
        head = f"{' ' * 8}return {outer}{'(' if outer else ''}"
        if source:
            body = over(head, source, f"lambda fed: {called}", passed)
        elif outer:
            body = nested(head, called, passed)
        else:
            body = wrapped(f"{head}{called}", passed, ")")
        first = getattr(function, "at_hand", None)
        if first is not None:
            # what is at hand is answered in the caller's thread, without crossing to the loop
            home = target.replace("self._client.live", "client")
            self.lines += ["", f"    _{first} = at_hand(lambda client: {home}.{first})"]
            asked = wrapped(f"{' ' * 8}known = self._{first}(", passed, ")")
            body = [*asked, f"{' ' * 8}if known is not None:", f"{' ' * 12}return known", *body]
        self.lines.append("")
        self.define(name, written, answer, function, body)

    def _managed(self, annotation: str, module: str) -> str:
        """What a function under ``@asynccontextmanager`` returns."""
        match ast.parse(annotation, mode="eval").body:
            case ast.Subscript(slice=value):
                self._used("AbstractContextManager", Origin("contextlib", "AbstractContextManager"))
                return f"AbstractContextManager[{self.type_of(value, module)}]"
            case _:
                raise NoTwin(f"{annotation} in {module} does not say what is yielded")

    def factory(self, name: str, member: classmethod[Any, Any, Any]) -> None:
        """A function that makes a client."""
        function = member.__func__
        written, passed, _ = self.arguments(function, function.__module__, "cls")
        self.lines += ["", "    @classmethod"]
        body = wrapped(f"{' ' * 8}return cls._made(", [f"Async.{name}", *_by_name(passed)], ")")
        self.define(name, written, "Self", function, body)

    def member(self, name: str, member: Any, target: str) -> None:
        """The blocking form of one member of a namespace or of the client."""
        if isinstance(member, call | pages):
            self.operation(name, member, target)
        elif isinstance(member, property) and member.fget is not None:
            getter = member.fget
            answer = self.type_of(inspect.signature(getter).return_annotation, getter.__module__)
            self.lines += ["", "    @property"]
            self.define(name, ["self"], answer, member, [f"        return {target}.{name}"])
        elif isinstance(member, classmethod):
            self.factory(name, member)
        elif isinstance(member, FunctionType):
            self.method(name, member, target)
        else:
            raise NoTwin(f"{name} is a {type(member).__name__}")

    def namespace(self, attribute: str, cls: type[Namespace]) -> None:
        """The class of one namespace."""
        members = dict(described(cls))
        self._members = set(members)
        self.lines += ["", "", f"class {cls.__name__}(BlockingNamespace):"]
        self.docstring(cls, 4)
        for name, member in members.items():
            self.member(name, member, f"self._client.live.{attribute}")

    def client(self, cls: type[Any], spaces: dict[str, type[Namespace]]) -> None:
        """The client itself."""
        members = {name: member for name, member in vars(cls).items() if not name.startswith("_")}
        self._members = {*members, *spaces}
        self.lines += ["", "", "class Kelviq(Blocking):"]
        self.docstring(cls, 4)
        written, passed, _ = self.arguments(cls.__init__, cls.__module__, "self")
        self.lines += ["", *wrapped("    def __init__(", written, ") -> None:")]
        self.lines += wrapped("        self._start(", ["Async", *_by_name(passed)], ")")
        for name, member in members.items():
            if name not in PRIVATE and not hasattr(Blocking, name):
                self.member(name, member, "self.live")
        for name, space in spaces.items():
            summary = (inspect.getdoc(space) or "").partition("\n")[0]
            self.lines += ["", "    @cached_property"]
            self.define(name, ["self"], space.__name__, summary, [f"        return {space.__name__}(self)"])


def _outer(function: FunctionType, answer: str, outermost: str, source: str) -> str:
    """What a blocking method makes of what the async one returns."""
    name = function.__qualname__
    if inspect.isasyncgenfunction(function):
        raise NoTwin(f"{name} is a generator: return a Stream")
    if answer == "Self":
        if source or inspect.iscoroutinefunction(function):
            raise NoTwin(f"{name} returns Self: write its blocking form in Blocking")
        return "self._view"
    if source:
        if outermost != "Stream":
            raise NoTwin(f"{name} takes a source of items: return a Stream")
        return "Rows.over"
    return "run" if inspect.iscoroutinefunction(function) else OUTER.get(outermost, "")


def _outermost(annotation: Any, module: str) -> str:
    """``Stream`` of ``Stream[Decision]``, where that is the one that BLOCKING knows; otherwise nothing."""
    if not isinstance(annotation, str):
        return ""
    match ast.parse(annotation, mode="eval").body:
        case ast.Subscript(value=ast.Name(id=name)):
            origin = origins(module).get(name)
            return origin.name if origin is not None and origin in BLOCKING else ""
        case _:
            return ""


def _by_name(passed: Iterable[str]) -> list[str]:
    return [each if "=" in each or each.startswith("*") else f"{each}={each}" for each in passed]


def client_text(spaces: dict[str, type[Namespace]]) -> str:
    """The blocking client, spelled out."""
    writer = _Writer()
    for name, cls in spaces.items():
        writer.namespace(name, cls)
    writer.client(importlib.import_module("kelviq_async.client").Kelviq, spaces)
    here = {cls.__name__ for cls in spaces.values()}
    clash = here & set(writer.for_checkers)
    if clash:
        raise NoTwin(f"{', '.join(sorted(clash))}: both a namespace and something that one uses; rename one")
    run_time = {
        "cached_property": Origin("functools", "cached_property"),
        "TYPE_CHECKING": Origin("typing", "TYPE_CHECKING"),
        **({"TypeVar": Origin("typing", "TypeVar")} if writer.variables else {}),
        "Async": Origin("kelviq_async.client", "Kelviq"),
        **writer.at_run_time,
    }
    known = {
        name: origin
        for name, origin in writer.for_checkers.items()
        if name not in run_time and origin.module not in LOCAL
    }
    wanted = [name for name in ("Scope", "at_hand") if any(f"{name}(" in line for line in writer.lines)]
    lines = [
        HEAD,
        *sections(run_time),
        "",
        f"from ._blocking import {', '.join(['Blocking', 'BlockingNamespace', *wanted])}",
        "from ._loop import run",
        "from ._rows import Rows",
        "",
        "if TYPE_CHECKING:",
        *sections(known, "    "),
        "",
        *(f'{name} = TypeVar("{name}")' for name in sorted(writer.variables)),
        *writer.lines,
        "",
    ]
    return "\n".join(lines)
