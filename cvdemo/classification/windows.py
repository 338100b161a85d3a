"""Where a sliding window stops: squares of several sizes over a picture, and how many that makes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cvdemo.core.errors import InputError

MOST_WINDOWS = 4000
SMALLEST_SIDE = 16
SCALES = (1.0, 0.7, 0.5, 0.35)
"""Default window sides as shares of the picture's shorter side."""


@dataclass(frozen=True, eq=False)
class Windows:
    """boxes: (N, 4) int64 x1 y1 x2 y2 in pixels.   scale: (N,) int64, the row of ``sides`` each window has.

    sides, counts: (S,) side length in pixels, largest first, and number of windows of each.
    """

    boxes: np.ndarray
    scale: np.ndarray
    sides: tuple[int, ...]
    counts: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.boxes)


def default_sides(height: int, width: int, scales: int = len(SCALES)) -> tuple[int, ...]:
    """That many window sides in pixels, each about 0.7 of the one before, from the picture's shorter side down.

    Sides under 16 px are left out, but the first always stays.
    """
    short = min(height, width)
    shares = [*SCALES, *(0.35 * 0.7**n for n in range(1, scales))][:scales]
    sides = [round(short * share) for share in shares]
    return tuple(dict.fromkeys(side for number, side in enumerate(sides) if number == 0 or side >= SMALLEST_SIDE))


def count_windows(height: int, width: int, sides: Sequence[int], stride_share: float) -> tuple[int, ...]:
    """How many windows of each side ``windows`` would make, without making them."""
    return tuple(
        _steps(height, side, stride_share) * _steps(width, side, stride_share)
        for side in _usable_sides(height, width, sides, stride_share)
    )


def windows(height: int, width: int, sides: Sequence[int], stride_share: float) -> Windows:
    """Square windows over a picture, scale by scale, row by row.

    sides: in pixels; longer ones than the picture's shorter side are cut to it, doubles dropped.
    stride_share: step as a share of the side, in (0, 1], at least one pixel. A last window flush with the right and
    bottom edge is added where the steps do not end there, so that every pixel is covered.
    InputError for unusable sides or strides, and for more than 4000 windows.
    """
    usable = _usable_sides(height, width, sides, stride_share)
    counts = count_windows(height, width, usable, stride_share)
    if sum(counts) > MOST_WINDOWS:
        raise InputError(
            f"That makes {sum(counts):,} windows, and each runs the whole network; {MOST_WINDOWS:,} are allowed.",
            hint="Use larger windows, fewer scales or a larger stride.",
        )
    boxes: list[np.ndarray] = []
    for side in usable:
        y, x = np.meshgrid(_starts(height, side, stride_share), _starts(width, side, stride_share), indexing="ij")
        corners = np.stack([x.ravel(), y.ravel()], 1)
        boxes.append(np.concatenate([corners, corners + side], 1))
    scale = np.repeat(np.arange(len(usable)), counts)
    return Windows(np.concatenate(boxes).astype(np.int64), scale, usable, counts)


def _usable_sides(height: int, width: int, sides: Sequence[int], stride_share: float) -> tuple[int, ...]:
    if not 0 < stride_share <= 1:
        raise InputError(f"A stride of {stride_share} cannot be used.", hint="Use a share from above 0 to 1.")
    short = min(height, width)
    if not len(sides) or min(sides) < min(SMALLEST_SIDE, short):
        raise InputError("Windows need sides of at least 16 pixels.", hint="Use larger windows or a larger picture.")
    return tuple(sorted({min(int(side), short) for side in sides}, reverse=True))


def _stride(side: int, share: float) -> int:
    return max(1, round(side * share))


def _steps(length: int, side: int, share: float) -> int:
    return -(-(length - side) // _stride(side, share)) + 1


def _starts(length: int, side: int, share: float) -> np.ndarray:
    """Where the windows along one axis begin; the last is moved back to end at the edge."""
    return np.minimum(np.arange(_steps(length, side, share)) * _stride(side, share), length - side)
