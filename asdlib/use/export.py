"""A detector as one ONNX file, front end included.

Waveforms in, a score for every machine out. What runs it needs neither torch
nor asdlib: onnxruntime is enough, in Python, C, Java or a browser. Needs the extra
``asdlib[export]`` to write.
"""

import json
import logging
import warnings
from copy import deepcopy
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from asdlib.errors import AsdError
from asdlib.files import writable
from asdlib.learn.classifier import MachineClassifier
from asdlib.learn.encoder import fold_batch_norms
from asdlib.learn.heads import ArcFace
from asdlib.methods._parts import Ensemble
from asdlib.sound.features import LogMel
from asdlib.use.detector import Detector
from asdlib.use.export_ensemble import WholeEnsemble

INPUT = "waveform"


class WholeDetector(nn.Module):
    """From waveforms to scores, with every step of the front end in between.

    ``forward(waveform)``: (B, samples) float32 in ±1 → the softmax score of each
    machine that a clip might be of (B, machines), and the embedding (B, dim) that the
    distance-based scorers use.
    """

    OUTPUTS = ("score", "embedding")

    def __init__(self, detector: Detector):
        super().__init__()
        self.front = LogMel(detector.config.features)
        self.classifier = deepcopy(detector.model).eval()
        fold_batch_norms(self.classifier)

    def forward(self, waveform: Tensor) -> tuple[Tensor, Tensor]:
        # As the clips of training were kept: log-mels in 16 bits.
        log_mel = self.front(waveform).half().float()
        embedding = self.classifier.embed(waveform, log_mel)
        arcface = cast(ArcFace, self.classifier.arcface)  # of a run it always is one
        plain = arcface(embedding)
        own = arcface.scale * arcface.shifted(plain / arcface.scale)
        itself = torch.eye(plain.shape[1], dtype=torch.bool)
        others = plain[:, None, :].masked_fill(itself, -1e9).logsumexp(dim=2)
        return nn.functional.softplus(others - own), embedding


def export(run: str | Path | Detector, path: str | Path) -> None:
    """Write the detector in ``run`` to the ONNX file ``path``.

    Input ``waveform`` (clips, samples) float32 in ±1; outputs ``score`` (clips,
    machines), by the first scorer of the run, and ``embedding`` (clips, dim); of an
    ensemble also ``parts`` (clips, machines, parts). The file's metadata has
    ``machines`` and ``parts`` (JSON lists, in the order of the scores), ``sample_rate``
    in Hz and ``seconds``.
    Raises :class:`AsdError` where the export packages are missing, or the file cannot
    be written.
    """
    detector = run if isinstance(run, Detector) else Detector.load(run)
    try:
        # torch needs it, and says so in many lines.
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise AsdError(
            "the packages for ONNX are not installed: pip install 'asdlib[export]'"
        ) from error
    if not isinstance(detector.model, Ensemble | MachineClassifier):
        raise AsdError(
            f"the method {detector.config.method} cannot be exported: its score is no "
            "graph of tensors, so score with asdlib, or train an ensemble or a "
            "classifier of machine IDs"
        )
    features = detector.config.features
    module: WholeDetector | WholeEnsemble
    ensemble = isinstance(detector.model, Ensemble)
    module = WholeEnsemble(detector) if ensemble else WholeDetector(detector)
    quiet = logging.getLogger("torch.onnx")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        level = quiet.level
        quiet.setLevel(logging.ERROR)
        try:
            program = torch.onnx.export(
                module.eval(),
                (torch.zeros(2, features.samples),),
                input_names=[INPUT],
                output_names=list(module.OUTPUTS),
                dynamic_shapes=({0: torch.export.Dim("clips", min=1, max=2**16)},),
                dynamo=True,
                verbose=False,
            )
        finally:
            quiet.setLevel(level)
    assert program is not None  # it is None only without dynamo
    about = program.model.metadata_props
    about["machines"] = json.dumps(detector.config.machines)
    about["parts"] = json.dumps(detector.parts)
    about["sample_rate"] = str(features.sample_rate)
    about["seconds"] = repr(features.seconds)
    with writable(path) as temporary:
        program.save(str(temporary))
