"""Who sends, and how others tell that they are gone."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import attrs
import pytest

from kelviq_async.usage import owner as owners
from kelviq_async.usage.journal import Seen
from kelviq_async.usage.owner import this_process, why_gone

ENDED = "its sender's process had ended"
RECYCLED = "its sender's process had ended, and its number belongs to another one"
SILENT = "its sender had given no sign of life for longer than its lease"

on_linux = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="there is no /proc to look at")


def seen(owner, silent=0.0):
    return Seen(owner, 100.0, silent)


@pytest.fixture
def machine():
    """Forget what this machine is, before and after."""
    owners.machine.cache_clear()
    yield
    owners.machine.cache_clear()


@pytest.fixture
def child():
    """Another process that lives until its input ends; ``child.owner`` is it, as it would name itself."""
    program = (
        "import sys; from kelviq_async.usage.owner import this_process; o = this_process(60);"
        "print(o.id, o.pid, o.started, o.machine, sep='|', flush=True); sys.stdin.read()"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", program]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        id, pid, started, machine = process.stdout.readline().rstrip("\n").split("|")
        process.owner = owners.Owner(id, int(pid), started, machine, 60.0)
        yield process
        process.stdin.close()


def test_each_owner_is_unlike_any_other():
    first, second = this_process(60), this_process(60)
    assert first.id != second.id
    assert attrs.evolve(first, id="") == attrs.evolve(second, id="")
    assert (first.pid, first.lease) == (os.getpid(), 60)


@on_linux
def test_this_process_is_there():
    owner = this_process(60)
    assert owner.machine
    assert owner.started.isdigit()
    assert why_gone(seen(owner)) is None
    assert why_gone(seen(owner, 60.0)) is None


def test_silence_tells_even_of_a_process_that_is_there():
    assert why_gone(seen(this_process(60), 60.001)) == SILENT


@on_linux
def test_a_child_is_there_until_it_ends(child):
    assert child.owner.pid == child.pid
    assert child.owner.machine == owners.machine()
    assert why_gone(seen(child.owner)) is None
    child.stdin.close()
    # not waited for yet: a zombie, which will send nothing any more
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert Path(f"/proc/{child.pid}/stat").exists()
    assert why_gone(seen(child.owner)) == ENDED
    child.wait()
    assert not Path(f"/proc/{child.pid}").exists()
    assert why_gone(seen(child.owner)) == ENDED


@on_linux
def test_a_number_may_belong_to_another_process_by_now(child):
    later = attrs.evolve(child.owner, started=str(int(child.owner.started) - 1))
    assert why_gone(seen(later)) == RECYCLED


@on_linux
@pytest.mark.parametrize("change", [{"machine": "another"}, {"machine": ""}, {"started": ""}])
def test_elsewhere_only_silence_tells(child, change):
    """Another machine, boot or container: a process with the same number is somebody else."""
    child.stdin.close()
    child.wait()
    owner = attrs.evolve(child.owner, **change)
    assert why_gone(seen(owner, 59.0)) is None
    assert why_gone(seen(owner, 61.0)) == SILENT


@pytest.mark.usefixtures("machine")
def test_without_proc_only_silence_tells(monkeypatch, tmp_path):
    monkeypatch.setattr(owners, "_PROC", tmp_path / "missing")
    owner = this_process(60)
    assert (owner.started, owner.machine, owner.pid) == ("", "", os.getpid())
    assert why_gone(seen(owner, 59.0)) is None
    assert why_gone(seen(owner, 61.0)) == SILENT
    # not even of one that named itself while there was one
    other = attrs.evolve(owner, pid=2**22 + 1, started="1", machine="a machine")
    assert why_gone(seen(other, 59.0)) is None


@pytest.fixture
def proc(monkeypatch, tmp_path, machine):
    """A ``/proc`` of our own making."""
    folder = tmp_path / "sys/kernel/random"
    folder.mkdir(parents=True)
    (folder / "boot_id").write_text("boot-1\n")
    (tmp_path / "self/ns").mkdir(parents=True)
    (tmp_path / "self/ns/pid").symlink_to("pid:[1]")
    monkeypatch.setattr(owners, "_PROC", tmp_path)
    return tmp_path


def put(proc, pid, name="python", state="S", started="777"):
    (proc / str(pid)).mkdir(exist_ok=True)
    fields = [state, *map(str, range(4, 22)), started, *map(str, range(23, 53))]
    (proc / str(pid) / "stat").write_bytes(f"{pid} ({name}) ".encode() + " ".join(fields).encode() + b"\n")


@pytest.mark.parametrize("name", ["python", "a b", ") Z 1 2 (", "))", "", "(", "\xff\n)"])
def test_a_program_may_be_called_anything(proc, name):
    put(proc, os.getpid(), name)
    owner = this_process(60)
    assert (owner.started, owner.machine) == ("777", "boot-1 pid:[1]")
    assert why_gone(seen(owner)) is None
    put(proc, os.getpid(), name, started="778")
    assert why_gone(seen(owner)) == RECYCLED


@pytest.mark.parametrize(
    ("state", "reason"), [(state, None) for state in "RSDTtI"] + [("Z", ENDED), ("X", ENDED)]
)
def test_what_has_died_sends_no_more(proc, state, reason):
    put(proc, os.getpid())
    owner = this_process(60)
    put(proc, os.getpid(), state=state)
    assert why_gone(seen(owner)) == reason


@pytest.mark.parametrize("killed", [None, PermissionError(errno.EPERM, "not yours")])
def test_a_process_that_proc_hides_is_not_gone(proc, monkeypatch, killed):
    """With ``hidepid``, other users' processes are not shown."""
    put(proc, os.getpid())
    owner = this_process(60)
    (proc / str(os.getpid()) / "stat").unlink()
    asked = []

    def kill(pid, signal):
        asked.append((pid, signal))
        if killed is not None:
            raise killed

    monkeypatch.setattr(os, "kill", kill)
    assert why_gone(seen(owner)) is None
    assert why_gone(seen(owner, 61.0)) == SILENT
    assert set(asked) == {(os.getpid(), 0)}


@pytest.mark.parametrize("number", [errno.EACCES, errno.EMFILE, errno.EIO])
def test_who_cannot_look_takes_nobody_for_gone(proc, monkeypatch, number):
    put(proc, os.getpid())
    owner = this_process(60)
    assert why_gone(seen(owner)) is None

    def read(*_, **__):
        raise OSError(number, "cannot look")

    monkeypatch.setattr(Path, "read_text", read)
    assert why_gone(seen(owner)) is None
    assert why_gone(seen(owner, 61.0)) == SILENT
