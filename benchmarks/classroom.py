"""What a class costs on one server: so many kernels of one chapter at once, their time and the memory that they share out.

    python benchmarks/classroom.py judging 1 4 8

The chapter is run as it is in ``book``; what it has to train is trained beforehand, by a run that does not count. Memory is
the proportional share (PSS) of all kernels together, at its largest: pages that several of them use are counted once.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TOP = Path(__file__).parents[1]
RUN = "import nbformat, sys; from nbclient import NotebookClient; "
RUN += "NotebookClient(nbformat.read(sys.argv[1], 4), timeout=1800, allow_errors=True).execute()"


def shared_out(pids: list[int]) -> float:
    """MB of these processes and their children, pages that they share counted once."""
    kilobytes = 0
    for pid in pids:
        try:
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        except OSError:  # it has just ended
            continue
        kilobytes += next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))
        kilobytes += 1024 * shared_out([int(child) for child in children])
    return kilobytes / 1024


def class_of(students: int, chapter: Path) -> dict[str, float]:
    """Seconds until all are done, CPU seconds of one, and the most memory that they held together, in MB."""
    with tempfile.TemporaryDirectory() as scratch:
        target = shutil.copy2(chapter, scratch)
        start, before = time.perf_counter(), os.times()
        command = [sys.executable, "-c", RUN, target]
        running = [subprocess.Popen(command, cwd=chapter.parent) for _ in range(students)]
        most = 0.0
        while any(process.poll() is None for process in running):
            most = max(most, shared_out([process.pid for process in running]))
            time.sleep(0.5)
        after = os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return {"students": students, "seconds": time.perf_counter() - start, "cpu_each": used / students, "megabytes": most}


def main() -> None:
    """Print a line for each number of students."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("chapter", help="its name")
    parser.add_argument("students", type=int, nargs="+")
    options = parser.parse_args()
    chapter = TOP / "book" / f"{options.chapter}.ipynb"
    class_of(1, chapter)
    for students in options.students:
        print(json.dumps({name: round(value) for name, value in class_of(students, chapter).items()}), flush=True)


if __name__ == "__main__":
    main()
