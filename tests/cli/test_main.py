"""The command as a whole."""

import os
import subprocess
import sys

import pytest

from kelviq_async import __version__
from kelviq_async.cli import demo


def test_without_arguments_it_says_what_there_is(run):
    ran = run()
    assert ran.code == 0
    for name in ("demo", "emulator", "api"):
        assert name in ran.out


def test_its_version(run):
    assert run("--version").out.strip() == __version__


@pytest.mark.parametrize("arguments", [("nope",), ("demo", "--nope"), ("demo", "--port", "x")])
def test_what_it_does_not_know_is_a_2(run, arguments):
    ran = run(*arguments)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.strip()


def test_ctrl_c_is_quiet(run, monkeypatch):
    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(demo, "stock", interrupted)
    assert run("demo").code == 130


def test_a_mistake_of_ours_is_no_no(run, monkeypatch):
    def mistaken(_):
        raise ZeroDivisionError("what nobody thought of")

    monkeypatch.setattr(demo, "stock", mistaken)
    ran = run("demo")
    assert ran.code == 2
    assert "Traceback" in ran.err
    assert "what nobody thought of" in ran.err


@pytest.mark.parametrize(
    "arguments", [["demo"], ["api", "--help"], ["api", "customers", "list", "--dry-run"]]
)
def test_a_reader_that_leaves_is_no_drama(arguments):
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-u", "-m", "kelviq_async", *arguments],
        stdout=writer, stderr=subprocess.PIPE, check=False, timeout=50,
    )  # fmt: skip
    os.close(writer)
    assert (done.returncode != 0, done.stderr) == (True, b"")


def test_a_broken_installation_is_not_called_a_missing_extra(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "kelviq_async._version", None)
    monkeypatch.setitem(sys.modules, "kelviq_async.cli.app", None)
    with pytest.raises(ModuleNotFoundError):
        run("--help")


def test_python_dash_m_is_the_command():
    done = subprocess.run(
        [sys.executable, "-m", "kelviq_async", "--version"],
        capture_output=True,
        text=True,
        check=True,
        timeout=50,
    )
    assert done.stdout.strip() == __version__
