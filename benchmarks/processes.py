"""The processes that a run starts, and how it talks to them. They end with it, also when it is killed."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).parents[1]
PATIENCE = 120.0

# Whatever would send the calls elsewhere, or slow one of the contestants down.
_FOREIGN = ("KELVIQ_", "COVERAGE", "COV_", "PYTHON", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")


def environment() -> dict[str, str]:
    """The same plain environment for everybody."""
    kept = {name: value for name, value in os.environ.items() if not name.upper().startswith(_FOREIGN)}
    return {**kept, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "0", "NO_PROXY": "*"}


class Process:
    """A Python module that is told things, one JSON text per line, and answers each with one.

    Args:
        module: Which module.
        *arguments: Its command line.
    """

    def __init__(self, module: str, *arguments: str) -> None:
        command = [sys.executable, "-m", module, *arguments]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=environment(),
            start_new_session=True,  # Ctrl-C is for the run, which ends its processes itself
        )
        self._said: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._said.put(line)
        self._said.put("")

    def tell(self, what: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(what) + "\n")
        self._process.stdin.flush()

    def heard(self, patience: float = PATIENCE) -> Any:
        """The next answer.

        Raises:
            TimeoutError: There is none in time.
            RuntimeError: The process has ended.
        """
        try:
            line = self._said.get(timeout=patience)
        except queue.Empty:
            raise TimeoutError(f"no answer within {patience:g} s") from None
        if not line:
            raise RuntimeError("a process of this run has ended before its time; see its error above")
        return json.loads(line)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        self._listener.join()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with suppress(BrokenPipeError):  # it left without reading the last command
                pipe.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()


class Server(Process):
    """The loopback server: ``url`` answers at once, ``slow`` after 20 ms, ``locked`` when unlocked."""

    def __init__(self) -> None:
        super().__init__("benchmarks.server")
        self.url, self.slow, self.locked = (f"http://127.0.0.1:{port}" for port in self.heard()["ports"])

    def count(self) -> dict[str, Any]:
        """What came in since this was last asked."""
        self.tell("count")
        return self.heard()

    def unlock(self) -> None:
        """Open the third door."""
        self.tell("unlock")
        self.heard()


class Contestant(Process):
    """One who takes part: an object of some class, in a process of its own.

    Args:
        kind: The class; made and used in that process only.
        **settings: Its arguments.
    """

    def __init__(self, kind: type, **settings: Any) -> None:
        super().__init__("benchmarks.worker", kind.__module__, kind.__name__, json.dumps(settings))
        self.name: str = kind.__name__
        self._result()

    def _result(self, patience: float = PATIENCE) -> Any:
        answer = self.heard(patience)
        if "error" in answer:
            raise RuntimeError(f"{answer['error'].strip()}\n(in a process of this run)")
        return answer["result"]

    def do(self, method: str, /, *, patience: float = PATIENCE, **arguments: Any) -> Any:
        """Have it do something, and hand over what that gave."""
        self.tell([method, arguments])
        return self._result(patience)
