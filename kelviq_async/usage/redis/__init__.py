"""A journal in Redis or Valkey, for processes of many machines."""

from __future__ import annotations

from .journal import RedisJournal

__all__ = ["RedisJournal"]
