"""What is kept between builds: trained runs for as long as the code is the same, those of other branches beside them, and of a
finished book all but what is missing."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]
sys.path[:0] = [str(TOP / "book"), str(TOP / "book" / "_ext")]

import build  # noqa: E402
import keep  # noqa: E402

from asdlib.source import code_digest  # noqa: E402

CODE = '"""A module."""\n\nimport math\n\n\ndef area(radius):\n    """Of a circle."""\n    return math.pi * radius**2\n'


@pytest.fixture
def package(tmp_path):
    """A package of two files and a folder that only shows."""
    folder = tmp_path / "package"
    (folder / "show").mkdir(parents=True)
    (folder / "circles.py").write_text(CODE)
    (folder / "other.py").write_text("X = 1\n")
    (folder / "show" / "picture.py").write_text("WIDTH = 3\n")
    return folder


SAME = {
    "another docstring": ("Of a circle.", "The area of a circle,\n    in square metres."),
    "no docstring": ('    """Of a circle."""\n', ""),
    "a docstring for the module": ("A module.", "A module on circles."),
    "a comment": ("import math\n", "import math  # for pi\n"),
    "a blank line": ("import math\n", "\n\nimport math\n"),
    "another line break": ("math.pi * radius**2", "(\n        math.pi\n        * radius**2\n    )"),
    "a string that stands alone": ("import math\n", 'import math\n\n"About pi."\n'),
}
DIFFERENT = {
    "a number": ("**2", "**3"),
    "a name": ("math.pi", "math.tau"),
    "a default": ("(radius)", "(radius=1)"),
    "a string that is used": ("return math.pi", 'print("pi")\n    return math.pi'),
    "a statement left out": ("import math\n", ""),
}


@pytest.mark.parametrize(("old", "new"), SAME.values(), ids=SAME)
def test_what_changes_no_result_keeps_what_was_computed(package, old, new):
    before = code_digest(package)
    (package / "circles.py").write_text(CODE.replace(old, new))
    assert (package / "circles.py").read_text() != CODE
    assert code_digest(package) == before


@pytest.mark.parametrize(("old", "new"), DIFFERENT.values(), ids=DIFFERENT)
def test_what_may_change_a_result_does_not(package, old, new):
    before = code_digest(package)
    (package / "circles.py").write_text(CODE.replace(old, new))
    assert code_digest(package) != before


def test_code_that_only_shows_counts_where_it_is_asked_for(package):
    before, before_all = code_digest(package), code_digest(package, without=())
    (package / "show" / "picture.py").write_text("WIDTH = 4\n")
    assert code_digest(package) == before
    assert code_digest(package, without=()) != before_all


def test_files_count_by_content_and_place_and_packages_by_version(package, monkeypatch):
    before = code_digest(package)
    shutil.copytree(package, package.parent / "elsewhere" / "package")
    assert code_digest(package.parent / "elsewhere" / "package") == before  # wherever the whole folder lies
    (package / "circles.py").write_text("X = 1\n")
    (package / "other.py").write_text(CODE)
    assert code_digest(package) != before  # two files that change places
    one = code_digest(package / "other.py")
    assert len({one, before, code_digest(package / "other.py", packages=("numpy",))}) == 3
    monkeypatch.setattr("asdlib.source.version", lambda name: "0")
    assert code_digest(package / "other.py") != one


def test_the_key_needs_nothing_heavy_and_ignores_a_comment_in_the_package(tmp_path):
    package = shutil.copytree(keep.PACKAGE, tmp_path / "asdlib", ignore=shutil.ignore_patterns("__pycache__"))
    said = "import sys, keep; print(keep.key(), keep.code_of_all(), {'torch', 'numpy', 'umap'} & set(sys.modules))"

    def keys():
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(TOP / "book")])}
        command = [sys.executable, "-c", said]
        done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=True)
        return done.stdout.split(maxsplit=2)

    before = keys()
    assert before == [keep.key(), keep.code_of_all(), "set()\n"]
    for file in package.rglob("*.py"):
        file.write_text(file.read_text() + "\n# a comment\n")
    assert keys() == before
    (package / "errors.py").write_text((package / "errors.py").read_text() + "\nX = 1\n")
    assert not set(keys()[:2]) & set(before)


def test_what_was_used_last_stays_and_the_rest_goes(tmp_path):
    names = [f"branch-{i}" for i in range(6)]
    for i, name in enumerate(names):
        (tmp_path / name / "run").mkdir(parents=True)
        os.utime(tmp_path / name, (i, i))
    (tmp_path / "a file").touch()
    os.utime(tmp_path / "a file", (0, 0))
    os.utime(tmp_path / "branch-1")  # used again
    keep.forget(tmp_path.iterdir(), but=4)
    assert {path.name for path in tmp_path.iterdir()} == {"branch-1", "branch-3", "branch-4", "branch-5"}
    keep.forget(tmp_path.iterdir(), but=4)
    assert len(list(tmp_path.iterdir())) == 4


def test_going_to_another_branch_and_back_finds_the_runs_of_both(tmp_path, monkeypatch):
    monkeypatch.delenv("ASDLIB_DATA", raising=False)
    monkeypatch.setattr(keep, "above", lambda name: tmp_path)
    monkeypatch.setattr(build, "chapters", list)  # none to execute
    for branch in ("main", "new", "main", "older", "main", "newer", "newest", "main"):
        monkeypatch.setattr(keep, "key", lambda branch=branch: branch)
        (keep.place() / "run").touch()
        build.execute()
    left = {path.name for path in (tmp_path / "generated").iterdir()}
    assert left == {"main", "older", "newer", "newest"}  # "new" was not used for longest
    assert (tmp_path / "generated" / "older" / "run").exists()


# ------------------------------------------------------------------------------------------------------- the finished book


@pytest.fixture
def book(tmp_path, monkeypatch):
    """Build the book of one empty chapter by ``book(chromium=..., editions=...)``; returns the jobs that Sphinx had."""
    top, program, done = tmp_path / "top", tmp_path / "bin" / "chromium", []
    for folder in ("book", "asdlib", "data/results"):
        (top / folder).mkdir(parents=True)
    for name in ("_config.yml", "_toc.yml", "requirements.txt", "book/one.md"):
        (top / name).write_text("title: A book\n")
    program.parent.mkdir()
    monkeypatch.setenv("PATH", str(program.parent) + os.pathsep + "/bin")
    names = {"FINISHED": "finished.txt", "PUBLISHED": "published.txt", "PDF": "asd-book.pdf"}
    for name, value in {"TOP": top, "BUILD": top / "_build"}.items():
        monkeypatch.setattr(build, name, value)
    for name, file in names.items():
        monkeypatch.setattr(build, name, build.BUILD / file)
    monkeypatch.setattr(build, "execute", lambda: ({}, 0))
    monkeypatch.setattr(build, "write_sources", lambda *_: None)
    monkeypatch.setattr(build, "archive", lambda *_: None)
    monkeypatch.setattr(build, "overview", lambda *_: "")
    monkeypatch.setattr(build, "write_epub", lambda *_: None)

    def sphinx(edition, builder):
        done.append((edition, builder))
        pages = build.BUILD / "work" / f"{edition}-{builder}"
        (pages / "book").mkdir(parents=True)
        (pages / "book" / "intro.html").write_text("<p>Hello")
        return pages

    monkeypatch.setattr(build, "build", sphinx)

    def run(*, chromium: bool, editions: bool = True):
        monkeypatch.setattr(sys, "argv", ["build.py", *["--editions"] * editions])
        program.unlink(missing_ok=True)
        if chromium:
            program.write_text(
                '#!/bin/sh\nfor word; do case $word in --print-to-pdf=*) echo %PDF > "${word#*=}";; esac; done\n'
            )
            program.chmod(0o755)
        done.clear()
        build.main()
        return sorted(done)

    run.top = top
    return run


EDITIONS = [("reader", "html"), ("student", "html"), ("teacher", "html")]
WHOLE = ("reader", "singlehtml")


def test_a_chromium_that_has_appeared_makes_the_pdf_alone_and_one_that_has_gone_makes_nothing(book, capsys, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name, which=shutil.which: which(name, path=os.environ["PATH"].split(":")[0]))
    assert book(chromium=False) == EDITIONS
    assert "no PDF: that takes a Chromium" in capsys.readouterr().out
    assert book(chromium=False) == []
    page = build.BUILD / "html" / "book" / "intro.html"
    made = page.stat().st_mtime_ns
    assert book(chromium=True) == [WHOLE]
    assert build.PDF.read_text() == "%PDF\n"
    assert page.stat().st_mtime_ns == made
    assert {path.name for path in build.BUILD.iterdir()} == {
        *("asd-book.pdf", "finished.txt", "published.txt", "html", "student", "teacher", "took.json")
    }
    for chromium in (True, False, True):
        assert book(chromium=chromium) == []
        assert capsys.readouterr().out.endswith("nothing has changed since the last build\n")
    assert build.PDF.exists()


def test_a_change_makes_everything_anew_and_no_pdf_of_the_old_book_stays(book, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name, which=shutil.which: which(name, path=os.environ["PATH"].split(":")[0]))
    assert book(chromium=True) == sorted([*EDITIONS, WHOLE])
    assert json.loads((build.BUILD / "took.json").read_text())["chapters executed"] == 0
    (book.top / "book" / "one.md").write_text("title: Another book\n")
    assert book(chromium=False) == EDITIONS
    assert not build.PDF.exists()
    (book.top / "asdlib" / "more.py").write_text("# a comment, which a page may show\n")
    assert book(chromium=True) == sorted([*EDITIONS, WHOLE])


def test_the_reader_need_not_wait_for_the_other_editions(book, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name, which=shutil.which: which(name, path=os.environ["PATH"].split(":")[0]))
    assert book(chromium=True, editions=False) == [("reader", "html")]
    page = build.BUILD / "html" / "book" / "intro.html"
    made = page.stat().st_mtime_ns
    assert book(chromium=True, editions=False) == []
    assert book(chromium=True) == [WHOLE, *EDITIONS[1:]]
    assert page.stat().st_mtime_ns == made
    assert (build.PDF.exists(), (build.BUILD / "teacher" / "html").is_dir()) == (True, True)
    assert book(chromium=True) == book(chromium=True, editions=False) == []
    (book.top / "book" / "one.md").write_text("title: Another book\n")
    assert book(chromium=True, editions=False) == [("reader", "html")]  # and none of the old book's editions stays
    assert not (build.BUILD / "student").exists()
    assert sorted(book(chromium=True)) == sorted([WHOLE, *EDITIONS[1:]])


def test_what_is_compiled_beside_the_code_changes_nothing(book):
    assert book(chromium=False, editions=False) == [("reader", "html")]
    (book.top / "asdlib" / "__pycache__").mkdir()
    (book.top / "asdlib" / "__pycache__" / "kernels.nbi").write_text("by numba")
    assert book(chromium=False, editions=False) == []


def test_a_book_that_was_trained_anew_is_another_one(book, monkeypatch):
    monkeypatch.setenv("ASDLIB_TRAIN", "")
    assert book(chromium=False, editions=False) == [("reader", "html")]
    monkeypatch.setenv("ASDLIB_TRAIN", "1")
    assert book(chromium=False, editions=False) == [("reader", "html")]
    assert json.loads((build.BUILD / "took.json").read_text())["trained anew"]
    assert book(chromium=False, editions=False) == []


def test_a_pdf_that_could_not_be_printed_is_made_by_the_next_build(book, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name, which=shutil.which: which(name, path=os.environ["PATH"].split(":")[0]))
    with monkeypatch.context() as broken:
        broken.setattr(build, "write_pdf", lambda page, pdf: pdf.write_text("half") / 0)
        with pytest.raises(ZeroDivisionError):
            book(chromium=True)
    assert not build.PDF.exists()
    assert book(chromium=True) == [WHOLE]
    assert build.PDF.read_text() == "%PDF\n"
