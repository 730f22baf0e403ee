"""Serial-OE: the pull of the type loss, the schedule of mixing, who joins a batch, and the density against scikit-learn."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.covariance import EmpiricalCovariance
from sklearn.mixture import GaussianMixture

from asdlib.clips import Clips
from asdlib.errors import AsdError
from asdlib.features import FeatureConfig
from asdlib.methods import Task, embedded, serial_oe
from asdlib.methods._serial import LogMelEncoder, TypeNetwork
from asdlib.pieces import Pieces
from asdlib.spectra import SpectrumConfig
from asdlib.training import StageConfig
from tests.conftest import SMALL

MACHINES = ("fan/0", "fan/1", "pump/0", "valve/3")
SMALLEST = SpectrumConfig(6, 3, width=8, embedding_dim=8)


def spectra(machines=MACHINES, count=8, *, seed=0, level=0.0):
    draw = np.random.default_rng(seed)
    names = np.repeat(machines, count)
    x = draw.normal(size=(len(names), 1, 6, 3)) + level
    return Clips((x.astype(np.float32),), names)


class Same(torch.nn.Module):
    """Embeddings are the inputs."""

    embedding_dim = 18

    def forward(self, x):
        self.given = x
        return x.flatten(1)


def network(machines=2):
    torch.manual_seed(0)
    return TypeNetwork(Same(), machines)


# ------------------------------------------------------------------------------------------------------------------ loss


def test_an_outlier_is_pulled_straight_to_the_origin():
    net = network()
    net.alpha.data.fill_(0.7)
    z = torch.randn(5, 18, dtype=torch.float64, requires_grad=True)
    logit, _ = net.double().logits(z)
    F.binary_cross_entropy_with_logits(logit, torch.zeros(5, dtype=torch.float64), reduction="sum").backward()
    torch.testing.assert_close(z.grad, (2 * 0.7 / 18 * logit.sigmoid())[:, None] * z, rtol=1e-6, atol=1e-8)


def test_the_mixing_rises_to_one_in_the_first_half():
    found = [serial_oe.mixing(done) for done in (0, 0.25, 0.5, 0.75, 1)]
    np.testing.assert_allclose(found, [0, 0.5, 1, 1, 1])


def outliers_of(level=9.0):
    return [spectra(("pump/0",), 20, seed=1, level=level)]


def test_an_unmixed_batch_has_as_many_outliers_which_count_only_for_the_type():
    net, own = network().train(), spectra(("fan/0", "fan/1"), 8)
    x, y = torch.from_numpy(own.inputs[0]), torch.from_numpy(own.labels)
    loss = serial_oe.serial_objective(net, (x,), y, np.random.default_rng(0), outliers=outliers_of(), parts=10)
    given = net.encoder.given
    assert len(given) == 32
    assert torch.equal(given[:16], x)
    every = torch.from_numpy(outliers_of()[0].inputs[0])
    assert all((row == every).flatten(1).all(dim=1).any() for row in given[16:])
    z = given.flatten(1)
    of_type = net.alpha * z.square().mean(dim=1) + net.beta
    of_machine = z[:16] @ net.machine.weight.T
    surprise = (-F.logsigmoid(of_type[:16])).mean() / 2 + (-F.logsigmoid(-of_type[16:])).mean() / 2
    right = 2 * F.one_hot(y, 2) - 1
    torch.testing.assert_close(loss, surprise + 10 * -F.logsigmoid(right * of_machine).mean())
    assert int(net.done) == 1


def test_a_mixed_batch_has_as_much_of_the_labels_as_of_the_clips_and_outliers_are_no_machine(monkeypatch):
    net, own = network().train(), spectra(("fan/0", "fan/1"), 8)
    net.done.fill_(5)
    x, y = torch.from_numpy(own.inputs[0]), torch.from_numpy(own.labels)
    shares = np.random.default_rng(3).uniform(size=32)
    seen = {}

    class Fixed:
        """A generator whose beta is known."""

        def __init__(self, rng):
            self.rng = rng

        def __getattr__(self, name):
            return getattr(self.rng, name)

        def permutation(self, count):
            seen["partner"] = self.rng.permutation(count)
            return seen["partner"]

        def beta(self, a, b, size):
            assert (a, b, size) == (0.2, 0.2, 32)
            return shares

    real = serial_oe.gathered
    monkeypatch.setattr(serial_oe, "gathered", lambda *args: (Fixed(np.random.default_rng(2)), *real(*args)[1:]))
    monkeypatch.setattr(serial_oe, "loss_of", lambda *args: seen.update(args=args) or args[0].sum())
    monkeypatch.setattr(serial_oe, "drawn", lambda *args: [torch.full((16, 1, 6, 3), 9.0)])
    serial_oe.serial_objective(net, (x,), y, np.random.default_rng(0), outliers=outliers_of(), parts=10)
    whole = torch.cat([x, torch.full((16, 1, 6, 3), 9.0)])
    kept = torch.from_numpy(shares.astype(np.float32))
    blend = kept.view(-1, 1, 1, 1) * whole + (1 - kept.view(-1, 1, 1, 1)) * whole[seen["partner"]]
    torch.testing.assert_close(net.encoder.given, blend)
    machine = torch.cat([F.one_hot(y, 2), torch.zeros(16, 2)]).float()
    of_type = torch.tensor([1.0] * 16 + [0.0] * 16)
    _, logits, which, target = seen["args"]
    assert len(logits) == 32
    torch.testing.assert_close(which, kept[:, None] * machine + (1 - kept[:, None]) * machine[seen["partner"]])
    torch.testing.assert_close(target, kept * of_type + (1 - kept) * of_type[seen["partner"]])
    shares[:] = 1  # no mixing at all
    net.done.fill_(5)
    serial_oe.serial_objective(net, (x,), y, np.random.default_rng(0), outliers=outliers_of(), parts=10)
    torch.testing.assert_close(net.encoder.given, whole)
    torch.testing.assert_close(seen["args"][2], machine)


def test_batches_are_mixed_as_often_as_the_schedule_says_and_never_when_scoring():
    own = spectra(("fan/0", "fan/1"), 4)
    x, y = torch.from_numpy(own.inputs[0]), torch.from_numpy(own.labels)
    for done, expected in ((0, 0), (25, 50), (50, 100), (100, 100)):
        net, mixed = network(), 0
        for seed in range(100):
            net.train().done.fill_(done)
            serial_oe.serial_objective(net, (x,), y, np.random.default_rng(seed), outliers=outliers_of(), parts=100)
            mixed += not torch.equal(net.encoder.given[:8], x)
        assert mixed == pytest.approx(expected, abs=15)
        net.eval()
        serial_oe.serial_objective(net, (x,), y, np.random.default_rng(0), outliers=outliers_of(), parts=100)
        assert torch.equal(net.encoder.given[:8], x)
        assert int(net.done) == done + 1  # of the last training step


def test_real_anomalies_are_an_eighth_of_the_outliers():
    some = [spectra(("pump/0",), 20, level=9.0), spectra(("fan/0",), 1, level=-99.0)]
    (found,) = serial_oe.drawn(some, 64, np.random.default_rng(0), torch.device("cpu"))
    assert len(found) == 64
    assert (found.flatten(1).mean(dim=1) < -90).sum() == 8
    (found,) = serial_oe.drawn(some[:1], 64, np.random.default_rng(0), torch.device("cpu"))
    assert (found.flatten(1).mean(dim=1) > 0).all()


# --------------------------------------------------------------------------------------------------------------- density


def test_one_component_ranks_as_the_mahalanobis_distance(monkeypatch):
    draw = np.random.default_rng(0)
    known, asked = draw.normal(size=(150, 6)) @ draw.normal(size=(6, 6)), draw.normal(size=(20, 6))
    monkeypatch.setattr(serial_oe, "RIDGE", 0.0)
    fitted = EmpiricalCovariance().fit(known)
    expected = 0.5 * fitted.mahalanobis(asked) + 0.5 * np.linalg.slogdet(2 * math.pi * fitted.covariance_)[1]
    np.testing.assert_allclose(serial_oe.fit_density(known)(asked), expected, rtol=1e-5)


@pytest.mark.parametrize(("count", "components"), [(1, 1), (3, 1), (399, 1), (400, 2), (2000, 4)])
def test_the_density_is_scikit_learns_with_a_component_for_200_clips(count, components):
    draw = np.random.default_rng(1)
    known, asked = draw.normal(size=(count, 4)) * [1, 2, 3, 4], draw.normal(size=(9, 4))
    ridge = 0.1 * known.var(axis=0).mean() + 1e-6
    mixture = GaussianMixture(components, reg_covar=ridge, random_state=0).fit(np.repeat(known, 1 + (count == 1), axis=0))
    np.testing.assert_allclose(serial_oe.fit_density(known)(asked), -mixture.score_samples(asked))


# ---------------------------------------------------------------------------------------------------------------- method


def test_each_scorer_is_by_the_network_of_the_machines_own_type():
    clips = spectra(count=12)
    model = serial_oe.train(clips, budget=StageConfig(2, 8), encoder=SMALLEST, device="cpu")
    rows, machines = embedded(model, clips, device="cpu")
    assert rows.shape == (48, 24)
    for label, (machine, place, own) in enumerate(zip(MACHINES, (0, 0, 1, 2), (0, 1, 0, 0), strict=True)):
        known, net = rows[machines == machine], model.networks[place]
        found = {name: scorer(rows) for name, scorer in serial_oe.judge(model, known, label).items()}
        assert tuple(found) == serial_oe.SCORERS
        z = torch.from_numpy(rows[:, 8 * place : 8 * place + 8])
        torch.testing.assert_close(z, net.encoder(torch.from_numpy(clips.inputs[0])), rtol=1e-3, atol=1e-4)
        of_type, logits = (part.detach().double() for part in net.logits(z))
        np.testing.assert_allclose(found["type"], -of_type, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(found["id"], -F.logsigmoid(logits[:, own]), rtol=1e-4, atol=1e-5)
        fitted = serial_oe.fit_density(known[:, 8 * place : 8 * place + 8])
        np.testing.assert_allclose(found["density"], fitted(z.numpy()), rtol=1e-6)


def test_a_type_is_told_from_others_by_the_length_of_its_embedding():
    clips = spectra(count=20)
    patterns = np.random.default_rng(7).normal(size=(3, 1, 6, 3)).astype(np.float32)
    clips.inputs[0][:] += 2 * patterns[np.unique(clips.types, return_inverse=True)[1]]
    model = serial_oe.train(clips, budget=StageConfig(30, 10, 5e-3), encoder=SMALLEST, device="cpu")
    rows, _ = embedded(model, clips, device="cpu")
    lengths = np.square(rows[:, :8]).mean(axis=1)  # by the network of the fans
    own = clips.types == "fan"
    assert lengths[own].mean() > 2 * lengths[~own].mean()


def test_real_anomalies_of_the_own_type_change_that_network_and_no_other():
    clips, budget = spectra(), StageConfig(2, 8)
    one = serial_oe.train(clips, budget=budget, encoder=SMALLEST, device="cpu")
    fault = spectra(("fan/1",), 1, seed=5, level=4.0)
    other = serial_oe.train(clips, budget=budget, encoder=SMALLEST, anomalies=fault, device="cpu")
    changed = [not torch.equal(a.machine.weight, b.machine.weight) for a, b in zip(one.networks, other.networks, strict=True)]
    assert changed == [True, False, False]


def test_clips_of_a_single_type_are_refused():
    with pytest.raises(AsdError, match="all clips are of the type fan: what is learned from are clips of other types"):
        serial_oe.train(spectra(("fan/0", "fan/1")), budget=StageConfig(1, 8))


def test_of_sound_the_log_mel_alone_is_heard_a_piece_at_a_time():
    features = FeatureConfig(seconds=2.0)
    task = Task(("fan/0", "pump/0"), features, encoder=SMALL.encoder, window=1.0)
    model = serial_oe.untrained(task).eval()
    encoder = model.networks[0].encoder
    assert isinstance(encoder, Pieces)
    assert isinstance(encoder.encoder, LogMelEncoder)
    waves, mels = torch.randn(2, features.samples), torch.randn(2, 128, features.frames)
    rows = model.embed(waves, mels)
    assert rows.shape == (2, 2 * SMALL.encoder.embedding_dim)
    assert torch.equal(model.embed(0 * waves, mels), rows)
    assert not torch.equal(model.embed(waves, mels.flip(1)), rows)
    whole = serial_oe.untrained(Task(("fan/0", "pump/0"), features, encoder=SMALL.encoder))
    assert isinstance(whole.networks[0].encoder, LogMelEncoder)
