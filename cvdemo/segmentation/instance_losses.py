"""What the compact instance recipe asks of a mask: which cells answer for an object, on which region, and how wrong."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from cvdemo.segmentation.labels import IGNORE
from cvdemo.segmentation.nets.compact_instances import grid_of, grown

CELLS = 3  # that learn each object
ANSWERS = 0.5  # IoU with the true box from which on a cell's box counts as the object's
FALLBACK = 0.2  # the best box is taken from here on where none reaches that


class Chosen(NamedTuple):
    """cell (M, K) int64: indices over all levels.   used (M, K) bool.   box (M, K, 4): what those cells predict."""

    cell: Tensor
    used: Tensor
    box: Tensor


def pairwise_iou(true: Tensor, boxes: Tensor) -> Tensor:
    """(M, N) IoU of each true box (M, 4) with its own row of boxes (M, N, 4)."""
    low, high = torch.maximum(true[:, None, :2], boxes[..., :2]), torch.minimum(true[:, None, 2:], boxes[..., 2:])
    shared = (high - low).clamp(min=0).prod(-1)
    own, theirs = (true[:, 2:] - true[:, :2]).prod(-1), (boxes[..., 2:] - boxes[..., :2]).clamp(min=0).prod(-1)
    return shared / (own[:, None] + theirs - shared).clamp(min=1e-6)


def answering_cells(logits: Tensor, boxes: Tensor, picture: Tensor, category: Tensor, true: Tensor) -> Chosen:
    """The cells that the detector itself would answer with, for M true objects.

    logits (B, N, classes) and boxes (B, N, 4): what the detector says.   picture, category (M,), true (M, 4): objects.
    Among the cells whose box overlaps the true one by an IoU of 0.5 or more, the three that score best for its class;
    where there is none, the one whose box comes closest, if its IoU is at least 0.2.
    """
    overlap = pairwise_iou(true, boxes[picture])
    score = logits[picture, :, category].sigmoid()
    good = overlap >= ANSWERS
    quality, cell = torch.where(good, score, overlap - 2).topk(min(CELLS, overlap.shape[1]), 1)
    used = quality >= 0
    used[:, 0] |= overlap.max(1).values >= FALLBACK
    return Chosen(cell, used, boxes[picture[:, None], cell])


def training_regions(
    true: Tensor, chosen: Chosen, size: int, predicted_share: float = 0.5, spread: float = 0.07
) -> Tensor:
    """(M, K, 4): where each cell's mask is learned: around its own box half of the time, as at test time, else around
    the true one, whose sides are moved at random (standard deviation ``spread`` of the box's). Both are grown as at
    test time and cut at the crop's edge, and are at least 4 pixels wide and high.
    """
    count, cells = chosen.cell.shape
    sides = (true[:, 2:] - true[:, :2])[:, None].repeat(1, cells, 2)
    shaken = true[:, None] + torch.randn(count, cells, 4, device=true.device) * spread * sides
    own = torch.rand(count, cells, 1, device=true.device) < predicted_share
    own = own & (pairwise_iou(true, chosen.box) >= ANSWERS)[..., None]
    regions = grown(torch.where(own, chosen.box, shaken), size, size)
    centre = ((regions[..., :2] + regions[..., 2:]) / 2).clamp(2, size - 2)
    low, high = torch.minimum(regions[..., :2], centre - 2), torch.maximum(regions[..., 2:], centre + 2)
    return torch.cat([low, high], -1)


def sampled_targets(masks: Tensor, regions: Tensor, side: int, size: int) -> tuple[Tensor, Tensor]:
    """What the masks (M, s, s) uint8 of crops of ``size`` pixels are on grids over regions (M, K, 4).

    Returns the target (M, K, side, side) in [0, 1], the object's share of what is known of a cell, and (…) bool, where
    at least half of the cell is known. Each cell averages 2 x 2 points.
    """
    count, cells = regions.shape[:2]
    points = grid_of(regions.reshape(-1, 4), 2 * side).reshape(count, cells * 2 * side, 2 * side, 2)
    maps = torch.stack([(masks == 1).float(), (masks != IGNORE).float()], 1)
    # Half-resolution labels: the middle of label (r, c) is at pixel (2 r + 1, 2 c + 1).
    read = nn.functional.grid_sample(
        maps, points * (2 / size) - 1, mode="bilinear", padding_mode="border", align_corners=False
    )
    read = nn.functional.avg_pool2d(read, 2).reshape(count, 2, cells, side, side)
    known = read[:, 1]
    return (read[:, 0] / known.clamp(min=1e-6)).clamp(0, 1), known >= 0.5


def mask_loss(logits: Tensor, target: Tensor, known: Tensor, used: Tensor) -> tuple[Tensor, dict[str, float]]:
    """Binary cross-entropy + Dice of masks (M, K, s, s), every object counted equally, and both as figures.

    Both are means over the known cells of a mask, then over the masks ``used`` (M, K) of an object, then over objects.
    Dice: 1 - (2 sum(p g) + 1) / (sum(p^2) + sum(g^2) + 1) (Milletari et al. 2016, V-Net).
    """
    weight = known.float()
    entropy = nn.functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    entropy = (entropy * weight).sum((2, 3)) / weight.sum((2, 3)).clamp(min=1)
    probability = logits.sigmoid() * weight
    shared = (probability * target).sum((2, 3))
    squares = probability.square().sum((2, 3)) + (target.square() * weight).sum((2, 3))
    dice = 1 - (2 * shared + 1) / (squares + 1)
    share = used.float() / used.sum(1, keepdim=True).clamp(min=1)
    objects = used.any(1).sum().clamp(min=1)
    terms = [(term * share).sum() / objects for term in (entropy, dice)]
    with torch.no_grad():
        found, true = (logits >= 0) & known, (target >= 0.5) & known
        iou = (found & true).sum((2, 3)) / (found | true).sum((2, 3)).clamp(min=1)
        figures = {"entropy": float(terms[0]), "dice": float(terms[1]), "iou": float((iou * share).sum() / objects)}
    return terms[0] + terms[1], figures
