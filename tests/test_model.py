"""The network: its heads, its own normalisation, and a class activation map that equals Grad-CAM."""

import numpy as np
import pytest
import torch

from core.engine import open_session
from core.errors import ConfigError
from core.export import export_onnx
from core.model import Classifier, ClassifierWithCam


def classifier(head: str) -> Classifier:
    torch.manual_seed(0)
    return Classifier("mobilenet_v2", head, classes=3, dropout=0.5, hidden=16).eval()


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
    places = cams.shape[2] * cams.shape[3]
    for index in range(3):
        expected = grad_cam(model, images, index)
        assert expected.abs().max() > 0
        found = torch.relu(cams[:, index]) / places
        assert (found - expected).abs().max() <= 1e-4 * expected.abs().max()


@pytest.mark.parametrize("head", ["linear", "paper"])
def test_the_exported_form_gives_the_same_logits(head):
    model = classifier(head)
    images = torch.rand(2, 1, 64, 64) * 255
    assert torch.allclose(ClassifierWithCam(model)(images)[0], model(images), atol=1e-6)


@pytest.mark.parametrize("head", ["linear", "paper"])
def test_the_exported_file_gives_all_outputs_of_the_network(head):
    model = classifier(head)
    pictures = np.random.default_rng(0).integers(0, 256, (3, 64, 64), dtype=np.uint8)
    images = pictures[:, None].astype(np.float32)
    logits, cams, features, context = open_session(export_onnx(model, 64, pictures)).run(None, {"images": images})
    with torch.inference_mode():
        pooled = model.features(model.normalise(torch.from_numpy(images))).mean((2, 3))
        halfway = model.features[:14](model.normalise(torch.from_numpy(images))).flatten(2)
        expected = ClassifierWithCam(model)(torch.from_numpy(images))
    assert features.shape == (3, 1280)
    assert np.abs(features - pooled.numpy()).max() < 1e-4
    statistics = torch.cat([halfway.mean(2), halfway.std(2, correction=0)], 1)
    assert np.abs(context - statistics.numpy()).max() < 1e-4
    assert torch.allclose(model.context(torch.from_numpy(images)), statistics, atol=1e-5)
    assert np.abs(logits - expected[0].numpy()).max() < 1e-4
    assert np.abs(cams - expected[1].numpy()).max() < 1e-4


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
