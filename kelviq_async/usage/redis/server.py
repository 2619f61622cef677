"""Whether a Redis is one that usage can be kept in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, Literal

from ...errors import ConfigError
from .lines import Refused

OLDEST: Final = (6, 2)

Durable = bool | Literal["always"]


async def check_version(ask: Callable[..., Awaitable[Any]]) -> None:
    """Refuse a server that is too old.

    Raises:
        ConfigError: It is.
    """
    try:
        version = _read(await ask("INFO", "server")).get("redis_version", "")
    except Refused:
        return  # what is too old fails at its first script, before anything is written
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if len(numbers) == 2 and numbers < OLDEST:
        raise ConfigError(f"a journal needs Redis or Valkey 6.2 or newer, and this one is {version}")


async def check_keeping(ask: Callable[..., Awaitable[Any]], durable: Durable) -> str | None:
    """Refuse a server that throws away what it keeps, and find out whether it writes it down.

    Args:
        ask: Asks it a command.
        durable: What is asked of it, see ``RedisJournal``.

    Returns:
        What is to be told about it, if anything.

    Raises:
        ConfigError: Usage cannot be kept in it, or not as durably as asked for.
    """
    try:
        about = {**_read(await ask("INFO", "memory")), **_read(await ask("INFO", "persistence"))}
    except Refused:
        about = {}
    policy, most = about.get("maxmemory_policy"), about.get("maxmemory")
    if most not in {None, "0"} and policy not in {None, "noeviction"}:
        raise ConfigError(
            f"this Redis throws away keys when its memory is full (maxmemory-policy is {policy}), and so "
            "would lose usage: set it to noeviction"
        )
    aof = about.get("aof_enabled")
    fsync = await _fsync(ask) if aof == "1" else None
    if durable and (aof != "1" or fsync == "no" or (durable == "always" and fsync != "always")):
        wanted = "appendfsync always" if durable == "always" else "appendfsync everysec or always"
        raise ConfigError(
            f"durable={durable!r} needs a Redis with appendonly yes and {wanted}, and this one "
            f"{'cannot be asked' if aof is None else 'has it otherwise or does not say'}"
        )
    if None in {policy, most, aof}:
        return (
            "does not say how it keeps what it is given, so that could not be checked. A journal needs "
            "maxmemory-policy noeviction and appendonly yes"
        )
    if aof == "0":
        return (
            "writes no append-only file: when it stops, usage accepted since its last snapshot, or all of "
            "it, is lost, and usage sent since then is sent again. Set appendonly yes"
        )
    if fsync == "no":
        return (
            "leaves it to its system when its append-only file is written to disk: when the machine stops, "
            "half a minute of usage may be lost or sent again. Set appendfsync everysec or always"
        )
    return None


async def _fsync(ask: Callable[..., Awaitable[Any]]) -> str | None:
    try:
        found = await ask("CONFIG", "GET", "appendfsync")
    except Refused:
        return None
    return found[1].decode() if isinstance(found, list) and len(found) == 2 else None


def _read(info: bytes) -> dict[str, str]:
    lines = info.decode("utf-8", "replace").splitlines()
    return {name: value for name, found, value in (line.partition(":") for line in lines) if found}
