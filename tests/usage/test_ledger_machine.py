"""Whatever happens to a journal in whatever order: no record is lost, and none is sent twice by itself."""

import asyncio
import secrets
import tempfile
from pathlib import Path

import attrs
import pytest
from hypothesis import HealthCheck, Phase, settings, strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from kelviq_async.usage import MemoryJournal, RedisJournal, SqliteJournal, UsagePolicy
from kelviq_async.usage.grouping import runs
from kelviq_async.usage.records import Key, State, Waiting
from tests.usage.pieces import BEGIN, DELTA, SCOPE, SET, STATES, owner, record, run_of, waits
from tests.usage.shadow import Shadow

KEYS = [Key("a", "x"), Key("a", "x", ""), Key("b", "x"), Key("a:x", "é")]
OWNERS = [owner(f"owner-{n}") for n in range(3)]
SETTLED = [State.DELIVERED, State.PENDING, State.PENDING, State.DISCARDED]
ANSWERS = [*State, State.UNRESOLVED, State.UNRESOLVED]
ANSWERS.remove(State.DISCARDED)
WRONG = [(), (), (), ("value",), ("records",), ("first",), ("last",)]
batches = st.lists(
    st.tuples(
        st.sampled_from(KEYS),
        st.one_of(st.integers(-3, 9), st.just(2**53 - 1)),
        st.sampled_from([DELTA, DELTA, DELTA, SET]),
        st.sampled_from([None, None, BEGIN + 1e6, BEGIN + 2e6]),
    ),
    min_size=1,
    max_size=6,
)
# To make a failure small takes longer than a test may.
QUICK = [Phase.explicit, Phase.reuse, Phase.generate]
picks = st.integers(0, 1000)
lates = st.sampled_from([None, None, False, True])
mosts = st.sampled_from([1, 2, 3, 10_000])
answers = st.lists(st.tuples(picks, st.sampled_from(ANSWERS), lates), min_size=1, max_size=4)
ways = st.lists(
    st.tuples(picks, st.sampled_from(SETTLED), st.sampled_from(["", "é\n", None]), lates),
    min_size=1,
    max_size=4,
)


class LedgerMachine(RuleBasedStateMachine):
    """Senders, users and a crash now and then, with a shadow of the books on the side."""

    def __init__(self, connect):
        super().__init__()
        self.connect = connect
        self.loop = asyncio.new_event_loop()
        self.shadow = Shadow()
        self.places = {}
        self.present = set()
        self.computed = []
        self.fresh = []
        self.journal = connect()
        self.do(self.journal.open(SCOPE))

    @initialize(batch=batches)
    def begin(self, batch):
        self.append(batch, [])

    def do(self, step):
        return self.loop.run_until_complete(step)

    def teardown(self):
        try:
            self.everything_is_still_there()
        finally:
            self.do(self.journal.close())
            self.loop.close()

    def has(self, *states):
        return any(each.report.state in states for each in self.shadow.accounts.values())

    def pick(self, some, number):
        some = list(some)
        return some[number % len(some)] if some else None

    def pick_in(self, states, number):
        return self.pick(
            [id for id, each in self.shadow.accounts.items() if each.report.state in states], number
        )

    # What people record

    @rule(batch=batches, again=st.lists(picks, max_size=3))
    def append(self, batch, again):
        """Some records are new, and some come from callers who were told nothing and try again."""
        there = [each.record for each in self.shadow.entries.values() if each.report != "folded"]
        old = [self.pick(there, number) for number in again if there]
        new = [record(key, value, behaviour, reset_at=at) for key, value, behaviour, at in batch]
        self.do(self.journal.append([*old, *new, *old, *new[:1]]))
        self.shadow.append(new)

    # What senders do

    @precondition(lambda self: self.shadow.waiting())
    @rule(most=mosts, units=st.sampled_from([1, 5, 2**53 - 1]), limit=picks)
    def compute(self, most, units, limit):
        """Look at what waits, and do nothing about it yet."""
        policy = UsagePolicy(max_records=most, max_units=units)
        found = self.do(self.journal.waiting(limit + 1))
        self.fresh, _ = runs(found, policy, BEGIN, hurry=True)
        self.computed = [*self.computed, *self.fresh][-20:]

    @precondition(lambda self: self.shadow.waiting())
    @rule(sender=st.sampled_from(OWNERS), most=mosts, answers=answers)
    def have_a_turn(self, sender, most, answers):
        self.compute(most, 2**53 - 1, 10_000)
        self.claim(self.fresh, sender)
        self.answer(answers)

    @precondition(lambda self: self.shadow.waiting())
    @rule(batch=batches, sender=st.sampled_from(OWNERS), most=mosts, answers=answers)
    def have_a_turn_while_records_come(self, batch, sender, most, answers):
        self.compute(most, 2**53 - 1, 10_000)
        self.append(batch, [])
        self.claim(self.fresh, sender)
        self.append(batch, [])
        self.answer(answers)

    @precondition(lambda self: self.computed)
    @rule(sender=st.sampled_from(OWNERS), numbers=st.lists(picks, min_size=1, max_size=6))
    def claim_some(self, sender, numbers):
        """Claim some of what was seen at any time, right or not any more, one of them perhaps twice."""
        self.claim([self.pick(self.computed, number) for number in numbers], sender)

    @precondition(lambda self: self.shadow.pending())
    @rule(sender=st.sampled_from(OWNERS), number=picks, first=picks, more=picks, wrong=st.sampled_from(WRONG))
    def claim_what_may_be_wrong(self, sender, number, first, more, wrong):
        """Claim any pending records of a key in a row, at its head or not, in flight or not."""
        key = self.pick(self.shadow.pending(), number).record.key
        known = [each.record for each in self.shadow.pending(key) if each.record.id in self.places]
        if known:
            first %= min(len(known), 2)
            some = known[first : first + 1 + more % 3]
            run = run_of([Waiting(self.places[each.id], each) for each in some])
            self.claim([run._replace(**{name: getattr(run, name) + 1 for name in wrong})], sender)

    def claim(self, chosen, sender):
        expected = []
        for run in chosen:
            entries = self.shadow.fits(run, self.places)
            if entries is not None and run.key not in {each.key for each, _ in expected}:
                expected.append((run, entries))
        reports = self.do(self.journal.claim(chosen, sender))
        self.present.add(sender.id)
        assert len(reports) == len(expected)
        for report, (run, entries) in zip(reports, expected, strict=True):
            assert (report.key, report.behaviour, report.value) == (run.key, run.behaviour, run.value)
            assert (report.state, report.owner, report.records) == (State.IN_FLIGHT, sender.id, run.records)
            assert report.id not in self.shadow.accounts
            self.shadow.claim(report, entries)

    @precondition(lambda self: self.has(State.IN_FLIGHT))
    @rule(answers=answers)
    def answer(self, answers):
        """What becomes of reports: never sent, sent and no more known for now, or sent with an end."""
        for number, state, late in answers:
            if id := self.pick_in({State.IN_FLIGHT}, number):
                if state is not State.PENDING:
                    self.shadow.send(id)
                elif self.shadow.accounts[id].sent:
                    continue
                if state is not State.IN_FLIGHT:
                    self.move(id, state, late=late)

    # What people and late answers do

    @precondition(lambda self: self.has(State.UNRESOLVED, State.REJECTED))
    @rule(ways=ways)
    def settle(self, ways):
        for number, way, note, late in ways:
            if id := self.pick_in({State.UNRESOLVED, State.REJECTED}, number):
                self.move(id, way, note=note, late=late, among={State.UNRESOLVED, State.REJECTED})

    @precondition(lambda self: self.has(State.UNRESOLVED, State.REJECTED))
    @rule(ways=ways, sender=st.sampled_from(OWNERS))
    def settle_and_send(self, ways, sender):
        self.settle(ways)
        self.compute(1, 1, 10_000)
        self.claim(self.fresh, sender)

    @precondition(lambda self: self.has(State.UNRESOLVED))
    @rule(number=picks)
    def late_answer(self, number):
        self.move(self.pick_in({State.UNRESOLVED}, number), State.DELIVERED)

    @precondition(lambda self: self.shadow.accounts)
    @rule(number=picks, state=st.sampled_from(State), among=st.sets(st.sampled_from(State)))
    def any_move(self, number, state, among):
        """Allowed or not."""
        account = self.shadow.accounts[id := self.pick(self.shadow.accounts, number)]
        if not (state is State.PENDING and account.report.state is State.IN_FLIGHT and account.sent):
            self.move(id, state, among=among or None)

    def move(self, id, state, **more):
        account = self.shadow.accounts[id]
        among = more.get("among") or list(State)
        allowed = self.shadow.may_move(id, state) and account.report.state in among
        moved = self.do(self.journal.move(id, state, reason=f"to {state}", **more))
        if not allowed:
            assert moved is None
            return
        expected = attrs.evolve(account.report, state=state, reason=f"to {state}", ended_at=moved.ended_at)
        if more.get("note") is not None:
            expected = attrs.evolve(expected, note=more["note"])
        if more.get("late") is not None:
            expected = attrs.evolve(expected, late=more["late"])
        assert moved == expected
        self.shadow.move(moved, late=more.get("late"))

    # What is seen to

    @rule(what=st.sampled_from(["beat", "leave", "fold", "fold all", "reopen"]), number=picks)
    def keep_house(self, what, number):
        sender = self.pick(OWNERS, number)
        if what == "beat":
            self.do(self.journal.beat(sender))
            self.present.add(sender.id)
        elif what == "leave":
            self.do(self.journal.leave(sender))
            if not self.hands(sender):
                self.present.discard(sender.id)
        elif what == "reopen":
            self.do(self.journal.close())
            self.journal = self.connect()
            self.do(self.journal.open(SCOPE))
            self.do(self.everything_is_found())
        else:
            ends = [each.report.ended_at for each in self.shadow.accounts.values() if each.report.ended_at]
            before = 9e9 if what == "fold all" else self.pick(ends, number) or 0
            assert self.do(self.journal.fold(before)) == self.shadow.fold(before)

    def hands(self, sender):
        return {
            id
            for id, each in self.shadow.accounts.items()
            if each.report.owner == sender.id and each.report.state is State.IN_FLIGHT
        }

    @precondition(lambda self: self.present)
    @rule(number=picks, beaten=st.sampled_from([False, False, True]))
    def lapse(self, number, beaten):
        seen = self.pick(self.do(self.journal.owners()), number)
        gone = seen.owner
        if beaten:
            self.do(self.journal.beat(gone))
        held = self.hands(gone)
        put = self.do(self.journal.lapse(seen, "gone"))
        assert {report.id for report in put} == (set() if beaten else held)
        for report in put:
            delta = report.behaviour == DELTA
            assert report.state is (State.UNRESOLVED if delta else State.PENDING)
            assert report.reason == "gone"
            self.shadow.move(report)
        if not beaten:
            self.present.discard(gone.id)

    # What holds at every moment

    @invariant()
    def the_books_are_right(self):
        self.do(self.compare())

    async def compare(self):
        ledger = await self.journal.ledger()
        assert ledger.balanced
        counts = self.shadow.counts()
        assert {name: getattr(ledger, name) for name in counts} == counts
        assert (ledger.oldest is None) == (ledger.pending == 0)
        # what waits stands where it stood
        found = await waits(self.journal)
        assert [each.record for each in found] == self.shadow.waiting()
        for place, each in found:
            assert self.places.setdefault(each.id, place) == place
        places = [place for place, _ in found]
        assert places == sorted(set(places))
        # nothing of a key flies twice
        reports = await self.journal.reports(State.IN_FLIGHT)
        assert len({report.key for report in reports}) == len(reports) == len(self.shadow.flying())
        assert {each.owner.id for each in await self.journal.owners()} == self.present

    async def everything_is_found(self):
        accounts = self.shadow.accounts
        for entry in self.shadow.entries.values():
            expected = accounts[entry.report].report if entry.report in accounts else None
            assert await self.journal.find(entry.record.id) == expected
        for id, account in accounts.items():
            assert await self.journal.find(id) == account.report
            if account.report.state in {State.UNRESOLVED, State.REJECTED}:  # what may be sent again
                assert await self.journal.overtaken(id) == self.shadow.overtaken(id)

    def everything_is_still_there(self):
        """Every unit that was ever accepted is somewhere, once."""
        self.do(self.everything_is_found())
        for id, account in list(self.shadow.accounts.items()):
            if account.report.state is State.IN_FLIGHT:  # it would hide what is pending of its key
                self.move(id, State.UNRESOLVED)
        sums = dict.fromkeys(KEYS, 0)
        for state in STATES:
            expected = [each.report for each in self.shadow.accounts.values() if each.report.state is state]
            reports = self.do(self.journal.reports(state, 100_000))
            assert sorted(reports, key=lambda each: each.id) == sorted(expected, key=lambda each: each.id)
            for report in reports:
                sums[report.key] += report.value
        for _, each in self.do(waits(self.journal)):
            sums[each.key] += each.value
        for key, value in sums.items():
            assert value + self.shadow.folded_value.get(key, 0) == self.shadow.accepted_value(key)


def live(connect, examples, steps=40, phases=QUICK):
    """Run many random lives, each with a journal of its own."""
    run_state_machine_as_test(
        lambda: LedgerMachine(connect()),
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            phases=phases,
            suppress_health_check=list(HealthCheck),
        ),
    )


def memory():
    journal = MemoryJournal()
    return lambda: journal


def sqlite(folder):
    def fresh():
        path = Path(tempfile.mkdtemp(dir=folder)) / "usage.db"
        return lambda: SqliteJournal(path)

    return fresh


def redis(url):
    def fresh():
        prefix = f"machine-{secrets.token_hex(4)}"
        return lambda: RedisJournal(url, prefix=prefix)

    return fresh


def test_memory():
    live(memory, 60)


def test_sqlite(tmp_path):
    live(sqlite(tmp_path), 10)


@pytest.mark.redis
def test_redis(redis_url):
    live(redis(redis_url), 10)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_memory_for_long():
    live(memory, 1000, 80, Phase)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_sqlite_for_long(tmp_path):
    live(sqlite(tmp_path), 100, 80, Phase)


@pytest.mark.slow
@pytest.mark.redis
@pytest.mark.timeout(900)
def test_redis_for_long(redis_url):
    live(redis(redis_url), 150, 80, Phase)
