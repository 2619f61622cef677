import re
import sys
from datetime import UTC, datetime
from urllib.parse import urlencode

import pytest

from kelviq_async.emulator import pages, rendering
from kelviq_async.emulator.wording import moment, money
from kelviq_async.transport import WireRequest


@pytest.mark.parametrize("path", ["/nope", "/checkout/", "/checkout/a/b", "/portal/?token=x", "/portal/"])
def test_pages_that_there_are_not(path, look):
    page = look(path)
    assert page.status == 404
    assert "<h1" in page.html


def test_pages_are_never_kept_nor_framed(look):
    headers = look("/").headers
    assert headers["Cache-Control"] == "no-store"
    assert headers["Referrer-Policy"] == "no-referrer"
    policy = headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in policy
    nonce = re.search(r"script-src 'nonce-([^']+)'", policy)[1]
    assert nonce not in look("/").html


def test_the_pages_own_script_is_let_run(look):
    page = look("/")
    nonce = re.search(r'<script nonce="([^"]+)">', page.html)[1]
    assert f"'nonce-{nonce}'" in page.headers["Content-Security-Policy"]


async def test_only_forms_of_our_own_change_anything(world, visit):
    path, row = await visit()
    body = urlencode({"action": "cancel"}).encode()
    wire = WireRequest("POST", path, {"Sec-Fetch-Site": "cross-site"}, body)
    assert pages.answered(world, wire).status == 403
    wrong = pages.answered(world, WireRequest("PUT", path, {}, body))
    assert (wrong.status, wrong.headers["Allow"]) == (405, "GET, HEAD, POST")
    assert pages.answered(world, WireRequest("POST", path, {}, b"x" * (pages.LARGEST_BODY + 1))).status == 413
    assert row.status == "open"


def test_without_jinja2_a_hint(look, monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    rendering._environment.cache_clear()
    page = look("/")
    assert (page.status, page.headers["Content-Type"]) == (501, "text/plain; charset=utf-8")
    assert "pip install 'kelviq-async[cli]'" in page.html
    monkeypatch.undo()
    assert look("/").status == 200


@pytest.mark.parametrize(
    ("units", "currency", "text"),
    [
        (4900, "USD", "$49.00"),
        (123456789, "usd", "$1,234,567.89"),
        (500, "JPY", "¥500"),
        (1200, "CHF", "CHF 12.00"),
        (-150, "EUR", "-€1.50"),
    ],
)
def test_money_in_words(units, currency, text):
    assert money(units, currency) == text


def test_moments_in_words():
    assert moment(datetime(2026, 3, 1, 4, 5, tzinfo=UTC)) == "1 Mar 2026, 04:05"
    assert moment(None) == "never"
