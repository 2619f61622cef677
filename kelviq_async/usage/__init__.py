"""Usage that is neither lost nor counted twice: recorded in a journal first, sent behind the scenes."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from .journal import Journal as Journal, JournalError as JournalError
    from .memory import MemoryJournal as MemoryJournal
    from .policy import UsageObserver as UsageObserver, UsagePolicy as UsagePolicy
    from .records import Ledger as Ledger, Receipt as Receipt, Report as Report, State as State
    from .redis import RedisJournal as RedisJournal
    from .sqlite import SqliteJournal as SqliteJournal

_HOMES: Final = {
    "Journal": "journal",
    "JournalError": "journal",
    "Ledger": "records",
    "MemoryJournal": "memory",
    "Receipt": "records",
    "RedisJournal": "redis",
    "Report": "records",
    "SqliteJournal": "sqlite",
    "State": "records",
    "UsageObserver": "policy",
    "UsagePolicy": "policy",
}


def _resolved(name: str) -> Any:
    if name not in _HOMES:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


if not TYPE_CHECKING:  # for a type checker it would make every name one
    __getattr__ = _resolved
