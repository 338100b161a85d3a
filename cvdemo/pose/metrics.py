"""How good poses are: PCK, PCKh, object keypoint similarity (OKS) and COCO's average precision over it.

True keypoints are (…, 17, 3): x, y in pixels and v, COCO's flag (0 not labelled, 1 labelled but covered, 2 visible).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cvdemo.detection.average_precision import RECALL_POINTS, greedy_match, precision_at
from cvdemo.pose.skeleton import COCO_JOINTS, JOINT_INDEX, OKS_SIGMAS

OKS_THRESHOLDS = np.linspace(0.5, 0.95, 10)
AREA_RANGES = {"all": (0.0, 1e10), "medium": (32.0**2, 96.0**2), "large": (96.0**2, 1e10)}
MAX_POSES = 20  # of one picture, as in COCO's keypoint evaluation
AREA_OF_BOX = 0.53
"""A person's outline fills about this share of its box on COCO: the area where only a box is known."""

_JOINTS = len(COCO_JOINTS)
_FACE = tuple(JOINT_INDEX[name] for name in ("nose", "left eye", "right eye", "left ear", "right ear"))
_VARIANCES = (2 * OKS_SIGMAS) ** 2


def torso_diagonals(truth: np.ndarray) -> np.ndarray:
    """(P,) pixels from a shoulder to the hip across: the longer of the two diagonals whose ends are labelled.

    truth: (P, 17, 3).   NaN where neither is. The longer one, because a turned torso foreshortens them unequally.
    """
    truth = np.asarray(truth, np.float64).reshape(-1, _JOINTS, 3)
    sizes = np.full(len(truth), np.nan)
    for shoulder, hip in (("right shoulder", "left hip"), ("left shoulder", "right hip")):
        a, b = truth[:, JOINT_INDEX[shoulder]], truth[:, JOINT_INDEX[hip]]
        labelled = (a[:, 2] > 0) & (b[:, 2] > 0)
        sizes[labelled] = np.fmax(sizes, _distance(a, b))[labelled]
    return np.where(sizes > 0, sizes, np.nan)


def head_sizes(truth: np.ndarray) -> np.ndarray:
    """(P,) pixels: the largest distance between two labelled joints of the face; NaN with fewer than two.

    COCO labels no head box. From ear to ear, or from nose to ear in profile, is about what MPII's head segment, 0.6 of
    its head box's diagonal, is long (Andriluka et al. 2014), so that PCKh by it can be compared, if not equated.
    """
    face = np.asarray(truth, np.float64).reshape(-1, _JOINTS, 3)[:, _FACE]
    gaps = np.linalg.norm(face[:, :, None, :2] - face[:, None, :, :2], axis=3)
    labelled = face[..., 2] > 0
    largest = np.where(labelled[:, :, None] & labelled[:, None, :], gaps, 0.0).max(axis=(1, 2), initial=0.0)
    return np.where(largest > 0, largest, np.nan)


@dataclass(frozen=True, eq=False)
class Pck:
    """Percentage of correct keypoints as shares in [0, 1], NaN where nothing was labelled.

    mean: over all labelled joints together.   per_joint: (17,).   counted: (17,) labelled joints.
    """

    mean: float
    per_joint: np.ndarray
    counted: np.ndarray


def pck(points: np.ndarray, truth: np.ndarray, sizes: np.ndarray, alpha: float = 0.2) -> Pck:
    """Share of labelled joints whose prediction lies within ``alpha`` times the person's size (Yang, Ramanan 2013).

    points: (P, 17, 2 or 3) pixels; undefined ones are wrong.   truth: (P, 17, 3).   sizes: (P,) pixels, such as
    ``torso_diagonals`` (PCK) or ``head_sizes`` with alpha 0.5 (PCKh@0.5); people of undefined size are left out.
    """
    truth = np.asarray(truth, np.float64).reshape(-1, _JOINTS, 3)
    found = np.asarray(points, np.float64)[..., :2].reshape(-1, _JOINTS, 2)
    counts = (truth[..., 2] > 0) & np.isfinite(sizes)[:, None]
    error = np.linalg.norm(found - truth[..., :2], axis=2)
    right = counts & (error <= alpha * np.nan_to_num(sizes)[:, None])
    counted = counts.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        per_joint = right.sum(axis=0) / counted
    mean = float(right.sum() / counted.sum()) if counted.sum() else float("nan")
    return Pck(mean, per_joint, counted)


def oks(points: np.ndarray, truth: np.ndarray, area: float, box: Sequence[float] | None = None) -> np.ndarray:
    """Object keypoint similarity (D,) in [0, 1] of D poses with one true person: the mean over its labelled joints of
    exp(-d^2 / (2 area k^2)), with k twice the joint's sigma (COCO keypoint evaluation).

    points: (D, 17, 2 or 3).   truth: (17, 3).   area: of the person, square pixels.   box: COCO's x, y, width, height:
    for a person without labelled joints the distances are those to the box doubled in size around it, as COCO has it;
    without a box such a person has similarity 0.
    """
    found = np.asarray(points, np.float64)[..., :2].reshape(-1, _JOINTS, 2)
    labelled = truth[:, 2] > 0
    if labelled.any():
        offset = found - np.asarray(truth[:, :2], np.float64)
    elif box is not None:
        low = np.array([box[0] - box[2], box[1] - box[3]])
        high = np.array([box[0] + 2 * box[2], box[1] + 2 * box[3]])
        offset = np.maximum(0, low - found) + np.maximum(0, found - high)
    else:
        return np.zeros(len(found))
    exponent = (offset**2).sum(axis=2) / _VARIANCES / (area + np.spacing(1)) / 2
    chosen = labelled if labelled.any() else np.ones(_JOINTS, bool)
    similarity: np.ndarray = np.exp(-exponent[:, chosen]).mean(axis=1)
    return similarity


def oks_radius(joint: int, area: float, similarity: float = 0.5) -> float:
    """Pixels from a joint at which its own similarity has fallen to ``similarity``; for circles drawn around it."""
    return float(np.sqrt(-2 * np.log(similarity) * max(area, 0.0) * _VARIANCES[joint]))


@dataclass(frozen=True, eq=False)
class _Picture:
    """One picture's outcome: (A, T, D) matched and ignored, (D,) scores, (A,) people that count."""

    matched: np.ndarray
    ignored: np.ndarray
    scores: np.ndarray
    positives: np.ndarray


def coco_keypoint_metrics(
    annotations: Sequence[Mapping[str, Any]], results: Sequence[Mapping[str, Any]], image_ids: Iterable[Any]
) -> dict[str, float]:
    """COCO's ten numbers for poses, equal to its reference implementation (pycocotools); -1 where nothing was asked.

    Args:
        annotations: true people {image_id, bbox [x, y, w, h], area, keypoints [51], iscrowd, num_keypoints}. Without
            "num_keypoints" the labelled joints are counted; people without any, and crowds, neither help nor hurt.
        results: {image_id, keypoints [51], score}; the best 20 of a picture are taken.
        image_ids: pictures to evaluate; rows of others are left out.
    Returns:
        AP, AP50, AP75, APm, APl, AR, AR50, AR75, ARm, ARl over OKS thresholds 0.5 to 0.95.
    """
    truth: dict[Any, list[Mapping[str, Any]]] = defaultdict(list)
    found: dict[Any, list[Mapping[str, Any]]] = defaultdict(list)
    for rows, table in ((annotations, truth), (results, found)):
        for row in rows:
            table[row["image_id"]].append(row)
    outcomes = [_evaluate_picture(truth[id_], found[id_]) for id_ in sorted(set(image_ids))]
    precision = np.full((len(OKS_THRESHOLDS), len(RECALL_POINTS), len(AREA_RANGES)), -1.0)
    recall = np.full((len(OKS_THRESHOLDS), len(AREA_RANGES)), -1.0)
    if outcomes:
        _accumulate(outcomes, precision, recall)
    values: dict[str, float] = {}
    for name, by_area in (("AP", np.moveaxis(precision, 2, 0)), ("AR", np.moveaxis(recall, 1, 0))):
        values[name] = _mean(by_area[0])
        values[f"{name}50"], values[f"{name}75"] = _mean(by_area[0][0]), _mean(by_area[0][5])
        values[f"{name}m"], values[f"{name}l"] = _mean(by_area[1]), _mean(by_area[2])
    return values


def _evaluate_picture(people: Sequence[Mapping[str, Any]], poses: Sequence[Mapping[str, Any]]) -> _Picture:
    keypoints = np.array([row["keypoints"] for row in people], np.float64).reshape(-1, _JOINTS, 3)
    crowd = np.array([bool(row.get("iscrowd", 0)) for row in people], bool)
    labelled = (keypoints[..., 2] > 0).sum(axis=1)
    unlabelled = np.array([row.get("num_keypoints", count) == 0 for row, count in zip(people, labelled)], bool)
    area = np.array([row.get("area", row["bbox"][2] * row["bbox"][3]) for row in people], np.float64)
    scores = np.array([row["score"] for row in poses], np.float64)
    best = np.argsort(-scores, kind="stable")[:MAX_POSES]
    points = np.array([poses[row]["keypoints"] for row in best], np.float64).reshape(-1, _JOINTS, 3)
    low, high = np.array(list(AREA_RANGES.values())).T[:, :, None]
    ignore = (area < low) | (area > high) | crowd | unlabelled
    # COCO takes the area of a result from the extent of all its joints.
    extent = np.ptp(points[..., :2], axis=1).prod(axis=1) if len(points) else np.zeros(0)
    outside = np.repeat(((extent < low) | (extent > high))[:, None, :], len(OKS_THRESHOLDS), axis=1)
    positives = (~ignore).sum(axis=1)
    if not len(people) or not len(points):
        return _Picture(np.zeros_like(outside), outside, scores[best], positives)
    columns = [oks(points, keypoints[row], area[row], people[row]["bbox"]) for row in range(len(people))]
    taken = greedy_match(np.stack(columns, axis=1), ignore, crowd, OKS_THRESHOLDS)
    hit = taken >= 0
    of_taken = np.take_along_axis(ignore[:, None, :], np.maximum(taken, 0), axis=2)
    return _Picture(hit, np.where(hit, of_taken, outside), scores[best], positives)


def _accumulate(outcomes: Sequence[_Picture], precision: np.ndarray, recall: np.ndarray) -> None:
    """Fill precision (T, R, A) and recall (T, A) where there is anything to find."""
    order = np.argsort(-np.concatenate([one.scores for one in outcomes]), kind="stable")
    matched = np.concatenate([one.matched for one in outcomes], axis=2)[:, :, order]
    ignored = np.concatenate([one.ignored for one in outcomes], axis=2)[:, :, order]
    positives = sum(one.positives for one in outcomes)
    for a in np.flatnonzero(positives):
        hits = np.cumsum(matched[a] & ~ignored[a], axis=1, dtype=np.float64)
        shown = hits + np.cumsum(~matched[a] & ~ignored[a], axis=1, dtype=np.float64)
        rates = hits / positives[a]  # type: ignore[index]
        recall[:, a] = rates[:, -1] if len(order) else 0.0
        for t in range(len(OKS_THRESHOLDS)):
            precision[t, :, a] = precision_at(hits[t] / np.maximum(shown[t], 1.0), rates[t], RECALL_POINTS)


def _distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    distance: np.ndarray = np.linalg.norm(a[:, :2] - b[:, :2], axis=1)
    return distance


def _mean(values: np.ndarray) -> float:
    counted = values[values > -1]
    return float(counted.mean()) if counted.size else -1.0
