"""Record what takes long, so that nobody has to wait for it: ``python book/_ext/record.py``, after ``make book TRAIN=1``.

What the chapters have trained or computed and kept (see ``trained`` and ``kept`` in ``chapter.py``) is copied to
``data/recorded``, which replaces what is there. Large arrays are kept in 16 bits, weights as they are. A test trains a part of
it again and compares; continuous integration trains all of it anew.
"""

import json
import shutil
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np

TOP = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "book"))

import keep  # noqa: E402

import asdlib  # noqa: E402

RECORDED = TOP / "data" / "recorded"
LARGE = 2**16  # bytes; smaller arrays stay as they are
CHEAP = ("fresh-valves",)  # is large, and made in seconds


def narrow(array: np.ndarray) -> np.ndarray:
    """The array in 16 bits where it is large, and they hold its numbers."""
    if array.dtype not in (np.float32, np.float64) or array.nbytes < LARGE or np.abs(array).max() >= 6e4:
        return array
    return array.astype(np.float16)


def main() -> None:
    place, code = keep.place(), keep.code_of_all()
    runs = sorted(path.parent for path in place.glob("run-*/scores.json"))  # which is written last
    if not runs:
        sys.exit(f"{place} holds no trained runs: make book TRAIN=1 first; {RECORDED} is left as it is")
    part = RECORDED.with_name("recorded.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    for run in runs:
        shutil.copytree(run, part / run.name)
    for path in sorted(path for path in place.glob(f"*-{code}.npz") if not path.name.startswith(CHEAP)):
        with np.load(path, allow_pickle=False) as arrays:
            made = {name: narrow(arrays[name]) for name in arrays}
        np.savez_compressed(part / f"{path.stem.removesuffix(f'-{code}')}.npz", **made)
    about = {"code": keep.key(), "asdlib": asdlib.__version__} | {name: version(name) for name in ("torch", "numpy")}
    (part / "about.json").write_text(json.dumps(about, indent=1) + "\n")
    shutil.rmtree(RECORDED, ignore_errors=True)
    part.rename(RECORDED)
    sizes = {path.name: sum(f.stat().st_size for f in (path, *path.rglob("*")) if f.is_file()) for path in RECORDED.iterdir()}
    for name, size in sorted(sizes.items()):
        print(f"{size / 1e6:6.2f} MB  {name}")
    print(f"{sum(sizes.values()) / 1e6:6.2f} MB in all")


if __name__ == "__main__":
    main()
