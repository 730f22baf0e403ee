"""A report that people look at.

One HTML file with scores, alarms, pictures and players, for any browser, offline.
"""

import html
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from asdlib.errors import AsdError
from asdlib.files import writable
from asdlib.progress import OnStep, silent
from asdlib.show.listen import compare
from asdlib.show.numbers import told_apart
from asdlib.sound.computed import ReadOptions
from asdlib.sound.data import Clip, listed
from asdlib.sound.reading import read
from asdlib.use.detector import Detector

HEARD = 6  # recordings with a player: the first of the table

STYLE = """
body { font-family: system-ui, sans-serif; color: #222; background: #fff; }
body { margin: 2rem auto; max-width: 62rem; padding: 0 1rem; }
table { border-collapse: collapse; }
th, td { padding: 0.25rem 0.8rem; text-align: left; border-bottom: 1px solid #ccc; }
.number { text-align: right; font-variant-numeric: tabular-nums; }
.alarm { font-weight: bold; color: #a02c00; }
"""


_PARTS_HEAD = '<th scope="col">by its parts</th>'


@dataclass(frozen=True)
class Judged:
    """A recording, its score, and the threshold of its machine, if there is one.

    ``parts`` are the scores by each part of an ensemble, by its name.
    """

    clip: Clip
    score: float
    threshold: float | None
    parts: dict[str, float] = field(default_factory=dict)

    @property
    def alarm(self) -> bool:
        """Is the score above the threshold? Never where there is none."""
        return self.threshold is not None and self.score > self.threshold

    @property
    def texts(self) -> tuple[str, str]:
        """Score and threshold as they are shown: they can be told apart."""
        (score,), limit = told_apart([self.score], self.threshold)
        return score, limit

    @property
    def urgency(self) -> tuple[bool, float]:
        """What recordings are sorted by; the largest is the most urgent.

        Alarms first, by how far they are above their threshold, in shares of it; then
        the others by score. A machine's scores have a scale of their own: bare
        differences would put one machine before all others.

        >>> fan = Clip(Path("a.wav"), "fan", "id_00", "test", "unknown")
        >>> Judged(fan, score=30.0, threshold=20.0).urgency
        (True, 0.5)
        >>> Judged(fan, score=30.0, threshold=None).urgency
        (False, 30.0)
        """
        if self.threshold is None or not self.alarm:
            return False, self.score
        return True, (self.score - self.threshold) / max(abs(self.threshold), 1e-9)


def write_report(
    path: str | Path,
    clips: list[Clip],
    detector: Detector,
    thresholds: dict[str, float],
    *,
    scorer: str | None = None,
    reading: ReadOptions | None = None,
    device: str = "auto",
    cache: Path | None = None,
    bad: dict[Clip, AsdError] | None = None,
    on_step: OnStep = silent,
) -> int:
    """Score ``clips``, write the page to ``path`` and return the number of alarms.

    Scored as by :meth:`Detector.score_clips`. ``thresholds``: machine -> score; a
    machine without one raises no alarm. Recordings that cannot be read are named on the
    page where they are to be collected in ``bad``. Raises :class:`AsdError` for an
    unknown machine or scorer, for unreadable recordings otherwise, and where the page
    cannot be written.
    """
    reading, clips = reading or detector.config.reading, listed(clips)
    name, parts = detector.scorer(scorer), detector.parts
    with writable(path) as temporary:
        table = detector.score_clips(
            clips,
            scorers=dict.fromkeys((name, *parts)),
            reading=reading,
            device=device,
            cache=cache,
            bad=bad,
            on_step=on_step,
        )
        left_out = bad or {}
        rows = [
            Judged(
                clip,
                table[name].iloc[i],
                thresholds.get(clip.machine),
                {part: table[part].iloc[i] for part in parts},
            )
            for i, clip in enumerate(c for c in clips if c not in left_out)
        ]
        rows.sort(key=lambda row: row.urgency, reverse=True)
        alarms = sum(row.alarm for row in rows)
        page = _page(rows, alarms, detector, name, reading, list(left_out.values()))
        # A name that is no UTF-8 has halves of characters, which no page may hold.
        temporary.write_text(page, encoding="utf-8", errors="backslashreplace")
    return alarms


def _page(
    rows: list[Judged],
    alarms: int,
    detector: Detector,
    scorer: str,
    reading: ReadOptions,
    errors: list[AsdError],
) -> str:
    title = f"{alarms} alarm{'' if alarms == 1 else 's'} in {len(rows)} recordings"
    features = detector.config.features
    without = sorted({row.clip.machine for row in rows if row.threshold is None})
    names = html.escape(", ".join(without))
    note = f"<p>No threshold has been chosen for {names}: asd threshold.</p>"
    players = compare(
        *(_player(row, detector, reading) for row in rows[:HEARD]),
        sample_rate=features.sample_rate,
    )
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title><style>{STYLE}</style></head><body>
<h1>{title}</h1>
<p>Score: {html.escape(scorer)}, of the first {features.seconds:g} s of a recording;
larger is more anomalous. An alarm says that a recording does not sound like the healthy
ones, not why.</p>{note if without else ""}{_left_out(errors)}
<table><thead><tr><th scope="col">machine</th><th scope="col">recording</th>
<th scope="col" class="number">score</th><th scope="col" class="number">threshold</th>
<th scope="col">alarm</th>{_PARTS_HEAD if detector.parts else ""}</tr></thead>
<tbody>{"".join(map(_row, rows))}</tbody></table>
<h2>To listen to</h2>
{players._repr_html_()}
</body></html>
"""


def _left_out(errors: list[AsdError]) -> str:
    """Which recordings were not judged, and why."""
    if not errors:
        return ""
    said = "".join(f"<li>{html.escape(str(error))}</li>" for error in errors)
    return f"<p>{len(errors)} recordings were left out:</p><ul>{said}</ul>"


def _row(row: Judged) -> str:
    """A row of the table."""
    names = (html.escape(name) for name in (row.clip.machine, row.clip.path.name))
    no_alarm = "<td>not judged</td>" if row.threshold is None else "<td>no</td>"
    cells = [
        *(f"<td>{name}</td>" for name in names),
        *(f'<td class="number">{text}</td>' for text in row.texts),
        '<td class="alarm">ALARM</td>' if row.alarm else no_alarm,
    ]
    if row.parts:
        loudest = sorted(row.parts.items(), key=lambda part: -part[1])
        told = ", ".join(f"{name} {value:.1f}" for name, value in loudest)
        cells.append(f"<td>{html.escape(told)}</td>")
    return f"<tr>{''.join(cells)}</tr>\n"


def _player(
    row: Judged, detector: Detector, reading: ReadOptions
) -> tuple[np.ndarray, str]:
    """What is scored of a recording, in ±1 (samples,), and its caption."""
    features = detector.config.features
    x = read(
        row.clip.path,
        sample_rate=features.sample_rate,
        channel=reading.channel,
        resample=reading.resample,
        partial=reading.partial,
        start=row.clip.start,
        seconds=features.seconds + 1,
    )
    text = f"{row.clip.machine}, {row.clip.path.name}: score {row.texts[0]}"
    return x[: features.samples], text
