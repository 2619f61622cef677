"""Every operation, the same questions of each: adding one without an answer to them fails here."""

from __future__ import annotations

import importlib
import inspect
import json
from pathlib import Path
from typing import Any

import attrs
import pytest

import kelviq_async as k
import kelviq_sync
from kelviq_async import areas
from kelviq_async.emulator.registry import handler_of
from kelviq_async.emulator.world import World
from tests.everything import furnished

ROOT = Path(__file__).parent.parent
OPERATIONS = list(k.operations())
CONTRACT = json.loads((ROOT / "tests/contract/kelviq-v1.json").read_text(encoding="utf-8"))
DOCUMENTED = {
    (
        fact["method"],
        "/".join("{}" if part.startswith("{") else part for part in fact["path"].split("/")),
    ): fact
    for fact in CONTRACT["operations"].values()
}

each_operation = pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)


def place(operation: k.Operation) -> tuple[str, str]:
    """Namespace and method under which a client has the operation."""
    (found,) = [
        (area, method)
        for area, methods in areas.OPERATIONS.items()
        for method, request in methods.items()
        if request == operation.name
    ]
    return found


@each_operation
async def test_it_works_in_both_packages_and_comes_back_as_it_was(operation: k.Operation) -> None:
    world, requests = await furnished()
    request = requests[operation.name]()
    assert isinstance(request, operation.request)
    wire = operation.render(request)
    path = dict(
        zip(operation.path_names, [getattr(request, name) for name in operation.path_names], strict=True)
    )
    assert operation.parse(path, wire.query, wire.body) == request

    async with k.Kelviq.local(world, retry=False) as kelviq:
        raw = await kelviq.send_raw(request)
    assert world.requests[-1].operation == operation.name
    assert world.requests[-1].status == raw.status
    if raw.body:
        assert k.codec.dump(raw.value) == k.codec.decode(raw.body)


@each_operation
def test_the_blocking_method_does_the_same(operation: k.Operation) -> None:
    async def made() -> tuple[World, k.Request[Any]]:
        world, requests = await furnished()
        return world, requests[operation.name]()

    from kelviq_sync._loop import run

    world, request = run(made())
    area, method = place(operation)
    fields = {field.name: getattr(request, field.name) for field in attrs.fields(type(request))}
    with kelviq_sync.Kelviq.local(world) as kelviq:
        getattr(getattr(kelviq, area), method)(**fields)
    assert world.requests[-1].operation == operation.name
    assert world.requests[-1].status is not None
    assert world.requests[-1].status < 400


@each_operation
async def test_each_documented_error_becomes_its_exception(operation: k.Operation) -> None:
    _, requests = await furnished()
    request = requests[operation.name]()
    documented = DOCUMENTED.get(
        (operation.method, "/".join("{}" if p.startswith("{") else p for p in operation.path.split("/")))
    )
    statuses = {int(status) for status in (documented or {"responses": {}})["responses"]}
    for status in sorted((statuses | {400, 401, 403, 404, 409, 422, 428}) - set(operation.answers)):
        if status < 400:
            continue
        answer = k.WireAnswer(status, {}, b'{"planIdentifier": ["Not this one."]}')
        unknown = status >= 500 and not request.repeatable
        with pytest.raises(k.OutcomeUnknown if unknown else k.errors.BY_STATUS[status]) as caught:
            await k.Kelviq("key", "key", partner_key="key", transport=Scripted(answer), retry=False).send(
                request
            )
        assert caught.value.fields["plan_identifier"] == ["Not this one."]
        assert caught.value.status == status
        assert caught.value.operation == operation.name


class Scripted:
    """A transport with one answer for everything."""

    def __init__(self, answer: k.WireAnswer) -> None:
        self.answer = answer

    async def send(self, request: k.WireRequest) -> k.WireAnswer:
        """The answer."""
        request.sending = True
        return self.answer

    async def close(self) -> None:
        """Nothing to close."""


@each_operation
def test_it_stands_in_the_readme(operation: k.Operation) -> None:
    area, method = place(operation)
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert any(
        f"`{area}.{method}`" in line and f"`{operation.method} {operation.path}`" in line for line in lines
    )


@each_operation
def test_the_emulator_handles_it(operation: k.Operation) -> None:
    assert handler_of(operation.request) is not None


@each_operation
def test_the_command_line_has_it(operation: k.Operation) -> None:
    from kelviq_async.cli.areas import area_app

    area, method = place(operation)
    app = area_app(area)
    command = app[method.replace("_", "-")]
    names = set(inspect.signature(command.default_command).parameters)
    assert {field.name for field in attrs.fields(operation.request)} <= names


@each_operation
def test_it_is_explained(operation: k.Operation) -> None:
    text = inspect.getdoc(operation.request) or ""
    shown = [line for line in text.splitlines() if f"Kelviq API: {operation.method} /" in line]
    assert len(shown) == 1, "the docstring names the part of the API it stands for"
    for field in attrs.fields(operation.request):
        assert f"{field.name}: " in text


def test_every_public_name_is_explained() -> None:
    for name in dir(k):
        value = getattr(k, name)
        if (
            isinstance(value, type)
            and not name.startswith("_")
            and value.__module__.startswith("kelviq_async")
        ):
            assert inspect.getdoc(value), name
            if issubclass(value, k.Model) and value is not k.Model:
                text = inspect.getdoc(value) or ""
                for field in vars(importlib.import_module(value.__module__))[name].__annotations__:
                    assert f"{field}: " in text, f"{name}.{field}"
