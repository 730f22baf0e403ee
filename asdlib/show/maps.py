"""One map a machine type, side by side, that moves from stage to stage of the training.

On paper, where nothing moves, every stage is drawn.
"""

import html
from collections.abc import Mapping, Sequence

import numpy as np

from asdlib.errors import AsdError
from asdlib.show.explore import machine_marks
from asdlib.show.widget import Widget

WIDE, HIGH, MARGIN = 300, 230, 14


def type_maps(
    stages: Mapping[str, np.ndarray],
    machines: Sequence[str],
    *,
    silhouettes: Mapping[str, Mapping[str, float]] | None = None,
    faulty: Sequence[bool] | None = None,
) -> Widget:
    """Maps of N clips, those of each machine type in a frame of their own.

    ``stages`` maps a name ("untrained", "after stage 1", ...) to points (N, 2); a
    control moves the points from stage to stage. Each type fills its frame: distances
    compare within one frame only. ``machines`` (N names ``type/id``) give shape (type)
    and colour (ID), ``silhouettes`` (stage → type → number) stand beside the names of
    the types, and ``faulty`` clips (N booleans) are drawn hollow. Raises
    :class:`AsdError` where lengths differ, where there is nothing to show, or for
    points that are not finite.
    """
    n = len(machines)
    if not n or not stages:
        raise AsdError("maps need one clip and one stage at least: give points")
    for name, points in stages.items():
        if np.shape(points) != (n, 2) or not np.isfinite(points).all():
            raise AsdError(
                f"the points of {name!r} are not {n} finite pairs: "
                f"give an array ({n}, 2)"
            )
    hollow = [False] * n if faulty is None else [bool(x) for x in faulty]
    if len(hollow) != n:
        raise AsdError(
            f"faulty has {len(hollow)} rows for {n} clips: give one for each"
        )
    named = np.array(machines)
    types = np.array([machine.split("/")[0] for machine in machines])
    kinds = sorted(set(types))
    mark = machine_marks(machines)

    def frame(stage: str, kind: str, places: np.ndarray) -> str:
        number = (silhouettes or {}).get(stage, {}).get(kind)
        said = "" if number is None else f"silhouette {number:.2f}"
        own = [i for i in range(n) if types[i] == kind]
        points = "".join(
            f'<g class="point" style="transform:translate({x}px,{y}px)">'
            f"{mark(machines[i], hollow[i])}</g>"
            for i, (x, y) in zip(own, places, strict=True)
        )
        title = html.escape(kind)
        label = html.escape(labels[stage][kind])
        return (
            f'<figure data-type="{title}"><figcaption><strong>{title}</strong>'
            f' <span class="number">{said}</span></figcaption>'
            f'<svg viewBox="0 0 {WIDE} {HIGH}" role="img" aria-label="{label}">'
            f"{points}</svg></figure>"
        )

    placed = {
        stage: {kind: _fitted(np.asarray(points)[types == kind]) for kind in kinds}
        for stage, points in stages.items()
    }
    labels = {
        stage: {
            kind: f"{kind}, {stage}: map of {(types == kind).sum()} clips"
            + _among_their_own(np.asarray(points)[types == kind], named[types == kind])
            for kind in kinds
        }
        for stage, points in stages.items()
    }
    first = next(iter(stages))
    moving = "".join(frame(first, kind, placed[first][kind]) for kind in kinds)
    still = ""
    for stage in stages:
        frames = "".join(frame(stage, kind, placed[stage][kind]) for kind in kinds)
        still += f"<p><strong>{html.escape(stage)}</strong></p>"
        still += f'<div class="frames">{frames}</div>'
    told = "<p>Filled: healthy. Hollow: faulty.</p>" if any(hollow) else ""
    body = f"""
<div class="controls"><fieldset class="stages"><legend>Show the network</legend>
</fieldset></div>
<p class="note" aria-live="polite"></p>
<div class="frames moving">{moving}</div>{told}
<div class="still">{still}</div>"""
    data = {
        "stages": {
            stage: {kind: xy.tolist() for kind, xy in own.items()}
            for stage, own in placed.items()
        },
        "labels": labels,
        "silhouettes": {s: dict(own) for s, own in (silhouettes or {}).items()},
    }
    words = f"[maps of {len(kinds)} machine types: {', '.join(stages)}]"
    return Widget("maps", body, data, label="Maps of the machine types", text=words)


def _among_their_own(points: np.ndarray, machines: np.ndarray) -> str:
    """How many of the ``points`` (n, 2) lie nearest to one of their own machine."""
    if len(points) < 2:
        return ""
    apart = np.hypot(*(points[:, None] - points[None]).transpose(2, 0, 1))
    np.fill_diagonal(apart, np.inf)
    own = int((machines[apart.argmin(axis=1)] == machines).sum())
    return f"; the nearest clip is one of the same machine for {own} of them"


def _fitted(points: np.ndarray) -> np.ndarray:
    """Points as places in a frame, whole units, in one scale for both directions."""
    low, span = points.min(axis=0), np.ptp(points, axis=0)
    room = np.array([WIDE, HIGH]) - 2 * MARGIN
    scale = (room / np.where(span > 0, span, 1)).min()
    places = (points - low - span / 2) * scale + np.array([WIDE, HIGH]) / 2
    places[:, 1] = HIGH - places[:, 1]
    return np.round(places).astype(int)
