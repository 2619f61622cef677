"""Which way a request takes: the short one, or aiohttp's."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncGenerator

from ..config import Config
from ..errors import ClientClosed
from ..transport import (
    AiohttpTransport,
    WireAnswer,
    WireRequest,
    kept_open,
    let_go,
    stands_between,
)
from .heads import Heads
from .pool import Pool


class Http1Transport:
    """HTTP/1.1 over a pool of connections.

    What is not plain goes by aiohttp, which is loaded only then: proxies, downloads, bodies in pieces or
    very large ones, hosts and headers that need more than to be written down. Everything does where
    somebody has replaced a part of aiohttp (a mock, a recorder, a tracer) to see requests.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._heads = Heads()
        self._aiohttp = AiohttpTransport(config)
        self._pool: Pool | None = None
        self._keeper: AsyncGenerator[None, None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False

    async def open(self) -> Pool:
        """Make the pool now, and not at the first call."""
        if self._closed:
            raise ClientClosed("the client was closed")
        if self._pool is not None:
            return self._pool
        loop = self._loop = asyncio.get_running_loop()
        pool = self._pool = Pool(self._config.limits, self._config.ssl, loop)
        keeper = self._keeper = kept_open(pool)
        # it holds the pool too: what dies in one heap with us complains that nobody closed it
        weakref.finalize(self, let_go, loop, keeper).atexit = False
        await anext(keeper)
        if self._config.core_url.startswith("https:") or self._config.edge_url.startswith("https:"):
            pool.tls()
        return pool

    async def send(self, request: WireRequest) -> WireAnswer:
        """See ``Transport.send``."""
        request.sending = False
        prepared = None
        if self._config.proxy is None and not stands_between():
            prepared = self._heads.prepared(request)
        if prepared is None:
            return await self._aiohttp.send(request)
        pool = self._pool or await self.open()
        origin, block = prepared
        connection = await pool.take(origin)
        try:
            request.sending = True
            return await connection.exchange(block)
        finally:
            pool.back(connection)

    async def close(self) -> None:
        """See ``Transport.close``."""
        self._closed = True
        self._pool, keeper, self._keeper = None, self._keeper, None
        try:
            if keeper is not None and self._loop is asyncio.get_running_loop():
                await keeper.aclose()
        finally:
            await self._aiohttp.close()
