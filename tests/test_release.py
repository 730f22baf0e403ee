"""What ``make release`` refuses, and that an archive's bytes depend on nothing but its content."""

import importlib.util
import os
import zipfile
from pathlib import Path

import pytest

from asd_book.packages import pack

TOP = Path(__file__).parents[1]
_spec = importlib.util.spec_from_file_location("release", TOP / ".ci" / "release.py")
release = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(release)
CHANGELOG = "# Changelog\n\n## 0.2.0 (2026-12-01)\n\n- New.\n\n## 0.1.0 (2026-11-01)\n"
CITATION = "title: asdlib\nversion: 0.2.0\n"


def test_a_release_whose_words_agree_has_no_fault():
    assert release.faults("0.2.0", CHANGELOG, CITATION) == []


@pytest.mark.parametrize(
    ("version", "changelog", "citation", "told"),
    [
        ("0.3.0", CHANGELOG, CITATION.replace("0.2.0", "0.3.0"), "does not begin with 0.3.0"),
        ("0.2.0", CHANGELOG.replace("2026-12-01", "unreleased"), CITATION, "say the day"),
        ("0.2.0", CHANGELOG, CITATION.replace("0.2.0", "0.1.0"), "names version 0.1.0, and this is 0.2.0"),
        ("0.2.0", CHANGELOG, "title: asdlib\n", "names version none"),
        ("0.2.0", "", CITATION, "does not begin with 0.2.0"),
    ],
)
def test_words_that_do_not_agree_are_named(version, changelog, citation, told):
    (fault,) = release.faults(version, changelog, citation)
    assert told in fault


def test_the_citation_names_the_version_that_the_package_has():
    version = release.re.search(r'__version__ = "(.+)"', (TOP / "asdlib" / "__init__.py").read_text())[1]
    assert f"\nversion: {version}\n" in (TOP / "CITATION.cff").read_text()
    assert f"version = {{{version}}}" in (TOP / "book" / "cite.md").read_text()


def test_an_archive_does_not_depend_on_times_or_order(tmp_path):
    files = {}
    for name in ("b.txt", "a/c.txt"):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
        files[name] = path
    pack(files, tmp_path / "one.zip")
    for path in files.values():
        os.utime(path, (1, 1))
        path.chmod(0o600)
    pack(dict(reversed(files.items())), tmp_path / "two.zip")
    assert release.digest(tmp_path / "one.zip") == release.digest(tmp_path / "two.zip")
    with zipfile.ZipFile(tmp_path / "one.zip") as archive:
        assert archive.namelist() == ["a/c.txt", "b.txt"]
        assert archive.read("b.txt") == b"b.txt"
