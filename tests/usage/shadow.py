"""What a journal should hold, kept in the plainest way beside it."""

import math

import attrs

from kelviq_async.usage.records import MOVES, Record, Report, State
from tests.usage.pieces import DELTA

SENT = {State.IN_FLIGHT, State.DELIVERED, State.UNRESOLVED}


@attrs.define
class Entry:
    """A record, and the report that holds it."""

    record: Record
    report: str | None = None
    counted: bool = False  # and folded


@attrs.define
class Account:
    """A report, which of the accepted records it holds, and whether somebody may have sent it."""

    report: Report
    entries: list[Entry]
    sent: bool = False

    @property
    def ids(self):
        return [entry.record.id for entry in self.entries]


class Shadow:
    """The books of a journal, as they should be."""

    def __init__(self):
        self.entries = {}  # by id, in the order in which they were accepted
        self.accounts = {}  # by id of the report, in the order in which they were claimed
        self.folded = dict.fromkeys(State, 0)
        self.folded_value = {}
        self.folded_late = 0
        self.claims = {}  # how often the records of a key were claimed for the first time
        self.claimed = set()
        self.maybe_counted = set()

    def append(self, records):
        for record in records:
            self.entries.setdefault(record.id, Entry(record))

    def flying(self):
        return {each.report.key for each in self.accounts.values() if each.report.state is State.IN_FLIGHT}

    def pending(self, key=None):
        return [
            entry
            for entry in self.entries.values()
            if entry.report is None and key in {None, entry.record.key}
        ]

    def waiting(self):
        flying = self.flying()
        return [entry.record for entry in self.pending() if entry.record.key not in flying]

    def fits(self, run, places):
        """The entries that a run stands for now, or None if it must be left out."""
        if run.key in self.flying():
            return None
        taken = [
            entry for entry in self.pending(run.key) if places.get(entry.record.id, math.inf) <= run.last
        ]
        values = [entry.record.value for entry in taken]
        if not taken or (len(taken), sum(values)) != (run.records, run.value):
            return None
        ends = [places[entry.record.id] for entry in (taken[0], taken[-1])]
        return taken if ends == [run.first, run.last] else None

    def claim(self, report, entries):
        ids = [entry.record.id for entry in entries]
        if report.behaviour == DELTA:
            assert not self.maybe_counted & set(ids), "it may have been counted, and is sent again"
        new = [entry for entry in entries if entry.record.id not in self.claimed]
        order = [entry for entry in self.entries.values() if entry.record.key == report.key]
        first = self.claims.get(report.key, 0)
        assert [each.record.id for each in new] == [
            each.record.id for each in order[first : first + len(new)]
        ], "claimed for the first time out of order"
        self.claims[report.key] = first + len(new)
        self.claimed.update(ids)
        self.accounts[report.id] = Account(report, list(entries))
        for entry in entries:
            assert entry.report is None
            entry.report = report.id

    def send(self, id):
        account = self.accounts[id]
        account.sent = True
        self.maybe_counted.update(account.ids)

    def may_move(self, id, state):
        return id in self.accounts and state in MOVES[self.accounts[id].report.state]

    def move(self, report, *, late=None):
        account = self.accounts[report.id]
        account.report = report
        if report.state is State.PENDING:
            # whoever asks for that says that it was not counted, or takes it upon themselves
            self.maybe_counted.difference_update(account.ids)
            del self.accounts[report.id]
            for entry in account.entries:
                entry.report = None
                if late is False:
                    entry.record = entry.record._replace(reset_at=None)

    def overtaken(self, id):
        order = list(self.entries)
        last = order.index(self.accounts[id].ids[-1])
        return any(
            entry.record.key == self.accounts[id].report.key
            and (
                entry.counted
                or (entry.report in self.accounts and self.accounts[entry.report].report.state in SENT)
            )
            for entry in list(self.entries.values())[last + 1 :]
        )

    def fold(self, before):
        folded = 0
        for id, account in list(self.accounts.items()):
            report = account.report
            if report.state in {State.DELIVERED, State.DISCARDED} and report.ended_at < before:
                del self.accounts[id]
                self.folded[report.state] += report.records
                self.folded_late += report.late and report.state is State.DELIVERED and report.records
                total = sum(entry.record.value for entry in account.entries)
                self.folded_value[report.key] = self.folded_value.get(report.key, 0) + total
                folded += report.records
                for entry in account.entries:
                    entry.report = "folded"
                    entry.counted = report.state is State.DELIVERED
        return folded

    def counts(self):
        counts = dict(self.folded)
        late = self.folded_late
        for account in self.accounts.values():
            report = account.report
            counts[report.state] += report.records
            if report.late and report.state in {State.DELIVERED, State.UNRESOLVED}:
                late += report.records
        counts[State.PENDING] = len(self.pending())
        named = {state.value: count for state, count in counts.items()}
        return {"accepted": len(self.entries), "late": late, "skipped": 0, **named}

    def accepted_value(self, key):
        return sum(each.record.value for each in self.entries.values() if each.record.key == key)
