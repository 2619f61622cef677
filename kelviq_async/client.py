"""The client: the one place where everything is put together."""

from __future__ import annotations

import ssl as tls
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Literal, Self, TypeVar, cast

import attrs

from .areas import Areas
from .config import (
    Config,
    KeySource,
    Limits,
    Observer,
    Options,
    RetryPolicy,
    Secret,
    checked_headers,
    checked_seconds,
    checked_url,
)
from .entitlements.policy import CachePolicy
from .errors import ClientClosed, ConfigError, InvalidRequest, KelviqError
from .http1.transport import Http1Transport
from .paging import PageStream
from .request import KEEP, Layer, Page, Request
from .runtime import Runtime
from .sending.cache import Keeper
from .sending.http import with_headers
from .sending.retry import Retry
from .stores import Store
from .stream import Put, Source, Stream, WorkStream
from .transport import Transport, WireAnswer, WireRequest
from .usage.journal import Journal, Recording, Scope
from .usage.policy import UsagePolicy

DEFAULT_CACHE: Final = CachePolicy()

R = TypeVar("R")
T = TypeVar("T")


@attrs.frozen
class Outcome:
    """What became of one request of ``send_many``.

    Attributes:
        request: The request.
        answer: Its answer, or None where it failed.
        error: Why it failed, or None.
    """

    request: Request[Any]
    answer: Any = None
    error: KelviqError | None = None

    @property
    def ok(self) -> bool:
        """Whether there is an answer."""
        return self.error is None


@attrs.frozen
class RawAnswer:
    """An answer with its bytes.

    Attributes:
        status: HTTP status.
        headers: Headers as they came.
        body: The body as it came, decompressed.
        value: What the call would have returned.
    """

    status: int
    headers: Mapping[str, str] = attrs.field(repr=False)
    body: bytes = attrs.field(repr=False)
    value: Any


class Kelviq(Areas):
    """A client of the Kelviq API.

    Use it with ``async with``, or keep one at module level: the first call opens it. A client
    belongs to the event loop it first ran on.

    Args:
        server_key: Server API key, or a function (plain or async) that gives it.
        client_key: Client API key, likewise; reads entitlements and promotions.
        environment: ``"sandbox"`` (the default) or ``"production"``.
        partner_key: Partner key, likewise.
        core_url: Address of the core service, in place of the environment's.
        edge_url: Address of the edge service; one address alone serves as both.
        account: A name for "whose data this is", shared by clients with different keys of one
            account; by default derived from the key.
        timeout: Seconds for a whole call, all attempts together; None for no limit.
        retry: How to try again: ``True`` for the default, ``False`` for one attempt only, a
            ``Retry``, or a policy ``(request, attempt, failure) -> seconds or None``.
        cache: How long answers about entitlements may be used, a ``CachePolicy``; by default
            ``CachePolicy()``, and None keeps nothing.
        store: Where processes share what they keep, such as a ``RedisStore``; it is not closed with
            the client, as others may use it too.
        journal: Where ``usage.record`` keeps what was used until Kelviq has counted it: a
            ``SqliteJournal``, a ``RedisJournal`` or a ``MemoryJournal``.
        usage_policy: How recorded usage is gathered and sent, a ``UsagePolicy``.
        headers: Headers to send along with every call.
        proxy: Address of an HTTP proxy.
        ssl: TLS settings.
        limits: What the client may use of this machine.
        user_agent: Name of your application, added to the User-Agent.
        layers: ``Send -> Send`` functions around all calls, outermost first.
        observer: Told about each attempt.
        transport: Carries bytes in place of HTTP.

    Raises:
        ConfigError: A setting is missing or cannot be right; keys are never shown.
    """

    def __init__(
        self,
        server_key: KeySource | Secret | None = None,
        client_key: KeySource | Secret | None = None,
        *,
        environment: str | None = None,
        partner_key: KeySource | Secret | None = None,
        core_url: str | None = None,
        edge_url: str | None = None,
        account: str | None = None,
        timeout: float | None = 10.0,
        retry: bool | RetryPolicy = True,
        cache: CachePolicy | None = DEFAULT_CACHE,
        store: Store | None = None,
        journal: Journal | None = None,
        usage_policy: UsagePolicy | None = None,
        headers: Mapping[str, str] | None = None,
        proxy: str | None = None,
        ssl: tls.SSLContext | None = None,
        limits: Limits | None = None,
        user_agent: str | None = None,
        layers: Sequence[Layer] = (),
        observer: Observer | None = None,
        transport: Transport | None = None,
    ) -> None:
        if cache is not None and not isinstance(cache, CachePolicy):
            raise ConfigError("cache must be a CachePolicy, or None to keep nothing")
        if store is not None and (isinstance(store, type) or not callable(getattr(store, "subscribe", None))):
            raise ConfigError("store must be a Store, such as RedisStore(url), or None")
        config = Config.resolve(
            server_key=server_key,
            client_key=client_key,
            partner_key=partner_key,
            environment=environment,
            core_url=core_url,
            edge_url=edge_url,
            account=account,
            proxy=proxy,
            ssl=ssl,
            limits=limits,
            user_agent=user_agent,
        )
        self._runtime = Runtime(config, transport, layers, cache, store)
        if journal is not None or usage_policy is not None:
            self._runtime.recorder = self._recorder(config, journal, usage_policy)
        self._options = Options(
            timeout=checked_seconds(timeout, "timeout"),
            retry=_policy(retry),
            headers=checked_headers(headers),
            observer=observer,
        )

    def _recorder(self, config: Config, journal: Journal | None, policy: UsagePolicy | None) -> Recording:
        if policy is not None and not isinstance(policy, UsagePolicy):
            raise ConfigError("usage_policy must be a UsagePolicy")
        if journal is None:
            raise ConfigError("a usage_policy is for a client with a journal")
        if isinstance(journal, type) or not callable(getattr(journal, "append", None)):
            raise ConfigError("journal must be a SqliteJournal, a RedisJournal or a MemoryJournal")
        if config.server_key is None:
            raise ConfigError("a client with a journal needs a server_key: usage is reported with it")
        # it loads the area, for which only who records usage pays
        from .usage.recorder import Recorder  # noqa: PLC0415

        scope = Scope(config.environment, config.core_url, config.account)
        return Recorder(
            journal,
            policy or UsagePolicy(),
            scope,
            send=self.send,
            begin=self._runtime.ready,
            reopen=self.open,
            close=self.close,
        )

    @classmethod
    def from_env(cls, **settings: Any) -> Self:
        """A client set up by environment variables alone, and by what is given here."""
        return cls(**settings)

    @classmethod
    def local(cls, world: Any = None, **settings: Any) -> Self:
        """A client on an emulator in this process: no network, no keys, and no cache unless asked for.

        Args:
            world: A ``kelviq_async.emulator.World``; by default a new one.
            **settings: Further arguments of the client.
        """
        from .emulator import World  # noqa: PLC0415  only who uses it pays for it

        world = world if world is not None else World()
        client = cls(
            **{
                "server_key": world.server_key,
                "client_key": world.client_key,
                "partner_key": world.partner_key,
                "environment": "sandbox",
                "core_url": "http://localhost/api/v1",
                "transport": world,
                "cache": CachePolicy() if "store" in settings else None,
                **settings,
            }
        )
        if client.recorder is not None:
            client.recorder.period = lambda: world.clock.now().timestamp()
        return client

    @property
    def entitlement_cache(self) -> Keeper | None:
        """What is kept of entitlements; for the entitlements namespace."""
        return self._runtime.cache if self._options.cache else None

    @property
    def shared_cache(self) -> Keeper | None:
        """What all views share, also those that ask past it; for what ends an entry."""
        return self._runtime.cache

    @property
    def recorder(self) -> Recording | None:
        """What records usage; for the usage and entitlements namespaces. None without a journal."""
        return self._runtime.recorder

    @property
    def config(self) -> Config:
        """The settings in force; keys are hidden."""
        return self._runtime.config

    async def send(
        self,
        request: Request[R],
        *,
        timeout: float | None | Any = KEEP,
        retry: bool | RetryPolicy | Any = KEEP,
        headers: Mapping[str, str] | None = None,
    ) -> R:
        """Send a request and return its answer.

        Args:
            request: Any request value, such as ``CreateCustomer("user-123")``.
            timeout: Seconds for this call, in place of the client's.
            retry: How to try again, in place of the client's.
            headers: Headers to add for this call.

        Raises:
            InvalidRequest: An argument cannot be right; nothing was sent.
            ApiError: Kelviq said no; the class tells the status.
            OutcomeUnknown: A write whose fate is unknown.
            KelviqError: Any other failure.
        """
        options = self._options
        if timeout is not KEEP or retry is not KEEP or headers is not None:
            options = self._with(timeout, retry, headers, KEEP, KEEP)
        return await self._send(request, options)

    async def _send(self, request: Request[R], options: Options) -> R:
        given: object = request
        if not isinstance(given, Request):
            raise InvalidRequest(f"a request is needed, not {type(given).__name__}")
        try:
            request.check()
        except KelviqError as error:
            error.about(request.operation.name, request)
            raise
        return await self._runtime.ready()(request, options)

    async def send_raw(self, request: Request[Any], *, timeout: float | None | Any = KEEP) -> RawAnswer:
        """Send a request and return its answer together with status, headers and bytes.

        Never answered from a cache. Raises what ``send`` raises.

        Args:
            request: Any request value.
            timeout: Seconds for this call, in place of the client's.
        """
        answers: list[WireAnswer] = []
        options = self._with(timeout, KEEP, None, False, KEEP)
        value = await self._send(request, attrs.evolve(options, capture=answers.append))
        if not answers:
            raise ConfigError("one of the layers answered this itself: there is no raw answer")
        wire = answers[-1]
        return RawAnswer(wire.status, wire.headers, wire.body, value)

    def send_many(
        self, requests: Source[Request[Any]], *, concurrency: int = 50, ordered: bool = False
    ) -> Stream[Outcome]:
        """Send many requests, a fixed number at a time; outcomes come as they are known.

        Args:
            requests: Any iterable or async iterable, of any length; pulled as room allows.
            concurrency: How many are under way at once.
            ordered: Whether outcomes come in the order of the requests.

        Returns:
            An iterator of ``Outcome``; one failure never ends the others. The sync client's is
            a plain iterator.
        """

        async def job(index: int, request: Request[Any], put: Put[Outcome]) -> None:
            try:
                put(index, Outcome(request, answer=await self.send(request)))
            except KelviqError as error:
                put(index, Outcome(request, error=error))

        return WorkStream(requests, job, concurrency=concurrency, ordered=ordered, track=self.track)

    def pages(self, request: Request[Page[T]]) -> Stream[T]:
        """All rows of a list, page by page: what ``each`` of the namespaces does.

        Args:
            request: The request of the first page.
        """
        return PageStream(request, self.send)

    async def carry(
        self, wire: WireRequest, *, sink: Callable[[bytes], Awaitable[None]] | None = None
    ) -> WireAnswer:
        """Carry bytes to an address that is not Kelviq's, such as its storage; no key goes along.

        Args:
            wire: The request as bytes.
            sink: Takes the body of a good answer piece by piece.

        Raises:
            ConfigError: The address is plain http to another machine, or no address at all.
            KelviqError: It could not be reached.
        """
        checked_url(wire.url.partition("?")[0], "the address that Kelviq named")
        wire.sink = sink
        self._runtime.ready()
        transport = self._runtime.transport
        if transport is None:
            raise ClientClosed("the client was closed")
        async with self._runtime.under_way.wait():
            return await transport.send(wire)

    def track(self, work: Any) -> None:
        """Have ``close`` end this too: an object with an async ``stop(error)``."""
        self._runtime.works.add(work)

    def with_options(
        self,
        *,
        timeout: float | None | Any = KEEP,
        retry: bool | RetryPolicy | Any = KEEP,
        headers: Mapping[str, str] | None = None,
        cache: bool | Any = KEEP,
        observer: Observer | None | Any = KEEP,
    ) -> Self:
        """A view of this client with other settings for its calls: same pool, cache and journal.

        Args:
            timeout: Seconds for a whole call, or None for no limit.
            retry: How to try again, as for the client.
            headers: Headers to add to the client's.
            cache: Whether answers may come from the cache.
            observer: Told about each attempt, in place of the client's; None for nobody.
        """
        view = object.__new__(type(self))
        view._runtime = self._runtime
        view._options = self._with(timeout, retry, headers, cache, observer)
        return view

    def _with(
        self, timeout: Any, retry: Any, headers: Mapping[str, str] | None, cache: Any, observer: Any
    ) -> Options:
        options = self._options
        if timeout is not KEEP:
            options = attrs.evolve(options, timeout=checked_seconds(timeout, "timeout"))
        if retry is not KEEP:
            options = attrs.evolve(options, retry=_policy(retry))
        if headers is not None:
            options = attrs.evolve(options, headers=with_headers(options.headers, checked_headers(headers)))
        if cache is not KEEP:
            options = attrs.evolve(options, cache=bool(cache))
        if observer is not KEEP:
            options = attrs.evolve(options, observer=observer)
        return options

    async def open(self) -> Self:
        """Open it now instead of at the first call; also after a ``close``.

        Raises:
            WrongLoop: It is open already, on another event loop.
            ConfigError: The journal cannot be used.
        """
        self._runtime.closed = False
        self._runtime.ready()
        if isinstance(self._runtime.transport, Http1Transport):
            await self._runtime.transport.open()
        if self._runtime.recorder is not None:
            try:
                await self._runtime.recorder.ready()
            except BaseException:
                await self._runtime.close()
                raise
        return self

    async def close(self) -> None:
        """Send usage that is pending, end what is under way, give connections back. May be called twice."""
        await self._runtime.close()

    async def __aenter__(self) -> Self:
        """Open it."""
        return await self.open()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Literal[False]:
        """Close it."""
        await self.close()
        return False

    def __repr__(self) -> str:
        """Where it sends to; no keys."""
        config = self._runtime.config
        return f"<{type(self).__name__} {config.environment} {config.core_url}>"


def _policy(retry: Any) -> RetryPolicy | None:
    if retry is True:
        return Retry()
    if retry is False or retry is None:
        return None
    if not callable(retry):
        raise ConfigError("retry must be a bool, a Retry, or a function of (request, attempt, failure)")
    return cast("RetryPolicy", retry)
