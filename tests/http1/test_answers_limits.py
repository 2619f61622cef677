"""How much is taken of an answer, whatever it says of itself."""

import gzip
import tracemalloc

import pytest

from kelviq_async.http1.answers import AnswerReader, Headers, Unpacker

from .test_answers import CAP, CHUNKED, GZIPPED, HEAD, OK, chunk, failing, outcome, packed


@pytest.mark.parametrize("packing", ["length", "chunks", "end", "gzip", "deflate", "raw"])
@pytest.mark.parametrize("step", [1, 7, HEAD])
def test_the_cap_is_exact(packing, step):
    for size in (CAP - 1, CAP, CAP + 1, 3 * CAP):
        data = bytes(range(256)) * (size // 256) + bytes(size % 256)
        if packing == "length":
            wire = OK + b"Content-Length: %d\r\n\r\n" % size + data
        elif packing == "chunks":
            wire = CHUNKED + b"".join(chunk(data[at : at + 9]) for at in range(0, size, 9)) + chunk(b"")
        elif packing == "end":
            wire = OK + b"\r\n" + data
        else:
            wire = packed(packing, data)
        result = outcome([wire[at : at + step] for at in range(0, len(wire), step)])
        assert result[:2] == ((200, data) if size <= CAP else ("unreadable", 200))


def test_what_is_too_large_says_how_large_it_may_be():
    reader = AnswerReader(CAP)
    error = failing(reader, OK + b"Content-Length: 2000\r\n\r\n" + bytes(1500))
    assert str(error) == "200 the answer is larger than 1000 bytes"


def test_a_cap_beyond_all():
    assert AnswerReader(2**80).feed(packed("gzip", b"abc")).body == b"abc"


def memory_of(reader, pieces):
    """The most that reading takes, in bytes, until it is refused."""
    tracemalloc.start()
    try:
        error = failing(reader, pieces)
        return tracemalloc.get_traced_memory()[1], error
    finally:
        tracemalloc.stop()


def test_a_bomb_is_stopped_before_it_goes_off():
    bomb = packed("gzip", bytes(50 * 2**20))
    most, error = memory_of(AnswerReader(2**20), bomb)
    assert "larger than" in str(error)
    assert most < 8 * 2**20


def test_no_more_is_unpacked_than_shows_that_it_is_too_much(monkeypatch):
    parts, seen = Unpacker.parts, []

    def noted(self, data, most):
        for part in parts(self, data, most):
            seen.append(len(part))
            yield part

    monkeypatch.setattr(Unpacker, "parts", noted)
    failing(AnswerReader(CAP), packed("gzip", bytes(10**7)))
    assert sum(seen) == CAP + 1


class Endless(list):
    """As good as endless: far more than is taken."""

    def __init__(self, *first, piece):
        super().__init__([*first, *[piece] * (8 * 2**20 // len(piece))])


STORED = b"\x00\x00\x00\xff\xff"  # a block of deflate's with nothing in it
ENDLESS = {
    "a head": Endless(OK, piece=b"X-A: b\r\n"),
    "a line": Endless(OK + b"X: ", piece=b"x" * 5000),
    "a reason": Endless(b"HTTP/1.1 200 ", piece=b"x" * 5000),
    "announcements": Endless(piece=b"HTTP/1.1 103 x\r\nLink: a\r\n\r\n"),
    "announcements with bodies": Endless(piece=b"HTTP/1.1 199 x\r\nContent-Length: 5\r\n\r\n12345"),
    "lines before it": Endless(piece=b"\r\n" * 500),
    "trailers": Endless(CHUNKED + chunk(b"1") + b"0\r\n", piece=b"X-A: b\r\n"),
    "an extension": Endless(CHUNKED + b"1;", piece=b"x" * 5000),
    "a gzip without end": Endless(GZIPPED, piece=chunk(gzip.compress(b""))),
    "a gzip's name": Endless(
        OK + b"Content-Encoding: gzip\r\n\r\n\x1f\x8b\x08\x08\0\0\0\0\0\0", piece=b"x" * 5000
    ),
    "a deflate without end": Endless(OK + b"Content-Encoding: deflate\r\n\r\n", piece=STORED * 100),
}


@pytest.mark.parametrize("name", ENDLESS)
@pytest.mark.parametrize("at_once", [False, True])
def test_what_does_not_end_is_refused(name, at_once):
    pieces = ENDLESS[name]
    most, error = memory_of(AnswerReader(CAP), b"".join(pieces) if at_once else pieces)
    assert "the answer" in str(error)
    assert most < 2**20


@pytest.mark.parametrize("step", [1, 1000, HEAD - 1, HEAD, HEAD + 1, 2 * HEAD])
def test_how_long_a_head_may_be_does_not_depend_on_how_it_comes(step):
    for size in (HEAD, HEAD + 2):
        start = OK + b"Content-Length: 1\r\nX: "
        wire = start + b"x" * (size - len(start) - 4) + b"\r\n\r\n1"
        assert len(wire) == size + 1
        result = outcome([wire[at : at + step] for at in range(0, len(wire), step)])
        assert result[:2] == ((200, b"1") if size == HEAD else ("unreadable", None))


def test_the_smallest_pieces_take_no_more_than_what_is_in_them():
    size = 250_000
    pieces = [CHUNKED, *[chunk(b"ab") * 500] * (size // 1000)]
    reader = AnswerReader(size)
    tracemalloc.start()
    try:
        for piece in pieces:
            reader.feed(piece)
        assert tracemalloc.get_traced_memory()[1] < 3 * size
    finally:
        tracemalloc.stop()
    assert reader.feed(chunk(b"")).body == b"ab" * 500 * (size // 1000)


def test_a_large_body_in_large_pieces():
    data = bytes(range(256)) * 2**12
    wire = OK + b"Content-Length: %d\r\n\r\n" % len(data) + data
    for step in (2**18, len(wire)):
        reader = AnswerReader(2**20)
        found = [reader.feed(wire[at : at + step]) for at in range(0, len(wire), step)]
        assert found[-1].body == data
        assert reader.reusable
    assert AnswerReader(2**20).feed(wire + b"\r\n").body == data


def test_many_lines_of_one_name_do_not_hold_up_the_loop(monkeypatch):
    added = []
    monkeypatch.setattr(Headers, "add", lambda self, name, value: added.append(name))
    failing(AnswerReader(CAP), OK + b"a:b\r\n" * 2**20)
    assert len(added) < HEAD


def test_unpacking_goes_no_further_than_told():
    unpacker = Unpacker("gzip")
    data = gzip.compress(bytes(5000))
    assert sum(map(len, unpacker.parts(data, 1234))) == 1234
    assert not unpacker.finished
    assert list(unpacker.parts(b"", 10)) == []
