"""The clips of J-HMDB as joints, and the variations a training clip is drawn with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cvdemo.action.skeletons import FLIP, JOINTS, features
from cvdemo.core.errors import InputError


@dataclass(frozen=True, eq=False)
class JointClips:
    """Labelled clips: joints[i] is (T_i, 15, 2) float32, labels[i] the index of its class in ``classes``."""

    joints: list[np.ndarray]
    labels: np.ndarray
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.joints)

    def chosen(self, rows: np.ndarray) -> JointClips:
        """The clips of these rows."""
        return JointClips([self.joints[row] for row in rows], self.labels[rows], self.classes)


def load(path: Path, classes: tuple[str, ...] | None = None) -> JointClips:
    """Read an npz file with ``label`` (N,) names, ``length`` (N,) frames and ``joints`` (sum of lengths, 30).

    classes: their order, the sorted names of the file unless given.   Errors: ``InputError`` for other files.
    """
    try:
        with np.load(path) as file:
            names, lengths, rows = file["label"], file["length"], file["joints"]
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            f"{path} holds no labelled joints.", hint="Give an npz with label, length and joints."
        ) from error
    if len(names) != len(lengths) or lengths.sum() != len(rows) or rows.shape[1] != 2 * len(JOINTS):
        raise InputError(f"{path} has {len(rows)} rows of joints for {lengths.sum()}.", hint="Get the file again.")
    known = classes or tuple(sorted(set(names.tolist())))
    if unknown := sorted(set(names.tolist()) - set(known)):
        raise InputError(
            f"{path} has other actions: {', '.join(unknown)}.", hint="Use the other half of the same split."
        )
    joints = np.split(rows.reshape(-1, len(JOINTS), 2).astype(np.float32), np.cumsum(lengths)[:-1])
    return JointClips(joints, np.array([known.index(name) for name in names.tolist()]), known)


def varied(points: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A clip as another person might do it before another camera, and which joints are seen: (T, 15, 2) and (T, 15).

    A part of its time, mirrored, turned, stretched, jittered as an estimate of joints is, with joints missing.
    """
    count = len(points)
    kept = max(8, round(count * rng.uniform(0.7, 1.0)))
    first = rng.integers(0, max(1, count - kept + 1))
    moving = np.array(points[first : first + kept], np.float64)
    if rng.random() < 0.5:
        moving = moving[:, FLIP] * [-1, 1]
    angle = np.deg2rad(rng.normal(0, 8))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    stretch = np.diag(np.exp(rng.normal(0, 0.1, 2)))
    moving = moving @ (turn @ stretch).T
    size = max(1e-6, float(np.median(np.linalg.norm(moving[:, 0] - moving[:, 5:7].mean(axis=1), axis=1))))
    moving += rng.normal(0, 0.04, (1, len(JOINTS), 2)) * size
    moving += rng.normal(0, rng.uniform(0, 0.05), moving.shape) * size
    seen = np.ones(moving.shape[:2])
    if rng.random() < 0.4:
        for joint in rng.choice(len(JOINTS), rng.integers(1, 4), replace=False):
            a, b = np.sort(rng.integers(0, len(moving) + 1, 2))
            moving[a:b, joint] = moving[max(a - 1, 0), joint]
            seen[a:b, joint] = 0
    return moving, seen


class SkeletonBatches:
    """Endless batches of varied clips: (B, 79, 32) float32 features and (B,) int64 labels, classes drawn alike."""

    def __init__(self, clips: JointClips, seed: int) -> None:
        self.clips = clips
        self.rng = np.random.default_rng(seed)
        self.of_class = [np.flatnonzero(clips.labels == label) for label in range(len(clips.classes))]

    def batch(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        labels = self.rng.integers(0, len(self.clips.classes), count)
        rows = [self.rng.choice(self.of_class[label]) for label in labels]
        drawn = [features(*varied(self.clips.joints[row], self.rng)) for row in rows]
        return np.stack(drawn), labels


def plain_features(clips: JointClips) -> np.ndarray:
    """(N, 79, 32) float32 of every clip as it is."""
    return np.stack([features(points) for points in clips.joints])
