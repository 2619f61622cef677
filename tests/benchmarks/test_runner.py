"""The runner itself: it measures the right thing, leaves nothing running, and tells no names or paths."""

import getpass
import importlib
import json
import os
import platform
import signal
import socket
import subprocess
import sys
import time
from datetime import date, datetime
from itertools import pairwise
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from benchmarks import answers, machine, plot, report
from benchmarks.__main__ import QUESTIONS
from benchmarks.bench import Bench, Goal, shown
from benchmarks.processes import Contestant, Process, Server
from benchmarks.questions import single_flight
from benchmarks.spread import ratios, spread
from kelviq_async import GetEntitlements, codec

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def server():
    with Server() as running:
        yield running


def asked(url, path, body=None):
    with urlopen(Request(f"{url}{path}", data=body), timeout=10) as answer:  # noqa: S310  our own server
        return json.loads(answer.read())


# What the server answers


def test_an_answer_is_one_that_kelviq_could_give():
    customer_id = answers.customer(1234)
    body = answers.answer(customer_id)
    whole = GetEntitlements(customer_id).read(200, codec.decode(body), {})
    assert codec.dump(whole) == json.loads(body)
    assert [row.feature_id for row in whole.entitlements] == list(answers.FEATURES)
    meters = [row for row in whole.entitlements if row.feature_id in answers.METERS]
    assert all(row.current_usage + row.remaining == row.usage_limit for row in meters)
    assert all(row.reset_at.date() > date.today() for row in meters)  # noqa: DTZ011  a year from now or so


def test_customers_of_one_plan_differ_in_their_own_numbers_only():
    one, other = (
        json.loads(answers.answer(answers.customer(number)))["entitlements"]
        for number in (7, 7 + answers.PLANS)
    )
    assert one != other
    own = {"currentUsage", "remaining", "resetAt"}
    for row in (*one, *other):
        for name in own:
            row.pop(name, None)
    assert one == other


def test_dates_are_dates():
    stamps = [datetime.strptime(answers.reset_at(n), "%Y-%m-%d %H:%M:%S") for n in range(0, 10**6, 997)]  # noqa: DTZ007
    assert len(set(stamps)) == len(stamps)


def test_the_server_narrows_its_answer_to_the_feature_that_is_asked_about(server):
    path = "/api/v1/entitlements?customer_id=user-000001"
    assert len(asked(server.url, path)["entitlements"]) == 10
    (row,) = asked(server.url, f"{path}&feature_id=emails")["entitlements"]
    assert row["featureId"] == "emails"


def test_the_server_counts_what_it_is_asked(server):
    server.count()
    for number in range(3):
        asked(server.url, f"/api/v1/entitlements/?customer_id={answers.customer(number)}")
    for value in (2, 5):
        taken = asked(server.url, "/api/v1/report/usage/", json.dumps({"value": value}).encode())
        assert taken["value"] == value
    counted = server.count()
    assert (counted["asked"], counted["reports"], counted["units"]) == (3, 2, 7)
    assert server.count()["asked"] == 0


def test_the_slow_door_takes_its_time(server):
    started = time.perf_counter()
    asked(server.slow, "/api/v1/entitlements/?customer_id=user-000001")
    assert time.perf_counter() - started >= 0.020


def test_the_locked_door_opens_when_it_is_told_to():
    with Server() as server:
        path = "/api/v1/entitlements/?customer_id=user-000001"
        with pytest.raises(OSError, match="refused") as refused:
            asked(server.locked, path)
        assert not isinstance(refused.value, HTTPError)
        server.unlock()
        assert len(asked(server.locked, path)["entitlements"]) == 10


# Processes


def test_what_goes_wrong_in_a_worker_is_told_and_it_goes_on():
    with Contestant(single_flight.Ours) as contestant:
        for method in ("fly", "swim"):
            with pytest.raises(RuntimeError, match=f"no attribute '{method}'"):
                contestant.do(method)


def test_a_worker_that_never_answers_is_not_waited_for():
    with Server() as server, pytest.raises(TimeoutError, match="no answer"):
        server.heard(patience=0.05)


def test_a_process_that_has_ended_says_so():
    process = Process("benchmarks.worker")  # without arguments it can only fail
    with process, pytest.raises(RuntimeError, match="ended before its time"):
        process.heard()


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")  # one that nobody has buried yet is not alive
    try:
        return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_nothing_outlives_a_run_that_is_killed():
    program = """
import sys, time
from benchmarks.asking import Minimal
from benchmarks.processes import Contestant, Server
from benchmarks.questions.single_flight import Ours
server = Server()
worker = Contestant(Ours)
print(server._process.pid, worker._process.pid, flush=True)
sys.stdin.read()
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ) as runner:
        pids = [int(pid) for pid in runner.stdout.readline().split()]
        assert len(pids) == 2
        assert all(map(is_alive, pids))
        runner.kill()
    deadline = time.monotonic() + 20
    while any(map(is_alive, pids)):
        assert time.monotonic() < deadline, "a process of the run is still there"
        time.sleep(0.02)


# Numbers


def test_a_spread_holds_its_median_and_is_the_same_each_time():
    values = [5.0, 1.0, 3.0, 2.0, 100.0]
    found = spread(values)
    assert (found.median, found.rounds) == (3.0, tuple(values))
    assert 1 <= found.low <= found.median <= found.high <= 100
    assert spread(values) == found
    assert spread([7.0]).low == spread([7.0]).high == 7.0


def test_ratios_are_taken_round_by_round():
    # the second round was slow for both, which is nobody's doing
    assert ratios([10, 5, 10], [2, 1, 2]).rounds == (5, 5, 5)


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (0.0512, "0.0512"), (2.345, "2.35"), (123.4, "123"), (12345.6, "12,346")]
)
def test_numbers_are_shown_with_the_digits_that_mean_something(value, text):
    assert shown(value) == text


def test_a_goal_is_met_on_its_own_side():
    assert Goal("", at_least=5).met(5)
    assert not Goal("", at_least=5).met(4.9)
    assert Goal("", at_most=0.9).met(0.9)
    assert not Goal("", at_most=0.9).met(0.91)
    assert Goal("").met(1) is None


@pytest.mark.parametrize("name", QUESTIONS)
def test_each_question_puts_goals(name):
    module = importlib.import_module(f"benchmarks.questions.{name}")
    assert module.__doc__.splitlines()[0].endswith("?")
    assert len({goal.says for goal in module.GOALS.values()}) == len(module.GOALS)
    assert all(goal.at_least is None or goal.at_most is None for goal in module.GOALS.values())


def test_there_is_a_file_for_each_question():
    files = {path.stem for path in (ROOT / "benchmarks" / "questions").glob("*.py")} - {"__init__"}
    assert files == set(QUESTIONS)


# What is written


@pytest.fixture
def bench():
    made = Bench(
        "quick",
        server=None,
        question="some",
        goals={"b": Goal("slower", at_most=2), "a": Goal("faster", at_least=3)},
    )
    made.rates("a", [10, 12], [2, 2])
    made.costs("b", [5, 5], [1, 1])
    made.number("Ours", "one", "µs", [1.0, 2.0])
    made.number("Peer", "one", "µs", [30.0])
    made.remark("It rained.")
    return made


CIRCUMSTANCES = {
    "date": "2026-01-31",
    "thoroughness": "full",
    "commit": "abc1234",
    "machine": {
        "processor": "Z80",
        "cores": 1,
        "system": "CP/M",
        "python": "CPython 3.11.0",
        "load before": 0.5,
        "libraries": {"aiohttp": "3"},
    },
}
TITLES = {"some": "Some question"}


def test_what_is_written_says_what_was_found(bench, tmp_path):
    report.written(tmp_path, bench, CIRCUMSTANCES, TITLES)
    page = (tmp_path / "README.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("|")]
    assert rows[2:5] == [
        "| **Some question** |  |  |  |  |",
        "| slower | ≤ 2 | 5 | 5 to 5 | missed |",
        "| faster | ≥ 3 | 5.5 | 5 to 6 | met |",
    ]
    assert rows[-1] == "| one | µs | 1.5 (1 to 2) | 30 |"
    for text in ("2026-01-31", "Z80", "abc1234", "CPython 3.11.0", "aiohttp 3", "It rained.", "plot.png"):
        assert text in page
    plain = json.loads((tmp_path / "results.json").read_text())
    assert [(found["key"], found["met"], found["best"]) for found in plain["findings"]] == [
        ("b", False, 5.0),
        ("a", True, 6.0),
    ]


def test_a_picture_is_drawn_of_whatever_was_measured(bench, tmp_path):
    pytest.importorskip("matplotlib", reason="matplotlib is for benchmarks only")
    bench.goals = {"c": Goal("a difference", at_most=300), "d": Goal("far off", at_least=1000)}
    bench.count("c", [-5, 200])
    bench.count("d", [1])
    for calls, rates in ((1, [100, 120]), (50, [900])):
        bench.number("Ours", f"{calls} in flight", "requests/s", rates)
    for empty in (False, True):
        if empty:
            bench.findings, bench.numbers = [], []
        path = tmp_path / f"{empty}.png"
        plot.drawn(path, bench, TITLES)
        assert empty or path.read_bytes().startswith(b"\x89PNG")
        assert path.exists() is not empty


def test_a_readme_shows_it_between_its_marks(bench):
    part = report.excerpt(bench, CIRCUMSTANCES, TITLES, "benchmarks/results")
    before, after = "# Title\n\n", "\n\nThe end.\n"
    text = report.readme_with(f"{before}{report.BEGIN}\nold\n{report.END}{after}", part)
    assert text.startswith(before)
    assert text.endswith(after)
    assert part in text
    assert "old" not in text
    assert report.readme_with(text, part) == text
    lines = part.splitlines()
    assert all(
        len({line.count("|") for line in pair}) == 1 for pair in pairwise(ln for ln in lines if "|" in ln)
    )


@pytest.mark.parametrize("text", ["# Title\n", report.BEGIN, f"{report.END}\n{report.BEGIN}"])
def test_a_readme_without_marks_is_left_alone(text):
    with pytest.raises(ValueError, match="needs a line"):
        report.readme_with(text, "part")


def test_the_machine_is_described_without_names_and_paths():
    text = json.dumps([machine.described(), machine.commit()])
    assert platform.python_version() in text
    assert str(ROOT) not in text
    assert str(Path.home()) not in text
    words = set(text.replace('"', " ").replace(",", " ").split())
    assert not {socket.gethostname(), getpass.getuser()} & words
