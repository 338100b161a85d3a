"""Masks as COCO stores them: run lengths and polygons (Lin et al. 2014, arXiv:1405.0312).

A run-length encoding lists how many zeros, then ones, then zeros ... follow each other when the mask is read column by
column. In files the list is written either plainly or as text: each number (from the third on, its difference to the
one two places before) in groups of five bits, least significant first, one character from "0" upwards for each group.
Encoding, decoding and the pixels a polygon covers equal those of the reference implementation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cvdemo.core.errors import InputError

_FINER = 5  # polygons are walked on a grid this many times finer than the pixels
MAX_PIXELS = 50_000_000


def encode(mask: np.ndarray) -> list[int]:
    """Run lengths of a (H, W) mask, zeros first."""
    flat = np.asarray(mask, bool).ravel(order="F")
    if not flat.size:
        return [0]
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    edges = np.concatenate([[0], changes, [flat.size]])
    runs = np.diff(edges).tolist()
    return [0, *runs] if flat[0] else runs


def decode(counts: Sequence[int], height: int, width: int) -> np.ndarray:
    """The (H, W) bool mask of run lengths; InputError when they do not add up to its size."""
    runs = np.asarray(counts, np.int64)
    if runs.ndim != 1 or (runs < 0).any() or int(runs.sum()) != height * width:
        raise InputError(
            f"Run lengths that add up to {int(runs.sum())} do not fill {width} x {height} pixels.",
            hint="The mask belongs to another picture, or the file is damaged.",
        )
    values = np.arange(len(runs)) % 2 == 1
    return np.repeat(values, runs).reshape((height, width), order="F")


def to_text(counts: Sequence[int]) -> str:
    """Run lengths as COCO's compressed text."""
    letters: list[str] = []
    for position, count in enumerate(counts):
        value = count - counts[position - 2] if position > 2 else count
        while True:
            group, value = value & 31, value >> 5
            done = value == (-1 if group & 16 else 0)
            letters.append(chr(48 + (group if done else group | 32)))
            if done:
                break
    return "".join(letters)


def from_text(text: str) -> list[int]:
    """Run lengths from COCO's compressed text; InputError when it is not such a text."""
    counts: list[int] = []
    value = shift = 0
    for letter in text:
        group = ord(letter) - 48
        if not 0 <= group < 64:
            raise InputError(f"{letter!r} does not belong into a compressed mask.", hint="The file is damaged.")
        value |= (group & 31) << shift
        shift += 5
        if not group & 32:
            if group & 16:
                value -= 1 << shift
            counts.append(value + counts[-2] if len(counts) > 2 else value)
            value = shift = 0
    if shift:
        raise InputError("A compressed mask ends in the middle of a number.", hint="The file is damaged.")
    return counts


def from_polygon(points: Sequence[float], height: int, width: int) -> np.ndarray:
    """The (H, W) bool mask of a polygon x1 y1 x2 y2 ... in pixels, filled by the even-odd rule."""
    corners = np.asarray(points, np.float64).reshape(-1, 2)
    if len(corners) < 3 or not np.isfinite(corners).all():
        raise InputError(f"A polygon of {len(corners)} points has no area.", hint="It needs three points or more.")
    limit = 4.0 * max(height, width) + 100  # far outside is as good as farther outside, and bounds the walk
    corners = np.trunc(_FINER * np.clip(corners, -limit, limit) + 0.5).astype(np.int64)
    x, y = _walk(np.concatenate([corners, corners[:1]]))
    # A run begins or ends where the outline steps from one column to the next.
    steps = np.flatnonzero(x[1:] != x[:-1])
    column = np.where(x[steps + 1] < x[steps], x[steps + 1], x[steps + 1] - 1)
    column = (column + 0.5) / _FINER - 0.5
    row = np.ceil(np.clip((np.minimum(y[steps + 1], y[steps]) + 0.5) / _FINER - 0.5, 0, height))
    kept = (column == np.floor(column)) & (column >= 0) & (column <= width - 1)
    places = (column[kept] * height + row[kept]).astype(np.int64)
    toggles = np.bincount(places, minlength=height * width + 1)[: height * width]
    return (np.cumsum(toggles) % 2 == 1).reshape((height, width), order="F")


def _walk(corners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Every grid point on the way along the corners, (M,) x and y; both ends of each edge included."""
    xs: list[np.ndarray] = []
    ys: list[np.ndarray] = []
    for (x0, y0), (x1, y1) in zip(corners[:-1].tolist(), corners[1:].tolist()):
        across, down = abs(x1 - x0), abs(y1 - y0)
        steps = np.arange(max(across, down) + 1)
        flat = across >= down
        backwards = x0 > x1 if flat else y0 > y1
        # Both directions of an edge must give the same points, so it is always walked from its lower end.
        (ax, ay), (bx, by) = ((x1, y1), (x0, y0)) if backwards else ((x0, y0), (x1, y1))
        if flat:
            slope = (by - ay) / across if across else 0.0
            u, v = ax + steps, np.trunc(ay + slope * steps + 0.5).astype(np.int64)
        else:
            slope = (bx - ax) / down
            u, v = np.trunc(ax + slope * steps + 0.5).astype(np.int64), ay + steps
        xs.append(u[::-1] if backwards else u)
        ys.append(v[::-1] if backwards else v)
    return np.concatenate(xs), np.concatenate(ys)


def mask_of(segmentation: Any, height: int, width: int) -> np.ndarray:
    """The (H, W) bool mask of an annotation's "segmentation": polygons, run lengths or compressed run lengths.

    Errors: InputError for anything else, and for run lengths of another size than the picture's.
    """
    if height * width > MAX_PIXELS:
        raise InputError(f"A mask of {width} x {height} pixels is too large.", hint="Use smaller pictures.")
    if isinstance(segmentation, Mapping):
        size = segmentation.get("size")
        if list(size or ()) != [height, width]:
            raise InputError(
                f"A mask of size {size} does not fit a picture of height {height} and width {width}.",
                hint="Masks only fit the pictures they were drawn on.",
            )
        counts = segmentation.get("counts")
        if isinstance(counts, bytes):
            counts = counts.decode("ascii", "replace")
        if not isinstance(counts, (str, list)):
            raise InputError("A run-length mask has no counts.", hint="The file is damaged.")
        return decode(from_text(counts) if isinstance(counts, str) else _whole(counts), height, width)
    if not isinstance(segmentation, list) or not segmentation:
        raise InputError("An annotation has no usable outline.", hint="It needs polygons or run lengths.")
    mask = np.zeros((height, width), bool)
    for points in segmentation:
        if not isinstance(points, list) or len(points) < 6 or len(points) % 2 or not _numbers(points):
            raise InputError("A polygon is not a list of x y pairs.", hint="It needs at least three points.")
        mask |= from_polygon(points, height, width)
    return mask


def _numbers(values: list[Any]) -> bool:
    return all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values)


def _whole(values: list[Any]) -> list[int]:
    if not all(isinstance(value, int) and not isinstance(value, bool) for value in values):
        raise InputError("Run lengths must be whole numbers.", hint="The file is damaged.")
    return values


def iou(first: Sequence[np.ndarray], second: Sequence[np.ndarray], crowd: np.ndarray) -> np.ndarray:
    """(D, G) IoU of (H, W) masks; for a crowd (G,) bool, the share of the first that lies inside it."""
    out = np.zeros((len(first), len(second)))
    if not len(first) or not len(second):
        return out
    areas = np.array([int(np.count_nonzero(mask)) for mask in first], np.float64)
    others = np.array([int(np.count_nonzero(mask)) for mask in second], np.float64)
    boxes, other_boxes = [_bounds(mask) for mask in first], [_bounds(mask) for mask in second]
    for d, mask in enumerate(first):
        for g, other in enumerate(second):
            top, bottom = max(boxes[d][0], other_boxes[g][0]), min(boxes[d][1], other_boxes[g][1])
            left, right = max(boxes[d][2], other_boxes[g][2]), min(boxes[d][3], other_boxes[g][3])
            if top >= bottom or left >= right:
                continue
            part = np.s_[top:bottom, left:right]
            shared = np.count_nonzero(mask[part] & other[part])
            union = areas[d] if crowd[g] else areas[d] + others[g] - shared
            out[d, g] = shared / union if shared else 0.0
    return out


def _bounds(mask: np.ndarray) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return 0, 0, 0, 0
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
