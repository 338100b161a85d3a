"""The compact detector: an anchor-free, one-stage network for the 80 COCO categories that runs live on a laptop CPU.

It stands on the shared compact backbone and follows the family of FCOS (Tian et al. 2019, arXiv:1904.01355: every cell
of a feature pyramid predicts one box as four distances), with a path-aggregation neck (Liu et al. 2018,
arXiv:1803.01534) and distances predicted as a distribution over bins (Li et al. 2020, arXiv:2006.04388).

Sizes in comments are for a 320x320 input.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from cvdemo.classification.nets.compact_backbone import (
    DEPTHS,
    WIDTHS,
    CompactBackbone,
    ConvBnRelu,
    PartialStage,
    fuse_all,
    normalise,
)

STRIDES = (8, 16, 32)
DISTANCE_BINS = 8  # a side lies 0 to 7 strides from the cell's centre: up to 224 px on the coarsest level


class LevelOutput(NamedTuple):
    """What one pyramid level predicts: class logits (B, classes, h, w), distance-bin logits (B, 4 * bins, h, w)."""

    class_logits: Tensor
    distance_logits: Tensor


class Neck(nn.Module):
    """Path aggregation: coarse features flow down, then fine ones flow back up; every level ends ``width`` wide."""

    def __init__(self, channels: tuple[int, int, int], width: int) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(ConvBnRelu(c, width, 1) for c in channels)
        self.down4 = PartialStage(2 * width, width, 1, residual=False)
        self.down3 = PartialStage(2 * width, width, 1, residual=False)
        self.stride3 = ConvBnRelu(width, width, 3, 2)
        self.up4 = PartialStage(2 * width, width, 1, residual=False)
        self.stride4 = ConvBnRelu(width, width, 3, 2)
        self.up5 = PartialStage(2 * width, width, 1, residual=False)

    def forward(self, c3: Tensor, c4: Tensor, c5: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        l3, l4, l5 = (lateral(c) for lateral, c in zip(self.lateral, (c3, c4, c5)))
        # Sizes are multiples of 32, so doubling always meets the finer level exactly.
        t4 = self.down4(torch.cat([l4, nn.functional.interpolate(l5, scale_factor=2.0)], 1))
        p3 = self.down3(torch.cat([l3, nn.functional.interpolate(t4, scale_factor=2.0)], 1))  # (B, width, 40, 40)
        p4 = self.up4(torch.cat([self.stride3(p3), t4], 1))  # (B, width, 20, 20)
        p5 = self.up5(torch.cat([self.stride4(p4), l5], 1))  # (B, width, 10, 10)
        return p3, p4, p5


class Head(nn.Module):
    """Separate 3x3 convolutions for "what" and "where" on one pyramid level."""

    def __init__(self, channels_in: int, width: int, classes: int) -> None:
        super().__init__()
        self.class_tower = ConvBnRelu(channels_in, width)
        self.class_logits = nn.Conv2d(width, classes, 1)
        self.box_tower = ConvBnRelu(channels_in, width)
        self.distance_logits = nn.Conv2d(width, 4 * DISTANCE_BINS, 1)
        # Focal loss's prior (Lin et al. 2017, section 4.1): every cell starts at a probability of 0.01.
        nn.init.constant_(self.class_logits.bias, -4.6)  # type: ignore[arg-type]
        nn.init.normal_(self.class_logits.weight, std=0.01)

    def forward(self, x: Tensor) -> LevelOutput:
        return LevelOutput(self.class_logits(self.class_tower(x)), self.distance_logits(self.box_tower(x)))


class CompactDetector(nn.Module):
    """RGB in [0, 1], (B, 3, H, W) with H and W multiples of 32 -> one ``LevelOutput`` per stride of 8, 16, 32."""

    def __init__(
        self,
        classes: int = 80,
        widths: tuple[int, int, int, int, int] = WIDTHS,
        depths: tuple[int, int, int, int] = DEPTHS,
        neck_width: int = 96,
        head_width: int = 96,
    ) -> None:
        super().__init__()
        self.backbone = CompactBackbone(widths, depths)
        self.neck = Neck(widths[2:], neck_width)
        self.heads = nn.ModuleList(Head(neck_width, head_width, classes) for _ in STRIDES)

    def pyramid(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor]]:
        """The backbone's features at stride 4 (B, 32, H/4, W/4), and the neck's at strides 8, 16, 32."""
        c2, c3, c4, c5 = self.backbone(normalise(x))
        return c2, self.neck(c3, c4, c5)

    def predict(self, levels: tuple[Tensor, Tensor, Tensor]) -> list[LevelOutput]:
        """What the heads make of the neck's features."""
        return [head(level) for head, level in zip(self.heads, levels)]

    def forward(self, x: Tensor) -> list[LevelOutput]:
        return self.predict(self.pyramid(x)[1])

    def fuse(self) -> CompactDetector:
        """Fold every batch normalisation into its convolution, in place; call once, after loading weights."""
        fuse_all(self)
        return self


def cell_centres(height: int, width: int, device: torch.device | None = None) -> tuple[Tensor, Tensor]:
    """Centres (N, 2) xy in input pixels of every cell of every level, and each cell's stride (N,)."""
    centres, strides = [], []
    for stride in STRIDES:
        h, w = height // stride, width // stride
        y, x = torch.meshgrid(torch.arange(h, device=device), torch.arange(w, device=device), indexing="ij")
        centres.append((torch.stack([x.reshape(-1), y.reshape(-1)], 1) + 0.5) * stride)
        strides.append(torch.full((h * w,), float(stride), device=device))
    return torch.cat(centres), torch.cat(strides)


def flatten_levels(outputs: list[LevelOutput]) -> tuple[Tensor, Tensor]:
    """Levels -> class logits (B, N, classes) and distance-bin logits (B, N, 4, bins), float32, finest level first."""
    logits = torch.cat([level.class_logits.flatten(2) for level in outputs], 2).transpose(1, 2).float()
    bins = torch.cat([level.distance_logits.flatten(2) for level in outputs], 2).transpose(1, 2).float()
    return logits, bins.reshape(bins.shape[0], bins.shape[1], 4, DISTANCE_BINS)


def decode_boxes(bins: Tensor, centres: Tensor, strides: Tensor) -> Tensor:
    """Distance-bin logits (..., N, 4, bins) -> boxes (..., N, 4) xyxy in input pixels.

    Each side's distance is the mean of its softmax over 0..bins-1, times the stride.
    """
    bin_values = torch.arange(DISTANCE_BINS, dtype=bins.dtype, device=bins.device)
    distances = (bins.softmax(-1) @ bin_values) * strides[:, None]
    return torch.cat([centres - distances[..., :2], centres + distances[..., 2:]], -1)
