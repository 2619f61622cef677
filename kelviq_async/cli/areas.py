"""The commands of an area, made of its requests when somebody asks for them."""

from __future__ import annotations

import functools
import importlib
import inspect
import re
from collections.abc import Callable
from typing import Annotated, Any, get_args, get_origin

import attrs
from cyclopts import App, Parameter

from .. import Model, OpenEnum, Operation, Request, codec
from ..areas import AREAS, NAMES, OPERATIONS

_ARGUMENT = re.compile(r"^    (\w+): (.*?)(?=^    \w+: |^\S|\Z)", re.DOTALL | re.MULTILINE)


def __getattr__(name: str) -> App:
    if name not in AREAS:
        raise AttributeError(name)
    return area_app(name)


@functools.cache
def area_app(area: str) -> App:
    """The commands of one area."""
    home, cls = AREAS[area]
    namespace = getattr(importlib.import_module(f"kelviq_async.{home}"), cls)
    app = App(name=area.replace("_", "-"), help=(inspect.getdoc(namespace) or "").partition("\n")[0])
    for method, request in OPERATIONS[area].items():
        module = importlib.import_module(f"kelviq_async.{NAMES[request]}")
        app.command(command_of(getattr(module, request)), name=method.replace("_", "-"))
    return app


def command_of(request: type[Request[Any]]) -> Callable[..., None]:
    """A function that cyclopts can call: its parameters are the request's fields."""
    operation = request.operation
    helps = argument_helps(request)

    parameters = [_parameter(operation, each, helps.get(each.name, "")) for each in operation.fields]
    flags = {
        "json": "Print the answer as JSON.",
        "dry_run": "Show the HTTP request, without the key, and send nothing.",
        "production": "Talk to production; otherwise it is the sandbox.",
    }
    if "page" in {each.name for each in operation.fields}:
        flags["all"] = "Every page, not just one."
    for name, text in flags.items():
        annotation = Annotated[bool, Parameter(help=text, negative="", show_default=False)]
        parameters.append(
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=annotation)
        )
    signature = inspect.Signature(sorted(parameters, key=lambda each: each.kind))

    def command(*values: Any, **named: Any) -> None:
        from .calling import call  # noqa: PLC0415  help needs none of it

        bound = signature.bind(*values, **named)
        nulls = {name for name, value in bound.arguments.items() if value is None}
        bound.apply_defaults()
        call(operation, bound.arguments, nulls)

    command.__signature__ = signature  # type: ignore[attr-defined]
    command.__annotations__ = {each.name: each.annotation for each in parameters}
    command.__doc__ = operation.summary
    return command


def argument_helps(request: type[Request[Any]]) -> dict[str, str]:
    """What the docstring says of each argument."""
    _, _, arguments = (inspect.getdoc(request) or "").partition("Args:\n")
    return {name: " ".join(text.split()) for name, text in _ARGUMENT.findall(arguments)}


def _parameter(operation: Operation, each: codec.Field, text: str) -> inspect.Parameter:
    """One field as a parameter. Texts are read by ``parse``; what is nested is given as JSON."""
    kind, more = _kind(each.hint)
    help_text = f"{text} {more}".strip()
    cls: Any = operation.request
    default = attrs.fields_dict(cls)[each.name].default
    if each.required and default is attrs.NOTHING:
        return inspect.Parameter(
            each.name,
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
            annotation=Annotated[kind, Parameter(help=help_text)],
        )
    # null is not "leave it alone", so it has a flag of its own where Kelviq takes it
    null = "null-" if each.nullable and each in operation.body_fields else ()
    return inspect.Parameter(
        each.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=str(default) if each.required else None,
        annotation=Annotated[kind | None, Parameter(help=help_text, negative_none=null)],
    )


def _kind(hint: Any) -> tuple[Any, str]:
    """The type the command line reads, and what more to say about it."""
    if hint in {bool, int}:
        return hint, ""
    if isinstance(hint, type) and issubclass(hint, OpenEnum):
        return str, f"One of {', '.join(hint._value2member_map_)}."
    item = get_args(hint)[0] if get_origin(hint) not in {None, dict} and get_args(hint) else None
    if item is str:
        return str, "Several are joined by commas."
    if get_origin(hint) is dict or item is not None or (isinstance(hint, type) and issubclass(hint, Model)):
        return str, "As JSON."
    return str, ""
