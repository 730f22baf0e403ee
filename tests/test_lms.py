"""Packages for learning platforms: what a platform would make of them, file by file and answer by answer."""

import re
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import pytest

from asd_book import cartridge, qti21
from asd_book.packages import pack
from asd_book.questions import Choice, Option, chapters, questions_of, tasks_of
from asdlib.errors import AsdError

TOP = Path(__file__).parents[1]
PARTS = chapters(TOP)
TITLES = {name: title for name, (_, title) in PARTS.items()}
QUESTIONS = [question for name in PARTS for question in questions_of(TOP, name)]
TASKS = [task for name in PARTS for task in tasks_of(TOP, name)]
Q21, Q12 = f"{{{qti21.QTI}}}", "{http://www.imsglobal.org/xsd/ims_qtiasiv1p2}"


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Something like the student's edition: a page a chapter, a picture and a sound."""
    folder = tmp_path_factory.mktemp("html")
    for name in ["index", *(f"book/{chapter}" for chapter in PARTS)]:
        path = folder / f"{name}.html"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"<h1>{name}</h1>")
    (folder / "_images").mkdir()
    (folder / "_images" / "a.png").write_bytes(b"png")
    return folder


@pytest.fixture(scope="module")
def packages(pages, tmp_path_factory):
    """The three archives."""
    made = {
        "qti21": qti21.package(TITLES, QUESTIONS, TASKS),
        "qti12": cartridge.questions_only(TITLES, QUESTIONS, TASKS),
        "cartridge": cartridge.with_the_book(pages, PARTS, QUESTIONS, TASKS),
    }
    folder = tmp_path_factory.mktemp("lms")
    for name, files in made.items():
        pack(files, folder / f"{name}.zip")
    return {name: zipfile.ZipFile(folder / f"{name}.zip") for name in made}


def test_every_chapter_asks_and_each_question_has_one_right_option():
    assert len(QUESTIONS) > 40
    assert len(TASKS) > 35
    for question in QUESTIONS:
        assert sum(option.right for option in question.options) == 1
        assert len(question.options) > 1
    assert {question.chapter for question in QUESTIONS} == {task.chapter for task in TASKS} == set(PARTS)


@pytest.mark.parametrize("kind", ["qti21", "qti12", "cartridge"])
def test_the_manifest_names_every_file_once_and_none_that_is_missing(packages, kind):
    archive = packages[kind]
    assert archive.testzip() is None
    assert archive.namelist()[0] == "imsmanifest.xml"
    root = ElementTree.fromstring(archive.read("imsmanifest.xml"))
    space = root.tag.partition("}")[0] + "}"
    resources = root.findall(f".//{space}resource")
    listed = {file.get("href") for resource in resources for file in resource.findall(f"{space}file")}
    assert listed | {"imsmanifest.xml"} == set(archive.namelist())
    identifiers = [element.get("identifier") for element in root.iter() if element.get("identifier")]
    assert len(set(identifiers)) == len(identifiers)
    assert all(re.fullmatch(r"[A-Za-z_][\w.-]*", identifier) for identifier in identifiers)
    for element in root.iter():
        assert element.get("identifierref") in (None, *identifiers)
        if element.get("href") and element.tag == f"{space}resource":
            assert element.get("href") in listed


def answered(root, chosen):
    """What an item of QTI 2.1 gives for the option ``chosen``: (score, what is said)."""
    right = root.findtext(f"{Q21}responseDeclaration/{Q21}correctResponse/{Q21}value")
    processing = root.find(f"{Q21}responseProcessing")
    assert [child.tag for child in processing] == [f"{Q21}setOutcomeValue", f"{Q21}responseCondition"]
    gained = processing.findtext(f".//{Q21}responseIf/{Q21}setOutcomeValue/{Q21}baseValue")
    said = {feedback.get("identifier"): feedback.text for feedback in root.findall(f"{Q21}modalFeedback")}
    return (float(gained) if chosen == right else 0.0), said[chosen]


def test_an_item_of_qti_2_1_gives_the_point_and_the_sentences_of_the_book(packages):
    for question in QUESTIONS:
        root = ElementTree.fromstring(packages["qti21"].read(f"items/{question.chapter}-{question.name}.xml"))
        offered = {c.get("identifier"): c.text for c in root.iter(f"{Q21}simpleChoice")}
        assert root.findtext(f".//{Q21}prompt") == question.text
        assert list(offered.values()) == [option.text for option in question.options]
        for identifier, option in zip(offered, question.options, strict=True):
            begin = "Right. " if option.right else "Not quite. "
            assert answered(root, identifier) == (float(option.right), begin + option.said)
    test = ElementTree.fromstring(packages["qti21"].read("test.xml"))
    references = [reference.get("href") for reference in test.iter(f"{Q21}assessmentItemRef")]
    assert sorted(references) == sorted(name for name in packages["qti21"].namelist() if name.startswith("items/"))
    assert [section.get("title") for section in test.iter(f"{Q21}assessmentSection")] == list(TITLES.values())


@pytest.mark.parametrize("kind", ["qti12", "cartridge"])
def test_an_assessment_of_qti_1_2_gives_a_hundred_for_the_right_option(packages, kind):
    seen = 0
    for chapter in PARTS:
        root = ElementTree.fromstring(packages[kind].read(f"assessments/{chapter}.xml"))
        items = {item.get("ident"): item for item in root.iter(f"{Q12}item")}
        for question in (question for question in QUESTIONS if question.chapter == chapter):
            item = items[f"{chapter}-{question.name}"]
            profile = item.find(f"{Q12}itemmetadata/{Q12}qtimetadata/{Q12}qtimetadatafield")
            assert [child.text for child in profile] == ["cc_profile", "cc.multiple_choice.v0p1"]
            offered = {x.get("ident"): x.findtext(f".//{Q12}mattext") for x in item.iter(f"{Q12}response_label")}
            said = {x.get("ident"): x.findtext(f".//{Q12}mattext") for x in item.iter(f"{Q12}itemfeedback")}
            points = {}
            for condition in item.iter(f"{Q12}respcondition"):
                chosen = condition.findtext(f"{Q12}conditionvar/{Q12}varequal")
                told = said[condition.find(f"{Q12}displayfeedback").get("linkrefid")]
                points[offered[chosen]] = float(condition.findtext(f"{Q12}setvar", "0")), told
            assert points == {
                option.text: (100.0 * option.right, ("Right. " if option.right else "Not quite. ") + option.said)
                for option in question.options
            }
            seen += 1
        essays = [item for item in items.values() if "cc.essay.v0p1" in ElementTree.tostring(item, encoding="unicode")]
        assert len(essays) == sum(task.chapter == chapter for task in TASKS)
    assert seen == len(QUESTIONS)


def test_the_cartridge_shows_every_chapter_in_its_part_with_its_questions_behind_it(packages, pages):
    root = ElementTree.fromstring(packages["cartridge"].read("imsmanifest.xml"))
    cc = f"{{{cartridge.CC}}}"
    tree = root.find(f"{cc}organizations/{cc}organization/{cc}item")
    shown = {part.findtext(f"{cc}title"): [item.findtext(f"{cc}title") for item in part.findall(f"{cc}item")] for part in tree}
    wanted: dict = {}
    for part, title in PARTS.values():
        wanted.setdefault(part, []).extend([title, f"{title}: questions"])
    assert shown == wanted
    assert packages["cartridge"].read("book/_images/a.png") == b"png"
    assert packages["cartridge"].read("book/book/listen.html") == (pages / "book" / "listen.html").read_bytes()


def test_the_same_content_gives_the_same_bytes_and_text_may_hold_any_letter(tmp_path):
    awkward = Choice("odd", "listen", 'a < b & "c" — ü?', [Option("<yes>", "]]>", True), Option("no", "&amp;", False)])
    for name in ("one", "two"):
        pack(qti21.package({"listen": "Ears & more"}, [awkward], []), tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    root = ElementTree.fromstring(zipfile.ZipFile(tmp_path / "one").read("items/listen-odd.xml"))
    assert root.findtext(f".//{Q21}prompt") == awkward.text
    assert answered(root, "option0") == (1.0, "Right. ]]>")


def test_without_pages_or_table_of_contents_it_says_what_to_do(tmp_path, pages):
    with pytest.raises(AsdError, match="call make editions first"):
        cartridge.with_the_book(tmp_path, PARTS, QUESTIONS, TASKS)
    with pytest.raises(AsdError, match="has no page of the chapter strange"):
        cartridge.with_the_book(pages, {"strange": ("part", "title")}, [], [])
    with pytest.raises(AsdError, match=r"has no _toc\.yml"):
        chapters(tmp_path)
