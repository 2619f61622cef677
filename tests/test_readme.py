"""Every Python snippet of the README and the guides runs, on the emulator."""

import ast
import asyncio
import importlib.util
import inspect
import re
from pathlib import Path

import pytest

from kelviq_async import ChargePeriod, Kelviq, operations
from kelviq_async.areas import OPERATIONS
from kelviq_async.cli.catalog import stock
from kelviq_async.emulator import World
from kelviq_async.http1.transport import Http1Transport

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
SNIPPET = re.compile(r"^(?P<indent> *)```python\n(?P<code>.*?)^ *```", re.DOTALL | re.MULTILINE)
TABLE = re.compile(r"<!-- operations -->(.*?)<!-- /operations -->", re.DOTALL)

# What a page may be about, and the tests do without.
OPTIONAL = {"celery", "dask", "django", "fastapi", "flask", "opentelemetry", "prometheus_client", "starlette"}
AWAITS = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT


def snippets():
    """All Python blocks, named by page and line."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for block in SNIPPET.finditer(text):
            line = text[: block.start("code")].count("\n") + 1
            code = re.sub(f"^{block['indent']}", "", block["code"], flags=re.MULTILINE)
            yield pytest.param(page, line, code, id=f"{page.relative_to(ROOT)}:{line}")


@pytest.fixture
def world(monkeypatch, tmp_path):
    """A world that answers whoever says they go to Kelviq, with something to sell in it."""
    world = World(server_key="your-server-key", client_key="your-client-key", partner_key="your-partner-key")
    asyncio.run(_stocked(world))

    monkeypatch.setattr(Http1Transport, "send", lambda _, wire: world.send(wire))
    monkeypatch.setenv("KELVIQ_SERVER_API_KEY", "your-server-key")
    monkeypatch.setenv("KELVIQ_CLIENT_API_KEY", "your-client-key")
    monkeypatch.setenv("KELVIQ_PARTNER_KEY", "your-partner-key")
    monkeypatch.chdir(tmp_path)
    yield world
    assert world.crashes == []


async def _stocked(world):
    """The catalogue, and somebody other than the pages' user-123 who has bought."""
    async with Kelviq.local(world) as kelviq:
        await stock(kelviq)
        link = await kelviq.checkout.create_session(
            "pro",
            ChargePeriod.MONTHLY,
            "https://example.com/",
            customer_id="reader",
            email="reader@example.com",
        )
        world.pay(link.checkout_session_id)


def values(world, kelviq):
    """What a snippet's function may ask for, by the name of its parameter."""
    subscription = next(iter(world.state.subscriptions.values()))
    return {
        "kelviq": kelviq,
        "world": world,
        "kelviq_world": world,
        "customer_id": subscription.customer_id,
        "customer_ids": [subscription.customer_id],
        "user_id": subscription.customer_id,
        "subscription_id": subscription.id,
        "feature_id": "export-data",
    }


async def completed(code, names, world):
    """Run code that may await, and then the functions it defines and does not call itself."""
    async with Kelviq.local(world) as kelviq:
        given = values(world, kelviq)
        names.update({name: value for name, value in given.items() if name not in names})
        running = eval(code, names)  # noqa: S307  our own pages
        if inspect.isawaitable(running):
            await running
        for function in uncalled(names):
            wanted = inspect.signature(function).parameters
            if all(name in given for name in wanted):
                result = function(**{name: given[name] for name in wanted})
                if inspect.isawaitable(result):
                    await result


def uncalled(names):
    """The functions of a snippet that nothing in it calls: the reader's program does."""
    tree = ast.parse(names["__source__"])
    called = {
        node.func.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    defined = [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return [names[node.name] for node in defined if node.name not in called and not node.decorator_list]


def missing(tree):
    """A library that a snippet is about and that is not installed here."""
    for node in ast.walk(tree):
        found = [node.module] if isinstance(node, ast.ImportFrom) and not node.level else []
        found = [alias.name for alias in node.names] if isinstance(node, ast.Import) else found
        for name in found:
            top = (name or "").partition(".")[0]
            if top in OPTIONAL and importlib.util.find_spec(top) is None:
                return top
    return None


@pytest.mark.parametrize(("page", "line", "code"), list(snippets()))
def test_the_snippet_runs(world, request, page, line, code):
    tree = ast.parse(code)
    if library := missing(tree):
        pytest.skip(f"{library} is not installed")
    if "redis://" in code:
        code = re.sub(r'"redis://[^"]*"', repr(request.getfixturevalue("redis_url")), code)
    # Lines of a traceback are those of the page.
    source = "\n" * (line - 1) + code
    names = {"__name__": "snippet", "__source__": source}
    compiled = compile(source, str(page), "exec", flags=AWAITS)
    runs_itself = "asyncio.run(" in code or "kelviq_sync" in code
    if runs_itself and not compiled.co_flags & inspect.CO_COROUTINE:
        exec(compiled, names)  # noqa: S102  our own pages
    else:
        asyncio.run(completed(compiled, names, world))


def test_pages_are_found_and_snippets_in_them():
    assert len(list(snippets())) >= 5


def test_every_operation_stands_in_the_readme():
    listed = TABLE.search((ROOT / "README.md").read_text("utf-8"))[1]
    known = {operation.name: operation for operation in operations()}
    wanted = [
        text
        for area, methods in OPERATIONS.items()
        for method, name in methods.items()
        for text in (f"`{area}.{method}`", f"`{known[name].method} {known[name].path}`")
    ]
    assert [text for text in wanted if text not in listed] == []


def test_what_the_readme_says_of_the_number_of_operations_is_so():
    text = (ROOT / "README.md").read_text("utf-8")
    documented = sum(not operation.provisional for operation in operations())
    assert f"All {documented} documented operations" in text
