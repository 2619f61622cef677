"""Ctrl-C, and its quieter sibling."""

from __future__ import annotations

import asyncio
import contextlib
import signal


def on_signals() -> asyncio.Event:
    """An event that SIGINT and SIGTERM set, in place of what else they do."""
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):  # Windows: there Ctrl-C cancels the main task
            loop.add_signal_handler(number, over.set)
    return over
