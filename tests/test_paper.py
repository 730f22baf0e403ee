"""The paper that describes the book: its references are all there, and all used, and it claims no readers."""

import re
from pathlib import Path

PAPER = Path(__file__).parents[1] / "paper"
TEXT = (PAPER / "paper.md").read_text()


def test_every_reference_is_in_the_bibliography_and_every_entry_is_used():
    used = set(re.findall(r"@([a-z]+\d{4})", TEXT))
    assert used == set(re.findall(r"^@\w+\{(\w+),", (PAPER / "paper.bib").read_text(), re.M))


def test_it_has_what_the_journal_of_open_source_education_asks_for():
    head, *_ = re.search(r"\A---\n(.*?)\n---\n", TEXT, re.S).groups()
    assert {line.split(":")[0] for line in head.splitlines() if re.match(r"\w+:", line)} >= {
        "title", "tags", "authors", "affiliations", "date", "bibliography",
    }  # fmt: skip
    sections = re.findall(r"^# (.+)$", TEXT, re.M)
    assert sections[0] == "Summary"
    assert {"Statement of need", "Learning objectives and content", "Experience of use", "References"} <= set(sections)
    assert 500 < len(TEXT.split()) < 1200
    assert "No class has used the book yet" in TEXT
