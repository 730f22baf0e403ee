"""Training in the page: the gradients are torch's, and the widget learns under a reader's hands."""

import json
import re
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import roc_auc_score
from torch import nn

from asdlib.classifier import ArcFace
from asdlib.contrastive import supervised_contrastive_loss
from asdlib.errors import AsdError
from asdlib.playground import CHOICES, METHODS, SETTINGS, packed, playground, scripts, small_spectra

SIZES = [7, 6, 5, 3]  # two hidden layers, odd widths
# The loss of rows through an encoder, and its slope at every weight; last, where there is one, at those of ArcFace.
SLOPES = """({ sizes, weights, x, labels, way, settings }) => {
    const encoder = asdplay.encoder(sizes, asdplay.random(0)), width = sizes[sizes.length - 1];
    encoder.weights.forEach((weight, i) => weight.set(weights[i]));
    const there = encoder.forward(Float64Array.from(x)), ways = way && Float64Array.from(way);
    const found = way ? asdplay.arcFace(there.points, labels, width, ways, settings)
        : asdplay.contrast(there.points, labels, width, settings.temperature);
    const slopes = encoder.backward(there, found.gradient).concat(way ? [found.atWeight] : []);
    return { loss: found.loss, slopes: slopes.map((one) => Array.from(one)), surprises: Array.from(found.surprises || []) };
}"""


@pytest.fixture
def script(page):
    """A page that holds the training, and nothing else."""
    page.goto("about:blank")
    page.add_script_tag(content=scripts())
    return page


def an_encoder(seed):
    torch.manual_seed(seed)
    layers = [part for a, b in pairwise(SIZES) for part in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(*layers[:-1]).double()


def both(script, encoder, loss, x, labels, way=None, **settings):
    """Loss and slopes of the script, and of torch."""
    weights = list(encoder.parameters())
    asked = {
        "sizes": SIZES,
        "weights": [w.detach().flatten().tolist() for w in weights],
        "x": x.flatten().tolist(),
        "labels": labels.tolist(),
        "way": None if way is None else way.detach().flatten().tolist(),
        "settings": settings,
    }
    found = script.evaluate(SLOPES, asked)
    value = loss(encoder(x))
    slopes = torch.autograd.grad(value, weights + ([] if way is None else [way]))
    return found, value.item(), [slope.flatten().numpy() for slope in slopes]


def agree(found, value, slopes):
    assert found["loss"] == pytest.approx(value, rel=1e-5, abs=1e-7)
    largest = max(np.abs(slope).max() for slope in slopes)
    assert largest > 1e-3
    for own, wanted in zip(found["slopes"], slopes, strict=True):
        np.testing.assert_allclose(own, wanted, rtol=1e-5, atol=1e-5 * largest)


@pytest.mark.parametrize("temperature", [0.02, 0.1, 1.0])
def test_the_slopes_of_contrast_are_torch_s(script, temperature):
    """Machines with many clips, and one with a single clip, which is nobody's partner and everybody's stranger."""
    for seed in range(5):
        encoder, rng = an_encoder(seed), np.random.default_rng(seed)
        x, labels = torch.tensor(rng.normal(size=(12, 7))), torch.tensor([0, 1, 2, 3, 0, 1, 2, 0, 1, 2, 0, 1])
        loss = partial(supervised_contrastive_loss, labels=labels, temperature=temperature)
        agree(*both(script, encoder, loss, x, labels, temperature=temperature))


@pytest.mark.parametrize(("margin", "scale"), [(0.0, 30.0), (0.5, 30.0), (1.0, 30.0), (1.25, 5.0)])
def test_the_slopes_of_arcface_are_torch_s(script, margin, scale):
    for seed in range(5):
        encoder, rng = an_encoder(seed), np.random.default_rng(seed)
        x, labels = torch.tensor(rng.normal(size=(20, 7))), torch.tensor(rng.integers(4, size=20))
        arc = ArcFace(3, 4, margin=margin, scale=scale).double()

        def loss(z, arc=arc, labels=labels):
            return F.cross_entropy(arc(z, labels), labels)

        found, value, slopes = both(script, encoder, loss, x, labels, arc.weight, margin=margin, scale=scale)
        agree(found, value, slopes)
        with torch.no_grad():
            wanted = F.cross_entropy(arc(encoder(x), labels), labels, reduction="none")
        np.testing.assert_allclose(found["surprises"], wanted, rtol=1e-5, atol=1e-12)


def test_arcface_on_its_direction_at_right_angles_and_beyond_the_margin(script):
    """Points at known angles of two machines at 0 and 90 degrees, by hand; a perfect one's surprise is not rounded to 0."""
    degrees, margin = [0, 90, 160], 1.0
    angles = np.radians(degrees)
    points = np.column_stack([np.cos(angles), np.sin(angles)]).flatten().tolist()
    ask = "([p, m]) => Array.from(asdplay.arcFace(p, [0, 0, 0], 2, [3, 0, 0, 2], { margin: m, scale: 30 }).surprises)"
    for own, angle, surprise in zip(
        [np.cos(margin), np.cos(np.pi / 2 + margin), np.cos(angles[2]) - margin * np.sin(margin)],
        angles,
        script.evaluate(ask, [points, margin]),
        strict=True,
    ):
        assert surprise == pytest.approx(np.log1p(np.exp(30 * (np.sin(angle) - own))), rel=0.01)  # its sine is floored
    perfect = script.evaluate(ask, [[1, 0] * 3, 0])[0]
    assert perfect == pytest.approx(np.exp(-30), rel=1e-6)


def test_contrast_by_hand_and_where_there_is_nothing_to_compare(script):
    ask = "([labels]) => asdplay.contrast([1, 0, 1, 0, -1, 0], labels, 2, 1)"
    assert script.evaluate(ask, [[0, 0, 1]])["loss"] == pytest.approx(np.log1p(np.exp(-2)))
    assert script.evaluate(ask, [[0, 1, 2]]) is None


def test_adam_walks_as_torch_s_does(script):
    start, slope = [1.0, -2.0, 0.5], [0.3, -4.0, 0.0]
    found = script.evaluate(
        """([start, slope]) => {
        const weights = [Float64Array.from(start)], step = asdplay.adam(weights, 0.01);
        for (let i = 0; i < 5; i++) step([slope.map((one) => one * (i + 1))]);
        return Array.from(weights[0]);
    }""",
        [start, slope],
    )
    weights = torch.tensor(start, dtype=torch.double, requires_grad=True)
    adam = torch.optim.Adam([weights], lr=0.01)
    for i in range(5):
        weights.grad = torch.tensor(slope, dtype=torch.double) * (i + 1)
        adam.step()
    np.testing.assert_allclose(found, weights.detach(), rtol=1e-10)


def test_of_an_odd_number_of_steps_the_smaller_half_is_stage_1(script, sets):
    """So five steps begin as four do, of which two are stage 1."""
    ask = """({ clips, settings }) => {
        const training = asdplay.training(asdplay.unpacked(clips), settings);
        for (let i = 0; i < 4; i++) training.next();
        const { loss, stage, places, surprises } = training.look();
        return { loss, stage, places: Array.from(places), surprises: Array.from(surprises) };
    }"""
    settings = SETTINGS | {"method": "two stages", "batch": 32}
    four, five = (script.evaluate(ask, {"clips": packed(*sets), "settings": settings | {"steps": n}}) for n in (4, 5))
    assert four["stage"] == 2
    assert five == four


# ------------------------------------------------------------------------------------------------------------ the widget

STEPS = 2000  # for some seconds, so that a hand can stop it on its way
MACHINES = [f"{kind}/id_0{i}" for kind in ("fan", "pump") for i in range(3)]


def clips(count, rng, *, shift=0.0):
    """Clips of six machines around a place of each, (count · 6, 10), and their machines."""
    places = np.random.default_rng(7).normal(size=(6, 10))
    names = MACHINES * count
    x = np.stack([places[MACHINES.index(name)] + 0.4 * rng.normal(size=10) + shift for name in names])
    return x, names


@pytest.fixture(scope="module")
def sets():
    rng = np.random.default_rng(0)
    known, healthy, faulty = clips(30, rng), clips(8, rng), clips(8, rng, shift=0.5)
    asked = np.concatenate([healthy[0], faulty[0]]), healthy[1] + faulty[1]
    return known, asked, [False] * 48 + [True] * 48


@pytest.fixture
def opened(page, sets, tmp_path):
    widget = playground(*sets, settings={"steps": STEPS, "batch": 32}, name="test")
    html = f"<!doctype html><html lang=en><title>x</title><main>{widget._repr_html_()}</main></html>"
    (tmp_path / "page.html").write_text(html)
    page.goto((tmp_path / "page.html").as_uri())
    until(page, step=0)
    return page


def until(page, **values):
    page.wait_for_selector(".asd-playground" + "".join(f'[data-{name}="{value}"]' for name, value in values.items()))


def read(page, name):
    return float(page.locator(".asd-playground").get_attribute(f"data-{name}"))


def places(page):
    marks = page.locator(".healthy, .faulty").evaluate_all("all => all.map(mark => mark.getAttribute('transform'))")
    return np.array([mark.split("(")[1].rstrip(")").split() for mark in marks], dtype=float)


def middles(points):
    """How far the healthy clips of a machine lie from their middle, on average."""
    own = points[:48].reshape(8, 6, 2)
    return np.linalg.norm(own - own.mean(axis=0), axis=2).mean()


def test_a_reader_starts_pauses_steps_and_begins_anew(opened):
    before = places(opened)
    assert before.shape == (96, 2)
    assert opened.locator(".told").text_content() == "Untrained. Press start."
    opened.locator(".step").click()
    until(opened, step=10)
    loss = read(opened, "loss")
    opened.locator(".step").click()
    until(opened, step=20)
    opened.locator(".start").press("Enter")
    opened.wait_for_function("document.querySelector('.asd-playground').dataset.step > 20")
    opened.locator(".start").click()
    until(opened, state="still")
    stopped = read(opened, "step")
    opened.wait_for_timeout(300)
    assert read(opened, "step") == stopped
    assert opened.locator(".told").text_content().startswith(f"Stopped after {stopped:.0f} of {STEPS} steps")
    opened.locator(".start").click()
    until(opened, step=STEPS)
    assert read(opened, "loss") < loss - 0.2
    assert middles(places(opened)) < middles(before) / 2
    assert read(opened, "right") > 0.95
    assert opened.locator(".told").text_content().startswith(f"Trained after {STEPS} of {STEPS} steps: ")
    opened.locator(".reset").click()
    until(opened, step=0, run=2)
    np.testing.assert_array_equal(places(opened), before)
    assert opened.locator(".runs tbody tr").count() == 2


def test_one_stage_and_two_leave_their_curves_beside_each_other(opened):
    ends = {}
    for run, method in enumerate(("two stages", "one stage"), 1):
        opened.locator(f"input[value='{method}']").check()
        until(opened, step=0, run=run)
        opened.locator(".start").click()
        until(opened, step=STEPS)
        ends[method] = read(opened, "surprise")
        assert read(opened, "stage") == 2
    assert len(opened.locator(".aucs .line").all()) == 4
    assert len(opened.locator(".aucs .line.earlier").all()) == 2
    assert len(opened.locator(".losses .line.one:not(.earlier)").all()) == 1
    rows = opened.locator(".runs tbody tr").all()
    for row, (method, auc) in zip(rows, ends.items(), strict=True):
        cells = row.locator("td").all_text_contents()
        assert cells[1] == method
        assert float(cells[-1].removesuffix(" %")) == pytest.approx(100 * auc, abs=0.051)
        assert auc > 0.6


def test_a_seed_makes_the_same_run_again_and_the_address_keeps_what_is_chosen(opened):
    opened.locator("[data-name=temperature]").select_option("0.5")
    opened.locator("[data-name=seed]").select_option("3")
    found = []
    for _ in range(2):
        opened.reload()
        until(opened, step=0)
        assert opened.locator("[data-name=temperature]").input_value() == "0.5"
        for step in (10, 20, 30):
            opened.locator(".step").click()
            until(opened, step=step)
        found.append((read(opened, "loss"), places(opened).tolist()))
    assert found[0] == found[1]
    opened.locator("[data-name=seed]").select_option("4")
    until(opened, step=0, run=2)  # the reload before has left one run, of 30 steps
    assert places(opened).tolist() != found[0][1]


def test_the_auc_is_that_of_scikit_learn(opened, sets):
    """Of the scores as the worker has them."""
    _, asked, faulty = sets
    opened.locator("input[value='one stage']").check()
    for step in (10, 20, 30):
        opened.locator(".step").click()
        until(opened, step=step)
    opened.add_script_tag(content=scripts())
    payload = {"clips": packed(*sets), "settings": SETTINGS | {"steps": STEPS, "batch": 32, "method": "one stage"}}
    scores = opened.evaluate(
        """({ clips, settings }) => {
        const training = asdplay.training(asdplay.unpacked(clips), settings);
        for (let i = 0; i < 30; i++) training.next();
        const { distances, surprises } = training.look();
        return [Array.from(distances), Array.from(surprises)];
    }""",
        payload,
    )
    names, truth = np.array(asked[1]), np.array(faulty)
    for name, own in zip(("distance", "surprise"), scores, strict=True):
        wanted = np.mean([roc_auc_score(truth[names == m], np.array(own)[names == m]) for m in MACHINES])
        assert read(opened, name) == pytest.approx(wanted, abs=1e-9)


def test_it_is_accessible(opened, axe):
    opened.evaluate(axe)
    found = opened.evaluate("axe.run(document, { runOnly: ['wcag2a', 'wcag2aa'] })")
    assert [(one["id"], [node["html"][:90] for node in one["nodes"]]) for one in found["violations"]] == []


def test_what_goes_wrong_in_the_worker_is_said(page, sets, tmp_path):
    html = playground(*sets)._repr_html_().replace("asdplay.training = function", "asdplay.nothing = function")
    (tmp_path / "page.html").write_text(f"<!doctype html><title>x</title>{html}")
    page.goto((tmp_path / "page.html").as_uri())
    page.wait_for_function("document.querySelector('.told').textContent.includes('asdplay.training is not a function')")


# ---------------------------------------------------------------------------------------------------------- what travels


def test_bytes_are_the_standardised_numbers_to_half_a_step(script, sets):
    known, asked, _ = sets
    found = script.evaluate(
        "(clips) => { const { known, asked } = asdplay.unpacked(clips); return [Array.from(known.x), Array.from(asked.x)]; }",
        packed(*sets),
    )
    centre, spread = known[0].mean(axis=0), known[0].std(axis=0)
    for own, (x, _) in zip(found, (known, asked), strict=True):
        wanted = ((x - centre) / spread).clip(-4, 4)
        assert np.abs(np.reshape(own, wanted.shape) - wanted).max() <= 4 / 127 / 2 + 1e-9


def test_small_spectra_are_levels_and_their_changes():
    log_mels = np.random.default_rng(0).normal(-40, 9, (3, 12, 50)).astype(np.float16)
    found = small_spectra(log_mels, bands=4)
    exact = log_mels.astype(float).reshape(3, 4, 3, 50)
    np.testing.assert_allclose(found[:, :4], exact.mean(axis=(2, 3)), rtol=1e-5)
    np.testing.assert_allclose(found[:, 4:], exact.std(axis=3).mean(axis=2), rtol=1e-5)
    with pytest.raises(AsdError, match="make no 5 bands"):
        small_spectra(log_mels, bands=5)


def test_what_cannot_be_shown_is_refused(sets):
    known, asked, faulty = sets
    for wrong, said in (
        ({"methods": ("three stages",)}, "no method three stages"),
        ({"methods": ()}, "choose of stage 1 alone"),
        ({"controls": ("scale",)}, "no control scale"),
        ({"settings": {"speed": 1}}, "no setting speed"),
        ({"settings": {"margin": 0.3}}, "margin of 0.3 cannot be chosen"),
    ):
        with pytest.raises(AsdError, match=said):
            playground(*sets, **wrong)
    with pytest.raises(AsdError, match="no clips of gear/id_00 to learn from"):
        packed(known, (asked[0], ["gear/id_00", *asked[1][1:]]), faulty)
    with pytest.raises(AsdError, match="3 truths for 96 clips"):
        packed(known, asked, faulty[:3])
    with pytest.raises(AsdError, match="of 10 numbers to learn from, and of 9 to judge by"):
        packed(known, (asked[0][:, :9], asked[1]), faulty)
    with pytest.raises(AsdError, match="give finite ones"):
        packed((known[0] * np.nan, known[1]), asked, faulty)
    with pytest.raises(AsdError, match="nothing to tell apart"):
        packed((known[0], ["fan/id_00"] * len(known[1])), asked, faulty)
    with pytest.raises(AsdError):
        packed(known, asked, [False] * 96)


@pytest.mark.parametrize(("count", "offered"), [(48, [8, 16, 32]), (32, [8, 16, 32]), (31, [8, 16]), (8, [8])])
def test_only_batches_that_the_clips_can_fill_are_offered(sets, count, offered):
    (x, machines), asked, faulty = sets
    page = playground((x[:count], machines[:count]), asked, faulty, settings={"batch": offered[-1]})._repr_html_()
    batches = page.split('data-name="batch"')[1].split("</select>")[0]
    assert [int(value) for value in re.findall(r">(\d+)</option>", batches)] == offered


@pytest.mark.parametrize(("count", "settings"), [(48, {}), (31, {"batch": 32}), (7, {"batch": 7})])
def test_clips_that_fill_no_batch_are_refused(sets, count, settings):
    (x, machines), asked, faulty = sets
    with pytest.raises(AsdError, match=f"{count} clips to learn from fill no batch of"):
        playground((x[:count], machines[:count]), asked, faulty, settings=settings)


def test_all_that_it_needs_is_in_it_and_it_says_what_it_is(sets):
    widget = playground(*sets, methods=METHODS[:1], controls=("temperature",))
    page = widget._repr_html_()
    assert "http" not in page.replace("http://www.w3.org", "")
    payload = json.loads(page.split('type="application/json">')[1].split("</script>")[0])
    assert payload["settings"]["temperature"] in CHOICES["temperature"].values
    assert repr(widget) == "[a small encoder to train on 180 healthy clips of 6 machines: stage 1 alone]"
