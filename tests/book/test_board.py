"""The page of a comparison, driven in a browser: sorting, choosing, hearing, and the pictures; it needs no book."""

import json

import numpy as np
import pytest

from asdlib.board import Heard, board, worth_hearing
from asdlib.errors import AsdError
from asdlib.ranks import shares_below
from asdlib.use.board_page import write_page
from tests.book.conftest import plays

# method -> AUC, spread, seconds, rank; b and d are better than all that is as fast
METHODS = {
    "a": (0.80, 0.02, 50.0, 3.0),
    "b": (0.90, 0.01, 100.0, 1.0),
    "c_x": (0.70, 0.0, 20.0, 4.0),
    "d": (0.85, 0.03, 5.0, 2.0),
}
MACHINES = ("fan/id_00", "pump/id_02")


def row(method, budget):
    area, spread, seconds, _ = METHODS[method]
    area -= 0.3 * (budget == "seconds") * (method == "b")  # b is slow, and has not the time
    costs = {"train": seconds, "score": 1.0, "parameters": 1000.0, "macs": 2.5e6, "memory": 300.0, "epochs": 3.0}
    figures = {"auc": [area, spread], "pauc": [area - 0.1, spread], "mauc": [area - 0.2, spread]}
    if method != "c_x":  # whom the others are held against
        gain = area - METHODS["c_x"][0]
        p = 0.04 if method == "b" else 0.06
        figures["difference"] = {"against": "c_x", "mean": gain, "low": gain - 0.05, "high": gain + 0.05, "p": p}
    names = {"name": f"the method {method}", "idea": f"idea of {method}", "paper": "a paper", "scorer": "knn"}
    intervals = {key: [figures[key][0] - 0.02, figures[key][0] + 0.02] for key in ("auc", "pauc", "mauc")}
    figures |= {"interval": intervals["auc"], "intervals": intervals}
    return {"method": method, "budget": budget, **names, **figures, "costs": costs}


def found(budgets=("examples", "seconds"), seeds=(0, 1)):
    rows = [row(method, budget) for budget in budgets for method in METHODS]
    about = {"ranks": {method: values[3] for method, values in METHODS.items()}, "p": 0.004, "distance": 1.5, "blocks": 20}
    ranking = dict.fromkeys(budgets, about)
    common = {"data": "park <of> tests", "clips": 100, "epochs": 12, "seconds": 60.0, "seeds": list(seeds)}
    return common | {"rows": rows, "ranking": ranking}


def heard(machine, i, **above):
    wave = 0.3 * np.sin(np.arange(16000) * (0.1 + 0.1 * i)).astype(np.float32)
    rest = dict.fromkeys(METHODS, 0.5)
    return Heard(machine, f"faulty {i}.wav", wave, {"examples": rest | above, "seconds": rest})


@pytest.fixture
def opened(page, tmp_path):
    """The board of four methods, with two clips of each machine, in the page."""
    clips = [heard(MACHINES[0], 0, b=0.95), heard(MACHINES[0], 1, b=0.1), heard(MACHINES[1], 2, d=0.9), heard(MACHINES[1], 3)]
    write_page(found(), clips, tmp_path / "index.html", sample_rate=16000)
    page.goto((tmp_path / "index.html").as_uri())
    return page.locator(".asd-board")


def methods_shown(root):
    return root.locator("tbody th").all_inner_texts()


def test_the_best_is_on_top_and_a_head_that_is_clicked_sorts_by_it_and_then_the_other_way(opened):
    assert methods_shown(opened) == ["b", "d", "a", "c-x"]
    assert opened.locator("tbody tr.chosen th").inner_text() == "b"
    head = opened.locator("th[data-column=seconds] button")
    head.click()
    assert methods_shown(opened) == ["d", "c-x", "a", "b"]
    assert opened.locator("th[data-column=seconds]").get_attribute("aria-sort") == "ascending"
    head.click()
    assert methods_shown(opened) == ["b", "a", "c-x", "d"]
    opened.locator("th[data-column=method] button").click()
    assert methods_shown(opened) == ["a", "b", "c-x", "d"]
    assert opened.locator("tbody tr").first.inner_text().split("\t") == [
        "a", "80.0 ± 2.0", "78.0 to 82.0", "+10.0", "70.0 ± 2.0", "60.0 ± 2.0", "3.0", "51", "1", "2.5", "300",
    ]  # fmt: skip


def test_a_difference_is_marked_where_it_is_sure_and_shows_its_interval(opened):
    assert opened.locator("th[data-column=gain]").inner_text() == "ahead of c-x"
    cells = opened.locator("tbody tr td:nth-child(4)")
    assert cells.all_inner_texts() == ["+20.0 *", "+15.0", "+10.0", ""]
    assert cells.first.get_attribute("title") == "15.0 to 25.0"
    assert "Holm" in opened.locator(".sure").inner_text()
    assert opened.locator("tbody tr").first.locator("td").nth(4).get_attribute("title") == "68.0 to 72.0"  # of b's mAUC
    opened.locator("th[data-column=gain] button").click()
    assert methods_shown(opened)[0] == "b"
    opened.get_by_label("the same time (60 s of a core)").check()
    assert (
        opened.locator("tbody tr", has=opened.page.locator("button", has_text="b")).locator("td").nth(2).inner_text()
        == "−10.0 *"
    )


def test_another_budget_has_another_order_and_keeps_what_was_chosen(opened):
    opened.locator("tbody button", has_text="a").first.click()
    opened.get_by_label("the same time (60 s of a core)").check()
    assert methods_shown(opened) == ["d", "a", "c-x", "b"]
    assert opened.locator("tbody tr.chosen th").inner_text() == "a"


def test_a_method_that_is_chosen_says_what_it_is_and_what_it_alone_finds_can_be_heard(opened):
    assert opened.locator(".about h3").inner_text() == "the method b"
    assert opened.locator(".idea").inner_text() == "idea of b. a paper. Its score: knn."
    (finds,), (misses,) = (opened.locator(f".{kind} li").all_inner_texts() for kind in ("finds", "misses"))
    assert finds == "faulty 0.wav: above 95 % of the healthy clips, for the others above 50 %"
    assert misses == "faulty 1.wav: above 10 % of the healthy clips, for the others above 50 %"
    opened.locator(".misses button").click()
    plays(opened.locator("audio"))
    assert opened.locator(".told").inner_text() == "faulty 1.wav"
    assert opened.locator("audio").get_attribute("aria-label") == "faulty 1.wav"
    opened.locator(".machines").select_option(MACHINES[1])
    assert opened.locator(".finds li").all_inner_texts() == ["none that can be heard here"]
    opened.locator(".cost circle").nth(list(METHODS).index("d")).click()  # a dot of the picture
    assert opened.locator(".about h3").inner_text() == "the method d"
    assert opened.locator(".finds li").first.inner_text().startswith("faulty 2.wav: above 90 %")


def test_the_pictures_show_time_and_ranks(opened):
    dots = [(float(dot.get_attribute("cx")), float(dot.get_attribute("cy"))) for dot in opened.locator(".cost circle").all()]
    a, b, c, d = dots
    assert d[0] < c[0] < a[0] < b[0]  # seconds, to the right
    assert b[1] < d[1] < a[1] < c[1]  # AUC, upwards
    ahead = [i for i, dot in enumerate(opened.locator(".cost circle").all()) if "ahead" in dot.get_attribute("class")]
    assert ahead == [1, 3]
    names = opened.locator(".ranks text").all_text_contents()
    assert [name for name in names if not name.isdigit()] == ["b", "d", "a", "c-x"]
    assert opened.locator(".apart").inner_text() == (
        "Mean rank over 20 machines, 1 the best. Two methods can be told apart where their lines do not touch "
        "(Nemenyi, 5 %; Friedman p = 0.004)."
    )
    first, second = (opened.locator(".ranks .reach").nth(i) for i in (0, 2))  # ranks 1 and 3, 1.5 is enough
    assert float(first.get_attribute("x2")) < float(second.get_attribute("x1"))
    near = opened.locator(".ranks .reach").nth(1)  # ranks 1 and 2
    assert float(first.get_attribute("x2")) > float(near.get_attribute("x1"))


def test_on_a_phone_the_page_is_no_wider_than_it(opened, page):
    page.set_viewport_size({"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_without_sounds_and_with_one_budget_there_is_nothing_to_choose_of_them(page, tmp_path):
    write_page(found(("examples",), seeds=(3,)), [], tmp_path / "index.html", sample_rate=16000)
    page.goto((tmp_path / "index.html").as_uri())
    assert "that of other clips of the same machines: of other seeds one says nothing" in page.locator("p").first.inner_text()
    assert "of other seeds one seed says nothing" in page.locator(".sure").inner_text()
    assert "park <of> tests" in page.locator("h1").inner_text()
    assert not page.locator(".budgets").is_visible()
    assert not page.locator("audio").count()
    assert page.locator(".idea").inner_text().startswith("idea of b")


def test_a_board_says_the_same_in_words_and_without_figures_is_refused():
    assert repr(board(found(("examples",)))).splitlines()[0] == "b, examples: AUC 90.0 %"
    with pytest.raises(AsdError, match="no method has been compared: there is nothing to show"):
        board(found() | {"rows": [{"method": "a", "budget": "examples", "error": "too few"}]})


def test_what_is_worth_hearing_is_what_the_methods_disagree_on():
    healthy = np.array([True, True, False, False])
    scores = np.array([[1.0, 2.0, 2.0, 3.0], [1.0, 2.0, 0.0, 3.0]])  # two seeds
    np.testing.assert_allclose(shares_below(scores, healthy), [0.25, 0.75, 0.375, 1.0])
    above = {"a": np.array([0.5, 0.9, 0.2]), "b": np.array([0.5, 0.1, 0.5]), "c": np.array([0.5, 0.5, 0.5])}
    assert worth_hearing(above, each=2).tolist() == [1, 2]
    assert json.dumps(worth_hearing(above, each=9).tolist()) == "[1, 2, 0]"


def test_what_is_worth_hearing_shows_every_method_before_it_shows_one_twice():
    above = {"a": np.array([90, 85, 10]), "b": np.array([10, 10, 60]), "c": np.array([10, 10, 10])}
    assert worth_hearing(above, each=2).tolist() == [0, 2]
    assert worth_hearing({"a": np.array([90, 85])}, each=1).tolist() == [0]


def test_what_could_not_take_part_is_named_with_the_reason():
    failed = {"method": "a_b", "budget": "examples", "name": "x", "error": "too few"}
    given = found(("examples",))
    page = board(given | {"rows": [*given["rows"], failed], "absent": {"e_f": "reads sound only"}})._repr_html_()
    assert "<p>e-f: n/a, reads sound only</p><p>a-b: n/a, too few</p>" in page
