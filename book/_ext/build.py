"""Build the book: ``python book/_ext/build.py`` from the top of the repository, as ``make book`` does; with ``--editions``
what else there is of it, as ``make editions`` does.

1. Every chapter is executed once, two at a time, by nbmake; a chapter whose source, package and results have not changed
   keeps the run that is there. What takes long to train comes recorded; with ``$ASDLIB_TRAIN`` set, all is trained anew.
2. Every exercise is proved: its starter fails the check, its solution passes it.
3. The reader's edition is built, warnings as errors, with its slides. With ``--editions``, the student's and the teacher's
   are, too, an archive of each, an EPUB, and one PDF of the whole book where a Chromium is installed. Nothing is built where
   nothing has changed, and the PDF alone where only it is missing.

``--sources DIR`` only writes the sources of the reader's edition to DIR, executed (``make live`` calls it).
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import yaml

TOP = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TOP / "book"), str(TOP / "book" / "_ext")]

import keep  # noqa: E402

from asd_book.packages import pack  # noqa: E402
from editions import EDITIONS, files_of, for_edition, toc_for_edition, unproven  # noqa: E402
from epub import epub  # noqa: E402
from overview import overview  # noqa: E402
from slides import slides  # noqa: E402
from warm import warm_kernels  # noqa: E402

BUILD, EXECUTED = (
    TOP / "_build",
    TOP / "_executed",
)  # nbmake passes over folders called _build, so not below it
# The first of all make a park each, which others would only wait for.
LONGEST_FIRST = ("two_stages", "domain_shift", "classify", "real_machines", "views", "baselines", "what_matters", "living")
FINISHED = BUILD / "finished.txt"  # the digest of what the reader's edition was made of,
PUBLISHED = BUILD / "published.txt"  # and of what all were
PDF = BUILD / "asd-book.pdf"  # of those editions, where it is there
BRANCHES = 4  # as many versions of the code and of the chapters keep what they made
MEGABYTES_A_PAGE = 8
HELPERS = ("chapter.py", "keep.py", "book.mplstyle", "method.svg", "checks")  # what the notebooks import


def digest(*paths: Path) -> str:
    """A digest of files, and of the files in folders."""
    files = sorted(f for p in paths for f in (p.rglob("*") if p.is_dir() else [p]) if f.is_file())
    # Without what tools, and numba, keep beside the files.
    files = [f for f in files if not any(part.startswith((".", "__pycache__")) for part in f.relative_to(TOP).parts)]
    content = b"".join(f.relative_to(TOP).as_posix().encode() + b"\0" + f.read_bytes() for f in files)
    return hashlib.sha256(content).hexdigest()[:16]


def chapters() -> list[Path]:
    names = {path.stem: path for path in sorted((TOP / "book").glob("*.ipynb"))}
    first = [names.pop(name) for name in LONGEST_FIRST if name in names]
    # Whoever uses the network of two_stages would only wait for it.
    return first + sorted(names.values(), key=lambda path: "trained()" in path.read_text())


def digest_of_everything(*more: Path) -> str:
    """A digest of what a page is made of, but for the chapters; and of ``more``. Trained anew, it is another."""
    parts = [TOP / "asdlib", TOP / "data" / "results", TOP / "data" / "recorded", TOP / "requirements.txt"]
    return digest(*(path for path in (*parts, *more) if path.exists())) + ("-trained" if os.environ.get("ASDLIB_TRAIN") else "")


def execute() -> tuple[dict[str, dict], int]:
    """The executed notebooks by name, those of an earlier build taken as they are where nothing has changed; and how many
    had to be executed.

    A chapter shows sources, docstrings included, and pictures: every byte of the package counts here, whereas what was
    trained is kept for as long as the code is the same (:func:`keep.key`).
    """
    place = keep.place()
    if "ASDLIB_DATA" not in os.environ:
        keep.forget(place.parent.iterdir(), but=BRANCHES)
    common = digest_of_everything(*(TOP / "book" / name for name in HELPERS))
    store = place / "executed"
    store.mkdir(exist_ok=True)
    runs = {path: store / f"{path.stem}-{digest(path)}-{common}.ipynb" for path in chapters()}
    todo = [path for path, run in runs.items() if not run.exists()]
    if todo:
        shutil.rmtree(EXECUTED, ignore_errors=True)
        shutil.copytree(
            TOP / "book",
            EXECUTED / "book",
            ignore=shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints"),
        )
        environment = {
            "OMP_WAIT_POLICY": "passive",
            **os.environ,
        }  # two notebooks share the cores
        options = ["--nbmake", "--overwrite", "--nbmake-timeout=1800", "-p", "no:cacheprovider", "-c", "/dev/null"]
        options += ["--maxschedchunk=1", "-n", "2", f"--rootdir={EXECUTED}"]
        command = [sys.executable, "-m", "pytest", *options]
        with warm_kernels(environment) as environment:
            failed = subprocess.run(
                [*command, *(EXECUTED / "book" / path.name for path in todo)],
                env=environment,
            ).returncode
        for path in todo:
            done = json.loads((EXECUTED / "book" / path.name).read_text())
            if not failed:
                runs[path].write_text(json.dumps(done))
        if failed:
            sys.exit("a chapter did not run through: see above")
    for run in runs.values():
        os.utime(run)
    keep.forget(store.glob("*.ipynb"), but=BRANCHES * len(runs))
    return {path.stem: json.loads(run.read_text()) for path, run in runs.items()}, len(todo)


def prove(notebooks: dict[str, dict]) -> None:
    """Every starter fails its check and every solution passes it, or the build ends here."""
    wrong = [name for notebook in notebooks.values() for name in unproven(notebook)]
    if wrong:
        sys.exit(f"the starter must fail and the solution must pass, which is not so in: {', '.join(wrong)}")


def run_cards(notebooks: dict[str, dict]) -> str:
    """The lines of a table of what each chapter said of its run."""
    rows = []
    for name, notebook in sorted(notebooks.items()):
        page = json.dumps(notebook["cells"][-1].get("outputs", "")).replace('\\"', '"')
        card = dict(re.findall(r'data-(\w+)="([^"]*)"', page))
        if "seconds" not in card:
            sys.exit(f"{name}.ipynb does not end with run_card()")
        rows.append(f"| []({name}) | {card['seconds']} | {card['memory']} | {card['seed']} | {card['versions']} |")
    return "\n".join(rows)


def methods_reference() -> str:
    """A section of the reference for every method that there is: a new file in ``asdlib/methods`` is in the book as it is."""
    from asdlib import methods

    sections = []
    for name in methods.names():
        about = methods.get(name)
        head = f"## {about.NAME}: `asdlib.methods.{name}`\n\n{about.PAPER}. Reads {' and '.join(about.INPUTS)}."
        sections.append(f"{head}\n\n```{{eval-rst}}\n.. automodule:: asdlib.methods.{name}\n   :members:\n```")
    intro = "## What a method is: `asdlib.methods`\n\n```{eval-rst}\n.. automodule:: asdlib.methods\n   :members:\n```"
    return "\n\n".join([intro, *sections])


def write_sources(notebooks: dict[str, dict], edition: str, folder: Path) -> None:
    """What jupyter-book reads for the ``edition``; files that would not change are left alone."""
    config = yaml.safe_load((TOP / "_config.yml").read_text())
    if edition != "reader":
        config["title"] += f" ({edition}'s edition)"
        config["sphinx"]["config"]["html_theme_options"]["logo"]["text"] = f"{edition}'s edition"
    config["sphinx"]["config"]["asd_edition"] = edition
    toc = toc_for_edition(yaml.safe_load((TOP / "_toc.yml").read_text()), edition)
    files = {
        "_config.yml": yaml.safe_dump(config),
        "_toc.yml": yaml.safe_dump(toc, sort_keys=False),
    }
    names = [f"{name}.md" for name in files_of(toc)] + ["book/references.bib"]
    extension = [path for path in (TOP / "book" / "_ext").rglob("*") if path.suffix in (".py", ".css", ".js", ".html")]
    names += [path.relative_to(TOP).as_posix() for path in extension]
    files |= {name: (TOP / name).read_text() for name in names if (TOP / name).exists()}
    files["book/api_methods.md"] = files["book/api_methods.md"].replace("<!-- methods -->", methods_reference())
    files["book/run_cards.md"] = files["book/run_cards.md"].replace("<!-- rows -->", run_cards(notebooks))
    files |= {f"book/{name}.ipynb": json.dumps(for_edition(notebook, edition)) for name, notebook in notebooks.items()}
    shutil.copytree(TOP / "book" / "mark", folder / "book" / "mark", dirs_exist_ok=True)
    for name, text in files.items():
        target = folder / name
        if not target.exists() or target.read_text() != text:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)


def build(edition: str, builder: str = "html") -> Path:
    """Run jupyter-book on the sources of the ``edition``, warnings as errors; the folder of its pages."""
    source, work = (
        BUILD / "sources" / edition,
        BUILD / "work" / f"{edition}-{builder}",
    )
    command = [
        "jupyter-book",
        "build",
        source,
        "--path-output",
        work,
        "-W",
        "-n",
        "--keep-going",
        "--quiet",
    ]
    command[0] = Path(sys.executable).with_name("jupyter-book")
    done = subprocess.run([*command, "--builder", builder], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"building the {edition} edition failed:\n{done.stdout[-6000:]}{done.stderr[-6000:]}")
    return work / "_build" / builder


def chromium() -> str | None:
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def write_pdf(page: Path, pdf: Path) -> None:
    """Print the one-page form of the book."""
    options = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--no-pdf-header-footer",
        "--generate-pdf-document-outline",
        "--virtual-time-budget=60000",
    ]
    command = [chromium(), *options, f"--print-to-pdf={pdf}", page.as_uri()]
    subprocess.run(command, check=True, capture_output=True, timeout=600)
    pdf.write_bytes(marked_once(pdf.read_bytes()))


def marked_once(paper: bytes) -> bytes:
    """A PDF whose bookmarks are written once: Chromium writes a heading that begins a sheet twice. Its length stays.

    >>> marked_once(b"/Title (SummarySummary) /Title (Bye bye)")
    b'/Title (Summary       ) /Title (Bye bye)'
    """
    return re.sub(rb"/Title \(([^()\\]+)\1\)", lambda mark: b"/Title (" + mark[1].ljust(2 * len(mark[1])) + b")", paper)


def archive(notebooks: dict[str, dict], edition: str, pages: Path) -> None:
    """``asd-book-<edition>.zip``: the pages, the notebooks to run, and the results that they show."""
    folder = BUILD / "archives" / f"asd-book-{edition}"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(pages, folder / "html")
    (folder / "notebooks").mkdir()
    for path in chapters():
        source = for_edition(json.loads(path.read_text()), edition)
        (folder / "notebooks" / path.name).write_text(json.dumps(source, indent=1, ensure_ascii=False) + "\n")
    for name in HELPERS:
        path = TOP / "book" / name
        copy = shutil.copytree if path.is_dir() else shutil.copy2
        copy(
            path,
            folder / "notebooks" / name,
            **({"ignore": shutil.ignore_patterns("__pycache__")} if path.is_dir() else {}),
        )
    for name in ("results", "recorded"):
        shutil.copytree(TOP / "data" / name, folder / "data" / name)
    for name in ("requirements.txt", "LICENSE", "LICENSE-text", "CITATION.cff"):
        shutil.copy2(TOP / name, folder / name)
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    pack({path.relative_to(folder.parent).as_posix(): path for path in paths}, BUILD / f"{folder.name}.zip")
    shutil.rmtree(folder)


def check_pages(pages: Path) -> None:
    for page in pages.rglob("*.html"):
        size = page.stat().st_size / 1e6
        if size > MEGABYTES_A_PAGE:
            sys.exit(f"{page} has {size:.1f} MB, and {MEGABYTES_A_PAGE} is the most: show fewer sounds on it")


def publish(notebooks: dict[str, dict], edition: str, pages: Path) -> None:
    """The built ``pages`` of an edition in their place, with slides."""
    check_pages(pages)
    title = yaml.safe_load((TOP / "_config.yml").read_text())["title"]
    (pages / "slides").mkdir()
    own = {name: for_edition(notebook, edition) for name, notebook in notebooks.items()}
    titles = {
        name: "".join(notebook["cells"][0]["source"]).splitlines()[0].removeprefix("# ") for name, notebook in own.items()
    }
    for name, notebook in own.items():
        (pages / "slides" / f"{name}.html").write_text(slides(notebook, title, titles))
    (pages / "slides" / "overview.html").write_text(overview(own, title))
    target = place_of(edition)
    shutil.rmtree(target, ignore_errors=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(pages, target)


def place_of(edition: str) -> Path:
    return BUILD / "html" if edition == "reader" else BUILD / edition / "html"


def write_epub(pages: Path) -> None:
    """The reader's ``pages`` in the order of the table of contents, as an EPUB."""
    toc = toc_for_edition(yaml.safe_load((TOP / "_toc.yml").read_text()), "reader")
    epub(pages, files_of(toc), yaml.safe_load((TOP / "_config.yml").read_text())["title"], BUILD / "asd-book.epub")


def produce(jobs: list[tuple[str, str]], inputs: str) -> None:
    """Make editions, the PDF, or both: pairs of an edition and the form that it is built in. With the student's edition go the
    archives of all of them and the EPUB."""
    started = time.perf_counter()
    editions = [edition for edition, builder in jobs if builder == "html"]
    notebooks, executed = execute()
    prove(notebooks)
    for old in [BUILD] if "reader" in editions else [BUILD / "work", BUILD / "sources"]:
        shutil.rmtree(old, ignore_errors=True)
    for edition in {edition for edition, _ in jobs}:
        write_sources(notebooks, edition, BUILD / "sources" / edition)
    with ThreadPoolExecutor(2) as pool:
        built = dict(zip(jobs, pool.map(lambda job: build(*job), jobs), strict=True))
    for edition in editions:
        publish(notebooks, edition, built[edition, "html"])
    if "reader" in editions:
        FINISHED.write_text(inputs)
    if "student" in editions:
        for edition in EDITIONS:
            archive(notebooks, edition, place_of(edition))
        write_epub(place_of("reader"))
        PUBLISHED.write_text(inputs)
    if pages := built.get(("reader", "singlehtml")):
        whole = shutil.move(pages / "book" / "intro.html", pages / "whole.html")  # its links are relative to this folder
        write_pdf(whole, pages / PDF.name)
        shutil.move(pages / PDF.name, PDF)
    for name in ("work", "sources", "archives"):
        shutil.rmtree(BUILD / name, ignore_errors=True)
    if "reader" in editions:
        took = {"seconds": round(time.perf_counter() - started), "chapters executed": executed, "cores": os.cpu_count()}
        took |= {"editions": len(editions), "trained anew": bool(os.environ.get("ASDLIB_TRAIN"))}
        (BUILD / "took.json").write_text(json.dumps(took))


def main() -> None:
    if sys.argv[1:2] == ["--sources"]:
        write_sources(execute()[0], "reader", Path(sys.argv[2]))
        return
    all_of_it = sys.argv[1:] == ["--editions"]
    inputs = digest_of_everything(TOP / "book", TOP / "_config.yml", TOP / "_toc.yml")
    read, published = (stamp.exists() and stamp.read_text() == inputs for stamp in (FINISHED, PUBLISHED))
    jobs = [] if read else [("reader", "html")]
    if all_of_it and not (read and published):
        jobs += [("student", "html"), ("teacher", "html")]
    if all_of_it and chromium() and not (read and PDF.exists()):
        jobs.append(("reader", "singlehtml"))
    if jobs:
        produce(jobs, inputs)
    else:
        print("nothing has changed since the last build")
    if all_of_it and not PDF.exists():
        print("no PDF: that takes a Chromium (chromium, chromium-browser or google-chrome), and there is none here")


if __name__ == "__main__":
    main()
