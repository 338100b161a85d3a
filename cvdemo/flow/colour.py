"""The colour code of optical flow: hue is direction, saturation is speed (Baker et al., "A Database and Evaluation
Methodology for Optical Flow", IJCV 2011).

The speed at which the colour is full is always given: normalised by its own maximum, every frame of a video would have
a colour code of its own.
"""

from __future__ import annotations

import functools
import math

import numpy as np

from cvdemo.core.lazy import cv2

# How many steps the wheel takes from each of its six corners to the next: more where the eye sees more differences.
_STEPS = (15, 6, 4, 11, 13, 6)
_CORNERS = ((255, 0, 0), (255, 255, 0), (0, 255, 0), (0, 255, 255), (0, 0, 255), (255, 0, 255))
_BEYOND = 0.75  # faster than the maximum: full colour, darkened
_ANGLES, _RADII = 2048, 256
_NICE = (1.0, 1.5, 2.0, 3.0, 5.0, 7.0)
UNKNOWN = 1e9
"""Displacements that large, or not finite, mean "not known" (as in .flo files)."""


def known_mask(flow: np.ndarray) -> np.ndarray:
    """(H, W) bool: where a flow (H, W, 2) holds a displacement, not NaN, infinity or the .flo format's "unknown"."""
    with np.errstate(invalid="ignore"):
        # one component after the other: numpy is slow along an axis of two
        return np.asarray((np.abs(flow[..., 0]) < UNKNOWN) & (np.abs(flow[..., 1]) < UNKNOWN))


def magnitude(flow: np.ndarray) -> np.ndarray:
    """(…, 2) pixels -> (…) pixels per frame."""
    return np.asarray(np.hypot(flow[..., 0], flow[..., 1]))


_SAMPLE = 50_000


def robust_maximum(flow: np.ndarray, percentile: float = 99.0) -> float:
    """A maximum for the colour code: the percentile of the known magnitudes, rounded up to 1, 1.5, 2, 3, 5, 7 or 10
    times a power of ten, so that it stays the same from frame to frame. At least 1 px.
    """
    step = max(1, math.isqrt(flow.shape[0] * flow.shape[1] // _SAMPLE))  # enough for a percentile
    sampled = flow[::step, ::step]
    known = known_mask(sampled)
    if not known.any():
        return 1.0
    return nice_maximum(float(np.percentile(magnitude(sampled[known]), percentile)))


def nice_maximum(value: float) -> float:
    """The next of 1, 1.5, 2, 3, 5, 7 and 10 times a power of ten that is not below ``value``; at least 1."""
    if not value > 1.0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next((step * power for step in _NICE if step * power >= value * (1 - 1e-9)), 10.0 * power)


def wheel_colours() -> np.ndarray:
    """(55, 3) float64 in [0, 255]: red, yellow, green, cyan, blue, magenta and what lies between, in whole numbers."""
    parts = []
    for index, steps in enumerate(_STEPS):
        here, there = (np.array(_CORNERS[at % 6], np.float64) for at in (index, index + 1))
        share = np.arange(steps)[:, None] / steps
        parts.append(here + np.sign(there - here) * np.floor(np.abs(there - here) * share))
    return np.concatenate(parts)


@functools.lru_cache(maxsize=1)
def _table() -> np.ndarray:
    """(angles, radii + 1, 3) uint8: the colour of a direction and a share of the maximum; the last is "beyond"."""
    colours = wheel_colours() / 255.0
    # The wheel begins with red to the right and ends there with its last colour.
    place = (np.arange(_ANGLES) + 0.5) / _ANGLES * (len(colours) - 1)
    low = np.floor(place).astype(int)
    share = (place - low)[:, None]
    hue = (1 - share) * colours[low] + share * colours[(low + 1) % len(colours)]
    radius = np.arange(_RADII)[None, :, None] / (_RADII - 1)
    inside = 1 - radius * (1 - hue[:, None])
    return np.concatenate([np.floor(255 * inside), np.floor(255 * _BEYOND * hue[:, None])], axis=1).astype(np.uint8)


@functools.lru_cache(maxsize=1)
def _packed() -> np.ndarray:
    """The table with one number per colour: looking up numbers is several times as fast as rows of three."""
    table = _table()
    return np.ascontiguousarray(np.dstack([table, np.full(table.shape[:2], 255, np.uint8)])).view(np.uint32).ravel()


def flow_to_colour(flow: np.ndarray, maximum: float) -> np.ndarray:
    """Colour a flow field.

    Args:
        flow: (H, W, 2) pixels, x to the right and y down; NaN, infinite or huge where it is not known.
        maximum: pixels at which the colour is full, above 0; faster pixels get a darker full colour.

    Returns: (H, W, 3) uint8 RGB: white where nothing moves, black where the flow is not known.
    """
    if not maximum > 0:
        raise ValueError(f"the maximum must be above 0, not {maximum}")
    known = known_mask(flow)
    parts: list[np.ndarray] = [np.ascontiguousarray(flow[..., axis], np.float32) for axis in (0, 1)]
    if not known.all():
        parts = [np.where(known, part, np.float32(0)) for part in parts]
    length, turn = cv2.cartToPolar(parts[0], parts[1])
    angle = np.minimum((turn * np.float32(_ANGLES / (2 * np.pi))).astype(np.int32), _ANGLES - 1)
    radius = np.minimum(length * np.float32((_RADII - 1) / maximum), np.float32(4 * _RADII))
    beyond = radius > (_RADII - 1) * (1 + 1e-6)
    row = (radius + np.float32(0.5)).astype(np.int32)
    row[beyond] = _RADII
    packed = _packed().take(angle * (_RADII + 1) + row)
    out = cv2.cvtColor(packed.view(np.uint8).reshape(*packed.shape, 4), cv2.COLOR_RGBA2RGB)
    if not known.all():
        out[~known] = 0
    return np.asarray(out)


def colour_wheel(size: int = 151) -> np.ndarray:
    """The legend: (size, size, 3) uint8, the colour of the displacement from the centre; the maximum at its rim.

    Outside of the wheel the picture is white; ``wheel_mask`` says where that is.
    """
    flow = _from_centre(size)
    out = flow_to_colour(flow, 1.0)
    out[~wheel_mask(size)] = 255
    return out


def wheel_mask(size: int) -> np.ndarray:
    """(size, size) bool: the disc of ``colour_wheel``."""
    return magnitude(_from_centre(size)) <= 1.0


def _from_centre(size: int) -> np.ndarray:
    axis = (np.arange(size, dtype=np.float32) + 0.5 - size / 2) / (size / 2)
    return np.stack(np.meshgrid(axis, axis), axis=-1)
