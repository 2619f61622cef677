"""How the house is kept: rules about files rather than about what they do."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("kelviq_async", "kelviq_sync")
FOLDERS = (*PACKAGES, "tests", "benchmarks")

GENERATED = {"kelviq_async/areas.py", "kelviq_sync/client.py"}
# These say what a module is not; a file is named after its one job.
NAMELESS = {"utils", "util", "common", "helpers", "helper", "base", "misc"}
# These resolve their names at run time, and tell type checkers about them here.
TYPE_CHECKING_BLOCKS = {
    "kelviq_async/__init__.py": 1,
    "kelviq_async/areas.py": 1,
    "kelviq_async/emulator/__init__.py": 1,
    "kelviq_async/entitlements/__init__.py": 1,
    "kelviq_async/usage/__init__.py": 1,
    "kelviq_sync/__init__.py": 1,
    "kelviq_sync/client.py": 1,
}
LINES = 500


def name_of(path):
    return path.relative_to(ROOT).as_posix()


def sources(*folders):
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def type_checking_blocks(source):
    tests = [node.test for node in ast.walk(ast.parse(source)) if isinstance(node, ast.If)]
    return sum(ast.unparse(test).split(".")[-1] == "TYPE_CHECKING" for test in tests)


def test_no_module_is_a_drawer_for_odds_and_ends():
    parts = {
        part: name_of(path)
        for path in sources(*FOLDERS)
        for part in path.relative_to(ROOT).with_suffix("").parts
    }
    assert {part: parts[part] for part in NAMELESS & set(parts)} == {}


def test_no_file_is_longer_than_one_thing():
    lengths = {
        name_of(path): len(path.read_text(encoding="utf-8").splitlines())
        for path in sources(*FOLDERS)
        if name_of(path) not in GENERATED
    }
    assert {name: length for name, length in lengths.items() if length > LINES} == {}


@pytest.mark.parametrize("package", PACKAGES)
def test_each_package_says_that_it_is_typed(package):
    assert (ROOT / package / "py.typed").is_file()


def test_every_folder_of_a_package_is_a_package():
    # A missing __init__.py works until something walks the package: type checkers, coverage, freezers.
    folders = {path.parent for path in sources(*PACKAGES)}
    assert [name_of(folder) for folder in sorted(folders) if not (folder / "__init__.py").exists()] == []


def test_type_checking_blocks_stand_only_where_they_are_needed():
    counts = {
        name_of(path): type_checking_blocks(path.read_text(encoding="utf-8")) for path in sources(*PACKAGES)
    }
    assert {name: n for name, n in counts.items() if n > TYPE_CHECKING_BLOCKS.get(name, 0)} == {}


@pytest.mark.parametrize("test", ["TYPE_CHECKING", "typing.TYPE_CHECKING"])
def test_type_checking_blocks_are_seen(test):
    assert type_checking_blocks(f"if {test}:\n    import json") == 1
