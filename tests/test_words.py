"""The words of an error: an argument in Python is an option on the command line, and each reader is told their own."""

import ast
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path

import pytest
import typer

from asdlib import processes
from asdlib.cli import main
from asdlib.commands import app
from asdlib.data import Clip, scan
from asdlib.detector import Detector, train
from asdlib.errors import AsdError, spelled, spelled_as_options
from asdlib.run import PRESETS, read_config
from asdlib.truth import with_truth
from asdlib.use.budget import within

PACKAGE = Path(__file__).parents[1] / "asdlib"
BELOW = [path for path in sorted(PACKAGE.rglob("*.py")) if path.parent.name != "commands"]  # what Python calls, too
OPTION = re.compile(r"(?<![\w-])--[a-z]")
COMMANDS = {
    name: {word for p in command.params for word in p.opts} for name, command in typer.main.get_command(app).commands.items()
}


def name(path):
    return path.relative_to(PACKAGE).as_posix()


def faces(tree):
    """(argument, option) of every use of :func:`spelled`, and the nodes of both."""
    calls = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and getattr(n.func, "id", "") == "spelled"]
    return [(call.args[0].value, call.args[1].value, set(call.args)) for call in calls]


def texts(tree):
    """Every text in a file that is neither documentation nor handed to :func:`spelled`."""
    skip = {node for *_, nodes in faces(tree) for node in nodes}
    documents = [n.value for n in ast.walk(tree) if isinstance(n, ast.Expr)]
    skip |= set(documents)
    return [n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str) and n not in skip]


@pytest.mark.parametrize("path", BELOW, ids=name)
def test_what_python_calls_names_no_option(path):
    assert [text for text in texts(ast.parse(path.read_text())) if OPTION.search(text)] == []


def test_an_option_is_found_where_there_is_one():
    """Else the test above could not fail."""
    source = 'def f():\n    """--said"""\n    raise AsdError(f"{x}: pass --resample, or {spelled(\'a=1\', \'--a\')}" "--b 1")'
    assert [text for text in texts(ast.parse(source)) if OPTION.search(text)] == [": pass --resample, or ", "--b 1"]


TREES = {path: ast.parse(path.read_text()) for path in BELOW}
USES = {pair[:2] for path, tree in TREES.items() if path.name != "errors.py" for pair in faces(tree)}


def arguments():
    """Every name that a function or a dataclass of the package can be given."""
    for node in (node for tree in TREES.values() for node in ast.walk(tree)):
        if isinstance(node, ast.arguments):
            yield from (arg.arg for arg in (*node.args, *node.kwonlyargs))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id


@pytest.mark.parametrize(("argument", "option"), sorted(USES))
def test_both_faces_are_words_that_there_are(argument, option):
    assert not OPTION.search(argument)
    for given in re.findall(r"(\w+)=", argument):
        assert given in set(arguments())
    command, *_ = re.findall(r"^asd (\w+)", option) or [None]
    assert command is None or command in COMMANDS
    known = COMMANDS[command] if command else set().union(*COMMANDS.values())
    assert command or OPTION.search(option)
    assert set(re.findall(r"--[a-z-]+", option)) <= known


@pytest.mark.parametrize("path", BELOW, ids=name)
def test_a_word_is_chosen_when_it_is_said(path):
    """At the top of a file it would be chosen once, when the file is imported, and stay."""
    tree = TREES[path]
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    inside = {node for function in functions for line in function.body for node in ast.walk(line)}
    calls = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and getattr(n.func, "id", "") == "spelled"]
    assert set(calls) <= inside


def existing(run, **_):
    run.mkdir()
    (run / "notes.txt").write_text("mine")
    train(scan(run.parent / "data"), run, PRESETS["book"])


def unfinished(run, small_run, **_):
    run.mkdir()
    (run / "config.json").write_text((small_run / "config.json").read_text())
    Detector.load(run)


def no_run(run, **_):
    read_config(run)


def other_truth(**_):
    clip = Clip(Path("anomaly_id_01_00000000.wav"), "fan", "id_01", "test", "anomaly")
    with_truth([clip], {("fan", "anomaly_id_01_00000000.wav"): "normal"})


def several_processes(monkeypatch, **_):
    monkeypatch.setattr(processes, "world_size", lambda: 2)
    within(PRESETS["book"], None, 60.0)


def full_disk(run, monkeypatch, **_):
    def no_space(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("asdlib.use.train._check_place", no_space)
    train(scan(run.parent / "data"), run, PRESETS["book"])


CASES = {
    existing: ("pass resume=True to go on", "pass --resume to go on"),
    unfinished: ("finish it with train(..., resume=True)", "finish it with asd train --resume"),
    no_run: ("that asdlib.train wrote", "that asd train wrote"),
    other_truth: ("or leave out the list", "or leave out --truth"),
    several_processes: ("give several of them epochs (in config) instead", "give several of them --epochs instead"),
    full_disk: ("then pass resume=True", "then pass --resume"),
}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
@pytest.mark.parametrize("on_command_line", [False, True], ids=["python", "command"])
def test_each_reader_is_told_their_own(case, on_command_line, small_park, small_run, tmp_path, monkeypatch):
    (tmp_path / "data").symlink_to(small_park)
    around = spelled_as_options if on_command_line else nullcontext
    with around(), pytest.raises(AsdError) as caught:
        case(run=tmp_path / "run", small_run=small_run, monkeypatch=monkeypatch)
    right, wrong = CASES[case][::-1] if on_command_line else CASES[case]
    assert right in str(caught.value)
    assert wrong not in str(caught.value)


def test_the_command_speaks_of_options_and_python_of_arguments_again_after_it(small_park, tmp_path, monkeypatch, capsys):
    (tmp_path / "notes.txt").write_text("mine")
    monkeypatch.setattr(sys, "argv", ["asd", "train", str(small_park), "--run", str(tmp_path)])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    assert "pass --resume to go on" in capsys.readouterr().err
    with pytest.raises(AsdError, match="pass resume=True to go on"):
        train(scan(small_park), tmp_path, PRESETS["book"])


def test_threads_that_read_files_speak_as_the_process_does():
    with spelled_as_options(), ThreadPoolExecutor(1) as pool:
        assert pool.submit(spelled, "a=1", "--a").result() == "--a"
    assert spelled("a=1", "--a") == "a=1"
