"""Moves what is pending in a journal to Kelviq, behind the scenes, each record to exactly one end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from ..api.behaviours import UsageBehaviour
from ..api.usage import ReportUsage, UsageReport
from ..errors import ClientClosed, FailureClass, KelviqError, OutcomeUnknown
from ..model import UNSET
from .ending import ended_within
from .fates import Fate, cut_off, fate_of, without_ids
from .journal import Journal, JournalError
from .observing import Watched, say_failed
from .owner import this_process, why_gone
from .pacing import Pace
from .policy import UsagePolicy
from .records import Ledger, Record, Report, Run, State
from .upcoming import Upcoming

logger = logging.getLogger("kelviq_async")

ALL: Final = 1_000_000
"""More reports than can ever be in flight."""
GRACE: Final = 2.0
"""Seconds for calls that are ending to be written down."""
LOOK: Final = 0.2
"""Seconds between two looks at the ledger during a flush."""
LEAVING: Final = 0.0, 0.05, 0.2
"""Seconds before each attempt to leave the journal in order."""
TIDY: Final = 5.0
"""Seconds between two looks at what others left behind, and at what is old enough to be folded."""
UNKNOWN: Final = "the fate of a usage report is unknown, see usage.unresolved(): %s"
LATE: Final = "the meter has started anew since: sending it now would count it in another period"

Send = Callable[..., Awaitable[Any]]


class Sender:
    """Sends what is pending in a journal; one for each client that has one.

    Args:
        journal: Where the records are; open.
        send: The client's ``send``.
        policy: How to gather and send.
        period: Kelviq's time in seconds since 1970, to tell when a meter has started anew.
        ended: Told when a report has come to its end, with its records and whether Kelviq counts them,
            or may do so.
        tidy: Called every few seconds.
    """

    def __init__(
        self,
        journal: Journal,
        send: Send,
        policy: UsagePolicy,
        *,
        period: Callable[[], float] = time.time,
        ended: Callable[[Report, Sequence[Record], bool], None],
        tidy: Callable[[], Awaitable[None]],
    ) -> None:
        self.journal = journal
        self.policy = policy
        self.owner = this_process(policy.lease)
        self.stopped_by: KelviqError | None = None
        """Why nothing is sent until somebody has seen to it."""
        self.flushed = False
        """Whether the last flush has sent all that was pending when it began."""
        self._send = send
        self._period = period
        self._ended = ended
        self._tidy = tidy
        self._rest = max(0.05, min(TIDY, policy.lease / 4))
        self._upcoming = Upcoming(journal, policy, self._rest)
        self._tasks: dict[asyncio.Task[None], Report] = {}
        # of each report in our hands what became of it, as far as is known, until it is written down
        self._fates: dict[str, tuple[Fate, bool | None]] = {}
        self._pace = Pace(policy)
        self._watched = Watched(policy.observer)
        self._hurry = 0
        self._claims = True
        self._ending = False
        self._nudged = asyncio.Event()
        self._turned = asyncio.Event()
        self._said_why = False
        self._beat_at = float("-inf")
        self._tidied_at = float("-inf")

    # The main loop

    async def run(self) -> None:
        """Send until ``stop``. Whatever fails is tried again and again."""
        failures = 0
        while not self._ending:
            try:
                sleep = await self._turn()
                failures = 0
            except Exception as error:  # noqa: BLE001  whatever it is, records must not lie there for ever
                failures += 1
                self._upcoming.forget()
                self._tidied_at = float("-inf")  # a claim that failed may have been made
                # others would take us for gone if we were silent for longer
                sleep = min(self._rest, self._pace.backoff(failures))
                say_failed("the usage journal failed, trying again", error, failures)
            self._turned.set()
            self._turned = asyncio.Event()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(sleep, 0.001)):
                    await self._nudged.wait()
            self._nudged.clear()

    async def _turn(self) -> float:
        """Do what is to be done now; how many seconds until the next time, if nothing happens."""
        now = time.monotonic()
        if now - self._beat_at >= self.policy.lease / 4:
            await self.journal.beat(self.owner)
            self._beat_at = now
        if now - self._tidied_at >= TIDY:
            self._tidied_at = now
            await self._tidy_up()
        if self.stopped_by is not None or not self._claims:
            return self._rest
        if pause := self._pace.pause():
            return min(self._rest, pause)
        room = self._pace.concurrency - len(self._tasks)
        if room <= 0:
            return self._rest
        if not self._upcoming:
            wait = self._upcoming.wait()
            if wait > 0:
                return min(self._rest, wait)
            await self._upcoming.read(
                ahead=self._period() - time.time(),
                skip=self._pace.avoided(),
                until=self._pace.next_turn(),
                hurry=bool(self._hurry),
                busy=bool(self._tasks),
            )
        chosen = self._upcoming.take(room)
        if chosen:
            await self._claim(chosen)
        return min(self._rest, self._upcoming.wait())

    async def _claim(self, chosen: Sequence[Run]) -> None:
        now = time.monotonic()
        reports = await self.journal.claim(chosen, self.owner)
        self._beat_at = now
        for report in reports:
            self._start(report, now)
        if len(reports) < len(chosen):
            self._upcoming.look()
        if not reports:
            # somebody else was faster; if that goes on, looking all the time helps nobody
            self._upcoming.not_before(now + 0.05)
        if self._upcoming:
            self._nudged.set()

    def _start(self, report: Report, claimed: float) -> None:
        records = self._upcoming.records(report.key)
        self._fates[report.id] = Fate(State.PENDING, "it was never sent"), None
        task = asyncio.get_running_loop().create_task(self._deliver(report, records, claimed))
        self._tasks[task] = report
        task.add_done_callback(self._done)
        self._watched.moved(State.IN_FLIGHT, report.records)

    def _done(self, task: asyncio.Task[None]) -> None:
        del self._tasks[task]
        self._upcoming.look(now=not self._tasks)
        self._nudged.set()

    # One report

    async def _deliver(self, report: Report, records: Sequence[Record], claimed: float) -> None:
        late: bool | None = None
        try:
            if self.policy.late == "hold" and self._is_late(report):
                fate, late = Fate(State.UNRESOLVED, LATE), True
            elif time.monotonic() - claimed > self.policy.lease / 2:
                # others may soon take us for gone; what was not sent by now must not be
                fate = Fate(State.PENDING, "it was too late to send it")
            else:
                self._fates[report.id] = cut_off(report.behaviour, self.policy), None
                fate, late = await self._sent(report, claimed)
        except asyncio.CancelledError:
            fate, late = self._fates[report.id]
            await self._put(report, records, fate, late=late, patience=GRACE)
            raise
        self._fates[report.id] = fate, late
        await self._put(report, records, fate, late=late)

    async def _sent(self, report: Report, claimed: float) -> tuple[Fate, bool | None]:
        request = ReportUsage(
            report.value,
            report.customer_id,
            report.feature_id,
            report.behaviour,
            resource_id=UNSET if report.resource_id is None else report.resource_id,
        )
        try:
            answer = await self._send(request, timeout=self.policy.timeout, retry=False)
        except KelviqError as error:
            return self._judged(report, claimed, error), None
        except Exception as error:  # a layer of the user's own, perhaps, which may fail after it was counted
            logger.exception("sending usage failed in an unexpected way")
            return self._judged(report, claimed, OutcomeUnknown(f"{type(error).__name__} was raised")), None
        self._pace.worked(report.key)
        self._said_why = self.stopped_by is not None  # then it was sent before that
        late = self._is_late(report, answer)
        if late:
            logger.warning("usage was counted after its meter had started anew; see the ledger's `late`")
        return Fate(State.DELIVERED, ""), late

    def _is_late(self, report: Report, answer: UsageReport | None = None) -> bool:
        """Whether the meter has started anew since the records, by our clock or by the answer's stamp."""
        if report.reset_at is None:
            return False
        stamp = getattr(answer, "timestamp", None)
        now = self._period() if stamp is None else stamp.timestamp()
        return bool(now >= report.reset_at)

    def _judged(self, report: Report, claimed: float, error: KelviqError) -> Fate:
        fate = fate_of(report.behaviour, error, self.policy)
        if fate.stop:
            self._stop_for(error, fate)
        elif not fate.pause:
            self._pace.worked()
        elif self._claims:
            self._pace.failed(claimed, fate)
            if fate.state is State.PENDING and error.failure is FailureClass.AMBIGUOUS:
                self._pace.avoid(report.key)
        return fate

    def _stop_for(self, error: KelviqError, fate: Fate) -> None:
        self.stopped_by = self.stopped_by or error
        if not self._said_why:
            self._said_why = True
            logger.error(
                "usage is kept and not sent until this is seen to (then call usage.flush()): %s",
                without_ids(fate.reason),
            )

    async def _put(
        self,
        report: Report,
        records: Sequence[Record],
        fate: Fate,
        *,
        late: bool | None,
        patience: float | None = None,
    ) -> None:
        """Write down what became of a report, as long as that takes; once cancelled, not for long.

        What could not be written in time is written by ``catch_up``, or else it lapses.
        """
        clock = asyncio.get_running_loop().time
        end = None if patience is None else clock() + patience
        cancelled: asyncio.CancelledError | None = None
        failures, wait, moved = 0, 0.0, None
        while True:
            try:
                async with asyncio.timeout_at(end):
                    await asyncio.sleep(wait)
                    moved = await self._moved(report.id, fate, late)
                break
            except asyncio.CancelledError as error:
                if end is not None:
                    raise
                cancelled, end, wait = error, clock() + GRACE, 0.0
            except Exception as error:  # noqa: BLE001  whatever it is, the fate must not be forgotten
                failures += 1
                say_failed("what became of a usage report could not be written down yet", error, failures)
                if end is not None and clock() >= end:
                    break
                wait = min(max(0.05, 2 * wait), 5.0)
        if moved is not None:
            self._tell(report, records, fate)
        if cancelled is not None:
            raise cancelled

    async def _moved(self, report_id: str, fate: Fate, late: bool | None) -> Report | None:
        among = {State.IN_FLIGHT} if fate.state is State.PENDING else None
        move = self.journal.move
        moved = await move(report_id, fate.state, reason=fate.reason, late=late, among=among)
        if moved is None and among and not await self.journal.overtaken(report_id):
            # somebody took us for gone; yet it may go again, as nothing later of its key has
            moved = await move(report_id, fate.state, reason=fate.reason, among={State.UNRESOLVED})
        if moved is None:
            # an attempt that seemed to fail may have worked
            found = await self.journal.find(report_id)
            if found is not None and (found.state, found.owner) == (fate.state, self.owner.id):
                moved = found
            else:
                logger.warning("a usage report that ended as %s was in other hands by then", fate.state.value)
        self._fates.pop(report_id, None)
        return moved

    def _tell(self, report: Report, records: Sequence[Record], fate: Fate) -> None:
        self._watched.moved(fate.state, report.records)
        if fate.state is not State.PENDING:
            self._ended(report, records, fate.state is not State.REJECTED)
        if fate.state is State.UNRESOLVED:
            logger.warning(UNKNOWN, without_ids(fate.reason))
        elif fate.state is State.REJECTED:
            refused = without_ids(fate.reason)
            logger.warning("Kelviq rejected a usage report, see usage.rejected(): %s", refused)

    # What was left behind

    async def _tidy_up(self) -> None:
        for seen in await self.journal.owners():
            reason = None if seen.owner.id == self.owner.id else why_gone(seen)
            if reason is None:
                continue
            for report in await self.journal.lapse(seen, reason):
                if report.state is State.UNRESOLVED and self.policy.ambiguous == "resend":
                    again = await self.journal.move(
                        report.id, State.PENDING, reason=reason, among={State.UNRESOLVED}
                    )
                    report = again or report  # noqa: PLW2901  this is what it is now
                self._watched.moved(report.state, report.records)
                if report.state is State.UNRESOLVED:
                    logger.warning(UNKNOWN, reason)
        await self.catch_up()
        await self.journal.fold(time.time() - self.policy.retain)
        await self._tidy()
        self._pace.tidy()
        if self._watched.observer is not None:
            self._watched.measured(await self.journal.ledger())

    async def catch_up(self) -> None:
        """Write down what could not be written before, and give back what was never sent."""
        under_way = {report.id for report in self._tasks.values()}
        for report_id in [each for each in self._fates if each not in under_way]:
            fate, late = self._fates[report_id]
            moved = await self._moved(report_id, fate, late)
            if moved is not None:
                self._tell(moved, (), fate)
        for report in await self.journal.reports(State.IN_FLIGHT, ALL):
            # claimed without our hearing of it, so it was never sent
            if report.owner == self.owner.id and report.id not in self._fates:
                reason = "its claim was not confirmed"
                await self.journal.move(report.id, State.PENDING, reason=reason, among={State.IN_FLIGHT})

    # From outside

    def recorded(self, record: Record) -> None:
        """A record was accepted: look when its window ends, or now where there is none to wait for."""
        self._watched.moved(State.PENDING, 1)
        moment = record.recorded_at + self.policy.window
        ahead = self._period() - time.time()
        soon = record.reset_at is not None and record.reset_at - ahead <= moment + self.policy.window
        if soon or self._hurry or record.behaviour == UsageBehaviour.SET:
            self.nudge()
        elif self._upcoming.expect(moment):
            self._nudged.set()

    def settled(self, report: Report) -> None:
        """Somebody has settled a report."""
        self._watched.moved(report.state, report.records)
        self.nudge()

    def nudge(self) -> None:
        """Look now at what is pending."""
        self._upcoming.look()
        self._nudged.set()

    async def flush(self, deadline: float | None, *, again: bool = True) -> Ledger:
        """Send what is pending by now, without waiting for windows.

        Args:
            deadline: Seconds it may take; None for no limit.
            again: Whether somebody asks for it, who has seen to ``stopped_by`` and also wants to know
                what becomes of what other processes have in flight.

        Returns:
            The ledger when everything that was pending has come to an end, or time was up.

        Raises:
            KelviqError: Our key or the address is wrong; everything is kept.
            JournalError: It failed, or gave no answer in time.
            ClientClosed: The client was closed meanwhile.
        """
        end = None if deadline is None else time.monotonic() + deadline
        since, before = time.time(), (await self._ledger(end)).accepted
        if again:
            self.stopped_by = None
            self._pace.hurry()
        self._hurry += 1
        self.flushed = False
        self._upcoming.forget()
        self._upcoming.look(now=True)
        self._nudged.set()
        try:
            while True:
                turned = self._turned
                ledger, self.flushed = await self._looked(end, since, before, others=again)
                if self.flushed:
                    return ledger
                if self.stopped_by is not None and not self._tasks:
                    raise self.stopped_by
                if self._ending:
                    raise ClientClosed(
                        "the client was closed meanwhile; what is pending stays in the journal"
                    )
                left = None if end is None else end - time.monotonic()
                if left is not None and left <= 0:
                    return ledger
                try:
                    async with asyncio.timeout(LOOK if left is None else min(LOOK, left)):
                        await turned.wait()
                except TimeoutError:
                    # nobody tells us when another process is done with a key
                    self.nudge()
        finally:
            self._hurry -= 1

    async def _ledger(self, end: float | None) -> Ledger:
        left = None if end is None else max(GRACE, end - time.monotonic())
        try:
            async with asyncio.timeout(left):
                return await self.journal.ledger()
        except TimeoutError:
            raise JournalError("the usage journal gave no answer in time") from None

    async def _looked(
        self, end: float | None, since: float, before: int, *, others: bool
    ) -> tuple[Ledger, bool]:
        """The ledger, and whether what was pending at a moment has come to an end."""
        again = False
        while True:
            ledger = await self._ledger(end)
            newer = ledger.oldest is not None and ledger.oldest > since  # if no clock was set back
            if ledger.pending and not (newer and ledger.pending <= ledger.accepted - before):
                return ledger, False
            if any(report.first_at <= since for report in self._tasks.values()):
                return ledger, False
            if not ledger.in_flight:
                return ledger, True
            for report in await self.journal.reports(State.IN_FLIGHT, ALL):
                if report.first_at <= since and (others or report.owner == self.owner.id):
                    return ledger, False
            if again:
                return ledger, True
            # what this ledger has in flight may have been pending again when the reports were read
            again = True

    async def wind_down(self) -> int:
        """Claim nothing more, and wait a moment for what is on its way; how many records are left."""
        self._claims = False
        turned = self._turned
        self._nudged.set()
        with contextlib.suppress(Exception):
            async with asyncio.timeout(GRACE):
                await turned.wait()  # it may be claiming right now
            if self._tasks:
                await asyncio.wait(list(self._tasks), timeout=GRACE)
            return (await self._ledger(time.monotonic())).pending
        return 0

    async def stop(self, running: asyncio.Task[None]) -> bool:
        """End the main loop, wait a moment for what is on its way, end the rest, leave the journal.

        Args:
            running: The task in which ``run`` runs.

        Returns:
            Whether the journal knows all that is known; what it does not know lapses, as if the process
            had ended, unless ``catch_up`` succeeds later.
        """
        self._claims, self._ending = False, True
        self._nudged.set()
        claiming = await ended_within(GRACE, [running])
        await ended_within(GRACE, list(self._tasks))
        self._turned.set()
        if claiming or not all(task.done() for task in self._tasks):
            logger.warning("the usage journal gave no answer in time: what was on its way will be unresolved")
            return False
        error: Exception | None = None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GRACE):
                for wait in LEAVING:
                    await asyncio.sleep(wait)
                    try:
                        await self.catch_up()
                        await self.journal.leave(self.owner)
                    except Exception as failed:  # noqa: BLE001  closing goes on
                        error = failed
                    else:
                        return True
        say_failed("the usage journal could not be left in order", error or TimeoutError(), 1)
        return False
