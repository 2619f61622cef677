"""What the blocking client does that cannot be generated: its life, and its life after a fork."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, Final, Generic, Literal, ParamSpec, Self, TypeVar

from kelviq_async.client import Kelviq as Async

from . import _loop

P = ParamSpec("P")
T = TypeVar("T")

RESOLVED: Final = (
    "server_key",
    "client_key",
    "partner_key",
    "environment",
    "core_url",
    "edge_url",
    "account",
)
"""Settings that may have come from the environment: a forked child takes them over as they were."""


class _Life:
    """What a blocking client and its views share: the async client of this process.

    In a forked child the loop is another one, and so are the connections: the client is made anew
    there from the same settings. The old one stays in ``_clients``.
    """

    def __init__(self, make: Callable[..., Async]) -> None:
        self.closed = False
        self._make = make
        self._clients: dict[int, Async] = {}
        self._resolved: dict[str, Any] = {}
        config = self.client().config
        self._resolved = {name: getattr(config, name) for name in RESOLVED}

    def client(self) -> Async:
        """The async client of this process."""
        generation = _loop.generation()
        client = self._clients.get(generation)
        if client is None:
            made = self._make(**self._resolved)
            if self.closed:
                _shut(made)
            # Two threads may come here at once; they go on with the same client.
            client = self._clients.setdefault(generation, made)
            _loop.keep_in_child(client)
        return client

    def close(self) -> None:
        """Close the client, if there is one in this process; no loop is started for that."""
        self.closed = True
        client = self._clients.get(_loop.generation())
        if client is None:
            return
        if _loop.running():
            _loop.run(client.close())
        else:
            _shut(client)


def _shut(client: Async) -> None:
    """Close a client that was never opened: there is nothing to end, so no loop is needed."""
    client._runtime.closed = True  # noqa: SLF001


class Blocking:
    """A client whose calls run on the private loop, from any thread and in forked children too."""

    _life: _Life
    _change: Callable[[Async], Async]
    _now: tuple[int, Async]

    def _start(self, make: Callable[P, Async], *args: P.args, **settings: P.kwargs) -> None:
        """Be a client made from these settings, all of which are given by name."""
        self._be(_Life(functools.partial(make, *args, **settings)), lambda client: client)

    @classmethod
    def _made(cls, make: Callable[P, Async], *args: P.args, **settings: P.kwargs) -> Self:
        client = cls.__new__(cls)
        client._start(make, *args, **settings)  # noqa: SLF001  it is one of ours
        return client

    def _view(self, change: Callable[[Async], Async]) -> Self:
        view = type(self).__new__(type(self))
        view._be(self._life, lambda client: change(self._change(client)))  # noqa: SLF001  likewise
        return view

    def _be(self, life: _Life, change: Callable[[Async], Async]) -> None:
        self._life = life
        self._change = change
        self._here()

    def _here(self) -> Async:
        """Be in this process."""
        generation = _loop.generation()
        client = self._change(self._life.client())
        _loop.keep_in_child(client)
        self._now = generation, client
        return client

    @property
    def live(self) -> Async:
        """The async client behind this one in this process; use it on the private loop only."""
        generation, client = self._now
        # a call of generation() would take as long as all the rest
        return client if generation == _loop._process.generation else self._here()  # noqa: SLF001

    @classmethod
    def local(cls, world: Any = None, **settings: Any) -> Self:
        """A client on an emulator in this process: no network, no keys.

        Args:
            world: A ``kelviq_async.emulator.World``; by default a new one.
            **settings: Further arguments of the client.
        """
        if world is None:
            from kelviq_async.emulator import World  # noqa: PLC0415  only who uses it pays for it

            world = World()  # made here, so that a forked child has a copy and not an empty one
        return cls._made(Async.local, world=world, **settings)

    def open(self) -> Self:
        """Open it now instead of at the first call; also after a ``close``."""
        self._life.closed = False
        _loop.run(self.live.open())
        return self

    def close(self) -> None:
        """End what is under way and give connections back. May be called twice."""
        self._life.close()

    def __enter__(self) -> Self:
        """Open it."""
        return self.open()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Literal[False]:
        """Close it."""
        self.close()
        return False

    def __repr__(self) -> str:
        """Where it sends to; no keys."""
        return repr(self.live)


class BlockingNamespace:
    """One area of a blocking client."""

    def __init__(self, client: Blocking) -> None:
        self._client = client
        self._taken: list[str] = []

    def let_go(self) -> None:
        """Forget what was taken from the async client of another process, or of a loop that has ended."""
        for name in self._taken:
            self.__dict__.pop(name, None)


class at_hand(Generic[P, T]):  # noqa: N801  reads as a word in a namespace, as ``call`` does
    """A plain method of the async client that any thread may call: taken once, and called directly."""

    def __init__(self, find: Callable[[Async], Callable[P, T]]) -> None:
        self._find = find
        self._name = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: BlockingNamespace, owner: type) -> Callable[P, T]:
        """The method itself; from now on it is found without coming here."""
        instance._taken.append(self._name)  # noqa: SLF001  they belong together
        _loop.tell_of_new_generation(instance)
        generation = _loop.generation()
        found = self._find(instance._client.live)  # noqa: SLF001
        instance.__dict__[self._name] = found
        if generation != _loop.generation():  # untested: it changed in between
            instance.let_go()
        return found


class Scope(Generic[T]):
    """A ``with`` block around an async one, which is entered and left on the private loop."""

    def __init__(self, manager: AbstractAsyncContextManager[T]) -> None:
        self._manager = manager
        self._entered: list[T] = []
        self._generation = _loop.generation()

    async def _enter(self) -> None:
        self._entered.append(await self._manager.__aenter__())

    async def _leave(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return await self._manager.__aexit__(kind, error, trace)

    def __enter__(self) -> T:
        """Enter it; an interrupt that comes too late to stop that leaves it again."""
        try:
            _loop.run(self._enter())
        except BaseException as error:
            if self._entered:
                self.__exit__(type(error), error, error.__traceback__)
            raise
        return self._entered[-1]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        """Leave it; in a forked child this is left to the parent."""
        if self._generation != _loop.generation():
            return None
        return _loop.run(self._leave(kind, error, trace))
