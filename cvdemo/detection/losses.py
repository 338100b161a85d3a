"""What the compact detector learns from: which cells answer for which object, and what they are charged.

Assignment is task-aligned (TOOD, Feng et al. 2021, arXiv:2108.07755): of the cells inside an object's box, the ten
whose prediction already agrees best with it, in class score and in overlap, become positive. It is computed sparsely,
on the (object, cell) pairs that can match, because a batch holds hundreds of objects and thousands of cells.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.ops import complete_box_iou_loss

from cvdemo.detection.nets.compact_detector import DISTANCE_BINS, decode_boxes

SCORE_POWER, OVERLAP_POWER, CELLS_PER_OBJECT = 0.5, 6.0, 10


class Targets(NamedTuple):
    """All objects of a batch, one row each.

    image (M,) int64 index in the batch; boxes (M, 4) xyxy input pixels; classes (M,) int64 class index;
    confidence (M,) in (0, 1]: 1 for a person-made label, less for a pseudo-label; ignored (M,) bool: cells inside the
    box are not punished for predicting the class, but nobody is asked to predict it either.
    """

    image: Tensor
    boxes: Tensor
    classes: Tensor
    confidence: Tensor
    ignored: Tensor


class Assignment(NamedTuple):
    """Positive cells, one row each: cell (P,) index into batch*cells, object (P,) index into Targets, quality (P,)."""

    cell: Tensor
    object: Tensor
    quality: Tensor


class LossTerms(NamedTuple):
    total: Tensor
    classification: Tensor
    overlap: Tensor
    distribution: Tensor
    positives: int


def _elementwise_iou(a: Tensor, b: Tensor) -> Tensor:
    overlap = (torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])).clamp(min=0).prod(1)
    area = (a[:, 2:] - a[:, :2]).prod(1) + (b[:, 2:] - b[:, :2]).prod(1)
    return overlap / (area - overlap).clamp(min=1e-6)


def pairs_inside(targets: Targets, rows: Tensor, centres: Tensor, strides: Tensor) -> tuple[Tensor, Tensor]:
    """(object, cell) index pairs where the cell's centre lies in the object's box.

    A box smaller than a cell may contain no centre at all: boxes are widened to one stride of the finest level, so
    even the smallest object meets about one cell.
    """
    boxes = targets.boxes[rows]
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = ((boxes[:, 2:] - boxes[:, :2]) / 2).clamp(min=float(strides.min()) / 2)
    inside = ((centres[None] - middle[:, None]).abs() <= half[:, None]).all(-1)
    row, cell = inside.nonzero(as_tuple=True)
    return rows[row], cell


@torch.no_grad()
def assign(logits: Tensor, boxes: Tensor, targets: Targets, centres: Tensor, strides: Tensor) -> Assignment:
    """Choose positive cells. logits (B, N, classes), boxes (B, N, 4) predicted, both float32."""
    cells = boxes.shape[1]
    wanted = (~targets.ignored).nonzero(as_tuple=True)[0]
    obj, cell = pairs_inside(targets, wanted, centres, strides)
    image = targets.image[obj]
    overlap = _elementwise_iou(boxes[image, cell], targets.boxes[obj])
    score = logits[image, cell, targets.classes[obj]].sigmoid()
    metric = score**SCORE_POWER * overlap**OVERLAP_POWER

    # Rank the cells of each object: sort by object, then by falling metric; the rank is the distance to the object's
    # first row.
    order = torch.argsort(metric, descending=True)
    order = order[torch.argsort(obj[order], stable=True)]
    obj, cell, image, overlap, metric = obj[order], cell[order], image[order], overlap[order], metric[order]
    first = torch.searchsorted(obj, obj)
    keep = (torch.arange(len(obj), device=obj.device) - first) < CELLS_PER_OBJECT
    obj, cell, image, overlap, metric = obj[keep], cell[keep], image[keep], overlap[keep], metric[keep]

    # A cell wanted by two objects goes to the one it overlaps more: the last row in rising order of overlap. (A
    # maximum, not an indexed write: which of several writes to one place wins is undefined on GPUs.)
    flat = image * cells + cell
    order = torch.argsort(overlap)
    last = torch.full((len(boxes) * cells,), -1, dtype=torch.long, device=obj.device)
    last = last.scatter_reduce(0, flat[order], torch.arange(len(order), device=obj.device), "amax")
    chosen = order[last[last >= 0]]
    obj, flat, overlap, metric = obj[chosen], flat[chosen], overlap[chosen], metric[chosen]

    # The best cell of an object is asked for its overlap, the others for proportionally less.
    best_metric = torch.zeros(len(targets.boxes), device=obj.device).scatter_reduce(0, obj, metric, "amax")
    best_overlap = torch.zeros(len(targets.boxes), device=obj.device).scatter_reduce(0, obj, overlap, "amax")
    quality = metric / best_metric[obj].clamp(min=1e-9) * best_overlap[obj]
    return Assignment(flat, obj, quality * targets.confidence[obj])


def detection_loss(logits: Tensor, bins: Tensor, targets: Targets, centres: Tensor, strides: Tensor) -> LossTerms:
    """Loss of one batch from logits (B, N, classes) and distance-bin logits (B, N, 4, bins), float32.

    Classification is binary cross-entropy against the assignment's quality; boxes pay complete-IoU (Zheng et al. 2020,
    arXiv:1911.08287) plus the cross-entropy of the two bins next to the true distance (Li et al. 2020).
    """
    batch, cells, classes = logits.shape
    boxes = decode_boxes(bins, centres, strides)
    positive = assign(logits.detach(), boxes.detach(), targets, centres, strides)
    wanted = torch.zeros(batch * cells, classes, device=logits.device)
    wanted[positive.cell, targets.classes[positive.object]] = positive.quality
    normaliser = positive.quality.sum().clamp(min=1.0)

    entropy = functional.binary_cross_entropy_with_logits(logits.reshape(-1, classes), wanted, reduction="none")
    obj, cell = pairs_inside(targets, targets.ignored.nonzero(as_tuple=True)[0], centres, strides)
    spared = torch.ones_like(entropy)
    spared[targets.image[obj] * cells + cell, targets.classes[obj]] = 0.0
    spared[positive.cell, targets.classes[positive.object]] = 1.0
    classification = (entropy * spared).sum() / normaliser

    cell_in_level = positive.cell % cells
    true_boxes = targets.boxes[positive.object]
    predicted = boxes.reshape(-1, 4)[positive.cell]
    overlap = (complete_box_iou_loss(predicted, true_boxes) * positive.quality).sum() / normaliser

    centre, stride = centres[cell_in_level], strides[cell_in_level, None]
    distance = torch.cat([centre - true_boxes[:, :2], true_boxes[:, 2:] - centre], 1) / stride
    distance = distance.clamp(0, DISTANCE_BINS - 1 - 1e-3)
    lower = distance.long()
    log_bins = bins.reshape(-1, 4, DISTANCE_BINS)[positive.cell].log_softmax(-1)
    upper_share = distance - lower
    near = log_bins.gather(-1, lower[..., None])[..., 0] * (1 - upper_share)
    near = near + log_bins.gather(-1, (lower + 1)[..., None])[..., 0] * upper_share
    distribution = -(near.mean(1) * positive.quality).sum() / normaliser

    total = classification + 5.0 * overlap + distribution
    return LossTerms(total, classification.detach(), overlap.detach(), distribution.detach(), len(positive.cell))
