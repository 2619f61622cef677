"""The replay guard: claims, commits, releases, and what happens when a claim lapses."""

import asyncio

import pytest
from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from kelviq_async.errors import ConfigError
from kelviq_async.stores import MemoryStore
from kelviq_async.webhooks import Claim, ReplayGuard, Taken


@pytest.fixture
def guard(store):
    return ReplayGuard(store, keep=1000, lapse=60)


async def test_an_event_is_claimed_once(guard):
    claim = await guard.claim("evt_1")
    assert isinstance(claim, Claim)
    assert await guard.claim("evt_1") is Taken.HELD
    assert isinstance(await guard.claim("evt_2"), Claim)


async def test_what_was_committed_is_done(guard, clock):
    assert await guard.commit(await guard.claim("evt_1"))
    assert await guard.claim("evt_1") is Taken.DONE
    clock.now += 999
    assert await guard.claim("evt_1") is Taken.DONE


async def test_what_was_released_can_be_claimed_again(guard):
    assert await guard.release(await guard.claim("evt_1"))
    assert isinstance(await guard.claim("evt_1"), Claim)


async def test_what_was_committed_is_forgotten_in_the_end(guard, clock):
    await guard.commit(await guard.claim("evt_1"))
    clock.now += 1000
    assert isinstance(await guard.claim("evt_1"), Claim)


async def test_or_never(store, clock):
    guard = ReplayGuard(store, keep=None)
    await guard.commit(await guard.claim("evt_1"))
    clock.now += 1e10
    assert await guard.claim("evt_1") is Taken.DONE


async def test_by_default_events_are_remembered_for_days(store, clock):
    guard = ReplayGuard(store)
    await guard.commit(await guard.claim("evt_1"))
    clock.now += 3 * 86400
    assert await guard.claim("evt_1") is Taken.DONE


async def test_by_default_a_dead_process_blocks_no_longer_than_kelviq_tries(store, clock):
    guard = ReplayGuard(store)
    await guard.claim("evt_1")
    clock.now += 2 * 60  # the second of three attempts, 60 seconds apart
    assert isinstance(await guard.claim("evt_1"), Claim)


async def test_a_claim_lapses_when_its_process_dies(store, guard, clock):
    await guard.claim("evt_1")
    clock.now += 59
    assert await ReplayGuard(store, lapse=60).claim("evt_1") is Taken.HELD
    clock.now += 1
    assert isinstance(await ReplayGuard(store, lapse=60).claim("evt_1"), Claim)


async def test_a_claim_that_was_taken_over_ends_nothing_of_its_successor(guard, clock):
    first = await guard.claim("evt_1")
    clock.now += 60
    second = await guard.claim("evt_1")
    assert not await guard.release(first)
    assert await guard.claim("evt_1") is Taken.HELD
    assert not await guard.commit(first)
    assert await guard.claim("evt_1") is Taken.HELD
    assert await guard.release(second)
    assert isinstance(await guard.claim("evt_1"), Claim)


async def test_a_claim_that_lapsed_cannot_undo_what_its_successor_committed(guard, clock):
    first = await guard.claim("evt_1")
    clock.now += 60
    await guard.commit(await guard.claim("evt_1"))
    assert not await guard.release(first)
    assert not await guard.commit(first)
    assert await guard.claim("evt_1") is Taken.DONE


async def test_a_claim_that_lapsed_unnoticed_still_commits(guard, clock):
    claim = await guard.claim("evt_1")
    clock.now += 60
    assert await guard.commit(claim)
    assert await guard.claim("evt_1") is Taken.DONE


async def test_a_claim_that_lapsed_commits_when_its_successor_gave_up(guard, clock):
    first = await guard.claim("evt_1")
    clock.now += 60
    await guard.release(await guard.claim("evt_1"))
    assert await guard.commit(first)
    assert await guard.claim("evt_1") is Taken.DONE


async def test_one_of_many_gets_the_claim(store):
    guards = [ReplayGuard(store) for _ in range(20)]
    results = await asyncio.gather(*(guard.claim("evt_1") for guard in guards))
    assert sum(isinstance(result, Claim) for result in results) == 1
    assert results.count(Taken.HELD) == 19


class Slippery(MemoryStore):
    """Between any two calls, whoever holds a key lets go of it, so many times."""

    def __init__(self, times):
        super().__init__()
        self.times = times

    async def add(self, key, value, ttl=None):
        if self.times:
            self.times -= 1
            return False
        return await super().add(key, value, ttl)


async def test_a_claim_that_ends_while_one_looks_is_tried_again():
    assert isinstance(await ReplayGuard(Slippery(2)).claim("evt_1"), Claim)
    assert await ReplayGuard(Slippery(100)).claim("evt_1") is Taken.HELD


async def test_scopes_keep_applications_apart(store):
    one, other = ReplayGuard(store, scope="billing"), ReplayGuard(store, scope="mail")
    await one.commit(await one.claim("evt_1"))
    assert isinstance(await other.claim("evt_1"), Claim)
    assert await ReplayGuard(store, scope="billing").claim("evt_1") is Taken.DONE


async def test_no_scope_and_id_look_like_another_pair(store):
    await ReplayGuard(store, scope="a:1").claim("b")
    assert isinstance(await ReplayGuard(store, scope="a").claim("1:b"), Claim)
    assert isinstance(await ReplayGuard(store).claim("a:1:b"), Claim)


async def test_keys_are_short_and_hold_no_id(store):
    await ReplayGuard(store).claim("evt_" + "x" * 100_000)
    await ReplayGuard(store).claim("\udc80")
    for key in store._entries:
        assert len(key) < 100
        assert "evt_" not in key


async def test_a_claim_does_not_show_its_token(guard):
    claim = await guard.claim("evt_1")
    assert repr(claim) == "Claim()"


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf"), "60", True])
def test_times_are_positive_numbers(store, seconds):
    with pytest.raises(ConfigError, match="keep"):
        ReplayGuard(store, keep=seconds)
    with pytest.raises(ConfigError, match="lapse"):
        ReplayGuard(store, lapse=seconds)


def test_a_claim_must_lapse(store):
    with pytest.raises(ConfigError, match="for ever"):
        ReplayGuard(store, lapse=None)


class Workers(RuleBasedStateMachine):
    """Workers claim, work, die and wake up again in any order; the newest claim alone decides."""

    def __init__(self):
        super().__init__()
        self.now = 1000.0
        self.guard = ReplayGuard(MemoryStore(clock=lambda: self.now), keep=1e6, lapse=60)
        self.claims = []  # with the time each was made
        self.holder = None
        self.done = False

    @property
    def held(self):
        return self.holder is not None and self.now < self.holder[1] + 60

    @rule()
    def claim(self):
        result = asyncio.run(self.guard.claim("evt_1"))
        if self.done:
            assert result is Taken.DONE
        elif self.held:
            assert result is Taken.HELD
        else:
            self.holder = (result, self.now)
            self.claims.append(result)

    @precondition(lambda self: self.claims)
    @rule(which=st.integers(min_value=0))
    def commit(self, which):
        claim = self.claims[which % len(self.claims)]
        mine = self.held and self.holder[0] == claim
        free = not self.held and not self.done
        assert asyncio.run(self.guard.commit(claim)) == (not self.done and (mine or free))
        if mine or free:
            self.done, self.holder = True, None

    @precondition(lambda self: self.claims)
    @rule(which=st.integers(min_value=0))
    def release(self, which):
        claim = self.claims[which % len(self.claims)]
        mine = self.held and self.holder[0] == claim
        assert asyncio.run(self.guard.release(claim)) == mine
        if mine:
            self.holder = None

    @rule(seconds=st.sampled_from([1, 59, 60, 61]))
    def wait(self, seconds):
        self.now += seconds

    @invariant()
    def tokens_differ(self):
        assert len({claim.token for claim in self.claims}) == len(self.claims)


TestWorkers = Workers.TestCase
TestWorkers.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
