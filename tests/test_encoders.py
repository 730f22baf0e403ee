"""The table of encoders: a new one takes a row, and each is kept and found again by its name."""

import json
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import nn

from asdlib.clips import Clips
from asdlib.encoder import BOOK_ENCODER, PAPER_ENCODER, STgramMFN
from asdlib.encoders import ENCODERS, as_kept, config_of, encoder_for, new_encoder
from asdlib.errors import AsdError
from asdlib.features import FeatureConfig
from asdlib.spectra import SpectrumConfig, SpectrumEncoder


@dataclass(frozen=True)
class DummyConfig:
    NAME: ClassVar[str] = "dummy"
    width: int = 3


class Dummy(nn.Module):
    def __init__(self, config, features):
        super().__init__()
        self.embedding_dim, self.features = config.width, features
        self.layer = nn.Linear(2, config.width)


def test_a_new_encoder_takes_one_row(monkeypatch):
    config = DummyConfig(width=5)
    with pytest.raises(AsdError, match="no encoder 'dummy': choose one of stgram-mfn, spectrum"):
        new_encoder(config, None)
    with pytest.raises(AsdError, match="no encoder 'dummy' in this version: upgrade asdlib, or choose one of stgram-mfn"):
        config_of(as_kept(config))
    monkeypatch.setitem(ENCODERS, "dummy", (DummyConfig, Dummy))
    features = FeatureConfig(seconds=1.0)
    first, again, other = (new_encoder(config, features, seed=seed) for seed in (1, 1, 2))
    assert isinstance(first, Dummy)
    assert first.features is features
    assert first.layer.weight.shape == (5, 2)
    assert torch.equal(first.layer.weight, again.layer.weight)
    assert not torch.equal(first.layer.weight, other.layer.weight)
    kind, values = config_of(json.loads(json.dumps(as_kept(config))))
    assert kind(**values) == config


@pytest.mark.parametrize("config", [BOOK_ENCODER, PAPER_ENCODER, SpectrumConfig(12, 8, width=4)])
def test_what_is_kept_of_a_config_gives_it_back(config):
    kept = json.loads(json.dumps(as_kept(config)))
    kind, values = config_of(kept)
    assert kind(**values) == config
    assert kept["name"] == config.NAME  # which it was not robbed of
    if config is PAPER_ENCODER:
        assert config_of({}) == (type(config), {})  # a run of version 0.1


def test_what_is_no_config_is_refused():
    with pytest.raises(AsdError, match="no encoder 'int'"):
        new_encoder(7, None)


def test_sound_and_spectra_have_an_encoder_each():
    machines = np.array(["fan/id_00", "fan/id_02"])
    features = FeatureConfig(seconds=0.5)
    sound = Clips((np.zeros((2, features.samples), np.int16), np.zeros((2, 128, features.frames))), machines, features)
    assert encoder_for(sound) == BOOK_ENCODER
    assert isinstance(new_encoder(encoder_for(sound), features), STgramMFN)
    spectra = Clips((np.zeros((2, 1, 60, 8), np.float32),), machines)
    config = encoder_for(spectra)
    assert (config.bands, config.modulations) == (60, 8)
    encoder = new_encoder(config, None)
    assert isinstance(encoder, SpectrumEncoder)
    assert encoder(torch.zeros(2, 1, 60, 8)).shape == (2, encoder.embedding_dim)


@pytest.mark.parametrize("shapes", [[(2, 60, 8)], [(2, 2, 60, 8)], [(2, 1, 60, 8), (2, 1, 60, 8)], []])
def test_inputs_that_no_encoder_reads_are_refused(shapes):
    clips = Clips(tuple(np.zeros(shape) for shape in shapes), np.array(["fan/id_00", "fan/id_02"]))
    with pytest.raises(AsdError, match=r"no encoder reads inputs of shape .*: give sound, or spectra"):
        encoder_for(clips)
