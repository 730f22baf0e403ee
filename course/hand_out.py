"""An assignment as students get it: ``python course/hand_out.py ASSIGNMENT TARGET``."""

import json
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "book" / "_ext"))

try:
    from editions import for_edition
except ModuleNotFoundError:
    sys.exit(
        "book/_ext is not beside course: call this script in the repository"
    )

if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    source, target = map(Path, sys.argv[1:])
    if target.exists():
        sys.exit(
            f"{target} is there already, and is left as it is: name another file"
        )
    notebook = for_edition(
        json.loads(source.read_text(encoding="utf-8")), "student"
    )
    target.write_text(
        json.dumps(notebook, indent=1, ensure_ascii=False) + "\n",
        encoding="utf-8",
    )
