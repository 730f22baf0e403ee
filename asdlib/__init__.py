"""asdlib: anomalous sound detection in two readable stages, with machine-ID based
contrastive pretraining.
"""

from typing import TYPE_CHECKING, Any

from asdlib import _paths  # noqa: F401 (asdlib.data, asdlib.run, ...)

if TYPE_CHECKING:
    from asdlib.use.detector import Detector as Detector
    from asdlib.use.stream import score as score
    from asdlib.use.train import train as train

__version__ = "0.2.0"


def __getattr__(name: str) -> Any:
    """``asdlib.train``, ``asdlib.Detector`` and ``asdlib.score``.

    They are imported when they are asked for: torch takes its time.
    """
    from importlib import import_module

    places = {
        "train": "asdlib.use.train",
        "Detector": "asdlib.use.detector",
        "score": "asdlib.use.stream",
    }
    if name not in places:
        raise AttributeError(f"module 'asdlib' has no attribute {name!r}")
    return getattr(import_module(places[name]), name)
