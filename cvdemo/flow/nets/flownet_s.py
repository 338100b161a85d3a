"""FlowNetS (Dosovitskiy et al. 2015, FlowNet: Learning Optical Flow with Convolutional Networks, arXiv:1504.06852).

Both frames are stacked into six channels; an encoder of strided convolutions shrinks them to a 64th, a decoder of
transposed convolutions enlarges them again, joined at each level by the encoder's features and by the flow predicted
one level below. The layout is the paper's, with about a thirtieth of its channels' weights, and batch normalisation in
the encoder, which is folded into the convolutions for use.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

CHANNELS = (24, 40, 64, 96, 128, 160)
DECODER = (64, 48, 32, 24)
STRIDE = 64
FLOW_UNIT = 20.0
"""The network predicts flow in units of so many pixels, as in the paper: numbers near 1 are easier to learn."""
LEVELS = (64, 32, 16, 8, 4)
"""Pixels of the frame a cell of each prediction covers, coarse to fine."""


def encode(channels: int, out: int, size: int, stride: int = 1) -> nn.Sequential:
    """Convolution, batch norm, leaky ReLU."""
    return nn.Sequential(
        nn.Conv2d(channels, out, size, stride, size // 2, bias=False),
        nn.BatchNorm2d(out),
        nn.LeakyReLU(0.1, inplace=True),
    )


def enlarge(channels: int, out: int) -> nn.Sequential:
    """Transposed convolution to twice the resolution, leaky ReLU."""
    return nn.Sequential(nn.ConvTranspose2d(channels, out, 4, 2, 1), nn.LeakyReLU(0.1, inplace=True))


class FlowNetS(nn.Module):
    """Two stacked frames (B, 6, H, W), sides multiples of 64, to five flow fields, coarse to fine."""

    def __init__(self) -> None:
        super().__init__()
        c1, c2, c3, c4, c5, c6 = CHANNELS
        d5, d4, d3, d2 = DECODER
        self.conv1 = encode(6, c1, 7, 2)
        self.conv2 = encode(c1, c2, 5, 2)
        self.conv3 = nn.Sequential(encode(c2, c3, 5, 2), encode(c3, c3, 3))
        self.conv4 = nn.Sequential(encode(c3, c4, 3, 2), encode(c4, c4, 3))
        self.conv5 = nn.Sequential(encode(c4, c5, 3, 2), encode(c5, c5, 3))
        self.conv6 = encode(c5, c6, 3, 2)
        self.up5, self.up4 = enlarge(c6, d5), enlarge(c5 + d5 + 2, d4)
        self.up3, self.up2 = enlarge(c4 + d4 + 2, d3), enlarge(c3 + d3 + 2, d2)
        inputs = (c6, c5 + d5 + 2, c4 + d4 + 2, c3 + d3 + 2, c2 + d2 + 2)
        self.heads = nn.ModuleList(nn.Conv2d(channels, 2, 3, 1, 1) for channels in inputs)
        self.flow_up = nn.ModuleList(nn.ConvTranspose2d(2, 2, 4, 2, 1) for _ in range(4))
        for head in self.heads:
            nn.init.normal_(head.weight, std=1e-3)  # type: ignore[arg-type]
            nn.init.zeros_(head.bias)  # type: ignore[arg-type]

    def fuse(self) -> FlowNetS:
        """Fold batch normalisation into the convolutions, in place."""
        from cvdemo.core.fusing import fuse_batch_norm  # imports torchvision, which the page is built without

        fuse_batch_norm(self)
        return self

    def forward(self, frames: Tensor) -> tuple[Tensor, ...]:
        """(B, 6, H, W), each frame's mean colour about 0, to (B, 2, H/s, W/s) in ``FLOW_UNIT`` for s in ``LEVELS``."""
        x1 = self.conv1(frames)  # (B, 24, H/2, W/2)
        x2 = self.conv2(x1)  # (B, 40, H/4, W/4)
        x3 = self.conv3(x2)  # (B, 64, H/8, W/8)
        x4 = self.conv4(x3)  # (B, 96, H/16, W/16)
        x5 = self.conv5(x4)  # (B, 128, H/32, W/32)
        x = self.conv6(x5)  # (B, 160, H/64, W/64)
        flows = [self.heads[0](x)]  # (B, 2, H/64, W/64)
        steps = ((self.up5, x5), (self.up4, x4), (self.up3, x3), (self.up2, x2))
        for number, (up, skip) in enumerate(steps):
            coarse = self.flow_up[number](flows[-1])  # (B, 2, 2h, 2w)
            x = torch.cat([skip, up(x), coarse], dim=1)  # encoder, decoder, flow: (B, c + d + 2, 2h, 2w)
            flows.append(self.heads[number + 1](x))  # (B, 2, 2h, 2w)
        return tuple(flows)


def stacked(first: Tensor, second: Tensor) -> Tensor:
    """Two batches (B, 3, H, W) in [0, 1] as (B, 6, H, W) with the pair's mean colour taken off."""
    mean = (first.mean(dim=(2, 3), keepdim=True) + second.mean(dim=(2, 3), keepdim=True)) / 2
    return torch.cat([first - mean, second - mean], dim=1)


def endpoint_loss(
    flows: Any, truth: Tensor, weights: tuple[float, ...] = (0.1, 0.15, 0.25, 0.4, 1.0)
) -> dict[str, Tensor]:
    """Mean endpoint error of every scale in pixels of the frame, weighted, by the name of its scale.

    flows: of ``forward``.   truth: (B, 2, H, W) in pixels; averaged over each coarse cell.
    """
    terms = {}
    for level, flow, weight in zip(LEVELS, flows, weights, strict=True):
        target = functional.avg_pool2d(truth, level)  # (B, 2, H/level, W/level)
        error = torch.linalg.vector_norm(flow.float() * FLOW_UNIT - target, dim=1)
        terms[f"1/{level}"] = weight * error.mean()
    return terms
