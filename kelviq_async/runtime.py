"""What a client and all its views share: the stack of layers, the loop it lives on, what is under way."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import sys
import weakref
from collections.abc import Sequence
from typing import Any

from .config import Config
from .entitlements.policy import CachePolicy
from .errors import ClientClosed, WrongLoop
from .http1.transport import Http1Transport
from .request import Layer, Send
from .sending.cache import CacheSend, Keeper
from .sending.http import HttpSend
from .sending.retry import Pauses, RetrySend
from .sending.under_way import UnderWay
from .stores import Store
from .transport import Transport
from .usage.journal import Recording


class Runtime:
    """What a client and all its views share: transport, layers, and what is under way."""

    def __init__(
        self,
        config: Config,
        transport: Transport | None,
        layers: Sequence[Layer],
        policy: CachePolicy | None,
        store: Store | None,
    ) -> None:
        self.config = config
        self.policy = policy
        self.store = store
        self.layers = list(layers)
        self.given = transport
        self.recorder: Recording | None = None
        self.pauses = Pauses()
        self.under_way = UnderWay()
        self.loop: asyncio.AbstractEventLoop | None = None
        self.transport: Transport | None = None
        self.stack: Send | None = None
        self.closed = False
        self.works: weakref.WeakSet[Any] = weakref.WeakSet()

    @functools.cached_property
    def cache(self) -> Keeper | None:
        """What is kept of entitlements; None where nothing is to be kept."""
        made = None if self.policy is None else _entitlement_cache(self.policy, self.store, self.config)
        # two threads may come here at once, and both must get the same one
        return self.__dict__.setdefault("cache", made)

    def open(self) -> Send:
        """Build the stack on the running loop."""
        if self.closed:
            raise ClientClosed("the client was closed; open() makes it usable again")
        loop = self.loop = asyncio.get_running_loop()
        self.transport = self.given or Http1Transport(self.config)
        stack: Send = HttpSend(self.config, self.transport, self.under_way, loop)
        stack = RetrySend(stack, self.pauses, self.under_way, loop)
        if self.cache is not None:
            keeping = CacheSend(stack, self.cache)
            self.cache.outdate = keeping.outdate
            self.works.add(self.cache)
            stack = keeping
        for layer in reversed(self.layers):
            stack = layer(stack)
        self.stack = stack
        if self.recorder is not None:
            self.recorder.start()
        return stack

    def ready(self) -> Send:
        """The stack, opened at the first call.

        Raises:
            WrongLoop: It lives on another loop.
            ClientClosed: It was closed.
        """
        if self.stack is None:
            return self.open()
        if self.loop is not asyncio.get_running_loop():
            raise WrongLoop(
                "this client belongs to the event loop it first ran on. Make one client for each loop, "
                "close() it before the next loop uses it, or use kelviq_sync from blocking code"
            )
        return self.stack

    async def close(self) -> None:
        """End what is under way and give the connections back.

        Raises:
            WrongLoop: Its event loop is running elsewhere.
        """
        home = self.loop
        at_home = home is asyncio.get_running_loop()
        if home is not None and home.is_running() and not at_home:
            raise WrongLoop("this client belongs to another event loop, which is running: close it there")
        error = ClientClosed("the client was closed while this went on")
        # each is asked to end, whatever becomes of the others
        async with contextlib.AsyncExitStack() as rest:
            rest.enter_context(_shield())
            rest.push_async_callback(self._end, error, at_home=at_home)
            if self.recorder is not None:
                await self.recorder.finish()

    async def _end(self, error: ClientClosed, *, at_home: bool) -> None:
        self.closed = True
        transport, self.stack, self.transport, self.loop = self.transport, None, None, None
        if at_home:
            self.under_way.end()
        async with contextlib.AsyncExitStack() as rest:
            if transport is not None:
                rest.push_async_callback(transport.close)
            for work in list(self.works):
                rest.push_async_callback(work.stop, error)
            if self.recorder is not None:
                rest.push_async_callback(self.recorder.stop)


def _entitlement_cache(policy: CachePolicy, store: Store | None, config: Config) -> Keeper:
    # it loads the area, for which only who makes calls pays
    from .entitlements.cache import EntitlementCache  # noqa: PLC0415
    from .entitlements.fleet import Fleet  # noqa: PLC0415
    from .entitlements.memory import Memory  # noqa: PLC0415

    memory = Memory(policy)
    if store is None:
        return EntitlementCache(memory)
    fleet = Fleet(store, memory, environment=config.environment, host=config.edge_url, account=config.account)
    return EntitlementCache(memory, fleet)


def _shield() -> contextlib.AbstractContextManager[Any]:
    """What lets closing go on in a cancelled scope of anyio; who has not imported it is in none."""
    anyio = sys.modules.get("anyio")
    return anyio.CancelScope(shield=True) if anyio is not None else contextlib.nullcontext()
