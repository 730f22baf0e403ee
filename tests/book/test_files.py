"""The files of every edition: nothing is loaded from elsewhere, no page is heavy, and each reader gets what is theirs."""

import html
import json
import re
import zipfile
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.book.conftest import BUILD, BUILT, EDITIONS, NO_BOOK

TOP = Path(__file__).parents[2]
built = pytest.mark.skipif(not BUILT, reason=NO_BOOK.kwargs["reason"])
each_edition = pytest.mark.parametrize("folder", EDITIONS.values(), ids=EDITIONS)
NOTEBOOKS = sorted((TOP / "book").glob("*.ipynb"))
CHAPTERS = [path for path in NOTEBOOKS if path.stem != "intro"]  # the front page has no exercises


class Assets(HTMLParser):
    """What a page loads: attributes that are addresses, but for those of links to go to, and addresses in its styles."""

    def __init__(self, page: Path):
        super().__init__()
        self.found, self.styled = [], False
        self.feed(page.read_text())

    def handle_starttag(self, tag, attributes):
        self.styled = tag == "style"
        for name, value in attributes:
            if tag != "a" and name in ("src", "href", "action", "data", "poster", "srcset"):
                self.found.append(value or "")
            if name == "style":
                self.found += in_style(value or "")

    def handle_data(self, data):
        if self.styled:
            self.found += in_style(data)


def in_style(text):
    addresses = re.findall(r"""url\(\s*["']?(.*?)["']?\s*\)|@import\s+["'](.*?)["']""", text)
    return [address or imported for address, imported in addresses]


def is_local(address, beside: Path):
    """Whether the ``address`` lies in the page itself or in a file that is there."""
    if address.startswith(("data:", "#", "%23")) or not address:
        return True
    file = re.split("[?#]", address)[0]
    return not re.match(r"[a-z]+:|//", address) and (beside.parent / html.unescape(file)).exists()


@built
@each_edition
def test_pages_and_styles_load_only_what_lies_beside_them(folder):
    pages = sorted(folder.rglob("*.html"))
    assert len(pages) > 5
    away = {}
    for page in pages:
        if "_static" not in page.parts:
            away[str(page)] = [address for address in Assets(page).found if not is_local(address, page)]
    for style in folder.rglob("*.css"):
        away[str(style)] = [a for a in in_style(style.read_text()) if re.match(r"https?:|//", a)]
    assert {name: addresses for name, addresses in away.items() if addresses} == {}


@built
@each_edition
def test_no_page_is_heavier_than_8_megabytes(folder):
    heavy = {str(page): page.stat().st_size for page in folder.rglob("*.html") if page.stat().st_size > 8_000_000}
    assert heavy == {}


@pytest.mark.skipif(not (BUILD / "asd-book.pdf").exists(), reason=f"no PDF in {BUILD}: install chromium, then make editions")
def test_the_whole_book_is_one_pdf():
    paper = (BUILD / "asd-book.pdf").read_bytes()
    assert paper.startswith(b"%PDF")
    assert paper.rstrip().endswith(b"%%EOF")
    assert paper.count(b"/Type /Page\n") + paper.count(b"/Type /Page ") > 3 * len(NOTEBOOKS)


@pytest.mark.skipif(not (BUILD / "asd-book.pdf").exists(), reason=f"no PDF in {BUILD}: install chromium, then make editions")
def test_the_pdf_has_a_bookmark_for_every_chapter_and_says_its_structure():
    paper = (BUILD / "asd-book.pdf").read_bytes()
    marks = re.findall(rb"/Title \(([^)]*)\)\n/Parent", paper) + re.findall(rb"<</Title \(([^)]*)\)", paper)
    titles = [json.loads(path.read_text())["cells"][0]["source"] for path in CHAPTERS]
    for title in ("".join(source).splitlines()[0].removeprefix("# ") for source in titles):
        assert any(title.encode() in mark for mark in marks), title
    assert not [mark for mark in marks if re.fullmatch(rb"(.+)\1", mark.strip())]
    assert b"/StructTreeRoot" in paper
    assert b"/Lang (en)" in paper


# ------------------------------------------------------------------------------------------- to each edition what is its


def cells(tag: str, *, with_it: bool, unseen: bool = True):
    """Notebook, kind and source of every cell that has, or has not, the ``tag``; ``unseen`` ones, too, which no page shows."""
    for path in NOTEBOOKS:
        for cell in json.loads(path.read_text())["cells"]:
            tags = cell["metadata"].get("tags", [])
            if (tag in tags) == with_it and (unseen or "remove-cell" not in tags):
                yield path.stem, cell["cell_type"], "".join(cell["source"])


def words(text: str) -> str:
    """The letters and digits of a text, one space between, so that markup and line breaks do not matter."""
    return " ".join(re.findall(r"[a-z0-9]+", text.lower()))


def phrases(source: str, kind: str):
    """Stretches of a cell that stay together on a page: lines of code, or prose between its marks."""
    if kind == "code":
        return source.splitlines()
    prose = re.sub(r"```\{.*\}.*\n(:.*\n)*|```", "\n\n", source)
    return re.split(r"[*_`$\[\](){}|]|\n\s*\n|\n\s*(?:[-*]|\d+\.)\s", prose)


def distinctive(tag: str, *, unseen: bool = True) -> dict[str, set[str]]:
    """For each chapter, phrases of at least 20 letters that stand in its cells of this ``tag`` and nowhere else."""
    elsewhere = [text for _, _, text in cells(tag, with_it=False)]
    elsewhere += [path.read_text() for path in (TOP / "book").rglob("*") if path.suffix in (".py", ".md", ".js")]
    elsewhere += [path.read_text() for path in (TOP / "asdlib").rglob("*.py")]
    elsewhere, found = words("\n".join(elsewhere)), {}
    for name, kind, source in cells(tag, with_it=True, unseen=unseen):
        own = {words(phrase) for phrase in phrases(source, kind)}
        found.setdefault(name, set()).update(text for text in own if len(text) >= 20 and text not in elsewhere)
    return found


@cache
def plain(path: Path) -> str:
    """The text of a file, markup and sounds taken away, in small letters."""
    text = path.read_text(errors="ignore")
    if path.suffix == ".ipynb":
        text = "\n".join(part for cell in json.loads(text)["cells"] for part in shown(cell))
    if path.suffix in (".html", ".ipynb"):
        text = re.sub(r'"data:[^"]*"', "", text)
        text = html.unescape(re.sub(r"<[^>]*>", "", re.sub(r"<br\s*/?>", "\n", text)))
    return text.lower()


@cache
def content(path: Path) -> str:
    return words(plain(path))


def shown(cell):
    """Source and printed, plain or HTML outputs of a cell."""
    yield html.escape("".join(cell["source"]))
    for output in cell.get("outputs", []):
        yield "".join(output.get("text", ""))
        yield from ("".join(data) for kind, data in output.get("data", {}).items() if kind.startswith("text/"))


def texts_of(folder: Path) -> list[Path]:
    kinds = (".html", ".ipynb", ".js", ".md", ".txt", ".py", ".json")
    return [path for path in folder.rglob("*") if path.suffix in kinds and "_static" not in path.parts]


@built
def test_no_file_of_the_student_holds_a_line_of_a_solution():
    solutions = distinctive("solution")
    assert len(solutions) == len(CHAPTERS) >= 10  # every chapter has some
    assert all(len(lines) > 3 for lines in solutions.values())
    every = set.union(*solutions.values())
    leaked = {f"{path.name}: {line}" for path in texts_of(EDITIONS["student"]) for line in every if line in content(path)}
    assert leaked == set()


@built
@pytest.mark.parametrize("edition", ["reader", "teacher"])
def test_the_same_lines_are_found_where_solutions_belong(edition):
    hidden = distinctive("remove-cell")
    for name, lines in distinctive("solution").items():
        lines, page = lines - hidden.get(name, set()), content(EDITIONS[edition] / "book" / f"{name}.html")
        assert sum(line in page for line in lines) > 0.8 * len(lines), name


@built
def test_the_index_of_the_student_has_no_word_that_only_solutions_use():
    stem = cache(pytest.importorskip("snowballstemmer", reason="it comes with Sphinx").stemmer("porter").stemWord)

    def stems(texts):
        return {stem(word) for word in set(re.findall(r"\w{4,}", "\n".join(texts).lower()))}

    def terms(edition):
        index = json.loads(re.search(r"\{.*\}", (EDITIONS[edition] / "searchindex.js").read_text())[0])
        return set(index["terms"]) | set(index["titleterms"])

    solutions = stems(source for _, _, source in cells("solution", with_it=True))
    assert len(solutions & terms("reader") - terms("student")) > 20  # words that came with solutions, and went with them
    said = stems(plain(path) for path in texts_of(EDITIONS["student"]) if path.suffix == ".html")
    assert solutions & terms("student") <= said


def test_the_teacher_is_told_the_minutes_that_the_chapters_say():
    told = re.findall(r"^\| \[\]\((\w+)\) \|.*\| (\d+) \|$", (TOP / "book" / "teacher.md").read_text(), re.M)
    said = {}
    for path in NOTEBOOKS:
        cells = json.loads(path.read_text())["cells"]
        found = re.search(r"\*\*Time:\*\*\s+(\d+)\s+minutes", "".join("".join(cell["source"]) for cell in cells[:2]))
        if found:
            said[path.stem] = found[1]
    assert len(said) > 15
    assert dict(told) == said


def test_the_minutes_of_the_sections_in_class_add_up():
    """Where the box of a chapter has a total and minutes after each section, up to the full stop."""
    boxes = 0
    for path in NOTEBOOKS:
        text = "".join("".join(cell["source"]) for cell in json.loads(path.read_text())["cells"])
        found = re.search(r"\*\*(?:Minutes in|In) class \((\d+)[^)]*\):\*\* (.+?)\.\s", text, re.S)
        if found:
            boxes += 1
            assert sum(map(int, re.findall(r"\b(\d+)(?=[;,.]|$| \()", found[2]))) == int(found[1]), (path.stem, found[2])
    assert boxes > 8


@built
def test_the_notes_for_the_teacher_are_in_that_edition_only():
    notes = distinctive("teacher")
    assert set(notes) == {path.stem for path in CHAPTERS}
    for name, lines in notes.items():
        page = content(EDITIONS["teacher"] / "book" / f"{name}.html")
        assert sum(line in page for line in lines) > 0.8 * len(lines), name
    every = set.union(*notes.values())
    for edition in ("reader", "student"):
        files = texts_of(EDITIONS[edition])
        assert {f"{path.name}: {line}" for path in files for line in every if line in content(path)} == set()


@pytest.mark.skipif(not (BUILD / "asd-book-student.zip").exists(), reason=NO_BOOK.kwargs["reason"])
def test_the_archive_of_the_student_holds_no_solution_either(tmp_path):
    with zipfile.ZipFile(BUILD / "asd-book-student.zip") as archive:
        archive.extractall(tmp_path)
    files = texts_of(tmp_path)
    assert sum(path.suffix == ".ipynb" for path in files) >= len(NOTEBOOKS)
    every = set.union(*distinctive("solution").values(), *distinctive("teacher").values())
    assert {f"{path.name}: {line}" for path in files for line in every if line in content(path)} == set()
