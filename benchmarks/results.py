"""Where the benchmarks put what they measured: a header that says what and how, and one record a line."""

import json
from pathlib import Path

from asdlib.files import replacing

FOLDER = Path(__file__).parents[1] / "data" / "results"
SIMULATED = "our measurements on simulated clips (asdlib.machines, preset book, park seed 0); not real machines"


def write(name: str, header: dict, records: list[dict]) -> None:
    """Write ``data/results/<name>.json``; it appears only when it is complete."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with replacing(FOLDER / f"{name}.json") as temporary:
        lines = ",\n".join(json.dumps(record) for record in records)
        temporary.write_text(f'{{"header": {json.dumps(header, indent=1)},\n"records": [\n{lines}\n]}}\n')
