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

import numpy as np
import torch
from torch import Tensor, nn

from asdlib.errors import AsdError
from asdlib.files import writable
from asdlib.learn.encoder import fold_batch_norms
from asdlib.methods import pruned
from asdlib.methods._parts import Ensemble
from asdlib.sound.features import LogMel
from asdlib.use.detector import Detector
from asdlib.use.export_ensemble import WholeEnsemble
from asdlib.use.export_scorers import scorer_module
from asdlib.use.int8 import checked, quantise
from asdlib.use.thresholds import read_thresholds

INPUT = "waveform"


class WholeDetector(nn.Module):
    """From waveforms to scores, with every step of the front end in between.

    ``forward(waveform)``: (B, samples) float32 in ±1 → the score of each machine that a
    clip might be of (B, machines), by the scorer ``scorer`` (None: the first), and the
    embedding (B, dim). Raises :class:`AsdError` for a scorer that cannot be written.
    """

    def __init__(self, detector: Detector, scorer: str | None = None):
        super().__init__()
        self.front = LogMel(detector.config.features)
        self.model = deepcopy(detector.model).eval()
        if detector.config.method == "pruned":  # its zeros need not be written
            self.model = pruned.small(self.model, detector.config.features)
        fold_batch_norms(self.model)
        name = detector.scorer(scorer)
        self.scorer = scorer_module(detector, self.model, name)

    def forward(self, waveform: Tensor) -> tuple[Tensor, ...]:
        # As the clips of training were kept: log-mels in 16 bits.
        log_mel = self.front(waveform).half().float()
        embedding = self.model.embed(waveform, log_mel)
        return self.scorer(embedding).float(), embedding


class WithAlarm(nn.Module):
    """A whole detector that also says where a score is above the machine's threshold.

    ``forward(waveform)`` gives what ``whole`` gives, and last the alarms (B, machines)
    bool; never one of a machine that has no threshold in ``thresholds`` (machines,).
    """

    def __init__(self, whole: nn.Module, thresholds: list[float | None]):
        super().__init__()
        self.whole = whole
        limits = [np.inf if limit is None else limit for limit in thresholds]
        self.register_buffer("limits", torch.tensor(limits))

    def forward(self, waveform: Tensor) -> tuple[Tensor, ...]:
        score, *others = self.whole(waveform)
        return score, *others, score > self.limits


def export(
    run: str | Path | Detector,
    path: str | Path,
    *,
    scorer: str | None = None,
    int8: np.ndarray | None = None,
) -> None:
    """Write the detector in ``run`` to the ONNX file ``path``.

    Input ``waveform`` (clips, samples) float32 in ±1; outputs ``score`` (clips,
    machines), by ``scorer`` (None: the first of the run), and ``embedding`` (clips,
    dim); of an ensemble also ``parts`` (clips, machines, parts); where the run
    directory keeps thresholds of this scorer also ``alarm`` (clips, machines), bool.
    The file's metadata has ``machines`` and ``parts`` (JSON lists, in the order of the
    scores), ``scorer``, ``thresholds`` (a JSON list, null where a machine has none),
    ``sample_rate`` in Hz and ``seconds``. With ``int8``, waveforms (N, samples) of
    healthy clips, in ±1 or int16, the network's weights and activations are written in
    8 bits, in ranges that those clips have shown.

    Raises :class:`AsdError` where the export packages are missing, for a scorer that
    cannot be written, or where the file cannot be.
    """
    detector = run if isinstance(run, Detector) else Detector.load(run)
    try:
        # torch needs it, and says so in many lines.
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise AsdError(
            "the packages for ONNX are not installed: pip install 'asdlib[export]'"
        ) from error
    module = whole_module(detector, scorer)
    scorer = detector.scorer(scorer)
    kept = {} if isinstance(run, Detector) else read_thresholds(run)
    machines = detector.config.machines
    found = [kept.get(machine, {}).get(scorer) for machine in machines]
    thresholds = [None if limit is None else limit.value for limit in found]
    features = detector.config.features
    outputs = ["score", *(["parts"] if detector.parts else []), "embedding"]
    if any(limit is not None for limit in thresholds):
        module = WithAlarm(module, thresholds)
        outputs.append("alarm")
    program = _program(module.eval(), features.samples, outputs)
    about = program.model.metadata_props
    about["machines"] = json.dumps(machines)
    about["parts"] = json.dumps(detector.parts)
    about["scorer"] = scorer
    about["thresholds"] = json.dumps(thresholds)
    about["sample_rate"] = str(features.sample_rate)
    about["seconds"] = repr(features.seconds)
    with writable(path) as temporary:
        program.save(str(temporary))
        if int8 is not None:
            quantise(temporary, checked(int8, features.samples), input_name=INPUT)


def whole_module(detector: Detector, scorer: str | None = None) -> nn.Module:
    """The detector from waveforms (B, samples) to scores (B, machines), as a module.

    Raises :class:`AsdError` for a method or a scorer that cannot be written.
    """
    if isinstance(detector.model, Ensemble):
        if detector.scorer(scorer) != detector.scorers[0]:
            raise AsdError(
                f"of an ensemble the score {detector.scorers[0]} is exported, and what "
                "each part says beside it: leave the scorer out"
            )
        return WholeEnsemble(detector)
    return WholeDetector(detector, scorer)


def _program(
    module: nn.Module, samples: int, outputs: list[str]
) -> torch.onnx.ONNXProgram:
    quiet = logging.getLogger("torch.onnx")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        level = quiet.level
        quiet.setLevel(logging.ERROR)
        try:
            program = torch.onnx.export(
                module,
                (torch.zeros(2, samples),),
                input_names=[INPUT],
                output_names=outputs,
                dynamic_shapes=({0: torch.export.Dim("clips", min=1, max=2**16)},),
                dynamo=True,
                verbose=False,
            )
        finally:
            quiet.setLevel(level)
    assert program is not None  # it is None only without dynamo
    return program
