"""The control addresses under ``/_emulator/``: what tests in any language move the world with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import attrs

from .. import codec
from ..errors import CodecError
from ..transport import WireAnswer, WireRequest
from . import storage
from .checking import decoded
from .refusals import Refusal, bad_field, detail, not_allowed
from .world import World

Action = Callable[[World, dict[str, Any]], Any]

ROOT: Final = "/_emulator/"
WAIT: Final = 30
"""Seconds to wait for deliveries where nobody says for how long."""
LONGEST_WAIT: Final = 300
_SPANS: Final = ("days", "hours", "minutes", "seconds")
_FAULT: Final = ("times", "status", "latency", "retry_after", "probability", "seed", "after", "seconds")


def answered(world: World, wire: WireRequest) -> WireAnswer:
    """Answer a control request; problems come back as JSON with the reason.

    Args:
        world: What is moved.
        wire: The request, with its body in one piece.
    """
    path = urlsplit(wire.url).path
    kept = storage.answer(world, wire, path)
    if kept is not None:
        return kept
    body = wire.body if isinstance(wire.body, bytes) else b""
    try:
        if wire.method != "GET" and from_elsewhere(wire):
            raise detail(403, "Pages of other sites have no business here.")
        action = _action(wire.method, path.removeprefix(ROOT).strip("/"))
        data = codec.decode(body) if _trusted(path) and body else decoded(body)
        if not isinstance(data, dict | None):
            raise detail(400, "The body must be a JSON object.")
        with world.lock:
            return _json(200, action(world, data or {}))
    except Refusal as refusal:
        return _json(refusal.status, refusal.body, refusal.headers)
    except CodecError:
        return _json(400, {"detail": "JSON parse error."})
    except (ValueError, OverflowError) as error:
        return _json(400, {"detail": str(error)})


def patience(wire: WireRequest) -> float:
    """Seconds for which who moved the clock, with success, wants to wait for deliveries; 0 for not at all.

    Args:
        wire: The request, with its body in one piece.
    """
    if wire.method != "POST" or urlsplit(wire.url).path.removeprefix(ROOT).strip("/") != "clock":
        return 0
    return _wait(decoded(wire.body))


def waited(world: World) -> WireAnswer:
    """What the clock answers to who has waited: the time, and how many deliveries are due all the same."""
    with world.lock:
        return _json(200, {**_now(world, {}), "due": len(world.webhooks.due())})


def _trusted(path: str) -> bool:
    """Whether a body may be as large as a whole world."""
    return path.strip("/").endswith(("_emulator/restore", "_emulator/seed"))


def from_elsewhere(wire: WireRequest) -> bool:
    """Whether a page of another site sends this by the browser of somebody who runs the emulator."""
    return any(
        name.lower() == "sec-fetch-site" and value == "cross-site" for name, value in wire.headers.items()
    )


def _json(status: int, data: Any, headers: Mapping[str, str] | None = None) -> WireAnswer:
    return WireAnswer(
        status, {"Content-Type": "application/json", **(headers or {})}, codec.encode(plain(data))
    )


def plain(value: Any) -> Any:
    """Rows and times as plain JSON data."""
    if attrs.has(type(value)):
        return {each.name: plain(getattr(value, each.name)) for each in attrs.fields(type(value))}
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return value


def _action(method: str, path: str) -> Action:
    """The function for a method and a path.

    Raises:
        Refusal: There is none; 405 where there is one for another method.
    """
    match [method, *(unquote(part) for part in path.split("/"))]:
        case ["POST", "checkout", session, "pay"]:
            return lambda world, data: _pay(world, session, data)
        case ["POST", "checkout", session, "cancel"]:
            return lambda world, _: world.cancel_checkout(session)
        case ["POST", "deliveries", delivery, "resend"]:
            return lambda world, _: world.webhooks.resend(delivery)
        case ["DELETE", "webhooks", endpoint]:
            return lambda world, _: _removed(world, endpoint)
        case _:
            pass
    found = _ACTIONS.get(path, {})
    if method not in found:
        there = ", ".join(sorted(each for each in _ACTIONS if each))
        text = f"{method} {ROOT}{path} is no control address; there are {there}."
        raise not_allowed(text, sorted(found)) if found else detail(404, text)
    return found[method]


def _pay(world: World, session: str, data: dict[str, Any]) -> Any:
    """``{"card": "4242 4242 4242 4242"}``; also ``authenticate``, ``name``, ``email``, ``billingAddress``."""
    texts = {name: data[name] for name in ("card", "name", "email") if name in data}
    for name, value in texts.items():
        if not isinstance(value, str):
            raise bad_field(name, "Not a valid string.")
    address = data.get("billingAddress", data.get("billing_address"))
    if not isinstance(address, dict | None):
        raise bad_field("billingAddress", "An object is needed.")
    confirmed = data.get("authenticate") is not False
    return world.pay(session, authenticate=confirmed, billing_address=address, **texts)


def _clock(world: World, data: dict[str, Any]) -> Any:
    """``{"advance": {"days": 31}}`` or ``{"to": "2026-03-01T00:00:00Z"}``; ``"wait"``: see ``patience``."""
    _wait(data)
    if "advance" in data:
        spans = data["advance"]
        if not isinstance(spans, dict) or not spans or set(spans) - set(_SPANS):
            raise bad_field("advance", f"An object of {', '.join(_SPANS)} is needed.")
        world.clock.advance(**{name: _number(name, value) for name, value in spans.items()})
    elif "to" in data:
        world.clock.move_to(datetime.fromisoformat(str(data["to"])))
    else:
        raise detail(400, "Say how far to advance, or up to when.")
    return _now(world, data)


def _wait(data: Mapping[str, Any]) -> float:
    """``{"wait": true}``, or so many seconds."""
    wait = data.get("wait", False)
    if isinstance(wait, bool):
        return WAIT if wait else 0
    seconds = _number("wait", wait)
    if not 0 <= seconds <= LONGEST_WAIT:
        raise bad_field("wait", f"A number of seconds up to {LONGEST_WAIT} is needed, or true for {WAIT}.")
    return seconds


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool | str | dict | list | None):
        raise bad_field(name, "A number is needed.")
    return float(value)


def _fault(world: World, data: dict[str, Any]) -> Any:
    """``{"operation": "ReportUsage", "kind": "drop_after", "times": 3, …}``."""
    unknown = set(data) - {"operation", "kind", *_FAULT}
    if unknown:
        raise detail(400, f"A fault has no {', '.join(sorted(unknown))}; it has {', '.join(_FAULT)}.")
    settings: dict[str, Any] = {
        name: int(data[name]) if isinstance(data[name], int) else _number(name, data[name])
        for name in _FAULT
        if data.get(name) is not None
    }
    names = [data.get(name) for name in ("operation", "kind")]
    if not all(isinstance(name, str | None) for name in names):
        raise detail(400, "The operation and the kind of a fault are texts.")
    world.faults.add(names[0] or "*", names[1], **settings)
    return _faults(world, data)


def _faults(world: World, _: dict[str, Any]) -> Any:
    return {"faults": world.faults.remaining}


def _no_faults(world: World, data: dict[str, Any]) -> Any:
    world.faults.clear()
    return _faults(world, data)


def _endpoint(world: World, data: dict[str, Any]) -> Any:
    """``{"url": "http://127.0.0.1:9000/hook", "events": ["*"]}``."""
    if not isinstance(data.get("url"), str):
        raise bad_field("url", "This field is required.")
    events = data.get("events", ["*"])
    if not isinstance(events, list) or not all(isinstance(each, str) for each in events):
        raise bad_field("events", "A list of event types is needed.")
    return world.webhooks.register(data["url"], events, data.get("secret"))


def _endpoints(world: World, _: dict[str, Any]) -> Any:
    return {"webhooks": world.webhooks.endpoints}


def _removed(world: World, endpoint: str) -> Any:
    world.webhooks.remove(endpoint)
    return _endpoints(world, {})


def _now(world: World, _: dict[str, Any]) -> Any:
    return {"now": world.now()}


def _restore(world: World, data: dict[str, Any]) -> Any:
    world.restore(data)
    return _now(world, data)


def _seed(world: World, data: dict[str, Any]) -> Any:
    world.seed_from(data)
    return _now(world, data)


def _reset(world: World, data: dict[str, Any]) -> Any:
    world.reset()
    return _now(world, data)


_ACTIONS: Final[dict[str, dict[str, Action]]] = {
    "": {"GET": lambda _, __: {"addresses": [f"{ROOT}{each}" for each in _ACTIONS if each]}},
    "health": {"GET": lambda world, _: {"status": "ok", "now": world.now()}},
    "clock": {"GET": _now, "POST": _clock},
    "faults": {"GET": _faults, "POST": _fault, "DELETE": _no_faults},
    "webhooks": {"GET": _endpoints, "POST": _endpoint},
    "deliveries": {"GET": lambda world, _: {"deliveries": world.deliveries}},
    "requests": {"GET": lambda world, _: {"requests": list(world.requests)}},
    "crashes": {"GET": lambda world, _: {"crashes": world.crashes}},
    "usage-ledger": {"GET": lambda world, _: {"usage": world.usage_ledger}},
    "snapshot": {"GET": lambda world, _: world.snapshot()},
    "restore": {"POST": _restore},
    "seed": {"POST": _seed},
    "reset": {"POST": _reset},
}
