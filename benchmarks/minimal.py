"""The least that can be called an HTTP client: bytes on kept connections. No errors, no timeouts, no limits.

Nobody should use this. It says what asyncio itself leaves room for.
"""

import asyncio
from typing import Any

import orjson


class Wire(asyncio.Protocol):
    def __init__(self) -> None:
        self.transport: Any = None
        self.answer: asyncio.Future[bytes] | None = None
        self.buffer = b""
        self.end = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        buffer = self.buffer = self.buffer + data if self.buffer else data
        if not self.end:
            head = buffer.find(b"\r\n\r\n")
            if head < 0:
                return
            start = buffer.index(b"Content-Length: ") + 16
            self.end = head + 4 + int(buffer[start : buffer.index(b"\r\n", start)])
        if len(buffer) >= self.end:
            body = buffer[buffer.index(b"\r\n\r\n") + 4 : self.end]
            self.buffer, self.end = buffer[self.end :], 0
            assert self.answer is not None
            self.answer.set_result(body)


class Minimal:
    """A client of one host that keeps as many connections as were ever needed at once."""

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.port = port
        self.idle: list[Wire] = []
        self.loop = asyncio.get_running_loop()
        self.tail = f" HTTP/1.1\r\nHost: {host}:{port}\r\nAuthorization: Bearer bench\r\n\r\n".encode()

    async def get(self, path: str) -> Any:
        if self.idle:
            wire = self.idle.pop()
        else:
            _, wire = await self.loop.create_connection(Wire, self.host, self.port)
        answer = wire.answer = self.loop.create_future()
        wire.transport.write(b"GET " + path.encode() + self.tail)
        body = await answer
        self.idle.append(wire)
        return orjson.loads(body)

    def close(self) -> None:
        for wire in self.idle:
            wire.transport.close()
