"""What is generated: it is as it should be, and says what the async client says."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import SimpleNamespace
from typing import Any, Literal, Self

import pytest

import kelviq_async.client
from kelviq_async import areas, operations
from kelviq_async.model import UNSET, Unset
from kelviq_async.request import Namespace, call, pages
from kelviq_async.stream import Source, Stream, WorkStream
from kelviq_sync import _blocking, _found, _generate, _layout, _rows, _twin, client
from kelviq_sync._blocking import BlockingNamespace
from kelviq_sync._found import NoTwin

SPACES = _found.namespaces(_found.modules())


def members(cls):
    """What the generator has to write; the client's namespaces are compared by name."""
    left_out = {*_twin.PRIVATE, *SPACES} if cls is kelviq_async.client.Kelviq else set()
    return {name: value for name, value in _found.described(cls) if name not in left_out}


PAIRS = [
    pytest.param(value, inspect.getattr_static(twin, name, None), id=f"{cls.__name__}.{name}")
    for cls, twin in [
        *((cls, getattr(client, cls.__name__, None)) for cls in SPACES.values()),
        (kelviq_async.client.Kelviq, client.Kelviq),
    ]
    for name, value in members(cls).items()
]


def function_of(member):
    for attribute in ("fget", "__func__"):
        member = getattr(member, attribute, member)
    return member.request if isinstance(member, call | pages) else inspect.unwrap(member)


# The files.


def test_the_files_are_as_the_generator_writes_them(capsys):
    assert _generate.main(["--check"]) == 0, capsys.readouterr().out


def test_a_stale_file_is_told_and_written(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(_generate, "ROOT", tmp_path)
    for name in ("AREAS", "CLIENT"):
        path = tmp_path / getattr(_generate, name).name
        path.write_text("stale\n", encoding="utf-8")
        monkeypatch.setattr(_generate, name, path)
    monkeypatch.setattr(_generate, "README", tmp_path / "README.md")  # there is none
    assert _generate.main(["--check"]) == 1
    assert "-stale" in capsys.readouterr().out
    assert _generate.main([]) == 0
    assert capsys.readouterr().out == "wrote areas.py\nwrote client.py\n"
    assert _generate.main(["--check"]) == 0


def test_no_line_is_longer_than_it_need_be():
    for path in (_generate.AREAS, _generate.CLIENT):
        lines = path.read_text(encoding="utf-8").splitlines()
        assert [line for line in lines if len(line) > _layout.WIDTH] == []
        assert [line for line in lines if line != line.rstrip()] == []


def test_every_operation_is_indexed_under_one_method():
    indexed = [request for methods in areas.OPERATIONS.values() for request in methods.values()]
    assert sorted(indexed) == sorted(operation.name for operation in operations())


def test_both_clients_have_every_namespace():
    assert set(areas.AREAS) == set(SPACES) == {name for name in vars(areas.Areas) if not name.startswith("_")}
    for name, cls in SPACES.items():
        twin = inspect.getattr_static(client.Kelviq, name)
        assert twin.func.__annotations__["return"] == cls.__name__
        assert twin.func.__doc__ == inspect.getdoc(cls).partition("\n")[0]


# The members.


@pytest.mark.parametrize(("member", "twin"), PAIRS)
def test_every_public_member_has_its_twin(member, twin):
    assert twin is not None
    assert isinstance(twin, classmethod) == isinstance(member, classmethod)
    assert isinstance(twin, property) == isinstance(member, property)
    assert not inspect.iscoroutinefunction(function_of(twin))


def spelled(annotation):
    """An annotation in one spelling, whoever wrote it."""
    return ast.unparse(ast.parse(annotation, mode="eval")) if isinstance(annotation, str) else annotation


@pytest.mark.parametrize(("member", "twin"), PAIRS)
def test_parameters_are_the_same_one_by_one(member, twin):
    def plain(function, *, blocking):
        for parameter in inspect.signature(function).parameters.values():
            if parameter.name not in {"self", "cls"}:
                annotation = spelled(parameter.annotation)
                if not blocking:
                    annotation = re.sub(r"^Source\[", "Iterable[", annotation)
                    annotation = re.sub(r"\blist\[", "builtins.list[", annotation)
                else:
                    annotation = re.sub(r"(?<!builtins\.)\blist\[", "builtins.list[", annotation)
                default = parameter.default
                yield parameter.name, parameter.kind, annotation, None if default is UNSET else repr(default)

    theirs = list(plain(function_of(member), blocking=False))
    assert list(plain(function_of(twin), blocking=True)) == theirs


@pytest.mark.parametrize(("member", "twin"), PAIRS)
def test_answers_are_the_same_but_for_what_waits(member, twin):
    if isinstance(member, call | pages):
        answer = ast.unparse(_found.answer_of(member.request))
        wanted = re.sub(r"^Page\[(.*)\]$", r"Rows[\1]", answer) if isinstance(member, pages) else answer
    else:
        wanted = spelled(inspect.signature(function_of(member)).return_annotation)
        if inspect.isasyncgenfunction(function_of(member)):  # the block of an @asynccontextmanager
            wanted = wanted.replace("AsyncIterator[", "AbstractContextManager[")
        wanted = re.sub(
            r"^Stream\[",
            "Rows[",
            re.sub(r"^AbstractAsyncContextManager\[", "AbstractContextManager[", wanted),
        )
    found = spelled(inspect.signature(function_of(twin)).return_annotation)
    assert found.replace("builtins.", "") == str(wanted)


@pytest.mark.parametrize(("member", "twin"), PAIRS)
def test_docstrings_are_there_and_speak_of_no_loop(member, twin):
    document = inspect.getdoc(twin)
    assert document
    assert re.findall(r"\b(?:await\w*|async\w*|event loop|coroutine)\b", document) == []


@pytest.mark.parametrize("cls", [*(getattr(client, cls.__name__) for cls in SPACES.values()), client.Kelviq])
def test_docstrings_of_classes_speak_of_no_loop(cls):
    assert re.findall(r"\b(?:await\w*|async\w*|event loop|coroutine)\b", inspect.getdoc(cls)) == []


def test_nothing_async_is_left_in_a_signature():
    tree = ast.parse(_generate.CLIENT.read_text(encoding="utf-8"))
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert {name for name in names if re.match("Async.|Await|Corout", name)} == set()


# Kinds of members that there may be one day.


class Odd(Namespace):
    """Odd ones.

    Use it with ``async with``, by ``C:\\path``.
    """

    @property
    def size(self) -> int:
        """How large."""
        return 3

    def plain(self, text: Literal["a", "b"] = "a", *, number: float = 1.5) -> str:
        """A plain one."""
        return f"{text}{number}"

    async def list(self, names: list[str], then: Callable[[int], Any] | None = None) -> list[str]:
        """A list that hides the builtin."""
        if then is not None:
            then(len(names))
        return names

    async def many(
        self, a: Sequence[tuple[str, ...]] = (), b: int | Unset = UNSET, **c: Any
    ) -> dict[str, Any]:
        """Many arguments."""
        return {"a": a, "b": b, **c}

    def each(self, start: int, items: Source[int], *, concurrency: int = 2) -> Stream[int]:
        """Every one."""

        async def job(index, item, put):
            put(index, start + item)

        return WorkStream(items, job, concurrency=concurrency, ordered=True)

    @asynccontextmanager
    async def held(self, value: str) -> AsyncIterator[str]:
        """Held for a block."""
        yield value

    def kept(self, value: str) -> AbstractAsyncContextManager[str]:
        """Kept for a block."""
        return self.held(value)


def written(cls):
    writer = _twin._Writer()
    writer.namespace("odd", cls)
    return writer, "\n".join(writer.lines)


@pytest.fixture
def odd():
    _, text = written(Odd)
    space = {**vars(client), "Scope": _blocking.Scope, "BlockingNamespace": BlockingNamespace, "UNSET": UNSET}
    exec(compile("from __future__ import annotations\n" + text, "<odd>", "exec"), space)  # noqa: S102
    return space["Odd"](SimpleNamespace(live=SimpleNamespace(odd=Odd(None))))


def test_plain_members_are_asked_directly(odd):
    assert (odd.size, odd.plain(), odd.plain("b", number=2)) == (3, "a1.5", "b2")


def test_functions_are_handed_on(odd):
    seen = []
    assert odd.list(["x"], seen.append) == ["x"]
    assert seen == [1]


def test_any_arguments_are_handed_on(odd):
    assert odd.many([("x",)], d=4) == {"a": [("x",)], "b": UNSET, "d": 4}


def test_a_source_need_not_come_first(odd):
    rows = odd.each(10, iter([1, 2, 3]))
    assert isinstance(rows, _rows.Rows)
    assert list(rows) == [11, 12, 13]


@pytest.mark.parametrize("name", ["held", "kept"])
def test_blocks_are_entered_and_left(odd, name):
    with getattr(odd, name)("value") as value:
        assert value == "value"
    annotation = inspect.signature(getattr(odd, name)).return_annotation
    assert annotation == "AbstractContextManager[str]"


def test_names_are_imported_from_where_the_source_has_them():
    writer, text = written(Odd)
    assert "names: builtins.list[str]" in text
    assert 'text: Literal["a", "b"] = "a"' in text
    assert 'r"""Odd ones.\n\n    Use it with ``with``, by ``C:\\path``.\n    """' in text
    assert writer.for_checkers["Iterable"] == ("collections.abc", "Iterable")
    assert writer.for_checkers["AbstractContextManager"] == ("contextlib", "AbstractContextManager")
    assert writer.for_checkers["builtins"] == ("builtins", "")
    assert writer.at_run_time == {"UNSET": ("kelviq_async.model", "UNSET")}


class TwoSources(Namespace):
    def both(self, a: Source[int], b: Source[int]) -> Stream[int]: ...


class NoStream(Namespace):
    async def summed(self, items: Source[int]) -> int: ...


class Generator(Namespace):
    async def each(self) -> AsyncIterator[int]:
        yield 1


class OddDefault(Namespace):
    def plain(self, value: object = object()) -> None: ...


class ByPlace(Namespace):
    def plain(self, value: int, /) -> None: ...


class Itself(Namespace):
    async def changed(self) -> Self: ...


class Constant(Namespace):
    LIMIT = 3


class OddAnnotation(Namespace):
    def plain(self, value: (lambda: int)) -> None: ...


class Unknown(Namespace):
    def plain(self, value: Nowhere) -> None: ...  # noqa: F821


@pytest.mark.parametrize(
    ("cls", "said"),
    [
        (TwoSources, "two sources"),
        (NoStream, "return a Stream"),
        (Generator, "return a Stream"),
        (OddDefault, "cannot be written down"),
        (ByPlace, "by place"),
        (Itself, "returns Self"),
        (Constant, "is a int"),
        (OddAnnotation, "not understood"),
        (Unknown, "Nowhere"),
    ],
)
def test_what_has_no_blocking_form_is_refused(cls, said):
    with pytest.raises(NoTwin, match=said):
        written(cls)


def test_one_name_for_two_things_is_refused():
    writer, _ = written(Odd)
    writer.for_checkers["AbstractContextManager"] = _found.Origin("elsewhere", "AbstractContextManager")
    with pytest.raises(NoTwin, match="rename one"):
        writer.namespace("odd", Odd)


def test_two_that_add_to_the_same_namespace_are_refused():
    class First(Odd):
        pass

    class Second(Odd):
        pass

    module = SimpleNamespace(__name__=__name__, First=First, Second=Second, Odd=Odd)
    with pytest.raises(NoTwin, match="derive one from the other"):
        _found.namespaces([module])


# How it is laid out.


def test_a_call_takes_as_few_lines_as_it_can():
    short, long = ["a", "b"], ["a" * 50, "b" * 50]
    assert _layout.wrapped("    f(", short, ")") == ["    f(a, b)"]
    assert _layout.wrapped(f"    {'f' * 9}(", long, ")") == [
        f"    {'f' * 9}(",
        f"        {', '.join(long)}",
        "    )",
    ]
    assert _layout.wrapped("    f(", [*long, "c"], ")") == [
        "    f(",
        *(f"        {each}," for each in [*long, "c"]),
        "    )",
    ]
    assert _layout.nested("    return run(", f"{'f' * 80}(", ["a" * 40]) == [
        "    return run(",
        f"        {'f' * 80}(",
        f"            {'a' * 40}",
        "        )",
        "    )",
    ]


def test_a_long_line_of_a_docstring_goes_on_further_in():
    text = "Summary.\n\nArgs:\n    name: One two three four.\n        More of it."
    assert list(_layout.fitted(text, 20)) == [
        "Summary.",
        "",
        "Args:",
        "    name: One two",
        "        three four.",
        "        More of it.",
    ]
