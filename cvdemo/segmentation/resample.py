"""From a network's coarse map of logits to every pixel of the picture, touching no more classes than can matter.

All resampling is bilinear with cell centres at half pixels, the rule of torchvision's own segmentation networks.
Interpolating the logits, not the probabilities, keeps edges sharp, and the temperature may change afterwards.
"""

from __future__ import annotations

import numpy as np

from cvdemo.core.lazy import cv2

Extent = tuple[float, float, float, float]

NEGLIGIBLE = 1e-6


def to_picture(plane: np.ndarray, extent: Extent, height: int, width: int) -> np.ndarray:
    """(h, w) float32 values of cells covering ``extent`` (x1 y1 x2 y2, pixels), sampled at every pixel: (H, W).

    Pixels beyond the outermost cell centres take the value of the nearest cell.
    """
    x1, y1, x2, y2 = extent
    rows, columns = plane.shape
    plane = np.ascontiguousarray(plane, np.float32)
    if not (float(x1).is_integer() and float(y1).is_integer()):
        return _affine(plane, extent, height, width)
    # With factors instead of a size OpenCV keeps the exact scale where the map does not end on a whole pixel.
    whole = float(x2 - x1).is_integer() and float(y2 - y1).is_integer()
    size, across, down = (
        ((int(x2 - x1), int(y2 - y1)), 0, 0) if whole else (None, (x2 - x1) / columns, (y2 - y1) / rows)
    )
    large = cv2.resize(plane, size, fx=across, fy=down, interpolation=cv2.INTER_LINEAR)
    if large.shape == (height, width):
        return large
    top, left = int(-y1), int(-x1)
    return np.ascontiguousarray(large[top : top + height, left : left + width])


def _affine(plane: np.ndarray, extent: Extent, height: int, width: int) -> np.ndarray:
    x1, y1, x2, y2 = extent
    rows, columns = plane.shape
    u = np.clip((np.arange(width) + 0.5 - x1) * columns / (x2 - x1) - 0.5, 0, columns - 1)
    v = np.clip((np.arange(height) + 0.5 - y1) * rows / (y2 - y1) - 0.5, 0, rows - 1)
    left, top = np.minimum(u.astype(int), max(columns - 2, 0)), np.minimum(v.astype(int), max(rows - 2, 0))
    right, bottom = np.minimum(left + 1, columns - 1), np.minimum(top + 1, rows - 1)
    across, down = (u - left).astype(np.float32), (v - top).astype(np.float32)[:, None]
    upper, lower = plane[top], plane[bottom]
    tall = upper + (lower - upper) * down
    return np.ascontiguousarray(tall[:, left] + (tall[:, right] - tall[:, left]) * across)


def values_at(logits: np.ndarray, extent: Extent, x: int, y: int) -> np.ndarray:
    """(C,) interpolated logits at the centre of pixel (x, y): what ``to_picture`` gives there, for all classes."""
    _, rows, columns = logits.shape
    x1, y1, x2, y2 = extent
    u = float(np.clip((x + 0.5 - x1) * columns / (x2 - x1) - 0.5, 0, columns - 1))
    v = float(np.clip((y + 0.5 - y1) * rows / (y2 - y1) - 0.5, 0, rows - 1))
    left, top = int(u), int(v)
    right, bottom = min(left + 1, columns - 1), min(top + 1, rows - 1)
    a, b = u - left, v - top
    upper = (1 - a) * logits[:, top, left] + a * logits[:, top, right]
    lower = (1 - a) * logits[:, bottom, left] + a * logits[:, bottom, right]
    return ((1 - b) * upper + b * lower).astype(np.float32)


def headroom(logits: np.ndarray) -> np.ndarray:
    """(C,) how far each class can at best come above the winner, anywhere between the cells; negative: it never wins.

    Between four neighbouring cells an interpolated logit stays between their smallest and largest. So a class cannot
    exceed its largest there, while the winner has at least the largest of all classes' smallest.
    """
    high = _windows(logits, np.maximum)
    low = _windows(logits, np.minimum)
    high -= low.max(axis=0)
    return high.reshape(len(logits), -1).max(axis=1)


def _windows(logits: np.ndarray, combine: np.ufunc) -> np.ndarray:
    """The combined value over each cell and its right, lower and lower-right neighbours."""
    out = logits.copy()
    combine(out[:, :-1], logits[:, 1:], out=out[:, :-1])
    combine(out[:, :, :-1], out[:, :, 1:].copy(), out=out[:, :, :-1])
    return out


def label_map(logits: np.ndarray, extent: Extent, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """The winning class of every pixel (H, W) uint8, the first of equals, and its logit (H, W) float32."""
    if len(logits) > 255:
        raise ValueError(f"{len(logits)} classes do not fit into 8 bits beside the value for undecided pixels")
    contenders = np.flatnonzero(headroom(logits) >= 0).tolist()
    labels = np.full((height, width), contenders[0], np.uint8)
    best = to_picture(logits[contenders[0]], extent, height, width)
    for index in contenders[1:]:
        plane = to_picture(logits[index], extent, height, width)
        # numpy's putmask takes 5.5 ms for 1.2 million pixels where winners change often, this 0.4 ms.
        cv2.copyTo(np.full_like(labels, index), cv2.compare(plane, best, cv2.CMP_GT), labels)
        np.maximum(best, plane, out=best)
    return labels, best


def confidence_and_entropy(
    logits: np.ndarray, extent: Extent, best: np.ndarray, temperature: float, *, with_entropy: bool = True
) -> tuple[np.ndarray, np.ndarray | None]:
    """The winner's softmax probability and the entropy in bits of every pixel, each (H, W) float32.

    best: the winner's logits as ``label_map`` returns them. Classes that cannot reach a probability of 1e-6 at any
    pixel are left out of the sums.
    """
    height, width = best.shape
    scale = np.float32(1.0 / temperature)
    counted = np.flatnonzero(headroom(logits) * scale >= np.log(NEGLIGIBLE)).tolist()
    total = np.zeros((height, width), np.float32)
    weighted = np.zeros((height, width), np.float32) if with_entropy else None
    for index in counted:
        plane = to_picture(logits[index], extent, height, width)
        cv2.subtract(plane, best, dst=plane)
        plane *= scale
        share = cv2.exp(plane)
        total += share
        if weighted is not None:
            share *= plane
            weighted += share
    confidence = np.minimum(1 / total, np.float32(1))
    if weighted is None:
        return confidence, None
    # H = ln(sum e^z) - sum(e^z z) / sum(e^z), with z relative to the winner's.
    weighted *= confidence
    entropy = (np.log(total) - weighted) * np.float32(1 / np.log(2.0))
    return confidence, np.maximum(entropy, 0)
