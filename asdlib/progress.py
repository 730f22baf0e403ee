"""Progress of long work.

Every function that may take more than a second takes an ``on_step(text, done, total)``.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

OnStep = Callable[[str, int, int], None]


def silent(text: str, done: int, total: int) -> None:
    """Show nothing."""


@contextmanager
def progress_bar() -> Iterator[OnStep]:
    """A progress bar, as an ``on_step``.

    It is on the terminal's standard error, or in the notebook; under torchrun, there is
    one in all.
    """
    if os.environ.get("RANK", "0") != "0":
        yield silent
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description:<16}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
    )
    with Progress(
        *columns,
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    ) as bar:

        def on_step(text: str, done: int, total: int) -> None:
            # Nothing is to be seen before there is a step.
            task = bar.task_ids[0] if bar.task_ids else bar.add_task(text)
            bar.update(task, description=text, completed=done, total=total)

        yield on_step
