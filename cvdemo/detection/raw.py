"""What one run of a detector returns for one picture: the candidates and what the lessons draw around them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cvdemo.detection.candidates import Candidates
from cvdemo.detection.nms import iou_matrix, suppress

AGREE_TOP = 50
AGREE_FLOOR = 0.05
AGREE_IOU = 0.9
AGREE_SCORE = 0.05
AGREE_SHARE = 0.9


@dataclass(frozen=True, eq=False)
class RawDetections:
    """Everything ``infer`` found out about one picture. Arrays are numpy, boxes x1 y1 x2 y2 in pixels of the picture.

    Attributes:
        candidates: all boxes before suppression, best score first.
        proposals: (P, 4) float32, the regions a two-stage detector's first stage kept, best first; None for one-stage.
        objectness: (P,) float32 in [0, 1], their probability of being an object of any class; None for one-stage.
        levels: (rows, columns, stride) of each feature map, finest first. The stride is the distance of two rows in
            pixels of the network's input; on the coarsest maps that of two columns can be smaller, because sizes are
            rounded up. ``candidates.level`` indexes it. It can be longer than the levels candidates come from:
            Faster R-CNN proposes on one level more than it classifies on.
        input_size: (height, width) of the picture as the network saw it, without padding.
    """

    candidates: Candidates
    proposals: np.ndarray | None
    objectness: np.ndarray | None
    levels: tuple[tuple[int, int, float], ...]
    input_size: tuple[int, int]

    def __post_init__(self) -> None:
        if (self.proposals is None) != (self.objectness is None):
            raise ValueError("proposals and objectness come together or not at all")
        objectness = () if self.objectness is None else self.objectness
        if self.proposals is not None and self.proposals.shape != (len(objectness), 4):
            raise ValueError(f"{len(objectness)} objectness values for proposals of shape {self.proposals.shape}")
        if len(self.candidates) and int(self.candidates.level.max()) >= len(self.levels):
            raise ValueError("a candidate comes from a level that is not listed")


def agree(reference: RawDetections, other: RawDetections) -> bool:
    """Whether a faster number format may replace the reference: its best candidates are the same objects.

    Each network is judged on what a user would see: the reference's best 50 boxes after suppression at IoU 0.5 that
    score above 0.05 (the best ten of any score when fewer than ten do), leaving out slivers under a pixel, whose IoU
    means nothing. At least 90 % of them need a partner in ``other``: same label, IoU of at least 0.9, score within
    0.05. Partners are matched by place and not by row, because rounding reorders equal scores and lets another of many
    near-identical proposals survive.
    """
    candidates, others = _without_slivers(reference.candidates), _without_slivers(other.candidates)
    if not len(candidates):
        return not len(others)
    if not len(others):
        return False
    rows, scores = suppress(candidates, "hard", 0.5, max_detections=AGREE_TOP)
    rows = rows[: max(int((scores > AGREE_FLOOR).sum()), min(10, len(rows)))]
    overlap = iou_matrix(candidates.boxes[rows], others.boxes)
    alike = candidates.labels[rows, None] == others.labels[None, :]
    close = np.abs(candidates.scores[rows, None] - others.scores[None, :]) <= AGREE_SCORE
    matched = ((overlap >= AGREE_IOU) & alike & close).any(axis=1)
    return bool(matched.mean() >= AGREE_SHARE)


def _without_slivers(candidates: Candidates) -> Candidates:
    return candidates.take(((candidates.boxes[:, 2:] - candidates.boxes[:, :2]) >= 1).all(axis=1))
