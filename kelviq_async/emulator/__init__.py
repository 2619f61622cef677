"""Kelviq in a box: state, clock, rules and webhooks, in process or behind a port."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .world import LoggedRequest, World

if TYPE_CHECKING:
    from .server import serve as serve

__all__ = ["LoggedRequest", "World", "serve"]


def _resolved(name: str) -> Any:
    if name == "serve":  # aiohttp's server is loaded by who serves
        return importlib.import_module(f"{__name__}.server").serve
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)


if not TYPE_CHECKING:  # for a type checker it would make every name one
    __getattr__ = _resolved
