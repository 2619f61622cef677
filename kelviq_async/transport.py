"""The edge: bytes out, bytes in. The only file that knows aiohttp's client.

A transport turns a ``WireRequest`` into a ``WireAnswer`` or raises ``NeverSent``, ``ConnectionLost``
or ``UnreadableAnswer``. It does not retry, follow redirects, or look at what it carries.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import ssl
import sys
import weakref
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Mapping
from contextvars import ContextVar
from types import FunctionType
from typing import Any, Final, Protocol

import attrs

from .config import Config
from .errors import BadCertificate, ClientClosed, ConnectionLost, KelviqError, NeverSent, UnreadableAnswer


@attrs.define(eq=False)
class WireRequest:
    """A request as bytes.

    Attributes:
        method: HTTP method.
        url: Full address, encoded.
        headers: All headers, the key among them.
        body: Encoded body, or its pieces (then ``headers`` say its length), or None.
        sink: Takes the body of a good answer piece by piece, in place of ``WireAnswer.body``.
        sending: Whether bytes may have left; decides what a timeout means. True unless the
            transport knows better, so that one that never looks at it errs on the safe side.
    """

    method: str
    url: str = attrs.field(repr=False)
    headers: Mapping[str, str] = attrs.field(repr=False)
    body: bytes | AsyncIterable[bytes] | None = attrs.field(default=None, repr=False)
    sink: Callable[[bytes], Awaitable[None]] | None = attrs.field(default=None, repr=False)
    sending: bool = True


@attrs.define(eq=False)
class WireAnswer:
    """An answer as bytes.

    Attributes:
        status: HTTP status.
        headers: Headers; look them up without regard to case.
        body: The body, decompressed.
    """

    status: int
    headers: Mapping[str, str] = attrs.field(repr=False)
    body: bytes = attrs.field(repr=False)


class Transport(Protocol):
    """What carries bytes. It is used from one event loop, and opens by itself."""

    async def send(self, request: WireRequest) -> WireAnswer:
        """Carry a request; cancelling it ends it.

        Raises:
            NeverSent: No byte left this machine.
            ConnectionLost: The connection broke after sending began.
            UnreadableAnswer: The answer is broken or too large.
        """
        ...

    async def close(self) -> None:
        """Give connections back; may be called twice."""
        ...


# Where those begin who want to see requests of aiohttp's.
_SENDING: Final = ("__init__", "request", "_request")
_CONNECTING: Final = ("connect", "_create_connection")
_CHUNK: Final = 64 * 1024
_LARGE: Final = 2**20
_current: ContextVar[WireRequest | None] = ContextVar("_current", default=None)


class _SinkFailed(Exception):
    """What the taker of a body raised: not the network's doing, and not for us to interpret."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error


class AiohttpTransport:
    """HTTP over aiohttp: proxies, bodies in pieces, downloads, and whatever else is asked of it."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._session: Any = None
        self._keeper: AsyncGenerator[None, None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False

    async def open(self) -> Any:
        """Make the pool now, and not at the first call: aiohttp's import holds the event loop up."""
        # a quarter of a second, which only who really sends pays for
        import aiohttp  # noqa: PLC0415

        if self._closed:
            raise ClientClosed("the client was closed")
        if self._session is not None:
            return self._session
        limits = self._config.limits

        class Connector(aiohttp.TCPConnector):
            """Notes on the request when a connection is at hand and bytes may leave."""

            async def connect(self, *args: Any, **kwargs: Any) -> Any:
                request = _current.get()
                if request is not None and request.sending:
                    raise ConnectionLost("a second connection for the same request")
                connection = await super().connect(*args, **kwargs)
                if request is not None:
                    request.sending = True
                return connection

        connector = Connector(
            limit=limits.connections,
            keepalive_timeout=limits.keepalive,
            ssl=self._config.ssl if self._config.ssl is not None else True,
        )
        session = self._session = aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),  # the deadline is ours
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=True,
            trust_env=False,
        )
        # aiohttp resends GET and DELETE by itself when a kept connection was dropped; whether
        # anything is sent twice is for the retry layer to say. There is no public switch, so the
        # connector refuses a second connection too, should this one ever be renamed.
        session._retry_connection = False  # noqa: SLF001
        self._loop = asyncio.get_running_loop()
        loop = self._loop
        keeper = self._keeper = kept_open(session)
        # it holds the session too: what dies in one heap with us complains that nobody closed it
        weakref.finalize(self, let_go, loop, keeper).atexit = False
        await anext(keeper)
        return session

    async def send(self, request: WireRequest) -> WireAnswer:
        """See ``Transport.send``."""
        request.sending = False
        session = self._session or await self.open()
        task = asyncio.current_task()
        cancelled = task.cancelling() if task is not None else 0
        try:
            return await self._by_session(request, session)
        except KelviqError:
            raise
        except _SinkFailed as failed:
            raise failed.error from None
        except asyncio.CancelledError:
            # a closing pool cancels who waits in it, although nobody wants to cancel this task
            if self._closed and (task.cancelling() if task is not None else 0) == cancelled:
                raise ClientClosed("the client was closed while the call was under way") from None
            raise
        except Exception as error:  # noqa: BLE001  once bytes have left, every surprise means "nobody knows"
            raise self._failure(request, error, None) from _printable(error)

    async def _by_session(self, request: WireRequest, session: Any) -> WireAnswer:
        """One request, and its answer as it comes."""
        token = _current.set(request)
        try:
            async with session.request(
                request.method,
                _url(request.url),
                headers=request.headers,
                data=_body(request.body),
                proxy=self._config.proxy,
                allow_redirects=False,
            ) as answer:
                try:
                    if request.sink is None or not answer.ok:
                        body = await self._read(answer.content, answer.status)
                    else:
                        await _poured(answer.content, request.sink)
                        body = b""
                except _SinkFailed:
                    raise
                except Exception as error:  # noqa: BLE001  likewise
                    body = self._unread(request, error, answer.status)
                return WireAnswer(answer.status, answer.headers, body)
        finally:
            _current.reset(token)

    async def _read(self, content: Any, status: int) -> bytes:
        """The body, up to the cap, counted as it comes out of decompression."""
        cap = self._config.limits.answer_bytes
        parts: list[bytes] = []
        size = 0
        async for part in content.iter_any():
            size += len(part)
            if size > cap:
                raise UnreadableAnswer(f"the answer is larger than {cap} bytes", status=status)
            parts.append(part)
        return b"".join(parts)

    def _unread(self, request: WireRequest, error: Exception, status: int) -> bytes:
        """What stands for a body that could not be read: a no stays a no, even without its explanation."""
        if status >= 400 and not self._closed:
            return b""
        if isinstance(error, KelviqError):
            raise error
        raise self._failure(request, error, status) from _printable(error)

    def _failure(self, request: WireRequest, error: Exception, status: int | None) -> KelviqError:
        """What an exception of aiohttp means for the work that was asked for."""
        import aiohttp  # noqa: PLC0415
        from aiohttp.http_exceptions import HttpProcessingError  # noqa: PLC0415

        if self._closed or (self._session is not None and self._session.closed):
            return ClientClosed("the client was closed while the call was under way")
        if isinstance(error, ssl.SSLCertVerificationError) or isinstance(
            error.__cause__, ssl.SSLCertVerificationError
        ):
            why = getattr(error.__cause__, "verify_message", "") or type(error).__name__
            return BadCertificate(f"the certificate of the other side was not accepted ({why})")
        name = type(error).__name__
        if not request.sending:
            if isinstance(error, aiohttp.ClientHttpProxyError):
                name = f"the proxy answered {error.status}"
            return NeverSent(f"no connection could be made ({name})")
        no_http = aiohttp.ClientResponseError | HttpProcessingError
        if isinstance(error, aiohttp.ClientPayloadError | no_http | ValueError):
            return UnreadableAnswer(f"the answer broke off or is no HTTP ({name})", status=status)
        return ConnectionLost(f"the connection was lost ({name})")

    async def close(self) -> None:
        """See ``Transport.close``."""
        self._closed = True
        self._session, keeper, self._keeper = None, self._keeper, None
        if keeper is not None and self._loop is asyncio.get_running_loop():
            await keeper.aclose()

    def __del__(self) -> None:
        """At the end of the program finalizers no longer run, and yet we leave quietly."""
        if self._keeper is not None and self._loop is not None and self._loop.is_closed():
            let_go(self._loop, self._keeper)


class Closable(Protocol):
    """What holds connections."""

    async def close(self) -> None:
        """Give them back."""
        ...


async def kept_open(holder: Closable) -> AsyncGenerator[None, None]:
    """Keep something open until this is closed, by us or by the event loop before it ends.

    So connections are given back in time, where a client at module level is never closed.
    """
    try:
        yield
    finally:
        await holder.close()


def let_go(loop: asyncio.AbstractEventLoop, keeper: AsyncGenerator[None, None]) -> None:
    """Give back the connections of a client that was dropped without a close."""
    closing: Any = keeper.aclose()
    with contextlib.suppress(StopIteration, StopAsyncIteration, RuntimeError):
        if loop.is_closed():
            closing.send(None)  # there is nothing left to wait for
        else:
            loop.call_soon_threadsafe(loop.create_task, closing)


def stands_between() -> bool:
    """Whether somebody has replaced a part of aiohttp to see requests, as mocks and tracers do."""
    aiohttp = sys.modules.get("aiohttp")
    session, connector = getattr(aiohttp, "ClientSession", None), getattr(aiohttp, "TCPConnector", None)
    if session is None or connector is None:
        return False
    for owner, parts in ((session, _SENDING), (connector, _CONNECTING)):
        home = _home(owner.close)
        for part in parts:
            if _home(getattr(owner, part, owner.close)) != home:
                return True
    return False


def _home(method: Any) -> str:
    """The file a function was written in; what is none is somebody's wrapper."""
    return method.__code__.co_filename if type(method) is FunctionType else ""


async def _poured(content: Any, sink: Callable[[bytes], Awaitable[None]]) -> None:
    """Hand a body on, piece by piece."""
    async for part in content.iter_chunked(_CHUNK):
        try:
            await sink(part)
        except Exception as error:
            raise _SinkFailed(error) from error


def _printable(error: Exception) -> Exception | None:
    """The error, unless it shows addresses or headers, which hold ids and the key."""
    import aiohttp  # noqa: PLC0415
    from aiohttp.http_exceptions import HttpProcessingError  # noqa: PLC0415

    telling = aiohttp.ClientResponseError | aiohttp.InvalidURL | HttpProcessingError
    return None if isinstance(error, telling) else error


def _body(body: bytes | AsyncIterable[bytes] | None) -> Any:
    """A body as aiohttp likes it: a large one should leave bit by bit."""
    return io.BytesIO(body) if isinstance(body, bytes) and len(body) > _LARGE else body


def _url(url: str) -> Any:
    """An address that is encoded already; aiohttp would encode it once more."""
    import yarl  # noqa: PLC0415

    return yarl.URL(url, encoded=True)
