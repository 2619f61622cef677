"""Telling what happens to usage: to a user's observer, whatever it does, and to the log."""

from __future__ import annotations

import logging

from .journal import JournalError
from .policy import UsageObserver
from .records import Ledger, State

logger = logging.getLogger("kelviq_async")


class Watched:
    """An observer, or nobody; what it raises is only logged.

    Args:
        observer: The user's, or None.
    """

    def __init__(self, observer: UsageObserver | None) -> None:
        self.observer = observer
        self._said = False

    def moved(self, state: State, records: int) -> None:
        """See ``UsageObserver.moved``."""
        if self.observer is not None:
            try:
                self.observer.moved(state, records)
            except Exception as error:  # noqa: BLE001  it is only logged
                self._failed(error)

    def measured(self, ledger: Ledger) -> None:
        """See ``UsageObserver.measured``."""
        if self.observer is not None:
            try:
                self.observer.measured(ledger)
            except Exception as error:  # noqa: BLE001  likewise
                self._failed(error)

    def _failed(self, error: Exception) -> None:
        """Say so once: it may fail for every record."""
        if not self._said:
            self._said = True
            logger.warning("the usage observer failed; this is said once", exc_info=error)


def say_failed(what: str, error: Exception, failures: int) -> None:
    """Say once that something goes on failing."""
    if failures == 1:
        unexpected = None if isinstance(error, JournalError | TimeoutError) else error
        logger.warning("%s: %s", what, str(error) or type(error).__name__, exc_info=unexpected)
