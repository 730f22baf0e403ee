"""The one import of torchaudio, which works although its compiled part may not load.

torchaudio's Linux wheels are linked against one version of CUDA. Beside a CPU-only
torch, or a torch built for another CUDA version, loading the compiled extension fails
and takes the whole import with it. Nothing of ``asdlib`` needs that extension (the
transforms are pure PyTorch), so where it cannot load a stand-in that says "not
available" is registered first, which is what torchaudio itself does on builds without
extensions.
"""

import importlib
import sys
import types

EXTENSION = "torchaudio._extension"


def _forget_torchaudio() -> None:
    for name in list(sys.modules):
        if name == "torchaudio" or name.startswith("torchaudio."):
            del sys.modules[name]


def import_torchaudio() -> types.ModuleType:
    """``torchaudio``, with its compiled extension where that loads, else without it."""
    try:
        return importlib.import_module("torchaudio")
    except ModuleNotFoundError:
        raise  # torchaudio is not installed: nothing to stand in for
    except (OSError, ImportError, RuntimeError):
        # OSError: a CUDA library is missing. RuntimeError: torch and torchaudio have
        # different CUDA versions.
        _forget_torchaudio()
        stand_in = types.ModuleType(EXTENSION)
        vars(stand_in).update(
            _IS_TORCHAUDIO_EXT_AVAILABLE=False,
            _IS_ALIGN_AVAILABLE=False,
            fail_if_no_align=lambda function: function,
            _check_cuda_version=lambda: None,
        )
        sys.modules[EXTENSION] = stand_in
        return importlib.import_module("torchaudio")


torchaudio = import_torchaudio()
