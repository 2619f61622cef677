"""What a SqliteJournal makes of logs that crashes have left: it opens, and what was whole is there."""

import asyncio
import sqlite3
import struct
import tempfile
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from kelviq_async.usage import SqliteJournal
from kelviq_async.usage.records import Key
from tests.usage.pieces import SCOPE, STATES, owner, record, report_in

HEADER, HEAD, PAGE = 32, 24, 4096
FRAME = HEAD + PAGE


class Log:
    """The log of a journal that was killed, and which frames hold which records."""

    def __init__(self, database, log, ids):
        self.database = database
        self.bytes = log
        self.frames = (len(log) - HEADER) // FRAME
        self.salts = log[16:24]
        ends = [n + 1 for n in range(self.frames) if any(self.frame(n)[4:8])]
        # what came before the records is the tables' mode, and reports on their way
        self.records = dict(zip(ends[-len(ids) :], ids, strict=True))

    def frame(self, number):
        return self.bytes[HEADER + number * FRAME :][:FRAME]

    def whole(self, log):
        """Of whose records all frames are as they were."""
        same = next((n for n, (a, b) in enumerate(zip(log, self.bytes, strict=False)) if a != b), len(log))
        same = min(same, len(self.bytes))
        held = (same - HEADER) // FRAME if same >= HEADER else 0
        return [id for end, id in self.records.items() if end <= held]


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """A journal with a report in each state in its file, and four records in its log."""
    path = tmp_path_factory.mktemp("killed") / "usage.db"

    async def make():
        journal = SqliteJournal(path)
        await journal.open(SCOPE)
        for state in STATES:
            await report_in(journal, state, owner(), Key(state.value, "calls"))
        await journal.close()
        await journal.open(SCOPE)
        ids = [f"log-{n}" for n in range(4)]
        for id in ids:
            await journal.append([record(id=id)])
        found = Log(path.read_bytes(), Path(f"{path}-wal").read_bytes(), ids)
        await journal.close()
        return found

    return asyncio.run(make())


async def opened_with(database, log, *, twice=True):
    """Put down what a crash left, open it, and see that all that can be known adds up.

    Returns:
        How much was left out, and the ids of records that wait.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "usage.db"
        path.write_bytes(database)
        Path(f"{path}-wal").write_bytes(log)
        journal = SqliteJournal(path)
        try:
            await journal.open(SCOPE)
            ledger = await journal.ledger()
            assert ledger.balanced, ledger
            assert await journal.verify() == []
            waiting = [each.record.id for each in await journal.waiting(100)]
            assert ledger.accepted == len(waiting) + len(STATES)
            if not twice:
                return ledger.skipped, waiting
            # it is counted once, and the journal goes on
            await journal.append([record(id="next")])
            await journal.close()
            await journal.open(SCOPE)
            again = await journal.ledger()
            assert (again.balanced, again.skipped) == (True, ledger.skipped)
            assert again.accepted == ledger.accepted + 1
        finally:
            await journal.close()
    return ledger.skipped, waiting


async def test_a_log_of_a_header_and_nothing_else_opens(killed):
    """The process was killed between its first two writes."""
    for length in (HEADER, HEADER + 1, HEADER + 8, HEADER + 12, HEADER + HEAD - 1):
        assert await opened_with(killed.database, killed.bytes[:length]) == (0, [])


async def test_a_log_cut_anywhere_opens_with_all_that_is_whole(killed):
    borders = [HEADER + n * FRAME for n in range(killed.frames + 1)]
    around = (-PAGE // 2, -1, 0, 1, 10, 16, HEAD - 1, HEAD)
    lengths = {*range(HEADER + 1), *(border + more for border in borders for more in around)}
    for length in sorted(lengths & set(range(len(killed.bytes) + 1))):
        log = killed.bytes[:length]
        skipped, waiting = await opened_with(killed.database, log, twice=False)
        assert waiting == killed.whole(log), length
        # only of a transaction whose last frame had begun can anybody know that it was finished
        last = (length - HEADER - HEAD) // FRAME + 1
        assert (skipped > 0) == (last in killed.records and (length - HEADER) // FRAME < last), length


garbage = st.one_of(
    st.binary(min_size=1, max_size=64), st.binary(min_size=1, max_size=64).map(lambda b: b * 99)
)


@settings(max_examples=60, deadline=None, database=None)
@given(data=st.data())
def test_a_log_with_anything_in_it_opens_with_all_that_is_whole(killed, data):
    log = killed.bytes[: data.draw(st.integers(0, len(killed.bytes)))]
    places = st.one_of(st.integers(0, HEADER + 3 * HEAD), st.integers(0, len(log)))
    for _ in range(data.draw(st.integers(0, 3))):
        at, what = data.draw(places), data.draw(garbage)
        log = log[:at] + what + log[at + len(what) :]
    _, waiting = asyncio.run(opened_with(killed.database, log))
    assert waiting == killed.whole(log)


def marked(folder, killed, mark):
    """The same log, with a mark in the ledger and a broken transaction of one frame at the end."""
    path = folder / "marked.db"
    path.write_bytes(killed.database)
    log = Path(f"{path}-wal")
    log.write_bytes(killed.bytes)
    with closing(sqlite3.connect(path)) as file:
        file.execute("UPDATE ledger SET tail = ?", (mark,))
        file.commit()
        assert file.execute("SELECT count(*) FROM records").fetchone()[0] == len(STATES) + 4
        return log.read_bytes() + struct.pack(">II8s8x", 1, 22, killed.salts) + bytes(PAGE)


NUMBERS = ["", "x", "-1", "\u00b2", "\u0663", "1 1", "0x1", " 1", "1e3"]


async def test_a_mark_that_cannot_be_read_says_nothing(killed, tmp_path):
    salts = killed.salts.hex()
    for mark in ["", " ", "\0", b"\xff\x00", b"", salts, *(f"{salts} {number}" for number in NUMBERS)]:
        skipped, waiting = await opened_with(killed.database, marked(tmp_path, killed, mark))
        assert (skipped, len(waiting)) == (1, 4), mark


@pytest.mark.parametrize("number", ["100", "9" * 20, "9" * 5000])
async def test_a_mark_behind_the_end_of_the_log_says_that_all_was_counted(killed, tmp_path, number):
    log = marked(tmp_path, killed, f"{killed.salts.hex()} {number}")
    skipped, waiting = await opened_with(killed.database, log)
    assert (skipped, len(waiting)) == (0, 4)


def renewed(log):
    """The header of the log's next round, as SQLite writes it."""
    magic, version, page, number, salt = struct.unpack(">4s4s4sII", log[:20])
    new = struct.pack(">4s4s4sIII", magic, version, page, number + 1, salt + 1, 4711)
    first = second = 0
    for one, other in struct.iter_unpack(">II" if magic[3] & 1 else "<II", new):
        first = (first + one + second) & 0xFFFFFFFF
        second = (second + other + first) & 0xFFFFFFFF
    return new + struct.pack(">II", first, second)


async def test_what_an_earlier_round_left_in_the_log_is_no_loss(killed):
    """The process was killed as it began the log anew, of which all was in the file."""
    log = renewed(killed.bytes) + killed.bytes[HEADER:]
    assert await opened_with(killed.database, log) == (0, [])


async def test_a_log_that_is_about_to_begin_anew_is_no_loss(tmp_path):
    """A process was killed in between, while others had the journal open."""
    path = tmp_path / "usage.db"
    journal = SqliteJournal(path)
    await journal.open(SCOPE)
    await journal.append([record()])
    log = Path(f"{path}-wal")
    before = log.read_bytes()
    other = sqlite3.connect(path)
    assert other.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()[0] == 0
    other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    log.write_bytes(before)
    second = SqliteJournal(path)
    await second.open(SCOPE)
    ledger = await second.ledger()
    assert (ledger.skipped, ledger.accepted) == (0, 1)
    await second.close()
    await journal.close()
    other.close()
