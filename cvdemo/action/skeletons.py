"""People as 15 moving joints: JHMDB's order, the way from COCO's 17 to it, and what the skeleton network is fed.

Jhuang et al. 2013, Towards Understanding Action Recognition (J-HMDB): the joints alone tell most actions apart.
"""

from __future__ import annotations

import numpy as np

from cvdemo.pose.skeleton import JOINT_INDEX

JOINTS: tuple[str, ...] = (
    "neck", "belly", "face", "right shoulder", "left shoulder", "right hip", "left hip", "right elbow", "left elbow",
    "right knee", "left knee", "right wrist", "left wrist", "right ankle", "left ankle",
)  # fmt: skip
"""J-HMDB's joints in its order. Left and right are the person's own."""
FLIP = np.array([0, 1, 2, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13])
"""Where each joint of a mirrored person comes from."""
STEPS = 32
"""Moments a clip is brought to, whatever its length."""
CHANNELS = 5 * len(JOINTS) + 4

SEEN_FROM = 0.3
"""Estimated joints of a lower score count as not seen."""

_NECK, _BELLY, _FACE, _HIPS = 0, 1, 2, (5, 6)
_FACE_JOINTS = tuple(JOINT_INDEX[name] for name in ("nose", "left eye", "right eye", "left ear", "right ear"))
# Medians over J-HMDB's training clips: what its annotators called neck, belly and face, in lengths of the torso.
_NECK_ABOVE_SHOULDERS, _FACE_ABOVE_NECK, _BELLY_DOWN_TORSO = 0.12, 0.20, 0.80
_SMALLEST_SEEN = 0.05
_SHORTEST_TORSO = 0.3  # of the body's extent; a person seen from above has no torso to measure by


def from_coco(joints: np.ndarray) -> np.ndarray:
    """COCO's joints (T, 17, 3) x, y, score -> J-HMDB's (T, 15, 3).

    Twelve have the same name. The neck lies a little above the middle of the shoulders, the belly four fifths of the
    way from the neck to the middle of the hips, the face in the middle of what is seen of eyes, ears and nose (above
    the neck where nothing is). A joint made of several has the lowest of their scores.
    """
    given = np.asarray(joints, np.float64)
    out = np.zeros((len(given), len(JOINTS), 3))
    for row, name in enumerate(JOINTS):
        if name in JOINT_INDEX:
            out[:, row] = given[:, JOINT_INDEX[name]]
    shoulders, hips = _middle(out, 3, 4), _middle(out, 5, 6)
    torso = hips[:, :2] - shoulders[:, :2]
    out[:, _NECK, :2] = shoulders[:, :2] - _NECK_ABOVE_SHOULDERS * torso
    out[:, _NECK, 2] = shoulders[:, 2]
    out[:, _BELLY, :2] = out[:, _NECK, :2] + _BELLY_DOWN_TORSO * (hips[:, :2] - out[:, _NECK, :2])
    out[:, _BELLY, 2] = np.minimum(shoulders[:, 2], hips[:, 2])
    face = given[:, _FACE_JOINTS]
    weights = np.where(face[..., 2] > _SMALLEST_SEEN, face[..., 2], 0.0)
    total = weights.sum(axis=1)
    seen = total > 0
    middle = (face[..., :2] * weights[..., None]).sum(axis=1) / np.where(seen, total, 1.0)[:, None]
    length = np.linalg.norm(torso, axis=1)
    above = out[:, _NECK, :2] - np.stack([np.zeros_like(length), _FACE_ABOVE_NECK * length], axis=1)
    out[:, _FACE, :2] = np.where(seen[:, None], middle, above)
    out[:, _FACE, 2] = np.where(seen, weights.max(axis=1), out[:, _NECK, 2] / 2)
    return out


def _middle(joints: np.ndarray, first: int, second: int) -> np.ndarray:
    """(T, 3): the point between two joints, with the lower of their scores."""
    points = (joints[:, first, :2] + joints[:, second, :2]) / 2
    return np.concatenate([points, np.minimum(joints[:, first, 2], joints[:, second, 2])[:, None]], axis=1)


def calmed(points: np.ndarray) -> np.ndarray:
    """(T, J, 2) with each coordinate replaced by the median of three moments: a joint that jumps once stays."""
    if len(points) < 3:
        return points
    middle = np.median(np.stack([points[:-2], points[1:-1], points[2:]]), axis=0)
    return np.concatenate([points[:1], middle, points[-1:]])


def fill_gaps(joints: np.ndarray, threshold: float = SEEN_FROM) -> tuple[np.ndarray, np.ndarray]:
    """Replace joints that were not seen by what lies between the moments at which they were.

    joints: (T, J, 3) x, y, score; undefined places count as not seen.   Returns (T, J, 2) places, and (T, J) float64: 1
    where seen, 0 where filled in. A joint that is never seen is put where the others are on average.
    """
    points = np.array(joints[..., :2], np.float64)
    seen = np.isfinite(joints).all(axis=2) & (joints[..., 2] >= threshold)
    moments = np.arange(len(points))
    for joint in range(points.shape[1]):
        known = np.flatnonzero(seen[:, joint])
        for axis in range(2):
            points[:, joint, axis] = np.interp(moments, known, points[known, joint, axis]) if len(known) else np.nan
    missing = np.isnan(points).all(axis=(0, 2))
    if missing.all():
        return np.zeros_like(points), np.zeros(seen.shape)
    points[:, missing] = points[:, ~missing].mean(axis=1, keepdims=True)
    return points, seen.astype(np.float64)


def resample(values: np.ndarray, steps: int = STEPS) -> np.ndarray:
    """(T, ...) -> (steps, ...), linearly between neighbouring moments; the first and last stay."""
    given = np.asarray(values, np.float64)
    at = np.linspace(0, len(given) - 1, steps)
    below = np.floor(at).astype(int)
    above = np.minimum(below + 1, len(given) - 1)
    share = (at - below).reshape(-1, *[1] * (given.ndim - 1))
    return given[below] * (1 - share) + given[above] * share


def features(points: np.ndarray, seen: np.ndarray | None = None, steps: int = STEPS) -> np.ndarray:
    """What the network is fed for one clip, free of where in the picture somebody is and how large.

    points: (T, 15, 2) in any unit, x to the right and y down.   seen: (T, 15) in [0, 1], all 1 unless given.
    Returns (79, steps) float32: x and y of every joint relative to the hips in lengths of the torso (30), their change
    from step to step (30), whether they were seen (15), where the hips are relative to their mean place (2) and their
    change (2).
    """
    moving = resample(points, steps)
    visible = np.ones((steps, len(JOINTS))) if seen is None else resample(seen, steps)
    hips = moving[:, _HIPS].mean(axis=1)
    unit = _unit(moving, hips)
    local = (moving - hips[:, None]) / unit
    path = (hips - hips.mean(axis=0)) / unit
    rows = [
        local.reshape(steps, -1),
        _change(local).reshape(steps, -1) * 8,
        visible,
        path,
        _change(path) * 8,
    ]
    return np.ascontiguousarray(np.concatenate(rows, axis=1).T, np.float32)


def _unit(points: np.ndarray, hips: np.ndarray) -> float:
    """One length for the clip: the torso's median, but at least a share of the body's extent."""
    torso = float(np.median(np.linalg.norm(points[:, _NECK] - hips, axis=1)))
    extent = float(np.median((points.max(axis=1) - points.min(axis=1)).max(axis=1)))
    return max(torso, _SHORTEST_TORSO * extent, 1e-6)


def _change(values: np.ndarray) -> np.ndarray:
    return np.diff(values, axis=0, prepend=values[:1])
