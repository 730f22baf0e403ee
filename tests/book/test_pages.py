"""The built pages in a browser, opened from disk as a reader would: to be seen, searched, printed and answered."""

import json

import pytest

from tests.book.conftest import BUILT, EDITIONS, PAGES, pages_with, with_book

every_page = pytest.mark.parametrize("reading", with_book(PAGES), indirect=True)
HTML = EDITIONS["reader"]
SLIDES = sorted((HTML / "slides").glob("*.html")) if BUILT else []


@every_page
def test_every_widget_has_started_and_every_formula_is_set(reading):
    reading.wait_for_function(
        "document.querySelectorAll('span.math, div.math').length <= document.querySelectorAll('mjx-container').length"
    )
    assert reading.evaluate("[...document.querySelectorAll('.asd')].filter(widget => !widget.dataset.ready).length") == 0
    assert reading.evaluate("document.querySelectorAll('mjx-merror, [data-mjx-error]').length") == 0


@every_page
def test_every_picture_is_shown_and_described(reading):
    reading.wait_for_function("[...document.images].every(image => image.complete)")
    pictures = reading.evaluate("[...document.images].map(image => [image.src.slice(0, 80), image.alt, image.naturalWidth])")
    assert [source for source, text, width in pictures if not text or not width] == []


@every_page
def test_nothing_is_wider_than_a_phone(reading):
    reading.set_viewport_size({"width": 320, "height": 640})  # the narrowest phone; 1280 pixels at four times the size
    wide = reading.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    culprits = """[...document.querySelectorAll('article *')].filter(e => e.getBoundingClientRect().right > innerWidth + 1)
        .slice(0, 3).map(e => e.outerHTML.slice(0, 120))"""
    found = reading.evaluate(culprits) if wide > 1 else []
    reading.set_viewport_size({"width": 1280, "height": 900})
    assert wide <= 1, found


# Contrast is nine tenths of the time that axe takes, and a page draws thousands of texts in some fifty ways. So it looks at the
# first, the middle and the last of those that are drawn alike: same colour, size and weight on the same grounds.
ALIKE = """() => {
  const alike = new Map();
  for (const element of document.body.querySelectorAll("*")) {
    const text = [...element.childNodes].some(node => node.nodeType === Node.TEXT_NODE && node.data.trim());
    if (!(text || element.matches("input, textarea")) || !element.checkVisibility()) continue;
    const { color, fontSize, fontWeight, textShadow } = getComputedStyle(element), grounds = new Set();
    for (let one = element; one; one = one.parentElement) {
      const { backgroundColor, backgroundImage, opacity } = getComputedStyle(one);
      grounds.add(backgroundColor + backgroundImage + opacity);
    }
    const drawn = [color, fontSize, fontWeight, textShadow, ...grounds].join();
    alike.set(drawn, [...(alike.get(drawn) ?? []), element]);
  }
  const some = [...alike.values()].flatMap(all => [all[0], all[all.length >> 1], all.at(-1)]);
  return axe.run({ include: [...new Set(some)] }, { resultTypes: ["violations"], runOnly: ["color-contrast"] })
    .then(result => result.violations);
}"""
ALL_BUT_CONTRAST = """() => axe.run(document, { resultTypes: ["violations"], rules: { "color-contrast": { enabled: false } } })
    .then(result => result.violations)"""


def in_theme(page, theme):
    page.evaluate("theme => { document.documentElement.dataset.theme = theme; }", theme)
    # Half-way from one theme's colours to the other's, a text may have no contrast.
    page.evaluate("document.getAnimations().forEach(one => { if (one instanceof CSSTransition) one.finish(); })")


def violations(page, audit):
    return [(v["id"], n["html"][:160]) for v in page.evaluate(audit) for n in v["nodes"]]


@every_page
def test_everybody_can_use_the_page(reading, axe):
    """No exception: neither code nor what the theme brings."""
    reading.evaluate(axe)
    for theme in ("dark", "light"):
        in_theme(reading, theme)
        assert violations(reading, ALIKE) == [], theme
        assert violations(reading, ALL_BUT_CONTRAST) == [], theme


@pytest.mark.parametrize("path", with_book([path for path in PAGES if path.stem == "measure"]))
@pytest.mark.parametrize("selector", ["article p", "article pre .n", "article table td"])
def test_one_text_without_contrast_among_all_is_seen(page, path, axe, selector):
    """One from amid many that are drawn alike, made too light."""
    page.goto(path.as_uri())
    page.evaluate(axe)
    in_theme(page, "light")
    shown = "[...document.querySelectorAll(selector)].filter(element => element.checkVisibility())"
    page.evaluate(f"selector => {{ {shown}[10].style.color = '#ccc'; }}", selector)
    assert {name for name, _ in violations(page, ALIKE)} == {"color-contrast"}


@every_page
def test_every_question_has_one_right_answer_and_a_word_for_each(reading):
    forms = reading.locator("form[id^=ask-]")
    for k in range(forms.count()):
        form = forms.nth(k)
        told, options = form.locator("[role=status]"), form.locator("input[type=radio]")
        form.locator("button").click()
        assert told.inner_text() == "Choose an answer first."
        verdicts = []
        for i in range(options.count()):
            options.nth(i).check()
            form.locator("button").click()
            verdicts.append(form.get_attribute("data-passed"))
            begin = "Right. " if verdicts[-1] == "true" else "Not quite. "
            assert told.inner_text().startswith(begin)
            assert len(told.inner_text()) > len(begin) + 10
        assert sorted(verdicts) == [*["false"] * (len(verdicts) - 1), "true"], form.get_attribute("id")
        assert len(verdicts) > 1


@every_page
def test_every_widget_with_a_name_has_it_alone_and_keeps_its_state_in_the_address(reading):
    named = []
    for widget in reading.locator(".asd").all():
        name = json.loads(widget.locator('script[type="application/json"]').text_content()).get("name")
        assert widget.locator(".asd-share").count() == bool(name)
        if not name:
            continue
        named.append(name)
        if (slider := widget.locator("input[type=range]").first).count():
            slider.press("ArrowRight")
            reading.wait_for_function("name => location.hash.split(/[#~]/).some(part => part.startsWith(name + ':'))", arg=name)
    assert sorted(set(named)) == sorted(named)


@every_page
def test_a_solution_is_folded_until_it_is_asked_for(reading):
    solutions = reading.locator(".solution.dropdown")
    for k in range(solutions.count()):
        solution = solutions.nth(k)
        content = solution.locator("section").first
        assert not content.is_visible()
        solution.locator("button.toggle-button").first.click()
        content.wait_for(state="visible")
        assert len(content.inner_text()) > 20
    assert solutions.count() or "check(" not in reading.locator("article").inner_text()


@pytest.mark.parametrize("path", with_book(PAGES[:1]))
def test_the_search_finds_arcface(page, path):
    page.goto((HTML / "search.html").as_uri() + "?q=ArcFace")
    # results appear one after the other: wait for the one meant, not for the first
    page.locator("#search-results li a[href*='book/two_stages.html']").first.wait_for()
    page.locator("#search-results li a").first.click()
    page.wait_for_load_state()
    assert "arcface" in page.locator("article").inner_text().lower()


@pytest.mark.parametrize("path", with_book(PAGES[:1]))
def test_the_page_turns_dark_and_stays_so(page, path):
    path = next((p for p in PAGES if 'class="asd ' in p.read_text()), path)
    page.goto(path.as_uri())
    theme = "document.documentElement.dataset.theme"
    for _ in range(3):
        if page.evaluate(theme) == "dark":
            break
        page.locator(".theme-switch-button").first.click()
    page.reload()
    assert page.evaluate(theme) == "dark"
    brightness = """selector => {
        const c = getComputedStyle(document.querySelector(selector));
        const sum = text => text.match(/\\d+/g).slice(0, 3).map(Number).reduce((a, b) => a + b) / 765;
        return [sum(c.backgroundColor), sum(c.color)];
    }"""
    background, text = page.evaluate(brightness, "body")
    assert background < 0.2 < 0.7 < text
    background, text = page.evaluate(brightness, ".asd")  # and so do its widgets
    assert background < 0.2 < 0.7 < text


@pytest.mark.parametrize("path", pages_with('class="asd asd-threshold"'))
def test_on_paper_there_are_no_controls(page, path):
    page.goto(path.as_uri())
    controls = page.locator(".asd audio, .asd button, .asd select, .asd input")
    assert any(control.is_visible() for control in controls.all())
    page.emulate_media(media="print")
    assert not any(control.is_visible() for control in controls.all())
    assert page.locator(".asd svg").first.is_visible()
    paper = page.pdf()
    assert paper.startswith(b"%PDF")
    assert paper.count(b"/Type /Page\n") + paper.count(b"/Type /Page ") > 1
    assert len(paper) > 50_000


@pytest.mark.parametrize("path", with_book(SLIDES))
def test_slides_are_turned_by_keys_and_tell_what_to_say(page, path, axe):
    page.goto(path.as_uri())
    told, button = page.locator(".told"), page.get_by_role("button", name="what to say (N)")
    for shown in (True, False):
        page.keyboard.press("n")
        assert told.count() == 0 or told.first.is_visible() == shown
        assert button.get_attribute("aria-pressed") == str(shown).lower()
    button.click()
    page.evaluate(axe)
    found = page.evaluate("axe.run(document, { resultTypes: ['violations'] }).then(result => result.violations)")
    assert [(v["id"], node["html"][:160]) for v in found for node in v["nodes"]] == []
    button.click()
    n = page.locator("section").count()
    assert n > 1
    assert page.evaluate("[...document.images].filter(image => !image.alt).length") == 0
    shown = "Math.round(window.scrollY / window.innerHeight)"
    page.keyboard.press("ArrowRight")
    page.wait_for_function(f"{shown} >= 1")
    page.keyboard.press("ArrowLeft")
    page.wait_for_function(f"{shown} === 0")
