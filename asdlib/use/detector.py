"""A trained detector: scores from a finished run directory."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from asdlib.errors import AsdError
from asdlib.judge.scorers import EMBEDDING_SCORERS, scorer_names
from asdlib.learn.classifier import MachineClassifier
from asdlib.learn.embedding import embed
from asdlib.progress import OnStep, silent
from asdlib.sound.cache import ReadOptions, features_of
from asdlib.sound.clips import Clips
from asdlib.sound.data import Clip
from asdlib.use.bank import Percentiles, machine_softmax, read_bank, read_percentiles
from asdlib.use.config import RunConfig
from asdlib.use.run import loaded, new_classifier, new_encoder, read_config

if TYPE_CHECKING:  # `asd score` of one clip does not wait for it
    import pandas as pd


def untrained(config: RunConfig) -> MachineClassifier:
    """The network of ``config`` before any training."""
    return new_classifier(new_encoder(config), config)


@dataclass(frozen=True)
class Detector:
    """A finished run: ``config``, ``model``, and its memory bank.

    The ``bank`` holds the embeddings (N, dim) of the training clips, ``bank_labels``
    (N,) whose they are. ``percentiles`` are those of the scores of the training clips.
    """

    config: RunConfig
    model: MachineClassifier
    bank: np.ndarray
    bank_labels: np.ndarray
    percentiles: Percentiles

    @classmethod
    def load(cls, run: str | Path) -> "Detector":
        """The detector in a run directory.

        Raises :class:`AsdError` when there is none, or its parts do not fit.
        """
        run = Path(run)
        config = read_config(run)
        for name in ("weights.safetensors", "embeddings.safetensors", "scores.json"):
            if not (run / name).exists():
                raise AsdError(
                    f"{run} holds an unfinished run (no {name}): finish it with asd "
                    "train --resume"
                )
        make = partial(untrained, config)
        model = loaded(make, run / "weights.safetensors", config)
        bank, labels = read_bank(run, config)
        percentiles = read_percentiles(run, config, model, bank, labels)
        return cls(config, model, bank, labels, percentiles)

    def label(self, machine: str) -> int:
        """The label of ``machine`` (``type/id``).

        Raises :class:`AsdError` when the run was not trained on it.
        """
        if machine not in self.config.machines:
            known = ", ".join(self.config.machines)
            raise AsdError(
                f"this run does not know the machine {machine!r}: "
                f"choose one of {known}, or train on it"
            )
        return self.config.machines.index(machine)

    def scores(
        self, embeddings: np.ndarray, machine: str, scorer: str = "softmax"
    ) -> np.ndarray:
        """Anomaly scores (N,) of ``embeddings`` (N, dim) of clips of one machine.

        Larger is more anomalous. Raises :class:`AsdError` for an unknown machine or
        scorer.
        """
        if scorer not in scorer_names():
            names = ", ".join(scorer_names())
            raise AsdError(f"no scorer {scorer!r}: choose one of {names}")
        label = self.label(machine)
        if scorer in EMBEDDING_SCORERS:
            known = self.bank[self.bank_labels == label]
            return EMBEDDING_SCORERS[scorer](known, embeddings)
        margin = scorer == "softmax"
        return machine_softmax(self.model, embeddings, label, margin=margin)

    def score_clips(
        self,
        clips: list[Clip],
        *,
        scorers: Sequence[str] | None = None,
        reading: ReadOptions | None = None,
        device: str = "auto",
        cache: Path | None = None,
        on_step: OnStep = silent,
    ) -> "pd.DataFrame":
        """Scores of clips on disk, one row per clip, in order.

        The columns are ``machine``, ``name``, ``label`` and one of scores per scorer
        (None: all of them). ``reading`` says how clips of other rates, channels or
        lengths are read, if not as the training clips were. Raises :class:`AsdError`
        for an unknown machine or scorer and for clips that cannot be read.
        """
        for machine in {clip.machine for clip in clips}:
            self.label(machine)
        arrays = features_of(
            clips,
            self.config.features,
            options=reading or self.config.reading,
            folder=cache,
            on_step=on_step,
        )
        return self.score_features(
            arrays, clips, scorers=scorers, device=device, on_step=on_step
        )

    def score_features(
        self,
        arrays: Clips,
        clips: list[Clip],
        *,
        scorers: Sequence[str] | None = None,
        device: str = "auto",
        on_step: OnStep = silent,
    ) -> "pd.DataFrame":
        """As :meth:`score_clips`, for the features of ``clips`` in hand."""
        import pandas as pd

        inputs, machines = arrays.inputs, arrays.machines
        embeddings = embed(self.model.embed, inputs, device=device, on_step=on_step)
        rows = [(clip.machine, Path(clip.path).name, clip.label) for clip in clips]
        table = pd.DataFrame(rows, columns=["machine", "name", "label"])
        for scorer in scorer_names() if scorers is None else scorers:
            scores = np.empty(len(clips))
            for machine in arrays.names:
                own = machines == machine
                scores[own] = self.scores(embeddings[own], machine, scorer)
            table[scorer] = scores
        return table

    def training_share(
        self, score: float, machine: str, scorer: str = "softmax"
    ) -> float:
        """The share of the machine's training clips that score below ``score``, 0 to 1.

        The network knows those clips: a new clip of a healthy machine scores above most
        of them. It is no false-alarm rate.
        """
        percentiles = self.percentiles[machine][scorer]
        return float(np.interp(score, percentiles, np.linspace(0, 1, 101)))
