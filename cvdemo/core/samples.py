"""What a stored number means in 8-bit brightness, and how pixel arrays are turned.

Scaling is by the type's full range, so that white stays white; nothing is clipped silently.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cvdemo.core.errors import InputError

Pixels = npt.NDArray[np.uint8]

_UNIT_OVERSHOOT = 1e-3
"""Resampling a [0, 1] picture overshoots a little."""


def array_to_uint8(array: np.ndarray, name: str, notes: list[str]) -> Pixels:
    """Values of any common type to 0..255, same shape; a uint8 array is returned itself.

    bool becomes 0 or 255, uint16 is scaled by 1/257, other integers must lie in 0..255, floats in [0, 1] or [0, 255].
    What was done is appended to `notes`.  Errors: `InputError` for other types, values out of range and NaN.
    """
    kind = array.dtype.kind
    if array.dtype == np.uint8:
        return array
    if kind == "b":
        return array.astype(np.uint8) * np.uint8(255)
    if array.dtype == np.uint16:
        notes.append("16-bit scaled to 8-bit")
        return scale16(array)
    if kind not in "iuf":
        raise InputError(f"{name} has values of type {array.dtype}.", hint="Use uint8, uint16 or float.")
    low, high = finite_range(array, name)
    if kind == "f":
        if low < -_UNIT_OVERSHOOT or high > 255.5:
            worst = low if low < -_UNIT_OVERSHOOT else high
            raise InputError(
                f"{name} has floats such as {worst:g}, out of range.", hint="Scale them to [0, 1] or [0, 255]."
            )
        return float_to_uint8(array, high, notes)
    if low < 0 or high > 255:
        raise InputError(
            f"{name} has integers from {low:g} to {high:g}, out of range.", hint="Use 0..255, or uint16 for 0..65535."
        )
    return array.astype(np.uint8)


def float_to_uint8(values: np.ndarray, high: float, notes: list[str]) -> Pixels:
    """Floats within [0, 1] (when their maximum `high` is at most 1) or [0, 255], rounded to the nearest."""
    unit = high <= 1 + _UNIT_OVERSHOOT
    notes.append(f"float values read as 0..{1 if unit else 255}")
    return np.rint(values.astype(np.float64) * (255 if unit else 1)).clip(0, 255).astype(np.uint8)


def wide_to_uint8(values: np.ndarray, name: str, notes: list[str]) -> Pixels:
    """Integer or float samples of a file, (H, W): a range that means nothing by itself is stretched to 0..255."""
    low, high = finite_range(values, name)
    if values.dtype.kind == "f" and low >= 0 and high <= 255:
        return float_to_uint8(values, high, notes)
    notes.append(f"values from {low:g} to {high:g} stretched to 0..255")
    span = high - low if high > low else 1.0
    return np.rint((values.astype(np.float64) - low) * (255.0 / span)).astype(np.uint8)


def finite_range(values: np.ndarray, name: str) -> tuple[float, float]:
    """Smallest and largest value; `InputError` when some are NaN or infinite."""
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise InputError(
            f"{name} contains values that are not numbers (NaN or infinity).", hint="Replace them, for example by 0."
        )
    return float(values.min()), float(values.max())


def scale16(values: np.ndarray) -> Pixels:
    """0..65535 to the nearest of 0..255; exact because 65535 = 255 * 257."""
    return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)


def grey_to_rgb(grey: Pixels) -> Pixels:
    """(H, W) to (H, W, 3)."""
    return np.repeat(grey[:, :, None], 3, axis=2)


def turn(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Undo an EXIF orientation 1..8 (TIFF 6.0, tag 274) of an (H, W, …) array; 5..8 exchange height and width."""
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels
