"""Start weights: ImageNet's, those of a file, or none; always said by name and checksum."""

import hashlib
import pickle
import struct
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import WeightsError
from core.torchvision_ops import import_torchvision

if TYPE_CHECKING:
    from torch import Tensor

    from core.model import Classifier

UNREADABLE = (
    pickle.UnpicklingError,
    struct.error,
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What PyTorch's restricted unpickler raises for bytes that are no state dict; it runs no code of the file."""

EXPECTED = "'imagenet', 'none', or the path of a .safetensors file or a PyTorch state dict"


def start_from(model: "Classifier", spec: str) -> dict[str, str | None]:
    """Load start weights into a new classifier; {"name", "sha256"} of what it started from.

    spec is "imagenet" (torchvision's IMAGENET1K_V2, downloaded once and cached by PyTorch), "none" (random),
    or a path. The backbone must fit in full; the head is taken over where its shapes fit, else it stays new.
    Raises WeightsError.
    """
    if spec == "none":
        return {"name": "none", "sha256": None}
    if spec == "imagenet":
        weights, source = _imagenet()
    else:
        path = Path(spec)
        weights, source = _read(path), {"name": path.name, "sha256": sha256_of(path)}
    _load(model, weights, source["name"])
    return source


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _imagenet() -> tuple[dict[str, "Tensor"], dict[str, str | None]]:
    import torch

    weights = import_torchvision().models.MobileNet_V2_Weights.IMAGENET1K_V2
    try:
        state = weights.get_state_dict(progress=True, check_hash=True)
    except (OSError, RuntimeError) as error:
        raise WeightsError(
            "imagenet",
            f"no copy of torchvision's IMAGENET1K_V2 weights and no way to download them ({error})",
            f"internet access, or the file {Path(weights.url).name} in {torch.hub.get_dir()}/checkpoints, "
            "or --weights PATH with a MobileNetV2 state dict, or --weights none",
        ) from error
    cached = Path(torch.hub.get_dir()) / "checkpoints" / Path(weights.url).name
    return state, {"name": "MobileNet_V2_Weights.IMAGENET1K_V2", "sha256": sha256_of(cached)}


def _read(path: Path) -> dict[str, "Tensor"]:
    """The tensors of a file, without running any code that it may hold."""
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.is_file():
        raise WeightsError(str(path), "no such file", EXPECTED)
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, *UNREADABLE) as error:
        raise WeightsError(str(path), "a file that does not hold tensors alone", EXPECTED) from error
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise WeightsError(str(path), "something other than a state dict", "a mapping of names to tensors")
    return state


def _load(model: "Classifier", weights: dict[str, "Tensor"], name: str) -> None:
    own = model.state_dict()
    taken = {key: value for key, value in weights.items() if key in own and value.shape == own[key].shape}
    missing = [key for key in own if key.startswith("features.") and key not in taken]
    if missing:
        found = f"no tensor {missing[0]} of shape {tuple(own[missing[0]].shape)}"
        raise WeightsError(name, f"{found} ({len(missing)} tensors do not fit)", "all of the backbone's tensors")
    model.load_state_dict(taken, strict=False)
