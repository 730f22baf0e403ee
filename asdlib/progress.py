"""Progress of long work.

Every function that may take more than a second takes an ``on_step(text, done, total)``.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

OnStep = Callable[[str, int, int], None]

PAUSE = 0.2  # seconds between two looks at a notebook's progress
WIDTH = 40  # characters of its bar


def silent(text: str, done: int, total: int) -> None:
    """Show nothing."""


@contextmanager
def progress_bar() -> Iterator[OnStep]:
    """A progress bar, as an ``on_step``.

    It is on the terminal's standard error, or in the notebook, where it is one line of
    text; under torchrun, there is one in all.
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

    console = Console(stderr=True)
    if console.is_jupyter:
        with _line_in_notebook() as on_step:
            yield on_step
        return
    columns = (
        TextColumn("{task.description:<16}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
    )
    with Progress(
        *columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console
    ) as bar:

        def on_step(text: str, done: int, total: int) -> None:
            # Nothing is to be seen before there is a step.
            task = bar.task_ids[0] if bar.task_ids else bar.add_task(text)
            bar.update(task, description=text, completed=done, total=total)

        yield on_step


@contextmanager
def _line_in_notebook() -> Iterator[OnStep]:
    """One output of a cell that is written anew: rich's bar there needs ipywidgets."""
    from IPython.display import display

    begun, shown = time.monotonic(), -PAUSE
    step: tuple[str, int, int] | None = None
    handle: Any = None

    def show() -> None:
        nonlocal handle, shown
        assert step is not None
        shown = time.monotonic()
        line = {"text/plain": _line(*step, seconds=shown - begun)}
        if handle is None:
            handle = display(line, raw=True, display_id=True)
        else:
            handle.update(line, raw=True)

    def on_step(text: str, done: int, total: int) -> None:
        nonlocal step
        step = text, done, total
        if time.monotonic() - shown >= PAUSE:
            show()

    try:
        yield on_step
    finally:
        if step is not None:
            show()  # where it ended, or was stopped


def _line(text: str, done: int, total: int, *, seconds: float) -> str:
    full = WIDTH * min(done, total) // max(total, 1)
    bar = "━" * full + "─" * (WIDTH - full)
    minutes, rest = divmod(int(seconds), 60)
    return f"{text:<16} {bar} {done}/{total} {minutes}:{rest:02}"
