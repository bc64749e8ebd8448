"""Depthwise convolutions with a stride, of which training computes the gradients faster.

The gradient of the input is a convolution of its own, without a stride: of the output's gradient, spread out with
zeros between, with the kernel turned round (Dumoulin and Visin 2016, arXiv:1603.07285, relationship 14). oneDNN
computes it in bfloat16 by code that is not optimised for a stride: for MobileNetV2's four such layers it took a
third of a training's time. Sums are of the same terms, rounded as before but for their order.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.nn import functional


def quicken(network: nn.Module) -> None:
    """Give the strided depthwise convolutions in `network` these gradients; weights and outputs stay."""
    for module in network.modules():
        if type(module) is nn.Conv2d and _fits(module):
            module.__class__ = StridedDepthwise


class StridedDepthwise(nn.Conv2d):
    """nn.Conv2d of one kernel a channel, a stride, no bias and "same" padding."""

    def forward(self, images: Tensor) -> Tensor:
        if not torch.is_grad_enabled():
            return super().forward(images)
        return _Convolution.apply(images, self.weight, self.stride, self.padding)


def _fits(layer: nn.Conv2d) -> bool:
    return (
        layer.groups == layer.in_channels == layer.out_channels > 1
        and max(layer.stride) > 1
        and layer.bias is None
        and layer.dilation == (1, 1)
        and layer.padding_mode == "zeros"
        and layer.padding == tuple((side - 1) / 2 for side in layer.kernel_size)
    )


class _Convolution(torch.autograd.Function):
    @staticmethod
    @torch.amp.custom_fwd(device_type="cpu", cast_inputs=torch.bfloat16)
    def forward(
        ctx: FunctionCtx, images: Tensor, weight: Tensor, stride: tuple[int, int], padding: tuple[int, int]
    ) -> Tensor:
        ctx.save_for_backward(images, weight)
        ctx.stride, ctx.padding = stride, padding
        return functional.conv2d(images, weight, None, stride, padding, 1, len(weight))

    @staticmethod
    @once_differentiable
    @torch.amp.custom_bwd(device_type="cpu")
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        images, weight = ctx.saved_tensors
        channels, wished = len(weight), ctx.needs_input_grad
        of_images = of_weight = None
        if wished[0]:
            spread = torch.zeros_like(images)
            spread[:, :, :: ctx.stride[0], :: ctx.stride[1]] = gradient
            of_images = functional.conv2d(spread, weight.flip(2, 3), None, 1, ctx.padding, 1, channels)
        if wished[1]:
            of_weight = torch.ops.aten.convolution_backward(
                gradient, images, weight, None, ctx.stride, ctx.padding, (1, 1), False, (0, 0), channels,
                (False, True, False),
            )[1]  # fmt: skip
        return of_images, of_weight, None, None
