"""The widgets on the built pages, really used: sounds play, points move, counts agree with those made in Python."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from tests.book.conftest import pages_with, plays, widgets


def cursor(figure):
    return float(figure.locator(".cursor").evaluate("c => c.style.left").rstrip("%")) / 100


# --------------------------------------------------------------------------------------------------------- the players


@pytest.mark.parametrize("path", pages_with('class="asd asd-players"'))
def test_a_player_plays_seeks_and_lets_no_other_sound_beside_it(page, path):
    root, _ = max(widgets(page, path, "players"), key=lambda found: found[0].locator("figure").count())
    figures = root.locator("figure").all()
    figure, sound, picture = figures[0], figures[0].locator("audio"), figures[0].locator(".picture")
    assert sound.evaluate("a => a.paused")
    assert figure.locator(".sign").is_visible()  # press here
    assert figure.locator(".cursor").is_hidden()

    picture.focus()
    page.keyboard.press("Space")
    plays(sound)
    page.keyboard.press("Space")
    assert sound.evaluate("a => a.paused")
    assert figure.locator(".sign").is_hidden()
    duration, time = sound.evaluate("a => [a.duration, a.currentTime]")
    assert duration == pytest.approx(float(picture.get_attribute("aria-valuemax")), abs=0.2)
    assert time > 0.1
    assert cursor(figure) == pytest.approx(time / duration, abs=0.01)

    def after(key):
        page.keyboard.press(key)
        return sound.evaluate("a => a.currentTime")

    assert after("Home") == 0
    assert after("PageUp") == pytest.approx(0.5, abs=0.01)
    assert after("ArrowRight") == pytest.approx(0.6, abs=0.01)
    assert after("ArrowLeft") == pytest.approx(0.5, abs=0.01)
    assert float(picture.get_attribute("aria-valuenow")) == pytest.approx(0.5, abs=0.01)
    assert after("End") == pytest.approx(duration, abs=0.01)
    assert cursor(figure) == pytest.approx(1, abs=0.01)

    page.wait_for_function("a => !a.seeking", arg=sound.element_handle())  # or that is taken for the click's
    page.wait_for_timeout(100)
    sound.evaluate("a => a.addEventListener('seeked', () => a.dataset.sought = a.currentTime, { once: true })")
    box = picture.bounding_box()
    picture.click(position={"x": box["width"] * 0.25, "y": box["height"] / 2})
    plays(sound)
    assert float(sound.get_attribute("data-sought")) == pytest.approx(0.25 * duration, abs=0.15)

    if len(figures) > 1:
        picture.focus()
        page.keyboard.press("Home")
        sound.evaluate("a => a.play()")
        other = figures[1].locator("audio")
        figures[1].locator(".picture").focus()
        page.keyboard.press("Enter")
        plays(other)
        assert sound.evaluate("a => a.paused")
    assert page.evaluate("[...document.querySelectorAll('audio')].filter(a => !a.paused && !a.ended).length") <= 1


# ------------------------------------------------------------------------------------------------------------- the map


def places(root):
    return root.locator(".point").evaluate_all("all => all.map(p => p.style.transform.match(/-?\\d+/g).map(Number))")


def on_top(root, some=range(0, 1000)):
    """The index and middle of a point that lies under no other one."""
    return root.evaluate(
        """(root, some) => {
        root.querySelector("svg").scrollIntoView({ block: "center", behavior: "instant" });
        const points = [...root.querySelectorAll(".point")];
        for (const i of some) {
            if (!points[i]) continue;
            const box = points[i].querySelector("path").getBoundingClientRect();
            const x = box.x + box.width / 2, y = box.y + box.height / 2;
            const hit = document.elementFromPoint(x, y);
            if (hit && hit.closest(".point") === points[i]) return [i, x, y];
        }
    }""",
        list(some),
    )


@pytest.mark.parametrize("path", pages_with('class="asd asd-map"'))
def test_a_click_on_the_map_plays_the_clip_of_the_point(page, path):
    root, data = widgets(page, path, "map")[0]
    sound, told = root.locator("audio"), root.locator(".told")
    heard = set()
    for start in (3, len(data["texts"]) // 2):
        i, x, y = on_top(root, range(start, len(data["texts"])))
        page.mouse.move(x, y)
        assert told.inner_text() == data["texts"][i]
        page.mouse.click(x, y)
        plays(sound)
        assert root.get_attribute("data-playing") == str(i)
        assert sound.evaluate("a => a.src") == data["sounds"][i]
        assert told.inner_text().startswith(f"{data['texts'][i]}. Nearest: ")
        assert root.locator(".point.playing").count() == 1
        heard.add(i)
    assert len(heard) == 2


@pytest.mark.parametrize("path", pages_with('class="asd asd-map"'))
def test_the_stages_move_the_points_and_change_the_note(page, path):
    for root, data in widgets(page, path, "map"):
        for name in [*data["stages"], next(iter(data["stages"]))]:
            if len(data["stages"]) > 1:
                root.get_by_label(name, exact=True).check()
            assert root.get_attribute("data-stage") == name
            assert places(root) == data["stages"][name]
            assert root.locator(".note").inner_text() == data["notes"].get(name, "")


@pytest.mark.parametrize("path", pages_with('class="asd asd-map"'))
def test_arrow_keys_move_on_the_map_and_enter_plays(page, path):
    root, data = widgets(page, path, "map")[0]
    at, start = np.array(places(root)), 0
    index = "root => [...root.querySelectorAll('.point')].indexOf(document.activeElement)"
    for key, direction in {"ArrowRight": (1, 0), "ArrowDown": (0, 1), "ArrowLeft": (-1, 0), "ArrowUp": (0, -1)}.items():
        direction = np.array(direction)
        start = int(np.argmin(at @ direction))  # the outermost, so that there is somewhere to go
        root.locator(".point").nth(start).focus()
        page.keyboard.press(key)
        now = root.evaluate(index)
        step = at[now] - at[start]
        along, aside = step @ direction, abs(step @ direction[::-1])
        if now != start:
            assert along > 0
            assert aside <= along
            apart = np.hypot(*(at - at[now]).T) + np.where(np.arange(len(at)) == now, np.inf, 0)
            nearest = [data["texts"][k] for k in np.argsort(apart, kind="stable")[:3]]
            assert root.locator(".told").inner_text() == f"{data['texts'][now]}. Nearest: {'; '.join(nearest)}."
            assert root.locator('.point[tabindex="0"]').count() == 1
        reachable = [(s @ direction, abs(s @ direction[::-1])) for s in at - at[start]]
        assert min((a + b for a, b in reachable if a > 0 and b <= a), default=0) == along + aside  # the nearest there
    for key in ("Enter", "Space"):
        root.evaluate("root => { delete root.dataset.playing; }")
        page.keyboard.press(key)
        assert root.get_attribute("data-playing") == str(root.evaluate(index))
        plays(root.locator("audio"))


@pytest.mark.parametrize("path", pages_with('class="asd asd-map"'))
def test_one_type_fills_the_map_and_the_others_are_gone(page, path):
    root, data = widgets(page, path, "map")[0]
    width, height = data["size"]
    types = root.locator(".point").evaluate_all("all => all.map(p => p.dataset.type)")
    for kind in sorted(set(types)):
        root.locator(".types").select_option(kind)
        visible = root.locator(".point").evaluate_all("all => all.map(p => getComputedStyle(p).display !== 'none')")
        assert visible == [t == kind for t in types]
        shown = np.array([place for place, t in zip(places(root), types, strict=True) if t == kind])
        assert shown.min() >= 0
        assert (shown.max(axis=0) <= (width, height)).all()
        assert (np.ptp(shown, axis=0) >= (0.9 * width, 0.9 * height)).all()
    root.locator(".types").select_option("")
    assert places(root) == next(iter(data["stages"].values()))


# -------------------------------------------------------------------------------------------------- the threshold room


def numbers(root, name):
    text = root.locator(f".{name}").inner_text().replace("%", "").replace("(in false alarms)", "")
    return [float(part) for part in text.split("/")]


@pytest.mark.parametrize("path", pages_with('class="asd asd-threshold"'))
def test_the_threshold_counts_as_python_does(page, path):
    for root, data in widgets(page, path, "threshold"):
        for machine, table in data.items():
            if len(data) > 1:
                root.locator(".machine").select_option(machine)
            scores, faulty = np.array(table["scores"]), np.array(table["faulty"])
            expected = 100 * roc_auc_score(faulty, scores), 100 * roc_auc_score(faulty, scores, max_fpr=0.1)
            assert numbers(root, "areas") == pytest.approx(expected, abs=0.0501)
            assert root.locator(".clip").count() == len(scores)
            slider = root.locator("input.threshold")
            slider.focus()
            page.keyboard.press("Home")
            seen = set()
            for _ in range(11):
                pad = 0.02 * np.ptp(scores)
                low, high = scores.min() - pad, scores.max() + pad
                alarm = scores > low + (high - low) * float(slider.input_value()) / 1000
                found, false = int(alarm[faulty].sum()), int(alarm[~faulty].sum())
                assert numbers(root, "found") == [found, faulty.sum() - found]
                assert numbers(root, "false") == [false, (~faulty).sum() - false]
                rates = 100 * false / (~faulty).sum(), 100 * found / faulty.sum()
                assert numbers(root, "rates") == pytest.approx(rates, abs=0.0501)
                seen.add((found, false))
                page.keyboard.press("PageUp")
            assert {(faulty.sum(), (~faulty).sum()), (0, 0)} <= seen  # all alarms at one end, none at the other
            assert len(seen) > 4


@pytest.mark.parametrize("path", pages_with('class="asd asd-threshold"'))
def test_the_cost_follows_rarity_price_and_threshold(page, path):
    root, _ = widgets(page, path, "threshold")[0]
    root.locator("input.threshold").focus()
    page.keyboard.press("Home")
    while numbers(root, "rates")[0] > 60:
        page.keyboard.press("PageUp")
    assert numbers(root, "rates")[0] > 0  # false alarms that cost something
    for rare, price in ((10, 50), (0, 50), (1000, 3), (200, 0)):
        root.locator("input.rare").fill(str(rare))
        root.locator("input.price").fill(str(price))
        false, found = (share / 100 for share in numbers(root, "rates"))
        cost = rare * (1 - found) * price + (1000 - rare) * false
        assert numbers(root, "cost")[0] == pytest.approx(cost, abs=0.51 + 0.0005 * (rare * price + 1000 - rare))


@pytest.mark.parametrize("path", pages_with('class="asd asd-threshold"'))
def test_a_block_of_the_histogram_plays_its_clip(page, path):
    root, data = widgets(page, path, "threshold")[0]
    table = data[root.locator(".machine").input_value()]
    blocks, sound = root.locator(".clip"), root.locator("audio")
    for press in (lambda block: block.click(), lambda block: (block.focus(), page.keyboard.press("Enter"))):
        for k in (0, blocks.count() - 1):
            press(blocks.nth(k))
            plays(sound)
            i = int(root.get_attribute("data-playing"))
            assert sound.evaluate("a => a.src") == table["sounds"][i]
            assert blocks.nth(k).get_attribute("aria-label").startswith(f"{table['texts'][i]}, score ")
            assert root.locator(".told").inner_text() == blocks.nth(k).get_attribute("aria-label")
            assert (blocks.nth(k).get_attribute("rx") == "5") == table["faulty"][i]  # round: faulty
    first = int(np.argmin(table["scores"]))
    root.locator('.clip[tabindex="0"]').focus()
    page.keyboard.press("Enter")
    plays(sound)
    assert table["scores"][int(root.get_attribute("data-playing"))] == table["scores"][first]
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    assert table["scores"][int(root.get_attribute("data-playing"))] == sorted(table["scores"])[1]


# ------------------------------------------------------------------------------------------ the picture of the one clip


@pytest.mark.parametrize("path", pages_with('class="asd asd-map"'))
def test_the_clip_of_a_point_is_drawn_and_can_be_sought_in(page, path):
    root, data = widgets(page, path, "map")[0]
    colours = """c => new Set(new Uint32Array(c.getContext("2d").getImageData(0, 0, c.width, c.height).data.buffer)).size"""
    canvas, sound = root.locator("canvas"), root.locator("audio")
    page.wait_for_function(f"c => ({colours})(c) > 100", arg=canvas.element_handle())  # the first clip waits there
    page.wait_for_function("c => c.getAttribute('aria-label').endsWith('.')", arg=canvas.element_handle())
    first = canvas.get_attribute("aria-label")
    assert first.startswith(f"Spectrogram: {data['texts'][0]}. ")
    i, x, y = on_top(root, range(1, 1000))
    page.mouse.click(x, y)
    plays(sound)
    changed = "([c, text]) => c.getAttribute('aria-label') !== text && c.getAttribute('aria-label').endsWith('.')"
    page.wait_for_function(changed, arg=[canvas.element_handle(), first])
    page.wait_for_function(f"c => ({colours})(c) > 100", arg=canvas.element_handle())  # of the 256 that there are
    assert canvas.get_attribute("aria-label").startswith(f"Spectrogram: {data['texts'][i]}. ")
    root.locator(".picture").focus()
    page.keyboard.press("Space")
    before = sound.evaluate("a => { a.pause(); a.currentTime = 1; return a.currentTime; }")
    page.keyboard.press("ArrowLeft")
    assert sound.evaluate("a => a.currentTime") == pytest.approx(before - 0.1, abs=0.01)
