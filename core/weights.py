"""Start weights: ImageNet's, those of a file, or none; always said by name and checksum."""

import hashlib
import pickle
import re
import struct
from pathlib import Path
from typing import TYPE_CHECKING

from core.backbones import BACKBONES, published
from core.errors import WeightsError

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

    spec is "imagenet" (the published weights of its backbone, downloaded once and cached by PyTorch), "none"
    (random), or a path: of a network as it was published, or of one of ours. The backbone must fit in full; the
    head is taken over where its shapes fit, else it stays new. Raises WeightsError.
    """
    if spec == "none":
        return {"name": "none", "sha256": None}
    if spec == "imagenet":
        weights, source = _imagenet(model.backbone)
    else:
        path = Path(spec)
        weights, source = _read(path), {"name": path.name, "sha256": sha256_of(path)}
    _load(model, weights, source["name"])
    return source


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _imagenet(backbone: str) -> tuple[dict[str, "Tensor"], dict[str, str | None]]:
    import torch

    name, url = published(backbone)
    file = Path(url).name
    try:
        state = torch.hub.load_state_dict_from_url(url, map_location="cpu", check_hash=True, weights_only=True)
    except (OSError, RuntimeError) as error:
        raise WeightsError(
            "imagenet",
            f"no copy of {name} and no way to download it ({error})",
            f"internet access, or the file {file} in {torch.hub.get_dir()}/checkpoints, "
            f"or --weights PATH with a {BACKBONES[backbone].title} state dict, or --weights none",
        ) from error
    return state, {"name": name, "sha256": sha256_of(Path(torch.hub.get_dir()) / "checkpoints" / file)}


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
    own, weights = model.state_dict(), _as_ours(weights)
    taken = {key: value for key, value in weights.items() if key in own and value.shape == own[key].shape}
    missing = [key for key in _needed(own) if key not in taken]
    if missing:
        title, other = BACKBONES[model.backbone].title, _backbone_of(weights)
        found = f"no tensor {missing[0]} of shape {tuple(own[missing[0]].shape)}"
        found = f"the weights of {BACKBONES[other].title}" if other else found
        raise WeightsError(
            name, f"{found} ({len(missing)} tensors do not fit)", f"all tensors of {title}'s backbone"
        )
    model.load_state_dict(taken, strict=False)


def _as_ours(weights: dict[str, "Tensor"]) -> dict[str, "Tensor"]:
    """The tensors of a network by the names that they have here: those of its backbone lie below `features`.

    DenseNet's file is older than the names that torchvision gives its layers, as `norm.1` for `norm1`.
    """
    ours = {}
    for key, value in weights.items():
        key = re.sub(r"(denselayer\d+\.(?:norm|conv))\.([12])\.", r"\1\2.", key)
        ours[key if key.startswith(("features.", "head.")) else f"features.{key}"] = value
    return ours


def _needed(own: dict[str, "Tensor"]) -> list[str]:
    """The tensors that a file must hold; counts of batches are missing from old ones, and change no result."""
    return [key for key in own if key.startswith("features.") and not key.endswith("num_batches_tracked")]


def _backbone_of(weights: dict[str, "Tensor"]) -> str | None:
    """The backbone whose tensors these are, by their names and shapes (in `_as_ours`); None for another network."""
    import torch

    for name, backbone in BACKBONES.items():
        with torch.device("meta"):  # shapes alone
            expected = {f"features.{key}": value for key, value in backbone.build().state_dict().items()}
        if all(key in weights and weights[key].shape == expected[key].shape for key in _needed(expected)):
            return name
    return None
