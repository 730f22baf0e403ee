"""Pictures of embeddings and scores.

Embedding maps before and after training, score histograms, loss curves.
"""

import itertools

import numpy as np
import pandas as pd

# Okabe and Ito's colours, which can be told apart with any colour vision.
COLOURS = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#CC79A7",
    "#56B4E9",
    "#D55E00",
    "#F0E442",
    "#000000",
)
MARKERS = ("o", "^", "s", "D", "v", "P", "X", "*")


def umap_points(*embeddings: np.ndarray, seed: int = 0) -> list[np.ndarray]:
    """UMAP of each set of ``embeddings`` (N, dim), by cosine distance.

    A list of (N, 2).

    Each map after the first starts from the one before, so that the points of the same
    clip correspond. Distances between far groups mean little in such a map: put a
    number beside it.
    """
    import umap

    points, start = [], "spectral"
    for x in embeddings:
        start = umap.UMAP(
            metric="cosine", init=start, random_state=seed, n_jobs=1
        ).fit_transform(x)
        points.append(start)
        start = start / np.abs(start).max() * 10
    return points


def embedding_map(axes, points: np.ndarray, machines: list[str], *, title: str) -> None:
    """Scatter of map ``points`` (N, 2) of ``machines`` (N names, ``type/id``).

    Shape tells the type, colour the ID.
    """
    names = np.asarray(machines)
    types = sorted({machine.split("/")[0] for machine in machines})
    for shape, machine_type in zip(itertools.cycle(MARKERS), types, strict=False):
        own = sorted(
            {machine for machine in machines if machine.split("/")[0] == machine_type}
        )
        for colour, machine in zip(itertools.cycle(COLOURS), own, strict=False):
            x, y = points[names == machine].T
            axes.scatter(
                x,
                y,
                s=26,
                color=colour,
                marker=shape,
                edgecolors="white",
                linewidths=0.4,
                label=machine,
            )
    axes.set(title=title, xticks=[], yticks=[])


def score_histogram(axes, table: pd.DataFrame, *, machine: str, scorer: str) -> None:
    """Histogram of the scores of one machine's normal and anomalous clips.

    ``table`` as ``Detector.score_clips`` gives it.
    """
    own = table[table.machine == machine]
    bins = np.histogram_bin_edges(own[scorer], bins=20)
    for label, colour, hatch in (
        ("normal", COLOURS[0], ""),
        ("anomaly", COLOURS[5], "//"),
    ):
        axes.hist(
            own[scorer][own.label == label],
            bins,
            alpha=0.65,
            color=colour,
            hatch=hatch,
            label=label,
        )
    axes.set(title=machine, xlabel=f"{scorer} score", ylabel="clips")
    axes.legend()


def loss_curves(axes, log: list[dict], *, stage: str) -> None:
    """Training and held-out loss of one stage over its epochs.

    ``log`` as :func:`asdlib.learn.checkpoint.read_log` gives it.
    """
    rows = [row for row in log if row["stage"] == stage]
    epochs = [row["epoch"] + 1 for row in rows]
    axes.plot(
        epochs,
        [row["train_loss"] for row in rows],
        color=COLOURS[0],
        label="training clips",
    )
    held_out = [
        np.nan if row["validation_loss"] is None else row["validation_loss"]
        for row in rows
    ]
    axes.plot(
        epochs, held_out, color=COLOURS[5], linestyle="--", label="held-out clips"
    )
    axes.set(title=stage, xlabel="epoch", ylabel="loss")
    axes.legend()
