"""Clips longer than what a network sees at a time: one random piece in training, all of them in scoring."""

from dataclasses import replace

import numpy as np
import pytest
import soundfile
import torch
from torch import nn

from asdlib.data import scan
from asdlib.detector import Detector, train
from asdlib.encoder import STgramMFN
from asdlib.encoders import new_encoder
from asdlib.errors import AsdError
from asdlib.evaluation import auc
from asdlib.features import FeatureConfig, log_mel
from asdlib.machines import render
from asdlib.pieces import Pieces, piece_of
from asdlib.run import PRESETS, read_config
from asdlib.stream import score
from tests.conftest import SMALL

CLIP = FeatureConfig(seconds=2.5, n_mels=32)
PIECE = replace(CLIP, seconds=1.0)


class Marks(nn.Module):
    """An "encoder" that answers with the first and last sample, and the first and last frame of the first band."""

    embedding_dim = 4

    def forward(self, waveform, mel):
        assert waveform.shape[1:] == (PIECE.samples,)
        assert mel.shape[1:] == (32, PIECE.frames)
        return torch.stack([waveform[:, 0], waveform[:, -1], mel[:, 0, 0], mel[:, 0, -1]], dim=1)


def counted(clips=1):
    """Clips whose samples and frames are their places."""
    samples = torch.arange(float(CLIP.samples)).expand(clips, -1)
    return samples, torch.arange(float(CLIP.frames)).expand(clips, 32, -1)


def test_all_pieces_are_scored_side_by_side_and_the_last_ends_with_the_clip():
    pieces = Pieces(Marks(), PIECE).eval()
    starts = np.array([0, 31, 46])  # frames: 31 are a piece of a second, and 46 the last place
    expected = np.stack([512 * starts, 512 * starts + PIECE.samples - 1, starts, starts + 31], axis=1).mean(axis=0)
    np.testing.assert_allclose(pieces(*counted(3)).numpy(), np.tile(expected, (3, 1)))
    assert CLIP.samples - (512 * 46 + PIECE.samples) < 512  # what is not heard is less than a frame


def test_training_sees_a_random_piece_of_each_clip_both_inputs_cut_alike():
    pieces = Pieces(Marks(), PIECE).train()
    torch.manual_seed(0)
    seen = torch.cat([pieces(*counted(8)) for _ in range(100)]).numpy()
    np.testing.assert_array_equal(seen[:, 0], 512 * seen[:, 2])
    assert sorted(set(seen[:, 2].tolist())) == list(range(47))
    torch.manual_seed(0)
    np.testing.assert_array_equal(pieces(*counted(8)).numpy(), seen[:8])


def test_a_window_as_long_as_the_clip_is_no_piece_and_a_longer_one_is_refused():
    for window in (None, 2.5):
        assert isinstance(new_encoder(SMALL.encoder, CLIP, window=window), STgramMFN)
    with pytest.raises(AsdError, match=r"a window of 3 s does not fit into clips of 2\.5 s: choose a shorter"):
        new_encoder(SMALL.encoder, CLIP, window=3.0)
    assert piece_of(CLIP, 1.0) == PIECE


def test_a_network_on_pieces_is_the_same_network_on_each_of_them():
    pieces, alone = (new_encoder(SMALL.encoder, features, window=1.0, seed=3).eval() for features in (CLIP, PIECE))
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(2, CLIP.samples)).astype(np.float32)) * 0.1
    mel = log_mel(x, CLIP)
    cuts = [(x[:, 512 * s : 512 * s + PIECE.samples], mel[:, :, s : s + PIECE.frames]) for s in (0, 31, 46)]
    torch.testing.assert_close(pieces(x, mel), torch.stack([alone(*cut) for cut in cuts]).mean(dim=0))


@pytest.fixture(scope="module")
def long_park(tmp_path_factory):
    """Two fans, clips of 2.5 s whose second half is silent but for a hiss in healthy ones, and not in faulty ones."""
    root = tmp_path_factory.mktemp("long")
    for machine in ("fan/id_00", "fan/id_02"):
        for split, count in (("train", 8), ("test", 8)):
            for i in range(count):
                faulty = split == "test" and i >= 4
                x = render(machine, i, seed=0, seconds=2.5, split=split).waveform
                if faulty:  # after the first second
                    x[20000:] = render(machine, i, seed=0, seconds=2.5, split=split, fault="imbalance").waveform[20000:] * 3
                name = f"{'anomaly' if faulty else 'normal'}_{machine.split('/')[1]}_{i:08d}.wav"
                (root / "fan" / split).mkdir(parents=True, exist_ok=True)
                soundfile.write(root / "fan" / split / name, x.clip(-1, 1), 16000)
    return root


def test_the_two_stages_hear_all_of_every_clip_and_files_streams_and_sets_agree(long_park, tmp_path):
    config = replace(SMALL, whole_clips=True, window=1.0)
    detector = train(scan(long_park), tmp_path / "run", config, device="cpu")
    assert read_config(tmp_path / "run").features.seconds == 2.5
    assert isinstance(Detector.load(tmp_path / "run").model.encoder, Pieces)
    clips = [clip for clip in scan(long_park) if clip.split == "test"]
    table = detector.score_clips(clips, device="cpu")
    for clip, expected in list(zip(clips, table.softmax, strict=True))[:3]:
        assert score(clip.path, run=detector, machine=clip.machine, device="cpu").score == [pytest.approx(expected, rel=1e-3)]
    # The fault begins after the first second: a detector that hears no more than that cannot find it.
    beginning = train(scan(long_park), tmp_path / "first", SMALL, device="cpu").score_clips(clips, device="cpu")
    odd = np.array([clip.label == "anomaly" for clip in clips])
    assert auc(odd, table.knn) > 0.8
    assert auc(odd, beginning.knn) < 0.65


def test_the_preset_book_hears_all_of_every_clip_and_the_paper_ten_seconds():
    assert (PRESETS["book"].whole_clips, PRESETS["book"].window) == (True, 2.0)
    assert (PRESETS["paper"].whole_clips, PRESETS["paper"].window, PRESETS["paper"].features.seconds) == (False, None, 10.0)
