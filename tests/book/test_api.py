"""The page that is made of docstrings: Sphinx reads each of them without a complaint, long before a book is built of them."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

BOOK = Path(__file__).parents[2] / "book"
MODULES = re.findall(r"automodule:: (\S+)", (BOOK / "api.md").read_text())


def complaints(tmp_path, modules, path=None):
    """What Sphinx says of the docstrings of ``modules``, one line each."""
    page = "\n".join(f".. automodule:: {module}\n   :members:\n" for module in modules)
    (tmp_path / "index.rst").write_text(f"Everything\n==========\n\n{page}")
    command = [sys.executable, "-m", "sphinx", "-C", "-q", "-b", "dummy", "-D", "extensions=sphinx.ext.autodoc"]
    command += ["-D", "suppress_warnings=ref", "-D", "autodoc_inherit_docstrings=0", str(tmp_path), str(tmp_path / "built")]
    environment = {"PYTHONPATH": str(path)} if path else None
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stderr.splitlines()


def test_every_docstring_on_the_page_is_right(tmp_path):
    assert len(MODULES) > 50
    assert complaints(tmp_path, MODULES) == []


@pytest.mark.parametrize("text", ["Twice the mean of |X - Y| and of |X - X'|.", "The *mean of all."], ids=["bars", "star"])
def test_a_docstring_that_is_not_is_found(text, tmp_path):
    (tmp_path / "a_module.py").write_text(f'"""One.\n\n{text}\n"""\n')
    assert "docstring of a_module" in complaints(tmp_path, ["a_module"], path=tmp_path)[0]
