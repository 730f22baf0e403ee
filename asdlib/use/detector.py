"""A trained detector: scores from a finished run directory."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import nn

from asdlib import methods
from asdlib.errors import AsdError, spelled
from asdlib.judge.rehearsal import Rehearsal
from asdlib.judge.threshold import are_known
from asdlib.learn.embedding import embed
from asdlib.methods import Judges, Task, ensemble
from asdlib.methods._parts import Ensemble, Judge, judge_of, with_sums
from asdlib.progress import OnStep, silent
from asdlib.sound.cache import features_of
from asdlib.sound.clips import Clips
from asdlib.sound.computed import ReadOptions
from asdlib.sound.data import Clip, listed
from asdlib.use.bank import (
    Percentiles,
    read_bank,
    read_percentiles,
    read_rehearsal,
    scorers_of,
    width_of,
)
from asdlib.use.config import RunConfig
from asdlib.use.run import loaded, new_classifier, new_encoder, read_config

if TYPE_CHECKING:  # `asd score` of one clip does not wait for it
    import pandas as pd


def untrained(config: RunConfig) -> nn.Module:
    """The model of ``config`` before any training."""
    if config.method == "clp_scf":
        return new_classifier(new_encoder(config), config)
    task = Task(
        config.machines,
        config.features,
        encoder=config.encoder,
        window=config.window,
        seed=config.seed,
    )
    if config.method == "ensemble":
        return ensemble.untrained(task, config.network)
    return methods.detector(config.method).untrained(task)


@dataclass(frozen=True)
class Detector:
    """A finished run: ``config``, ``model``, and its memory bank.

    The ``bank`` holds the embeddings (N, dim) of the training clips, ``bank_labels``
    (N,) whose they are. ``percentiles`` are those of the scores of the training clips.
    An ensemble has a ``rehearsal``, too.
    """

    config: RunConfig
    model: Any
    bank: np.ndarray
    bank_labels: np.ndarray
    percentiles: Percentiles
    rehearsal: Rehearsal | None = None
    # What is fitted to the bank of a machine once it is asked about, by its label.
    _judges: dict[int, Any] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_judges": {}}  # a copy fits its own

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
                    f"{run} holds an unfinished run (no {name}): finish it with "
                    f"{spelled('train(..., resume=True)', 'asd train --resume')}"
                )
        make = partial(untrained, config)
        model = loaded(make, run / "weights.safetensors", config)
        bank, labels = read_bank(run, config, width=width_of(model))
        percentiles = read_percentiles(run, config, model, bank, labels)
        rehearsal = None
        if config.method == "ensemble":
            rehearsal = read_rehearsal(run, config)
        return cls(config, model, bank, labels, percentiles, rehearsal)

    @property
    def scorers(self) -> tuple[str, ...]:
        """The names of the scorers, the one that is meant where none is named first."""
        return scorers_of(self.model, self.config, self.bank, self.bank_labels)

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

    @property
    def parts(self) -> tuple[str, ...]:
        """The scorers that are the parts of an ensemble; none of other models."""
        return tuple(self.model.widths) if isinstance(self.model, Ensemble) else ()

    def scores(
        self, embeddings: np.ndarray, machine: str, scorer: str | None = None
    ) -> np.ndarray:
        """Anomaly scores (N,) of ``embeddings`` (N, dim) of clips of one machine.

        Larger is more anomalous. Raises :class:`AsdError` for an unknown machine or
        scorer.
        """
        name = self.scorer(scorer)
        return self.every_score(embeddings, machine, (name,))[name]

    def scorer(self, name: str | None) -> str:
        """The name of a scorer, the first where it is None.

        Raises :class:`AsdError` where there is no such scorer.
        """
        for judge in self._judges.values():  # what is made already is not made anew
            if isinstance(judge, Mapping) and (name is None or name in judge):
                return name or next(iter(judge))
        scorers = self.scorers
        if name is not None and name not in scorers:
            names = ", ".join(scorers)
            raise AsdError(f"no scorer {name!r}: choose one of {names}")
        return name or scorers[0]

    def every_score(
        self,
        embeddings: np.ndarray,
        machine: str,
        scorers: Sequence[str] | None = None,
    ) -> dict[str, np.ndarray]:
        """As :meth:`scores`, by some scorers or by all: (N,) each, by name.

        Raises :class:`AsdError` as that does, and for embeddings of another shape.
        """
        label = self.label(machine)
        embeddings = np.asarray(embeddings)
        if embeddings.ndim != 2 or embeddings.shape[1] != self.bank.shape[1]:
            raise AsdError(
                f"embeddings of shape {embeddings.shape}: give one a clip, of "
                f"{self.bank.shape[1]} numbers as this detector makes them"
            )
        names = self.scorers if scorers is None else [self.scorer(n) for n in scorers]
        judge = self._judge(label, names)
        if callable(judge):  # of an ensemble: every score at once
            every = judge(embeddings)
            return {name: every[name] for name in names}
        return {name: judge[name](embeddings) for name in names}

    def _judge(self, label: int, names: Sequence[str]) -> "Judge | Judges":
        """What scores rows of one machine; made once, when it is first asked about.

        Again where it lacks some of ``names``: scorers can be added at any time.
        """
        kept = self._judges.get(label)
        if kept is None or not (callable(kept) or set(names) <= set(kept)):
            known = self.bank[self.bank_labels == label]
            if isinstance(self.model, Ensemble):
                parts = judge_of(self.model, known, label)
                self._judges[label] = lambda rows: with_sums(self.model, parts(rows))
            else:
                method = methods.detector(self.config.method)
                self._judges[label] = method.judge(self.model, known, label)
        return self._judges[label]

    def score_clips(
        self,
        clips: list[Clip],
        *,
        scorers: Iterable[str] | None = None,
        reading: ReadOptions | None = None,
        device: str = "auto",
        cache: Path | None = None,
        bad: dict[Clip, AsdError] | None = None,
        known: list[Clip] | None = None,
        on_step: OnStep = silent,
    ) -> "pd.DataFrame":
        """Scores of clips on disk, one row per clip, in order.

        The columns are ``machine``, ``name``, ``label``, ``domain`` and one of scores
        per scorer (None: all of them). ``reading`` says how clips of other rates,
        channels or lengths are read, if not as the training clips were. Raises
        :class:`AsdError` for an unknown machine or scorer, and for clips that cannot be
        read; with ``bad``, those are put in there, each with its error, and have no
        row. Clips that were trained on are put in ``known``, where that is a list.
        """
        clips = listed(clips)
        for machine in {clip.machine for clip in clips}:
            self.label(machine)
        if isinstance(scorers, str):
            scorers = (scorers,)
        arrays = features_of(
            clips,
            self.config.features,
            options=reading or self.config.reading,
            folder=cache,
            bad=bad,
            trained=self.config.rates,
            on_step=on_step,
        )
        good = [clip for clip in clips if clip not in (bad or {})]
        return self.score_features(
            arrays, good, scorers=scorers, device=device, known=known, on_step=on_step
        )

    def score_features(
        self,
        arrays: Clips,
        clips: list[Clip],
        *,
        scorers: Iterable[str] | None = None,
        device: str = "auto",
        known: list[Clip] | None = None,
        on_step: OnStep = silent,
    ) -> "pd.DataFrame":
        """As :meth:`score_clips`, for the features of ``clips`` in hand."""
        import pandas as pd

        inputs, machines = arrays.inputs, arrays.machines
        embeddings = embed(self.model.embed, inputs, device=device, on_step=on_step)
        rows = [(c.machine, Path(c.path).name, c.label, c.domain) for c in clips]
        table = pd.DataFrame(rows, columns=["machine", "name", "label", "domain"])
        names = self.scorers if scorers is None else tuple(scorers)
        scores = {name: np.empty(len(clips)) for name in names}
        for machine in arrays.names:
            own = machines == machine
            found = self.every_score(embeddings[own], machine, names)
            for name, values in found.items():
                scores[name][own] = values
            if known is not None:
                bank = self.bank[self.bank_labels == self.label(machine)]
                same = are_known(bank, embeddings[own])
                known += [clips[i] for i in np.flatnonzero(own)[same]]
        return table.assign(**scores)

    def training_share(
        self, score: float, machine: str, scorer: str | None = None
    ) -> float:
        """The share of the machine's training clips that score below ``score``, 0 to 1.

        The network knows those clips: a new clip of a healthy machine scores above most
        of them. It is no false-alarm rate.
        """
        percentiles = self.percentiles[machine][self.scorer(scorer)]
        return float(np.interp(score, percentiles, np.linspace(0, 1, 101)))
