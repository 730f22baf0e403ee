"""TransAE: what is withheld is not seen, the layers in NumPy, the bottleneck's rank, the pooling by rank, by hand."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from asdlib.clips import Clips
from asdlib.errors import AsdError
from asdlib.evaluation import auc
from asdlib.features import FeatureConfig
from asdlib.methods import Task, trans_ae
from asdlib.methods._scales import mean_and_spread
from asdlib.methods._task import embedded
from asdlib.methods._withheld import FrameGuesser, GroupGuesser, attention, cells_of, groups_of, sinusoids
from asdlib.training import StageConfig

MELS, FEATURES = 8, FeatureConfig(seconds=0.5, n_mels=8)
BUDGET = StageConfig(2, 8, learning_rate=1e-3)
MACHINES = ("fan/id_00", "fan/id_02", "pump/id_00")


def heard(log_mels, machines):
    """Clips of sound with these log-mels."""
    return Clips((np.zeros((len(log_mels), 1), np.int16), log_mels.astype(np.float32)), machines, FEATURES)


def sound(n=12, *, seed=0):
    log_mels = np.random.default_rng(seed).normal(-50, 5, size=(n, MELS, FEATURES.frames))
    return heard(log_mels, [*MACHINES] * (n // 3))


def spectra(n=12, *, seed=0):
    x = np.random.default_rng(seed).normal(size=(n, 1, 10, 3)).astype(np.float32)
    return Clips((x,), [*MACHINES] * (n // 3))


MAKE = {"sound": sound, "spectra": spectra}


def guesser(kind, machines=3):
    """A network of a type, and cells of two clips that suit it."""
    torch.manual_seed(0)
    if kind == "sound":
        return FrameGuesser(MELS, machines).eval(), torch.randn(2, 9, MELS)
    return GroupGuesser(6, machines, 5).eval(), torch.randn(2, 5, 6)


def test_it_has_the_sizes_of_the_authors_code():
    count = {C: sum(p.numel() for p in FrameGuesser(128, C).parameters()) for C in (4, 7)}
    assert count == {4: 811_908, 7: 811_908 + 3 * 9}
    assert sum(p.numel() for p in GroupGuesser(40, 4, 12).parameters()) == 81_868
    assert groups_of(60) == (12, 5)


def test_a_layer_is_attention_and_two_linear_layers_each_normalised_behind():
    """In NumPy: residual, then layer norm; four heads, their scores over the root of their width."""
    torch.manual_seed(0)
    layers = attention(16, 32).eval()
    with torch.no_grad():
        for p in layers.parameters():
            p.add_(0.1 * torch.randn_like(p))  # or biases are 0 and scales 1
    x = torch.randn(3, 4, 16)
    h = x.double().numpy()

    def norm(x, layer):
        x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + layer.eps)
        return x * layer.weight.detach().double().numpy() + layer.bias.detach().double().numpy()

    def linear(x, layer):
        return x @ layer.weight.detach().double().numpy().T + layer.bias.detach().double().numpy()

    for layer in layers:
        inside = layer.self_attn
        weight, bias = (part.detach().double().numpy() for part in (inside.in_proj_weight, inside.in_proj_bias))
        q, k, v = (part.reshape(3, 4, 4, 4).transpose(0, 2, 1, 3) for part in np.split(h @ weight.T + bias, 3, axis=-1))
        scores = np.exp(q @ k.transpose(0, 1, 3, 2) / math.sqrt(4))
        heads = (scores / scores.sum(-1, keepdims=True)) @ v
        h = norm(h + linear(heads.transpose(0, 2, 1, 3).reshape(3, 4, 16), inside.out_proj), layer.norm1)
        h = norm(h + linear(linear(h, layer.linear1).clip(min=0), layer.linear2), layer.norm2)
    assert len(layers) == 2
    np.testing.assert_allclose(layers(x).detach().numpy(), h, atol=2e-6)


@pytest.mark.parametrize("kind", ["sound", "spectra"])
def test_the_guess_does_not_depend_on_what_is_withheld(kind):
    network, cells = guesser(kind)
    cells.requires_grad_()
    place = 3
    guess, withheld, logits = network(cells, torch.tensor([[place], [place]]))
    (guess.square().sum() + logits.square().sum()).backward()
    seen = cells.grad.abs().sum(dim=(0, 2))
    own, shown = (5, {3, 4, 6, 7}) if kind == "sound" else (3, {0, 1, 2, 4})
    assert seen[own] == 0
    assert {i for i, value in enumerate(seen.tolist()) if value > 0} == shown
    torch.testing.assert_close(withheld, cells[:, own])


def test_without_positions_the_order_of_the_tokens_changes_nothing():
    network, cells = guesser("sound")
    turned = cells.clone()
    turned[:, [0, 1, 3, 4]] = cells[:, [4, 0, 1, 3]]
    first = torch.zeros(2, 1, dtype=torch.long)
    with torch.no_grad():
        with_code = [network(x, first) for x in (cells, turned)]
        network.code.zero_()
        without = [network(x, first) for x in (cells, turned)]
    for i in (0, 2):
        torch.testing.assert_close(without[0][i], without[1][i], atol=1e-6, rtol=1e-5)
        assert (with_code[0][i] - with_code[1][i]).abs().max() > 1e-3


def test_a_group_is_guessed_otherwise_where_another_is_asked_for():
    """With the same cells in all places but the codes: only they can tell the guesses apart."""
    network, cells = guesser("spectra")
    same = cells[:, :1].expand(-1, 5, -1)
    with torch.no_grad():
        network.code.zero_()
        guess, *_ = network(same, torch.tensor([[0, 1], [0, 1]]))
        assert (guess[0] - guess[1]).abs().max() > 1e-4
        network.question.zero_()
        guess, *_ = network(same, torch.tensor([[0, 1], [0, 1]]))
    torch.testing.assert_close(guess[0], guess[1])


def test_what_the_decoder_sees_has_no_more_directions_than_the_bottleneck():
    torch.manual_seed(0)
    network, kept = FrameGuesser(32, 3).eval(), []
    network.expand.register_forward_hook(lambda module, given, out: kept.append((out - module.bias).detach()))
    network(torch.randn(4, 20, 32), torch.arange(16).expand(4, 16))
    rows = kept[0].flatten(0, 1).double()
    assert rows.shape == (4 * 16 * 4, 32)
    assert torch.linalg.matrix_rank(rows, rtol=1e-5) == 8


def test_the_machine_is_told_by_mean_and_maximum_of_the_tokens():
    network, cells = guesser("sound")
    squeezed, identified = [], []
    network.squeeze.register_forward_hook(lambda module, given, out: squeezed.append(out))
    network.identify.register_forward_hook(lambda module, given, out: identified.append(given[0]))
    network(cells, torch.tensor([[0], [4]]))
    tokens = squeezed[0].detach().numpy()
    np.testing.assert_allclose(identified[0].detach(), tokens.mean(axis=1) + tokens.max(axis=1), rtol=1e-6)


def test_positions_are_sines_and_cosines():
    code = sinusoids(4, 6).numpy()
    for place in range(4):
        for i in range(3):
            angle = place / 10_000 ** (2 * i / 6)
            np.testing.assert_allclose(code[place, 2 * i : 2 * i + 2], [math.sin(angle), math.cos(angle)], atol=1e-6)


def test_each_part_of_the_loss_moves_its_own_part_of_the_network():
    network, cells = guesser("sound")
    network.train()
    labels, x = torch.tensor([0, 2]), cells.transpose(1, 2)

    def moved(id_weight):
        network.zero_grad()
        trans_ae.guessing_objective(network, (x,), labels, np.random.default_rng(0), id_weight=id_weight).backward()
        return {name: float(p.grad.abs().max()) for name, p in network.named_parameters()}

    alone, both = moved(0.0), moved(4.0)
    assert all((alone[name] > 0) == (not name.startswith("identify")) for name in alone)
    assert all(value > 0 for value in both.values())
    network.zero_grad()
    F.cross_entropy(network(cells, torch.zeros(2, 1, dtype=torch.long))[2], labels).backward()
    still = {name.split(".")[0] for name, p in network.named_parameters() if p.grad is None}
    assert still == {"expand", "decoder", "leave"}


def test_the_loss_by_hand():
    network, cells = guesser("sound")
    labels, x = torch.tensor([0, 2]), cells.transpose(1, 2)
    objective, rng = trans_ae.guessing_objective, np.random.default_rng
    losses = [objective(network, (x,), labels, rng(3), id_weight=weight).item() for weight in (0.0, 1.0, 4.0)]
    places = torch.from_numpy(np.random.default_rng(3).integers(5, size=(2, 8)))
    with torch.no_grad():
        guess, withheld, logits = network(cells, places)
    wrong = -np.log(torch.softmax(logits, 1).numpy()[np.arange(16), np.repeat([0, 2], 8)]).mean()
    assert losses[0] == pytest.approx(((guess - withheld) ** 2).mean().item(), rel=1e-5)
    assert losses[1] - losses[0] == pytest.approx(wrong, rel=1e-4)
    assert losses[2] - losses[0] == pytest.approx(4 * wrong, rel=1e-4)


@pytest.mark.parametrize("kind", ["sound", "spectra"])
def test_the_scores_by_hand(kind):
    known, asked = MAKE[kind](24), MAKE[kind](6, seed=1)
    model = trans_ae.train(known, budget=BUDGET, device="cpu")
    scores = trans_ae.score(model, known, asked, device="cpu")
    cells = cells_of(torch.from_numpy(asked.inputs[-1]))
    assert cells.shape == ((6, FEATURES.frames, MELS) if kind == "sound" else (6, 10, 3))
    count = FEATURES.frames - 4 if kind == "sound" else 10
    for i, machine in enumerate(asked.machines):
        of_type = [name for name in MACHINES if name.split("/")[0] == machine.split("/")[0]]
        network = model.networks[model.types.index(machine.split("/")[0])]
        errors, logits = [], []
        with torch.no_grad():
            for place in range(count):
                guess, withheld, says = network(cells[i : i + 1], torch.tensor([[place]]))
                errors.append(((guess - withheld) ** 2).mean().item())
                logits.append(says[0].numpy())
        errors = np.sort(errors)[::-1]
        weights = 0.99 ** (309 / count * np.arange(count)) if kind == "sound" else np.ones(count)
        pooled = (weights * errors).sum() / weights.sum()
        assert scores["reconstruction"][i] == pytest.approx(pooled, rel=1e-4)
        p = np.exp(np.mean(logits, axis=0)) / np.exp(np.mean(logits, axis=0)).sum()
        expected = -math.log(p[of_type.index(machine)]) if len(of_type) > 1 else pooled
        assert scores["id"][i] == pytest.approx(expected, rel=1e-4)


def test_a_clip_of_10_s_is_pooled_with_the_published_weight():
    model = trans_ae.untrained(Task(("fan/id_00",), FeatureConfig(n_mels=8)))
    cells = torch.randn(1, 313, 8)
    errors = torch.linspace(0, 1, 309)
    network = model.networks[0]
    network.forward = lambda cells, places: (errors[:, None].sqrt().expand(-1, 8), torch.zeros(309, 8), torch.zeros(309, 1))
    weights = 0.99 ** np.arange(309)
    expected = (weights * errors.numpy()[::-1]).sum() / weights.sum()
    assert model.heard_by(network, cells)[0, 0].item() == pytest.approx(expected, rel=1e-5)


def test_rows_of_a_type_come_from_its_network_alone():
    known = sound(24)
    model = trans_ae.train(known, budget=BUDGET, device="cpu")
    rows, _ = embedded(model, known, device="cpu")
    assert rows.shape == (24, model.embedding_dim) == (24, 2 + 3)
    assert (model.columns_of("fan"), model.columns_of("pump")) == (slice(0, 3), slice(3, 5))
    fans = known.only(known.types == "fan")
    alone = trans_ae.train(fans, budget=BUDGET, device="cpu")
    for name, value in alone.networks[0].state_dict().items():
        assert torch.equal(value, model.networks[0].state_dict()[name]), name


def test_each_number_is_standardised_by_its_type():
    known = sound(24)
    model = trans_ae.train(known, budget=BUDGET, device="cpu")
    for name, network in zip(model.types, model.networks, strict=True):
        own = known.log_mels[known.types == name].transpose(0, 2, 1).reshape(-1, MELS)
        np.testing.assert_allclose(network.mean, own.mean(axis=0), rtol=1e-5)
        np.testing.assert_allclose(network.spread, own.std(axis=0), rtol=1e-4)


def test_each_number_of_each_band_of_a_spectrum_is_standardised_on_its_own():
    """Bands lie on levels of their own, and the last group is filled up: 26 bands are nine groups of three."""
    known = np.random.default_rng(1).normal(size=(24, 1, 26, 3)) - np.arange(26)[:, None]
    clips = Clips((known.astype(np.float32),), [*MACHINES] * 8)
    model = trans_ae.train(clips, budget=BUDGET, device="cpu")
    for name, network in zip(model.types, model.networks, strict=True):
        own = known[clips.types == name][:, 0]
        filled = np.pad(own, [(0, 0), (0, 1), (0, 0)]).reshape(len(own), 9, 9)
        np.testing.assert_allclose(network.mean, filled.mean(axis=0), atol=1e-5)
        *full, last = network.spread.numpy()
        np.testing.assert_allclose(full, filled.std(axis=0)[:-1], rtol=1e-4)
        np.testing.assert_allclose(last[:6], filled.std(axis=0)[-1, :6], rtol=1e-4)
        _, withheld, _ = network(cells_of(torch.from_numpy(clips.inputs[0][:2])), torch.full((2, 1), 8))
        assert (withheld[:, 6:] == 0).all()


def test_a_band_in_which_nothing_happened_does_not_drown_the_others():
    x = np.random.default_rng(0).normal(size=(300, 4, 3)).astype(np.float32)
    x[:, 2] = -100
    clips = Clips((x,), ["fan/id_00"] * 300)
    mean, spread = mean_and_spread(clips, lambda x: x.transpose(1, 2))
    assert mean[2] == -100
    assert spread[2].item() == pytest.approx(x.std(axis=(0, 2)).mean() / 10, rel=1e-3)
    silent = Clips((np.zeros_like(x),), clips.machines)
    assert (mean_and_spread(silent, lambda x: x)[1] > 0).all()


def test_a_last_group_that_is_not_full_is_filled_up_with_nothing():
    x = torch.arange(2 * 26 * 2, dtype=torch.float32).reshape(2, 1, 26, 2)
    cells = cells_of(x)
    assert cells.shape == (2, 9, 6)
    torch.testing.assert_close(cells[:, :8].reshape(2, -1), x[:, 0, :24].reshape(2, -1))
    assert cells[1, 8].tolist() == [*x[1, 0, 24:].flatten().tolist(), 0, 0]


def test_an_extra_knock_is_found_and_the_machine_of_another_hum():
    """Ramps that can be guessed from their neighbours, on a level that tells the machine."""
    rng = np.random.default_rng(0)

    def ramps(n, *, knock=False):
        clips = rng.normal(0, 0.1, size=(n, 1, 1)) * np.arange(FEATURES.frames) + 0.1 * rng.normal(
            size=(n, MELS, FEATURES.frames)
        )
        clips[1::2, :4] += 2.0
        clips[:, :, 7] += 3.0 * knock
        return heard(clips, ["fan/id_00", "fan/id_02"] * (n // 2))

    known = ramps(40)
    model = trans_ae.train(known, budget=StageConfig(30, 16, 3e-3), device="cpu")
    healthy, faulty = (trans_ae.score(model, known, ramps(20, knock=knock), device="cpu") for knock in (False, True))
    assert auc(np.repeat([0, 1], 20), np.concatenate([healthy["reconstruction"], faulty["reconstruction"]])) > 0.95
    other = ramps(20)
    other = Clips(other.inputs, np.roll(other.machines, 1), FEATURES)
    swapped = trans_ae.score(model, known, other, device="cpu")
    assert swapped["id"].min() > healthy["id"].max()


def test_what_is_too_short_is_refused():
    short = FeatureConfig(seconds=0.1, n_mels=MELS)
    clips = Clips((np.zeros((2, 1), np.int16), np.zeros((2, MELS, 4), np.float32)), ["fan/id_00", "fan/id_02"], short)
    with pytest.raises(AsdError, match="clips of 4 frames are too short: the network reads 5 at a time"):
        trans_ae.train(clips, budget=BUDGET)
    with pytest.raises(AsdError, match="spectra of 1 band: there is nothing to guess it from"):
        trans_ae.train(Clips((np.zeros((2, 1, 1, 3), np.float32),), ["fan/id_00", "fan/id_02"]), budget=BUDGET)
    known = sound(12)
    model = trans_ae.train(known, budget=BUDGET, device="cpu")
    fans = known.only(known.types == "fan")
    with pytest.raises(AsdError, match="a detector of 3 machines, and known clips of 2"):
        trans_ae.score(model, fans, fans, device="cpu")
