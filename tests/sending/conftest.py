"""Time that passes at once, and the sending stack on a transport whose answers are written down."""

import asyncio
import selectors

import attrs
import pytest

from kelviq_async.config import Config, Options
from kelviq_async.sending.http import HttpSend
from kelviq_async.sending.retry import Pauses, Retry, RetrySend
from kelviq_async.sending.under_way import UnderWay


class _Selector(selectors.SelectSelector):
    loop = None

    def select(self, timeout=None):
        events = super().select(0)
        if not events and timeout is None:
            raise AssertionError("this would wait for ever")
        if not events:
            self.loop.now += timeout
        return events


class VirtualLoop(asyncio.SelectorEventLoop):
    """Its clock jumps to the next timer as soon as there is nothing else to do."""

    def __init__(self):
        selector = _Selector()
        selector.loop = self
        self.now = 1000.0
        super().__init__(selector)

    def time(self):
        return self.now


@pytest.fixture
def virtual():
    """``virtual(coroutine)``: run it on a loop whose time passes at once."""

    def run(coroutine):
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            return runner.run(coroutine)

    return run


@attrs.define
class Stack:
    """Retry over HTTP over a scripted transport, as the client builds it."""

    transport: object
    config: Config
    options: Options
    under_way: UnderWay = attrs.field(factory=UnderWay)
    pauses: Pauses = attrs.field(factory=Pauses)
    http: HttpSend = attrs.field(init=False)
    send_all: RetrySend = attrs.field(init=False)

    def __attrs_post_init__(self):
        self.http = HttpSend(self.config, self.transport, self.under_way)
        self.send_all = RetrySend(self.http, self.pauses, self.under_way)

    async def send(self, request, **options):
        """As a client sends it: all attempts, with the default policy and no deadline."""
        return await self.send_all(request, attrs.evolve(self.options, **options))

    async def once(self, request, **options):
        """One attempt."""
        return await self.http(request, attrs.evolve(self.options, **options))


@pytest.fixture
def stack(scripted):
    """``stack(*script, **config)``; see ``scripted``."""

    def make(*script, **settings):
        settings = settings or {
            "server_key": "sk_secret",
            "client_key": "ck_secret",
            "partner_key": "pk_secret",
        }
        return Stack(scripted(*script), Config.resolve(**settings), Options(timeout=None, retry=Retry()))

    return make
