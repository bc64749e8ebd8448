"""Import torchvision, also where its compiled operators do not fit the installed PyTorch.

torchvision's wheel from PyPI is built for CUDA. Beside a CPU build of PyTorch its library `_C` cannot be
loaded; torchvision tolerates that for all operators but `nms` and `qnms`, whose meta functions it registers
without asking, so that `import torchvision` ends in "operator torchvision::nms does not exist". Nothing here
uses either operator: naming their schemas first is enough for the import, and calling them still fails.
"""

import importlib
import importlib.util
import threading
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from types import ModuleType

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_lock = threading.Lock()
_libraries = []  # a torch.library.Library takes its schemas along when it is collected


def import_torchvision() -> ModuleType:
    """The module torchvision; call it before any other import of torchvision, as often as wanted.

    Raises ImportError where torchvision is not installed.
    """
    with _lock:
        if not _libraries and not _has_operators():
            _define_schemas()
        return importlib.import_module("torchvision")


def _has_operators() -> bool:
    """Whether torchvision's own library brings the operators; loads it, as torchvision itself will."""
    import torch

    if hasattr(torch.ops.torchvision, "nms"):
        return True
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("No module named 'torchvision'", name="torchvision")
    for suffix in EXTENSION_SUFFIXES:
        library = Path(spec.origin).with_name(f"_C{suffix}")
        if library.exists():
            try:
                torch.ops.load_library(library)
            except OSError:  # built for another PyTorch, or for a CUDA that is not here
                return False
            return True
    return False


def _define_schemas() -> None:
    import torch

    library = torch.library.Library("torchvision", "DEF")
    for schema in _SCHEMAS:
        library.define(schema)
    _libraries.append(library)
