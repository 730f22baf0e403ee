"""Three editions from one source: what stays of a chapter for the reader, the student and the teacher.

Cells are told apart by their tags. ``solution`` cells are folded for the reader, open for the teacher, and gone for the
student; ``teacher`` cells are for the teacher only. It is done to the notebook, before a page is made of it, so nothing is
left of a solution anywhere in the student's edition.
"""

import copy

EDITIONS = ("reader", "student", "teacher")
TEACHERS_PAGES = ("book/teacher",)
USES = "What this page uses"  # in place of a chapter's imports, until they are opened
TEXT = 760  # pixels: about as wide as the text is
WIDE = ("map", "maps", "threshold", "machine", "playground")  # widgets that use all the room they get


def tags(cell: dict) -> list[str]:
    return cell["metadata"].get("tags", [])


def lay_out(cell: dict) -> None:
    """Pictures at their own size, however fine their pixels are; what is wider than the text takes the page's full width."""
    wide = False
    for output in cell.get("outputs", []):
        if size := output.get("metadata", {}).get("image/png", {}):
            cell["metadata"].setdefault("mystnb", {}).setdefault("image", {})["width"] = f"{size['width']}px"
            wide |= size["width"] > TEXT
        wide |= any(f'class="asd asd-{kind}"' in "".join(output.get("data", {}).get("text/html", "")) for kind in WIDE)
    if wide:
        cell["metadata"]["tags"] = [*tags(cell), "full-width"]


def for_edition(notebook: dict, edition: str) -> dict:
    """The ``notebook`` (a dictionary, as in its file) as it stands in the ``edition``."""
    gone = {
        "reader": {"teacher"},
        "student": {"teacher", "solution"},
        "teacher": set(),
    }[edition]
    notebook = copy.deepcopy(notebook)
    notebook["cells"] = [cell for cell in notebook["cells"] if not gone & set(tags(cell))]
    uses = next((cell for cell in notebook["cells"] if cell["cell_type"] == "code"), None)
    if uses and not tags(uses) and "".join(uses["source"]).startswith(("import ", "from ")):
        uses["metadata"].setdefault("mystnb", {})["code_prompt_show"] = USES
        uses["metadata"]["tags"] = ["hide-input"]
    for cell in notebook["cells"]:
        if "".join(cell["source"]).startswith(("ask(", "run_card(")):  # on a page, what they show is enough
            cell["metadata"]["tags"] = [*tags(cell), "remove-input"]
        lay_out(cell)
    if edition == "teacher":
        for cell in notebook["cells"]:
            if "solution" in tags(cell) and cell["cell_type"] == "markdown":
                lines = "".join(cell["source"]).splitlines(keepends=True)
                cell["source"] = [line for line in lines if line.strip() != ":class: dropdown"]
    return notebook


def toc_for_edition(toc: dict, edition: str) -> dict:
    """The table of contents (as in ``_toc.yml``) without the pages that are not in the ``edition``."""
    toc = copy.deepcopy(toc)
    for part in toc["parts"]:
        part["chapters"] = [row for row in part["chapters"] if edition == "teacher" or row["file"] not in TEACHERS_PAGES]
    return toc


def files_of(toc: dict) -> list[str]:
    """The files of a table of contents in its order, the first page and the pages below others with them."""
    rows = [row for part in toc["parts"] for row in part["chapters"]]
    return [toc["root"], *(below["file"] for row in rows for below in (row, *row.get("sections", [])))]


def exercises(notebook: dict) -> dict[str, set[str]]:
    """What the checks of an executed ``notebook`` said: exercise → {"starter failed", "solution passed", ...}."""
    said: dict[str, set[str]] = {}
    for cell in notebook["cells"]:
        kind = next(
            (tag for tag in ("starter", "solution") if tag in tags(cell)),
            "other",
        )
        for output in cell.get("outputs", []):
            page = "".join(output.get("data", {}).get("text/html", ""))
            for part in page.split('data-exercise="')[1:]:
                name, passed = (
                    part.split('"')[0],
                    part.split('data-passed="')[1].split('"')[0] == "true",
                )
                said.setdefault(name, set()).add(f"{kind} {'passed' if passed else 'failed'}")
    return said


def unproven(notebook: dict) -> list[str]:
    """The exercises of an executed ``notebook`` whose starter does not fail or whose solution does not pass."""
    return [name for name, said in exercises(notebook).items() if said != {"starter failed", "solution passed"}]
