"""``kelviq-async check --input``: what was left half done, and what is there already."""

import asyncio
import fcntl
import json

import pytest

from kelviq_async.emulator import World
from kelviq_async.http1.transport import Http1Transport
from kelviq_async.transport import WireAnswer

ODD = 'name,id\n"two\nlines",c0\n"a ""quote""",c1\nü,c2\n,c3\nlast,c4\n'
LINES = '{"id":"c0","n":1.10}\n{"id":"c1","s":"ü"}\nnope\n"c3"\n{"id":"c4"}\n'
COMMAND = ("check", "--input", "in.csv", "--features", "export-data,team-size", "--output", "out.csv")


@pytest.fixture
def sold(reaching, stocked):
    """A world in which c0, c2, c4 have bought the Pro plan."""
    stocked.seed_from(
        {"subscriptions": [{"customerId": f"c{number}", "plan": "pro"} for number in (0, 2, 4)]}
    )
    return reaching(stocked)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.csv").write_text(ODD, "utf-8")
    (tmp_path / "in.jsonl").write_text(LINES, "utf-8")
    return tmp_path


def asked(world):
    return [
        dict(request.query)["customer_id"]
        for request in world.requests
        if request.operation == "GetEntitlements" and request.status != 401
    ]


def begun(run, world, rows, *command):
    """Have a run stop after some rows, as the key is turned away."""
    world.faults.add("GetEntitlements", status=401, after=rows)
    ran = run(*(command or COMMAND), "--concurrency", "1")
    world.faults.clear()
    assert (ran.code, ran.out) == (2, "")
    return ran


def names(folder):
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("out"))


def test_the_same_command_goes_on_and_asks_nobody_twice(run, sold, here):
    ran = begun(run, sold, 2)
    assert "401" in ran.err
    assert "2 rows written; the same command goes on from there" in ran.err
    assert names(here) == ["out.csv.part", "out.csv.part.json"]
    assert "sk_" not in (here / "out.csv.part.json").read_text()

    ran = run(*COMMAND)
    assert ran.code == 0
    assert "going on after 2 rows of an earlier run" in ran.err
    assert "out.csv: 5 rows" in ran.err
    assert "export-data: 3 yes, 2 no" in ran.err  # of all rows, not of the new ones
    assert names(here) == ["out.csv"]
    assert sorted(asked(sold)) == ["c0", "c1", "c2", "c3", "c4"]
    assert (here / "out.csv").read_text("utf-8") == (
        "name,id,export-data,team-size,error\n"
        '"two\nlines",c0,true,true,\n"a ""quote""",c1,false,false,\nü,c2,true,true,\n'
        ",c3,false,false,\nlast,c4,true,true,\n"
    )


@pytest.mark.parametrize(
    ("source", "output", "step"),
    [("in.csv", "out.csv", 3), ("in.jsonl", "out.jsonl", 11), ("in.jsonl", "out.csv", 7)],
)
def test_wherever_a_crash_cuts_it_off(run, sold, here, source, output, step):  # noqa: PLR0917  fixtures
    """After SIGKILL the part may end in the middle of a row: with every cut, the result is the same."""
    command = ("check", "--input", source, "--features", "export-data", "--output", output)
    begun(run, sold, 2, *command)
    notes = (here / f"{output}.part.json").read_bytes()
    code = run(*command).code
    whole = (here / output).read_bytes()
    # a line break inside quotes ends no row
    ends = [
        end
        for end in range(1, len(whole) + 1)
        if whole[end - 1 : end] == b"\n" and whole[:end].count(b'"') % 2 == 0
    ]
    head = output == "out.csv"
    customers = 4 if source == "in.jsonl" else 5
    for cut in sorted({*range(0, len(whole) + 1, step), *ends, *(end - 1 for end in ends)}):
        (here / output).unlink()
        (here / f"{output}.part").write_bytes(whole[:cut])
        (here / f"{output}.part.json").write_bytes(notes)
        before = len(asked(sold))
        ran = run(*command)
        assert (ran.code, (here / output).read_bytes(), names(here)) == (code, whole, [output]), cut
        done = max(0, sum(end <= cut for end in ends) - head)
        known = done - (done > 2) if source == "in.jsonl" else done  # "nope" is nobody
        assert len(asked(sold)) - before == customers - known, cut
        assert (f"after {done:,} row" in ran.err) == (done > 0)


@pytest.mark.parametrize("output", ["out.csv", "out.jsonl"])
@pytest.mark.parametrize(
    "damage", [b"\0\0\0\n", b'"', b"[]\n", b"a,b\n", b"x" * 11 * 2**20 + b"\n"], ids=range(5)
)
def test_a_part_that_was_damaged_is_good_up_to_there(run, sold, here, output, damage):
    """As after a power cut: what cannot be a row of ours is cut off, with all that follows."""
    command = ("check", "--input", "in.csv", "--features", "export-data", "--output", output)
    begun(run, sold, 3, *command)
    part = here / f"{output}.part"
    *first, second, third = part.read_bytes().splitlines(keepends=True)
    part.write_bytes(b"".join(first) + damage + second + third)
    ran = run(*command)
    assert (ran.code, "going on after 1 row of" in ran.err) == (0, True)
    whole = (here / output).read_bytes()
    (here / output).unlink()
    assert run(*command).code == 0
    assert (here / output).read_bytes() == whole


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (["--features", "export-data"], "other features (export-data, team-size, not export-data)"),
        (["--features", "team-size,export-data"], "other features"),
        (["--column", "name"], "other column (id, not name)"),
        (["--details"], "other details (no, not yes)"),
        (["--no-header"], "other "),
        (["--production"], "other environment (sandbox, not production)"),
    ],
)
def test_it_goes_on_only_with_what_it_was_begun_with(run, sold, here, change, said):
    begun(run, sold, 2)
    part = (here / "out.csv.part").read_bytes()
    before = len(asked(sold))
    command = [each for each in COMMAND if change[0] != "--features" or each not in COMMAND[3:5]]
    ran = run(*command, *change)
    assert (ran.code, ran.out) == (2, "")
    assert f"out.csv.part was begun with {said}" in ran.err
    assert "--restart drops it and starts over" in ran.err
    assert (here / "out.csv.part").read_bytes() == part
    assert len(asked(sold)) == before

    assert run(*command, *change, "--restart").code in {0, 2}
    assert names(here) == ["out.csv"]


def test_another_key_may_be_another_account(run, sold, monkeypatch):
    begun(run, sold, 2)
    monkeypatch.setenv("KELVIQ_SERVER_API_KEY", "sk_other")
    ran = run(*COMMAND)
    assert (ran.code, "begun with other account;" in ran.err) == (2, True)
    assert "sk_other" not in ran.err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (ODD.replace("c1", "c7"), "row 2 differs"),
        (ODD.replace("two", "2"), "row 1 differs"),
        ("name,id\nx,c0\n", "row 1 differs"),
        ('name,id\n"two\nlines",c0\n', "row 2 differs"),
        (ODD.replace("name", "nick"), "the columns differ"),
    ],
)
def test_it_does_not_go_on_with_another_input(run, sold, here, text, said):
    begun(run, sold, 2)
    part = (here / "out.csv.part").read_bytes()
    (here / "in.csv").write_text(text, "utf-8")
    ran = run(*COMMAND)
    assert (ran.code, ran.out) == (2, "")
    assert f"out.csv.part was made of another input: {said}; --restart" in ran.err
    assert (here / "out.csv.part").read_bytes() == part
    ran = run(*COMMAND, "--restart")
    assert ran.code == 0
    assert len((here / "out.csv").read_text("utf-8").splitlines()) > 1


def test_json_lines_of_another_input(run, sold, here):
    command = ("check", "--input", "in.jsonl", "--features", "a", "--output", "out.jsonl")
    begun(run, sold, 2, *command)
    (here / "in.jsonl").write_text(LINES.replace("1.10", "1.11"), "utf-8")
    ran = run(*command)
    assert (ran.code, "row 1 differs" in ran.err) == (2, True)


def test_an_input_that_has_grown_meanwhile_is_no_other(run, sold, here):
    begun(run, sold, 2)
    (here / "in.csv").write_text(f"{ODD}new,c2\n", "utf-8")
    assert run(*COMMAND).code == 0
    assert (here / "out.csv").read_text("utf-8").endswith("new,c2,true,true,\n")


@pytest.mark.parametrize("notes", [None, b"", b"{", b"[]", b'{"version":99}'])
def test_a_part_nobody_knows_is_left_alone(run, sold, here, notes):
    (here / "out.csv.part").write_text("mine")
    if notes is not None:
        (here / "out.csv.part.json").write_bytes(notes)
    ran = run(*COMMAND)
    assert (ran.code, "nothing says what it was made of" in ran.err) == (2, True)
    assert (here / "out.csv.part").read_text() == "mine"
    assert asked(sold) == []


def test_a_run_that_wrote_no_row_leaves_nothing(run, sold, here):
    ran = begun(run, sold, 0)
    assert "401" in ran.err
    assert "goes on" not in ran.err
    assert names(here) == []


def test_two_runs_never_write_one_output(run, sold, here):
    begun(run, sold, 2)
    part = (here / "out.csv.part").read_bytes()
    with (here / "out.csv.part").open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        for options in ([], ["--restart", "--force"]):
            ran = run(*COMMAND, *options)
            assert (ran.code, "another run is writing out.csv.part" in ran.err) == (2, True)
    assert (here / "out.csv.part").read_bytes() == part
    assert run(*COMMAND).code == 0


def test_a_finished_output_is_kept_until_the_new_one_is_whole(run, sold, here):
    (here / "out.csv").write_text("old")
    ran = run(*COMMAND)
    assert (ran.code, "out.csv is there already; --force replaces it" in ran.err) == (2, True)
    assert (names(here), asked(sold)) == (["out.csv"], [])

    begun(run, sold, 2, *COMMAND, "--force")
    assert (here / "out.csv").read_text() == "old"
    assert run(*COMMAND, "--force").code == 0  # goes on, as the same command does
    assert sorted(asked(sold)) == ["c0", "c1", "c2", "c3", "c4"]
    assert names(here) == ["out.csv"]
    assert (here / "out.csv").read_text("utf-8").startswith("name,id,")


def test_an_output_that_appears_meanwhile_is_not_overwritten(run, sold, here, monkeypatch):
    def send(_, wire):
        (here / "out.csv").write_text("somebody else's")
        return sold.send(wire)

    monkeypatch.setattr(Http1Transport, "send", send)
    ran = run(*COMMAND)
    assert (ran.code, "is there already" in ran.err) == (2, True)
    assert (here / "out.csv").read_text() == "somebody else's"
    assert run(*COMMAND, "--force").code == 0
    assert len(asked(sold)) == 5


def test_a_link_stays_one(run, sold, here):
    (here / "elsewhere").mkdir()
    (here / "out.csv").symlink_to(here / "elsewhere" / "real.csv")
    assert run(*COMMAND).code == 0
    assert (here / "out.csv").is_symlink()
    assert [path.name for path in (here / "elsewhere").iterdir()] == ["real.csv"]


def test_after_the_deadline_the_next_run_goes_on(run, sold, here):
    sold.faults.add("GetEntitlements", latency=50, after=3)
    ran = run(*COMMAND, "--concurrency", "1", "--deadline", "0.5")
    sold.faults.clear()
    assert ran.code == 2
    assert "the deadline is over: 3 rows written; the same command goes on from there" in ran.err
    assert run(*COMMAND).code == 0
    assert sorted(set(asked(sold))) == ["c0", "c1", "c2", "c3", "c4"]


def test_a_full_disk_is_told(run, sold):
    ran = run("check", "--input", "in.csv", "--features", "a", "--output", "/dev/full")
    assert ran.code == 2
    assert "No space left" in ran.err
    assert "Traceback" not in ran.err


def test_a_key_that_is_turned_away_stops_it_and_a_customer_that_is_does_not(run, sold, here):
    sold.faults.add("GetEntitlements", status=403)
    ran = run(*COMMAND)
    assert (ran.code, "403" in ran.err, names(here)) == (2, True, [])


def test_without_a_key_for_it_nothing_is_written(run, reaching, here, monkeypatch):
    reaching(World())
    monkeypatch.delenv("KELVIQ_SERVER_API_KEY")
    monkeypatch.delenv("KELVIQ_CLIENT_API_KEY")
    ran = run(*COMMAND)
    assert (ran.code, names(here)) == (2, [])
    assert "key" in ran.err


def test_what_was_answered_together_with_what_stops_it_is_kept(run, sold, here, monkeypatch):
    """The first answer comes last, so that all rows up to the one that ends the run come in one piece."""
    (here / "in.csv").write_text("name,id\nn,c0\nn,c1\nn,c2\nn,last\n")
    refused = asyncio.Event()

    async def send(_, wire):
        customer = wire.url.rpartition("customer_id=")[2]
        if customer == "c0":
            await refused.wait()
        elif customer == "last" and not refused.is_set():
            refused.set()
            return WireAnswer(401, {"Content-Type": "application/json"}, b"{}")
        return await sold.send(wire)

    monkeypatch.setattr(Http1Transport, "send", send)
    ran = run(*COMMAND)
    assert (ran.code, "401" in ran.err) == (2, True)
    assert "3 rows written" in ran.err
    assert len((here / "out.csv.part").read_bytes().splitlines()) == 4
    before = len(asked(sold))
    assert run(*COMMAND).code == 0
    assert asked(sold)[before:] == ["last"]


def test_the_notes_hold_no_customer(run, sold, here):
    begun(run, sold, 2)
    notes = json.loads((here / "out.csv.part.json").read_text())
    assert sorted(notes) == [
        "account", "address", "column", "details", "environment", "features", "header",
        "input format", "output format", "version",
    ]  # fmt: skip
