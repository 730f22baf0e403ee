"""The ear test on the built page, taken to its end."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from tests.book.conftest import pages_with, plays, widgets


@pytest.mark.parametrize("path", pages_with('class="asd asd-ears"'))
def test_the_ear_test_ends_with_the_auc_of_the_ratings(page, path):
    root, data = widgets(page, path, "ears")[0]
    sound, n = root.locator(".player audio"), len(data["sounds"])
    rng = np.random.default_rng(0)
    ratings, order = [], []
    for k in range(n):
        assert root.get_attribute("data-clip") == str(k + 1)
        order.append(data["sounds"].index(sound.evaluate("a => a.src")))
        if k:
            plays(sound)  # each but the first begins by itself
        ratings.append(int(rng.integers(1, 6)))
        if k % 2:
            root.locator(f'[data-rate="{ratings[-1]}"]').click()
        else:
            root.locator('[data-rate="1"]').focus()
            page.keyboard.press(str(ratings[-1]))
    assert sorted(order) == list(range(n))
    expected = roc_auc_score([data["faulty"][i] for i in order], ratings)
    assert float(root.get_attribute("data-auc")) == pytest.approx(expected)
    told = root.locator(".where").inner_text()
    assert told.startswith(f"Your AUC on these {n} clips: ")
    assert float(told.split(": ")[1].split(" %")[0]) == pytest.approx(100 * expected, abs=0.501)
    for name, auc in data["rivals"].items():
        assert f" {name}: {100 * auc:.0f} %." in told
    rows = root.locator(".result tr").all()[1:]
    assert [row.locator("td").nth(0).inner_text() for row in rows] == [f"{rating} of 5" for rating in ratings]
    assert [row.locator("td").nth(1).inner_text() for row in rows] == [data["texts"][i] for i in order]
    rows[2].locator("button").click()
    assert sound.evaluate("a => a.src") == data["sounds"][order[2]]
    plays(sound)
    root.locator(".again").click()
    assert root.get_attribute("data-clip") == "1"
    assert root.locator(".result tr").count() == 0
