"""A digest of what code does: what it has computed may be kept for as long as it would compute the same."""

import ast
import hashlib
from collections.abc import Collection
from importlib.metadata import version
from pathlib import Path

COMPUTING = (
    "numpy",
    "scikit-learn",
    "scipy",
    "soxr",
    "torch",
    "torchaudio",
)  # what asdlib computes with
# Folders of asdlib that command and show, and change no number that is trained, scored or simulated.
SHOWING = ("commands", "show")


class _WithoutDocstrings(ast.NodeTransformer):
    """Takes away statements that are a string and nothing else: they do nothing."""

    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:
        return (
            None
            if isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
            else node
        )


def code_digest(
    *paths: Path,
    without: Collection[str] = SHOWING,
    packages: Collection[str] = COMPUTING,
) -> str:
    """12 hexadecimal digits that tell Python code apart: of the files ``paths``, and of all ``*.py`` in folders among them.

    Names, numbers and the order of statements count, and so do the files' names in their folders and the installed versions
    of ``packages``. Comments, docstrings, blank lines and line breaks do not. Folders called as one of ``without`` are passed
    over. Raises SyntaxError for a file that is not Python, and PackageNotFoundError for a package that is not installed.
    """
    digest = hashlib.sha256(" ".join(map(version, packages)).encode())
    for path in map(Path, paths):
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            name = file.relative_to(path.parent)
            if not set(name.parts[1:-1]) & set(without):
                code = ast.dump(
                    _WithoutDocstrings().visit(ast.parse(file.read_bytes()))
                )
                digest.update(f"{name.as_posix()}\0{code}\0".encode())
    return digest.hexdigest()[:12]
