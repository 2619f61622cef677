"""Ending tasks that may not want to."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any


async def ended_within(seconds: float, tasks: Sequence[asyncio.Task[Any]]) -> bool:
    """Wait for tasks, then end them, by force if need be; whether any had to be."""
    late = {task for task in tasks if not task.done()}
    forced = False
    for _ in range(3):
        if late:
            _, late = await asyncio.wait(late, timeout=seconds)
        for task in late:
            forced = True
            task.cancel()
    return forced
