"""Fewer training clips in a run's memory bank."""

from pathlib import Path
from typing import Annotated

import typer

from asdlib.commands import Run, app, one_of, print_table


@app.command()
def thin(
    run: Run,
    out: Annotated[Path, typer.Option(help="Run directory to write, a new one.")],
    keep: Annotated[int, typer.Option(help="Clips of each machine, at most.")],
    method: Annotated[
        str,
        typer.Option(
            metavar="METHOD",
            parser=one_of("asdlib.judge.thin:METHODS"),
            help="Which stay: k-centre, so that none is far from all that are left, or "
            "k-means, more where there were many.",
        ),
    ] = "k-centre",
) -> None:
    """A copy of a run that knows fewer training clips, for scores by neighbours.

    Its thresholds are to be chosen anew, from recordings that were not trained on: a
    training clip that is not kept is no longer recognised as one.
    """
    from asdlib.use.thinning import thin as thin_run

    counts = thin_run(run, out, keep=keep, method=method)
    rows = [(name, str(before), str(now)) for name, (before, now) in counts.items()]
    print_table(f"training clips known in {out}", ("machine", "before", "now"), rows)
    print(f"next: asd threshold RECORDINGS --run {out} --machine TYPE/ID")
