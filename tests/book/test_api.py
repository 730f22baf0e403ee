"""The pages made of docstrings: all of the package is there, and Sphinx has no complaint, long before a book is built."""

import importlib
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from asdlib import methods
from asdlib._paths import PUBLIC

BOOK = Path(__file__).parents[2] / "book"
PAGES = "".join(path.read_text() for path in sorted(BOOK.glob("api_*.md")))
MODULES = re.findall(r"automodule:: (\S+)", PAGES)
METHODS = ["asdlib.methods", *(f"asdlib.methods.{name}" for name in methods.names())]  # given to their page as it is built


def pages(tmp_path, modules, builder="dummy", path=None):
    """What Sphinx says of the docstrings of ``modules``, one line each; the page is left in ``tmp_path / "built"``."""
    page = "\n".join(f".. automodule:: {module}\n   :members:\n" for module in modules)
    (tmp_path / "index.rst").write_text(f"Everything\n==========\n\n{page}")
    command = [sys.executable, "-m", "sphinx", "-C", "-q", "-b", builder, "-D", "extensions=sphinx.ext.autodoc,reference"]
    command += ["-D", "suppress_warnings=ref", "-D", "autodoc_inherit_docstrings=0", str(tmp_path), str(tmp_path / "built")]
    ours = [str(path) if path else str(BOOK.parent), str(BOOK / "_ext")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(ours)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stderr.splitlines()


def offered(module):
    """The functions and classes that ``module`` itself has to offer, by their full names."""
    own = (value for value in vars(module).values() if inspect.isfunction(value) or inspect.isclass(value))
    names = {value.__qualname__ for value in own if value.__module__ == module.__name__ and value.__doc__}
    return {f"{module.__name__}.{name}" for name in names if not name.startswith("_")}


def test_every_docstring_on_the_pages_is_right_and_every_function_is_there(tmp_path):
    assert len(MODULES) > 70
    assert pages(tmp_path, MODULES + METHODS, "text") == []
    page = (tmp_path / "built/index.txt").read_text()
    names = {name for module in MODULES for name in offered(importlib.import_module(module))}
    missing = {name for name in names if not re.search(rf"{re.escape(name)}[(\n]", page)}
    assert len(names) > 300
    assert sorted(missing) == []
    assert ": ArrayLike" in page
    assert "_SupportsArray" not in page


def test_the_pages_have_every_public_module():
    places = {f"asdlib.{place}" for places in PUBLIC.values() for place in places}
    assert sorted(places - set(MODULES)) == []


@pytest.mark.parametrize("text", ["Twice the mean of |X - Y| and of |X - X'|.", "The *mean of all."], ids=["bars", "star"])
def test_a_docstring_that_is_not_is_found(text, tmp_path):
    (tmp_path / "a_module.py").write_text(f'"""One.\n\n{text}\n"""\n')
    assert "docstring of a_module" in pages(tmp_path, ["a_module"], path=tmp_path)[0]
