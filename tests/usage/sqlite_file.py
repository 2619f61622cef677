"""Other processes that use a journal in a file, for the tests of SQLite."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def python(program, *args, **options):
    """A process that runs a program."""
    command = [sys.executable, "-c", program, *map(str, args)]
    return subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, "PYTHONPATH": "."}, stdout=subprocess.PIPE, text=True, **options
    )


PROLOGUE = """
import asyncio, os, sys
from kelviq_async.usage import SqliteJournal
from tests.usage.pieces import *
path = sys.argv[1]
"""
