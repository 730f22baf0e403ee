"""Run a submitted notebook, cell by cell, and tell what its checks say of it.

``python -m asd_book.worker NOTEBOOK FOLDER FD MEMORY SKIP...``: FOLDER is where the book's
``checks`` and ``chapter.py`` lie, FD a file descriptor to write lines of JSON to, MEMORY how
many MB the process may have, SKIP the numbers of cells that are left out. The lines are

* ``{"ready": true}`` before the first cell, and ``{"end": true}`` after the last;
* ``{"cell": 3}`` before a cell is run, and ``{"cell": 3, "error": "NameError: ..."}`` or
  ``{"cell": 3, "error": ""}`` after it;
* ``{"exercise": "judging.pairs", "passed": true, "words": "Right."}`` whenever a check is
  called.

This is no sandbox: the cells can do what the user can who runs it.
"""

import importlib
import json
import os
import resource
import sys
from pathlib import Path

FILE_MB = 200  # the largest file that a submission may write


def limit(megabytes: int) -> None:
    """Let this process, and what it starts, have so much memory, and write no huge file."""
    soft = megabytes * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (soft, soft))
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_MB * 2**20, FILE_MB * 2**20))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main() -> None:
    """Run the notebook that the command line names."""
    notebook, folder, number, megabytes, *skipped = sys.argv[1:]
    out = os.fdopen(int(number), "w", buffering=1)

    def tell(**line: object) -> None:
        out.write(json.dumps(line) + "\n")

    cells = json.loads(Path(notebook).read_text(encoding="utf-8"))["cells"]
    sys.path.insert(0, folder)
    checks = importlib.import_module("checks")
    judged = checks.check

    def check(exercise: str, answer: object) -> object:
        """As the book's own, and the teacher is told."""
        verdict = judged(exercise, answer)
        passed = 'data-passed="true"' in verdict.data
        words = verdict.data.partition(">")[2].rpartition("</div>")[0]
        tell(exercise=str(exercise), passed=passed, words=words)
        return verdict

    vars(checks)["check"] = check
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell.instance()
    limit(int(megabytes))
    tell(ready=True)
    for place, cell in enumerate(cells):
        if cell["cell_type"] != "code" or str(place) in skipped:
            continue
        tell(cell=place)
        result = shell.run_cell("".join(cell["source"]), store_history=True)
        error = result.error_before_exec or result.error_in_exec
        tell(cell=place, error="" if error is None else f"{type(error).__name__}: {error}"[:300])
    tell(end=True)
    os._exit(0)  # whatever a cell has left running


if __name__ == "__main__":
    main()
