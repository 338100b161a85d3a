"""The compact detector: an anchor-free, one-stage network for the 80 COCO categories that runs live on a laptop CPU.

One file, top to bottom. It follows the family of FCOS (Tian et al. 2019, arXiv:1904.01355: every cell of a feature
pyramid predicts one box as four distances), with three later ideas: cross-stage partial blocks (Wang et al. 2019,
arXiv:1911.11929), a path-aggregation neck (Liu et al. 2018, arXiv:1803.01534), and distances predicted as a
distribution over bins (Li et al. 2020, arXiv:2006.04388). Dense 3x3 convolutions and ReLU throughout: on CPUs they
train about twice as fast per multiply as depthwise ones.

Sizes in comments are for a 320x320 input.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

STRIDES = (8, 16, 32)
DISTANCE_BINS = 8  # a side lies 0 to 7 strides from the cell's centre: up to 224 px on the coarsest level


class LevelOutput(NamedTuple):
    """What one pyramid level predicts: class logits (B, classes, h, w), distance-bin logits (B, 4 * bins, h, w)."""

    class_logits: Tensor
    distance_logits: Tensor


class ConvBnRelu(nn.Module):
    """Convolution, batch normalisation, ReLU; 'same' padding for odd kernels."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, kernel, stride, kernel // 2, bias=False)
        self.norm: nn.Module = nn.BatchNorm2d(channels_out)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu_(self.norm(self.conv(x)))

    def fuse(self) -> None:
        """Fold the normalisation into the convolution (evaluation only; the outputs stay the same)."""
        if isinstance(self.norm, nn.BatchNorm2d):
            self.conv = fuse_conv_bn_eval(self.conv.eval(), self.norm.eval())
            self.norm = nn.Identity()


class PartialStage(nn.Module):
    """Cross-stage partial block: half of the channels pass through ``depth`` residual pairs of 3x3 convolutions.

    Every intermediate result joins the final concatenation, so gradients reach the early layers on short paths.
    """

    def __init__(self, channels_in: int, channels_out: int, depth: int, residual: bool = True) -> None:
        super().__init__()
        half = channels_out // 2
        self.split = ConvBnRelu(channels_in, 2 * half, 1)
        self.pairs = nn.ModuleList(nn.Sequential(ConvBnRelu(half, half), ConvBnRelu(half, half)) for _ in range(depth))
        self.merge = ConvBnRelu((2 + depth) * half, channels_out, 1)
        self.residual = residual

    def forward(self, x: Tensor) -> Tensor:
        kept, work = self.split(x).chunk(2, 1)
        parts = [kept, work]
        for pair in self.pairs:
            work = work + pair(work) if self.residual else pair(work)
            parts.append(work)
        return self.merge(torch.cat(parts, 1))


class PoolingPyramid(nn.Module):
    """Three stacked 5x5 max-poolings side by side (spatial pyramid pooling, He et al. 2014, arXiv:1406.4729)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.reduce = ConvBnRelu(channels, channels // 2, 1)
        self.pool = nn.MaxPool2d(5, 1, 2)
        self.expand = ConvBnRelu(channels // 2 * 4, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        views = [self.reduce(x)]
        for _ in range(3):
            views.append(self.pool(views[-1]))
        return self.expand(torch.cat(views, 1))


class Backbone(nn.Module):
    """Picture (B, 3, H, W) -> features at strides 8, 16, 32."""

    def __init__(self, widths: tuple[int, int, int, int, int], depths: tuple[int, int, int, int]) -> None:
        super().__init__()
        w1, w2, w3, w4, w5 = widths
        self.stem = ConvBnRelu(3, w1, 3, 2)
        self.stage2 = nn.Sequential(ConvBnRelu(w1, w2, 3, 2), PartialStage(w2, w2, depths[0]))
        self.stage3 = nn.Sequential(ConvBnRelu(w2, w3, 3, 2), PartialStage(w3, w3, depths[1]))
        self.stage4 = nn.Sequential(ConvBnRelu(w3, w4, 3, 2), PartialStage(w4, w4, depths[2]))
        self.stage5 = nn.Sequential(ConvBnRelu(w4, w5, 3, 2), PartialStage(w5, w5, depths[3]), PoolingPyramid(w5))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x = self.stem(x)  # (B, w1, 160, 160)
        x = self.stage2(x)  # (B, w2, 80, 80)
        c3 = self.stage3(x)  # (B, w3, 40, 40)
        c4 = self.stage4(c3)  # (B, w4, 20, 20)
        c5 = self.stage5(c4)  # (B, w5, 10, 10)
        return c3, c4, c5


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
        widths: tuple[int, int, int, int, int] = (16, 32, 64, 128, 256),
        depths: tuple[int, int, int, int] = (1, 2, 2, 1),
        neck_width: int = 96,
        head_width: int = 96,
    ) -> None:
        super().__init__()
        self.backbone = Backbone(widths, depths)
        self.neck = Neck(widths[2:], neck_width)
        self.heads = nn.ModuleList(Head(neck_width, head_width, classes) for _ in STRIDES)

    def forward(self, x: Tensor) -> list[LevelOutput]:
        levels = self.neck(*self.backbone((x - 0.45) * 4.0))
        return [head(level) for head, level in zip(self.heads, levels)]

    def fuse(self) -> CompactDetector:
        """Fold every batch normalisation into its convolution, in place; call once, after loading weights."""
        for module in self.modules():
            if isinstance(module, ConvBnRelu):
                module.fuse()
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
