"""Sphinx extension: the signatures of the reference, as short as the code writes them."""

from numpy.typing import ArrayLike
from sphinx.util.typing import stringify_annotation

LONG = stringify_annotation(ArrayLike, "smart")  # five lines of it, once NumPy is imported


def use_its_name(app, what, name, obj, options, signature, returns):
    return tuple(part and part.replace(LONG, "ArrayLike") for part in (signature, returns))


def setup(app):
    app.connect("autodoc-process-signature", use_its_name)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
