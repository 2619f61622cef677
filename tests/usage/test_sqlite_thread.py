"""The thread of a SqliteJournal, and forks one after the other."""

import os
import threading
import time

import pytest

from kelviq_async.usage.sqlite import thread
from kelviq_async.usage.sqlite.thread import Worker


@pytest.fixture
def worker():
    return Worker("a worker", lambda: None, lambda session, calls: None, lambda session: None)


def test_a_pause_right_after_another_is_not_waited_for_in_vain(worker, monkeypatch):
    monkeypatch.setattr(thread, "_PATIENCE", 5.0)

    def slowly(frame, event, arg):
        """Have others do much between two lines of the thread."""
        if frame.f_code.co_name != "_live":
            return None
        time.sleep(0.002)
        return slowly

    before = threading.gettrace()
    threading.settrace(slowly)
    worker.start()
    threading.settrace(before)
    for _ in range(20):
        began = time.monotonic()
        worker.pause()
        worker.wait_for_pause()
        assert time.monotonic() - began < 4.0
        worker.resume()


def test_a_thread_that_is_started_while_a_fork_goes_on_begins_after_it(worker):
    begun = threading.Event()
    seen = []

    def start():
        worker.start()
        begun.set()

    class Other(Worker):
        """Another worker, during whose pause it is started."""

        def wait_for_pause(self):
            starter.start()
            seen.append(begun.wait(0.3))
            super().wait_for_pause()

    starter = threading.Thread(target=start)
    other = Other("another", lambda: None, lambda session, calls: None, lambda session: None)
    other.start()
    if (pid := os.fork()) == 0:
        os._exit(0)
    thread._STARTED.discard(other)
    assert os.waitpid(pid, 0)[1] == 0
    starter.join()
    assert seen == [False]
    assert worker in thread._STARTED
