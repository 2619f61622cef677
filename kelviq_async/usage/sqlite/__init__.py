"""A journal in a file of SQLite, for the processes of one machine."""

from __future__ import annotations

from .journal import SqliteJournal

__all__ = ["SqliteJournal"]
