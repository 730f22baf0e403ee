"""Exercises that check themselves, in a notebook and on the page.

``check("chapter.exercise", answer)`` calls the function ``exercise`` of the module ``checks.chapter`` with the reader's
answer; the function raises :class:`Hint` with a sentence that helps, or returns when the answer is right.
``ask("chapter.question")`` shows a question of ``QUESTIONS`` in that module, to be answered by a click, with or without a
kernel. Which option is right is sealed, not written down: whoever reads the page's source does not see it at once.
"""

import html
import importlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from IPython.display import HTML


class Hint(Exception):  # noqa: N818 (not a failure: a help)
    """The answer is not right yet; the message helps."""


@dataclass(frozen=True)
class Question:
    """A question with ``options`` (text → what is said to whoever chooses it) and the ``seal`` of the right one."""

    text: str
    options: dict[str, str]
    seal: int


def number(answer, told: str = "") -> float:
    """``answer`` as one number, or a hint; ``told`` says what it was asked for."""
    if answer is None or answer is Ellipsis:
        raise Hint(
            "The function returns nothing yet: end it with return and the number."
        )
    try:
        return float(answer)
    except (TypeError, ValueError):
        raise Hint(
            f"Return one number{' for ' + told if told else ''}; yours is a {type(answer).__name__}."
        ) from None


def shaped(answer, shape: tuple[int, ...]) -> np.ndarray:
    """What was returned, as the array of ``shape`` that was asked for."""
    if answer is None or answer is Ellipsis:
        raise Hint("The function returns nothing yet.")
    got = np.asarray(answer)
    if got.shape != shape:
        raise Hint(f"Return an array of shape {shape}; yours is {got.shape}.")
    return got


def seal(option: str) -> int:
    """A number that does not show the option that it was made from (FNV-1a, many times over)."""
    value = 2166136261
    for _ in range(500):
        for byte in option.encode():
            value = ((value ^ byte) * 16777619) & 0xFFFFFFFF
    return value


def check(exercise: str, answer) -> HTML:
    """Say whether ``answer`` solves the ``exercise`` ("chapter.name"), or give a hint."""
    chapter, name = exercise.split(".")
    judge = getattr(importlib.import_module(f"checks.{chapter}"), name)
    try:
        judge(answer)
    except Hint as hint:
        return _verdict(exercise, False, f"Not yet. {hint}")
    except Exception as error:  # whatever the reader's code raises is told, not thrown at them
        return _verdict(
            exercise,
            False,
            f"Not yet. Your code stopped with {type(error).__name__}: {error}",
        )
    return _verdict(exercise, True, "Right.")


def _verdict(exercise: str, passed: bool, words: str) -> HTML:
    colour = "#009e73" if passed else "#d55e00"
    return HTML(
        f'<div role="status" data-exercise="{exercise}" data-passed="{str(passed).lower()}" style="'
        f'border-left:5px solid {colour};padding:0.4rem 0.8rem">{html.escape(words)}</div>'
    )


def ask(question: str) -> HTML:
    """The ``question`` ("chapter.name") as a small form that answers on the page."""
    chapter, name = question.split(".")
    asked = importlib.import_module(f"checks.{chapter}").QUESTIONS[name]
    group = f"ask-{chapter}-{name}"
    options = "".join(
        f'<label style="display:block"><input type="radio" name="{group}" value="{i}"> {html.escape(option)}</label>'
        for i, option in enumerate(asked.options)
    )
    data = [[seal(option), words] for option, words in asked.options.items()]
    fits = sum(number == asked.seal for number, _ in data)
    assert fits == 1, f"the seal of {question} fits {fits} options, not one"
    script = (Path(__file__).parent / "ask.js").read_text()
    inlined = json.dumps(data).replace(
        "<", "\\u003c"
    )  # no text ends the script
    return HTML(
        f'<form id="{group}" class="ask" style="padding:0.8rem 1rem;border:1px solid #7a8794;'
        f'border-left:5px solid #0068a3;border-radius:8px"><fieldset style="border:0;margin:0;padding:0">'
        f'<legend style="font-weight:bold;font-size:1em">{html.escape(asked.text)}</legend>{options}</fieldset>'
        f'<button type="submit" style="color:inherit;background:transparent;'
        f'border:1px solid #7a8794;border-radius:6px;padding:0.2rem 0.7rem;margin-top:0.4rem">check</button> <span role="status"></span></form>'
        f"<script>({script})({json.dumps(group)}, {inlined}, {asked.seal});</script>"
    )
