"""Would the tests notice a mistake? Mistakes made on purpose, one at a time, in the rooms that compute.

    python tests/mutants.py [--count 150] [--seed 0]

A mutant is one line of asdlib/judge, learn or sound with one thing changed: another number, a comparison turned, + for -,
``and`` for ``or``, a ``not`` left out, ... The tests of its module should fail. Those that pass are printed as survivors: a
test is missing, or the change changes nothing and belongs into ``ACCEPTED``, with the reason. Exits with 1 where fewer than
90 % of the others are killed. Two run at a time, in copies of the tree.
"""

import argparse
import ast
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

TOP = Path(__file__).resolve().parents[1]

# Module -> tests/test_NAME.py for each NAME, the quickest first; a module that is not here has tests of its own name.
TESTS = {
    "judge/metrics": ("evaluation",),
    "judge/scorers": ("evaluation", "spectra"),
    "judge/threshold": ("threshold", "listen_commands"),
    "learn/batches": ("training", "contrastive"),
    "learn/channels": ("pruned",),
    "learn/checkpoint": ("training", "detector"),
    "learn/embedding": ("detector",),
    "learn/heads": ("classifier", "contrastive"),
    "learn/pruning": ("pruned",),
    "learn/slimming": ("pruned",),
    "learn/spectrum_encoder": ("spectra",),
    "learn/stage": ("training",),
    "learn/tensors": ("training", "detector"),
    "learn/tracing": ("pruned",),
    "learn/training": ("training", "contrastive", "processes"),
    "sound/_torchaudio": ("features",),
    "sound/archives": ("download",),
    "sound/attributes": ("layouts_published",),
    "sound/augment": ("simclr",),
    "sound/checksums": ("layouts_published",),
    "sound/dividing": ("layouts_plain", "layouts_published"),
    "sound/found": ("inside", "layouts_plain"),
    "sound/layouts": ("layouts_published", "layouts_plain", "layouts"),
    "sound/naming": ("layouts_published", "layouts_plain", "layouts"),
    "sound/published": ("layouts_published", "download"),
    "sound/scan": ("layouts_plain", "layouts_published", "data"),
    "sound/shards": ("cache",),
}

# (file, line as the mutant has it) -> why no test can, or should, notice. They are not run.
ACCEPTED: dict[tuple[str, str], str] = {
    (
        "asdlib/judge/threshold.py",
        "shape = (3 - s + np.sqrt((s - 3) ** 2 + 24 * s)) / (13 * s)",
    ): "where Newton's method starts: four steps lead from there to the same digits",
    ("asdlib/judge/scorers.py", "random_state=1,"): "another seed",
    (
        "asdlib/judge/threshold.py",
        "if np.abs(bank - embedding).max(axis=1).min() <= near:",
    ): "differs where two numbers are equal to the last bit",
    (
        "asdlib/sound/shards.py",
        "for _, path, keys in sorted(holding, key=lambda held: (-held[0], held[2])):",
    ): "another order of shards that hold as many of the clips",
    (
        "asdlib/sound/augment.py",
        "inside = (time > start[:, None]) & (time < (start + length)[:, None])",
    ): "the start is a random real number, no sample's place",
    (
        "asdlib/sound/augment.py",
        "inside = (time >= start[:, None]) & (time <= (start + length)[:, None])",
    ): "the end is a random real number, no sample's place",
    (
        "asdlib/sound/augment.py",
        "return x - level * torch.as_tensor(rng.standard_normal(x.shape, dtype=np.float32))",
    ): "noise turned upside down is as likely",
    ("asdlib/learn/prelu.py", "differentiated = x.requires_grad or torch.is_grad_enabled()"): "time, no number",
    (
        "asdlib/learn/heads.py",
        "beyond = cosine < -math.cos(self.margin)",
    ): "differs where two numbers are equal to the last bit",
    ("asdlib/sound/shards.py", "text = json.dumps(content, sort_keys=False)"): "what is hashed is built in one order anyway",
    (
        "asdlib/sound/data.py",
        'if head[:4] not in (b"RIFF", b"RIFX", b"RF64") or head[8:13] != b"WAVE":',
    ): "no more than 12 bytes were read",
    ("asdlib/learn/spectrum_encoder.py", "nn.ReLU(inplace=False),"): "memory, no number",
    (
        "asdlib/learn/embedding.py",
        "run, clips = ready(function, place), len(arrays[1])",
    ): "all arrays are equally long; the example in the docstring, which has one, notices",
    ("asdlib/learn/batches.py", "groups.extend(own[: len(own) - len(own) % per_label].reshape(-2, per_label))"): "-1 to numpy",
    ("asdlib/sound/cache.py", "SHARD = 257  # clips in a file, at most"): "any number serves",
    ("asdlib/sound/download.py", "TIMEOUT = (11, 60)  # seconds to connect, seconds without a byte"): "a little more patience",
    ("asdlib/sound/download.py", "TIMEOUT = (10, 61)  # seconds to connect, seconds without a byte"): "a little more patience",
    ("asdlib/sound/download.py", "PAUSES = (2, 2, 4, 8)  # seconds before each further try"): "a little more patience",
    ("asdlib/sound/download.py", "PAUSES = (1, 3, 4, 8)  # seconds before each further try"): "a little more patience",
    (
        "asdlib/sound/archives.py",
        "MOST_UNPACKED = 21  # beyond this many times its ZIP it is no recording but an attack",
    ): "any number near it serves",
    (
        "asdlib/sound/archives.py",
        "target.parent.mkdir(parents=False, exist_ok=True)",
    ): "members lie one folder deep: checked before",
    ("asdlib/sound/download.py", "PAUSES = (1, 2, 4, 9)  # seconds before each further try"): "a little more patience",
    ("asdlib/sound/reading.py", "frames: int = -2,"): "any number below 0 is all to soundfile",
}

ORDER = {ast.Lt: (ast.GtE, ast.LtE), ast.LtE: (ast.Gt, ast.Lt), ast.Gt: (ast.LtE, ast.GtE), ast.GtE: (ast.Lt, ast.Gt)}
RELATIONS = ((ast.Eq, ast.NotEq), (ast.In, ast.NotIn), (ast.Is, ast.IsNot))
OPERATIONS = ((ast.Add, ast.Sub), (ast.Mult, ast.Div), (ast.And, ast.Or))
TURNED = ORDER | {one: (other,) for pair in RELATIONS + OPERATIONS for one, other in (pair, pair[::-1])}


class Mutant(NamedTuple):
    file: str  # from the top of the tree
    line: int  # counted from 1
    before: str
    after: str


def variants(node: ast.AST) -> Iterator[str]:
    """What may stand in the place of ``node``, each a mistake."""
    match node:
        case ast.Constant(value=bool(value)):
            yield str(not value)
        case ast.Constant(value=int(value)):
            yield str(value + 1)
        case ast.Constant(value=float(value)):
            yield repr(value * 2 or 1.0)
        case ast.Compare(left, ops, others):
            for i, op in enumerate(ops):
                for turned in TURNED[type(op)]:
                    yield ast.unparse(ast.Compare(left, [*ops[:i], turned(), *ops[i + 1 :]], others))
        case ast.BinOp(right=ast.JoinedStr() | ast.Constant(value=str())):  # texts and paths: any mistake is an error
            return
        case ast.BinOp(left, op, right) if type(op) in TURNED:
            yield ast.unparse(ast.BinOp(left, TURNED[type(op)][0](), right))
        case ast.BoolOp(op, values):
            yield ast.unparse(ast.BoolOp(TURNED[type(op)][0](), values))
        case ast.UnaryOp(ast.Not() | ast.USub(), operand):
            yield f"({ast.unparse(operand)})"
        case ast.Return(ast.expr() as value) if ast.unparse(value) != "None":
            yield "return None"


def nodes(node: ast.AST) -> Iterator[ast.AST]:
    """``node`` and what is in it, but for types, messages and arguments that only forbid what nobody does."""
    if isinstance(node, ast.JoinedStr) or (isinstance(node, ast.keyword) and node.arg in ("strict", "frozen")):
        return
    yield node
    for name, value in ast.iter_fields(node):
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and name not in ("annotation", "returns"):
                yield from nodes(child)


def changes(tree: ast.AST) -> Iterator[tuple[int, int, int, str]]:
    """(line, first byte, byte after the last, what to put there) of everything that can be changed within one line."""
    for node in nodes(tree):
        if getattr(node, "lineno", None) == getattr(node, "end_lineno", 0):
            yield from ((node.lineno, node.col_offset, node.end_col_offset, text) for text in variants(node))
        if isinstance(node, ast.arguments):  # a default left out
            last = zip(node.args[::-1], node.defaults[::-1], strict=False)
            for argument, default in (*last, *zip(node.kwonlyargs, node.kw_defaults, strict=True)):
                if default is not None and argument.lineno == default.end_lineno:
                    yield argument.lineno, argument.end_col_offset, default.end_col_offset, ""


def mutants_of(file: str) -> Iterator[Mutant]:
    """All mutants of a module that are Python: a default before another one cannot be left out."""
    lines = (TOP / file).read_text().splitlines(keepends=True)
    for line, start, end, text in changes(ast.parse("".join(lines))):
        before = lines[line - 1]
        after = (before.encode()[:start] + text.encode() + before.encode()[end:]).decode()
        with suppress(SyntaxError):
            compile("".join([*lines[: line - 1], after, *lines[line:]]), file, "exec", dont_inherit=True)
            yield Mutant(file, line, before, after)


def tests_of(file: str) -> tuple[str, ...]:
    module = file.removeprefix("asdlib/").removesuffix(".py")
    paths = tuple(f"tests/test_{name}.py" for name in TESTS.get(module, (Path(file).stem,)))
    if missing := [path for path in paths if not (TOP / path).is_file()]:
        sys.exit(f"{missing[0]}, which should test {file}, is not there: name its tests in TESTS of tests/mutants.py")
    return paths


def passes(tests: tuple[str, ...], tree: Path, timeout: float | None = None) -> bool:
    """Do the tests pass in a tree? Those that outlast ``timeout`` (s) do not."""
    # No compiled modules: Python would take a mutant's for the next one's, written in the same second.
    env = os.environ | {"PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
    options = ("-x", "-q", "-p", "no:cacheprovider", "--hypothesis-seed=0", f"--basetemp={tree}/temporary")
    command, quiet = (sys.executable, "-m", "pytest", *options, *tests), subprocess.DEVNULL
    process = subprocess.Popen(command, cwd=tree, env=env, stdout=quiet, stderr=quiet, start_new_session=True)
    try:
        return process.wait(timeout) == 0
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # and what it has started
        process.wait()
        return False


def survivors(sample: list[Mutant], folder: str) -> Iterator[Mutant]:
    """Those whose tests pass all the same."""
    own = threading.local()

    def copy_tree() -> None:
        own.tree = Path(tempfile.mkdtemp(dir=folder))
        for name in ("asdlib", "tests"):
            shutil.copytree(TOP / name, own.tree / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(TOP / "pyproject.toml", own.tree)

    def time_of(tests: tuple[str, ...]) -> float:
        start = time.monotonic()
        if not passes(tests, own.tree):
            sys.exit(f"without a mutant, {' or '.join(tests)} fails: mend that first")
        return time.monotonic() - start

    def survives(mutant: Mutant) -> bool:
        lines = (TOP / mutant.file).read_text().splitlines(keepends=True)
        lines[mutant.line - 1] = mutant.after
        (own.tree / mutant.file).write_text("".join(lines))
        survived = passes(tests_of(mutant.file), own.tree, 60 + 5 * usual[tests_of(mutant.file)])
        shutil.copy(TOP / mutant.file, own.tree / mutant.file)
        return survived

    pool = ThreadPoolExecutor(2, initializer=copy_tree)
    try:
        wanted = sorted({tests_of(mutant.file) for mutant in sample})
        usual = dict(zip(wanted, pool.map(time_of, wanted), strict=True))
        yield from (mutant for mutant, survived in zip(sample, pool.map(survives, sample), strict=True) if survived)
    finally:
        pool.shutdown(cancel_futures=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=150, help="how many mutants")
    parser.add_argument("--seed", type=int, default=0, help="which ones")
    options = parser.parse_args()
    paths = [path for room in ("judge", "learn", "sound") for path in sorted((TOP / "asdlib" / room).glob("*.py"))]
    every = list(dict.fromkeys(mutant for path in paths for mutant in mutants_of(str(path.relative_to(TOP)))))
    if stale := ACCEPTED.keys() - {(mutant.file, mutant.after.strip()) for mutant in every}:
        sys.exit(f"ACCEPTED names what is no mutant any more, take it out: {sorted(stale)}")
    sample = random.Random(options.seed).sample(every, min(options.count, len(every)))
    others = [mutant for mutant in sample if (mutant.file, mutant.after.strip()) not in ACCEPTED]
    alive = 0
    with tempfile.TemporaryDirectory() as folder:
        for mutant in survivors(others, folder):
            alive += 1
            print(f"{mutant.file}:{mutant.line}\n- {mutant.before.strip()}\n+ {mutant.after.strip()}\n", flush=True)
    print(f"{len(others)} of {len(every)} mutants, {len(others) - alive} killed; {len(sample) - len(others)} accepted, not run")
    sys.exit(len(others) - alive < 0.9 * len(others))


if __name__ == "__main__":
    main()
