"""Clips out of long recordings."""

from pathlib import Path
from typing import Annotated

import typer

from asdlib.commands import Channel, Partial, app, recordings_in


@app.command()
def cut(
    recordings: Annotated[
        list[Path],
        typer.Argument(
            metavar="RECORDING... OUT",
            help="Recordings of one machine in the order in which they were made, or "
            "folders of such; last, the folder to write to.",
        ),
    ],
    machine: Annotated[
        str, typer.Option(help="Which machine they are of, as TYPE/id_NN.")
    ],
    seconds: Annotated[float, typer.Option(help="How long a clip is.")] = 10.0,
    hop: Annotated[
        float | None,
        typer.Option(help="From a clip's start to the next's (default: its length)."),
    ] = None,
    gap: Annotated[
        float | None,
        typer.Option(
            help="Left out between the parts, in seconds (default: a clip's length)."
        ),
    ] = None,
    anomaly: Annotated[
        bool,
        typer.Option("--anomaly", help="It is faulty: all clips are for tests."),
    ] = False,
    channel: Channel = None,
    partial: Partial = False,
) -> None:
    """Cut long recordings of a healthy machine into clips, split by time.

    The first 70 % of the time are for training, the next 15 % for a threshold, the last
    15 % for tests: neighbours sound alike, so they never stand on both sides.
    """
    from asdlib.progress import progress_bar
    from asdlib.sound import cutting
    from asdlib.sound.computed import ReadOptions

    if len(recordings) < 2:
        raise typer.BadParameter("name recordings, then the folder to write to")
    *paths, out = recordings
    with progress_bar() as on_step:
        counts = cutting.cut(
            recordings_in(paths),
            out,
            machine,
            seconds=seconds,
            hop=hop,
            gap=gap,
            anomaly=anomaly,
            options=ReadOptions(channel=channel, partial=partial),
            on_step=on_step,
        )
    told = ", ".join(f"{count} for {split}" for split, count in counts.items())
    print(f"wrote clips of {seconds:g} s to {out}: {told}")
    if anomaly:
        return
    print(f"next, with another machine's beside them: asd train {out}/clips --run RUN")
    if counts["calibration"]:
        folder = out / "calibration" / machine
        print(f"then: asd threshold {folder} --run RUN --machine {machine}")
