"""What there is to generate from: the namespaces of ``kelviq_async``, and where their names come from.

Names are looked up in the source and not at run time, since where a class says that it lives differs
between versions of Python.
"""

from __future__ import annotations

import ast
import functools
import importlib
import importlib.util
import inspect
import pkgutil
import re
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any, Final, NamedTuple

from kelviq_async.request import Namespace, call

HOMES: Final = ("api", "workflows", "entitlements", "usage")
"""The packages that can hold namespaces; one may add to another's."""


class NoTwin(Exception):
    """Something public that this generator has no blocking form for."""


class Origin(NamedTuple):
    """Where a name comes from.

    Attributes:
        module: The module to import, or to import from.
        name: What to import from it; empty for the module itself.
    """

    module: str
    name: str


def modules() -> list[ModuleType]:
    """All modules that can hold a namespace."""
    found = []
    for home in HOMES:
        name = f"kelviq_async.{home}"
        if importlib.util.find_spec(name) is None:
            continue
        package = importlib.import_module(name)
        inner = sorted(each.name for each in pkgutil.iter_modules(package.__path__, f"{name}."))
        found += [package, *map(importlib.import_module, inner)]
    return found


def own(module: ModuleType) -> list[Any]:
    """The public classes a module defines, in the order they are written."""
    return [
        value
        for name, value in vars(module).items()
        if isinstance(value, type) and value.__module__ == module.__name__ and not name.startswith("_")
    ]


def namespaces(found: list[ModuleType]) -> dict[str, type[Namespace]]:
    """Attribute of the client -> its namespace; where one adds to another's, the one that adds."""
    every = [cls for module in found for cls in own(module) if issubclass(cls, Namespace)]
    ends: dict[str, type[Namespace]] = {}
    for cls in every:
        if any(other is not cls and issubclass(other, cls) for other in every):
            continue
        rival = ends.setdefault(attribute(cls), cls)
        if rival is not cls:
            raise NoTwin(
                f"{rival.__name__} and {cls.__name__} add to the same one: derive one from the other"
            )
    return dict(sorted(ends.items()))


def attribute(cls: type[Namespace]) -> str:
    """The client's attribute: the name of the namespace as the API's description has it, in snake_case."""
    root = next(base for base in cls.__mro__ if Namespace in base.__bases__)
    return re.sub(r"(?<!^)(?=[A-Z])", "_", root.__name__).lower()


def described(cls: type) -> Iterator[tuple[str, Any]]:
    """The public members of a class and its bases, what was there first first."""
    members: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        if base not in {object, Namespace}:
            members |= {name: value for name, value in vars(base).items() if not name.startswith("_")}
    yield from members.items()


def requests_of(cls: type) -> dict[str, type[Any]]:
    """Method -> the request it stands for, also where it was refined and adds some comfort to a call."""
    calls = {}
    for name, _ in described(cls):
        members = (vars(base).get(name) for base in cls.__mro__)
        request = next((each.request for each in members if isinstance(each, call)), None)
        if request is not None:
            calls[name] = request
    return calls


@functools.cache
def tree_of(module: str) -> ast.Module:
    """The source of a module, parsed."""
    return ast.parse(inspect.getsource(sys.modules[module]))


@functools.cache
def origins(module: str) -> dict[str, Origin]:
    """Each name at the top of a module, and where it comes from."""
    found: dict[str, Origin] = {}
    is_package = hasattr(sys.modules[module], "__path__")
    package = module if is_package else module.rpartition(".")[0]
    for node in ast.walk(tree_of(module)):
        if isinstance(node, ast.ImportFrom):
            source = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            found |= {alias.asname or alias.name: Origin(source, alias.name) for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.asname: Origin(alias.name, "") for alias in node.names if alias.asname}
            found |= {alias.name: Origin(alias.name, "") for alias in node.names if not alias.asname}
    for node in tree_of(module).body:
        match node:
            case ast.ClassDef(name=name) | ast.AnnAssign(target=ast.Name(id=name)):
                found[name] = Origin(module, name)
            case ast.Assign(targets=[ast.Name(id=name)]):
                found[name] = Origin(module, name)
            case _:
                pass
    return found


def answer_of(request: type[Any]) -> ast.expr:
    """The type that a request is answered with, as its class says: ``Customer`` of ``Request[Customer]``."""
    for node in tree_of(request.__module__).body:
        if isinstance(node, ast.ClassDef) and node.name == request.__name__:
            for base in node.bases:
                match base:
                    case ast.Subscript(value=ast.Name(id="Request"), slice=answer):
                        return answer
                    case _:
                        pass
    raise NoTwin(f"{request.__name__} does not say what it is answered with: derive it from Request[...]")
