"""The network: a pretrained backbone, a new head, and the class activation map from the same pass.

`Classifier` takes grey pictures as the preprocessing leaves them and normalises them itself, so that an
exported model carries its normalisation along.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from core.backbones import BACKBONES
from core.errors import ConfigError


class LinearHead(nn.Module):
    """Dropout and one linear layer: torchvision's own classifier with other classes."""

    def __init__(self, channels: int, classes: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(channels, classes)

    def forward(self, pooled: Tensor) -> Tensor:
        return self.linear(self.dropout(pooled))

    def channel_weights(self, pooled: Tensor) -> Tensor:
        """d logits / d pooled, (classes, channels): the same for every slice."""
        return self.linear.weight


class PaperHead(nn.Module):
    """Table 1 of the paper: dense, dropout, dense; ReLU between them (the paper names no activation)."""

    def __init__(self, channels: int, classes: int, dropout: float, hidden: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(channels, hidden)
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(hidden, classes)

    def forward(self, pooled: Tensor) -> Tensor:
        return self.linear(self.dropout(functional.relu(self.hidden(pooled))))

    def channel_weights(self, pooled: Tensor) -> Tensor:
        """d logits / d pooled, (b, classes, channels): the active hidden units' paths, exact for ReLU."""
        active = (self.hidden(pooled) > 0).to(pooled.dtype)
        return torch.matmul(self.linear.weight * active[:, None, :], self.hidden.weight)


class Classifier(nn.Module):
    """Grey pictures (b, 1, h, w), 0..255 -> logits (b, classes)."""

    def __init__(self, backbone: str, head: str, classes: int, dropout: float, hidden: int) -> None:
        super().__init__()
        if backbone not in BACKBONES:
            raise ConfigError("backbone", repr(backbone), f"one of {', '.join(BACKBONES)}")
        if head not in ("paper", "linear"):
            raise ConfigError("head", repr(head), "'paper' or 'linear'")
        own = BACKBONES[backbone]
        self.backbone, self.middle = backbone, own.middle
        self.features = own.build()
        if head == "linear":
            self.head = LinearHead(own.channels, classes, dropout)
        else:
            self.head = PaperHead(own.channels, classes, dropout, hidden)
        self.register_buffer("mean", torch.tensor(own.mean).view(1, 3, 1, 1) * 255, persistent=False)
        self.register_buffer("std", torch.tensor(own.std).view(1, 3, 1, 1) * 255, persistent=False)

    def normalise(self, images: Tensor) -> Tensor:
        """(b, 1, h, w) grey -> (b, 3, h, w), the grey in each channel, by the backbone's mean and deviation."""
        return (images - self.mean) / self.std

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.features(self.normalise(images)).mean((2, 3)))

    def context(self, images: Tensor) -> Tensor:
        """(b, 2 c): means and standard deviations of the feature maps halfway through the backbone."""
        return context_of(self.features[: self.middle](self.normalise(images)))


def context_of(maps: Tensor) -> Tensor:
    """Feature maps (b, c, h, w) -> their means and standard deviations over the picture (b, 2 c)."""
    mean = maps.mean((2, 3))
    spread = (maps - mean[:, :, None, None]).square().mean((2, 3)).sqrt()
    return torch.cat([mean, spread], 1)


class ClassifierWithCam(nn.Module):
    """Logits (b, classes), activation maps (b, classes, h', w'), pooled features (b, channels), context (b, 2 c).

    This is the classifier as it is exported.

    The map of a class is the sum of the feature maps weighted by d logit / d pooled feature: the class
    activation mapping of Zhou et al. 2016 (CVPR, eq. 2) and, but for the factor 1 / (h' w') and the final
    ReLU, the Grad-CAM of Selvaraju et al. 2017 (ICCV, eq. 1 and 2), in the forward pass.
    """

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        network = self.classifier
        maps = network.features[: network.middle](network.normalise(images))
        features = network.features[network.middle :](maps)
        pooled = features.mean((2, 3))
        weights = network.head.channel_weights(pooled)
        cams = torch.matmul(weights, features.flatten(2)).unflatten(2, features.shape[2:])
        return network.head(pooled), cams, pooled, context_of(maps)
