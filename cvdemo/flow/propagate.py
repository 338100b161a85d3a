"""A label carried through a clip by flow: draw it once, and the motion takes it along (deck 004: video propagation).

A mask is fetched from the frame before by the backward flow; a box moves and grows as the points in it do (their median
displacement and median change of distance: Kalal, Mikolajczyk and Matas, "Forward-Backward Error", ICPR 2010). Nothing
looks at the picture again, so small errors add up: the drift. It is measured by going all the way back to the first
frame: how far from its start does a point end?
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from cvdemo.core.lazy import cv2
from cvdemo.flow.warp import backward_warp

_SIDE = 12  # points along each side of a box
_MOST_POINTS = 400
_MOST_PAIRS = 4000


def sample(flow: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The flow (H, W, 2) at places (N, 2) x y, bilinearly; NaN for places outside of the picture."""
    height, width = flow.shape[:2]
    places = np.asarray(points, np.float32)
    with np.errstate(invalid="ignore"):
        inside = (places[:, 0] >= 0) & (places[:, 1] >= 0) & (places[:, 0] <= width - 1) & (places[:, 1] <= height - 1)
    out = np.full((len(places), 2), np.nan, np.float32)
    if inside.any():
        there = places[inside]
        x, y = (np.ascontiguousarray(there[:, axis])[:, None] for axis in (0, 1))
        values = cv2.remap(np.asarray(flow, np.float32), x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        out[inside] = values.reshape(-1, 2)
    return out


def points_in_box(box: np.ndarray) -> np.ndarray:
    """(N, 2) x y on a grid in a box (4,) x1 y1 x2 y2, a little away from its border, where the background is."""
    x1, y1, x2, y2 = (float(value) for value in box)
    margin_x, margin_y = 0.1 * (x2 - x1), 0.1 * (y2 - y1)
    grid = np.meshgrid(
        np.linspace(x1 + margin_x, x2 - margin_x, _SIDE), np.linspace(y1 + margin_y, y2 - margin_y, _SIDE)
    )
    return np.stack([part.ravel() for part in grid], axis=1)


def points_in_mask(mask: np.ndarray) -> np.ndarray:
    """(N, 2) x y, at most 400 pixels of a mask (H, W) bool, evenly chosen."""
    rows, columns = np.nonzero(mask)
    count = min(len(rows), _MOST_POINTS)
    chosen = np.linspace(0, max(len(rows) - 1, 0), count).astype(int)
    return np.stack([columns[chosen], rows[chosen]], axis=1).astype(np.float64)


def move_box(box: np.ndarray, before: np.ndarray, after: np.ndarray, trust: np.ndarray | None = None) -> np.ndarray:
    """A box (4,) after the points (N, 2) in it moved from ``before`` to ``after``.

    trust: (N,) errors; the better half is used. Points that are NaN are left out; with none left the box stays.
    """
    good = np.isfinite(before).all(axis=1) & np.isfinite(after).all(axis=1)
    if trust is not None:
        judged = good & np.isfinite(trust)
        if judged.any():  # points that leave the picture cannot be judged, but they have moved
            good = judged & (trust <= np.median(trust[judged]))
    if not good.any():
        return np.asarray(box, np.float64).copy()
    start, end = before[good], after[good]
    move = np.median(end - start, axis=0)
    scale = _scale(start, end)
    x1, y1, x2, y2 = (float(value) for value in box)
    centre = np.array([(x1 + x2) / 2, (y1 + y2) / 2]) + move
    half = np.array([x2 - x1, y2 - y1]) / 2 * scale
    return np.concatenate([centre - half, centre + half])


def _scale(start: np.ndarray, end: np.ndarray) -> float:
    """Median ratio of distances between pairs of points."""
    if len(start) < 3:
        return 1.0
    rng = np.random.default_rng(0)
    one, other = rng.integers(0, len(start), (2, _MOST_PAIRS))
    before = np.hypot(*(start[one] - start[other]).T)
    after = np.hypot(*(end[one] - end[other]).T)
    far = before > 1e-6
    return float(np.median(after[far] / before[far])) if far.any() else 1.0


def move_mask(mask: np.ndarray, backward: np.ndarray) -> np.ndarray:
    """A mask (H, W) bool in the next frame; backward: (H, W, 2), from the next frame to this one."""
    return np.asarray(backward_warp(mask.astype(np.float32), backward) >= 0.5)


@dataclass(eq=False)
class Propagation:
    """A label on its way through a clip. Feed it the flows of each step with ``step``.

    Attributes:
        mask: (H, W) bool of the newest frame, None for a box. box: (4,) x1 y1 x2 y2, around the mask if there is one.
        starts: (N, 2) points of the first frame. points: (N, 2) where they are now, NaN where they were lost.
        drift: for each frame, mean pixels that points end away from their start after going all the way back; NaN
            when all points were lost. area: for each frame, pixels of the mask or the box.
    """

    box: np.ndarray
    mask: np.ndarray | None = None
    starts: np.ndarray = field(default_factory=lambda: np.zeros((0, 2)))
    points: np.ndarray = field(default_factory=lambda: np.zeros((0, 2)))
    drift: list[float] = field(default_factory=list)
    area: list[float] = field(default_factory=list)
    _backward: list[np.ndarray] = field(default_factory=list)

    def __post_init__(self) -> None:
        inside = points_in_box(self.box) if self.mask is None else points_in_mask(self.mask)
        self.starts, self.points = inside, inside.copy()
        self.drift.append(0.0)
        self.area.append(self._size())

    def step(self, forward: np.ndarray, backward: np.ndarray) -> None:
        """Go on to the next frame. forward, backward: (H, W, 2) from this frame to the next one and back."""
        before = self.points
        after = before + sample(forward, before)
        returned = after + sample(backward, after)
        trust = np.hypot(*(returned - before).T)
        if self.mask is None:
            self.box = move_box(self.box, before, after, trust)
        else:
            self.mask = move_mask(self.mask, backward)
            rows, columns = np.nonzero(self.mask)
            if len(rows):
                self.box = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], np.float64)
        self.points = after
        self._backward.append(np.asarray(backward, np.float16))
        self.drift.append(self._round_trip())
        self.area.append(self._size())

    def _round_trip(self) -> float:
        back = self.points.copy()
        for flow in reversed(self._backward):
            back = back + sample(flow, back)
        away = np.hypot(*(back - self.starts).T)
        known = np.isfinite(away)
        return float(away[known].mean()) if known.any() else float("nan")

    def _size(self) -> float:
        if self.mask is not None:
            return float(self.mask.sum())
        x1, y1, x2, y2 = self.box
        return float((x2 - x1) * (y2 - y1))


def mask_at(pixels: np.ndarray, x: int, y: int, tolerance: int = 16) -> np.ndarray:
    """(H, W) bool: the region of similar colour around a pixel, found by flooding the smoothed picture."""
    smooth = cv2.bilateralFilter(pixels, 7, 40, 7)
    height, width = pixels.shape[:2]
    flooded = np.zeros((height + 2, width + 2), np.uint8)
    flags = 4 | (255 << 8) | cv2.FLOODFILL_MASK_ONLY
    cv2.floodFill(smooth, flooded, (int(x), int(y)), 0, (tolerance,) * 3, (tolerance,) * 3, flags)
    mask = cv2.morphologyEx(flooded[1:-1, 1:-1], cv2.MORPH_CLOSE, np.ones((7, 7), np.uint8))
    return np.asarray(mask > 0)
