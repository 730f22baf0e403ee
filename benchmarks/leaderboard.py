"""Keep a leaderboard in the repository, with where it is from.

    asd compare DATA ... --out COMPARED
    python benchmarks/leaderboard.py COMPARED --name park --command "asd compare DATA ..." [--code FOLDER]

Writes ``data/results/leaderboard_NAME.json``: what ``asd compare`` wrote to ``leaderboard.json``, and a header with the
command and the commit of the code in FOLDER (default: this one) that ran it, which must be clean.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

from results import FOLDER

from asdlib.files import atomic_write


def commit_of(folder: Path) -> str:
    """The commit that ``folder`` is at; ends the program where files differ from it."""

    def git(*words: str) -> str:
        return subprocess.run(["git", "-C", folder, *words], capture_output=True, text=True, check=True).stdout.strip()

    if git("status", "--porcelain", "--untracked-files=no"):
        sys.exit(f"{folder} differs from its commit: commit first, or name the clone that ran the comparison with --code")
    return git("rev-parse", "HEAD")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("compared", type=Path, help="the folder that asd compare filled")
    parser.add_argument("--name", required=True, help="park, mimii, modspec")
    parser.add_argument("--command", required=True, help="that filled it")
    parser.add_argument("--code", type=Path, default=Path(__file__).parents[1], help="the clone that ran it")
    options = parser.parse_args()
    found = json.loads((options.compared / "leaderboard.json").read_text())
    header = {"command": options.command, "commit": commit_of(options.code)}
    with atomic_write(FOLDER / f"leaderboard_{options.name}.json") as temporary:
        temporary.write_text(json.dumps({"header": header} | found, indent=1) + "\n")


if __name__ == "__main__":
    main()
