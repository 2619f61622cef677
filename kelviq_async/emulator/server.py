"""A world behind a port: aiohttp's server around ``World.serve_once``.

Used as ``async with serve(world, port=8080) as server: print(server.url)``. One port serves both of
Kelviq's hosts, the pages, the storage, and the control addresses under ``/_emulator/``.
"""

from __future__ import annotations

import asyncio
import logging
import traceback
from types import TracebackType
from typing import Final, Self

from aiohttp import web

from ..config import Config, Limits, is_loopback
from ..transport import AiohttpTransport, WireAnswer, WireRequest
from . import control, pages
from .answering import Crash
from .courier import Courier
from .faults import Served
from .storage import LARGEST_FORM
from .world import LARGEST_BODY, PREFIX, World

GRACE: Final = 2.0
"""Seconds that requests under way get when the server stops."""
PIECES: Final = 20
"""So many pieces a slow body comes in."""

_PLAIN: Final = Config(
    environment="sandbox",
    core_url="",
    edge_url="",
    server_key=None,
    client_key=None,
    partner_key=None,
    account="",
    proxy=None,
    ssl=None,
    limits=Limits(),
    user_agent="",
)
# What aiohttp has to say about broken requests is the client's business: it got an answer. Whoever
# sets up logging sees it; nobody else's terminal is filled.
_log: Final = logging.getLogger("kelviq_async.emulator")
_log.addHandler(logging.NullHandler())


class Server:
    """A running emulator.

    Attributes:
        world: What it serves.
        host: Address it listens on.
        port: Port it listens on; a free one where 0 was asked for.
    """

    def __init__(self, world: World, port: int, host: str) -> None:
        self.world = world
        self.host = host
        self.port = port
        self._runner: web.ServerRunner | None = None
        self._courier = Courier(world)

    @property
    def url(self) -> str:
        """Address of the emulator, without a slash at the end; the API is under ``/api/v1``."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    async def start(self) -> Self:
        """Listen.

        Raises:
            OSError: The port is taken, or not ours to take.
        """
        # access_log: world.requests has it all
        server = web.Server(self._handle, access_log=None, logger=_log)
        runner = web.ServerRunner(server, handle_signals=False, shutdown_timeout=GRACE)
        await runner.setup()
        try:
            await web.TCPSite(runner, self.host, self.port).start()
        except BaseException:
            await runner.cleanup()
            raise
        self._runner = runner
        self.port = runner.addresses[0][1]
        self.world.url = self.url
        # The machine's own settings for clients are not meant for what an emulator sends.
        self._courier.start(AiohttpTransport(_PLAIN))
        return self

    async def stop(self) -> None:
        """Stop listening and end what is under way; the world goes on."""
        await self._courier.stop()
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def __aenter__(self) -> Self:
        """Start it."""
        return await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it."""
        await self.stop()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.raw_path
        try:
            beside = path.startswith(control.ROOT)
            body = await _body(request, LARGEST_FORM if beside else LARGEST_BODY)
            wire = WireRequest(request.method, path, request.headers, body)
            if path.startswith(PREFIX):
                return await _respond(request, await self.world.serve_once(wire))
            return _response(await self._moved(wire) if beside else pages.answered(self.world, wire))
        except ConnectionError:
            raise  # the client has gone; aiohttp knows what to do
        except Exception:  # noqa: BLE001  whoever asks gets an answer, and tests find it among the crashes
            self.world.crashes.append(Crash(f"{request.method} {request.path}", traceback.format_exc()))
            return web.Response(status=500, text="The emulator made a mistake; see world.crashes.")

    async def _moved(self, wire: WireRequest) -> WireAnswer:
        """Answer a control request, and wait for deliveries where that is asked for."""
        answer = control.answered(self.world, wire)
        seconds = control.patience(wire) if answer.status == 200 else 0
        if seconds:
            await self._courier.caught_up(seconds)
            answer = control.waited(self.world)
        return answer


async def _body(request: web.BaseRequest, cap: int) -> bytes:
    """The body; what is over the cap is cut to a little more than it, and refused by whoever reads it.

    It is taken from the socket to its end, as clients that are still sending read no answer.
    """
    if not request.body_exists:
        return b""
    if request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0
    parts, size = [], 0
    async for part in request.content.iter_any():
        if size <= cap:
            parts.append(part)
        size += len(part)
    return b"".join(parts)


async def _respond(request: web.BaseRequest, served: Served) -> web.StreamResponse:
    """Put an answer on the socket, with what a fault does to it on its way."""
    answer = served.answer
    if answer is None:
        return _broken(request, web.Response())
    if request.method == "HEAD":
        return _response(answer)  # of which no body is sent that could break off, or trickle
    if served.fault == "truncated":
        response = await _begun(request, answer)
        await response.write(answer.body[: len(answer.body) // 2])
        return _broken(request, response)
    if served.fault == "slow_body":
        return await _trickled(request, answer, served.seconds)
    return _response(answer)


def _response(answer: WireAnswer) -> web.Response:
    return web.Response(status=answer.status, headers=answer.headers, body=answer.body)


async def _begun(request: web.BaseRequest, answer: WireAnswer) -> web.StreamResponse:
    response = web.StreamResponse(status=answer.status, headers=answer.headers)
    response.content_length = len(answer.body)
    await response.prepare(request)
    return response


def _broken(request: web.BaseRequest, response: web.StreamResponse) -> web.StreamResponse:
    """Break the connection off; what was written before still leaves."""
    if request.transport is not None:
        request.transport.close()
    return response


async def _trickled(request: web.BaseRequest, answer: WireAnswer, seconds: float) -> web.StreamResponse:
    response = await _begun(request, answer)
    size = max(1, -(-len(answer.body) // PIECES))
    pieces = range(0, len(answer.body), size)
    for first in pieces:
        await asyncio.sleep(seconds / len(pieces))
        await response.write(answer.body[first : first + size])
    await response.write_eof()
    return response


def serve(
    world: World | None = None, port: int = 0, *, host: str = "127.0.0.1", allow_remote: bool = False
) -> Server:
    """Put a world behind a port.

    Args:
        world: What to serve; by default a new world.
        port: Port to listen on; 0 for any free one, which ``Server.port`` tells.
        host: Address to listen on.
        allow_remote: Must be said for an address that other machines can reach: whoever reaches
            the emulator controls it.

    Returns:
        An async context manager; it listens once entered.

    Raises:
        ValueError: There is no such port, or the host is not this machine and ``allow_remote`` was
            not said.
    """
    if not 0 <= port <= 65535:
        raise ValueError(f"there is no port {port}: they go up to 65535")
    if not is_loopback(host) and not allow_remote:
        raise ValueError(
            f"{host} can be reached by other machines: say allow_remote (--allow-remote) if that is meant"
        )
    return Server(world if world is not None else World(), port, host)
