"""What RAFT is trained with: the error of every refinement, and the match that its correlation volume should show."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from cvdemo.flow.raft import STRIDE

GAMMA = 0.8
FARTHEST = 400.0
"""Pixels; a motion beyond it is not learned from, as in the paper."""


def upsample_strided(flow: Tensor, height: int, width: int) -> Tensor:
    """(B, 2, H/8, W/8) in cells to (B, 2, H, W) in pixels, cell (i, j) lying on pixel (8 i, 8 j), where a strided
    convolution looks; beyond the last cells its value is repeated."""
    h, w = (flow.shape[2] - 1) * STRIDE + 1, (flow.shape[3] - 1) * STRIDE + 1
    full = functional.interpolate(flow, (h, w), mode="bilinear", align_corners=True) * STRIDE
    return functional.pad(full, (0, width - w, 0, height - h), mode="replicate")


def sequence_loss(refinements: Sequence[Tensor], truth: Tensor, gamma: float = GAMMA) -> tuple[Tensor, Tensor]:
    """Absolute error of all refinements, later ones weighing more: sum of gamma^(n - i) mean |f_i - f| (Teed 2020).

    refinements: n of (B, 2, h, w) in cells.   truth: (B, 2, H, W) in pixels.
    Returns: the loss, and the mean endpoint error of the last refinement.
    """
    height, width = truth.shape[-2:]
    known = truth.square().sum(dim=1, keepdim=True) < FARTHEST**2
    total, count = truth.new_zeros(()), len(refinements)
    difference = truth
    for number, coarse in enumerate(refinements, 1):
        difference = (upsample_strided(coarse, height, width) - truth) * known
        total = total + gamma ** (count - number) * difference.abs().mean()
    return total, difference.detach().square().sum(dim=1).sqrt().mean()


def matching_loss(volume: Tensor, truth: Tensor, visible: Tensor, most: int = 768) -> Tensor:
    """Cross entropy of the all-pairs correlation against the true match, in nats.

    For every cell of the first frame that is still visible in the second, the softmax over all cells of the second
    frame should be 1 where its content went; a place between four cells is shared among them bilinearly. It shows the
    encoder what to tell apart long before the recurrent part can pass a useful gradient on.

    volume: (B h w, 1, h, w) logits.   truth: (B, 2, 8 h, 8 w) pixels.   visible: (B, 8 h, 8 w) bool.
    most: cells it is taken over, drawn at random.
    """
    h, w = volume.shape[-2:]
    flow = truth[:, :, ::STRIDE, ::STRIDE] / STRIDE  # (B, 2, h, w): of the pixel each cell lies on
    y, x = torch.meshgrid(torch.arange(h, device=truth.device), torch.arange(w, device=truth.device), indexing="ij")
    to_x, to_y = (x + flow[:, 0]).reshape(-1), (y + flow[:, 1]).reshape(-1)  # (B h w,)
    inside = (to_x >= 0) & (to_x <= w - 1) & (to_y >= 0) & (to_y <= h - 1)
    chosen = (inside & visible[:, ::STRIDE, ::STRIDE].reshape(-1)).nonzero().squeeze(1)
    chosen = chosen[torch.randperm(len(chosen), device=chosen.device)[:most]]
    if not len(chosen):
        return volume.sum() * 0
    scores = volume.view(-1, h * w)[chosen].float()  # (N, h w)
    to_x, to_y = to_x[chosen], to_y[chosen]
    left, top = to_x.floor().clamp(max=max(w - 2, 0)), to_y.floor().clamp(max=max(h - 2, 0))
    right, down = to_x - left, to_y - top
    corner = (top * w + left).long()
    cells = torch.stack([corner, corner + 1, corner + w, corner + w + 1], dim=1)  # (N, 4)
    shares = torch.stack([(1 - right) * (1 - down), right * (1 - down), (1 - right) * down, right * down], dim=1)
    return (scores.logsumexp(dim=1) - (shares * scores.gather(1, cells)).sum(dim=1)).mean()


def matching_share(progress: float) -> float:
    """Weight of the matching loss over the training: most at the beginning."""
    return 0.05 + 0.45 * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
