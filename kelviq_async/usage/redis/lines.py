"""Asking a Redis until it has answered: connections of one event loop, and what a failure says."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable, Sequence
from typing import Any, Final

from ...errors import KelviqError, OutcomeUnknown
from ...stores.listening import quietly
from ..journal import JournalError, Scope
from .lua import GONE, NEWER, POISONED, Script

CONNECTIONS: Final = 8
"""Calls on their way at once, each on a connection of its own; further ones wait their turn."""
BACKOFF: Final = (0.02, 0.5)
"""Seconds at most before the second attempt, and before any later one."""

Word = str | bytes | int

_PASSING: Final = frozenset(
    {"BusyLoadingError", "ReadOnlyError", "MasterDownError", "ClusterDownError", "TryAgainError"}
)
_SHUT_OUT: Final = frozenset(
    {"AuthenticationError", "AuthenticationWrongNumberOfArgsError", "AuthorizationError"}
)


class Gone(JournalError):
    """The server no longer has the journal."""


class Refused(JournalError):
    """The server will not have us, or will not do what we need."""


class Lines:
    """The connections of one event loop to one server.

    Args:
        connection: Makes a connection of redis-py that is not connected yet.
        patience: Seconds for one attempt.

    Attributes:
        pid: The process whose connections they are.
        opened: Whether the journal was opened on this loop.
        scope: For whom, or None to look at it.
    """

    def __init__(self, connection: Callable[[], Any], patience: float) -> None:
        self.pid = os.getpid()
        self.opened = False
        self.scope: Scope | None = None
        self._connection = connection
        self._patience = patience
        self._room = asyncio.Semaphore(CONNECTIONS)
        self._idle: list[Any] = []
        self._closed = False
        self._random = random.Random()  # noqa: S311  spreads retries, keeps no secret

    async def ask(
        self, words: Callable[[], Sequence[Word]], until: float, *, script: Script | None = None
    ) -> Any:
        """Ask until there is an answer. Whatever is asked must do the same when it is asked again.

        Args:
            words: The command, or what comes after the script's name; called when it is about to be sent.
            until: The moment to give up, on the loop's clock.
            script: The script to run, if one is.

        Raises:
            JournalError: It was not done.
            OutcomeUnknown: Nobody knows.
        """
        clock = asyncio.get_running_loop().time
        doubt, delay = False, BACKOFF[0]
        while True:
            attempt = _Attempt()
            try:
                async with asyncio.timeout_at(min(until, clock() + self._patience)):
                    return await self._once(words, script, attempt)
            except KelviqError:
                raise
            except Exception as error:  # noqa: BLE001  whatever a client library comes up with, it is a failure
                fault = attempt.fault(error)
            doubt = doubt or fault.doubt
            wait = self._random.uniform(delay / 2, delay)
            if not fault.passing or clock() + wait >= until:
                if doubt:
                    raise OutcomeUnknown(f"{fault.message}; it may have been done nevertheless")
                raise fault.kind(fault.message)
            await asyncio.sleep(wait)
            delay = min(2 * delay, BACKOFF[1])

    async def _once(
        self, words: Callable[[], Sequence[Word]], script: Script | None, attempt: _Attempt
    ) -> Any:
        async with self._room:
            connection, whole = await self._connected(), False
            try:
                command: Sequence[Word] = words()
                attempt.sent = True
                if script is None:
                    await connection.send_command(*command)
                    answer = await connection.read_response()
                else:
                    answer = await _run(connection, script, command)
                whole = True
            except Exception as error:
                # what was refused leaves a connection as it was; but another server may be the right one
                whole = "ResponseError" in _names(error) and not _names(error) & _PASSING
                raise
            finally:
                if whole and not self._closed:
                    self._idle.append(connection)
                else:
                    # a broken one is a sign that the others are, too
                    await self._drop(connection, *([] if whole else self._idle))
            return answer

    async def _connected(self) -> Any:
        while self._idle:
            connection = self._idle.pop()
            try:
                # before anything is sent on it, while it still is certain that nothing was
                if connection.is_connected and not await _stale(connection):
                    return connection
            except Exception:  # noqa: BLE001, S110  so it cannot be used
                pass
            await self._drop(connection)
        connection = self._connection()
        try:
            await connection.connect()
        except BaseException:
            await self._drop(connection)
            raise
        return connection

    async def _drop(self, *connections: Any) -> None:
        for connection in connections:
            if connection in self._idle:
                self._idle.remove(connection)
            await quietly(connection.disconnect(nowait=True))

    async def close(self) -> None:
        """Give back the connections; those in use go when they are free."""
        self._closed = True
        await self._drop(*self._idle)


class _Fault:
    """What a failed attempt means."""

    def __init__(
        self,
        message: str,
        *,
        doubt: bool = False,
        passing: bool = False,
        kind: type[JournalError] = JournalError,
    ) -> None:
        self.message = message
        self.doubt = doubt
        self.passing = passing
        self.kind = kind


class _Attempt:
    """One attempt, and whether anything may have been done in it."""

    sent = False

    def fault(self, error: Exception) -> _Fault:
        """What its failure means.

        Some servers quote what they refuse, and so ids or a password: only the kind of failure is told.
        """
        names, text = _names(error), str(error)
        name = type(error).__name__
        if names & _PASSING or text.startswith(("BUSY ", "NOREPLICAS ", "UNBLOCKED ")):
            return _Fault(f"Redis cannot do anything at the moment ({name})", passing=True)
        if names & _SHUT_OUT:
            return _Fault("Redis does not accept the name or password", kind=Refused)
        if GONE in text or "NOGROUP" in text:
            return _Fault(
                "the journal in Redis is gone: somebody has deleted it, or it was not durable", kind=Gone
            )
        if NEWER in text:
            return _Fault("the journal in Redis belongs to a newer version of this library by now")
        if POISONED in text or "WRONGTYPE" in text:
            return _Fault("the journal in Redis is damaged: somebody else has written under its keys")
        if "OutOfMemoryError" in names or "OOM" in text[:4]:
            return _Fault("Redis is out of memory (maxmemory)")
        if "NoPermissionError" in names or "NOPERM" in text or "can't run this command" in text:
            return _Fault("Redis does not allow a command that the journal needs", kind=Refused)
        if "ResponseError" in names:
            # an error from within a script that it does not foresee: perhaps it had begun to write
            within = "user_script" in text
            return _Fault(f"Redis refused ({name})", doubt=within, kind=JournalError if within else Refused)
        if isinstance(error, TimeoutError):
            return _Fault("Redis did not answer in time", doubt=self.sent, passing=True)
        return _Fault(f"Redis cannot be reached ({name})", doubt=self.sent, passing=True)


async def _run(connection: Any, script: Script, arguments: Sequence[Word]) -> Any:
    try:
        await connection.send_command("EVALSHA", script.sha, 1, *arguments)
        return await connection.read_response()
    except Exception as error:
        if "NoScriptError" not in _names(error):
            raise
    await connection.send_command("EVAL", script.text, 1, *arguments)
    return await connection.read_response()


async def _stale(connection: Any) -> bool:
    # its old name is deprecated, and its new one is missing in versions before 8
    look = getattr(connection, "can_read", None) or connection.can_read_destructive
    return bool(await look())


def _names(error: BaseException) -> set[str]:
    # what the server said while connecting is wrapped by some versions
    causes = _names(error.__cause__) if error.__cause__ is not None else set()
    return causes | {each.__name__ for each in type(error).__mro__}
