"""The command ``asd``: simulate or download clips, train, evaluate, score."""

import logging
import sys
from importlib import import_module

from asdlib.commands import app
from asdlib.errors import AsdError

for name in ("data", "cut", "learn", "compare", "rivals", "use", "judge", "cache"):
    import_module(f"asdlib.commands.{name}")  # adds its commands, in this order


def main() -> None:
    """Run ``asd``.

    Exit code 0; 2 for bad input, with one sentence on standard error; 130 when a
    training is interrupted.
    """
    logging.basicConfig(format="%(message)s")
    try:
        app()
    except AsdError as error:
        print(f"asd: {error}", file=sys.stderr)
        sys.exit(2)
