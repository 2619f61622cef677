"""Answers out of bytes, without any I/O: the grammar is llhttp's, limits and decompression are ours."""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator, Mapping
from typing import Any, Final

import httptools

from ..errors import UnreadableAnswer
from ..transport import WireAnswer

_LARGEST_HEAD: Final = 2**16
"""Bytes on the wire that bring nothing of a body: the head, what announced it, chunks' sizes, trailers."""
_PORTION: Final = 2**20


class Headers(Mapping[str, str]):
    """Headers of an answer, looked up without regard to case; what came several times is joined."""

    __slots__ = ("_found",)

    def __init__(self) -> None:
        self._found: dict[str, str] = {}

    def add(self, name: str, value: str) -> None:
        """One more line."""
        name = name.lower()
        known = self._found.get(name)
        self._found[name] = value if known is None else f"{known}, {value}"

    def __getitem__(self, name: str) -> str:
        """The value."""
        return self._found[name.lower()].rstrip(" \t")  # llhttp strips them in front only

    def __contains__(self, name: object) -> bool:
        """Whether there is such a line."""
        return isinstance(name, str) and name.lower() in self._found

    def word(self, name: str) -> str:
        """What a line with one word says, both in small letters; empty where there is none."""
        return self._found.get(name, "").rstrip(" \t").lower()

    def __iter__(self) -> Iterator[str]:
        """The names, in small letters."""
        return iter(self._found)

    def __len__(self) -> int:
        """How many there are."""
        return len(self._found)

    def __repr__(self) -> str:
        """The names alone: a value may be secret."""
        return f"<{type(self).__name__} {' '.join(self._found)}>"


class AnswerReader:
    """Reads one answer after the other off a connection.

    Args:
        cap: The largest body in bytes, counted as it comes out of decompression.

    Attributes:
        status: Of the answer that is being read, once it is known.
        reusable: Whether another request may follow the answer that was read last.
    """

    __slots__ = (
        "_body",
        "_cap",
        "_complete",
        "_fault",
        "_framed",
        "_headers",
        "_overhead",
        "_parser",
        "_rest",
        "_size",
        "_unpacker",
        "reusable",
        "status",
    )

    def __init__(self, cap: int) -> None:
        self._cap = cap
        self.reusable = True
        self._parser: Any = httptools.HttpResponseParser(self)
        self._begin()

    def _begin(self) -> None:
        self.status: int | None = None
        self._headers = Headers()
        self._body = b""
        self._rest: io.BytesIO | None = None
        self._size = self._overhead = 0
        self._framed = self._complete = False
        self._unpacker: Unpacker | None = None
        self._fault = ""

    def feed(self, data: bytes | memoryview) -> WireAnswer | None:
        """Take what came; the answer, if it is whole now.

        Raises:
            UnreadableAnswer: It is no HTTP, broken, or too large. Nothing more can be read here.
        """
        if len(data) > _LARGEST_HEAD + 1 - self._overhead:
            return self._in_portions(data)
        self._overhead += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self.reusable = False
        except httptools.HttpParserError as error:
            if not self._complete:  # what follows a whole answer is nobody's, and spoils the connection
                raise self._unreadable(f"is no HTTP ({type(error).__name__})") from None
            self.reusable = False
        if self._complete:
            return self._whole()
        if self._fault:
            raise self._unreadable(self._fault)
        if self._overhead > _LARGEST_HEAD:
            raise self._unreadable("says too much around its body")
        return None

    def _in_portions(self, data: bytes | memoryview) -> WireAnswer | None:
        """Take much at once, so that what is too large does not depend on how it came."""
        rest = memoryview(data)
        while rest:
            room = _LARGEST_HEAD + 1 - self._overhead
            portion, rest = rest[:room], rest[room:]
            whole = self.feed(portion)
            if whole is not None:
                self.reusable = self.reusable and not rest
                return whole
        return None

    def end(self) -> WireAnswer | None:
        """The connection was closed; the answer, if that was its end.

        Raises:
            UnreadableAnswer: That was its end, and it is broken.
        """
        self.reusable = False
        if self.status is None or self.status < 200 or self._framed:
            return None
        self._complete = True
        return self._whole()

    def body_lost(self) -> WireAnswer | None:
        """The answer without its body, if it is a no: that stays one, even unexplained."""
        if self.status is None or self.status < 400:
            return None
        return WireAnswer(self.status, self._headers, b"")

    def let_go(self) -> None:
        """Nothing more is to be read."""
        self.reusable = False
        self._parser = None  # it holds us
        self._body, self._rest = b"", None

    def _whole(self) -> WireAnswer:
        if self._unpacker is not None and not self._unpacker.finished:
            self._fault = self._fault or "broke off"
        if self._fault or self.status is None:
            raise self._unreadable(self._fault)
        body = self._body if self._rest is None else self._rest.getvalue()
        answer = WireAnswer(self.status, self._headers, body)
        self._begin()
        return answer

    def _unreadable(self, fault: str) -> UnreadableAnswer:
        self.reusable = False
        return UnreadableAnswer(f"the answer {fault}", status=self.status)

    # what the parser calls; it wraps whatever is raised here, so nothing is

    def on_message_begin(self) -> None:
        """An answer begins; a second one was not asked for."""
        if self._complete:
            self.reusable = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """A line of the head, or of what follows a body in chunks, which says nothing to us."""
        if self.status is None and not self._complete:
            self._headers.add(name.decode("latin-1"), value.decode("utf-8", "surrogateescape"))

    def on_headers_complete(self) -> None:
        """The head is there."""
        if self._complete:
            return
        self.status = self._parser.get_status_code()
        headers = self._headers
        coding = headers.word("transfer-encoding")
        self._framed = coding == "chunked" or "content-length" in headers
        if coding not in {"", "chunked", "identity"}:
            self._fault = "comes in a transfer coding that was not asked for"
        packing = headers.word("content-encoding")
        if packing not in {"", "identity"}:
            self._unpacker = Unpacker(packing)

    def on_body(self, data: bytes) -> None:
        """A piece of the body."""
        if self._complete or self._fault or (self.status or 0) < 200:  # llhttp knows few of those
            return
        if self._unpacker is None:
            self._keep(data)
        elif self._unpacker.coding not in Unpacker.KNOWN:  # of nothing it does not matter how it was packed
            self._fault = "comes in a content coding that was not asked for"
        else:
            try:
                for part in self._unpacker.parts(data, self._cap + 1 - self._size):
                    self._keep(part)
            except zlib.error:
                self._fault = "cannot be decompressed"

    def _keep(self, part: bytes) -> None:
        self._overhead = 0
        self._size += len(part)
        if self._size > self._cap:
            self._fault = f"is larger than {self._cap} bytes"
        elif not self._body:
            self._body = part
        else:
            # not a list: the smallest pieces would take many times what is in them
            if self._rest is None:
                self._rest = io.BytesIO()
                self._rest.write(self._body)
            self._rest.write(part)

    def on_message_complete(self) -> None:
        """The answer is whole, unless it only announced another."""
        if self._complete:
            return
        status = self.status or 0
        if 100 <= status <= 199 and status != 101:
            overhead = self._overhead
            self._begin()
            self._overhead = overhead
            return
        self._complete = True
        self.reusable = self.reusable and status != 101 and bool(self._parser.should_keep_alive())


class Unpacker:
    """Decompression that stops where it was told to.

    Args:
        coding: The content coding; only what is one of ``KNOWN`` can be unpacked.
    """

    KNOWN: Final = frozenset({"gzip", "x-gzip", "deflate"})

    def __init__(self, coding: str) -> None:
        self.coding = coding
        self._stream: Any = None
        self.finished = True

    def parts(self, data: bytes, most: int) -> Iterator[bytes]:
        """What comes out of a piece, no more than ``most`` bytes of it.

        Raises:
            zlib.error: It is damaged.
        """
        while data and most > 0:
            if self._stream is None or self._stream.eof:
                self._stream = zlib.decompressobj(self._window(data))
            part = self._stream.decompress(data, min(most, _PORTION))
            if part:
                most -= len(part)
                yield part
            data = self._stream.unused_data if self._stream.eof else self._stream.unconsumed_tail
        self.finished = self._stream is None or self._stream.eof

    def _window(self, data: bytes) -> int:
        if self.coding != "deflate":
            return 16 + zlib.MAX_WBITS
        # some send it with zlib's header, as they should, and some without
        return zlib.MAX_WBITS if data[0] & 0x0F == zlib.DEFLATED else -zlib.MAX_WBITS
