"""``kelviq-async check`` where a standard stream is closed or full, and where a path is a folder."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from kelviq_async.emulator import World, serve

LIST = ("--input", "$HERE/in.csv", "--features", "export-data")


@pytest.fixture
async def shell(tmp_path):
    """Run a line of the shell in which ``check`` is the command; its exit code and what it has said."""
    (tmp_path / "in.csv").write_text("customer_id\nuser-123\n")
    world = World()
    world.seed_from({"customers": [{"customerId": "user-123"}]})
    async with serve(world) as server:
        environment = {**os.environ, "KELVIQ_CORE_URL": server.url, "KELVIQ_SERVER_API_KEY": world.server_key}

        async def run(line):
            process = await asyncio.create_subprocess_exec(
                "sh", "-c", f'check() {{ "{sys.executable}" -m kelviq_async check "$@"; }}; {line}',
                env={**environment, "HERE": str(tmp_path)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            )  # fmt: skip
            out, err = await process.communicate()
            return process.returncode, out.decode(), err.decode()

        yield run


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only some systems have a device that is full")
@pytest.mark.parametrize("arguments", ["user-123 export-data", "--json user-123 export-data", " ".join(LIST)])
async def test_an_answer_that_cannot_be_printed_is_no_no(shell, arguments):
    code, out, err = await shell(f"check {arguments} >/dev/full")
    assert (code, out) == (2, "")
    assert err.splitlines()[-1] == "standard output cannot be written: No space left on device"
    assert "Traceback" not in err


async def test_the_exit_code_alone_tells_too(shell):
    assert await shell("check user-123 export-data >&-") == (1, "", "")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (f"check {' '.join(LIST)} >&-", "standard output cannot be written: it is closed"),
        ("check --input - --features export-data <&-", "standard input cannot be read: it is closed"),
        (f"check {' '.join(LIST)} --output /", "/ is a folder"),
        ("check --input . --features export-data", ". cannot be read: Is a directory"),
    ],
)
async def test_what_cannot_be_read_or_written_is_said(shell, line, said):
    code, out, err = await shell(line)
    assert (code, out, err) == (2, "", f"{said}\n")


async def test_without_standard_error_nothing_is_mixed_with_the_rows(shell):
    code, out, _ = await shell(f"check {' '.join(LIST)} 2>&-")
    assert (code, out) == (0, "customer_id,export-data,error\nuser-123,false,\n")


async def test_an_id_that_is_no_text_is_not_taken_for_another_one(shell, tmp_path):
    (tmp_path / "in.jsonl").write_text('{"customer_id": "user-\\ud800"}\n')
    code, out, _ = await shell("check --input $HERE/in.jsonl --features export-data")
    row = json.loads(out)
    assert (code, row["customer_id"], row["export-data"]) == (2, "user-\ufffd", None)
    assert "customer_id must not hold control characters" in row["error"]


@pytest.mark.parametrize("end", ["", ".part", ".part.json"])
async def test_the_input_is_never_written_over(shell, tmp_path, end):
    given = tmp_path / f"list.csv{end}"
    given.write_text("customer_id\nuser-123\n")
    line = (
        f"check --input $HERE/{given.name} --features export-data --output $HERE/list.csv --restart --force"
    )
    assert await shell(f"{line} --format csv") == (2, "", "--input and --output are the same file\n")
    assert given.read_text() == "customer_id\nuser-123\n"
