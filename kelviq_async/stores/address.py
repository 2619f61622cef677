"""The address of a Redis."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from ..errors import ConfigError

_OPTIONS: Final = frozenset({"db", "username", "password", "client_name"})


def checked_url(url: object) -> str:
    """Where the url of a store leads, without names and passwords.

    It is read more strictly than redis-py does, which goes to the local host, or to database 0, where
    it cannot read a part.

    Raises:
        ConfigError: It cannot be used. It is not quoted, as it may hold a password.
    """
    problem = "the url of Redis must be redis://host:port/db, rediss://host:port/db or unix:///path?db=0"
    try:
        parts = urlsplit(url) if isinstance(url, str) else None
        port = parts.port if parts is not None else None
        options = _options(parts.query) if parts is not None else []
    except ValueError:
        raise ConfigError(problem) from None
    if parts is None or parts.fragment or parts.scheme not in {"redis", "rediss", "unix"}:
        raise ConfigError(problem)
    local = parts.scheme == "unix"
    there = re.fullmatch(r"[^\s]+", parts.hostname or "") and port != 0  # redis-py takes 0 for 6379
    sound = parts.path if local else there and re.fullmatch(r"(/\d*)?", parts.path, re.ASCII)
    if not sound:
        raise ConfigError(problem)
    for name, value in options:
        if name not in _OPTIONS and not name.startswith("ssl_"):
            raise ConfigError("the url holds an option that the store decides about, or nobody knows")
        if name == "db" and not re.fullmatch(r"\d+", value, re.ASCII):
            raise ConfigError(problem)
    if local:
        return f"unix://{parts.path}"
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{parts.scheme}://{host}{f':{port}' if port else ''}{parts.path}"


def _options(query: str) -> list[tuple[str, str]]:
    return parse_qsl(query, keep_blank_values=True, strict_parsing=True) if query else []
