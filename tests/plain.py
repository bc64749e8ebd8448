"""What a first script would be, for comparison: Pillow, torchvision's transforms and network, torch eager."""

from collections.abc import Callable
from pathlib import Path

import numpy as np


def plain_folder(folder: Path, size: int) -> list[int]:
    """What a first script would be: open, transform, one forward pass a picture of the size that ours sees."""
    model, change = plain_network(size)
    return [plain_answer(file, model, change) for file in sorted(folder.glob("*.png"))]


def plain_network(size: int) -> tuple[Callable, Callable]:
    """torchvision's MobileNetV2 for three classes, and its transforms."""
    from core.torchvision_ops import import_torchvision

    torchvision = import_torchvision()
    from torchvision import transforms

    change = transforms.Compose([
        transforms.Resize(size * 8 // 7), transforms.CenterCrop(size), transforms.ToTensor(),
        transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    ])  # fmt: skip
    return torchvision.models.mobilenet_v2(num_classes=3).eval(), change


def plain_answer(file: object, model: Callable, change: Callable) -> int:
    """The class of one picture, a path or an open file."""
    import torch
    from PIL import Image

    with torch.inference_mode():
        return int(model(change(Image.open(file).convert("RGB"))[None]).argmax())


def plain_epoch(paths: list[str], targets: np.ndarray, batch_size: int, size: int) -> None:
    """Open, random crop and flip, forward, backward, step: all of the network in float32, nothing cached."""
    import torch
    from PIL import Image

    from core.torchvision_ops import import_torchvision

    torchvision = import_torchvision()
    from torchvision import transforms

    model = torchvision.models.mobilenet_v2(num_classes=3).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    change = transforms.Compose([
        transforms.RandomResizedCrop(size), transforms.RandomHorizontalFlip(), transforms.ToTensor(),
        transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    ])  # fmt: skip
    for start in range(0, len(paths), batch_size):
        part = paths[start : start + batch_size]
        images = torch.stack([change(Image.open(path).convert("RGB")) for path in part])
        loss = torch.nn.functional.cross_entropy(
            model(images), torch.from_numpy(targets[start : start + batch_size])
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
