"""What SQLite leaves out of a write-ahead log, which it does without a word."""

from __future__ import annotations

import os
import struct
from typing import IO, Final

_HEADER: Final = 32
_FRAME_HEADER: Final = 24
_UNFINISHED: Final = bytes(4)
"""Where the last frame of a transaction says how large the file is then."""
# What a log begins with tells in which order its checksums take bytes.
_ORDERS: Final = {bytes.fromhex("377f0682"): "<II", bytes.fromhex("377f0683"): ">II"}


def tail(path: str, valid: int, mark: str, page: int) -> tuple[int, str]:
    """How many frames of a write-ahead log are left out, of transactions that had been finished.

    What a process wrote last before it was killed has no end, and nobody was told that it was there.

    Args:
        path: The log.
        valid: How many frames SQLite takes.
        mark: What was returned when frames were counted last; one that cannot be read says nothing.
        page: Bytes of a page of the database.

    Returns:
        Their number, without those that the mark says were counted, and a new mark.
    """
    try:
        # unlike the database and its shared memory, no lock of SQLite's is lost when this is closed
        with open(path, "rb") as file:  # noqa: PTH123
            log = _Log(file, page)
            if not log.frames or log.goes_on(valid):
                return 0, mark
            start = max(valid, log.counted(mark))
            finished, found = log.walk(start)
            return finished - start, f"{log.salts.hex()} {found}"
    except FileNotFoundError:
        return 0, mark


class _Log:
    """A log that nobody adds to.

    Attributes:
        frames: How many there are, the last one perhaps in part; some may be left from an earlier round.
        salts: What all frames of this round have in them.
    """

    def __init__(self, file: IO[bytes], page: int) -> None:
        self._file = file
        # of a broken header its page size says nothing either: the database's own is the same
        self._size = page + _FRAME_HEADER
        self._header = self._read(0, _HEADER)
        length = file.seek(0, os.SEEK_END)
        self.frames = max(0, (length - _HEADER - _FRAME_HEADER) // self._size + 1)
        order = _ORDERS.get(self._header[:4]) if length >= _HEADER else None
        self._order = order if order and self._sums(self._header[:24], order) == self._header[24:] else None
        # after a broken header none is taken, and the first frame knows better what came with it
        self.salts = self._header[16:24] if self._order else self._frame_header(0)[8:16]

    def _read(self, start: int, length: int) -> bytes:
        self._file.seek(start)
        return self._file.read(length)

    def _frame_header(self, number: int) -> bytes:
        return self._read(_HEADER + number * self._size, _FRAME_HEADER)

    @staticmethod
    def _sums(data: bytes, order: str, before: bytes = bytes(8)) -> bytes:
        """SQLite's checksum of some more bytes."""
        first, second = struct.unpack(">II", before)
        for one, other in struct.iter_unpack(order, data):
            first = (first + one + second) & 0xFFFFFFFF
            second = (second + other + first) & 0xFFFFFFFF
        return struct.pack(">II", first, second)

    def goes_on(self, valid: int) -> bool:
        """Whether something whole follows on what SQLite takes.

        Then it is not left out for being broken. Either all of the log is in the database, and whoever was to
        begin it anew got no further than to say so; or who wrote last was killed before they said so.
        """
        if self._order is None:
            return False
        sums = self._frame_header(valid - 1)[16:] if valid else self._header[24:]
        for number in range(valid, self.frames):
            frame = self._read(_HEADER + number * self._size, self._size)
            if len(frame) < self._size or frame[8:16] != self.salts:
                return False
            sums = self._sums(frame[:8] + frame[_FRAME_HEADER:], self._order, sums)
            if frame[16:_FRAME_HEADER] != sums:
                return False
            if frame[4:8] != _UNFINISHED:
                return True
        return False

    def counted(self, mark: str) -> int:
        """Up to which frame they were counted before."""
        known, _, number = mark.partition(" ")
        # it is of an earlier round, or what became of such a mark
        if known != self.salts.hex() or not (number.isascii() and number.isdecimal()):
            return 0
        return min(int(number[:20]), self.frames)

    def walk(self, start: int) -> tuple[int, int]:
        """The end of the last finished transaction after a frame, and the end of this round."""
        found = finished = start
        while found < self.frames:
            frame = self._frame_header(found)
            if frame[8:16] != self.salts:
                break
            found += 1
            if frame[4:8] != _UNFINISHED:
                finished = found
        return finished, found
