"""Matching detections to ground truth, precision-recall curves, and average precision (AP).

``match_image`` labels each detection of one picture as true or false positive by COCO's rule (Lin et al. 2014,
arXiv:1405.0312), for the view that colours them; ``curve_of`` turns matches into a precision-recall curve;
``average_precision`` reduces a curve to COCO's 101-point AP or PASCAL VOC's 11-point and all-point forms (Everingham
et al. 2010). The full COCO evaluation of a data set is in ``coco_evaluation.py``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from cvdemo.detection.candidates import Detections

RECALL_POINTS = np.linspace(0.0, 1.0, 101)
# Tenths as quotients: np.linspace makes 0.6000000000000001 of the seventh, which 3 objects of 5 would not reach.
ELEVEN_POINTS = np.arange(11) / 10

ApKind = Literal["101-point", "11-point", "all-point"]

# ------------------------------------------------------------------ curves


@dataclass(frozen=True, eq=False)
class Curve:
    """Precision and recall after each detection, best score first; three (N,) float64 arrays in [0, 1].

    Detections that count neither way (matched to a crowd) are left out. Empty when there is no ground truth.
    """

    precision: np.ndarray
    recall: np.ndarray
    scores: np.ndarray


def precision_recall(
    scores: np.ndarray, correct: np.ndarray, positives: int, ignored: np.ndarray | None = None
) -> Curve:
    """The curve of detections in any order.

    Args:
        scores: (N,). correct: (N,) bool, whether each is a true positive. ignored: (N,) bool, or None.
        positives: number of objects that could be found (crowds not counted).
    """
    keep = np.ones(len(scores), dtype=bool) if ignored is None else ~np.asarray(ignored, dtype=bool)
    scores, correct = np.asarray(scores, dtype=np.float64)[keep], np.asarray(correct, dtype=bool)[keep]
    if positives == 0:
        return Curve(np.zeros(0), np.zeros(0), np.zeros(0))
    order = np.argsort(-scores, kind="stable")
    found = np.cumsum(correct[order], dtype=np.float64)
    return Curve(found / np.arange(1, len(order) + 1), found / positives, scores[order])


def average_precision(curve: Curve, kind: ApKind = "101-point") -> float:
    """Mean of the interpolated precision (the best at that recall or beyond), in [0, 1].

    "101-point" averages it at recall 0, 0.01 ... 1 (COCO), "11-point" at 0, 0.1 ... 1 (VOC 2007), "all-point" is the
    whole area under it (VOC 2010 on).
    """
    if kind == "all-point":
        return float(np.sum(np.diff(curve.recall, prepend=0.0) * _envelope(curve.precision)))
    if kind not in ("101-point", "11-point"):
        raise ValueError(f"unknown kind of average precision {kind!r}")
    points = RECALL_POINTS if kind == "101-point" else ELEVEN_POINTS
    return float(precision_at(curve.precision, curve.recall, points).mean())


def _envelope(precision: np.ndarray) -> np.ndarray:
    return np.maximum.accumulate(precision[..., ::-1], axis=-1)[..., ::-1]


def precision_at(precision: np.ndarray, recall: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Interpolated precision (P,) at the given recall points; 0 where the recall is never reached."""
    first = np.searchsorted(recall, points, side="left")
    return np.append(_envelope(precision), 0.0)[first]


# ------------------------------------------------------------------ matching


def greedy_match(iou: np.ndarray, ignore: np.ndarray, crowd: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """COCO's greedy matching of the detections of one class in one picture.

    Detections come by falling score. Each takes the free object with the highest IoU at or above the threshold,
    objects that count before ignored ones, and of equals the last; crowds can be taken again and again.

    Args:
        iou: (D, G). ignore: (A, G) bool for each size range. crowd: (G,) bool. thresholds: (T,).
    Returns:
        (A, T, D) int64 object taken by each detection, -1 for none.
    """
    ranges, objects = ignore.shape
    taken_by = np.full((ranges, len(thresholds), len(iou)), -1, dtype=np.int64)
    if not objects:
        return taken_by
    free = np.ones((ranges, len(thresholds), objects), dtype=bool)
    limits = np.minimum(thresholds, 1 - 1e-10)  # so that IoU 1 passes a threshold of 1 in spite of rounding
    order = np.argsort(np.argsort(iou, axis=1, kind="stable"), axis=1)
    preference = order[:, None, :] + np.where(ignore, 1, 1 + objects)  # (D, A, G), all at least 1
    at, through = np.arange(ranges)[:, None], np.arange(len(thresholds))[None, :]
    for row in np.flatnonzero(iou.max(axis=1) >= limits.min()):
        allowed = free & (iou[row] >= limits[:, None])
        value = np.where(allowed, preference[row][:, None, :], 0)
        best = value.argmax(axis=2)
        hit = value[at, through, best] > 0
        taken_by[:, :, row] = np.where(hit, best, -1)
        free[at, through, best] &= ~hit | crowd[best]
    return taken_by


def coco_iou(detections: np.ndarray, objects: np.ndarray, crowd: np.ndarray) -> np.ndarray:
    """(D, G) IoU of x y width height boxes in float64; for a crowd, the share of the detection that lies inside it.

    Works on width and height rather than corners because x + w - x is not w in floating point, and a pair exactly on
    a threshold must fall on the same side as in the reference implementation.
    """
    d, g = detections[:, None, :], objects[None, :, :]
    width = np.minimum(d[..., 0] + d[..., 2], g[..., 0] + g[..., 2]) - np.maximum(d[..., 0], g[..., 0])
    height = np.minimum(d[..., 1] + d[..., 3], g[..., 1] + g[..., 3]) - np.maximum(d[..., 1], g[..., 1])
    inter = np.maximum(width, 0) * np.maximum(height, 0)
    own = d[..., 2] * d[..., 3]
    union = np.where(crowd, own, own + g[..., 2] * g[..., 3] - inter)
    return np.divide(inter, union, out=np.zeros_like(inter), where=inter > 0)


@dataclass(frozen=True, eq=False)
class GroundTruth:
    """True objects of one picture: boxes (G, 4) float32 x1 y1 x2 y2 in pixels, labels (G,) category ids, crowd (G,)."""

    boxes: np.ndarray
    labels: np.ndarray
    crowd: np.ndarray

    @classmethod
    def from_coco(cls, annotations: Iterable[Mapping[str, Any]]) -> GroundTruth:
        """From the ``annotations`` of one picture in a COCO file."""
        rows = list(annotations)
        boxes = np.array([row["bbox"] for row in rows], dtype=np.float64).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        labels = np.array([row["category_id"] for row in rows], dtype=np.int64)
        crowd = np.array([bool(row.get("iscrowd", 0)) for row in rows], dtype=bool)
        return cls(boxes.astype(np.float32), labels, crowd)

    def __len__(self) -> int:
        return len(self.boxes)


@dataclass(frozen=True, eq=False)
class ImageMatch:
    """Which detection found which object.

    Attributes:
        status: (D,) "TP", "FP" or "ignored" (inside a crowd), aligned with the detections.
        object_index: (D,) int64 object each detection found, -1 for a false positive.
        iou: (D,) highest IoU with any object of the same class, found or not: why a false positive failed.
        found_by: (G,) int64 detection that found each object, -1 for a miss. Misses of crowds do not count.
        scores, labels: (D,) of the detections. true_labels, crowd: (G,) of the objects.
    """

    status: np.ndarray
    object_index: np.ndarray
    iou: np.ndarray
    found_by: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    true_labels: np.ndarray
    crowd: np.ndarray

    @property
    def missed(self) -> np.ndarray:
        """Rows of the ground truth that no detection found (false negatives), crowds left out."""
        return np.flatnonzero((self.found_by < 0) & ~self.crowd)

    def counts(self) -> dict[str, int]:
        """{"TP", "FP", "FN"}: numbers of true and false positives and of misses."""
        true, false = (int((self.status == word).sum()) for word in ("TP", "FP"))
        return {"TP": true, "FP": false, "FN": len(self.missed)}


def match_image(truth: GroundTruth, detections: Detections, iou_threshold: float = 0.5) -> ImageMatch:
    """Match one picture's detections to its true objects by COCO's rule, class by class, best score first."""
    count = len(detections)
    status = np.full(count, "FP", dtype="<U7")
    object_index, best_iou = np.full(count, -1, dtype=np.int64), np.zeros(count)
    found_by = np.full(len(truth), -1, dtype=np.int64)
    theirs, ours = detections.boxes.astype(np.float64), truth.boxes.astype(np.float64)
    for corners in (theirs, ours):
        corners[:, 2:] -= corners[:, :2]
    for label in np.intersect1d(detections.labels, truth.labels):
        objects = np.flatnonzero(truth.labels == label)
        rows = np.flatnonzero(detections.labels == label)
        rows = rows[np.argsort(-detections.scores[rows], kind="stable")]
        crowd = truth.crowd[objects]
        iou = coco_iou(theirs[rows], ours[objects], crowd)
        best_iou[rows] = iou.max(axis=1)
        taken = greedy_match(iou, crowd[None, :], crowd, np.array([iou_threshold]))[0, 0]
        hits = np.flatnonzero(taken >= 0)
        object_index[rows[hits]] = objects[taken[hits]]
        status[rows[hits]] = np.where(crowd[taken[hits]], "ignored", "TP")
        regular = hits[~crowd[taken[hits]]]
        found_by[objects[taken[regular]]] = rows[regular]
    return ImageMatch(status, object_index, best_iou, found_by, detections.scores, detections.labels,
                      truth.labels, truth.crowd)  # fmt: skip


def curve_of(matches: Sequence[ImageMatch], label: int | None = None) -> Curve:
    """Precision-recall curve over pictures, of one category id or (None) of all classes pooled."""
    if not matches:
        return Curve(np.zeros(0), np.zeros(0), np.zeros(0))
    picked = [np.ones(len(m.labels), dtype=bool) if label is None else m.labels == label for m in matches]
    scores = np.concatenate([m.scores[rows] for m, rows in zip(matches, picked)])
    status = np.concatenate([m.status[rows] for m, rows in zip(matches, picked)])
    positives = sum(int((~m.crowd & ((m.true_labels == label) | (label is None))).sum()) for m in matches)
    return precision_recall(scores, status == "TP", positives, status == "ignored")
