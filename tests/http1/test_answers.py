"""Answers out of bytes: what is one, where it ends, and how much of it is taken."""

import gc
import gzip
import itertools
import zlib

import pytest
from hypothesis import given, settings, strategies as st

from kelviq_async.errors import FailureClass, UnreadableAnswer
from kelviq_async.http1.answers import AnswerReader, Headers

CAP = 1000
HEAD = 2**16
OK = b"HTTP/1.1 200 OK\r\n"
EMPTY = OK + b"Content-Length: 0\r\n\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
GZIPPED = CHUNKED[:-2] + b"Content-Encoding: gzip\r\n\r\n"


def outcome(pieces, *, cap=CAP):
    """What a connection makes of these pieces and their end."""
    reader = AnswerReader(cap)
    try:
        whole = None
        for piece in pieces:
            whole = whole or reader.feed(piece)
        whole = whole or reader.end()
    except UnreadableAnswer as error:
        whole = reader.body_lost()
        if whole is None:
            return "unreadable", error.status
    whole = whole or reader.body_lost()
    if whole is None:
        return "broken off", reader.status
    return whole.status, whole.body, dict(whole.headers)


def chunk(data, extension=b""):
    return b"%x%b\r\n%b\r\n" % (len(data), extension, data)


def raw_deflate(data):
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


def packed(coding, data):
    body = {"gzip": gzip.compress, "x-gzip": gzip.compress, "deflate": zlib.compress, "raw": raw_deflate}[
        coding
    ](data)
    name = "deflate" if coding == "raw" else coding
    return OK + f"Content-Encoding: {name}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def read(reader, pieces):
    for piece in pieces:
        reader.feed(piece)
    reader.end()


def failing(reader, data):
    with pytest.raises(UnreadableAnswer) as caught:
        read(reader, data if isinstance(data, list) else [data])
    assert caught.value.failure is FailureClass.AMBIGUOUS
    assert not reader.reusable
    return caught.value


# Headers


def test_headers_are_found_in_any_case():
    headers = Headers()
    headers.add("Retry-After", "60")
    assert headers["retry-after"] == headers["RETRY-AFTER"] == "60"
    assert "Retry-after" in headers
    assert headers.get("x") is None
    assert list(headers.items()) == [("retry-after", "60")]
    assert len(headers) == 1


def test_what_comes_several_times_is_joined():
    headers = Headers()
    for value in "abc":
        headers.add("X", value)
    assert headers["x"] == "a, b, c"


def test_headers_show_no_values():
    headers = Headers()
    headers.add("Set-Cookie", "secret")
    assert repr(headers) == "<Headers set-cookie>"


def test_values_without_the_space_around_them():
    answer = AnswerReader(CAP).feed(OK + b"X:  \t a b \t \r\nY:\r\nContent-Length: 0 \r\n\r\n")
    assert dict(answer.headers) == {"x": "a b", "y": "", "content-length": "0"}


def test_values_in_any_encoding():
    answer = AnswerReader(CAP).feed(OK + b"X: \xc3\xa9\r\nY: \xe9\r\nContent-Length: 0\r\n\r\n")
    assert answer.headers["x"] == "é"
    assert answer.headers["y"].encode("utf-8", "surrogateescape") == b"\xe9"


# What is an answer

ANSWERS = {
    "a length": (OK + b"Content-Length: 2\r\n\r\n{}", 200, b"{}", True),
    "no reason": (b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", 200, b"", True),
    "an odd status": (b"HTTP/1.1 999 ?\r\nContent-Length: 0\r\n\r\n", 999, b"", True),
    "an empty line before it": (b"\r\n" + EMPTY, 200, b"", True),
    "chunks": (CHUNKED + chunk(b"{") + chunk(b"}", b';a="b"') + chunk(b""), 200, b"{}", True),
    "trailers": (CHUNKED + chunk(b"{}") + b"0\r\nX-A: b\r\nContent-Encoding: gzip\r\n\r\n", 200, b"{}", True),
    "capitals": (OK + b"TRANSFER-ENCODING: Chunked\r\n\r\n" + chunk(b"1") + chunk(b""), 200, b"1", True),
    "no body": (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b"", True),
    "no body, packed": (b"HTTP/1.1 204 No Content\r\nContent-Encoding: br\r\n\r\n", 204, b"", True),
    "no body, packed as gzip": (OK + b"Content-Encoding: gzip\r\nContent-Length: 0\r\n\r\n", 200, b"", True),
    "the length of another": (b"HTTP/1.1 304 x\r\nContent-Length: 5\r\n\r\n", 304, b"", True),
    "packed as it is": (OK + b"Content-Encoding: Identity\r\nContent-Length: 1\r\n\r\n1", 200, b"1", True),
    "will close": (OK + b"Connection: close\r\nContent-Length: 1\r\n\r\n1", 200, b"1", False),
    "will close, among others": (OK + b"Connection: x, Close\r\nContent-Length: 0\r\n\r\n", 200, b"", False),
    "HTTP/1.0": (b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n1", 200, b"1", False),
    "HTTP/1.0, kept": (
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\n1",
        200,
        b"1",
        True,
    ),
    "an upgrade that was offered": (
        OK + b"Upgrade: h2c\r\nConnection: Upgrade\r\nContent-Length: 1\r\n\r\n1",
        200,
        b"1",
        True,
    ),
    "another protocol": (b"HTTP/1.1 101 x\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n", 101, b"", False),
    "another protocol, unnamed": (b"HTTP/1.1 101 x\r\n\r\n", 101, b"", False),
    "announced": (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 x\r\nLink: a\r\n\r\n" + EMPTY, 200, b"", True),
    "announced, with a body": (b"HTTP/1.1 199 x\r\nContent-Length: 3\r\n\r\nabc" + EMPTY, 200, b"", True),
    "until the end": (OK + b"\r\nabc", 200, b"abc", False),
    "until the end, at once": (OK + b"\r\n", 200, b"", False),
    "until the end, as it is": (OK + b"Transfer-Encoding: identity\r\n\r\nabc", 200, b"abc", False),
    "until the end, packed": (
        OK + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(b"abc"),
        200,
        b"abc",
        False,
    ),
    **{
        coding: (packed(coding, b"abc"), 200, b"abc", True) for coding in ("gzip", "x-gzip", "deflate", "raw")
    },
    "two members": (
        GZIPPED + chunk(gzip.compress(b"ab")) + chunk(gzip.compress(b"c")) + chunk(b""),
        200,
        b"abc",
        True,
    ),
}
BROKEN = {
    "nothing": (b"", "broken off"),
    "half a head": (OK + b"Content-Le", "broken off"),
    "half a body": (OK + b"Content-Length: 9\r\n\r\nabc", "broken off"),
    "half a chunk": (CHUNKED + b"9\r\nabc", "broken off"),
    "no last chunk": (CHUNKED + chunk(b"abc"), "broken off"),
    "only announced": (b"HTTP/1.1 103 x\r\n\r\n", "broken off"),
    "announced without end": (b"HTTP/1.1 199 x\r\nTransfer-Encoding: identity\r\n\r\nabc", "broken off"),
    "other protocols": (b"220 mail.example ESMTP\r\n", "unreadable"),
    "small letters": (b"http/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "unreadable"),
    "a version nobody knows": (b"HTTP/7.3 200 OK\r\nContent-Length: 0\r\n\r\n", "unreadable"),
    "lines without CR": (b"HTTP/1.1 200 OK\nContent-Length: 0\n\n", "unreadable"),
    "a folded line": (OK + b"X: a\r\n b\r\nContent-Length: 0\r\n\r\n", "unreadable"),
    "a space before the colon": (OK + b"Content-Length : 0\r\n\r\n", "unreadable"),
    "NUL in a value": (OK + b"X: a\0b\r\nContent-Length: 0\r\n\r\n", "unreadable"),
    "two lengths": (OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n12", "unreadable"),
    "a list of lengths": (OK + b"Content-Length: 1, 1\r\n\r\n1", "unreadable"),
    "a length below zero": (OK + b"Content-Length: -1\r\n\r\n", "unreadable"),
    "a length beyond all": (OK + b"Content-Length: 99999999999999999999\r\n\r\n", "unreadable"),
    "a length and chunks": (CHUNKED[:-2] + b"Content-Length: 1\r\n\r\n" + chunk(b"1"), "unreadable"),
    "chunks and a length": (OK + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "unreadable"),
    "a chunk beyond all": (CHUNKED + b"fffffffffffffffff\r\n", "unreadable"),
    "no size of a chunk": (CHUNKED + b"zz\r\n{}\r\n0\r\n\r\n", "unreadable"),
    "packed for the way": (OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n" + chunk(b""), "unreadable"),
    "packed unasked": (OK + b"Content-Encoding: br\r\nContent-Length: 1\r\n\r\n1", "unreadable"),
    "packed twice": (OK + b"Content-Encoding: gzip, gzip\r\nContent-Length: 1\r\n\r\n1", "unreadable"),
    "no gzip": (OK + b"Content-Encoding: gzip\r\nContent-Length: 5\r\n\r\nplain", "unreadable"),
    "half a gzip": (GZIPPED + chunk(gzip.compress(b"abc")[:-3]) + chunk(b""), "unreadable"),
    "half a gzip until the end": (
        OK + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(b"abc")[:-3],
        "unreadable",
    ),
    "more behind a gzip": (GZIPPED + chunk(gzip.compress(b"abc") + b"more") + chunk(b""), "unreadable"),
    "announced and closed": (b"HTTP/1.1 100 x\r\nConnection: close\r\n\r\n" + EMPTY, "unreadable"),
}


def ways(wire):
    """The same bytes whole, one by one, and in every two."""
    yield [wire]
    yield [wire[at : at + 1] for at in range(len(wire))]
    for at in range(1, len(wire)):
        yield [wire[:at], wire[at:]]


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_however_it_comes(name):
    wire, status, body, reusable = ANSWERS[name]
    for pieces in ways(wire):
        reader = AnswerReader(CAP)
        found = [whole for piece in pieces if (whole := reader.feed(piece)) is not None] or [reader.end()]
        assert [(whole.status, whole.body) for whole in found] == [(status, body)]
        assert reader.reusable is reusable


@pytest.mark.parametrize("name", BROKEN)
def test_no_answer_however_it_comes(name):
    wire, expected = BROKEN[name]
    for pieces in ways(wire):
        assert outcome(pieces)[0] == expected


def test_one_answer_after_the_other():
    reader = AnswerReader(CAP)
    wires = [wire for wire, _, _, reusable in ANSWERS.values() if reusable]
    for wire, following in itertools.pairwise(wires):
        for each in (wire, following):
            answer = reader.feed(each)
            assert answer is not None
            assert reader.reusable
            assert reader.status is None


@pytest.mark.parametrize("status", [200, 404])
def test_a_no_stays_one_without_its_body(status):
    head = b"HTTP/1.1 %d x\r\nRetry-After: 60\r\n" % status
    lost = [
        head + b"Content-Length: 9\r\n\r\nabc",
        head + b"Content-Length: %d\r\n\r\n" % (CAP + 1) + bytes(CAP + 1),
        head + b"Content-Encoding: br\r\nContent-Length: 1\r\n\r\n1",
        head + b"Content-Encoding: gzip\r\nContent-Length: 1\r\n\r\n1",
        head + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        head + b"Transfer-Encoding: x\r\n\r\n",
    ]
    for wire in lost:
        result = outcome([wire])
        if status == 404:
            assert result[:2] == (404, b"")
            assert result[2]["retry-after"] == "60"
        else:
            assert result[0] in {"broken off", "unreadable"}
            assert result[1] == 200


def test_errors_show_nothing_that_came():
    for wire, expected in BROKEN.values():
        if expected == "unreadable":
            error = failing(AnswerReader(CAP), wire)
            assert error.__cause__ is None
            assert error.__suppress_context__ or error.__context__ is None
            assert not {"abc", "ESMTP", "plain"} & set(str(error).split())


# What nobody asked for


@pytest.mark.parametrize("more", [EMPTY, b"H", b"junk\r\n", b"\0", bytes(HEAD)])
@pytest.mark.parametrize("first", [EMPTY, OK + b"Connection: close\r\nContent-Length: 0\r\n\r\n"])
def test_what_follows_an_answer_is_not_taken_for_one(first, more):
    reader = AnswerReader(CAP)
    answer = reader.feed(first + more)
    assert (answer.status, answer.body) == (200, b"")
    assert not reader.reusable


def test_what_follows_the_largest_portion_is_not_lost_sight_of():
    start = OK + b"Content-Length: 0\r\nX: "
    wire = start + b"x" * (HEAD + 1 - len(start) - 4) + b"\r\n\r\n"
    for more in (b"", b"H"):
        reader = AnswerReader(CAP)
        assert reader.feed(wire + more).status == 200
        assert reader.reusable is not bool(more)


def test_what_follows_another_protocol_is_not_read():
    reader = AnswerReader(CAP)
    answer = reader.feed(b"HTTP/1.1 101 x\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n" + EMPTY)
    assert answer.status == 101
    assert not reader.reusable


def test_a_second_answer_changes_nothing_of_the_first():
    second = b"HTTP/1.1 404 x\r\nX-B: c\r\nContent-Length: 1\r\n\r\n2"
    answer = AnswerReader(CAP).feed(OK + b"X-A: b\r\nContent-Length: 1\r\n\r\n1" + second)
    assert (answer.status, answer.body, dict(answer.headers)) == (
        200,
        b"1",
        {"x-a": "b", "content-length": "1"},
    )


# Afterwards


def test_who_lets_go_leaves_no_circle():
    def readers():
        return [each for each in gc.get_objects() if type(each) is AnswerReader]

    gc.collect()
    gc.disable()
    try:
        before = len(readers())
        reader = AnswerReader(CAP)
        reader.feed(OK + b"Content-Length: 9\r\n\r\n123")
        reader.let_go()
        assert (reader.reusable, reader.status) == (False, 200)
        del reader
        assert len(readers()) == before
    finally:
        gc.enable()


# Anything at all

LINES = st.sampled_from(
    ["Connection: close", "Connection: keep-alive", "X-A: b", "X-A:", "Upgrade: h2c", "Set-Cookie: a=b"]
)


@st.composite
def wires(draw):
    """Answers that are right, and such that somebody has had his fingers in."""
    body = draw(st.sampled_from([b"", b"{}", b"x" * CAP, b"x" * (CAP + 1)]) | st.binary(max_size=60))
    lines = draw(st.lists(LINES, max_size=3))
    coding = draw(st.sampled_from(["", "gzip", "deflate", "br"]))
    if coding:
        lines.append(f"Content-Encoding: {coding}")
        body = {"gzip": gzip.compress, "deflate": zlib.compress, "br": bytes}[coding](body)
    frame = draw(st.sampled_from(["length", "chunks", "end"]))
    if frame == "length":
        lines.append(f"Content-Length: {len(body) + draw(st.sampled_from([0, 0, 0, -1, 1]))}")
    elif frame == "chunks":
        lines.append("Transfer-Encoding: chunked")
        size = draw(st.sampled_from([1, 20, 5000]))
        body = b"".join(chunk(body[at : at + size]) for at in range(0, len(body), size)) + chunk(b"")
    status = draw(st.sampled_from([200, 101, 199, 204, 304, 404, 500]))
    head = "\r\n".join([f"HTTP/1.{draw(st.sampled_from('10'))} {status} x", *draw(st.permutations(lines))])
    wire = bytearray(draw(st.sampled_from([b"", b"HTTP/1.1 100 x\r\n\r\n", b"\r\n"])))
    wire += head.encode() + b"\r\n\r\n" + body + draw(st.sampled_from([b"", b"", b"H", EMPTY]))
    for at, data in draw(st.lists(st.tuples(st.integers(0, 300), st.binary(max_size=2)), max_size=2)):
        wire[at : at + 1] = data
    return bytes(wire)


@settings(max_examples=250, deadline=None)
@given(wires(), st.lists(st.integers(0, 1500), max_size=6))
def test_where_it_is_cut_never_matters(wire, cuts):
    def seen(pieces):
        result = outcome(pieces)
        # what is wrong after a head that came too early may be noticed before or after it is read
        return result if isinstance(result[0], int) else result[0]

    whole = seen([wire])
    ends = sorted({0, len(wire), *(cut for cut in cuts if cut < len(wire))})
    assert seen([wire[a:b] for a, b in itertools.pairwise(ends)]) == whole
    assert seen([wire[at : at + 1] for at in range(len(wire))]) == whole
