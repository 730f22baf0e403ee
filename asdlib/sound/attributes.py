"""Attributes of clips that are in a table beside them, not in their names.

From DCASE 2022 on, the folder of a machine type holds ``attributes_<section>.csv``: a
header ``file_name,d1p,d1v,d2p,d2v,...``, then for each clip its name, with or without
folder and ending, and names (p) and values (v) of what is known about it.
"""

import csv
import logging
from pathlib import Path, PurePosixPath

from asdlib.sound.naming import Pairs

log = logging.getLogger("asdlib")
PATTERN = "attributes_*.csv"


def listed_attributes(folder: Path) -> dict[str, Pairs]:
    """The attributes of each clip that the tables in ``folder`` list.

    By its name without folders and ending. A table that cannot be read is passed over
    with a line that says so.
    """
    found: dict[str, Pairs] = {}
    for path in sorted(folder.glob(PATTERN)):
        try:
            with open(path, newline="", encoding="utf-8-sig") as file:
                header, *rows = [row for row in csv.reader(file) if row]
            if header[0].strip() != "file_name":
                raise ValueError("its first column is not file_name")
        except (OSError, ValueError, csv.Error) as error:
            log.warning("passed over %s, a table of attributes (%s)", path, error)
            continue
        for name, *cells in rows:
            pairs = dict(zip(cells[::2], cells[1::2], strict=False))
            stem = PurePosixPath(name.strip().replace("\\", "/")).name
            known = ((key.strip(), value.strip()) for key, value in pairs.items())
            found[stem.removesuffix(".wav")] = tuple(
                (key, value)
                for key, value in known
                if key and value and value.lower() != "noattribute"
            )
    return found
