"""Where an output is written: a part file that a later run can go on with, or straight to a stream.

A run writes whole rows into ``NAME.part``, and renames it to ``NAME`` when all of them are there. What the
rows were made of (features, column, account and so on) stands beside it in ``NAME.part.json``; how far it
came is nowhere but in the part itself, so that no crash can make the two disagree.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any, Final, Protocol

from .. import CodecError, codec

if sys.platform != "win32":
    import fcntl

VERSION: Final = 1

Scan = Callable[[io.RawIOBase], tuple[int, int]]
"""Reads an earlier part, and gives the number of its whole rows and of their bytes."""


class Refused(ValueError):
    """The output cannot be written; the message says why, and what to do."""


class Destination(Protocol):
    """Where an output goes.

    Attributes:
        name: What to call it.
        resumable: Whether a later run can go on where this one stopped.
        is_terminal: Whether somebody looks at it as it is written.
    """

    name: str
    resumable: bool
    is_terminal: bool

    def begin(self, head: bytes, made_of: Mapping[str, Any], scan: Scan) -> int:
        """Get ready to write.

        Args:
            head: What stands above the rows.
            made_of: What decides about the rows, by the name a person knows it by.
            scan: Reads an earlier part.

        Returns:
            How many rows there are already.
        """
        ...

    def write(self, data: bytes) -> None:
        """Write whole rows, so that they outlive this process."""
        ...

    def finish(self) -> None:
        """All rows are there."""
        ...

    def leave(self) -> None:
        """No more rows will come, whether or not all of them are there."""
        ...


class Straight:
    """Standard output, a pipe or a device: nothing to go on with.

    Args:
        name: What to call it.
        file: Where to write; it is closed in the end, unless it is standard output.
    """

    resumable = False

    def __init__(self, name: str, file: IO[bytes]) -> None:
        self.name = name
        self.is_terminal = file.isatty()
        self._file = file

    def begin(self, head: bytes, made_of: Mapping[str, Any], scan: Scan) -> int:  # noqa: ARG002  nothing is there
        """Write what stands above the rows."""
        self.write(head)
        return 0

    def write(self, data: bytes) -> None:
        """Write whole rows."""
        self._file.write(data)
        self._file.flush()

    def finish(self) -> None:
        """All rows are there."""

    def leave(self) -> None:
        """No more rows will come."""
        if sys.stdout is None or self._file is not sys.stdout.buffer:
            with contextlib.suppress(OSError):  # it was told when it was written
                self._file.close()


class PartFile:
    """A file that is written beside its final name.

    Args:
        target: The final name.
        force: Whether an output that is there already is replaced in the end.
        restart: Whether a part that is there already is given up.

    Raises:
        Refused: The output is there already, or another run is writing it.
    """

    resumable = True
    is_terminal = False

    def __init__(self, target: Path, *, force: bool, restart: bool) -> None:
        self.name = str(target)
        self._target = Path(os.path.realpath(target))  # a link stays one
        if not self._target.name:
            raise Refused(f"{self.name} is a folder")
        self._part = self._target.with_name(f"{self._target.name}.part")
        self._notes = self._target.with_name(f"{self._target.name}.part.json")
        self._force = force
        self._restart = restart
        if not self._target.parent.is_dir():
            raise Refused(f"{target} cannot be written: there is no such folder")
        self._refuse_finished()
        self._file = self._claimed()
        # what an earlier run has left is not ours to remove, whatever goes wrong before we have looked at it
        self._keep = self._file.seek(0, os.SEEK_END) > 0

    def begin(self, head: bytes, made_of: Mapping[str, Any], scan: Scan) -> int:
        """Look what is there, cut off a torn row, and stand behind the last whole one.

        Raises:
            Refused: What is there was made of something else.
        """
        rows = end = 0
        if self._keep and not self._restart:
            self._compare(made_of)
            with io.FileIO(self._part) as earlier:
                rows, end = scan(earlier)
        self._keep = rows > 0
        self._file.seek(end)
        self._file.truncate()
        if not rows:
            self._notes.write_bytes(codec.encode({"version": VERSION, **made_of}))
            self._file.write(head)
            self._file.flush()
        return rows

    def write(self, data: bytes) -> None:
        """Write whole rows: what the system has taken outlives this process."""
        self._file.write(data)
        self._file.flush()
        self._keep = True

    def finish(self) -> None:
        """Give it its final name.

        Raises:
            Refused: Somebody else has made a file of that name meanwhile.
        """
        self._file.flush()
        os.fsync(self._file.fileno())
        self._refuse_finished()
        if sys.platform == "win32":  # it renames nothing that is open
            self._file.close()
        self._part.replace(self._target)
        self._notes.unlink(missing_ok=True)
        self._file.close()

    def leave(self) -> None:
        """Leave what a later run can go on with, and nothing where it cannot."""
        if self._file.closed:
            return
        if not self._keep and sys.platform != "win32":
            self._drop()  # while it is locked: nobody else's is removed
        with contextlib.suppress(OSError):  # a full disk has been told about
            self._file.close()
        if not self._keep and sys.platform == "win32":
            self._drop()

    def _drop(self) -> None:
        self._part.unlink(missing_ok=True)
        self._notes.unlink(missing_ok=True)

    def _refuse_finished(self) -> None:
        if self._target.is_dir():
            raise Refused(f"{self.name} is a folder")
        if self._target.exists() and not self._force:
            raise Refused(f"{self.name} is there already; --force replaces it")

    def _claimed(self) -> IO[bytes]:
        """The part, opened, and locked so that no two runs write it."""
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0)
        try:
            file = os.fdopen(os.open(self._part, flags, 0o666), "r+b")
        except OSError as error:
            raise Refused(f"{self.name}.part cannot be written: {error.strerror or error}") from None
        if not self._is_ours(file):
            file.close()
            raise Refused(f"another run is writing {self.name}.part")
        return file

    def _is_ours(self, file: IO[bytes]) -> bool:
        if sys.platform == "win32":  # there nobody renames what another one has opened
            return True
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return os.path.samestat(os.fstat(file.fileno()), self._part.stat())
        except (BlockingIOError, FileNotFoundError):  # the other run goes on, or has ended in this moment
            return False

    def _compare(self, made_of: Mapping[str, Any]) -> None:
        """Refuse to go on with rows that were made of something else."""
        again = "--restart drops it and starts over"
        try:
            noted = codec.decode(self._notes.read_bytes())
        except (OSError, CodecError):
            noted = None
        if not isinstance(noted, dict) or noted.get("version") != VERSION:
            raise Refused(f"{self.name}.part is there, and nothing says what it was made of; {again}")
        for name, value in made_of.items():
            if noted.get(name) != value:
                # an account may go by a digest of its key, which tells nobody anything
                what = "" if name == "account" else f" ({_said(noted.get(name))}, not {_said(value)})"
                raise Refused(f"{self.name}.part was begun with other {name}{what}; {again}")


def standard_output() -> Straight:
    """What the shell calls ``-``.

    Raises:
        Refused: It is closed.
    """
    if sys.stdout is None:
        raise Refused("standard output cannot be written: it is closed")
    return Straight("standard output", sys.stdout.buffer)


def _said(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if value is None or isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
