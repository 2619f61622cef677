"""A redis-server of a test's own, to stop, kill and start again, and fixtures for journals in it."""

import asyncio
import contextlib
import secrets
import signal
import subprocess

import pytest
import redis as redis_py

from kelviq_async.usage import RedisJournal
from tests.usage.pieces import SCOPE

# Nothing waits for this long; it is what a busy machine may take.
LONG = 30


class Server:
    """Listens on a socket file in a folder, where it also keeps its append-only file."""

    def __init__(self, folder):
        self.path = f"{folder}/r"
        self.url = f"unix://{self.path}"
        self._command = ["redis-server", "--port", "0", "--unixsocket", self.path, "--dir", folder]
        self._command += ["--save", "", "--appendonly", "yes"]
        self._process = None

    async def start(self):
        self._process = await asyncio.create_subprocess_exec(
            *map(str, self._command), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        async with asyncio.timeout(20):
            while b"eady to accept" not in (line := await self._process.stdout.readline()):
                assert line
        return self

    async def kill(self):
        self._process.kill()
        await self._process.communicate()

    def pause(self):
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self):
        self._process.send_signal(signal.SIGCONT)

    async def end(self):
        if self._process is not None and self._process.returncode is None:
            self.go_on()
            await self.kill()

    def clients(self):
        """How many there are, this question's own among them."""
        return int(self.ask("INFO", "clients")["connected_clients"])

    def ask(self, *words):
        """What the server says to a command."""
        return ask(self.url, *words)


def ask(url, *words, **options):
    """What a server says to a command."""
    client = redis_py.Redis.from_url(url, decode_responses=True, encoding_errors="backslashreplace")
    with contextlib.closing(client):
        return client.execute_command(*words, **options)


@pytest.fixture
def prefix():
    return f"redis-{secrets.token_hex(4)}"


@pytest.fixture
async def connect(redis_url, prefix):
    """Makes journals of one prefix, opened."""
    journals = []

    async def make(url=redis_url, *, patience=None, **settings):
        journal = RedisJournal(url, **{"prefix": prefix, "deadline": LONG, **settings})
        journals.append(journal)
        if patience is not None:
            journal._here().lines._patience = patience
        await journal.open(SCOPE)
        return journal

    yield make
    for journal in journals:
        await journal.close()


@pytest.fixture
async def server(tmp_path):
    server = await Server(tmp_path).start()
    yield server
    await server.end()
