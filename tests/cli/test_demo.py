"""``kelviq-async demo``: the README's first command."""

import asyncio
import re
import signal
import subprocess
import sys

import aiohttp
import pytest

from kelviq_async.cli import demo
from kelviq_async.emulator import serve


def test_the_demo_tells_the_five_steps(run, monkeypatch):
    monkeypatch.setattr(demo, "CUSTOMERS", 20)
    ran = run("demo")
    assert (ran.code, ran.err) == (0, "")
    for text in (
        'customers.create("user-123"',
        "checkout.create_session",
        "subscriptions.list",
        "subscriptions.update",
        "entitlements.check_many",
        "Pro Plan, active, 49.00 USD every month",
        "export-data yes, max-projects yes, team-size yes",
        "10 of 20 customers may export data",
        "nothing left this machine",
    ):
        assert text in ran.out


@pytest.mark.parametrize("width", [80, 120])
def test_the_demo_fits_the_terminal(run, monkeypatch, width):
    monkeypatch.setattr(demo, "CUSTOMERS", 2)
    monkeypatch.setenv("COLUMNS", str(width))
    assert max(map(len, run("demo").out.splitlines())) <= width


def test_a_port_that_is_no_port(run):
    ran = run("demo", "--serve", "--port", "99999")
    assert ran.code == 2
    assert "there is no port" in ran.err


async def test_a_port_that_is_taken():
    async with serve() as server:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "kelviq_async", "demo", "--serve", "--port", str(server.port),
            stderr=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        _, err = await process.communicate()
    assert process.returncode == 2
    assert b"ddress already in use" in err
    assert b"Traceback" not in err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_served_it_waits_for_a_person_to_pay(number):
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "kelviq_async",
        "demo",
        "--serve",
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    text = b""
    while b"Ctrl-C" not in text:
        line = await process.stdout.readline()
        assert line, await process.stderr.read()
        text += line
    checkout = re.search(r"checkout: +(http://127\.0\.0\.1:\d+/checkout/\S+)", text.decode())[1]
    dashboard = re.search(r"dashboard: +(\S+)", text.decode())[1]
    async with aiohttp.ClientSession() as session:
        async with session.post(
            checkout, data={"action": "pay", "card": "4242424242424242"}, allow_redirects=False
        ) as answer:
            assert answer.headers["Location"] == f"{dashboard}?q=you"
        while b"Paid" not in text:
            text += await process.stdout.readline()
        assert b"May you export data? Yes." in text
    process.send_signal(number)
    out, err = await process.communicate()
    assert (process.returncode, err) == (0, b"")
    assert b"Stopped." in out
