"""Fixtures on the emulator, for tests of code that sells with Kelviq.

pytest finds them by itself wherever the package is installed:

* ``kelviq_world``: an emulated Kelviq, strict, whose clock stands still; see ``kelviq_async.emulator``.
* ``kelviq``: an async client on it, without a network. ``kelviq_blocking``: its blocking twin.
* ``kelviq_server``: the same world behind a port, for code in other processes and languages.
* ``kelviq_webhooks``: the events that the world tells of, verified and typed.

``@pytest.mark.kelviq(seed=..., faults=..., now=..., strict=...)`` says what the world of a test begins with.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest

# These two load nothing: what is below them comes when a fixture asks for it. A run of pytest that has
# nothing to do with Kelviq pays next to nothing, and measuring coverage has begun before our code is read.
import kelviq_async
import kelviq_sync

__all__ = [
    "NOW",
    "KelviqServer",
    "KelviqWebhooks",
    "kelviq",
    "kelviq_blocking",
    "kelviq_server",
    "kelviq_webhooks",
    "kelviq_world",
]

NOW: Final = datetime(2026, 1, 1, tzinfo=UTC)
"""Where the clock of a world stands unless the marker says otherwise: the same in every run."""

_MARKER: Final = (
    "kelviq(seed=None, faults=(), now=None, strict=True): what kelviq_world begins with: a seed (an object, "
    "or the path of a JSON file beside the test), planned faults (operation, kind, {settings}), and its time."
)
_SETTINGS: Final = ("seed", "faults", "now", "strict")
_PATIENCE: Final = 10.0
"""Seconds that the server gets to start, and to stop."""


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line("markers", _MARKER)


@pytest.fixture
def kelviq_world(request: pytest.FixtureRequest) -> Iterator[kelviq_async.emulator.World]:
    """An emulated Kelviq of the test's own: strict, empty but for its seed, its clock standing still.

    Markers of module, class and test add up: seeds and faults of all of them count, and of ``now`` and
    ``strict`` the one nearest to the test. A failure of the emulator itself fails the test.
    """
    marks = [_settings(mark) for mark in request.node.iter_markers("kelviq")]
    near = {name: value for settings in reversed(marks) for name, value in settings.items()}
    world = kelviq_async.emulator.World(now=_moment(near.get("now", NOW)), strict=near.get("strict", True))
    for settings in reversed(marks):
        if settings.get("seed") is not None:
            _sow(world, settings["seed"], request.path.parent)
    for settings in reversed(marks):
        for fault in settings.get("faults", ()):
            _plan(world, fault)
    yield world
    if world.crashes:
        traces = "\n".join(f"{crash.operation}\n{crash.reason}" for crash in world.crashes)
        pytest.fail(f"the emulator itself failed:\n{traces}", pytrace=False)


@pytest.fixture
def kelviq(kelviq_world: kelviq_async.emulator.World) -> Iterator[kelviq_async.Kelviq]:
    """An async client on the test's world, opened by its first call on whatever loop that runs.

    A fixture without ``async``, so that it fits every way of running async tests.
    """
    import asyncio  # noqa: PLC0415  pytest does not load it, and not every test needs it

    client = kelviq_async.Kelviq.local(kelviq_world)
    yield client
    # The loop of the test is not running any more, and may be closed. One of our own does for ending what
    # is left; asyncio.run would meddle with the current loop, which belongs to whoever runs async tests.
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(client.close())
    finally:
        loop.close()


@pytest.fixture
def kelviq_blocking(kelviq_world: kelviq_async.emulator.World) -> Iterator[kelviq_sync.Kelviq]:
    """A blocking client on the test's world; may be used beside ``kelviq``."""
    client = kelviq_sync.Kelviq.local(kelviq_world)
    yield client
    client.close()


class KelviqServer:
    """The test's world behind a port of this machine, served by a thread.

    Attributes:
        world: What is served. It may be moved from the test while it is.
        url: Its address, without a slash at the end: good for ``core_url``.
    """

    def __init__(self, world: kelviq_async.emulator.World) -> None:
        import asyncio  # noqa: PLC0415  only who serves pays for it

        self.world = world
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="kelviq-server", daemon=True)
        self._server = kelviq_async.emulator.serve(world)
        self._thread.start()
        try:
            self._run(self._server.start())
        except BaseException:
            self._end()
            raise
        self.url: str = self._server.url

    def stop(self) -> None:
        """Stop listening and end the thread; the world goes on. The fixture does it after the test."""
        if self._loop.is_closed():
            return
        try:
            self._run(self._server.stop())
        finally:
            self._end()

    def _run(self, coroutine: Any) -> None:
        import asyncio  # noqa: PLC0415  see above

        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(_PATIENCE)

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_PATIENCE)
        self._loop.close()


@pytest.fixture
def kelviq_server(kelviq_world: kelviq_async.emulator.World) -> Iterator[KelviqServer]:
    """The test's world over HTTP, with ``url`` and ``world``; it stops by itself."""
    server = KelviqServer(kelviq_world)
    yield server
    server.stop()


class KelviqWebhooks(list[Any]):
    """The events of a world, in order: each as ``kelviq_async.webhooks.verify`` gives it.

    Attributes:
        received: The same deliveries as headers and bytes, to hand to a webhook handler under test.
        answer: The status that deliveries are answered with; what is not 2xx is delivered again, 60
            seconds later on the world's clock.
        rejected: Why deliveries could not be verified; the fixture fails the test if there are any.
    """

    def __init__(self, world: kelviq_async.emulator.World) -> None:
        super().__init__()
        self.received: list[Any] = []
        self.answer = 200
        self.rejected: list[Exception] = []
        self._endpoint = world.webhooks.capture(answer=self._take).endpoint

    @property
    def secret(self) -> str:
        """The secret that the deliveries are signed with."""
        return self._endpoint.secret

    @property
    def types(self) -> list[str]:
        """The types of the events, such as ``subscription.created``."""
        return [event.type for event in self]

    def of(self, kind: Any) -> list[Any]:
        """The events of one type.

        Args:
            kind: A class of ``kelviq_async.webhooks``, or the name of a type.
        """
        return [
            event for event in self if (event.type == kind if isinstance(kind, str) else type(event) is kind)
        ]

    def clear(self) -> None:
        """Forget what came so far."""
        super().clear()
        self.received.clear()

    def _take(self, received: Any) -> int:
        try:
            event = kelviq_async.webhooks.verify(received.body, received.headers, self.secret)
        except kelviq_async.webhooks.WebhookRejected as error:
            self.rejected.append(error)
            raise
        self.received.append(received)
        self.append(event)
        return self.answer


@pytest.fixture
def kelviq_webhooks(kelviq_world: kelviq_async.emulator.World) -> Iterator[KelviqWebhooks]:
    """The events that happen from now on, verified and typed; those of the seed came before."""
    webhooks = KelviqWebhooks(kelviq_world)
    yield webhooks
    if webhooks.rejected:
        raise webhooks.rejected[0]


def _settings(mark: pytest.Mark) -> dict[str, Any]:
    unknown = ", ".join(name for name in mark.kwargs if name not in _SETTINGS)
    if mark.args or unknown:
        problem = f"knows no {unknown}" if unknown else "takes names only"
        raise pytest.UsageError(f"the kelviq marker {problem}: it has {', '.join(_SETTINGS)}")
    return dict(mark.kwargs)


def _moment(now: Any) -> datetime:
    try:
        moment = datetime.fromisoformat(now) if isinstance(now, str) else NOW if now is None else now
    except ValueError:
        moment = None
    if not isinstance(moment, datetime) or moment.tzinfo is None:
        raise pytest.UsageError(f"now of the kelviq marker must be a time with a time zone, not {now!r}")
    return moment


def _sow(world: kelviq_async.emulator.World, seed: Any, folder: Path) -> None:
    try:
        data = seed if isinstance(seed, Mapping) else json.loads((folder / seed).read_text(encoding="utf-8"))
        world.seed_from(data)
    except (OSError, ValueError, TypeError) as error:
        raise pytest.UsageError(f"the seed of the kelviq marker is no good: {error}") from None


def _plan(world: kelviq_async.emulator.World, fault: Any) -> None:
    operation: Any
    settings: Any
    parts = tuple(fault) if isinstance(fault, tuple | list) else ()
    operation, kind, settings = (*parts, {}) if len(parts) == 2 else parts if len(parts) == 3 else (None,) * 3
    if not isinstance(settings, Mapping):
        raise pytest.UsageError(
            f"a fault is (operation, kind) or (operation, kind, {{settings}}), not {fault!r}"
        )
    try:
        world.faults.add(operation, kind, **settings)
    except (ValueError, TypeError) as error:
        raise pytest.UsageError(f"the fault {fault!r} cannot be: {error}") from None
