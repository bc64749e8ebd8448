"""Start weights: what fits is taken, what does not is refused by name, nothing in a file is ever run."""

import pickle
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from core.errors import WeightsError
from core.model import Classifier
from core.torchvision_ops import import_torchvision
from core.weights import sha256_of, start_from


def classifier(seed: int, backbone: str = "mobilenet_v2") -> Classifier:
    torch.manual_seed(seed)
    return Classifier(backbone, "linear", 3, 0.2, 16)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_file_of_a_whole_network_is_taken_over_and_named_with_its_checksum(tmp_path, suffix):
    theirs, ours = classifier(1), classifier(2)
    path = tmp_path / f"start{suffix}"
    (torch.save if suffix == ".pth" else save_file)(theirs.state_dict(), path)
    assert start_from(ours, str(path)) == {"name": path.name, "sha256": sha256_of(path)}
    for name, value in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[name], value), name


def test_a_head_of_other_classes_is_left_new(tmp_path):
    state = classifier(1).state_dict()
    state["head.linear.weight"] = torch.zeros(1000, 1280)
    state["head.linear.bias"] = torch.zeros(1000)
    torch.save(state, tmp_path / "start.pth")
    ours, before = classifier(2), classifier(2)
    start_from(ours, str(tmp_path / "start.pth"))
    assert torch.equal(ours.head.linear.weight, before.head.linear.weight)
    assert torch.equal(ours.features[0][0].weight, state["features.0.0.weight"])


def test_none_leaves_the_network_as_it_is():
    ours, before = classifier(2), classifier(2)
    assert start_from(ours, "none") == {"name": "none", "sha256": None}
    assert torch.equal(ours.features[0][0].weight, before.features[0][0].weight)


def test_a_backbone_with_a_missing_tensor_is_refused_by_the_tensors_name(tmp_path):
    state = classifier(1).state_dict()
    del state["features.3.conv.0.0.weight"]
    torch.save(state, tmp_path / "start.pth")
    with pytest.raises(WeightsError, match=r"features\.3\.conv\.0\.0\.weight"):
        start_from(classifier(2), str(tmp_path / "start.pth"))


@pytest.mark.parametrize("backbone", ["resnet18", "densenet121"])
def test_a_published_network_is_taken_over_by_the_names_of_its_file(tmp_path, backbone):
    """As published: no `features.` before ResNet's names; DenseNet's older ones, and no counts of batches."""
    state = import_torchvision().models.get_model(backbone).state_dict()
    file = {re.sub(r"(denselayer\d+\.(?:norm|conv))([12])", r"\1.\2", key): state[key] for key in state}
    file = {key: value for key, value in file.items() if not key.endswith("num_batches_tracked")}
    torch.save(file, tmp_path / "start.pth")
    ours = classifier(2, backbone)
    start_from(ours, str(tmp_path / "start.pth"))
    for key, value in ours.features.state_dict().items():
        theirs = state[f"features.{key}" if backbone == "densenet121" else key]
        assert torch.equal(value, theirs), key


def test_the_weights_of_another_backbone_are_named_as_such(tmp_path):
    torch.save(classifier(1).state_dict(), tmp_path / "start.pth")
    with pytest.raises(WeightsError, match=r"the weights of MobileNetV2 .*; expected all tensors of ResNet-18"):
        start_from(classifier(2, "resnet18"), str(tmp_path / "start.pth"))


class Harmful:
    """A pickle that would write a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def test_a_pickle_that_runs_code_is_refused_and_not_run(tmp_path):
    (tmp_path / "start.pth").write_bytes(pickle.dumps(Harmful(tmp_path / "ran")))
    with pytest.raises(WeightsError, match="does not hold tensors alone"):
        start_from(classifier(2), str(tmp_path / "start.pth"))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", [b"", b"junk", b"PK\x03\x04 half a zip"])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_damaged_file_is_refused(tmp_path, content, suffix):
    path = tmp_path / f"start{suffix}"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="start"):
        start_from(classifier(2), str(path))


def test_a_missing_file_is_refused_by_its_name():
    with pytest.raises(WeightsError, match=r"nowhere\.pth: found no such file"):
        start_from(classifier(2), "nowhere.pth")


def test_imagenet_weights_without_internet_say_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # a port where nobody listens
    with pytest.raises(WeightsError, match="--weights PATH with a MobileNetV2 state dict"):
        start_from(classifier(2), "imagenet")
    with pytest.raises(WeightsError, match=r"no copy of ResNet18_Weights.IMAGENET1K_V1.*ResNet-18 state dict"):
        start_from(classifier(2, "resnet18"), "imagenet")
    with pytest.raises(WeightsError, match=r"no copy of timm legacy_xception.*Xception state dict"):
        start_from(classifier(2, "xception"), "imagenet")


def test_the_rebuilt_imagenet_weights_load_in_full(shared):
    path = shared.parent / "weights" / "mobilenet_v2_imagenet1k_v1_rebuilt.pth"
    model = classifier(2)
    source = start_from(model, str(path))
    assert source["sha256"] == "a41e176a28b2b9a8189b3dd5311d9e3175da06054e51c7ca4f74db2b5d3cbadf"
    state = torch.load(path, weights_only=True)
    assert torch.equal(model.features[18][0].weight, state["features.18.0.weight"])
