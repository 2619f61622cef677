"""``kelviq-async check --input``: what is read, and what is written of it."""

import csv
import errno
import io
import json
import os
import re

import pytest

from kelviq_async.cli import bar
from kelviq_async.cli.rows import LONGEST, BadInput, CsvRows, Lines
from kelviq_async.http1.transport import Http1Transport
from kelviq_async.transport import WireAnswer

FEATURES = ("--features", "export-data,max-projects")


@pytest.fixture
def sold(reaching, stocked):
    """A world in which c0, c2, c4 ... c8 have bought the Pro plan."""
    buyers = [{"customerId": f"c{number}", "plan": "pro"} for number in range(0, 10, 2)]
    others = [{"customerId": f"c{number}"} for number in range(1, 10, 2)]
    stocked.seed_from({"subscriptions": buyers, "customers": others})
    return reaching(stocked)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def given(monkeypatch):
    """Bytes on standard input."""
    ends = []

    def give(data):
        reader, writer = os.pipe()
        os.write(writer, data)
        os.close(writer)
        ends.append(os.fdopen(reader, "rb", buffering=0))
        monkeypatch.setattr("sys.stdin", ends[-1])

    yield give
    for end in ends:
        end.close()


def asked(world):
    return [
        dict(request.query)["customer_id"]
        for request in world.requests
        if request.operation == "GetEntitlements"
    ]


def written(text):
    return list(csv.DictReader(io.StringIO(text)))


# CSV


def test_a_column_for_each_feature_and_the_rows_in_their_order(run, sold, here):
    (here / "in.csv").write_text('name,id\nAda,c1\n"Doe, ""J""",c2\nGus,c3\nAda again,c1\nEve,c4\n')
    ran = run("check", "--input", "in.csv", *FEATURES, "--output", "out.csv")
    assert (ran.code, ran.out) == (0, "")
    assert (here / "out.csv").read_text() == (
        "name,id,export-data,max-projects,error\n"
        "Ada,c1,false,false,\n"
        '"Doe, ""J""",c2,true,true,\n'
        "Gus,c3,false,false,\n"
        "Ada again,c1,false,false,\n"
        "Eve,c4,true,true,\n"
    )
    assert sorted(asked(sold)) == ["c1", "c2", "c3", "c4"]  # one call for each, however many features
    assert [path.name for path in here.iterdir() if "out" in path.name] == ["out.csv"]
    assert "in.csv: customer ids are in 'id' (by its name)" in ran.err
    assert "out.csv: 5 rows" in ran.err
    assert "export-data: 2 yes, 3 no" in ran.err


@pytest.mark.parametrize(
    ("head", "options", "column", "why"),
    [
        ("id,customerId,customer_id", [], "customer_id", "by its name"),
        ("id,customerId,other", [], "customerId", "by its name"),
        ("other,more,id", [], "id", "by its name"),
        ("who,more,other", [], "who", "the first one"),
        ("who", [], "who", "the only one"),
        ("id,customerId,customer_id", ["--column", "id"], "id", "as you said"),
    ],
)
def test_which_column_holds_the_ids(run, sold, here, head, options, column, why):  # noqa: PLR0917  fixtures
    names = head.split(",")
    (here / "in.csv").write_text(f"{head}\n{','.join('c2' if name == column else 'c1' for name in names)}\n")
    ran = run("check", "--input", "in.csv", *FEATURES, *options)
    assert (ran.code, asked(sold)) == (0, ["c2"])
    assert f"customer ids are in {column!r} ({why}" in ran.err


def test_details(run, sold, here):
    (here / "in.csv").write_text("id\nc1\nc2\nnobody\n")
    features = "max-projects,team-size"
    ran = run("check", "--input", "in.csv", "--features", features, "--details")
    denied = {"reason": "not entitled", "remaining": "", "value": ""}
    assert [
        {name.rpartition("_")[2]: cell for name, cell in row.items() if "max-projects_" in name}
        for row in written(ran.out)
    ] == [
        denied,
        {"reason": "granted", "remaining": "100", "value": ""},
        {**denied, "reason": "unknown customer"},
    ]
    assert [row["team-size_value"] for row in written(ran.out)] == ["", "5", ""]
    assert "does not know 1 of the customers" in ran.err
    assert ran.code == 0


def test_no_limit_is_not_the_same_as_no_number(run, sold, here, monkeypatch):
    entry = {"featureId": "a", "featureType": "METER", "hasAccess": True, "usageLimit": None}

    async def unlimited(_, wire):
        text = json.dumps({"customerId": "c1", "entitlements": [entry]})
        return WireAnswer(200, {"Content-Type": "application/json"}, text.encode())

    monkeypatch.setattr(Http1Transport, "send", unlimited)
    (here / "in.csv").write_text("id\nc1\n")
    ran = run("check", "--input", "in.csv", "--features", "a,b", "--details")
    assert [row["a_remaining"] for row in written(ran.out)] == ["unlimited"]
    assert [row["b_remaining"] for row in written(ran.out)] == [""]


def test_ids_come_back_byte_by_byte(run, sold, here):
    odd = ['=cmd|"/c calc"!A1', "+1", "@x", " c2 ", "ü,ß", "a\nb", "a\rb", "", ".", "..", "x" * 200]
    text = io.StringIO(newline="")
    csv.writer(text).writerows([["id"], *([each] for each in odd)])
    data = text.getvalue().encode() + b"\xff\xfe,more\n\xe9\r\n"
    (here / "in.csv").write_bytes(data)
    ran = run("check", "--input", "in.csv", "--features", "export-data", "--output", "out.csv")
    assert ran.code == 2
    with (here / "out.csv").open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        rows = list(csv.reader(file, strict=True))
    assert [row[0] for row in rows[1:]] == [*odd, "\udcff\udcfe", "\udce9"]
    errors = {row[0]: row[2] for row in rows[1:]}
    assert [each for each in odd if errors[each]] == ["a\nb", "a\rb", "", ".", ".."]
    assert "2 cells, the header 1" in errors["\udcff\udcfe"]
    assert "control" in errors["\udce9"]


@pytest.mark.parametrize(
    "text",
    [
        b"\xef\xbb\xbfcustomer_id,name\r\nc2,Ada\r\n",
        b'\xef\xbb\xbf"customer_id",name\nc2,Ada',
        b"customer_id;name\nc2;Ada\n",
        b"customer_id\tname\nc2\tAda\n",
        b'"customer_id";"na,me"\nc2;Ada\n',
        b"\n\ncustomer_id,name\n\n\nc2,Ada\n\n",
    ],
)  # fmt: skip
def test_what_spreadsheets_write(run, sold, here, text):
    (here / "in.csv").write_bytes(text)
    ran = run("check", "--input", "in.csv", *FEATURES)
    assert (ran.code, asked(sold)) == (0, ["c2"])
    delimiter = next(each for each in (";", "\t", ",") if each.encode() in text)
    head, row = csv.reader(io.StringIO(ran.out), delimiter=delimiter)
    assert (head[0], row) == ("customer_id", ["c2", "Ada", "true", "true", ""])


def test_without_a_header(run, sold, here):
    (here / "in.csv").write_text("c2,Ada\nc1,Gus\n")
    ran = run("check", "--input", "in.csv", "--features", "export-data", "--no-header")
    assert ran.out == "customer_id,column_2,export-data,error\nc2,Ada,true,\nc1,Gus,false,\n"


def test_rows_that_cannot_be_read_are_errors_and_the_rest_goes_on(run, sold, here):
    rows = [b"c2,Ada", b"c4", b"c6,a,b", b'"' + b"x" * 200_000 + b'"', b"y" * (LONGEST + 5), b"c8,Eve"]
    (here / "in.csv").write_bytes(b"id,name\n" + b"\n".join(rows) + b"\n")
    ran = run("check", "--input", "in.csv", "--features", "export-data")
    assert ran.code == 2
    answers = [(row["id"], row["export-data"], row["error"]) for row in written(ran.out)]
    assert [answer[:2] for answer in answers] == [
        ("c2", "true"), ("c4", "true"), ("c6", ""), ("", ""), ("", ""), ("c8", "true"),
    ]  # fmt: skip
    assert [answer[2].partition(":")[0] for answer in answers] == [
        "", "", "line 4 has 3 cells, the header 2",
        "lines 5 to 5 cannot be read", "lines 6 to 6 cannot be read", "",
    ]  # fmt: skip
    assert "3 rows with an error" in ran.err
    assert "3 yes, 0 no, 3 nobody knows" in ran.err
    assert sorted(asked(sold)) == ["c2", "c4", "c8"]


@pytest.mark.parametrize("end", ["", "\n", "\n\n"])
def test_a_quote_that_never_closes_is_an_error_and_hides_nobody(run, sold, here, end):
    (here / "in.csv").write_text(f'id,name\nc2,"Ada ""A"" B"\nc4,"Eve\nc6,Gus\nc8,Bo{end}')
    ran = run("check", "--input", "in.csv", "--features", "export-data")
    (first, last) = written(ran.out)
    assert (first["id"], first["export-data"], first["error"]) == ("c2", "true", "")
    assert (last["id"], last["name"], last["export-data"]) == ("", "", "")
    assert last["error"] == "a quote that opens in line 3 never closes"
    assert (ran.code, asked(sold)) == (2, ["c2"])
    assert "1 yes, 0 no, 1 nobody knows" in ran.err


@pytest.mark.parametrize("options", [[], ["--no-header"]])
def test_where_it_opens_in_the_first_line_there_is_nobody_to_ask_about(run, sold, here, options):
    (here / "in.csv").write_text('id,"name\nc2,Ada\nc4,Eve\n')
    ran = run("check", "--input", "in.csv", "--features", "export-data", *options)
    assert (ran.code, ran.out, asked(sold)) == (2, "", [])
    assert "a quote that opens there never closes" in ran.err


def test_a_stray_quote_hides_nobody_either(run, sold, here):
    (here / "in.csv").write_text('id,name\nc2,"Ada\nc4,"Eve"\nc6,"Gus "G""\nc8,5" pipe\n')
    ran = run("check", "--input", "in.csv", "--features", "export-data")
    answers = [(row["id"], row["export-data"], row["error"].partition(":")[0]) for row in written(ran.out)]
    assert answers == [
        ("", "", "lines 2 to 3 cannot be read"),
        ("", "", "lines 4 to 4 cannot be read"),
        ("c8", "true", ""),
    ]
    assert (ran.code, asked(sold)) == (2, ["c8"])


@pytest.mark.parametrize("end", ["", "\n", "\n\n"])
def test_a_quote_that_closes_at_the_very_end_is_sound(run, sold, here, end):
    (here / "in.csv").write_text(f'id,name\nc2,"Ada\nA"\nc4,"Eve"{end}')
    ran = run("check", "--input", "in.csv", "--features", "export-data")
    assert (ran.code, [row["error"] for row in written(ran.out)]) == (0, ["", ""])


def test_what_kelviq_does_not_answer_is_that_rows_error(run, sold, here):
    (here / "in.csv").write_text("id\nc0\nc1\nc2\n")
    sold.faults.add("GetEntitlements", status=400, after=1, times=1)
    ran = run("check", "--input", "in.csv", *FEATURES, "--concurrency", "1", "--output", "out.csv")
    assert ran.code == 2
    rows = written((here / "out.csv").read_text())
    assert [(row["export-data"], row["max-projects"]) for row in rows] == [
        ("true",) * 2,
        ("",) * 2,
        ("true",) * 2,
    ]
    assert rows[1]["error"] == "GetEntitlements: 400 A fault on purpose."  # once, and not for each feature
    assert [rows[0]["error"], rows[2]["error"]] == ["", ""]
    assert not (here / "out.csv.part").exists()  # it is done, and says what it could not find out


def test_one_feature_nobody_knows_is_named(run, sold, here, monkeypatch):
    async def odd(_, wire):
        text = '{"entitlements": [{"featureId": "a", "hasAccess": 1}, {"featureId": "b", "hasAccess": true}]}'
        return WireAnswer(200, {"Content-Type": "application/json"}, text.encode())

    monkeypatch.setattr(Http1Transport, "send", odd)
    (here / "in.csv").write_text("id\nc1\n")
    ran = run("check", "--input", "in.csv", "--features", "a,b")
    (row,) = written(ran.out)
    assert (ran.code, row["a"], row["b"]) == (2, "", "true")
    assert row["error"].startswith("a: ")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "empty"),
        (b"\n\n", "empty"),
        ("id\nc1\n".encode("utf-16"), "UTF-8"),
        ("id\nc1\n".encode("utf-16-le"), "UTF-8"),
        (b"id\rc1\rc2\r", "cannot be read"),
        (b"id,id\nc1,c2\n", "there twice"),
        (b"x" * 200_000 + b"\nc1\n", "cannot be read"),
        (b"x" * (LONGEST + 1) + b"\nc1\n", "cannot be read"),
        (b"id,error\nc1,\n", "'error' already"),
        (b"id,export-data\nc1,\n", "'export-data' already"),
    ],
)
def test_a_file_that_cannot_be_used(run, sold, here, data, said):
    (here / "in.csv").write_bytes(data)
    ran = run("check", "--input", "in.csv", *FEATURES, "--output", "out.csv")
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err
    assert "Traceback" not in ran.err
    assert [path.name for path in here.iterdir()] == ["in.csv"]
    assert asked(sold) == []


def test_a_header_and_nothing_else(run, sold, here):
    (here / "in.csv").write_text("id\n")
    ran = run("check", "--input", "in.csv", *FEATURES)
    assert (ran.code, ran.out) == (0, "id,export-data,max-projects,error\n")


def test_a_line_ends_where_the_pieces_that_are_read_do(here):
    """However the bytes come, the rows are the same."""
    text = b'id,name\r\nc1,"a\nb"\r\n\r\nc2,b\nc3,"x""y"'

    class Slowly(io.RawIOBase):
        def __init__(self, step):
            self.left, self.step = text, step

        def read(self, size=-1):
            piece, self.left = self.left[: self.step], self.left[self.step :]
            return piece

    whole = [(row.cells, row.end) for row in CsvRows(Lines(Slowly(1000)), None)]
    assert [cells[0] for cells, _ in whole] == ["c1", "c2", "c3"]
    assert whole[-1][1] == len(text)
    for step in range(1, 12):
        assert [(row.cells, row.end) for row in CsvRows(Lines(Slowly(step)), None)] == whole


def test_an_input_that_breaks_off_is_told():
    class Broken(io.RawIOBase):
        def read(self, size=-1):
            raise OSError(errno.EIO, "Input/output error")

    with pytest.raises(BadInput, match="cannot be read: Input/output error"):
        CsvRows(Lines(Broken()), None)


def test_a_log_is_told_how_far_it_is(run, sold, here, monkeypatch):
    monkeypatch.setattr(bar, "EVERY", 0)
    (here / "in.csv").write_text("id\nc1\nc2\n")
    ran = run("check", "--input", "in.csv", *FEATURES, "--output", "out.csv")
    assert re.search(r"^in\.csv: 2 rows, 100%, [\d,]+/s$", ran.err, re.MULTILINE)


# JSON lines


def test_json_lines(run, sold, here):
    lines = [
        '{"id": "c2", "n": 1.10, "deep": {"a": [1, null]}}',
        '"c1"',
        "",
        '{"id": 5, "big": 12345678901234567890123}',
        "nope",
        "[1]",
        '{"n": 1}',
        '{"id": 1.5}',
        '{"id": "c4", "export-data": "mine"}',
        '{"id": "half \\ud800"}',
        '{"id": "c6", "é": "ü"}',
    ]
    (here / "in.jsonl").write_text("\ufeff" + "\n".join(lines), "utf-8")
    ran = run("check", "--input", "in.jsonl", "--features", "export-data", "--output", "out.jsonl")
    assert ran.code == 2
    found = (here / "out.jsonl").read_text("utf-8").splitlines()
    assert found[0] == '{"id":"c2","n":1.10,"deep":{"a":[1,null]},"export-data":true,"error":null}'
    rows = [json.loads(line) for line in found]
    assert [row.get("id") for row in rows] == [
        "c2", "c1", 5, None, None, None, 1.5, "c4", "half \ufffd", "c6",
    ]  # fmt: skip
    assert [row["export-data"] for row in rows] == [
        True, False, False, None, None, None, None, "mine", None, True,
    ]  # fmt: skip
    assert [row["error"] for row in rows] == [
        None, None, None,
        "line 5 cannot be read: it is no JSON", "line 6 cannot be read: it is no object",
        "line 7 has no text in 'id'", "line 8 has no text in 'id'",
        "the row has a field 'export-data' of its own",
        "customer_id must not hold control characters", None,
    ]  # fmt: skip
    assert '"big":12345678901234567890123' in found[2]


@pytest.mark.parametrize(
    ("options", "data", "said"),
    [
        (["--column", "nope"], b'{"id": "c1"}\n', "'nope'"),
        ([], b'{"id": "c1", "error": 1}\n', "'error' already"),
    ],
)
def test_json_lines_that_cannot_be_used(run, sold, here, options, data, said):  # noqa: PLR0917  fixtures
    (here / "in.jsonl").write_bytes(data)
    ran = run("check", "--input", "in.jsonl", *FEATURES, *options)
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err


def test_no_lines_are_no_rows(run, sold, here):
    (here / "in.jsonl").write_bytes(b"")
    assert run("check", "--input", "in.jsonl", *FEATURES).code == 0
    ran = run("check", "--input", "in.jsonl", *FEATURES, "--output", "out.csv")
    assert (ran.code, (here / "out.csv").read_text()) == (0, "customer_id,export-data,max-projects,error\n")


def test_from_csv_to_json_lines(run, sold, here):
    (here / "in.csv").write_bytes(b"id,name\nc2,\xff\n")
    ran = run("check", "--input", "in.csv", "--features", "export-data", "--output", "out.jsonl")
    assert ran.code == 0
    assert json.loads((here / "out.jsonl").read_text("utf-8")) == {
        "id": "c2", "name": "\ufffd", "export-data": True, "error": None,
    }  # fmt: skip
    (here / "twice.csv").write_text("id,a,a\nc2,,\n")
    ran = run("check", "--input", "twice.csv", "--features", "export-data", "--output", "twice.jsonl")
    assert (ran.code, "'a' is there twice" in ran.err) == (2, True)


def test_from_json_lines_to_csv(run, sold, here):
    lines = ['{"id": "c2", "tags": ["a"], "ok": true, "n": 1.10, "no": null}', '{"id": "c1", "more": 1}']
    (here / "in.jsonl").write_text("\n".join(lines))
    ran = run("check", "--input", "in.jsonl", "--features", "export-data", "--output", "out.csv")
    assert ran.code == 0
    assert (here / "out.csv").read_text() == (
        'id,tags,ok,n,no,export-data,error\nc2,"[""a""]",true,1.10,,true,\nc1,,,,,false,\n'
    )
    assert "CSV has no column" in ran.err


# Standard input and output


@pytest.mark.parametrize(
    ("data", "options", "out"),
    [
        (b"id\nc2\n", [], "id,a,error\nc2,false,\n"),
        (b' \n{"id": "c2"}\n', [], '{"id":"c2","a":false,"error":null}\n'),
        (b'"c2"\n', ["--format", "jsonl"], '{"customer_id":"c2","a":false,"error":null}\n'),
        (b"c2", ["--no-header"], "customer_id,a,error\nc2,false,\n"),
    ],
)
def test_from_a_pipe(run, sold, given, data, options, out):  # noqa: PLR0917  fixtures
    given(data)
    ran = run("check", "--input", "-", "--features", "a", "--output", "-", *options)
    assert (ran.code, ran.out) == (0, out)
    assert "standard input: customer ids are in" in ran.err


def test_what_a_pipe_holds_is_told_by_itself_and_not_by_where_it_goes(run, sold, given, here):
    given(b"id\nc2\n")
    ran = run("check", "--input", "-", "--features", "export-data", "--output", "out.jsonl")
    assert (ran.code, (here / "out.jsonl").read_text()) == (
        0,
        '{"id":"c2","export-data":true,"error":null}\n',
    )


def test_a_device_takes_no_part(run, sold, here):
    (here / "in.csv").write_text("id\nc2\n")
    ran = run("check", "--input", "in.csv", *FEATURES, "--output", "/dev/null")
    assert ran.code == 0


# Settings


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--input", "nope.csv", *FEATURES], "nope.csv cannot be read: No such file"),
        (["--input", ".", *FEATURES], "cannot be read"),
        (["--input", "in.csv", *FEATURES, "--output", "nope/out.csv"], "no such folder"),
        (["--input", "in.csv", *FEATURES, "--output", "."], "is a folder"),
        (["--input", "in.csv", *FEATURES, "--output", "in.csv"], "same file"),
        (["--input", "in.csv", *FEATURES, "--output", "./in.csv", "--force"], "same file"),
        (["--input", "in.csv", *FEATURES, "--output", "x.csv", "--format", "jsonl"], "--format"),
        (["--input", "in.csv", *FEATURES, "--format", "xml"], "xml"),
        (["--input", "in.csv", *FEATURES, "--column", "nope"], "no column 'nope'; there is 'id', 'name'"),
        (["--input", "in.csv", *FEATURES, "--concurrency", "0"], "--concurrency"),
        (["--input", "in.csv", *FEATURES, "--deadline", "0"], "--deadline"),
        (["--input", "in.csv", *FEATURES, "--deadline", "nan"], "--deadline"),
        (["--input", "in.csv", *FEATURES, "--deadline", "-1"], "deadline"),
        (["--input", "in.csv", "--features", " , "], "--features"),
        (["--input", "in.csv", "--features", "a,a"], "twice"),
        (["--input", "in.csv", "--features", "a,.."], "feature_id"),
        (["--input", "in.csv", "--features", "error"], "'error'"),
        (["--input", "in.csv", "--features", "a,a_value", "--details"], "'a_value'"),
        (["--input", "in.csv", "--features", "name"], "'name' already"),
    ],
)
def test_what_cannot_be_is_told_before_anybody_is_asked(run, sold, here, options, said):
    (here / "in.csv").write_text("id,name\nc2,Ada\n")
    ran = run("check", *options)
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err
    assert "Traceback" not in ran.err
    assert [path.name for path in here.iterdir()] == ["in.csv"]
    assert asked(sold) == []
