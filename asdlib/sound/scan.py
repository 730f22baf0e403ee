"""Clips on disk: find them.

They lie as one of :data:`asdlib.sound.layouts.LAYOUTS` says, such as that of DCASE 2020
Task 2::

    <root>/.../<machine type>/train/normal_id_<nn>_<number>.wav
    <root>/.../<machine type>/test/{normal_,anomaly_,}id_<nn>_<number>.wav

where a name without prefix leaves the label unknown. Real or simulated, any machine
types and IDs: there is one path. ``<root>`` may be a level or more above the machine
types, so one root can hold the development, additional and evaluation sets side by
side.
"""

from pathlib import Path

from asdlib.errors import AsdError
from asdlib.files import files_below
from asdlib.sound import layouts
from asdlib.sound.data import Clip


def scan(root: str | Path) -> list[Clip]:
    """Every clip under ``root``, sorted by path.

    Raises :class:`AsdError` when there is no such folder, when it holds no clip, when
    the name of a WAV file under ``train/`` or ``test/`` follows no layout, or when a
    training clip is called an anomaly.
    """
    if not Path(root).is_dir():
        raise AsdError(
            f"no folder {root}: give the folder that holds {layouts.expected()}"
        )
    clips, words = [], layouts.split_words()
    for path in sorted(files_below(Path(root).absolute())):
        if path.suffix.lower() != ".wav":
            continue
        named = layouts.parse(path)
        if named is None and path.parent.name not in words:
            continue
        if named is None:
            raise AsdError(
                f"{path} does not say which machine it is of: "
                f"call it {layouts.examples()} or move it away"
            )
        if named.split == "train" and named.label != "normal":
            raise AsdError(
                f"{path} is in a train folder and not called normal: "
                "train on normal clips only, move it to test"
            )
        clips.append(Clip(path, *named))
    if not clips:
        raise AsdError(f"no clips in {root}: expected {layouts.expected()} below it")
    return clips
