"""A loopback server that answers as Kelviq does, and is never what one waits for.

It runs in its own process, parses no more of a request than it needs, and has three doors: one that
answers at once, one that answers after 20 ms, and one that nobody opens until it is told to. It takes
commands on its standard input, one JSON text per line, and ends when that ends, so that it never
outlives whoever started it.
"""

import json
import os
import selectors
import socket
import sys
import time
from collections import deque
from typing import Any

from .answers import answer

LATENCY = 0.020
HOST = "127.0.0.1"

# The same that nginx would say.
_HEAD = (
    b"HTTP/1.1 200 OK\r\nServer: bench\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\n"
    b"Content-Type: application/json\r\nConnection: keep-alive\r\nContent-Length: %d\r\n\r\n"
)


class Server:
    def __init__(self) -> None:
        self.selector = selectors.DefaultSelector()
        self.due: deque[tuple[float, socket.socket, bytes]] = deque()
        self.asked = self.reports = self.units = self.connections = 0
        self.commands = b""
        doors = [bound() for _ in range(3)]
        self.listen(doors[0], 0)
        self.listen(doors[1], LATENCY)
        self.closed_door = doors[2]
        os.set_blocking(0, False)
        self.selector.register(0, selectors.EVENT_READ, self.commanded)
        say({"ports": [door.getsockname()[1] for door in doors]})

    def listen(self, door: socket.socket, latency: float) -> None:
        door.listen(4096)
        self.selector.register(door, selectors.EVENT_READ, lambda: self.accept(door, latency))

    def accept(self, door: socket.socket, latency: float) -> None:
        # left blocking: an answer always fits into a socket's buffer, and one event is one read
        connection, _ = door.accept()
        self.connections += 1
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        reader = Connection(self, connection, latency)
        self.selector.register(connection, selectors.EVENT_READ, reader.readable)

    def commanded(self) -> None:
        piece = os.read(0, 65536)
        if not piece:
            sys.exit()
        *lines, self.commands = (self.commands + piece).split(b"\n")
        for line in lines:
            say(getattr(self, json.loads(line))())

    def count(self) -> dict[str, Any]:
        """What came in since this was last asked, and the processor seconds used for everything so far."""
        names = ("asked", "reports", "units", "connections")
        counted = {name: getattr(self, name) for name in names}
        self.asked = self.reports = self.units = self.connections = 0
        return {**counted, "cpu": time.process_time()}

    def unlock(self) -> dict[str, Any]:
        """Open the third door."""
        self.listen(self.closed_door, 0)
        return {}

    def answered(self, head: bytes, body: bytes) -> bytes:
        if head.startswith(b"POST"):
            report = json.loads(body)
            self.reports += 1
            self.units += report["value"]
            more = {"orgId": "o", "eventName": "$usage.reported", "idempotencyKey": str(self.reports)}
            text = json.dumps({**report, **more, "timestamp": "2026-01-01 00:00:00.000000"}).encode()
        else:
            self.asked += 1
            line = head[: head.index(b"\r\n")]
            text = answer(between(line, b"customer_id=") or "", between(line, b"feature_id="))
        return _HEAD % len(text) + text

    def serve(self) -> None:
        while True:
            timeout = max(0.0, self.due[0][0] - time.monotonic()) if self.due else None
            for key, _ in self.selector.select(timeout):
                key.data()
            while self.due and self.due[0][0] <= time.monotonic():
                _, connection, data = self.due.popleft()
                if connection.fileno() >= 0:
                    send(connection, data)


class Connection:
    def __init__(self, server: Server, connection: socket.socket, latency: float) -> None:
        self.server = server
        self.connection = connection
        self.latency = latency
        self.buffer = b""

    def readable(self) -> None:
        try:
            piece = self.connection.recv(65536)
        except ConnectionError:
            piece = b""
        if not piece:
            self.server.selector.unregister(self.connection)
            self.connection.close()
            return
        self.buffer += piece
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = self.buffer[:end]
            start = end + 4
            stop = start + length(head)
            if len(self.buffer) < stop:
                return
            data = self.server.answered(head, self.buffer[start:stop])
            self.buffer = self.buffer[stop:]
            if self.latency:
                self.server.due.append((time.monotonic() + self.latency, self.connection, data))
            else:
                send(self.connection, data)


def bound() -> socket.socket:
    door = socket.socket()
    door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    door.bind((HOST, 0))
    return door


def send(connection: socket.socket, data: bytes) -> None:
    try:
        connection.sendall(data)
    except ConnectionError:
        return  # they have hung up; reading will tell


def length(head: bytes) -> int:
    if head.startswith(b"GET"):
        return 0
    _, _, rest = head.lower().partition(b"\r\ncontent-length:")
    return int(rest.partition(b"\r\n")[0] or 0)


def between(line: bytes, name: bytes) -> str | None:
    _, found, rest = line.partition(name)
    return rest.split(b" ", 1)[0].split(b"&", 1)[0].decode() if found else None


def say(what: object) -> None:
    print(json.dumps(what), flush=True)


if __name__ == "__main__":
    Server().serve()
