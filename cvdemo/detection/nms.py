"""Non-maximum suppression: hard, class-agnostic and soft, the filters before it, and a trace of every step.

Hard suppression visits boxes by falling score and removes every later box whose intersection over union (IoU) with
a kept box exceeds a threshold; soft suppression (Bodla et al. 2017, arXiv:1704.04503) lowers its score instead.
Everything here takes and returns numpy arrays. ``suppress`` is the fast path; ``trace`` walks through the same
algorithm one pick at a time for the lecture's stepper and always ends with the same boxes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from cvdemo.detection.candidates import Candidates, Detections

NmsKind = Literal["hard", "class-agnostic", "soft-linear", "soft-gaussian", "none"]
NMS_KINDS: tuple[NmsKind, ...] = get_args(NmsKind)

# torchvision's batched_nms separates classes by shifting their boxes apart, but for more boxes than this (on a CPU)
# it runs class by class. A shift costs float32 precision, so IoUs within 1e-4 of the threshold depend on the choice.
_SHIFT_AT_MOST = 1000
_TINY = np.finfo(np.float32).tiny


@dataclass(frozen=True)
class Report:
    """How many candidates survived each stage of ``filter_and_suppress``, in the order of the stages."""

    total: int
    after_score: int
    after_class: int
    after_size: int
    after_nms: int  # for soft kinds the count stops at max_detections, because the algorithm does
    kept: int


@dataclass(frozen=True, eq=False)
class Step:
    """One pick of suppression: the chosen box and what happened to the others because of it.

    Attributes:
        picked: row of the chosen candidate; score: its score at that moment.
        affected: (M,) int64 rows that were suppressed or rescored, in descending order of IoU.
        iou: (M,) float64 IoU of each with the picked box.
        before, after: (M,) float64 scores before and after; ``after`` is 0 in hard suppression.
        removed: (M,) bool, True where the row left the race (always in hard suppression; in soft suppression when its
            score fell to the threshold or below).
    """

    picked: int
    score: float
    affected: np.ndarray
    iou: np.ndarray
    before: np.ndarray
    after: np.ndarray
    removed: np.ndarray


class _Overlap:
    """IoU of one box with a range of others, at the cost of six array operations.

    Corners are kept as (-x1, -y1, x2, y2), so that one ``minimum`` and one addition give the intersection's sides.
    Computed in the dtype of ``boxes`` and in the order torchvision's kernel uses, for bit-equal decisions.
    """

    def __init__(self, boxes: np.ndarray) -> None:
        self.corners = np.ascontiguousarray(boxes.T)
        sides = self.corners[2:] - self.corners[:2]
        self.areas = np.maximum(sides[0] * sides[1], _TINY)  # boxes without area overlap nothing instead of 0 / 0
        np.negative(self.corners[:2], out=self.corners[:2])

    def of(self, row: int, start: int, stop: int) -> np.ndarray:
        """IoU of box ``row`` with boxes ``start`` to ``stop`` (exclusive)."""
        closest = np.minimum(self.corners[:, start:stop], self.corners[:, row : row + 1])
        sides = closest[:2] + closest[2:]
        np.maximum(sides, 0, out=sides)
        inter = sides[0] * sides[1]
        return inter / (self.areas[start:stop] + self.areas[row] - inter)


def iou_matrix(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union of every box of ``a`` (N, 4) with every box of ``b`` (M, 4), x1 y1 x2 y2.

    Returns (N, M) in [0, 1], float64 if either input is, else float32. A box without area overlaps nothing (0).
    """
    dtype = np.float64 if np.float64 in (np.asarray(a).dtype, np.asarray(b).dtype) else np.float32
    a, b = np.asarray(a, dtype=dtype).reshape(-1, 4), np.asarray(b, dtype=dtype).reshape(-1, 4)
    inter = np.minimum(a[:, None, 2], b[None, :, 2]) - np.maximum(a[:, None, 0], b[None, :, 0])
    np.maximum(inter, 0, out=inter)
    height = np.minimum(a[:, None, 3], b[None, :, 3]) - np.maximum(a[:, None, 1], b[None, :, 1])
    inter *= np.maximum(height, 0, out=height)
    union = _area(a)[:, None] + _area(b)[None, :] - inter
    return np.divide(inter, union, out=np.zeros_like(inter), where=union > 0)


def _area(boxes: np.ndarray) -> np.ndarray:
    return np.maximum(boxes[:, 2] - boxes[:, 0], 0) * np.maximum(boxes[:, 3] - boxes[:, 1], 0)


def nms(boxes: np.ndarray, scores: np.ndarray, iou_threshold: float) -> np.ndarray:
    """Hard suppression of all boxes against all, equal to ``torchvision.ops.nms``.

    Without torchvision, because importing it for this would cost the first picture a second and the app 144 MB.

    Args:
        boxes: (N, 4) x1 y1 x2 y2. scores: (N,). Ties in score go to the lower row.
        iou_threshold: a box goes when its IoU with a kept one is strictly above this.
    Returns:
        (K,) int64 rows kept, by falling score.
    """
    together = np.zeros(len(boxes), dtype=np.int64)
    steps = _hard_steps(boxes, np.asarray(scores), together, iou_threshold, None, shift=False)
    return np.fromiter((row for row, _, _ in steps), dtype=np.int64)


def batched_nms(boxes: np.ndarray, scores: np.ndarray, labels: np.ndarray, iou_threshold: float) -> np.ndarray:
    """Hard suppression within each label, equal to ``torchvision.ops.batched_nms``; arguments as in :func:`nms`."""
    if _shift_applies(boxes):
        return nms(_shifted(boxes, labels), scores, iou_threshold)
    kept = np.zeros(len(boxes), dtype=bool)
    by_label = np.argsort(labels, kind="stable")
    bounds = np.flatnonzero(np.diff(labels[by_label])) + 1
    for rows in np.split(by_label, bounds):
        kept[rows[nms(boxes[rows], scores[rows], iou_threshold)]] = True
    rows = np.flatnonzero(kept)
    return rows[np.argsort(-scores[rows], kind="stable")]


def _shift_applies(boxes: np.ndarray) -> bool:
    # With negative coordinates the shift would let neighbouring classes overlap.
    return len(boxes) <= _SHIFT_AT_MOST and (not len(boxes) or boxes.min() >= 0)


def _shifted(boxes: np.ndarray, labels: np.ndarray) -> np.ndarray:
    if not len(boxes):
        return boxes
    return boxes + (labels.astype(boxes.dtype) * (boxes.max() + boxes.dtype.type(1)))[:, None]


def suppress(
    candidates: Candidates,
    kind: NmsKind = "hard",
    iou_threshold: float = 0.5,
    *,
    sigma: float = 0.5,
    score_threshold: float = 0.0,
    max_detections: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Remove or rescore candidates that overlap a better one.

    Args:
        kind: "hard" and the two "soft" kinds compare boxes of the same label (of all labels where the candidates say
            ``class_aware=False``); "class-agnostic" is hard suppression across labels; "none" only sorts.
        iou_threshold: hard removes above it; soft-linear multiplies scores by (1 - IoU) from it upwards.
        sigma: soft-gaussian multiplies scores by exp(-IoU^2 / sigma).
        score_threshold: only scores strictly above it take part and, after rescoring, stay.
        max_detections: keep the best so many.
    Returns:
        rows of ``candidates`` by falling final score (ties: lower row first) as (K,) int64, and those scores (K,)
        float32.
    """
    _check_kind(kind)
    rows = np.flatnonzero(candidates.scores > float(score_threshold))
    boxes, scores, labels = candidates.boxes[rows], candidates.scores[rows], candidates.labels[rows]
    if kind in ("soft-linear", "soft-gaussian"):
        groups = labels if candidates.class_aware else np.zeros_like(labels)
        decay = _decay(kind, iou_threshold, sigma)
        steps = list(_soft_steps(boxes, scores, groups, decay, score_threshold, max_detections))
        kept = np.array([row for row, _, _ in steps], dtype=np.int64)
        return rows[kept], np.array([score for _, score, _ in steps], dtype=np.float32)
    if kind == "none":
        kept = np.argsort(-scores, kind="stable")
    elif kind == "hard" and candidates.class_aware:
        kept = batched_nms(boxes, scores, labels, iou_threshold)
    else:
        kept = nms(boxes, scores, iou_threshold)
    kept = kept[:max_detections]
    return rows[kept], scores[kept]


def trace(
    candidates: Candidates,
    kind: NmsKind = "hard",
    iou_threshold: float = 0.5,
    *,
    sigma: float = 0.5,
    score_threshold: float = 0.0,
    max_detections: int | None = None,
) -> tuple[Step, ...]:
    """Every step of :func:`suppress` with the same arguments: ``[step.picked for step in steps]`` is its result.

    The loops are those of ``suppress``, which does not ask them to record what every pick changes.
    """
    _check_kind(kind)
    rows = np.flatnonzero(candidates.scores > float(score_threshold))
    boxes, scores, labels = candidates.boxes[rows], candidates.scores[rows], candidates.labels[rows]
    across = kind == "class-agnostic" or not candidates.class_aware
    groups = np.zeros_like(labels) if across else labels
    if kind in ("soft-linear", "soft-gaussian"):
        decay = _decay(kind, iou_threshold, sigma)
        raw = _soft_steps(boxes, scores, groups, decay, score_threshold, max_detections, record=True)
    elif kind == "hard" or kind == "class-agnostic":
        raw = _hard_steps(boxes, scores, groups, iou_threshold, max_detections, shift=not across, record=True)
    else:
        order = np.argsort(-scores, kind="stable")[:max_detections]
        raw = ((int(row), float(scores[row]), None) for row in order)
    return tuple(_step(rows, row, score, changes, score_threshold) for row, score, changes in raw)


_Changes = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]  # rows, IoU, scores before, scores after
_RawStep = tuple[int, float, _Changes | None]


def _hard_steps(
    boxes: np.ndarray,
    scores: np.ndarray,
    groups: np.ndarray,
    threshold: float,
    limit: int | None,
    *,
    shift: bool,
    record: bool = False,
) -> Iterator[_RawStep]:
    order = np.argsort(-scores, kind="stable")
    placed = _shifted(boxes, groups) if shift and _shift_applies(boxes) else boxes
    overlap, groups = _Overlap(placed[order]), groups[order]
    waiting = np.ones(len(order), dtype=bool)
    picks = 0
    for position, row in enumerate(order):
        if picks == limit:
            return
        if not waiting[position]:
            continue
        picks += 1
        iou = overlap.of(position, position + 1, len(order))
        # np.float64 on purpose: torchvision compares the float32 IoU with a double threshold.
        lost = waiting[position + 1 :] & (iou > np.float64(threshold)) & (groups[position + 1 :] == groups[position])
        waiting[position + 1 :] ^= lost
        changes = None
        if record:
            later = np.flatnonzero(lost)
            losers = order[position + 1 + later]
            changes = (losers, iou[later], scores[losers], np.zeros(len(losers)))
        yield int(row), float(scores[row]), changes


def _soft_steps(
    boxes: np.ndarray,
    scores: np.ndarray,
    groups: np.ndarray,
    decay: Callable[[np.ndarray], np.ndarray],
    score_threshold: float,
    limit: int | None,
    *,
    record: bool = False,
) -> Iterator[_RawStep]:
    """Pick the best remaining score, multiply those of its group by ``decay(IoU)``, repeat.

    Decay never exceeds 1, so picks come by falling score and stopping after ``limit`` of them loses nothing.
    """
    order = np.argsort(groups, kind="stable")  # each group becomes a slice, which is updated in place
    groups = groups[order]
    starts, stops = np.searchsorted(groups, groups, side="left"), np.searchsorted(groups, groups, side="right")
    overlap, left = _Overlap(boxes[order].astype(np.float64)), scores[order].astype(np.float64)
    floor = max(float(score_threshold), 0.0)
    for _ in range(len(order) if limit is None else min(limit, len(order))):
        best = int(left.argmax())
        score = float(left[best])
        if score <= floor:
            return
        start, stop = starts[best], stops[best]
        iou = overlap.of(best, start, stop)
        before = left[start:stop].copy() if record else left
        left[start:stop] *= decay(iou)
        left[best] = -1.0  # out of the race: below every floor, and it stays there under further decay
        changes = None
        if record:
            after = left[start:stop]
            moved = np.flatnonzero((before > floor) & (after < before) & (np.arange(start, stop) != best))
            changes = (order[start + moved], iou[moved], before[moved], after[moved].copy())
        yield int(order[best]), score, changes


def _decay(kind: NmsKind, iou_threshold: float, sigma: float) -> Callable[[np.ndarray], np.ndarray]:
    if kind == "soft-linear":
        return lambda iou: np.where(iou >= iou_threshold, 1.0 - iou, 1.0)
    if not sigma > 0:
        raise ValueError(f"sigma must be positive, not {sigma}")
    return lambda iou: np.exp(iou * iou * (-1.0 / sigma))


def _step(rows: np.ndarray, row: int, score: float, changes: _Changes | None, score_threshold: float) -> Step:
    if changes is None:
        changes = (np.zeros(0, dtype=np.int64), np.zeros(0), np.zeros(0), np.zeros(0))
    order = np.argsort(-changes[1], kind="stable")
    affected, iou, before, after = (column[order] for column in changes)
    iou, before, after = iou.astype(np.float64), before.astype(np.float64), after.astype(np.float64)
    return Step(int(rows[row]), score, rows[affected], iou, before, after, after <= max(score_threshold, 0.0))


def _check_kind(kind: str) -> None:
    if kind not in NMS_KINDS:
        raise ValueError(f"unknown kind of suppression {kind!r}; there are {', '.join(NMS_KINDS)}")


def filter_and_suppress(
    candidates: Candidates,
    *,
    score_threshold: float = 0.5,
    nms_kind: NmsKind = "hard",
    iou_threshold: float = 0.5,
    sigma: float = 0.5,
    max_detections: int | None = 100,
    class_ids: frozenset[int] | None = None,
    min_size: float = 0.0,
) -> tuple[Detections, Report]:
    """From raw candidates to detections, in the order torchvision's detectors work.

    Score filter (strictly above ``score_threshold``), class filter (``class_ids`` are COCO category ids, None keeps
    all), size filter (both sides at least ``min_size`` pixels), suppression, then the best ``max_detections``.
    The filters come first so that a hidden class or a speck never suppresses what is shown.
    """
    _check_kind(nms_kind)
    keep = candidates.scores > float(score_threshold)
    after_score = int(keep.sum())
    if class_ids is not None:
        keep &= np.isin(candidates.labels, np.fromiter(class_ids, dtype=np.int64, count=len(class_ids)))
    after_class = int(keep.sum())
    sides = candidates.boxes[:, 2:] - candidates.boxes[:, :2]
    keep &= (sides >= float(min_size)).all(axis=1)
    rows = np.flatnonzero(keep)
    soft = nms_kind in ("soft-linear", "soft-gaussian")
    kept, scores = suppress(
        candidates.take(rows),
        nms_kind,
        iou_threshold,
        sigma=sigma,
        score_threshold=score_threshold,
        max_detections=max_detections if soft else None,
    )
    after_nms = len(kept)
    kept, scores = kept[:max_detections], scores[:max_detections]
    detections = Detections.from_candidates(candidates, rows[kept], scores)
    report = Report(len(candidates), after_score, after_class, len(rows), after_nms, len(detections))
    return detections, report
