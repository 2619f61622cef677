"""Kelviq in a box: state, clock, rules and webhooks, in process or behind a port."""

from __future__ import annotations

import importlib
from typing import Any

from .world import LoggedRequest, World

__all__ = ["LoggedRequest", "World", "serve"]


def __getattr__(name: str) -> Any:
    if name == "serve":  # aiohttp's server is loaded by who serves
        return importlib.import_module(f"{__name__}.server").serve
    raise AttributeError(name)
