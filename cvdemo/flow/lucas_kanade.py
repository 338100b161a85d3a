"""Sparse flow: corners followed by the method of Lucas and Kanade over a pyramid, through two frames or a whole clip.

Around a corner the brightness changes in both directions, so its motion is determined (Shi and Tomasi 1994, Good
Features to Track); a point is believed only when following it back ends where it began.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from cvdemo.core.lazy import cv2
from cvdemo.core.settings import Settings, setting
from cvdemo.flow.raw import FramePair

SMALLEST_WINDOW = 5


@dataclass(frozen=True)
class TrackSettings(Settings):
    """Which points are followed, and how."""

    points: int = setting(400, label="Points", minimum=1, maximum=5000, step=10, help="Follow at most so many corners.")
    quality: float = setting(
        0.01, label="Corner quality", minimum=0.0005, maximum=0.5, step=0.0005,
        help="Corners weaker than this share of the best one are left out.",
    )  # fmt: skip
    distance: int = setting(8, label="Distance (px)", minimum=1, maximum=100, step=1, help="Between two corners.")
    window: int = setting(
        21, label="Window (px)", minimum=SMALLEST_WINDOW, maximum=61, step=2,
        help="Side of the square whose content is looked for.",
    )  # fmt: skip
    levels: int = setting(
        3,
        label="Pyramid levels",
        minimum=0,
        maximum=6,
        step=1,
        help="Halvings of the frames; more follow faster motion.",
    )
    disagreement: float = setting(
        1.0, label="There and back (px)", minimum=0.05, maximum=20.0, step=0.05,
        help="A point is lost when following it back ends farther than this from where it was.",
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Tracks:
    """Points followed from one frame to the next.

    Attributes:
        starts, ends: (N, 2) float32 x, y in pixels.   found: (N,) bool, followed and back to their start.
        error: (N,) float32 pixels between the start and the point that was followed there and back; infinite where
            following failed.
        height, width: of the frames.
    """

    starts: np.ndarray
    ends: np.ndarray
    found: np.ndarray
    error: np.ndarray
    height: int
    width: int

    def __len__(self) -> int:
        return int(self.found.sum())

    def to_dict(self) -> dict[str, Any]:
        """The points that were found, for JSON."""
        rows = zip(self.starts[self.found].tolist(), self.ends[self.found].tolist(), self.error[self.found].tolist())
        return {
            "width": self.width,
            "height": self.height,
            "points": len(self.found),
            "tracks": [
                {"from": _rounded(start), "to": _rounded(end), "error": round(error, 3)} for start, end, error in rows
            ],
            "sentence": self.sentence(),
        }

    def sentence(self) -> str:
        """Such as "380 of 400 corners followed, median motion 4.2 px"."""
        if not len(self.found):
            return "No corner to follow was found"
        text = f"{len(self)} of {len(self.found)} corners followed"
        if not len(self):
            return text
        moved = np.hypot(*(self.ends - self.starts)[self.found].T)
        return f"{text}, median motion {float(np.median(moved)):.1f} px"


def _rounded(point: list[float]) -> list[float]:
    return [round(value, 2) for value in point]


def corners(frame: np.ndarray, settings: TrackSettings | None = None) -> np.ndarray:
    """(N, 2) float32 x, y of the corners of a frame, (H, W, 3) uint8 RGB, best first."""
    chosen = settings or TrackSettings()
    found = cv2.goodFeaturesToTrack(_grey(frame), chosen.points, chosen.quality, chosen.distance)
    return np.zeros((0, 2), np.float32) if found is None else np.asarray(found, np.float32).reshape(-1, 2)


def follow(
    first: np.ndarray, second: np.ndarray, points: np.ndarray | None = None, settings: TrackSettings | None = None
) -> Tracks:
    """Follow points from the first frame to the second.

    Args:
        first, second: (H, W, 3) uint8 RGB of one size.   points: (N, 2) x, y; the first frame's corners without them.
    """
    pair, chosen = FramePair(first, second), settings or TrackSettings()
    starts = corners(pair.first, chosen) if points is None else np.asarray(points, np.float32).reshape(-1, 2)
    ends, error = _there_and_back(_grey(pair.first), _grey(pair.second), starts, chosen)
    inside = ((ends >= 0) & (ends <= (pair.width - 1, pair.height - 1))).all(axis=1)
    return Tracks(starts, ends, inside & (error <= chosen.disagreement), error, pair.height, pair.width)


def _there_and_back(
    before: np.ndarray, after: np.ndarray, starts: np.ndarray, settings: TrackSettings
) -> tuple[np.ndarray, np.ndarray]:
    """(N, 2) places in the second grey frame, and (N,) pixels of disagreement, infinite where following failed."""
    if not len(starts):
        return starts.copy(), np.zeros(0, np.float32)
    side = min(settings.window, min(before.shape) - 2)
    options: dict[str, Any] = {"winSize": (max(3, side), max(3, side)), "maxLevel": settings.levels}
    follow_points: Any = cv2.calcOpticalFlowPyrLK  # the stubs do not know that None makes new points
    ends, there, _ = follow_points(before, after, starts[:, None], None, **options)
    back, again, _ = follow_points(after, before, ends, None, **options)
    ends, back = ends.reshape(-1, 2), back.reshape(-1, 2)
    error = np.hypot(*(back - starts).T).astype(np.float32)
    lost = (there.reshape(-1) == 0) | (again.reshape(-1) == 0) | ~np.isfinite(error)
    error[lost] = np.inf
    return np.nan_to_num(ends, nan=-1.0), error


def follow_clip(
    frames: Iterable[np.ndarray], settings: TrackSettings | None = None, *, refill: bool = True
) -> np.ndarray:
    """Paths of points through a clip: (T, N, 2) float32 x, y, NaN before a point was taken up and after it was lost.

    Args:
        frames: (H, W, 3) uint8 RGB of one size.
        refill: take up new corners, away from the living ones, when half of the points are lost.
    """
    chosen = settings or TrackSettings()
    rows: list[np.ndarray] = []
    previous: np.ndarray | None = None
    for frame in frames:
        if previous is None:
            here = corners(frame, chosen)
        else:
            here = np.full_like(rows[-1], np.nan)
            living = np.flatnonzero(np.isfinite(rows[-1]).all(axis=1))
            step = follow(previous, frame, rows[-1][living], chosen)
            here[living[step.found]] = step.ends[step.found]
        alive = here[np.isfinite(here).all(axis=1)]
        if previous is not None and refill and len(alive) < chosen.points / 2:
            here = np.concatenate([here, _new_corners(frame, alive, chosen)])
        rows.append(here)
        previous = frame
    most = max((len(row) for row in rows), default=0)
    paths = np.full((len(rows), most, 2), np.nan, np.float32)
    for number, row in enumerate(rows):
        paths[number, : len(row)] = row
    return paths


def _new_corners(frame: np.ndarray, alive: np.ndarray, settings: TrackSettings) -> np.ndarray:
    """Corners at least ``distance`` from every living point."""
    found = corners(frame, settings)
    if len(alive) and len(found):
        nearest = np.linalg.norm(found[:, None] - alive[None], axis=2).min(axis=1)
        found = found[nearest >= settings.distance]
    return found[: max(0, settings.points - len(alive))]


def _grey(frame: np.ndarray) -> np.ndarray:
    return np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY))
