"""The short public names of the package's modules: ``asdlib.data`` for what lies in the
room ``asdlib.sound`` as ``data``.

What readers, chapters and programs import are these names; they stay when a file moves
to another room. A name with several places offers what any of them has.
"""

import sys
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

PUBLIC: dict[str, tuple[str, ...]] = {
    "machines": ("park.machines", "park.rendering", "park.facts"),
    "domain_shift": ("park.domain_shift",),
    "machine_types": ("park.machine_types", "park.parts"),
    "sounds": ("park.sounds",),
    "data": ("sound.data", "sound.scan", "sound.reading"),
    "layouts": ("sound.layouts",),
    "manifest": ("sound.manifest",),
    "truth": ("sound.truth",),
    "download": ("sound.download",),
    "features": ("sound.features",),
    "cutting": ("sound.cutting", "sound.stretches"),
    "cache": ("sound.cache", "sound.computed"),
    "clips": ("sound.clips",),
    "augment": ("sound.augment",),
    "manipulations": ("sound.manipulations",),
    "summaries": ("sound.summaries",),
    "rehearsal": ("sound.rehearsal", "judge.rehearsal"),
    "spectra": ("sound.spectra", "learn.spectrum_encoder"),
    "training": (
        "learn.training",
        "learn.batches",
        "learn.stage",
        "device",
        "sound.clips",
    ),
    "checkpoint": ("learn.checkpoint",),
    "encoder": ("learn.encoder",),
    "encoders": ("learn.encoders",),
    "pieces": ("learn.pieces",),
    "spectrogram_encoder": ("learn.spectrogram_encoder",),
    "norm_prelu": ("learn.norm_prelu",),
    "prelu": ("learn.prelu",),
    "tracing": ("learn.tracing", "learn.channels"),
    "pruning": ("learn.pruning", "learn.slimming"),
    "heads": ("learn.heads",),
    "contrastive": ("learn.contrastive", "learn.heads"),
    "classifier": ("learn.classifier", "learn.heads"),
    "embedding": ("learn.embedding",),
    "scorers": ("judge.scorers",),
    "plain": ("judge.plain",),
    "normalise": ("judge.normalise",),
    "fusion": ("judge.fusion",),
    "ranks": ("judge.ranks",),
    "chance": ("judge.chance",),
    "metrics": ("judge.metrics",),
    "challenge": ("judge.challenge",),
    "evaluation": ("judge.scorers", "judge.metrics"),
    "drift": ("judge.drift",),
    "thin": ("judge.thin", "use.thinning"),
    "threshold": ("judge.threshold", "use.thresholds"),
    "run": ("use.run", "use.config"),
    "detector": ("use.detector", "use.train", "learn.embedding"),
    "fitting": ("use.fitting",),
    "stream": ("use.stream", "use.track", "use.alarms"),
    "report": ("use.report",),
    "export": ("use.export",),
    "web": ("use.web",),
    "plots": ("show.plots",),
    "listen": ("show.listen",),
    "explore": ("show.explore", "show.maps"),
    "live": ("show.live",),
    "playground": ("show.playground",),
    "board": ("show.board",),
}


class _Rooms(MetaPathFinder, Loader):
    """Finds the modules of :data:`PUBLIC`.

    That is the module itself where there is one place, else one that asks them in turn.
    """

    def __init__(self) -> None:
        # Of each module with one place: it stays what it is under another name.
        self._own: dict[str, ModuleSpec | None] = {}

    def find_spec(
        self, fullname: str, path: Any = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        package, _, name = fullname.rpartition(".")
        known = package == "asdlib" and name in PUBLIC
        return ModuleSpec(fullname, self) if known else None

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        places = PUBLIC[spec.name.rpartition(".")[2]]
        if len(places) > 1:
            return None
        module = import_module(f"asdlib.{places[0]}")
        self._own[spec.name] = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        spec = module.__spec__
        assert spec is not None
        if spec.name in self._own:
            module.__spec__ = self._own[spec.name]
            return
        places = [f"asdlib.{place}" for place in PUBLIC[spec.name.rpartition(".")[2]]]

        def find(name: str) -> Any:
            for place in places:
                found = vars(import_module(place))
                if name in found:
                    return found[name]
            raise AttributeError(f"module {spec.name!r} has no attribute {name!r}")

        vars(module)["__getattr__"] = find
        module.__doc__ = f"What is in {' and '.join(places)}."


sys.meta_path.append(_Rooms())
