"""Sub-cluster AdaCos: the head by hand, the mixing, and what each branch of its encoder can and cannot hear."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from asdlib.clips import Clips
from asdlib.encoders import new_encoder
from asdlib.errors import AsdError
from asdlib.features import FeatureConfig
from asdlib.heads import AdaProj, SubClusterAdaCos
from asdlib.methods import Task, _feat_ex, sub_cluster
from asdlib.spectrogram_encoder import SpectrogramConfig, SpectrogramEncoder
from asdlib.training import StageConfig

FEATURES = FeatureConfig(seconds=3.0)
SMALL = SpectrogramConfig(seconds=1.0, width=8, embedding_dim=8)


def noise(count, seconds=3.0, *, seed=0):
    samples = round(seconds * FEATURES.sample_rate)
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(count, samples)).astype(np.float32)) * 0.1


# ------------------------------------------------------------------------------------------------------------------ head


def test_the_softmax_of_a_class_is_the_sum_over_its_centres():
    torch.manual_seed(0)
    head, x = SubClusterAdaCos(5, 3, centres=4), torch.randn(7, 5)
    assert head.scale == pytest.approx(math.sqrt(2) * math.log(3 * 4 - 1))
    cosines = F.cosine_similarity(x[:, None], head.weight[None], dim=2)
    every = (head.scale * cosines).softmax(dim=1)
    by_class = torch.stack([every[:, 4 * c : 4 * c + 4].sum(dim=1) for c in range(3)], dim=1)
    torch.testing.assert_close(head(x).softmax(dim=1), by_class)
    torch.testing.assert_close(head(3 * x), head(x))  # angles only
    torch.testing.assert_close(head(x, torch.zeros(7, dtype=torch.long)), head(x))  # no margin


def test_with_one_centre_a_class_it_is_the_cross_entropy_of_scaled_cosines():
    torch.manual_seed(1)
    head, x, y = SubClusterAdaCos(5, 6, centres=1), torch.randn(9, 5), torch.arange(9) % 6
    cosines = F.cosine_similarity(x[:, None], head.weight[None], dim=2)
    expected = F.cross_entropy(math.sqrt(2) * math.log(5) * cosines, y)
    torch.testing.assert_close(F.cross_entropy(head(x), y), expected)


def test_no_centres_are_refused_and_a_single_class_has_a_finite_scale():
    with pytest.raises(AsdError, match="0 centres a class make no sense"):
        SubClusterAdaCos(5, 3, centres=0)
    assert torch.isfinite(SubClusterAdaCos(5, 1, centres=1)(torch.randn(2, 5))).all()


# ---------------------------------------------------------------------------------------------------------------- mixing


class Linear(torch.nn.Module):
    """Logits of a batch, and what it was given."""

    def forward(self, *inputs):
        self.given = inputs
        return inputs[0].flatten(1)[:, :3]


def test_a_mixture_has_as_much_of_the_labels_as_of_the_sounds():
    model, rng = Linear().train(), np.random.default_rng(0)
    x, y = torch.from_numpy(rng.normal(size=(6, 5)).astype(np.float32)), torch.tensor([0, 0, 1, 1, 2, 2])
    loss = sub_cluster.mixed_objective(model, (x, 2 * x[:, :2, None]), y, np.random.default_rng(3), mixed=1.0)
    common = np.random.default_rng(int(np.random.default_rng(3).integers(2**62)))
    common.uniform()
    partner, kept = torch.from_numpy(common.permutation(6)), torch.from_numpy(common.uniform(size=6).astype(np.float32))
    blend = kept[:, None] * x + (1 - kept[:, None]) * x[partner]
    torch.testing.assert_close(model.given[0], blend)
    torch.testing.assert_close(model.given[1], 2 * blend[:, :2, None])
    soft = kept[:, None] * F.one_hot(y, 3) + (1 - kept[:, None]) * F.one_hot(y[partner], 3)
    torch.testing.assert_close(loss, F.cross_entropy(blend[:, :3], soft))
    assert kept.min() < 0.3
    assert kept.max() > 0.7


def test_half_of_the_batches_are_mixed_and_none_when_scoring():
    x, y = torch.randn(6, 5), torch.arange(6) % 3
    model = Linear()
    unmixed = []
    for seed in range(200):
        sub_cluster.mixed_objective(model.train(), (x,), y, np.random.default_rng(seed))
        unmixed.append(torch.equal(model.given[0], x))
        sub_cluster.mixed_objective(model.eval(), (x,), y, np.random.default_rng(seed))
        assert torch.equal(model.given[0], x)
    assert 70 < sum(unmixed) < 130
    sub_cluster.mixed_objective(model.train(), (x,), y, np.random.default_rng(0), mixed=0.0)
    assert torch.equal(model.given[0], x)


# --------------------------------------------------------------------------------------------------------------- encoder


@pytest.mark.parametrize("parts", ["both", "moving", "steady"])
@pytest.mark.parametrize("seconds", [0.1, 1.0, 2.7])
def test_clips_of_any_length_have_an_embedding_each_which_others_do_not_change(parts, seconds):
    encoder = new_encoder(replace(SMALL, parts=parts), FEATURES).eval()
    x = noise(3, seconds)
    whole = encoder(x)
    assert whole.shape == (3, 8)
    torch.testing.assert_close(encoder(x[1:2], torch.zeros(1, 128, 5)), whole[1:2], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("features", [FeatureConfig(sample_rate=4000, f_max=2000.0), FeatureConfig(n_fft=512, hop_length=160)])
def test_other_front_ends_are_heard_too(features):
    encoder = new_encoder(SMALL, features)
    assert encoder(noise(2)[:, : features.samples]).shape == (2, 8)


def test_the_first_branch_hears_what_moves_and_the_second_what_stays():
    moving, steady = (new_encoder(replace(SMALL, parts=parts), FEATURES).eval() for parts in ("moving", "steady"))
    time = torch.arange(FEATURES.samples) / FEATURES.sample_rate
    tone = (0.3 * torch.sin(2 * math.pi * 1000 * time)).expand(3, -1)
    x = noise(3)
    # A Fourier transform's magnitudes are those of the sound played backwards.
    torch.testing.assert_close(steady(x.flip(1)), steady(x), rtol=1e-3, atol=1e-4)
    apart = moving(noise(3, seed=1)) - moving(x)
    assert (moving(x.flip(1)) - moving(x)).norm() > 0.1 * apart.norm()
    # A tone from beginning to end is taken away with the mean, but for the ends of the clip.
    assert (moving(tone) - moving(0 * tone)).norm() < (moving(tone * (time > 1.5)) - moving(0 * tone)).norm() / 2
    assert (steady(tone) - steady(0 * tone)).norm() > 0.1 * (steady(x) - steady(0 * x)).norm()


def test_scored_is_the_mean_over_all_pieces_and_trained_is_one_of_them_anew_each_time():
    encoder = new_encoder(replace(SMALL, parts="moving"), FEATURES)
    branch, x = encoder.moving, noise(4)
    frames = torch.arange(94.0).expand(4, 1, -1)  # of 3 s
    assert [piece[0, 0, [0, -1]].tolist() for piece in branch.all_pieces(frames)] == [[0, 31], [32, 63], [62, 93]]
    assert [piece.shape[2] for piece in branch.all_pieces(frames[:, :, :20])] == [20]  # a clip shorter than a piece
    encoder.eval()
    spectrogram = torch.stft(x, 1024, 512, window=torch.hann_window(1024), return_complex=True).abs()[:, 1:]
    moving = spectrogram - spectrogram.mean(dim=2, keepdim=True)
    pieces = [branch.of_pieces(moving[:, :, start : start + 32]) for start in (0, 32, 62)]
    torch.testing.assert_close(encoder(x), torch.stack(pieces).mean(dim=0))
    torch.manual_seed(0)
    firsts = torch.cat([branch.one_piece(frames)[:, 0, 0] for _ in range(300)])
    assert sorted(set(firsts.tolist())) == list(range(63))  # every place that there is, each clip its own
    assert len(set(branch.one_piece(frames)[:, 0, 0].tolist())) > 1


@pytest.mark.parametrize(("wrong", "why"), [
    ({"parts": "left"}, "there is no part 'left'"),
    ({"width": 0}, "a width of 0 channels makes no sense"),
    ({"width": 12}, "a width of 12 channels makes no sense: choose 8, 16"),
    ({"embedding_dim": 7}, "7 numbers cannot be shared by two branches"),
    ({"embedding_dim": 0, "parts": "moving"}, "0 numbers cannot be shared"),
])  # fmt: skip
def test_sizes_that_make_no_sense_are_refused(wrong, why):
    with pytest.raises(AsdError, match=why):
        new_encoder(replace(SMALL, **wrong), FEATURES)


def test_spectra_are_refused_by_the_encoder_and_have_another_in_the_method():
    with pytest.raises(AsdError, match="the encoder spectrogram reads sound: choose another"):
        SpectrogramEncoder(SMALL, None)
    spectra = Clips((np.random.default_rng(0).normal(size=(12, 1, 12, 4)).astype(np.float32),), ["a/0"] * 6 + ["a/1"] * 6)
    model = sub_cluster.train(spectra, budget=StageConfig(1, 4), device="cpu")
    assert model.embed(torch.zeros(2, 1, 12, 4)).shape == (2, 128)


# ---------------------------------------------------------------------------------------------------------------- method


def test_of_sound_the_two_branches_are_trained_without_a_look_at_the_log_mels():
    rng, machines = np.random.default_rng(0), ["fan/id_00"] * 8 + ["fan/id_02"] * 8
    time = np.arange(FEATURES.samples) / FEATURES.sample_rate
    hum = np.where(np.arange(16) < 8, 500, 1300)[:, None]
    waves = 0.1 * np.sin(2 * np.pi * hum * time) * (1 + np.sin(2 * np.pi * hum / 100 * time)) + 0.02 * rng.normal(
        size=(16, len(time))
    )
    waves = (2**15 * waves.clip(-0.99, 0.99)).astype(np.int16)
    blank = np.zeros((16, 128, FEATURES.frames), np.float16)
    known = Clips((waves, blank), machines, FEATURES)
    seen = []
    model = sub_cluster.train(
        known, budget=StageConfig(8, 8, 3e-3), encoder=SMALL, device="cpu", on_step=lambda *step: seen.append(step)
    )
    assert seen[-1] == ("sub-cluster 8/8", 16, 16)
    with torch.no_grad():
        x = torch.from_numpy(waves).float() / 2**15
        assert (model(x).argmax(dim=1).numpy() == known.labels).mean() > 0.9
    scores = sub_cluster.score(model, known, known.only(np.arange(0, 16, 4)), device="cpu")
    assert set(scores) == {"knn", "mahalanobis", "gmm"}
    assert scores["knn"].max() < 0.5


# --------------------------------------------------------------------------------------------------------------- AdaProj


def test_of_axes_at_right_angles_the_logit_is_the_length_of_the_projection():
    torch.manual_seed(2)
    head, x = AdaProj(12, 4, axes=5), torch.randn(9, 12)
    head.weight.copy_(torch.linalg.qr(torch.randn(4, 12, 5))[0].mT)
    projected = torch.einsum("ckd,nd->nck", head.weight, F.normalize(x)).norm(dim=2)
    torch.testing.assert_close(head(x), math.sqrt(2) * math.log(19) * projected)


def test_of_any_axes_it_is_the_cosine_to_the_weighted_sum_of_them():
    torch.manual_seed(3)
    head, x = AdaProj(6, 3, axes=8), torch.randn(20, 6)  # more axes than dimensions
    torch.testing.assert_close(head.weight.norm(dim=2), torch.ones(3, 8))
    logits = head(x)
    for c in range(3):
        w = head.weight[c]
        projection = F.normalize(x) @ w.T @ w
        torch.testing.assert_close(logits[:, c], head.scale * F.cosine_similarity(x, projection))
    assert logits.min() >= 0
    assert logits.max() <= head.scale
    torch.testing.assert_close(head(-x), logits)  # blind to the sign
    torch.testing.assert_close(head(5 * x), logits)
    with pytest.raises(AsdError, match="0 axes of a subspace make no sense"):
        AdaProj(6, 3, axes=0)


def test_a_subspace_of_one_axis_is_a_line_with_no_direction():
    torch.manual_seed(4)
    head, x = AdaProj(6, 3, axes=1), torch.randn(20, 6)
    cosine = F.cosine_similarity(x[:, None], head.weight[None, :, 0], dim=2)
    assert cosine.min() < 0
    torch.testing.assert_close(head(x), head.scale * cosine.abs())


# ---------------------------------------------------------------------------------------------------------------- FeatEx


def test_labels_of_exchanged_halves_are_those_of_both_clips():
    mine, theirs = torch.tensor([[1.0, 0, 0], [0.3, 0.7, 0]]), torch.tensor([[0, 0, 1.0], [0, 1, 0]])
    found = _feat_ex.exchange_labels(mine, theirs, torch.tensor([True, False]))
    torch.testing.assert_close(found[0], torch.tensor([0, 0, 0, 0.5, 0, 0, 0, 0, 0.5]))
    torch.testing.assert_close(found[1], torch.tensor([0.3, 0.7, 0, 0, 0, 0, 0, 0, 0]))
    torch.testing.assert_close(found.sum(dim=1), torch.ones(2))


class Halves(torch.nn.Module):
    """Gives back what it is given, and keeps what is exchanged."""

    classes = 3

    def forward(self, x, *, exchange):
        self.whole, self.put_together = x, exchange(x)
        return x[:, :3], self.put_together


@pytest.mark.parametrize("exchanged", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("mixed", [0.0, 1.0])
def test_the_loss_is_that_of_the_whole_clip_and_of_the_one_put_together(exchanged, mixed, monkeypatch):
    torch.manual_seed(5)
    model, x, y = Halves().train(), torch.randn(64, 9), torch.arange(64) % 3
    seen = []
    monkeypatch.setattr(_feat_ex.F, "cross_entropy", lambda logits, soft: seen.append((logits, soft)) or (logits * soft).sum())
    loss = _feat_ex.exchange_objective(model, (x,), y, np.random.default_rng(0), mixed=mixed, exchanged=exchanged)
    (narrow, soft), (wide, triple) = seen
    torch.testing.assert_close(loss, (narrow * soft).sum() + (wide * triple).sum())
    assert torch.equal(model.whole, x) == (mixed == 0)
    torch.testing.assert_close(soft.sum(dim=1), torch.ones(64))
    torch.testing.assert_close(triple.sum(dim=1), torch.ones(64))
    here = (triple[:, :3].sum(dim=1) == 0).float()
    assert here.mean() == pytest.approx(exchanged, abs=0.2)  # at 0 only the first C classes are left
    torch.testing.assert_close(model.put_together[:, 4:], model.whole[:, 4:])  # the second half stays
    for row in range(64):
        if not here[row]:
            torch.testing.assert_close(model.put_together[row], model.whole[row])
            torch.testing.assert_close(triple[row, :3], soft[row])
            continue
        torch.testing.assert_close(triple[row, 3:6], soft[row] / 2)
        giver = (model.whole[:, :4] - model.put_together[row, :4]).abs().sum(dim=1).argmin()
        torch.testing.assert_close(model.put_together[row, :4], model.whole[giver, :4])
        torch.testing.assert_close(triple[row, 6:], soft[giver] / 2)


def test_when_scoring_nothing_is_mixed_or_exchanged():
    model, x, y = Halves().eval(), torch.randn(6, 9), torch.arange(6) % 3
    loss = _feat_ex.exchange_objective(model, (x,), y, np.random.default_rng(0), mixed=1.0, exchanged=1.0)
    torch.testing.assert_close(loss, F.cross_entropy(x[:, :3], y) + F.cross_entropy(x, y))


def test_the_branches_of_spectra_are_the_means_of_the_bands_and_the_rest():
    model = sub_cluster.untrained(Task(("a/0", "a/1"), shape=(12, 4)), variant="feat_ex").eval()
    x = torch.randn(5, 1, 12, 4)
    whole = model.embed(x)
    assert whole.shape == (5, 256)
    louder = model.embed(x + torch.randn(1, 1, 12, 1))  # other means, the same rest
    torch.testing.assert_close(louder[:, 128:], whole[:, 128:], rtol=1e-3, atol=1e-5)
    assert (louder[:, :128] - whole[:, :128]).norm() > 0.01 * whole[:, :128].norm()
    turned = model.embed(x.flip(3))  # the same means
    torch.testing.assert_close(turned[:, :128], whole[:, :128], rtol=1e-3, atol=1e-5)
    assert (turned[:, 128:] - whole[:, 128:]).norm() > 0.01 * whole[:, 128:].norm()


def test_the_branches_of_sound_are_those_of_the_method_and_any_other_encoder_has_the_steady_one_beside_it():
    model = sub_cluster.untrained(Task(("a/0", "a/1"), FEATURES, encoder=SMALL), variant="feat_ex")
    assert model.embed(noise(2)).shape == (2, 8)
    assert [name for name, _ in model.encoder.steady.named_children()] == ["steady"]
    assert [name for name, _ in model.encoder.moving.named_children()] == ["moving"]


@pytest.mark.parametrize(("variant", "frozen"), [("adaproj", "head.weight"), ("feat_ex", "head.frozen.weight")])
def test_frozen_weights_are_those_that_were_drawn_and_the_rest_is_trained(variant, frozen):
    x = np.random.default_rng(0).normal(size=(12, 1, 12, 4)).astype(np.float32)
    spectra = Clips((x,), ["a/0"] * 6 + ["a/1"] * 6)
    before = sub_cluster.untrained(Task.of(spectra, seed=0), variant=variant).state_dict()
    after = sub_cluster.train(spectra, budget=StageConfig(2, 4), variant=variant, device="cpu").state_dict()
    assert before.keys() == after.keys()
    changed = {key for key in before if not torch.equal(before[key], after[key])}
    assert frozen not in changed
    assert {key for key in before if key.endswith("layers.0.0.weight")} <= changed
