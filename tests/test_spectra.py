"""Spectra from a file: what is accepted, what is refused and how, and that both stages and every scorer run on them."""

import numpy as np
import pytest
import torch

from asdlib.classifier import finetune
from asdlib.contrastive import pretrain
from asdlib.encoders import new_encoder
from asdlib.errors import AsdError
from asdlib.evaluation import SCORERS, auc, knn_score
from asdlib.methods import clp_scf
from asdlib.spectra import SpectrumConfig, SpectrumEncoder, read_spectra
from asdlib.training import StageConfig

SHAPE = (12, 4)


@pytest.fixture
def arrays():
    """Three machines, each a pattern of its own under noise; anomalous clips lie off the pattern."""
    rng = np.random.default_rng(0)
    pattern = {name: rng.normal(size=SHAPE) for name in ("fan/id_00", "fan/id_02", "pump/id_00")}

    def clips(counts, off):
        machine = np.repeat(list(counts), list(counts.values()))
        x = np.stack([pattern[name] for name in machine]) + 0.3 * rng.normal(size=(len(machine), *SHAPE))
        return (x + off * rng.normal(size=x.shape)).astype(np.float16), machine

    train, train_machine = clips(dict.fromkeys(pattern, 24), 0)
    (normal, machine), (faulty, faulty_machine) = clips(dict.fromkeys(pattern, 8), 0), clips(dict.fromkeys(pattern, 8), 2)
    return {
        "train": train,
        "train_machine": train_machine,
        "test": np.concatenate([normal, faulty]),
        "test_machine": np.concatenate([machine, faulty_machine]),
        "test_is_anomaly": np.repeat([0, 1], [24, 24]).astype(np.int8),
    }


def written(tmp_path, arrays, **changes):
    path = tmp_path / "spectra.npz"
    np.savez(path, **{name: value for name, value in (arrays | changes).items() if value is not None})
    return path


def test_a_file_becomes_float_spectra_with_labels_in_the_order_of_the_machines(tmp_path, arrays):
    spectra = read_spectra(written(tmp_path, arrays))
    assert spectra.train.inputs[0].shape == (72, 1, *SHAPE)
    assert spectra.train.inputs[0].dtype == spectra.test.inputs[0].dtype == np.float32
    assert spectra.test_is_anomaly.dtype == bool
    assert spectra.train.names == ["fan/id_00", "fan/id_02", "pump/id_00"]
    assert [spectra.train.names[label] for label in spectra.train.labels] == arrays["train_machine"].tolist()


def test_fewer_training_clips_leave_out_the_test_clips_of_machines_without_any(tmp_path, arrays):
    fewer = read_spectra(written(tmp_path, arrays)).only(np.arange(30))
    assert fewer.train.names == ["fan/id_00", "fan/id_02"]
    assert len(fewer.train) == 30
    assert set(fewer.test.machines) == {"fan/id_00", "fan/id_02"}
    assert len(fewer.test) == len(fewer.test_is_anomaly) == 32


def with_a_nan(x):
    x = x.copy()
    x[5, 0, 0] = np.nan
    return x


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda a: {"test": None, "test_machine": None}, "no array test, test_machine: a set of spectra holds train"),
        (
            lambda a: {"train": a["train"][:, 0]},
            r"train in .* is float16 of shape \(72, 4\): it must be floats of shape \(clips, b",
        ),
        (
            lambda a: {"test": a["test"][:, :5]},
            r"test in .* of shape \(48, 5, 4\): it must be floats of shape \(clips, 12, 4\)",
        ),
        (lambda a: {"train": a["train"].astype(int)}, "train in .* is int64"),
        (lambda a: {"train_machine": a["train_machine"][1:]}, r"train_machine in .* has shape \(71,\).* each of 72 clips"),
        (lambda a: {"train": with_a_nan(a["train"])}, r"1 clips of train .* not finite, the first in row 5 \(fan/id_00\)"),
        (lambda a: {"test": with_a_nan(a["test"])}, "1 clips of test"),
        (lambda a: {"test_is_anomaly": a["test_is_anomaly"] * 2}, "must be 0 or 1 for each of the 48"),
        (
            lambda a: {"test_is_anomaly": np.zeros(48, int)},
            "all 16 test clips of fan/id_00 in .* are normal: a ROC curve needs",
        ),
        (lambda a: {"test_is_anomaly": np.ones(48, int)}, "are anomalous"),
        (lambda a: {"test_machine": np.full(48, "fan/id_99")}, "no training clips of fan/id_99: add some, or leave them out"),
        (lambda a: {"train": a["train"].astype(object)}, "is not an .npz file of arrays"),
    ],
)
def test_bad_files_are_refused_by_a_sentence(tmp_path, arrays, change, sentence):
    with pytest.raises(AsdError, match=sentence):
        read_spectra(written(tmp_path, arrays, **change(arrays)))


def test_a_missing_file_and_another_kind_of_file_are_told_apart(tmp_path):
    with pytest.raises(AsdError, match="no file"):
        read_spectra(tmp_path / "none.npz")
    other = tmp_path / "other.npz"
    for content in (b"", b"PK\x03\x04 cut short", b"text"):
        other.write_bytes(content)
        with pytest.raises(AsdError, match=r"is not an \.npz file of arrays"):
            read_spectra(other)
    np.save(tmp_path / "one.npy", np.zeros(3))
    with pytest.raises(AsdError, match=r"is not an \.npz file of arrays"):
        read_spectra(tmp_path / "one.npy")


def test_both_stages_and_every_scorer_run_on_spectra_and_find_what_lies_off_the_pattern(tmp_path, arrays):
    spectra = read_spectra(written(tmp_path, arrays))
    config = StageConfig(20, 24, 1e-2)
    encoder = new_encoder(SpectrumConfig(*SHAPE, width=8, embedding_dim=16), None)
    base, _ = pretrain(encoder, spectra.train, config, device="cpu", validation=0)
    assert set(clp_scf.score(base, spectra.train, spectra.test, device="cpu")) == {"knn", "mahalanobis", "gmm"}
    model, _ = finetune(base, spectra.train, config, device="cpu", validation=0)
    scores = clp_scf.score(model, spectra.train, spectra.test, device="cpu")
    assert set(scores) == set(SCORERS)
    for values in scores.values():
        assert auc(spectra.test_is_anomaly, values) > 0.7
    own, asked = spectra.train.machines == "fan/id_02", spectra.test.machines == "fan/id_02"
    with torch.no_grad():
        known, new = (
            model.embed(torch.from_numpy(x)).numpy() for x in (spectra.train.inputs[0][own], spectra.test.inputs[0][asked])
        )
        logits = model.arcface(torch.from_numpy(new)).double()
    np.testing.assert_allclose(scores["knn"][asked], knn_score(known, new), atol=1e-5)
    surprise = -torch.log_softmax(logits, dim=1)[:, 1].numpy()
    np.testing.assert_allclose(scores["softmax-plain"][asked], surprise, rtol=1e-3, atol=1e-5)


def test_the_encoder_has_no_bias_before_a_norm_that_would_remove_it():
    encoder = SpectrumEncoder(SpectrumConfig(60, 8, width=4, embedding_dim=16))
    convolutions = 3 * (8 * 4 + 4 * 4 + 4 * 8 + 8 * 8 + 8 * 8)
    norms = 2 * (4 + 4 + 8 + 8 + 8 + 16)
    assert sum(p.numel() for p in encoder.parameters()) == convolutions + 8 * 15 * 16 + norms


def test_the_encoder_standardises_each_number_and_refuses_other_shapes():
    encoder = SpectrumEncoder(SpectrumConfig(60, 8))
    x = torch.randn(64, 1, 60, 8) * torch.linspace(0.1, 9, 8) - 5
    assert encoder(x).shape == (64, 128)
    seen = encoder.standardise(x.flatten(1))
    torch.testing.assert_close(seen.mean(0), torch.zeros(480), atol=1e-4, rtol=0)
    torch.testing.assert_close(seen.std(0, unbiased=False), torch.ones(480), atol=1e-3, rtol=0)
    for bands in (59, 61, 7):
        assert SpectrumEncoder(SpectrumConfig(bands, 8))(torch.randn(2, 1, bands, 8)).shape == (2, 128)
    with pytest.raises(AsdError, match=r"spectra of shape \(B, 1, 60, 8\), not \(2, 60, 8\)"):
        encoder(torch.zeros(2, 60, 8))
