"""A journal in Redis or Valkey, for processes on several machines."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import secrets
from collections.abc import Callable, Collection, Sequence
from typing import Any, Final, TypeVar

from ...config import checked_seconds
from ...errors import ConfigError, OutcomeUnknown
from ...stores.address import checked_url
from ...stores.redis import pool_maker
from ..journal import JournalError, Owner, Scope, Seen
from ..records import MOVES, Key, Ledger, Record, Report, Run, State, Waiting
from . import reports as steps, rows, scripts, server
from .gather import Gathering
from .lines import Gone, Lines, Refused, Word
from .lua import VERSION, Script

logger = logging.getLogger("kelviq_async")

T = TypeVar("T")

SLICE: Final = 200
"""Records written or read in one go; then others have their turn on the event loop."""
LONGEST: Final = 240.0
"""Seconds of the longest deadline: less than what the answer to a step is kept for."""

_PREFIX: Final = re.compile(r"[!-z|~]{1,200}")


class RedisJournal:
    """Keeps usage in Redis or Valkey, 6.2 or newer, where processes on several machines share it.

    Records are in a stream, ``{prefix}:stream``. What a sender has claimed is in the pending entries of
    the consumer group ``senders`` under its owner's id; what is unresolved or rejected, under the consumer
    of that name. ``XPENDING`` shows them. Beside the stream there are indexes, all in one slot of a cluster.

    Every step is one script, done wholly or not at all. A step whose answer was not heard is asked for
    again until ``deadline``, and not done twice. What a report's id allows is the fence: each claim makes
    new ones, so that a sender which others took for gone can no longer move what was claimed anew.
    Kelviq itself cannot be fenced; hence what such a sender had in flight becomes unresolved.

    What Redis forgets is lost, and what was sent meanwhile may be sent again. It must not throw keys away
    (``maxmemory-policy noeviction``) and should write an append-only file: with ``appendfsync everysec``
    it goes back by up to a second when its machine stops, with ``always`` not at all; when only its
    process ends, not at all either way. A replica that takes over may lack the last moments too.

    Making one connects to nothing. It serves any number of event loops, each with connections of its own,
    and ``close()`` gives back those of the loop it is called on.

    Args:
        url: ``redis://user:password@host:6379/0``, ``rediss://`` for TLS, or ``unix:///path?db=0``, as for
            ``RedisStore``.
        prefix: What all keys begin with, in braces.
        adopt: Whether it may be opened for another account than before.
        durable: What is asked of Redis: True for an append-only file, ``"always"`` for one that is on disk
            before anything is accepted. By default, what is missing is only logged.
        deadline: Seconds for one step, with all attempts.

    Raises:
        ConfigError: The url cannot be used, an argument is out of range, or redis-py is missing.
    """

    def __init__(
        self,
        url: str,
        *,
        prefix: str = "kelviq-usage",
        adopt: bool = False,
        durable: server.Durable = False,
        deadline: float = 5.0,
    ) -> None:
        self._place = checked_url(url)
        if not _is_prefix(prefix):
            raise ConfigError(
                "prefix must be a text of printable ASCII without spaces or braces, of at most 200 characters"
            )
        if durable not in {False, True, "always"}:
            raise ConfigError('durable must be True, False or "always"')
        seconds = checked_seconds(deadline, "deadline")
        if seconds is None or seconds > LONGEST:
            raise ConfigError(f"deadline must be a number of seconds up to {LONGEST:g}")
        self._prefix = prefix
        self._adopt = adopt
        self._durable: server.Durable = durable
        self._warned = False
        self._deadline = seconds
        self._client = pool_maker(url, "RedisJournal")
        self._lines: dict[asyncio.AbstractEventLoop, _Here] = {}
        self._inherited: list[_Here] = []

    def __repr__(self) -> str:
        """Where it is, without a name or password."""
        return f"RedisJournal({self._place!r}, prefix={self._prefix!r})"

    async def open(self, scope: Scope | None) -> None:
        """See ``Journal.open``.

        Raises:
            ConfigError: The server is too old, throws keys away or is not as durable as asked for, or the
                journal is not there, of a newer version, or somebody else's.
            JournalError: The server cannot be reached.
        """
        lines = self._here().lines
        if lines.opened and (scope is None or lines.scope == scope):
            return
        until = self._until()

        async def ask(*words: Word) -> Any:
            return await lines.ask(lambda: words, until)

        try:
            await server.check_version(ask)
            if scope is not None:
                told = await server.check_keeping(ask, self._durable)
                if told is not None and not self._warned:
                    self._warned = True
                    logger.warning("the Redis at %s %s", self._place, told)
                words = (self._root("journal"),)
                await lines.ask(lambda: words, until, script=scripts.ALLOWED)
            await self._enter(lines, scope, until)
        except OutcomeUnknown as error:
            raise JournalError(error.message) from None
        except Refused as error:
            raise ConfigError(error.message) from None
        lines.opened, lines.scope = True, scope

    async def _enter(self, lines: Lines, scope: Scope | None, until: float) -> None:
        found = await self._there(lines, until)
        while True:
            if found is None and scope is None:
                raise ConfigError(f"there is no journal at {self._place} under the prefix {self._prefix!r}")
            if found is not None and scope is not None:
                found.admit(scope, adopt=self._adopt)
            if scope is None:
                return
            wanted = (scope.environment, scope.host, scope.account)
            before = "" if found is None else found.account
            found = await self._there(lines, until, VERSION, *wanted, before)
            if found == scope:
                return

    async def _there(self, lines: Lines, until: float, *wanted: Word) -> Scope | None:
        words = (self._root("journal"), *wanted)
        found = await lines.ask(lambda: words, until, script=scripts.OPEN)
        if found[0] is None:
            return None
        version, *names = (b"" if each is None else bytes(each) for each in found)
        if not version.isdigit():
            raise JournalError("the journal in Redis is damaged: somebody else has written under its keys")
        if int(version) > VERSION:
            raise ConfigError("this journal was made by a newer version of the library: update this one")
        return Scope(*(name.decode("utf-8", "replace") for name in names))

    async def append(self, records: Sequence[Record]) -> None:
        """See ``Journal.append``.

        Raises:
            JournalError: None of them was accepted.
            OutcomeUnknown: Nobody knows whether they were.
        """
        if not records:
            return
        here, until = self._opened(), self._until()
        blobs = []
        for start in range(0, len(records), SLICE):
            if start:
                await asyncio.sleep(0)
            blobs.append(rows.blob_of(records[start : start + SLICE]))
        await here.gathering.put(blobs, len(records), until)

    async def waiting(self, limit: int, skip: Collection[Key] = ()) -> Sequence[Waiting]:
        """See ``Journal.waiting``."""
        if limit < 1:
            return []
        keys, *parts = await self._run(scripts.WAITING, limit, rows.blob_of_keys(skip))
        names = await _gently(rows.keys_of, [keys])
        return await _gently(lambda part: rows.waiting_of(part, names), parts)

    async def claim(self, runs: Sequence[Run], owner: Owner) -> Sequence[Report]:
        """See ``Journal.claim``."""
        # ids made here: who asks again gets the same reports
        blobs = [rows.blob_of_run(run, secrets.token_hex(8)) for run in runs]
        return await self._reports(steps.CLAIM, owner.id, rows.owner_text(owner), *blobs)

    async def move(
        self,
        report_id: str,
        state: State,
        *,
        reason: str = "",
        note: str | None = None,
        late: bool | None = None,
        among: Collection[State] | None = None,
    ) -> Report | None:
        """See ``Journal.move``."""
        before = [each for each in State if state in MOVES[each] and (among is None or each in among)]
        found = await self._run(
            steps.MOVE,
            *(
                report_id,
                state.value,
                " ".join(before),
                _text(reason),
                "" if note is None else f"={_text(note)}",
            ),
            *("" if late is None else str(int(late)), secrets.token_hex(8)),
        )
        return None if found is None else rows.reports_of(found)[0]

    async def overtaken(self, report_id: str) -> bool:
        """See ``Journal.overtaken``."""
        return bool(await self._run(steps.OVERTAKEN, report_id))

    async def beat(self, owner: Owner) -> None:
        """See ``Journal.beat``."""
        await self._run(steps.BEAT, owner.id, rows.owner_text(owner))

    async def owners(self) -> Sequence[Seen]:
        """See ``Journal.owners``."""
        return rows.seen_of(await self._run(steps.OWNERS))

    async def lapse(self, seen: Seen, reason: str) -> Sequence[Report]:
        """See ``Journal.lapse``."""
        token = secrets.token_hex(8)
        return await self._reports(steps.LAPSE, seen.owner.id, rows.beat_text(seen), _text(reason), token)

    async def leave(self, owner: Owner) -> None:
        """See ``Journal.leave``."""
        await self._run(steps.LEAVE, owner.id)

    async def ledger(self) -> Ledger:
        """See ``Journal.ledger``."""
        oldest, *counts = (each.decode() for each in await self._run(scripts.LEDGER))
        known = dict(zip(counts[::2], map(int, counts[1::2]), strict=True))
        return Ledger(oldest=float(oldest) if oldest else None, **known)

    async def reports(self, state: State, limit: int = 1000) -> Sequence[Report]:
        """See ``Journal.reports``."""
        found: list[Report] = []
        after = "-inf"
        while state is not State.PENDING and len(found) < limit:
            most = min(SLICE, limit - len(found))
            parts = await self._run(steps.LIST, state.value, after, most)
            page = await _gently(rows.reports_of, parts)
            found += page
            if len(page) < most:
                break
            after = f"({rows.number_of(parts[-1])}"
        return found

    async def find(self, id: str) -> Report | None:
        """See ``Journal.find``."""
        found = await self._run(steps.FIND, id)
        return None if found is None else rows.reports_of(found)[0]

    async def fold(self, before: float) -> int:
        """See ``Journal.fold``. It is done in steps, so that a large one holds up nobody."""
        folded = 0
        while True:
            step = int(await self._run(steps.FOLD, f"({float(before)!r}", secrets.token_hex(8)))
            if not step:
                return folded
            folded += step

    async def close(self) -> None:
        """Give back the connections of the running loop; what is in Redis stays."""
        here = self._lines.pop(asyncio.get_running_loop(), None)
        if here is not None and here.lines.pid == os.getpid():
            await here.gathering.settle()
            await here.lines.close()
        elif here is not None:
            self._inherited.append(here)

    def _root(self, name: str) -> str:
        return f"{{{self._prefix}}}:{name}"

    def _until(self) -> float:
        return asyncio.get_running_loop().time() + self._deadline

    def _here(self) -> _Here:
        """What belongs to the running loop."""
        loop = asyncio.get_running_loop()
        here = self._lines.get(loop)
        if here is not None and here.lines.pid != os.getpid():
            # A forked child must neither use its parent's connections nor let go of them: to close one would
            # take it from what the parent's loop waits for.
            self._inherited.append(self._lines.pop(loop))
            here = None
        if here is None:
            for other in [other for other in self._lines if other.is_closed()]:
                self._lines.pop(other, None)
            client = self._client()
            lines = Lines(client.connection_pool.make_connection, max(0.05, self._deadline / 3))
            here = self._lines[loop] = _Here(lines, Gathering(self._append))
        return here

    def _opened(self) -> _Here:
        here = self._here()
        if not here.lines.opened:
            raise JournalError("the journal is not open")
        return here

    async def _append(self, blobs: Callable[[], list[bytes]], until: float) -> None:
        key = self._root("journal")
        await self._ask(scripts.APPEND, lambda: [key, *blobs()], until)

    async def _run(self, script: Script, *arguments: Word) -> Any:
        words = (self._root("journal"), *arguments)
        try:
            return await self._ask(script, lambda: words, self._until())
        except OutcomeUnknown as error:
            raise JournalError(error.message) from None

    async def _ask(self, script: Script, words: Callable[[], Sequence[Word]], until: float) -> Any:
        lines = self._opened().lines
        try:
            return await lines.ask(words, until, script=script)
        except Gone as error:
            if lines.scope is None:
                raise
            logger.error("%s. It is begun anew", error.message)  # noqa: TRY400  its traceback says nothing
            await self._enter(lines, lines.scope, until)
        return await lines.ask(words, until, script=script)

    async def _reports(self, script: Script, *arguments: Word) -> list[Report]:
        return await _gently(rows.reports_of, await self._run(script, *arguments))


class _Here:
    """What belongs to one event loop."""

    def __init__(self, lines: Lines, gathering: Gathering) -> None:
        self.lines = lines
        self.gathering = gathering


async def _gently(read: Callable[[bytes], list[T]], parts: Sequence[bytes]) -> list[T]:
    """Read one part after the other, and let others have their turn in between."""
    found: list[T] = []
    for number, part in enumerate(parts):
        if number:
            await asyncio.sleep(0)
        found += read(part)
    return found


def _is_prefix(value: object) -> bool:
    return isinstance(value, str) and _PREFIX.fullmatch(value) is not None


def _text(text: str) -> str:
    """What can be written of a text."""
    return text.encode("utf-8", "backslashreplace").decode()
