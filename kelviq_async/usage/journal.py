"""What a journal does, whatever it is made of.

A journal is the truth about usage: a record is accepted once ``append`` has returned, and from then on
the journal says where it is, also after the process was killed. Every method is one step that happens
wholly or not at all, for all processes that share the journal.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, Protocol

import attrs

from ..errors import ConfigError, KelviqError
from .records import Key, Ledger, Record, Report, Run, State, Waiting


class JournalError(KelviqError):
    """The journal could not do it: a disk is full, a server is gone, a file is damaged.

    From ``record`` it means: nothing was accepted.
    """


@attrs.frozen
class Scope:
    """Whose usage a journal holds: who opened it first, or adopted it last.

    Attributes:
        environment: ``sandbox`` or ``production``.
        host: Address of the core service.
        account: Whose account it is, see ``Kelviq(account=...)``.
    """

    environment: str
    host: str
    account: str

    def admit(self, other: Scope, *, adopt: bool) -> None:
        """Let somebody open a journal of this scope.

        Args:
            other: Whose usage they want to put there.
            adopt: Whether another account is fine.

        Raises:
            ConfigError: It is not theirs.
        """
        for name in ("environment", "host"):
            if getattr(self, name) != getattr(other, name):
                raise ConfigError(
                    f"this journal belongs to another {name}: {getattr(self, name)} and not "
                    f"{getattr(other, name)}; give each its own journal"
                )
        if self.account != other.account and not adopt:
            raise ConfigError(
                "this journal belongs to another account, or to another key of the same one: give all "
                "clients of the account the same Kelviq(account=...), or open the journal with adopt=True"
            )


@attrs.frozen
class Owner:
    """A process that sends, so that others can tell when it is gone.

    Attributes:
        id: Unlike any other, also of the same process.
        pid: Its process id.
        started: When the process started, as its operating system counts; empty where that is unknown.
        machine: What tells boots of machines, and containers on them, apart; empty where that is unknown.
        lease: Seconds without a beat after which it counts as gone.
    """

    id: str
    pid: int
    started: str
    machine: str
    lease: float


@attrs.frozen
class Seen:
    """What a journal knows of an owner.

    Attributes:
        owner: The owner.
        beat: When it last beat, on the journal's own clock, in seconds.
        silent: For how many seconds it has not, on the same clock.
    """

    owner: Owner
    beat: float
    silent: float


class Recording(Protocol):
    """What a client does about its recorder, whose own module loads an area.

    Attributes:
        period: Kelviq's time, in seconds since 1970.
        uncounted: What was recorded and is not counted yet.
    """

    period: Callable[[], float]
    uncounted: Any

    def start(self) -> None:
        """Begin on the running loop."""
        ...

    async def ready(self) -> Any:
        """Wait until the journal is open."""
        ...

    async def finish(self) -> None:
        """Send what is pending, for a while."""
        ...

    async def stop(self) -> None:
        """End what goes on behind the scenes."""
        ...


class Journal(Protocol):
    """Where usage records live. Any method may raise ``JournalError``.

    A journal is made without touching anything. It can be opened again after ``close``, also on
    another event loop; a process that was forked starts as if it had never been opened.
    """

    async def open(self, scope: Scope | None) -> None:
        """Make it ready; to be called before anything else. Opening what is open does nothing.

        Args:
            scope: Whose usage it is to hold; None to look at a journal that exists, whoever's it is.

        Raises:
            ConfigError: It cannot be made or written, was made by a newer version, or belongs to
                another environment, host or account. Nothing in it was changed.
        """
        ...

    async def append(self, records: Sequence[Record]) -> None:
        """Accept records, in their order; durable when it returns.

        Calls of one client at the same time are taken in the order in which they began: what it believes
        that Kelviq has not counted yet hangs on that.

        An id that is in the journal already is not taken twice, so that a caller who does not know
        whether it worked may try again.

        Raises:
            JournalError: None of them was accepted.
            OutcomeUnknown: Nobody knows whether they were.
        """
        ...

    async def waiting(self, limit: int, skip: Collection[Key] = ()) -> Sequence[Waiting]:
        """Pending records, the oldest first, without those of keys that have something in flight.

        Args:
            limit: How many at most. Of each key there are all its oldest ones, none left out in between.
            skip: Keys to leave out.
        """
        ...

    async def claim(self, runs: Sequence[Run], owner: Owner) -> Sequence[Report]:
        """Put runs in flight, each as a report of its own; durable when it returns.

        A run is left out if nothing else would be right: something of its key is in flight, or its
        records are no longer exactly the oldest pending ones of the key. Also counts as a beat.

        Returns:
            The reports, in the order of their runs.
        """
        ...

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
        """Move a report, with all its records, to another state.

        On ``PENDING`` the report ends, and its records are pending again at their old places.

        Args:
            report_id: Its id.
            state: The new one.
            reason: Why; any text, what cannot be written of it is escaped.
            note: What somebody said about it; None leaves the one there.
            late: Whether the meter started anew before it was sent; None leaves it as it is. False on
                ``PENDING`` also drops the records' ``reset_at``: they are meant to be sent late.
            among: The states it must be in now; by default all from which ``MOVES`` leads there.

        Returns:
            The report as it is now, or None where it is gone or in another state: nothing was done.
        """
        ...

    async def overtaken(self, report_id: str) -> bool:
        """Whether a record of the same key that was accepted after this report's has been sent since.

        What is in flight, delivered or unresolved counts as sent. So does what was delivered and folded.
        It is asked of reports that may be sent again.
        """
        ...

    async def beat(self, owner: Owner) -> None:
        """Say that an owner is alive."""
        ...

    async def owners(self) -> Sequence[Seen]:
        """All owners that have not said goodbye."""
        ...

    async def lapse(self, seen: Seen, reason: str) -> Sequence[Report]:
        """Take what an owner has in flight out of its hands, unless it has beaten since it was seen.

        Its DELTAs become unresolved, for its last act may have been to send them. Its SETs become
        pending again at their old places: nothing of their key was sent after them.

        Args:
            seen: The owner as ``owners`` showed it.
            reason: Why it counts as gone.

        Returns:
            The reports, as they were put.
        """
        ...

    async def leave(self, owner: Owner) -> None:
        """Say goodbye: the owner has nothing in flight and will claim nothing more.

        One that has something in flight nevertheless stays known, so that it can lapse.
        """
        ...

    async def ledger(self) -> Ledger:
        """How many records are where."""
        ...

    async def reports(self, state: State, limit: int = 1000) -> Sequence[Report]:
        """Reports in a state other than pending, the oldest first."""
        ...

    async def find(self, id: str) -> Report | None:
        """The report with this id, or the one that holds the record with this id."""
        ...

    async def fold(self, before: float) -> int:
        """Reduce what was delivered or discarded before a moment to mere counters.

        Args:
            before: Seconds since 1970.

        Returns:
            How many records were folded.
        """
        ...

    async def close(self) -> None:
        """Give back what it holds; what is in it stays, unless it only lives in memory."""
        ...
