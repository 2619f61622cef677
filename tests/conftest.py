"""Fixtures that more than one folder of tests needs."""

import asyncio
import functools
import gc
import inspect
import os
import shutil
import signal
import subprocess
import tempfile
from unittest.mock import Mock

import aioresponses
import pytest
from aiohttp import ClientResponse, StreamReader
from aiohttp.client_proto import ResponseHandler

from kelviq_async import codec
from kelviq_async.transport import WireAnswer


def pytest_collection_finish():
    """Leave the thousands of tests themselves out of each garbage collection that one of them asks for."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True, scope="session")
def interrupts():
    """Ctrl-C means something here and in the programs that tests start, also in a run in the background.

    A shell has what it starts there ignore it, and whoever ignores a signal hands that down.
    """
    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(autouse=True)
def clean_env(monkeypatch):
    """Nobody's real keys or hosts reach a test."""
    for name in [name for name in os.environ if name.startswith("KELVIQ_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def wire(monkeypatch):
    """Answers in the place of the network, in aiohttp's session: for tests of the transport only."""
    # aiohttp 3.14 wants to be told the writer that sent the request; aioresponses 0.7.9 names none.
    if "stream_writer" in inspect.signature(ClientResponse).parameters:
        answer = functools.partial(ClientResponse, stream_writer=Mock(output_size=0))
        monkeypatch.setattr(aioresponses.core, "ClientResponse", answer)
    # Its reader would stop the connection, which there is none of, when a body exceeds 128 KiB.
    monkeypatch.setattr(
        aioresponses.core,
        "stream_reader_factory",
        lambda loop: StreamReader(ResponseHandler(loop=loop), limit=2**30, loop=loop),
    )
    with aioresponses.aioresponses() as answers:
        yield answers


class Scripted:
    """A transport without a network, whose answers a test writes down; the last one is given again and again.

    An answer is a status, ``(status, body, headers)`` with as much of it as matters, an exception, or a
    function of the request, plain or async, that gives one of these.
    """

    def __init__(self, *script):
        self.script = list(script) or [200]
        self.sent = []
        self.closed = 0

    async def send(self, request):
        self.sent.append(request)
        answer = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        while callable(answer) or inspect.isawaitable(answer):
            answer = await answer if inspect.isawaitable(answer) else answer(request)
        if isinstance(answer, BaseException):
            raise answer
        status, body, headers, *_ = (*(answer if isinstance(answer, tuple) else (answer,)), {}, {})
        return WireAnswer(status, headers, body if isinstance(body, bytes) else codec.encode(body))

    async def close(self):
        self.closed += 1


@pytest.fixture
def scripted():
    """``scripted(200, (404, {"detail": "Not found."}), NeverSent("refused"))``: it answers so."""
    return Scripted


@pytest.fixture
def no_tasks_left():
    """``await no_tasks_left()``: nothing runs any more but the test itself."""

    async def check():
        gc.collect()
        for _ in range(50):
            await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    return check


@pytest.fixture(scope="session")
def redis_url():
    """Where a real redis-server of this run listens. It is shared: use keys of your own, or flush it."""
    program = _program("redis-server")
    # A socket file: unlike a port, nobody else can take it in between. The system wants its path short.
    with tempfile.TemporaryDirectory(prefix="redis-") as folder:
        socket = f"{folder}/redis.sock"
        command = [program, "--port", "0", "--unixsocket", socket, "--dir", folder, "--save", ""]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as server:
            try:
                log = []
                for line in server.stdout:
                    log.append(line)
                    if "eady to accept connections" in line:  # its capital has changed between versions
                        break
                else:
                    pytest.fail("redis-server did not start:\n" + "".join(log))
                yield f"unix://{socket}"
            finally:
                server.terminate()


@pytest.fixture(scope="session")
def chromium():
    """The path of a Chromium to drive."""
    return _program("chromium", "chromium-browser", "google-chrome")


def _program(*names):
    for name in names:
        if path := shutil.which(name):
            return path
    reason = f"{names[0]} is not on PATH"
    # A run that is meant to prove everything must not pass by leaving things out.
    if os.environ.get("CI"):
        pytest.fail(f"{reason}, and CI is set")
    pytest.skip(reason)
