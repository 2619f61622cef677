"""The ``kelviq-async`` command. It comes with the extra ``cli``."""

from __future__ import annotations

import os
import sys
import traceback
from typing import Final

EXTRA: Final = {"cyclopts", "rich", "jinja2"}


def main() -> None:
    """Run the command; say what is missing where the extra is not installed.

    Ends with 0, with 1 where Kelviq says no, and with 2 for everything that is wrong on this side.
    """
    try:
        from cyclopts import CycloptsError  # noqa: PLC0415  its libraries come with the extra

        from .app import app  # noqa: PLC0415  likewise
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in EXTRA:
            raise
        print("the command needs the extra: python -m pip install 'kelviq-async[cli]'", file=sys.stderr)
        raise SystemExit(2) from None
    try:
        app(sys.argv[1:], exit_on_error=False)
    except CycloptsError:  # it has been printed
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except BrokenPipeError:  # as of `| head`: nobody reads on
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(2) from None
    except Exception:  # noqa: BLE001  left alone, Python would end with 1, which is what a no ends with
        traceback.print_exc()
        raise SystemExit(2) from None
