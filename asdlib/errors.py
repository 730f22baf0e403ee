"""The one kind of error that is the user's to mend.

Everything ``asdlib`` refuses (a file, a folder, a setting) is refused with an
:class:`AsdError` whose text is one sentence naming the thing and the mend. The command
``asd`` prints that sentence and exits with 2; anything else that escapes is a defect of
ours and keeps its traceback.
"""


class AsdError(ValueError):
    """Bad input, said in one sentence.

    What is wrong, with which file or value, and what to do about it.
    """
