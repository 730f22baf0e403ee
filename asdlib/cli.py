"""The command ``asd``: simulate or download clips, train, evaluate, score."""

import errno
import io
import logging
import os
import sys
from importlib import import_module

from asdlib.commands import app
from asdlib.errors import AsdError, spelled_as_options
from asdlib.files import pipes_kept

for name in (
    "data",
    "cut",
    "learn",
    "compare",
    "rivals",
    "use",
    "stream",
    "judge",
    "watch",
    "thin",
    "cache",
):
    import_module(f"asdlib.commands.{name}")  # adds its commands, in this order


def main() -> None:
    """Run ``asd``.

    Exit code 0; 2 for bad input, with one sentence on standard error, which speaks of
    options; 130 when a training is interrupted.
    """
    # Names may be any bytes, and a pipe or an old console may hold few letters.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    logging.basicConfig(format="%(message)s")
    try:
        with spelled_as_options(), pipes_kept():
            app()
    except AsdError as error:
        print(f"asd: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        if error.errno != errno.ENOSPC or error.filename is not None:
            raise
        # What is left of the output would be tried again at the end, and fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        print(
            "asd: the disk that the output goes to is full: make room", file=sys.stderr
        )
        sys.exit(2)
