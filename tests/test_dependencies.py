"""Every package that is used has a licence that lets readers use it, and those we chose are listed with what they are for."""

import re
import tomllib
from importlib.metadata import metadata
from pathlib import Path

TOP = Path(__file__).parents[1]
FREE = re.compile(
    r"\b(MIT|BSD|0BSD|OFL|Apache|ISC|ISCL|PSF|Python Software Foundation|MPL|Mozilla Public|LGPL|BSL-1.0|Zlib|CC0|Unlicense)\b"
)
NOT_FREE = re.compile(r"\b(A?GPL|General Public License|Business|Proprietary|Commercial)\b")
# By their licence files: MIT, BSD-3-Clause, and public domain but for one file that is no part of what we use.
SAID_ELSEWHERE = {"axe-playwright-python", "umap-learn", "docutils"}


def licence(package: str) -> str:
    about = metadata(package)
    classifiers = [line for line in about.get_all("Classifier", []) if line.startswith("License")]
    return about.get("License-Expression") or "; ".join(classifiers) or about.get("License", "")


def test_every_pinned_package_is_free_to_use():
    lines = [line for line in (TOP / "requirements.txt").read_text().splitlines() if not line.startswith("#")]
    packages = {line.split("==")[0] for line in lines} - SAID_ELSEWHERE
    assert len(packages) > 200
    said = {package: licence(package).replace("GNU Lesser General Public License", "LGPL") for package in packages}
    assert {name: text for name, text in said.items() if not FREE.search(text) or NOT_FREE.search(text)} == {}


def test_every_package_that_we_chose_is_listed():
    project = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]
    extras = (wanted for group in project["optional-dependencies"].values() for wanted in group)
    chosen = {re.match(r"[\w.-]+", wanted)[0] for wanted in (*project["dependencies"], *extras)} - {"asdlib"}
    rows = [row.split("|")[1] for row in (TOP / "DEPENDENCIES.md").read_text().splitlines() if row.startswith("| ")][1:]
    assert {name for row in rows for name in re.sub(r"\(.*?\)", "", row).replace(" ", "").split(",")} == chosen


def test_nothing_reads_a_pickle():
    source = "\n".join(path.read_text() for path in (TOP / "asdlib").rglob("*.py"))
    assert not re.search(r"\bimport pickle|torch\.load\(|joblib|allow_pickle=True", source)
    assert source.count("np.load(") == source.count("allow_pickle=False")
