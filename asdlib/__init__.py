"""asdlib: anomalous sound detection with machine-ID based contrastive pretraining, in two readable stages."""

from asdlib import _paths  # noqa: F401 (asdlib.data, asdlib.run, ...)

__version__ = "0.1.0"


def __getattr__(name: str):
    """``asdlib.train``, ``asdlib.Detector`` and ``asdlib.score``, imported when they are asked for: torch takes its time."""
    from importlib import import_module

    places = {
        "train": "asdlib.use.train",
        "Detector": "asdlib.use.detector",
        "score": "asdlib.use.stream",
    }
    if name not in places:
        raise AttributeError(f"module 'asdlib' has no attribute {name!r}")
    return getattr(import_module(places[name]), name)
