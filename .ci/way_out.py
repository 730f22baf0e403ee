"""The way out of jupyter-book 1: the same sources by Sphinx alone, with the newest versions of everything that makes pages.

    .venv/bin/python .ci/way_out.py DIR

jupyter-book 1 is a thin layer over Sphinx that gets no new features any more, and its version 2 is another program. As long as
this builds, leaving it is a matter of an afternoon. Only the pages' programs are the newest; what the chapters run with stays.
"""

import pprint
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import yaml

TOP = Path(__file__).parents[1]
TEXT = {"capture_output": True, "text": True, "check": True}  # what a command prints, as text
NEWEST = ["sphinx", "sphinx-book-theme", "sphinx-external-toc", "sphinx-multitoc-numbering", "sphinxcontrib-bibtex"]
NEWEST += [
    "myst-nb",
    "linkify-it-py",
    "sphinx-design",
    "sphinx-togglebutton",
    "sphinx-copybutton",
    "sphinx-exercise",
    "sphinx-proof",
]
EXTENSIONS = ["sphinx_togglebutton", "sphinx_copybutton", "myst_nb", "sphinx_external_toc", "sphinx_multitoc_numbering"]
EXTENSIONS += ["sphinx_design", "sphinxcontrib.bibtex"]


def settings(config: dict) -> dict[str, object]:
    """What ``conf.py`` has to say so that Sphinx does what jupyter-book makes of its ``config``."""
    sphinx = config["sphinx"]
    ours = {
        "project": config["title"],
        "html_title": config["title"],
        "author": config["author"],
        "copyright": config["copyright"],
        "exclude_patterns": config["exclude_patterns"],
        "extensions": EXTENSIONS + sphinx["extra_extensions"] + list(sphinx["local_extensions"]),
        "external_toc_path": "_toc.yml",
        "external_toc_exclude_missing": True,
        "use_multitoc_numbering": True,
        "numfig": True,
        "bibtex_bibfiles": config["bibtex_bibfiles"],
        "html_theme": "sphinx_book_theme",
        "html_favicon": config["html"]["favicon"],
        "html_sourcelink_suffix": "",
        "myst_enable_extensions": ["colon_fence", "dollarmath", "linkify", "substitution", "tasklist"],
        "myst_url_schemes": ["mailto", "http", "https"],
        "nb_execution_mode": "off",
        "nb_output_stderr": config["execute"]["stderr_output"],
        "pygments_style": "sphinx",
    }
    return ours | sphinx["config"]


def main() -> None:
    """Build the reader's pages below the folder that was named."""
    work = Path(sys.argv[1]).resolve()
    sources, environment = work / "sources", work / "env"
    subprocess.run([sys.executable, TOP / "book" / "_ext" / "build.py", "--sources", sources], check=True)
    config = yaml.safe_load((sources / "_config.yml").read_text())
    lines = ["import sys", "sys.path.insert(0, 'book/_ext')"]
    lines += [f"{name} = {pprint.pformat(value)}" for name, value in settings(config).items()]
    (sources / "conf.py").write_text("\n".join(lines) + "\n")
    venv.create(environment, with_pip=True)
    python = environment / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--upgrade", *NEWEST], check=True)
    # After the newest of its own, this environment sees the package and all that it needs.
    own = Path(subprocess.run([python, "-c", "import site; print(site.getsitepackages()[0])"], **TEXT).stdout.strip())
    (own / "base.pth").write_text(f"{sysconfig.get_path('purelib')}\n{TOP}\n")
    command = [python, "-m", "sphinx", "-b", "html", "-n", "-W", "--keep-going", "-q", sources, work / "html"]
    subprocess.run(command, check=True, cwd=sources)
    print(subprocess.run([python, "-m", "sphinx", "--version"], **TEXT).stdout.strip(), f"built {work / 'html'}")


if __name__ == "__main__":
    main()
