"""The pages that people see: checkout, portal, and the dashboard at ``/``.

They are rendered on the server, from the templates beside this file. Only POST changes anything.
"""

from __future__ import annotations

import secrets
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

from ..transport import WireAnswer, WireRequest
from . import checkout_page, dashboard, portal_page, rendering
from .control import from_elsewhere
from .refusals import Refusal
from .rendering import Page, Redirect
from .world import LARGEST_BODY, World

_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",  # the address of a checkout or portal is a secret
    "X-Content-Type-Options": "nosniff",
}
# No form-action: it would also hold for where a form's answer redirects to, which is the shop.
_POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; connect-src 'self'; base-uri 'none'; "
    "frame-ancestors 'none'; script-src 'nonce-{nonce}'"
)


def answered(world: World, wire: WireRequest) -> WireAnswer:
    """Answer a request that is neither the API's nor the control's.

    Args:
        world: What the pages show.
        wire: The request, with its body in one piece.
    """
    if not rendering.installed():
        return WireAnswer(
            501, {**_HEADERS, "Content-Type": "text/plain; charset=utf-8"}, rendering.HINT.encode()
        )
    more: dict[str, str] = {}
    with world.lock:
        try:
            shown = _shown(world, wire)
        except Refusal as refusal:
            shown, more = _refused(refusal), refusal.headers
    if isinstance(shown, Redirect):
        return WireAnswer(303, {**_HEADERS, "Location": shown.url}, b"")
    nonce = secrets.token_urlsafe(16)
    headers = {
        **_HEADERS,
        **more,
        "Content-Type": "text/html; charset=utf-8",
        "Content-Security-Policy": _POLICY.format(nonce=nonce),
    }
    return WireAnswer(shown.status, headers, rendering.rendered(shown, nonce=nonce).encode())


def _shown(world: World, wire: WireRequest) -> Page | Redirect:
    body = wire.body if isinstance(wire.body, bytes) else b""
    if wire.method not in {"GET", "HEAD", "POST"}:
        raise Refusal(405, "Pages are read with GET and changed with POST.", {"Allow": "GET, HEAD, POST"})
    if wire.method == "POST" and from_elsewhere(wire):
        raise Refusal(403, "This form was sent from another site.")
    if len(body) > LARGEST_BODY:
        raise Refusal(413, "The form is too large.")
    parts = urlsplit(wire.url)
    names = [unquote(part) for part in parts.path.strip("/").split("/")]
    form = _pairs(body.decode("utf-8", "replace")) if wire.method == "POST" else None
    match names:
        case ["checkout", session]:
            return checkout_page.shown(world, session, form)
        case ["portal"]:
            return portal_page.shown(world, _pairs(parts.query).get("token", ""), form)
        case [""]:
            return dashboard.shown(world, form, _pairs(parts.query))
        case ["changes"] if form is None:
            return dashboard.changes(world, _pairs(parts.query))
        case _:
            raise Refusal(404, "There is no such page.")


def _pairs(text: str) -> dict[str, str]:
    return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=200))


def _refused(refusal: Refusal) -> Page:
    title = "Page not found" if refusal.status == 404 else "That did not work"
    values = {
        "title": title,
        "text": checkout_page.problem(refusal),
        "sign": "question",
        "tone": "warn",
        "brand": "Kelviq emulator",
    }
    return Page("message.html", {**values, "facts": [], "link": None}, refusal.status)
