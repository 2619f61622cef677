"""The innermost layer: one attempt. Encodes, adds the key, sends, and reads what comes back."""

from __future__ import annotations

import asyncio
import inspect
import logging
import math
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

from .. import codec
from .._version import __version__
from ..config import Attempt, Config, Key, Options, Secret, checked_key
from ..errors import (
    ClientClosed,
    CodecError,
    ConfigError,
    FailureClass,
    InvalidRequest,
    KelviqError,
    TimedOut,
    UnreadableAnswer,
    api_error,
)
from ..request import Operation, Request, quoted
from ..transport import Transport, WireAnswer, WireRequest
from .under_way import UnderWay

R = TypeVar("R")

logger = logging.getLogger("kelviq_async")


class HttpSend:
    """Sends a request once, over a transport."""

    def __init__(
        self,
        config: Config,
        transport: Transport,
        under_way: UnderWay | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._config = config
        self._transport = transport
        self._under_way = under_way or UnderWay()
        self._loop = loop
        python = ".".join(map(str, sys.version_info[:3]))
        agent = f"kelviq-async/{__version__} python/{python}"
        self._agent = f"{agent} {config.user_agent}" if config.user_agent else agent
        self._headers: dict[str, dict[str, str]] = {}

    async def __call__(self, request: Request[R], options: Options) -> R:
        """One attempt.

        Raises:
            KelviqError: With ``failure`` saying what is known of the work.
        """
        operation = request.operation
        started = time.perf_counter()
        status: int | None = None
        failed: str | None = None
        try:
            answer = await self._carried(request, options)
            status = answer.status
            if options.capture is not None:
                options.capture(answer)
            return self._read(request, answer)
        except BaseException as error:
            failed = type(error).__name__
            if isinstance(error, KelviqError):
                error.about(operation.name, request)
                status = status or error.status
            raise
        finally:
            self._tell(operation, options, status, failed, time.perf_counter() - started)

    async def _encoded(self, request: Request[Any], options: Options) -> WireRequest:
        operation = request.operation
        path, query, data = operation.render(request)
        url = f"{self._config.url(operation.host)}{path}"
        if query:
            url = f"{url}?{'&'.join([f'{quoted(name)}={quoted(text)}' for name, text in query.items()])}"
        headers = self._headers.get(operation.name) or await self._credentials(operation)
        if options.headers:
            headers = with_headers(headers, options.headers)
        if data is None:
            return WireRequest(operation.method, url, headers)
        try:
            body = codec.encode(data)
        except CodecError as error:
            raise InvalidRequest(str(error)) from None
        return WireRequest(operation.method, url, {**headers, "Content-Type": "application/json"}, body)

    async def _credentials(self, operation: Operation) -> dict[str, str]:
        """The headers with exactly one credential; kept where the key cannot change."""
        headers = {"Accept": "application/json", "User-Agent": self._agent}
        if not operation.keys:
            return headers
        for kind in operation.keys:
            source = self._config.key(kind)
            if source is None:
                continue
            secret = source if isinstance(source, Secret) else await _called(source, kind)
            if kind is Key.PARTNER:
                headers["X-Kelviq-Partner-Key"] = secret.reveal()
            else:
                headers["Authorization"] = f"Bearer {secret.reveal()}"
            if isinstance(source, Secret):
                self._headers[operation.name] = headers
            return headers
        needed = " or ".join(f"{kind.value}_key" for kind in operation.keys)
        raise ConfigError(f"{operation.name} needs a {needed}")

    async def _carried(self, request: Request[Any], options: Options) -> WireAnswer:
        wire: WireRequest | None = None
        deadline = options.deadline
        try:
            with self._under_way.wait(deadline, self._loop) as wait:
                wire = await self._encoded(request, options)
                # a kept connection would take the request before anybody sees that time is up
                if deadline is not None and wait.loop.time() >= deadline:
                    raise _out_of_time(sent=False)
                return await self._transport.send(wire)
        except ClientClosed as error:
            error.failure = FailureClass.AMBIGUOUS if wire is not None and wire.sending else None
            raise
        except TimeoutError as error:
            if isinstance(error, KelviqError):
                raise
            raise _out_of_time(sent=wire is not None and wire.sending) from None

    def _read(self, request: Request[R], answer: WireAnswer) -> R:
        status = answer.status
        good = 200 <= status < 300
        data = None
        try:
            data = codec.decode(answer.body) if answer.body else None
            if good or status in request.operation.answers:
                return request.read(status, data, answer.headers)
        except CodecError as error:
            if good:
                raise UnreadableAnswer(error.message, status=status) from None
        raise api_error(status, data, retry_after=_retry_after(answer.headers))

    def _tell(
        self, operation: Operation, options: Options, status: int | None, failed: str | None, seconds: float
    ) -> None:
        """One log line, and the observer; neither sees ids, bodies or keys."""
        if logger.isEnabledFor(logging.DEBUG):
            logger.debug(
                "%s %s %s %s attempt %d %.1f ms",
                operation.method,
                operation.path,
                status or "-",
                failed or "ok",
                options.attempt,
                seconds * 1000,
            )
        if options.observer is not None:
            try:
                options.observer(Attempt(operation.name, options.attempt, status, failed, seconds))
            except Exception:  # who watches must not break what is watched
                logger.warning("the observer failed", exc_info=True)


def _out_of_time(*, sent: bool) -> TimedOut:
    if sent:
        return TimedOut("time ran out waiting for the answer")
    error = TimedOut("time ran out before anything was sent")
    error.failure = FailureClass.NEVER_SENT
    return error


async def _called(source: Any, kind: Key) -> Secret:
    """What a key's function gives."""
    try:
        key = source()
        if inspect.isawaitable(key):
            key = await key
    except Exception as error:
        message = f"the function given as {kind.value}_key failed ({type(error).__name__})"
        raise ConfigError(message) from error
    return checked_key(key, f"what {kind.value}_key gave")


def with_headers(headers: Mapping[str, str], more: Mapping[str, str]) -> dict[str, str]:
    """Headers together with others that replace them, whatever their case."""
    replaced = {name.lower() for name in more}
    return {name: value for name, value in headers.items() if name.lower() not in replaced} | dict(more)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds out of a ``Retry-After`` header, given as a number or a date."""
    text = next((value for name, value in headers.items() if name.lower() == "retry-after"), "")
    try:
        seconds = float(text.partition(",")[0])  # several of them come as one; a date's comma follows a day
    except ValueError:
        moment = _date(text) if text else None
        if moment is None:
            return None
        seconds = (moment - datetime.now(UTC)).total_seconds()
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _date(text: str) -> datetime | None:
    """A moment in HTTP's notation."""
    # slow to import, and dates hardly ever come
    from email.utils import parsedate_to_datetime  # noqa: PLC0415

    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
