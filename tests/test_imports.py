"""Who may import whom.

`RULES` has a row for each room of the house. Everything in a room follows its row, unless a longer name has a
row of its own. A file without a row fails, so that a new room is given its place on purpose.
"""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("kelviq_async", "kelviq_sync")

# What users may rely on, and so the code around the core; "kelviq_async" itself means its own names.
PUBLIC = "kelviq_async codec emulator errors usage webhooks"

# What the parts that do something on top of single calls are built from.
PARTS = "api request stream checks codec model config errors transport stores"
# What the client puts together.
COMPOSED = f"{PARTS} http1 paging areas _version sending entitlements usage workflows webhooks emulator"

# Room -> what it may import besides itself. Short names are rooms of kelviq_async.
RULES = {
    "_version": "",
    "errors": "",
    "areas": "api entitlements usage workflows",  # the generated index: for type checkers only
    "model": "errors",
    "config": "errors",
    "stream": "errors",
    "spelling": "model errors",
    "compiling": "spelling model",
    "codec": "compiling spelling model errors",
    "checks": "codec model errors",
    "parsing": "codec model errors",
    "request": "areas checks parsing stream codec model config errors",
    "paging": "request stream codec model config errors",
    "api": "request checks model config errors",
    "transport": "config errors",
    "http1": "config errors transport",
    "stores": "config errors",
    "sending": "_version request stream codec model config errors transport stores",
    "entitlements": PARTS,
    "usage": PARTS,
    "workflows": PARTS,
    "webhooks": "api codec model config errors stores",
    "emulator": "api request checks parsing spelling codec model config errors transport webhooks",
    "runtime": f"{PARTS} http1 sending entitlements usage",  # the layers, put together
    "client": f"{COMPOSED} runtime",
    "contrib": f"{PUBLIC} client areas",
    "__main__": "cli",
    "cli": f"{PUBLIC} _version client areas api request model config parsing entitlements",
    "pytest_plugin": f"{PUBLIC} client config kelviq_sync",
    "kelviq_async": f"{COMPOSED} client runtime",
    "kelviq_sync": f"{PUBLIC} areas kelviq_sync.client kelviq_sync._rows",
    "kelviq_sync._loop": PUBLIC,
    "kelviq_sync._blocking": f"{PUBLIC} client kelviq_sync._loop",
    "kelviq_sync._rows": f"{PUBLIC} stream kelviq_sync._loop",
    # generated: its types come from wherever the async client's do
    "kelviq_sync.client": (
        f"{PUBLIC} {COMPOSED} client kelviq_sync._blocking kelviq_sync._loop kelviq_sync._rows"
    ),
    "kelviq_sync._found": f"{PUBLIC} request",
    "kelviq_sync._layout": "kelviq_sync._found",
    "kelviq_sync._twin": (
        f"{PUBLIC} model request kelviq_sync._blocking kelviq_sync._found kelviq_sync._layout"
    ),
    "kelviq_sync._generate": (f"{PUBLIC} request kelviq_sync._found kelviq_sync._layout kelviq_sync._twin"),
    "kelviq_sync.contrib": f"{PUBLIC} kelviq_sync",
}

# Where a room may be entered for some names only.
ONLY = {
    ("emulator", "transport"): {"WireRequest", "WireAnswer"},
    ("emulator.server", "transport"): None,  # `serve` hands the world the client that delivers its webhooks
}

# Libraries that one file owns; the second column lists who else may import the part in the third.
OWNERS = {
    "aiohttp": ("transport", ("emulator.server", "contrib"), "aiohttp.web"),
    "cattrs": ("emulator.snapshot", (), ""),
    "httptools": ("http1.answers", (), ""),
}

# Importing a package must stay cheap, and must work without extras.
HEAVY = ("aiohttp", "cattrs", "cyclopts", "jinja2", "redis", "rich")


def full(room):
    return room if room.split(".")[0] in PACKAGES else f"kelviq_async.{room}"


def inside(module, room):
    """Whether `module` lies in `room`; a package's own name means its `__init__` and nothing below."""
    room = full(room)
    return module == room or (room not in PACKAGES and module.startswith(f"{room}."))


def longest(module, rooms):
    return max(
        (room for room in rooms if inside(module, room)), key=lambda room: len(full(room)), default=None
    )


def module_of(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(tree, module, *, is_package):
    """Each import of a module's source as (module, name or None, names of the functions around it)."""

    def visit(node, around):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, None, around
        elif isinstance(node, ast.ImportFrom):
            base = module.split(".")[: -(node.level - is_package) or None] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                submodule = f"{source}.{alias.name}"
                # `from kelviq_async import codec` enters a room, `from kelviq_async import Kelviq` does not.
                if source in PACKAGES and any(full(room) == submodule for room in RULES):
                    yield submodule, None, around
                else:
                    yield source, alias.name, around
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            around = (*around, node.name)
        for child in ast.iter_child_nodes(node):
            yield from visit(child, around)

    return visit(tree, ())


def breaches(module, source, *, is_package=False):
    """What a module's imports do that its row does not allow, one sentence each."""
    room = longest(module, RULES)
    if room is None:
        return [f"{module} has no row in RULES"]
    return [
        f"{module} imports {'.'.join(filter(None, (target, name)))}: {fault}"
        for target, name, around in imports(ast.parse(source), module, is_package=is_package)
        if (fault := fault_of(module, room, target, name, around))
    ]


def fault_of(module, room, target, name, around):
    top = target.split(".")[0]
    if top in PACKAGES:
        return fault_of_ours(module, room, target, name, around)
    if top in OWNERS:
        owner, others, part = OWNERS[top]
        wanted = f"{target}.{name}" if name and target == top else target
        shared = longest(module, others) and (wanted == part or wanted.startswith(f"{part}."))
        if not (inside(module, owner) or shared):
            return f"{owner} owns {top}"
    return None


def fault_of_ours(module, room, target, name, around):
    if not any(inside(target, allowed) for allowed in (room, *RULES[room].split())):
        return f"{room} may not"
    if (
        module.startswith("kelviq_sync")
        and target.startswith("kelviq_async")
        and re.match("_(?!_)", name or "")
    ):
        return "the name is private"
    if room == "client" and inside(target, "emulator") and "local" not in around:
        return "only inside local()"
    limited = [pair for pair in ONLY if inside(module, pair[0]) and inside(target, pair[1])]
    if limited:
        names = ONLY[max(limited, key=lambda pair: len(pair[0]))]
        if names is not None and name not in names:
            return f"only {', '.join(sorted(names))}"
    return None


SOURCES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


@pytest.mark.parametrize("path", SOURCES, ids=module_of)
def test_every_import_follows_the_rules(path):
    source = path.read_text(encoding="utf-8")
    assert breaches(module_of(path), source, is_package=path.name == "__init__.py") == []


def namespaces(tree):
    return {
        node.name
        for node in tree.body
        if isinstance(node, ast.ClassDef)
        and any(getattr(base, "id", None) == "Namespace" for base in node.bases)
    }


def test_areas_share_models_and_never_a_namespace():
    trees = {module_of(path): ast.parse(path.read_text(encoding="utf-8")) for path in SOURCES}
    areas = {module: tree for module, tree in trees.items() if inside(module, "api")}
    taken = {
        f"{module} takes {name} from {target}"
        for module, tree in areas.items()
        for target, name, _ in imports(tree, module, is_package=False)
        if target in areas and name in namespaces(areas[target])
    }
    assert taken == set()


@pytest.mark.parametrize("package", PACKAGES)
def test_importing_a_package_loads_nothing_heavy(package):
    program = f"import sys, {package}; print(*sorted(set(sys.argv[1:]) & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", program, *HEAVY], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []


# The checker itself: without these, a mistake in it would pass everything.


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("kelviq_async.request", "from kelviq_async.codec import dump"),
        ("kelviq_async.request", "from kelviq_async import codec, errors"),
        ("kelviq_async.api.plans", "from .features import Feature"),
        ("kelviq_async.sending.retry", "from ..request import Send"),
        ("kelviq_async.transport", "def start():\n    import aiohttp"),
        ("kelviq_async.emulator.world", "from kelviq_async.transport import WireAnswer, WireRequest"),
        ("kelviq_async.emulator", "from kelviq_async.emulator.server import serve"),
        ("kelviq_async.emulator.server", "from aiohttp import web\nfrom aiohttp.web import Response"),
        ("kelviq_async.emulator.server", "from kelviq_async.transport import Transport"),
        ("kelviq_async.client", "def local():\n    from kelviq_async.emulator import World"),
        ("kelviq_async.cli.main", "from kelviq_async import Kelviq, operations"),
        ("kelviq_sync._generate", "import kelviq_async.request"),
        ("kelviq_sync.client", "import json\nfrom kelviq_async import Customer, __version__"),
    ],
)
def test_the_checker_lets_pass(module, source):
    assert breaches(module, source) == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("kelviq_async.helpers", ""),
        ("kelviq_async.errors", "from kelviq_async import config"),
        ("kelviq_async.errors", "from .model import UNSET"),
        ("kelviq_async.codec", "import kelviq_async.request"),
        ("kelviq_async.request", "from kelviq_async import Kelviq"),
        ("kelviq_async.api.plans", "from ..codec import load"),
        ("kelviq_async.webhooks.router", "def handle():\n    from kelviq_async.client import Kelviq"),
        ("kelviq_async.emulator.world", "from kelviq_async.sending import retry"),
        ("kelviq_async.emulator.world", "from kelviq_async.transport import AiohttpTransport"),
        ("kelviq_async.emulator.world", "import kelviq_async.transport"),
        ("kelviq_async.emulator.world", "from aiohttp import web"),
        ("kelviq_async.emulator.server", "import aiohttp"),
        ("kelviq_async.contrib.fastapi", "from aiohttp import ClientSession"),
        ("kelviq_async.sending.http", "import aiohttp"),
        ("kelviq_async.model", "from cattrs import Converter"),
        ("kelviq_async.client", "from kelviq_async.emulator import World"),
        ("kelviq_async.client", "import kelviq_sync"),
        ("kelviq_sync.client", "from kelviq_async.cli import main"),
        ("kelviq_sync.client", "from kelviq_async import _registry"),
        ("kelviq_sync.contrib.django", "from kelviq_async.client import Kelviq"),
    ],
)
def test_the_checker_stops(module, source):
    assert len(breaches(module, source)) == 1


def test_the_checker_knows_a_package_from_a_module():
    source = "from .world import World\nfrom ..sending import retry"
    assert breaches("kelviq_async.emulator", source, is_package=True) == [
        "kelviq_async.emulator imports kelviq_async.sending.retry: emulator may not"
    ]
