"""What the benchmarks share: what they are asked, what they measure on, and how their results are written: a header that says
what and how, and one record a line."""

import argparse
import json
import multiprocessing
import os
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pandas as pd

import asdlib
from asdlib.data import Clip, scan
from asdlib.evaluation import machine_table, type_table
from asdlib.files import atomic_write
from asdlib.machines import simulate
from asdlib.source import code_digest

CODE = (Path(asdlib.__file__).parent, Path(__file__).parent)  # what a result comes from
FOLDER = Path(__file__).parents[1] / "data" / "results"
SIMULATED = "our measurements on simulated clips (asdlib.machines, preset book, park seed 0); not real machines"
FRACTIONS = "fractions; auc and McClish-standardised pauc at a false-positive rate of 0.1, per machine"


def folder_of_this_code(work: str) -> Path:
    """The folder in ``work`` for what this very code makes, so that nothing of other code is taken for it.

    It is called by a digest of asdlib, of the benchmarks and of the versions of what they compute with.
    """
    return Path(work) / code_digest(*CODE)


def arguments(description: str, *, seeds: int) -> argparse.ArgumentParser:
    """A folder to work in, see :func:`folder_of_this_code`, and the seeds, 0 to ``seeds`` - 1 unless told."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("work", type=folder_of_this_code, help="folder for what is made on the way")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(seeds)))
    return parser


def about_recordings(description: str, *, seeds: int, epochs: str = "") -> argparse.ArgumentParser:
    """A folder of recordings, one to work in, a name for the result, the seeds; with ``epochs``, what they are, 12 of them."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("data", type=Path, help="a folder of recordings")
    parser.add_argument("--work", type=Path, required=True, help="folder for what is made on the way")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(seeds)))
    parser.add_argument("--name", help="of the result (default: that of the folder)")
    if epochs:
        parser.add_argument("--epochs", type=int, default=12, help=epochs)
        parser.add_argument("--processes", type=int, default=1)
    return parser


def park_clips(work: Path) -> tuple[list[Clip], list[Clip]]:
    """Training and test clips of the park of the book, in ``work``; made if it is not there."""
    if not (work / "park").exists():
        simulate(work / "park", preset="book", seed=0)
    clips = scan(work / "park")
    return tuple([clip for clip in clips if clip.split == split] for split in ("train", "test"))


def machine_records(clips, **about) -> list[dict]:
    """One record a machine, of a table with a row a clip: machine, label, score."""
    return [
        {**about, "machine": machine, "auc": round(float(row.auc), 5), "pauc": round(float(row.pauc), 5)}
        for machine, row in machine_table(clips, resamples=0).iterrows()
    ]


def write(name: str, header: dict, records: list[dict], *, folder: Path = FOLDER) -> None:
    """Write ``data/results/<name>.json``, or to another folder; it appears only when it is complete."""
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_write(folder / f"{name}.json") as temporary:
        lines = ",\n".join(json.dumps(record) for record in records)
        temporary.write_text(f'{{"header": {json.dumps(header, indent=1)},\n"records": [\n{lines}\n]}}\n')


def once(path: Path, measure: Callable[[], list[dict]]) -> list[dict]:
    """The records in ``path``, measured if they are not there yet: an interrupted benchmark goes on where it stopped."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        records = measure()
        with atomic_write(path) as temporary:
            temporary.write_text(json.dumps(records))
    return json.loads(path.read_text())


def arrays_once(path: Path, make: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """As :func:`once`, of arrays by name, in an .npz file."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        arrays = make()
        with atomic_write(path) as temporary, open(temporary, "wb") as file:
            np.savez(file, **arrays)
    with np.load(path) as found:
        return dict(found)


def told(path: Path, what: str, measure: Callable[[], list[dict]]) -> list[dict]:
    """As :func:`once`, with a line: ``what``, and the AUC (%) by every scorer of the records, average over the types."""
    records = once(path, measure)
    by_scorer = pd.DataFrame(records).groupby("scorer")
    rows = {scorer: type_table(own.set_index("machine")).loc["average"] for scorer, own in by_scorer}
    print(f"{what}: " + ", ".join(f"{scorer} {100 * row.auc:.1f}" for scorer, row in rows.items()), flush=True)
    return records


def side_by_side(function: Callable, arguments: Iterable[tuple], *, processes: int) -> list:
    """What ``function`` returns for each of ``arguments``, in order, in so many processes of one thread each."""
    os.environ |= {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        return pool.starmap(function, arguments, chunksize=1)
