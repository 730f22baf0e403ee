"""``python -m asdlib``: the command ``asd``."""

from asdlib.cli import main

main()
