"""The backbones that a recipe can name: how each is built, what its pictures look like, where its weights lie.

Importing this file needs none of the packages that train; building a backbone does.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.roots import ROOT
from core.torchvision_ops import import_torchvision

if TYPE_CHECKING:
    from torch import nn

EVIDENCE = ROOT / "data" / "evidence" / "backbones.json"
"""Where what core.compare_backbones found lies, as shipped."""

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
"""Mean and standard deviation of ImageNet's RGB values in 0..1, as most of torchvision's weights expect them."""

HALF = (0.5, 0.5, 0.5)
"""Both for the networks that came from TensorFlow; torchvision's Inception v3 turns ImageNet's into these itself
(`transform_input`), which is left out here."""


@dataclass(frozen=True)
class Backbone:
    """A feature extractor (b, 3, h, w) -> (b, channels, about h / 32, about w / 32), in blocks one after the other.

    title      its name in words
    build      makes it with random weights; names of its tensors are those of the published network
    channels   of its last feature maps, whose mean over the picture the head reads
    middle     number of its first blocks whose output, at stride 16, is the context that core.gate looks at
    smallest   side in pixels of the smallest picture that it takes
    mean, std  of RGB values in 0..1, as its published weights expect them
    """

    title: str
    build: "Callable[[], nn.Sequential]"
    channels: int
    middle: int
    smallest: int = 32
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD


def published(name: str) -> tuple[str, str]:
    """What a backbone's ImageNet weights are called, and their address."""
    if name == "xception":
        return "timm legacy_xception.tf_in1k", _timm().get_pretrained_cfg("legacy_xception").url
    weights = import_torchvision().models.get_model_weights(name).DEFAULT
    return str(weights), weights.url


def _own_features(name: str) -> "Callable[[], nn.Sequential]":
    """Of networks whose convolutions are one Sequential already."""
    return lambda: import_torchvision().models.get_model(name).features


def _densenet121() -> "nn.Sequential":
    """With the ReLU that torchvision applies after the last batch norm, outside its features."""
    from torch import nn

    features = import_torchvision().models.densenet121().features
    features.add_module("relu5", nn.ReLU())
    return features


def _resnet(name: str) -> "Callable[[], nn.Sequential]":
    return lambda: _before(import_torchvision().models.get_model(name), "avgpool")


def _inception_v3() -> "nn.Sequential":
    """Without the second classifier that helped to train it."""
    models = import_torchvision().models
    return _before(models.inception_v3(aux_logits=False, init_weights=True), "avgpool")


def _vgg16() -> "nn.Sequential":
    """The convolutions with torchvision's start values; its dense layers, nine tenths of it, are never made."""
    from torch import nn

    vgg = import_torchvision().models.vgg
    features = vgg.make_layers(vgg.cfgs["D"])
    for layer in features:
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            nn.init.zeros_(layer.bias)
    return features


def _xception() -> "nn.Sequential":
    """Chollet's own network, which torchvision lacks."""
    return _before(_timm().create_model("legacy_xception"), "global_pool")


def _before(network: "nn.Module", end: str) -> "nn.Sequential":
    """The parts of a network up to the one called `end`; for networks that run them in their order."""
    from torch import nn

    parts = OrderedDict(network.named_children())
    return nn.Sequential(OrderedDict((name, parts[name]) for name in list(parts)[: list(parts).index(end)]))


def _timm():
    import_torchvision()  # which timm imports too
    import timm

    return timm


BACKBONES = {
    "mobilenet_v2": Backbone("MobileNetV2", _own_features("mobilenet_v2"), channels=1280, middle=14),
    "densenet121": Backbone("DenseNet-121", _densenet121, channels=1024, middle=9),
    "efficientnet_b0": Backbone("EfficientNet-B0", _own_features("efficientnet_b0"), channels=1280, middle=6),
    "inception_v3": Backbone(
        "Inception v3", _inception_v3, channels=2048, middle=15, smallest=75, mean=HALF, std=HALF
    ),
    "resnet18": Backbone("ResNet-18", _resnet("resnet18"), channels=512, middle=7),
    "resnet50": Backbone("ResNet-50", _resnet("resnet50"), channels=2048, middle=7),
    "vgg16": Backbone("VGG-16", _vgg16, channels=512, middle=24),
    "xception": Backbone("Xception", _xception, channels=2048, middle=17, mean=HALF, std=HALF),
}
