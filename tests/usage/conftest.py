"""A world with meters, a journal in a file, and little patience."""

import pytest

from kelviq_async.usage import SqliteJournal
from tests.usage.meters import metered
from tests.usage.pieces import SCOPE


@pytest.fixture
def world():
    made = metered()
    yield made
    assert made.crashes == []


@pytest.fixture
def impatient(monkeypatch):
    """Whoever closes waits no longer than a moment."""
    for module in ("sender", "recorder"):
        monkeypatch.setattr(f"kelviq_async.usage.{module}.GRACE", 0.1)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "usage.db"


@pytest.fixture
async def journal(path):
    journal = SqliteJournal(path)
    await journal.open(SCOPE)
    yield journal
    await journal.close()
