"""Heads of requests, put together once."""

import pytest
from hypothesis import given, strategies as st

from kelviq_async import heads
from kelviq_async.heads import Heads
from kelviq_async.transport import WireRequest


class Template:
    def __init__(self, method, url, headers):
        self.url = url
        self.headers = {"Host": "kelviq.test", **headers, "Content-Length": "99"}


@pytest.fixture
def made():
    return []


@pytest.fixture
def prepared(made):
    def make(*args):
        made.append(Template(*args))
        return made[-1]

    known = Heads(make)

    def prepare(method="GET", url="https://kelviq.test/api/x?a=1", headers=None, body=None, **more):
        return known.prepared(
            WireRequest(method, url, {"A": "b"} if headers is None else headers, body, **more)
        )

    return prepare


def test_a_read(prepared, made):
    template, block = prepared()
    assert block == b"GET /api/x?a=1 HTTP/1.1\r\nHost: kelviq.test\r\nA: b\r\n\r\n"
    assert template is made[0]
    assert template.url == "https://kelviq.test/"


def test_a_write(prepared):
    _, block = prepared("POST", headers={"Content-Type": "application/json"}, body=b"{}")
    head, _, body = block.partition(b"\r\n\r\n")
    assert head.endswith(b"\r\nContent-Type: application/json\r\nContent-Length: 2")
    assert body == b"{}"


def test_no_body_has_the_length_nought(prepared):
    assert prepared("DELETE")[1].endswith(b"\r\nContent-Length: 0\r\n\r\n")
    assert b"Content-Length" not in prepared("GET")[1]


def test_a_head_is_made_once_for_each_set_of_headers_and_each_host(prepared, made):
    for _ in range(3):
        for url in ("https://kelviq.test/a", "https://kelviq.test/b?c=d", "https://edge.kelviq.test/a"):
            for value in "12":
                assert f"A: {value}\r\n".encode() in prepared(url=url, headers={"A": value})[1]
    assert len(made) == 4


def test_changed_headers_are_seen(prepared):
    headers = {"A": "1"}
    assert b"A: 1\r\n" in prepared(headers=headers)[1]
    headers["A"] = "2"
    assert b"A: 2\r\n" in prepared(headers=headers)[1]


def test_the_memory_for_heads_is_bounded(prepared, made, monkeypatch):
    monkeypatch.setattr(heads, "_REMEMBERED", 3)
    for number in range(10):
        prepared(headers={"A": str(number)})
    assert len(made) == 10
    prepared(headers={"A": "9"})
    assert len(made) == 10
    prepared(headers={"A": "0"})
    assert len(made) == 11


@pytest.mark.parametrize(
    "unusual",
    [
        {"sink": print},
        {"body": "text"},
        {"method": "HEAD"},
        {"method": "GET / HTTP/1.1\r\nX-B: 1"},
        {"url": "https://user:secret@kelviq.test/x"},
        {"url": "https://kelviq.test"},
        {"url": "https://kelviq.test/a b"},
        {"url": "https://kelviq.test/a#b"},
        {"url": "https://kelviq.test/ä"},
        {"url": "https://kelviq.test/a\r\nX-B: 1"},
        {"headers": {"A": "1\r\nB: 2"}},
        {"headers": {"A": "1\nB: 2"}},
        {"headers": {"A": "1\rB: 2"}},
        {"headers": {"A": "\0"}},
        {"headers": {"A\r\nB": "2"}},
        {"headers": {"Host": "elsewhere"}},
        {"headers": {"Content-Length": "1"}},
        {"headers": {"transfer-ENCODING": "chunked"}},
        {"headers": {"Connection": "close"}},
        {"headers": {"Expect": "100-continue"}},
        {"headers": {"Cookie": "a=b"}},
        {"method": "POST", "body": b"{}", "headers": {}},
    ],
)
def test_what_is_not_plain_is_left_to_others(prepared, unusual):
    assert prepared(**unusual) is None
    assert prepared(**unusual) is None
    assert prepared() is not None


@given(value=st.text(), name=st.text(min_size=1), path=st.text())
def test_nothing_adds_a_line(value, name, path):
    known = Heads(Template)
    found = known.prepared(WireRequest("GET", f"https://kelviq.test/{path}", {name: value}))
    if found is not None:
        head = found[1].removesuffix(b"\r\n\r\n")
        assert head.count(b"\n") == head.count(b"\r") == head.count(b"\r\n") == 2
        assert head.split(b"\r\n")[0].count(b" ") == 2
        assert b"\0" not in head
