"""``kelviq-async emulator``, as a process of its own."""

import asyncio
import contextlib
import json
import signal
import subprocess
import sys

import aiohttp
import pytest

from kelviq_async import Kelviq, webhooks
from kelviq_async.emulator import World, serve

SEED = {"customers": [{"customerId": "user-123", "email": "ada@example.com"}]}


class Running:
    """An emulator that has said where it is."""

    def __init__(self, process):
        self.process = process
        self.lines = {}

    async def ready(self, last="partner key"):
        while last not in self.lines:
            line = (await self.process.stdout.readline()).decode()
            assert line, (await self.process.stderr.read()).decode()
            name, _, value = line.rstrip("\n").partition(": ")
            self.lines[name] = value
        return self

    @property
    def url(self):
        return self.lines["address"]

    async def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        out, err = await self.process.communicate()
        return self.process.returncode, out.decode(), err.decode()


@pytest.fixture
async def start():
    """Start the command with its arguments, on a free port."""
    running = []

    async def started(*arguments, last="partner key"):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "kelviq_async", "emulator", "--port", "0", *arguments,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        running.append(process)
        return await Running(process).ready(last)

    yield started
    for process in running:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_it_says_where_it_is_serves_and_ends(start, number):
    emulator = await start()
    assert emulator.lines == {
        "address": emulator.url,
        "server key": "sk_test_emulator",
        "client key": "ck_test_emulator",
        "partner key": "pk_test_emulator",
    }
    async with Kelviq("sk_test_emulator", core_url=emulator.url) as kelviq:
        assert (await kelviq.customers.create("user-123")).customer_id == "user-123"
    assert await emulator.stop(number) == (0, "", "")


async def test_keys_of_ones_own(start):
    keys = ("--server-key", "sk_a", "--client-key", "ck_a", "--partner-key", "pk_a")
    emulator = await start(*keys)
    assert [emulator.lines[f"{kind} key"] for kind in ("server", "client", "partner")] == [
        "sk_a",
        "ck_a",
        "pk_a",
    ]
    async with Kelviq("sk_a", core_url=emulator.url) as kelviq:
        assert (await kelviq.customers.list()).count == 0


async def test_it_is_strict_when_that_is_said(start):
    headers = {"Authorization": "Bearer sk_test_emulator"}
    for arguments, status in (((), 200), (("--strict",), 400)):
        emulator = await start(*arguments)
        url = f"{emulator.url}/api/v1/customers/?nope=1"
        async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as answer:
            assert answer.status == status


async def test_webhooks_go_where_they_are_told_to(start):
    arrived = asyncio.Queue()

    async def receive(request):
        await arrived.put((dict(request.headers), await request.read()))
        return aiohttp.web.Response()

    runner = aiohttp.web.ServerRunner(aiohttp.web.Server(receive))
    await runner.setup()
    await aiohttp.web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    secret = "kq_whsec_" + "a" * 32
    emulator = await start("--webhook-url", url, "--webhook-secret", secret, last="webhook secret")
    assert emulator.lines["webhook secret"] == secret
    async with Kelviq("sk_test_emulator", core_url=emulator.url) as kelviq:
        await kelviq.customers.create("user-123", email="ada@example.com")
    headers, body = await arrived.get()
    assert webhooks.verify(body, headers, [secret]).type == "customer.created"
    await runner.cleanup()


async def test_its_state_goes_on_the_next_time(start, tmp_path):
    seed, state = tmp_path / "seed.json", tmp_path / "state.json"
    seed.write_text(json.dumps(SEED), "utf-8")
    files = ("--state", str(state), "--seed", str(seed), "--webhook-url", "http://127.0.0.1:1/")
    first = await start(*files, last="webhook secret")
    async with Kelviq("sk_test_emulator", core_url=first.url) as kelviq:
        await kelviq.customers.update("user-123", name="Ada")
    assert await first.stop() == (0, "", "")
    assert sorted(tmp_path.iterdir()) == [seed, state]

    second = await start(*files, last="webhook secret")
    # the endpoint is the old one, and so is its secret
    assert second.lines["webhook secret"] == first.lines["webhook secret"]
    async with Kelviq("sk_test_emulator", core_url=second.url) as kelviq:
        assert (await kelviq.customers.retrieve("user-123")).name == "Ada"
    assert (await second.stop())[0] == 0
    world = World()
    world.restore(json.loads(state.read_text("utf-8")))
    assert len(world.webhooks.endpoints) == 1


# What it turns away; none of these ever listens, so they can run in this process.


@pytest.mark.parametrize("option", ["--state", "--seed"])
@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"5", b'"x"', b'{"version": 99}', b'{"version": 1}', b"\xff\xfe", b"[" * 100_000],
    ids=range(9),
)
def test_damaged_files(run, tmp_path, option, content):
    file = tmp_path / "file.json"
    file.write_bytes(content)
    ran = run("emulator", "--port", "99999", option, str(file))
    assert (ran.code, ran.out) == (2, "")
    assert "file.json cannot be" in ran.err
    assert "Traceback" not in ran.err
    assert file.read_bytes() == content


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--seed", "/nope/seed.json"], "/nope/seed.json cannot be read: No such file"),
        (["--state", "/nope/state.json"], "no such folder"),
        (["--state", "."], "cannot be read"),
        (["--port", "99999"], "there is no port 99999"),
        (["--port", "many"], "many"),
        (["--host", "0.0.0.0"], "--allow-remote"),  # noqa: S104  that is what is turned away
        (["--host", "nowhere.invalid", "--allow-remote"], "cannot listen on nowhere.invalid"),
        (["--server-key", "a b"], "server_key"),
        (["--server-key", ""], "server_key"),
        (["--server-key", "same", "--client-key", "same"], "must differ"),
        (["--webhook-url", "nonsense"], "http"),
        (["--webhook-url", "http://a.example", "--webhook-secret", ""], "secret"),
        (["--bogus"], "--bogus"),
    ],
)
def test_settings_that_cannot_be(run, arguments, said):
    ran = run("emulator", *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err
    assert "Traceback" not in ran.err


async def test_a_port_that_is_taken(tmp_path):
    state = tmp_path / "state.json"
    async with serve() as server:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "kelviq_async", "emulator",
            "--port", str(server.port), "--state", str(state),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        out, err = await process.communicate()
    assert (process.returncode, out) == (2, b"")
    assert err.decode().startswith(f"cannot listen on 127.0.0.1:{server.port}: Address already in use")
    assert not state.exists()


def test_a_state_that_cannot_be_written_is_told(run, tmp_path, monkeypatch):
    """The work is not lost silently."""

    def ended(coroutine):
        coroutine.close()
        (tmp_path / "folder").rmdir()

    (tmp_path / "folder").mkdir()
    monkeypatch.setattr(asyncio, "run", ended)
    ran = run("emulator", "--state", str(tmp_path / "folder" / "state.json"))
    assert ran.code == 2
    assert "cannot be written" in ran.err
