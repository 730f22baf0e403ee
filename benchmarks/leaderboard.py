"""Keep a leaderboard in the repository, with where it is from and with what is needed to go on with it.

    asd compare DATA ... --out COMPARED
    python benchmarks/leaderboard.py COMPARED --name park --command "asd compare DATA ..." [--code FOLDER --note NOTE]

Writes ``data/results/leaderboard_NAME.json``: what ``asd compare`` wrote to ``leaderboard.json``, and a header with the
command, the commit of the code in FOLDER (default: this one) that ran it, which must be clean, and a NOTE, where some jobs
were run by other code. And ``jobs_NAME.zip``: of
each job the ranks of the clips by the method's own scorer, from which every figure of the leaderboard follows. So

    python benchmarks/leaderboard.py COMPARED --name park --unpack DATA

fills the folder COMPARED again, and the same ``asd compare`` on the same DATA computes only what is missing: another method,
another seed.
"""

import argparse
import json
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from results import FOLDER

from asdlib.files import atomic_write
from asdlib.use.jobs import Plan
from asdlib.use.results import keep, read


def commit_of(folder: Path) -> str:
    """The commit that ``folder`` is at; ends the program where files differ from it."""

    def git(*words: str) -> str:
        return subprocess.run(["git", "-C", folder, *words], capture_output=True, text=True, check=True).stdout.strip()

    if git("status", "--porcelain", "--untracked-files=no"):
        sys.exit(f"{folder} differs from its commit: commit first, or name the clone that ran the comparison with --code")
    return git("rev-parse", "HEAD")


def ranks(scores: np.ndarray) -> np.ndarray:
    """The places (M,) of ``scores`` in their order, equal ones at the same place: what an AUC needs of them.

    With a sign, because they are subtracted from each other.
    """
    return np.unique(scores, return_inverse=True)[1].astype(np.int16 if len(scores) < 2**15 else np.int32)


def pack(compared: Path, found: dict, path: Path) -> None:
    """Write the jobs in ``compared`` to the archive ``path``; ``found`` is the leaderboard that was made of them."""
    own = {row["method"].replace("/", "+"): row["scorer"] for row in found["rows"] if "error" not in row}
    with (
        atomic_write(path) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive,
        TemporaryDirectory() as folder,
    ):
        for file in [compared / "plan.json", *sorted(compared.glob("epochs/*.json"))]:
            archive.write(file, file.relative_to(compared))
        for file in sorted(compared.glob("jobs/*.npz")):
            result = read(file)
            name = own.get(file.name.split(" ")[0])
            scores = {name: ranks(result.scores[name])} if name and not result.error else {}
            keep(Path(folder) / "job.npz", replace(result, scores=scores))
            archive.write(Path(folder) / "job.npz", file.relative_to(compared))


def unpack(path: Path, compared: Path, data: Path) -> None:
    """Fill ``compared`` from the archive ``path``, a comparison on ``data``; files that are there stay as they are."""
    if not path.exists():
        sys.exit(f"there is no {path}: choose a name for which it is there")
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if not (compared / name).exists():
                archive.extract(name, compared)
    replace(Plan.read(compared), data=str(data.resolve()), cache=None).write(compared)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("compared", type=Path, help="the folder that asd compare filled, or that is to be filled again")
    parser.add_argument("--name", required=True, help="park, mimii, modspec")
    parser.add_argument("--command", help="that filled it")
    parser.add_argument("--code", type=Path, default=Path(__file__).parents[1], help="the clone that ran it")
    parser.add_argument("--note", help="which jobs were run by other code")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where leaderboards are kept")
    parser.add_argument("--unpack", type=Path, metavar="DATA", help="fill the folder from what is kept, to go on")
    options = parser.parse_args()
    jobs = options.folder / f"jobs_{options.name}.zip"
    if options.unpack:
        unpack(jobs, options.compared, options.unpack)
        return
    if not options.command:
        parser.error("name the command that filled the folder: --command 'asd compare ...'")
    found = json.loads((options.compared / "leaderboard.json").read_text())
    header = {"command": options.command, "commit": commit_of(options.code)} | ({"note": options.note} if options.note else {})
    with atomic_write(options.folder / f"leaderboard_{options.name}.json") as temporary:
        temporary.write_text(json.dumps({"header": header} | found, indent=1) + "\n")
    pack(options.compared, found, jobs)


if __name__ == "__main__":
    main()
