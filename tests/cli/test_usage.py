"""`kelviq-async usage`: what became of recorded usage, on a journal that programs have left behind."""

import asyncio
import json
import re
import secrets

import pytest

from kelviq_async import Kelviq, UsagePolicy
from kelviq_async.emulator import World
from kelviq_async.usage import RedisJournal, SqliteJournal
from kelviq_async.usage.records import Key, State
from tests.usage.pieces import SCOPE, claimed, owner, record

ENTITLED = {
    "features": [{"identifier": "api-calls", "featureType": "METER"}],
    "plans": [{"identifier": "pro", "prices": {"MONTHLY": "49.00"}, "features": {"api-calls": None}}],
    "customers": [{"customerId": "user-123"}],
    "subscriptions": [{"customerId": "user-123", "plan": "pro"}],
}


@pytest.fixture
def world():
    world = World()
    world.seed_from(ENTITLED)
    return world


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "usage.db")


@pytest.fixture
def journal(world, path):
    """One report delivered, one rejected, one of two records unresolved, and one record pending."""

    async def used():
        policy = UsagePolicy(window=60, shutdown=0)
        async with Kelviq.local(world, journal=SqliteJournal(path), usage_policy=policy) as kelviq:
            await kelviq.usage.record("user-123", "api-calls", 3)
            await kelviq.usage.record("[red]nobody", "api-calls", 1000)
            await kelviq.usage.flush(5)
            world.faults.add("ReportUsage", "drop_after", times=1)
            await kelviq.usage.record("user-123", "api-calls", 3)
            await kelviq.usage.record("user-123", "api-calls", 4, resource_id=None)
            await kelviq.usage.flush(5)
            await kelviq.usage.record("user-123", "api-calls", 5)

    asyncio.run(used())
    return path


def listed(run, journal, state="open"):
    ran = run("usage", "list", "--json", "--journal", journal, "--state", state)
    assert ran.code == 0
    return json.loads(ran.out)


def status(run, journal):
    ran = run("usage", "status", "--json", "--journal", journal)
    assert ran.code == 0
    return json.loads(ran.out)


def test_the_status_says_how_many_are_where(run, journal):
    ran = run("usage", "status", "-j", journal)
    assert ran.code == 0
    lines = {line.split("  ")[0].strip(): line.split() for line in ran.out.splitlines()}
    counts = {name: next(word for word in words if word.isdigit()) for name, words in lines.items()}
    assert counts == {
        "accepted": "5", "pending": "1", "in flight": "0", "delivered": "1",
        "rejected": "1", "unresolved": "2", "discarded": "0",
    }  # fmt: skip
    assert "the oldest for" in ran.out


def test_the_status_as_json_adds_up(run, journal):
    data = status(run, journal)
    assert data.pop("oldestPending").endswith("Z")
    assert data == {
        "accepted": 5, "pending": 1, "inFlight": 0, "delivered": 1, "rejected": 1,
        "unresolved": 2, "discarded": 0, "late": 0, "skipped": 0, "balanced": True,
    }  # fmt: skip


@pytest.mark.parametrize("columns", ["80", "140"])
def test_the_list_shows_what_waits_for_somebody_and_why(run, journal, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", columns)
    ran = run("usage", "list", "-j", journal)
    assert ran.code == 0
    for text in ("user-123", "[red]nobody", "+7", "+1,000", "OutcomeUnknown", "usage settle ID"):
        assert text in ran.out


@pytest.fixture
def extreme(path):
    """What was rejected, with the longest number there is, long ids, and a reason to mislead a terminal."""

    async def written():
        journal = SqliteJournal(path)
        await journal.open(SCOPE)
        key = Key("0c9d8f1e-2f2b-4a0e-8f07-3b4c4c1f7f0e", "a-feature-with-a-long-name", "room\u202e1")
        await journal.append([record(key, -(2**53) + 1)])
        report = await claimed(journal, owner(), key)
        await journal.move(report.id, State.REJECTED, reason="BadRequest 400: \x1b[31mred\nlines")
        await journal.close()
        return report.id

    return asyncio.run(written())


@pytest.mark.parametrize("columns", [80, 100, 140])
def test_the_list_fits_the_terminal_and_shows_all_of_it(run, path, extreme, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    ran = run("usage", "list", "-j", path)
    head, *rows = ran.out.splitlines()
    rows = rows[: next(n for n, row in enumerate(rows) if row.startswith(extreme) and "BadRequest" in row)]
    assert head.split()[:6] == ["id", "state", "customer", "feature", "units", "records"]
    assert all(len(row) <= columns for row in (head, *rows))
    assert rows[0].split()[:2] == [extreme, "rejected"]
    assert re.search(r" -9,007,199,254,740,991 +1\b", rows[0])
    for start, whole in (("customer", "0c9d8f1e-2f2b-4a0e-8f07-3b4c4c1f7f0e"), ("feature", "a-feature-with")):
        place = head.index(start)
        assert whole in "".join(row[place:].split(" ")[0] for row in rows)


def test_nothing_in_a_list_does_something_to_the_terminal(run, path, extreme):
    ran = run("usage", "list", "-j", path)
    assert not {"\x1b", "\u202e"} & set(ran.out)
    assert f"{extreme}  BadRequest 400: \\x1b[31mred\\nlines\n" in ran.out


def test_the_help_says_what_each_option_is_for(run):
    for command in ("status", "list", "settle", "flush"):
        ran = run("usage", command, "--help")
        options = [line for line in ran.out.splitlines() if line.startswith("│ --")]
        assert len(options) >= 2
        assert [each for each in options if len(each.split()) < 5] == []
    assert "whoever looks later" in run("usage", "settle", "--help").out


@pytest.mark.parametrize("deadline", ["-1", "nan", "inf", "-0.5"])
def test_deadlines_that_cannot_be(run, path, deadline):
    ran = run("usage", "flush", "-j", path, "--deadline", deadline)
    assert (ran.code, ran.out) == (2, "")
    assert "--deadline must be a number of seconds from 0" in ran.err


def test_the_list_by_state_and_limit(run, journal):
    (report,) = listed(run, journal, "unresolved")
    assert (report["customerId"], report["value"], report["records"]) == ("user-123", 7, 2)
    assert {each["state"] for each in listed(run, journal)} == {"unresolved", "rejected"}
    assert [each["value"] for each in listed(run, journal, "delivered")] == [3]
    ran = run("usage", "list", "-j", journal, "--state", "discarded")
    assert (ran.code, ran.out.strip()) == (0, "Nothing.")
    assert run("usage", "list", "-j", journal, "--limit", "0").code == 2
    assert run("usage", "list", "-j", journal, "--state", "lost").code == 2


def test_what_is_unresolved_is_settled_once(run, journal):
    (report,) = listed(run, journal, "unresolved")
    ran = run("usage", "settle", report["id"], "delivered", "--note", "seen", "-j", journal)
    assert (ran.code, ran.out) == (0, f"{report['id']}: 2 records of api-calls, DELTA 7, now delivered\n")
    assert status(run, journal)["delivered"] == 3
    again = run("usage", "settle", report["id"], "resend", "-j", journal)
    assert again.code == 2
    assert "only what is unresolved or rejected" in again.err
    (settled,) = [each for each in listed(run, journal, "delivered") if each["id"] == report["id"]]
    assert settled["note"] == "seen"


def test_settling_says_what_it_did_as_json(run, journal):
    (report,) = listed(run, journal, "rejected")
    ran = run("usage", "settle", report["id"], "discard", "--json", "-j", journal)
    assert json.loads(ran.out)["state"] == "discarded"
    assert status(run, journal)["discarded"] == 1


@pytest.mark.parametrize("arguments", [("nothing", "resend"), ("", "resend"), ("x", "forget")])
def test_what_cannot_be_settled_is_an_error(run, journal, arguments):
    assert run("usage", "settle", *arguments, "-j", journal).code == 2


@pytest.fixture
def sending(reaching, world, monkeypatch):
    """The command reaches the world, at the address that the journal was made for."""
    reaching(world)
    monkeypatch.setenv("KELVIQ_CORE_URL", "http://localhost/api/v1")


@pytest.mark.usefixtures("sending")
def test_a_flush_for_another_account_sends_nothing(run, world, journal):
    before = len(world.usage_ledger)
    ran = run("usage", "flush", "-j", journal, "--json", "--account", "other")
    assert ran.code == 2
    assert "another account" in ran.err
    assert len(world.usage_ledger) == before


def test_a_flush_talks_to_the_journals_own_host(run, reaching, world, journal, monkeypatch):
    reaching(world)
    assert run("usage", "flush", "-j", journal).code == 2  # another host: the sandbox itself
    monkeypatch.setenv("KELVIQ_CORE_URL", "http://localhost/api/v1")
    ran = run("usage", "flush", "-j", journal, "--json")
    assert ran.code == 0
    assert json.loads(ran.out)["pending"] == 0
    assert [row.value for row in world.usage_ledger] == [3, 7, 5]


@pytest.mark.parametrize("silence", [0.0, 0.5])  # with one, the record is on its way when time is up
@pytest.mark.usefixtures("sending")
def test_a_flush_that_leaves_something_says_so(run, world, journal, silence):
    world.faults.add("ReportUsage", "refuse", times=100, latency=silence)
    ran = run("usage", "flush", "-j", journal, "--deadline", "0.2", "--json")
    assert (ran.code, json.loads(ran.out)["pending"]) == (1, 1)
    assert status(run, journal)["pending"] == 1


@pytest.mark.usefixtures("sending")
def test_a_refused_key_is_an_error_and_keeps_everything(run, world, journal):
    world.faults.add("ReportUsage", "status", status=401)
    ran = run("usage", "flush", "-j", journal)
    assert ran.code == 2
    assert status(run, journal)["pending"] == 1


@pytest.mark.parametrize("command", [("status",), ("list",), ("settle", "x", "resend"), ("flush",)])
def test_a_journal_that_is_not_there_is_not_made(run, path, tmp_path, monkeypatch, command):
    monkeypatch.setenv("KELVIQ_SERVER_API_KEY", "sk_test_emulator")
    ran = run("usage", *command, "--journal", path)
    assert (ran.code, ran.out) == (2, "")
    assert "no usage journal" in ran.err
    assert list(tmp_path.iterdir()) == []


def test_some_journal_must_be_named(run, journal, monkeypatch):
    ran = run("usage", "status")
    assert ran.code == 2
    assert "KELVIQ_JOURNAL" in ran.err
    monkeypatch.setenv("KELVIQ_JOURNAL", journal)
    assert run("usage", "status").code == 0


def test_an_address_names_a_redis_journal(run):
    ran = run("usage", "status", "-j", "redis://127.0.0.1:1/0")
    assert ran.code == 2
    assert "Redis" in ran.err


def test_a_journal_in_redis_may_have_a_prefix_of_its_own(run, redis_url, monkeypatch):
    prefix = f"acme-{secrets.token_hex(4)}"

    async def used():
        journal = RedisJournal(redis_url, prefix=prefix)
        await journal.open(SCOPE)
        await journal.append([record()])
        await journal.close()

    asyncio.run(used())
    ran = run("usage", "status", "-j", redis_url, "--prefix", f"{prefix}-2")
    assert ran.code == 2
    assert f"'{prefix}-2'" in ran.err
    ran = run("usage", "status", "-j", redis_url, "--prefix", prefix, "--json")
    assert json.loads(ran.out)["pending"] == 1
    monkeypatch.setenv("KELVIQ_JOURNAL_PREFIX", prefix)
    monkeypatch.setenv("KELVIQ_JOURNAL", redis_url)
    assert run("usage", "list").code == run("usage", "status").code == 0
    assert "no report" in run("usage", "settle", "x", "resend").err
    assert "a key is needed" in run("usage", "flush").err
    assert "prefix must be" in run("usage", "list", "--prefix", "{}").err


def test_a_list_that_is_cut_off_says_so(run, journal):
    both = "only the oldest 1 of each state are shown: --limit\n"
    assert run("usage", "list", "-j", journal, "--limit", "1").err == both
    assert run("usage", "list", "-j", journal, "--limit", "2").err == ""
