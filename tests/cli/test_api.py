"""``kelviq-async api``: every operation, from the command line to the wire and back."""

import asyncio
import json
import os
import subprocess
import sys

import pytest

from kelviq_async import UNSET, Model, codec, operations
from kelviq_async.areas import AREAS, OPERATIONS
from kelviq_async.emulator import World, serve
from tests.everything import furnished

NAMED = {
    request: (area, method) for area, methods in OPERATIONS.items() for method, request in methods.items()
}
ALL = sorted(operation.name for operation in operations())
OPERATION = {operation.name: operation for operation in operations()}


def words(name):
    area, method = NAMED[name]
    return "api", area.replace("_", "-"), method.replace("_", "-")


def spelled(request):
    """A request as somebody types it."""
    for each in request.operation.fields:
        value = getattr(request, each.name)
        if value is UNSET or (value is None and each not in request.operation.body_fields):
            continue
        if value is None:
            yield f"--null-{each.name.replace('_', '-')}"
            continue
        if isinstance(value, bool):
            text = str(value).lower()
        elif isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
            text = ",".join(value)
        elif isinstance(value, list | tuple | dict | Model):
            text = json.dumps(codec.dump(value), default=float)
        else:
            text = codec.query_text(each, value)
        option = f"--{each.name.replace('_', '-')}"
        if isinstance(value, bool):
            yield option if value else f"--no-{each.name.replace('_', '-')}"
        else:
            yield f"{option}={text}"


@pytest.fixture(scope="module")
def everything():
    return asyncio.run(furnished())


def test_no_operation_is_missing():
    assert sorted(NAMED) == ALL


@pytest.mark.parametrize("name", ALL)
def test_each_operation_says_what_would_be_sent(run, monkeypatch, everything, name):
    monkeypatch.setenv("KELVIQ_SERVER_API_KEY", "sk_secret")
    request = everything[1][name]()
    ran = run(*words(name), *spelled(request), "--dry-run")
    assert (ran.code, ran.err) == (0, "")
    operation = OPERATION[name]
    wire = operation.render(request)
    first, *rest = ran.out.splitlines()
    assert first.startswith(f"{operation.method} https://")
    assert "sandboxapi.kelviq.com/api/v1" + wire.path in first
    assert "sk_secret" not in ran.out
    assert any("***" in line for line in rest) == bool(operation.keys)
    if wire.body is not None:
        body = ran.out[ran.out.index("\n\n") :]
        assert json.loads(body) == json.loads(json.dumps(wire.body, default=float))


@pytest.mark.parametrize("name", ALL)
def test_each_operation_is_done_and_shown(run, reaching, name):
    world, requests = asyncio.run(furnished())
    reaching(world)
    request = requests[name]()
    before = len(world.requests)
    ran = run(*words(name), *spelled(request))
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.strip()
    logged = list(world.requests)[before:]
    assert [each.operation for each in logged] == [name]
    assert logged[0].status < 400
    assert world.crashes == []


@pytest.mark.parametrize("name", ALL)
def test_each_operation_explains_itself(run, name):
    ran = run(*words(name), "--help")
    assert ran.code == 0
    assert OPERATION[name].summary.split()[0] in ran.out
    for each in OPERATION[name].fields:
        assert f"--{each.name.replace('_', '-')}" in ran.out
    for flag in ("--json", "--dry-run", "--production"):
        assert flag in ran.out
    assert ("--all" in ran.out) == ("page" in {each.name for each in OPERATION[name].fields})


def test_json_is_kelviqs_own(run, reaching, stocked):
    reaching(stocked)
    ran = run("api", "plans", "retrieve", "pro", "--json")
    assert json.loads(ran.out)["identifier"] == "pro"
    listed = json.loads(run("api", "plans", "list", "--json").out)
    assert (listed["count"], len(listed["results"])) == (2, 2)
    prices = json.loads(run("api", "plans", "prices", "pro", "--json").out)
    charges = prices["results"][0]["chargeCatalogPrice"][0]["charges"]
    assert {each["priceData"]["amount"] for each in charges} <= {49, 490, "49", "490", "49.00", "490.00"}


def test_all_pages(run, reaching):
    world = reaching(World())
    world.seed_from({"customers": [{"customerId": f"c{number:03}"} for number in range(25)]})
    assert "10 of 25" in run("api", "customers", "list").out
    assert len(json.loads(run("api", "customers", "list", "--all", "--json").out)) == 25
    assert "c000" in run("api", "customers", "list", "--all").out


def test_tables_take_what_fits(run, reaching, monkeypatch):
    world = reaching(World())
    world.seed_from({"customers": [{"customerId": "user-123", "name": "Ada", "email": "ada@example.com"}]})
    for width in (30, 80, 200):
        monkeypatch.setenv("COLUMNS", str(width))
        ran = run("api", "customers", "list")
        assert max(map(len, ran.out.splitlines())) <= width
        assert ("createdOn" in ran.out.splitlines()[1]) == (width == 200)


def test_an_empty_list(run, reaching):
    reaching(World())
    assert run("api", "customers", "list").out == "Nothing.\n0 of 0\n"


def test_lists_inside_an_answer_are_tables_too(run, reaching, stocked):
    world = reaching(stocked)
    world.seed_from({"subscriptions": [{"customerId": "user-123", "plan": "pro"}]})
    ran = run("api", "entitlements", "raw", "user-123")
    assert "export-data" in ran.out
    assert "featureId" in ran.out


# What goes wrong


def test_kelviqs_no_is_a_1(run, reaching):
    reaching(World())
    ran = run("api", "customers", "retrieve", "nobody")
    assert (ran.code, ran.out) == (1, "")
    assert "404" in ran.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("customers", "create"),
        ("customers", "lisst"),
        ("nope",),
        ("customers", "create", "a", "--bogus", "1"),
        ("customers", "create", ".."),
        ("customers", "create", "a", "--metadata", "{"),
        ("customers", "create", "a", "--metadata", "5"),
        ("customers", "list", "--page", "many"),
        ("checkout", "create-session", "pro", "SOMETIMES", "https://x"),
        ("checkout", "create-session", "pro", "MONTHLY", "https://x", "--custom-amount", "much"),
        ("subscriptions", "list", "--status", ""),
    ],
    ids=" ".join,
)
def test_mistakes_are_a_2_and_are_explained(run, reaching, arguments):
    world = reaching(World())
    ran = run("api", *arguments)
    if arguments[-1] == "":
        assert ran.code in {0, 2}
        return
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.strip()
    assert "Traceback" not in ran.err
    assert not world.requests


def test_without_a_key_it_says_which(run):
    ran = run("api", "customers", "list")
    assert (ran.code, ran.out) == (2, "")
    assert "KELVIQ_SERVER_API_KEY" in ran.err


def test_a_lost_connection_is_a_2(run, reaching):
    world = reaching(World())
    world.faults.add("CreateCustomer", "drop_after")
    ran = run("api", "customers", "create", "a")
    assert ran.code == 2
    assert ran.err


def test_production_is_said_out_loud(run, monkeypatch):
    assert "POST https://sandboxapi.kelviq.com/" in run("api", "customers", "create", "a", "--dry-run").out
    ran = run("api", "customers", "create", "a", "--dry-run", "--production")
    assert "POST https://api.kelviq.com/api/v1/customers/" in ran.out


def test_what_has_a_default_need_not_be_said(run):
    ran = run("api", "charges", "create", "pro", "u1", "--dry-run")
    assert (ran.code, ran.err) == (0, "")
    assert '"chargePeriod": "ONE_TIME"' in ran.out


# Cost


LOADED = """
import sys
from kelviq_async.cli import main
sys.argv = ["kelviq-async", *sys.argv[1:]]
try:
    main()
finally:
    print(*sorted(name for name in sys.modules if name.startswith("kelviq_async.api.")), file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("arguments", "loaded"),
    [
        (["--help"], set()),
        (["api", "--help"], set()),
        (["api", "features", "--help"], {"features"}),
        (["api", "features", "create", "--help"], {"features"}),
    ],
)
def test_help_loads_no_area_but_the_one_that_is_asked_for(arguments, loaded):
    done = subprocess.run(
        [sys.executable, "-c", LOADED, *arguments], capture_output=True, text=True, check=True, timeout=50
    )
    assert {name.removeprefix("kelviq_async.api.") for name in done.stderr.split()} & set(AREAS) == loaded
    assert "Usage" in done.stdout


def test_areas_are_named_as_the_clients_attributes(run):
    for area in AREAS:
        assert area.replace("_", "-") in run("api", "--help").out


async def test_against_an_emulator_by_its_address():
    world = World()
    async with serve(world) as server:
        environment = {**os.environ, "KELVIQ_CORE_URL": server.url, "KELVIQ_SERVER_API_KEY": world.server_key}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "kelviq_async", "api", "customers", "create", "user-123", "--json",
            stdout=subprocess.PIPE, env=environment,
        )  # fmt: skip
        out, _ = await process.communicate()
    assert process.returncode == 0
    assert json.loads(out)["customerId"] == "user-123"
    assert list(world.state.customers) == ["user-123"]


def test_without_the_extra_a_hint(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "cyclopts", None)
    ran = run("--help")
    assert ran.code == 2
    assert "pip install 'kelviq-async[cli]'" in ran.err


def test_a_setting_that_cannot_be(run, monkeypatch):
    monkeypatch.setenv("KELVIQ_ENV", "staging")
    ran = run("api", "customers", "list", "--dry-run")
    assert ran.code == 2
    assert "sandbox" in ran.err
