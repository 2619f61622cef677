"""A store in Redis or Valkey, for processes that have to agree."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import random
import re
from collections.abc import AsyncIterator, Callable
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from ..config import checked_seconds
from ..errors import ConfigError
from .breaker import Breaker
from .protocol import StoreFailed, Subscription

logger = logging.getLogger("kelviq_async")

CONNECTIONS: Final = 32
"""Commands on their way at once, each on a connection of its own; further ones wait their turn."""
CONNECT: Final = 5.0
"""Seconds for a subscription to connect, which nobody waits for."""
QUIET: Final = 10.0
"""Seconds without a message after which the server is asked whether it is still there."""
BACKOFF: Final = (0.05, 5.0)
"""Seconds at most before the first new attempt to connect, and before any later one."""

_PREFIX: Final = re.compile(r"[!-~]{1,200}")
_OPTIONS: Final = frozenset({"db", "username", "password", "client_name"})

# Of a value and what is done about it nothing else must come in between, hence scripts.
_REPLACE: Final = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[3] == '' then redis.call('SET', KEYS[1], ARGV[2])
else redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) end
return 1
"""
_DELETE: Final = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
"""


class RedisStore:
    """Keeps values in Redis or Valkey, 6.2 or newer.

    Making one connects to nothing. It serves any number of event loops, each with connections of
    its own, and ``close()`` gives back those of the loop it is called on.

    Every command has to be done within ``deadline``. After some failures in a row commands fail at
    once for a while, so that a server which is slow or gone costs next to nothing.

    Args:
        url: ``redis://user:password@host:6379/0``, ``rediss://`` for TLS, or ``unix:///path?db=0``.
            Of redis-py's options it may carry ``db``, ``username``, ``password``, ``client_name``
            and those that begin with ``ssl_``.
        prefix: What all keys and channels begin with.
        deadline: Seconds for one command, connecting included.
        failures: After how many failures in a row the server is left alone.
        pause: For how many seconds; the first command after that tries again.

    Raises:
        ConfigError: The url cannot be used, a number is out of range, or redis-py is missing.
    """

    def __init__(
        self,
        url: str,
        *,
        prefix: str = "kelviq",
        deadline: float = 0.1,
        failures: int = 3,
        pause: float = 5.0,
    ) -> None:
        self._place = _checked_url(url)
        if not isinstance(prefix, str) or not _PREFIX.fullmatch(prefix):
            raise ConfigError("prefix must be a text without spaces, of at most 200 characters")
        if isinstance(failures, bool) or not isinstance(failures, int) or failures < 1:
            raise ConfigError("failures must be a positive whole number")
        self._prefix = prefix
        self._deadline = _seconds(deadline, "deadline")
        self._breaker = Breaker(failures, _seconds(pause, "pause"))
        self._pool = _pool_maker(url)
        # By the loop itself and not by its id, which another one may get. A process that was forked
        # has other loops, so it never writes to its parent's connections.
        self._lines: dict[asyncio.AbstractEventLoop, _Lines] = {}

    def __repr__(self) -> str:
        """Where it is, without a name or password."""
        return f"RedisStore({self._place!r}, prefix={self._prefix!r})"

    async def get(self, key: str) -> bytes | None:
        """See ``Store.get``."""
        value = await self._do("GET", self._name(key))
        return None if value is None else bytes(value)

    async def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        """See ``Store.set``.

        Raises:
            ConfigError: ``ttl`` is not a positive number of seconds.
            StoreFailed: It could not be done, or nobody knows.
        """
        await self._do("SET", self._name(key), value, *_expiry(ttl))

    async def add(self, key: str, value: bytes, ttl: float | None = None) -> bool:
        """See ``Store.add``; raises as ``set`` does."""
        return bool(await self._do("SET", self._name(key), value, "NX", *_expiry(ttl)))

    async def replace(self, key: str, expected: bytes, value: bytes, ttl: float | None = None) -> bool:
        """See ``Store.replace``; raises as ``set`` does."""
        span = _expiry(ttl)[-1:] or ("",)
        return bool(await self._do("EVAL", _REPLACE, 1, self._name(key), expected, value, *span))

    async def delete(self, key: str, expected: bytes | None = None) -> bool:
        """See ``Store.delete``."""
        if expected is None:
            return bool(await self._do("DEL", self._name(key)))
        return bool(await self._do("EVAL", _DELETE, 1, self._name(key), expected))

    async def publish(self, channel: str, message: bytes) -> None:
        """See ``Store.publish``."""
        await self._do("PUBLISH", self._name(channel), message)

    async def subscribe(
        self, channel: str, on_message: Callable[[bytes], None], on_gap: Callable[[], None]
    ) -> Subscription:
        """See ``Store.subscribe``. Each subscription has a connection of its own."""
        lines = self._here()
        listener = _Listener(lines, self._name(channel), on_message, on_gap)
        lines.listeners.add(listener)
        try:
            if not self._breaker.open:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._deadline):
                        await listener.connected.wait()
        except asyncio.CancelledError:
            await listener.aclose()
            raise
        listener.handed_out = True
        return listener

    async def close(self) -> None:
        """End the subscriptions of the running loop and give back its connections."""
        lines = self._lines.pop(asyncio.get_running_loop(), None)
        if lines is not None:
            await lines.close()

    def _name(self, key: str) -> str:
        return f"{self._prefix}:{key}"

    def _here(self) -> _Lines:
        """The connections of the running loop."""
        loop = asyncio.get_running_loop()
        lines = self._lines.get(loop)
        if lines is None:
            # Those of a loop that was closed can be neither used nor closed any more.
            for other in [other for other in self._lines if other.is_closed()]:
                self._lines.pop(other, None)
            lines = self._lines[loop] = _Lines(self._pool())
        return lines

    async def _do(self, *command: str | bytes | int) -> Any:
        if not self._breaker.enter():
            raise StoreFailed("the store has failed several times in a row and is left alone for a while")
        sent = False
        try:
            lines = self._here()
            async with asyncio.timeout(self._deadline), lines.room:
                sent = True
                answer = await lines.client.execute_command(*command)
        except asyncio.CancelledError:
            self._breaker.abandoned()
            raise
        except Exception as error:  # noqa: BLE001  whatever a client library comes up with, it is the store's failure
            raise self._failed(error, sent=sent) from None
        self._breaker.succeeded()
        return answer

    def _failed(self, error: Exception, *, sent: bool) -> StoreFailed:
        # Some servers quote the command they refuse, and so a password or what is kept: only the
        # kind of failure is told.
        kind = type(error).__name__
        if not sent:
            self._breaker.abandoned()  # our own crowd was too large, which says nothing of the server
            return StoreFailed(f"the store is busy: none of {CONNECTIONS} connections became free in time")
        if any(each.__name__ == "ResponseError" for each in type(error).__mro__):
            self._breaker.succeeded()  # it is there and answers
            return StoreFailed(f"the store refused a command ({kind})")
        self._breaker.failed()
        if isinstance(error, TimeoutError):
            return StoreFailed(f"the store did not answer within {self._deadline:g} seconds")
        return StoreFailed(f"the store cannot be reached ({kind})")


class _Lines:
    """The connections of one event loop."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.room = asyncio.Semaphore(CONNECTIONS)
        self.listeners: set[_Listener] = set()

    async def close(self) -> None:
        for listener in list(self.listeners):
            await listener.aclose()
        await _quietly(self.client.connection_pool.disconnect())


class _Listener:
    """A subscription: a task that listens, and connects again for as long as it takes."""

    def __init__(
        self, lines: _Lines, channel: str, on_message: Callable[[bytes], None], on_gap: Callable[[], None]
    ) -> None:
        self.connected = asyncio.Event()
        self.handed_out = False
        self._lines = lines
        self._channel = channel
        self._on_message = on_message
        self._on_gap = on_gap
        self._random = random.Random()  # noqa: S311  spreads reconnects, keeps no secret
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def aclose(self) -> None:
        """See ``Subscription.aclose``."""
        self._lines.listeners.discard(self)
        self._task.cancel()
        if self._task is not asyncio.current_task():
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        attempt = 0
        while True:
            try:
                async with contextlib.aclosing(self._messages()) as messages:
                    async for message in messages:
                        attempt = 0
                        if message is not None:
                            self._call(self._on_message, message)
                        elif self.handed_out or self.connected.is_set():
                            self._call(self._on_gap)
                        self.connected.set()
            except Exception as error:  # noqa: BLE001  whatever went wrong, the way out is to connect again
                level = logging.DEBUG if attempt else logging.WARNING
                logger.log(level, "a store's channel was interrupted: %s", type(error).__name__)
            first, most = BACKOFF
            await asyncio.sleep(self._random.uniform(0, min(most, first * 2 ** min(attempt, 30))))
            attempt += 1

    async def _messages(self) -> AsyncIterator[bytes | None]:
        """What comes in over one connection; None says that the subscription has just begun."""
        pubsub = self._lines.client.pubsub()
        try:
            async with asyncio.timeout(CONNECT):
                await pubsub.subscribe(self._channel)
            asked = False
            while True:
                message = await pubsub.get_message(timeout=QUIET)
                if message is None:
                    if asked:
                        raise TimeoutError
                    # A peer that vanished without a word is not noticed by listening alone.
                    async with asyncio.timeout(CONNECT):
                        await pubsub.ping()
                    asked = True
                    continue
                asked = False
                if message["type"] == "subscribe":
                    yield None
                elif message["type"] == "message":
                    yield bytes(message["data"])
        finally:
            await _quietly(pubsub.aclose())

    def _call(self, function: Callable[..., None], *arguments: bytes) -> None:
        try:
            function(*arguments)
        except Exception as error:  # noqa: BLE001  one bad message must not keep the next ones out
            logger.error("a message of a store's channel could not be handled: %s", type(error).__name__)


async def _quietly(closing: Any) -> None:
    """Close something that may be broken already, without waiting for the other side for long."""
    with contextlib.suppress(Exception):
        async with asyncio.timeout(1):
            await closing


def _seconds(value: object, name: str) -> float:
    seconds = checked_seconds(value, name)
    if seconds is None:
        raise ConfigError(f"{name} must be a positive number of seconds")
    return seconds


def _expiry(ttl: float | None) -> tuple[str, int] | tuple[()]:
    seconds = checked_seconds(ttl, "ttl")
    return () if seconds is None else ("PX", math.ceil(seconds * 1000))


def _checked_url(url: object) -> str:
    """Where a url leads, without names and passwords."""
    problem = "the store's url must be redis://host:port/db, rediss://host:port/db or unix:///path?db=0"
    try:
        parts = urlsplit(url) if isinstance(url, str) else None
        port = parts.port if parts is not None else None
        options = parse_qsl(parts.query, strict_parsing=True) if parts is not None and parts.query else []
    except ValueError:
        raise ConfigError(problem) from None
    if parts is None or parts.fragment or parts.scheme not in {"redis", "rediss", "unix"}:
        raise ConfigError(problem)
    local = parts.scheme == "unix"
    # redis-py would go to the local host, or to database 0, where it cannot read a part.
    if (not parts.path if local else not parts.hostname or not re.fullmatch(r"(/\d*)?", parts.path, re.ASCII)):
        raise ConfigError(problem)
    for name, value in options:
        if name not in _OPTIONS and not name.startswith("ssl_"):
            raise ConfigError("the store's url holds an option that the store decides about, or nobody knows")
        if name == "db" and not re.fullmatch(r"\d+", value, re.ASCII):
            raise ConfigError(problem)
    if local:
        return f"unix://{parts.path}"
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{parts.scheme}://{host}{f':{port}' if port else ''}{parts.path}"


def _pool_maker(url: str) -> Callable[[], Any]:
    """What makes a client for one event loop.

    Raises:
        ConfigError: redis-py is missing, or does not accept the url.
    """
    try:
        from redis.asyncio import ConnectionPool, Redis  # noqa: PLC0415  an extra
        from redis.asyncio.retry import Retry  # noqa: PLC0415
        from redis.backoff import NoBackoff  # noqa: PLC0415
    except ImportError:
        raise ConfigError("RedisStore needs redis-py: pip install 'kelviq-async[redis]'") from None

    def make() -> Any:
        pool = ConnectionPool.from_url(url)
        # Whatever the version's defaults are: one attempt, as an `add` that is repeated contradicts
        # itself; no time limits but our own; bytes; the protocol that all versions speak alike.
        pool.connection_kwargs.update(
            retry=Retry(NoBackoff(), 0),
            retry_on_timeout=False,
            retry_on_error=[],
            socket_timeout=None,
            socket_connect_timeout=None,
            health_check_interval=0,
            decode_responses=False,
            protocol=2,
        )
        return Redis(connection_pool=pool)

    try:
        make().connection_pool.make_connection()
    except Exception as error:  # noqa: BLE001  redis-py raises what it likes, with the url in it
        raise ConfigError(f"redis-py does not accept the store's url ({type(error).__name__})") from None
    return make
