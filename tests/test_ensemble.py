"""Plain detectors and a network side by side: the scale that they share, the rehearsal, what is kept."""

import math

import numpy as np
import pytest
import torch

from asdlib.clips import Clips
from asdlib.errors import AsdError
from asdlib.evaluation import auc
from asdlib.fusion import cross_scales, known_levels, learned_scales, scales, surprise_at
from asdlib.methods import embedded, ensemble
from asdlib.rehearsal import Play
from asdlib.spectra import SpectrumConfig
from asdlib.training import StageConfig

SMALL = SpectrumConfig(12, 4, width=8, embedding_dim=16)
BUDGET = StageConfig(6, 16, 3e-3, cosine_from=0)

# -------------------------------------------------------------------------------------------------------------- one scale


def test_a_machine_with_many_fresh_clips_has_its_own_scale_and_one_without_that_of_the_others():
    draw = np.random.default_rng(0)
    fresh = [5 + 0.5 * draw.normal(size=4000), 7 + 2 * draw.normal(size=4000), np.array([])]
    mean, spread = scales(fresh, [4.0, 6.0, 1.0])
    np.testing.assert_allclose(mean, [5, 7, 1 + 1], atol=0.1)
    np.testing.assert_allclose(spread, [0.5, 2, math.sqrt((0.5**2 + 2**2) / 2)], rtol=0.05)


def test_a_few_fresh_clips_count_beside_four_of_what_holds_for_all():
    mean, _ = scales([np.array([3.0, 3.0]), np.array([1.0] * 6)], [1.0, 1.0])
    rise = 2 * 2 / 8
    np.testing.assert_allclose(mean, [(6 + 4 * (1 + rise)) / 6, (6 + 4 * (1 + rise)) / 10])
    assert scales([np.array([2.0, 2.0])], [2.0])[1] == pytest.approx([1e-3])  # clips that score alike
    with pytest.raises(AsdError, match="no healthy clip is left"):
        scales([np.array([])], [1.0])


def test_surprise_at_is_minus_the_log_of_a_normal_tail_far_out_too():
    assert surprise_at(np.array([2.0]), 2.0, 5.0) == pytest.approx([math.log(2)])
    far = surprise_at(np.array([40.0]), 0.0, 1.0)[0]
    assert far == pytest.approx(40**2 / 2 + math.log(40 * math.sqrt(2 * math.pi)), rel=1e-3)


def overlearned(known, asked):
    """A scorer that a network has spoilt: a clip with a mark was learned, and lies near all others that were."""
    between = np.abs(asked[:, None, 0] - known[None, :, 0]).min(axis=1)
    return np.where(asked[:, 1] == 1, 0.01, 1.0) * (0.5 + between)


def test_scales_of_a_network_are_those_of_clips_that_it_has_not_learned_from():
    draw = np.random.default_rng(1)
    labels = np.repeat([0, 1, 2], 50)
    asked = np.concatenate([np.arange(40, 50), np.arange(90, 100)])
    learned = np.setdiff1d(np.arange(100), asked)  # and none of the last machine
    x = np.stack([draw.normal(size=150), np.isin(np.arange(150), learned)], axis=1)
    levels, rises, spread = learned_scales(overlearned, x, labels, learned=learned, asked=asked)
    np.testing.assert_allclose(rises[:2], math.log(100), atol=0.3)
    np.testing.assert_allclose(rises[2], rises[:2].mean(), atol=0.3)
    np.testing.assert_allclose(levels[:2], known_levels(overlearned, x[learned], labels[learned]))
    assert (spread < 0.3).all()
    mean, _ = cross_scales(overlearned, x[:, :1] * [1, 0], labels)  # nothing learned: clips held against each other
    np.testing.assert_allclose(mean, known_levels(overlearned, x[:, :1] * [1, 0], labels))
    _, rises, _ = learned_scales(overlearned, x, labels, learned=learned, asked=np.array([], int))
    np.testing.assert_allclose(rises, 0, atol=1e-12)


# -------------------------------------------------------------------------------------------------------------- rehearsal


def play(seed=0, clips=60):
    """Of a healthy clip and one fault made of it: two parts that hear something, one that hears nothing and shouts."""
    draw = np.random.default_rng(seed)
    truth, sources = np.repeat([0, 1], clips), np.tile(np.arange(clips), 2)
    types = np.where(sources % 2 == 0, "fan", "valve")
    found = {
        "one": draw.exponential(size=2 * clips) + 2 * truth,
        "other": draw.exponential(size=2 * clips) + 2 * truth,
        "noise": 8 * draw.exponential(size=2 * clips),
    }
    return Play(found, truth, types, sources)


def test_the_auc_of_a_rehearsal_is_the_mean_over_types_of_the_mean_surprise():
    p = play()
    score = (p.found["one"] + p.found["noise"]) / 2
    expected = np.mean([auc(p.truth[p.types == t], score[p.types == t]) for t in ("fan", "valve")])
    assert p.auc(["one", "noise"]) == pytest.approx(expected)


def test_what_does_harm_goes_and_what_helps_together_stays():
    for seed in range(5):
        assert play(seed).worth_keeping() == ("one", "other")
    harmless = play()
    del harmless.found["noise"]
    assert harmless.worth_keeping() == ("one", "other")
    alone = Play({"one": harmless.found["one"]}, harmless.truth, harmless.types, harmless.sources)
    assert alone.worth_keeping() == ("one",)


def test_a_gain_has_the_spread_of_clips_that_are_drawn_again_with_all_that_was_made_of_them():
    p = play()
    gains = p.gains(["one", "other"], ["one"])
    point = p.auc(["one", "other"]) - p.auc(["one"])
    assert np.quantile(gains, 0.025) < point < np.quantile(gains, 0.975)
    np.testing.assert_array_equal(p.gains(["one"], ["one"]), np.zeros(len(gains)))
    # Ten faults of each clip say little more than one, for there are as many clips.
    many = np.concatenate([np.arange(120), *[np.arange(60, 120)] * 9])
    again = Play({name: x[many] for name, x in p.found.items()}, p.truth[many], p.types[many], p.sources[many])
    assert again.gains(["one", "other"], ["one"]).std() == pytest.approx(gains.std(), rel=0.25)


# ------------------------------------------------------------------------------------------------------------- the method


def spectra(machines, *, seed, fault=0.0):
    draw = np.random.default_rng(seed)
    patterns = {name: np.random.default_rng(list(name.encode())).normal(size=(12, 4)) for name in machines}
    x = np.stack([patterns[name] for name in machines]) + 0.3 * draw.normal(size=(len(machines), 12, 4))
    x[:, 9:11] += fault
    return Clips((x[:, None].astype(np.float32),), machines)


MACHINES = ["fan/0", "fan/1", "fan/2", "pump/0", "pump/1", "pump/2"]


@pytest.fixture(scope="module")
def known():
    return spectra(np.repeat(MACHINES, 15), seed=0)


@pytest.fixture(scope="module")
def model(known):
    return ensemble.train(known, budget=BUDGET, encoder=SMALL, device="cpu")


def test_the_score_is_the_mean_surprise_of_the_parts_that_were_kept(known, model):
    asked = spectra(np.repeat(MACHINES, 4), seed=1)
    scores = ensemble.score(model, known, asked, device="cpu")
    assert list(scores) == ["fused", "plain", "levels", "numbers", "network"]
    np.testing.assert_allclose(scores["plain"], (scores["levels"] + scores["numbers"]) / 2)
    np.testing.assert_allclose(scores["fused"], np.mean([scores[part] for part in model.rehearsal.kept], axis=0))
    other = ensemble.train(known, budget=BUDGET, encoder=SMALL, device="cpu")
    other.kept.copy_(torch.tensor([True, False, True]))
    mean = (scores["levels"] + scores["network"]) / 2
    np.testing.assert_allclose(ensemble.score(other, known, asked, device="cpu")["fused"], mean)


def test_new_healthy_clips_surprise_every_part_as_much_as_chance_does_and_faults_more(known, model):
    """The mean of -log p is 1 where p is uniform."""
    healthy, faulty = (spectra(np.repeat(MACHINES, 40), seed=seed, fault=f) for seed, f in ((2, 0.0), (3, 2.0)))
    usual, odd = (ensemble.score(model, known, clips, device="cpu") for clips in (healthy, faulty))
    for part, scores in usual.items():
        assert 0.5 < scores.mean() < 2, part
        assert odd[part].mean() > 2 * scores.mean(), part


def test_the_rehearsal_tells_who_played_and_how_it_went(model):
    found = model.rehearsal
    assert found.strangers == ("fan/0", "pump/0")
    assert (found.healthy, found.faults) == (12, 48)  # three of fifteen of four machines, four mixtures each
    assert list(found.auc) == ["levels", "numbers", "network", "plain", "all", "kept"]
    assert all(0.5 < value <= 1 for value in found.auc.values())
    assert found.gain == pytest.approx(found.auc["kept"] - found.auc["plain"])
    assert found.low <= found.gain <= found.high
    assert model.kept.tolist() == [part in found.kept for part in model.widths]


def test_the_seed_chooses_other_strangers_and_other_fresh_clips(known):
    turned = ensemble.train(known, budget=StageConfig(1, 16, 1e-3), encoder=SMALL, device="cpu", seed=1)
    assert turned.rehearsal.strangers == ("fan/1", "pump/1")
    assert not np.array_equal(ensemble.fresh_rows(known, seed=0), ensemble.fresh_rows(known, seed=1))


def test_a_fifth_of_each_machine_is_kept_fresh_one_at_least_and_none_of_two():
    clips = spectra(["fan/0"] * 20 + ["fan/1"] * 3 + ["pump/0"] * 2, seed=0)
    rows = ensemble.fresh_rows(clips, seed=4)
    assert np.bincount(clips.labels[rows], minlength=3).tolist() == [4, 1, 0]
    np.testing.assert_array_equal(rows, np.unique(rows))


@pytest.mark.parametrize(
    ("machines", "why"), [(["fan/0", "fan/1"], "no stranger"), (["a/0", "b/0", "c/0"], "no type with two")]
)
def test_where_no_machine_can_be_spared_there_is_no_rehearsal_and_all_is_kept(machines, why):
    for each in (2, 6):
        clips = spectra(np.repeat(machines, each), seed=0)
        model = ensemble.train(clips, budget=StageConfig(2, 4, 1e-3), encoder=SMALL, device="cpu")
        assert model.rehearsal.auc == {}, why
        assert model.kept.all()
        scores = ensemble.score(model, clips, spectra(machines, seed=1), device="cpu")
        assert all(np.isfinite(values).all() for values in scores.values())


def test_the_bank_that_it_was_trained_on_is_asked_for(known, model):
    fewer = known.only(np.arange(30))
    with pytest.raises(AsdError, match="an ensemble for 6 machines, and known clips of 2: give the clips"):
        ensemble.score(model, fewer, fewer, device="cpu")


def test_a_row_holds_every_view_and_the_embedding_of_the_network(known, model):
    rows, _ = embedded(model, known, device="cpu")
    parts = model.parts_of(rows)
    assert {name: x.shape for name, x in parts.items()} == {"levels": (90, 84), "numbers": (90, 48), "network": (90, 16)}
    np.testing.assert_array_equal(parts["numbers"], known.inputs[0].reshape(90, 48))
    np.testing.assert_allclose(parts["network"], embedded(model.network, known, device="cpu")[0], atol=1e-6)
