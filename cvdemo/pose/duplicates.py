"""People who were found twice: two boxes whose joints lie at the same places are one person.

A detector's own suppression looks at boxes, and the boxes of one person with and without its arms may overlap less than
those of two people side by side. Their joints tell (non-maximum suppression by object keypoint similarity, Papandreou
et al. 2017, arXiv:1701.01779).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cvdemo.pose.metrics import AREA_OF_BOX
from cvdemo.pose.raw import RawPoses, peaks
from cvdemo.pose.skeleton import OKS_SIGMAS

SAME_OKS = 0.5
"""The least similarity that COCO's evaluation takes for a match."""
SEEN = 0.3
"""Score above which a joint has a say."""
FEWEST_JOINTS = 3


def similarity_of_people(points: np.ndarray, scores: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """(N, N) object keypoint similarity of people with each other, over the joints either of a pair scores above 0.3.

    points: (N, 17, 2), scores: (N, 17), boxes: (N, 4) x1 y1 x2 y2. A pair is measured by the smaller of its boxes, and
    one with fewer than three such joints in common has 0.
    """
    seen = scores > SEEN
    areas = AREA_OF_BOX * np.maximum((boxes[:, 2:] - boxes[:, :2]).astype(np.float64).prod(axis=1), 1e-9)
    area = np.minimum(areas[:, None], areas[None])[..., None]
    away = ((points[:, None] - points[None]) ** 2).sum(axis=3)
    alike = np.exp(-away / (2 * area * (2 * OKS_SIGMAS) ** 2))
    either, both = seen[:, None] | seen[None], seen[:, None] & seen[None]
    mean = (alike * either).sum(axis=2) / np.maximum(either.sum(axis=2), 1)
    return np.where(both.sum(axis=2) >= FEWEST_JOINTS, mean, 0.0)


def without_duplicates(raw: RawPoses) -> RawPoses:
    """The result without people whose joints lie where those of a surer one do; ``found`` counts each person once."""
    if len(raw) < 2:
        return raw
    points, scores = peaks(raw)
    same = similarity_of_people(points, scores, raw.boxes) > SAME_OKS
    kept: list[int] = []
    for row in np.argsort(-np.nan_to_num(raw.box_scores), kind="stable").tolist():
        if not same[row, kept].any():
            kept.append(row)
    if len(kept) == len(raw):
        return raw
    rows = np.sort(kept)

    def part(values: np.ndarray | None) -> np.ndarray | None:
        return None if values is None else values[rows]

    return replace(
        raw,
        boxes=raw.boxes[rows],
        box_scores=raw.box_scores[rows],
        regions=raw.regions[rows],
        heatmaps=part(raw.heatmaps),
        keypoints=part(raw.keypoints),
        scores=part(raw.scores),
        stages_extra={name: np.asarray(values)[rows] for name, values in raw.stages_extra.items()},
        found=max(raw.found, len(raw)) - (len(raw) - len(rows)),
    )
