"""The face of the book: its front page, its mark, and what every page looks like."""

import re
from pathlib import Path

import pytest

from tests.book.conftest import EDITIONS, PAGES, plays, watched, widgets, with_book

HTML = EDITIONS["reader"]
BOOK = Path(__file__).parents[2] / "book"
FRONT = with_book([path for path in PAGES if path.stem == "intro"])
CHAPTERS = with_book([path for path in PAGES if (HTML / "slides" / f"{path.stem}.html").exists()])
SMALLEST = 10 * 110 / 72  # pixels, in the figure's own size: the smallest text of book.mplstyle


@pytest.mark.parametrize("path", FRONT)
def test_the_first_sound_is_one_click_away(page, path):
    page.goto(path.as_uri())
    first = page.locator(".asd-players figure").first
    assert first.locator(".picture").bounding_box()["y"] < 500  # in sight without scrolling
    first.locator(".picture").click()
    plays(first.locator("audio"))


@pytest.mark.parametrize("path", FRONT)
def test_the_first_sound_is_one_key_away_and_the_second_one_more(page, path):
    page.goto(path.as_uri())
    sounds = page.locator(".asd-players audio")
    for turn in (0, 1, 0):
        page.keyboard.press("Enter")
        plays(sounds.nth(turn))
        assert sounds.nth(1 - turn).evaluate("a => a.paused")


@pytest.mark.parametrize("path", FRONT)
def test_the_detector_answers_to_the_slider_on_the_front_page(page, path):
    (root, data) = widgets(page, path, "machine")[0]
    page.wait_for_function("root => root.dataset.state === 'answered'", arg=root.element_handle())
    healthy, alarm = float(root.get_attribute("data-score")), root.get_attribute("data-alarm")
    assert alarm == "no alarm"
    slider = root.locator("[data-name=severity]")
    slider.focus()
    page.keyboard.press("End")
    page.wait_for_function("([root, score]) => Number(root.dataset.score) > score + 5", arg=[root.element_handle(), healthy])
    assert root.get_attribute("data-alarm") == "ALARM"
    assert float(root.get_attribute("data-score")) > data["thresholds"]["fan/id_06"] > healthy


@pytest.mark.parametrize("path", FRONT)
def test_the_maps_move_from_stage_to_stage_and_paper_has_them_all(page, path):
    root, data = widgets(page, path, "maps")[0]
    stages = list(data["stages"])
    assert stages == ["untrained", "after stage 1", "after stage 2"]
    for stage in (stages[2], stages[0]):
        root.get_by_label(stage, exact=True).check()
        kinds = root.locator(".moving figure").evaluate_all(
            """all => all.map(f => [f.dataset.type, f.querySelector(".number").textContent,
                [...f.querySelectorAll(".point")].map(p => p.style.transform.match(/-?\\d+/g).map(Number))])"""
        )
        assert {kind: points for kind, _, points in kinds} == data["stages"][stage]
        assert {kind: said for kind, said, _ in kinds} == {
            kind: f"silhouette {number:.2f}" for kind, number in data["silhouettes"][stage].items()
        }
    assert root.locator(".still").is_hidden()
    page.emulate_media(media="print")
    assert root.locator(".moving").is_hidden()
    assert root.locator(".still svg").count() == 3 * len(kinds)
    assert root.locator(".still svg").first.is_visible()


@pytest.mark.parametrize("path", FRONT)
def test_the_mark_is_on_the_page_in_both_themes_and_on_what_is_posted(page, path):
    page.goto(path.as_uri())
    assert page.locator("link[rel=icon]").get_attribute("href").endswith("favicon.svg")
    card = page.locator("meta[property='og:image']").get_attribute("content")
    assert (path.parent / card).read_bytes().startswith(b"\x89PNG")
    for theme in ("light", "dark"):
        page.evaluate("theme => document.documentElement.dataset.theme = theme", theme)
        logos = page.locator(".navbar-brand img").all()
        shown = [logo.get_attribute("src") for logo in logos if logo.is_visible()]
        assert [re.search(r"logo-(\w+)\.svg", source)[1] for source in shown] == [theme]


@pytest.mark.parametrize("path", FRONT)
def test_the_mark_is_on_slides_and_on_paper(page, path):
    page.goto((HTML / "slides" / "intro.html").as_uri())
    assert page.locator("section svg[aria-label='Odd Sound Out']").first.is_visible()
    page.goto(path.as_uri())
    page.emulate_media(media="print")
    shown = page.evaluate("getComputedStyle(document.querySelector('#jb-print-docs-body h1'), '::before').content")
    assert re.search(r"logo-light\.svg", shown)
    assert (HTML / "_static" / "logo-light.svg").exists()


@pytest.mark.parametrize("path", CHAPTERS)
def test_text_in_figures_is_never_small(page, path):
    """Pictures of figures say how wide they are meant to be; as shown, their smallest text has 9 pixels or more."""
    page.goto(path.as_uri())
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 900})
        figures = page.locator("article .cell_output img:not(.asd img)").evaluate_all(
            "all => all.map(img => [img.alt, img.getBoundingClientRect().width, parseFloat(img.style.width)])"
        )
        small = [(width, alt[:60], shown, own) for alt, shown, own in figures if not shown / own * SMALLEST >= 9]
        assert small == []


def test_no_chapter_sets_its_text_smaller_than_the_style():
    for path in BOOK.glob("*.ipynb"):
        sizes = re.findall(r"(?:font|label)size=([\d.]+)", path.read_text())
        assert [size for size in sizes if float(size) < 10] == [], path.name


@pytest.mark.parametrize("path", CHAPTERS)
def test_imports_are_folded_under_one_line(page, path):
    page.goto(path.as_uri())
    first = page.locator("article .cell_input").first
    if first.count() and first.inner_text().startswith(("import ", "from ")):
        raise AssertionError("the imports are open")
    if path.stem != "intro":  # which shows no code
        folded = page.locator("details", has_text="What this page uses")
        assert folded.count() == 1
        assert folded.locator("pre").is_hidden()
        folded.locator("summary").click()
        assert folded.locator("pre").inner_text().startswith(("import ", "from "))


@pytest.mark.parametrize("path", CHAPTERS)
def test_no_output_is_a_bare_object(path):
    page = re.sub(
        r"<[^>]+>", "", " ".join(re.findall(r'<div class="output text_plain[^"]*">.*?</pre>', path.read_text(), re.DOTALL))
    )
    assert re.findall(r"np\.float\w+\(|tensor\(|array\(|&lt;[\w.]+ object at|\[?&lt;matplotlib|Text\(", page) == []


@pytest.mark.parametrize("path", CHAPTERS)
def test_players_wait_with_a_picture_and_in_the_dark_nothing_is_white(browser, path):
    with watched(browser) as page:
        page.add_init_script("localStorage.setItem('mode', 'dark'); localStorage.setItem('theme', 'dark')")
        page.goto(path.as_uri())
        for picture in page.locator(".asd .picture").all():
            if picture.is_visible():
                assert picture.locator(".sign").is_visible()
                assert picture.locator(".cursor").is_hidden()
                assert picture.bounding_box()["height"] >= 240
        grounds = page.locator(".asd").evaluate_all("all => all.map(a => getComputedStyle(a).backgroundColor)")
        assert all(sum(map(int, re.findall(r"\d+", ground)[:3])) < 200 for ground in grounds)
