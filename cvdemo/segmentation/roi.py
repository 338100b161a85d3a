"""RoIPool and RoIAlign of one box on one feature map, with everything between the box and the output kept for drawing.

RoIPool (Girshick 2015, arXiv:1504.08083) rounds twice: the box to whole cells, then its bins to whole cells, and takes
the largest value of each bin. RoIAlign (He et al. 2017, arXiv:1703.06870) rounds nothing: it reads each bin at
regularly spaced points, each interpolated bilinearly from four cells, and takes their mean.

Two coordinate systems are in use. "Cells" are lengths on the feature map: cell i covers i to i + 1, and a picture
coordinate times the scale is a position in cells. Sampling points are in "index" coordinates, in which cell i's centre
is i; in cells such a point lies half a cell further on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

Sections = Literal["overlapping", "disjoint"]
Reduce = Literal["mean", "max"]
Box = tuple[float, float, float, float]

SECTIONS: tuple[Sections, ...] = ("overlapping", "disjoint")
NOWHERE = -1
LARGEST = 1e6  # cells from the origin; no feature map is that large
MOST_POINTS = 1 << 20


@dataclass(frozen=True, eq=False)
class Pooled:
    """RoIPool's steps.

    Attributes:
        features: (H, W) float64.   box: x1 y1 x2 y2 in picture pixels.   scale: cells per pixel, across and down.
        region: the box in cells, unrounded.   quantised: the whole cells taken for it, x1 y1 x2 y2 with the end not
            included; may reach outside of the map.
        row_bins (rows, 2), column_bins (columns, 2): int64, first cell and end (not included) of every bin, cut off at
            the map's borders; a bin may be empty.
        values: (rows, columns), 0 for an empty bin.   winners: (rows, columns, 2) int64, row and column of the cell
            each value was taken from, -1 for an empty bin.
    """

    features: np.ndarray
    box: Box
    scale: tuple[float, float]
    sections: Sections
    region: Box
    quantised: tuple[int, int, int, int]
    row_bins: np.ndarray
    column_bins: np.ndarray
    values: np.ndarray
    winners: np.ndarray

    def quantised_box(self) -> Box:
        """The quantised region back in picture pixels."""
        x1, y1, x2, y2 = self.quantised
        across, down = self.scale
        return x1 / across, y1 / down, x2 / across, y2 / down

    def shift(self) -> Box:
        """How far quantisation moved each edge (x1 y1 x2 y2) in picture pixels; positive is right or down."""
        moved = [after - before for after, before in zip(self.quantised_box(), self.box)]
        return moved[0], moved[1], moved[2], moved[3]

    def centre_shift(self) -> tuple[float, float]:
        """How far the box's centre moved, right and down, in picture pixels."""
        left, top, right, bottom = self.shift()
        return (left + right) / 2, (top + bottom) / 2


@dataclass(frozen=True, eq=False)
class Aligned:
    """RoIAlign's steps. R x C bins of G x K points each.

    Attributes:
        features, box, scale: as in ``Pooled``.   half_pixel: whether the half-cell shift is right (torchvision's
            ``aligned=True``).   reduce: "mean", or "max" as in the lecture's drawing.
        region: the box in index coordinates, x1 y1 x2 y2.   bin_size: height and width of a bin in cells.
        points: (R, C, G, K, 2) float64, (y, x) in index coordinates.
        corners: (R, C, G, K, 4, 2) int64, (row, column) of the four cells around each point: top left, top right,
            bottom left, bottom right; at the borders some are the same cell.
        weights: (R, C, G, K, 4) bilinear weights; they sum to 1, or to 0 for a point more than a cell outside.
        point_values: (R, C, G, K).   values: (R, C), 0 where a bin has no points.
    """

    features: np.ndarray
    box: Box
    scale: tuple[float, float]
    half_pixel: bool
    reduce: Reduce
    region: Box
    bin_size: tuple[float, float]
    points: np.ndarray
    corners: np.ndarray
    weights: np.ndarray
    point_values: np.ndarray
    values: np.ndarray


def roi_pool(
    features: np.ndarray,
    box: Sequence[float],
    output: tuple[int, int] = (7, 7),
    scale: float | tuple[float, float] = 1.0,
    sections: Sections = "overlapping",
) -> Pooled:
    """RoIPool of one box.

    Args:
        features: (H, W), one channel.
        box: x1 y1 x2 y2 in picture pixels; as in Fast R-CNN's code the cell at the rounded x2, y2 still belongs to it.
        output: bins down and across.
        scale: cells per picture pixel, one number or (across, down); 1 / 16 for a stride of 16.
        sections: "overlapping" ends a bin at the rounded-up and begins it at the rounded-down border, as Fast R-CNN's
            code and torchvision do, so neighbours may share cells; "disjoint" rounds both down, as deck 002 draws it.

    Raises ValueError for a map that is not (H, W) and finite, or a box, output or scale that cannot be.
    """
    given, corners, factors = _checked(features, box, output, scale)
    if sections not in SECTIONS:
        raise ValueError(f"unknown sections {sections!r}; there are {', '.join(SECTIONS)}")
    region = _scaled(corners, factors)
    x1, y1, x2, y2 = (_rounded(value) for value in region)
    width, height = max(x2 - x1 + 1, 1), max(y2 - y1 + 1, 1)
    rows = np.clip(bins(height, output[0], sections) + y1, 0, given.shape[0])
    columns = np.clip(bins(width, output[1], sections) + x1, 0, given.shape[1])
    values = np.zeros(output)
    winners = np.full((*output, 2), NOWHERE, np.int64)
    for i, (top, bottom) in enumerate(rows.tolist()):
        for j, (left, right) in enumerate(columns.tolist()):
            cells = given[top:bottom, left:right]
            if cells.size:
                row, column = divmod(int(cells.argmax()), right - left)
                winners[i, j] = top + row, left + column
                values[i, j] = cells[row, column]
    quantised = (x1, y1, x1 + width, y1 + height)
    return Pooled(given, corners, factors, sections, region, quantised, rows, columns, values, winners)


def bins(size: int, count: int, sections: Sections = "overlapping") -> np.ndarray:
    """(count, 2) int64: begin and end (not included) of the bins that ``size`` cells are divided into."""
    width = np.float64(size) / count
    number = np.arange(count, dtype=np.float64)
    begins = np.floor(number * width)
    ends = np.ceil((number + 1) * width) if sections == "overlapping" else np.floor((number + 1) * width)
    return np.stack([begins, ends], 1).astype(np.int64)


def roi_align(
    features: np.ndarray,
    box: Sequence[float],
    output: tuple[int, int] = (7, 7),
    scale: float | tuple[float, float] = 1.0,
    sampling: int = 2,
    *,
    half_pixel: bool = True,
    reduce: Reduce = "mean",
) -> Aligned:
    """RoIAlign of one box.

    Args:
        features, box, output, scale: as for ``roi_pool``; the box's coordinates are those of its edges.
        sampling: points per bin and axis; 0 takes one per cell, ceil(bin size).
        half_pixel: True subtracts half a cell, so that a picture coordinate and the cell under it agree; False is
            the first published form, half a cell too far right and down, in which a box is at least one cell large.
        reduce: "mean", or "max" of a bin's points.

    Raises ValueError as ``roi_pool``, and for a negative ``sampling``.
    """
    given, corners, factors = _checked(features, box, output, scale)
    if sampling < 0:
        raise ValueError(f"there cannot be {sampling} sampling points")
    if reduce not in ("mean", "max"):
        raise ValueError(f"unknown reduction {reduce!r}; there are mean, max")
    offset = 0.5 if half_pixel else 0.0
    x1, y1, x2, y2 = (value - offset for value in _scaled(corners, factors))
    width, height = x2 - x1, y2 - y1
    if not half_pixel:
        width, height = max(width, 1.0), max(height, 1.0)
    bin_height, bin_width = height / output[0], width / output[1]
    down, across = sampling or math.ceil(bin_height), sampling or math.ceil(bin_width)
    if output[0] * output[1] * down * across > MOST_POINTS:
        raise ValueError("the box needs too many sampling points: choose a number of points per bin")
    y = _sample_line(y1, bin_height, output[0], down)
    x = _sample_line(x1, bin_width, output[1], across)
    shape = (output[0], output[1], down, across)
    points = np.empty((*shape, 2))
    points[..., 0], points[..., 1] = y[:, None, :, None], x[None, :, None, :]
    cells, weights = interpolation(points, given.shape)
    point_values = (weights * given[cells[..., 0], cells[..., 1]]).sum(-1)
    if down * across:
        values = point_values.mean((2, 3)) if reduce == "mean" else point_values.max((2, 3))
    else:
        values = np.zeros(output)
    return Aligned(
        given, corners, factors, half_pixel, reduce, (x1, y1, x1 + width, y1 + height), (bin_height, bin_width),
        points, cells, weights, point_values, values,
    )  # fmt: skip


def _sample_line(start: float, size: float, count: int, points: int) -> np.ndarray:
    """(count, points): positions along one axis, regular within every bin."""
    within = (np.arange(points) + 0.5) * (size / max(points, 1))
    return start + np.arange(count)[:, None] * size + within


def interpolation(points: np.ndarray, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """The four cells around points (..., 2) of (y, x) in index coordinates, and their bilinear weights.

    Returns cells (..., 4, 2) int64 as (row, column) and weights (..., 4). A point up to a cell outside of the map
    takes the nearest border value; beyond that all its weights are 0.
    """
    low, high, shares, inside = [], [], [], np.ones(points.shape[:-1], bool)
    for axis, size in enumerate(shape):
        place = points[..., axis]
        inside &= (place >= -1) & (place <= size)
        first = np.minimum(np.maximum(place, 0).astype(np.int64), size - 1)
        second = np.minimum(first + 1, size - 1)
        low.append(first)
        high.append(second)
        shares.append(np.where(second > first, np.maximum(place, 0) - first, 0.0))
    rows = np.stack([low[0], low[0], high[0], high[0]], -1)
    columns = np.stack([low[1], high[1], low[1], high[1]], -1)
    v, u = shares
    weights = np.stack([(1 - v) * (1 - u), (1 - v) * u, v * (1 - u), v * u], -1) * inside[..., None]
    return np.stack([rows, columns], -1), weights


def _rounded(value: float) -> int:
    """Half away from zero, as C's ``round``."""
    return int(math.copysign(math.floor(abs(value) + 0.5), value))


def _scaled(box: Box, scale: tuple[float, float]) -> Box:
    across, down = scale
    return box[0] * across, box[1] * down, box[2] * across, box[3] * down


def _checked(
    features: np.ndarray, box: Sequence[float], output: tuple[int, int], scale: float | tuple[float, float]
) -> tuple[np.ndarray, Box, tuple[float, float]]:
    given = np.asarray(features, np.float64)
    if given.ndim != 2 or not given.size or not np.isfinite(given).all():
        raise ValueError(f"a feature map must be (H, W) with finite numbers, not {given.shape}")
    sides = [float(value) for value in box]
    if len(sides) != 4 or not np.isfinite(sides).all() or sides[2] < sides[0] or sides[3] < sides[1]:
        raise ValueError(f"a box must be x1 y1 x2 y2 with x2 >= x1 and y2 >= y1, not {tuple(sides)}")
    if len(output) != 2 or min(output) < 1 or max(output) > 64:
        raise ValueError(f"the output must have 1 to 64 bins along each axis, not {tuple(output)}")
    factors = (scale, scale) if isinstance(scale, (int, float)) else tuple(scale)
    if len(factors) != 2 or not all(math.isfinite(factor) and factor > 0 for factor in factors):
        raise ValueError(f"the scale must be positive, not {scale}")
    across, down = (float(factor) for factor in factors)
    if max(max(abs(x) * across, abs(y) * down) for x, y in (sides[:2], sides[2:])) > LARGEST:
        raise ValueError("the box lies too far outside of the feature map")
    return given, (sides[0], sides[1], sides[2], sides[3]), (across, down)
