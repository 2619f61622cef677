"""The names at the top of both packages: type checkers and the running program see the same ones."""

import ast
import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import kelviq_async
import kelviq_sync
from kelviq_async import areas, errors

ROOT = Path(__file__).parents[1]
PACKAGES = ("kelviq_async", "kelviq_sync")
# What Python itself puts into any module.
MACHINERY = {f"__{each}__" for each in ("doc", "file", "loader", "name", "package", "path", "spec")}


def static_names(module):
    """The names that type checkers see in a module's TYPE_CHECKING block, with where each is from."""
    source = Path(module.__file__).read_text(encoding="utf-8")
    found = {}
    for block in ast.parse(source).body:
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING":
            for node in block.body:
                if isinstance(node, ast.ImportFrom):
                    home = importlib.util.resolve_name(
                        "." * node.level + (node.module or ""), module.__package__
                    )
                    for alias in node.names:
                        if alias.name == "*":
                            found |= static_names(importlib.import_module(home))
                        else:
                            found[alias.asname or alias.name] = (home, alias.name)
                elif isinstance(node, ast.Assign):  # __all__ of the generated index
                    listed = ast.literal_eval(node.value)
                    found = {name: found[name] for name in listed}
    return {name: origin for name, origin in found.items() if name != "__version__"}


ALL = [
    pytest.param(module, name, *origin, id=f"{module.__name__}.{name}")
    for module in (kelviq_async, kelviq_sync)
    for name, origin in static_names(module).items()
]


@pytest.mark.parametrize("module", [kelviq_async, kelviq_sync])
def test_both_know_the_same_names(module):
    assert sorted(static_names(module)) == module.__all__


@pytest.mark.parametrize(("module", "name", "home", "original"), ALL)
def test_a_name_is_what_type_checkers_take_it_for(module, name, home, original):
    found = getattr(module, name)
    if inspect.ismodule(found):
        assert found.__name__ == f"kelviq_async.{name}"
    else:
        assert found is getattr(importlib.import_module(home), original)


def test_the_packages_differ_by_the_client_and_its_rows():
    assert set(kelviq_sync.__all__) - set(kelviq_async.__all__) == {"Rows"}
    different = {
        name for name in kelviq_async.__all__ if getattr(kelviq_async, name) is not getattr(kelviq_sync, name)
    }
    assert different == {"Kelviq"}
    assert kelviq_sync.__version__ == kelviq_async.__version__


def test_every_exception_is_at_the_top():
    raised = {
        name
        for name, value in vars(errors).items()
        if inspect.isclass(value) and issubclass(value, Exception) and value.__module__ == errors.__name__
    }
    assert raised - set(kelviq_async.__all__) == set()


@pytest.mark.parametrize("package", PACKAGES)
def test_a_star_takes_all(package):
    taken = {}
    exec(f"from {package} import *", taken)  # noqa: S102
    assert sorted(set(taken) - {"__builtins__"}) == importlib.import_module(package).__all__


@pytest.mark.parametrize("module", [kelviq_async, kelviq_sync])
def test_dir_names_what_there_is(module):
    assert sorted(set(dir(module)) - set(module.__all__)) == sorted(
        name for name in vars(module) if name.startswith("__")
    )
    assert set(dir(module)) >= MACHINERY


@pytest.mark.parametrize("module", [kelviq_async, kelviq_sync])
@pytest.mark.parametrize("name", ["Nothing", "_nothing", "__nothing__", "AREAS", "Mapping", "Customers"])
def test_other_names_are_refused(module, name):
    with pytest.raises(AttributeError, match=f"module '{module.__name__}' has no attribute '{name}'"):
        getattr(module, name)
    with pytest.raises(ImportError):
        exec(f"from {module.__name__} import {name}")  # noqa: S102


def test_a_module_of_the_blocking_package_is_not_taken_for_its_twins():
    program = "import kelviq_async.client; from kelviq_sync import client; print(client.__name__)"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "kelviq_sync.client\n"


# What is loaded when.

AREAS = sorted({f"kelviq_async.{home}" for home in areas.NAMES.values()})


@pytest.mark.parametrize(
    ("statement", "loaded"),
    [
        ("import kelviq_async", []),
        ("import kelviq_sync", []),
        # what a journal holds says how it counts
        ("from kelviq_async import Kelviq; Kelviq('sk')", ["kelviq_async.api.behaviours", "msgspec"]),
        # its methods have defaults that are members of an enum
        (
            "from kelviq_sync import Kelviq; Kelviq('sk')",
            ["kelviq_async.api.behaviours", "kelviq_async.api.periods", "msgspec"],
        ),
        ("from kelviq_async import NotFound", []),
        ("import kelviq_async; dir(kelviq_async)", []),
        (
            "from kelviq_async import UsageReport",
            ["kelviq_async.api.behaviours", "kelviq_async.api.usage", "msgspec"],
        ),
    ],
)
def test_an_area_is_loaded_when_it_is_first_touched(statement, loaded):
    program = f"import sys; {statement}; print(*sorted(set(sys.argv[1:]) & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", program, "aiohttp", "anyio", "cattrs", "msgspec", *AREAS],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == loaded
