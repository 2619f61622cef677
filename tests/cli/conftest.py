"""The command, run in this process."""

import sys

import pytest

from kelviq_async import Kelviq
from kelviq_async.cli import main
from kelviq_async.cli.catalog import stock
from kelviq_async.emulator import World
from kelviq_async.http1.transport import Http1Transport


class Ran:
    """What a run of the command left behind."""

    def __init__(self, code, out, err):
        self.code = code
        self.out = out
        self.err = err

    def __repr__(self):
        return f"{self.code}\n{self.out}\n{self.err}"


@pytest.fixture
def run(monkeypatch, capsys):
    """Run the command with its arguments."""
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("NO_COLOR", "1")

    def ran(*arguments):
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["kelviq-async", *arguments])
        code = 0
        try:
            main()
        except SystemExit as ended:
            code = ended.code or 0
        return Ran(code, *capsys.readouterr())

    return ran


@pytest.fixture
def reaching(monkeypatch):
    """Have clients that know of no transport reach a world, with its keys in the environment."""

    def reach(world):
        monkeypatch.setenv("KELVIQ_SERVER_API_KEY", world.server_key)
        monkeypatch.setenv("KELVIQ_CLIENT_API_KEY", world.client_key)
        monkeypatch.setenv("KELVIQ_PARTNER_KEY", world.partner_key)

        monkeypatch.setattr(Http1Transport, "send", lambda _, wire: world.send(wire))
        return world

    return reach


@pytest.fixture
async def stocked():
    """A world with something to sell."""
    world = World(strict=True)
    async with Kelviq.local(world) as kelviq:
        await stock(kelviq)
    return world
