"""An asyncio SDK for Kelviq: subscriptions, licences, usage billing and feature entitlements.

Everything public is importable from here; it is loaded when it is first asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

from ._version import __version__ as __version__

# For type checkers and editors, which cannot look into _resolved; a test holds the two together.
if TYPE_CHECKING:
    from . import (
        codec as codec,
        emulator as emulator,
        errors as errors,
        usage as usage,
        webhooks as webhooks,
    )
    from .areas import *  # noqa: F403  by its __all__
    from .client import (
        Kelviq as Kelviq,
        Outcome as Outcome,
        RawAnswer as RawAnswer,
    )
    from .config import (
        Attempt as Attempt,
        Config as Config,
        Host as Host,
        Key as Key,
        Limits as Limits,
        Options as Options,
        Secret as Secret,
    )
    from .entitlements.decisions import (
        Decision as Decision,
        Lookup as Lookup,
        Reason as Reason,
        Source as Source,
    )
    from .entitlements.policy import (
        CachePolicy as CachePolicy,
        FeaturePolicy as FeaturePolicy,
    )
    from .entitlements.verdicts import (
        Entitlement as Entitlement,
        Entitlements as Entitlements,
    )
    from .errors import (
        ApiError as ApiError,
        BadCertificate as BadCertificate,
        BadGateway as BadGateway,
        BadRequest as BadRequest,
        ClientClosed as ClientClosed,
        CodecError as CodecError,
        ConfigError as ConfigError,
        Conflict as Conflict,
        ConnectionLost as ConnectionLost,
        FailureClass as FailureClass,
        Forbidden as Forbidden,
        GatewayTimeout as GatewayTimeout,
        InvalidRequest as InvalidRequest,
        KelviqError as KelviqError,
        MethodNotAllowed as MethodNotAllowed,
        NeverSent as NeverSent,
        NotEntitled as NotEntitled,
        NotFound as NotFound,
        OutcomeUnknown as OutcomeUnknown,
        PreconditionRequired as PreconditionRequired,
        RateLimited as RateLimited,
        ServerError as ServerError,
        ServiceUnavailable as ServiceUnavailable,
        TimedOut as TimedOut,
        Unauthorized as Unauthorized,
        UnknownCustomer as UnknownCustomer,
        Unprocessable as Unprocessable,
        UnreadableAnswer as UnreadableAnswer,
        WrongLoop as WrongLoop,
    )
    from .model import (
        UNSET as UNSET,
        Model as Model,
        OpenEnum as OpenEnum,
        Unset as Unset,
    )
    from .request import (
        CORE as CORE,
        EDGE as EDGE,
        Layer as Layer,
        Operation as Operation,
        Page as Page,
        Request as Request,
        Send as Send,
        Wire as Wire,
        operations as operations,
    )
    from .sending.retry import Retry as Retry
    from .stores import (
        MemoryStore as MemoryStore,
        RedisStore as RedisStore,
        Store as Store,
        StoreFailed as StoreFailed,
    )
    from .stream import Stream as Stream
    from .transport import (
        Transport as Transport,
        WireAnswer as WireAnswer,
        WireRequest as WireRequest,
    )
    from .usage.journal import (
        Journal as Journal,
        JournalError as JournalError,
    )
    from .usage.memory import MemoryJournal as MemoryJournal
    from .usage.policy import (
        UsageObserver as UsageObserver,
        UsagePolicy as UsagePolicy,
    )
    from .usage.records import (
        Ledger as Ledger,
        Receipt as Receipt,
        Report as Report,
    )
    from .usage.redis import RedisJournal as RedisJournal
    from .usage.sqlite import SqliteJournal as SqliteJournal

_SUBMODULES: Final = ("codec", "emulator", "errors", "usage", "webhooks")
_HOMES: Final = {
    "client": ("Kelviq", "Outcome", "RawAnswer"),
    "config": ("Attempt", "Config", "Host", "Key", "Limits", "Options", "Secret"),
    "entitlements.decisions": ("Decision", "Lookup", "Reason", "Source"),
    "entitlements.policy": ("CachePolicy", "FeaturePolicy"),
    "entitlements.verdicts": ("Entitlement", "Entitlements"),
    "errors": (
        "ApiError",
        "BadCertificate",
        "BadGateway",
        "BadRequest",
        "ClientClosed",
        "CodecError",
        "ConfigError",
        "Conflict",
        "ConnectionLost",
        "FailureClass",
        "Forbidden",
        "GatewayTimeout",
        "InvalidRequest",
        "KelviqError",
        "MethodNotAllowed",
        "NeverSent",
        "NotEntitled",
        "NotFound",
        "OutcomeUnknown",
        "PreconditionRequired",
        "RateLimited",
        "ServerError",
        "ServiceUnavailable",
        "TimedOut",
        "Unauthorized",
        "UnknownCustomer",
        "Unprocessable",
        "UnreadableAnswer",
        "WrongLoop",
    ),
    "model": ("UNSET", "Model", "OpenEnum", "Unset"),
    "request": ("CORE", "EDGE", "Layer", "Operation", "Page", "Request", "Send", "Wire", "operations"),
    "sending.retry": ("Retry",),
    "stores": ("MemoryStore", "RedisStore", "Store", "StoreFailed"),
    "stream": ("Stream",),
    "transport": ("Transport", "WireAnswer", "WireRequest"),
    "usage.journal": ("Journal", "JournalError"),
    "usage.memory": ("MemoryJournal",),
    "usage.policy": ("UsageObserver", "UsagePolicy"),
    "usage.records": ("Ledger", "Receipt", "Report"),
    "usage.redis": ("RedisJournal",),
    "usage.sqlite": ("SqliteJournal",),
}
_WHERE: Final = {name: home for home, names in _HOMES.items() for name in names}


def _names() -> list[str]:
    areas = importlib.import_module(f"{__name__}.areas")
    return sorted({*_SUBMODULES, *_WHERE, *areas.NAMES})


def _resolved(name: str) -> Any:
    if name == "__all__":
        return _names()
    if name in _SUBMODULES:
        return importlib.import_module(f"{__name__}.{name}")
    home = _WHERE.get(name)
    if home is None and not name.startswith("_"):
        # the index is only read when somebody asks for what is not named above
        home = importlib.import_module(f"{__name__}.areas").NAMES.get(name)
    if home is None:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    value = globals()[name] = getattr(importlib.import_module(f"{__name__}.{home}"), name)
    return value


if not TYPE_CHECKING:  # a type checker that saw it would let every name pass
    __getattr__ = _resolved


def __dir__() -> list[str]:
    return sorted({*_names(), *(name for name in globals() if name.startswith("__"))})
