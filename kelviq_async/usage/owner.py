"""Who a sending process is, and whether it is still there."""

from __future__ import annotations

import functools
import os
import secrets
from pathlib import Path
from typing import Final

from .journal import Owner, Seen

UNKNOWN: Final = ""
_PROC: Final = Path("/proc")


def this_process(lease: float) -> Owner:
    """This process, as an owner that is unlike any other.

    Args:
        lease: Seconds without a beat after which it counts as gone.
    """
    pid = os.getpid()
    return Owner(secrets.token_hex(8), pid, _started(pid) or UNKNOWN, machine(), lease)


def why_gone(seen: Seen) -> str | None:
    """Why an owner counts as gone, or None while it may be there.

    Its process is looked for where that can be done: on the same boot of the same machine, and in the
    same container. Elsewhere only silence tells.
    """
    owner = seen.owner
    if owner.machine and owner.machine == machine() and owner.started:
        started = _started(owner.pid)
        if started is None:
            return "its sender's process had ended"
        if started not in {UNKNOWN, owner.started}:
            return "its sender's process had ended, and its number belongs to another one"
    if seen.silent > owner.lease:
        return "its sender had given no sign of life for longer than its lease"
    return None


@functools.cache
def machine() -> str:
    """What tells this boot of this machine, and this container, from others; empty where it is unknown."""
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {(_PROC / 'self/ns/pid').readlink()}"
    except OSError:
        return ""


def _started(pid: int) -> str | None:
    """When a process started, in the system's own count; None if there is none, or a mere zombie."""
    try:
        stat = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return UNKNOWN if _hidden(pid) else None
    except OSError:  # out of file descriptors, perhaps: that says nothing about the other process
        return UNKNOWN
    # the second field is the program's name in brackets, and may hold anything, brackets too
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in {"Z", "X"} else fields[19]


def _hidden(pid: int) -> bool:
    """Whether a process is there though ``/proc`` does not show it, see its option ``hidepid``."""
    if not _PROC.is_dir():
        return True  # nothing is shown
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it is somebody else's
        pass
    return True
