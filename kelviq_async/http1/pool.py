"""Connections, shared by all calls of a client and kept for the next ones."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
import ssl
from collections.abc import Sequence
from typing import Any, Final

from ..config import Limits
from ..errors import BadCertificate, ClientClosed, NeverSent
from .connection import Connection
from .heads import Origin

_HAPPY_EYEBALLS: Final = 0.25
_RECENT: Final = 1.0
"""Seconds; what rested longer may have been closed by the other side, or have an answer nobody asked for."""
_FAREWELL: Final = 1.0
"""Seconds that closed connections get to be gone from the event loop."""


def closed() -> ClientClosed:
    """What those hear who are still there when a pool closes."""
    return ClientClosed("the client was closed while the call was under way")


def _is_address(host: str) -> bool:
    for family in (socket.AF_INET, socket.AF_INET6):
        with contextlib.suppress(OSError):
            return bool(socket.inet_pton(family, host))
    return False


class Pool:
    """Hands out connections, no more at once than allowed.

    Args:
        limits: How many, and for how long they are kept.
        tls: How to speak TLS; None for what the system trusts.
        loop: The running event loop.
    """

    def __init__(self, limits: Limits, tls: ssl.SSLContext | None, loop: asyncio.AbstractEventLoop) -> None:
        self._limits = limits
        self._tls = tls
        self._loop = loop
        self._places = asyncio.Semaphore(limits.connections)
        self._taken = 0
        self._idle: dict[Origin, list[Connection]] = {}
        self._open: set[Connection] = set()
        self._connecting: set[asyncio.Task[object]] = set()
        self._sweep: asyncio.TimerHandle | None = None
        self._gone: asyncio.Event | None = None
        self.closed = False

    async def take(self, origin: Origin) -> Connection:
        """A connection for one exchange; give it ``back`` afterwards.

        Raises:
            NeverSent: There is none to be had.
            ClientClosed: The pool was closed.
        """
        await self._places.acquire()
        self._taken += 1
        if self.closed:
            self._leave()
            raise closed()
        connection = self._kept(origin)
        if connection is None or self._loop.time() - connection.since > _RECENT:
            return await self._looked_at(connection) or await self._connected(origin)
        return connection

    def back(self, connection: Connection) -> None:
        """The exchange is over. A connection on which something is still under way is closed."""
        if connection.usable and not connection.busy and not self.closed:
            connection.since = self._loop.time()
            self._idle.setdefault(connection.origin, []).append(connection)
            if self._sweep is None:
                self._sweep = self._loop.call_later(self._limits.keepalive, self._expire)
        else:
            connection.close()
        self._leave()

    async def close(self) -> None:
        """End them all, and what they carry."""
        self.closed = True
        if self._loop.is_closed():
            return  # nothing there can be ended any more
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        self._idle.clear()
        connecting = set(self._connecting)
        for each in connecting:
            each.cancel()
        for connection in list(self._open):
            connection.close(closed())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FAREWELL):
                if connecting:
                    await asyncio.wait(connecting)
                while self._open:
                    self._gone = self._gone or asyncio.Event()
                    await self._gone.wait()

    def _leave(self) -> None:
        self._taken -= 1
        self._places.release()

    def _kept(self, origin: Origin) -> Connection | None:
        kept = self._idle.get(origin)
        while kept:
            connection = kept.pop()  # the youngest: the others may grow old
            if connection.usable and self._loop.time() - connection.since <= self._limits.keepalive:
                return connection
            connection.close()
        return None

    async def _looked_at(self, connection: Connection | None) -> Connection | None:
        """One that has rested, if it still stands; else the next that does."""
        while connection is not None:
            origin = connection.origin
            try:
                for _ in range(2):  # a loop that was held up has yet to hear what came meanwhile
                    await asyncio.sleep(0)
            except BaseException:
                connection.close()
                self._leave()
                raise
            if self.closed:
                self._leave()
                raise closed()
            if connection.usable:
                return connection
            connection.close()
            connection = self._kept(origin)
        return None

    async def _connected(self, origin: Origin) -> Connection:
        while self._taken + sum(map(len, self._idle.values())) > self._limits.connections:
            self._oldest().close()
        connection = Connection(origin, self._limits.answer_bytes, self._forget, self._loop)
        # a task, so that closing the pool ends it without cancelling who waits for it
        connecting = self._loop.create_task(self._connect(connection, origin))
        self._connecting.add(connecting)
        try:
            await asyncio.wait({connecting})
            self._check(connection, connecting)
        except BaseException:
            if not self._loop.is_closed():
                connecting.cancel()
                connection.close()
                # not before its socket is gone is its place free
                connecting.add_done_callback(functools.partial(self._failed, connection))
            raise
        self._connecting.discard(connecting)
        return connection

    def _check(self, connection: Connection, connecting: asyncio.Task[object]) -> None:
        """Whether there is a connection now.

        Raises:
            NeverSent: There is none, or no longer.
            ClientClosed: The pool was closed meanwhile.
        """
        if self.closed:
            raise closed()
        name = "closed by the other side"
        error = None
        if connecting.cancelled():
            name = "cancelled"
        elif (error := connecting.exception()) is not None:
            name = type(error).__name__
        elif connection.usable:
            return
        if isinstance(error, ssl.SSLCertVerificationError):
            why = error.verify_message
            raise BadCertificate(f"the certificate of the other side was not accepted ({why})") from error
        raise NeverSent(f"no connection could be made ({name})") from error

    def _failed(self, connection: Connection, connecting: asyncio.Task[object]) -> None:
        """What became of an attempt that nobody waits for any more."""
        self._connecting.discard(connecting)
        if not connecting.cancelled():
            connecting.exception()  # or it complains that nobody has heard it
        self._forget(connection)  # where hands were not shaken nobody else says so
        self._leave()

    async def _connect(self, connection: Connection, origin: Origin) -> None:
        options: dict[str, Any] = {"host": origin.host, "port": origin.port}
        secure: dict[str, Any] = {"ssl": self.tls(), "server_hostname": origin.host} if origin.tls else {}
        found = () if _is_address(origin.host) else await self._found(origin)
        if len(found) > 1:
            # hosts with several addresses are rare enough for its import to wait
            from aiohappyeyeballs import start_connection  # noqa: PLC0415

            options = {"sock": await start_connection(found, happy_eyeballs_delay=_HAPPY_EYEBALLS)}
        elif found:
            options["host"] = found[0][4][0]

        def made() -> Connection:
            self._open.add(connection)
            return connection

        await self._loop.create_connection(made, **options, **secure)
        with contextlib.suppress(OSError, AttributeError):  # a courtesy only
            channel = connection.transport.get_extra_info("socket")
            channel.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    async def _found(self, origin: Origin) -> Sequence[Any]:
        """The addresses of a name; there is at least one."""
        return await self._loop.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)

    def tls(self) -> ssl.SSLContext:
        """How to speak TLS; made once, since reading what the system trusts takes a while."""
        if self._tls is None:
            self._tls = ssl.create_default_context()
            self._tls.set_alpn_protocols(["http/1.1"])
        return self._tls

    def _oldest(self) -> Connection:
        kept = min(filter(None, self._idle.values()), key=lambda kept: kept[0].since)
        return kept.pop(0)

    def _expire(self) -> None:
        """Close those that nobody has wanted for long."""
        self._sweep = None
        oldest = self._loop.time() - self._limits.keepalive
        for kept in self._idle.values():
            for connection in [each for each in kept if each.since <= oldest]:
                kept.remove(connection)
                connection.close()
        since = min((kept[0].since for kept in self._idle.values() if kept), default=None)
        if since is not None:
            self._sweep = self._loop.call_at(since + self._limits.keepalive, self._expire)

    def _forget(self, connection: Connection) -> None:
        """One is gone."""
        self._open.discard(connection)
        kept = self._idle.get(connection.origin)
        if kept and connection in kept:
            kept.remove(connection)
        if not self._open and self._gone is not None:
            self._gone.set()
