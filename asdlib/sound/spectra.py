"""Clips that come as spectra instead of sound, in one file.

A set of spectra is one ``.npz`` file (arrays only, nothing in it is executed)::

    train            (N, bands, modulations)   normal clips, any float type
    train_machine    (N,)                      text, "type/id"
    test             (M, bands, modulations)
    test_machine     (M,)
    test_is_anomaly  (M,)                      0 or 1
"""

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asdlib.errors import AsdError
from asdlib.sound.clips import Clips

ARRAYS = ("train", "train_machine", "test", "test_machine", "test_is_anomaly")


@dataclass(frozen=True, eq=False)
class Spectra:
    """Training and test clips, and the truth (M,) bool about the latter.

    Their only input are spectra (N, 1, bands, modulations) float32.
    """

    train: Clips
    test: Clips
    test_is_anomaly: np.ndarray

    def only(self, rows: np.ndarray) -> "Spectra":
        """The same set with some of its training clips.

        Test clips of machines that are left without any go, too.
        """
        train = self.train.only(rows)
        kept = np.isin(self.test.machines, train.machines)
        return Spectra(train, self.test.only(kept), self.test_is_anomaly[kept])


def read_spectra(path: str | Path) -> Spectra:
    """The set of spectra in ``path``, checked.

    Raises :class:`AsdError` for anything but such a file: arrays missing, of other
    shapes or not numbers, values that are not finite, test clips of a machine without
    training clips, or of one that is only normal or only anomalous.
    """
    path = Path(path)
    try:
        with np.load(path, allow_pickle=False) as file:
            missing = [name for name in ARRAYS if name not in file]
            if missing:
                raise AsdError(
                    f"{path} has no array {', '.join(missing)}: "
                    f"a set of spectra holds {', '.join(ARRAYS)}"
                )
            arrays = {name: file[name] for name in ARRAYS}
    except FileNotFoundError as error:
        raise AsdError(
            f"no file {path}: give the .npz file of a set of spectra"
        ) from error
    except (
        ValueError,
        AttributeError,
        TypeError,
        EOFError,
        zipfile.BadZipFile,
        OSError,
    ) as error:
        raise AsdError(
            f"{path} is not an .npz file of arrays ({error}): give a set of spectra"
        ) from error
    for part in ("train", "test"):
        x, machine = arrays[part], arrays[f"{part}_machine"]
        if (
            x.ndim != 3
            or x.dtype.kind != "f"
            or x.shape[1:] != arrays["train"].shape[1:]
            or 0 in x.shape
        ):
            expected = (
                f"(clips, {', '.join(map(str, arrays['train'].shape[1:]))})"
                if part == "test"
                else "(clips, bands, modulations)"
            )
            raise AsdError(
                f"{part} in {path} is {x.dtype} of shape {x.shape}: "
                f"it must be floats of shape {expected}"
            )
        if machine.shape != (len(x),) or machine.dtype.kind != "U":
            raise AsdError(
                f"{part}_machine in {path} has shape {machine.shape}: "
                f"it must name the machine of each of {len(x)} clips"
            )
        bad = ~np.isfinite(x).all(axis=(1, 2))
        if bad.any():
            first = int(np.flatnonzero(bad)[0])
            raise AsdError(
                f"{bad.sum()} clips of {part} in {path} hold values that are not "
                f"finite, the first in row {first} "
                f"({machine[first]}): leave those clips out, or compute them again"
            )
    _check_truth(path, arrays)
    train, test = (
        Clips((arrays[part].astype(np.float32)[:, None],), arrays[f"{part}_machine"])
        for part in ("train", "test")
    )
    return Spectra(train, test, arrays["test_is_anomaly"].astype(bool))


def _check_truth(path: Path, arrays: dict[str, np.ndarray]) -> None:
    truth, machine = arrays["test_is_anomaly"], arrays["test_machine"]
    if truth.shape != machine.shape or not np.isin(truth, (0, 1)).all():
        raise AsdError(
            f"test_is_anomaly in {path} must be 0 or 1 for each of the {len(machine)} "
            "test clips"
        )
    unknown = sorted(set(machine.tolist()) - set(arrays["train_machine"].tolist()))
    if unknown:
        raise AsdError(
            f"{path} has test clips but no training clips of {', '.join(unknown)}: "
            "add some, or leave them out"
        )
    for name in sorted(set(machine.tolist())):
        own = truth[machine == name].astype(bool)
        if own.all() or not own.any():
            kind = "anomalous" if own.any() else "normal"
            raise AsdError(
                f"all {len(own)} test clips of {name} in {path} are {kind}: "
                "a ROC curve needs both kinds"
            )
