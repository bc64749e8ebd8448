"""The network: backbones, heads, its own normalisation, and a class activation map that equals Grad-CAM."""

import numpy as np
import pytest
import torch

from core import export, runs
from core.backbones import BACKBONES, IMAGENET_MEAN, IMAGENET_STD
from core.engine import open_session
from core.errors import ConfigError
from core.export import TOLERANCE, export_onnx
from core.model import Classifier, ClassifierWithCam
from core.torchvision_ops import import_torchvision

OTHERS = [name for name in BACKBONES if name != "mobilenet_v2"]


def classifier(head: str, backbone: str = "mobilenet_v2") -> Classifier:
    torch.manual_seed(0)
    return Classifier(backbone, head, classes=3, dropout=0.5, hidden=16).eval()


def settled(model: Classifier) -> Classifier:
    """The untrained network once its batch norms know their statistics; before, its features reach millions."""
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None
    model.train()
    with torch.no_grad():
        model(torch.rand(4, 1, 96, 128, generator=torch.Generator().manual_seed(1)) * 255)
    return model.eval()


def grad_cam(model: Classifier, images: torch.Tensor, index: int) -> torch.Tensor:
    """Grad-CAM (Selvaraju et al. 2017, eq. 1 and 2) by autograd, (b, h', w')."""
    features = model.features(model.normalise(images))
    score = model.head(features.mean((2, 3)))[:, index].sum()
    (gradient,) = torch.autograd.grad(score, features)
    weights = gradient.mean((2, 3), keepdim=True)
    return torch.relu((weights * features).sum(1))


@pytest.mark.parametrize("head", ["linear", "paper"])
def test_the_map_of_the_forward_pass_is_grad_cam_by_autograd(head):
    model = classifier(head)
    images = torch.rand(2, 1, 96, 128) * 255
    _, cams, _, _ = ClassifierWithCam(model)(images)
    for index in range(3):
        assert_grad_cam(model, images, cams, index)


def assert_grad_cam(model: Classifier, images: torch.Tensor, cams: torch.Tensor, index: int) -> None:
    expected = grad_cam(model, images, index)
    assert expected.abs().max() > 0
    found = torch.relu(cams[:, index]) / (cams.shape[2] * cams.shape[3])
    assert (found - expected).abs().max() <= 1e-4 * expected.abs().max()


@pytest.mark.parametrize("backbone", OTHERS)
def test_every_backbone_has_exact_maps_the_published_features_and_a_context_at_stride_16(backbone):
    model = settled(classifier("paper", backbone))
    images = torch.rand(2, 1, 96, 128) * 255
    logits, cams, pooled, context = ClassifierWithCam(model)(images)
    assert torch.allclose(logits, model(images), atol=1e-5) and logits.shape == (2, 3)
    assert pooled.shape == (2, BACKBONES[backbone].channels)
    halfway = model.features[: model.middle](model.normalise(images))
    assert {round(96 / halfway.shape[2]), round(128 / halfway.shape[3])} <= {16, 17, 18, 19, 21, 24}
    assert torch.allclose(model.context(images), context, atol=1e-4) and context.shape == (2, 2 * halfway.shape[1])
    index = int(cams.amax((0, 2, 3)).argmax())
    assert_grad_cam(model, images, cams, index)


@pytest.mark.parametrize("backbone", ["densenet121", "inception_v3", "xception", "resnet18"])
def test_the_features_are_those_of_the_published_network_for_the_same_tensors(backbone):
    """Its own forward pass up to the mean, on pictures as its own weights expect them."""
    model = settled(classifier("linear", backbone))
    state = {key.removeprefix("features."): value for key, value in model.state_dict().items()}
    images = torch.rand(2, 1, 96, 128) * 255
    if backbone == "xception":
        from timm.models import create_model

        theirs = create_model("legacy_xception").eval()
        pictures = (images / 255).expand(2, 3, -1, -1) / 0.5 - 1
        theirs.fc = torch.nn.Identity()
    else:
        models = import_torchvision().models
        extra = {"aux_logits": True, "transform_input": True, "init_weights": False}
        theirs = models.get_model(backbone, **(extra if backbone == "inception_v3" else {})).eval()
        mean, std = (torch.tensor(value)[:, None, None] for value in (IMAGENET_MEAN, IMAGENET_STD))
        pictures = ((images / 255) - mean) / std
        setattr(theirs, "classifier" if backbone == "densenet121" else "fc", torch.nn.Identity())
    prefix = "features." if backbone == "densenet121" else ""
    left = theirs.load_state_dict({f"{prefix}{key}": value for key, value in state.items()}, strict=False)
    assert all(key.startswith("AuxLogits") for key in left.missing_keys), left.missing_keys
    assert all(key.startswith(("head.", "features.head.")) for key in left.unexpected_keys), left.unexpected_keys
    with torch.inference_mode():
        taken = theirs(pictures)
        pooled = model.features(model.normalise(images)).mean((2, 3))
    assert torch.allclose(pooled, taken, rtol=1e-3, atol=1e-3 * float(taken.abs().max()))


def test_another_backbone_is_exported_and_an_export_that_differs_from_its_network_is_noticed():
    model = classifier("linear", "resnet18")
    pictures = np.random.default_rng(0).integers(0, 256, (3, 64, 64), dtype=np.uint8)
    content = export_onnx(model, 64, pictures)
    images = pictures[:, None].astype(np.float32)
    found = open_session(content).run(None, {"images": images})
    with torch.inference_mode():
        expected = ClassifierWithCam(model)(torch.from_numpy(images))
    for one, other in zip(found, expected, strict=True):
        assert np.abs(one - other.numpy()).max() < 1e-3
    exported = ClassifierWithCam(model).eval()
    assert export._difference(exported, content, pictures) < TOLERANCE
    with torch.no_grad():
        model.head.linear.bias += 0.01
    assert export._difference(exported, content, pictures) > TOLERANCE


def test_threads_of_the_engine_rest_between_calls():
    session = open_session((runs.RUNS / "demo" / "model.onnx").read_bytes())
    assert session.get_session_options().get_session_config_entry("session.force_spinning_stop") == "1"


def test_grey_is_normalised_as_imagenet_expects_each_channel():
    model = classifier("linear")
    white = model.normalise(torch.full((1, 1, 2, 2), 255.0))
    expected = [(1 - 0.485) / 0.229, (1 - 0.456) / 0.224, (1 - 0.406) / 0.225]
    assert white[0, :, 0, 0].tolist() == pytest.approx(expected, abs=1e-5)


def test_the_papers_head_is_dense_dropout_dense():
    head = classifier("paper").head
    assert (head.hidden.in_features, head.hidden.out_features) == (1280, 16)
    assert (head.linear.in_features, head.linear.out_features) == (16, 3)
    assert head.dropout.p == 0.5


@pytest.mark.parametrize(
    ("backbone", "head", "field"), [("resnet", "linear", "backbone"), ("mobilenet_v2", "x", "head")]
)
def test_an_unknown_backbone_or_head_is_refused_by_name(backbone, head, field):
    with pytest.raises(ConfigError, match=field):
        Classifier(backbone, head, 3, 0.2, 16)
