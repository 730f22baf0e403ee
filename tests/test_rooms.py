"""The architecture, held: which room may know which, what imports nothing heavy, and the names that the outside may rely on."""

import ast
import json
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from asdlib._paths import PUBLIC

TOP = Path(__file__).parents[1]
PACKAGE = TOP / "asdlib"

# Arrows downward only: room -> the rooms that it may know, beside itself and the ground.
ROOMS: dict[str, set[str]] = {
    "park": set(),
    "sound": set(),
    "learn": {"sound"},
    "judge": set(),
    "show": {"judge", "sound"},
    "methods": {"judge", "learn", "sound"},
    "use": {"judge", "learn", "methods", "show", "sound"},
    "commands": {"judge", "learn", "methods", "park", "show", "sound", "use"},
}
GROUND = {"errors", "progress", "files", "source", "processes", "device", "__version__"}
ABOVE = {"__init__", "__main__", "_paths", "cli"}  # the doors
FILES = sorted(PACKAGE.rglob("*.py"))


def place(path):
    """(room or file of the ground, the file without its ending)"""
    head, *_ = parts = path.relative_to(PACKAGE).with_suffix("").parts
    return head, ".".join(part for part in parts if part != "__init__")


def imports(tree):
    """What a file imports, wherever it does so: (module, name or None)."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports name the whole path"
            yield from ((node.module, alias.name) for alias in node.names)


def known(path):
    """The rooms, and files of the ground, that a file of the package imports from."""
    for module, name in imports(ast.parse(path.read_text())):
        first, _, rest = module.partition(".")
        if first == "asdlib":
            yield (rest or name or "").split(".")[0]


def test_every_room_is_in_the_plan():
    assert {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()} == set(ROOMS)
    assert {path.stem for path in PACKAGE.glob("*.py")} == GROUND - {"__version__"} | ABOVE


@pytest.mark.parametrize("path", FILES, ids=lambda path: place(path)[1] or "asdlib")
def test_a_file_knows_only_the_rooms_below_its_own(path):
    room, _ = place(path)
    if room not in ABOVE:
        assert set(known(path)) - {room} <= ROOMS.get(room, set()) | GROUND


def test_the_plan_has_no_way_back():
    for room, below in ROOMS.items():
        assert all(room not in ROOMS[other] for other in below)


@pytest.mark.parametrize("path", FILES, ids=lambda path: place(path)[1] or "asdlib")
def test_a_file_is_one_page_or_a_few(path):
    lines = path.read_text().splitlines()
    assert len(lines) <= 300
    assert max(map(len, lines), default=0) <= 88  # a listing of the book
    assert ast.get_docstring(ast.parse("\n".join(lines))) or path.name == "__main__.py"


def public_functions(tree):
    """(its name, the function, what its docstring, or that of its class, says)"""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            yield node.name, node, ast.get_docstring(node) or ""
        elif isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            about = ast.get_docstring(node) or ""
            for name, function, said in public_functions(node):
                yield f"{node.name}.{name}", function, f"{about} {said}"


SHAPE = re.compile(r"\((\w+|\.\.\.)(, *[\w .+*/-]+)*,?\)")  # (N,) (B, ...) (n + 1, dim)


@pytest.mark.parametrize("path", FILES, ids=lambda path: place(path)[1] or "asdlib")
def test_docstrings_say_the_shapes_of_arrays_and_what_is_raised(path):
    for name, function, said in public_functions(ast.parse(path.read_text())):
        assert said.strip(), name
        arguments = [*function.args.args, *function.args.kwonlyargs]
        types = [ast.unparse(node) for node in [*(a.annotation for a in arguments), function.returns] if node]
        if any(array in text for text in types for array in ("ndarray", "Tensor")):
            assert SHAPE.search(said), f"{name}: of which shape are its arrays?"
        raised = [ast.unparse(node.exc) for node in ast.walk(function) if isinstance(node, ast.Raise) and node.exc]
        if any("AsdError" in error for error in raised) and place(path)[0] != "commands":  # there an error ends the command
            assert re.search("[Rr]aise", said), f"{name} raises AsdError: when?"


@pytest.mark.parametrize(
    ("modules", "heavy"),
    [
        (["asdlib", "asdlib.cli", "asdlib.commands"], {"numpy", "torch", "scipy", "sklearn", "matplotlib"}),
        (
            ["judge", "show", "park", "errors", "progress", "files", "source"],
            {"torch", "sklearn", "matplotlib", "pandas", "umap"},
        ),
        (["sound.data", "sound.layouts", "sound.download", "sound.archives"], {"torch", "sklearn", "matplotlib"}),
    ],
    ids=["command", "rooms", "files"],
)
def test_what_needs_no_torch_imports_none(modules, heavy):
    """In a process of its own: this one has imported everything."""
    names = []
    for name in modules:
        folder = PACKAGE / name
        files = sorted(folder.glob("*.py")) if folder.is_dir() else []
        names += [f"asdlib.{place(path)[1]}" for path in files] or [name if name.startswith("asdlib") else f"asdlib.{name}"]
    code = f"import sys\nfor name in {names}: __import__(name)\nprint(*sorted({heavy} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_a_short_name_leads_to_its_places(name):
    module = import_module(f"asdlib.{name}")
    assert module.__doc__
    places = [import_module(f"asdlib.{place}") for place in PUBLIC[name]]
    assert len(places) > 1 or module is places[0]
    for index, other in enumerate(places):
        hidden = [set(vars(earlier)) for earlier in places[:index]]
        for public in {key for key in vars(other) if not key.startswith("_")}.difference(*hidden):
            assert getattr(module, public) is getattr(other, public)
    with pytest.raises((AttributeError, ImportError)):
        exec(f"from asdlib.{name} import nothing_of_this_name")


def test_type_checkers_and_editors_find_the_short_names(tmp_path):
    """They do not run :mod:`asdlib._paths`: for them there is a stub of each name."""
    stubs = {path.stem: path.read_text() for path in (TOP / "asdlib-stubs").glob("*.pyi")}
    lines = {name: sorted(f"from asdlib.{other} import *\n" for other in places) for name, places in PUBLIC.items()}
    assert stubs == {name: "".join(found) for name, found in lines.items()}
    (tmp_path / "program.py").write_text(
        "import asdlib\nfrom asdlib.data import scan\nreveal_type(scan)\nreveal_type(asdlib.train)\nscan(1)\n"
    )
    command = [sys.executable, "-m", "mypy", "--cache-dir", str(TOP / ".mypy_cache"), str(tmp_path / "program.py")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=TOP)
    lines = [line.split(": ", 1)[1] for line in done.stdout.splitlines() if "program.py:" in line]
    assert "list[asdlib.sound.data.Clip]" in lines[0]
    assert "-> asdlib.use.detector.Detector" in lines[1]
    assert lines[2].startswith('error: Argument 1 to "scan" has incompatible type "int"')


def test_no_short_name_hides_a_file():
    assert not {name for name in PUBLIC if (PACKAGE / name).exists() or (PACKAGE / f"{name}.py").exists()}


def sources(path):
    """The Python in a file: all of a module, a chapter's cells, the blocks of a text."""
    text = path.read_text()
    if path.suffix == ".py":
        return [text]
    if path.suffix == ".ipynb":
        cells = ["".join(cell["source"]) for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
    else:
        cells = [block.removeprefix("python\n") for block in text.split("```")[1::2] if block.startswith("python\n")]
    magic = ("%", "!")  # of Jupyter
    return ["\n".join("" if line.lstrip().startswith(magic) else line for line in cell.splitlines()) for cell in cells]


def asked_for(path):
    """What a page, or a file, imports of the package: (module, name or None)."""
    for source in sources(path):
        yield from (pair for pair in imports(ast.parse(source)) if pair[0].split(".")[0] == "asdlib")


PAGES = [*sorted((TOP / "book").glob("*.ipynb")), *sorted((TOP / "book").glob("*.md")), TOP / "README.md"]


def test_what_pages_and_files_import_is_there():
    wanted = {pair for path in [*PAGES, *FILES] for pair in asked_for(path)}
    assert len(wanted) > 100
    for module, name in wanted:
        if name and not hasattr(import_module(module), name):
            import_module(f"{module}.{name}")


def test_a_page_imports_short_names():
    """They stay when a file moves to another room; ``asdlib.methods`` and the ground are short already."""
    for path in PAGES:
        rooms = {module.split(".")[1] for module, _ in asked_for(path) if "." in module}
        assert rooms <= PUBLIC.keys() | {"methods"} | GROUND, path.name
