"""The questions and exercises as QTI 1.2, in the form that Common Cartridge and most platforms import.

One assessment a chapter. A question is a choice with the book's own sentence for each option, an exercise
an essay: what is handed in is marked by ``asd-book grade``.
"""

from collections.abc import Sequence
from xml.etree.ElementTree import Element

from asd_book.packages import element, written
from asd_book.questions import Choice, Task

ASI = "http://www.imsglobal.org/xsd/ims_qtiasiv1p2"


def field(parent: Element, label: str, entry: str) -> None:
    """A line of metadata."""
    made = element(parent, "qtimetadatafield")
    element(made, "fieldlabel", label)
    element(made, "fieldentry", entry)


def material(parent: Element, text: str) -> None:
    """Text that is shown."""
    element(element(parent, "material"), "mattext", text, texttype="text/plain")


def item(section: Element, identifier: str, title: str, profile: str) -> Element:
    """An item with what platforms ask to know of it."""
    made = element(section, "item", ident=identifier, title=title)
    field(element(element(made, "itemmetadata"), "qtimetadata"), "cc_profile", profile)
    return made


def choice_item(section: Element, question: Choice) -> None:
    """A question: 100 for the right option, a sentence for each."""
    name = f"{question.chapter}-{question.name}"
    made = item(section, name, question.text[:60], "cc.multiple_choice.v0p1")
    shown = element(made, "presentation")
    material(shown, question.text)
    answered = element(shown, "response_lid", ident="answer", rcardinality="Single")
    offered = element(answered, "render_choice", shuffle="Yes")
    for i, option in enumerate(question.options):
        material(element(offered, "response_label", ident=f"option{i}"), option.text)
    judged = element(made, "resprocessing")
    element(element(judged, "outcomes"), "decvar", varname="SCORE", vartype="Decimal", minvalue="0", maxvalue="100")
    for i, option in enumerate(question.options):
        condition = element(judged, "respcondition", **{"continue": "Yes"})
        element(element(condition, "conditionvar"), "varequal", f"option{i}", respident="answer")
        if option.right:
            element(condition, "setvar", "100", varname="SCORE", action="Set")
        element(condition, "displayfeedback", feedbacktype="Response", linkrefid=f"said{i}")
    for i, option in enumerate(question.options):
        said = ("Right. " if option.right else "Not quite. ") + option.said
        material(element(element(made, "itemfeedback", ident=f"said{i}"), "flow_mat"), said)


def essay_item(section: Element, task: Task) -> None:
    """An exercise: marked by a person, or by what the person calls."""
    made = item(section, task.name, task.title[:60], "cc.essay.v0p1")
    field(made[0][0], "qmd_computerscored", "No")
    shown = element(made, "presentation")
    material(shown, f"{task.text}\n\nSolve it in the notebook {task.chapter}.ipynb, run all cells, and hand the notebook in.")
    element(element(shown, "response_str", ident="answer", rcardinality="Single"), "render_fib")
    judged = element(made, "resprocessing")
    element(element(judged, "outcomes"), "decvar", varname="SCORE", vartype="Decimal", minvalue="0", maxvalue="100")


def assessment(chapter: str, title: str, questions: Sequence[Choice], tasks: Sequence[Task]) -> bytes:
    """All of a chapter."""
    schema = {"xmlns": ASI, "xmlns__xsi": "http://www.w3.org/2001/XMLSchema-instance"}
    root = element(None, "questestinterop", **schema)
    whole = element(root, "assessment", ident=f"assessment-{chapter}", title=title)
    about = element(whole, "qtimetadata")
    field(about, "cc_profile", "cc.exam.v0p1")
    field(about, "qmd_assessmenttype", "Examination")
    field(about, "cc_maxattempts", "unlimited")
    section = element(whole, "section", ident=f"section-{chapter}")
    for question in questions:
        choice_item(section, question)
    for task in tasks:
        essay_item(section, task)
    return written(root)
