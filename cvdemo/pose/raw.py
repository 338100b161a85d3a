"""What a pose model is handed and what one run of it returns: heatmaps, or coordinates where there are none.

One convention for all places: a picture's top left corner is (0, 0) and its pixels are unit squares, so the centre of
pixel (row i, column j) is at x = j + 1/2, y = i + 1/2. A heatmap cell (i, j) of an (h, w) map over a region
x1 y1 x2 y2 is centred at x = x1 + (j + 1/2) (x2 - x1) / w, and likewise for y.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from cvdemo.core.inputs import example_picture
from cvdemo.pose.heatmaps import decode_heatmaps
from cvdemo.pose.skeleton import COCO_JOINTS, OKS_SIGMAS

JOINTS = len(COCO_JOINTS)
TOP_DOWN = "top_down"
"""``ModelSpec.extras[TOP_DOWN]`` is True for models that need people's boxes; the others find people themselves."""
MARGIN = 1.25
"""Regions of top-down models are this many times the person's box, then widened to the network's aspect."""

AGREE_OKS = 0.9
AGREE_SHARE = 0.9
AGREE_SCORE = 0.1
AGREE_VISIBLE = 0.2


@dataclass(frozen=True, eq=False)
class People:
    """The input of every pose model's ``run``: a picture and the boxes of the people in it.

    Attributes:
        pixels: (H, W, 3) uint8 RGB.   boxes: (N, 4) float32 x1 y1 x2 y2 in pixels.   scores: (N,) float32 in [0, 1].
    """

    pixels: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray

    def __post_init__(self) -> None:
        if self.boxes.shape != (len(self.scores), 4):
            raise ValueError(f"{len(self.scores)} scores for boxes of shape {self.boxes.shape}")


def example_people() -> People:
    """The example picture with two boxes, always the same, for warm-up and measuring."""
    boxes = np.array([[80, 60, 240, 440], [330, 100, 520, 420]], np.float32)
    return People(example_picture(), boxes, np.array([0.9, 0.8], np.float32))


@dataclass(frozen=True, eq=False)
class RawPoses:
    """Everything ``infer`` found out about the N people of one picture. Arrays are numpy.

    Attributes:
        boxes: (N, 4) float32 x1 y1 x2 y2 of each person in pixels of the picture.   box_scores: (N,) float32 in [0, 1].
        heatmaps: (N, 17, h, w) float32, one map per joint; None for models that return coordinates only.
        regions: (N, 4) float32, the rectangle of the picture each heatmap (or crop) covers; may reach outside of it.
        keypoints: (N, 17, 2) float32 x, y in pixels and
        scores: (N, 17) float32: where the model itself puts the joints, for models without heatmaps and for Keypoint
            R-CNN; None otherwise.
        logits: whether the heatmaps are logits of a softmax over all cells of a map (Keypoint R-CNN) and not values
            that peak at about 1 on a sure joint. ``scores`` of such a model are logits too.
        stages_extra: results of earlier stages, each (N, 17, 2) keypoints or (N, 17, h, w) heatmaps over ``regions``,
            such as {"stage 1": ...} of a cascade or a stacked hourglass.
        height, width: of the picture, in pixels.   model: registry name.
        found: people there were before the cap on their number; 0 means as many as boxes.
    """

    boxes: np.ndarray
    box_scores: np.ndarray
    heatmaps: np.ndarray | None
    regions: np.ndarray
    keypoints: np.ndarray | None
    scores: np.ndarray | None
    height: int
    width: int
    model: str
    stages_extra: Mapping[str, Any] = field(default_factory=dict)
    logits: bool = False
    found: int = 0

    def __post_init__(self) -> None:
        count = len(self.boxes)
        if self.boxes.shape != (count, 4) or self.regions.shape != (count, 4) or self.box_scores.shape != (count,):
            raise ValueError("every person needs a box, a region and a score")
        if (self.keypoints is None) != (self.scores is None):
            raise ValueError("keypoints and their scores come together or not at all")
        if self.heatmaps is None and self.keypoints is None:
            raise ValueError("a model returns heatmaps or keypoints")
        if self.heatmaps is not None and (self.heatmaps.ndim != 4 or self.heatmaps.shape[:2] != (count, JOINTS)):
            raise ValueError(f"heatmaps of shape {self.heatmaps.shape} for {count} people with {JOINTS} joints")
        if self.keypoints is not None and self.keypoints.shape != (count, JOINTS, 2):
            raise ValueError(f"keypoints of shape {self.keypoints.shape} for {count} people")
        if self.scores is not None and self.scores.shape != (count, JOINTS):
            raise ValueError(f"scores of shape {self.scores.shape} for {count} people")

    def __len__(self) -> int:
        return len(self.boxes)


def no_people(height: int, width: int, model: str) -> RawPoses:
    """The result for a picture without people."""
    none = np.zeros((0, 4), np.float32)
    keypoints, scores = np.zeros((0, JOINTS, 2), np.float32), np.zeros((0, JOINTS), np.float32)
    return RawPoses(none, np.zeros(0, np.float32), None, none, keypoints, scores, height, width, model)


def of_stage(raw: RawPoses, stage: str) -> RawPoses:
    """The result of an earlier stage (a key of ``stages_extra``) as a result of its own; KeyError for another name."""
    values = np.asarray(raw.stages_extra[stage])
    if values.ndim == 4:
        return replace(raw, heatmaps=values, keypoints=None, scores=None, stages_extra={})
    scores = np.ones(values.shape[:2], np.float32) if raw.scores is None else raw.scores
    return replace(raw, heatmaps=None, keypoints=values, scores=scores, stages_extra={})


def unit_scores(raw: RawPoses) -> np.ndarray:
    """(N, 17) float64 in [0, 1]: the scores of a model without heatmaps; logits by a sigmoid, undefined ones 0."""
    scores = np.nan_to_num(np.asarray(raw.scores, np.float64), nan=-np.inf if raw.logits else 0.0)
    with np.errstate(over="ignore"):
        return np.clip(1 / (1 + np.exp(-scores)) if raw.logits else scores, 0.0, 1.0)


def peaks(raw: RawPoses) -> tuple[np.ndarray, np.ndarray]:
    """Where each joint is by the plainest reading, (N, 17, 2) pixels and (N, 17) scores in [0, 1].

    The highest cell of each heatmap, or the model's own keypoints where it has no heatmaps; undefined places are 0.
    """
    if raw.heatmaps is not None:
        return decode_heatmaps(raw.heatmaps, raw.regions, "argmax", logits=raw.logits)
    assert raw.keypoints is not None
    return np.nan_to_num(np.asarray(raw.keypoints, np.float64)), unit_scores(raw)


def agree(reference: RawPoses, other: RawPoses) -> bool:
    """Whether a faster number format may replace the reference of a top-down model: same people, same joints.

    Of the joints the reference scores above 0.2 (all joints when it is sure of none), 90 % must lie so near in
    ``other`` that their object keypoint similarity is at least 0.9, with a score within 0.1.
    """
    if len(reference) != len(other):
        return False
    if not len(reference):
        return True
    (points, scores), (others, other_scores) = peaks(reference), peaks(other)
    seen = scores > AGREE_VISIBLE if (scores > AGREE_VISIBLE).any() else np.ones_like(scores, bool)
    sizes = reference.regions[:, 2:] - reference.regions[:, :2]
    area = np.maximum(sizes.prod(axis=1) / MARGIN**2, 1.0)[:, None]
    similarity = np.exp(-((points - others) ** 2).sum(axis=2) / (2 * area * (2 * OKS_SIGMAS) ** 2))
    alike = (similarity >= AGREE_OKS) & (np.abs(scores - other_scores) <= AGREE_SCORE)
    return bool(alike[seen].mean() >= AGREE_SHARE)
