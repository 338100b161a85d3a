"""Inflating a picture network into a video network (I3D, Carreira and Zisserman 2017, arXiv:1705.07750).

Every 2-D kernel is tiled along time and divided by its length in time. A picture repeated over and over is a video of
a static scene filmed with a fixed camera, and on it the inflated network must say what the picture network says of the
picture: each 3-D kernel adds up N copies of the same product, divided by N. At the ends of the clip that holds only if
what lies beyond them is the static scene too, so time is padded by repeating the first and last moment; padded with
zeros, as space is, the clip would begin and end in the dark.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

Padding = Literal["replicate", "zeros"]


def inflated_kernel(kernel: Tensor, length: int) -> Tensor:
    """(C', C, h, w) -> (C', C, length, h, w): the kernel tiled along time and divided by its length."""
    return kernel.unsqueeze(2).repeat(1, 1, length, 1, 1) / length


class PerMoment(nn.Module):
    """A picture layer on (B, C, T, H, W): the same as the inflated layer whose kernel is one moment long."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, time, height, width = x.shape
        pictures = x.transpose(1, 2).reshape(batch * time, channels, height, width)
        out = self.layer(pictures.contiguous(memory_format=torch.channels_last))
        return out.reshape(batch, time, *out.shape[1:]).transpose(1, 2)


class InflatedConv(nn.Module):
    """A 2-D convolution made into one over space and time that keeps the number of moments.

    length: of the kernel in time, odd.   padding: what lies before the first and behind the last moment.
    """

    def __init__(self, conv: nn.Conv2d, length: int = 3, padding: Padding = "replicate") -> None:
        super().__init__()
        if length % 2 == 0:
            raise ValueError(f"a kernel of {length} moments has no middle; use an odd length")
        if not isinstance(conv.padding, tuple) or conv.padding_mode != "zeros":
            raise ValueError("only convolutions padded with a number of zeros can be inflated")
        self.length, self.padding = length, padding
        self.conv = nn.Conv3d(
            conv.in_channels,
            conv.out_channels,
            (length, conv.kernel_size[0], conv.kernel_size[1]),
            (1, conv.stride[0], conv.stride[1]),
            (0, int(conv.padding[0]), int(conv.padding[1])),
            (1, conv.dilation[0], conv.dilation[1]),
            conv.groups,
            conv.bias is not None,
        )
        with torch.no_grad():
            self.conv.weight.copy_(inflated_kernel(conv.weight, length))
            if conv.bias is not None and self.conv.bias is not None:
                self.conv.bias.copy_(conv.bias)

    def forward(self, x: Tensor) -> Tensor:
        beyond = self.length // 2
        ends = (0, 0, 0, 0, beyond, beyond)
        mode = "replicate" if self.padding == "replicate" else "constant"
        out: Tensor = self.conv(nn.functional.pad(x, ends, mode=mode))
        return out


def inflate(
    network: nn.Module,
    length: int = 3,
    *,
    padding: Padding = "replicate",
    where: Callable[[str], bool] = lambda name: True,
) -> nn.Module:
    """A copy of a picture network that takes (B, C, T, H, W) instead of (B, C, H, W).

    Args:
        length: moments that kernels larger than 1x1 reach over (odd).
        padding: of time; "replicate" makes a frozen clip give exactly the picture's result.
        where: says by a convolution's dotted name whether its kernel gets a length in time; the others, 1x1
            convolutions, normalisations and poolings see one moment at a time.
    Returns:
        a new network in the same mode; its ``forward`` must not count on four axes.
    """
    result = copy.deepcopy(network)
    for name, module in list(result.named_modules()):
        for child_name, child in list(module.named_children()):
            dotted = f"{name}.{child_name}" if name else child_name
            new = _inflated(child, length, padding, where(dotted))
            if new is not child:
                setattr(module, child_name, new.train(child.training))
    return result


def _inflated(layer: nn.Module, length: int, padding: Padding, chosen: bool) -> nn.Module:
    if isinstance(layer, nn.Conv2d):
        reaches = chosen and max(layer.kernel_size) > 1
        return InflatedConv(layer, length, padding) if reaches else PerMoment(layer)
    if isinstance(layer, (nn.BatchNorm2d, nn.MaxPool2d, nn.AvgPool2d)):
        return PerMoment(layer)
    return layer
