"""Pictures of embeddings and scores: embedding maps before and after training, score
histograms, loss curves.

What is drawn goes to the ``axes`` of matplotlib that are given.
"""

import itertools
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from asdlib.errors import AsdError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

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
# One for each ID of a type; those of the commonest IDs (00, 02, 04, 06) are far apart.
ID_COLOURS = (
    "#0072B2",
    "#56B4E9",
    "#E69F00",
    "#8C6D1F",
    "#009E73",
    "#7A5195",
    "#D1495B",
    "#6B7280",
)
MARKERS = ("o", "^", "s", "D", "v", "P", "X", "*")
NEIGHBOURS = 15  # that UMAP looks at for each point


def umap_points(*embeddings: np.ndarray, seed: int = 0) -> list[np.ndarray]:
    """UMAP of each set of ``embeddings`` (N, dim), by cosine distance: (N, 2) each.

    Each map after the first starts from the one before, so that the points of the same
    clip correspond. Distances between far groups mean little in such a map: put a
    number beside it. Raises :class:`AsdError` for fewer than three clips, and for what
    are no such arrays of numbers.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its bar and its network, not used here
        import umap

    for x in embeddings:
        if np.ndim(x) != 2 or not np.isfinite(x).all():
            raise AsdError(
                f"embeddings of shape {np.shape(x)}: give rows of finite numbers, one "
                "a clip"
            )
    few = min(map(len, embeddings), default=3)
    if few < 3:
        raise AsdError(
            f"a map of {few} clip{'s' * (few != 1)} shows nothing: give three or more"
        )
    points: list[np.ndarray] = []
    # The spectral start asks for more than three points.
    start: str | np.ndarray = "spectral" if few > 3 else "random"
    with _torch_threads_kept():
        for x in embeddings:
            maker = umap.UMAP(
                n_neighbors=min(NEIGHBOURS, len(x) - 1),
                metric="cosine",
                init=start,
                random_state=seed,
                n_jobs=1,
            )
            points.append(maker.fit_transform(x))
            start = points[-1] / np.abs(points[-1]).max() * 10
    return points


@contextmanager
def _torch_threads_kept() -> Iterator[None]:
    """As many threads for torch afterwards as before.

    numba, on which UMAP stands, sets the number for the whole process when it starts,
    and sums in other pieces round otherwise: the same seed would train another network.
    """
    import torch

    threads = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def machine_colours(machines: Iterable[str]) -> dict[str, str]:
    """The colour of each of ``machines`` (``type/id``), the same in every picture.

    It is that of the number its ID ends in.

    Where the IDs of a type are not numbered so, or two numbers share a colour, they get
    theirs in alphabetical order.

    >>> machine_colours(["fan/id_02", "fan/id_04"])["fan/id_04"] == ID_COLOURS[4]
    True
    """
    many = len(ID_COLOURS)
    colours: dict[str, str] = {}
    ids: dict[str, list[str]] = {}
    for machine in sorted(set(machines)):
        ids.setdefault(machine.split("/")[0], []).append(machine)
    for own in ids.values():
        numbers = [re.search(r"[0-9]+$", machine) for machine in own]
        at = [int(number[0]) % many for number in numbers if number]
        if len(set(at)) < len(own):
            at = [i % many for i in range(len(own))]
        colours |= {machine: ID_COLOURS[i] for machine, i in zip(own, at, strict=True)}
    return colours


def embedding_map(
    axes: "Axes", points: np.ndarray, machines: Sequence[str], *, title: str
) -> None:
    """Scatter of map ``points`` (N, 2) of ``machines`` (N names, ``type/id``).

    Shape tells the type, colour the ID, see :func:`machine_colours`.
    """
    names, colours = np.asarray(machines), machine_colours(machines)
    types = sorted({machine.split("/")[0] for machine in machines})
    for shape, machine_type in zip(itertools.cycle(MARKERS), types, strict=False):
        own = sorted({m for m in machines if m.split("/")[0] == machine_type})
        for machine in own:
            x, y = points[names == machine].T
            look: dict[str, Any] = {"color": colours[machine], "marker": shape}
            look |= {"edgecolors": "white", "linewidths": 0.4, "s": 26}
            axes.scatter(x, y, label=machine, **look)
    axes.set(title=title, xticks=[], yticks=[])


def score_histogram(
    axes: "Axes", table: "pd.DataFrame", *, machine: str, scorer: str
) -> None:
    """Histogram of the scores of one machine's normal and anomalous clips.

    ``table`` has a row a clip, with the columns ``machine``, ``label`` and ``scorer``,
    as ``Detector.score_clips`` gives it.
    """
    own = table[table.machine == machine]
    bins = np.histogram_bin_edges(own[scorer], bins=20).tolist()
    for label, colour, hatch in (
        ("normal", COLOURS[0], ""),
        ("anomaly", COLOURS[5], "//"),
    ):
        scores = own[scorer][own.label == label]
        axes.hist(scores, bins, alpha=0.65, color=colour, hatch=hatch, label=label)
    axes.set(title=machine, xlabel=f"{scorer} score", ylabel="clips")
    axes.legend()


def loss_curves(axes: "Axes", log: Sequence[Mapping[str, Any]], *, stage: str) -> None:
    """Training and held-out loss of one stage over its epochs.

    ``log`` has one row an epoch: ``stage``, ``epoch`` (from 0), ``train_loss`` and
    ``validation_loss`` (None where nothing was held out), as
    ``asdlib.checkpoint.read_log`` gives it.
    """
    rows = [row for row in log if row["stage"] == stage]
    epochs = [row["epoch"] + 1 for row in rows]
    losses = [row["train_loss"] for row in rows]
    held_out = [row["validation_loss"] for row in rows]
    held_out = [np.nan if loss is None else loss for loss in held_out]
    axes.plot(epochs, losses, color=COLOURS[0], label="training clips")
    axes.plot(epochs, held_out, color=COLOURS[5], ls="--", label="held-out clips")
    axes.set(title=stage, xlabel="epoch", ylabel="loss")
    axes.legend()
