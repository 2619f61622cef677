"""The fixtures and the marker that come with the package."""

import asyncio
import importlib.metadata
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import urllib.request
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from kelviq_async import ChargePeriod, Kelviq, OutcomeUnknown, webhooks

INSTALLED = [*importlib.metadata.entry_points(group="pytest11", name="kelviq")]
# What pytest-asyncio warns of where it is not set.
SCOPE = "asyncio_default_fixture_loop_scope=function"
# pytest refuses to take one module as two plugins.
PLUGIN = "kelviq" if INSTALLED else "kelviq_async.pytest_plugin"
pytest_plugins = ["pytester", *([] if INSTALLED else [PLUGIN])]

ROOT = Path(__file__).parents[1]
GUIDE = (ROOT / "docs/guides/testing-offline.md").read_text(encoding="utf-8")
SHOP = {
    "features": [{"identifier": "export-data", "featureType": "BOOLEAN"}],
    "plans": [{"identifier": "pro", "prices": {"MONTHLY": "49.00"}, "features": {"export-data": True}}],
    "customers": [{"customerId": "user-123", "email": "ada@example.com"}],
}
SUBSCRIBED = {"subscriptions": [{"customerId": "user-123", "plan": "pro"}]}

pytestmark = pytest.mark.kelviq(seed=SHOP)


@pytest.fixture(autouse=True)
def on_the_path(monkeypatch):
    """Runs of their own start in another folder, where a relative path would lead nowhere."""
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    )


def ours():
    """The plugin: not imported above, as pytest wants to be the first to do it."""
    from kelviq_async import pytest_plugin

    return pytest_plugin


def link(kelviq):
    return kelviq.checkout.create_session(
        "pro", ChargePeriod.MONTHLY, "https://example.com/", customer_id="user-123"
    )


def test_the_world_is_strict_and_its_clock_stands_still(kelviq_world):
    assert kelviq_world.strict
    assert kelviq_world.clock.now() == ours().NOW
    assert list(kelviq_world.state.customers) == ["user-123"]


async def test_the_async_client_opens_at_its_first_call(kelviq, kelviq_world):
    session = await link(kelviq)
    kelviq_world.pay(session.checkout_session_id)
    assert await kelviq.entitlements.has_access("user-123", "export-data")
    assert kelviq_world.requests[-1].operation == "GetEntitlements"


def test_the_async_client_fits_a_loop_of_ones_own(kelviq):
    assert asyncio.run(kelviq.customers.retrieve("user-123")).customer_id == "user-123"


async def test_what_a_test_leaves_under_way_is_ended(kelviq):
    stream = kelviq.customers.each()
    await anext(stream)


def test_the_blocking_client_shares_the_world(kelviq_blocking, kelviq_world):
    kelviq_world.pay(link(kelviq_blocking).checkout_session_id)
    assert kelviq_blocking.entitlements.has_access("user-123", "export-data")


async def test_both_clients_may_be_used_together(kelviq, kelviq_blocking):
    kelviq_blocking.customers.create("from-below")
    assert (await kelviq.customers.retrieve("from-below")).customer_id == "from-below"


def test_the_server_serves_the_world(kelviq_server, kelviq_world):
    assert kelviq_server.world is kelviq_world
    with urllib.request.urlopen(f"{kelviq_server.url}/_emulator/health") as answer:  # noqa: S310  ours
        assert json.load(answer)["now"] == "2026-01-01T00:00:00Z"


async def test_the_server_answers_clients_of_the_tests_own_loop(kelviq_server, kelviq_world):
    keys = kelviq_world.server_key, kelviq_world.client_key
    async with Kelviq(*keys, core_url=kelviq_server.url) as client:
        session = await link(client)
        kelviq_world.pay(session.checkout_session_id)
        assert session.checkout_url.startswith(kelviq_server.url)
        assert await client.entitlements.has_access("user-123", "export-data")


def test_the_server_can_be_stopped_early_and_twice(kelviq_server):
    kelviq_server.stop()
    kelviq_server.stop()
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(kelviq_server.url)  # noqa: S310  ours


def test_a_server_that_cannot_start_leaves_no_thread(kelviq_world, monkeypatch):
    async def start():
        raise OSError("the port is taken")

    before = threading.active_count()
    monkeypatch.setattr("kelviq_async.emulator.server.Server.start", lambda self: start())
    with pytest.raises(OSError, match="taken"):
        ours().KelviqServer(kelviq_world)
    assert threading.active_count() == before


@pytest.mark.kelviq(seed=SUBSCRIBED)
async def test_webhooks_come_verified_and_typed(kelviq_webhooks, kelviq, kelviq_world):
    assert kelviq_webhooks == [], "the seed's own events came before"
    row = await kelviq.subscriptions.current("user-123")
    await kelviq.subscriptions.cancel(row.id, "IMMEDIATE")
    (event,) = kelviq_webhooks.of(webhooks.SubscriptionCancelled)
    assert event.external_customer_id == "user-123"
    assert kelviq_webhooks.of(event.type) == [event]
    assert event.type in kelviq_webhooks.types
    received = kelviq_webhooks.received[kelviq_webhooks.index(event)]
    assert webhooks.verify(received.body, received.headers, kelviq_webhooks.secret) == event
    kelviq_webhooks.clear()
    assert kelviq_webhooks == kelviq_webhooks.received == []


async def test_webhooks_that_are_turned_away_come_again(kelviq_webhooks, kelviq, kelviq_world):
    kelviq_webhooks.answer = 500
    await kelviq.customers.create("new")
    kelviq_webhooks.answer = 200
    kelviq_world.clock.advance(seconds=60)
    first, second = kelviq_webhooks.of("customer.created")
    assert first.id == second.id
    kelviq_world.clock.advance(minutes=5)
    assert len(kelviq_webhooks) == 2


@pytest.mark.kelviq(seed=SUBSCRIBED, now="2026-01-31T12:00:00+01:00")
def test_marks_of_module_and_test_add_up(kelviq_world):
    assert kelviq_world.clock.now() == datetime(2026, 1, 31, 11, tzinfo=UTC)
    assert len(kelviq_world.state.subscriptions) == 1


@pytest.mark.kelviq(now=datetime(2030, 1, 1, tzinfo=UTC), strict=False)
@pytest.mark.kelviq(now=datetime(2020, 1, 1, tzinfo=UTC))
def test_the_mark_nearest_to_the_test_wins(kelviq_world):
    # Decorators are read from below: the one next to the function was put on it first.
    assert kelviq_world.clock.now().year == 2020
    assert not kelviq_world.strict


@pytest.mark.kelviq(faults=[("UpdateSubscription", "drop_after"), ("ListCustomers", "status", {"times": 1})])
@pytest.mark.kelviq(seed=SUBSCRIBED)
async def test_faults_are_planned_after_all_seeds(kelviq, kelviq_world):
    row = await kelviq.subscriptions.current("user-123")
    with pytest.raises(OutcomeUnknown):
        await kelviq.subscriptions.update(row.id, "pro", ChargePeriod.MONTHLY)
    assert (await kelviq.customers.list()).count == 1
    assert [fault.operation for fault in kelviq_world.faults.remaining] == ["UpdateSubscription"]


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ({"sead": {}}, "knows no sead: it has seed, faults, now, strict"),
        ({"now": datetime(2026, 1, 1)}, "time zone"),  # noqa: DTZ001  that is the point
        ({"now": 5}, "time zone"),
        ({"now": "soon"}, "time zone"),
        ({"seed": {"plan": []}}, "there is no part plan"),
        ({"seed": "nowhere.json"}, r"nowhere\.json"),
        ({"seed": 5}, "seed of the kelviq marker"),
        ({"faults": [("ListCustomers", "melt")]}, "there is no fault 'melt'"),
        ({"faults": [("Nothing", "refuse")]}, "there is no operation 'Nothing'"),
        ({"faults": [("ListCustomers", "refuse", {"often": 1})]}, "often"),
        ({"faults": [("ListCustomers",)]}, r"a fault is \(operation, kind\)"),
        ({"faults": ["ListCustomers"]}, r"a fault is \(operation, kind\)"),
        ({"faults": ["ab"]}, r"a fault is \(operation, kind\)"),
    ],
)
def test_a_mark_that_cannot_be_says_why(request, words, problem):
    request.node.add_marker(pytest.mark.kelviq(**words))
    with pytest.raises(pytest.UsageError, match=problem):
        request.getfixturevalue("kelviq_world")


def test_a_mark_takes_names_only(request):
    request.node.add_marker(pytest.mark.kelviq(SHOP))
    with pytest.raises(pytest.UsageError, match="takes names only"):
        request.getfixturevalue("kelviq_world")


def test_a_seed_may_be_a_file_beside_the_test(pytester):
    pytester.makefile(".json", seed=json.dumps(SHOP))
    run(
        pytester,
        """
        import pytest

        @pytest.mark.kelviq(seed="seed.json")
        def test_it(kelviq_world):
            assert list(kelviq_world.state.customers) == ["user-123"]
        """,
    ).assert_outcomes(passed=1)


def test_failures_that_nobody_saw_fail_the_test(pytester):
    done = run(
        pytester,
        """
        from types import SimpleNamespace

        def test_a_crash(kelviq_world):
            kelviq_world.crashes.append(SimpleNamespace(operation="ListOrders", reason="a traceback"))

        def test_a_bad_signature(kelviq_webhooks, kelviq_blocking, kelviq_world):
            kelviq_world.webhooks.time = lambda: 0.0
            kelviq_blocking.customers.create("new")
        """,
    )
    done.assert_outcomes(passed=2, errors=2)
    done.stdout.fnmatch_lines(["the emulator itself failed:", "ListOrders", "a traceback"])
    done.stdout.fnmatch_lines(["*TimestampTooOld*"])


def test_pytest_knows_the_marker_and_the_fixtures(pytester):
    run(pytester, "", "--markers").stdout.fnmatch_lines(["@pytest.mark.kelviq(seed=None, *"])
    shown = run(pytester, "def test(): pass", "--fixtures").stdout
    shown.fnmatch_lines_random(
        [f"{name} *" for name in ("kelviq_world", "kelviq", "kelviq_blocking", "kelviq_server")]
    )


def test_it_fits_async_tests_of_anyio(pytester):
    run(
        pytester,
        """
        import pytest

        @pytest.fixture
        def anyio_backend():
            return "asyncio"

        @pytest.mark.anyio
        async def test_it(kelviq):
            assert (await kelviq.customers.list()).count == 0
        """,
    ).assert_outcomes(passed=1)


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", GUIDE, re.DOTALL | re.MULTILINE)


def test_the_guides_tests_pass(pytester):
    (pytester.path / "shop.json").write_text(*blocks("json"), encoding="utf-8")
    pytester.makepyfile(**{f"test_{number}": text for number, text in enumerate(blocks("python"))})
    count = sum(len(re.findall(r"def test_", text)) for text in blocks("python"))
    assert count >= 4
    run(pytester, "", "-o", "asyncio_mode=auto").assert_outcomes(passed=count)


def test_the_guides_commands_work(pytester):
    if not (shutil.which("curl") and shutil.which("bash")):
        pytest.skip("curl or bash is not on PATH")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (pytester.path / "shop.json").write_text(*blocks("json"), encoding="utf-8")
    install, *commands = blocks("shell")
    assert install.startswith("python -m pip install")
    script = "\n".join(commands).replace("8080", str(port)).replace("kelviq-async", "$PYTHON -m kelviq_async")
    script = f"set -eo pipefail\ntrap 'kill %1; wait %1' EXIT\n{script}"
    env = {**os.environ, "PYTHON": sys.executable, "PYTHONPATH": str(ROOT), "NO_PROXY": "127.0.0.1"}
    done = subprocess.run(
        ["bash", "-c", script], cwd=pytester.path, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert '"detail"' not in done.stdout
    kept = json.loads((pytester.path / "kept.json").read_text(encoding="utf-8"))
    (customer,) = kept["state"]["customers"].values()
    assert customer["customer_id"] == "user-123"


def run(pytester, source, *arguments):
    """A run of its own, in which every warning is an error and nothing else of this project is set."""
    if source:
        pytester.makepyfile(source)
    # Hypothesis takes longer to load than all the rest.
    bare = ("-p", PLUGIN, "-p", "no:hypothesispytest")
    return pytester.runpytest_subprocess(*bare, "-W", "error", "-o", SCOPE, *arguments)


def test_starting_pytest_loads_nothing_of_ours():
    program = (
        "import sys, kelviq_async.pytest_plugin; print(*(n for n in sys.modules if n.startswith('kelviq')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert set(done.stdout.split()) == {
        "kelviq_async",
        "kelviq_async._version",
        "kelviq_async.pytest_plugin",
        "kelviq_sync",
    }


def test_a_crash_is_shown_with_its_operation(request):
    life = ours().kelviq_world.__wrapped__(request)
    next(life).crashes.append(SimpleNamespace(operation="ListOrders", reason="a traceback"))
    with pytest.raises(pytest.fail.Exception, match="ListOrders\na traceback"):
        next(life)


def test_a_bad_signature_is_shown(kelviq_world, kelviq_blocking):
    life = ours().kelviq_webhooks.__wrapped__(kelviq_world)
    next(life)
    kelviq_world.webhooks.time = lambda: 0.0
    kelviq_blocking.customers.create("new")
    with pytest.raises(webhooks.TimestampTooOld):
        next(life)


def test_the_entry_point_is_written_down():
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["entry-points"]["pytest11"] == {"kelviq": "kelviq_async.pytest_plugin"}
