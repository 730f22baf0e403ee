"""A browser on the built pages; it watches that they load nothing from elsewhere and stop nowhere.

``ASDLIB_BUILD`` names another folder of built editions than ``_build``.
"""

import json
import os
import re
import shutil
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

BUILD = Path(os.environ.get("ASDLIB_BUILD", Path(__file__).parents[2] / "_build"))
EDITIONS = {"reader": BUILD / "html", "student": BUILD / "student" / "html", "teacher": BUILD / "teacher" / "html"}
BUILT = all(folder.is_dir() for folder in EDITIONS.values())
PAGES = sorted((EDITIONS["reader"] / "book").glob("*.html")) if BUILT else []
NO_BOOK = pytest.mark.skip(reason=f"no finished book in {BUILD}: make editions first")
# What the theme raises when it is opened from disk, with no harm to be seen; its search misses the summaries of the pages.
OF_THE_THEME = re.compile(r"Cannot read properties of null \(reading 'classList'\)|Got invalid theme mode|Failed to fetch")


def with_book(paths):
    """``paths`` as parameters named by their stems, or one that skips."""
    return [pytest.param(path, id=path.stem) for path in paths] or [pytest.param(None, marks=NO_BOOK)]


def pages_with(text: str):
    """The pages that hold ``text``, as parameters."""
    return with_book([path for path in PAGES if text in path.read_text()])


def widgets(page, path, kind):
    """The widgets of one ``kind`` on the page of this ``path``, each with its payload."""
    page.goto(path.as_uri())
    found = page.locator(f".asd-{kind}").all()
    return [(root, json.loads(root.locator('script[type="application/json"]').text_content())) for root in found]


def plays(sound):
    """Wait until the ``sound`` has really gone on for a while."""
    sound.evaluate("""a => new Promise((done, fail) => {
        let start = a.currentTime, tries = 0;
        (function look() {
            if (a.ended || a.currentTime > start + 0.15) done();
            else if (++tries > 200) fail("it does not play: " + JSON.stringify([a.paused, a.currentTime, a.readyState]));
            else setTimeout(look, 50);
        })();
    })""")


@pytest.fixture(scope="session")
def browser():
    api = pytest.importorskip("playwright.sync_api", reason="no Playwright: pip install playwright")
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        pytest.skip("no Chromium: install chromium, chromium-browser or google-chrome")
    with api.sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--autoplay-policy=no-user-gesture-required"]
        browser = playwright.chromium.launch(executable_path=program, args=arguments)
        yield browser
        browser.close()


@contextmanager
def watched(browser):
    """A page of its own; at the end, anything loaded from elsewhere, not found, or raised is a failure."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
    context.set_default_timeout(60_000)
    page, troubles = context.new_page(), []

    def requested(request):
        if not request.url.startswith(("file:", "data:", "blob:")):
            troubles.append(f"asked for {request.url[:200]}")

    def failed(request):
        if request.failure == "net::ERR_FILE_NOT_FOUND":
            troubles.append(f"did not find {request.url[-200:]}")

    def raised(error):
        if not OF_THE_THEME.search(str(error)):
            troubles.append(f"raised {str(error)[:300]}")

    context.on("request", requested)
    context.on("requestfailed", failed)
    page.on("pageerror", raised)
    yield page
    context.close()
    assert troubles == []


@pytest.fixture
def page(browser):
    with watched(browser) as page:
        yield page


@pytest.fixture(scope="module")
def reading(request, browser):
    """A page that is opened once for all tests that only look at it; its path comes as an indirect parameter."""
    with watched(browser) as page:
        page.goto(request.param.as_uri())
        yield page


@pytest.fixture(scope="session")
def axe() -> str:
    """The script of axe-core, which comes with axe-playwright-python."""
    package = find_spec("axe_playwright_python")
    if package is None:
        pytest.skip("no axe-core: pip install axe-playwright-python")
    return (Path(package.origin).parent / "axe.min.js").read_text()
