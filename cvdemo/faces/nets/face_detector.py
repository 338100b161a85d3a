"""The compact face detector: boxes, scores and five landmarks in one pass, small enough for live video on a CPU.

A narrow version of the shared compact backbone (its first three stages have the same shapes, so they can start from
the weights of any other compact model), a top-down feature pyramid (Lin et al. 2017, arXiv:1612.03144) and, as in FCOS
(Tian et al. 2019, arXiv:1904.01355), a prediction in every cell. The landmarks are predicted beside the box as in
RetinaFace (Deng et al. 2020, arXiv:1905.00641), which also helps the box.

Sizes in comments are for a 640x480 input.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cvdemo.classification.nets.compact_backbone import CompactBackbone, ConvBnRelu, fuse_all, normalise

STRIDES = (8, 16, 32)
WIDTHS = (16, 32, 64, 96, 64)
DEPTHS = (1, 2, 1, 1)
NECK_WIDTH = 48
OUTPUTS = 1 + 4 + 10  # score logit; box centre and log size; five landmarks
TYPICAL_SIDE = 3.0  # strides: the side of a box whose predicted log size is zero


class CompactFaceDetector(nn.Module):
    """RGB in [0, 1], (B, 3, H, W) with H and W multiples of 32 -> a map (B, 15, h, w) per stride of 8, 16, 32."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = CompactBackbone(WIDTHS, DEPTHS)
        self.lateral = nn.ModuleList(ConvBnRelu(channels, NECK_WIDTH, 1) for channels in WIDTHS[2:])
        self.towers = nn.ModuleList(ConvBnRelu(NECK_WIDTH, NECK_WIDTH) for _ in STRIDES)
        self.outputs = nn.ModuleList(nn.Conv2d(NECK_WIDTH, OUTPUTS, 1) for _ in STRIDES)
        # Focal loss's prior (Lin et al. 2017, section 4.1): every cell starts at a probability of 0.01.
        prior = torch.zeros(OUTPUTS)
        prior[0] = -4.6
        for output in self.outputs:
            nn.init.normal_(output.weight, std=0.01)  # type: ignore[arg-type]
            output.bias = nn.Parameter(prior.clone())

    def forward(self, x: Tensor) -> list[Tensor]:
        _, c3, c4, c5 = self.backbone(normalise(x))
        p5 = self.lateral[2](c5)  # (B, 48, 15, 20)
        p4 = self.lateral[1](c4) + nn.functional.interpolate(p5, scale_factor=2.0)  # (B, 48, 30, 40)
        p3 = self.lateral[0](c3) + nn.functional.interpolate(p4, scale_factor=2.0)  # (B, 48, 60, 80)
        return [output(tower(p)) for output, tower, p in zip(self.outputs, self.towers, (p3, p4, p5))]

    def fuse(self) -> CompactFaceDetector:
        """Fold every batch normalisation into its convolution, in place; call once, after loading weights."""
        fuse_all(self)
        return self


def cell_centres(height: int, width: int, device: torch.device | None = None) -> tuple[Tensor, Tensor]:
    """Centres (N, 2) xy in input pixels of every cell of every level, and each cell's stride (N,)."""
    centres, strides = [], []
    for stride in STRIDES:
        rows, columns = height // stride, width // stride
        y, x = torch.meshgrid(torch.arange(rows, device=device), torch.arange(columns, device=device), indexing="ij")
        centres.append((torch.stack([x.reshape(-1), y.reshape(-1)], 1) + 0.5) * stride)
        strides.append(torch.full((rows * columns,), float(stride), device=device))
    return torch.cat(centres), torch.cat(strides)


def flatten_levels(levels: list[Tensor]) -> Tensor:
    """Maps (B, 15, h, w) -> (B, N, 15) float32, finest level first, row by row: the order of ``cell_centres``."""
    return torch.cat([level.flatten(2) for level in levels], 2).transpose(1, 2).float()


def decode_boxes(values: Tensor, centres: Tensor, strides: Tensor) -> Tensor:
    """Predictions (..., N, 15) -> boxes (..., N, 4) xyxy in input pixels.

    The box's centre lies (dx, dy) strides from the cell's, its sides are exp(log size) times three strides.
    """
    stride = strides[:, None]
    middle = centres + values[..., 1:3] * stride
    half = values[..., 3:5].clamp(-5, 5).exp() * (stride * TYPICAL_SIDE / 2)
    return torch.cat([middle - half, middle + half], -1)


def decode_landmarks(values: Tensor, centres: Tensor, strides: Tensor) -> Tensor:
    """Predictions (..., N, 15) -> landmarks (..., N, 5, 2) xy in input pixels: strides from the cell's centre."""
    offsets = values[..., 5:15].unflatten(-1, (5, 2))
    return centres[:, None] + offsets * strides[:, None, None]
