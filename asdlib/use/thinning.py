"""A finished run with a thinner memory bank, in a directory of its own."""

import os
import shutil
from pathlib import Path

import numpy as np

from asdlib.errors import AsdError
from asdlib.judge.plain import standard
from asdlib.judge.scorers import unit
from asdlib.judge.thin import thinned
from asdlib.methods._parts import Ensemble
from asdlib.methods.nearest import Views
from asdlib.use.bank import save_rows
from asdlib.use.detector import Detector

# What stays as it is. A threshold is not among it: distances to fewer clips are larger.
COPIED = ("config.json", "log.csv", "pretrained.safetensors", "weights.safetensors")


def thin(
    run: str | Path, out: str | Path, *, keep: int, method: str = "k-centre"
) -> dict[str, tuple[int, int]]:
    """A copy of the run directory ``run`` with at most ``keep`` clips of each machine.

    Which stay says :func:`asdlib.judge.thin.thinned`, by embeddings of unit length, as
    neighbours are sought by the cosine; rows of the method nearest are standardised, as
    it does. ``out`` must not be there yet. What is known of the scores of healthy clips
    is computed anew. Gives how many clips there were of each machine, and are. Raises
    :class:`AsdError` for fewer than two clips to keep, for an ensemble, and where the
    copy cannot be written.
    """
    run, out = Path(run), Path(out)
    detector = Detector.load(run)
    if isinstance(detector.model, Ensemble):
        raise AsdError(
            "an ensemble scores by how its clips spread, not by single ones: a thinner "
            "bank would save nothing and change its scores, so leave it as it is"
        )
    if keep < 2:
        raise AsdError(
            f"a bank of {keep} clips says nothing of how far apart they are: keep 2 or "
            "more"
        )
    if out.exists():
        raise AsdError(f"{out} is there already: name a directory that is not")
    bank, labels, places = detector.bank, detector.bank_labels, []
    for label in range(len(detector.config.machines)):
        own = np.flatnonzero(labels == label)
        near = standard(bank[own]) if isinstance(detector.model, Views) else unit
        places.append(own[thinned(near(bank[own]), keep, method)])
    kept = np.sort(np.concatenate(places))
    part = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        part.mkdir(parents=True)
        for name in COPIED:
            if (run / name).exists():
                shutil.copy2(run / name, part / name)
        how = (
            f"{method}, at most {keep} of a machine, {len(kept)} of {len(labels)} clips"
        )
        if (run / "README.md").exists():
            card = (run / "README.md").read_text(encoding="utf-8")
            note = f"\n## Thinned\n\nOf its training it keeps: {how}.\n"
            (part / "README.md").write_text(card + note, encoding="utf-8")
        model, config = detector.model, detector.config
        save_rows(part, config, model, bank[kept], labels[kept], thinned=how)
        part.rename(out)
    except OSError as error:
        raise AsdError(
            f"cannot write {out} ({error.strerror}): check space and permissions"
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return {
        machine: (int((labels == label).sum()), len(places[label]))
        for label, machine in enumerate(detector.config.machines)
    }
