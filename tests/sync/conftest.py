"""What the blocking client's tests share: programs of their own, and a client whose answers are made up."""

import inspect
import json
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

import kelviq_sync
from kelviq_async import WireAnswer

ROOT = Path(__file__).parents[2]

PRELUDE = """
import asyncio, atexit, os, signal, sys, threading
from kelviq_async.errors import ClientClosed, KelviqError, NeverSent, OutcomeUnknown, WrongLoop
from kelviq_sync import _loop
from kelviq_sync._loop import generation, run
sys.stdout.reconfigure(line_buffering=True)
main = threading.main_thread().ident

async def name():
    return threading.current_thread().name
"""


@pytest.fixture
def script():
    """Runs a program, since a fork, an interrupt or an exit would take the tests along.

    Returns its lines; it must write nothing to stderr.
    """

    def run(source, status=0):
        # A fork beside threads is what some tests are about, so its warning is no news.
        warnings = ["-W", "error", "-W", "ignore:This process:DeprecationWarning"]
        done = subprocess.run(
            [sys.executable, *warnings, "-c", PRELUDE + textwrap.dedent(source)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert (done.stderr, done.returncode) == ("", status)
        return done.stdout.splitlines()

    return run


class Scripted:
    """A transport that answers what a function says, and remembers what was asked."""

    def __init__(self, answer):
        self.answer = answer
        self.asked = []
        self.threads = set()
        self.closed = 0

    async def send(self, request):
        request.sending = True
        self.asked.append(request)
        self.threads.add(threading.current_thread().name)
        answer = self.answer(request)
        if inspect.isawaitable(answer):
            answer = await answer
        status, body = answer if isinstance(answer, tuple) else (200, answer)
        return WireAnswer(status, {}, json.dumps(body).encode())

    async def close(self):
        self.closed += 1


@pytest.fixture
def scripted():
    """Makes a client, and its transport, of a function from requests to answers."""

    def make(answer, **settings):
        transport = Scripted(answer)
        settings = {"server_key": "sk_test", "retry": False, **settings}
        return kelviq_sync.Kelviq(core_url="http://localhost", transport=transport, **settings), transport

    return make


def customer(request):
    body = json.loads(request.body) if request.body else {}
    return {"customerId": body.get("customerId") or unquote(urlsplit(request.url).path.split("/")[-2])}


def entitled(request):
    (customer_id,) = parse_qs(urlsplit(request.url).query)["customer_id"]
    return {
        "customerId": customer_id,
        "entitlements": [{"featureId": customer_id.partition("-")[0], "hasAccess": True}],
    }


def listed(count, size=10):
    def answer(request):
        number = int(parse_qs(urlsplit(request.url).query).get("page", ["1"])[0])
        rows = range((number - 1) * size, min(number * size, count))
        following = f"http://elsewhere/?page={number + 1}" if number * size < count else None
        results = [{"id": f"id-{row}", "customerId": str(row)} for row in rows]
        return {"count": count, "next": following, "previous": None, "results": results}

    return answer


@pytest.fixture
def answers():
    """`customer` echoes the one asked about, `entitled` grants "x" to "x-1", `listed(n)` has n on pages."""
    return SimpleNamespace(customer=customer, entitled=entitled, listed=listed)
