"""COCO's evaluation of boxes over a data set (Lin et al. 2014, arXiv:1405.0312).

Ten IoU thresholds, 101 recall points, four ranges of object size, at most 1, 10 or 100 detections of a class in a
picture; crowds, and objects outside the size range, neither help nor hurt. Equal to the reference implementation
(pycocotools) in all twelve summary numbers, with one exception on purpose: there, an object whose annotation id is 0
can never be found.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cvdemo.detection.average_precision import RECALL_POINTS, coco_iou, greedy_match, precision_at

IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)
AREA_RANGES = {"all": (0.0, 1e10), "small": (0.0, 32.0**2), "medium": (32.0**2, 96.0**2), "large": (96.0**2, 1e10)}
MAX_DETECTIONS = (1, 10, 100)


@dataclass(frozen=True, eq=False)
class CocoMetrics:
    """Precision (T, R, K, A, M) and recall (T, K, A, M) over thresholds, recall points, classes, sizes and limits.

    -1 marks a class and size without ground truth, as in COCO's own code. ``category_ids`` are the K classes, sorted.
    """

    precision: np.ndarray
    recall: np.ndarray
    category_ids: tuple[int, ...]

    def summary(self) -> dict[str, float]:
        """COCO's twelve numbers in their usual order, AP to ARl; -1 where there was nothing to find."""
        precision, recall = self.precision, self.recall
        sizes = {"s": 1, "m": 2, "l": 3}
        return {
            "AP": _mean(precision[:, :, :, 0, 2]),
            "AP50": _mean(precision[0, :, :, 0, 2]),
            "AP75": _mean(precision[5, :, :, 0, 2]),
            **{f"AP{letter}": _mean(precision[:, :, :, a, 2]) for letter, a in sizes.items()},
            **{f"AR{limit}": _mean(recall[:, :, 0, m]) for m, limit in enumerate(MAX_DETECTIONS)},
            **{f"AR{letter}": _mean(recall[:, :, a, 2]) for letter, a in sizes.items()},
        }

    def per_class(self) -> dict[int, dict[str, float]]:
        """{category id: {"AP", "AP50"}}, -1 for a class without ground truth."""
        precision = self.precision[:, :, :, 0, 2]
        return {
            id_: {"AP": _mean(precision[:, :, k]), "AP50": _mean(precision[0, :, k])}
            for k, id_ in enumerate(self.category_ids)
        }


def _mean(values: np.ndarray) -> float:
    counted = values[values > -1]
    return float(counted.mean()) if counted.size else -1.0


class _Table:
    """Objects or detections as columns, sorted by class, picture and (for detections) falling score."""

    def __init__(
        self, rows: Sequence[Mapping[str, Any]], images: Mapping[Any, int], classes: Mapping[int, int], *, scored: bool
    ) -> None:
        rows = [row for row in rows if row["image_id"] in images and row["category_id"] in classes]
        image = np.array([images[row["image_id"]] for row in rows], dtype=np.int64)
        category = np.array([classes[row["category_id"]] for row in rows], dtype=np.int64)
        scores = np.array([row["score"] if scored else 1.0 for row in rows], dtype=np.float64)
        boxes = np.array([row["bbox"] for row in rows], dtype=np.float64).reshape(-1, 4)
        group = category * len(images) + image
        order = np.lexsort((-scores, group))
        self.group, self.category, self.scores, self.boxes = group[order], category[order], scores[order], boxes[order]
        self.crowd = np.array([bool(row.get("iscrowd", 0)) for row in rows], dtype=bool)[order]
        # COCO takes a true object's area from its outline, and a detection's from its box whatever else it says.
        given = [None if scored else row.get("area") for row in rows]
        of_box = (boxes[:, 2] * boxes[:, 3]).tolist()
        area = [box if own is None else own for own, box in zip(given, of_box)]
        self.area = np.array(area, dtype=np.float64)[order]
        self.rank = np.arange(len(order)) - np.searchsorted(self.group, self.group, side="left")

    def outside(self) -> np.ndarray:
        """(A, N) bool: area outside each size range; both ends of a range belong to it."""
        low, high = np.array(list(AREA_RANGES.values())).T[:, :, None]
        return (self.area < low) | (self.area > high)

    def take(self, keep: np.ndarray) -> None:
        for name in ("group", "category", "scores", "boxes", "crowd", "area", "rank"):
            setattr(self, name, getattr(self, name)[keep])


def coco_metrics(
    annotations: Sequence[Mapping[str, Any]],
    results: Sequence[Mapping[str, Any]],
    image_ids: Iterable[Any],
    category_ids: Iterable[int],
) -> CocoMetrics:
    """Evaluate boxes the way COCO does, equal to its reference implementation.

    Args:
        annotations: true objects, each {image_id, category_id, bbox [x, y, w, h], area, iscrowd}; without "area" the
            box's own is taken, without "iscrowd" 0.
        results: detections, each {image_id, category_id, bbox, score}.
        image_ids, category_ids: what to evaluate; rows of other pictures or classes are left out.
    """
    images = {id_: position for position, id_ in enumerate(sorted(set(image_ids)))}
    ids = tuple(sorted(set(category_ids)))
    classes = {id_: position for position, id_ in enumerate(ids)}
    truth = _Table(annotations, images, classes, scored=False)
    found = _Table(results, images, classes, scored=True)
    found.take(found.rank < MAX_DETECTIONS[-1])

    ignore = truth.outside() | truth.crowd
    matched = np.zeros((len(AREA_RANGES), len(IOU_THRESHOLDS), len(found.scores)), dtype=bool)
    ignored = np.repeat(found.outside()[:, None, :], len(IOU_THRESHOLDS), axis=1)
    groups, starts, sizes = np.unique(truth.group, return_index=True, return_counts=True)
    lows = np.searchsorted(found.group, groups, side="left")
    highs = np.searchsorted(found.group, groups, side="right")
    for start, size, low, high in np.stack([starts, sizes, lows, highs], axis=1).tolist():
        if low == high:
            continue
        objects = slice(start, start + size)
        iou = coco_iou(found.boxes[low:high], truth.boxes[objects], truth.crowd[objects])
        taken = greedy_match(iou, ignore[:, objects], truth.crowd[objects], IOU_THRESHOLDS)
        hit = taken >= 0
        matched[:, :, low:high] = hit
        of_taken = np.take_along_axis(ignore[:, None, objects], np.maximum(taken, 0), axis=2)
        ignored[:, :, low:high] = np.where(hit, of_taken, ignored[:, :, low:high])
    return _accumulate(truth, found, ignore, matched, ignored, ids)


def _accumulate(
    truth: _Table, found: _Table, ignore: np.ndarray, matched: np.ndarray, ignored: np.ndarray, ids: tuple[int, ...]
) -> CocoMetrics:
    shape = (len(ids), len(AREA_RANGES), len(MAX_DETECTIONS))
    precision = np.full((len(IOU_THRESHOLDS), len(RECALL_POINTS), *shape), -1.0)
    recall = np.full((len(IOU_THRESHOLDS), *shape), -1.0)
    true, false = matched & ~ignored, ~matched & ~ignored
    for k in range(len(ids)):
        positives = (~ignore[:, truth.category == k]).sum(axis=1)  # (A,)
        rows = np.flatnonzero(found.category == k)
        rows = rows[np.argsort(-found.scores[rows], kind="stable")]
        for m, limit in enumerate(MAX_DETECTIONS):
            kept = rows[found.rank[rows] < limit]
            for a in np.flatnonzero(positives):
                hits = np.cumsum(true[a][:, kept], axis=1, dtype=np.float64)
                shown = hits + np.cumsum(false[a][:, kept], axis=1, dtype=np.float64)
                rates = hits / positives[a]
                recall[:, k, a, m] = rates[:, -1] if kept.size else 0.0
                ratios = hits / np.maximum(shown, 1.0)
                for t in range(len(IOU_THRESHOLDS)):
                    precision[t, :, k, a, m] = precision_at(ratios[t], rates[t], RECALL_POINTS)
    return CocoMetrics(precision, recall, ids)
