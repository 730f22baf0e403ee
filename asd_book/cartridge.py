"""The student's edition as a Common Cartridge 1.1, with the questions of each chapter beside it.

Pages, pictures and sounds are in it; a platform that imports it shows the book as it is. The same
questions without the book are a package of QTI 1.2.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.etree.ElementTree import Element

from asd_book import qti12
from asd_book.packages import element, written
from asd_book.questions import Choice, Task
from asdlib.errors import AsdError

CC = "http://www.imsglobal.org/xsd/imsccv1p1/imscp_v1p1"
LOM = "http://ltsc.ieee.org/xsd/imsccv1p1/LOM/manifest"
ASSESSMENT = "imsqti_xmlv1p2/imscc_xmlv1p1/assessment"


def manifest(identifier: str, title: str) -> tuple[Element, Element, Element]:
    """A manifest, the tree of what is shown, and the list of files."""
    root = element(None, "manifest", xmlns=CC, xmlns__lomimscc=LOM, identifier=identifier)
    metadata = element(root, "metadata")
    element(metadata, "schema", "IMS Common Cartridge")
    element(metadata, "schemaversion", "1.1.0")
    lom = element(metadata, "lomimscc:lom")
    named = element(element(lom, "lomimscc:general"), "lomimscc:title")
    element(named, "lomimscc:string", title, language="en")
    shown = element(element(root, "organizations"), "organization", identifier="tree", structure="rooted-hierarchy")
    return root, element(shown, "item", identifier="root"), element(root, "resources")


def questions_only(chapters: Mapping[str, str], questions: Sequence[Choice], tasks: Sequence[Task]) -> dict[str, bytes | Path]:
    """The files of a package of assessments, one a chapter."""
    root, tree, resources = manifest("odd-sound-out-qti12", "Odd Sound Out: questions and exercises")
    files: dict[str, bytes | Path] = {}
    for name, title in chapters.items():
        _add_assessment(name, title, questions, tasks, tree, resources, files)
    return {"imsmanifest.xml": written(root), **files}


def with_the_book(
    pages: Path,
    parts: Mapping[str, tuple[str, str]],
    questions: Sequence[Choice],
    tasks: Sequence[Task],
) -> dict[str, bytes | Path]:
    """The files of the cartridge. ``pages`` is the student's edition, ``parts`` the part and title of each chapter.

    Raises :class:`AsdError` where there are no pages.
    """
    if not (pages / "index.html").exists():
        raise AsdError(f"no pages in {pages}: call make editions first, and name the student's edition")
    root, tree, resources = manifest("odd-sound-out", "Odd Sound Out")
    paths = sorted(path for path in pages.rglob("*") if path.is_file())
    files: dict[str, bytes | Path] = {f"book/{path.relative_to(pages).as_posix()}": path for path in paths}
    shared = element(resources, "resource", identifier="shared", type="webcontent")
    for name in files:
        element(shared, "file", href=name)
    for part in dict.fromkeys(part for part, _ in parts.values()):
        folder = element(tree, "item", identifier=f"part-{_plain(part)}")
        element(folder, "title", part)
        for name, (of_part, title) in parts.items():
            if of_part != part:
                continue
            page = f"book/book/{name}.html"
            if page not in files:
                raise AsdError(f"{pages} has no page of the chapter {name}: build the book anew")
            about = element(resources, "resource", identifier=f"page-{name}", type="webcontent", href=page)
            element(about, "file", href=page)
            element(about, "dependency", identifierref="shared")
            item = element(folder, "item", identifier=f"item-{name}", identifierref=f"page-{name}")
            element(item, "title", title)
            _add_assessment(name, title, questions, tasks, folder, resources, files)
    return {"imsmanifest.xml": written(root), **files}


def _add_assessment(
    name: str,
    title: str,
    questions: Sequence[Choice],
    tasks: Sequence[Task],
    tree: Element,
    resources: Element,
    files: dict[str, bytes | Path],
) -> None:
    """Add the assessment of a chapter, if it asks anything."""
    own = [question for question in questions if question.chapter == name]
    todo = [task for task in tasks if task.chapter == name]
    if not own and not todo:
        return
    where = f"assessments/{name}.xml"
    files[where] = qti12.assessment(name, f"{title}: questions", own, todo)
    about = element(resources, "resource", identifier=f"ask-{name}", type=ASSESSMENT)
    element(about, "file", href=where)
    item = element(tree, "item", identifier=f"item-ask-{name}", identifierref=f"ask-{name}")
    element(item, "title", f"{title}: questions")


def _plain(text: str) -> str:
    """Letters only, for an identifier."""
    return "".join(letter if letter.isalnum() else "-" for letter in text.lower())
