"""A contestant's own process, which lives as long as a question is looked into.

It makes an object of the class it is told, and calls the methods it is told on its standard input, one
JSON text per line; coroutines run on one event loop that lasts. It ends when its input ends.
"""

import asyncio
import importlib
import inspect
import json
import logging
import os
import queue
import sys
import threading
import traceback
from collections.abc import Callable
from typing import Any

commands: "queue.SimpleQueue[str]" = queue.SimpleQueue()


def read() -> None:
    """In a thread, so that a worker in the middle of something still learns that nobody waits for it."""
    for line in sys.stdin:
        commands.put(line)
    os._exit(1)


def main(home: str, name: str, settings: str) -> None:
    out, sys.stdout = sys.stdout, sys.stderr  # what a library prints must not pass for an answer
    logging.getLogger().addHandler(logging.NullHandler())
    threading.Thread(target=read, daemon=True).start()
    with asyncio.Runner() as runner:

        def told(doing: Callable[[], Any]) -> dict[str, Any]:
            try:
                result = doing()
                if inspect.isawaitable(result):
                    result = runner.run(finished(result))
            except Exception:  # noqa: BLE001  whatever it is, whoever asked must hear of it
                return {"error": traceback.format_exc()}
            return {"result": result}

        made: Any = None

        def make() -> None:
            nonlocal made
            made = getattr(importlib.import_module(home), name)(**json.loads(settings))

        answer = told(make)
        while True:
            print(json.dumps(answer), file=out, flush=True)
            method, arguments = json.loads(commands.get())
            answer = told(lambda: getattr(made, method)(**arguments))  # noqa: B023  it is called at once


async def finished(awaitable: Any) -> Any:
    return await awaitable


if __name__ == "__main__":
    main(*sys.argv[1:])
