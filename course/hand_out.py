"""An assignment without its solutions: ``python course/hand_out.py ASSIGNMENT TARGET``."""

import json
import sys
from pathlib import Path


def without_solutions(notebook: dict) -> dict:
    """The notebook without cells that are tagged as solutions."""
    cells = [
        cell
        for cell in notebook["cells"]
        if "solution" not in cell["metadata"].get("tags", [])
    ]
    return notebook | {"cells": cells}


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    source, target = map(Path, sys.argv[1:])
    if target.exists():
        sys.exit(
            f"{target} is there already, and is left as it is: name another file"
        )
    notebook = without_solutions(
        json.loads(source.read_text(encoding="utf-8"))
    )
    target.write_text(
        json.dumps(notebook, indent=1, ensure_ascii=False) + "\n",
        encoding="utf-8",
    )
