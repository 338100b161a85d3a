"""Copy-paste augmentation (Ghiasi et al. 2021, arXiv:2012.07177): an exactly outlined figure put into another picture.

Pictures whose people are outlined mostly show one person alone. Pasted beside and in front of somebody, the figures
teach what such pictures cannot: where one person ends and the next begins.
"""

from __future__ import annotations

import math

import numpy as np

from cvdemo.core.lazy import cv2
from cvdemo.segmentation.instance_data import Example, Object
from cvdemo.segmentation.training_data import LOSS_STRIDE, shrunk

SMALLEST = 0.4  # an object of which less than this share of its pixels stays visible is forgotten
TOUCHED = 0.03  # an object that loses more than this gets a new box
EDGE = 0.7  # pixels over which the pasted figure's edge fades

Placed = tuple[np.ndarray, int, np.ndarray]
"""An object in a crop: box (4,) xyxy, category, mask (size / 2, size / 2) uint8 of 0, 1, 255."""


def bounds_of(mask: np.ndarray) -> np.ndarray:
    """The box (4,) float32 of a half-resolution mask's ones, in pixels of the crop."""
    rows, columns = np.flatnonzero((mask == 1).any(1)), np.flatnonzero((mask == 1).any(0))
    return LOSS_STRIDE * np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float32)


def landing(rng: np.random.Generator, item: Object, beside: np.ndarray, size: int) -> np.ndarray:
    """A random similarity (2, 3) that puts ``item`` near the box ``beside`` (4,) of a crop, about as large as it."""
    sides, theirs = item.box[2:] - item.box[:2], beside[2:] - beside[:2]
    scale = float(np.sqrt(theirs.prod() / sides.prod())) * math.exp(rng.uniform(math.log(0.5), math.log(1.5)))
    scale = min(scale, 0.95 * size / float(sides.max()))
    reach = (sides * scale + theirs) / 2 * [1.0, 0.4]
    aim = np.clip((beside[:2] + beside[2:]) / 2 + rng.uniform(-1, 1, 2) * reach, 0.1 * size, 0.9 * size)
    linear = np.diag([scale * rng.choice([-1.0, 1.0]), scale])
    middle = (item.box[:2] + item.box[2:]) / 2
    return np.concatenate([linear, (aim - linear @ middle)[:, None]], 1)


def placed(pixels: np.ndarray, mask: np.ndarray, matrix: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """A cut-out under a similarity: its picture (size, size, 3) uint8 and its alpha (size, size) float32 in [0, 1].

    pixels (h, w, 3) uint8, mask (h, w) bool: the figure and what of it to show; matrix (2, 3): from its pixels to the
    crop's, without a turn.
    """
    source, inner = shrunk(pixels, matrix)
    cut, _ = shrunk(mask.astype(np.float32), matrix)
    figure = cv2.warpAffine(source, inner, (size, size), borderMode=cv2.BORDER_REPLICATE)
    return figure, cv2.GaussianBlur(cv2.warpAffine(cut, inner, (size, size)), (0, 0), EDGE)


def blended(pixels: np.ndarray, figure: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """``figure`` over ``pixels``, both (H, W, 3) uint8, where ``alpha`` (H, W) in [0, 1] says so."""
    return np.round(pixels + alpha[..., None] * (figure.astype(np.float32) - pixels)).astype(np.uint8)


def paste(
    pixels: np.ndarray, objects: list[Placed], example: Example, item: Object, matrix: np.ndarray
) -> tuple[np.ndarray, list[Placed]]:
    """``item`` of ``example`` put into a crop (size, size, 3) under ``matrix``, over what is there.

    The objects below lose the pixels it covers, and those that lose most of them are left out. Without effect when too
    little of the item lands in the crop.
    """
    size = len(pixels)
    top, left = item.y, item.x
    window = np.s_[top : top + item.mask.shape[0], left : left + item.mask.shape[1]]
    shift = np.array([[1, 0, left], [0, 1, top], [0, 0, 1.0]])
    figure, alpha = placed(example.pixels[window], item.mask == 1, matrix @ shift, size)
    scale = abs(matrix[1, 1])
    covered = cv2.resize(alpha, (size // LOSS_STRIDE,) * 2, interpolation=cv2.INTER_AREA) >= 0.5
    if covered.sum() * LOSS_STRIDE**2 < SMALLEST * (item.mask == 1).sum() * scale**2 or not covered.any():
        return pixels, objects
    kept = []
    for box, category, mask in objects:
        before, lost = (mask == 1).sum(), (covered & (mask == 1)).sum()
        if before - lost < SMALLEST * before:
            continue
        visible = np.where(covered, 0, mask).astype(np.uint8)
        kept.append((bounds_of(visible) if lost > TOUCHED * before else box, category, visible))
    own = covered.astype(np.uint8)
    return blended(pixels, figure, alpha), [*kept, (bounds_of(own), item.category, own)]
