"""Heat over a picture: a map of values in [0, 1] coloured and blended in, for explanations and sliding windows."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from cvdemo.core.lazy import cv2

# All but the last change lightness evenly, so they survive colour blindness and a grey print-out.
COLOUR_MAPS = ("inferno", "viridis", "cividis", "magma", "turbo")


@lru_cache(maxsize=len(COLOUR_MAPS))
def colour_table(colours: str) -> np.ndarray:
    """(256, 3) uint8 RGB of a colour map, from value 0 to value 1; ValueError for an unknown name."""
    if colours not in COLOUR_MAPS:
        raise ValueError(f"unknown colour map {colours!r}; there are {', '.join(COLOUR_MAPS)}")
    ramp = np.arange(256, dtype=np.uint8)[:, None]
    return np.ascontiguousarray(cv2.applyColorMap(ramp, getattr(cv2, f"COLORMAP_{colours.upper()}"))[:, 0, ::-1])


def blend(
    pixels: np.ndarray,
    heat: np.ndarray,
    opacity: float,
    colours: str = "inferno",
    box: Sequence[float] | None = None,
) -> np.ndarray:
    """The picture under a coloured map, a new (H, W, 3) uint8 array.

    Args:
        pixels: (H, W, 3) uint8 RGB; never written to.
        heat: (h, w) in [0, 1] of any resolution, enlarged bilinearly; values outside of the range are cut off.
        opacity: share of the map, 0 (only the picture) to 1 (only the map).
        box: x1 y1 x2 y2 in pixels, the part of the picture that ``heat`` covers; None for all of it. The rest gets
            the colour of 0.
    """
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8:
        raise ValueError(f"pixels must be (H, W, 3) uint8, not {pixels.shape} {pixels.dtype}")
    share = min(max(float(opacity), 0.0), 1.0)
    height, width = pixels.shape[:2]
    x1, y1, x2, y2 = _whole_pixels(box, height, width)
    # Quantised after the enlargement: the other order would show steps.
    small = np.clip(heat, 0, 1).astype(np.float32) * np.float32(255)
    enlarged = cv2.convertScaleAbs(cv2.resize(small, (x2 - x1, y2 - y1), interpolation=cv2.INTER_LINEAR))
    if enlarged.shape == (height, width):
        levels = enlarged
    else:
        levels = np.zeros((height, width), np.uint8)
        levels[y1:y2, x1:x2] = enlarged
    coloured = cv2.applyColorMap(levels, colour_table(colours)[:, None])
    return np.asarray(cv2.addWeighted(coloured, share, np.ascontiguousarray(pixels), 1 - share, 0))


def _whole_pixels(box: Sequence[float] | None, height: int, width: int) -> tuple[int, int, int, int]:
    """The box in whole pixels inside of the picture, at least one pixel wide and high."""
    x1, y1, x2, y2 = (round(float(value)) for value in (box if box is not None else (0, 0, width, height)))
    x1, y1 = min(max(x1, 0), width - 1), min(max(y1, 0), height - 1)
    return x1, y1, min(max(x2, x1 + 1), width), min(max(y2, y1 + 1), height)
