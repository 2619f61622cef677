"""A store in Redis or Valkey, for processes that have to agree."""

from __future__ import annotations

import asyncio
import contextlib
import math
import re
from collections.abc import AsyncGenerator, Callable
from typing import Any, Final

from ..config import checked_seconds
from ..errors import ConfigError
from .address import checked_url
from .breaker import Breaker
from .listening import Listener, quietly
from .protocol import StoreFailed, Subscription

CONNECTIONS: Final = 32
"""Commands on their way at once, each on a connection of its own; further ones wait their turn."""

_LEFT_ALONE: Final = "the store has failed several times in a row and is left alone for a while"
_PREFIX: Final = re.compile(r"[!-~]{1,200}")

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
        self._place = checked_url(url)
        self._prefix = _checked_prefix(prefix)
        self._deadline = _seconds(deadline, "deadline")
        self._breaker = Breaker(_checked_count(failures), _seconds(pause, "pause"))
        self._pool = pool_maker(url)
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
        listener = lines.listener(self._name(channel), on_message, on_gap)
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
            raise StoreFailed(_LEFT_ALONE)
        sent = False
        try:
            lines = self._here()
            async with asyncio.timeout(self._deadline), lines.room(self._breaker):
                sent = True
                answer = await lines.client.execute_command(*command)
        except asyncio.CancelledError:
            self._breaker.abandoned()
            raise
        except StoreFailed:
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
        self._room = asyncio.Semaphore(CONNECTIONS)
        self._listeners: set[Listener] = set()

    @contextlib.asynccontextmanager
    async def room(self, breaker: Breaker) -> AsyncGenerator[None, None]:
        """One of the connections; not one of a server that turned out to be gone meanwhile."""
        waited = self._room.locked()
        async with self._room:
            if waited and not breaker.enter():
                breaker.abandoned()
                raise StoreFailed(_LEFT_ALONE)
            yield

    def listener(
        self, channel: str, on_message: Callable[[bytes], None], on_gap: Callable[[], None]
    ) -> Listener:
        listener = Listener(self.client.pubsub, channel, on_message, on_gap, self._listeners.discard)
        self._listeners.add(listener)
        return listener

    async def close(self) -> None:
        for listener in list(self._listeners):
            await listener.aclose()
        await quietly(self.client.connection_pool.disconnect())


def _seconds(value: object, name: str) -> float:
    seconds = checked_seconds(value, name)
    if seconds is None:
        raise ConfigError(f"{name} must be a positive number of seconds")
    return seconds


def _checked_prefix(value: object) -> str:
    if not isinstance(value, str) or not _PREFIX.fullmatch(value):
        raise ConfigError(
            "prefix must be a text of printable ASCII without spaces, of at most 200 characters"
        )
    return value


def _checked_count(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigError("failures must be a positive whole number")
    return value


def _expiry(ttl: float | None) -> tuple[str, int] | tuple[()]:
    seconds = checked_seconds(ttl, "ttl")
    return () if seconds is None else ("PX", math.ceil(seconds * 1000))


def pool_maker(url: str, what: str = "RedisStore") -> Callable[[], Any]:
    """What makes a client for one event loop.

    Raises:
        ConfigError: redis-py is missing, or does not accept the url.
    """
    try:
        from redis.asyncio import ConnectionPool, Redis  # noqa: PLC0415  an extra
        from redis.asyncio.retry import Retry  # noqa: PLC0415
        from redis.backoff import NoBackoff  # noqa: PLC0415
    except ImportError:
        raise ConfigError(f"{what} needs redis-py: pip install 'kelviq-async[redis]'") from None

    def make() -> Any:
        # Whatever the version's defaults are: one attempt, as an `add` that is repeated contradicts
        # itself; no time limits but our own; bytes; the protocol that all versions speak alike.
        pool = ConnectionPool.from_url(
            url,
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
        raise ConfigError(f"redis-py does not accept {what}'s url ({type(error).__name__})") from None
    return make
