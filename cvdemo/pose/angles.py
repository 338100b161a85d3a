"""Joint angles: of one pose, over time, and how often a movement was repeated."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from cvdemo.pose.poses import Poses
from cvdemo.pose.skeleton import JOINT_INDEX

_ENDS = {"elbow": ("shoulder", "elbow", "wrist"), "hip": ("shoulder", "hip", "knee"), "knee": ("hip", "knee", "ankle")}

ANGLES: dict[str, tuple[int, int, int]] = {
    f"{side} {joint}": tuple(JOINT_INDEX[f"{side} {end}"] for end in ends)  # type: ignore[misc]
    for joint, ends in _ENDS.items()
    for side in ("left", "right")
}
"""Name of each angle and the three joints that span it; the angle is at the middle one."""

LOW_DEGREES = 100.0
HIGH_DEGREES = 145.0
"""A bent and a stretched limb: squats, push-ups and curls cross both, standing and walking do not reach the first."""
SHORTEST_SECONDS = 0.15
FORGET_SECONDS = 3.0
_LEAST_SPAN = 20.0


def joint_angles(keypoints: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """(N, 6) float64 degrees in [0, 180], in the order of ``ANGLES``; NaN where a joint is not visible.

    keypoints: (N, 17, 2 or 3).   visible: (N, 17) bool.   180 is a stretched limb; coinciding joints span no angle.
    """
    points = np.asarray(keypoints, np.float64)[..., :2].reshape(-1, len(JOINT_INDEX), 2)
    corners = np.array(list(ANGLES.values()))
    a, b, c = (points[:, corners[:, end]] for end in range(3))
    one, two = a - b, c - b
    lengths = np.linalg.norm(one, axis=2) * np.linalg.norm(two, axis=2)
    cosine = (one * two).sum(axis=2) / np.where(lengths > 0, lengths, 1.0)
    degrees = np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0)))
    usable = np.asarray(visible, bool)[:, corners].all(axis=2) & (lengths > 0)
    return np.where(usable, degrees, np.nan)


@dataclass
class AngleSeries:
    """The angles of every person over the frames of a video.

    ``rows``: (time in seconds, person, (6,) degrees); the person is the track number, or the row from 1 without tracks.
    """

    rows: list[tuple[float, int, np.ndarray]] = field(default_factory=list)

    def add(self, time: float, poses: Poses) -> None:
        """Add the angles of all people of the frame at ``time`` seconds."""
        numbers = range(1, len(poses) + 1) if poses.tracks is None else poses.tracks.tolist()
        for number, degrees in zip(numbers, joint_angles(poses.keypoints, poses.visible)):
            self.rows.append((time, int(number), degrees))

    def people(self) -> list[int]:
        """Person numbers, the one seen in most frames first."""
        numbers = [person for _, person, _ in self.rows]
        return sorted(set(numbers), key=lambda person: (-numbers.count(person), person))

    def series(self, person: int, angle: str) -> tuple[np.ndarray, np.ndarray]:
        """Times (T,) in seconds and degrees (T,), NaN in gaps, of one person; KeyError for an unknown angle."""
        column = list(ANGLES).index(angle) if angle in ANGLES else -1
        if column < 0:
            raise KeyError(angle)
        chosen = [(time, degrees[column]) for time, number, degrees in self.rows if number == person]
        times, values = np.array(chosen, np.float64).reshape(-1, 2).T
        return times, values

    def to_csv(self) -> str:
        """time, person, and one column per angle in degrees; empty where a joint was not visible."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["time", "person", *(name.replace(" ", "_") for name in ANGLES)])
        for time, person, degrees in self.rows:
            writer.writerow([f"{time:.3f}", person, *("" if np.isnan(v) else f"{v:.1f}" for v in degrees)])
        return text.getvalue()


class RepetitionCounter:
    """Counts how often an angle goes down and up again, by two thresholds (hysteresis).

    A repetition is complete when the angle, having been below ``low``, has come above ``high``; between the two nothing
    changes, so that trembling around one threshold counts nothing. A threshold must have been passed for
    ``shortest`` seconds, which one wrong frame does not do. After ``forget`` seconds without a value a repetition that
    had begun is given up. Not thread-safe: one person, one caller.
    """

    def __init__(
        self,
        low: float = LOW_DEGREES,
        high: float = HIGH_DEGREES,
        *,
        shortest: float = SHORTEST_SECONDS,
        forget: float = FORGET_SECONDS,
    ) -> None:
        if not low < high:
            raise ValueError(f"the lower threshold must lie below the upper one, not {low:g} and {high:g}")
        self.low, self.high, self.shortest, self.forget = low, high, shortest, forget
        self.count = 0
        self.bent = False
        self._beyond: float | None = None
        self._last: float | None = None

    def add(self, seconds: float, degrees: float) -> int:
        """The count after one more value at a time that does not go back; NaN is a gap."""
        if not np.isfinite(degrees):
            return self.count
        if self._last is not None and seconds - self._last > self.forget:
            self.bent, self._beyond = False, None
        self._last = seconds
        if not (degrees > self.high if self.bent else degrees < self.low):
            self._beyond = None
            return self.count
        if self._beyond is None:
            self._beyond = seconds
        if seconds - self._beyond >= self.shortest:
            self.count += self.bent
            self.bent, self._beyond = not self.bent, None
        return self.count


def count_repetitions(
    times: Iterable[float], degrees: Iterable[float], low: float = LOW_DEGREES, high: float = HIGH_DEGREES
) -> int:
    """Repetitions in a whole series; see ``RepetitionCounter``."""
    counter = RepetitionCounter(low, high)
    for time, value in zip(times, degrees):
        counter.add(float(time), float(value))
    return counter.count


def suggest_thresholds(degrees: np.ndarray) -> tuple[float, float] | None:
    """Thresholds that fit a recorded movement: 30 and 70 % of the way between its tenth and ninetieth percentile.

    None when the angle moved by less than 20 degrees, or was hardly ever seen: there is nothing to count.
    """
    values = np.asarray(degrees, np.float64)
    values = values[np.isfinite(values)]
    if len(values) < 5:
        return None
    bottom, top = np.percentile(values, [10, 90]).tolist()
    if top - bottom < _LEAST_SPAN:
        return None
    return bottom + 0.3 * (top - bottom), bottom + 0.7 * (top - bottom)
