"""The convolutions of an exported network in 8 bits.

Static quantisation by onnxruntime: the ranges of the activations are those that some
healthy clips have shown, so nothing has to be measured where the detector runs. The
front end stays in float32, and so does what reads the waveform itself: between a loud
and a quiet machine lie more steps than 8 bits have.
"""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from asdlib.errors import AsdError

LEAST = 8  # clips; fewer show no range
MOST = 128  # more take time, and show the same
AT_ONCE = 8


def checked(waveforms: np.ndarray, samples: int) -> np.ndarray:
    """Waveforms (N, samples) for :func:`quantise`, evenly taken: (n, samples) float32.

    ``waveforms`` are in ±1 or int16. Raises :class:`AsdError` for other shapes, and for
    too few of them.
    """
    if waveforms.ndim != 2 or waveforms.shape[1] != samples:
        raise AsdError(
            f"waveforms of shape {waveforms.shape} for the ranges of 8 bits: give "
            f"healthy clips of {samples} samples"
        )
    if len(waveforms) < LEAST:
        raise AsdError(
            f"{len(waveforms)} clips do not show the ranges that 8 bits have to cover: "
            f"give {LEAST} or more, of every machine"
        )
    some = np.linspace(0, len(waveforms) - 1, min(MOST, len(waveforms))).round()
    chosen = waveforms[some.astype(int)]
    scale = 2**-15 if chosen.dtype == np.int16 else 1
    return (chosen * scale).astype(np.float32)


def quantise(path: Path, waveforms: np.ndarray, *, input_name: str) -> None:
    """Write the ONNX file ``path`` anew with its convolutions in 8 bits.

    ``waveforms`` (N, samples) float32 go through the network, by its input
    ``input_name``, to show which numbers there are.
    """
    import onnx
    from onnxruntime.quantization import (
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quantize_static,
    )

    class Clips(CalibrationDataReader):
        def __init__(self) -> None:
            groups = range(0, len(waveforms), AT_ONCE)
            self.parts = iter({input_name: waveforms[i : i + AT_ONCE]} for i in groups)

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self.parts, None)

    root, level = logging.getLogger(), logging.getLogger().level
    root.setLevel(logging.ERROR)  # it advises a preparation that this graph has had
    try:
        quantize_static(
            path,
            path,
            Clips(),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_quantize=list(_convolutions(onnx.load(path))),
        )
    finally:
        root.setLevel(level)


def _convolutions(model: Any) -> Iterator[str]:
    """The names of the convolutions over maps (B, C, H, W)."""
    weights = {w.name: len(w.dims) for w in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Conv" and weights.get(node.input[1]) == 4:
            yield node.name
