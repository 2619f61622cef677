"""Heads of requests, put together once."""

import pytest
from hypothesis import given, strategies as st

from kelviq_async.http1 import heads
from kelviq_async.http1.heads import Heads
from kelviq_async.transport import WireRequest


@pytest.fixture
def made(monkeypatch):
    """Each head that was put together."""
    real, seen = heads._head, []

    def noted(*args):
        seen.append(args)
        return real(*args)

    monkeypatch.setattr(heads, "_head", noted)
    return seen


@pytest.fixture
def prepared():
    known = Heads()

    def prepare(method="GET", url="https://kelviq.test/api/x?a=1", headers=None, body=None, **more):
        return known.prepared(
            WireRequest(method, url, {"A": "b"} if headers is None else headers, body, **more)
        )

    return prepare


def test_a_read(prepared):
    origin, block = prepared()
    assert block == (
        b"GET /api/x?a=1 HTTP/1.1\r\nHost: kelviq.test\r\nA: b\r\nAccept-Encoding: gzip, deflate\r\n\r\n"
    )
    assert origin == ("kelviq.test", 443, True)


def test_a_write(prepared):
    _, block = prepared("POST", headers={"Content-Type": "application/json"}, body=b"{}")
    head, _, body = block.partition(b"\r\n\r\n")
    assert b"\r\nContent-Type: application/json\r\n" in head
    assert head.endswith(b"\r\nContent-Length: 2")
    assert body == b"{}"


@pytest.mark.parametrize(
    ("url", "origin", "host"),
    [
        ("http://kelviq.test/", ("kelviq.test", 80, False), "kelviq.test"),
        ("http://kelviq.test:80/", ("kelviq.test", 80, False), "kelviq.test"),
        ("https://kelviq.test:443/", ("kelviq.test", 443, True), "kelviq.test"),
        ("https://kelviq.test:80/", ("kelviq.test", 80, True), "kelviq.test:80"),
        ("http://KELVIQ.test:8080/x", ("kelviq.test", 8080, False), "kelviq.test:8080"),
        ("http://127.0.0.1:8080/x", ("127.0.0.1", 8080, False), "127.0.0.1:8080"),
        ("http://[::1]/x", ("::1", 80, False), "[::1]"),
        ("https://[::1]:8443/x", ("::1", 8443, True), "[::1]:8443"),
    ],
)
def test_where_it_goes(prepared, url, origin, host):
    found, block = prepared(url=url)
    assert found == origin
    assert f"\r\nHost: {host}\r\n".encode() in block


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
        {"url": "https://kelviq.test./x"},
        {"url": "https://kelviq..test/x"},
        {"url": "https://kelviq.test:0/x"},
        {"url": "https://kelviq.test:99999/x"},
        {"url": "https://kelviq.test:port/x"},
        {"url": "https://[fe80::1%25eth0]/x"},
        {"url": "https://[::1/x"},
        {"url": "https://kélviq.test/x"},
        {"url": "https://kelviq.test?a/x"},
        {"url": "ftp://kelviq.test/x"},
        {"url": "https:///x"},
        {"headers": {"": "1"}},
        {"headers": {"A B": "1"}},
        {"headers": {"A:": "1"}},
        {"headers": {"Ä": "1"}},
        {"headers": {"A": "1", "a": "2"}},
        {"headers": {"Accept-Encoding": "br"}},
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
    known = Heads()
    found = known.prepared(WireRequest("GET", f"https://kelviq.test/{path}", {name: value}))
    if found is not None:
        head = found[1].removesuffix(b"\r\n\r\n")
        assert head.count(b"\n") == head.count(b"\r") == head.count(b"\r\n") == 3
        assert head.split(b"\r\n")[0].count(b" ") == 2
        assert b"\0" not in head
