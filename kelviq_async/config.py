"""How a client is set up: arguments, then environment variables, then defaults."""

from __future__ import annotations

import ipaddress
import os
import re
import ssl as tls
from collections.abc import Awaitable, Callable, Mapping
from enum import StrEnum
from hashlib import sha256
from typing import Any, Final
from urllib.parse import urlsplit

import attrs

from .errors import ConfigError, KelviqError


class Host(StrEnum):
    """The two services an operation can live on."""

    CORE = "core"
    EDGE = "edge"


class Key(StrEnum):
    """The kinds of key an operation can ask for."""

    SERVER = "server"
    CLIENT = "client"
    PARTNER = "partner"


HOSTS: Final[Mapping[str, Mapping[Host, str]]] = {
    "production": {
        Host.CORE: "https://api.kelviq.com/api/v1",
        Host.EDGE: "https://edge.api.kelviq.com/api/v1",
    },
    "sandbox": {
        Host.CORE: "https://sandboxapi.kelviq.com/api/v1",
        Host.EDGE: "https://edge.sandboxapi.kelviq.com/api/v1",
    },
}
VARIABLES: Final[Mapping[str, str]] = {
    "environment": "KELVIQ_ENV",
    "server_key": "KELVIQ_SERVER_API_KEY",
    "client_key": "KELVIQ_CLIENT_API_KEY",
    "partner_key": "KELVIQ_PARTNER_KEY",
    "core_url": "KELVIQ_CORE_URL",
    "edge_url": "KELVIQ_EDGE_URL",
}
RESERVED_HEADERS: Final = frozenset(
    {
        *("authorization", "x-kelviq-partner-key", "proxy-authorization", "host"),
        *("content-length", "content-type", "content-encoding", "transfer-encoding"),
        *("connection", "expect", "te", "trailer", "upgrade"),
    }
)

FOREVER: Final = 100 * 365 * 86400
"""Seconds beyond which a time span is a mistake, and clocks overflow."""

KeySource = str | Callable[[], str] | Callable[[], Awaitable[str]]


class Secret:
    """A text that never shows itself: in reprs, logs and tracebacks it reads ``***``."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself, for the header it goes into."""
        return self._text

    def __repr__(self) -> str:
        """Stars."""
        return "Secret('***')"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        """Equal texts are equal secrets."""
        return self._text == other._text if isinstance(other, Secret) else NotImplemented

    def __hash__(self) -> int:
        """By the text."""
        return hash(self._text)


_URL_TEXT: Final = re.compile(r"[!-\[\]-~]+")  # no spaces, backslashes, or letters that only look like others
_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9._-]+")
_HEADER_TEXT: Final = re.compile(r"[ -~]*")


def checked_key(value: object, name: str) -> Secret:
    """A key as a header can carry it.

    Raises:
        ConfigError: It is empty, not a text, or holds spaces, "Bearer " or control characters.
    """
    if isinstance(value, Secret):
        value = value.reveal()
    if not isinstance(value, str) or not value:
        raise ConfigError(f"{name} must be a non-empty text")
    if value.lower().startswith("bearer"):
        raise ConfigError(f'{name} must be the key alone, without "Bearer "')
    if not all("!" <= character <= "~" for character in value):
        raise ConfigError(f"{name} holds spaces or characters that no key has")
    return Secret(value)


def _key(value: KeySource | Secret | None, name: str) -> Secret | Callable[[], Any] | None:
    if value is None or callable(value):
        return value
    return checked_key(value, name)


def checked_seconds(value: object, name: str) -> float | None:
    """A time span, or None for "no limit".

    Raises:
        ConfigError: It is not a positive, finite number.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= FOREVER:
        raise ConfigError(f"{name} must be a positive number of seconds, or None")
    return float(value)


def is_loopback(host: str) -> bool:
    """Whether a host name or address can only be this machine."""
    if host == "localhost":  # not names below it: some resolvers ask the network for those
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def checked_url(value: object, name: str) -> str:
    """The address of a host, with ``/api/v1`` where no path was given.

    Raises:
        ConfigError: It is no http(s) address, carries user names or queries, or is plain http to
            another machine.
    """
    if not isinstance(value, str):
        raise ConfigError(f"{name} must be a text")
    try:
        parts = urlsplit(value)
        host = parts.hostname
        _ = parts.port
    except ValueError:
        raise ConfigError(f"{name} is not an address") from None
    if parts.scheme not in {"http", "https"} or not host or not _URL_TEXT.fullmatch(value):
        raise ConfigError(f"{name} must be an http:// or https:// address")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ConfigError(f"{name} must not carry a user name, a query or a fragment")
    if parts.scheme == "http" and not is_loopback(host):
        raise ConfigError(f"{name} is plain http, which is allowed to this machine only")
    path = parts.path.rstrip("/")
    return f"{parts.scheme}://{parts.netloc}{path or '/api/v1'}"


def checked_headers(headers: object) -> Mapping[str, str]:
    """Extra headers that cannot break a request open or replace what the library sets.

    Raises:
        ConfigError: A name or value is not a plain text, or is one the library sets itself.
    """
    if headers is None:
        return {}
    if not isinstance(headers, Mapping):
        raise ConfigError("headers must be a mapping of names to texts")
    for name, value in headers.items():
        if not isinstance(name, str) or not _HEADER_NAME.fullmatch(name):
            raise ConfigError("a header's name may hold letters, digits and '-', '_', '.' only")
        if name.lower() in RESERVED_HEADERS:
            raise ConfigError(f"the header {name} is set by the library")
        if not isinstance(value, str) or not _HEADER_TEXT.fullmatch(value):
            raise ConfigError(f"the header {name} must be printable ASCII")
    return dict(headers)


@attrs.frozen(kw_only=True)
class Limits:
    """What a client may use of this machine.

    Attributes:
        connections: Connections open at once, all hosts together. Uploads, downloads and calls by a proxy
            have as many of their own.
        keepalive: Seconds an idle connection is kept.
        answer_bytes: The largest answer read, counted after decompression.
    """

    connections: int = 200
    keepalive: float = 30.0
    answer_bytes: int = 32 * 2**20

    def __attrs_post_init__(self) -> None:
        """Refuse limits that could never work."""
        for name in ("connections", "answer_bytes"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ConfigError(f"limits: {name} must be a whole number of at least 1")
        if checked_seconds(self.keepalive, "limits: keepalive") is None:
            raise ConfigError("limits: keepalive must be a number of seconds")


def _hidden(key: object) -> str:
    """Whether there is one; what gives a key may hold secrets too."""
    return "None" if key is None else "***"


@attrs.frozen(kw_only=True)
class Config:
    """The settings of a client, checked; made by ``Config.resolve``."""

    environment: str
    core_url: str
    edge_url: str
    server_key: Secret | Callable[[], Any] | None = attrs.field(repr=_hidden)
    client_key: Secret | Callable[[], Any] | None = attrs.field(repr=_hidden)
    partner_key: Secret | Callable[[], Any] | None = attrs.field(repr=_hidden)
    account: str
    proxy: str | None = attrs.field(repr=False)
    ssl: tls.SSLContext | None
    limits: Limits
    user_agent: str

    @classmethod
    def resolve(
        cls,
        *,
        server_key: KeySource | Secret | None = None,
        client_key: KeySource | Secret | None = None,
        partner_key: KeySource | Secret | None = None,
        environment: str | None = None,
        core_url: str | None = None,
        edge_url: str | None = None,
        account: str | None = None,
        proxy: str | None = None,
        ssl: tls.SSLContext | None = None,
        limits: Limits | None = None,
        user_agent: str | None = None,
    ) -> Config:
        """Settings from arguments, the environment and defaults, in this order.

        Raises:
            ConfigError: Something is missing or cannot be right. Keys are never shown.
        """
        env = {name: os.environ.get(variable) or None for name, variable in VARIABLES.items()}
        environment = environment if environment is not None else env["environment"] or "sandbox"
        if environment not in list(HOSTS):  # as a list, for what has no hash
            known = " or ".join(map(repr, HOSTS))
            raise ConfigError(f"environment (or {VARIABLES['environment']}) must be {known}")
        keys: dict[str, Any] = {
            name: _key(given if given is not None else env[name], name)
            for name, given in (
                ("server_key", server_key),
                ("client_key", client_key),
                ("partner_key", partner_key),
            )
        }
        if not any(keys.values()):
            raise ConfigError(
                "a key is needed: pass server_key, client_key or partner_key, "
                f"or set {VARIABLES['server_key']} or its siblings"
            )
        core_url = core_url if core_url is not None else env["core_url"]
        edge_url = edge_url if edge_url is not None else env["edge_url"]
        urls = _urls(environment, core_url, edge_url)
        if proxy is not None:
            _checked_proxy(proxy)
        _expect(limits, Limits, "limits must be a Limits")
        _expect(ssl, tls.SSLContext, "ssl must be an ssl.SSLContext; certificates are always checked")
        _expect(account, str, "account must be a non-empty text")
        if account == "":
            raise ConfigError("account must be a non-empty text")
        if user_agent is not None:
            checked_headers({"user-agent": user_agent})
        return cls(
            environment=environment,
            core_url=urls[Host.CORE],
            edge_url=urls[Host.EDGE],
            **keys,
            account=account or _account(keys),
            proxy=proxy,
            ssl=ssl,
            limits=limits or Limits(),
            user_agent=user_agent or "",
        )

    def url(self, host: Host) -> str:
        """The address of a host, without a slash at its end."""
        return self.edge_url if host is Host.EDGE else self.core_url

    def key(self, kind: Key) -> Secret | Callable[[], Any] | None:
        """The key of a kind, or what gives it, or None."""
        found: Secret | Callable[[], Any] | None = getattr(self, f"{kind.value}_key")
        return found


def _expect(value: object, kind: type, problem: str) -> None:
    if value is not None and not isinstance(value, kind):
        raise ConfigError(problem)


def _urls(environment: str, core: str | None, edge: str | None) -> dict[Host, str]:
    """Both addresses. One alone serves as both: a key meant for a test server never leaves it."""
    if core is None and edge is None:
        return dict(HOSTS[environment])
    urls = {
        Host.CORE: checked_url(core if core is not None else edge, "core_url"),
        Host.EDGE: checked_url(edge if edge is not None else core, "edge_url"),
    }
    given = {_host_name(url) for url in urls.values()}
    for other, hosts in HOSTS.items():
        if other != environment and given & {_host_name(url) for url in hosts.values()}:
            raise ConfigError(f"the address is Kelviq's {other}, but environment is {environment!r}")
    return urls


def _host_name(url: str) -> str:
    return (urlsplit(url).hostname or "").rstrip(".")


def _checked_proxy(proxy: object) -> None:
    problem = ConfigError("proxy must be an http:// or https:// address")
    if not isinstance(proxy, str) or not _URL_TEXT.fullmatch(proxy):
        raise problem
    try:
        parts = urlsplit(proxy)
        _ = parts.port
    except ValueError:
        raise problem from None
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise problem


def _account(keys: Mapping[str, Any]) -> str:
    """A name for "whose data this is", so that caches and journals of two accounts never mix."""
    for name in ("server_key", "client_key", "partner_key"):
        if isinstance(keys[name], Secret):
            return sha256(f"kelviq account {keys[name].reveal()}".encode()).hexdigest()[:16]
    return "default"


@attrs.frozen
class Attempt:
    """What an observer is told after each attempt; it carries no ids, bodies or keys.

    Attributes:
        operation: Name of the operation.
        number: Counts from 1 within one call.
        status: HTTP status, or None where no answer came.
        error: Name of the exception class, or None where it went well.
        seconds: How long the attempt took.
    """

    operation: str
    number: int
    status: int | None
    error: str | None
    seconds: float


Observer = Callable[[Attempt], None]
RetryPolicy = Callable[[Any, int, KelviqError], "float | None"]
"""``(request, attempt, failure) -> seconds to wait before the next attempt, or None to give up``."""


@attrs.frozen(kw_only=True)
class Options:
    """What holds for one call. ``Kelviq.with_options`` makes views with others.

    Attributes:
        timeout: Seconds for the whole call, all attempts together; None for no limit.
        deadline: The moment on the loop's clock by which the call must be done; set per call.
        retry: Decides about further attempts; None for one attempt only.
        headers: Sent along with each attempt.
        cache: Whether answers may come from the cache and are kept there.
        observer: Told about each attempt.
        capture: Is handed the answer as it came from the wire.
        attempt: Which attempt of the call this is, from 1.
    """

    timeout: float | None = 10.0
    deadline: float | None = None
    retry: RetryPolicy | None = None
    headers: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    cache: bool = True
    observer: Observer | None = None
    capture: Callable[[Any], None] | None = None
    attempt: int = 1

    def for_attempt(self, attempt: int, deadline: float | None) -> Options:
        """The same for one attempt of a call."""
        return Options(
            timeout=self.timeout,
            deadline=deadline,
            retry=self.retry,
            headers=self.headers,
            cache=self.cache,
            observer=self.observer,
            capture=self.capture,
            attempt=attempt,
        )
