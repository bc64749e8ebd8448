"""Strided depthwise convolutions: outputs and gradients of torch's own, on the layers meant and no other."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

from core.depthwise import StridedDepthwise, quicken
from core.model import Classifier


def layer(channels: int = 4, side: int = 3, stride: int = 2, **changed) -> nn.Conv2d:
    torch.manual_seed(0)
    wanted = {"padding": side // 2, "groups": channels, "bias": False} | changed
    return nn.Conv2d(channels, channels, side, stride, **wanted)


def quick(one: nn.Conv2d) -> nn.Conv2d:
    made = copy.deepcopy(one)
    quicken(nn.Sequential(made))
    return made


@pytest.mark.parametrize(
    ("side", "stride", "height", "width"),
    [(3, 2, 8, 9), (3, 2, 1, 2), (5, 2, 11, 12), (3, 3, 10, 7), (3, (1, 2), 6, 5)],
)
def test_gradients_are_those_of_finite_differences(side, stride, height, width):
    made = quick(layer(side=side, stride=stride).double())
    assert type(made) is StridedDepthwise
    images = torch.randn(2, 4, height, width, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(made, images)
    assert torch.autograd.gradcheck(
        lambda weight: torch.func.functional_call(made, {"weight": weight}, (images.detach(),)),
        made.weight.detach().requires_grad_(True),
    )


def test_in_bfloat16_they_are_those_of_torch_but_for_rounding():
    plain = layer(32)
    images = torch.randn(2, 32, 28, 28).contiguous(memory_format=torch.channels_last)
    found = []
    for one in (plain, quick(plain)):
        start = images.clone().requires_grad_(True)
        with torch.autocast("cpu", torch.bfloat16):
            out = one(start)
        assert out.dtype == torch.bfloat16
        found.append([out, *torch.autograd.grad(out.float().square().sum(), (start, one.weight))])
    for own, torchs in zip(found[1], found[0], strict=True):
        assert own.dtype == torchs.dtype
        torch.testing.assert_close(own, torchs, rtol=2e-2, atol=2e-2)


def test_only_strided_depthwise_layers_of_the_network_are_changed():
    model = Classifier("mobilenet_v2", "linear", 3, 0.0, 0)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    quicken(model)
    changed = [module for module in model.modules() if isinstance(module, StridedDepthwise)]
    assert [module.in_channels for module in changed] == [96, 144, 192, 576]
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize(
    "other",
    [
        {"stride": 1},
        {"bias": True},
        {"groups": 2},
        {"dilation": 2, "padding": 2},
        {"padding": 0},
        {"padding_mode": "reflect"},
    ],
)
def test_layers_of_another_kind_stay_torchs_own(other):
    assert type(quick(layer(**other))) is nn.Conv2d


def test_a_whole_network_learns_the_same():
    plain = Classifier("mobilenet_v2", "linear", 3, 0.0, 0).eval()
    other = copy.deepcopy(plain)
    quicken(other)
    pictures, found = torch.rand(2, 1, 64, 64) * 255, []
    for model in (plain, other):
        functional.cross_entropy(model(pictures), torch.tensor([0, 2])).backward()
        found.append([parameter.grad for parameter in model.parameters()])
    for own, torchs in zip(found[1], found[0], strict=True):
        torch.testing.assert_close(own, torchs, rtol=1e-3, atol=1e-5 * float(torchs.abs().max()) + 1e-7)
