"""The scripts of what computes in a page: a detector and the simulated park, in plain
script, for pages opened from disk, workers and node.

They share one namespace, ``asdlive``, and no library. ``js/live/`` holds one idea a
file, named as the Python that it follows.
"""

from importlib.resources import files

# In the order in which they are read.
DETECTOR = ("fourier", "front", "network", "detector")
PARK = ("fourier", "sounds", "machines", "park")


def scripts(*names: str) -> str:
    """The scripts of these names, one after the other, each once.

    >>> scripts(*DETECTOR).count("asdlive.detector = function")
    1
    """
    folder = files("asdlib.show").joinpath("js", "live")
    parts = [
        folder.joinpath(f"{name}.js").read_text(encoding="utf-8")
        for name in dict.fromkeys(names)
    ]
    return "globalThis.asdlive = globalThis.asdlive || {};\n" + "".join(parts)
