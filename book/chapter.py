"""What every chapter uses: the recordings, the trained networks, the tables, and the card at its end.

A chapter runs alone and in any order: what another one made is found again, and what is missing is made, under a lock, so
that two chapters may run at the same time. Everything is kept under ``place``, keyed by the code of ``asdlib`` and by the
settings, so that nothing stale is ever shown.
"""

import hashlib
import html
import inspect
import json
import os
import platform
import re
import resource
import shutil
import sys
import time
from dataclasses import replace
from importlib.metadata import version
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from filelock import FileLock
from IPython import get_ipython
from IPython.display import HTML, Code
from matplotlib.font_manager import fontManager
from matplotlib_inline.backend_inline import set_matplotlib_formats
from myst_nb import glue as _glue
from sklearn.metrics import silhouette_score

import keep
from asdlib.cache import features_of
from asdlib.clips import Clips
from asdlib.contrastive import with_new_head
from asdlib.data import Clip, scan
from asdlib.detector import Detector, embed, train
from asdlib.machines import simulate
from asdlib.playground import small_spectra
from asdlib.plots import umap_points
from asdlib.run import PRESETS, RunConfig, load_pretrained, new_encoder

SEED = 0
BOOK = replace(PRESETS["book"], least_steps=0)  # epochs as they are said
_started = time.perf_counter()
_recorded: list[str] = []  # what of this chapter was not computed now


place = keep.place()
os.environ.setdefault("ASDLIB_CACHE", str(place / "cache"))


def _look() -> None:
    """Figures in the book's type and colours, sharp on any screen."""
    plt.style.use(Path(__file__).with_name("book.mplstyle"))
    if find_spec("font_source_sans_pro"):  # as the pages have it
        fonts = files("font_source_sans_pro").joinpath("files")
        for style in ("Regular", "It", "Semibold", "Bold"):
            fontManager.addfont(str(fonts / f"SourceSansPro-{style}.ttf"))
        plt.rcParams["font.family"] = ["Source Sans Pro", "DejaVu Sans"]
    if get_ipython():
        set_matplotlib_formats("retina")
    np.set_printoptions(legacy="1.25")  # a number, not np.float64(a number)


_look()


def park(preset: str = "book") -> Path:
    """The folder of the simulated park of this ``preset``; made if it is not there."""
    folder = place / ("park" if preset == "book" else f"park-{preset}")
    with FileLock(place / f".{folder.name}.lock"):
        if not folder.exists():
            simulate(folder, preset=preset, seed=SEED)
    return folder


def recordings(
    split: str | None = None, label: str | None = None, machine: str = ""
) -> list[Clip]:
    """The clips of the park: of one ``split`` and ``label`` if given, of machines whose name starts with ``machine``."""
    chosen = [
        clip
        for clip in scan(park())
        if split in (None, clip.split) and label in (None, clip.label)
    ]
    return [clip for clip in chosen if clip.machine.startswith(machine)]


def features(clips: list[Clip]) -> Clips:
    """Waveforms and log-mels of ``clips`` as the preset ``book`` wants them, computed once."""
    with FileLock(place / ".features.lock"):
        return features_of(clips, BOOK.features)


def small_park() -> tuple:
    """What the playground is given: clips to learn from and to judge by, of the four types that are no toys
    (fan, pump, slider, valve), 64 numbers each; and which of the latter are faulty."""
    parts, faulty = [], []
    for split in ("train", "test"):
        clips = [c for c in recordings(split) if "Toy" not in c.machine_type]
        spectra = small_spectra(features(clips).log_mels)
        parts.append((spectra, [c.machine for c in clips]))
        faulty = [c.label == "anomaly" for c in clips]
    return *parts, faulty


def truth_about(clips: list[Clip]) -> pd.DataFrame:
    """What the park alone knows of its clips, a row each: ``fault`` (None for healthy ones) and ``severity``."""
    facts = json.loads((park() / "park.json").read_text())["clips"]
    rows = [facts[str(clip.path.relative_to(park()))] for clip in clips]
    return pd.DataFrame(
        [{"fault": row["fault"], "severity": row["severity"]} for row in rows]
    )


def run_name(config: RunConfig = BOOK, machine: str = "") -> str:
    """What the run of these settings is called, here and among what is recorded."""
    text = repr(config) + machine
    return f"run-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def trained(
    config: RunConfig = BOOK, *, machine: str = ""
) -> tuple[Detector, Path]:
    """The detector of ``config`` and its run directory: recorded, kept, or trained on the park if it is neither.

    ``machine`` restricts the training to machines whose name starts with it.
    """
    run = place / run_name(config, machine)
    with FileLock(f"{run}.lock"):
        if known := keep.recorded(run.name):
            _recorded.append(run.name)
            if not run.exists():
                part = run.with_suffix(".part")
                shutil.rmtree(part, ignore_errors=True)
                shutil.copytree(known, part)
                part.rename(run)
            return Detector.load(run), run
        return train(
            recordings(machine=machine), run, config, resume=True
        ), run


def kept(name: str, make, *settings) -> dict[str, np.ndarray]:
    """The arrays that ``make()`` returns as a dictionary: recorded, or kept on disk, under ``name``, ``settings`` and code.

    A function among the settings, which ``make`` calls, counts by its source.
    """
    told = tuple(inspect.getsource(x) if callable(x) else x for x in settings)
    text = f"{told} {inspect.getsource(make)}"
    stem = f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
    if known := keep.recorded(f"{stem}.npz"):
        _recorded.append(name)
        with np.load(known, allow_pickle=False) as arrays:
            return {
                key: arrays[key].astype(_wide(arrays[key])) for key in arrays
            }
    path = place / f"{stem}-{keep.code_of_all()}.npz"
    with FileLock(f"{path}.lock"):
        if not path.exists():
            np.savez(path.with_suffix(".part.npz"), **make())
            path.with_suffix(".part.npz").rename(path)
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)


def _wide(array: np.ndarray) -> np.dtype:
    """What is recorded in 16 bits, to be small, is computed with in 32."""
    return np.dtype(np.float32) if array.dtype == np.float16 else array.dtype


def embeddings(split: str) -> dict[str, np.ndarray]:
    """What the network makes of the park's ``split`` before and after each stage: three arrays (N, 128).

    The clips are in the order of :func:`recordings`.
    """

    def make():
        detector, run = trained()
        stages = {
            "untrained": with_new_head(new_encoder(BOOK)).eval(),
            "after stage 1": load_pretrained(run),
            "after stage 2": detector.model,
        }
        arrays = features(recordings(split)).inputs
        return {
            name: embed(model.embed, arrays) for name, model in stages.items()
        }

    return kept(f"embeddings-{split}", make, BOOK)


def maps_of_types(
    stages: dict[str, np.ndarray], machines: list[str]
) -> tuple[dict[str, np.ndarray], dict[str, dict[str, float]]]:
    """Each machine type on a UMAP of its own: of every stage (embeddings (N, dim)) the points (N, 2), and the silhouette of the
    machines of each type.
    """
    names = np.array(machines)
    types = np.array([name.split("/")[0] for name in machines])

    def make():
        points = {name: np.zeros((len(names), 2)) for name in stages}
        for kind in np.unique(types):
            own = [x[types == kind] for x in stages.values()]
            for name, xy in zip(stages, umap_points(*own), strict=True):
                points[name][types == kind] = xy
        return points

    silhouettes = {
        name: {
            str(kind): float(
                silhouette_score(
                    x[types == kind], names[types == kind], metric="cosine"
                )
            )
            for kind in np.unique(types)
        }
        for name, x in stages.items()
    }
    # In 16 bits, as embeddings are recorded.
    content = b"".join(np.float16(x).tobytes() for x in stages.values())
    digest = hashlib.sha256(content + repr(machines).encode()).hexdigest()
    return kept("maps-of-types", make, list(stages), digest), silhouettes


def measured(name: str) -> tuple[pd.DataFrame, dict]:
    """The records, as a table, and the header of a result that was measured beforehand, see :func:`result`."""
    content = result(name)
    return pd.DataFrame(content["records"]), content["header"]


def result(name: str) -> dict:
    """What is in ``data/results/<name>.json``."""
    folder = keep.above("data")
    if folder is None or not (folder / "results" / f"{name}.json").exists():
        raise FileNotFoundError(
            f"data/results/{name}.json: it comes with the book; put the folder data beside the chapters"
        )
    return json.loads((folder / "results" / f"{name}.json").read_text())


def of_runs(frame: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """A row a run, indexed by ``by``: its ``seed``, and ``auc``, ``pauc``, ``mauc`` in per cent, averages over the types.

    Within a type, AUC and pAUC are averaged over the IDs; mAUC is the worst of their AUCs.
    """
    frame = frame.assign(
        type=frame.machine.str.split("/").str[0], seed=frame.seed.fillna(-1)
    )
    of_type = frame.groupby([*by, "seed", "type"], sort=False).agg(
        auc=("auc", "mean"), pauc=("pauc", "mean"), mauc=("auc", "min")
    )
    of_run = 100 * of_type.groupby([*by, "seed"], sort=False).mean()
    return of_run.reset_index("seed")


def over_seeds(
    frame: pd.DataFrame, by: list[str], value: str = "auc"
) -> pd.DataFrame:
    """Mean and standard deviation over seeds of a column of :func:`of_runs`."""
    return (
        of_runs(frame, by).groupby(by, sort=False)[value].agg(["mean", "std"])
    )


def real_spectra():
    """The spectra of real machines, where they are: ``dcase2020_modspec.npz`` in ``$ASDLIB_REAL_DATA`` or ``data/real``; or None."""
    from asdlib.spectra import read_spectra

    data = keep.above("data")
    folders = [Path(os.environ.get("ASDLIB_REAL_DATA") or ".")]
    folders += (
        [data / "real", data.parents[1] / "shared" / "real"] if data else []
    )
    for folder in folders:
        if (folder / "dcase2020_modspec.npz").exists():
            return read_spectra(folder / "dcase2020_modspec.npz")
    return None


def plus_minus(statistics: pd.DataFrame, digits: int = 1) -> pd.Series:
    """``mean ± std`` of :func:`over_seeds` as text."""
    return statistics.apply(
        lambda row: (
            f"{row['mean']:.{digits}f}"
            + (
                f" ± {row['std']:.{digits}f}"
                if row["std"] == row["std"]
                else ""
            )
        ),
        axis=1,
    )


def head(name: str) -> str:
    """The head of a column, with its unit: areas under curves are in per cent everywhere in the book."""
    name = re.sub(r"(?<![\w.])([pm]?)auc(?!\w)", r"\1AUC", name)
    name = re.sub(r"(, | in )(%|per cent)", " (%)", name)
    if re.search(r"\b[pm]?AUC\b", name) and "(" not in name:
        name += " (%)"
    return "machine type" if name == "machine_type" else name


def table(
    frame: pd.DataFrame | pd.Series, *, digits: int = 1, caption: str = ""
) -> HTML:
    """A table with a name over every column, the index included; floats with so many ``digits``."""
    frame = frame.to_frame() if isinstance(frame, pd.Series) else frame
    frame = frame.rename_axis(columns=None).rename(
        columns=lambda name: head(str(name))
    )
    frame = frame.rename_axis(
        [head(name or "") for name in frame.index.names]
    )
    names = list(frame.index.names)
    assert all(names), (
        "name the index (rename_axis): a screen reader needs a header over every column"
    )
    page = frame.reset_index().to_html(
        index=False,
        float_format=f"{{:.{digits}f}}".format,
        border=0,
        na_rep="",
    )
    page = page.replace("text-align: right", "text-align: left")
    page = page.replace("<th>", '<th scope="col">')
    page = page.replace(" ± ", "\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}")
    if caption:
        page = page.replace(
            "<thead>", f"<caption>{caption}</caption><thead>", 1
        )
    # Focusable, so that keys can scroll it on a narrow screen.
    label = caption or ", ".join(map(str, [*names, *frame.columns]))
    return HTML(
        f'<div class="results" role="region" tabindex="0" '
        f'aria-label="{html.escape(label)}">{page}</div>'
    )


def source(thing, *more) -> Code:
    """The package's own source of functions and classes, to be read in the chapter."""
    return Code(
        "\n\n".join(
            inspect.getsource(part).rstrip() for part in (thing, *more)
        ),
        language="python",
    )


def drawing(name: str) -> HTML:
    """The drawing ``<name>.svg`` beside the chapters, in the colours of the page that it is in."""
    svg = Path(__file__).with_name(f"{name}.svg").read_text()
    return HTML(f'<figure class="drawing">{svg}</figure>')


def glue(name: str, value) -> None:
    """Keep ``value`` for the text of the chapter, which shows it by ``{glue:text}``."""
    _glue(
        name,
        value.item() if isinstance(value, np.generic) else value,
        display=False,
    )


def run_card() -> HTML:
    """One line on this run of the chapter: time, memory, seed, versions."""
    seconds = time.perf_counter() - _started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (
        2**20 if sys.platform == "darwin" else 2**10
    )
    versions = {"python": platform.python_version()} | {
        name: version(name) for name in ("asdlib", "torch", "numpy")
    }
    told = ", ".join(f"{name} {number}" for name, number in versions.items())
    return HTML(
        f'<p class="run-card" data-seconds="{seconds:.0f}" data-memory="{peak:.0f}" data-seed="{SEED}" data-versions="{told}">'
        f"<em>This page was computed in {seconds:.0f} s with {peak:.0f} MB of memory, seed {SEED}, {told}.{_of_recorded()}</em></p>"
    )


def _of_recorded() -> str:
    """A sentence about what was recorded beforehand, where anything was."""
    if not _recorded:
        return ""
    about = json.loads(keep.recorded("about.json").read_text())
    same = about["code"] == keep.key()
    return (
        f" What takes long was recorded beforehand, with asdlib {about['asdlib']} and torch {about['torch']}, by "
        f"{'the same' if same else 'an earlier version of the'} code: {', '.join(sorted(set(_recorded)))}."
    )
