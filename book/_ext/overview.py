"""The method in two minutes: a deck for the first lesson, or for whoever asks what the book is about.

Every picture is the one of the chapter, and so is every number that is said.
"""

import re
from pathlib import Path

import slides

DRAWING = Path(__file__).parents[1] / "method.svg"
TITLE = "The method in two minutes"
# Seconds, heading, what is shown (the mark, the drawing of the method, or a figure of a chapter by name), what to say.
DECK = (
    (20, TITLE, "mark",
     "A fan with a chipped blade, a pump that draws air: one can hear it. But nobody has recordings of every way to fail. "
     "So the task is to learn from healthy recordings alone, and to say of a new one how odd it sounds."),
    (15, "What there is to learn from", ("data", "fig-data-counts"),
     "Thousands of healthy recordings, and of each one we know which machine it is from: its type, and its ID. "
     "That label costs nothing. The method makes it do all the work."),
    (20, "Two stages, one network", "drawing",
     "Stage 1 draws recordings of the same machine together and pushes others apart. Stage 2 keeps that network and asks it to "
     "name the machine. A recording that is said to be of one machine, and is not recognised as that machine, is surprising. "
     "The surprise is the anomaly score."),
    (20, "Stage 1: same machine, same place", ("contrast", "fig-four-points"),
     "Each recording becomes a point on a sphere. Two recordings with the same machine ID are partners, whatever was going on "
     "around them; all others are strangers. The loss pulls partners together and pushes strangers apart, the nearest ones "
     "hardest."),
    (10, "What that does", ("contrast", "fig-umap-before-after"),
     "Before, the recordings of a type lie mixed. After it, those of a machine gather, though nobody has told the network "
     "what a fault is."),
    (15, "Stage 2: name the machine, by a margin", ("classify", "fig-circles"),
     "Every machine gets a direction. ArcFace asks for more than the right answer: the right direction must win by a margin. "
     "The score is the negative logarithm of the probability of the recording's own machine."),
    (20, "What it is worth", ("two_stages", "fig-seeds"),
     "On simulated machines, at equal epochs, the first stage brings {glue:text}`gain auc:.1f` points of AUC, in each of "
     "{glue:text}`seeds` seeds. On real machines that has to be looked at again, and the book does. "
     "And by the average, nobody knows which faults are missed: listen to them."),
)  # fmt: skip


def overview(notebooks: dict[str, dict], book_title: str) -> str:
    """The page of the deck, of the executed ``notebooks`` by chapter.

    Raises ``LookupError`` where a chapter has no such figure.
    """
    sections = []
    for seconds, heading, shown, told in DECK:
        chapter = shown[0] if isinstance(shown, tuple) else None
        said = slides.glued(notebooks[chapter]) if chapter else {}
        content = f"<p>A machine sounds odd before it fails.</p>{slides.MARK}"
        if shown == "drawing":
            content = f'<div class="drawing">{re.sub(r"<!--.*?-->", "", DRAWING.read_text())}</div>'
        elif chapter:
            content = slides.picture(cell_of(notebooks[chapter], *shown), said)
        words = [f"<small>{seconds} seconds.</small> {slides.plain(told, said)}"]
        sections.append(slides.section(heading, content, words, level=2 if sections else 1))
    return slides.page(TITLE, sections, book_title)


def cell_of(notebook: dict, chapter: str, figure: str) -> dict:
    for cell in notebook["cells"]:
        if cell["metadata"].get("mystnb", {}).get("figure", {}).get("name") == figure:
            return cell
    raise LookupError(f"{chapter}.ipynb has no figure named {figure}: overview.py shows it")
