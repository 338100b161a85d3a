"""The joints of the person in a clip, by the pose task: what the skeleton model looks at."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np

from cvdemo.action.clips import Clip
from cvdemo.core.context import ProgressFn
from cvdemo.core.engine import Engine
from cvdemo.pose import predict as pose
from cvdemo.pose.skeleton import COCO_JOINTS

DETECT_EVERY = 4
"""People are looked for in every fourth frame; in between their boxes move along a straight line."""
NOBODY = "nobody was found in the clip, so the joints say nothing"
_SAME_PERSON = 0.1
_WIDER = 0.1


@dataclass(frozen=True, eq=False)
class JointClip:
    """joints: (T, 17, 3) float64 x, y in pixels and score, of one person; all zero in frames without one.

    clip: what they were found in.
    """

    joints: np.ndarray
    clip: Clip

    @property
    def found(self) -> bool:
        """Whether there was anybody at all."""
        return bool((self.joints[..., 2] > 0).any())


def joints_of(
    clip: Clip,
    engine: Engine,
    *,
    user: str = "",
    cancel: threading.Event | None = None,
    progress: ProgressFn | None = None,
) -> JointClip:
    """Estimate the joints of one person in every frame: the largest of those looked for, then whoever is nearest.

    Errors as in ``Engine.run``.
    """
    count = len(clip)
    joints = np.zeros((count, len(COCO_JOINTS), 3))
    settings = pose.PoseSettings(joint_threshold=0.0, max_people=20)
    at, boxes = _boxes(clip, engine, user, cancel)
    if not len(at):
        return JointClip(joints, clip)
    moments = np.arange(count)
    for row in range(count):
        if progress is not None:
            progress(row / count, f"Joints of frame {row + 1} of {count}")
        box = np.array([np.interp(moments[row], at, boxes[:, side]) for side in range(4)], np.float32)
        found = pose.infer(clip.frames[row], engine=engine, boxes=box[None], user=user, cancel=cancel)
        poses = pose.decode(found, settings)
        if len(poses.keypoints):
            joints[row] = poses.keypoints[0]
    return JointClip(joints, clip)


def _boxes(clip: Clip, engine: Engine, user: str, cancel: threading.Event | None) -> tuple[np.ndarray, np.ndarray]:
    """(K,) frames in which somebody was found, and (K, 4) x1 y1 x2 y2 of the same person, a little widened."""
    rows = sorted({*range(0, len(clip), DETECT_EVERY), len(clip) - 1})
    at: list[int] = []
    boxes: list[np.ndarray] = []
    for row in rows:
        people, _ = pose.find_people(clip.frames[row], engine, most=10, user=user, cancel=cancel)
        sure = people.boxes[people.scores >= pose.PoseSettings().box_threshold]
        if not len(sure):
            continue
        area = (sure[:, 2:] - sure[:, :2]).prod(axis=1)
        chosen = int(area.argmax())
        if boxes:
            overlap = _overlap(sure, boxes[-1])
            chosen = int(overlap.argmax()) if overlap.max() > _SAME_PERSON else chosen
        at.append(row)
        boxes.append(sure[chosen])
    if not boxes:
        return np.zeros(0, int), np.zeros((0, 4))
    stacked = np.stack(boxes).astype(np.float64)
    grown = (stacked[:, 2:] - stacked[:, :2]) * _WIDER / 2
    return np.array(at), np.concatenate([stacked[:, :2] - grown, stacked[:, 2:] + grown], axis=1)


def _overlap(boxes: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(N,) intersection over union with one box."""
    low, high = np.maximum(boxes[:, :2], other[:2]), np.minimum(boxes[:, 2:], other[2:])
    shared = np.maximum(high - low, 0).prod(axis=1)
    area = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1) + (other[2:] - other[:2]).prod()
    return np.asarray(shared / np.maximum(area - shared, 1e-9))
