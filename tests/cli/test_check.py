"""``kelviq-async check CUSTOMER FEATURE``."""

import asyncio
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from kelviq_async.emulator import World, serve
from kelviq_async.http1.transport import Http1Transport


@pytest.fixture
def sold(reaching, stocked):
    """A world in which user-123 has bought the Pro plan."""
    stocked.seed_from({"subscriptions": [{"customerId": "user-123", "plan": "pro"}]})
    return reaching(stocked)


def asked(world):
    return sum(request.operation == "GetEntitlements" for request in world.requests)


def test_yes_is_a_0_and_says_why(run, sold):
    ran = run("check", "user-123", "export-data")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines()[0] == "yes user-123 may use export-data: Kelviq grants it"
    assert "live" in ran.out
    assert asked(sold) == 1


@pytest.mark.parametrize(
    ("customer", "feature", "why"),
    [
        ("user-123", "nothing-sold", "nothing they have bought has to do with it"),
        ("nobody", "export-data", "Kelviq does not know this customer"),
    ],
)
def test_no_is_a_1_and_says_why(run, sold, customer, feature, why):
    ran = run("check", customer, feature)
    assert (ran.code, ran.err) == (1, "")
    assert ran.out.splitlines()[0] == f"no {customer} may not use {feature}: {why}"


def test_a_meter_that_is_used_up(run, sold):
    run("api", "usage", "report", "100", "user-123", "max-projects", "SET")
    ran = run("check", "user-123", "max-projects")
    assert ran.code == 1
    assert ran.out.splitlines()[0].endswith(": it is used up")
    rows = {line.split()[0]: " ".join(line.split()[1:]) for line in ran.out.splitlines()[1:]}
    assert (rows["limit"], rows["used"], rows["remaining"]) == ("100 (hard)", "100", "0")
    assert rows["resets"].endswith("UTC")


def test_a_value(run, sold):
    ran = run("check", "user-123", "team-size")
    assert ran.code == 0
    assert "value   5" in ran.out
    assert "limit" not in ran.out


def test_as_json(run, sold):
    ran = run("check", "user-123", "max-projects", "--json")
    found = json.loads(ran.out)
    assert found.pop("reset_at").endswith("+00:00")
    assert found == {
        "customer_id": "user-123",
        "feature_id": "max-projects",
        "allowed": True,
        "reason": "granted",
        "source": "live",
        "feature_type": "METER",
        "unlimited": False,
        "limit": 100,
        "used": 0,
        "remaining": 100,
        "value": None,
    }
    ran = run("check", "user-123", "team-size", "--json")
    assert (json.loads(ran.out)["value"], json.loads(ran.out)["limit"]) == (5, None)
    ran = run("check", "nobody", "team-size", "--json")
    assert ran.code == 1
    assert (json.loads(ran.out)["allowed"], json.loads(ran.out)["reason"]) == (False, "unknown customer")


def test_the_guide_shows_what_it_prints(run, sold):
    run("api", "usage", "report", "40", "user-123", "max-projects", "SET")
    guide = (Path(__file__).parents[2] / "docs" / "guides" / "gating-features.md").read_text("utf-8")
    shown = re.search(r"```console\n\$ kelviq-async (check user-123 .*?)\n(.*?)```", guide, re.DOTALL)
    printed = [line.rstrip() for line in run(*shown[1].split()).out.splitlines()]
    time = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d")
    assert [time.sub("...", line) for line in printed] == time.sub("...", shown[2]).splitlines()


# What goes wrong is a 2, and never a no


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "CUSTOMER FEATURE"),
        (["user-123"], "CUSTOMER FEATURE"),
        (["..", "export-data"], "customer_id"),
        (["user-123", ""], "feature_id"),
        (["user-123", "a\nb"], "feature_id"),
        (["user-123", "export-data", "more"], "more"),
        (["user-123", "export-data", "--output", "x.csv"], "--input"),
        (["user-123", "export-data", "--features", "a"], "--input"),
        (["user-123", "--input", "x.csv", "--features", "a"], "CUSTOMER"),
        (["--input", "x.csv", "--features", "a", "--json"], "--json"),
        (["--input", "x.csv"], "--features"),
        (["--bogus"], "--bogus"),
    ],
)
def test_what_cannot_be_is_a_2(run, sold, arguments, said):
    ran = run("check", *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err
    assert "Traceback" not in ran.err
    assert asked(sold) == 0


def test_what_nobody_knows_is_a_2(run, sold):
    sold.faults.add("GetEntitlements", status=401)
    ran = run("check", "user-123", "export-data")
    assert (ran.code, ran.out) == (2, "")
    assert "401" in ran.err


def test_without_a_key_it_says_which(run, monkeypatch):
    monkeypatch.delenv("KELVIQ_SERVER_API_KEY", raising=False)
    ran = run("check", "user-123", "export-data")
    assert (ran.code, ran.out) == (2, "")
    assert "KELVIQ_SERVER_API_KEY" in ran.err


def test_production_is_said_out_loud(run, sold, monkeypatch):
    urls = []

    def send(_, wire):
        urls.append(wire.url.partition("/api/")[0])
        return sold.send(wire)

    monkeypatch.setattr(Http1Transport, "send", send)
    run("check", "user-123", "export-data", "--production")
    run("check", "user-123", "export-data")
    assert urls == ["https://edge.api.kelviq.com", "https://edge.sandboxapi.kelviq.com"]


def test_the_help_tells_the_exit_codes_and_how_to_go_on(run):
    ran = run("check", "--help")
    text = " ".join(ran.out.split())
    assert ran.code == 0
    for said in ("CUSTOMER FEATURE", "1 if they may not", "130 if Ctrl-C", "out.csv.part", "--restart"):
        assert said in text


async def test_against_an_emulator_by_its_address():
    world = World()
    world.seed_from({"customers": [{"customerId": "user-123"}]})
    async with serve(world) as server:
        environment = {**os.environ, "KELVIQ_EDGE_URL": server.url, "KELVIQ_CLIENT_API_KEY": world.client_key}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "kelviq_async", "check", "user-123", "export-data",
            stdout=subprocess.PIPE, env=environment,
        )  # fmt: skip
        out, _ = await process.communicate()
    assert process.returncode == 1
    assert out.startswith(b"no user-123 may not use export-data")
