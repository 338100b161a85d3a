"""What one run of a segmentation network returns for one picture: a map of logits, or boxes with small masks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

AGREE_PIXELS = 0.97
AGREE_PROBABILITY = 0.03
AGREE_TOP = 20
AGREE_FLOOR = 0.3
AGREE_IOU = 0.9
AGREE_SCORE = 0.05
AGREE_MASK = 0.05
AGREE_SHARE = 0.9


@dataclass(frozen=True, eq=False)
class RawSegmentation:
    """What a semantic network found out about one picture.

    Attributes:
        logits: (C, h, w) float32 at the network's output stride, before any resizing to the picture. Padding that the
            network's input needed is cut off as far as whole cells allow.
        categories: C class names, index 0 the background where there is one.
        extent: x1 y1 x2 y2, the rectangle the map covers, in pixels of the picture. It may reach past the right and
            bottom edges by the part of a cell that was padding; cell (row r, column c) covers the rectangle from
            x1 + c (x2 - x1) / w to x1 + (c + 1) (x2 - x1) / w, rows likewise.
        height, width: of the picture, in pixels.   model: registry name.
    """

    logits: np.ndarray
    categories: tuple[str, ...]
    extent: tuple[float, float, float, float]
    height: int
    width: int
    model: str

    def __post_init__(self) -> None:
        if self.logits.ndim != 3 or self.logits.shape[0] != len(self.categories) or 0 in self.logits.shape:
            raise ValueError(f"logits of shape {self.logits.shape} for {len(self.categories)} classes")
        if self.logits.dtype != np.float32:
            raise ValueError(f"logits are float32, not {self.logits.dtype}")
        x1, y1, x2, y2 = self.extent
        if not (x1 <= 0 and y1 <= 0 and x2 >= self.width and y2 >= self.height):
            raise ValueError(f"the map covers {self.extent}, not the whole {self.width} x {self.height} picture")


@dataclass(frozen=True, eq=False)
class RawInstances:
    """What an instance network found out about one picture: N objects, best score first.

    Attributes:
        boxes: (N, 4) float32, x1 y1 x2 y2 in pixels of the picture.
        scores: (N,) float32 in [0, 1].
        labels: (N,) int64, indices into ``categories``.
        masks: (N, 28, 28) float32 in [0, 1], the object's probability on a grid stretched over its box (any square
            grid is accepted; 28 is Mask R-CNN's).
        categories: the class names ``labels`` counts in.
        height, width: of the picture, in pixels.   model: registry name.
    """

    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    masks: np.ndarray
    categories: tuple[str, ...]
    height: int
    width: int
    model: str

    stage = "instances"

    def __post_init__(self) -> None:
        count = len(self.scores)
        if self.boxes.shape != (count, 4) or self.labels.shape != (count,):
            raise ValueError(f"boxes {self.boxes.shape} and labels {self.labels.shape} for {count} scores")
        if self.masks.ndim != 3 or len(self.masks) != count or self.masks.shape[1] != self.masks.shape[2]:
            raise ValueError(f"masks of shape {self.masks.shape} for {count} scores")
        if count and not 0 <= int(self.labels.min()) <= int(self.labels.max()) < len(self.categories):
            raise ValueError(f"labels run to {int(self.labels.max())} with {len(self.categories)} categories")

    def __len__(self) -> int:
        return len(self.scores)


def softmax(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Probabilities along the first axis, float32: exp(z / T) normalised (T > 1 flatter, T < 1 sharper)."""
    scaled = np.asarray(logits, np.float32) * np.float32(1.0 / temperature)
    scaled = scaled - scaled.max(axis=0, keepdims=True)
    np.exp(scaled, out=scaled)
    scaled /= scaled.sum(axis=0, keepdims=True)
    return scaled


def agree(reference: RawSegmentation, other: RawSegmentation) -> bool:
    """Whether a faster number format may replace the reference: the same map.

    97 % of the cells keep their class (cells where the reference's two best classes are within 0.03 of each other
    count as kept, rounding decides those), and no class's probability moves by more than 0.03 on average.
    """
    if other.logits.shape != reference.logits.shape or not np.isfinite(other.logits).all():
        return False
    first, second = softmax(reference.logits), softmax(other.logits)
    best = first.max(axis=0)
    chosen = np.take_along_axis(first, second.argmax(axis=0)[None], axis=0)[0]
    kept = best - chosen <= AGREE_PROBABILITY
    moved = np.abs(first - second).mean(axis=(1, 2))
    return bool(kept.mean() >= AGREE_PIXELS and moved.max() <= AGREE_PROBABILITY)


def agree_instances(reference: RawInstances, other: RawInstances) -> bool:
    """The same question for instances: 90 % of the reference's best 20 objects above 0.3 find a partner.

    (The best ten of any score when fewer score so high.) A partner has the same label, a box of IoU 0.9 or more, a
    score within 0.05 and a mask that differs by at most 0.05 on average.
    """
    if not np.isfinite(other.masks).all() or not np.isfinite(other.boxes).all():
        return False
    count = min(AGREE_TOP, max(int((reference.scores > AGREE_FLOOR).sum()), min(10, len(reference))))
    if not count:
        return not len(other)
    if not len(other):
        return False
    found = [_has_partner(reference, row, other) for row in range(count)]
    return bool(np.mean(found) >= AGREE_SHARE)


def _has_partner(reference: RawInstances, row: int, other: RawInstances) -> bool:
    box, boxes = reference.boxes[row], other.boxes
    sides = np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2])
    shared = np.clip(sides, 0, None).prod(axis=1)
    union = (box[2:] - box[:2]).prod() + (boxes[:, 2:] - boxes[:, :2]).prod(axis=1) - shared
    close = shared >= AGREE_IOU * union
    close &= (other.labels == reference.labels[row]) & (np.abs(other.scores - reference.scores[row]) <= AGREE_SCORE)
    if other.masks.shape[1:] != reference.masks.shape[1:]:
        return False
    return bool((np.abs(other.masks[close] - reference.masks[row]).mean(axis=(1, 2)) <= AGREE_MASK).any())
