"""What a model is handed: the pixels of a picture, and an example for warming up and measuring."""

from __future__ import annotations

from typing import Any

import numpy as np

from cvdemo.core.lazy import cv2


def pixels_of(picture: Any) -> np.ndarray:
    """(H, W, 3) uint8 RGB of a ``core.media.Picture`` or of such an array; ValueError for anything else."""
    pixels = np.asarray(getattr(picture, "pixels", picture))
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8 or not pixels.size:
        raise ValueError(f"a picture must be (H, W, 3) uint8 RGB, not {pixels.shape} {pixels.dtype}")
    return np.ascontiguousarray(pixels)


def example_picture() -> np.ndarray:
    """(480, 640, 3) uint8: soft random blobs with some hard-edged boxes, always the same, for warm-up and measuring."""
    rng = np.random.default_rng(0)
    picture = cv2.resize(rng.integers(0, 256, (12, 16, 3), np.uint8), (640, 480), interpolation=cv2.INTER_CUBIC)
    for x, y, width, height, *colour in rng.integers(0, (560, 420, 160, 160, 256, 256, 256), (8, 7)).tolist():
        cv2.rectangle(picture, (x, y), (x + 20 + width, y + 20 + height), colour, thickness=-1)
    return picture
