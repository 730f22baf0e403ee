"""The page of a comparison: the leaderboard to work with, and the clips to be heard.

One HTML file that opens from disk.
"""

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from asdlib.files import atomic_write
from asdlib.show.board import Heard, board

STYLE = """
body { font-family: system-ui, sans-serif; color: #222; background: #fff; }
body { margin: 2rem auto; max-width: 76rem; padding: 0 1rem; line-height: 1.5; }
h1 { overflow-wrap: anywhere; }
"""


def write_page(
    found: Mapping[str, Any], clips: Sequence[Heard], path: Path, *, sample_rate: int
) -> None:
    """Write the page with the leaderboard ``found`` and the ``clips`` to ``path``.

    ``sample_rate`` (Hz) is that of the clips.
    """
    widget = board(found, clips, sample_rate=sample_rate)
    chance = "other clips and other seeds, of the same machines"
    if len(found["seeds"]) == 1:
        chance = "other clips of the same machines: of other seeds one says nothing"
    data = html.escape(str(found["data"]))
    page = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Methods compared on {data}</title><style>{STYLE}</style></head><body>
<h1>Methods compared on {data}</h1>
<p>{found["clips"]} test clips, {len(found["seeds"])} seeds. AUC, pAUC and mAUC are
means over the machine types, ± the standard deviation over the seeds; the interval is
that of {chance}. Nothing was chosen on these clips, and whoever now takes the first of
the list has done so: its figures are flattered. Choose a method to hear what it finds
and the others miss.</p>
{widget._repr_html_()}
</body></html>
"""
    with atomic_write(path) as temporary:
        temporary.write_text(page, encoding="utf-8", errors="backslashreplace")
