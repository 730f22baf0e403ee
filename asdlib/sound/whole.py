"""What is said of recordings that are not whole, and of others that are odd."""

import logging
from functools import cache
from pathlib import Path

from asdlib.errors import AsdError, spelled

log = logging.getLogger("asdlib")
TO_THE_END = "read to the end of the file"


def refuse_cut(path: Path, there: int, promised: int, partial: bool) -> None:
    """As :func:`refuse`, of a file with fewer bytes, or samples, than it promises."""
    share = f"{there / promised:.1%} of the sound that its header promises"
    refuse(path, share, partial)


def refuse(path: Path, how: str, partial: bool) -> None:
    """Raise :class:`AsdError` about what is not whole; where ``partial``, say so."""
    if not partial:
        raise truncated(path, how)
    say(path, f"truncated ({how}), read as far as it goes")


def truncated(path: str | Path, how: str) -> AsdError:
    """The error to raise about a recording that is not whole: how that is known."""
    return AsdError(
        f"{path} is truncated ({how}): copy or download it again, or read what there "
        f"is ({spelled('partial=True', '--partial')})"
    )


@cache  # it is opened more than once
def say(path: Path, what: str) -> None:
    """Say something about a recording, once."""
    log.warning("%s: %s", path, what)
