"""A detector as one plain script, for a page: no library, no server, no network.

The script holds the weights, every batch norm merged into the convolution before it,
and what computes with them (``asdlib/show/js/live/``): from a waveform the log-mel, the
Tgram, the embedding, and the scores of all machines. It works in a page opened from
disk, in a worker, and in node.
"""

import base64
import json
from collections.abc import Iterable
from copy import deepcopy
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_linear_bn_eval

from asdlib.errors import AsdError
from asdlib.files import writable
from asdlib.judge.scorers import unit
from asdlib.learn.classifier import MachineClassifier
from asdlib.learn.encoder import Bottleneck, STgramMFN, fold_batch_norms
from asdlib.learn.heads import ArcFace
from asdlib.learn.pieces import Pieces
from asdlib.show.live import DETECTOR, scripts
from asdlib.sound.features import FeatureConfig, LogMel
from asdlib.use.detector import Detector
from asdlib.use.thresholds import read_thresholds

SMALL = 4096  # numbers of a tensor that is kept with what 16 bits leave of it
ABOUT = """\
// {machines} machines, clips of {seconds:g} s at {rate} Hz; written by asdlib.
//   const detector = asdlive.detector(asdlive.run);
//   const {{ scores, embedding }} = detector.hear(waveform);  // Float32Array in ±1
//   scores[detector.machines.indexOf({machine})]  // larger: more anomalous
//   detector.thresholds[{machine}]  // as kept in the run
"""


def write_web(
    run: str | Path | Detector, path: str | Path, *, half: bool = True
) -> None:
    """Write the detector of ``run`` as the script ``path``.

    Numbers have 16 bits, or 32 where ``half`` is False. The thresholds that are kept in
    a run directory travel with it. Raises :class:`AsdError` for a detector that has no
    place in a page, and where the file cannot be written.
    """
    detector = run if isinstance(run, Detector) else Detector.load(run)
    thresholds = {} if isinstance(run, Detector) else read_thresholds(run)
    values = {
        machine: {scorer: threshold.value for scorer, threshold in by.items()}
        for machine, by in thresholds.items()
    }
    content = {**described(detector, half=half), "thresholds": values}
    features = detector.config.features
    about = ABOUT.format(
        machines=len(detector.config.machines),
        machine=_as_json(detector.config.machines[0]),
        seconds=features.seconds,
        rate=features.sample_rate,
    )
    text = f"{about}{scripts(*DETECTOR)}\nasdlive.run = {_as_json(content)};\n"
    with writable(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def described(detector: Detector, *, half: bool = True) -> dict[str, Any]:
    """A detector as ``detector.js`` reads it, for JSON.

    Layers are lists and settings; in place of their weights stands where in ``data``,
    one array of all numbers, they begin (``at``), how many they are (``count``), and
    where what must be added to them begins (``rest``), if anything must.
    Raises :class:`AsdError` for a detector that has no place in a page.
    """
    encoder, pieces = _checked(detector)
    model = fold_batch_norms(deepcopy(cast(nn.Module, detector.model)).eval())
    model = cast(MachineClassifier, model)
    encoder = cast(STgramMFN, getattr(model.encoder, "encoder", model.encoder))
    features, seen = detector.config.features, encoder.features
    last = (features.samples - seen.samples) // features.hop_length
    step = seen.samples // seen.hop_length
    numbers = _Numbers(half)
    arcface = cast(ArcFace, model.arcface)
    linear, norm = cast(nn.Linear, model.first[0]), cast(nn.BatchNorm1d, model.first[1])
    first = fuse_linear_bn_eval(linear, norm)
    bank = [
        numbers(torch.as_tensor(unit(detector.bank[detector.bank_labels == label])))
        for label in range(len(detector.config.machines))
    ]
    content = {
        "machines": detector.config.machines,
        **front_end(features),
        "piece": {
            "samples": seen.samples,
            "frames": seen.frames,
            "starts": [*range(0, last, step), last] if pieces else [0],
        },
        "tgram": _tgram(encoder, numbers),
        "blocks": _blocks(encoder, numbers),
        "first": {"weight": numbers(first.weight), "bias": numbers(first.bias)},
        "arcface": {
            "weight": numbers(F.normalize(arcface.weight)),
            "margin": arcface.margin,
            "scale": arcface.scale,
        },
        "bank": bank,
    }
    return {**content, "bits": 16 if half else 32, "data": numbers.text()}


def front_end(features: FeatureConfig) -> dict[str, Any]:
    """The front end alone, without a network, as ``front.js`` reads it, for JSON.

    Raises :class:`AsdError` for a window that the script cannot transform.
    """
    size = features.n_fft
    if size & (size - 1):
        raise AsdError(
            f"the script transforms windows of a power of two, not of {size}: choose "
            "n_fft 1024"
        )
    settings = {
        "rate": features.sample_rate,
        "samples": features.samples,
        "nFft": size,
        "hop": features.hop_length,
        "mels": features.n_mels,
        "bands": _bands(features),
    }
    return {"features": settings}


class _Numbers:
    """All weights in one array; called with a tensor, it says where in it that is.

    In 16 bits a small tensor is there twice: rounded, and what the rounding left
    (``rest``). Those are the first layers, the biases and the slopes: together a
    twentieth of all numbers, and the cause of two thirds of the error.
    """

    def __init__(self, half: bool) -> None:
        self.half, self.parts, self.count = half, list[np.ndarray](), 0

    def __call__(self, tensor: Tensor) -> dict[str, int]:
        values = tensor.detach().float().numpy().ravel()
        kept = values.astype("<f2" if self.half else "<f4")
        if not np.isfinite(kept).all():
            raise AsdError(
                "the run has weights that 16 bits cannot hold: write all 32 bits"
            )
        place = {"at": self._add(kept), "count": len(values)}
        if self.half and len(values) <= SMALL:
            place["rest"] = self._add((values - kept).astype("<f2"))
        return place

    def _add(self, kept: np.ndarray) -> int:
        self.parts.append(kept)
        self.count += len(kept)
        return self.count - len(kept)

    def text(self) -> str:
        return base64.b64encode(np.concatenate(self.parts).tobytes()).decode()


def _checked(detector: Detector) -> tuple[STgramMFN, bool]:
    """The encoder, and whether it sees pieces of clips.

    Raises :class:`AsdError` for another kind of detector than the script knows.
    """
    encoder = getattr(detector.model, "encoder", None)
    pieces = isinstance(encoder, Pieces)
    encoder = encoder.encoder if isinstance(encoder, Pieces) else encoder
    arcface = getattr(detector.model, "arcface", None)
    if not isinstance(encoder, STgramMFN) or type(arcface) is not ArcFace:
        raise AsdError(
            f"the method {detector.config.method} has no script for a page: "
            "train with the preset book or paper"
        )
    return encoder, pieces


def _bands(features: FeatureConfig) -> list[dict[str, Any]]:
    """Of every mel band its first frequency bin, and the weights from there on.

    A band narrower than the bins has none.
    """
    triangles = LogMel(features).mel.mel_scale.fb.numpy().T  # (mels, bins)
    bands = []
    for row in triangles:
        filled = np.flatnonzero(row)
        part = slice(filled[0], filled[-1] + 1) if len(filled) else slice(0, 0)
        weights = [float(f"{weight:.9g}") for weight in row[part]]  # exact in 32 bits
        bands.append({"first": int(part.start), "weights": weights})
    return bands


def _tgram(encoder: STgramMFN, numbers: _Numbers) -> dict[str, Any]:
    blocks = []
    for block in encoder.tgram.blocks:
        norm, _, conv = cast(Iterable[Any], block)
        blocks.append(
            {
                "gain": numbers(norm.weight),
                "offset": numbers(norm.bias),
                "taps": numbers(conv.weight),
            }
        )
    return {"filters": numbers(encoder.tgram.filters.weight), "blocks": blocks}


def _blocks(encoder: STgramMFN, numbers: _Numbers) -> list[dict[str, Any]]:
    """MobileFaceNet as blocks of convolutions, each with or without a skip."""
    net, blocks = encoder.mobilefacenet, []
    for layer in (*net.layers, net.pool, net.project):
        bottleneck = isinstance(layer, Bottleneck)
        rows = layer.layers if isinstance(layer, Bottleneck) else [layer]
        convolutions = [_convolution(cast(nn.Sequential, row), numbers) for row in rows]
        skip = bottleneck and cast(Bottleneck, layer).skip
        blocks.append({"skip": skip, "convolutions": convolutions})
    return blocks


def _convolution(layer: nn.Sequential, numbers: _Numbers) -> dict[str, Any]:
    conv = cast(nn.Conv2d, layer[0])
    assert conv.bias is not None  # of the batch norm that was merged into it
    slope = numbers(cast(nn.PReLU, layer[2]).weight) if len(layer) > 2 else None
    return {
        "cin": conv.in_channels,
        "cout": conv.out_channels,
        "kernel": conv.kernel_size,
        "stride": conv.stride[0],
        "padding": conv.padding[0],
        "groups": conv.groups,
        "weight": numbers(conv.weight),
        "bias": numbers(conv.bias),
        "slope": slope,
    }


def _as_json(values: object) -> str:
    """JSON that may stand in a page: nothing in it ends a script."""
    return json.dumps(values, separators=(",", ":")).replace("<", "\\u003c")
