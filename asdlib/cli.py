"""The command ``asd``: simulate or download clips, train, evaluate, score."""

import logging
import sys

# Importing them adds their commands.
from asdlib.commands import app
from asdlib.errors import AsdError


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
