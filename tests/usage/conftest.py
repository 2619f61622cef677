"""A journal in a file."""

import pytest

from kelviq_async.usage import SqliteJournal
from tests.usage.pieces import SCOPE


@pytest.fixture
def path(tmp_path):
    return tmp_path / "usage.db"


@pytest.fixture
async def journal(path):
    journal = SqliteJournal(path)
    await journal.open(SCOPE)
    yield journal
    await journal.close()
