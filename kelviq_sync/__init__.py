"""The blocking twin of ``kelviq_async``: the same names, and a client without ``await``."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

# All that `kelviq_async` offers, but for its client; see there.
if TYPE_CHECKING:
    from kelviq_async import (
        CORE as CORE,
        EDGE as EDGE,
        UNSET as UNSET,
        ApiError as ApiError,
        Attempt as Attempt,
        BadCertificate as BadCertificate,
        BadGateway as BadGateway,
        BadRequest as BadRequest,
        CachePolicy as CachePolicy,
        ClientClosed as ClientClosed,
        CodecError as CodecError,
        Config as Config,
        ConfigError as ConfigError,
        Conflict as Conflict,
        ConnectionLost as ConnectionLost,
        Decision as Decision,
        Entitlement as Entitlement,
        Entitlements as Entitlements,
        FailureClass as FailureClass,
        FeaturePolicy as FeaturePolicy,
        Forbidden as Forbidden,
        GatewayTimeout as GatewayTimeout,
        Host as Host,
        InvalidRequest as InvalidRequest,
        Journal as Journal,
        JournalError as JournalError,
        KelviqError as KelviqError,
        Key as Key,
        Layer as Layer,
        Ledger as Ledger,
        Limits as Limits,
        Lookup as Lookup,
        MemoryJournal as MemoryJournal,
        MemoryStore as MemoryStore,
        MethodNotAllowed as MethodNotAllowed,
        Model as Model,
        NeverSent as NeverSent,
        NotEntitled as NotEntitled,
        NotFound as NotFound,
        OpenEnum as OpenEnum,
        Operation as Operation,
        Options as Options,
        Outcome as Outcome,
        OutcomeUnknown as OutcomeUnknown,
        Page as Page,
        PreconditionRequired as PreconditionRequired,
        RateLimited as RateLimited,
        RawAnswer as RawAnswer,
        Reason as Reason,
        Receipt as Receipt,
        RedisJournal as RedisJournal,
        RedisStore as RedisStore,
        Report as Report,
        Request as Request,
        Retry as Retry,
        Secret as Secret,
        Send as Send,
        ServerError as ServerError,
        ServiceUnavailable as ServiceUnavailable,
        Source as Source,
        SqliteJournal as SqliteJournal,
        Store as Store,
        StoreFailed as StoreFailed,
        Stream as Stream,
        TimedOut as TimedOut,
        Transport as Transport,
        Unauthorized as Unauthorized,
        UnknownCustomer as UnknownCustomer,
        Unprocessable as Unprocessable,
        UnreadableAnswer as UnreadableAnswer,
        Unset as Unset,
        UsageObserver as UsageObserver,
        UsagePolicy as UsagePolicy,
        Wire as Wire,
        WireAnswer as WireAnswer,
        WireRequest as WireRequest,
        WrongLoop as WrongLoop,
        __version__ as __version__,
        codec as codec,
        emulator as emulator,
        errors as errors,
        operations as operations,
        usage as usage,
        webhooks as webhooks,
    )
    from kelviq_async.areas import *  # noqa: F403  by its __all__

    from ._rows import Rows as Rows
    from .client import Kelviq as Kelviq

_OWN: Final = {"Kelviq": "client", "Rows": "_rows"}


def _resolved(name: str) -> Any:
    theirs: Any = importlib.import_module("kelviq_async")
    if name == "__all__":
        return sorted({*_OWN, *theirs.__all__})
    if name in _OWN:
        home = importlib.import_module(f"{__name__}.{_OWN[name]}")
    elif name == "__version__" or (not name.startswith("_") and name in theirs.__all__):
        home = theirs
    else:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    value = globals()[name] = getattr(home, name)
    return value


if not TYPE_CHECKING:  # see kelviq_async
    __getattr__ = _resolved


def __dir__() -> list[str]:
    return sorted({*_resolved("__all__"), *(name for name in globals() if name.startswith("__"))})
