"""May this customer use this feature? Decisions out of what Kelviq answers, and how long they hold."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from .decisions import Decision as Decision, Lookup as Lookup, Reason as Reason, Source as Source
    from .policy import CachePolicy as CachePolicy, FeaturePolicy as FeaturePolicy
    from .verdicts import Entitlement as Entitlement, Entitlements as Entitlements

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


def _resolved(name: str) -> Any:
    if name not in _HOMES:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


if not TYPE_CHECKING:  # for a type checker it would make every name one
    __getattr__ = _resolved
