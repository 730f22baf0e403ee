"""Pruning under a limit of memory: what is in memory, by hooks on real tensors; what is tied; what went was not heard."""

from contextlib import ExitStack
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from asdlib import methods
from asdlib.cache import clip_of
from asdlib.clips import Clips
from asdlib.data import scan
from asdlib.detector import embed, train
from asdlib.encoder import PAPER_ENCODER, Bottleneck, EncoderConfig, MobileFaceNet
from asdlib.encoders import ENCODERS
from asdlib.errors import AsdError
from asdlib.export import export
from asdlib.features import FeatureConfig
from asdlib.methods import Task, _draws, clp_scf, pruned
from asdlib.pruning import (
    Group,
    Plan,
    by_magnitude,
    heard,
    largest,
    plan_of,
    settle,
    silenced,
    sizes_of,
    slimmed,
    uniform,
    widened,
)
from asdlib.run import of_method
from asdlib.spectra import SpectrumConfig, SpectrumEncoder
from asdlib.spectrogram_encoder import SpectrogramConfig
from asdlib.tracing import traced
from asdlib.training import StageConfig
from tests.conftest import SMALL

FEATURES = FeatureConfig(seconds=1.0, n_mels=32)
# Wide enough that the network takes more memory than the clip.
WIDE = EncoderConfig(16, stem_channels=32, table=((2, 32, 2, 2), (2, 16, 1, 2)), last_channels=32)
SIZES = {"stgram-mfn": WIDE, "spectrum": SpectrumConfig(12, 4, 16, 16), "spectrogram": SpectrogramConfig(0.5, 16, 32)}
MACHINES = ("a/0", "a/1", "b/0")


class Image(nn.Module):
    """A network of one image, as what embeds clips."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def embed(self, x):
        return self.network(x)


def inputs_of(kind, count, seed=0):
    rng = np.random.default_rng(seed)
    shapes = ((count, 1, 12, 4),) if kind == "spectra" else ((count, FEATURES.samples), (count, 32, FEATURES.frames))
    return tuple(torch.from_numpy(rng.normal(size=shape).astype(np.float32)) for shape in shapes)


def settled(model, inputs):
    """With statistics and norms that are no longer those of the beginning."""
    torch.manual_seed(3)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) and module.affine:
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias)
        if isinstance(module, nn.PReLU):
            nn.init.uniform_(module.weight, 0, 0.5)
    settle(model, [inputs])
    return model


def some_of(plan, seed):
    """So many channels of each group, drawn."""
    shares = np.random.default_rng(seed).uniform(0.2, 0.9, len(plan.groups))
    return np.array([plan.left(i, share) for i, share in enumerate(shares)], int)


# ------------------------------------------------------------------------------------------------------------------ memory


def counted(model, *inputs):
    """What each convolution and dense layer reads, makes, and what waits for a sum meanwhile: numbers, by the real tensors."""
    waiting, found = [], []

    def at_layer(module, given, out):
        beside = sum(x.numel() for x in waiting if x.data_ptr() != given[0].data_ptr())
        found.append(given[0].numel() + out.numel() + beside)

    with ExitStack() as hooks:
        for module in model.modules():
            if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Linear):
                hooks.enter_context(module.register_forward_hook(at_layer))
            if isinstance(module, Bottleneck) and module.skip:
                hooks.enter_context(module.register_forward_pre_hook(lambda module, given: waiting.append(given[0])))
                hooks.enter_context(module.register_forward_hook(lambda *_: waiting.clear()))
        with torch.no_grad():
            model.embed(*inputs)
    return found


FACES = [
    ("paper", MobileFaceNet(PAPER_ENCODER, mels=128, frames=63), (1, 2, 128, 63), 393_216),
    ("small", MobileFaceNet(WIDE, mels=32, frames=32), (1, 2, 32, 32), 24_576),
    ("spectra", SpectrumEncoder(SpectrumConfig(60, 8)), (1, 1, 60, 8), 5_760),
]


@pytest.mark.parametrize(("network", "shape", "peak"), [face[1:] for face in FACES], ids=[face[0] for face in FACES])
def test_the_peak_is_what_hooks_count_in_real_tensors_before_and_after(network, shape, peak):
    model, x = Image(network).eval(), torch.randn(shape)
    plan = plan_of(model, (x,))
    assert plan.peak() == peak == max(counted(model, x))
    limit = peak / 2
    for kept in (uniform(plan, limit), by_magnitude(plan, sizes_of(model, plan), limit), some_of(plan, 1)):
        small = slimmed(model, plan, largest(plan, sizes_of(model, plan), kept))
        assert plan.peak(kept) == max(counted(small, x)) == plan_of(small, (x,)).peak()
    for kept in (uniform(plan, limit), plan.within(np.zeros(len(plan.groups)), limit)):
        assert plan.peak(plan.fewest) < plan.peak(kept) <= limit


def test_of_many_channels_multiples_of_8_stay():
    layers = nn.Sequential(nn.Conv2d(1, 40, 1), nn.Conv2d(40, 12, 1), nn.Conv2d(12, 16, 1), nn.Conv2d(16, 16, 1, stride=2))
    plan = plan_of(Image(nn.Sequential(*layers, nn.Conv2d(16, 3, 1))), (torch.zeros(1, 1, 4, 4),))
    # What a 1×1 convolution with a stride reads and makes, too: there 4 channels would be written beyond their memory.
    assert [(len(g.classes), g.step, g.fewest) for g in plan.groups] == [(40, 8, 8), (12, 1, 2), (16, 8, 8), (16, 8, 8)]


def test_what_waits_for_a_sum_is_in_memory():
    """Of a bottleneck with a way past it: its input, the wide map, and again the wide map."""
    model = Image(Bottleneck(8, 8, expansion=2, stride=1)).eval()
    assert plan_of(model, (torch.zeros(1, 8, 5, 5),)).peak() == 25 * (8 + 16 + 16)
    model.network.skip = False
    assert plan_of(model, (torch.zeros(1, 8, 5, 5),)).peak() == 25 * (16 + 16)


class Twice(nn.Module):
    """What a layer makes is read again after something was made of it."""

    def __init__(self):
        super().__init__()
        self.layer, self.last = nn.Linear(3, 10), nn.Linear(10, 2)

    def embed(self, x):
        once = self.layer(x)
        return self.last(torch.relu(once) + once)


def test_what_is_read_again_is_not_written_over():
    assert plan_of(Twice(), (torch.zeros(1, 3),)).peak() == 10 + 10
    plain = nn.Sequential(nn.Linear(3, 10), nn.ReLU(), nn.Linear(10, 2))
    assert plan_of(Image(plain), (torch.zeros(1, 3),)).peak() == 3 + 10


# --------------------------------------------------------------------------------------------------------------- the limit


@st.composite
def plans(draw):
    """Plans of some groups with memory of all kinds."""
    counts = draw(st.lists(st.integers(2, 20), min_size=1, max_size=4))
    steps = draw(st.integers(1, 6))
    numbers = st.lists(st.integers(0, 9), min_size=steps * len(counts), max_size=steps * len(counts))
    each = np.array(draw(numbers), float).reshape(steps, -1)
    fixed = np.array(draw(st.lists(st.integers(0, 50), min_size=steps, max_size=steps)), float)
    starts = np.cumsum([0, *counts])
    groups = tuple(Group(np.arange(n) + start, (str(start),), 1, 1) for n, start in zip(counts, starts, strict=False))
    return Plan(groups, {}, {}, fixed, each)


@settings(max_examples=60, deadline=None)
@given(plans(), st.integers(0, 99), st.integers(0, 200), st.integers(0, 200))
def test_a_limit_is_kept_whatever_was_asked_for_and_no_tighter_than_need_be(plan, seed, more, even_more):
    shares = np.random.default_rng(seed).uniform(0, 0.9, len(plan.groups))
    limits = plan.peak(plan.fewest) + np.cumsum([more, even_more])
    kept = plan.within(shares, limits[0])
    assert plan.peak(kept) <= limits[0]
    wanted = np.array([plan.left(i, share) for i, share in enumerate(shares)])
    assert (kept <= wanted).all()
    for i, count in enumerate(plan.counts):
        least = [plan.least_share(i, kept, limit) for limit in limits]
        assert least[1] <= least[0]  # more room never takes a channel away
        if kept[i] < min(wanted[i], count):  # one more would not fit, with the fewest behind
            others = np.where(np.arange(len(kept)) <= i, kept, plan.fewest)
            others[i] += 1
            assert plan.peak(others) > limits[0]
    assert plan.peak(uniform(plan, limits[0])) <= limits[0]


@settings(max_examples=30, deadline=None)
@given(plans())
def test_without_a_limit_all_stay_and_a_limit_that_cannot_be_is_refused_with_the_one_that_can(plan):
    np.testing.assert_array_equal(plan.within(np.zeros(len(plan.groups)), np.inf), plan.counts)
    np.testing.assert_array_equal(uniform(plan, np.inf), plan.counts)
    least = plan.peak(plan.fewest)
    for some in (lambda limit: plan.within(np.zeros(len(plan.groups)), limit), lambda limit: uniform(plan, limit)):
        with pytest.raises(AsdError, match=f"a limit of {least - 1} bytes cannot be kept: .* there are {least} in memory"):
            some(least - 1)


# -------------------------------------------------------------------------------------------------------- what is silenced


CASES = [("encoder", name) for name in ENCODERS]
CASES += [(name, kind) for name in ("noisy_arcmix", "os_scl", "sub_cluster", "idnn", "serial_oe") for kind in methods.KINDS]


@pytest.mark.parametrize(("method", "kind"), CASES)
def test_silenced_or_cut_out_or_written_back_it_is_the_same(method, kind):
    if method == "encoder":
        kind, sizes = ("spectra" if kind == "spectrum" else "sound"), SIZES[kind]
        method = "simclr"
    else:
        sizes = SIZES["spectrum"] if kind == "spectra" else WIDE
    task = Task(MACHINES, FEATURES if kind == "sound" else None, (12, 4), encoder=sizes)
    inputs = inputs_of(kind, 16)
    model = settled(methods.detector(method).untrained(task), inputs)
    plan = plan_of(model, tuple(x[:1] for x in inputs))
    everything = {number for group in plan.groups for number in group.classes.tolist()}
    assert heard(model, plan) == everything
    stay = largest(plan, sizes_of(model, plan), some_of(plan, 0))
    quiet, small = silenced(model, plan, stay), slimmed(model, plan, stay)
    wide = widened(small, model, plan, stay)
    with torch.no_grad():
        whole, *others = (m.embed(*inputs).double() for m in (model, quiet, small, wide))
    for other in others[1:]:
        assert (other - others[0]).abs().max() < 1e-6 * others[0].abs().max()
    assert (whole - others[0]).abs().max() > 1e-4 * whole.abs().max()
    assert sum(p.numel() for p in small.parameters()) < sum(p.numel() for p in model.parameters())
    assert heard(quiet, plan) == heard(wide, plan) == stay < everything
    assert [p.shape for p in wide.state_dict().values()] == [p.shape for p in model.state_dict().values()]


def test_channels_that_are_already_silent_can_be_cut_out_and_nothing_changes():
    """A filter, its norm and its bias are 0: to 1e-6, the same."""
    x = torch.randn(4, 3, 8, 8)
    layers = nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 2, 6), nn.Flatten())
    model = settled(Image(layers), (x,))
    for tensor in (layers[0].weight, layers[0].bias, layers[1].weight, layers[1].bias, layers[1].running_mean):
        tensor.data[[1, 4]] = 0
    plan = plan_of(model, (x[:1],))
    stay = heard(model, plan)
    assert len(stay) == 4
    small = slimmed(model, plan, stay)
    assert (small.network[0].weight.shape, small.network[3].weight.shape) == ((4, 3, 3, 3), (2, 4, 6, 6))
    torch.testing.assert_close(small.embed(x), model.embed(x), rtol=1e-6, atol=1e-6)


class Ways(nn.Module):
    """Two ways that meet in a sum, a third one behind something that makes no silence of silence, and one that is beside."""

    def __init__(self):
        super().__init__()
        self.one, self.other = nn.Conv1d(2, 4, 1), nn.Conv1d(2, 4, 1)
        self.alone, self.hidden = nn.Conv1d(2, 3, 1), nn.Conv1d(2, 5, 1)
        self.behind, self.last = nn.Conv1d(5, 5, 1), nn.Linear((4 + 3 + 5) * 6, 7)

    def embed(self, x):
        met = torch.relu(self.one(x) + self.other(x))
        hidden = self.behind(torch.sigmoid(self.hidden(x)))
        return self.last(torch.cat([met, self.alone(x), hidden], dim=1).flatten(1))


def test_channels_go_with_those_that_they_are_tied_to():
    model = Ways()
    plan = plan_of(model, (torch.zeros(1, 2, 6),))
    makers = [(tuple(name.split(".")[-1] for name in group.makers), len(group.classes)) for group in plan.groups]
    # What the sigmoid reads stays, and what the embedding is made of.
    assert sorted(makers) == [(("alone",), 3), (("behind",), 5), (("one", "other"), 4)]
    x = torch.randn(5, 2, 6)
    stay = largest(plan, sizes_of(model, plan), some_of(plan, 4))
    torch.testing.assert_close(slimmed(model, plan, stay).embed(x), silenced(model, plan, stay).embed(x))


def test_of_each_group_the_weakest_filters_go():
    model = Ways()
    with torch.no_grad():
        model.one.weight[:], model.other.weight[:] = 1, torch.tensor([4.0, 1, 3, 2])[:, None, None]
    plan = plan_of(model, (torch.zeros(1, 2, 6),))
    place = [len(group.makers) for group in plan.groups].index(2)
    kept = plan.counts
    kept[place] = 2
    gone = set(plan.groups[place].classes.tolist()) - largest(plan, sizes_of(model, plan), kept)
    assert gone == set(plan.groups[place].classes[[1, 3]].tolist())


def test_a_network_that_cannot_be_followed_is_refused():
    ways = (lambda x: torch.from_numpy(x.numpy()), lambda x: x * x.sum().item(), lambda x: x if x.sum() > 0 else -x)
    for way in ways:
        with pytest.raises(AsdError, match=r"cannot be followed step by step \(.*\): give one that computes with tensors"):
            plan_of(Image(way), (torch.zeros(1, 2),))


def test_to_be_followed_a_network_is_left_in_the_mode_that_it_was_in():
    model = Image(nn.Sequential(nn.Linear(2, 3), nn.ReLU()))
    model.network[1].eval()
    traced(model.network, (torch.zeros(1, 2),))
    plan_of(model, (torch.zeros(1, 2),))
    assert [module.training for module in model.network] == [True, False]
    plan_of(model.eval(), (torch.zeros(1, 2),))
    assert not any(module.training for module in model.modules())


# ------------------------------------------------------------------------------------------------------- search and method


def known_clips(kind, count=16):
    return Clips(
        tuple(x.numpy() for x in inputs_of(kind, 3 * count)), np.repeat(MACHINES, count), FEATURES if kind == "sound" else None
    )


def whole_network(kind):
    sizes = SIZES["spectrum"] if kind == "spectra" else WIDE
    task = Task(MACHINES, FEATURES if kind == "sound" else None, (12, 4), encoder=sizes)
    return settled(clp_scf.untrained(task, variant="single_stage"), inputs_of(kind, 32, seed=5))


@pytest.mark.parametrize("kind", methods.KINDS)
def test_with_room_enough_nothing_changes(kind):
    model, clips = whole_network(kind), known_clips(kind)
    peak = plan_of(model, pruned.example(model, clips.features, clips.inputs[0].shape[1:])).peak()
    same = pruned.prune(model, clips, judged=clips, budget=StageConfig(1), limit=peak, device="cpu")
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), same.state_dict().values(), strict=True))


@pytest.mark.parametrize("kind", methods.KINDS)
def test_what_is_left_keeps_the_limit_and_is_near_the_whole(kind):
    """By hooks on real tensors; nearer after training than before, and nearer with norms that have settled than without."""
    model, clips = whole_network(kind), known_clips(kind, 10)
    example = pruned.example(model, clips.features, clips.inputs[0].shape[1:])
    plan = plan_of(model, example)
    limit = (plan.peak() + plan.peak(plan.fewest)) / 2
    options = {"judged": clips, "limit": limit, "device": "cpu", "generations": 1}
    left, trained = (pruned.prune(model, clips, budget=b, **options) for b in (None, StageConfig(8, 10, 3e-3)))
    stay = heard(left, plan)
    assert heard(trained, plan) == stay
    assert max(counted(slimmed(left, plan, stay), *example)) <= limit < max(counted(model, *example))
    with torch.no_grad():
        target, *others = (m.embed(*map(torch.from_numpy, clips.inputs)) for m in (model, left, trained))
    before, after = ((x - target).square().sum(dim=1).mean().item() for x in others)
    assert after < before
    norms = [[m for m in some.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)] for some in (model, left)]
    assert not any(torch.equal(a.running_var, b.running_var) for a, b in zip(*norms, strict=True))  # they have settled anew
    scores = clp_scf.score(trained, clips, clips, device="cpu")
    assert all(np.isfinite(values).all() for values in scores.values())


# Those that sum up numbers, or have attention or what runs behind the embedding; and those that compute weights or sounds.
REFUSED = dict.fromkeys(
    ["asd_diffusion", "diffusion_id", "generated_anomalies", "nearest", "trans_ae", "twfr_gmm"],
    "nothing of this network can go",
) | dict.fromkeys(["activity_guided", "robust_light", "transform_classifier"], "cannot be followed")
# Their input, stacks of frames or the spectrum of a whole clip, fills the memory by itself.
FULL = {"autoencoder", "ensemble", "frame_selection", "idnn", "sub_cluster"}


@pytest.mark.parametrize("name", methods.names())
def test_any_network_of_the_gallery_keeps_its_limit_or_is_refused(name):
    method = methods.get(name)
    kind = method.INPUTS[0]
    clips = known_clips(kind, 10)
    model = method.untrained(Task.of(clips)).eval()
    options = {"judged": clips, "budget": None, "device": "cpu", "generations": 1}
    if name in REFUSED:
        with pytest.raises(AsdError, match=REFUSED[name]):
            pruned.prune(model, clips, **options)
        return
    left = pruned.prune(model, clips, **options)
    example = pruned.example(model, clips.features, clips.inputs[0].shape[1:])
    plan = plan_of(model, example)
    limit = pruned.limit_of(plan, None)
    assert max(counted(pruned.in_use(left, clips), *example)) <= limit
    assert (limit < plan.peak()) == (name not in FULL)


def of_four_layers():
    """The plan of four layers of equal memory."""
    groups = tuple(Group(np.arange(16) + 16 * i, (str(i),), 1, 2) for i in range(4))
    return Plan(groups, {}, {}, np.zeros(1), np.ones((1, 4)))


def test_the_search_finds_the_layers_that_are_not_missed():
    """Two of them may lose all they can."""
    plan = of_four_layers()
    missed = np.array([1.0, 0.0, 1.0, 0.0])
    asked = []

    def loss(kept):
        asked.append(kept)
        return float(missed @ (1 - kept / 16) ** 2)

    kept = _draws.searched(plan, 40, loss, generations=6, rng=np.random.default_rng(0))
    assert all(plan.peak(draw) <= 40 for draw in asked)
    assert loss(kept) < 0.3 * loss(uniform(plan, 40))
    worst = _draws.searched(plan, 40, lambda kept: float((kept != 10).any()), generations=2, rng=np.random.default_rng(0))
    np.testing.assert_array_equal(worst, uniform(plan, 40))  # nothing is better than what it began with


def test_a_single_draw_is_not_taken_however_good_it_looks():
    """A loss that only one of the draws has: what is taken is the mean of the good ones, or what it began with."""
    plan, asked = of_four_layers(), []

    def loss(kept):
        asked.append(tuple(kept.tolist()))
        return 0.0 if len(asked) == 5 else 1.0

    kept = _draws.searched(plan, 40, loss, generations=1, rng=np.random.default_rng(0))
    np.testing.assert_array_equal(kept, uniform(plan, 40))
    assert tuple(kept.tolist()) != asked[4]


def test_a_limit_that_cannot_be_kept_is_refused_before_anything_is_trained(monkeypatch):
    monkeypatch.setattr(clp_scf, "train", lambda *clips, **options: pytest.fail("it was trained"))
    with pytest.raises(AsdError, match="a limit of 1 bytes cannot be kept"):
        pruned.train(known_clips("spectra", 9), budget=StageConfig(4, 8), limit=1, encoder=SIZES["spectrum"], device="cpu")


def test_one_clip_that_judges_has_the_variance_of_those_that_are_learned_from():
    clips = known_clips("spectra", 9)
    model = clp_scf.untrained(Task.of(clips, encoder=SIZES["spectrum"]), variant="single_stage").eval()
    plan = plan_of(model, pruned.example(model, None, clips.inputs[0].shape[1:]))
    one, many = (_draws.Draws(model, plan, clips, judged, seed=0, device="cpu") for judged in (clips.only(np.arange(1)), clips))
    assert one.scale == pytest.approx(many.scale, rel=1e-5)


def test_draws_are_judged_by_clips_that_nothing_is_learned_from(monkeypatch):
    """A tenth of each machine's; of few clips by those of the training."""
    seen = {}

    def prune(model, clips, *, judged, **options):
        seen[len(clips)] = clips, judged
        return model

    monkeypatch.setattr(pruned, "prune", prune)
    for count in (20, 3):
        clips = known_clips("spectra", count)
        pruned.train(clips, budget=StageConfig(1, 8), encoder=SIZES["spectrum"], device="cpu")
    some, held = seen[54]
    assert np.unique(held.machines, return_counts=True)[1].tolist() == [2, 2, 2]
    rows = [{row.tobytes() for row in part.inputs[0]} for part in (some, held)]
    assert not rows[0] & rows[1]
    few, judged = seen[9]
    np.testing.assert_array_equal(few.inputs[0], judged.inputs[0])


def test_norms_that_settle_have_the_mean_over_the_batches():
    model = Image(nn.Sequential(nn.BatchNorm1d(3, momentum=0.3)))
    batches = [(torch.randn(20, 3) + i,) for i in range(3)]
    settle(model, batches)
    norm = model.network[0]
    torch.testing.assert_close(norm.running_mean, torch.stack([x.mean(dim=0) for (x,) in batches]).mean(dim=0))
    torch.testing.assert_close(norm.running_var, torch.stack([x.var(dim=0) for (x,) in batches]).mean(dim=0))
    assert (norm.momentum, model.training) == (0.3, False)


def test_only_what_embeds_is_trained():
    model = whole_network("spectra")
    names = {name for name, _ in model.named_parameters()}
    pruned.keep_only_embedding(model, inputs_of("spectra", 2))
    assert names - {name for name, _ in model.named_parameters()} == {"arcface.weight"}
    assert set(model.state_dict()) >= names


# ------------------------------------------------------------------------------------------------------------------ export


def test_the_exported_file_is_small_and_scores_the_same(small_park, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime", reason="asdlib[export] is not installed")
    pytest.importorskip("onnxscript", reason="asdlib[export] is not installed")
    import onnx

    stage, common = StageConfig(2, 16, 1e-3), {"whole_clips": False, "least_steps": 0, "window": None}
    config = replace(of_method("pruned"), features=SMALL.features, encoder=WIDE, finetune=stage, **common)
    detector = train(scan(small_park), tmp_path / "run", config, device="cpu")
    export(tmp_path / "run", tmp_path / "small.onnx")
    written = sum(np.prod(x.dims) for x in onnx.load(tmp_path / "small.onnx").graph.initializer if len(x.dims) == 4)
    small, whole = (
        sum(m.weight.numel() for m in model.modules() if isinstance(m, nn.Conv2d))
        for model in (pruned.small(detector.model, SMALL.features), detector.model)
    )
    assert small <= written < 0.9 * whole
    rng = np.random.default_rng(0)
    waves = (0.1 * rng.normal(size=(3, SMALL.features.samples))).astype(np.float32)
    score, embedding = onnxruntime.InferenceSession(tmp_path / "small.onnx").run(None, {"waveform": waves})
    kept = [clip_of(wave, SMALL.features) for wave in waves]
    expected = embed(detector.model.embed, tuple(np.stack(part) for part in zip(*kept, strict=True)), device="cpu")
    np.testing.assert_allclose(embedding, expected, atol=1e-4 * np.abs(expected).max())
    for k, machine in enumerate(detector.config.machines):
        np.testing.assert_allclose(score[:, k], detector.scores(expected, machine), rtol=1e-3, atol=1e-5)


def test_the_objective_is_the_distance_from_the_whole():
    """In units of how those spread: by hand, of two clips."""
    target, offset = torch.randn(2, 3), torch.tensor([[1.0, 0, 2], [0, 3, 0]])
    loss = pruned.matching_objective(lambda x: x + offset, (target, target), None, None, scale=2.0)
    assert loss.item() == pytest.approx((1 + 4 + 9) / 2 / 2)
