"""The settings that Sphinx alone gets are those that jupyter-book makes of the same file."""

import importlib.util
from pathlib import Path

import yaml

TOP = Path(__file__).parents[1]
# What jupyter-book has beyond: its own page, comments and servers that no page uses, and what LaTeX takes.
ITS_OWN = {"jupyter_book", "sphinx_thebe", "sphinx_comments", "sphinx_jupyterbook_latex", "sphinx.ext.intersphinx"}


def test_sphinx_alone_is_told_what_jupyter_book_would_tell_it():
    from jupyter_book.config import get_final_config

    about = importlib.util.spec_from_file_location("way_out", TOP / ".ci" / "way_out.py")
    way_out = importlib.util.module_from_spec(about)
    about.loader.exec_module(way_out)
    ours = way_out.settings(yaml.safe_load((TOP / "_config.yml").read_text()))
    theirs, _ = get_final_config(user_yaml=TOP / "_config.yml", sourcedir=TOP, cli_config={"latex_individualpages": False})
    assert set(ours.pop("extensions")) - {"sphinx_book_theme"} == set(theirs["extensions"]) - ITS_OWN - {"sphinx_book_theme"}
    assert ours.pop("external_toc_path") == "_toc.yml"  # jupyter-book adds it when it starts Sphinx
    ours.pop("project")  # jupyter-book has it in the title alone
    assert set(ours.pop("exclude_patterns")) <= set(theirs["exclude_patterns"])
    assert {name: theirs.get(name) for name in ours} == ours
