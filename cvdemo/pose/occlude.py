"""Covering a part of a picture, to see which joints a network reads from there and which from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cvdemo.core.inputs import pixels_of
from cvdemo.core.lazy import cv2
from cvdemo.pose.poses import Poses

FILLS: tuple[str, ...] = ("mean", "black", "noise", "blur")


def rectangle_in(rectangle: Sequence[float], height: int, width: int) -> tuple[int, int, int, int] | None:
    """Whole pixels x1 y1 x2 y2 inside the picture of a rectangle given by any two opposite corners.

    None when it is undefined or covers no pixel.
    """
    corners = np.asarray(rectangle, np.float64).reshape(2, 2)
    if not np.isfinite(corners).all():
        return None
    limits = np.array([width, height], np.float64)
    low, high = np.clip(np.floor(corners.min(0)), 0, limits), np.clip(np.ceil(corners.max(0)), 0, limits)
    if (high <= low).any():
        return None
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])


def occlude(pixels: np.ndarray, rectangles: Sequence[Sequence[float]], fill: str = "mean") -> np.ndarray:
    """A copy of (H, W, 3) uint8 RGB with rectangles (x1, y1, x2, y2 in pixels, any two corners) painted over.

    fill: the picture's "mean" colour, which gives the network least to hold on to; "black"; "noise" (always the same);
    or "blur", which leaves the rough colours. ValueError for another fill.
    """
    if fill not in FILLS:
        raise ValueError(f"{fill!r} is not one of {', '.join(FILLS)}")
    pixels = pixels_of(pixels)
    out = pixels.copy()
    height, width = out.shape[:2]
    for rectangle in rectangles:
        inside = rectangle_in(rectangle, height, width)
        if inside is None:
            continue
        x1, y1, x2, y2 = inside
        part = out[y1:y2, x1:x2]
        if fill == "mean":
            part[:] = np.round(cv2.mean(pixels)[:3]).astype(np.uint8)
        elif fill == "black":
            part[:] = 0
        elif fill == "noise":
            part[:] = np.random.default_rng(0).integers(0, 256, part.shape, np.uint8)
        else:
            sigma = max(x2 - x1, y2 - y1) / 6
            small = cv2.resize(part, (min(8, x2 - x1), min(8, y2 - y1)), interpolation=cv2.INTER_AREA)
            wide = cv2.resize(small, (x2 - x1, y2 - y1), interpolation=cv2.INTER_LINEAR)
            part[:] = cv2.GaussianBlur(wide, (0, 0), min(max(sigma / 4, 0.8), 25.0))
    return out


def displacements(before: Poses, after: Poses) -> np.ndarray:
    """(N, 17) pixels each joint moved between two runs on the same boxes; NaN where it was not visible before.

    People are paired by their row in the raw result; those who are missing afterwards have NaN.
    """
    moved = np.full(before.visible.shape, np.nan)
    place = {int(row): index for index, row in enumerate(after.rows)}
    for index, row in enumerate(before.rows.tolist()):
        if row in place:
            gap = before.keypoints[index, :, :2] - after.keypoints[place[row], :, :2]
            moved[index] = np.where(before.visible[index], np.linalg.norm(gap, axis=1), np.nan)
    return moved
