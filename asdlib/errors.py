"""The one kind of error that is the user's to mend, in the words of where they are.

Everything ``asdlib`` refuses (a file, a folder, a setting) is refused with an
:class:`AsdError` whose text is one sentence naming the thing and the mend. The command
``asd`` prints that sentence and exits with 2; anything else that escapes is a defect of
ours and keeps its traceback.

A mend that is a setting is an argument in Python and an option on the command line:
:func:`spelled` is given both, and the text has the one that its reader can write.
"""

from collections.abc import Iterator
from contextlib import contextmanager

# One for the process, so that threads which read files speak as it does.
_speaks = {"options": False}


class AsdError(ValueError):
    """Bad input, said in one sentence.

    What is wrong, with which file or value, and what to do about it.
    """


def spelled(argument: str, option: str) -> str:
    """A setting as it is written in Python, or, inside the command ``asd``, there.

    >>> f"pass {spelled('resample=True', '--resample')}, or convert it"
    'pass resample=True, or convert it'
    >>> with spelled_as_options():
    ...     f"pass {spelled('resample=True', '--resample')}, or convert it"
    'pass --resample, or convert it'
    """
    return option if _speaks["options"] else argument


@contextmanager
def spelled_as_options() -> Iterator[None]:
    """Inside, :func:`spelled` gives options: what is typed came from a command line."""
    before = _speaks["options"]
    _speaks["options"] = True
    try:
        yield
    finally:
        _speaks["options"] = before
