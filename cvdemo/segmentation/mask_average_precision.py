"""COCO's evaluation of instance masks over a data set (Lin et al. 2014, arXiv:1405.0312).

The rules are those of boxes (``detection.coco_evaluation``), with two differences: the overlap is that of the masks,
and an object's size is the area of its mask. Equal to the reference implementation (pycocotools, iouType "segm") in
all twelve summary numbers; annotation ids play no part here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cvdemo.detection.average_precision import RECALL_POINTS, greedy_match, precision_at
from cvdemo.detection.coco_evaluation import AREA_RANGES, IOU_THRESHOLDS, MAX_DETECTIONS, CocoMetrics
from cvdemo.segmentation import rle

_LOW, _HIGH = np.array(list(AREA_RANGES.values())).T


@dataclass(frozen=True, eq=False)
class MaskObject:
    """A true or found object: its run lengths and their (height, width), class, score (1 for true ones), crowd.

    area: in pixels, as the annotation states it for true objects; worked out from the mask where it is None.
    """

    runs: Sequence[int]
    size: tuple[int, int]
    category_id: int
    score: float = 1.0
    crowd: bool = False
    area: float | None = None

    @classmethod
    def from_mask(cls, mask: np.ndarray, category_id: int, **facts: Any) -> MaskObject:
        """From a (H, W) bool mask; keeps its run lengths, which are a hundredth of its size."""
        return cls(rle.encode(mask), (mask.shape[0], mask.shape[1]), category_id, **facts)

    @property
    def mask(self) -> np.ndarray:
        return rle.decode(self.runs, *self.size)

    @property
    def extent(self) -> float:
        return float(sum(self.runs[1::2])) if self.area is None else float(self.area)


@dataclass(eq=False)
class _Group:
    """The detections of one class in one picture, best first, and what became of them."""

    scores: np.ndarray
    matched: np.ndarray  # (A, T, D)
    ignored: np.ndarray  # (A, T, D)
    positives: np.ndarray  # (A,)


def mask_metrics(
    truth: Mapping[Any, Sequence[MaskObject]],
    found: Mapping[Any, Sequence[MaskObject]],
    category_ids: Iterable[int],
) -> CocoMetrics:
    """Evaluate masks the way COCO does; both mappings go from picture id to its objects, pictures are truth's keys."""
    ids = tuple(sorted(set(category_ids)))
    shape = (len(ids), len(AREA_RANGES), len(MAX_DETECTIONS))
    precision = np.full((len(IOU_THRESHOLDS), len(RECALL_POINTS), *shape), -1.0)
    recall = np.full((len(IOU_THRESHOLDS), *shape), -1.0)
    for k, id_ in enumerate(ids):
        groups = []
        for picture in sorted(truth):
            true = [item for item in truth[picture] if item.category_id == id_]
            seen = [item for item in found.get(picture, ()) if item.category_id == id_]
            if true or seen:
                groups.append(_match(true, seen))
        if groups:
            _accumulate(groups, precision[:, :, k], recall[:, k])
    return CocoMetrics(precision, recall, ids)


def _match(true: Sequence[MaskObject], seen: Sequence[MaskObject]) -> _Group:
    scores = np.array([item.score for item in seen], np.float64)
    order = np.argsort(-scores, kind="stable")[: MAX_DETECTIONS[-1]]
    seen = [seen[index] for index in order]
    crowd = np.array([item.crowd for item in true], bool)
    outside = _outside(true) | crowd
    ignored = np.repeat(_outside(seen)[:, None, :], len(IOU_THRESHOLDS), axis=1)
    matched = np.zeros_like(ignored)
    if true and seen:
        overlap = rle.iou([item.mask for item in seen], [item.mask for item in true], crowd)
        taken = greedy_match(overlap, outside, crowd, IOU_THRESHOLDS)
        matched = taken >= 0
        of_taken = np.take_along_axis(np.broadcast_to(outside[:, None], (*taken.shape[:2], len(true))),
                                      np.maximum(taken, 0), axis=2)  # fmt: skip
        ignored = np.where(matched, of_taken, ignored)
    return _Group(scores[order], matched, ignored, (~outside).sum(axis=1))


def _outside(items: Sequence[MaskObject]) -> np.ndarray:
    """(A, N) bool: area outside each size range; both ends of a range belong to it."""
    areas = np.array([item.extent for item in items], np.float64)
    return (areas < _LOW[:, None]) | (areas > _HIGH[:, None])


def _accumulate(groups: Sequence[_Group], precision: np.ndarray, recall: np.ndarray) -> None:
    """Fill one class's precision (T, R, A, M) and recall (T, A, M)."""
    positives = np.sum([group.positives for group in groups], axis=0)
    for m, limit in enumerate(MAX_DETECTIONS):
        scores = np.concatenate([group.scores[:limit] for group in groups])
        matched = np.concatenate([group.matched[:, :, :limit] for group in groups], axis=2)
        ignored = np.concatenate([group.ignored[:, :, :limit] for group in groups], axis=2)
        order = np.argsort(-scores, kind="stable")
        true = np.cumsum((matched & ~ignored)[:, :, order], axis=2, dtype=np.float64)
        false = np.cumsum((~matched & ~ignored)[:, :, order], axis=2, dtype=np.float64)
        for a in np.flatnonzero(positives):
            rates = true[a] / positives[a]
            ratios = true[a] / np.maximum(true[a] + false[a], 1.0)
            recall[:, a, m] = rates[:, -1] if len(order) else 0.0
            for t in range(len(IOU_THRESHOLDS)):
                precision[t, :, a, m] = precision_at(ratios[t], rates[t], RECALL_POINTS)
