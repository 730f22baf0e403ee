"""The command ``asd``: simulate or download clips, train, evaluate, score."""

import logging
import sys

import asdlib.commands.data
import asdlib.commands.learn
import asdlib.commands.use  # noqa: F401 (importing them adds their commands)
from asdlib.commands import app
from asdlib.errors import AsdError


def main() -> None:
    """Run ``asd``: exit code 0, 2 for bad input (one sentence on standard error), 130 when training is interrupted."""
    logging.basicConfig(format="%(message)s")
    try:
        app()
    except AsdError as error:
        print(f"asd: {error}", file=sys.stderr)
        sys.exit(2)
