"""The same person in frame after frame: numbers that stay, joints that do not tremble, and the way they came.

People of two frames belong together when their boxes (IoU) and their joints (object keypoint similarity) fit best.
Joints are smoothed by the one-euro filter (Casiez et al. 2012, doi:10.1145/2207676.2208639): a low-pass filter whose
cutoff rises with speed, so that a resting hand is calm and a fast one is not late.
"""

from __future__ import annotations

import itertools
from collections import deque
from dataclasses import dataclass, field, replace

import numpy as np

from cvdemo.detection.nms import iou_matrix
from cvdemo.pose.metrics import AREA_OF_BOX, oks
from cvdemo.pose.poses import Poses

MATCH = 0.2
FORGET_SECONDS = 1.0
TRAIL_SECONDS = 1.0
RESTART_SECONDS = 0.4
CALMEST_HERTZ = 0.6
LIVELIEST_HERTZ = 12.0
BETA = 8.0  # hertz of cutoff per person's size and second of speed
DERIVATIVE_HERTZ = 1.0


class OneEuroFilter:
    """A one-euro filter over an array of places; not thread-safe."""

    def __init__(self, min_cutoff: float = 1.0, beta: float = 0.0, derivative_cutoff: float = DERIVATIVE_HERTZ) -> None:
        self.min_cutoff, self.beta, self.derivative_cutoff = min_cutoff, beta, derivative_cutoff
        self._value: np.ndarray | None = None
        self._raw: np.ndarray | None = None
        self._speed: np.ndarray | None = None
        self._seen: np.ndarray | None = None

    def __call__(self, values: np.ndarray, seconds: float, scale: float = 1.0) -> np.ndarray:
        """The filtered values (same shape (J, 2), float64) at a time on a clock that does not go back.

        ``scale``: speeds are measured in it per second. A row with NaN is returned as it is and starts anew when it
        comes back after more than 0.4 seconds; so does a row that was never seen.
        """
        values = np.array(values, np.float64)
        if self._value is None or self._raw is None or self._speed is None or self._seen is None:
            self._value, self._raw, self._speed = values.copy(), values.copy(), np.zeros_like(values)
            self._seen = np.where(np.isfinite(values).all(axis=1), seconds, -np.inf)
            return values
        known = np.isfinite(values).all(axis=1)
        elapsed = seconds - self._seen
        fresh = known & ((elapsed > RESTART_SECONDS) | ~np.isfinite(elapsed))
        on = known & ~fresh & (elapsed > 0)
        step = np.where(on, elapsed, 1.0)[:, None]
        speed = (values - self._raw) / step
        self._speed[on] += (_weight(step, self.derivative_cutoff) * (speed - self._speed))[on]
        cutoff = self.min_cutoff + self.beta * np.linalg.norm(self._speed, axis=1, keepdims=True) / max(scale, 1e-9)
        self._value[on] += (_weight(step, cutoff) * (values - self._value))[on]
        self._value[fresh], self._speed[fresh] = values[fresh], 0.0
        self._raw[known] = values[known]
        self._seen[known] = seconds
        return np.where(known[:, None], self._value, values)


def _weight(step: np.ndarray, cutoff: np.ndarray | float) -> np.ndarray:
    """Share of the new value in an exponential average of that cutoff frequency, for a step of so many seconds."""
    turn = 2 * np.pi * cutoff * step
    return np.asarray(turn / (turn + 1))


@dataclass
class _Track:
    number: int
    box: np.ndarray
    keypoints: np.ndarray
    visible: np.ndarray
    seen: float
    smoother: OneEuroFilter
    history: deque[tuple[float, np.ndarray]] = field(default_factory=deque)


class PoseTracks:
    """The people of one video or live session. Not thread-safe: one session, one caller at a time."""

    def __init__(self) -> None:
        self._tracks: list[_Track] = []
        self._numbers = itertools.count(1)

    def __len__(self) -> int:
        return len(self._tracks)

    def update(self, poses: Poses, seconds: float, smoothing: float = 0.5) -> Poses:
        """The poses of the next frame with ``tracks`` set and their visible joints smoothed.

        seconds: time of the frame, on a clock that does not go back.   smoothing: 0 (none) to 1 (a resting joint
        follows with 0.6 hertz).   A person who was away for more than a second is a new one.
        """
        self._tracks = [track for track in self._tracks if seconds - track.seen <= FORGET_SECONDS]
        numbers = np.zeros(len(poses), np.int64)
        keypoints = poses.keypoints.copy()
        matched = dict(self._matches(poses))
        for row in range(len(poses)):
            track = matched.get(row)
            if track is None:
                track = _Track(next(self._numbers), poses.boxes[row], poses.keypoints[row], poses.visible[row], seconds,
                               OneEuroFilter(beta=BETA))  # fmt: skip
                self._tracks.append(track)
            # smoothing 0.5 lies at the geometric mean of the two cutoffs
            track.smoother.min_cutoff = LIVELIEST_HERTZ * (CALMEST_HERTZ / LIVELIEST_HERTZ) ** smoothing
            shown = np.where(poses.visible[row][:, None], poses.keypoints[row, :, :2], np.nan)
            smooth = track.smoother(shown, seconds, float(np.sqrt(_area(poses.boxes[row]))))
            if smoothing > 0:
                keypoints[row, :, :2] = np.where(np.isfinite(smooth), smooth, poses.keypoints[row, :, :2])
            track.box, track.keypoints, track.visible = poses.boxes[row], poses.keypoints[row], poses.visible[row]
            track.seen = seconds
            track.history.append((seconds, np.where(poses.visible[row][:, None], keypoints[row, :, :2], np.nan)))
            while seconds - track.history[0][0] > TRAIL_SECONDS:
                track.history.popleft()
            numbers[row] = track.number
        return replace(poses, keypoints=keypoints, tracks=numbers)

    def trails(self) -> dict[int, np.ndarray]:
        """By track number, where the joints of those in the last frame were: (T, 17, 2), oldest first, NaN in gaps."""
        if not self._tracks:
            return {}
        last = max(track.seen for track in self._tracks)
        return {
            track.number: np.stack([points for _, points in track.history])
            for track in self._tracks
            if track.seen == last and track.history
        }

    def _matches(self, poses: Poses) -> list[tuple[int, _Track]]:
        """(row, track) pairs, each at most once, best fit first."""
        if not self._tracks or not len(poses):
            return []
        fit = iou_matrix(poses.boxes, np.stack([track.box for track in self._tracks])).astype(np.float64)
        for column, track in enumerate(self._tracks):
            truth = np.concatenate([track.keypoints[:, :2], track.visible[:, None]], axis=1)
            if track.visible.any():
                similar = oks(poses.keypoints, truth, max(AREA_OF_BOX * _area(track.box), 1.0))
                fit[:, column] = (fit[:, column] + similar) / 2
        pairs: list[tuple[int, _Track]] = []
        while fit.max() >= MATCH:
            row, column = divmod(int(fit.argmax()), fit.shape[1])
            pairs.append((row, self._tracks[column]))
            fit[row, :], fit[:, column] = -1, -1
        return pairs


def _area(box: np.ndarray) -> float:
    return max(float((box[2] - box[0]) * (box[3] - box[1])), 1.0)
