"""A report that people look at.

One HTML file with scores, alarms, pictures and players, for any browser, offline.
"""

import html
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asdlib.files import writable
from asdlib.progress import OnStep, silent
from asdlib.show.listen import compare
from asdlib.sound.cache import ReadOptions
from asdlib.sound.data import Clip, read
from asdlib.use.detector import Detector

HEARD = 6  # recordings with a player: the first of the table

STYLE = """
body { font-family: system-ui, sans-serif; margin: 2rem auto; max-width: 62rem; }
body { padding: 0 1rem; }
body { color: #222; background: #fff; }
table { border-collapse: collapse; }
th, td { padding: 0.25rem 0.8rem; text-align: left; border-bottom: 1px solid #ccc; }
.number { text-align: right; font-variant-numeric: tabular-nums; }
.alarm { font-weight: bold; color: #a02c00; }
"""


@dataclass(frozen=True)
class Judged:
    """A recording, its score, and the threshold of its machine, if there is one."""

    clip: Clip
    score: float
    threshold: float | None

    @property
    def alarm(self) -> bool:
        return self.threshold is not None and self.score > self.threshold

    @property
    def urgency(self) -> tuple[bool, float]:
        """Alarms first, by how far they are above their threshold, in shares of it.

        Then the others, by score. A machine's scores have a scale of their own: bare
        differences would put one machine before all others.
        """
        if self.threshold is None or not self.alarm:
            return False, self.score
        excess = self.score - self.threshold
        return True, excess / max(abs(self.threshold), 1e-9)


def write_report(
    path: str | Path,
    clips: list[Clip],
    detector: Detector,
    thresholds: dict[str, float],
    *,
    scorer: str = "softmax",
    reading: ReadOptions | None = None,
    device: str = "auto",
    cache: Path | None = None,
    on_step: OnStep = silent,
) -> int:
    """Score ``clips`` as :meth:`Detector.score_clips` does, write the page to ``path``
    and return the number of alarms.

    ``thresholds``: machine -> score; a machine without one raises no alarm. Raises
    :class:`AsdError` for an unreadable recording, and where the page cannot be written.
    """
    with writable(path) as temporary:
        table = detector.score_clips(
            clips,
            scorers=(scorer,),
            reading=reading,
            device=device,
            cache=cache,
            on_step=on_step,
        )
        scores = table[scorer]
        rows = [
            Judged(clip, value, thresholds.get(clip.machine))
            for clip, value in zip(clips, scores, strict=True)
        ]
        rows.sort(key=lambda row: row.urgency, reverse=True)
        alarms = sum(row.alarm for row in rows)
        temporary.write_text(
            _page(rows, alarms, detector, scorer, reading or detector.config.reading),
            encoding="utf-8",
        )
    return alarms


def _page(
    rows: list[Judged],
    alarms: int,
    detector: Detector,
    scorer: str,
    reading: ReadOptions,
) -> str:
    title = f"{alarms} alarm{'' if alarms == 1 else 's'} in {len(rows)} recordings"
    features = detector.config.features
    without = sorted({row.clip.machine for row in rows if row.threshold is None})
    note = (
        f"<p>No threshold has been chosen for {html.escape(', '.join(without))}: asd "
        "threshold.</p>"
        if without
        else ""
    )
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
ones, not why.</p>{note}
<table><thead><tr><th scope="col">machine</th><th scope="col">recording</th>
<th scope="col" class="number">score</th><th scope="col" class="number">threshold</th>
<th scope="col">alarm</th></tr></thead>
<tbody>{"".join(map(_row, rows))}</tbody></table>
<h2>To listen to</h2>
{players._repr_html_()}
</body></html>
"""


def _row(row: Judged) -> str:
    numbers = (
        f"{row.score:.3f}",
        "" if row.threshold is None else f"{row.threshold:.3f}",
    )
    cells = "".join(f'<td class="number">{text}</td>' for text in numbers)
    no_alarm = "<td>no</td>" if row.threshold is not None else "<td>not judged</td>"
    alarm = '<td class="alarm">ALARM</td>' if row.alarm else no_alarm
    names = row.clip.machine, row.clip.path.name
    told = "".join(f"<td>{html.escape(name)}</td>" for name in names)
    return f"<tr>{told}{cells}{alarm}</tr>\n"


def _player(
    row: Judged, detector: Detector, reading: ReadOptions
) -> tuple[np.ndarray, str]:
    features = detector.config.features
    x = read(
        row.clip.path,
        sample_rate=features.sample_rate,
        channel=reading.channel,
        resample=reading.resample,
        seconds=features.seconds + 1,
    )
    name = Path(row.clip.path).name
    text = f"{row.clip.machine}, {name}: score {row.score:.3f}"
    return x[: features.samples], text
