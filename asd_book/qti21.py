"""The questions and exercises as a content package of QTI 2.1.

One item a question or exercise, one test of all, in sections by chapter. A question answers each
choice with the book's own sentence. An exercise is an upload: its notebook is marked by
``asd-book grade``, not by the platform.
"""

from collections.abc import Mapping, Sequence
from xml.etree.ElementTree import Element

from asd_book.packages import element, written
from asd_book.questions import Choice, Task

QTI = "http://www.imsglobal.org/xsd/imsqti_v2p1"
XSI = "http://www.w3.org/2001/XMLSchema-instance"
CP = "http://www.imsglobal.org/xsd/imscp_v1p1"


def of(kind: str, identifier: str, title: str, **about: str) -> Element:
    """The root of an item or a test."""
    schema = {
        "xmlns": QTI,
        "xmlns__xsi": XSI,
        "xsi__schemaLocation": f"{QTI} http://www.imsglobal.org/xsd/qti/qtiv2p1/imsqti_v2p1.xsd",
    }
    return element(None, kind, **schema, identifier=identifier, title=title, **about)


def choice_item(question: Choice) -> bytes:
    """A question as an item: one point for the right option, a sentence for each."""
    name = f"{question.chapter}-{question.name}"
    root = of("assessmentItem", name, question.text[:60], adaptive="false", timeDependent="false")
    declared = element(root, "responseDeclaration", identifier="RESPONSE", cardinality="single", baseType="identifier")
    right = next(i for i, option in enumerate(question.options) if option.right)
    element(element(declared, "correctResponse"), "value", f"option{right}")
    score = element(root, "outcomeDeclaration", identifier="SCORE", cardinality="single", baseType="float")
    element(element(score, "defaultValue"), "value", "0")
    element(root, "outcomeDeclaration", identifier="SAID", cardinality="single", baseType="identifier")
    body = element(root, "itemBody")
    interaction = element(body, "choiceInteraction", responseIdentifier="RESPONSE", shuffle="true", maxChoices="1")
    element(interaction, "prompt", question.text)
    for i, option in enumerate(question.options):
        element(interaction, "simpleChoice", option.text, identifier=f"option{i}")
    processing = element(root, "responseProcessing")
    told = element(processing, "setOutcomeValue", identifier="SAID")
    element(told, "variable", identifier="RESPONSE")
    condition = element(element(processing, "responseCondition"), "responseIf")
    match = element(condition, "match")
    element(match, "variable", identifier="RESPONSE")
    element(match, "correct", identifier="RESPONSE")
    gained = element(condition, "setOutcomeValue", identifier="SCORE")
    element(gained, "baseValue", "1", baseType="float")
    for i, option in enumerate(question.options):
        said = ("Right. " if option.right else "Not quite. ") + option.said
        element(root, "modalFeedback", said, outcomeIdentifier="SAID", identifier=f"option{i}", showHide="show")
    return written(root)


def upload_item(task: Task) -> bytes:
    """An exercise as an item to which the solved notebook is uploaded."""
    root = of("assessmentItem", task.name, task.title[:60], adaptive="false", timeDependent="false")
    element(root, "responseDeclaration", identifier="RESPONSE", cardinality="single", baseType="file")
    element(root, "outcomeDeclaration", identifier="SCORE", cardinality="single", baseType="float")
    body = element(root, "itemBody")
    for paragraph in task.text.split("\n\n"):
        element(body, "p", " ".join(paragraph.split()))
    interaction = element(body, "uploadInteraction", responseIdentifier="RESPONSE")
    element(interaction, "prompt", f"Solve it in the notebook {task.chapter}.ipynb, run all cells, and upload the notebook.")
    return written(root)


def package(chapters: Mapping[str, str], questions: Sequence[Choice], tasks: Sequence[Task]) -> dict[str, bytes]:
    """The files of the package, by name. ``chapters`` are titles by name."""
    items = {f"{q.chapter}-{q.name}": choice_item(q) for q in questions} | {t.name: upload_item(t) for t in tasks}
    of_chapter = {name: [f"{q.chapter}-{q.name}" for q in questions if q.chapter == name] for name in chapters}
    for task in tasks:
        of_chapter[task.chapter].append(task.name)
    test = of("assessmentTest", "odd-sound-out", "Odd Sound Out: questions and exercises")
    part = element(test, "testPart", identifier="all", navigationMode="nonlinear", submissionMode="individual")
    for name, title in chapters.items():
        section = element(part, "assessmentSection", identifier=f"chapter-{name}", title=title, visible="true")
        for item in of_chapter[name]:
            element(section, "assessmentItemRef", identifier=f"ref-{item}", href=f"items/{item}.xml")
    manifest = element(None, "manifest", xmlns=CP, xmlns__xsi=XSI, identifier="odd-sound-out-qti21")
    metadata = element(manifest, "metadata")
    element(metadata, "schema", "QTIv2.1 Package")
    element(metadata, "schemaversion", "1.0.0")
    element(manifest, "organizations")
    resources = element(manifest, "resources")
    about = element(resources, "resource", identifier="test", type="imsqti_test_xmlv2p1", href="test.xml")
    element(about, "file", href="test.xml")
    for item in items:
        element(about, "dependency", identifierref=f"res-{item}")
    for item in items:
        where = f"items/{item}.xml"
        about = element(resources, "resource", identifier=f"res-{item}", type="imsqti_item_xmlv2p1", href=where)
        element(about, "file", href=where)
    return {
        "imsmanifest.xml": written(manifest),
        "test.xml": written(test),
        **{f"items/{item}.xml": content for item, content in items.items()},
    }
