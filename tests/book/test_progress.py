"""What a reader has read and answered stays in the browser: a small book of two chapters, in two editions, opened from disk."""

import importlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from asdlib.live import challenge
from tests.book.conftest import watched

TOP = Path(__file__).parents[2]
sys.path.insert(0, str(TOP / "book"))
checks = importlib.import_module("checks")

FORM, MARK = "#ask-zoo-ill", ".bd-links a:has-text('The zoo') .progress-words"
OPTIONS = {"yes": "It hisses loudly.", "no": "Listen to it again.", "perhaps": "It is one or the other."}
REFUSES = {  # as Chromium does where a user wants no data of pages kept; and where no room is left
    "none": "Object.defineProperty(window, 'localStorage', { configurable: true, get() { throw new Error('no'); } });",
    "full": "Storage.prototype.setItem = () => { throw new Error('full'); };",
}
OWN_KEYS = "Object.keys(localStorage).filter(key => key.startsWith('asd-book/'))"  # others are the theme's
NO_CLIPBOARD = "Object.defineProperty(Navigator.prototype, 'clipboard', { value: undefined });"


def notebook(title, *pages):
    cells = [{"cell_type": "markdown", "metadata": {}, "id": "first", "source": f"# {title}\n\n[](progress)"}]
    for i, page in enumerate(pages):
        output = {"output_type": "display_data", "metadata": {}, "data": {"text/html": page, "text/plain": "x"}}
        cell = {"cell_type": "code", "metadata": {"tags": ["remove-input"]}, "id": f"c{i}", "source": "1", "execution_count": 1}
        cells.append(cell | {"outputs": [output]})
    return json.dumps({"cells": cells, "metadata": {"kernelspec": {"name": "python3"}}, "nbformat": 4, "nbformat_minor": 5})


def build(folder, edition, text):
    """The folder of the pages of the small book, with the settings, extensions and page of results of the real one."""
    sys.modules["checks.zoo"] = ModuleType("checks.zoo")
    sys.modules["checks.zoo"].QUESTIONS = {"ill": checks.Question(text, OPTIONS, seal=checks.seal("yes"))}
    asked = checks.ask("zoo.ill").data
    del sys.modules["checks.zoo"]
    config = yaml.safe_load((TOP / "_config.yml").read_text())
    config["sphinx"]["config"]["asd_edition"] = edition
    parts = [{"caption": "All", "chapters": [{"file": f"book/{name}"} for name in ("zoo", "living", "progress")]}]
    for part in ("_ext", "mark"):
        shutil.copytree(TOP / "book" / part, folder / "book" / part)
    files = {
        "_config.yml": yaml.safe_dump(config),
        "_toc.yml": yaml.safe_dump({"format": "jb-book", "root": "book/intro", "parts": parts}),
        "book/intro.md": "# The front page",
        "book/references.bib": "",
        "book/progress.md": (TOP / "book" / "progress.md").read_text(),
        "book/zoo.ipynb": notebook("The zoo", asked, "<p>" + "a long chapter<br>" * 150 + "</p>"),
        "book/living.ipynb": notebook("The living one", '<div class="asd-machine"></div>', challenge()._repr_html_()),
    }
    for name, content in files.items():
        (folder / name).write_text(content)
    command = [Path(sys.executable).with_name("jupyter-book"), "build", folder, "-W", "-n", "--keep-going", "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return folder / "_build" / "html" / "book"


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    return build(tmp_path_factory.mktemp("reader"), "reader", "Is it ill?")


@pytest.fixture(scope="module")
def student(tmp_path_factory):
    """Another edition; and, with the reader's script, the next build of the book, in which the question is another."""
    return build(tmp_path_factory.mktemp("student"), "student", "Is it well?")


def go(page, folder, name):
    page.goto((folder / f"{name}.html").as_uri())


def answer(page, option):
    page.locator(FORM).get_by_label(option, exact=True).check()
    page.locator(f"{FORM} button").click()


def table(page, name):
    """The cells of a table of results, row by row."""
    rows = page.locator(f"#progress-{name} tbody tr").all()
    return [[" ".join(cell.split()) for cell in row.locator("td").all_inner_texts()] for row in rows]


def test_an_answer_is_there_again_and_the_way_to_it_is_told(page, reader):
    go(page, reader, "zoo")
    for option in ("no", "no", "perhaps"):
        answer(page, option)
    page.reload()
    page.locator(f"{FORM} [role=status]", has_text="Not quite. It is one or the other.").wait_for()
    assert page.locator(f"{FORM} input:checked").get_attribute("value") == "2"
    go(page, reader, "progress")
    assert table(page, "answers") == [["The zoo", "Is it ill?", "no perhaps", "not yet"]]
    go(page, reader, "zoo")
    for option in ("yes", "no"):  # what comes after the right one does not count
        answer(page, option)
    page.reload()
    page.locator(f"{FORM} [role=status]", has_text="Right. It hisses loudly.").wait_for()
    go(page, reader, "progress")
    assert table(page, "answers") == [["The zoo", "Is it ill?", "no perhaps yes", "at try 3"]]
    assert table(page, "chapters")[0][2:] == ["no", "1 of 1"]


def test_the_contents_say_in_words_what_was_opened_and_read(page, reader):
    go(page, reader, "intro")
    assert page.locator(".progress-mark").count() == 0
    go(page, reader, "zoo")
    assert page.locator(MARK).text_content() == " (opened, 0 of 1 questions right)"
    answer(page, "yes")
    assert page.locator(MARK).text_content() == " (opened, 1 of 1 questions right)"
    page.keyboard.press("End")
    page.locator(".bd-links", has_text="read to the end").wait_for()
    go(page, reader, "progress")
    assert page.locator(MARK).text_content() == " (read to the end, 1 of 1 questions right)"
    chapters = table(page, "chapters")
    assert re.fullmatch(r"\d+ \w+ 20\d\d", chapters[0][2])
    summary = "Read to the end: 1 of 2 chapters. Questions right: 1, 1 of them at the first try."
    assert page.locator("#progress-sum").inner_text() == summary
    assert chapters[1] == ["The living one", "no", "no", "–"]


def test_everything_can_be_forgotten_by_keyboard_and_is_asked_for_once(page, reader):
    go(page, reader, "zoo")
    answer(page, "yes")
    go(page, reader, "progress")
    page.get_by_label("Name").fill("Ada <b>")
    page.reload()
    assert page.get_by_label("Name").input_value() == "Ada <b>"
    asked = []
    page.once("dialog", lambda dialog: (asked.append(dialog.message), dialog.dismiss()))
    page.get_by_role("button", name="forget everything").press("Enter")
    assert len(table(page, "answers")) == len(asked) == 1
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="forget everything").press("Enter")
    page.get_by_text("Everything is forgotten.").wait_for()
    assert page.evaluate(OWN_KEYS) == []
    assert page.get_by_label("Name").input_value() == ""
    assert page.locator("#progress-answers").inner_text() == "No question is answered yet."
    assert page.locator(".progress-mark").count() == 0
    go(page, reader, "zoo")
    assert page.locator(f"{FORM} input:checked").count() == 0


def test_two_editions_keep_their_own(page, reader, student):
    go(page, reader, "zoo")
    answer(page, "yes")
    go(page, student, "zoo")
    assert page.locator(f"{FORM} input:checked").count() == 0
    answer(page, "no")
    go(page, student, "progress")
    assert table(page, "answers") == [["The zoo", "Is it well?", "no", "not yet"]]
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="forget everything").click()
    go(page, reader, "progress")
    assert table(page, "answers") == [["The zoo", "Is it ill?", "yes", "at try 1"]]


def test_an_answer_to_a_question_that_has_changed_is_forgotten(page, reader, student, tmp_path):
    go(page, reader, "zoo")
    answer(page, "yes")
    later = shutil.copytree(student.parent, tmp_path / "html")
    for path in later.rglob("*.html"):
        path.write_text(path.read_text().replace('"edition": "student"', '"edition": "reader"'))
    go(page, later / "book", "zoo")
    assert page.locator(f"{FORM} input:checked").count() == 0
    go(page, reader, "progress")
    assert table(page, "answers") == []
    assert table(page, "chapters")[0][1] != "no"  # but it was opened


@pytest.mark.parametrize("why", REFUSES)
def test_a_browser_that_keeps_nothing_says_so_and_the_page_works(browser, reader, why):
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.add_init_script(REFUSES[why])
    page, raised = context.new_page(), []
    page.on("pageerror", lambda error: raised.append(str(error)))
    go(page, reader, "zoo")
    assert page.locator(".bd-links .progress-trouble").inner_text().startswith("This browser keeps nothing")
    answer(page, "yes")
    assert page.locator(f"{FORM} [role=status]").inner_text() == "Right. It hisses loudly."
    assert page.locator(MARK).text_content() == " (opened, 1 of 1 questions right)"
    before = page.evaluate("document.documentElement.dataset.mode")
    page.locator(".theme-switch-button").first.click()
    assert page.evaluate("document.documentElement.dataset.mode") != before
    go(page, reader, "progress")
    assert page.locator("#progress-controls .progress-trouble").inner_text().startswith("This browser keeps nothing")
    assert table(page, "chapters")[0] == ["The zoo", "no", "no", "–"]
    page.get_by_label("Name").fill("Ada")
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="forget everything").click()
    assert page.get_by_label("Name").input_value() == ""
    context.close()
    assert raised.count("no") == (2 if why == "none" else 0)  # the theme's first line on each page, before any script of ours


def test_what_cannot_be_read_any_more_is_said_and_begins_anew(page, reader):
    go(page, reader, "zoo")
    page.evaluate(f"localStorage.setItem({OWN_KEYS}[0], '{{\"name\":')")
    page.reload()
    assert "begins anew" in page.locator(".bd-links .progress-trouble").inner_text()
    answer(page, "yes")
    page.reload()
    assert page.locator(".bd-links .progress-trouble").inner_text() == ""
    assert page.locator(f"{FORM} input:checked").count() == 1


def heard(page, severity):
    """A machine of the page is heard, and raises no alarm."""
    what = {"machine": "fan/id_00", "own": False, "alarm": False, "what": {"fault": "imbalance", "severity": severity}}
    tell = "(machine, what) => machine.dispatchEvent(new CustomEvent('heard', { detail: what }))"
    page.locator(".asd-machine").evaluate(tell, what | {"setting": {"severity": str(severity), "moment": "3"}})


def test_a_record_outlives_its_address_and_somebody_else_s_link(page, reader):
    def row(whose):
        return page.locator(f".missed-{whose} td").all_text_contents()[:3]

    go(page, reader, "living")
    heard(page, 0.9)
    page.locator("button.missed").click()
    go(page, reader, "living")
    assert row("own") == ["0.9", "imbalance", "fan/id_00"]
    go(page, reader, "intro")
    page.goto((reader / "living.html").as_uri() + "#~challenge:missed=1.1%7Cclogging%7Cfan%2Fid_02")
    assert row("sent") == ["1.1", "clogging", "fan/id_02"]
    assert row("own") == ["0.9", "imbalance", "fan/id_00"]
    heard(page, 1)
    page.locator("button.missed").click()  # better than one's own, though not than theirs
    assert row("own")[0] == "1"
    heard(page, 0.8)
    page.locator("button.missed").click()
    assert page.locator(".asd-challenge .told").inner_text() == "Your record is severity 1 already."
    go(page, reader, "progress")
    loud = "strongest fault heard, without an alarm"
    assert table(page, "records") == [["The living one", loud, "1", "imbalance", "fan/id_00"]]


def test_a_link_is_copied_or_shown_and_listed(browser, reader):
    for refused in (False, True):
        with watched(browser) as page:
            page.context.grant_permissions([] if refused else ["clipboard-read", "clipboard-write"])
            page.add_init_script(NO_CLIPBOARD if refused else "")
            go(page, reader, "living")
            share, told = page.get_by_role("button", name="copy the link"), page.locator(".asd-share [role=status]")
            share.click()
            assert told.inner_text() == "There is nothing to share yet: turn something first."
            heard(page, 1.5)
            page.locator("button.missed").click()
            share.press("Enter")
            field = page.get_by_label("The link")
            if refused:
                field.wait_for()
                assert told.inner_text().startswith("This browser lets no page copy")
                assert page.evaluate("getSelection().toString()") == field.input_value()
                link = field.input_value()
            else:
                page.get_by_text("Copied.").wait_for()
                assert not field.is_visible()
                link = page.evaluate("navigator.clipboard.readText()")
            assert link == (reader / "living.html").as_uri() + "#~challenge:missed=1.5%7Cimbalance%7Cfan%2Fid_00%7Cmoment%3D3"
            go(page, reader, "progress")
            assert table(page, "shared") == [["The living one", "Your record", "missed: 1.5 imbalance fan/id_00 moment=3"]]
            page.locator("#progress-shared a").click()
            page.locator(".missed-own td", has_text="1.5").wait_for()
            assert page.url == link


def test_a_link_pasted_over_the_address_of_its_own_page_sets_it(page, reader):
    go(page, reader, "living")
    page.goto((reader / "living.html").as_uri() + "#~challenge:caught=0.9%7Cclogging%7Cfan%2Fid_02")
    page.locator(".caught-sent td", has_text="0.9").wait_for()


def test_the_results_are_accessible_fit_a_phone_and_print(page, reader, axe):
    go(page, reader, "zoo")
    answer(page, "no")
    go(page, reader, "progress")
    page.get_by_label("Name").fill("Ada")
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 1
    page.evaluate(axe)
    for theme in ("light", "dark"):
        page.evaluate("theme => { document.documentElement.dataset.theme = theme; }", theme)
        found = page.evaluate("axe.run('article', { runOnly: ['wcag2a', 'wcag2aa'] })")
        assert [(one["id"], [node["html"][:90] for node in one["nodes"]]) for one in found["violations"]] == []
    page.evaluate("() => { window.print = () => { document.title = 'printed'; }; }")
    page.get_by_role("button", name="print").press("Enter")
    assert page.title() == "printed"
    look = "() => { document.title = document.documentElement.dataset.theme + getComputedStyle(document.body).color; }"
    page.evaluate(f"() => window.addEventListener('beforeprint', {look})")
    assert page.pdf().startswith(b"%PDF")
    assert re.fullmatch(r"lightrgb\((\d\d?), \d\d?, \d\d?\)", page.title())  # dark on white, although the page is dark
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    page.emulate_media(media="print")
    assert not any(button.is_visible() for button in page.locator("article button").all())
    assert page.get_by_label("Name").is_visible()
    assert page.locator("#progress-when").inner_text().endswith("reader’s edition, version 0.2.0.")
