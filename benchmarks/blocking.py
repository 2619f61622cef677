"""How long the steps of an event loop take: the longest is how long everybody else had to wait."""

from __future__ import annotations

import asyncio
import gc
import time
from typing import Any, Self

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]


def involuntary_switches() -> int:
    """How often the system took the processor away from this thread, as far as it tells."""
    if resource is None or not hasattr(resource, "RUSAGE_THREAD"):
        return 0
    return resource.getrusage(resource.RUSAGE_THREAD).ru_nivcsw


class Blocks:
    """While it is entered, times each step of the loop.

    Attributes:
        longest: Seconds of the longest step during which the system left this thread alone.
        own: Likewise, without what the garbage collector took of a step.
        put_aside: How many steps of more than a tenth of a millisecond it did not.
    """

    def __init__(self) -> None:
        self.longest = self.own = 0.0
        self.put_aside = 0
        self._collecting = self._since = 0.0
        self._run: Any = None

    def __enter__(self) -> Self:
        run = self._run = asyncio.Handle._run  # noqa: SLF001  the one place that every step goes through

        def timed(handle: asyncio.Handle) -> None:
            switches, collecting, started = involuntary_switches(), self._collecting, time.perf_counter()
            run(handle)
            seconds = time.perf_counter() - started
            own = seconds - (self._collecting - collecting)
            if seconds > self.longest or own > self.own or seconds > 1e-4:
                if involuntary_switches() != switches:
                    self.put_aside += 1
                else:
                    self.longest, self.own = max(seconds, self.longest), max(own, self.own)

        asyncio.Handle._run = timed  # type: ignore[method-assign]  # noqa: SLF001
        gc.callbacks.append(self._collected)
        return self

    def _collected(self, phase: str, _: object) -> None:
        if phase == "start":
            self._since = time.perf_counter()
        else:
            self._collecting += time.perf_counter() - self._since

    def __exit__(self, *_: object) -> None:
        gc.callbacks.remove(self._collected)
        asyncio.Handle._run = self._run  # type: ignore[method-assign]  # noqa: SLF001
