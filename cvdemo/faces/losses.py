"""What the compact face detector learns from: which cells answer for which face, and what they are charged.

The assignment is the detector's of the Detection tab (task-aligned, Feng et al. 2021, arXiv:2108.07755) with one class.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.ops import complete_box_iou_loss

from cvdemo.detection.losses import Targets, assign, pairs_inside
from cvdemo.faces.nets.face_detector import decode_boxes, decode_landmarks

# A coordinate's share of the landmark term is a tenth of its error, so the term needs the larger weight.
BOX_WEIGHT, LANDMARK_WEIGHT = 4.0, 20.0


class FaceTargets(NamedTuple):
    """All faces of a batch, one row each: boxes as the detector's targets, landmarks (M, 5, 2) in input pixels."""

    boxes: Targets
    landmarks: Tensor


class FaceLoss(NamedTuple):
    total: Tensor
    score: Tensor
    box: Tensor
    landmark: Tensor
    positives: int


def face_loss(values: Tensor, targets: FaceTargets, centres: Tensor, strides: Tensor) -> FaceLoss:
    """Loss of one batch from predictions (B, N, 15) float32.

    The score pays binary cross-entropy against the assignment's quality, boxes complete-IoU (Zheng et al. 2020,
    arXiv:1911.08287), landmarks their absolute distance as a share of the face's side. Ignored faces (doubtful labels)
    cost nothing and ask for nothing.
    """
    batch, cells, _ = values.shape
    boxes = decode_boxes(values, centres, strides)
    faces = targets.boxes
    positive = assign(values[..., :1].detach(), boxes.detach(), faces, centres, strides)
    wanted = torch.zeros(batch * cells, device=values.device)
    wanted[positive.cell] = positive.quality
    normaliser = positive.quality.sum().clamp(min=1.0)

    entropy = functional.binary_cross_entropy_with_logits(values[..., 0].reshape(-1), wanted, reduction="none")
    obj, cell = pairs_inside(faces, faces.ignored.nonzero(as_tuple=True)[0], centres, strides)
    spared = torch.ones_like(entropy)
    spared[faces.image[obj] * cells + cell] = 0.0
    spared[positive.cell] = 1.0
    score = (entropy * spared).sum() / normaliser

    true_boxes = faces.boxes[positive.object]
    predicted = boxes.reshape(-1, 4)[positive.cell]
    box = (complete_box_iou_loss(predicted, true_boxes) * positive.quality).sum() / normaliser

    in_level = positive.cell % cells
    rows = values.reshape(-1, values.shape[2])[positive.cell]
    points = decode_landmarks(rows, centres[in_level], strides[in_level])
    side = (true_boxes[:, 2:] - true_boxes[:, :2]).prod(1).clamp(min=1.0).sqrt()
    distance = (points - targets.landmarks[positive.object]).abs().mean((1, 2)) / side
    landmark = (distance * positive.quality).sum() / normaliser

    total = score + BOX_WEIGHT * box + LANDMARK_WEIGHT * landmark
    return FaceLoss(total, score.detach(), box.detach(), landmark.detach(), len(positive.cell))
