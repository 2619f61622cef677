"""May this customer use this feature? Decisions out of what Kelviq answers, and how long they hold."""

from __future__ import annotations

import importlib
from typing import Any, Final

_HOMES: Final = {
    "CachePolicy": "policy",
    "Decision": "decisions",
    "Entitlement": "verdicts",
    "Entitlements": "verdicts",
    "FeaturePolicy": "policy",
    "Lookup": "decisions",
    "Reason": "decisions",
    "Source": "decisions",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(name)
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
